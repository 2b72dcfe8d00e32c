"""Targets are `initial` until a health check passes, and `draining` after their deregistration."""

import unittest
from unittest import mock

from aws import elbv2, faults, health, server
from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends

import places

ACCOUNT, REGION = places.ACCOUNT, "eu-south-2"
FAILED = ("Target.FailedHealthChecks", "Health checks failed")
POD = {"Id": "10.91.1.7", "Port": 8080}

server.application()


class Targets(unittest.TestCase):
    def setUp(self):
        for backends in (ec2_backends, elbv2_backends):
            backends.pop(ACCOUNT, None)
        faults.set_settling([])
        self.ec2, self.elb = ec2_backends[ACCOUNT][REGION], elbv2_backends[ACCOUNT][REGION]
        vpc = self.ec2.create_vpc("10.10.0.0/16")
        subnets = [self.ec2.create_subnet(vpc.id, f"10.10.{n}.0/24", availability_zone=f"{REGION}{z}").id for n, z in enumerate("ab")]
        self.front = self.ec2.create_security_group("front", "x", vpc_id=vpc.id)
        self.balancer = self.elb.create_load_balancer("b", [self.front.id], subnets, None, "internal")
        self.group = self.elb.create_target_group(
            "g", protocol="HTTP", port="8080", vpc_id=vpc.id, target_type="ip", healthy_threshold_count="2",
            unhealthy_threshold_count="2", matcher={"HttpCode": "200"})
        # As with real clusters: registering does not make a target healthy.
        self.enterContext(mock.patch.object(elbv2.current, "clusters", True))
        self.enterContext(mock.patch.object(health, "watch"))

    def forward(self) -> None:
        action = {"Type": "forward", "TargetGroupArn": self.group.arn}
        self.elb.create_listener(self.balancer.arn, "HTTP", "80", None, None, [action], [], [])

    def states(self) -> list:
        return [one.status for one in self.elb.describe_target_health(self.group.arn, [])]

    def checked(self, *results: object) -> list:
        for result in results:
            health.check(self.group, lambda _group, _target, result=result: result)
        return self.states()

    def test_a_group_without_a_listener_is_not_used(self):
        self.group.register([POD])
        self.assertEqual(self.states(), ["unused"])
        self.assertEqual(self.checked(None), ["unused"])

    def test_a_target_is_initial_until_its_first_check_passes(self):
        self.forward()
        self.group.register([POD])
        self.assertEqual(self.states(), ["initial"])
        self.assertEqual(self.checked(FAILED), ["initial"])
        self.assertEqual(self.checked(None), ["healthy"])

    def test_a_state_changes_only_after_as_many_results_as_the_thresholds(self):
        self.forward()
        self.group.register([POD])
        self.assertEqual(self.checked(None, FAILED), ["healthy"])
        self.assertEqual(self.checked(FAILED), ["unhealthy"])
        self.assertEqual(self.checked(None), ["unhealthy"])
        self.assertEqual(self.checked(None), ["healthy"])

    def test_a_deregistered_target_drains_before_it_is_forgotten(self):
        self.forward()
        self.group.register([POD])
        self.checked(None)
        with mock.patch.object(elbv2.time, "monotonic", return_value=100.0):
            self.group.deregister([POD])
            self.assertEqual(self.states(), ["draining"])
        with mock.patch.object(elbv2.time, "monotonic", return_value=100.0 + elbv2.DRAIN):
            self.assertEqual(self.states(), [])

    def test_a_load_balancer_that_the_nodes_do_not_admit_gets_no_answer(self):
        self.forward()
        self.group.register([POD])
        node = self.ec2.create_security_group("node", "x", vpc_id=self.group.vpc_id)
        interface = mock.Mock(group_set=[node])
        with mock.patch.object(health.nodes, "interface_with", return_value=interface):
            self.assertEqual(self.checked(None, None), ["unhealthy"])
            (seen,) = self.elb.describe_target_health(self.group.arn, [])
            self.assertEqual(seen.reason, "Target.Timeout")
            pair = [{"GroupId": self.front.id}]
            self.ec2.authorize_security_group_ingress(node.id, "tcp", "8080", "8080", [], source_groups=pair)
            self.assertEqual(self.checked(None, None), ["healthy"])

    def test_status_codes_are_matched_as_a_list_of_ranges(self):
        self.assertTrue(all(health._matches("200,301-303", code) for code in (200, 301, 302)))
        self.assertFalse(any(health._matches("200,301-303", code) for code in (201, 304, 503)))


if __name__ == "__main__":
    unittest.main()
