"""Measures the second up, which has nothing to do, and where its time goes.

    second.py FOLDER

FOLDER contains again.json and again.ndjson, written by watch.py.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import events
import figures


def main() -> None:
    folder = Path(sys.argv[1])
    graph = events.read(folder / "again.ndjson")
    steps = list(graph.values())
    children = [child for step in steps for child in step.children]

    figures.title("The second up")
    wall = json.loads((folder / "again.json").read_text())["seconds"]
    figures.show("second up", f"{wall:.1f} s")
    figures.compare("steps that changed something", sum(step.verdict != "unchanged" for step in steps), 0, "", 0)
    figures.show("before the first step and after the last", f"{wall - span(steps):.1f} s")
    for phase in dict.fromkeys(step.phase for step in steps):
        spans = [(step.started, step.ended) for step in steps if step.phase == phase]
        figures.show(f"  {phase} running ({len(spans)} steps)", f"{events.covered(spans):.1f} s")

    figures.show("at least one child process running", f"{busy(children):.1f} s")
    kinds = defaultdict(list)
    for child in children:
        kinds[child.kind].append(child)
    # Leave out git's checks of the checkout, which take milliseconds.
    worth = {kind: each for kind, each in kinds.items() if busy(each) >= 0.1}
    for kind, each in sorted(worth.items(), key=lambda item: -busy(item[1])):
        added = sum(child.ended - child.started for child in each)
        figures.show(f"  {kind} running ({len(each)} times, {added:.1f} s in total)", f"{busy(each):.1f} s")

    took = {step.name: step.took for step in steps}
    path = events.longest_path(graph, took)
    figures.show("longest path", f"{sum(took[name] for name in path):.1f} s")
    for name in path:
        figures.show(f"    {name}", f"{took[name]:.1f} s")
    figures.end()


def busy(children: list[events.Child]) -> float:
    return events.covered([(child.started, child.ended) for child in children])


def span(steps: list[events.Step]) -> float:
    return max(step.ended for step in steps) - min(step.started for step in steps)


if __name__ == "__main__":
    main()
