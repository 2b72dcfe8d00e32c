"""Whether the sandbox is running, judged by its records and the processes they name; and the machine-wide lock.

Two files in /run guard the machine: `paydeploy-sandbox.lock` names the state folder of the sandbox that owns it, and
`paydeploy-sandbox.busy` is locked while a command works on it.
"""

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
    """Written last by `up`: which parts it started, and in what way. If it is missing, `up` did not finish."""
    return places.state() / "up.json"


def note_complete(**facts) -> None:
    _complete().write_text(
        json.dumps({"boot": processes.boot(), "parts": [one.name for one in processes.recorded()], **facts})
    )


def check() -> tuple[int, list[str]]:
    """Returns UP, BROKEN or NOT_UP, and one line per part for the user."""
    if not places.state().exists():
        return NOT_UP, [f"not up (`{places.state()}` does not exist)"]
    running = {process.name: process for process in processes.recorded()}
    lines = [
        f"{'running' if process.alive else 'ENDED':8} {name:22} process {process.pid:8} log {processes.log_of(name)}"
        for name, process in running.items()
    ]
    if not _complete().exists():
        return BROKEN, [*lines, "incomplete: an `up` is running or was killed; fix: run `sandbox up` again"]
    facts = json.loads(_complete().read_text())
    missing = [name for name in facts["parts"] if name not in running or not running[name].alive]
    if missing:
        return BROKEN, [*lines, f"broken: {', '.join(missing)} ended; fix: run `sandbox up` to restart everything"]
    return UP, [*lines, f"up: state in {places.state()}"]


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Holds the machine-wide lock, and fails if a sandbox with another state folder owns the machine."""
    if os.geteuid() != 0:
        raise Failure("the sandbox creates namespaces, addresses and users; fix: run it as root")
    # 120 s outlast an `up` or `down` of another call.
    with locked(places.LOCK.with_suffix(".busy"), seconds=120):
        owner = places.LOCK.read_text().strip() if places.LOCK.exists() else ""
        if owner and owner != str(places.state()) and Path(owner).exists():
            raise Failure(
                f"this machine already has a sandbox in `{owner}`; "
                f"fix: PAYDEPLOY_SANDBOX={owner} tests/sandbox/sandbox down"
            )
        yield


def claim() -> None:
    places.LOCK.write_text(f"{places.state()}\n")


def release() -> None:
    places.LOCK.unlink(missing_ok=True)
    places.LOCK.with_suffix(".busy").unlink(missing_ok=True)
