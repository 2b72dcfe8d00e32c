"""The second up, which has nothing to do: its time and what it spends it on.

    second.py FOLDER

FOLDER has again.json and again.ndjson, written by watch.py.
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
    figures.told("up again", f"{wall:.1f} s")
    figures.held("steps that changed something", sum(step.verdict != "unchanged" for step in steps), 0, "", 0)
    figures.told("before its first step and after its last", f"{wall - span(steps):.1f} s")
    for phase in dict.fromkeys(step.phase for step in steps):
        spans = [(step.began, step.ended) for step in steps if step.phase == phase]
        figures.told(f"  {phase} under way ({len(spans)} steps)", f"{events.covered(spans):.1f} s")

    figures.told("with any child process under way", f"{busy(children):.1f} s")
    kinds = defaultdict(list)
    for child in children:
        kinds[child.kind].append(child)
    # git's looks at the checkout take milliseconds
    worth = {kind: each for kind, each in kinds.items() if busy(each) >= 0.1}
    for kind, each in sorted(worth.items(), key=lambda item: -busy(item[1])):
        added = sum(child.ended - child.began for child in each)
        figures.told(f"  {kind} under way ({len(each)} times, {added:.1f} s added up)", f"{busy(each):.1f} s")

    took = {step.name: step.took for step in steps}
    path = events.longest_path(graph, took)
    figures.told("longest path", f"{sum(took[name] for name in path):.1f} s")
    for name in path:
        figures.told(f"    {name}", f"{took[name]:.1f} s")
    figures.end()


def busy(children: list[events.Child]) -> float:
    return events.covered([(child.began, child.ended) for child in children])


def span(steps: list[events.Step]) -> float:
    return max(step.ended for step in steps) - min(step.began for step in steps)


if __name__ == "__main__":
    main()
