"""The sandbox's layout: account, addresses, ports, folders and regions. Nothing here acts."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

ACCOUNT = "123456789012"
PROJECT = "payment-latency-api"
HOSTED_ZONE = "payments.example"

# The operator's public IP address as seen by AWS. It is in the network that terraform/regions/*.tfvars admits.
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

# There is one sandbox per machine, whatever its state folder is; this file names the folder. It is in /run because
# everything that it guards (processes, interfaces, mounts) ends with the boot as well.
LOCK = Path("/run/paydeploy-sandbox.lock")


@dataclass(frozen=True)
class Region:
    """A region of the sandbox: the name in paydeploy.toml, the AWS region, and the N in its addresses 10.89.N.x."""

    name: str
    aws: str
    index: int

    @property
    def host(self) -> str:
        """Address on the host: the region's ECR registry and PostgreSQL."""
        return f"10.89.{self.index}.1"

    @property
    def proxy(self) -> str:
        """Address on the host: the region's RDS Proxy."""
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
    """The account-specific label in a region's RDS host names: `c` and twelve characters.

    RDS chooses it once per account and region. It is a hash here, because the wildcard certificate needs it before the
    first database exists.
    """
    return "c" + hashlib.sha256(f"{ACCOUNT}/{aws_region}".encode()).hexdigest()[:12]


def tools() -> Path:
    named = os.environ.get("PAYDEPLOY_TOOLS")
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(named) if named else Path(cache) / "paydeploy" / "tools"


def state() -> Path:
    return Path(os.environ.get("PAYDEPLOY_SANDBOX") or "/var/tmp/paydeploy-sandbox")
