"""Resource Groups Tagging API: adds EKS clusters, node groups and ECR repositories, and works in every region."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.ecr.models import ecr_backends
from moto.eks.models import eks_backends
from moto.resourcegroupstaggingapi import urls
from moto.resourcegroupstaggingapi.models import ResourceGroupsTaggingAPIBackend, resourcegroupstaggingapi_backends
from moto.resourcegroupstaggingapi.responses import ResourceGroupsTaggingAPIResponse
from moto.sesv2.models import sesv2_backends

from . import wiring


def _fits(tags: dict[str, str], filters: list[dict[str, Any]]) -> bool:
    return all(f["Key"] in tags and (not f.get("Values") or tags[f["Key"]] in f["Values"]) for f in filters)


class Backend(ResourceGroupsTaggingAPIBackend):
    """moto's backend, which fails in regions without SES v2 and leaves out EKS and ECR."""

    @property
    def sesv2_backend(self) -> Any:
        known = sesv2_backends[self.account_id]
        return known[self.region_name] if self.region_name in known.regions else None

    def _get_resources_generator(
        self, tag_filters: list[dict[str, Any]] | None = None, resource_type_filters: list[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        yield from super()._get_resources_generator(tag_filters, resource_type_filters)
        for kind, arn, tags in self._more():
            wanted = (
                not resource_type_filters
                or kind in resource_type_filters
                or kind.split(":")[0] in resource_type_filters
            )
            if wanted and tags and _fits(tags, tag_filters or []):
                yield {"ResourceARN": arn, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _more(self) -> Iterator[tuple[str, str, dict[str, str]]]:
        for cluster in list(eks_backends[self.account_id][self.region_name].clusters.values()):
            yield "eks:cluster", cluster.arn, cluster.tags
            for group in list(cluster.nodegroups.values()):
                yield "eks:nodegroup", group.arn, group.tags
        ecr = ecr_backends[self.account_id][self.region_name]
        for repository in list(ecr.repositories.values()):
            yield "ecr:repository", repository.arn, ecr.tagger.get_tag_dict_for_resource(repository.arn)


def install() -> None:
    wiring.use_backend(resourcegroupstaggingapi_backends, Backend, urls)
    wiring.route(urls, ResourceGroupsTaggingAPIResponse)
