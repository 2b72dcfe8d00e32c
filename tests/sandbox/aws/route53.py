"""Route 53: the account's one hosted zone, given at the start."""

from __future__ import annotations

from moto.route53.models import route53_backends

import places


def make_zone(name: str = places.HOSTED_ZONE) -> str:
    """Makes the public zone that a company has before it deploys anything; its id."""
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
