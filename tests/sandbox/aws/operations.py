"""Finds the operation that a method and a path of a REST service denote, from the service's model in botocore."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import botocore.session

# Signing names that differ from the names of botocore's models.
MODELS = {
    "elasticloadbalancing": "elbv2",
    "monitoring": "cloudwatch",
    "tagging": "resourcegroupstaggingapi",
    "servicequotas": "service-quotas",
}


@functools.cache
def model(service: str) -> Any:
    """The service's model, or None if botocore has none."""
    try:
        return botocore.session.get_session().get_service_model(MODELS.get(service, service))
    except Exception:
        # The name comes from the request and may be anything; botocore raises several types for an invalid one.
        return None


@functools.cache
def protocol(service: str) -> str:
    found = model(service)
    return found.metadata.get("protocol", "") if found else ""


@dataclass(frozen=True)
class Route:
    """One operation: its method and path, and the query keys and headers that it requires."""

    name: str
    method: str
    path: re.Pattern[str]
    literal: int
    query: frozenset[str]
    headers: frozenset[str]


def _route(operation: Any) -> Route:
    path, _, query = operation.http["requestUri"].partition("?")
    elements = []
    for element in path.strip("/").split("/"):
        if element.endswith("+}"):
            elements.append(".+")
        elif element.startswith("{"):
            elements.append("[^/]+")
        else:
            elements.append(re.escape(element))
    keys, headers = set(parse_qs(query, keep_blank_values=True)), set()
    shape = operation.input_shape
    for member in shape.required_members if shape else ():
        placed = shape.members[member].serialization
        if placed.get("location") == "querystring":
            keys.add(placed["name"])
        elif placed.get("location") == "header":
            headers.add("HTTP_" + placed["name"].upper().replace("-", "_"))
    literal = sum(len(e) for e in elements if e not in ("[^/]+", ".+"))
    return Route(
        operation.name,
        operation.http["method"],
        re.compile("/" + "/".join(elements) + "/?"),
        literal,
        frozenset(keys),
        frozenset(headers),
    )


@functools.cache
def _routes(service: str) -> list[Route]:
    """The service's operations, those with the most requirements first, so that the first match is the right one."""
    found = model(service)
    if not found or not protocol(service).startswith("rest"):
        return []
    routes = [_route(found.operation_model(name)) for name in found.operation_names]
    routes.sort(key=lambda r: (-len(r.query) - len(r.headers), -r.path.pattern.count("/"), -r.literal))
    return routes


def named(service: str, method: str, path: str, query: set[str], environ: dict[str, Any]) -> str:
    """The operation's name, or an empty string if no operation matches."""
    for route in _routes(service):
        if (
            route.method == method
            and route.query <= query
            and route.headers <= environ.keys()
            and route.path.fullmatch(path)
        ):
            return route.name
    return ""
