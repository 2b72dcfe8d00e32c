"""Faults of what is neither AWS's API nor Kubernetes: registries, Git, databases and DNS."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import faults_aws
from fault import REGIONS, Failure, Fault, sandbox

# How images and charts are uploaded and downloaded. A blob is one request, so an error in its middle is one after some bytes.
UPLOAD = {"method": "PATCH", "path": "*/blobs/uploads/*"}
DOWNLOAD = {"method": "GET", "path": "*/blobs/sha256:*"}
# Bytes of a blob that pass before an error. Most layers of the sandbox's images are larger, and a smaller one fails at its
# end.
LARGEST = 2_000_000


def choose(rng: random.Random, length: float) -> Fault:
    return rng.choice([away, registry, registry, slow_dns])(rng, length)


def away(rng: random.Random, length: float) -> Fault:
    """A part is not there, as if its machine were powered off."""
    region = rng.choice(sorted(REGIONS))
    part = rng.choice(["git", "addon-registry", f"ecr-{region}", f"postgres-{region}"])

    def start() -> bool:
        sandbox("stop", part)
        return True

    return Fault(f"{part} is away", start, lambda: sandbox("start", part), rng.uniform(0, length))


def registry(rng: random.Random, length: float) -> Fault:
    """A registry answers 401, 429 or 500, or resets the connection: some requests, or in the middle of a blob."""
    part = rng.choice(["addon-registry", *(f"ecr-{region}" for region in sorted(REGIONS))])
    rule: dict[str, Any] = dict(rng.choice([DOWNLOAD, {}, UPLOAD if part.startswith("ecr-") else DOWNLOAD]))
    rule["status"] = rng.choice([401, 429, 500, None])
    if rule.get("method") and rng.random() < 0.7:
        rule["bytes"] = rng.randint(1, LARGEST)
    rule |= {"skip": rng.randint(0, 5), "count": rng.choice([1, 3, None])}
    # A run pushes and pulls within a few seconds, which a fault from a later moment would often miss.
    return broken(part, rule, rng.choice([0, rng.uniform(0, length)]))


def broken(part: str, rule: dict[str, Any], seconds: float, exists: Callable[[], bool] = lambda: True) -> Fault:
    """Some requests to a registry or an API server fail, see tests/sandbox/proxy.py."""
    keys = {key: value for key, value in rule.items() if value is not None or key == "count"}

    def start() -> bool:
        if not exists():
            return False
        try:
            sandbox("break", part, json.dumps(keys))
        except Failure:
            # A cluster may be deleted meanwhile. Any other failure is one of the sandbox.
            if exists():
                raise
            return False
        return True

    return Fault(f"{part} fails {keys}", start, lambda: sandbox("repair", part), seconds)


def slow_dns(rng: random.Random, _length: float) -> Fault:
    """The public resolver answers late; after eight seconds its clients have asked again."""
    return faults_aws.rule({"service": "dns", "delay": rng.choice([1, 3, 8]), "count": rng.choice([1, None])})
