"""A fault: something that goes wrong around a run, from some moment of the run until the run's end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

SANDBOX = Path(__file__).parent.parent / "sandbox"
sys.path.append(str(SANDBOX))

from region import REGIONS  # noqa: E402
from waiting import Failure  # noqa: E402

__all__ = ["REGIONS", "Failure", "Fault", "has_cluster", "sandbox"]

# Seconds between two attempts to start, for example until there is a cluster. Each runs a program or two.
RETRY = 5
# Seconds after which a command of the sandbox hangs. The longest is `break` of a registry: it stops up to three
# processes (10 s each until SIGKILL has worked) and waits for up to three to listen (40 s each).
PATIENCE = 180


class Fault:
    """One fault, from `seconds` after the start of a run, or from before its start if that is 0.

    `start` returns whether it started: what it concerns may not exist yet, and then it is called again. During the run it
    runs in a thread, because a kill must not wait for it. `end` is called once if `start` was called at all, and must not
    need what it concerns to exist.
    """

    def __init__(self, name: str, start: Callable[[], bool], end: Callable[[], object], seconds: float):
        self.name = name
        self.seconds = seconds
        self.started = False
        self._start, self._end = start, end
        # None until the first attempt.
        self._next: float | None = None
        self._attempt: Future[bool] | None = None
        self._thread = ThreadPoolExecutor(1)

    def before_run(self) -> None:
        """Called before the run starts. A fault from second 0 on is in effect afterwards, unless what it concerns does
        not exist yet: in the thread, it could miss the run's first requests, which its rule may count.
        """
        if self.seconds == 0:
            self._next = RETRY
            self.started = self._start()

    def at(self, seconds: float) -> None:
        """Called repeatedly while the run lives."""
        if self._attempt and self._attempt.done():
            self._conclude()
        if not (self.started or self._attempt) and seconds >= (self.seconds if self._next is None else self._next):
            self._next = seconds + RETRY
            self._attempt = self._thread.submit(self._start)

    def end(self) -> None:
        try:
            self._conclude()
        finally:
            self._thread.shutdown()
            if self._next is not None:
                self._end()

    def _conclude(self) -> None:
        """Waits for the attempt that is being made, if there is one, and raises its error."""
        attempt, self._attempt = self._attempt, None
        self.started |= attempt is not None and attempt.result()

    def __str__(self) -> str:
        return f"{self.name} from {self.seconds:.0f} s{'' if self.started else ' (not reached)'}"


def sandbox(*words: str, given: str | None = None) -> str:
    """Runs a command of the sandbox and returns its output. Raises Failure if it fails or hangs."""
    # In its own session, so that the kill also ends its children, such as kubectl, and so that Ctrl-C in the
    # middle of it does not leave a fault half in effect.
    with subprocess.Popen(
        [SANDBOX / "sandbox", *words],
        stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(given, timeout=PATIENCE)
        except BaseException as error:
            # It may have ended in the meantime.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise Failure(f"`sandbox {words[0]} {words[1]}` did not end within {PATIENCE} s") from None
            raise
    if process.returncode:
        raise Failure(f"`sandbox {words[0]} {words[1]}` ended with {process.returncode}: {errors.strip()}")
    return output


def has_cluster(region: str) -> bool:
    """Whether the region's cluster is complete: not before its creation ends, nor once its deletion has started."""
    return (REGIONS[region].directory / "cluster").exists()
