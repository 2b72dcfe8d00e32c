"""Wildcards and variables in the strings of a policy.

`expand` replaces the variables first. Wildcards that a value contains are hidden from the comparison, because only those that
the policy itself writes have a meaning.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

VARIABLE = re.compile(r"\$\{([^}]*)\}")
# Private characters that stand for a literal * and ? while patterns are compared.
HIDDEN = str.maketrans({"*": "\ue000", "?": "\ue001"})
SHOWN = str.maketrans({"\ue000": "*", "\ue001": "?"})


def expand(text: str, facts: Mapping[str, list[str]]) -> str | None:
    """Replaces ${key} and ${key, 'default'} by the request's value. None if a variable has neither, which matches nothing."""
    missing = False

    def value(found: re.Match[str]) -> str:
        nonlocal missing
        key, _, default = found[1].partition(",")
        if key in ("*", "?", "$"):
            return key.translate(HIDDEN)
        values = facts.get(key.strip().lower(), [])
        default = default.strip().strip("'")
        missing = missing or not (len(values) == 1 or default)
        return (values[0] if len(values) == 1 else default).translate(HIDDEN)

    expanded = VARIABLE.sub(value, text)
    return None if missing else expanded


@functools.lru_cache(maxsize=4096)
def _regex(pattern: str) -> re.Pattern[str]:
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c.translate(SHOWN)) for c in pattern)
    return re.compile("".join(parts), re.DOTALL)


def equal(value: str, pattern: str) -> bool:
    return value == pattern.translate(SHOWN)


def like(value: str, pattern: str) -> bool:
    return _regex(pattern).fullmatch(value) is not None


def arn_like(value: str, pattern: str) -> bool:
    """Compares the six parts of an ARN one by one, so that a wildcard never reaches into the next part."""
    values, wanted = value.split(":", 5), pattern.split(":", 5)
    return len(values) == len(wanted) == 6 and all(map(like, values, wanted))


def resource(value: str, pattern: str) -> bool:
    """Whether an element of `Resource` covers a resource. `*` as the resource stands for actions that support no ARN."""
    return pattern == "*" or arn_like(value, pattern)
