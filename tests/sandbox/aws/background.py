"""Work that continues after its API call was answered, such as creating a cluster."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from . import faults

Done = Callable[[str | None], None]


def start(job: Callable[[], None] | None, done: Done) -> None:
    """Runs `job` in a thread, then calls `done` with the failure's message, or None on success.

    A success is reported no earlier than the call's settling time after the start, a failure immediately. Without a job
    and a settling time, `done` is called before this returns.
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
            # Not swallowed: `done` turns it into the resource's FAILED state.
            failure = f"{error}" or type(error).__name__
        time.sleep(max(0.0, end - time.monotonic()) if failure is None else 0)
        done(failure)

    threading.Thread(target=run, daemon=True).start()


def run(argv: list[str], log: Path, *, deadline: float) -> None:
    """Runs a command to its end and appends its output to `log`. A failure contains the last lines.

    `deadline` is in seconds.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(f"$ {' '.join(argv)}\n".encode())
        out.flush()
        try:
            code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=deadline).returncode
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"`{' '.join(argv[-4:])}` timed out after {deadline:.0f} s (see {log})") from None
    if code:
        last = log.read_text(errors="replace").strip().splitlines()[-3:]
        raise RuntimeError(f"`{' '.join(argv[-4:])}` failed with status {code}: {' / '.join(last)} (see {log})")
