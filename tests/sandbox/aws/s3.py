"""S3: two corrections of moto.

The root elements of responses get S3's names. Strict clients (the AWS SDK for Rust) check them, and moto invents some.
The conditions of bucket policies are evaluated for the request's encryption headers; moto takes every statement for one
without a condition.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import request
from moto.core.serialize import S3Serializer
from moto.iam.access_control import IAMPolicy
from moto.s3.models import FakeBucket

# The condition keys that are known here, and the headers that set them.
ENCRYPTION_HEADERS = {
    f"s3:{header}": header
    for header in (
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-aws-kms-key-id",
        "x-amz-server-side-encryption-customer-algorithm",
    )
}

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
    context = _context(request.headers)
    statements = [one for one in document["Statement"] if applies(one.get("Condition") or {}, context)]
    return IAMPolicy(json.dumps({**document, "Statement": statements})).is_action_permitted(action, resource)


def _context(headers: Mapping[str, str]) -> dict[str, str]:
    """The condition keys of a request. Plain HTTP stands for TLS here, so every request counts as secure."""
    named = {key: headers[header] for key, header in ENCRYPTION_HEADERS.items() if header in headers}
    return {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3", **named}


def applies(condition: dict[str, dict[str, Any]], context: dict[str, str]) -> bool:
    """Whether a statement's condition holds: all operators and keys, and for each key any of its values."""
    return all(
        _holds(operator, context.get(key), [str(value) for value in (values if isinstance(values, list) else [values])])
        for operator, keys in condition.items()
        for key, values in keys.items()
    )


def _holds(operator: str, value: str | None, wanted: list[str]) -> bool:
    if operator == "Null":
        return ("true" if value is None else "false") in wanted
    if operator in ("StringEquals", "Bool"):
        return value in wanted
    if operator == "StringNotEquals":
        # Also true for a key that the request does not have.
        return value not in wanted
    if operator == "NumericLessThan":
        return value is not None and any(float(value) < float(limit) for limit in wanted)
    raise NotImplementedError(f"the condition operator {operator} in a bucket policy")


def install() -> None:
    S3Serializer._serialize_body = _named
    FakeBucket.get_permission = _permission
