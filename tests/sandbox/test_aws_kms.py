"""When the deletion of a key can be cancelled."""

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


if __name__ == "__main__":
    unittest.main()
