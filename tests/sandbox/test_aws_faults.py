"""Which fault rules hit a call."""

import unittest

from aws import call, faults


class Faults(unittest.TestCase):
    def setUp(self):
        faults.clear()
        self.addCleanup(faults.clear)

    def hits(self, times: int, action: str = "CreateVpc", region: str = "eu-south-2") -> list[bool]:
        return [bool(faults.on(call.Call("ec2", region, action, ""))) for _ in range(times)]

    def test_a_rule_skips_calls_before_it_hits_some(self):
        faults.add([{"service": "ec2", "action": "Create*", "skip": 1, "count": 2, "status": 500}])
        self.assertEqual(self.hits(5), [False, True, True, False, False])

    def test_a_rule_hits_only_its_region_and_action(self):
        faults.add([{"service": "ec2", "action": "CreateVpc", "region": "us-*", "count": None, "delay": 1}])
        self.assertEqual(self.hits(1), [False])
        self.assertEqual(self.hits(2, region="us-east-1"), [True, True])
        self.assertEqual(self.hits(1, action="DeleteVpc", region="us-east-1"), [False])

    def test_a_settling_time_applies_to_every_call(self):
        faults.add([{"service": "ec2", "action": "CreateVpc", "settle": 9}])
        self.assertEqual(self.hits(3), [True, True, True])
        faults.set_settling(faults.on(call.Call("ec2", "x", "CreateVpc", "")))
        self.assertEqual(faults.settling(), 9)

    def test_no_rule_is_added_if_one_is_invalid(self):
        with self.assertRaisesRegex(ValueError, "regoin"):
            faults.add([{"status": 500}, {"regoin": "x", "status": 500}])
        with self.assertRaisesRegex(ValueError, "needs"):
            faults.add([{"service": "ec2"}])
        self.assertEqual(faults.listed(), [])


if __name__ == "__main__":
    unittest.main()
