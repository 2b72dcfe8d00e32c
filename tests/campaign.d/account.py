"""The simulated account as a campaign sees it, never through the program under test."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

PAGES = "http://10.89.0.1:5000/sandbox"
REGIONS = ("eu-south-2", "us-east-1")

# What changes between two equal deployments: pods come and go, and every `up` may rotate what AWS owns.
VOLATILE = {("ec2", "network-interface"), ("eks", "access-entry")}


def page(name: str, method: str = "GET", body: Any = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(f"{PAGES}/{name}", data=data, method=method), timeout=60) as answer:
        return json.load(answer)


def counted() -> Counter[str]:
    """How many resources of each kind exist in each region. A key that waits for its deletion is of no use any more."""
    kinds: Counter[str] = Counter()
    for resource in page("inventory"):
        if (resource["service"], resource["type"]) not in VOLATILE and resource.get("state") != "PendingDeletion":
            kinds[f"{resource['region']} {resource['service']} {resource['type']}"] += 1
    return kinds


def difference(expected: Counter[str], found: Counter[str]) -> list[str]:
    kinds = sorted(set(expected) | set(found))
    return [f"{kind}: {found[kind]} instead of {expected[kind]}" for kind in kinds if found[kind] != expected[kind]]


def _aws(region: str, *words: str) -> Any:
    command = ["aws", "--endpoint-url", "http://10.89.0.1:5000", "--region", region, "--output", "json", *words]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output) if output.strip() else {}


def secrets() -> list[bytes]:
    """The generated values of every secret in the account, and the key that the account is used with."""
    values = [os.environb[b"AWS_SECRET_ACCESS_KEY"]]
    for region in REGIONS:
        for secret in _aws(region, "secretsmanager", "list-secrets")["SecretList"]:
            described = _aws(region, "secretsmanager", "describe-secret", "--secret-id", secret["ARN"])
            # Terraform creates it without a value, and a run may be killed before it puts one.
            if not described.get("VersionIdsToStages"):
                continue
            text = _aws(region, "secretsmanager", "get-secret-value", "--secret-id", secret["ARN"]).get("SecretString", "{}")
            found = json.loads(text)
            values += [found[key].encode() for key in ("API_SECRET_KEY", "password") if found.get(key)]
    return values


def download_buckets(folder: Path) -> Path:
    """Everything in the state buckets: states, locks, and what paydeploy mirrors there."""
    for region in REGIONS:
        for bucket in _aws(region, "s3api", "list-buckets")["Buckets"]:
            if bucket["Name"].endswith(f"-{region}") and "tfstate" in bucket["Name"]:
                command = ["aws", "--endpoint-url", "http://10.89.0.1:5000", "--region", region, "s3", "sync", "--quiet", "--delete"]
                subprocess.run([*command, f"s3://{bucket['Name']}", str(folder / bucket["Name"])], check=True)
    return folder
