"""Which fault rules hit a call."""

import http.client
import threading
import unittest

from werkzeug.serving import make_server

from aws import call, errors, faults, front


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

    def test_a_rule_hits_only_the_calls_of_its_access_key(self):
        faults.add([{"access_key": "AKIAOURS", "status": 500}])
        by = lambda key: bool(faults.on(call.Call("ec2", "eu-south-2", "CreateVpc", "", key)))
        self.assertEqual([by("AKIATHEIRS"), by("AKIAOURS")], [False, True])

    def test_the_rules_of_one_access_key_can_be_cleared_alone(self):
        faults.add([{"access_key": "AKIAOURS", "status": 500}, {"status": 500}])
        faults.clear("AKIAOURS")
        self.assertEqual([rule["access_key"] for rule in faults.listed()], ["*"])

    def test_a_rule_for_changes_hits_no_read(self):
        faults.add([{"changes": True, "status": 500}])
        self.assertEqual([*self.hits(1, action="DescribeVpcs"), *self.hits(1)], [False, True])

    def test_a_settling_time_applies_to_every_call(self):
        faults.add([{"service": "ec2", "action": "CreateVpc", "settle": 9}])
        self.assertEqual(self.hits(3), [True, True, True])
        faults.set_settling(faults.on(call.Call("ec2", "x", "CreateVpc", "")))
        self.assertEqual(faults.settling(), 9)

    def test_an_error_can_lack_a_code_and_a_body(self):
        def answer(service: str, **rule: object) -> tuple:
            faults.clear()
            faults.add([{"status": 503, **rule}])
            (hit,) = faults.on(call.Call(service, "eu-south-2", "Describe", ""))
            return hit.answer(service)

        self.assertEqual(answer("ec2", body="empty"), (503, [], b""))
        status, headers, body = answer("rds", body="html")
        self.assertEqual((status, headers), (503, [("Content-Type", "text/html")]))
        self.assertNotIn(b"Code", body)
        status, headers, body = answer("eks", code="", message="busy")
        self.assertEqual(body, b'{"message": "busy"}')
        self.assertNotIn("x-amzn-ErrorType", dict(headers))
        self.assertNotIn(b"<Code>", answer("iam", code="")[2])

    def test_a_rule_can_close_the_connection_without_an_answer(self):
        faults.add([{"body": "closed"}])
        (hit,) = faults.on(call.Call("kms", "eu-south-2", "CreateKey", ""))
        self.assertTrue(hit.fails)
        self.assertEqual(hit.answer("kms"), (0, [], b""))

    def test_a_client_sees_a_closed_connection_and_no_answer(self):
        server = make_server("127.0.0.1", 0, lambda environ, _start: front.hang_up(environ), threaded=True)
        threading.Thread(target=server.serve_forever).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        client = http.client.HTTPConnection("127.0.0.1", server.port)
        self.addCleanup(client.close)
        client.request("GET", "/")
        with self.assertRaises(http.client.RemoteDisconnected):
            client.getresponse()

    def test_a_service_reports_its_own_failure_by_its_own_code(self):
        codes = {"secretsmanager": "InternalServiceError", "iam": "ServiceFailure", "eks": "ServerException",
                 "ecr": "ServerException", "ec2": "InternalError", "s3": "InternalError", "rds": "InternalFailure",
                 "logs": "InternalServerException", "tagging": "InternalServiceException"}
        self.assertEqual({service: errors.own_failure(service) for service in codes}, codes)

    def test_a_leak_happens_on_its_own_call(self):
        faults.add([{"leak": "network-interface", "region": "eu-south-2"}])
        faults.set_settling(faults.on(call.Call("eks", "eu-south-2", "DeleteCluster", "")))
        self.assertFalse(faults.leaks("network-interface"))
        faults.set_settling(faults.on(call.Call("eks", "eu-south-2", "DeleteNodegroup", "")))
        self.assertTrue(faults.leaks("network-interface"))
        with self.assertRaisesRegex(ValueError, "network-interface"):
            faults.add([{"leak": "x"}])

    def test_only_a_rule_for_the_resolver_delays_its_answers(self):
        faults.add([{"delay": 9, "count": None}, {"service": "dns", "delay": 3, "skip": 1}])
        self.assertEqual([faults.delay_of_dns() for _ in range(3)], [0, 3, 0])
        self.assertEqual([rule["matched"] for rule in faults.listed()], [0, 3])
        self.assertEqual(len(faults.on(call.Call("ec2", "eu-south-2", "CreateVpc", ""))), 1)
        with self.assertRaisesRegex(ValueError, "dns"):
            faults.add([{"service": "dns", "status": 500}])

    def test_no_rule_is_added_if_one_is_invalid(self):
        with self.assertRaisesRegex(ValueError, "regoin"):
            faults.add([{"status": 500}, {"regoin": "x", "status": 500}])
        with self.assertRaisesRegex(ValueError, "needs"):
            faults.add([{"service": "ec2"}])
        self.assertEqual(faults.listed(), [])


if __name__ == "__main__":
    unittest.main()
