"""The sandbox's long-running programs (parts): starting, recording, waiting for readiness, stopping.

Each part runs in its own session and is recorded in `processes/NAME.json` with process id, start time and boot id, because
a process id alone may belong to another process by the time it is read. Processes whose record was never written (`up`
was killed in between) are found by the environment variable MARK, which children inherit.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import places
from waiting import Failure, wait_until

# Set in the environment of every part and inherited by its children: `sweep` finds processes without a record by it.
MARK = "PAYDEPLOY_SANDBOX_PART"

# Set when `up` fails or is interrupted: from then on no part starts, and waiting for one ends.
closing = threading.Event()


class GivenUp(Failure):
    """Not this part's own failure: another part failed, or the user interrupted `up`."""


@dataclass
class Process:
    """A program that was started. `start` is its start time in clock ticks since boot, as in /proc/PID/stat."""

    name: str
    pid: int
    start: int
    boot: str
    stop_signal: int
    # The arguments of `spawn`, for restarting it.
    call: dict

    @property
    def alive(self) -> bool:
        return self.boot == boot() and start_time(self.pid) == self.start


def boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the program's name. None if there is no such process or it is a zombie.

    The name is in parentheses and may itself contain spaces and parentheses, hence the split at the last `) `.
    """
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
    """Starts a program without stdin in its own session, appends its output to the part's log, and records it."""
    if closing.is_set():
        raise GivenUp(f"did not start `{name}`, because `up` is stopping")
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
            raise Failure(f"`{argv[0]}` is not installed; fix: run tests/setup") from error
    start = start_time(child.pid)
    if start is None:
        raise Failure(f"`{name}` ended immediately: {last_lines(name)}")
    call = {"argv": argv, "environment": environment, "user": user, "directory": str(directory)}
    process = Process(name, child.pid, start, boot(), stop_signal, call)
    # Written to a temporary file and renamed, so that a reader never sees half a record. Mode 0600, because arguments and
    # environment may hold secrets.
    record = records() / f"{name}.json"
    new = record.with_suffix(".new")
    new.touch(0o600)
    new.write_text(json.dumps(asdict(process)))
    new.rename(record)
    return process


def plain_environment() -> dict[str, str]:
    """The caller's environment without variables that point to other clouds, container engines or proxies."""
    kept = ("PATH", "HOME", "LANG", "TZ", "PAYDEPLOY_SANDBOX", "PAYDEPLOY_TOOLS", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def run_cluster_tool(*arguments: str) -> None:
    """Runs `cluster.py` to its end. Its commands at `up` and `down` take seconds; after 60 s something hangs."""
    done = subprocess.run(
        [sys.executable, str(places.SANDBOX / "cluster.py"), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=plain_environment(),
    )
    if done.returncode:
        raise Failure(f"`cluster.py {' '.join(arguments)}` failed: {done.stderr.strip() or done.stdout.strip()}")


def recorded() -> list[Process]:
    try:
        return [Process(**json.loads(record.read_text())) for record in sorted(records().glob("*.json"))]
    except FileNotFoundError:
        return []


def named(name: str) -> Process:
    parts = {process.name: process for process in recorded()}
    if name not in parts:
        raise Failure(f"unknown part `{name}`; fix: choose one of {', '.join(sorted(parts))}")
    return parts[name]


def restart(process: Process) -> None:
    """Starts a stopped part with its original arguments. Does nothing if it is running."""
    if not process.alive:
        spawn(process.name, **process.call, stop_signal=signal.Signals(process.stop_signal))


def forget(name: str) -> None:
    """Deletes the record of a process that has ended, if there is one."""
    (records() / f"{name}.json").unlink(missing_ok=True)


def wait_ready(process: Process, condition, what: str, seconds: float = 40) -> None:
    """Waits until `condition` holds. Fails immediately if the process ends; `what` reads "the registry to answer"."""

    def poll() -> bool:
        if closing.is_set():
            raise GivenUp(f"stopped waiting for {what}, because `up` is stopping")
        if not process.alive:
            raise Failure(f"`{process.name}` ended while the sandbox waited for {what}")
        return condition()

    try:
        wait_until(poll, what, seconds)
    except GivenUp:
        raise
    except Failure as failure:
        raise Failure(f"{failure}; its log ends: {last_lines(process.name)}") from None


def stop(processes: Iterable[Process], patience: float = 5) -> None:
    """Stops parts and everything in their sessions: each by its own stop signal, after `patience` seconds by SIGKILL."""
    processes = list(processes)
    # A part leads its session, so its process id is the session's id. Children that outlive it are still found by that id.
    sessions = {process.pid for process in processes if process.alive}
    for process in processes:
        if process.alive:
            _signal(process.pid, process.stop_signal)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and (any(process.alive for process in processes) or _in_sessions(sessions)):
        time.sleep(0.05)
    _kill(lambda: [*(process.pid for process in processes if process.alive), *_in_sessions(sessions)])


def sweep() -> None:
    """Kills processes that carry this sandbox's mark but have no record: leftovers of an `up` that was killed."""
    _kill(_marked)


def _kill(listed) -> None:
    """Sends SIGKILL to the listed processes until none remains. The list is read each time: they may have forked."""
    deadline = time.monotonic() + 5
    while pids := [pid for pid in listed() if _stat(pid)]:
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise Failure(
                f"processes {pids} do not end after SIGKILL, because they are blocked in the kernel; "
                "fix: run `sandbox down` again later, or restart the machine"
            )
        time.sleep(0.05)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        # It ended between the check and the signal, which is what the caller wants.
        pass


def _all() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and int(entry) != os.getpid()]


def _in_sessions(sessions: set[int]) -> list[int]:
    """Processes by session id, field 3 of `_stat` (state, ppid, pgrp, session). It outlives the session's leader."""
    return [pid for pid in _all() if (fields := _stat(pid)) and int(fields[3]) in sessions] if sessions else []


def _marked() -> list[int]:
    mark = f"{MARK}={places.state()}:".encode()
    found = []
    for pid in _all():
        try:
            if any(entry.startswith(mark) for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")):
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            # It ended meanwhile, or its environment may not be read. In both cases it is not one of the sandbox's.
            pass
    return found
