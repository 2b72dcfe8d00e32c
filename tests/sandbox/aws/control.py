"""The sandbox's own pages below /sandbox/: faults, inventory, offers, calls, sessions, token review, egress and more."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import places

from . import call as calling
from . import calls, faults, identity, inventory, offers, reach, tokens

Page = Callable[[str, dict[str, str], Any], Any]


class Missing(Exception):
    """The requested page does not exist."""


def _faults(method: str, query: dict[str, str], body: Any) -> Any:
    if method == "POST":
        faults.add(body if isinstance(body, list) else [body])
    elif method == "DELETE":
        faults.clear(query.get("access_key", ""))
    return faults.listed()


def _offers(method: str, _query: dict[str, str], body: Any) -> Any:
    if method == "POST":
        offers.change(body["region"], {key: values for key, values in body.items() if key != "region"})
    elif method == "DELETE":
        offers.clear()
    return offers.changes()


def _inventory(_method: str, query: dict[str, str], _body: Any) -> Any:
    return inventory.everything(new_only=query.get("all") is None)


def _calls(_method: str, query: dict[str, str], _body: Any) -> Any:
    return calls.since(int(query.get("since", 0)))


def _ready(method: str, _query: dict[str, str], _body: Any) -> Any:
    if method == "POST":
        inventory.mark_existing_as_initial()
    return {"ready": True, "account": places.ACCOUNT}


def _sessions(method: str, _query: dict[str, str], body: Any) -> Any:
    """Credentials for tests: of another account, or of a session with a chosen expiry."""
    if method != "POST":
        raise ValueError("expected POST with {account, user} or {account, role, expires_in}")
    account = body.get("account", places.ACCOUNT)
    if "user" in body:
        return identity.create_user(body["user"], account)
    return identity.create_session(body.get("role", "visitor"), float(body.get("expires_in", 3600)), account)


def _egress(_method: str, query: dict[str, str], _body: Any) -> Any:
    return reach.egress(places.ACCOUNT, query["region"], query["address"], int(query["port"]))


def _address(_method: str, _query: dict[str, str], _body: Any) -> str:
    """The operator's public IP address, in the format of checkip.amazonaws.com."""
    return f"{places.OPERATOR}\n"


PAGES: dict[str, Page] = {
    "address": _address,
    "egress": _egress,
    "faults": _faults,
    "inventory": _inventory,
    "offers": _offers,
    "calls": _calls,
    "ready": _ready,
    "sessions": _sessions,
}


def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Serves a page. Any error of a page is a 400 response with its message."""
    status = "200 OK"
    try:
        body = json.loads(calling.body(environ) or b"null")
        query = {
            key: values[0] for key, values in parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True).items()
        }
        result = _page(environ["PATH_INFO"].split("/")[2:], environ["REQUEST_METHOD"], query, body)
    except Missing as missing:
        status, result = "404 Not Found", {"error": f"unknown page `{missing}`; available: {sorted(PAGES)} and token-review"}
    except Exception as error:
        traceback.print_exc()
        status, result = "400 Bad Request", {"error": f"{type(error).__name__}: {error}"}
    plain = isinstance(result, str)
    text = (result if plain else json.dumps(result, default=str)).encode()
    kind = "text/plain" if plain else "application/json"
    start(status, [("Content-Type", kind), ("Content-Length", str(len(text)))])
    return [text]


def _page(path: list[str], method: str, query: dict[str, str], body: Any) -> Any:
    if path[0] == "token-review" and len(path) == 3:
        return tokens.review(path[1], path[2], body)
    if path[0] not in PAGES:
        raise Missing("/".join(path))
    return PAGES[path[0]](method, query, body)
