"""Reads that answer as before a change."""

import unittest
from typing import Any

from aws import call, faults, stale

LIST = {"REQUEST_METHOD": "GET", "RAW_URI": "/", "QUERY_STRING": "prefix=a", "wsgi.input": None, "sandbox.body": b""}


def calling(action: str, service: str = "kms", key: str = "AKIAOURS") -> call.Call:
    return call.Call(service, "eu-south-2", action, "", key)


class Stale(unittest.TestCase):
    def setUp(self):
        faults.clear()
        self.addCleanup(faults.clear)

    def read(self, now: bytes, action: str = "ListKeys", **how: Any) -> bytes:
        """A read whose answer would be `now`."""
        one = calling(action, **how)
        answer = stale.old(dict(LIST), one) or stale.keep(dict(LIST), one, (200, [], iter([now])))
        return b"".join(answer[2])

    def test_a_read_is_answered_as_before_a_change_so_many_times(self):
        self.read(b"none")
        stale.changed(calling("CreateKey"), 2)
        self.assertEqual([self.read(b"one") for _ in range(3)], [b"none", b"none", b"one"])

    def test_a_read_that_was_not_made_before_is_answered_as_it_is_now(self):
        self.read(b"none")
        stale.changed(calling("CreateKey"), 2)
        self.assertEqual(self.read(b"exists", action="DescribeKey"), b"exists")

    def test_other_callers_and_other_services_see_the_change(self):
        for how in ({"key": "AKIATHEIRS"}, {"service": "iam"}, {}):
            self.read(b"none", **how)
        stale.changed(calling("CreateKey"), 1)
        self.assertEqual([self.read(b"one", **how) for how in ({"key": "AKIATHEIRS"}, {"service": "iam"})], [b"one"] * 2)
        self.assertEqual(self.read(b"one"), b"none")

    def test_s3_and_route_53_are_strongly_consistent(self):
        for service in ("s3", "route53"):
            self.read(b"none", service=service)
            stale.changed(calling("PutObject", service=service), 1)
            self.assertEqual(self.read(b"one", service=service), b"one")

    def test_a_rule_keeps_the_answers_to_its_caller_and_hits_only_changes(self):
        self.assertFalse(faults.may_get_stale(calling("ListKeys")))
        faults.add([{"service": "kms", "action": "*Key*", "access_key": "AKIAOURS", "stale": 2}])
        self.assertTrue(faults.may_get_stale(calling("ListAliases")))
        self.assertFalse(faults.may_get_stale(calling("ListKeys", key="AKIATHEIRS")))
        self.assertEqual(faults.on(calling("ListKeys")), [])
        (hit,) = faults.on(calling("CreateKey"))
        self.assertFalse(hit.fails)

    def test_without_its_rules_a_caller_sees_every_change(self):
        self.read(b"none")
        stale.changed(calling("CreateKey"), 9)
        faults.clear("AKIAOURS")
        self.assertEqual(self.read(b"one"), b"one")


if __name__ == "__main__":
    unittest.main()
