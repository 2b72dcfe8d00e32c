"""ECR: repositories are moto's; images, registry address and password are those of the region's real registry."""

from __future__ import annotations

import base64
import time
from typing import Any

from moto.core.responses import ActionResult
from moto.ecr import urls
from moto.ecr.exceptions import ImageNotFoundException, RepositoryNotEmptyException
from moto.ecr.models import ECRBackend, Repository, ecr_backends
from moto.ecr.responses import ECRResponse

import places

from . import images, wiring
from .settings import current

# Seconds: as in ECR.
TOKEN_LIFETIME = 12 * 3600


class Backend(ECRBackend):
    """Reads images from the region's registry, if the region has one."""

    @property
    def real(self) -> places.Region | None:
        return current.region_with("registries", self.region_name)

    def create_repository(self, *args: Any, **kwargs: Any) -> Repository:
        repository = super().create_repository(*args, **kwargs)
        if self.real:
            repository.uri = f"{self.real.ecr}/{repository.name}"
        return repository

    def delete_repository(
        self, repository_name: str, registry_id: str | None = None, force: bool = False
    ) -> Repository:
        repository = self._get_repository(repository_name, registry_id)
        if self.real:
            if not force and self.images(repository):
                raise RepositoryNotEmptyException(repository_name, registry_id or self.account_id)
            images.remove_all(self.real, repository_name)
        return super().delete_repository(repository_name, registry_id, force)

    def images(self, repository: Repository) -> list[Any]:
        if not self.real:
            return list(repository.images)
        return images.listed(self.real, repository.name, repository.registry_id)


class Ecr(ECRResponse):
    """Answers image calls from the registry. All other calls are moto's."""

    @property
    def backend(self) -> Backend:
        return ecr_backends[self.current_account][self.region]  # type: ignore[return-value]

    def _images(self) -> tuple[Repository, list[images.Image]]:
        repository = self.backend._get_repository(self._get_param("repositoryName"), self._get_param("registryId"))
        return repository, self.backend.images(repository)

    def get_authorization_token(self) -> ActionResult:
        real = self.backend.real
        if not real:
            return super().get_authorization_token()
        token = base64.b64encode(f"AWS:{images.password(real)}".encode()).decode()
        data = {
            "authorizationToken": token,
            "expiresAt": time.time() + TOKEN_LIFETIME,
            "proxyEndpoint": f"https://{real.ecr}",
        }
        return ActionResult({"authorizationData": [data]})

    def list_images(self) -> ActionResult:
        if not self.backend.real:
            return super().list_images()
        status = (self._get_param("filter") or {}).get("tagStatus", "ANY")
        ids: list[dict[str, str]] = []
        for image in self._images()[1]:
            if image.image_tags and status != "UNTAGGED":
                ids += [{"imageDigest": image.image_digest, "imageTag": tag} for tag in image.image_tags]
            elif not image.image_tags and status != "TAGGED":
                ids.append({"imageDigest": image.image_digest})
        return ActionResult({"imageIds": ids})

    def describe_images(self) -> ActionResult:
        if not self.backend.real:
            return super().describe_images()
        repository, found = self._images()
        wanted = self._get_param("imageIds")
        if wanted:
            chosen = []
            for one in wanted:
                match = images.matching(found, one)
                if not match:
                    named = (
                        f"{{imageDigest:'{one.get('imageDigest', 'null')}', imageTag:'{one.get('imageTag', 'null')}'}}"
                    )
                    raise ImageNotFoundException(named, repository.name, repository.registry_id)
                chosen += [image for image in match if image not in chosen]
            found = chosen
        hidden = ("image_tags",)
        details = [
            {_camel(k): v for k, v in vars(image).items() if k != "image_manifest" and (v or k not in hidden)}
            for image in found
        ]
        return ActionResult({"imageDetails": details})

    def batch_get_image(self) -> ActionResult:
        if not self.backend.real:
            return super().batch_get_image()
        _, found = self._images()
        got: list[dict[str, Any]] = []
        failures = []
        for wanted in self._get_param("imageIds") or []:
            match = images.matching(found, wanted)
            if not match:
                failures.append(_image_not_found(wanted))
            for image in match:
                got.append(
                    {
                        "registryId": image.registry_id,
                        "repositoryName": image.repository_name,
                        "imageId": {**wanted, "imageDigest": image.image_digest},
                        "imageManifest": image.image_manifest,
                        "imageManifestMediaType": image.image_manifest_media_type,
                    }
                )
        return ActionResult({"images": got, "failures": failures})

    def batch_delete_image(self) -> ActionResult:
        real = self.backend.real
        if not real:
            return super().batch_delete_image()
        repository, found = self._images()
        deleted, failures = [], []
        for wanted in self._get_param("imageIds") or []:
            match = images.matching(found, wanted)
            if not match:
                failures.append(_image_not_found(wanted))
            for image in match:
                tag = wanted.get("imageTag")
                # Deleting by tag deletes only the tag, unless it is the image's last one.
                if tag and "imageDigest" not in wanted and len(image.image_tags) > 1:
                    images.remove_tag(real, repository.name, tag)
                    image.image_tags.remove(tag)
                    deleted.append({"imageDigest": image.image_digest, "imageTag": tag})
                else:
                    images.remove(real, repository.name, image.image_digest)
                    found.remove(image)
                    deleted += [{"imageDigest": image.image_digest, "imageTag": tag} for tag in image.image_tags or [None]]  # type: ignore[list-item]
        return ActionResult({"imageIds": deleted, "failures": failures})

    def put_image(self) -> ActionResult:
        if not self.backend.real:
            return super().put_image()
        raise NotImplementedError("PutImage is not supported; push to the registry instead")


def _image_not_found(image_id: dict[str, str]) -> dict[str, Any]:
    return {"imageId": image_id, "failureCode": "ImageNotFound", "failureReason": "Requested image not found"}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def install() -> None:
    wiring.use_backend(ecr_backends, Backend, urls)
    wiring.route(urls, Ecr)
