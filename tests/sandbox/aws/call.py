"""Identifies a request: service, region, action, resource and access key."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from . import operations

Environ = dict[str, Any]

REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
READS = re.compile(
    r"(Describe|List|Get|Head|BatchGet|BatchCheck|Lookup|Search|Query|Scan|Filter|Check|Test|Simulate|Validate)"
)
# These actions change nothing that a region holds, although their names do not start like those of reads.
EPHEMERAL = re.compile(r"(AssumeRole|Decode|Encrypt|Decrypt|ReEncrypt|GenerateDataKey|GenerateMac|Sign|Verify)")


@dataclass
class Call:
    """One API call, in the terms of fault rules and of the call log."""

    service: str
    region: str
    action: str
    resource: str
    access_key: str = ""
    session_token: str = ""
    presigned: bool = False

    @property
    def changes(self) -> bool:
        return not (READS.match(self.action) or EPHEMERAL.match(self.action))


def body(environ: Environ) -> bytes:
    """The request's body. The stream is replaced, so that moto can read it again."""
    kept = environ.get("sandbox.body")
    if kept is None:
        stream = environ["wsgi.input"]
        if environ.get("wsgi.input_terminated"):
            kept = stream.read()
        else:
            kept = stream.read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["sandbox.body"] = kept
        environ["CONTENT_LENGTH"] = str(len(kept))
    environ["wsgi.input"] = io.BytesIO(kept)
    return kept


def _host(environ: Environ) -> tuple[str, str, str]:
    """The service, region and bucket in an AWS host name; empty strings where it has none."""
    name = environ.get("HTTP_HOST", "").split(":")[0]
    if not name.endswith(".amazonaws.com"):
        return "", "", ""
    labels = name.removesuffix(".amazonaws.com").split(".")
    region = labels.pop() if len(labels) > 1 and REGION.fullmatch(labels[-1]) else ""
    return labels[-1], region, ".".join(labels[:-1])


def raw_path(environ: Environ) -> str:
    """The path as it was sent, still percent-encoded."""
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ.get("PATH_INFO", "/")
    return re.sub(r"^https?://[^/]+", "", raw).split("?")[0] or "/"


def of(environ: Environ) -> Call:
    """Identifies a request by the scope of its signature, or by its host if it is unsigned."""
    query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    header = environ.get("HTTP_AUTHORIZATION", "")
    scope = re.search(r"Credential=([^,\s]+)", header)
    credential = scope.group(1) if scope else query.get("X-Amz-Credential", [""])[0]
    parts = unquote(credential).split("/")
    key, service, region = (parts[0], parts[3], parts[2]) if len(parts) == 5 else ("", "", "")
    if not service:
        service, region, _ = _host(environ)
        region = region or "us-east-1"
    call = Call(
        service=service,
        region=region,
        action="",
        resource="",
        access_key=key,
        session_token=environ.get("HTTP_X_AMZ_SECURITY_TOKEN") or query.get("X-Amz-Security-Token", [""])[0],
        presigned="X-Amz-Signature" in query,
    )
    call.action, call.resource = _action(environ, call, query)
    if not call.service and call.action.startswith("AssumeRoleWith"):
        call.service = "sts"
    return call


def _action(environ: Environ, call: Call, query: dict[str, list[str]]) -> tuple[str, str]:
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return target.rsplit(".", 1)[-1], ""
    if "Action" in query:
        return query["Action"][0], ""
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded") and call.service != "s3":
        form = parse_qs(body(environ).decode("utf-8", "replace"))
        if "Action" in form:
            return form["Action"][0], ""
    path = raw_path(environ)
    if call.service == "s3":
        bucket = _host(environ)[2]
        path = f"/{bucket}{path}" if bucket else path
    action = operations.named(call.service, environ["REQUEST_METHOD"], path, set(query), environ)
    return action or f"{environ['REQUEST_METHOD']} {path}", unquote(path)
