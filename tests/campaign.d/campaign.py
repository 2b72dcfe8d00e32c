"""Kills runs at random and lets the next ones repair what is left. See tests/campaign.

1. One `up` and one `down` without a kill: how long they take, and what exists after each. An earlier campaign's figures
   serve as well, if the code is the same.
2. Until all kills are done: some kills of `up`, then `up` to its end and a check; some kills of `down`, then `down` to its
   end and a check. The first full run after the kills must succeed: a second attempt counts as a failure. A run that
   ends before its kill has to succeed as well, unless a fault met it, and counts as no kill.
3. A check compares the account's inventory with that of step 1, so a second VPC or a leftover is a failure, and searches
   everything that a run has written for the values of the account's secrets.

All choices come from one random generator. With the same options, a seed repeats them as long as the same runs succeed
before their kill: such a run ends its series of kills and counts as none, which shifts all later choices. Moments are
drawn as shares of the measured durations and record counts, so these shift nothing. Where a kill hits still depends on
the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import account
import faults
from run import Identity, Point, Run
from written import Written

# A full run that needs longer than this has not converged. Repair may first wait three minutes for proof that the owner
# of a lock is dead.
PATIENCE = 1800


def main() -> int:
    # Otherwise an end from outside would leave the run alive and the fault in effect.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse()
    rng = random.Random(options.seed)
    campaign = Campaign(options, rng)
    campaign.rehearse()
    while campaign.kills < options.runs:
        campaign.up_and_down()
    return campaign.summarize()


class Campaign:
    def __init__(self, options: argparse.Namespace, rng: random.Random):
        self.options = options
        self.rng = rng
        self.identity = Identity(options.work)
        self.written = Written(options.work / "written")
        self.kills = 0
        self.lost = 0
        self.converged: list[float] = []
        self.problems: list[str] = []
        # How long a run takes and how many records it writes, if nothing happens.
        self.took: dict[str, float] = {}
        self.records: dict[str, int] = {}
        self.expected: dict[str, Counter[str]] = {}

    def start(self, command: str, unread: bool = False) -> Run:
        words = [str(self.options.program), command, *(["--yes"] if command == "down" else [])]
        return Run(words, self.identity, self.options.power_cut, self.written, unread)

    def rehearse(self) -> None:
        """Measures both commands, and remembers what exists after each: in a file as well, if one is named."""
        file = self.options.rehearsal
        if file and file.exists():
            known = json.loads(file.read_text())
            self.took, self.records = known["took"], known["records"]
            self.expected = {command: Counter(kinds) for command, kinds in known["expected"].items()}
            return
        for command in ("up", "down"):
            run = self.start(command)
            if run.finish(PATIENCE) != 0:
                sys.exit(f"campaign: `{command}` fails without any kill:\n{run.output()}")
            self.took[command] = time.monotonic() - run.started_at
            self.records[command] = run.records()
            self.expected[command] = account.counted()
            exist = self.expected[command].total()
            say(f"{command} without a kill: {self.took[command]:.0f} s, then {exist} resources")
        if file:
            file.write_text(json.dumps({"took": self.took, "records": self.records, "expected": self.expected}))

    def up_and_down(self) -> None:
        for command, most in (("up", 5), ("down", 4)):
            for _ in range(self.rng.randint(1, most)):
                # One that has succeeded leaves the next one nothing to do.
                if self.kills == self.options.runs or not self.kill(command):
                    break
            self.converge(command)

    def kill(self, command: str) -> bool:
        """Starts a run and kills it; false if it succeeded before."""
        fault = faults.choose(self.rng, self.took[command], self.options.only) if self.options.faults else None
        unread = self.options.faults and self.rng.random() < 0.2
        # In the reverse order, also after an error or Ctrl-C: the fault ends once the run is dead.
        with contextlib.ExitStack() as undo:
            if fault:
                undo.callback(fault.end)
                fault.before_run()
            run = self.start(command, unread)
            undo.callback(run.kill)
            point = self.choose_point(command, run)
            ended = run.kill_at(point, fault)
        self.kills += ended is None
        if self.options.power_cut:
            self.identity.reboot(self.rng)
        lost = self.options.power_cut and self.rng.random() < 0.5
        if lost:
            self.lost += 1
            self.written.keep(self.identity.state())
            self.identity.lose(self.rng)
        happened = "killed" if ended is None else f"ended with {ended} before"
        around = "".join([f", {fault}" if fault else "", ", unread" if unread else "", ", local state lost" if lost else ""])
        say(f"{self.kills}/{self.options.runs} {command} {happened} at {point}{around}")
        if ended and not fault:
            self.problems.append(f"`{command}` ended with {ended} after kills:\n{run.output()}")
        entry = {"fault": str(fault) if fault else None, "unread": unread}
        self.report(kill=self.kills, command=command, point=str(point), ended=ended, lost=lost, **entry)
        return ended != 0

    def choose_point(self, command: str, run: Run) -> Point:
        """A moment of the whole life, or a journal record: at those the state of affairs changes."""
        if self.rng.random() < 0.5:
            return run.after_seconds(self.rng.uniform(0.2, self.took[command]))
        # Not `randint`, which takes as many random bits as its limits need: the number of records varies between campaigns.
        return run.after_records(1 + int(self.rng.random() * self.records[command]))

    def converge(self, command: str) -> None:
        # Before a `down`, which deletes them.
        secrets = account.secrets()
        run = self.start(command)
        code = run.finish(PATIENCE)
        seconds = time.monotonic() - run.started_at
        self.converged.append(seconds)
        problems = []
        if code != 0:
            problems.append(f"`{command}` ended with {code} instead of converging:\n{run.output()}")
            # What follows should start from a defined state, and a person would try again as well.
            problems.append(f"`{command}` again ended with {self.start(command).finish(PATIENCE)}")
        problems += account.difference(self.expected[command], account.counted())
        buckets = account.download_buckets(self.options.work / "buckets")
        problems += self.written.leaks([*secrets, *account.secrets()], [self.identity.state(), buckets])
        say("\n".join(problems) if problems else f"{command} converged in {seconds:.0f} s")
        self.report(converge=command, seconds=round(seconds), problems=problems)
        self.problems += problems

    def report(self, **entry: Any) -> None:
        if self.options.report:
            with self.options.report.open("a") as file:
                print(json.dumps({"seed": self.options.seed, "power_cut": self.options.power_cut, **entry}), file=file)

    def summarize(self) -> int:
        kind = f"power cuts ({self.lost} with all local state lost)" if self.options.power_cut else "kills"
        print(f"seed {self.options.seed}: {self.kills} {kind}, {len(self.converged)} full runs after them, {len(self.problems)} problems")
        for problem in self.problems:
            print(f"- {problem.splitlines()[0]}")
        return 1 if self.problems else 0


def say(text: str) -> None:
    print(f"campaign: {text}", file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--power-cut", action="store_true")
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--only", default="*", metavar="PATTERN")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--rehearsal", type=Path)
    options = parser.parse_args()
    if options.only != "*" and not options.faults:
        parser.error("--only chooses among the faults of --faults")
    return options


if __name__ == "__main__":
    sys.exit(main())
