"""What the account shows of the operators: their calls, and who holds the regions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shared import account
from team import Key, Operator

# Leases, records of open claims and copies of journals, which a run also writes while it may not act.
RECORDS = "/paydeploy/"
LEASE = "/paydeploy/lease.json"


def last_call() -> int:
    return max((call["n"] for call in account.page("calls")), default=0)


def calls(key: Key, since: int) -> list[dict[str, Any]]:
    """The calls with a key, after a call's number, that were to change something."""
    return [call for call in account.page(f"calls?since={since}") if call["access_key"] == key.id]


def changes(key: Key, since: int) -> list[str]:
    """The same without leases and records."""
    others = [call for call in calls(key, since) if RECORDS not in call["resource"]]
    return [f"{call['service']} {call['action']} {call['resource']} ({call['status']})" for call in others]


def lease_writes(key: Key, since: int, aws_region: str) -> list[float]:
    """When a lease of the region was written with a key: taken or renewed."""
    return [
        call["at"]
        for call in calls(key, since)
        if call["action"] == "PutObject" and call["region"] == aws_region and LEASE in call["resource"] and call["status"] == 200
    ]


def holders(bystander: Operator) -> dict[str, str]:
    """The run that holds each region, where one does, as any operator sees it."""
    job = bystander.start("lock", "show", "--output", "json")
    if job.ends(60) != 0:
        return {}
    # Standard error, which is in the same file, has nothing then.
    held = json.loads(job.said())["holders"]
    return {region: holder["run"] for region, holder in held.items() if holder}


def leftovers() -> list[str]:
    """What exists after `down` except for state buckets, their keys, and keys that wait for their deletion."""
    resources = account.page("inventory")
    is_state_alias = [one["id"].startswith("alias/") and one["id"].endswith("-state") for one in resources]
    state_keys = {one.get("of") for one, is_state in zip(resources, is_state_alias) if is_state}

    def may_remain(resource: dict[str, Any], is_state: bool) -> bool:
        if resource["service"] == "s3":
            return resource["id"].startswith("payment-latency-api-tfstate-")
        is_pending = resource.get("state") == "PendingDeletion"
        return resource["service"] == "kms" and (is_pending or is_state or resource["id"] in state_keys)

    left = [one for one, is_state in zip(resources, is_state_alias) if not may_remain(one, is_state)]
    return [f"{one['region']} {one['service']} {one['type']} {one['id']}" for one in left]


def leftover_objects(folder: Path) -> list[str]:
    """Leases, locks of Terraform and records of open claims in the state buckets: no run is at work any more."""
    files = [file.relative_to(folder) for file in account.download_buckets(folder).rglob("*") if file.is_file()]
    return [str(file) for file in files if file.name == "lease.json" or file.suffix == ".tflock" or file.parent.name == "runs"]
