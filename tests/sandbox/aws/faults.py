"""Injected errors, delays and settling times, by rule.

The keys of a rule:
- service, action, region, access_key: shell patterns, default `*`. Services are named by their signing names:
  `elasticloadbalancing` for load balancers, `monitoring` for CloudWatch. The service `dns` is the public resolver, which
  only rules with exactly this service hit, and only with a delay.
- changes: with true, only calls that change something.
- skip: number of matching calls to let pass first. count: number of calls to hit then (default 1; null for all, which is
  the default of a rule with `settle`).
- delay: seconds before the answer.
- status, code, message: the error to return instead of the service's answer. With `after: true` the service still acts and
  only its answer is replaced. `code: "own"` is the code with which the service reports its own failures, such as
  InternalServiceError; an empty code leaves it out of the body and the headers.
- body: the body of that error. `service` (the default) has the service's format, `empty` has no bytes, and `html` is the
  page of a proxy in between. The last two have no code. `closed` needs no status: the connection closes without an answer,
  as when a NAT gateway drops it; a client that waits for its time-out ends in the same way, only later.
- leak: what AWS leaves behind or adds by itself, see LEAKS.
- stale: how many more times each of the caller's earlier reads of the service is answered as before the change that the
  rule hits, see `stale`. Such a rule hits changes only.
- settle: seconds for which the resource that the call creates, changes or deletes stays in its transitional state.

How `front` processes a call:
1. `on` counts the call in every matching rule and returns the rules that hit it.
2. `set_settling` stores their longest settling time, and their leaks, for this thread.
3. The longest delay passes; then the first rule that `fails`, if any, decides the error.

Invariants: a call is counted once per rule, under the lock, so concurrent calls never hit a rule more than `count` times;
rules are added all or none; settling time and leaks are context variables, so they never reach another request's thread.
"""

from __future__ import annotations

import contextvars
import fnmatch
import threading
from dataclasses import asdict, dataclass, fields
from typing import Any

from . import errors, stale
from .call import Call

# Not a service of AWS: a rule for calls of any service must neither hit nor count the resolver's questions.
DNS = "dns"

# What a rule with `leak` does, and the call on which it does so unless the rule names another.
# - network-interface: an interface of the VPC CNI outlives the node group's instances, as `available`.
# - log-group: EKS recreates the cluster's log group after its next deletion, because it still had logs to write.
# - guardduty: GuardDuty adds an endpoint and a security group to the cluster's VPC.
LEAKS = {
    "network-interface": ("eks", "DeleteNodegroup"),
    "log-group": ("eks", "DeleteCluster"),
    "guardduty": ("eks", "CreateNodegroup"),
}
# The body of a rule that closes the connection instead of answering.
CLOSED = "closed"
BODIES = ["service", *errors.FOREIGN, CLOSED]


@dataclass
class Rule:
    """A rule; its keys are explained above. `matched` counts the calls that fit its patterns."""

    service: str = "*"
    action: str = "*"
    region: str = "*"
    access_key: str = "*"
    changes: bool = False
    skip: int = 0
    count: int | None = 1
    delay: float = 0
    status: int | None = None
    code: str = "InternalFailure"
    message: str = "injected by the sandbox"
    body: str = "service"
    after: bool = False
    stale: int = 0
    settle: float = 0
    leak: str | None = None
    matched: int = 0

    @property
    def fails(self) -> bool:
        """Whether the rule replaces the service's answer."""
        return bool(self.status) or self.body == CLOSED

    def answer(self, service: str) -> tuple[int, list[tuple[str, str]], bytes]:
        """The error, as status, headers and body. Status 0 means that there is no answer."""
        if self.body == CLOSED:
            return 0, [], b""
        assert self.status
        if self.body != "service":
            return errors.foreign(self.status, self.body)
        code = errors.own_failure(service) if self.code == "own" else self.code
        return errors.Refusal(self.status, code, self.message).render(service)

    def sees(self, call: Call) -> bool:
        """Whether the call is one of the rule's service, region and caller."""
        return (
            (self.service == DNS) == (call.service == DNS)
            and fnmatch.fnmatchcase(call.service, self.service)
            and fnmatch.fnmatchcase(call.region, self.region)
            and fnmatch.fnmatchcase(call.access_key, self.access_key)
        )

    def hit(self, call: Call) -> bool:
        if not self.sees(call) or not fnmatch.fnmatchcase(call.action, self.action):
            return False
        if self.changes and not call.changes:
            return False
        self.matched += 1
        return self.matched > self.skip and (self.count is None or self.matched <= self.skip + self.count)


