"""Faults of Kubernetes: the API server hangs; workloads, also those that webhooks call, are away or restart."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from fault import REGIONS, Failure, Fault, has_cluster, sandbox

# Seconds for which the end of a fault retries while the API server is too busy to answer.
PATIENCE = 120

WORKLOADS = [
    ("external-secrets", "external-secrets-webhook"),
    ("kube-system", "coredns"),
    ("argocd", "argocd-repo-server"),
]


def choose(rng: random.Random, length: float) -> Fault:
    return rng.choice([hang, away, restart])(rng, rng.choice(sorted(REGIONS)), rng.uniform(0, length))


def hang(_rng: random.Random, region: str, seconds: float) -> Fault:
    def begin() -> bool:
        return has_cluster(region) and _signal(region, signal.SIGSTOP)

    return Fault(f"the API server of {region} hangs", begin, lambda: _resume(region), seconds)


def away(rng: random.Random, region: str, seconds: float) -> Fault:
    """A workload has no pod: one that admits objects as a webhook, the cluster's DNS, or the reader of Argo CD's repositories."""
    namespace, deployment = rng.choice(WORKLOADS)
    named = ("deployment", deployment, "--namespace", namespace)
    replicas = ""

    def begin() -> bool:
        nonlocal replicas
        # Kept from the first attempt: a later one would read the 0 of an attempt that succeeded and timed out.
        replicas = replicas or _kubectl(region, "get", *named, "--output=jsonpath={.spec.replicas}") or ""
        return bool(replicas) and _kubectl(region, "scale", *named, "--replicas=0") is not None

    def ended() -> bool:
        is_gone = _kubectl(region, "get", *named, "--ignore-not-found") == ""
        return is_gone or _kubectl(region, "scale", *named, f"--replicas={replicas}") is not None

    return Fault(f"{deployment} of {region} is away", begin, lambda: _until_done(region, ended) if replicas else None, seconds)


def restart(_rng: random.Random, region: str, seconds: float) -> Fault:
    def begin() -> bool:
        # kubectl also succeeds if there is no pod.
        return " deleted" in (_kubectl(region, "delete", "pods", "--namespace=argocd", "--all", "--wait=false") or "")

    return Fault(f"Argo CD of {region} restarts", begin, lambda: None, seconds)


def _until_done(region: str, done: Callable[[], bool]) -> None:
    """Repeats what ends a fault until it succeeds, or until the cluster is deleted and the fault with it."""
    deadline = time.monotonic() + PATIENCE
    while has_cluster(region) and not done():
        if time.monotonic() > deadline:
            raise Failure(f"a fault of {region}'s cluster cannot be ended, so the next run would meet it")
        time.sleep(1)


def _kubectl(region: str, *words: str) -> str | None:
    """The output, or None if it fails, because the cluster or what is named does not exist or does not answer."""
    try:
        return sandbox("kubectl", region, "--request-timeout=10s", *words) if has_cluster(region) else None
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
