"""Which connections security groups and network ACLs allow. Return traffic needs no rule."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from moto.ec2.models import ec2_backends

from . import nodes


def allows(rules: Iterable[Any], port: int, *, address: str | None = None, groups: Iterable[str] = ()) -> bool:
    """Whether a rule allows TCP on a port with a peer that has this address and these security groups."""
    return any(_covers(rule, port) and _is_peer(rule, address, set(groups)) for rule in rules)


def _covers(rule: Any, port: int) -> bool:
    return rule.ip_protocol == "-1" or (rule.ip_protocol == "tcp" and rule.from_port <= port <= rule.to_port)


def _is_peer(rule: Any, address: str | None, groups: set[str]) -> bool:
    cidr = rule.ip_range.get("CidrIp")
    if cidr and address:
        return ipaddress.ip_address(address) in ipaddress.ip_network(cidr)
    return rule.source_group.get("GroupId") in groups


def between(clients: Iterable[Any], servers: Iterable[Any], address: str, port: int) -> bool:
    """Whether a resource with the security groups `clients` reaches one with `servers` at an address."""
    clients, servers = list(clients), list(servers)
    out = [rule for group in clients for rule in group.egress_rules]
    into = [rule for group in servers for rule in group.ingress_rules]
    return allows(out, port, address=address, groups=[one.id for one in servers]) and allows(
        into, port, groups=[one.id for one in clients]
    )


def egress(account: str, region: str, address: str, port: int) -> dict[str, bool]:
    """Whether each node of a region reaches an address outside its VPC, by the node's private DNS name."""
    found = {}
    for instance in nodes.running(account, region):
        rules = [rule for group in instance.nics[0].group_set for rule in group.egress_rules]
        found[instance.private_dns_name] = allows(rules, port, address=address) and _acl(
            account, region, instance.subnet_id, address, port
        )
    return found


def _acl(account: str, region: str, subnet: str, address: str, port: int) -> bool:
    """Whether the network ACL of a subnet lets TCP out. The first rule that fits decides; without one, the answer is no."""
    acls = list(ec2_backends[account][region].network_acls.values())
    acl = next(one for one in acls if any(held.subnet_id == subnet for held in one._associations.values()))
    outgoing = [one for one in acl.network_acl_entries if str(one.egress).lower() == "true" and one.cidr_block]
    for entry in sorted(outgoing, key=lambda one: int(one.rule_number)):
        ports = range(int(entry.port_range_from or 0), int(entry.port_range_to or 65535) + 1)
        fits = ipaddress.ip_address(address) in ipaddress.ip_network(entry.cidr_block) and port in ports
        if fits and str(entry.protocol) in ("-1", "6", "tcp"):
            return entry.rule_action == "allow"
    return False
