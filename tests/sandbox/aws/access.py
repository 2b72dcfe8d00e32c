"""EKS access entries: which IAM principal maps to which Kubernetes user and groups."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from moto.core.utils import utcnow
from moto.eks.exceptions import (
    InvalidParameterException,
    InvalidRequestException,
    ResourceInUseException,
    ResourceNotFoundException,
)
from moto.eks.models import Cluster
from moto.iam.models import iam_backends

POLICY = re.compile(r"arn:aws:eks::aws:cluster-access-policy/(\w+)")
# EKS evaluates access policies in its own authorizer, which the sandbox does not have. Full administration maps to a
# group that every cluster knows; the other policies map to groups that have an effect only where a binding names them.
ADMINISTRATOR = "AmazonEKSClusterAdminPolicy"
POLICIES = {
    ADMINISTRATOR: "system:masters",
    "AmazonEKSAdminPolicy": "eks:access-policy:admin",
    "AmazonEKSEditPolicy": "eks:access-policy:edit",
    "AmazonEKSViewPolicy": "eks:access-policy:view",
    "AmazonEKSAdminViewPolicy": "eks:access-policy:admin-view",
}


@dataclass
class Entry:
    """One access entry. The attributes have the API's names, in snake case."""

    cluster_name: str
    principal_arn: str
    kubernetes_groups: list[str]
    username: str
    type: str
    tags: dict[str, str]
    access_entry_arn: str
    # The principal's unique id in IAM. A recreated role has another id, and the entry is then invalid, as in EKS.
    principal_id: str
    created_at: Any = field(default_factory=utcnow)
    modified_at: Any = field(default_factory=utcnow)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)

    def user_of(self, session: str) -> str:
        clean = session.replace("@", "-")
        return self.username.replace("{{SessionName}}", clean).replace("{{SessionNameRaw}}", session)

    def groups(self) -> list[str]:
        groups = list(self.kubernetes_groups)
        for arn, policy in self.policies.items():
            name = POLICY.fullmatch(arn)[1]  # type: ignore[index]
            scope = policy["accessScope"]
            if scope.get("type") == "namespace":
                groups += [
                    f"{POLICIES[name]}:{namespace}"
                    for namespace in scope.get("namespaces", [])
                    if name != ADMINISTRATOR
                ]
            else:
                groups.append(POLICIES[name])
        return groups


def principal_id(account: str, arn: str) -> str | None:
    """The unique id in IAM of a role or user, or None if it does not exist."""
    iam = iam_backends[account]["aws"]
    for role in iam.get_roles():
        if role.arn == arn:
            return role.id
    return next((user.id for user in iam.users.values() if user.arn == arn), None)


def entry_of(cluster: Cluster, principal: str) -> Entry | None:
    """The valid entry of a principal. None if there is none, or if the principal was recreated since."""
    entry = cluster.access_entries.get(principal)
    account = principal.split(":")[4]
    return entry if entry and entry.principal_id == principal_id(account, principal) else None


def _entries(cluster: Cluster) -> dict[str, Entry]:
    if cluster.access_config["authenticationMode"] == "CONFIG_MAP":
        raise InvalidRequestException(
            message="The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation."
        )
    return cluster.access_entries


def get(cluster: Cluster, principal: str) -> Entry:
    entry = _entries(cluster).get(principal)
    if not entry:
        raise ResourceNotFoundException(
            message="The specified principalArn could not be found. "
            "You can view your available access entries with 'list-access-entries'."
        )
    return entry


def create(
    cluster: Cluster,
    principal: str,
    *,
    groups: list[str] | None,
    username: str | None,
    type_: str | None,
    tags: dict[str, str] | None,
) -> Entry:
    """Creates an entry for a principal that exists in IAM."""
    entries, account = _entries(cluster), cluster.arn.split(":")[4]
    if principal in entries:
        raise ResourceInUseException(message="The specified access entry resource is already in use on this cluster.")
    found = principal_id(account, principal)
    if not found:
        raise InvalidParameterException(message="The specified principalArn is invalid: invalid principal.")
    kind = type_ or "STANDARD"
    if any(group.startswith("system:") for group in groups or []):
        raise InvalidParameterException(message="The kubernetes group name cannot start with: system:")
    if not username:
        assumed = principal.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/")
        username = assumed + "/{{SessionName}}" if ":role/" in principal else principal
    if kind != "STANDARD":
        username, groups = "system:node:{{EC2PrivateDNSName}}", ["system:nodes"]
    sort, name = principal.split(":")[5].split("/")[0], principal.split("/")[-1]
    arn = f"{cluster.arn.replace(':cluster/', ':access-entry/')}/{sort}/{account}/{name}/{found[-12:]}"
    entries[principal] = Entry(cluster.name, principal, groups or [], username, kind, tags or {}, arn, found)
    return entries[principal]


def associate(entry: Entry, policy: str, scope: dict[str, Any]) -> dict[str, Any]:
    named = POLICY.fullmatch(policy)
    if not named or named[1] not in POLICIES:
        raise InvalidParameterException(message="The policyArn parameter format is not valid")
    if entry.type != "STANDARD":
        raise InvalidRequestException(message="The specified access entry type does not allow associating policies.")
    entry.policies[policy] = {
        "policyArn": policy,
        "accessScope": scope,
        "associatedAt": utcnow(),
        "modifiedAt": utcnow(),
    }
    return entry.policies[policy]


def disassociate(entry: Entry, policy: str) -> None:
    if entry.policies.pop(policy, None) is None:
        raise ResourceNotFoundException(message="The specified policyArn could not be found on the access entry.")
