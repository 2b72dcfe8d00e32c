"""KMS keys: whether a key's policy lets a principal use it, and which API calls use a key.

1. `uses` says which keys a call uses, as whom: as the caller (through the service, with kms:ViaService) or as the service.
2. A key policy allows a use if it names the principal, or if it names the account and the identity policies of the principal
   allow it.
3. A key that does not exist in the region, or that is not enabled, cannot be used by anyone.

Keys that AWS manages (alias/aws/...) are left out: every principal of the account may use them through their service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from moto.ec2.models import ec2_backends
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends

from .conditions import Unsupported, facts
from .needs import Asked, secret
from .permissions import Principal
from .policy import Request, Verdict, judge, parse

ENCRYPT = ("kms:GenerateDataKey",)
DECRYPT = ("kms:Decrypt",)
# What a service does that keeps using a key after the call: it looks at the key and lets AWS use it (a grant).
KEEP = ("kms:DescribeKey", "kms:CreateGrant")
AUTO_SCALING = "role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"


@dataclass(frozen=True)
class Use:
    """The use of one key: by its id, ARN or alias. `by` is a service principal, a role, or empty for the caller."""

    key: str
    actions: tuple[str, ...]
    by: str = ""
    via: str = ""
    context: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


def _key(account: str, region: str, name: str) -> Any:
    """A customer's key, or None."""
    backend = kms_backends[account][region]
    try:
        return backend.keys.get(backend.any_id_to_key_id(name))
    except Exception:
        # moto raises different errors for malformed ids.
        return None


def managed(name: str | None) -> bool:
    """Whether no key of the customer's is named, so that the service uses the one that AWS manages."""
    return not name or "alias/aws/" in name


def _facts(use: Use, action: str, account: str, region: str, more: Mapping[str, str]) -> dict[str, list[str]]:
    # DescribeKey has no encryption context, so a condition on the context never allows it.
    bound = use.context if action != "kms:DescribeKey" else {}
    context = {f"kms:EncryptionContext:{name}": value for name, value in bound.items()}
    via = {"kms:ViaService": f"{use.via}.{region}.amazonaws.com"} if use.via else {}
    grant = {"kms:GrantIsForAWSResource": "true"} if action == "kms:CreateGrant" else {}
    keys = {"kms:EncryptionContextKeys": list(bound)} if bound else {}
    return facts(more, context, via, grant, keys, use.facts)


def refusal(use: Use, caller: Principal, account: str, region: str) -> str | None:
    """Why a key cannot be used, or None."""
    if managed(use.key):
        return None
    key = _key(account, region, use.key)
    if not key:
        return f"the key {use.key} does not exist in {region}"
    if key.key_state != "Enabled":
        return f"{key.arn} is {key.key_state}"
    for action in use.actions:
        try:
            why = _refused(use, caller, key, action)
        except Unsupported as unsupported:
            why = f"the sandbox does not evaluate: {unsupported}"
        if why:
            return why
    return None


def _refused(use: Use, caller: Principal, key: Any, action: str) -> str | None:
    document, service = parse(key.policy), use.by.endswith(".amazonaws.com")
    if service:
        names, more = {"Service": frozenset((use.by,))}, {"aws:PrincipalIsAWSService": "true"}
    elif use.by:
        names = {"AWS": frozenset((use.by,))}
        more = {"aws:PrincipalArn": use.by, "kms:CallerAccount": key.account_id}
    else:
        names, more = caller.names, {**caller.facts, "kms:CallerAccount": caller.account}
    known = _facts(use, action, key.account_id, key.region, more)
    verdict = judge([document], Request(action, key.arn, known, names))
    who = use.by or caller.arn
    if verdict is Verdict.ALLOW:
        return None
    refused = f"{who} is not authorized to perform: {action} on resource: {key.arn}"
    if verdict is Verdict.DENY:
        return f"{refused} with an explicit deny in a resource-based policy"
    root = frozenset((f"arn:aws:iam::{key.account_id}:root", key.account_id))
    if not use.by and judge([document], Request(action, key.arn, known, {"AWS": root})) is Verdict.ALLOW:
        return caller.refusal(action, key.arn, known)
    return f"{refused} because no resource-based policy allows the {action} action"


# Which calls use which keys


def _bucket_key(asked: Asked) -> tuple[str, bool]:
    """The key that encrypts new objects of a bucket by default, and whether the bucket has its own data key."""
    bucket = s3_backends[asked.account]["aws"].buckets.get(asked.parameters["Bucket"])
    rule = ((bucket.encryption if bucket else None) or {}).get("Rule", {})
    rule = rule[0] if isinstance(rule, list) else rule
    default = rule.get("ApplyServerSideEncryptionByDefault", {})
    return default.get("KMSMasterKeyID") or "", str(rule.get("BucketKeyEnabled", "false")).lower() == "true"


