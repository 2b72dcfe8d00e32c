"""The log of API calls that changed something, for tests that assert that a command changed nothing."""

from __future__ import annotations

import threading
import time
from typing import Any

from .call import Call

_log: list[dict[str, Any]] = []
_lock = threading.Lock()


def record(call: Call, status: int) -> None:
    with _lock:
        _log.append(
            {
                "n": len(_log) + 1,
                "at": time.time(),
                "service": call.service,
                "action": call.action,
                "region": call.region,
                "status": status,
                "resource": call.resource,
                "access_key": call.access_key,
            }
        )


def since(n: int) -> list[dict[str, Any]]:
    """The calls after number `n`."""
    with _lock:
        return _log[n:]
