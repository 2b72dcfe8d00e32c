"""KMS: a deletion can be cancelled only while it is scheduled, and a key can be named by its ARN there.

moto disables any key whose deletion is cancelled, also an enabled one.
"""

from __future__ import annotations

from moto.core.exceptions import JsonRESTError
from moto.kms import urls
from moto.kms.models import KmsBackend, kms_backends

from . import wiring


class Backend(KmsBackend):
    def cancel_key_deletion(self, key_id: str) -> None:
        key = self.keys[self.any_id_to_key_id(key_id)]
        if key.key_state != "PendingDeletion":
            raise JsonRESTError("KMSInvalidStateException", f"{key.arn} is not pending deletion.")
        super().cancel_key_deletion(key.id)

    def schedule_key_deletion(self, key_id: str, pending_window_in_days: int) -> float:
        return super().schedule_key_deletion(self.any_id_to_key_id(key_id), pending_window_in_days)


def install() -> None:
    wiring.use_backend(kms_backends, Backend, urls)
