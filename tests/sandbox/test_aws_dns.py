"""The simulated public DNS answers for the delegated zone only."""

from __future__ import annotations

import unittest

import dns.message
import dns.rcode

from aws import dns as world

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


if __name__ == "__main__":
    unittest.main()
