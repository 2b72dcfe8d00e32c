"""The settling times injected in both regions. Run as a program, it prints the sandbox's fault rules."""

from __future__ import annotations

import json

DELAYS = {
    "foundation": ("ec2", "CreateNatGateway", 15),
    "cluster": ("eks", "CreateCluster", 60),
    "database": ("rds", "CreateDBInstance", 90),
}
"""Service, action and seconds, by the Terraform stack that waits for it."""


def of(step: str) -> int:
    """Seconds injected into a step."""
    phase, *_, part = step.split("/")
    return DELAYS[part][2] if phase == "terraform" and part in DELAYS else 0


if __name__ == "__main__":
    print(
        json.dumps(
            [{"service": service, "action": action, "settle": settle} for service, action, settle in DELAYS.values()]
        )
    )
