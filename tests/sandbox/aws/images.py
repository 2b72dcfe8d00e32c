"""The images in a region's registry, read from its storage on disk.

The registry's API can neither list untagged images nor tell when an image was pushed. Besides, ECR's API must answer while
the registry is stopped, as in tests of failing pushes.
"""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import places

from .settings import current

# The media type of manifests without one: it is optional in OCI manifests.
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class Image:
    """One manifest of a repository. The attributes have the API's names, in snake case."""

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
    """The password of the user `AWS` in this region's registry."""
    assert current.state
    return (current.state / "ecr" / f"{region.name}.password").read_text().strip()


def _store(region: places.Region) -> Path:
    assert current.state
    return current.state / "ecr" / region.name / "docker" / "registry" / "v2"


def _storage(region: places.Region, repository: str) -> Path:
    return _store(region) / "repositories" / repository


def _manifest(region: places.Region, digest: str) -> bytes | None:
    """A manifest's content, or None if it is being deleted."""
    name = digest.removeprefix("sha256:")
    try:
        return (_store(region) / "blobs" / "sha256" / name[:2] / name / "data").read_bytes()
    except FileNotFoundError:
        return None


def _request(region: places.Region, method: str, path: str) -> None:
    assert current.state
    basic = base64.b64encode(f"AWS:{password(region)}".encode()).decode()
    request = urllib.request.Request(
        f"https://{region.ecr}/v2/{path}",
        method=method,
        headers={"Authorization": f"Basic {basic}"},
    )
    context = ssl.create_default_context(cafile=str(current.state / "ca" / "ca.crt"))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    opener.open(request, timeout=20).close()


def listed(region: places.Region, repository: str, account: str) -> list[Image]:
    """All images of a repository, tagged or not."""
    manifests = _storage(region, repository) / "_manifests"
    tags: dict[str, list[str]] = {}
    for link in sorted(manifests.glob("tags/*/current/link")):
        tags.setdefault(link.read_text().strip(), []).append(link.parent.parent.name)
    images = []
    for link in sorted(manifests.glob("revisions/sha256/*/link")):
        digest = f"sha256:{link.parent.name}"
        body = _manifest(region, digest)
        if body is None:
            continue
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
                image_manifest_media_type=manifest.get("mediaType", OCI_MANIFEST),
                artifact_media_type=manifest.get("config", {}).get("mediaType", ""),
                image_manifest=body.decode(),
            )
        )
    return images


def remove_tag(region: places.Region, repository: str, tag: str) -> None:
    """Deletes a tag in the storage, because the registry's API can only delete whole images."""
    shutil.rmtree(_storage(region, repository) / "_manifests" / "tags" / tag)


def remove(region: places.Region, repository: str, digest: str) -> None:
    _request(region, "DELETE", f"{repository}/manifests/{digest}")


def remove_all(region: places.Region, repository: str) -> None:
    shutil.rmtree(_storage(region, repository), ignore_errors=True)


def matching(images: list[Image], wanted: dict[str, Any]) -> list[Image]:
    """The images that an image id selects: by digest, by tag, or by both."""
    digest, tag = wanted.get("imageDigest"), wanted.get("imageTag")
    return [i for i in images if (not digest or i.image_digest == digest) and (not tag or tag in i.image_tags)]
