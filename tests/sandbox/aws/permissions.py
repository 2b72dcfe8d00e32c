"""The identity policies of users and roles: which there are, and what they allow.

Callers are limited as follows.
- Pods: always. A role without policies allows them nothing.
- Users and other sessions: once they have a policy. Without one they may do everything, because tests create callers that
  exist only to hold an access key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moto.iam.models import iam_backends

from .conditions import Unsupported, facts, listed
from .identity import Identity
from .policy import Document, Request, Verdict, judge, parse


@dataclass(frozen=True)
class Principal:
    """A user or role that acts: `arn` names the session, `principal` the user or role itself."""

    account: str
    arn: str
    principal: str
    documents: tuple[Document, ...]
    limited: bool
    pod: bool = False

    @property
    def names(self) -> dict[str, frozenset[str]]:
        return {"AWS": frozenset((self.arn, self.principal))}

    @property
    def facts(self) -> dict[str, str]:
        return {
            "aws:PrincipalArn": self.principal,
            "aws:PrincipalAccount": self.account,
            "aws:PrincipalIsAWSService": "false",
            # Plain HTTP stands for TLS in the sandbox.
            "aws:SecureTransport": "true",
            "aws:ViaAWSService": "false",
        }

    def refusal(
        self, action: str, resource: str, known: Mapping[str, str | list[str]] | None = None
    ) -> str | None:
        """AWS's explanation if the identity policies do not allow the action; None if they do."""
        if not self.limited:
            return None
        request = Request(action, resource, facts(self.facts, known or {}))
        asked = f"User: {self.arn} is not authorized to perform: {action} on resource: {resource}"
        try:
            verdict = judge(self.documents, request)
        except Unsupported as why:
            return f"{asked} because the sandbox does not evaluate: {why}"
        if verdict is Verdict.DENY:
            return f"{asked} with an explicit deny in an identity-based policy"
        if verdict is Verdict.SILENT:
            return f"{asked} because no identity-based policy allows the {action} action"
        return None


def _documents(holder: Any) -> list[Document]:
    """The inline policies of a user, role or group, and the default versions of its attached ones."""
    inline = [parse(text) for text in holder.policies.values()]
    attached = [
        parse(version.document)
        for policy in holder.managed_policies.values()
        for version in policy.versions
        if version.version_id == policy.default_version_id
    ]
    return [*inline, *attached]


def role_of(arn: str) -> Any:
    """The role with this ARN, or None."""
    account = arn.split(":")[4] if arn.count(":") >= 5 else ""
    if account not in iam_backends:
        return None
    return next((role for role in iam_backends[account]["aws"].get_roles() if role.arn == arn), None)


def _holders(principal: str, account: str) -> list[Any]:
    iam = iam_backends[account]["aws"]
    if ":user/" in principal:
        users = [user for user in iam.users.values() if user.arn == principal]
        return [*users, *(group for user in users for group in iam.get_groups_for_user(user.name))]
    role = role_of(principal)
    return [role] if role else []


def of(who: Identity) -> Principal:
    """The caller of an API call."""
    documents = [document for holder in _holders(who.principal, who.account) for document in _documents(holder)]
    pod = bool(who.service_account)
    return Principal(who.account, who.arn, who.principal, tuple(documents), pod or not _everything(documents), pod)


def _everything(documents: list[Document]) -> bool:
    """Whether the policies say nothing but that everything is allowed, as AdministratorAccess does, or are missing."""
    statements = [one for document in documents for one in listed(document.get("Statement"))]
    administrator = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    return all({name: value for name, value in one.items() if name != "Sid"} == administrator for one in statements)


def of_role(arn: str, session: str) -> Principal:
    """The session of a service that has assumed a role."""
    role = role_of(arn)
    account, name = arn.split(":")[4], arn.rsplit("/", 1)[-1]
    documents = tuple(_documents(role)) if role else ()
    return Principal(account, f"arn:aws:sts::{account}:assumed-role/{name}/{session}", arn, documents, limited=True)
