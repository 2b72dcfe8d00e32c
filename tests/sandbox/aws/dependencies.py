"""What uses a VPC, a subnet or a security group and therefore prevents its deletion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moto.ec2.models import ec2_backends
from moto.eks.models import eks_backends
from moto.elbv2.models import elbv2_backends
from moto.rds.models import rds_backends


@dataclass(frozen=True)
class Tenant:
    """A resource with network interfaces, of whichever service."""

    name: str
    subnets: frozenset[str]
    groups: frozenset[str]
    public: bool = False


def _id(subnet: Any) -> str:
    return subnet if isinstance(subnet, str) else subnet.id


def tenants(account: str, region: str) -> Iterator[Tenant]:
    for balancer in list(elbv2_backends[account][region].load_balancers.values()):
        subnets, groups = frozenset(map(_id, balancer.subnets)), frozenset(balancer.security_groups or ())
        yield Tenant(f"load balancer {balancer.name}", subnets, groups, balancer.scheme != "internal")
    for instance in list(rds_backends[account][region].databases.values()):
        group = getattr(instance, "db_subnet_group", None)
        subnets = frozenset(subnet.id for subnet in group._subnets) if group else frozenset()
        yield Tenant(f"database {instance.db_instance_identifier}", subnets, frozenset(instance.vpc_security_group_ids))
    for proxy in list(rds_backends[account][region].db_proxies.values()):
        yield Tenant(
            f"database proxy {proxy.db_proxy_name}",
            frozenset(proxy.vpc_subnet_ids),
            frozenset(proxy.vpc_security_group_ids),
        )
    for cluster in list(eks_backends[account][region].clusters.values()):
        config = cluster.resources_vpc_config
        groups = frozenset([*config.get("securityGroupIds", ()), config["clusterSecurityGroupId"]])
        yield Tenant(f"cluster {cluster.name}", frozenset(config["subnetIds"]), groups)
        for group in list(cluster.nodegroups.values()):
            # Its security groups are those of its instances' network interfaces.
            yield Tenant(f"node group {group.nodegroup_name}", frozenset(group.subnets), frozenset())
    ec2 = ec2_backends[account][region]
    for endpoint in list(ec2.vpc_end_points.values()):
        if endpoint.state != "deleted":
            yield Tenant(
                f"endpoint {endpoint.id}",
                frozenset(endpoint.subnet_ids or ()),
                frozenset(endpoint.security_group_ids or ()),
            )
    for interface in list(ec2.enis.values()):
        groups = frozenset(group.id for group in interface.group_set)
        yield Tenant(
            f"network interface {interface.id}", frozenset([_id(interface.subnet)]), groups, bool(interface.public_ip)
        )


def of_subnet(account: str, region: str, subnet: str) -> list[str]:
    return [tenant.name for tenant in tenants(account, region) if subnet in tenant.subnets]


def of_group(account: str, region: str, group: str) -> list[str]:
    """The resources that have a security group, and the rules of other groups that reference it."""
    held = [tenant.name for tenant in tenants(account, region) if group in tenant.groups]
    for groups in list(ec2_backends[account][region].groups.values()):
        for other in list(groups.values()):
            rules = [*other.ingress_rules, *other.egress_rules]
            named = {rule.source_group.get("GroupId") for rule in rules if rule.source_group}
            if other.id != group and group in named:
                held.append(f"a rule of {other.id}")
    return held


def of_vpc(account: str, region: str, vpc: str) -> list[str]:
    """What DeleteVpc does not delete itself: all but the default group, the main route table and the default ACL."""
    ec2 = ec2_backends[account][region]
    held = [gateway.id for gateway in ec2.internet_gateways.values() if gateway.vpc and gateway.vpc.id == vpc]
    held += [
        gateway.id for gateway in ec2.nat_gateways.values() if gateway.vpc_id == vpc and gateway.state != "deleted"
    ]
    held += [group.id for group in ec2.groups.get(vpc, {}).values() if group.name != "default"]
    held += [acl.id for acl in ec2.network_acls.values() if acl.vpc_id == vpc and not acl.default]
    held += [
        endpoint.id
        for endpoint in ec2.vpc_end_points.values()
        if endpoint.vpc_id == vpc and endpoint.state != "deleted"
    ]
    return held


def public_in(account: str, region: str, vpc: str) -> list[str]:
    """Resources with a public address in a VPC. While there is one, its internet gateway cannot be detached."""
    ec2 = ec2_backends[account][region]
    subnets = {subnet.id for zone in ec2.subnets.values() for subnet in zone.values() if subnet.vpc_id == vpc}
    return [tenant.name for tenant in tenants(account, region) if tenant.public and tenant.subnets & subnets]
