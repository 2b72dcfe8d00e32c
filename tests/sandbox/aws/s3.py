"""S3: the names of the answers' root elements, which strict clients (AWS's SDK for Rust) check and moto makes up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.core.serialize import S3Serializer

# As in the responses' syntax of S3's API reference. Answers that moto makes from templates have theirs already.
ROOTS = {
    "CopyObject": "CopyObjectResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketAcl": "AccessControlPolicy",
    "GetBucketCors": "CORSConfiguration",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketLocation": "LocationConstraint",
    "GetBucketTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetObjectTagging": "Tagging",
    "ListBuckets": "ListAllMyBucketsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "ListObjectVersions": "ListVersionsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListParts": "ListPartsResult",
}

_serialize_body = S3Serializer._serialize_body


def _named(self: S3Serializer, body: Mapping[str, Any]) -> str:
    invented = f"{self.operation_model.name}Response"
    name = ROOTS.get(self.operation_model.name)
    if name and invented in body:
        body = {name: body[invented]}
    return _serialize_body(self, body)


def install() -> None:
    S3Serializer._serialize_body = _named
