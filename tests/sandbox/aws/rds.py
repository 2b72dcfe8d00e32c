"""RDS and RDS Proxy: states, endpoints and secrets, backed by the region's PostgreSQL and pgbouncer."""

from __future__ import annotations

import json
import secrets
import string
import sys
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.utils import utcnow
from moto.kms.models import kms_backends
from moto.rds import models, urls, utils
from moto.rds.exceptions import KMSKeyNotAccessibleFault
from moto.rds.models import (
    DBInstance,
    DBInstanceAutomatedBackup,
    DBProxy,
    MasterUserSecret,
    RDSBackend,
    rds_backends,
)
from moto.rds.responses import RDSResponse

import places

from . import background, database, wiring
from .settings import current

# Like RDS, excludes only characters that some clients cannot handle at all. The others include characters that break a
# connection URL unless it escapes them.
PASSWORD = string.ascii_letters + string.digits + "!#$%&()*+,-.:;<=>?[]^_{|}~"


class InvalidState(ServiceException):
    """The resource's state, or its use by another one, does not allow the call."""


def new_password() -> str:
    return "".join(secrets.choice(PASSWORD) for _ in range(28))


class MasterSecret(MasterUserSecret):
    """The secret of a managed master password: RDS's name, user and password."""

    def _generate_secret_string(self) -> str:
        return json.dumps({"username": self.resource.master_username, "password": new_password()})

    def _generate_secret_tags(self) -> list[dict[str, str]]:
        """RDS's tag. moto derives its name from the name of the class above, which would be another one."""
        return [{"Key": "aws:rds:primaryDBInstanceArn", "Value": self.resource.arn}]

    def password(self) -> str:
        return json.loads(self.secret.versions[self.secret.default_version_id]["secret_string"])["password"]

    def rotate_secret(self) -> None:
        """Writes a new version of the secret and changes the password in the server."""
        value = self._generate_secret_string()
        self.secretsmanager.put_secret_value(
            secret_id=self.secret.arn,
            secret_string=value,
            secret_binary="",
            client_request_token=f"{secrets.token_hex(16)}",
            version_stages=["AWSCURRENT"],
        )
        region = _real(self.resource)
        if region:
            database.set_password(region, self.resource.master_username, self.password())


class Instance(DBInstance):
    """Keeps attributes that moto drops, and has the account's host name."""

    def __init__(self, backend: RDSBackend, **options: Any):
        super().__init__(backend, **options)
        self.dbi_resource_id = "db-" + secrets.token_hex(13).upper()
        self.monitoring_interval = options.get("monitoring_interval") or 0
        self.monitoring_role_arn = options.get("monitoring_role_arn")
        self.performance_insights_enabled = options.get("enable_performance_insights") or False
        self.performance_insights_kms_key_id = options.get("performance_insights_kms_key_id")
        if self.performance_insights_enabled:
            self.performance_insights_retention_period = options.get("performance_insights_retention_period") or 7

    @property
    def address(self) -> str:
        return f"{self.db_instance_identifier}.{places.rds_suffix(self.region)}.{self.region}.rds.amazonaws.com"

    @property
    def endpoint(self) -> dict[str, Any] | None:  # type: ignore[override]
        return None if self.status == "creating" else super().endpoint


class AutomatedBackup(DBInstanceAutomatedBackup):
    """Names the key that encrypts it. moto's has only a name and a state."""

    @property
    def kms_key_id(self) -> str | None:
        return self.automated_snapshots[-1].kms_key_id


