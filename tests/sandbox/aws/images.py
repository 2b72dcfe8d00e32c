"""What a region's registry holds: looked up in the registry's storage, manifests asked of its API.

The API cannot list what has no tag, nor say when an image came; the storage can.
"""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import places

from .settings import current

MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)


@dataclass
class Image:
    """One manifest of a repository; attributes are named as the API's, in snake case."""

    repository_name: str
    registry_id: str
    image_digest: str
    image_tags: list[str]
    image_size_in_bytes: int
    image_pushed_at: float
    image_manifest_media_type: str
    artifact_media_type: str
    image_manifest: str = field(repr=False)


def password(region: places.Region) -> str:
    """The password that this region's registry knows its user `AWS` by."""
    assert current.state
    return (current.state / "ecr" / f"{region.name}.password").read_text().strip()


def _storage(region: places.Region, repository: str) -> Path:
    assert current.state
    return current.state / "ecr" / region.name / "docker" / "registry" / "v2" / "repositories" / repository


def _request(region: places.Region, method: str, path: str) -> tuple[dict[str, str], bytes]:
    assert current.state
    basic = base64.b64encode(f"AWS:{password(region)}".encode()).decode()
    request = urllib.request.Request(
        f"https://{region.ecr}/v2/{path}",
        method=method,
        headers={"Authorization": f"Basic {basic}", "Accept": MANIFESTS},
    )
    context = ssl.create_default_context(cafile=str(current.state / "ca" / "ca.crt"))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=20) as response:
        return dict(response.headers), response.read()


def listed(region: places.Region, repository: str, account: str) -> list[Image]:
    """All images of a repository, tagged or not."""
    manifests = _storage(region, repository) / "_manifests"
    tags: dict[str, list[str]] = {}
    for link in sorted(manifests.glob("tags/*/current/link")):
        tags.setdefault(link.read_text().strip(), []).append(link.parent.parent.name)
    images = []
    for link in sorted(manifests.glob("revisions/sha256/*/link")):
        digest = f"sha256:{link.parent.name}"
        try:
            headers, body = _request(region, "GET", f"{repository}/manifests/{digest}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                continue
            raise
        manifest = json.loads(body)
        size = sum(part.get("size", 0) for part in [manifest.get("config", {}), *manifest.get("layers", [])])
        images.append(
            Image(
                repository_name=repository,
                registry_id=account,
                image_digest=digest,
                image_tags=tags.get(digest, []),
                image_size_in_bytes=size,
                image_pushed_at=link.stat().st_mtime,
                image_manifest_media_type=headers.get("Content-Type", manifest.get("mediaType", "")),
                artifact_media_type=manifest.get("config", {}).get("mediaType", ""),
                image_manifest=body.decode(),
            )
        )
    return images


def remove_tag(region: places.Region, repository: str, tag: str) -> None:
    """The registry's API only deletes whole images."""
    shutil.rmtree(_storage(region, repository) / "_manifests" / "tags" / tag)


def remove(region: places.Region, repository: str, digest: str) -> None:
    _request(region, "DELETE", f"{repository}/manifests/{digest}")


def remove_all(region: places.Region, repository: str) -> None:
    shutil.rmtree(_storage(region, repository), ignore_errors=True)


def matching(images: list[Image], wanted: dict[str, Any]) -> list[Image]:
    """The images of an image id: by digest, by tag, or by both."""
    digest, tag = wanted.get("imageDigest"), wanted.get("imageTag")
    return [i for i in images if (not digest or i.image_digest == digest) and (not tag or tag in i.image_tags)]
