"""Verifies AWS Signature Version 4, of signed headers and of presigned queries, by computing it again.

The steps are those of AWS's documentation: canonical request, string to sign, signing key, signature.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
from typing import Any
from urllib.parse import quote, unquote

SAFE = "-_.~"


class Refused(Exception):
    """The signature is invalid. The message is AWS's."""


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
    """Computes a signature. `scope` is date/region/service/aws4_request, `headers` are the signed headers in order."""
    day, region, service, _ = scope.split("/")
    # All services except S3 encode the request's path a second time.
    uri = path if service == "s3" else quote(path, safe="/" + SAFE)
    listed = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in headers)
    request = "\n".join(
        [method, uri or "/", canonical_query(query), listed, ";".join(name for name, _ in headers), payload]
    )
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = _hmac(_hmac(_hmac(_hmac(b"AWS4" + secret.encode(), day), region), service), "aws4_request")
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def age(date: str) -> float:
    """Seconds since a request's `X-Amz-Date`. Negative if it is in the future."""
    try:
        signed = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        raise Refused(f"X-Amz-Date `{date}` is not a time") from None
    return (datetime.datetime.now(datetime.timezone.utc) - signed).total_seconds()


def _header(environ: dict[str, Any], name: str) -> str:
    if name in ("content-type", "content-length"):
        return environ.get(name.upper().replace("-", "_"), "")
    return environ.get("HTTP_" + name.upper().replace("-", "_"), "")


def _parts(environ: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The parts of the signature, from the header or the query, and the values of the query."""
    header, query = environ.get("HTTP_AUTHORIZATION", ""), environ.get("QUERY_STRING", "")
    values = {unquote(k): unquote(v) for k, _, v in (pair.partition("=") for pair in query.split("&"))}
    parts = dict(re.findall(r"(Credential|SignedHeaders|Signature)=([^,\s]+)", header))
    return parts or {
        name: values.get(f"X-Amz-{name}", "") for name in ("Credential", "SignedHeaders", "Signature")
    }, values


def check(environ: dict[str, Any], path: str, body: bytes | None, secret: str, *, window: float = 900) -> None:
    """Raises Refused unless the request was signed with `secret` and has not expired.

    `window` is the accepted clock difference in seconds, AWS's fifteen minutes by default.
    """
    _, values = _parts(environ)
    date = environ.get("HTTP_X_AMZ_DATE") or values.get("X-Amz-Date", "")
    late = age(date)
    # Some signers write X-Amz-Expires=0. STS treats it as no limit, so the window applies.
    if not -window < late < (float(values.get("X-Amz-Expires") or 0) or window):
        raise Refused(f"Signature expired: {date} is {late:.0f} s ago")
    verify(environ, path, body, secret)


def verify(environ: dict[str, Any], path: str, body: bytes | None, secret: str) -> None:
    """Raises Refused unless the request was signed with `secret`, at any time.

    `body` is hashed unless the request contains the hash of its payload.
    """
    given, values = _parts(environ)
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
