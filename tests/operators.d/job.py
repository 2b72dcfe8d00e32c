"""One command of an operator, in the background, with its output in a file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from shared import Failure, descendants, wait_until

# Seconds between two checks of a job. Short, because a child that has to be stopped may live for a second only.
INTERVAL = 0.05
# Lines of a job's output that a failure shows.
SHOWN = 30

T = TypeVar("T")


class Job:
    def __init__(self, name: str, command: list[str], folder: Path, environment: dict[str, str], output: Path):
        self.name = name
        self.file = output
        self.started = time.monotonic()
        self.took = 0.0
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                # The kernel continues and hangs up a stopped process when its process group loses its shell.
                start_new_session=True,
            )

    def said(self) -> str:
        return self.file.read_text(errors="replace")

    def runs(self) -> bool:
        """Whether it has not ended; remembers how long it took once it has."""
        if self.process.poll() is None:
            return True
        self.took = self.took or time.monotonic() - self.started
        return False

    def ends(self, seconds: float) -> int:
        """Waits for the end, and returns the exit code."""
        wait_until(lambda: not self.runs(), f"`{self.name}` to end", seconds, INTERVAL)
        return self.process.returncode

    def says(self, text: str, seconds: float) -> None:
        self._while_running(lambda: text in self.said(), f"`{self.name}` to print `{text}`", seconds)

    def child(self, program: str, word: str, seconds: float) -> int:
        """Waits for a child that runs the program with this word among its arguments, and returns its process id."""
        return self._while_running(lambda: self._find(program, word), f"`{program} {word}` of `{self.name}`", seconds)

    def _find(self, program: str, word: str) -> int:
        # 0: there is none, and no process has this id.
        return next((pid for pid in descendants(self.process.pid) if is_command(pid, program, word)), 0)

    def _while_running(self, condition: Callable[[], T], what: str, seconds: float) -> T:
        def holds() -> T:
            # Asked first: what the job did before its end counts.
            ended, value = not self.runs(), condition()
            if ended and not value:
                raise Failure(f"`{self.name}` ended with {self.process.returncode} before {what}")
            return value

        return wait_until(holds, what, seconds, INTERVAL)

    def changed(self) -> tuple[int, int]:
        """How many steps the summary at the end counts as changed, and how many there were."""
        summary = re.search(r"^(\d+) steps?: (.*) in ", self.said(), re.MULTILINE)
        if not summary:
            return -1, -1
        changed = re.search(r"(\d+) changed", summary[2])
        return int(changed[1]) if changed else 0, int(summary[1])

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> int:
        """Kills the job and all that it has started at one moment, as the end of a container does. Returns how many processes
        that were.

        Killed one after the other, the guard would still interrupt the children of a dead paydeploy. So all are stopped
        first, until none of them can have started another one.
        """
        if not self.runs():
            return 0
        stopped: set[int] = set()
        while found := {self.process.pid, *descendants(self.process.pid)} - stopped:
            for pid in found:
                send(pid, signal.SIGSTOP)
            stopped |= found
        for pid in stopped:
            send(pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not any(is_running(pid) for pid in stopped), f"the children of `{self.name}` to die", 10)
        self.runs()
        return len(stopped)

    def tail(self) -> str:
        lines = self.said().splitlines()[-SHOWN:]
        state = "runs" if self.runs() else f"ended with {self.process.returncode} after {self.took:.0f} s"
        return "\n".join([f"--- {self.name}: {state}", *lines])


def send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        # It has ended meanwhile.
        pass


def is_command(pid: int, program: str, word: str) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    # The name alone: before its release, a child is a paydeploy whose arguments are those of the program.
    return Path(arguments[0]).name == program and word in arguments


def is_running(pid: int) -> bool:
    """False for a process that has ended, also if its parent has not collected its exit status yet."""
    return _state(pid) not in ("", "Z", "X")


def is_stopped(pid: int) -> bool:
    return _state(pid) == "T"


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()[0]
    except (OSError, IndexError):
        return ""
