"""Waiting on a condition, always with a deadline, and one lock a subject."""
import contextlib
import fcntl
import os
import time
from pathlib import Path


class Failure(Exception):
    """An error that the user can act on: its text names the place and the remedy."""


def wait_until(condition, what: str, seconds: float, interval: float = 0.05):
    """Returns the first true value of `condition`; after `seconds`, fails and says what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise Failure(f"timed out after {seconds:g} s waiting for {what}")
        time.sleep(interval)


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False, seconds: float = 180):
    """Holds the lock file `path`. It may be deleted by its holder, so the file that was locked must still be the one in place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB

    def take():
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, mode)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor, True
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)
        return None

    descriptor, _ = wait_until(take, f"the lock `{path}`, held by another call", seconds)
    try:
        yield
    finally:
        os.close(descriptor)
