"""CREATE fails only while the record exists, and DELETE only while it does not."""

import copy
import unittest

from aws import route53
from moto.route53.exceptions import ResourceRecordAlreadyExists, Route53ClientError


def change(action: str, value: str = "192.0.2.1") -> list:
    record = {"Name": "api.payments.example", "Type": "A", "TTL": "60", "ResourceRecords": [{"Value": value}]}
    return [{"Action": action, "ResourceRecordSet": record}]


class Records(unittest.TestCase):
    def setUp(self):
        self.backend = route53.Backend("us-east-1", "123456789012")
        zone = self.backend.create_hosted_zone("payments.example.", False, "x")
        self.names = lambda: [one.name for one in zone.rrsets if one.type == "A"]
        self.change = lambda *changes: self.backend.change_resource_record_sets(
            zone.id, copy.deepcopy([one for some in changes for one in some])
        )

    def test_creating_an_existing_record_fails(self):
        self.change(change("CREATE"))
        for value in ("192.0.2.1", "192.0.2.2"):
            with self.assertRaises(ResourceRecordAlreadyExists):
                self.change(change("CREATE", value))
        self.assertEqual(self.names(), ["api.payments.example."])

    def test_deleting_a_record_twice_fails(self):
        self.change(change("CREATE"))
        self.change(change("DELETE"))
        with self.assertRaisesRegex(Route53ClientError, "not found"):
            self.change(change("DELETE"))

    def test_a_deleted_record_can_be_created_again(self):
        for _ in range(2):
            self.change(change("CREATE"))
            self.change(change("DELETE"))
        self.change(change("CREATE"))
        self.change(change("DELETE"), change("CREATE"))
        self.assertEqual(self.names(), ["api.payments.example."])