class Proxy(DBProxy):
    """moto's proxy, with a host name that the region's certificate covers."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        suffix = places.rds_suffix(self.region)
        self.endpoint = f"{self.db_proxy_name}.proxy-{suffix}.{self.region}.rds.amazonaws.com"


def _real(instance: Any) -> places.Region | None:
    """The region whose PostgreSQL server backs an instance, or None. Only the first PostgreSQL instance is backed."""
    region = current.region_with("databases", instance.region)
    first = next((one for one in instance.backend.databases.values() if one.engine == "postgres"), instance)
    return region if region and instance.engine == "postgres" and first is instance else None


class Backend(RDSBackend):
    """moto's backend, with RDS's states and refusals."""

    def create_db_instance(self, db_kwargs: dict[str, Any]) -> DBInstance:
        self._usable(db_kwargs.get("kms_key_id"))
        instance = super().create_db_instance(db_kwargs)
        instance.status = "creating"
        region = _real(instance)
        managed = instance.manage_master_user_password
        password = instance.master_user_secret.password() if managed else instance.master_user_password

        def job() -> None:
            assert region
            database.open_instance(region, user=instance.master_username, password=password, database=instance.db_name)

        background.start(job if region else None, lambda failure: _settled(instance, failure))
        return instance

    def modify_db_instance(self, db_instance_identifier: str, db_kwargs: dict[str, Any]) -> DBInstance:
        instance = super().modify_db_instance(db_instance_identifier, db_kwargs)
        region = _real(instance)
        if region and db_kwargs.get("master_user_password"):
            database.set_password(region, instance.master_username, db_kwargs["master_user_password"])
        return instance

    def delete_db_instance(
        self,
        db_instance_identifier: str,
        final_db_snapshot_identifier: str | None = None,
        skip_final_snapshot: bool | None = False,
        delete_automated_backups: bool | None = True,
    ) -> DBInstance:
        instance = self.databases.get(db_instance_identifier)
        if instance and instance.status in ("creating", "deleting"):
            raise InvalidState(
                "InvalidDBInstanceState", f"Instance {db_instance_identifier} is currently {instance.status}"
            )
        if instance and not skip_final_snapshot and not final_db_snapshot_identifier:
            raise InvalidState(
                "InvalidParameterCombination",
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
            )
        region = _real(instance) if instance else None
        deleted = super().delete_db_instance(
            db_instance_identifier, final_db_snapshot_identifier, skip_final_snapshot, delete_automated_backups
        )
        # moto removes it immediately; in RDS it is visible as `deleting` until it is deleted.
        self.databases[db_instance_identifier] = deleted

        def done(failure: str | None) -> None:
            if failure:
                _failed(deleted, failure)
            else:
                self.databases.pop(db_instance_identifier, None)

        background.start((lambda: database.close_instance(region)) if region else None, done)
        return deleted

    # Keys

    def state_of_key(self, arn: str | None) -> str | None:
        """The state of a key; None if it does not exist."""
        keys = kms_backends[self.account_id][self.region_name].keys
        key = keys.get((arn or "").rpartition("/")[2])
        return key.key_state if key else None

    def _usable(self, arn: str | None) -> None:
        # moto accepts every key that exists, but one that is scheduled for deletion or disabled decrypts nothing.
        if self.state_of_key(arn) not in (None, "Enabled"):
            raise KMSKeyNotAccessibleFault(arn or "")

    def _validate_kms_key(self, kms_key_id: str) -> str:
        arn = super()._validate_kms_key(kms_key_id)
        self._usable(arn)
        return arn

    def delete_subnet_group(self, subnet_name: str) -> Any:
        if any(
            getattr(one, "db_subnet_group", None) and one.db_subnet_group.name == subnet_name.lower()
            for one in self.databases.values()
        ):
            raise InvalidState(
                "InvalidDBSubnetGroupStateFault",
                f"Cannot delete the subnet group '{subnet_name}' because at least one database instance is still using it.",
            )
        return super().delete_subnet_group(subnet_name)

    def delete_db_parameter_group(self, db_parameter_group_name: str) -> Any:
        if any(one.db_parameter_group_name == db_parameter_group_name for one in self.databases.values()):
            raise InvalidState(
                "InvalidDBParameterGroupState",
                "One or more database instances are still members of this parameter group, so the group cannot be deleted",
            )
        return super().delete_db_parameter_group(db_parameter_group_name)

    def modify_db_parameter_group(self, db_parameter_group_name: str, db_parameter_group_parameters: Any) -> Any:
        # Terraform reads only parameters with the source `user`, which distinguishes them from defaults. moto sets none.
        marked = [{**parameter, "Source": "user"} for parameter in db_parameter_group_parameters]
        return super().modify_db_parameter_group(db_parameter_group_name, marked)

    # Proxies

    def create_db_proxy(self, *args: Any, **kwargs: Any) -> DBProxy:
        proxy = super().create_db_proxy(*args, **kwargs)
        proxy.status = "creating"
        background.start(None, lambda _failure: setattr(proxy, "status", "available"))
        return proxy

    def register_db_proxy_targets(
        self,
        db_proxy_name: str,
        target_group_name: str,
        db_cluster_identifiers: list[str],
        db_instance_identifiers: list[str],
    ) -> Any:
        for name in db_instance_identifiers:
            if name not in self.databases or self.databases[name].status != "available":
                raise InvalidState("InvalidDBInstanceState", f"DB instance {name} is not in the available state")
        targets = super().register_db_proxy_targets(
            db_proxy_name, target_group_name, db_cluster_identifiers, db_instance_identifiers
        )
        for target, name in zip(targets, db_instance_identifiers, strict=False):
            target.endpoint = self.databases[name].address
            region = _real(self.databases[name])
            if region:
                database.open_proxy(region)
        return targets

    def deregister_db_proxy_targets(self, db_proxy_name: str, *args: Any, **kwargs: Any) -> None:
        self._close(db_proxy_name)
        super().deregister_db_proxy_targets(db_proxy_name, *args, **kwargs)

    def delete_db_proxy(self, proxy_name: str) -> DBProxy:
        proxy = self.describe_db_proxies(proxy_name)[0]
        if proxy.status == "deleting":
            raise InvalidState("InvalidDBProxyStateFault", f"DB proxy {proxy_name} is already being deleted")
        self._close(proxy_name)
        proxy.status = "deleting"
        background.start(None, lambda _failure: self.db_proxies.pop(proxy_name, None))
        return proxy

    def _close(self, proxy_name: str) -> None:
        targets = self.describe_db_proxies(proxy_name)[0].proxy_target_groups["default"].targets
        for target in targets:
            region = _real(self.databases[target.rds_resource_id]) if target.rds_resource_id in self.databases else None
            if region:
                database.close_proxy(region)


def _settled(instance: DBInstance, failure: str | None) -> None:
    instance.instance_create_time = utcnow()
    if failure:
        _failed(instance, failure)
    else:
        instance.status = "available"


def _failed(instance: DBInstance, failure: str) -> None:
    instance.status = "failed"
    sys.stderr.write(f"database {instance.db_instance_identifier}: {failure}\n")


def _overlap(*ends: Any) -> int:
    """Replaces moto's check, which counts a window that starts where another ends (overlap 0) as an overlap."""
    return _moto_overlap(*ends) or -1


_moto_overlap = utils.get_overlap_between_two_date_ranges


def install() -> None:
    utils.get_overlap_between_two_date_ranges = _overlap
    # moto's backend instantiates its classes by these module-level names.
    models.DBInstance, models.DBProxy, models.MasterUserSecret = Instance, Proxy, MasterSecret  # type: ignore[misc]
    models.DBInstanceAutomatedBackup = AutomatedBackup  # type: ignore[misc]
    wiring.use_backend(rds_backends, Backend, urls)
    wiring.route(urls, RDSResponse)
