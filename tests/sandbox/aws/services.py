"""What AWS services do with the roles and keys that they are given, checked when a resource is created.

A service assumes its role (`trust.py`) and then needs some permissions. AWS refuses some resources at once; others it creates,
and they never work: a flow log has the status `Access error`, a proxy has no target. The sandbox refuses both kinds, because
nothing flows here that a test could miss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from moto.rds.models import rds_backends
from moto.secretsmanager.models import secretsmanager_backends

from . import errors, keys, permissions, trust
from .needs import Asked, Facts, tag_facts

Needed = tuple[str, str, Facts]


def lacking(role: str, service: str, source: str, needed: Iterable[Needed]) -> str | None:
    """Why a service cannot use a role as it must, or None."""
    found = permissions.role_of(role)
    if not found or not trust.allows_service(found, service, source):
        return f"{service} cannot assume {role}"
    session = permissions.of_role(role, service.split(".")[0])
    whys = (session.refusal(action, resource, known) for action, resource, known in needed)
    return next((why for why in whys if why), None)


def flow_log(asked: Asked) -> errors.Refusal | None:
    given = asked.parameters
    role = given.get("DeliverLogsPermissionArn")
    if not role:
        return None
    destination = given.get("LogDestination", "").removesuffix(":*")
    group = destination or asked.arn("logs", f"log-group:{given.get('LogGroupName')}")
    # The ARNs are those in CloudWatch's own error messages.
    needed: list[Needed] = [
        ("logs:CreateLogStream", f"{group}:log-stream:eni-0123456789abcdef0-all", {}),
        ("logs:PutLogEvents", f"{group}:log-stream:eni-0123456789abcdef0-all", {}),
        ("logs:DescribeLogStreams", f"{group}:log-stream:", {}),
        ("logs:DescribeLogGroups", asked.arn("logs", "log-group::log-stream:"), {}),
    ]
    source = asked.arn("ec2", "vpc-flow-log/fl-0123456789abcdef0")
    why = lacking(role, "vpc-flow-logs.amazonaws.com", source, needed)
    return errors.Refusal(400, "InvalidParameterValue", f"Access error: {why}") if why else None


def monitoring(asked: Asked) -> errors.Refusal | None:
    """Enhanced Monitoring writes to the account's log group RDSOSMetrics."""
    given = asked.parameters
    present = rds_backends[asked.account][asked.region].databases.get(given.get("DBInstanceIdentifier", ""))
    role = given.get("MonitoringRoleArn") or getattr(present, "monitoring_role_arn", None)
    interval = given.get("MonitoringInterval", getattr(present, "monitoring_interval", 0))
    if not int(interval or 0):
        return None
    group = asked.arn("logs", "log-group:RDSOSMetrics")
    needed: list[Needed] = [
        ("logs:CreateLogGroup", group, {}),
        ("logs:PutRetentionPolicy", group, {}),
        ("logs:CreateLogStream", f"{group}:log-stream:db-0", {}),
        ("logs:PutLogEvents", f"{group}:log-stream:db-0", {}),
    ]
    source = asked.arn("rds", f"db:{given.get('DBInstanceIdentifier')}")
    why = lacking(role or "", "monitoring.rds.amazonaws.com", source, needed)
    if not why:
        return None
    message = "IAM role ARN value is invalid or does not include the required permissions for: ENHANCED_MONITORING"
    return errors.Refusal(400, "InvalidParameterValue", f"{message} ({why})")


def proxy(asked: Asked) -> errors.Refusal | None:
    """The proxy reads the secrets of its logins, and decrypts them with their keys."""
    given = asked.parameters
    present = rds_backends[asked.account][asked.region].db_proxies.get(given.get("DBProxyName", ""))
    role = given.get("RoleArn") or getattr(present, "role_arn", "")
    store = secretsmanager_backends[asked.account][asked.region].secrets
    arns = [auth["SecretArn"] for auth in given.get("Auth", []) if auth.get("SecretArn")]
    secrets = [(arn, store.get(arn)) for arn in arns]
    missing = next((arn for arn, found in secrets if not found), None)
    needed: list[Needed] = [
        ("secretsmanager:GetSecretValue", arn, tag_facts(found.tags, "aws:ResourceTag", "secretsmanager:ResourceTag"))
        for arn, found in secrets
        if found
    ]
    why = f"the secret {missing} does not exist" if missing else lacking(role, "rds.amazonaws.com", "", needed)
    if not why:
        session = permissions.of_role(role, "rds")
        uses = [
            keys.Use(found.kms_key_id or "", keys.DECRYPT, via="secretsmanager", context={"SecretARN": arn})
            for arn, found in secrets
        ]
        whys = (keys.refusal(use, session, asked.account, asked.region) for use in uses)
        why = next((one for one in whys if one), None)
    return errors.Refusal(400, "InvalidParameterValue", f"The proxy cannot use its role: {why}") if why else None


def _role_with(role: str, service: str, kind: str, source: str, actions: str) -> errors.Refusal | None:
    why = lacking(role, service, source, [(action, "*", {}) for action in actions.split()])
    return errors.Refusal(400, "InvalidParameterException", f"The {kind} role cannot be used: {why}") if why else None


def cluster(asked: Asked) -> errors.Refusal | None:
    """A sample of what AmazonEKSClusterPolicy allows."""
    actions = "ec2:DescribeSubnets ec2:DescribeSecurityGroups ec2:DescribeInstances"
    source = asked.arn("eks", f"cluster/{asked.parameters.get('name')}")
    return _role_with(asked.parameters.get("roleArn", ""), "eks.amazonaws.com", "cluster", source, actions)


def nodes(asked: Asked) -> errors.Refusal | None:
    """Nodes join the cluster and pull images. On AWS they start and never become ready."""
    actions = (
        "ec2:DescribeInstances eks:DescribeCluster"
        " ecr:GetAuthorizationToken ecr:BatchGetImage ecr:GetDownloadUrlForLayer"
    )
    return _role_with(asked.parameters.get("nodeRole", ""), "ec2.amazonaws.com", "node", "", actions)


CHECKS: dict[str, Callable[[Asked], errors.Refusal | None]] = {
    "ec2:CreateFlowLogs": flow_log,
    "eks:CreateCluster": cluster,
    "eks:CreateNodegroup": nodes,
    "rds:CreateDBInstance": monitoring,
    "rds:CreateDBProxy": proxy,
    "rds:ModifyDBInstance": monitoring,
    "rds:ModifyDBProxy": proxy,
}
