"""Evaluates trust policies of IAM roles: principal, action and condition.

1. Collect the statements that match the action, name the principal, and whose conditions all hold.
2. The policy allows the action if one of them is an Allow and none is a Deny.

Invariants: an unknown condition operator, or a condition key without a value, never holds; such an Allow has no effect. The
same is true of such a Deny, so trust policies with other operators than OPERATORS are not evaluated correctly.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable
from typing import Any


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def statements(role: Any) -> list[dict[str, Any]]:
    return _list(json.loads(role.assume_role_policy_document or "{}").get("Statement"))


def _does(statement: dict[str, Any], action: str) -> bool:
    return any(fnmatch.fnmatchcase(action.lower(), str(given).lower()) for given in _list(statement.get("Action")))


def _principals(statement: dict[str, Any], kind: str) -> list[str]:
    principal = statement.get("Principal", {})
    return ["*"] if principal == "*" else _list(principal.get(kind))


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringLike": lambda value, wanted: fnmatch.fnmatchcase(value, wanted),
    "ArnEquals": lambda value, wanted: fnmatch.fnmatchcase(value, wanted),
    "ArnLike": lambda value, wanted: fnmatch.fnmatchcase(value, wanted),
    "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
}


def _holds(statement: dict[str, Any], facts: dict[str, list[str]]) -> bool:
    """Whether all conditions of a statement hold. Keys without a value, and unknown operators, do not."""
    lowered = {key.lower(): values for key, values in facts.items()}
    for operator, keys in statement.get("Condition", {}).items():
        compare = OPERATORS.get(operator)
        for key, wanted in keys.items():
            values = lowered.get(key.lower(), [])
            if not compare or not any(compare(value, one) for value in values for one in _list(wanted)):
                return False
    return True


def allows(role: Any, action: str, kind: str, named: Callable[[str], bool], facts: dict[str, list[str]]) -> bool:
    """Whether a role's trust policy allows `action` to a principal of type `kind` for which `named` is true.

    `facts` are the values of the condition keys.
    """
    matching = [
        statement["Effect"]
        for statement in statements(role)
        if _does(statement, action)
        and any(p == "*" or named(p) for p in _principals(statement, kind))
        and _holds(statement, facts)
    ]
    return "Allow" in matching and "Deny" not in matching


def allows_service(role: Any, service: str, source: str = "") -> bool:
    """Whether an AWS service may assume the role on behalf of the resource with the ARN `source`."""
    facts = {"aws:SourceAccount": [role.account_id], "aws:SourceArn": [source]}
    return allows(role, "sts:AssumeRole", "Service", lambda given: given == service, facts)


def allows_caller(role: Any, caller: Any) -> bool:
    """Whether the caller may assume the role. The policy may name its ARN, its role's ARN, or its account."""
    account = (caller.account, f"arn:aws:iam::{caller.account}:root")
    facts = {"aws:PrincipalArn": [caller.principal], "aws:PrincipalAccount": [caller.account]}
    return allows(role, "sts:AssumeRole", "AWS", lambda given: given in (caller.arn, caller.principal, *account), facts)
