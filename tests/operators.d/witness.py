"""Counts the writes to a cluster that came with an access key, without a change of what they do.

The API server learns the access key of each request from its token. A policy that audits all writes with one key denies
nothing, and the API server's metrics count what it audits.
"""

from __future__ import annotations

import json
from typing import Any

from shared import sandbox
from team import Key

API = "admissionregistration.k8s.io/v1"
EVERYTHING = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE", "DELETE"], "resources": ["*/*"]}
METRIC = "apiserver_validating_admission_policy_check_total{"
AUDITED = 'enforcement_action="audit"'


class Witness:
    """Policies in one cluster, one per key."""

    def __init__(self, region: str, keys: list[Key]):
        self.region = region
        self._documents = json.dumps(
            {"apiVersion": "v1", "kind": "List", "items": [document for key in keys for document in documents(key)]}
        )

    def __enter__(self) -> Witness:
        sandbox("kubectl", self.region, "apply", "--filename=-", given=self._documents)
        return self

    def __exit__(self, *_: object) -> None:
        sandbox("kubectl", self.region, "delete", "--ignore-not-found", "--filename=-", given=self._documents)

    def writes(self, key: Key) -> int:
        """How many writes with the key there were. A policy takes effect about a second after its creation."""
        lines = sandbox("kubectl", self.region, "get", "--raw", "/metrics").splitlines()
        audited = [line for line in lines if line.startswith(METRIC) and f'policy="{name(key)}"' in line and AUDITED in line]
        # Without a line, there was no write yet.
        return sum(int(float(line.split()[-1])) for line in audited)


def name(key: Key) -> str:
    return f"writes-of-{key.id.lower()}"


def documents(key: Key) -> list[dict[str, Any]]:
    # Dry runs change nothing, and neither do reviews, which are created only to be answered.
    conditions = {
        "the-key": f"has(request.userInfo.extra) && 'accessKeyId' in request.userInfo.extra && "
        f"'{key.id}' in request.userInfo.extra['accessKeyId']",
        "no-dry-run": "!has(request.dryRun) || !request.dryRun",
        "no-review": "!request.resource.group.endsWith('authorization.k8s.io')"
        " && !request.resource.group.endsWith('authentication.k8s.io')",
    }
    policy = {
        # A policy that cannot be evaluated must not hinder the writes of others.
        "failurePolicy": "Ignore",
        "matchConstraints": {"resourceRules": [EVERYTHING]},
        "matchConditions": [{"name": condition, "expression": text} for condition, text in conditions.items()],
        "validations": [{"expression": "false", "message": "counted"}],
    }
    binding = {"policyName": name(key), "validationActions": ["Audit"]}
    return [
        {"apiVersion": API, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name(key)}, "spec": policy},
        {"apiVersion": API, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name(key)}, "spec": binding},
    ]
