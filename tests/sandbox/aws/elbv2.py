"""Elastic Load Balancing: a provisioning state (as long as a fault rule says), health of targets, refusals.

A target is `unused` until a listener of a load balancer forwards to its group, and `initial` until its first health check
(`health`). After its deregistration it is `draining` for the deregistration delay, of which the sandbox waits at most DRAIN.
"""

from __future__ import annotations

import time
from typing import Any

from moto.elbv2 import models, urls
from moto.elbv2.exceptions import DuplicateLoadBalancerName, ELBClientError
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeLoadBalancer, FakeTargetGroup, elbv2_backends

from . import background, health, wiring
from .settings import current

# Seconds. AWS waits up to an hour, by default five minutes.
DRAIN = 5.0


class LoadBalancer(FakeLoadBalancer):
    """Becomes active after the settling time. moto's becomes active when it is described."""

    def activate(self) -> None:
        pass


class TargetGroup(FakeTargetGroup):
    """Targets with states. moto's are healthy as soon as they are registered."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # By address: the state of each registered target, and when each deregistered one is drained.
        self.states: dict[str, health.State] = {}
        self.draining: dict[str, tuple[Any, float]] = {}

    def register(self, targets: list[dict[str, Any]]) -> None:
        super().register(targets)
        for target in targets:
            self.draining.pop(target["Id"], None)
            self.states.setdefault(target["Id"], health.State())
        if current.region_with("clusters", self.region_name):
            health.watch()
        else:
            # Nothing listens at the addresses: the settling time stands for the checks.
            states = [self.states[target["Id"]] for target in targets]
            background.start(None, lambda _failure: [state.passed() for state in states])

    def deregister(self, targets: list[dict[str, Any]]) -> None:
        super().deregister(targets)
        delay = min(float(self.attributes["deregistration_delay.timeout_seconds"]), DRAIN)
        in_use = health.balancers_of(self)
        for target in targets:
            self.states.pop(target["Id"], None)
            # A group that no load balancer uses has no connections to drain.
            if in_use:
                self.draining[target["Id"]] = (self.deregistered_targets[target["Id"]], time.monotonic() + delay)

    def drained(self) -> list[dict[str, Any]]:
        """Forgets the targets that are drained, and returns those that still are being drained."""
        for address, (_, ends_at) in list(self.draining.items()):
            if time.monotonic() >= ends_at:
                self.draining.pop(address, None)
        return [target for target, _ in self.draining.values()]

    def health_for(self, target: dict[str, Any], ec2_backend: Any) -> FakeHealthStatus:
        address = target["Id"]
        self.drained()
        if address in self.draining:
            held = self.draining[address][0]
            state = "draining", "Target.DeregistrationInProgress", "Target deregistration is in progress"
            return FakeHealthStatus(address, held["Port"], self.health_check_port, *state)
        if address not in self.targets:
            return super().health_for(target, ec2_backend)
        if not health.balancers_of(self):
            text = "Target group is not configured to receive traffic from the load balancer"
            state = "unused", "Target.NotInUse", text
        else:
            state = self.states[address].shown()
        return FakeHealthStatus(address, self.targets[address]["Port"], self.health_check_port, *state)


class Backend(ELBv2Backend):
    """moto's backend, with ELB's refusals."""

    def create_load_balancer(self, name: str, *args: Any, **kwargs: Any) -> FakeLoadBalancer:
        if any(balancer.name == name for balancer in self.load_balancers.values()):
            raise DuplicateLoadBalancerName()
        balancer = super().create_load_balancer(name, *args, **kwargs)
        balancer.scheme = balancer.scheme or "internet-facing"
        background.start(None, lambda _failure: setattr(balancer, "state", "active"))
        return balancer

    def delete_load_balancer(self, arn: str) -> None:
        balancer = self.load_balancers.get(arn)
        if balancer and balancer.attrs.get("deletion_protection.enabled") == "true":
            raise ELBClientError(
                "OperationNotPermitted",
                f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled",
            )
        super().delete_load_balancer(arn)

    def describe_target_health(self, target_group_arn: str, targets: list[dict[str, Any]]) -> list[FakeHealthStatus]:
        group = self.target_groups.get(target_group_arn)
        if group is not None and not targets:
            targets = [*group.targets.values(), *group.drained()]
        return super().describe_target_health(target_group_arn, targets)


def install() -> None:
    models.FakeLoadBalancer = LoadBalancer  # type: ignore[misc]
    models.FakeTargetGroup = TargetGroup  # type: ignore[misc]
    wiring.use_backend(elbv2_backends, Backend, urls)
