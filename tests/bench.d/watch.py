"""Runs a command and records its duration, exit status and peak memory.

    watch.py RESULT STDOUT COMMAND...

The peak is VmHWM of the process itself, polled until it ends. wait4 would count its children too, and a Terraform
provider takes far more memory than the program that started it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

POLL_SECONDS = 0.05


def peak_kb(pid: int) -> int | None:
    """None after the process has ended: it is a zombie then, without memory."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else None


def main() -> int:
    result, stdout, *command = sys.argv[1:]
    start, peak = time.monotonic(), 0
    with open(stdout, "wb") as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out)
        # The process is reaped after the loop, so its /proc entry exists until then.
        while (now := peak_kb(child.pid)) is not None:
            peak = now
            time.sleep(POLL_SECONDS)
        code = child.wait()
    seconds = time.monotonic() - start
    Path(result).write_text(json.dumps({"seconds": seconds, "peak_kb": peak, "code": code}))
    return code


if __name__ == "__main__":
    sys.exit(main())
