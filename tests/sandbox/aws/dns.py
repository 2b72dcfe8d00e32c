"""Public DNS as far as delegation is concerned: it knows the name servers of the initial hosted zone and no other name."""

from __future__ import annotations

import socket
import sys
import threading
import time

import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from moto.route53.models import route53_backends

import places

from . import faults

# Seconds: the TTL of NS records in public registries (two days).
TTL = 172800
# A zone whose first label is this simulates a lame delegation: its name servers do not know it.
LAME = b"lame"


def delegate(zone_id: str) -> dict[str, list[str]]:
    """The delegation of a zone, as recorded at a registrar: name and name servers. It does not follow later changes."""
    zone = route53_backends[places.ACCOUNT]["aws"].get_hosted_zone(zone_id)
    return {zone.name.rstrip(".").lower(): [f"{server.rstrip('.')}." for server in zone.delegation_set.name_servers]}


def answer(question: bytes, delegated: dict[str, list[str]]) -> bytes:
    """Answers NS queries for delegated zones. Any other name does not exist (NXDOMAIN)."""
    query = dns.message.from_wire(question)
    reply = dns.message.make_response(query, recursion_available=True)
    for asked in query.question:
        servers = delegated.get(asked.name.to_text(omit_final_dot=True).lower())
        if asked.name.labels[0] == LAME:
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif servers is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif asked.rdtype == dns.rdatatype.NS:
            reply.answer.append(dns.rrset.from_text(asked.name, TTL, "IN", "NS", *servers))
    return reply.to_wire()


def serve(host: str, port: int, delegated: dict[str, list[str]]) -> int:
    """Answers over UDP in daemon threads, until the process ends. Returns the port, which the kernel chooses for 0."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((host, port))

    def reply(question: bytes, client: tuple[str, int]) -> None:
        try:
            text = answer(question, delegated)
            time.sleep(faults.delay_of_dns())
            server.sendto(text, client)
        except (dns.exception.DNSException, OSError) as error:
            # A malformed query or a vanished client must not end the process.
            sys.stderr.write(f"dns: {type(error).__name__}: {error}\n")

    def loop() -> None:
        while True:
            # A slow resolver delays each answer, not one after the other.
            threading.Thread(target=reply, args=server.recvfrom(65535), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()
    return server.getsockname()[1]
