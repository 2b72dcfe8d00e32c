"""CloudTrail refuses a trail that it could not write."""

import copy
import json
import unittest

from moto.core.exceptions import JsonRESTError
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.s3.models import s3_backends

from aws import cloudtrail

ACCOUNT, REGION, BUCKET = "210987654321", "eu-south-2", "trail-bucket"
TRAIL = f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/trail"
SERVICE = {"Service": "cloudtrail.amazonaws.com"}
SOURCE = {"StringEquals": {"aws:SourceArn": TRAIL}}
GROUP = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/trail"

BUCKET_POLICY = [
    {"Effect": "Allow", "Principal": SERVICE, "Action": "s3:GetBucketAcl", "Resource": f"arn:aws:s3:::{BUCKET}", "Condition": SOURCE},
    {
        "Effect": "Allow",
        "Principal": SERVICE,
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/AWSLogs/{ACCOUNT}/*",
        "Condition": {"StringEquals": {"aws:SourceArn": TRAIL, "s3:x-amz-acl": "bucket-owner-full-control"}},
    },
    {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
]
KEY_ACTIONS = ["kms:GenerateDataKey*", "kms:DescribeKey", "kms:Decrypt"]
TRUST = {"Effect": "Allow", "Principal": SERVICE, "Action": "sts:AssumeRole"}
STREAM = f"{GROUP}:log-stream:{ACCOUNT}_CloudTrail_{REGION}*"


class Trails(unittest.TestCase):
    def create(
        self, bucket=BUCKET_POLICY, key_actions=KEY_ACTIONS, trust=TRUST, stream=STREAM, bucket_key=True, then=None
    ) -> str:
        """Creates a trail, then calls `then` with the backend. Returns the error's code, or an empty string."""
        iam, s3 = iam_backends[ACCOUNT]["aws"], s3_backends[ACCOUNT]["aws"]
        kms = kms_backends[ACCOUNT][REGION]
        statement = {"Effect": "Allow", "Principal": SERVICE, "Action": key_actions, "Resource": "*", "Condition": SOURCE}
        key = kms.create_key(json.dumps({"Statement": [statement]}), "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "", None)
        found = s3.create_bucket(BUCKET, REGION)
        found.policy = json.dumps({"Statement": bucket}).encode()
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key.arn}
        found.encryption = {"Rule": {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": bucket_key}}
        role = iam.create_role("trail", json.dumps({"Statement": trust}), "/", None, "", [], "3600")
        write = {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": stream}
        role.policies["write"] = json.dumps({"Statement": write})
        backend = cloudtrail.Backend(REGION, ACCOUNT)
        try:
            backend.create_trail(
                "trail", BUCKET, None, None, False, False, True, False, f"{GROUP}:*", role.arn, key.arn, []
            )
            if then:
                then(backend)
        except JsonRESTError as error:
            self.assertEqual(backend.trails, {}, "a refused trail does not exist")
            return error.error_type
        finally:
            s3.delete_bucket(BUCKET)
            del iam.roles[role.id]
        return ""

    def test_an_update_is_checked_as_well_and_changes_nothing_if_it_is_refused(self):
        changed = {"is_multi_region_trail": True, "cw_role_arn": f"arn:aws:iam::{ACCOUNT}:role/missing"}
        kept = dict.fromkeys(
            "s3_bucket_name s3_key_prefix sns_topic_name include_global_service_events enable_log_file_validation"
            " is_organization_trail cw_log_group_arn kms_key_id".split()
        )

        def update(backend: cloudtrail.Backend) -> None:
            with self.assertRaisesRegex(JsonRESTError, "trust relationships"):
                backend.update_trail(name=TRAIL, **kept, **changed)
            self.assertFalse(backend.get_trail("trail").is_multi_region)
            backend.update_trail(name=TRAIL, **kept, is_multi_region_trail=True, cw_role_arn=None)
            self.assertTrue(backend.get_trail("trail").is_multi_region)

        self.assertEqual(self.create(then=update), "")

    def test_a_trail_with_access_to_everything_is_created(self):
        self.assertEqual(self.create(), "")

    def test_a_role_that_asks_for_the_source_cannot_be_assumed(self):
        bound = {**TRUST, "Condition": SOURCE}
        self.assertEqual(self.create(trust=bound), "InvalidCloudWatchLogsRoleArnException")

    def test_a_role_that_cannot_write_to_the_log_group_is_refused(self):
        self.assertEqual(self.create(stream=f"{GROUP}x:*"), "InvalidCloudWatchLogsLogGroupArnException")

    def test_a_bucket_whose_policy_does_not_let_the_trail_write_is_refused(self):
        self.assertEqual(self.create(bucket=BUCKET_POLICY[:1]), "InsufficientS3BucketPolicyException")
        self.assertEqual(self.create(bucket=BUCKET_POLICY[1:]), "InsufficientS3BucketPolicyException")
        other = copy.deepcopy(BUCKET_POLICY)
        other[1]["Condition"]["StringEquals"]["aws:SourceArn"] = f"{TRAIL}-2"
        self.assertEqual(self.create(bucket=other), "InsufficientS3BucketPolicyException")

    def test_a_bucket_key_needs_the_permission_to_decrypt(self):
        self.assertEqual(self.create(key_actions=KEY_ACTIONS[:2]), "InsufficientEncryptionPolicyException")
        self.assertEqual(self.create(key_actions=KEY_ACTIONS[:2], bucket_key=False), "")

    def test_a_key_for_another_service_is_refused(self):
        self.assertEqual(self.create(key_actions=["kms:Encrypt"]), "InsufficientEncryptionPolicyException")


if __name__ == "__main__":
    unittest.main()
