"""Decides whether a signed call may reach its service.

1. A limited caller (`permissions.py`) needs every permission that the table in `needs.py` lists for the call. Pods are denied
   calls that the table does not contain; for other callers such a call needs its own name on the resource `*`.
2. The keys that the call uses must allow it (`keys.py`).
3. The services that act for the new resource must be able to use their roles (`services.py`). CloudTrail's checks are in
   `cloudtrail.py`.
"""

from __future__ import annotations

import sys

from . import errors, keys, needs, parameters, permissions, services
from .call import Call, Environ
from .identity import Identity
from .needs import Asked, Need

# The error of each service for a key that it cannot use.
KEY_ERRORS = {
    "ecr": (400, "KmsException"),
    "eks": (400, "InvalidParameterException"),
    "logs": (400, "AccessDeniedException"),
    "rds": (400, "KMSKeyNotAccessibleFault"),
    "s3": (403, "AccessDenied"),
    "secretsmanager": (400, "AccessDeniedException"),
}


def refusal(environ: Environ, call: Call, who: Identity) -> errors.Refusal | None:
    caller = permissions.of(who)
    action = f"{call.service}:{call.action}"
    if not caller.limited and action not in keys.USES and action not in services.CHECKS:
        return None
    try:
        given = parameters.of(environ, call)
    except Exception as error:
        # The request is malformed, or moto has no model of the service. moto answers it; a pod gets no further.
        sys.stderr.write(f"{action}: cannot read the parameters: {type(error).__name__}: {error}\n")
        return errors.denied(call.service, f"{action}: the sandbox cannot read the request") if caller.pod else None
    asked = Asked(who.account, call.region, call.service, call.action, given)
    return _permitted(asked, caller) or _keyed(asked, caller) or _served(asked)


def _permitted(asked: Asked, caller: permissions.Principal) -> errors.Refusal | None:
    if not caller.limited:
        return None
    needed = needs.of(asked)
    if needed is None and caller.pod:
        why = (
            f"User: {caller.arn} is not authorized to perform: {asked.action}: "
            "the sandbox does not know this call; fix: add it to the table in tests/sandbox/aws/needs.py"
        )
        return errors.denied(asked.service, why)
    common = {"aws:RequestedRegion": asked.region}
    for need in [Need(asked.action)] if needed is None else needed:
        why = caller.refusal(need.action, need.resource, {**common, **need.facts})
        if why:
            return errors.denied(asked.service, why)
    return None


def _keyed(asked: Asked, caller: permissions.Principal) -> errors.Refusal | None:
    uses = keys.USES.get(asked.action)
    for use in uses(asked) if uses else ():
        why = keys.refusal(use, caller, asked.account, asked.region)
        if why and asked.service == "logs":
            group = use.context["aws:logs:arn"]
            why = f"The specified KMS key does not exist or is not allowed to be used with Arn '{group}' ({why})"
        if why:
            return errors.Refusal(*KEY_ERRORS[asked.service], why)
    return None


def _served(asked: Asked) -> errors.Refusal | None:
    check = services.CHECKS.get(asked.action)
    return check(asked) if check else None
