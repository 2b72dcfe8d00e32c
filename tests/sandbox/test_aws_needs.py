"""Which permissions the calls of pods need, and what happens to a call that no table knows."""

import unittest
from unittest import mock

from aws import guard, keys, needs, permissions
from aws.call import Call
from aws.identity import Identity

ACCOUNT, REGION = "123456789012", "eu-south-2"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/controller"
CLUSTER = "elbv2.k8s.aws/cluster"
EC2 = f"arn:aws:ec2:{REGION}:{ACCOUNT}"
ELB = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"


def role(*statements: dict) -> permissions.Principal:
    documents = ({"Version": "2012-10-17", "Statement": list(statements)},)
    return permissions.Principal(ACCOUNT, "session", ROLE, documents, limited=True, pod=True)


def allow(action, resource="*", condition: dict | None = None) -> dict:
    return {"Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition or {}}


def asked(action: str, **parameters) -> needs.Asked:
    service, operation = action.split(":")
    return needs.Asked(ACCOUNT, REGION, service, operation, parameters)


def refused(caller: permissions.Principal, call: needs.Asked) -> str | None:
    found = guard._permitted(call, caller)
    return found.message if found else None


class Tagged(unittest.TestCase):
    """Resources of our cluster and of another one, as the load balancer controller meets them."""

    TAGS = {"ours": "payments-spain", "theirs": "other"}

    def setUp(self):
        def tags(name: str) -> needs.Facts:
            value = next((value for key, value in self.TAGS.items() if key in name), None)
            return {f"aws:ResourceTag/{CLUSTER}": value} if value else {}

        def ec2(call: needs.Asked, name: str):
            kind = needs.EC2_KINDS[name.split("-")[0]]
            return f"{EC2}:{kind}/{name}", tags(name)

        for name, stand_in in (("_ec2", ec2), ("_elb", lambda _call, arn: (arn, tags(arn)))):
            patch = mock.patch.object(needs, name, stand_in)
            patch.start()
            self.addCleanup(patch.stop)

    def test_only_resources_with_the_clusters_tag_are_changed(self):
        ours = {"StringEquals": {f"aws:ResourceTag/{CLUSTER}": "payments-spain"}}
        caller = role(allow(["ec2:DeleteSecurityGroup", "elasticloadbalancing:*"], condition=ours))
        self.assertIsNone(refused(caller, asked("ec2:DeleteSecurityGroup", GroupId="sg-ours")))
        self.assertIn("ec2:DeleteSecurityGroup", refused(caller, asked("ec2:DeleteSecurityGroup", GroupId="sg-theirs")))
        group = f"{ELB}:targetgroup/ours/1"
        self.assertIsNone(refused(caller, asked("elasticloadbalancing:RegisterTargets", TargetGroupArn=group)))
        other = f"{ELB}:targetgroup/theirs/1"
        self.assertIn(other, refused(caller, asked("elasticloadbalancing:RegisterTargets", TargetGroupArn=other)))

    def test_tags_on_a_new_resource_need_their_own_permission(self):
        tags = [{"Key": CLUSTER, "Value": "payments-spain"}]
        wanted = {"StringEquals": {f"aws:RequestTag/{CLUSTER}": "payments-spain"}}
        create = allow("elasticloadbalancing:CreateLoadBalancer", f"{ELB}:loadbalancer/app/*", wanted)
        call = asked("elasticloadbalancing:CreateLoadBalancer", Name="web", Type="application", Tags=tags)
        self.assertIn("elasticloadbalancing:AddTags", refused(role(create), call))
        creating = {"StringEquals": {"elasticloadbalancing:CreateAction": "CreateLoadBalancer"}}
        add = allow("elasticloadbalancing:AddTags", f"{ELB}:loadbalancer/app/*", creating)
        self.assertIsNone(refused(role(create, add), call))
        self.assertIsNotNone(refused(role(create, add), asked("elasticloadbalancing:CreateLoadBalancer", Name="web")))

    def test_a_security_group_is_created_in_a_permitted_vpc(self):
        specification = [{"ResourceType": "security-group", "Tags": [{"Key": CLUSTER, "Value": "payments-spain"}]}]
        caller = role(
            allow("ec2:CreateSecurityGroup", [f"{EC2}:security-group/*", f"{EC2}:vpc/vpc-1"]),
            allow("ec2:CreateTags", f"{EC2}:security-group/*", {"StringEquals": {"ec2:CreateAction": "CreateSecurityGroup"}}),
        )
        create = "ec2:CreateSecurityGroup"
        self.assertIsNone(refused(caller, asked(create, VpcId="vpc-1", TagSpecifications=specification)))
        self.assertIn("vpc-2", refused(caller, asked(create, VpcId="vpc-2", TagSpecifications=specification)))
        retag = asked("ec2:CreateTags", Resources=["sg-1"], Tags=specification[0]["Tags"])
        self.assertIn("ec2:CreateTags", refused(caller, retag))

    def test_a_rule_is_created_on_a_listener_and_tagged_as_a_rule(self):
        listener = f"{ELB}:listener/app/web/1/2"
        call = asked("elasticloadbalancing:CreateRule", ListenerArn=listener, Tags=[{"Key": "a", "Value": "b"}])
        found = [(need.action, need.resource) for need in needs.of(call)]
        self.assertEqual(found, [
            ("elasticloadbalancing:CreateRule", listener),
            ("elasticloadbalancing:AddTags", f"{ELB}:listener-rule/app/web/1/2/*"),
        ])


class Records(unittest.TestCase):
    ZONE = "arn:aws:route53:::hostedzone/Z0"

    def change(self, *records: tuple[str, str]) -> needs.Asked:
        changes = [{"Action": "CREATE", "ResourceRecordSet": {"Name": name, "Type": kind}} for name, kind in records]
        return asked("route53:ChangeResourceRecordSets", HostedZoneId="/hostedzone/Z0", ChangeBatch={"Changes": changes})

    def test_one_foreign_name_refuses_the_whole_batch(self):
        names = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
        caller = role(allow(needs.RECORDS, self.ZONE, {"ForAllValues:StringLike": {names: ["api-es.x", "*-api-es.x"]}}))
        own = [("API-ES.x.", "A"), ("cname-api-es.x", "TXT")]
        self.assertIsNone(refused(caller, self.change(*own)))
        self.assertIsNotNone(refused(caller, self.change(*own, ("api-mx.x", "A"))))

    def test_a_wildcard_record_has_its_normalized_name(self):
        known = needs.of(self.change(("*.x.", "A")))[0].facts
        self.assertEqual(known["route53:ChangeResourceRecordSetsNormalizedRecordNames"], ["\\052.x"])


class Guard(unittest.TestCase):
    def who(self, service_account: str) -> Identity:
        return Identity(ACCOUNT, "session", ROLE, "id", "secret", service_account=service_account)

    def test_a_pod_is_denied_a_call_that_the_table_does_not_contain(self):
        caller = role(allow("*"))
        why = refused(caller, asked("sqs:SendMessage"))
        self.assertIn("sqs:SendMessage", why)
        self.assertIn("needs.py", why)

    def test_every_pod_may_ask_who_it_is(self):
        self.assertIsNone(refused(role(), asked("sts:GetCallerIdentity")))

    def test_a_role_that_does_not_exist_any_more_allows_its_pod_nothing(self):
        with mock.patch.object(permissions, "_holders", return_value=[]):
            self.assertTrue(permissions.of(self.who("system:serviceaccount:a:b")).limited)
            self.assertFalse(permissions.of(self.who("")).limited)

    def test_an_operator_is_limited_once_a_policy_says_anything_but_everything(self):
        for statements, limited in (
            ([], False),
            ([allow("ec2:*")], True),
            ([{"Effect": "Allow", "Action": "*", "Resource": "*"}], False),
            ([{"Effect": "Allow", "Action": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "s3:*", "Resource": "*"}], True),
        ):
            with mock.patch.object(permissions, "_holders", return_value=[None]), mock.patch.object(
                permissions, "_documents", return_value=[{"Statement": statements}]
            ):
                self.assertEqual(permissions.of(self.who("")).limited, limited, statements)
                self.assertTrue(permissions.of(self.who("system:serviceaccount:a:b")).limited)

    def test_a_request_that_cannot_be_read_stops_a_pod_only(self):
        call = Call("route53", REGION, "ChangeResourceRecordSets", "/")
        environ = {"REQUEST_METHOD": "POST", "sandbox.body": b"<no", "CONTENT_TYPE": "application/xml"}
        with mock.patch.object(permissions, "_holders", return_value=[]):
            self.assertEqual(guard.refusal(environ, call, self.who("a")).code, "AccessDenied")
            self.assertIsNone(guard.refusal(environ, call, self.who("")))


class Keys(unittest.TestCase):
    """A key policy lets a principal in by name, or leaves it to the account's identity policies."""

    def refused(self, statement: dict, caller: permissions.Principal, **use) -> str | None:
        import json
        import types

        key = types.SimpleNamespace(
            policy=json.dumps({"Statement": [{"Effect": "Allow", "Resource": "*", **statement}]}),
            arn=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k", account_id=ACCOUNT, region=REGION, key_state="Enabled",
        )
        with mock.patch.object(keys, "_key", return_value=key):
            return keys.refusal(keys.Use("k", ("kms:Decrypt",), **use), caller, ACCOUNT, REGION)

    def test_the_account_delegates_to_identity_policies(self):
        root = {"Action": "kms:*", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
        through = {"StringEquals": {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}}
        caller = role(allow("kms:Decrypt", condition=through))
        self.assertIsNone(self.refused(root, caller, via="secretsmanager"))
        self.assertIsNotNone(self.refused(root, caller, via="s3"))
        self.assertIsNotNone(self.refused(root, role(), via="secretsmanager"))

    def test_a_service_needs_its_own_statement_and_its_context(self):
        service = f"logs.{REGION}.amazonaws.com"
        root = {"Action": "kms:*", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
        self.assertIsNotNone(self.refused(root, role(allow("*")), by=service))
        group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/a"
        own = {
            "Action": "kms:Decrypt*",
            "Principal": {"Service": service},
            "Condition": {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": group}},
        }
        self.assertIsNone(self.refused(own, role(), by=service, context={"aws:logs:arn": group}))
        self.assertIsNotNone(self.refused(own, role(), by=service, context={"aws:logs:arn": group + "b"}))

    def test_auto_scaling_is_matched_by_its_role(self):
        scaling = f"arn:aws:iam::{ACCOUNT}:{keys.AUTO_SCALING}"
        own = {
            "Action": "kms:Decrypt",
            "Principal": {"AWS": "*"},
            "Condition": {"ArnEquals": {"aws:PrincipalArn": scaling}, "StringEquals": {"kms:CallerAccount": ACCOUNT}},
        }
        self.assertIsNone(self.refused(own, role(), by=scaling))
        self.assertIsNotNone(self.refused(own, role(allow("*"))))


if __name__ == "__main__":
    unittest.main()
