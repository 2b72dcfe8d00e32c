"""The tags that every resource of a deployment must have, so that its costs and leftovers can be told apart.

Checked are the services in which something else than Terraform's provider creates resources: EC2 and EKS for nodes, the load
balancer controller, paydeploy for the state bucket. Resources that AWS creates and owns are left out.
"""

from __future__ import annotations

from typing import Any

REQUIRED = ("Project", "Environment", "Region", "ManagedBy")
# A resource with one of these belongs to AWS: the security group of an EKS cluster, GuardDuty's endpoint and group.
OF_AWS = ("aws:eks:cluster-name", "GuardDutyManaged")


def missing(service: str, backend: Any, kind: str, identity: str) -> list[str]:
    """The required tags that a resource lacks; empty if it has all, or if it cannot or need not have any."""
    tags = _tags(service, backend, kind, identity)
    if tags is None or any(key in tags for key in OF_AWS):
        return []
    return [key for key in REQUIRED if not tags.get(key)]


def _tags(service: str, backend: Any, kind: str, identity: str) -> dict[str, str] | None:
    """A resource's tags; None if they are not checked."""
    if service == "ec2":
        return _ec2(backend, kind, identity)
    if service == "elbv2":
        return backend.describe_tags([identity])[identity]
    if service == "eks" and kind == "cluster":
        return backend.clusters[identity].tags or {}
    if service == "s3":
        return backend.tagger.get_tag_dict_for_resource(backend.get_bucket(identity).arn)
    return None


def _ec2(ec2: Any, kind: str, identity: str) -> dict[str, str] | None:
    if kind == "network-interface":
        interface = ec2.enis[identity]
        # Those of endpoints and NAT gateways belong to these. The others are a node's, or were one's.
        if interface.instance is None and not interface.description.startswith("aws-K8S-"):
            return None
    elif kind == "network-acl" and ec2.network_acls[identity].default:
        return None
    elif kind == "route-table" and ec2.get_route_table(identity).main_association_id:
        return None
    elif kind == "security-group" and ec2.get_security_group_from_id(identity).name == "default":
        return None
    return {tag["key"]: tag["value"] for tag in ec2.describe_tags(filters={"resource-id": [identity]})}
