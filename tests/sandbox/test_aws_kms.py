"""What is possible while the deletion of a key is scheduled, and after that."""

import unittest

from aws import kms
from moto.core.exceptions import JsonRESTError


class Keys(unittest.TestCase):
    def setUp(self):
        self.backend = kms.Backend("eu-south-2", "123456789012")
        self.key = self.backend.create_key(None, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "data", None)

    def test_a_scheduled_deletion_is_cancelled_once_and_leaves_the_key_disabled(self):
        self.backend.schedule_key_deletion(self.key.arn, 7)
        self.assertEqual(self.key.key_state, "PendingDeletion")
        self.backend.cancel_key_deletion(self.key.arn)
        self.assertEqual(self.key.key_state, "Disabled")
        with self.assertRaisesRegex(JsonRESTError, "KMSInvalidStateException"):
            self.backend.cancel_key_deletion(self.key.id)

    def test_an_enabled_key_stays_enabled(self):
        with self.assertRaises(JsonRESTError):
            self.backend.cancel_key_deletion(self.key.id)
        self.assertEqual(self.key.key_state, "Enabled")

    def test_a_key_that_is_to_be_deleted_takes_neither_a_tag_nor_another_state(self):
        self.backend.schedule_key_deletion(self.key.id, 7)
        for change in (
            lambda: self.backend.enable_key(self.key.arn),
            lambda: self.backend.disable_key(self.key.id),
            lambda: self.backend.tag_resource(self.key.arn, [{"TagKey": "Project", "TagValue": "payments"}]),
        ):
            with self.assertRaisesRegex(JsonRESTError, "pending deletion"):
                change()
        self.assertEqual(self.key.key_state, "PendingDeletion")

    def test_a_key_is_enabled_by_its_id_and_by_its_arn(self):
        for name in (self.key.id, self.key.arn):
            self.backend.disable_key(self.key.id)
            self.backend.enable_key(name)
            self.assertEqual(self.key.key_state, "Enabled")


if __name__ == "__main__":
    unittest.main()
