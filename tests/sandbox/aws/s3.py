"""S3: the names of the answers' root elements, which strict clients (AWS's SDK for Rust) check and moto makes up;
bucket policies about plain text, whose conditions moto does not read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from moto.core.serialize import S3Serializer
from moto.iam.access_control import IAMPolicy
from moto.s3.models import FakeBucket

# Our HTTP stands for AWS's TLS: what a policy says of requests without TLS is about nobody here.
PLAIN_TEXT = {"Bool": {"aws:SecureTransport": "false"}}

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


_get_permission = FakeBucket.get_permission


def _permission(self: FakeBucket, action: str, resource: str) -> Any:
    policy = self.policy
    if not policy:
        return _get_permission(self, action, resource)
    document = json.loads(policy)
    statements = [one for one in document["Statement"] if one.get("Condition") != PLAIN_TEXT]
    return IAMPolicy(json.dumps({**document, "Statement": statements})).is_action_permitted(action, resource)


def install() -> None:
    S3Serializer._serialize_body = _named
    FakeBucket.get_permission = _permission
