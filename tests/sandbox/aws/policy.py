"""Evaluates policy documents: those of identities, roles' trust policies and resource policies.

1. A statement matches if it covers the action, the resource and (in policies that name principals) the principal, and if all
   of its conditions hold.
2. A matching Deny decides. Without one, a matching Allow does. Otherwise the documents are silent, which means no.

moto's own evaluation knows only statements without conditions.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import conditions, patterns
from .conditions import Facts, listed

Document = dict[str, Any]


class Verdict(enum.Enum):
    """What documents say about a request."""

    ALLOW = "allow"
    DENY = "deny"
    SILENT = "silent"


@dataclass(frozen=True)
class Request:
    """What is asked: an IAM action (`ec2:CreateTags`), the ARN that it acts on, and the values of the condition keys.

    `names` are the names by which a policy may mean the caller, by the type of principal: AWS, Service or Federated.
    """

    action: str
    resource: str = "*"
    facts: Facts = field(default_factory=dict)
    names: Mapping[str, frozenset[str]] = field(default_factory=dict)


def parse(text: str | bytes | None) -> Document:
    return json.loads(text) if text else {}


def _covers(statement: Document, element: str, fits: Callable[[str], bool], absent: bool) -> bool:
    """Whether a statement's `Action` (or its complement `NotAction`), `Resource` or `NotResource` covers something."""
    if element in statement:
        return any(fits(str(one)) for one in listed(statement[element]))
    if f"Not{element}" in statement:
        return not any(fits(str(one)) for one in listed(statement[f"Not{element}"]))
    return absent


def _names(principal: Any, names: Mapping[str, frozenset[str]]) -> bool:
    if principal == "*":
        return True
    return any(
        one == "*" or one in names[kind] for kind in names for one in listed(principal.get(kind)) if kind in principal
    )


def _means(statement: Document, names: Mapping[str, frozenset[str]]) -> bool:
    if "NotPrincipal" in statement:
        return not _names(statement["NotPrincipal"], names)
    return "Principal" not in statement or _names(statement["Principal"], names)


def _matches(statement: Document, request: Request) -> bool:
    def action(pattern: str) -> bool:
        return patterns.like(request.action.lower(), pattern.lower())

    def resource(pattern: str) -> bool:
        expanded = patterns.expand(pattern, request.facts)
        return expanded is not None and patterns.resource(request.resource, expanded)

    return (
        _covers(statement, "Action", action, absent=False)
        # Trust policies have no resource, because a role is itself the resource.
        and _covers(statement, "Resource", resource, absent=True)
        and _means(statement, request.names)
        and conditions.hold(statement.get("Condition", {}), request.facts)
    )


def judge(documents: Iterable[Document], request: Request) -> Verdict:
    effects = {
        statement["Effect"]
        for document in documents
        for statement in listed(document.get("Statement"))
        if _matches(statement, request)
    }
    return Verdict.DENY if "Deny" in effects else Verdict.ALLOW if "Allow" in effects else Verdict.SILENT
