"""Bucket policies of the simulated S3: the encryption that an upload asks for."""

from __future__ import annotations

import unittest

from aws import s3

KEY = "arn:aws:kms:eu-south-2:123456789012:key/0"
ENCRYPTION = "s3:x-amz-server-side-encryption"
ENCRYPTION_KEY = "s3:x-amz-server-side-encryption-aws-kms-key-id"

# As src/aws/bucket/policy.rs writes it.
BUCKET_KEY_ONLY = {"Null": {ENCRYPTION: "false"}, "StringNotEquals": {ENCRYPTION_KEY: KEY}}
TLS_ONLY = {"Bool": {"aws:SecureTransport": "false"}}


class Conditions(unittest.TestCase):
    def denied(self, **headers: str) -> bool:
        names = {"encryption": ENCRYPTION, "key": ENCRYPTION_KEY}
        return s3.applies(BUCKET_KEY_ONLY, {names[name]: value for name, value in headers.items()})

    def test_an_upload_that_asks_for_nothing_gets_the_buckets_default(self) -> None:
        self.assertFalse(self.denied())

    def test_an_upload_with_the_buckets_key_is_allowed(self) -> None:
        self.assertFalse(self.denied(encryption="aws:kms", key=KEY))

    def test_an_upload_with_s3s_own_keys_is_denied(self) -> None:
        self.assertTrue(self.denied(encryption="AES256"))

    def test_an_upload_with_the_accounts_default_key_is_denied(self) -> None:
        self.assertTrue(self.denied(encryption="aws:kms"))

    def test_an_upload_with_another_key_is_denied(self) -> None:
        self.assertTrue(self.denied(encryption="aws:kms", key=KEY + "1"))

    def test_a_secure_request_is_not_affected_by_a_statement_about_plain_http(self) -> None:
        self.assertFalse(s3.applies(TLS_ONLY, {"aws:SecureTransport": "true"}))

    def test_an_operator_that_is_not_supported_is_not_taken_for_one_that_holds(self) -> None:
        with self.assertRaises(NotImplementedError):
            s3.applies({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {})


if __name__ == "__main__":
    unittest.main()
