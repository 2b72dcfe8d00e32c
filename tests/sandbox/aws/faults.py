"""Faults, delays and settling times, by rule.

A rule: {"service", "action", "region": shell patterns, default "*"; "skip": calls to let pass first; "count": calls to
hit then (default 1, null for all); "delay": seconds before the answer; "status", "code", "message": the answer instead of the
service's; "after": true to let the service act first and only lose its answer; "settle": seconds that what the call
starts stays under way}.
Services go by their signing names: `elasticloadbalancing` for load balancers, `monitoring` for CloudWatch.
"""

from __future__ import annotations

import contextvars
import fnmatch
import threading
from dataclasses import asdict, dataclass, fields
from typing import Any

from .call import Call


@dataclass
class Rule:
    """See the module."""

    service: str = "*"
    action: str = "*"
    region: str = "*"
    skip: int = 0
    count: int | None = 1
    delay: float = 0
    status: int | None = None
    code: str = "InternalFailure"
    message: str = "injected by the sandbox"
    after: bool = False
    settle: float = 0
    matched: int = 0

    def hit(self, call: Call) -> bool:
        if not (
            fnmatch.fnmatchcase(call.service, self.service)
            and fnmatch.fnmatchcase(call.action, self.action)
            and fnmatch.fnmatchcase(call.region, self.region)
        ):
            return False
        self.matched += 1
        return self.matched > self.skip and (self.count is None or self.matched <= self.skip + self.count)


_rules: list[Rule] = []
_lock = threading.Lock()
_settle: contextvars.ContextVar[float] = contextvars.ContextVar("settle", default=0.0)


def add(rules: list[dict[str, Any]]) -> None:
    """Adds rules; a key that no rule has is an error, before any of them counts."""
    known = {field.name for field in fields(Rule)} - {"matched"}
    for rule in rules:
        unknown = set(rule) - known
        if unknown:
            raise ValueError(f"unknown key {sorted(unknown)} in a fault rule; known: {sorted(known)}")
        if not any(rule.get(effect) for effect in ("delay", "status", "settle")):
            raise ValueError("a fault rule needs `delay`, `status` or `settle`")
    with _lock:
        # A settling time lasts: one cluster more is slow as well.
        _rules.extend(Rule(**{"count": None if rule.get("settle") else 1, **rule}) for rule in rules)


def clear() -> None:
    with _lock:
        _rules.clear()


def listed() -> list[dict[str, Any]]:
    with _lock:
        return [asdict(rule) for rule in _rules]


def on(call: Call) -> list[Rule]:
    """The rules that hit this call, each counted."""
    with _lock:
        return [rule for rule in _rules if rule.hit(call)]


def begin(rules: list[Rule]) -> None:
    """Makes the hit rules' settling time that of the call that this thread serves."""
    _settle.set(max((rule.settle for rule in rules), default=0.0))


def settling() -> float:
    """Seconds that what the current call starts has to stay under way."""
    return _settle.get()
