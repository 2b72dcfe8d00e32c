"""Health checks of targets, by real requests to the pods.

One thread checks every target of every group, twice a second whatever the group's interval is, because a test should not
wait for it. As on AWS, one success makes a new target healthy. After that a target changes its state only after as many
equal results as the group's thresholds say. A connection that no security group allows times out, although the sandbox's
network would carry it.
"""

from __future__ import annotations

import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends

import places

from . import nodes, reach

INTERVAL = 0.5
# Seconds for one answer. The pods are on this machine.
TIMEOUT = 2.0

Result = tuple[str, str] | None
Probe = Callable[[Any, dict[str, Any]], Result]

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_thread: threading.Thread | None = None
_lock = threading.Lock()


@dataclass
class State:
    """A target's health. `failure` is why the last check failed; `streak` counts equal results in a row."""

    name: str = "initial"
    failure: Result = None
    streak: int = 0

    def passed(self, threshold: int = 1) -> None:
        self.streak = self.streak + 1 if self.failure is None else 1
        self.failure = None
        if self.name == "initial" or self.streak >= threshold:
            self.name = "healthy"

    def failed(self, why: tuple[str, str], threshold: int) -> None:
        self.streak = self.streak + 1 if self.failure else 1
        self.failure = why
        if self.streak >= threshold:
            self.name = "unhealthy"

    def shown(self) -> tuple[str, str | None, str | None]:
        """State, reason and description, as DescribeTargetHealth returns them."""
        if self.name == "initial":
            return "initial", "Elb.RegistrationInProgress", "Target registration is in progress"
        if self.name == "unhealthy" and self.failure:
            return "unhealthy", *self.failure
        return self.name, None, None


def balancers_of(group: Any) -> list[Any]:
    """The load balancers with a listener that forwards to a target group."""
    backend = elbv2_backends[group.account_id][group.region_name]
    found = []
    for balancer in list(backend.load_balancers.values()):
        rules = [rule for listener in list(balancer.listeners.values()) for rule in list(listener.rules.values())]
        actions = [action for rule in rules for action in rule.actions]
        if any(group.arn in backend._get_target_group_arns_from(action_data=action.data) for action in actions):
            found.append(balancer)
    return found


def check(group: Any, probe: Probe | None = None) -> None:
    """Checks every target of a group once."""
    balancers = [one for one in balancers_of(group) if one.state == "active"]
    if not balancers:
        return
    for address, target in list(group.targets.items()):
        state = group.states.get(address)
        if state is None:
            continue
        why = _blocked(group, balancers, target) or (probe or request)(group, target)
        if why is None:
            state.passed(int(group.healthy_threshold_count))
        else:
            state.failed(why, int(group.unhealthy_threshold_count))


def _port(group: Any, target: dict[str, Any]) -> int:
    return int(target["Port"] if group.health_check_port in (None, "traffic-port") else group.health_check_port)


def _blocked(group: Any, balancers: list[Any], target: dict[str, Any]) -> Result:
    """Why the load balancers cannot connect to a node's pod: their security groups or those of its interface."""
    interface = nodes.interface_with(group.account_id, group.region_name, target["Id"])
    if interface is None:
        return None
    ec2 = ec2_backends[group.account_id][group.region_name]
    for balancer in balancers:
        clients = filter(None, (ec2.get_security_group_from_id(one) for one in balancer.security_groups))
        if not reach.between(clients, interface.group_set, target["Id"], _port(group, target)):
            return "Target.Timeout", "Request timed out"
    return None


def request(group: Any, target: dict[str, Any]) -> Result:
    """Sends one health check to a pod."""
    url = f"http://{target['Id']}:{_port(group, target)}{group.health_check_path or '/'}"
    try:
        with _opener.open(url, timeout=TIMEOUT) as response:
            status = response.status
    except urllib.error.HTTPError as error:
        status = error.code
    except TimeoutError:
        return "Target.Timeout", "Request timed out"
    except OSError:
        return "Target.FailedHealthChecks", "Health checks failed"
    if _matches(str(group.matcher.get("HttpCode") or "200"), status):
        return None
    return "Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{status}]"


def _matches(codes: str, status: int) -> bool:
    """Whether a status is in a list such as `200,301-303`."""
    for part in codes.split(","):
        first, _, last = part.partition("-")
        if int(first) <= status <= int(last or first):
            return True
    return False


def watch() -> None:
    """Starts the thread that checks all targets, unless it runs."""
    global _thread
    with _lock:
        if _thread is None:
            _thread = threading.Thread(target=_run, daemon=True)
            _thread.start()


def _run() -> None:
    while True:
        for region in places.REGIONS:
            for group in list(elbv2_backends[places.ACCOUNT][region.aws].target_groups.values()):
                try:
                    check(group)
                except Exception as error:
                    # A resource that another thread deletes meanwhile must not end all checks.
                    sys.stderr.write(f"health check of {group.name}: {type(error).__name__}: {error}\n")
        time.sleep(INTERVAL)
