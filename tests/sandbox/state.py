"""Whether the sandbox runs, by its records and the processes they name; and the lock: one a machine, one call at a time."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import places
import processes
from waiting import Failure, locked

UP, BROKEN, NOT_UP = 0, 1, 3


def _complete() -> Path:
    """Written last by `up`: what it started, and how."""
    return places.state() / "up.json"


def note_complete(**facts) -> None:
    _complete().write_text(
        json.dumps({"boot": processes.boot(), "parts": [one.name for one in processes.recorded()], **facts})
    )


def look() -> tuple[int, list[str]]:
    """The verdict and a line for each part."""
    if not places.state().exists():
        return NOT_UP, [f"not up (`{places.state()}` does not exist)"]
    running = {process.name: process for process in processes.recorded()}
    lines = [
        f"{'running' if process.alive else 'ENDED':8} {name:22} process {process.pid:8} log {processes.log_of(name)}"
        for name, process in running.items()
    ]
    if not _complete().exists():
        return BROKEN, [*lines, "not complete: an `up` is under way or was killed; `sandbox up` begins anew"]
    facts = json.loads(_complete().read_text())
    missing = [name for name in facts["parts"] if name not in running or not running[name].alive]
    if missing:
        return BROKEN, [*lines, f"broken: {', '.join(missing)} ended; `sandbox up` begins anew"]
    return UP, [*lines, f"up: state in {places.state()}"]


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Holds the machine's sandbox: no other call works on it, and no sandbox in another folder is there."""
    if os.geteuid() != 0:
        raise Failure("namespaces, addresses and users need root")
    with locked(places.LOCK.with_suffix(".busy"), seconds=120):
        owner = places.LOCK.read_text().strip() if places.LOCK.exists() else ""
        if owner and owner != str(places.state()) and Path(owner).exists():
            raise Failure(
                f"this machine has a sandbox in `{owner}`: PAYDEPLOY_SANDBOX={owner} tests/sandbox/sandbox down"
            )
        yield


def claim() -> None:
    places.LOCK.write_text(f"{places.state()}\n")


def release() -> None:
    places.LOCK.unlink(missing_ok=True)
    places.LOCK.with_suffix(".busy").unlink(missing_ok=True)
