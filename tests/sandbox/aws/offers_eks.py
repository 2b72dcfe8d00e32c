"""EKS offers: DescribeClusterVersions, and refusals of versions, zones and instance types that a region does not offer."""

from __future__ import annotations

import datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.eks import urls
from moto.eks.exceptions import EKSError, InvalidParameterException
from moto.eks.models import EKSBackend

from . import eks, offers, offers_data, wiring


class UnsupportedAvailabilityZone(EKSError):
    """The error for subnets in a zone without EKS."""

    TYPE = "UnsupportedAvailabilityZoneException"
    STATUS = 400


def _version(version: str, ends: dict[str, str]) -> dict[str, Any]:
    standard, extended = (datetime.datetime.fromisoformat(ends[name]) for name in ("standard", "extended"))
    now = utcnow()
    status = "standard-support" if now < standard else "extended-support" if now < extended else "unsupported"
    return {
        "clusterVersion": version,
        "clusterType": "eks",
        "defaultPlatformVersion": "eks.1",
        "defaultVersion": version == offers_data.KUBERNETES_DEFAULT,
        "endOfStandardSupportDate": standard,
        "endOfExtendedSupportDate": extended,
        "status": status,
        "versionStatus": status.upper().replace("-", "_"),
        "kubernetesPatchVersion": f"{version}.0",
    }


def _describe_cluster_versions(response: eks.Eks) -> ActionResult:
    wanted = response.querystring.get("clusterVersions")
    found = [
        _version(version, ends)
        for version, ends in offers.kubernetes(response.region).items()
        if not wanted or version in wanted
    ]
    return ActionResult({"clusterVersions": found})


_create_cluster = EKSBackend.create_cluster
_create_nodegroup = EKSBackend.create_nodegroup


def _cluster(backend: Any, **options: Any) -> Any:
    name, version = options["name"], options.get("version")
    if version and version not in offers.kubernetes(backend.region_name):
        raise InvalidParameterException(clusterName=name, message=f"unsupported Kubernetes version {version}")
    ids = offers.zones(backend.region_name)
    subnets = options["resources_vpc_config"].get("subnetIds") or []
    for zone in _zones(backend, subnets):
        if ids.get(zone) in offers_data.ZONES_WITHOUT_EKS:
            others = ", ".join(other for other, zone_id in ids.items() if zone_id not in offers_data.ZONES_WITHOUT_EKS)
            raise UnsupportedAvailabilityZone(
                clusterName=name,
                message=f"Cannot create cluster '{name}' because EKS does not support creating control plane instances in "
                f"{zone}, the targeted availability zone. Retry cluster creation using control plane subnets that span at "
                f"least two of these availability zones: {others}. Note, post cluster creation, you can run worker nodes "
                "in separate subnets/availability zones from control plane subnets/availability zones passed during "
                "cluster creation",
            )
    return _create_cluster(backend, **options)


def _nodegroup(backend: Any, **options: Any) -> Any:
    types = options.get("instance_types") or []
    missing = offers.unknown_types(backend.region_name, types)
    if missing:
        raise InvalidParameterException(
            clusterName=options["cluster_name"],
            nodegroupName=options["nodegroup_name"],
            message=f"The following supplied instance types do not exist: [{', '.join(missing)}]",
        )
    ids = offers.zones(backend.region_name)
    for zone in _zones(backend, options.get("subnets") or []):
        if types and not any(ids.get(zone) in offers.zones_with(backend.region_name, one) for one in types):
            raise InvalidParameterException(
                clusterName=options["cluster_name"],
                nodegroupName=options["nodegroup_name"],
                message=f"Instance types [{', '.join(types)}] are not supported in the Availability Zone {zone}",
            )
    return _create_nodegroup(backend, **options)


def _zones(backend: Any, subnets: list[str]) -> list[str]:
    """The names of the subnets' zones."""
    ec2 = ec2_backends[backend.account_id][backend.region_name]
    known = {subnet.id: subnet.availability_zone for zone in ec2.subnets.values() for subnet in zone.values()}
    return sorted({known[subnet] for subnet in subnets if subnet in known})


def install() -> None:
    eks.Eks.describe_cluster_versions = _describe_cluster_versions  # type: ignore[attr-defined]
    EKSBackend.create_cluster = _cluster  # type: ignore[method-assign]
    EKSBackend.create_nodegroup = _nodegroup  # type: ignore[method-assign]
    wiring.route(urls, eks.Eks, "{0}/cluster-versions$")
