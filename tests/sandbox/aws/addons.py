"""EKS add-ons: records only, because the sandbox's clusters already contain what the add-ons would install."""

from __future__ import annotations

from typing import Any

from moto.core.utils import utcnow
from moto.eks.exceptions import InvalidParameterException, ResourceInUseException, ResourceNotFoundException
from moto.eks.models import Cluster

from . import offers

def describe_versions(region: str, name: str | None, kubernetes: str | None) -> list[dict[str, Any]]:
    """DescribeAddonVersions: each version with the Kubernetes versions that it is compatible with."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for cluster in offers.kubernetes(region):
        for addon, versions in offers.addons(region, cluster).items():
            for version in versions if kubernetes in (None, cluster) and name in (None, addon) else ():
                compatible = {
                    "clusterVersion": cluster,
                    "platformVersions": ["*"],
                    "defaultVersion": version == versions[0],
                }
                found.setdefault(addon, {}).setdefault(version, []).append(compatible)
    return [
        {
            "addonName": addon,
            "type": "networking" if addon in ("vpc-cni", "coredns", "kube-proxy") else "observability",
            "addonVersions": [
                {
                    "addonVersion": version,
                    "architecture": ["amd64", "arm64"],
                    "compatibilities": compatible,
                    "requiresConfiguration": False,
                }
                for version, compatible in versions.items()
            ],
            "publisher": "eks",
            "owner": "aws",
        }
        for addon, versions in found.items()
    ]


def get(cluster: Cluster, name: str) -> dict[str, Any]:
    if name not in cluster.addons:
        raise ResourceNotFoundException(
            clusterName=cluster.name, addonName=name, message=f"No addon: {name} found in cluster: {cluster.name}"
        )
    return cluster.addons[name]


def _version(cluster: Cluster, name: str, wanted: str | None) -> str:
    offered = offers.addons(cluster.arn.split(":")[3], cluster.version).get(name)
    if not offered:
        raise InvalidParameterException(addonName=name, message=f"Addon {name} specified is not supported")
    if wanted and wanted not in offered:
        raise InvalidParameterException(
            addonName=name, message=f"Addon version specified is not supported, AddonName: {name}, Version: {wanted}"
        )
    return wanted or offered[0]


def create(
    cluster: Cluster, name: str, version: str | None, settings: dict[str, Any], tags: dict[str, str]
) -> dict[str, Any]:
    if name in cluster.addons:
        raise ResourceInUseException(clusterName=cluster.name, addonName=name, message="Addon already exists.")
    number = len(cluster.addons)
    cluster.addons[name] = {
        "addonName": name,
        "clusterName": cluster.name,
        "status": "ACTIVE",
        "addonVersion": _version(cluster, name, version),
        "health": {"issues": []},
        "addonArn": f"{cluster.arn.replace(':cluster/', ':addon/')}/{name}/{number:08x}",
        "createdAt": utcnow(),
        "modifiedAt": utcnow(),
        "tags": tags,
        **settings,
    }
    return cluster.addons[name]


def update(cluster: Cluster, name: str, version: str | None, settings: dict[str, Any]) -> None:
    addon = get(cluster, name)
    if version:
        addon["addonVersion"] = _version(cluster, name, version)
    addon.update({key: value for key, value in settings.items() if value is not None}, modifiedAt=utcnow())


def delete(cluster: Cluster, name: str) -> dict[str, Any]:
    addon = {**get(cluster, name), "status": "DELETING"}
    del cluster.addons[name]
    return addon
