"""Errors, rendered in the format of each AWS protocol."""

from __future__ import annotations

import json
from dataclasses import dataclass
from xml.sax.saxutils import escape

from . import operations

JSON = ("json", "rest-json", "smithy-rpc-v2-cbor")
REQUEST_ID = "00000000-0000-4000-8000-000000000000"

# Errors of something between the client and the service, by name: content type and body.
FOREIGN = {
    "empty": ("", b""),
    "html": ("text/html", b"<html><head><title>503 Service Unavailable</title></head><body>No server available</body></html>"),
}
# Codes that no model names, or that differ between the model and the service.
OWN_FAILURES = {"ec2": "InternalError", "s3": "InternalError"}


def foreign(status: int, body: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """An error without a code."""
    kind, text = FOREIGN[body]
    return status, [("Content-Type", kind)] if kind else [], text


def own_failure(service: str) -> str:
    """The code with which a service reports that it failed itself: ServiceFailure for IAM, for example."""
    if service in OWN_FAILURES:
        return OWN_FAILURES[service]
    model = operations.model(service)
    for start in ("Internal", "ServiceFailure", "Server"):
        for shape in model.error_shapes if model else ():
            if shape.name.startswith(start):
                return shape.metadata.get("error", {}).get("code", shape.name)
    return "InternalFailure"


@dataclass(frozen=True)
class Refusal:
    """An error response for a request that no service processes. An empty code is left out."""

    status: int
    code: str
    message: str

    def render(self, service: str) -> tuple[int, list[tuple[str, str]], bytes]:
        protocol = operations.protocol(service)
        code, message = f"<Code>{escape(self.code)}</Code>" if self.code else "", escape(self.message)
        if protocol in JSON:
            kind = "application/json" if protocol == "rest-json" else "application/x-amz-json-1.1"
            text = json.dumps({**({"__type": self.code} if self.code else {}), "message": self.message})
        elif service == "s3":
            kind = "application/xml"
            text = f"<Error>{code}<Message>{message}</Message><RequestId>{REQUEST_ID}</RequestId></Error>"
        elif protocol == "ec2":
            kind = "text/xml"
            error = f"<Error>{code}<Message>{message}</Message></Error>"
            text = f"<Response><Errors>{error}</Errors><RequestID>{REQUEST_ID}</RequestID></Response>"
        else:
            kind = "text/xml"
            side = "Sender" if self.status < 500 else "Receiver"
            error = f"<Error><Type>{side}</Type>{code}<Message>{message}</Message></Error>"
            text = f"<ErrorResponse>{error}<RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"
        headers = [("Content-Type", kind), ("x-amzn-RequestId", REQUEST_ID)]
        return self.status, [*headers, *([("x-amzn-ErrorType", self.code)] if self.code else [])], text.encode()


def _by(
    service: str, *, ec2: tuple[int, str], s3: tuple[int, str], json_: tuple[int, str], query: tuple[int, str]
) -> tuple[int, str]:
    if service == "s3":
        return s3
    protocol = operations.protocol(service)
    return ec2 if protocol == "ec2" else json_ if protocol in JSON else query


def unknown_key(service: str) -> Refusal:
    status, code = _by(
        service,
        ec2=(401, "AuthFailure"),
        s3=(403, "InvalidAccessKeyId"),
        json_=(400, "UnrecognizedClientException"),
        query=(403, "InvalidClientTokenId"),
    )
    return Refusal(status, code, "The security token included in the request is invalid.")


def expired(service: str) -> Refusal:
    status, code = _by(
        service,
        ec2=(400, "RequestExpired"),
        s3=(400, "ExpiredToken"),
        json_=(400, "ExpiredTokenException"),
        query=(403, "ExpiredToken"),
    )
    return Refusal(status, code, "The security token included in the request is expired")


def unsigned(service: str) -> Refusal:
    code = "AccessDenied" if service == "s3" else "MissingAuthenticationToken"
    return Refusal(403, code, "Request is missing Authentication Token")


def bad_signature(service: str, why: str) -> Refusal:
    status, code = _by(
        service,
        ec2=(401, "AuthFailure"),
        s3=(403, "SignatureDoesNotMatch"),
        json_=(400, "InvalidSignatureException"),
        query=(403, "SignatureDoesNotMatch"),
    )
    return Refusal(status, code, why)


def denied(service: str, why: str) -> Refusal:
    """What a caller may not do according to its policies."""
    status, code = _by(
        service,
        ec2=(403, "UnauthorizedOperation"),
        s3=(403, "AccessDenied"),
        json_=(400, "AccessDeniedException"),
        query=(403, "AccessDenied"),
    )
    return Refusal(status, code, why)
