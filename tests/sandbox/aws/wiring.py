"""Replaces moto's classes for a service with our own."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def route(urls: ModuleType, response: type, *more: str) -> None:
    """Routes the paths of a service, and `more` that moto does not route, to `response`."""
    for path in [*urls.url_paths, *more]:
        urls.url_paths[path] = response.dispatch


def use_backend(backends: Any, backend: type, urls: ModuleType) -> None:
    """Makes `backend` the class for every account and region of a service. Must run before moto creates the first one."""
    if backends:
        raise RuntimeError(f"{backends.service_name} was used before its backend was replaced")
    # moto would derive this from the name of the class's module.
    backend._url_module = urls  # type: ignore[attr-defined]
    backends.backend = backend
