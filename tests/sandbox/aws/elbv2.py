"""Elastic Load Balancing: a provisioning state (as long as a fault rule says), unique names, deletion protection."""

from __future__ import annotations

from typing import Any

from moto.elbv2 import models, urls
from moto.elbv2.exceptions import DuplicateLoadBalancerName, ELBClientError
from moto.elbv2.models import ELBv2Backend, FakeLoadBalancer, elbv2_backends

from . import background, wiring


class LoadBalancer(FakeLoadBalancer):
    """Becomes active after the settling time. moto's becomes active when it is described."""

    def activate(self) -> None:
        pass


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


def install() -> None:
    models.FakeLoadBalancer = LoadBalancer  # type: ignore[misc]
    wiring.use_backend(elbv2_backends, Backend, urls)
