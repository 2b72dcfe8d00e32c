"""Whom the trust policy of a role allows to assume it."""

import json
import types
import unittest

from aws import trust


class Trust(unittest.TestCase):
    def role(self, statement: dict):
        return types.SimpleNamespace(account_id="1", assume_role_policy_document=json.dumps({"Statement": statement}))

    def web(self, role, **facts: str) -> bool:
        given = {f"host:{key}": [value] for key, value in facts.items()}
        return trust.allows(role, "sts:AssumeRoleWithWebIdentity", "Federated", {"provider"}, given)

    def test_a_service_account_needs_every_condition(self):
        role = self.role(
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Principal": {"Federated": "provider"},
                "Condition": {
                    "StringEquals": {"host:aud": "sts.amazonaws.com"},
                    "StringLike": {"host:sub": ["system:serviceaccount:a:*"]},
                },
            }
        )
        self.assertTrue(self.web(role, aud="sts.amazonaws.com", sub="system:serviceaccount:a:b"))
        self.assertFalse(self.web(role, aud="sts.amazonaws.com", sub="system:serviceaccount:c:b"))
        self.assertFalse(self.web(role, sub="system:serviceaccount:a:b"))

    def test_a_service_is_bound_to_its_source_arn(self):
        role = self.role(
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"Service": ["eks.amazonaws.com"]},
                "Condition": {"ArnEquals": {"aws:SourceArn": "arn:aws:eks:r:1:cluster/c"}},
            }
        )
        self.assertTrue(trust.allows_service(role, "eks.amazonaws.com", "arn:aws:eks:r:1:cluster/c"))
        self.assertFalse(trust.allows_service(role, "eks.amazonaws.com", "arn:aws:eks:r:1:cluster/d"))
        self.assertFalse(trust.allows_service(role, "ec2.amazonaws.com", "arn:aws:eks:r:1:cluster/c"))

    def test_cloudtrail_cannot_assume_a_role_that_asks_for_its_source(self):
        statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "cloudtrail.amazonaws.com"}}
        trail = "arn:aws:cloudtrail:r:1:trail/t"
        self.assertTrue(trust.allows_service(self.role(statement), "cloudtrail.amazonaws.com", trail))
        for key, value in (("aws:SourceArn", trail), ("aws:SourceAccount", "1")):
            bound = self.role({**statement, "Condition": {"StringEquals": {key: value}}})
            self.assertFalse(trust.allows_service(bound, "cloudtrail.amazonaws.com", trail), key)

    def test_flow_logs_and_enhanced_monitoring_send_their_source(self):
        for service, source in (
            ("vpc-flow-logs.amazonaws.com", "arn:aws:ec2:r:1:vpc-flow-log/fl-0"),
            ("monitoring.rds.amazonaws.com", "arn:aws:rds:r:1:db:d"),
        ):
            role = self.role(
                {
                    "Effect": "Allow",
                    "Action": "sts:AssumeRole",
                    "Principal": {"Service": service},
                    "Condition": {"StringEquals": {"aws:SourceAccount": "1"}, "ArnLike": {"aws:SourceArn": source}},
                }
            )
            self.assertTrue(trust.allows_service(role, service, source), service)
            self.assertFalse(trust.allows_service(role, service, source + "x"), service)

    def test_a_policy_can_name_the_caller_its_role_or_its_account(self):
        caller = types.SimpleNamespace(
            account="1", arn="arn:aws:sts::1:assumed-role/r/s", principal="arn:aws:iam::1:role/r"
        )
        for named in (caller.arn, caller.principal, "arn:aws:iam::1:root", "1"):
            self.assertTrue(
                trust.allows_caller(
                    self.role({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": named}}), caller
                ),
                named,
            )
        self.assertFalse(
            trust.allows_caller(
                self.role({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "2"}}), caller
            )
        )

    def test_a_deny_overrides_an_allow(self):
        allow = {"Effect": "Allow", "Action": "sts:*", "Principal": "*"}
        deny = {"Effect": "Deny", "Action": "sts:AssumeRole", "Principal": {"AWS": "1"}}
        caller = types.SimpleNamespace(account="1", arn="a", principal="a")
        self.assertTrue(trust.allows_caller(self.role([allow]), caller))
        self.assertFalse(trust.allows_caller(self.role([allow, deny]), caller))


if __name__ == "__main__":
    unittest.main()
