"""Plays the scenarios of several operators on a running sandbox with an empty account. See tests/operators.

The order saves time: each scenario starts from the result of the one before, and those that wait for a silent
holder in one region run beside those of the other region.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import first_up
import jobs
import stopped
import teardown
from report import Report
from team import Team


def main() -> int:
    # Otherwise an end from outside would leave runs alive.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse()
    team = Team(options.program, options.work)
    report = Report(team)
    try:
        for act in (first_up, jobs, stopped, teardown):
            act.play(report, team)
    finally:
        team.end()
    return report.summarize()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
