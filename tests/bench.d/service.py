"""Measures the payment API, alone and against servers that were started by hand.

    service.py PROGRAM STATEMENT FOLDER [--peer URL]...

PROGRAM is the released payment API, STATEMENT the file with the statement that stores a payment, and FOLDER an empty one
on the disk that the database is to write to. A peer is a server on this machine that answers the same routes. Runs
alternate, and medians are compared.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import figures
from load import Sample, Server, found, median, open_loop, percentile, wrk
from servers import AS_POSTGRES, DATABASE, KEY, Servers, programs

PAY = "/api/payment/simulate"
ROUTES = {"health": ("/health", None), "info": ("/info", None), "a refused key": (PAY, "wrong")}
# The least rate compared with a peer, by the number of connections.
RATES = {1: 0.95, 32: 1.1, 256: 1.1}
ROUNDS, SECONDS = 5, 3
# Of a peer's, at most.
CPU, MEMORY = 0.8, 0.8
# Payments per second compared with pgbench, at least.
DURABLE = 0.75
CLIENTS = 32
OPEN_RATE, OPEN_SECONDS, OPEN_P99 = 50, 60, 25


def alternating(servers: list[Server], path: str, key: str | None, connections: int) -> list[Sample]:
    samples: list[list[Sample]] = [[] for _ in servers]
    for turn in range(ROUNDS):
        # The order changes too, so that none profits from its place.
        for index in range(len(servers))[:: -1 if turn % 2 else 1]:
            samples[index].append(wrk(servers[index], path, key, connections, SECONDS))
    return [median(one) for one in samples]


def against(ours: Server, peer: Server | None) -> None:
    figures.title(f"The payment API{f' against {peer.url}' if peer else ''}, medians of {ROUNDS} alternating runs")
    for name, (path, key) in ROUTES.items():
        for connections, least in RATES.items():
            here, *there = alternating([ours, *([peer] if peer else [])], path, key, connections)
            label = f"{name}, {connections} connections"
            figures.show(label, f"{here.rate:.0f}/s")
            figures.show("  99 % are answered within", f"{here.p99:.2f} ms")
            for other in there:
                figures.reach("  compared with the peer", here.rate / other.rate, least)
                figures.compare("  99th percentile compared with the peer", here.p99 / other.p99, 1.0, "", 2)
                if connections > 1:
                    figures.compare("  processor time per request", here.cpu / other.cpu, CPU, "", 2)
    figures.show("resident memory after that", f"{ours.resident() / 1e6:.1f} MB")
    if peer:
        figures.compare("  compared with the peer", ours.resident() / peer.resident(), MEMORY, "", 2)


def pgbench(servers: Servers, statement: Path) -> float:
    """Transactions per second of the same statement, over the same pooler and TLS, from as many clients."""
    script = servers.folder / "payment.sql"
    script.write_text(statement.read_text().rstrip().replace("$1", "gen_random_uuid()").replace("$2", "'eu-south-2'") + ";\n")
    script.chmod(0o644)
    environment = {
        "PGPASSWORD": servers.passwords["app"],
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(servers.folder / "server.crt"),
    }
    command = [*AS_POSTGRES, programs() / "pgbench", "--no-vacuum", "--protocol=extended", f"--client={CLIENTS}", "--jobs=1"]
    place = ["--host=localhost", f"--port={servers.pooler_port}", "--username=app", f"--time={SECONDS}", f"--file={script}"]
    done = subprocess.run([*command, *place, DATABASE], check=True, capture_output=True, text=True, env=environment, cwd="/")
    return float(found(r"tps = ([\d.]+)", done.stdout))


def payments(servers: Servers, ours: Server, statement: Path) -> None:
    figures.title(f"Durable payments, {CLIENTS} at a time, medians of {ROUNDS} alternating runs")
    rates, references = [], []
    for _ in range(ROUNDS):
        references.append(pgbench(servers, statement))
        rates.append(wrk(ours, PAY, KEY, CLIENTS, SECONDS))
    here, reference = median(rates), sorted(references)[ROUNDS // 2]
    figures.show("payments", f"{here.rate:.0f}/s")
    figures.show("pgbench with the same statement", f"{reference:.0f}/s")
    figures.reach("  compared with pgbench", here.rate / reference, DURABLE)
    took = open_loop(ours, PAY, KEY, OPEN_RATE, OPEN_SECONDS)
    figures.title(f"{OPEN_RATE} payments per second for {OPEN_SECONDS} s, each on a connection of its own")
    figures.show("half are answered within", f"{percentile(took, 0.5):.1f} ms")
    figures.compare("99 % are answered within", percentile(took, 0.99), OPEN_P99, "ms")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("statement", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peer", action="append", default=[], metavar="URL")
    given = parser.parse_args()
    peers = [Server.at(url) for url in given.peer]
    servers = Servers(given.folder, given.program.resolve())
    try:
        servers.start()
        url, pid = servers.payment_api()
        ours = Server(url, pid)
        figures.title("The shipped program")
        figures.compare("size", given.program.stat().st_size / 1e6, 8, "MB")
        for peer in peers or [None]:
            against(ours, peer)
        payments(servers, ours, given.statement)
    finally:
        servers.stop()
    figures.end()


if __name__ == "__main__":
    main()
