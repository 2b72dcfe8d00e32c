"""Work that goes on after its API call was answered."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from . import faults

Done = Callable[[str | None], None]


def start(job: Callable[[], None] | None, done: Done) -> None:
    """Runs `job`, waits out the call's settling time, then hands `done` the reason of a failure or None.

    Without a job and without a settling time that happens at once.
    """
    settle = faults.settling()
    if job is None and not settle:
        done(None)
        return

    def run() -> None:
        end, failure = time.monotonic() + settle, None
        try:
            if job:
                job()
        except Exception as error:
            failure = f"{error}" or type(error).__name__
        time.sleep(max(0.0, end - time.monotonic()) if failure is None else 0)
        done(failure)

    threading.Thread(target=run, daemon=True).start()


def run(argv: list[str], log: Path, *, deadline: float) -> None:
    """Runs a command to its end, its output appended to `log`; a failure carries the last lines."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(f"$ {' '.join(argv)}\n".encode())
        out.flush()
        try:
            code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=deadline).returncode
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"`{' '.join(argv[-4:])}` took more than {deadline:.0f} s, see {log}") from None
    if code:
        last = log.read_text(errors="replace").strip().splitlines()[-3:]
        raise RuntimeError(f"`{' '.join(argv[-4:])}` ended with {code}: {' / '.join(last)} (see {log})")
