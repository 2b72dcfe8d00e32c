"""Reads that answer as before a change, because a service brings a change to all of its endpoints only after a while.

1. While a fault rule with `stale` exists for a caller, `keep` stores the last answer to each of its reads.
2. `changed` stores, for a change that the rule hits, the answers from before it, each to be given that many times.
3. `old` gives such an answer. A read that was not made before the change is answered as it is now, because what it would
   have answered then is not known.

S3 and Route 53 are left out, because they list every change that they have accepted.
"""

from __future__ import annotations

import threading
from typing import Any

from . import call as calling

Answer = tuple[int, list[tuple[str, str]], list[bytes]]
Request = tuple[str, str, str, str, bytes]
# A caller's view of one service in one region.
View = tuple[str, str, str]

CONSISTENT = {"s3", "route53"}

_lock = threading.Lock()
_kept: dict[View, dict[Request, Answer]] = {}
_old: dict[View, dict[Request, tuple[int, Answer]]] = {}


def _view(call: calling.Call) -> View:
    return call.access_key, call.service, call.region


def _request(environ: dict[str, Any], call: calling.Call) -> Request:
    query = environ.get("QUERY_STRING", "")
    return environ.get("REQUEST_METHOD", "GET"), calling.raw_path(environ), query, call.action, calling.body(environ)


def old(environ: dict[str, Any], call: calling.Call) -> Answer | None:
    """The answer from before a change, for a read that still gets it."""
    if call.changes:
        return None
    request = _request(environ, call)
    with _lock:
        answers = _old.get(_view(call), {})
        left, answer = answers.pop(request, (0, None))
        if left > 1 and answer:
            answers[request] = (left - 1, answer)
        return answer


def keep(environ: dict[str, Any], call: calling.Call, answer: tuple[int, list[tuple[str, str]], Any]) -> Answer:
    """Stores the answer to a read. Returns it, because reading its body exhausts it."""
    status, headers, chunks = answer
    whole = status, headers, list(chunks)
    if not call.changes and call.service not in CONSISTENT:
        with _lock:
            _kept.setdefault(_view(call), {})[_request(environ, call)] = whole
    return whole


def changed(call: calling.Call, times: int) -> None:
    """After a change: lets each read that was made before it be answered so many times as before."""
    with _lock:
        _old[_view(call)] = {request: (times, answer) for request, answer in _kept.get(_view(call), {}).items()}


def clear(access_key: str = "") -> None:
    """Forgets the answers to one caller, or to all."""
    with _lock:
        for views in (_kept, _old):
            for view in [view for view in views if not access_key or view[0] == access_key]:
                del views[view]
