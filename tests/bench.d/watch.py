"""Runs a command and writes down how long it took, how it ended, and its own peak of memory.

    watch.py RESULT STDOUT COMMAND...

The peak is VmHWM of the process itself, asked for until it ends: what wait4 tells counts its children too, and a
terraform provider takes far more than the program that started it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

EVERY = 0.05


def peak_kb(pid: int) -> int | None:
    """None once the process has ended: it is a zombie then, without memory."""
    found = re.search(r"^VmHWM:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else None


def main() -> int:
    result, stdout, *command = sys.argv[1:]
    began, peak = time.monotonic(), 0
    with open(stdout, "wb") as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out)
        # not reaped before the loop ends, so its page in /proc stays
        while (now := peak_kb(child.pid)) is not None:
            peak = now
            time.sleep(EVERY)
        code = child.wait()
    seconds = time.monotonic() - began
    Path(result).write_text(json.dumps({"seconds": seconds, "peak_kb": peak, "code": code}))
    return code


if __name__ == "__main__":
    sys.exit(main())
