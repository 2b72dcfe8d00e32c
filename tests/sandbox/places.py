"""Where everything of the sandbox is: addresses, ports, folders, regions."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

ACCOUNT = "123456789012"
PROJECT = "payment-latency-api"
HOSTED_ZONE = "payments.example"

# With which address the world sees who deploys; of the network that terraform/regions admits.
OPERATOR = "198.51.100.7"

HOST = "10.89.0.1"
HOST_INTERFACE = "pd-host"
AWS_HTTP_PORT = 5000
AWS_TLS_PORT = 443
ADDON_REGISTRY_PORT = 5600
ECR_PORT = 5601
POSTGRES_PORT = 5432
GIT_PORT = 9418

CHECKOUT = Path(__file__).resolve().parents[2]
SANDBOX = Path(__file__).resolve().parent

# One sandbox a machine, whatever its state folder: this file names it. /run ends with the boot.
LOCK = Path("/run/paydeploy-sandbox.lock")


@dataclass(frozen=True)
class Region:
    """A region of the sandbox: our name for it, AWS's, and the number in its addresses."""

    name: str
    aws: str
    index: int

    @property
    def host(self) -> str:
        """Host side: the region's ECR registry and its PostgreSQL."""
        return f"10.89.{self.index}.1"

    @property
    def proxy(self) -> str:
        """Host side: the region's RDS Proxy."""
        return f"10.89.{self.index}.9"

    @property
    def kubernetes(self) -> str:
        return f"https://10.89.{self.index}.2:6443"

    @property
    def ecr(self) -> str:
        return f"{self.host}:{ECR_PORT}"


REGIONS = (Region("spain", "eu-south-2", 1), Region("mexico", "us-east-1", 2))


def region_of(aws_region: str) -> Region | None:
    return next((region for region in REGIONS if region.aws == aws_region), None)


def rds_suffix(aws_region: str) -> str:
    """The account's part of a region's RDS host names, `c` and twelve characters.

    RDS picks it once for an account and region; a wildcard certificate needs it before the first database.
    """
    return "c" + hashlib.sha256(f"{ACCOUNT}/{aws_region}".encode()).hexdigest()[:12]


def tools() -> Path:
    named = os.environ.get("PAYDEPLOY_TOOLS")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(named) if named else Path(cache) / "paydeploy" / "tools"


def state() -> Path:
    return Path(os.environ.get("PAYDEPLOY_SANDBOX") or "/var/tmp/paydeploy-sandbox")
