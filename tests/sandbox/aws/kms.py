"""KMS: a deletion can be cancelled only while it is scheduled, and until then the key takes neither tags nor another state.

moto disables any key whose deletion is cancelled, also an enabled one. Some of its calls know a key by its id alone, where
KMS also takes an ARN.
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

    def enable_key(self, key_id: str) -> None:
        super().enable_key(self._that_remains(key_id))

    def disable_key(self, key_id: str) -> None:
        super().disable_key(self._that_remains(key_id))

    def tag_resource(self, key_id_or_arn: str, tags: list[dict[str, str]]) -> None:
        super().tag_resource(self._that_remains(key_id_or_arn), tags)

    def _that_remains(self, key_id: str) -> str:
        """The id of a key, which must not be scheduled for deletion."""
        key = self.keys[self.any_id_to_key_id(key_id)]
        if key.key_state == "PendingDeletion":
            raise JsonRESTError("KMSInvalidStateException", f"{key.arn} is pending deletion.")
        return key.id

    def schedule_key_deletion(self, key_id: str, pending_window_in_days: int) -> float:
        return super().schedule_key_deletion(self.any_id_to_key_id(key_id), pending_window_in_days)


def install() -> None:
    wiring.use_backend(kms_backends, Backend, urls)
