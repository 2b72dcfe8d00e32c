"""STS: enforces the trust policy of a role when it is assumed."""

from __future__ import annotations

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.iam.models import Role, iam_backends
from moto.sts import urls
from moto.sts.responses import TokenResponse

from . import identity, trust, webidentity, wiring


class AccessDenied(ServiceException):
    """Like AWS, also returned for a role that does not exist."""

    code = "AccessDenied"


def _role(arn: str) -> Role | None:
    account = arn.split(":")[4] if arn.count(":") >= 5 else ""
    if account not in iam_backends:
        return None
    return next((role for role in iam_backends[account]["aws"].get_roles() if role.arn == arn), None)


class Sts(TokenResponse):
    """moto's sessions, issued only if the role's trust policy allows it."""

    def assume_role(self) -> ActionResult:
        arn, caller = self._get_param("RoleArn"), identity.of(self.access_key)
        role = _role(arn)
        if not role or not trust.allows_caller(role, caller):
            raise AccessDenied(f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {arn}")
        return super().assume_role()

    def assume_role_with_web_identity(self) -> ActionResult:
        arn = self._get_param("RoleArn")
        claims = webidentity.verified(self._get_param("WebIdentityToken"), self.current_account)
        role = _role(arn)
        if not role or not webidentity.allowed(role, claims):
            raise AccessDenied("Not authorized to perform sts:AssumeRoleWithWebIdentity")
        result = super().assume_role_with_web_identity().result
        # Marks the session as a pod's, whose calls are limited to the role's policies (`guard.py`).
        result["Credentials"].service_account = claims["sub"]  # type: ignore[index]
        result.update(
            SubjectFromWebIdentityToken=claims["sub"], Audience=claims["audience"], Provider=claims["provider"]
        )  # type: ignore[attr-defined]
        return ActionResult(result)


def install() -> None:
    wiring.route(urls, Sts)
