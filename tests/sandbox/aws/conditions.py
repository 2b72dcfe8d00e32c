"""The condition block of a policy statement.

1. Look up the request's values of the condition key. Keys are case-insensitive.
2. Without a value, the operator's kind decides: `...IfExists`, negated operators and `ForAllValues:` hold, others do not.
3. Otherwise compare each value with each wanted one. `ForAllValues:` and negated operators need all values to fit, the others
   need one.

Invariant: an operator that is missing here raises Unsupported. It is never taken to hold or to fail.
"""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Callable, Mapping
from typing import Any

from . import patterns

# The values of the condition keys of a request. The names of the keys are in lower case.
Facts = Mapping[str, list[str]]


class Unsupported(Exception):
    """A policy uses something that the sandbox does not evaluate."""


def facts(*given: Mapping[str, str | list[str]]) -> dict[str, list[str]]:
    """Joins facts of several sources; a later one replaces an earlier one."""
    return {
        key.lower(): list(value) if isinstance(value, list) else [value]
        for one in given
        for key, value in one.items()
    }


def listed(value: Any) -> list[Any]:
    """A policy may write a list of one element without brackets."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    def test(value: str, wanted: str) -> bool:
        try:
            return compare(float(value), float(wanted))
        except ValueError:
            return False

    return test


def _address(value: str, wanted: str) -> bool:
    return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": patterns.equal,
    "StringEqualsIgnoreCase": lambda value, wanted: patterns.equal(value.lower(), wanted.lower()),
    "StringLike": patterns.like,
    "ArnEquals": patterns.arn_like,
    "ArnLike": patterns.arn_like,
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
    "IpAddress": _address,
    "NumericEquals": _number(operator.eq),
    "NumericLessThan": _number(operator.lt),
    "NumericLessThanEquals": _number(operator.le),
    "NumericGreaterThan": _number(operator.gt),
    "NumericGreaterThanEquals": _number(operator.ge),
}
NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
}


def _text(value: Any) -> str:
    """A policy may write booleans and numbers without quotation marks."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _holds(named: str, key: str, given: Any, known: Facts) -> bool:
    quantifier, _, name = named.rpartition(":")
    optional, name = name.endswith("IfExists"), name.removesuffix("IfExists")
    values, wanted = known.get(key.lower(), []), [_text(one) for one in listed(given)]
    if name == "Null":
        return ("true" if not values else "false") in [one.lower() for one in wanted]
    negated = name in NEGATED
    test = OPERATORS.get(NEGATED.get(name, name))
    if not test or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise Unsupported(f"condition operator {named}")
    if not values:
        return optional or quantifier == "ForAllValues" or (negated and not quantifier)
    expanded = [pattern for one in wanted if (pattern := patterns.expand(one, known)) is not None]
    fits = [any(test(value, pattern) for pattern in expanded) != negated for value in values]
    return all(fits) if quantifier == "ForAllValues" or (negated and not quantifier) else any(fits)


def hold(block: dict[str, dict[str, Any]], known: Facts) -> bool:
    """Whether all conditions of a statement hold."""
    return all(_holds(named, key, given, known) for named, keys in block.items() for key, given in keys.items())
