"""Reads a run's NDJSON events: its steps, when each started and ended, and their child processes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path


@dataclass
class Child:
    command: list[str]
    started: float
    ended: float = 0.0

    @property
    def kind(self) -> str:
        """Program and subcommand, for example `terraform plan`."""
        program, *words = self.command
        return " ".join([Path(program).name, *[word for word in words if not word.startswith("-")][:1]])


@dataclass
class Step:
    name: str
    action: str
    needs: list[str]
    started: float = 0.0
    ended: float = 0.0
    verdict: str = ""
    children: list[Child] = field(default_factory=list)

    @property
    def phase(self) -> str:
        return self.name.split("/")[0]

    @property
    def took(self) -> float:
        return self.ended - self.started


def read(path: Path) -> dict[str, Step]:
    """The steps of a finished run."""
    steps: dict[str, Step] = {}
    children: dict[int, Child] = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        at = datetime.fromisoformat(record["at"]).timestamp()
        match record["event"]:
            case "run-started":
                for planned in record["steps"]:
                    needs = [_name(need) for need in planned["needs"]]
                    steps[_name(planned["step"])] = Step(_name(planned["step"]), planned["action"], needs)
            case "step-started":
                steps[_name(record["step"])].started = at
            case "step-finished":
                step = steps[_name(record["step"])]
                # A skipped step finishes without having started.
                step.started = step.started or at
                step.ended, step.verdict = at, record["verdict"]["kind"]
            case "child-started":
                child = children[record["pid"]] = Child(record["command"].split(), at)
                steps[_name(record["step"])].children.append(child)
            case "child-ended":
                children[record["pid"]].ended = at
    return steps


def _name(step: dict[str, str | None]) -> str:
    return "/".join(filter(None, (step["phase"], step["region"], step["part"])))


def longest_path(steps: dict[str, Step], took: dict[str, float]) -> list[str]:
    """The path through the graph with the largest sum of times, from the first step to the last."""
    best: dict[str, tuple[float, list[str]]] = {}

    def until(name: str) -> tuple[float, list[str]]:
        if name not in best:
            before = max((until(need) for need in steps[name].needs), default=(0.0, []))
            best[name] = (before[0] + took[name], [*before[1], name])
        return best[name]

    return max(until(name) for name in steps)[1]


def covered(spans: list[tuple[float, float]]) -> float:
    """Seconds during which at least one of the spans was active."""
    total, reached = 0.0, 0.0
    for started, ended in sorted(spans):
        total += max(0.0, ended - max(started, reached))
        reached = max(reached, ended)
    return total
