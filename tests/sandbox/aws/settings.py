"""Which parts behind the APIs are real: decided once, when the process starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import places


@dataclass
class Settings:
    """Without a state folder, clusters, registries and databases are all simulated."""

    state: Path | None = None
    clusters: bool = False
    registries: bool = False
    databases: bool = False
    # Hosts that presigned STS calls may name besides STS's own: those that AWS_ENDPOINT_URL points to.
    endpoints: set[str] = field(default_factory=set)

    def region_with(self, part: str, aws_region: str) -> places.Region | None:
        """The sandbox's region for `aws_region` if `part` (clusters, registries, databases) is real, otherwise None."""
        return places.region_of(aws_region) if getattr(self, part) else None


current = Settings()
