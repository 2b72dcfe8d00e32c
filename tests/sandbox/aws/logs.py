"""CloudWatch Logs: EKS writes to a cluster's log group while the cluster exists, and creates it when it is missing."""

from __future__ import annotations

import re
from typing import Any

from moto.eks.models import eks_backends
from moto.logs import urls
from moto.logs.models import LogsBackend, logs_backends

from . import wiring

OF_CLUSTER = re.compile(r"/aws/eks/(.+)/cluster")

# Clusters whose last logs arrive after the next deletion of their group, as (AWS region, name).
_late: set[tuple[str, str]] = set()


def group_of(cluster: str) -> str:
    return f"/aws/eks/{cluster}/cluster"


def enabled(cluster: Any) -> bool:
    """Whether a cluster writes logs."""
    return any(setup.get("enabled") and setup.get("types") for setup in (cluster.logging or {}).get("clusterLogging", ()))


def write(account: str, region: str, cluster: Any) -> None:
    """Creates the group of a cluster that writes logs. EKS sets neither a key nor a retention time."""
    if enabled(cluster):
        logs_backends[account][region].ensure_log_group(group_of(cluster.name))


def write_late(region: str, cluster: Any) -> None:
    """Notes that the cluster's group comes back after its next deletion."""
    if enabled(cluster):
        _late.add((region, cluster.name))


class Backend(LogsBackend):
    """moto's backend, next to EKS's writer."""

    def delete_log_group(self, log_group_name: str) -> None:
        super().delete_log_group(log_group_name)
        if self._is_written(log_group_name):
            self.ensure_log_group(log_group_name)

    def _is_written(self, name: str) -> bool:
        found = OF_CLUSTER.fullmatch(name)
        if not found:
            return False
        cluster = eks_backends[self.account_id][self.region_name].clusters.get(found.group(1))
        late = (self.region_name, found.group(1)) in _late
        _late.discard((self.region_name, found.group(1)))
        return late or (cluster is not None and enabled(cluster))


def install() -> None:
    wiring.use_backend(logs_backends, Backend, urls)
