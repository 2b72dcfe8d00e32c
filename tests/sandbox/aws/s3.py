"""S3: two corrections of moto.

The root elements of responses get S3's names. Strict clients (the AWS SDK for Rust) check them, and moto invents some.
Statements of bucket policies about unencrypted requests are ignored, because moto does not evaluate their conditions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from moto.core.serialize import S3Serializer
from moto.iam.access_control import IAMPolicy
from moto.s3.models import FakeBucket

# The condition of statements that deny requests without TLS. Plain HTTP stands for TLS here, so they apply to no request.
PLAIN_TEXT = {"Bool": {"aws:SecureTransport": "false"}}

# From the response syntax in S3's API reference. Responses that moto renders from templates already have the right ones.
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
