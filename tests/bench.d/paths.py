"""The first up against the longest path of its graph, and against the same phases one after the other.

    paths.py FOLDER

FOLDER has what watch.py wrote: up.json and up.ndjson, and the same of each phase in order/, named by its turn.
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
    figures.told(title, f"{total:.1f} s")
    for step in path:
        note = f" ({delays.of(step)} s of it injected)" if delays.of(step) else ""
        figures.told(f"    {step}{note}", f"{took[step]:.1f} s")
    figures.told("  injected into it", f"{injected} s")
    figures.told("  the rest: the provider's polls, this machine's own work", f"{total - injected:.1f} s")
    return total


def main() -> None:
    folder = Path(sys.argv[1])
    wall = json.loads((folder / "up.json").read_text())["seconds"]
    up = events.read(folder / "up.ndjson")
    took = {name: step.took for name, step in up.items()}
    named = ", ".join(f"{stack} {settle} s" for stack, (_, _, settle) in delays.DELAYS.items())

    figures.title(f"The first up, with settling times in both regions: {named}")
    figures.told("up", f"{wall:.1f} s")
    injected = {name: float(delays.of(name)) for name in up}
    least = sum(injected[step] for step in events.longest_path(up, injected))
    figures.told("what is injected alone, along its longest path", f"{least:.0f} s")
    path = events.longest_path(up, took)
    total = path_of("longest path, by the times its steps took in this up", path, took)
    figures.held("up against that path", wall / total, 1.15, "", 2)
    figures.told("all steps' times added up", f"{sum(took.values()):.1f} s")

    figures.title("The same phases one after the other, in the Makefile's order")
    alone: dict[str, float] = {}
    serial = 0.0
    for result in sorted((folder / "order").glob("*.json")):
        seconds = json.loads(result.read_text())["seconds"]
        serial += seconds
        figures.told(f"  {result.stem[3:]}", f"{seconds:.1f} s")
        for name, step in events.read(result.with_suffix(".ndjson")).items():
            # a phase reads what it builds on; only its own steps' times are those of making them
            if step.action == "up" and name in took:
                alone[name] = max(alone.get(name, 0.0), step.took)
    figures.told("all phases", f"{serial:.1f} s")
    figures.told("that against up", f"{serial / wall:.2f}")
    # what the steps take where no other region's compete for the machine: a path that up did not measure itself
    path = events.longest_path(up, alone)
    total = path_of("longest path, by the times the steps took here", path, alone)
    figures.told("up against that path", f"{wall / total:.2f}")
    figures.end()


if __name__ == "__main__":
    main()
