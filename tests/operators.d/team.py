"""The operators: each has a fresh clone of the repository, so only the leases in the state buckets keep them apart.

All of them are the user `deployer` of the account, with two access keys. The sandbox records the key of each call, so the
calls of two operators with different keys can be told apart.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from job import Job
from shared import Identity, account


@dataclass(frozen=True)
class Key:
    id: str
    secret: str


class Operator:
    def __init__(self, name: str, key: Key, clone: Path, team: Team):
        self.name = name
        self.key = key
        self.clone = clone
        self._team = team

    def start(self, *words: str, elsewhere: bool = False) -> Job:
        """Starts paydeploy with these arguments. Another machine (`elsewhere`) has its own processes, host name and boot id."""
        command = [str(self._team.program), *words]
        if elsewhere:
            command = self._machine().contained(command)
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": self.key.id, "AWS_SECRET_ACCESS_KEY": self.key.secret}
        return self._team.add(f"{self.name}: paydeploy {' '.join(words)}", command, self.clone, environment)

    def _machine(self) -> Identity:
        folder = self.clone.with_suffix(".machine")
        folder.mkdir(exist_ok=True)
        machine = Identity(folder)
        machine.host = f"host-of-{self.name}"
        return machine

    def newest_run(self) -> str:
        """The id of this clone's newest run, or nothing before the first; ids sort by their start."""
        return max((folder.name for folder in (self.clone / ".paydeploy" / "runs").glob("*")), default="")


class Team:
    def __init__(self, program: Path, work: Path):
        self.program = program
        self.work = work
        self.jobs: list[Job] = []
        self._numbers = itertools.count(1)
        workspace = os.environ["PAYDEPLOY_WORKSPACE"]
        remote = ["git", "-C", workspace, "remote", "get-url", "origin"]
        self._origin = subprocess.run(remote, check=True, capture_output=True, text=True).stdout.strip()
        created = account.page("sessions", "POST", {"user": "deployer"})
        self.first = Key(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
        self.second = Key(created["AccessKeyId"], created["SecretAccessKey"])

    def operator(self, name: str, key: Key) -> Operator:
        clone = self.work / f"clone-{next(self._numbers)}"
        subprocess.run(["git", "clone", "--quiet", self._origin, str(clone)], check=True)
        return Operator(name, key, clone, self)

    def add(self, name: str, command: list[str], folder: Path, environment: dict[str, str]) -> Job:
        job = Job(name, command, folder, environment, self.work / f"output-{next(self._numbers)}.txt")
        self.jobs.append(job)
        return job

    def end(self) -> None:
        """Kills what still runs."""
        with contextlib.ExitStack() as stack:
            # The stack calls all of them, also after an error.
            for job in self.jobs:
                stack.callback(job.kill)
