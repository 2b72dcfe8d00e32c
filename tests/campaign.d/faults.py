"""What goes wrong around a run that is killed: errors of the AWS API, and parts of the world that stop or restart.

A fault begins at some moment of the run and ends with it: the run that has to converge meets none.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from account import page

SANDBOX = Path(__file__).parent.parent / "sandbox" / "sandbox"
CLUSTERS = {"spain": "10.89.1.2", "mexico": "10.89.2.2"}

# Service, action: what `up` and `down` call themselves or through Terraform and the clusters' controllers.
ACTIONS = [
    ("*", "*"),
    ("s3", "PutObject"),
    ("s3", "GetObject"),
    ("s3", "DeleteObject"),
    ("ec2", "CreateVpc"),
    ("ec2", "AllocateAddress"),
    ("ec2", "CreateSubnet"),
    ("ec2", "DeleteSecurityGroup"),
    ("eks", "CreateCluster"),
    ("eks", "CreateNodegroup"),
    ("eks", "CreateAccessEntry"),
    ("eks", "DescribeCluster"),
    ("rds", "CreateDBInstance"),
    ("rds", "CreateDBProxy"),
    ("secretsmanager", "PutSecretValue"),
    ("secretsmanager", "CreateSecret"),
    ("kms", "CreateKey"),
    ("iam", "CreateRole"),
    ("ecr", "GetAuthorizationToken"),
    ("route53", "ChangeResourceRecordSets"),
    ("elasticloadbalancing", "CreateLoadBalancer"),
    ("elasticloadbalancing", "DescribeLoadBalancers"),
]
ANSWERS = [
    {"status": 400, "code": "ThrottlingException", "message": "Rate exceeded"},
    {"status": 500, "code": "InternalFailure", "message": "fault"},
    {"status": 503, "code": "ServiceUnavailable", "message": "fault"},
    # It acted, and the answer was lost.
    {"status": 500, "code": "InternalFailure", "message": "fault", "after": True},
    {"status": 403, "code": "AccessDenied", "message": "fault"},
    {"status": 403, "code": "ExpiredToken", "message": "fault"},
    {"status": 503, "code": "", "body": "html"},
    {"delay": 5},
]


class Fault:
    """One thing that goes wrong, from `seconds` after the start of a run."""

    def __init__(self, name: str, begin: Callable[[], Any], end: Callable[[], Any], seconds: float):
        self.name = name
        self.seconds = seconds
        self.began = False
        self._begin, self._end = begin, end

    def at(self, seconds: float) -> None:
        """Called again and again while the run lives."""
        if not self.began and seconds >= self.seconds:
            self.began = True
            self._begin()

    def end(self) -> None:
        if self.began:
            self._end()

    def __str__(self) -> str:
        return f"{self.name} from {self.seconds:.0f} s{'' if self.began else ' (not reached)'}"


def choose(rng: random.Random, length: float) -> Fault:
    """A fault for a run that takes `length` seconds if nothing happens."""
    if rng.random() < 0.5:
        service, action = rng.choice(ACTIONS)
        rule = {"service": service, "action": action, "skip": rng.randint(0, 5), "count": rng.randint(1, 3), **rng.choice(ANSWERS)}
        return Fault(str(rule), lambda: page("faults", "POST", rule), lambda: page("faults", "DELETE"), 0)
    region = rng.choice(sorted(CLUSTERS))
    part = rng.choice(["git", "addon-registry", f"ecr-{region}", f"postgres-{region}"])
    namespace, deployment = rng.choice([
        ("external-secrets", "external-secrets-webhook"),
        ("kube-system", "coredns"),
        ("argocd", "argocd-repo-server"),
    ])
    name, begin, end = rng.choice([
        (f"{part} is away", lambda: _sandbox("stop", part), lambda: _sandbox("start", part)),
        (f"the API server of {region} hangs", lambda: _signal(region, signal.SIGSTOP), lambda: _signal(region, signal.SIGCONT)),
        (
            f"{deployment} of {region} is away",
            lambda: _scale(region, namespace, deployment, 0),
            lambda: _scale(region, namespace, deployment, 1),
        ),
        (f"Argo CD of {region} restarts", lambda: _kubectl(region, "delete", "pods", "-n", "argocd", "--all", "--wait=false"), lambda: None),
    ])
    return Fault(name, begin, end, rng.uniform(0, length))


def _sandbox(*words: str) -> None:
    subprocess.run([SANDBOX, *words], check=True, capture_output=True)


def _kubectl(region: str, *words: str) -> None:
    # Before the cluster or what is named exists, and after it was deleted, nothing can go wrong with it.
    subprocess.run([SANDBOX, "kubectl", region, "--request-timeout=10s", *words], check=False, capture_output=True)


def _scale(region: str, namespace: str, deployment: str, replicas: int) -> None:
    _kubectl(region, "scale", "deployment", deployment, "-n", namespace, f"--replicas={replicas}")


def _signal(region: str, number: signal.Signals) -> None:
    for place in Path("/proc").iterdir():
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"kube-apiserver") and f"--bind-address={CLUSTERS[region]}".encode() in words:
                os.kill(int(place.name), number)
        except OSError:
            # Not a process, or one that has just ended.
            continue
