"""EKS add-ons: records only, because the sandbox's clusters already contain what the add-ons would install."""

from __future__ import annotations

import re
from typing import Any

from moto.core.utils import utcnow
from moto.eks.exceptions import InvalidParameterException, ResourceInUseException, ResourceNotFoundException
from moto.eks.models import Cluster

# The versions for Kubernetes 1.35, newest first. Other versions of the same form are accepted as well.
VERSIONS = {
    "vpc-cni": ["v1.21.1-eksbuild.1", "v1.20.4-eksbuild.1"],
    "coredns": ["v1.13.1-eksbuild.1", "v1.12.4-eksbuild.1"],
    "kube-proxy": ["v1.35.0-eksbuild.2", "v1.35.0-eksbuild.1"],
    "aws-ebs-csi-driver": ["v1.54.0-eksbuild.1", "v1.53.0-eksbuild.1"],
    "eks-pod-identity-agent": ["v1.3.10-eksbuild.1"],
    "metrics-server": ["v0.8.0-eksbuild.5"],
}
VERSION = re.compile(r"v\d+\.\d+\.\d+-eksbuild\.\d+")
KUBERNETES = ("1.33", "1.34", "1.35")


def describe_versions(name: str | None, kubernetes: str | None) -> list[dict[str, Any]]:
    def version(text: str, first: bool) -> dict[str, Any]:
        compatible = [
            {"clusterVersion": cluster, "platformVersions": ["*"], "defaultVersion": first}
            for cluster in KUBERNETES
            if kubernetes in (None, cluster)
        ]
        return {
            "addonVersion": text,
            "architecture": ["amd64", "arm64"],
            "compatibilities": compatible,
            "requiresConfiguration": False,
        }

    return [
        {
            "addonName": addon,
            "type": "networking" if addon in ("vpc-cni", "coredns", "kube-proxy") else "observability",
            "addonVersions": [version(text, text == versions[0]) for text in versions]
            if kubernetes in (None, *KUBERNETES)
            else [],
            "publisher": "eks",
            "owner": "aws",
        }
        for addon, versions in VERSIONS.items()
        if name in (None, addon)
    ]


def get(cluster: Cluster, name: str) -> dict[str, Any]:
    if name not in cluster.addons:
        raise ResourceNotFoundException(
            clusterName=cluster.name, addonName=name, message=f"No addon: {name} found in cluster: {cluster.name}"
        )
    return cluster.addons[name]


def _version(name: str, wanted: str | None) -> str:
    if name not in VERSIONS:
        raise InvalidParameterException(addonName=name, message=f"Addon {name} specified is not supported")
    if wanted and not VERSION.fullmatch(wanted):
        raise InvalidParameterException(
            addonName=name, message=f"Addon version specified is not supported, AddonName: {name}, Version: {wanted}"
        )
    return wanted or VERSIONS[name][0]


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
        "addonVersion": _version(name, version),
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
        addon["addonVersion"] = _version(name, version)
    addon.update({key: value for key, value in settings.items() if value is not None}, modifiedAt=utcnow())


def delete(cluster: Cluster, name: str) -> dict[str, Any]:
    addon = {**get(cluster, name), "status": "DELETING"}
    del cluster.addons[name]
    return addon
