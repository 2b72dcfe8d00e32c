"""The engine on simulated steps: 64 regions against 2. Reads what regions.rs printed from standard input."""

from __future__ import annotations

import sys

import figures


def main() -> None:
    figures.title("The engine on the plan's graph, with steps that wait a second each")
    taken = []
    for line in sys.stdin:
        regions, steps, seconds, journal = line.split()
        taken.append(float(seconds))
        figures.told(f"{regions} regions, {steps} steps", f"{float(seconds):.2f} s")
        figures.told("  of it for having the journal on disk", f"{float(journal):.2f} s")
    few, many = taken
    figures.held("64 regions against 2", many / few, 1.2, "", 2)
    figures.end()


if __name__ == "__main__":
    main()
