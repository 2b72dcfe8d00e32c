"""The owner of an access key, and whether the key is still valid."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from moto.core.utils import utcnow
from moto.iam.models import iam_backends
from moto.sts.models import sts_backends

import places


class Unknown(Exception):
    """The access key does not exist or is inactive, or the session token does not belong to it."""


class Expired(Exception):
    """The session has expired."""


@dataclass(frozen=True)
class Identity:
    """The owner of an access key: `arn` as GetCallerIdentity returns it, `principal` as policies and access entries name it.

    They differ for sessions, whose principal is their role.
    """

    account: str
    arn: str
    principal: str
    user_id: str
    secret: str
    session: str = ""
    # The service account whose token was exchanged for the session, if the caller is a pod.
    service_account: str = ""


def of(access_key: str, session_token: str | None = None) -> Identity:
    """Looks up an access key in all accounts. Compares `session_token` unless it is None."""
    for account, partitions in list(sts_backends.items()):
        for role in list(partitions["aws"].assumed_roles):
            if role.access_key_id == access_key:
                if session_token is not None and session_token != role.session_token:
                    raise Unknown(access_key)
                if role.expiration <= utcnow():
                    raise Expired(access_key)
                return Identity(
                    account,
                    role.arn,
                    role.role_arn,
                    role.user_id,
                    role.secret_access_key,
                    role.session_name,
                    getattr(role, "service_account", ""),
                )
    for account, partitions in list(iam_backends.items()):
        user = partitions["aws"].get_user_from_access_key_id(access_key)
        if user:
            key = next(key for key in user.access_keys if key.access_key_id == access_key)
            if session_token or key.status != "Active":
                raise Unknown(access_key)
            return Identity(account, user.arn, user.arn, user.id, key.secret_access_key)
    raise Unknown(access_key)


def create_user(name: str, account: str = places.ACCOUNT) -> dict[str, str]:
    """Creates an IAM user with AdministratorAccess if it is missing, and a new access key for it."""
    iam = iam_backends[account]["aws"]
    if name not in iam.users:
        iam.create_user("aws", name)
        iam.attach_user_policy("arn:aws:iam::aws:policy/AdministratorAccess", name)
    key = iam.create_access_key(name)
    return {"AccessKeyId": key.access_key_id, "SecretAccessKey": key.secret_access_key}


def create_session(role: str, expires_in: float, account: str = places.ACCOUNT) -> dict[str, str]:
    """Creates temporary credentials that expire in `expires_in` seconds. A negative value gives expired ones."""
    assumed = sts_backends[account]["aws"].assume_role(
        region_name="us-east-1",
        role_session_name="sandbox",
        role_arn=f"arn:aws:iam::{account}:role/{role}",
        policy="",
        duration=3600,
        external_id="",
    )
    assumed.expiration = utcnow() + datetime.timedelta(seconds=expires_in)
    return {
        "AccessKeyId": assumed.access_key_id,
        "SecretAccessKey": assumed.secret_access_key,
        "SessionToken": assumed.session_token,
        "Expiration": assumed.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
