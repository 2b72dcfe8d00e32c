"""Injected errors, delays and settling times, by rule.

The keys of a rule:
- service, action, region: shell patterns, default `*`. Services are named by their signing names: `elasticloadbalancing`
  for load balancers, `monitoring` for CloudWatch.
- skip: number of matching calls to let pass first. count: number of calls to hit then (default 1; null for all, which is
  the default of a rule with `settle`).
- delay: seconds before the answer.
- status, code, message: the error to return instead of the service's answer. With `after: true` the service still acts and
  only its answer is replaced.
- settle: seconds for which the resource that the call creates, changes or deletes stays in its transitional state.

How `front` processes a call:
1. `on` counts the call in every matching rule and returns the rules that hit it.
2. `set_settling` stores their longest settling time for this thread.
3. The longest delay passes; then the first rule with a status, if any, decides the error.

Invariants: a call is counted once per rule, under the lock, so concurrent calls never hit a rule more than `count` times;
rules are added all or none; the settling time is a context variable, so it never leaks into another request's thread.
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
    """A rule; its keys are explained above. `matched` counts the calls that fit its patterns."""

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
    """Adds rules. An unknown key or a rule without an effect is a ValueError, and then none is added."""
    known = {field.name for field in fields(Rule)} - {"matched"}
    for rule in rules:
        unknown = set(rule) - known
        if unknown:
            raise ValueError(f"unknown keys {sorted(unknown)} in a fault rule; known keys: {sorted(known)}")
        if not any(rule.get(effect) for effect in ("delay", "status", "settle")):
            raise ValueError("a fault rule needs `delay`, `status` or `settle`")
    with _lock:
        # A settling time describes the environment (clusters are slow), so it hits every call unless `count` says otherwise.
        _rules.extend(Rule(**{"count": None if rule.get("settle") else 1, **rule}) for rule in rules)


def clear() -> None:
    with _lock:
        _rules.clear()


def listed() -> list[dict[str, Any]]:
    with _lock:
        return [asdict(rule) for rule in _rules]


def on(call: Call) -> list[Rule]:
    """The rules that hit this call. Counts the call in every rule that it matches."""
    with _lock:
        return [rule for rule in _rules if rule.hit(call)]


def set_settling(rules: list[Rule]) -> None:
    """Sets the settling time of the call that this thread serves: the longest of the given rules'."""
    _settle.set(max((rule.settle for rule in rules), default=0.0))


def settling() -> float:
    """The settling time of the current call in seconds."""
    return _settle.get()
