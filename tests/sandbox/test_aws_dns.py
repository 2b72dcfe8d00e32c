"""The simulated public DNS answers for the delegated zone only."""

from __future__ import annotations

import time
import unittest
from concurrent.futures import ThreadPoolExecutor

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

    def test_a_slow_resolver_answers_all_questions_after_the_same_delay(self):
        self.addCleanup(faults.clear)
        faults.add([{"service": "dns", "delay": 0.5, "count": 2}])
        port = world.serve("127.0.0.1", 0, DELEGATED)
        question = dns.message.make_query("payments.example.", "NS")
        started_at = time.monotonic()
        with ThreadPoolExecutor() as pool:
            asked = [pool.submit(dns.query.udp, question, "127.0.0.1", port=port, timeout=5) for _ in range(2)]
            replies = [one.result() for one in asked]
        self.assertTrue(0.5 <= time.monotonic() - started_at < 0.9)
        self.assertEqual([reply.rcode() for reply in replies], [dns.rcode.NOERROR] * 2)


if __name__ == "__main__":
    unittest.main()
