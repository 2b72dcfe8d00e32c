"""CloudTrail: a trail can also be named by its ARN, can be described by name, and needs access to its bucket, key and log group.

CloudTrail checks its access when a trail is created or updated, in this order:
1. the bucket's policy lets it read the bucket's ACL and write the account's objects;
2. the key's policy lets it describe the key, encrypt, and decrypt if the bucket has a bucket key;
3. it can assume the role for CloudWatch Logs, and the role may write to the log group.
"""

from __future__ import annotations

import json
from typing import Any

from moto.cloudtrail import urls
from moto.cloudtrail.models import CloudTrailBackend, Trail, cloudtrail_backends
from moto.cloudtrail.responses import CloudTrailResponse
from moto.core.exceptions import JsonRESTError
from moto.s3.models import s3_backends

from . import keys, services, wiring
from .conditions import facts
from .permissions import Principal
from .policy import Request, Verdict, judge, parse

SERVICE = "cloudtrail.amazonaws.com"
# CloudTrail calls with its own identity, so no identity policy takes part.
ITSELF = Principal("", SERVICE, SERVICE, (), limited=True)


def _check_bucket(trail: Trail) -> None:
    bucket = s3_backends[trail.account_id]["aws"].buckets.get(trail.bucket_name)
    policy = [parse(bucket.policy)] if bucket and bucket.policy else []
    arn = f"arn:aws:s3:::{trail.bucket_name}"
    prefix = f"{trail.s3_key_prefix}/" if trail.s3_key_prefix else ""
    known = {
        "aws:SourceArn": trail.arn,
        "aws:SourceAccount": trail.account_id,
        "aws:SecureTransport": "true",
        "s3:TlsVersion": "1.3",
    }
    names = {"Service": frozenset((SERVICE,))}
    needed = [
        ("s3:GetBucketAcl", arn, known),
        (
            "s3:PutObject",
            f"{arn}/{prefix}AWSLogs/{trail.account_id}/CloudTrail/{trail.region_name}/2026/01/01/log.json.gz",
            {**known, "s3:x-amz-acl": "bucket-owner-full-control"},
        ),
    ]
    for action, resource, more in needed:
        if judge(policy, Request(action, resource, facts(more), names)) is not Verdict.ALLOW:
            raise JsonRESTError(
                "InsufficientS3BucketPolicyException",
                f"Incorrect S3 bucket policy is detected for bucket: {trail.bucket_name} ({action} on {resource})",
            )


def _check_key(trail: Trail) -> None:
    # "If you are using an existing S3 bucket with an S3 Bucket Key, kms:Decrypt permissions are required to create or update a
    # trail with SSE-KMS encryption enabled."
    # docs.aws.amazon.com/awscloudtrail/latest/userguide/create-kms-key-policy-for-cloudtrail.html
    whole_bucket = keys.bucket_key(trail.account_id, trail.bucket_name)[1]
    actions = ("kms:DescribeKey", *keys.ENCRYPT, *(keys.DECRYPT if whole_bucket else ()))
    use = keys.Use(
        trail.kms_key_id or "",
        actions,
        by=SERVICE,
        context={"aws:cloudtrail:arn": trail.arn, "aws:s3:arn": f"arn:aws:s3:::{trail.bucket_name}"},
        facts={"aws:SourceArn": trail.arn, "aws:SourceAccount": trail.account_id},
    )
    why = keys.refusal(use, ITSELF, trail.account_id, trail.region_name)
    if why:
        raise JsonRESTError(
            "InsufficientEncryptionPolicyException",
            f"Insufficient permissions to access S3 bucket {trail.bucket_name} or KMS key {trail.kms_key_id}. ({why})",
        )


def _check_log_group(trail: Trail) -> None:
    if not trail.cw_log_group_arn:
        return
    role = trail.cw_role_arn or ""
    if services.lacking(role, SERVICE, trail.arn, ()):
        raise JsonRESTError(
            "InvalidCloudWatchLogsRoleArnException", "Access denied. Check the trust relationships for your role."
        )
    group = trail.cw_log_group_arn.removesuffix(":*")
    stream = f"{group}:log-stream:{trail.account_id}_CloudTrail_{trail.region_name}"
    needed: list[services.Needed] = [("logs:CreateLogStream", stream, {}), ("logs:PutLogEvents", stream, {})]
    why = services.lacking(role, SERVICE, trail.arn, needed)
    if why:
        raise JsonRESTError(
            "InvalidCloudWatchLogsLogGroupArnException",
            f"Access denied. Check the permissions for your role. ({why})",
        )


def _check(trail: Trail) -> None:
    _check_bucket(trail)
    _check_key(trail)
    _check_log_group(trail)


class Backend(CloudTrailBackend):
    """Checks the access of a trail. moto 5.2.1 accepts only names in some calls; Terraform's AWS provider passes the ARN."""

    def create_trail(self, name: str, *args: Any, **kwargs: Any) -> Trail:
        if name in self.trails:
            raise JsonRESTError("TrailAlreadyExistsException", f"Trail {name} already exists")
        trail = super().create_trail(name, *args, **kwargs)
        try:
            _check(trail)
        except JsonRESTError:
            del self.trails[name]
            raise
        return trail

    def update_trail(self, name: str, *args: Any, **kwargs: Any) -> Trail:
        trail = self.get_trail(name)
        before = dict(vars(trail))
        super().update_trail(name, *args, **kwargs)
        try:
            _check(trail)
        except JsonRESTError:
            vars(trail).update(before)
            raise
        return trail

    def start_logging(self, name: str) -> None:
        self.get_trail(name).start_logging()

    def stop_logging(self, name: str) -> None:
        self.get_trail(name).stop_logging()

    def delete_trail(self, name: str) -> None:
        del self.trails[self.get_trail(name).trail_name]


class CloudTrail(CloudTrailResponse):
    """Honours `trailNameList`, which moto ignores."""

    def describe_trails(self) -> str:
        wanted = self._get_param("trailNameList") or []
        trails = self.cloudtrail_backend.describe_trails(self._get_bool_param("includeShadowTrails", True))
        found = [
            t.description(include_region=True)
            for t in trails
            if not wanted or t.arn in wanted or t.trail_name in wanted
        ]
        return json.dumps({"trailList": found})


def install() -> None:
    wiring.use_backend(cloudtrail_backends, Backend, urls)
    wiring.route(urls, CloudTrail)
