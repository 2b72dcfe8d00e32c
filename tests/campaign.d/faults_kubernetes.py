"""Faults of Kubernetes: the API server refuses, fails, resets or hangs; webhooks are down; workloads are away or restart."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faults_world
from fault import REGIONS, Failure, Fault, has_cluster, sandbox

# Tokens of EKS: those of the program and of its children. The sandbox's own requests carry others.
PROGRAM = "Bearer k8s-aws-v1.*"
# The program's user in the clusters. The controllers' own writes must not fail, and neither must those of the sandbox.
CONDITION = {"name": "the-program", "expression": "request.userInfo.username.endsWith(':user/deployer')"}
NAME = "campaign-fault"
EVERYTHING = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE", "DELETE"], "resources": ["*/*"]}
# Seconds for which the end of a fault retries while the API server is too busy to answer.
PATIENCE = 120

WORKLOADS = [
    ("external-secrets", "external-secrets-webhook"),
    ("kube-system", "coredns"),
    ("argocd", "argocd-repo-server"),
]


def choose(rng: random.Random, length: float) -> Fault:
    kinds = [answer, answer, reset, forbidden, webhook_missing, hang, away, restart]
    return rng.choice(kinds)(rng, rng.choice(sorted(REGIONS)), rng.uniform(0, length))


def answer(rng: random.Random, region: str, seconds: float) -> Fault:
    """403, 429 or 500 for reads and writes.

    The answers are a proxy's: the API server itself refuses nothing that an administrator reads, and its priority and
    fairness, which answers 429, exempts administrators.
    """
    return _broken(region, {"status": rng.choice([403, 429, 500]), **_requests(rng)}, seconds)


def reset(rng: random.Random, region: str, seconds: float) -> Fault:
    """Connections are reset: before the request reaches the API server, or in the middle of the request's body or, if it
    has none, the answer's. A request whose body is shorter has arrived in full, so the API server may act on it."""
    return _broken(region, {"bytes": rng.choice([None, 0, rng.randint(1, 2000)]), **_requests(rng)}, seconds)


def forbidden(_rng: random.Random, region: str, seconds: float) -> Fault:
    """A policy of the cluster denies every write of the program: a 403 of the API server itself."""
    return _applied(f"a policy of {region} denies writes", region, deny_writes(), seconds)


def webhook_missing(_rng: random.Random, region: str, seconds: float) -> Fault:
    """A webhook that must admit every write of the program does not exist: a 500 of the API server itself."""
    return _applied(f"a webhook of {region} is missing", region, call_missing_webhook(), seconds)


def hang(_rng: random.Random, region: str, seconds: float) -> Fault:
    def start() -> bool:
        return has_cluster(region) and _signal(region, signal.SIGSTOP)

    return Fault(f"the API server of {region} hangs", start, lambda: _resume(region), seconds)


def away(rng: random.Random, region: str, seconds: float) -> Fault:
    """A workload has no pod: one that admits objects as a webhook, the cluster's DNS, or the reader of Argo CD's repositories."""
    namespace, deployment = rng.choice(WORKLOADS)
    named = ("deployment", deployment, "--namespace", namespace)
    replicas = ""

    def start() -> bool:
        nonlocal replicas
        # Kept from the first attempt: a later one would read the 0 of an attempt that succeeded and timed out.
        replicas = replicas or _kubectl(region, "get", *named, "--output=jsonpath={.spec.replicas}") or ""
        return bool(replicas) and _kubectl(region, "scale", *named, "--replicas=0") is not None

    def ended() -> bool:
        is_gone = _kubectl(region, "get", *named, "--ignore-not-found") == ""
        return is_gone or _kubectl(region, "scale", *named, f"--replicas={replicas}") is not None

    return Fault(f"{deployment} of {region} is away", start, lambda: _until_done(region, ended) if replicas else None, seconds)


def restart(_rng: random.Random, region: str, seconds: float) -> Fault:
    def start() -> bool:
        # kubectl also succeeds if there is no pod.
        return " deleted" in (_kubectl(region, "delete", "pods", "--namespace=argocd", "--all", "--wait=false") or "")

    return Fault(f"Argo CD of {region} restarts", start, lambda: None, seconds)


def deny_writes() -> list[dict[str, Any]]:
    api = "admissionregistration.k8s.io/v1"
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [EVERYTHING]},
        "matchConditions": [CONDITION],
        "validations": [{"expression": "false", "message": "injected by the campaign", "reason": "Forbidden"}],
    }
    binding = {"policyName": NAME, "validationActions": ["Deny"]}
    return [
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": NAME}, "spec": policy},
        {"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": NAME}, "spec": binding},
    ]


def call_missing_webhook() -> list[dict[str, Any]]:
    webhook = {
        "name": f"{NAME}.payments.example",
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"namespace": "default", "name": "missing"}},
        "failurePolicy": "Fail",
        "matchConditions": [CONDITION],
        "rules": [EVERYTHING],
        "sideEffects": "None",
    }
    kind = "ValidatingWebhookConfiguration"
    return [{"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": NAME}, "webhooks": [webhook]}]


def _requests(rng: random.Random) -> dict[str, Any]:
    """Which requests of the program a rule of the proxy hits."""
    method = rng.choice(["*", "GET", "POST", "PATCH", "DELETE"])
    return {"authorization": PROGRAM, "method": method, "skip": rng.randint(0, 20), "count": rng.choice([1, 3, 10, None])}


def _broken(region: str, rule: dict[str, Any], seconds: float) -> Fault:
    return faults_world.broken(f"kubernetes-{region}", rule, seconds, lambda: has_cluster(region))


def _applied(name: str, region: str, documents: list[dict[str, Any]], seconds: float) -> Fault:
    """Objects in the cluster that refuse requests."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})

    def start() -> bool:
        return _kubectl(region, "apply", "--validate=false", "--filename=-", given=text) is not None

    def end() -> None:
        delete = ("delete", "--ignore-not-found", "--filename=-")
        _until_done(region, lambda: _kubectl(region, *delete, given=text) is not None)

    return Fault(name, start, end, seconds)


def _until_done(region: str, done: Callable[[], bool]) -> None:
    """Repeats what ends a fault until it succeeds, or until the cluster is deleted and the fault with it."""
    deadline = time.monotonic() + PATIENCE
    while has_cluster(region) and not done():
        if time.monotonic() > deadline:
            raise Failure(f"a fault of {region}'s cluster cannot be ended, so the next run would meet it")
        time.sleep(1)


def _kubectl(region: str, *words: str, given: str | None = None) -> str | None:
    """The output, or None if it fails, because the cluster or what is named does not exist or does not answer."""
    try:
        return sandbox("kubectl", region, "--request-timeout=10s", *words, given=given) if has_cluster(region) else None
    except Failure:
        return None


def _resume(region: str) -> None:
    _signal(region, signal.SIGCONT)


def _signal(region: str, number: signal.Signals) -> bool:
    """Whether there was an API server to signal."""
    found = False
    for place in Path("/proc").iterdir():
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"kube-apiserver") and f"--bind-address={REGIONS[region].address}".encode() in words:
                os.kill(int(place.name), number)
                found = True
        except OSError:
            # Not a process, or one that has just ended.
            continue
    return found
