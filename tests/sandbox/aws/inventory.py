"""Lists all resources in the account, by service and region. Tests use it to find leftovers.

`everything` walks over all backends that moto has created so far and calls the service's lister, which yields (type, id,
more attributes) for each resource. Invariants: a service without a lister is not listed, so a new service needs one;
resources that AWS creates itself (default VPCs and what is in them, default parameter groups, keys of AWS) are left out; the
account's initial content (`_initial`) is left out unless asked for; the result is sorted, so two lists can be compared.
A resource that lacks tags which everything here must have is marked with `untagged` (`required_tags`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from moto.core.base_backend import BackendDict
from moto.s3.models import FakeDeleteMarker

import places

from . import required_tags

Resource = dict[str, Any]
Lister = Callable[[Any], Iterator[tuple[str, str, dict[str, Any]]]]

# Keys of what exists before any deployment: the hosted zone and the IAM user `deployer`.
_initial: set[tuple[str, str, str, str]] = set()


def _tag_name(resource: Any) -> dict[str, Any]:
    try:
        name = next((tag["value"] for tag in resource.get_tags() if tag["key"] == "Name"), None)
    except (AttributeError, KeyError, TypeError):
        # Some of moto's EC2 classes have no tags. The name is optional.
        name = None
    return {"name": name} if name else {}


def _ec2(ec2: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    default = {vpc.id for vpc in ec2.vpcs.values() if vpc.is_default}
    for vpc in ec2.vpcs.values():
        if vpc.id not in default:
            yield "vpc", vpc.id, _tag_name(vpc)
    for zone in ec2.subnets.values():
        for subnet in zone.values():
            if subnet.vpc_id not in default:
                yield "subnet", subnet.id, _tag_name(subnet)
    for table in ec2.route_tables.values():
        if table.vpc_id not in default:
            yield "route-table", table.id, _tag_name(table)
    for acl in ec2.network_acls.values():
        if acl.vpc_id not in default:
            yield "network-acl", acl.id, _tag_name(acl)
    for vpc_id, groups in ec2.groups.items():
        for group in groups.values():
            if vpc_id not in default:
                yield "security-group", group.id, {"name": group.name}
    for gateway in ec2.internet_gateways.values():
        yield "internet-gateway", gateway.id, _tag_name(gateway)
    for gateway in ec2.nat_gateways.values():
        if gateway.state != "deleted":
            yield "nat-gateway", gateway.id, {**_tag_name(gateway), "state": gateway.state}
    for address in ec2.addresses:
        yield "elastic-ip", address.allocation_id, {**_tag_name(address), "address": address.public_ip}
    for endpoint in ec2.vpc_end_points.values():
        if endpoint.state != "deleted":
            yield "vpc-endpoint", endpoint.id, {"name": endpoint.service_name}
    for interface in ec2.enis.values():
        yield "network-interface", interface.id, {"description": interface.description}
    for log in ec2.flow_logs.values():
        yield "flow-log", log.id, {"of": log.resource_id}
    for template in ec2.launch_templates.values():
        yield "launch-template", template.id, {"name": template.name}
    for reservation in ec2.reservations.values():
        for instance in reservation.instances:
            if instance.state != "terminated":
                yield "instance", instance.id, {"state": instance.state}
    for volume in ec2.volumes.values():
        yield "volume", volume.id, {}


def _elbv2(elb: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for balancer in elb.load_balancers.values():
        yield "load-balancer", balancer.arn, {"name": balancer.name, "state": balancer.state}
        for listener in balancer.listeners.values():
            yield "listener", listener.arn, {"of": balancer.name}
    for group in elb.target_groups.values():
        yield "target-group", group.arn, {"name": group.name, "targets": sorted(group.targets)}


def _eks(eks: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for cluster in eks.clusters.values():
        yield "cluster", cluster.name, {"state": cluster.status}
        for group in cluster.nodegroups.values():
            yield "nodegroup", group.nodegroup_name, {"of": cluster.name, "state": group.status}
        for addon in cluster.addons:
            yield "addon", addon, {"of": cluster.name}
        for entry in cluster.access_entries:
            yield "access-entry", entry, {"of": cluster.name}


def _rds(rds: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for instance in rds.databases.values():
        yield "instance", instance.db_instance_identifier, {"state": instance.status}
    for proxy in rds.db_proxies.values():
        yield "proxy", proxy.db_proxy_name, {"state": proxy.status}
    for group in rds.subnet_groups.values():
        yield "subnet-group", group.name, {}
    for group in rds.db_parameter_groups.values():
        if not group.name.startswith("default."):
            yield "parameter-group", group.name, {}
    for snapshot in rds.database_snapshots.values():
        key = rds.state_of_key(snapshot.kms_key_id)
        unreadable = {} if key in (None, "Enabled") else {"state": f"unreadable: its key is {key}"}
        yield "snapshot", snapshot.db_snapshot_identifier, {"kind": snapshot.snapshot_type, **unreadable}


def _ecr(ecr: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for repository in ecr.repositories.values():
        tags = sorted(tag for image in ecr.images(repository) for tag in image.image_tags)
        yield "repository", repository.name, {"tags": tags}


def _secrets(manager: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for secret in dict.values(manager.secrets):
        deleted = {"state": "scheduled for deletion"} if secret.is_deleted() else {}
        yield "secret", secret.arn, {"name": secret.name, **deleted}


def _kms(kms: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for key in kms.keys.values():
        # Keys that AWS manages are recognised by their aliases.
        if any(alias.startswith("alias/aws/") for alias in key.aliases):
            continue
        yield "key", key.id, {"state": key.key_state}
        for alias in key.aliases:
            yield "alias", alias, {"of": key.id}


def _s3(s3: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for bucket in s3.buckets.values():
        keys = sorted(key for key, newest in bucket.keys.items() if not isinstance(newest, FakeDeleteMarker))
        yield "bucket", bucket.name, {"region": bucket.region_name, "keys": keys[:100]}


def _iam(iam: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for role in iam.roles.values():
        yield "role", role.name, {}
    for policy in iam.managed_policies.values():
        if ":aws:policy/" not in policy.arn:
            yield "policy", policy.arn, {}
    for user in iam.users.values():
        yield "user", user.name, {}
    for profile in iam.instance_profiles.values():
        yield "instance-profile", profile.name, {}
    for arn in iam.open_id_providers:
        yield "oidc-provider", arn, {}


def _route53(route53: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for zone in route53.zones.values():
        yield "hosted-zone", zone.id, {"name": zone.name}
        for record in zone.rrsets:
            if record.type not in ("NS", "SOA"):
                yield "record", f"{record.name} {record.type}", {"of": zone.name}


def _of(kind: str, attribute: str, identity: str = "") -> Lister:
    """A lister for a backend with one dictionary of resources. The id is the key, or the attribute `identity`."""

    def lister(backend: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for key, resource in getattr(backend, attribute).items():
            yield kind, getattr(resource, identity) if identity else key, {}

    return lister


LISTERS: dict[str, Lister] = {
    "ec2": _ec2,
    "elbv2": _elbv2,
    "eks": _eks,
    "rds": _rds,
    "ecr": _ecr,
    "secretsmanager": _secrets,
    "kms": _kms,
    "s3": _s3,
    "iam": _iam,
    "route53": _route53,
    "acm": _of("certificate", "_certificates"),
    "logs": _of("log-group", "groups"),
    "cloudtrail": _of("trail", "trails"),
    "cloudwatch": _of("alarm", "alarms"),
    "sns": _of("topic", "topics"),
    "sqs": _of("queue", "queues"),
    "dynamodb": _of("table", "tables"),
    "wafv2": _of("web-acl", "wacls"),
    "guardduty": _of("detector", "detectors"),
    "autoscaling": _of("group", "autoscaling_groups"),
}


def everything(*, new_only: bool = True) -> list[Resource]:
    """All resources as {service, region, type, id, ...}. `new_only` leaves out the account's initial content."""
    resources = []
    # By identity, because moto registers some backends more than once.
    for backends in {id(known): known for known in list(BackendDict._instances)}.values():
        lister = LISTERS.get(backends.service_name)
        if not lister:
            continue
        for region, backend in list(dict.items(backends[places.ACCOUNT])):
            for kind, identity, more in lister(backend):
                resource = {"service": backends.service_name, "region": region, "type": kind, "id": identity, **more}
                if missing := required_tags.missing(backends.service_name, backend, kind, identity):
                    resource["untagged"] = missing
                if not new_only or _key(resource) not in _initial:
                    resources.append(resource)
    resources.sort(key=_key)
    return resources


def _key(resource: Resource) -> tuple[str, str, str, str]:
    return resource["service"], resource["region"], resource["type"], resource["id"]


def mark_existing_as_initial() -> None:
    """Adds everything that exists now to the account's initial content."""
    _initial.update(_key(resource) for resource in everything(new_only=False))
