"""Signature Version 4, recomputed: for signed headers and for presigned queries."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
from typing import Any
from urllib.parse import quote, unquote

SAFE = "-_.~"


class Refused(Exception):
    """A signature that does not hold, with what AWS says about it."""


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def canonical_query(query: str) -> str:
    pairs = []
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        if unquote(key) != "X-Amz-Signature":
            pairs.append((quote(unquote(key), safe=SAFE), quote(unquote(value), safe=SAFE)))
    return "&".join(f"{key}={value}" for key, value in sorted(pairs))


def signature(
    *,
    secret: str,
    scope: str,
    date: str,
    method: str,
    path: str,
    query: str,
    headers: list[tuple[str, str]],
    payload: str,
) -> str:
    """The signature that `secret` gives: `scope` is date/region/service/aws4_request, `headers` the signed ones in order."""
    day, region, service, _ = scope.split("/")
    # Every service but S3 encodes the path once more than the request does.
    uri = path if service == "s3" else quote(path, safe="/" + SAFE)
    listed = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in headers)
    request = "\n".join(
        [method, uri or "/", canonical_query(query), listed, ";".join(name for name, _ in headers), payload]
    )
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = _hmac(_hmac(_hmac(_hmac(b"AWS4" + secret.encode(), day), region), service), "aws4_request")
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def age(date: str) -> float:
    """Seconds since a request's `X-Amz-Date`; negative if it lies ahead."""
    try:
        signed = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        raise Refused(f"X-Amz-Date `{date}` is not a time") from None
    return (datetime.datetime.now(datetime.timezone.utc) - signed).total_seconds()


def _header(environ: dict[str, Any], name: str) -> str:
    if name in ("content-type", "content-length"):
        return environ.get(name.upper().replace("-", "_"), "")
    return environ.get("HTTP_" + name.upper().replace("-", "_"), "")


def _given(environ: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The signature's parts, from the header or the query, and the query's values."""
    header, query = environ.get("HTTP_AUTHORIZATION", ""), environ.get("QUERY_STRING", "")
    values = {unquote(k): unquote(v) for k, _, v in (pair.partition("=") for pair in query.split("&"))}
    parts = dict(re.findall(r"(Credential|SignedHeaders|Signature)=([^,\s]+)", header))
    return parts or {
        name: values.get(f"X-Amz-{name}", "") for name in ("Credential", "SignedHeaders", "Signature")
    }, values


def check(environ: dict[str, Any], path: str, body: bytes | None, secret: str, *, window: float = 900) -> None:
    """Raises Refused unless the request is in its time and was signed with `secret`."""
    _, values = _given(environ)
    date = environ.get("HTTP_X_AMZ_DATE") or values.get("X-Amz-Date", "")
    late = age(date)
    # STS takes the 0 that some signers write for no limit of their own.
    if not -window < late < (float(values.get("X-Amz-Expires") or 0) or window):
        raise Refused(f"Signature expired: {date} is {late:.0f} s ago")
    verify(environ, path, body, secret)


def verify(environ: dict[str, Any], path: str, body: bytes | None, secret: str) -> None:
    """Raises Refused unless the request was signed with `secret`, whenever.

    `body` is hashed where the request does not say its payload's hash itself.
    """
    given, values = _given(environ)
    payload = environ.get("HTTP_X_AMZ_CONTENT_SHA256")
    if payload is None:
        payload = "UNSIGNED-PAYLOAD" if "/s3/" in given["Credential"] else hashlib.sha256(body or b"").hexdigest()
    expected = signature(
        secret=secret,
        scope=given["Credential"].partition("/")[2],
        date=environ.get("HTTP_X_AMZ_DATE") or values.get("X-Amz-Date", ""),
        method=environ["REQUEST_METHOD"],
        path=path,
        query=environ.get("QUERY_STRING", ""),
        headers=[(name, _header(environ, name)) for name in given["SignedHeaders"].split(";")],
        payload=payload,
    )
    if not hmac.compare_digest(expected, given["Signature"]):
        raise Refused(
            "The request signature we calculated does not match the signature you provided. "
            "Check your AWS Secret Access Key and signing method."
        )
