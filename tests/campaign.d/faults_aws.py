"""Faults of AWS: errors, delays and lost answers of its API."""

from __future__ import annotations

import random
from typing import Any

from account import page
from fault import Fault

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
    {"status": 403, "code": "ExpiredToken", "message": "fault"},
    {"status": 503, "code": "", "body": "html"},
    {"delay": 5},
]


def error(rng: random.Random, _length: float) -> Fault:
    service, action = rng.choice(ACTIONS)
    calls = {"skip": rng.randint(0, 5), "count": rng.randint(1, 3)}
    return rule({"service": service, "action": action, **calls, **rng.choice(ANSWERS)})


def rule(keys: dict[str, Any]) -> Fault:
    """A rule of the simulated AWS. It counts calls and therefore exists from before the run's first call."""

    def start() -> bool:
        page("faults", "POST", keys)
        return True

    return Fault(str(keys), start, lambda: page("faults", "DELETE"), 0)
