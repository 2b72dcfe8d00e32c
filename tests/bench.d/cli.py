"""Measures the program's size, latency and peak memory.

    cli.py PROGRAM UP_RESULT

Needs a deployed sandbox; UP_RESULT is watch.py's result of the first up.
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
    """Durations in seconds of each run, including the start of the process."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        taken.append(time.perf_counter() - start)
    return taken


def main() -> None:
    program, result = sys.argv[1:]
    figures.title("The program")
    figures.compare("size of the released binary (profile dist)", Path(program).stat().st_size / 1e6, 30, "MB")

    taken = seconds([program, "--help"], 200)
    figures.compare("--help, median of 200", statistics.median(taken) * 1e3, 10, "ms")
    figures.show("  the slowest of them", f"{max(taken) * 1e3:.1f} ms")

    peak = json.loads(Path(result).read_text())["peak_kb"] * 1024
    figures.compare("peak memory during the first up, excluding child processes", peak / 1e6, 80, "MB")

    # It exits 0 only if everything is as configured, so it has checked everything.
    taken = seconds([program, "status"], 7)
    figures.compare("status of both regions, median of 7", statistics.median(taken), 2, "s", 2)
    figures.show("  the slowest of them", f"{max(taken):.2f} s")
    figures.end()


if __name__ == "__main__":
    main()