def bucket_key(account: str, bucket: str) -> tuple[str, bool]:
    return _bucket_key(Asked(account, "", "s3", "", {"Bucket": bucket}))


def _object(asked: Asked, whole_bucket: bool) -> dict[str, str]:
    path = asked.parameters["Bucket"] if whole_bucket else f"{asked.parameters['Bucket']}/{asked.parameters['Key']}"
    return {"aws:s3:arn": f"arn:aws:s3:::{path}"}


def _put_object(asked: Asked) -> list[Use]:
    key, whole = _bucket_key(asked)
    # With a bucket key, S3 also decrypts the bucket's data key.
    return [Use(key, ENCRYPT + (DECRYPT if whole else ()), via="s3", context=_object(asked, whole))]


def _get_object(asked: Asked) -> list[Use]:
    bucket = s3_backends[asked.account]["aws"].buckets.get(asked.parameters["Bucket"])
    found = bucket.keys.get(asked.parameters["Key"]) if bucket else None
    key = getattr(found, "kms_key_id", None) or ""
    return [Use(key, DECRYPT, via="s3", context=_object(asked, bool(getattr(found, "bucket_key_enabled", False))))]


def _secret_use(actions: tuple[str, ...]) -> Callable[[Asked], list[Use]]:
    def uses(asked: Asked) -> list[Use]:
        found = secret(asked)
        key = found.kms_key_id if found else asked.parameters.get("KmsKeyId")
        context = {"SecretARN": found.arn} if found else {}
        return [Use(key or "", actions, via="secretsmanager", context=context)]

    return uses


def _created_secret(asked: Asked) -> list[Use]:
    valued = "SecretString" in asked.parameters or "SecretBinary" in asked.parameters
    return [Use(asked.parameters.get("KmsKeyId") or "", ENCRYPT + DECRYPT, via="secretsmanager")] if valued else []


def _database(asked: Asked) -> list[Use]:
    given = asked.parameters
    return [
        Use(given.get("KmsKeyId") or "", KEEP, via="rds"),
        Use(given.get("PerformanceInsightsKMSKeyId") or "", KEEP, via="rds"),
        Use(given.get("MasterUserSecretKmsKeyId") or "", (*ENCRYPT, *DECRYPT, "kms:DescribeKey"), via="secretsmanager"),
    ]


def _repository(asked: Asked) -> list[Use]:
    return [Use((asked.parameters.get("encryptionConfiguration") or {}).get("kmsKey") or "", KEEP, via="ecr")]


def _cluster(asked: Asked) -> list[Use]:
    return [Use(one["provider"]["keyArn"], KEEP) for one in asked.parameters.get("encryptionConfig") or []]


def _nodes(asked: Asked) -> list[Use]:
    """The volumes of the nodes are encrypted by Auto Scaling's service-linked role, not by the caller."""
    named = asked.parameters.get("launchTemplate") or {}
    backend = ec2_backends[asked.account][asked.region]
    templates = [
        one for one in backend.launch_templates.values() if one.id == named.get("id") or one.name == named.get("name")
    ]
    actions = (*DECRYPT, "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo", *KEEP)
    role = f"arn:aws:iam::{asked.account}:{AUTO_SCALING}"
    return [
        Use(mapping["Ebs"]["KmsKeyId"], actions, by=role, via="ec2")
        for template in templates
        for mapping in template.latest_version().data.get("BlockDeviceMappings", [])
        if (mapping.get("Ebs") or {}).get("KmsKeyId")
    ]


def _log_group(asked: Asked) -> list[Use]:
    name = asked.parameters.get("logGroupName", "")
    group = asked.arn("logs", f"log-group:{name}")
    return [
        Use(
            asked.parameters.get("kmsKeyId") or "",
            (*ENCRYPT, *DECRYPT, "kms:Encrypt"),
            by=f"logs.{asked.region}.amazonaws.com",
            context={"aws:logs:arn": group},
        )
    ]


USES: dict[str, Callable[[Asked], list[Use]]] = {
    "ecr:CreateRepository": _repository,
    "eks:CreateCluster": _cluster,
    "eks:CreateNodegroup": _nodes,
    "logs:AssociateKmsKey": _log_group,
    "logs:CreateLogGroup": _log_group,
    "rds:CreateDBInstance": _database,
    "s3:CreateMultipartUpload": _put_object,
    "s3:GetObject": _get_object,
    "s3:PutObject": _put_object,
    "secretsmanager:CreateSecret": _created_secret,
    "secretsmanager:GetSecretValue": _secret_use(DECRYPT),
    "secretsmanager:PutSecretValue": _secret_use(ENCRYPT + DECRYPT),
}
