"""What a run's NDJSON events say: its steps, when each began and ended, and what its children did."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path


@dataclass
class Child:
    command: list[str]
    began: float
    ended: float = 0.0

    @property
    def kind(self) -> str:
        """For instance `terraform plan`."""
        program, *words = self.command
        return " ".join([Path(program).name, *[word for word in words if not word.startswith("-")][:1]])


@dataclass
class Step:
    name: str
    action: str
    needs: list[str]
    began: float = 0.0
    ended: float = 0.0
    verdict: str = ""
    children: list[Child] = field(default_factory=list)

    @property
    def phase(self) -> str:
        return self.name.split("/")[0]

    @property
    def took(self) -> float:
        return self.ended - self.began


def read(path: Path) -> dict[str, Step]:
    """The steps of a run that came to its end."""
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
                steps[_name(record["step"])].began = at
            case "step-finished":
                step = steps[_name(record["step"])]
                # one that never began ended all the same
                step.began = step.began or at
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
    """The steps, first to last, whose times add up to the most along what each needs."""
    best: dict[str, tuple[float, list[str]]] = {}

    def until(name: str) -> tuple[float, list[str]]:
        if name not in best:
            before = max((until(need) for need in steps[name].needs), default=(0.0, []))
            best[name] = (before[0] + took[name], [*before[1], name])
        return best[name]

    return max(until(name) for name in steps)[1]


def covered(spans: list[tuple[float, float]]) -> float:
    """Seconds in which at least one of these was under way."""
    total, reached = 0.0, 0.0
    for began, ended in sorted(spans):
        total += max(0.0, ended - max(began, reached))
        reached = max(reached, ended)
    return total
