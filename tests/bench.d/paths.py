"""Compares the first up with the longest path of its graph, and with running the same phases one after the other.

    paths.py FOLDER

FOLDER contains watch.py's up.json and up.ndjson, and the same for each phase in order/, named by its position.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import delays
import events
import figures


def path_of(title: str, path: list[str], took: dict[str, float]) -> float:
    total = sum(took[step] for step in path)
    injected = sum(delays.of(step) for step in path)
    figures.show(title, f"{total:.1f} s")
    for step in path:
        note = f" ({delays.of(step)} s of it injected)" if delays.of(step) else ""
        figures.show(f"    {step}{note}", f"{took[step]:.1f} s")
    figures.show("  injected delays", f"{injected} s")
    figures.show("  the rest: the provider's polls, and work on this machine", f"{total - injected:.1f} s")
    return total


def main() -> None:
    folder = Path(sys.argv[1])
    wall = json.loads((folder / "up.json").read_text())["seconds"]
    up = events.read(folder / "up.ndjson")
    took = {name: step.took for name, step in up.items()}
    named = ", ".join(f"{stack} {settle} s" for stack, (_, _, settle) in delays.DELAYS.items())

    figures.title(f"The first up, with settling times in both regions: {named}")
    figures.show("up", f"{wall:.1f} s")
    injected = {name: float(delays.of(name)) for name in up}
    least = sum(injected[step] for step in events.longest_path(up, injected))
    figures.show("injected delays alone, along their longest path", f"{least:.0f} s")
    path = events.longest_path(up, took)
    total = path_of("longest path, with the times of this up", path, took)
    figures.compare("up divided by that path", wall / total, 1.15, "", 2)
    figures.show("sum of all steps", f"{sum(took.values()):.1f} s")

    figures.title("The same phases one after the other, in the Makefile's order")
    alone: dict[str, float] = {}
    serial = 0.0
    for result in sorted((folder / "order").glob("*.json")):
        seconds = json.loads(result.read_text())["seconds"]
        serial += seconds
        figures.show(f"  {result.stem[3:]}", f"{seconds:.1f} s")
        for name, step in events.read(result.with_suffix(".ndjson")).items():
            # A phase also reads what earlier phases created, so only the times of its own steps count.
            if step.action == "up" and name in took:
                alone[name] = max(alone.get(name, 0.0), step.took)
    figures.show("all phases", f"{serial:.1f} s")
    figures.show("sum divided by up", f"{serial / wall:.2f}")
    # These times are without competition from the other region for the machine, unlike those of up itself.
    path = events.longest_path(up, alone)
    total = path_of("longest path, with these times", path, alone)
    figures.show("up divided by that path", f"{wall / total:.2f}")
    figures.end()


if __name__ == "__main__":
    main()
