"""How a service of ours takes the place of moto's."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def route(urls: ModuleType, response: type, *more: str) -> None:
    """Sends the paths of a service, and `more` that moto does not route, to `response`."""
    for path in [*urls.url_paths, *more]:
        urls.url_paths[path] = response.dispatch


def back(backends: Any, backend: type, urls: ModuleType) -> None:
    """Makes `backend` the class behind every account and region of a service, before the first is made."""
    if backends:
        raise RuntimeError(f"{backends.service_name} was used before it was installed")
    # moto derives this from the name of the class's module.
    backend._url_module = urls  # type: ignore[attr-defined]
    backends.backend = backend
