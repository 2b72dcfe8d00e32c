"""Errors of the AWS API that a killed run meets as well."""

from __future__ import annotations

import random
from typing import Any

from account import page

# Service, action: what `up` and `down` call themselves or through Terraform and the clusters' controllers.
ACTIONS = [
    ("*", "*"),
    ("s3", "PutObject"),
    ("s3", "GetObject"),
    ("s3", "DeleteObject"),
    ("ec2", "CreateVpc"),
    ("ec2", "AllocateAddress"),
    ("ec2", "CreateSubnet"),
    ("ec2", "DeleteSecurityGroup"),
    ("eks", "CreateCluster"),
    ("eks", "CreateNodegroup"),
    ("eks", "CreateAccessEntry"),
    ("eks", "DescribeCluster"),
    ("rds", "CreateDBInstance"),
    ("rds", "CreateDBProxy"),
    ("secretsmanager", "PutSecretValue"),
    ("secretsmanager", "CreateSecret"),
    ("kms", "CreateKey"),
    ("iam", "CreateRole"),
    ("ecr", "GetAuthorizationToken"),
    ("route53", "ChangeResourceRecordSets"),
    ("elasticloadbalancing", "CreateLoadBalancer"),
    ("elasticloadbalancing", "DescribeLoadBalancers"),
]
ANSWERS = [
    {"status": 400, "code": "ThrottlingException", "message": "Rate exceeded"},
    {"status": 500, "code": "InternalFailure", "message": "fault"},
    {"status": 503, "code": "ServiceUnavailable", "message": "fault"},
    # It acted, and the answer was lost.
    {"status": 500, "code": "InternalFailure", "message": "fault", "after": True},
    {"status": 403, "code": "AccessDenied", "message": "fault"},
    {"delay": 5},
]


def inject(rng: random.Random) -> dict[str, Any]:
    service, action = rng.choice(ACTIONS)
    rule = {"service": service, "action": action, "skip": rng.randint(0, 5), "count": rng.randint(1, 3), **rng.choice(ANSWERS)}
    page("faults", "POST", rule)
    return rule


def clear() -> None:
    page("faults", "DELETE")
