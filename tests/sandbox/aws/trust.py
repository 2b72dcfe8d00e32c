"""Evaluates trust policies of IAM roles: whether a caller, a pod or an AWS service may assume a role."""

from __future__ import annotations

from typing import Any

from .conditions import Facts, facts
from .policy import Request, Verdict, judge, parse

SOURCE = ("aws:SourceArn", "aws:SourceAccount")

# The condition keys that each service sends when it assumes a role. A condition on a key that a service does not send never
# holds, so the service cannot assume the role. From the user guides:
# - CloudTrail sends neither key. "Confused deputy prevention is not applicable to the role policy for CloudWatch Logs monitoring.
#   The role policy doesn't support the use of aws:SourceArn and aws:SourceAccount."
#   docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-required-policy-for-cloudwatch-logs.html; seen by users in
#   github.com/prowler-cloud/prowler/issues/4714
# - VPC flow logs: docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html
# - RDS Enhanced Monitoring: docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Monitoring.OS.Enabling.html (confused deputy)
# - EKS clusters: docs.aws.amazon.com/eks/latest/userguide/cross-service-confused-deputy-prevention.html
# - RDS Proxy and EC2 instance profiles: their guides show trust policies without conditions, so none is assumed to work.
SENT: dict[str, tuple[str, ...]] = {
    "cloudtrail.amazonaws.com": (),
    "ec2.amazonaws.com": (),
    "eks.amazonaws.com": SOURCE,
    "monitoring.rds.amazonaws.com": SOURCE,
    "rds.amazonaws.com": (),
    "vpc-flow-logs.amazonaws.com": SOURCE,
}


def allows(role: Any, action: str, kind: str, names: set[str], known: Facts) -> bool:
    """Whether a role's trust policy allows `action` to a principal of type `kind` that goes by any of `names`."""
    request = Request(action, facts=facts(known), names={kind: frozenset(names)})
    return judge([parse(role.assume_role_policy_document)], request) is Verdict.ALLOW


def allows_service(role: Any, service: str, source: str = "") -> bool:
    """Whether an AWS service may assume the role on behalf of the resource with the ARN `source`."""
    sources = {"aws:SourceArn": source, "aws:SourceAccount": role.account_id}
    known = {key: sources[key] for key in SENT.get(service, ())}
    return allows(role, "sts:AssumeRole", "Service", {service}, facts(known))


def allows_caller(role: Any, caller: Any) -> bool:
    """Whether the caller may assume the role. The policy may name its ARN, its role's ARN, or its account."""
    names = {caller.arn, caller.principal, caller.account, f"arn:aws:iam::{caller.account}:root"}
    known = {"aws:PrincipalArn": caller.principal, "aws:PrincipalAccount": caller.account}
    return allows(role, "sts:AssumeRole", "AWS", names, facts(known))
