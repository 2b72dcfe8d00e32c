"""The policies in terraform/ allow the calls that our pods make, and nothing on what belongs to others.

Terraform renders the policy documents of the stack `cluster` and of the key from their own files, with stand-ins for the values
of other stacks. Only the AWS provider's local functions are used: nothing is created and no account is asked.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import places
from aws import guard, keys, needs, permissions
from aws.conditions import listed

ACCOUNT, REGION, NAME = "123456789012", "eu-south-2", "payments-spain"
EC2, ELB = f"arn:aws:ec2:{REGION}:{ACCOUNT}", f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0"
SECRETS = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret"
MASTER_TAG = {"aws:ResourceTag/aws:rds:primaryDBInstanceArn": f"arn:aws:rds:{REGION}:{ACCOUNT}:db:{NAME}"}
OWNER = "elbv2.k8s.aws/cluster"
TERRAFORM = places.CHECKOUT / "terraform"
FILES = [*sorted((TERRAFORM / "stacks/cluster").glob("role_*.tf")), TERRAFORM / "modules/key/policy.tf"]

STAND_INS = {
    "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws"}}},
    "provider": {
        "aws": {
            "region": REGION,
            "access_key": "none",
            "secret_key": "none",
            "skip_credentials_validation": True,
            "skip_metadata_api_check": True,
            "skip_requesting_account_id": True,
            "skip_region_validation": True,
        }
    },
    "variable": {
        "aws_region": {"default": REGION},
        "partition": {"default": "aws"},
        "account_id": {"default": ACCOUNT},
        "trail_name": {"default": NAME},
        "log_groups": {"default": ["/aws/eks/payments-spain/cluster"]},
    },
    "locals": {
        "name": NAME,
        "partition": "aws",
        "account_id": ACCOUNT,
        "foundation": {
            "api_secret_arn": f"{SECRETS}:api-AbCdEf",
            "app_domain": "api-es.payments.example",
            "db_app_secret_arn": f"{SECRETS}:app-AbCdEf",
            "db_migrator_secret_arn": f"{SECRETS}:migrator-AbCdEf",
            "hosted_zone_id": "Z0",
            "kms_key_arn": KEY,
            "node_security_group_id": "sg-nodes",
            "vpc_id": "vpc-0",
        },
    },
}


def rendered() -> dict[str, dict]:
    """The policy documents by the names of their data sources."""
    blocks = re.findall(
        r'^(?:data "aws_iam_policy_document"|locals).*?^}$', "\n".join(f.read_text() for f in FILES), re.DOTALL | re.MULTILINE
    )
    names = re.findall(r'^data "aws_iam_policy_document" "(\w+)"', "\n".join(blocks), re.MULTILINE)
    outputs = {name: {"value": f"${{data.aws_iam_policy_document.{name}.json}}"} for name in names}
    configuration = places.tools() / "terraform.rc"
    known = {"TF_CLI_CONFIG_FILE": str(configuration)} if configuration.exists() else {}
    environment = {**known, **os.environ, "CHECKPOINT_DISABLE": "1", "AWS_EC2_METADATA_DISABLED": "true"}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "policies.tf").write_text("\n\n".join(blocks))
        Path(folder, "stand_ins.tf.json").write_text(json.dumps({**STAND_INS, "output": outputs}))
        # The same provider as the stacks, by their lock file.
        shutil.copy(TERRAFORM / "stacks/cluster/.terraform.lock.hcl", folder)
        for words in (["init", "-input=false"], ["apply", "-input=false", "-auto-approve"], ["output", "-json"]):
            done = subprocess.run(
                ["terraform", *words, "-no-color"], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
            )
            if done.returncode:
                raise AssertionError(f"terraform {words[0]}: {done.stderr or done.stdout}")
        return {name: json.loads(output["value"]) for name, output in json.loads(done.stdout).items()}


@unittest.skipUnless(shutil.which("terraform"), "terraform is not on PATH")
class Roles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.documents = rendered()

    def setUp(self):
        def tags(name: str) -> needs.Facts:
            owner = NAME if "ours" in name else "another" if "theirs" in name else ""
            return {f"aws:ResourceTag/{OWNER}": owner} if owner else {}

        def ec2(_call: needs.Asked, name: str):
            return f"{EC2}:{needs.EC2_KINDS[name.split('-')[0]]}/{name}", tags(name)

        def elb(_call: needs.Asked, arn: str):
            return arn, tags(arn)

        for name, stand_in in (("_ec2", ec2), ("_elb", elb)):
            patch = mock.patch.object(needs, name, stand_in)
            patch.start()
            self.addCleanup(patch.stop)

    def role(self, *documents: str) -> permissions.Principal:
        given = tuple(self.documents[name] for name in documents)
        return permissions.Principal(ACCOUNT, "pod", f"arn:aws:iam::{ACCOUNT}:role/pod", given, limited=True, pod=True)

    def refusal(self, caller: permissions.Principal, action: str, **parameters) -> str | None:
        service, operation = action.split(":")
        found = guard._permitted(needs.Asked(ACCOUNT, REGION, service, operation, parameters), caller)
        return found.message if found else None

    def may(self, caller: permissions.Principal, action: str, **parameters) -> None:
        self.assertIsNone(self.refusal(caller, action, **parameters))

    def may_not(self, caller: permissions.Principal, action: str, **parameters) -> None:
        self.assertIsNotNone(self.refusal(caller, action, **parameters), f"{action} {parameters}")

    def may_use_key(self, caller: permissions.Principal, *actions: str, by: str = "", via: str = "", **more) -> bool:
        key = mock.Mock(policy=json.dumps(self.documents["this"]), arn=KEY, account_id=ACCOUNT, region=REGION, key_state="Enabled")
        with mock.patch.object(keys, "_key", return_value=key):
            return keys.refusal(keys.Use(KEY, actions, by=by, via=via, **more), caller, ACCOUNT, REGION) is None

    def controller(self) -> permissions.Principal:
        return self.role("lb_controller_read", "lb_controller_security_groups", "lb_controller_load_balancers")

    def test_the_load_balancer_controller_creates_what_belongs_to_its_cluster(self):
        tags = [{"Key": OWNER, "Value": NAME}]
        group = [{"ResourceType": "security-group", "Tags": tags}]
        balancer, listener = f"{ELB}:loadbalancer/app/ours/1", f"{ELB}:listener/app/ours/1/2"
        for action, given in (
            ("ec2:CreateSecurityGroup", {"VpcId": "vpc-0", "TagSpecifications": group}),
            ("elasticloadbalancing:CreateLoadBalancer", {"Name": "ours", "Type": "application", "Tags": tags}),
            ("elasticloadbalancing:CreateTargetGroup", {"Name": "ours", "Tags": tags}),
            ("elasticloadbalancing:CreateListener", {"LoadBalancerArn": balancer, "Tags": tags}),
            ("elasticloadbalancing:CreateRule", {"ListenerArn": listener, "Tags": tags}),
            ("iam:CreateServiceLinkedRole", {"AWSServiceName": "elasticloadbalancing.amazonaws.com"}),
        ):
            self.may(self.controller(), action, **given)
        foreign = [{"Key": OWNER, "Value": "another"}]
        for action in ("CreateLoadBalancer", "CreateTargetGroup"):
            self.may_not(self.controller(), f"elasticloadbalancing:{action}", Name="x", Type="application", Tags=foreign)
            self.may_not(self.controller(), f"elasticloadbalancing:{action}", Name="x", Type="application")
        self.may_not(self.controller(), "ec2:CreateSecurityGroup", VpcId="vpc-1", TagSpecifications=group)
        self.may_not(self.controller(), "iam:CreateServiceLinkedRole", AWSServiceName="spot.amazonaws.com")

    def test_the_load_balancer_controller_changes_what_belongs_to_its_cluster(self):
        by_parameter = {
            "LoadBalancerArn": (
                "loadbalancer/app/{}/1",
                "DeleteLoadBalancer ModifyLoadBalancerAttributes SetIpAddressType SetSecurityGroups SetSubnets CreateListener",
            ),
            "TargetGroupArn": (
                "targetgroup/{}/1",
                "DeleteTargetGroup DeregisterTargets ModifyTargetGroup ModifyTargetGroupAttributes RegisterTargets",
            ),
        }
        for parameter, (path, names) in by_parameter.items():
            for name in names.split():
                action = f"elasticloadbalancing:{name}"
                self.may(self.controller(), action, **{parameter: f"{ELB}:{path.format('ours')}"})
                self.may_not(self.controller(), action, **{parameter: f"{ELB}:{path.format('theirs')}"})
        listener, rule = f"{ELB}:listener/app/ours/1/2", f"{ELB}:listener-rule/app/ours/1/2/3"
        for name in "AddListenerCertificates DeleteListener ModifyListener ModifyListenerAttributes".split():
            self.may(self.controller(), f"elasticloadbalancing:{name}", ListenerArn=listener)
        for name in ("DeleteRule", "ModifyRule"):
            self.may(self.controller(), f"elasticloadbalancing:{name}", RuleArn=rule)
        self.may(self.controller(), "elasticloadbalancing:SetRulePriorities", RulePriorities=[{"RuleArn": rule}])
        for name in ("AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"):
            for group in ("sg-ours", "sg-nodes"):
                self.may(self.controller(), f"ec2:{name}", GroupId=group)
            self.may_not(self.controller(), f"ec2:{name}", GroupId="sg-theirs")
        self.may(self.controller(), "ec2:DeleteSecurityGroup", GroupId="sg-ours")
        for group in ("sg-nodes", "sg-theirs"):
            self.may_not(self.controller(), "ec2:DeleteSecurityGroup", GroupId=group)

    def test_the_load_balancer_controller_reads_what_it_needs(self):
        reads = [
            action
            for action, rule in needs.TABLE.items()
            if rule is needs.anything and action.split(":")[0] in ("acm", "ec2", "elasticloadbalancing")
        ]
        self.assertGreater(len(reads), 20)
        for action in reads:
            self.may(self.controller(), action)
        certificate = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/1"
        self.may(self.controller(), "acm:DescribeCertificate", CertificateArn=certificate)
        self.may(self.controller(), "ec2:GetSecurityGroupsForVpc", VpcId="vpc-0")

    def test_external_dns_writes_its_own_names_only(self):
        caller = self.role("external_dns")
        self.may(caller, "route53:ListHostedZones")
        self.may(caller, "route53:ListResourceRecordSets", HostedZoneId="/hostedzone/Z0")
        self.may(caller, "route53:ListTagsForResources", ResourceType="hostedzone", ResourceIds=["Z0"])
        self.may_not(caller, "route53:ListResourceRecordSets", HostedZoneId="Z1")

        def change(*records: tuple[str, str], zone: str = "Z0") -> dict:
            sets = [{"Action": "UPSERT", "ResourceRecordSet": {"Name": name, "Type": kind}} for name, kind in records]
            return {"HostedZoneId": zone, "ChangeBatch": {"Changes": sets}}

        own = [("api-es.payments.example", "A"), ("cname-api-es.payments.example", "TXT")]
        self.may(caller, needs.RECORDS, **change(*own))
        self.may_not(caller, needs.RECORDS, **change(*own, zone="Z1"))
        self.may_not(caller, needs.RECORDS, **change(*own, ("api-mx.payments.example", "A")))
        self.may_not(caller, needs.RECORDS, **change(("api-es.payments.example", "NS")))

    def test_external_secrets_reads_its_regions_secrets_through_secrets_manager(self):
        caller = self.role("external_secrets")
        for arn, known, allowed in (
            (f"{SECRETS}:api-AbCdEf", {}, True),
            (f"{SECRETS}:app-AbCdEf", {}, True),
            (f"{SECRETS}:migrator-AbCdEf", {}, True),
            (f"{SECRETS}:rds!db-1-AbCdEf", MASTER_TAG, True),
            (f"{SECRETS}:rds!db-2-AbCdEf", {key: f"{value}-2" for key, value in MASTER_TAG.items()}, False),
            (f"{SECRETS}:other-AbCdEf", {}, False),
        ):
            self.assertEqual(caller.refusal("secretsmanager:GetSecretValue", arn, known) is None, allowed, arn)
            self.assertIsNotNone(caller.refusal("secretsmanager:PutSecretValue", arn, known), arn)
        self.assertTrue(self.may_use_key(caller, "kms:Decrypt", via="secretsmanager"))
        self.assertFalse(self.may_use_key(caller, "kms:Decrypt", via="s3"))
        self.assertFalse(self.may_use_key(caller, "kms:Encrypt", via="secretsmanager"))

    def test_the_volume_driver_encrypts_with_the_regions_key(self):
        caller = self.role("volume_key")
        actions = ("kms:DescribeKey", "kms:CreateGrant", "kms:GenerateDataKeyWithoutPlaintext", "kms:Decrypt")
        self.assertTrue(self.may_use_key(caller, *actions, via="ec2"))
        self.assertFalse(self.may_use_key(caller, "kms:ScheduleKeyDeletion", via="ec2"))

    def test_services_use_the_regions_key_for_their_own_resources(self):
        nobody = permissions.Principal(ACCOUNT, "nobody", "nobody", (), limited=True)
        logs, trail = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group", f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail"
        encrypt = ("kms:GenerateDataKey", "kms:Decrypt")
        for group, allowed in ((f"{logs}:/aws/eks/payments-spain/cluster", True), (f"{logs}:/other", False)):
            service = f"logs.{REGION}.amazonaws.com"
            self.assertEqual(self.may_use_key(nobody, *encrypt, by=service, context={"aws:logs:arn": group}), allowed, group)
        for source, allowed in ((f"{trail}/{NAME}", True), (f"{trail}/other", False)):
            more = {"aws:SourceArn": source}
            used = self.may_use_key(nobody, *encrypt, "kms:DescribeKey", by="cloudtrail.amazonaws.com", facts=more)
            self.assertEqual(used, allowed, source)
        scaling = f"arn:aws:iam::{ACCOUNT}:{keys.AUTO_SCALING}"
        actions = ("kms:GenerateDataKeyWithoutPlaintext", "kms:CreateGrant", "kms:ReEncryptFrom", "kms:ReEncryptTo", *encrypt)
        self.assertTrue(self.may_use_key(nobody, *actions, by=scaling, via="ec2"))
        self.assertFalse(self.may_use_key(nobody, *actions, by=f"{scaling}2", via="ec2"))

    def test_no_pod_may_do_something_on_everything_that_has_resources(self):
        """`*` is for actions without resource-level permissions only, and those read."""
        for name, document in self.documents.items():
            for statement in document["Statement"] if name != "this" else ():
                if statement["Resource"] == "*":
                    for action in listed(statement["Action"]):
                        self.assertRegex(action, r":(Describe|List)", name)


if __name__ == "__main__":
    unittest.main()
