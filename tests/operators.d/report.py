"""One line per scenario: what was seen, which expectations failed, and how long it took."""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from collections.abc import Iterator

from shared import Failure
from team import Team


class Scenario:
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.problems: list[str] = []

    def see(self, text: str) -> None:
        self.seen.append(text)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Keeps a failed expectation, and continues: what follows may show more."""
        if not holds:
            self.problems.append(otherwise)


class Report:
    def __init__(self, team: Team):
        self.team = team
        self.scenarios = 0
        self.failed = 0

    @contextlib.contextmanager
    def scenario(self, title: str) -> Iterator[Scenario]:
        """Prints the line at the end. A scenario that cannot continue has failed, and the next one starts."""
        scenario, started, before = Scenario(), time.monotonic(), len(self.team.jobs)
        try:
            yield scenario
        except Failure as failure:
            scenario.problems.append(str(failure))
        except Exception as error:
            # A defect of the scenario itself. The other scenarios are worth their results.
            traceback.print_exc()
            scenario.problems.append(f"{type(error).__name__}: {error}")
        seconds = time.monotonic() - started
        self.scenarios += 1
        self.failed += bool(scenario.problems)
        words = [*scenario.seen, *(f"EXPECTED {problem}" for problem in scenario.problems)]
        print(f"{'FAILED' if scenario.problems else 'ok':6}  {title}: {'; '.join(words)}  ({seconds:.0f} s)", flush=True)
        if scenario.problems:
            for job in self.team.jobs[before:]:
                print(job.tail(), file=sys.stderr, flush=True)

    def summarize(self) -> int:
        print(f"{self.scenarios} scenarios, {self.failed} failed")
        return 1 if self.failed else 0
