"""Verifies the service account tokens with which pods assume a role (IRSA).

1. Parse the token; its issuer must be an OIDC provider of the account, and one of its audiences the provider's client id.
2. Verify the signature with the signing key of the cluster whose issuer it is, then the expiry.
3. `allowed` evaluates the role's trust policy, with the token's `sub` and `aud` as condition keys.

Invariants: no claim is used for a decision before the signature is verified, except issuer and audience, which select the
key; the key's type determines the algorithm, so a token cannot choose a weaker one.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from moto.core.exceptions import ServiceException
from moto.eks.models import eks_backends
from moto.iam.models import iam_backends

from . import trust
from .settings import current


class InvalidIdentityToken(ServiceException):
    """The token is malformed, or was not signed by an OIDC provider of this account."""

    code = "InvalidIdentityToken"


class ExpiredToken(ServiceException):
    """The token has expired."""

    code = "ExpiredTokenException"


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def verified(token: str, account: str) -> dict[str, Any]:
    """The claims of a valid token, plus `provider` (the ARN of its OIDC provider) and `audience` (the one that the provider
    lists). Raises InvalidIdentityToken or ExpiredToken."""
    try:
        head, body, signature = token.split(".")
        header, claims = json.loads(_decode(head)), json.loads(_decode(body))
        issuer, subject = claims["iss"], claims["sub"]
    except (ValueError, KeyError, binascii.Error):
        raise InvalidIdentityToken("The ID Token provided is not a valid JWT") from None
    providers = iam_backends[account]["aws"].open_id_providers
    provider = next((p for p in providers.values() if f"https://{p.url}" == issuer), None)
    if not provider:
        raise InvalidIdentityToken(f"No OpenIDConnect provider found in your account for {issuer}")
    audiences = claims.get("aud") if isinstance(claims.get("aud"), list) else [claims.get("aud")]
    audience = next((one for one in audiences if one in provider.client_id_list), None)
    if not audience:
        raise InvalidIdentityToken("Incorrect token audience")
    _verify(header.get("alg", ""), f"{head}.{body}".encode(), _decode(signature), _key(issuer, account))
    if claims.get("exp", 0) <= time.time():
        raise ExpiredToken("Token expired: current date/time is past the token's `exp`")
    return {**claims, "sub": subject, "provider": provider.arn, "audience": audience}


def _key(issuer: str, account: str) -> Any:
    """The public key of the cluster with this issuer, read from the cluster's files instead of the issuer's URL."""
    for aws_region, backend in list(eks_backends[account].items()):
        for cluster in backend.clusters.values():
            region = current.region_with("clusters", aws_region)
            if cluster.identity["oidc"]["issuer"] == issuer and region and current.state:
                pem = (current.state / region.name / "pki" / "sa.key").read_bytes()
                return serialization.load_pem_private_key(pem, None).public_key()
    raise InvalidIdentityToken(f"Couldn't retrieve verification key from your identity provider {issuer}")


def _verify(algorithm: str, signed: bytes, signature: bytes, key: Any) -> None:
    try:
        if algorithm == "ES256" and isinstance(key, ec.EllipticCurvePublicKey):
            half = len(signature) // 2
            r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
        elif algorithm == "RS256" and not isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        else:
            raise InvalidIdentityToken(f"The ID Token is signed with `{algorithm}`, the provider's key is another kind")
    except InvalidSignature:
        raise InvalidIdentityToken("The ID Token's signature does not match the provider's key") from None


def allowed(role: Any, claims: dict[str, Any]) -> bool:
    """Whether the role's trust policy allows the token's provider, with its conditions on `sub` and `aud`."""
    host = claims["provider"].split("oidc-provider/", 1)[1]
    facts = {f"{host}:sub": [claims["sub"]], f"{host}:aud": [claims["audience"]]}
    return trust.allows(role, "sts:AssumeRoleWithWebIdentity", "Federated", {claims["provider"]}, facts)
