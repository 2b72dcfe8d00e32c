"""What a request is about, which fault rules hit it, and whom a role trusts."""

import io
import json
import types
import unittest

from aws import call, faults, trust


def request(method: str, path: str, query: str = "", body: bytes = b"", **headers: str) -> call.Call:
    """A request signed for a service of eu-south-2; its body a form where it has one."""
    service = headers.pop("service")
    environ = {
        "REQUEST_METHOD": method,
        "RAW_URI": f"{path}?{query}",
        "QUERY_STRING": query,
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/x-www-form-urlencoded" if body else "",
        "HTTP_HOST": "10.89.0.1:5000",
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-south-2/{service}/aws4_request, SignedHeaders=host, Signature=0",
        **headers,
    }
    return call.of(environ)


class Naming(unittest.TestCase):
    def test_each_protocol_names_its_action(self):
        self.assertEqual(
            request("POST", "/", body=b"Action=DescribeVpcs&Version=1", service="ec2").action, "DescribeVpcs"
        )
        self.assertEqual(
            request("POST", "/", service="ecr", HTTP_X_AMZ_TARGET="A.B.PutLifecyclePolicy").action, "PutLifecyclePolicy"
        )
        self.assertEqual(request("GET", "/clusters/c", service="eks").action, "DescribeCluster")
        self.assertEqual(
            request("POST", "/2013-04-01/hostedzone/Z/rrset/", service="route53").action, "ChangeResourceRecordSets"
        )

    def test_operations_of_one_path_are_told_apart(self):
        self.assertEqual(request("PUT", "/b/k", service="s3").action, "PutObject")
        self.assertEqual(request("PUT", "/b/k", service="s3", HTTP_X_AMZ_COPY_SOURCE="/b/o").action, "CopyObject")
        self.assertEqual(request("PUT", "/b/k", "partNumber=1&uploadId=x", service="s3").action, "UploadPart")
        self.assertEqual(request("DELETE", "/b/k", service="s3").action, "DeleteObject")
        self.assertEqual(request("GET", "/b", "versioning", service="s3").action, "GetBucketVersioning")

    def test_an_unsigned_call_is_placed_by_its_host(self):
        environ = {
            "REQUEST_METHOD": "POST",
            "RAW_URI": "/",
            "wsgi.input": io.BytesIO(body := b"Action=AssumeRoleWithWebIdentity"),
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "HTTP_HOST": "sts.us-east-1.amazonaws.com",
        }
        found = call.of(environ)
        self.assertEqual((found.service, found.region, found.action), ("sts", "us-east-1", "AssumeRoleWithWebIdentity"))

    def test_only_what_changes_something_counts_as_a_change(self):
        for action in (
            "DescribeVpcs",
            "ListRoles",
            "GetObject",
            "HeadBucket",
            "BatchGetImage",
            "AssumeRole",
            "Decrypt",
        ):
            self.assertFalse(call.Call("x", "r", action, "").changes, action)
        for action in ("CreateVpc", "PutObject", "DeleteObject", "BatchDeleteImage", "TagResource", "RunInstances"):
            self.assertTrue(call.Call("x", "r", action, "").changes, action)


class Faults(unittest.TestCase):
    def setUp(self):
        faults.clear()
        self.addCleanup(faults.clear)

    def hits(self, times: int, action: str = "CreateVpc", region: str = "eu-south-2") -> list[bool]:
        return [bool(faults.on(call.Call("ec2", region, action, ""))) for _ in range(times)]

    def test_a_rule_skips_then_counts(self):
        faults.add([{"service": "ec2", "action": "Create*", "skip": 1, "count": 2, "status": 500}])
        self.assertEqual(self.hits(5), [False, True, True, False, False])

    def test_a_rule_is_for_its_region_and_action(self):
        faults.add([{"service": "ec2", "action": "CreateVpc", "region": "us-*", "count": None, "delay": 1}])
        self.assertEqual(self.hits(1), [False])
        self.assertEqual(self.hits(2, region="us-east-1"), [True, True])
        self.assertEqual(self.hits(1, action="DeleteVpc", region="us-east-1"), [False])

    def test_a_settling_time_lasts(self):
        faults.add([{"service": "ec2", "action": "CreateVpc", "settle": 9}])
        self.assertEqual(self.hits(3), [True, True, True])
        faults.set_settling(faults.on(call.Call("ec2", "x", "CreateVpc", "")))
        self.assertEqual(faults.settling(), 9)

    def test_a_mistyped_rule_is_refused_whole(self):
        with self.assertRaisesRegex(ValueError, "regoin"):
            faults.add([{"status": 500}, {"regoin": "x", "status": 500}])
        with self.assertRaisesRegex(ValueError, "needs"):
            faults.add([{"service": "ec2"}])
        self.assertEqual(faults.listed(), [])


class Trust(unittest.TestCase):
    def role(self, statement: dict):
        return types.SimpleNamespace(account_id="1", assume_role_policy_document=json.dumps({"Statement": statement}))

    def web(self, role, **facts: str) -> bool:
        given = {f"host:{key}": [value] for key, value in facts.items()}
        return trust.allows(role, "sts:AssumeRoleWithWebIdentity", "Federated", lambda arn: arn == "provider", given)

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

    def test_a_service_is_held_to_the_thing_it_acts_for(self):
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

    def test_a_caller_is_named_by_itself_its_role_or_its_account(self):
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

    def test_a_denial_wins(self):
        allow = {"Effect": "Allow", "Action": "sts:*", "Principal": "*"}
        deny = {"Effect": "Deny", "Action": "sts:AssumeRole", "Principal": {"AWS": "1"}}
        caller = types.SimpleNamespace(account="1", arn="a", principal="a")
        self.assertTrue(trust.allows_caller(self.role([allow]), caller))
        self.assertFalse(trust.allows_caller(self.role([allow, deny]), caller))


if __name__ == "__main__":
    unittest.main()
