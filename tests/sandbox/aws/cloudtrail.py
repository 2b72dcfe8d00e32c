"""CloudTrail: a trail can also be named by its ARN, and can be described by name."""

from __future__ import annotations

import json

from moto.cloudtrail import urls
from moto.cloudtrail.models import CloudTrailBackend, cloudtrail_backends
from moto.cloudtrail.responses import CloudTrailResponse

from . import wiring


class Backend(CloudTrailBackend):
    """moto 5.2.1 accepts only names in these calls; Terraform's AWS provider passes the ARN."""

    def start_logging(self, name: str) -> None:
        self.get_trail(name).start_logging()

    def stop_logging(self, name: str) -> None:
        self.get_trail(name).stop_logging()

    def delete_trail(self, name: str) -> None:
        del self.trails[self.get_trail(name).trail_name]


class CloudTrail(CloudTrailResponse):
    """Honours `trailNameList`, which moto ignores."""

    def describe_trails(self) -> str:
        wanted = self._get_param("trailNameList") or []
        trails = self.cloudtrail_backend.describe_trails(self._get_bool_param("includeShadowTrails", True))
        found = [
            t.description(include_region=True)
            for t in trails
            if not wanted or t.arn in wanted or t.trail_name in wanted
        ]
        return json.dumps({"trailList": found})


def install() -> None:
    wiring.use_backend(cloudtrail_backends, Backend, urls)
    wiring.route(urls, CloudTrail)
