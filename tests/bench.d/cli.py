"""The program itself: how large it is, how soon it answers, how much memory it takes.

    cli.py PROGRAM UP_RESULT

Where the sandbox is up and deployed; UP_RESULT is what watch.py wrote of the first up.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import figures


def seconds(command: list[str], runs: int) -> list[float]:
    """How long the command takes each time, the start of its process included."""
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        taken.append(time.perf_counter() - began)
    return taken


def main() -> None:
    program, result = sys.argv[1:]
    figures.title("The program")
    figures.held("size of the binary as shipped (profile dist)", Path(program).stat().st_size / 1e6, 30, "MB")

    taken = seconds([program, "--help"], 200)
    figures.held("--help, median of 200", statistics.median(taken) * 1e3, 10, "ms")
    figures.told("  the slowest of them", f"{max(taken) * 1e3:.1f} ms")

    peak = json.loads(Path(result).read_text())["peak_kb"] * 1024
    figures.held("peak memory during the first up, without its children", peak / 1e6, 80, "MB")

    # it exits 0 only where all is as configured, so this is the look at everything
    taken = seconds([program, "status"], 7)
    figures.held("status of both regions, median of 7", statistics.median(taken), 2, "s", 2)
    figures.told("  the slowest of them", f"{max(taken):.2f} s")
    figures.end()


if __name__ == "__main__":
    main()
