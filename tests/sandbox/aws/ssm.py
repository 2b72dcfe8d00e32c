"""SSM: adds AWS's public parameters with the releases of EKS's node images, which moto lacks."""

from __future__ import annotations

import re

from moto.core.utils import utcnow
from moto.ssm.models import Parameter, ParameterDict

# The date in the name of the recommended image, the same for all versions of Kubernetes.
RELEASED = "20251112"

RECOMMENDED = re.compile(
    r"/aws/service/eks/optimized-ami/(1\.\d+)/amazon-linux-2023/x86_64/standard/recommended/release_version"
)


def release(version: str) -> str:
    """The recommended release for a version of Kubernetes, such as 1.35."""
    return f"{version}.0-{RELEASED}"


_check_loading_status = ParameterDict._check_loading_status


def _load(self: ParameterDict, key: str) -> None:
    _check_loading_status(self, key)
    found = RECOMMENDED.fullmatch(str(key or ""))
    if not found or dict.__contains__(self, key):
        return
    parameter = Parameter(
        account_id=self.account_id,
        name=key,
        value=release(found[1]),
        parameter_type="String",
        description=None,
        allowed_pattern=None,
        keyid=None,
        last_modified_date=utcnow(),
        version=1,
        data_type="text",
    )
    dict.__setitem__(self, key, [parameter])


def install() -> None:
    ParameterDict._check_loading_status = _load  # type: ignore[method-assign]
