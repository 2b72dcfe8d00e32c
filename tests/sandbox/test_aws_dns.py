"""The simulated public DNS answers for the delegated zone only."""

from __future__ import annotations

import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import dns.message
import dns.query
import dns.rcode

from aws import dns as world
from aws import faults

DELEGATED = {"payments.example": ["ns-1.awsdns-1.org.", "ns-2.awsdns-2.com."]}


class Answers(unittest.TestCase):
    def ask(self, name: str, kind: str) -> dns.message.Message:
        question = dns.message.make_query(name, kind)
        return dns.message.from_wire(world.answer(question.to_wire(), DELEGATED))

    def test_a_delegated_zone_returns_its_name_servers(self):
        reply = self.ask("Payments.example.", "NS")
        self.assertEqual({str(server) for server in reply.answer[0]}, set(DELEGATED["payments.example"]))

    def test_a_delegated_zone_has_no_other_records(self):
        reply = self.ask("payments.example.", "A")
        self.assertEqual((reply.rcode(), reply.answer), (dns.rcode.NOERROR, []))

    def test_any_other_name_does_not_exist(self):
        for name in ("elsewhere.example.", "api-es.payments.example.", "example."):
            self.assertEqual(self.ask(name, "NS").rcode(), dns.rcode.NXDOMAIN)

    def test_a_lame_delegation_fails_to_resolve(self):
        self.assertEqual(self.ask("lame.example.", "NS").rcode(), dns.rcode.SERVFAIL)

    def test_a_slow_resolver_delays_answers_concurrently(self):
        self.addCleanup(faults.clear)
        faults.add([{"service": "dns", "delay": 8, "count": 2}])
        delays = []
        # Opens when both answers are being delayed. One after the other, the first would break it and never be sent.
        both = threading.Barrier(2)

        def sleep(seconds: float) -> None:
            delays.append(seconds)
            both.wait(timeout=2)

        question = dns.message.make_query("payments.example.", "NS")
        with mock.patch.object(world, "time", mock.Mock(sleep=sleep)), ThreadPoolExecutor() as pool:
            port = world.serve("127.0.0.1", 0, DELEGATED)
            asked = [pool.submit(dns.query.udp, question, "127.0.0.1", port=port, timeout=5) for _ in range(2)]
            replies = [one.result() for one in asked]
        self.assertEqual([reply.rcode() for reply in replies], [dns.rcode.NOERROR] * 2)
        self.assertEqual(delays, [8, 8])


if __name__ == "__main__":
    unittest.main()
