"""The EKS token webhook: translates a presigned GetCallerIdentity URL into a Kubernetes user.

The steps and limits are those of aws-iam-authenticator, which EKS runs. The URL must name STS, must sign the cluster's name,
and is valid for fifteen minutes whatever its own expiry.
"""

from __future__ import annotations

import base64
import binascii
import re
import sys
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from moto.eks.models import eks_backends

import places

from . import access, identity, sigv4
from .settings import current

PREFIX = "k8s-aws-v1."
# Seconds: aws-iam-authenticator accepts a token for fifteen minutes.
LIFETIME = 900
PARAMETERS = {
    "action",
    "version",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
    "x-amz-user-agent",
}
STS_HOST = re.compile(r"sts(-fips)?(\.(?P<region>[a-z0-9-]+))?\.amazonaws\.com")


class Denied(Exception):
    """The token is rejected. The message is the reason."""


def review(aws_region: str, cluster: str, request: dict[str, Any]) -> dict[str, Any]:
    """Answers a TokenReview. The reason of a rejection is also logged, but never the token."""
    try:
        status = {"authenticated": True, "user": _user(aws_region, cluster, request["spec"]["token"])}
    except (Denied, sigv4.Refused) as why:
        sys.stderr.write(f"token for {cluster} in {aws_region} denied: {why}\n")
        status = {"authenticated": False, "error": str(why)}
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}


def _user(aws_region: str, cluster: str, token: str) -> dict[str, Any]:
    found = eks_backends[places.ACCOUNT][aws_region].clusters.get(cluster)
    if not found or found.status != "ACTIVE":
        raise Denied(f"no active cluster `{cluster}` in {aws_region}")
    caller, key = _caller(token, cluster)
    entry = access.entry_of(found, caller.principal)
    if entry is None:
        raise Denied(f"no access entry for `{caller.principal}` in `{cluster}`")
    return {
        "username": entry.user_of(caller.session),
        "uid": f"aws-iam-authenticator:{caller.account}:{caller.user_id.split(':')[0]}",
        "groups": entry.groups(),
        "extra": {
            "arn": [caller.arn],
            "canonicalArn": [caller.principal],
            "principalId": [caller.user_id.split(":")[0]],
            "sessionName": [caller.session],
            "accessKeyId": [key],
        },
    }


def _url(token: str) -> str:
    if not token.startswith(PREFIX):
        raise Denied(f"the token does not start with `{PREFIX}`")
    raw = token.removeprefix(PREFIX)
    try:
        return base64.b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Denied("the token is not valid base64url") from None


def _caller(token: str, cluster: str) -> tuple[identity.Identity, str]:
    url = urlsplit(_url(token))
    pairs = parse_qsl(url.query, keep_blank_values=True)
    query = {key.lower(): value for key, value in pairs}
    if len(query) != len(pairs):
        raise Denied("duplicate query parameter")
    if set(query) - PARAMETERS:
        raise Denied(f"unexpected query parameters {sorted(set(query) - PARAMETERS)}")
    scope = query.get("x-amz-credential", "").split("/")
    if len(scope) != 5 or scope[3] != "sts":
        raise Denied("the credential's scope is not for STS")
    host = STS_HOST.fullmatch(url.netloc)
    if not host and url.netloc not in current.endpoints:
        raise Denied(f"`{url.netloc}` is not an STS endpoint")
    if host and scope[2] != (host["region"] or "us-east-1"):
        raise Denied(f"signed for {scope[2]}, sent to `{url.netloc}`")
    if url.path not in ("", "/") or query.get("action") != "GetCallerIdentity":
        raise Denied("not a GetCallerIdentity request")
    if "x-k8s-aws-id" not in query.get("x-amz-signedheaders", "").split(";"):
        raise Denied("the header x-k8s-aws-id is not signed")
    expires = query.get("x-amz-expires", "")
    if not expires.isdigit() or int(expires) > LIFETIME:
        raise Denied(f"X-Amz-Expires is `{expires}`, expected 0 to {LIFETIME}")
    # Five minutes of tolerance for a client whose clock is fast.
    if not -300 < sigv4.age(query.get("x-amz-date", "")) < LIFETIME:
        raise Denied("the token is older than 15 minutes or dated in the future")
    try:
        caller = identity.of(scope[0], query.get("x-amz-security-token", ""))
    except identity.Unknown:
        raise Denied("STS does not know the access key (InvalidClientTokenId)") from None
    except identity.Expired:
        raise Denied("the session has expired (ExpiredToken)") from None
    signed = {
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": url.query,
        "HTTP_HOST": url.netloc,
        "HTTP_X_K8S_AWS_ID": cluster,
    }
    # `verify`, not `check`: the age was checked above, and an X-Amz-Expires of 60 s does not shorten what EKS accepts.
    sigv4.verify(signed, url.path or "/", b"", caller.secret)
    return caller, scope[0]
