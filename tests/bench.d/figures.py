"""Prints figures with their limits, and remembers whether one was missed."""

from __future__ import annotations

import sys
from typing import NoReturn

MISSED = 3
"""Exit status of a part that measured everything and missed a limit."""

_missed = False


def title(text: str) -> None:
    print(f"\n{text}")


def show(name: str, value: str) -> None:
    """Prints a figure that has no limit."""
    print(f"  {name:<58} {value:>10}")


def compare(name: str, value: float, limit: float, unit: str, digits: int = 1) -> None:
    """Prints a figure and compares it with its upper limit."""
    global _missed
    ok = value <= limit
    _missed |= not ok
    shown = f"{value:.{digits}f} {unit}".strip()
    most = f"limit {limit:g} {unit}".strip()
    print(f"  {name:<58} {shown:>10}   {most:<13} {'ok' if ok else 'MISSED'}")


def reach(name: str, value: float, least: float, unit: str = "", digits: int = 2) -> None:
    """Prints a figure and compares it with its lower limit."""
    global _missed
    ok = value >= least
    _missed |= not ok
    shown = f"{value:.{digits}f} {unit}".strip()
    print(f"  {name:<58} {shown:>10}   {f'at least {least:g}':<13} {'ok' if ok else 'MISSED'}")


def end() -> NoReturn:
    sys.stdout.flush()
    sys.exit(MISSED if _missed else 0)
