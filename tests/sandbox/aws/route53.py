"""Route 53: the account's initial hosted zone, CREATE that fails while the record exists, and DELETE unless it does."""

from __future__ import annotations

from typing import Any

from moto.route53 import urls
from moto.route53.exceptions import ResourceRecordAlreadyExists, Route53ClientError
from moto.route53.models import Route53Backend, route53_backends

import places

from . import wiring


def _key(record: dict[str, Any]) -> tuple[str, str, str | None]:
    return record["Name"].rstrip("."), record["Type"], record.get("SetIdentifier")


class Backend(Route53Backend):
    """moto checks CREATE and DELETE against all past changes, so a deleted record could not be created again, and be deleted
    twice. This checks against the existing records, and passes valid creations to moto as UPSERT."""

    def change_resource_record_sets(self, zoneid: str, change_list: list[dict[str, Any]]) -> None:
        zone = self.get_hosted_zone(zoneid)
        existing = {(one.name.rstrip("."), one.type, one.set_identifier) for one in zone.rrsets}
        for change in change_list:
            key = _key(change["ResourceRecordSet"])
            if change["Action"] == "CREATE" and key in existing:
                raise ResourceRecordAlreadyExists(name=f"{key[0]}.", _type=key[1])
            if change["Action"] == "DELETE":
                if key not in existing:
                    text = f"Tried to delete resource record set [name='{key[0]}.', type='{key[1]}'] but it was not found"
                    raise Route53ClientError("InvalidChangeBatch", text)
                existing.discard(key)
            else:
                existing.add(key)
                change["Action"] = "UPSERT"
        super().change_resource_record_sets(zoneid, change_list)


def create_zone(name: str = places.HOSTED_ZONE) -> str:
    """Creates the public zone that a company has before it deploys anything. Returns its id."""
    zone = route53_backends[places.ACCOUNT]["aws"].create_hosted_zone(
        name=f"{name}.",
        private_zone=False,
        caller_reference="given",
        comment="given to the sandbox",
        delegation_set_id=None,
        vpcid=None,
        vpcregion=None,
    )
    return zone.id


def install() -> None:
    wiring.use_backend(route53_backends, Backend, urls)
