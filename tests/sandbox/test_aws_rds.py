"""Snapshots of the simulated RDS, and the keys that they are encrypted with."""

from __future__ import annotations

import unittest

from moto.kms.models import kms_backends
from moto.rds.exceptions import KMSKeyNotAccessibleFault
from moto.rds.models import rds_backends

import places
from aws import inventory, rds

REGION = "eu-south-2"


class Keys(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        rds.install()

    def setUp(self) -> None:
        self.kms = kms_backends[places.ACCOUNT][REGION]
        self.rds = rds_backends[places.ACCOUNT][REGION]
        self.key = self.kms.create_key(None, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "data", None)
        self.addCleanup(self.rds.databases.clear)
        self.addCleanup(self.rds.database_snapshots.clear)

    def create(self, name: str) -> None:
        self.rds.create_db_instance(
            {
                "db_instance_identifier": name,
                "engine": "postgres",
                "engine_version": "17",
                "db_instance_class": "db.t4g.micro",
                "storage_encrypted": True,
                "kms_key_id": self.key.arn,
                "master_username": "dbadmin",
                "manage_master_user_password": True,
            }
        )

    def snapshot(self) -> dict[str, str]:
        """What the inventory says about the snapshot."""
        return next(more for kind, _, more in inventory._rds(self.rds) if kind == "snapshot")

    def test_a_snapshot_is_readable_for_as_long_as_its_key_is(self) -> None:
        self.create("payments")
        self.rds.create_db_snapshot("payments", "final")
        self.assertNotIn("state", self.snapshot())
        self.kms.schedule_key_deletion(self.key.id, 7)
        self.assertEqual(self.snapshot()["state"], "unreadable: its key is PendingDeletion")
        with self.assertRaises(KMSKeyNotAccessibleFault):
            self.rds.restore_db_instance_from_db_snapshot("final", {"db_instance_identifier": "restored"})

    def test_a_database_cannot_be_created_with_a_key_that_is_scheduled_for_deletion(self) -> None:
        self.kms.schedule_key_deletion(self.key.id, 7)
        with self.assertRaises(KMSKeyNotAccessibleFault):
            self.create("payments")

    def test_a_retained_backup_names_its_key(self) -> None:
        self.create("payments")
        self.rds.create_auto_snapshot("payments", "rds:payments-1")
        backups = self.rds.describe_db_instance_automated_backups()
        self.assertEqual([backup.kms_key_id for backup in backups], [self.key.arn])


if __name__ == "__main__":
    unittest.main()
