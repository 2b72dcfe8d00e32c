"""Faults of what is neither AWS's API nor Kubernetes: registries, Git and databases."""

from __future__ import annotations

import random

from fault import REGIONS, Fault, sandbox


def away(rng: random.Random, length: float) -> Fault:
    """A part is not there, as if its machine were powered off."""
    region = rng.choice(sorted(REGIONS))
    part = rng.choice(["git", "addon-registry", f"ecr-{region}", f"postgres-{region}"])

    def begin() -> bool:
        sandbox("stop", part)
        return True

    return Fault(f"{part} is away", begin, lambda: sandbox("start", part), rng.uniform(0, length))
