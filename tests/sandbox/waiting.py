"""Waiting for a condition, always with a deadline, and file locks between processes."""
import contextlib
import fcntl
import os
import time
from pathlib import Path


class Failure(Exception):
    """An error that the user can act on. Its message names the place and, where there is one, the fix."""


def wait_until(condition, what: str, seconds: float, interval: float = 0.05):
    """Returns the first truthy value of `condition`. Raises Failure, which names `what`, after `seconds`."""
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
    """Holds an exclusive (or shared) lock on the file `path`, which is created if it is missing.

    A holder may delete the file (`cluster.py release` does). A waiter could then lock a deleted file while another
    process locks the new one, so the lock counts only if `path` still is the file that was locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB

    def take():
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, mode)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor, True
        except (BlockingIOError, FileNotFoundError):
            # Held by another process, or deleted since it was opened: `wait_until` retries.
            pass
        os.close(descriptor)
        return None

    # `take` returns a tuple, because descriptor 0 alone would be falsy.
    descriptor, _ = wait_until(take, f"the lock `{path}`, which another process holds", seconds)
    try:
        yield
    finally:
        os.close(descriptor)
