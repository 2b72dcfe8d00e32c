"""Everything that runs have written or passed on, searched for the values of secrets."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable
from pathlib import Path

_numbers = itertools.count(1)


def output_file(folder: Path) -> Path:
    """A new file for a run's output."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"output-{next(_numbers)}.txt"


class Written:
    """The outputs of all runs, copies of state folders that were lost, and the arguments and environments of children."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.children: set[bytes] = set()
        self._known: set[tuple[int, str]] = set()

    def keep(self, state: Path) -> None:
        """Copies a state folder that is about to be lost, without what terraform downloads."""
        if state.exists():
            ignored = shutil.ignore_patterns("plugins", ".terraform", "providers")
            shutil.copytree(state, self.folder / f"state-{next(_numbers)}", symlinks=True, ignore=ignored)

    def look_at_children(self, pid: int) -> None:
        for child in descendants(pid):
            place = Path(f"/proc/{child}")
            try:
                key = (child, (place / "stat").read_text().rsplit(") ", 1)[1].split()[19])
                # Twice: a child is first seen before it has executed its program.
                arguments = (place / "cmdline").read_bytes()
                if key in self._known and arguments in self.children:
                    continue
                self._known.add(key)
                self.children |= {arguments, (place / "environ").read_bytes()}
            except (OSError, IndexError):
                # It has ended meanwhile.
                continue

    def leaks(self, secrets: Iterable[bytes], places: Iterable[Path]) -> list[str]:
        """Where a secret's value was found."""
        values = list(secrets)
        found = []
        for place in [self.folder, *places]:
            for file in place.rglob("*"):
                if file.is_file() and not file.is_symlink():
                    text = file.read_bytes()
                    found += [f"a secret's value is in {file}" for value in values if value in text]
        for child in self.children:
            found += ["a secret's value was passed to a child" for value in values if value in child]
        return found


def descendants(pid: int) -> list[int]:
    """All processes that a process has started, directly or not, and that still run below it."""
    found, waiting = [], [pid]
    while waiting:
        try:
            threads = list(Path(f"/proc/{waiting.pop()}/task").iterdir())
        except OSError:
            continue
        for thread in threads:
            try:
                children = [int(word) for word in (thread / "children").read_text().split()]
            except OSError:
                continue
            found += children
            waiting += children
    return found