_rules: list[Rule] = []
_lock = threading.Lock()
_settle: contextvars.ContextVar[float] = contextvars.ContextVar("settle", default=0.0)
_leaks: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar("leaks", default=frozenset())


def add(rules: list[dict[str, Any]]) -> None:
    """Adds rules. An unknown key or a rule without an effect is a ValueError, and then none is added."""
    known = {field.name for field in fields(Rule)} - {"matched"}
    for rule in rules:
        unknown = set(rule) - known
        if unknown:
            raise ValueError(f"unknown keys {sorted(unknown)} in a fault rule; known keys: {sorted(known)}")
        if not any(rule.get(effect) for effect in ("delay", "status", "stale", "settle", "leak")) and rule.get("body") != CLOSED:
            raise ValueError("a fault rule needs `delay`, `status`, `stale`, `settle`, `leak` or `body: closed`")
        if rule.get("service") == DNS and set(rule) - {"service", "skip", "count", "delay"}:
            raise ValueError("a fault rule for the service `dns` has only `skip`, `count` and `delay`")
        if rule.get("leak") and rule["leak"] not in LEAKS:
            raise ValueError(f"unknown leak `{rule['leak']}`; known leaks: {sorted(LEAKS)}")
        if rule.get("body", "service") not in BODIES:
            raise ValueError(f"unknown body `{rule['body']}`; known bodies: {BODIES}")
    with _lock:
        _rules.extend(Rule(**{**_defaults(rule), **_place(rule), **rule}) for rule in rules)


def _defaults(rule: dict[str, Any]) -> dict[str, Any]:
    """The defaults that depend on what the rule does."""
    # A settling time describes the environment (clusters are slow), so it hits every call unless `count` says otherwise.
    return {"count": None if rule.get("settle") else 1, "changes": bool(rule.get("stale"))}


def _place(rule: dict[str, Any]) -> dict[str, str]:
    """The call that a leak belongs to."""
    return dict(zip(("service", "action"), LEAKS[rule["leak"]])) if rule.get("leak") else {}


def clear(access_key: str = "") -> None:
    """Removes the rules that name this access key, or all, and lets its reads see every change."""
    with _lock:
        _rules[:] = [rule for rule in _rules if access_key and rule.access_key != access_key]
    stale.clear(access_key)


def listed() -> list[dict[str, Any]]:
    with _lock:
        return [asdict(rule) for rule in _rules]


def on(call: Call) -> list[Rule]:
    """The rules that hit this call. Counts the call in every rule that it matches."""
    with _lock:
        return [rule for rule in _rules if rule.hit(call)]


def may_get_stale(call: Call) -> bool:
    """Whether a rule may let a later read of this kind be answered like this one."""
    with _lock:
        return any(rule.stale and rule.sees(call) for rule in _rules)


def delay_of_dns() -> float:
    """The seconds by which the resolver delays its next answer. Counts a question in every rule for it."""
    return max((rule.delay for rule in on(Call(DNS, "", "", ""))), default=0)


def set_settling(rules: list[Rule]) -> None:
    """Sets the settling time of the call that this thread serves, the longest of the given rules', and its leaks."""
    _settle.set(max((rule.settle for rule in rules), default=0.0))
    _leaks.set(frozenset(rule.leak for rule in rules if rule.leak))


def settling() -> float:
    """The settling time of the current call in seconds."""
    return _settle.get()


def leaks(kind: str) -> bool:
    """Whether the current call leaks a resource of this kind."""
    return kind in _leaks.get()
