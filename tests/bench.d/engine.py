"""Compares the engine on 64 regions of simulated steps with 2 regions. Reads the output of regions.rs from stdin."""

from __future__ import annotations

import sys

import figures


def main() -> None:
    figures.title("The engine on the plan's graph, with steps that take one second each")
    taken = []
    for line in sys.stdin:
        regions, steps, seconds, journal = line.split()
        taken.append(float(seconds))
        figures.show(f"{regions} regions, {steps} steps", f"{float(seconds):.2f} s")
        figures.show("  of which writing the journal to disk", f"{float(journal):.2f} s")
    few, many = taken
    figures.compare("64 regions compared with 2", many / few, 1.1, "", 2)
    figures.end()


if __name__ == "__main__":
    main()
