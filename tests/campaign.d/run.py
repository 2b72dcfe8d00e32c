"""One run of the program and its death."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from fault import Fault
from written import Written, output_file

# How often a run is looked at: often enough to hit single journal records, seldom enough to leave it the processor.
INTERVAL = 0.01


class Identity:
    """What a machine is known by: its state folder, host name and boot id. A cancelled CI container loses all three."""

    def __init__(self, work: Path):
        self.workspace = Path(os.environ["PAYDEPLOY_WORKSPACE"])
        self.boot = work / "boot_id"
        self.host = "campaign"
        self.boot.write_text(f"{uuid.uuid4()}\n")

    def state(self) -> Path:
        return self.workspace / ".paydeploy"

    def reboot(self, rng: random.Random) -> None:
        self.boot.write_text(f"{uuid.UUID(int=rng.getrandbits(128), version=4)}\n")

    def lose(self, rng: random.Random) -> None:
        shutil.rmtree(self.state(), ignore_errors=True)
        self.host = f"campaign-{rng.randrange(10**6)}"

    def contained(self, command: list[str]) -> list[str]:
        """The command as the first process of a PID namespace: when it is killed, so is everything that it started."""
        inside = 'mount --bind "$1" /proc/sys/kernel/random/boot_id && hostname "$2" && shift 2 && exec "$@"'
        unshare = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--uts"]
        return [*unshare, "sh", "-c", inside, "sh", str(self.boot), self.host, *command]


class Point:
    """When a run is killed."""

    def __init__(self, text: str, reached: Callable[[], bool]):
        self.text = text
        self.reached = reached

    def __str__(self) -> str:
        return self.text


class Run:
    def __init__(self, command: list[str], identity: Identity, contained: bool, written: Written, unread: bool = False):
        """With `unread`, the output is a pipe that nobody reads."""
        self.identity = identity
        self.written = written
        self.started_at = time.monotonic()
        self.before = set(self._journals())
        self.file = output_file(written.folder)
        with self.file.open("wb") as output:
            self.process = subprocess.Popen(
                identity.contained(command) if contained else command,
                cwd=identity.workspace,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if unread else output,
                stderr=subprocess.STDOUT,
                # The smallest that the kernel offers, so that a run fills it soon.
                pipesize=4096,
            )

    def finish(self, patience: float) -> int:
        """Waits for the end and returns the exit code; -9 if it had to be killed."""
        try:
            self._until(lambda: time.monotonic() - self.started_at > patience)
        finally:
            self.kill()
        return self.process.returncode

    def kill_at(self, point: Point, fault: Fault | None) -> int | None:
        """Kills at the point; returns the exit code if the run has ended before."""
        self._until(point.reached, fault)
        code = self.process.poll()
        self.kill()
        return code

    def kill(self) -> None:
        """Kills the run unless it has ended."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def _until(self, reached: Callable[[], bool], fault: Fault | None = None) -> None:
        while self.process.poll() is None and not reached():
            self.written.look_at_children(self.process.pid)
            if fault:
                fault.at(time.monotonic() - self.started_at)
            time.sleep(INTERVAL)

    def output(self) -> str:
        return self.file.read_text(errors="replace")[-4000:]

    def after_seconds(self, seconds: float) -> Point:
        return Point(f"{seconds:.1f} s", lambda: time.monotonic() - self.started_at >= seconds)

    def after_records(self, records: int) -> Point:
        return Point(f"record {records}", lambda: self.records() >= records)

    def _journals(self) -> list[Path]:
        return list((self.identity.state() / "runs").glob("*/journal.ndjson"))

    def records(self) -> int:
        """How many lines its journal has."""
        return sum(file.read_bytes().count(b"\n") for file in set(self._journals()) - self.before)
