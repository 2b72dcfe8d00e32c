"""Load on a server, and what it costs the server."""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

TICKS = os.sysconf("SC_CLK_TCK")
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass
class Server:
    """A server on this machine: its address and its process."""

    url: str
    pid: int

    @classmethod
    def at(cls, url: str) -> Server:
        """One that was started by somebody."""
        port = urlsplit(url).port or 80
        listening = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], check=True, capture_output=True, text=True).stdout
        found = re.search(r"pid=(\d+)", listening)
        if not found:
            raise SystemExit(f"bench: no process of this machine listens at {url}")
        return cls(url.rstrip("/"), int(found[1]))

    def cpu(self) -> float:
        """Processor time so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident(self) -> int:
        """Resident memory, in bytes."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(found[1]) * 1024 if found else 0


@dataclass
class Sample:
    """Requests per second, the 99th percentile in milliseconds, and the server's processor time per request."""

    rate: float
    p99: float
    cpu: float


def wrk(server: Server, path: str, key: str | None, connections: int, seconds: int) -> Sample:
    """As many requests as the server answers over some connections."""
    command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--latency"]
    header = [f"--header=X-API-Key: {key}"] if key else []
    before = server.cpu()
    said = subprocess.run([*command, *header, server.url + path], check=True, capture_output=True, text=True).stdout
    cpu = server.cpu() - before
    rate = float(found(r"Requests/sec:\s+([\d.]+)", said))
    total = int(found(r"(\d+) requests in", said))
    worst = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    if not worst:
        raise SystemExit(f"bench: wrk printed no latencies:\n{said}")
    return Sample(rate, float(worst[1]) * UNITS[worst[2]], cpu / total)


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if not match:
        raise SystemExit(f"bench: no `{pattern}` in:\n{text}")
    return match[1]


def median(samples: list[Sample]) -> Sample:
    def middle(name: str) -> float:
        return statistics.median(getattr(sample, name) for sample in samples)

    return Sample(middle("rate"), middle("p99"), middle("cpu"))


def open_loop(server: Server, path: str, key: str, rate: int, seconds: int) -> list[float]:
    """Requests at fixed times, whether the earlier ones are answered or not. Returns their latencies in milliseconds, from
    the time at which each was due."""
    address = urlsplit(server.url)
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n".encode()

    async def one(due: float) -> float:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        if b" 200 " not in answer.split(b"\r\n", 1)[0]:
            raise SystemExit(f"bench: {answer[:200]!r}")
        return (time.monotonic() - due) * 1e3

    async def all_of_them() -> list[float]:
        start = time.monotonic()
        tasks = []
        for number in range(rate * seconds):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            tasks.append(asyncio.create_task(one(due)))
        return list(await asyncio.gather(*tasks))

    return asyncio.run(all_of_them())


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
