"""What the operators share with the campaign and the sandbox, so that other modules here need no paths."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "campaign.d"))

import account  # noqa: E402
from fault import REGIONS, Failure, sandbox  # noqa: E402
from run import Identity  # noqa: E402
from waiting import wait_until  # noqa: E402
from written import descendants  # noqa: E402

__all__ = ["REGIONS", "Failure", "Identity", "account", "descendants", "sandbox", "wait_until"]
