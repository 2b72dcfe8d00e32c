"""The sandbox's long-running programs: started in sessions of their own, recorded by process number and start time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import places
from waiting import Failure, wait_until

# In the environment of every program and of what it starts: finds those whose record was never written.
MARK = "PAYDEPLOY_SANDBOX_PART"

# Set when an `up` gives up: no part starts any more, and none is waited for.
closing = threading.Event()


class GivenUp(Failure):
    """Not a part's own failure: another one failed, or the user stopped `up`."""


@dataclass
class Process:
    """A program that was started; its number alone may be another's by now."""

    name: str
    pid: int
    start: int
    boot: str
    stop_signal: int
    # what it was started with, for starting it again
    call: dict

    @property
    def alive(self) -> bool:
        return self.boot == boot() and start_time(self.pid) == self.start


def boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> list[str] | None:
    """The fields after the program's name, which may hold anything; none for a zombie or nobody."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None
    return None if fields[0] in "ZX" else fields


def start_time(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[19]) if fields else None


def records() -> Path:
    return places.state() / "processes"


def log_of(name: str) -> Path:
    return places.state() / "logs" / f"{name}.log"


def last_lines(name: str, count: int = 5) -> str:
    try:
        return " / ".join(log_of(name).read_text(errors="replace").strip().splitlines()[-count:])
    except FileNotFoundError:
        return "no log"


def spawn(
    name: str,
    argv: list[str],
    *,
    environment: dict[str, str] | None = None,
    user: str | None = None,
    directory: Path | str = "/",
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Process:
    """Starts a program without standard input, its output in the part's log."""
    if closing.is_set():
        raise GivenUp(f"`{name}` is not started: `up` was given up")
    records().mkdir(parents=True, exist_ok=True)
    log_of(name).parent.mkdir(parents=True, exist_ok=True)
    as_user = {"user": user, "group": user, "extra_groups": []} if user else {}
    with log_of(name).open("ab") as log:
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,
                env={**plain_environment(), **(environment or {}), MARK: f"{places.state()}:{name}"},
                start_new_session=True,
                **as_user,
            )
        except FileNotFoundError as error:
            raise Failure(f"`{argv[0]}` is missing: run tests/setup") from error
    start = start_time(child.pid)
    if start is None:
        raise Failure(f"`{name}` ended at once: {last_lines(name)}")
    call = {"argv": argv, "environment": environment, "user": user, "directory": str(directory)}
    process = Process(name, child.pid, start, boot(), stop_signal, call)
    record = records() / f"{name}.json"
    new = record.with_suffix(".new")
    new.touch(0o600)
    new.write_text(json.dumps(asdict(process)))
    new.rename(record)
    return process


def plain_environment() -> dict[str, str]:
    """What a program may see of the caller's environment: nothing that points it at other clouds, engines or proxies."""
    kept = ("PATH", "HOME", "LANG", "TZ", "PAYDEPLOY_SANDBOX", "PAYDEPLOY_TOOLS", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def recorded() -> list[Process]:
    try:
        return [Process(**json.loads(record.read_text())) for record in sorted(records().glob("*.json"))]
    except FileNotFoundError:
        return []


def named(name: str) -> Process:
    parts = {process.name: process for process in recorded()}
    if name not in parts:
        raise Failure(f"there is no part `{name}`; there are {', '.join(sorted(parts))}")
    return parts[name]


def start_again(process: Process) -> None:
    """Starts a part that was stopped, as it was started before."""
    if not process.alive:
        spawn(process.name, **process.call, stop_signal=signal.Signals(process.stop_signal))


def ready(process: Process, condition, what: str, seconds: float = 40) -> None:
    """Waits until a program does its work; that it ended is known at once."""

    def look() -> bool:
        if closing.is_set():
            raise GivenUp(f"`up` was given up while {what} was waited for")
        if not process.alive:
            raise Failure(f"`{process.name}` ended before {what}")
        return condition()

    try:
        wait_until(look, what, seconds)
    except GivenUp:
        raise
    except Failure as failure:
        raise Failure(f"{failure}; its log ends: {last_lines(process.name)}") from None


def stop(processes: Iterable[Process], patience: float = 5) -> None:
    """Ends programs and all of their sessions: first as each likes it, after `patience` seconds by force."""
    processes = list(processes)
    sessions = {process.pid for process in processes if process.alive}
    for process in processes:
        if process.alive:
            _signal(process.pid, process.stop_signal)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and (any(process.alive for process in processes) or _in_sessions(sessions)):
        time.sleep(0.05)
    _kill(lambda: [*(process.pid for process in processes if process.alive), *_in_sessions(sessions)])


def sweep() -> None:
    """Ends what carries the mark of this sandbox and is in no record: left by an `up` that was killed."""
    _kill(_marked)


def _kill(listed) -> None:
    deadline = time.monotonic() + 5
    while pids := [pid for pid in listed() if _stat(pid)]:
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise Failure(f"processes {pids} do not end, not even when killed: they wait for the kernel")
        time.sleep(0.05)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _all() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and int(entry) != os.getpid()]


def _in_sessions(sessions: set[int]) -> list[int]:
    """The session is the fourth field after the name: it stays when its leader ends."""
    return [pid for pid in _all() if (fields := _stat(pid)) and int(fields[3]) in sessions] if sessions else []


def _marked() -> list[int]:
    mark = f"{MARK}={places.state()}:".encode()
    found = []
    for pid in _all():
        try:
            if any(entry.startswith(mark) for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")):
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass
    return found
