"""RDS and RDS Proxy: states, endpoints and secrets, backed by the region's PostgreSQL and pgbouncer."""

from __future__ import annotations

import datetime
import hashlib
import json
import secrets
import string
import sys
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, PaginatedResult
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

from . import background, database, offers, wiring
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
        lifecycle = options.get("engine_lifecycle_support") or "open-source-rds-extended-support"
        self.engine_lifecycle_support = lifecycle
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
    """Has an ARN and names the key that encrypts it. moto's has only a name and a state."""

    @property
    def db_instance_automated_backups_arn(self) -> str:
        source = self.automated_snapshots[-1].db_snapshot_arn
        name = hashlib.sha256(source.encode()).hexdigest()[:32]
        return f"{source.partition(':snapshot:')[0]}:auto-backup:ab-{name}"

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
        self._check_offer(db_kwargs)
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

    def _check_offer(self, options: dict[str, Any]) -> None:
        """Refuses a class or version of PostgreSQL that the region does not offer."""
        engine, version, instance_class = (
            options.get(name) for name in ("engine", "engine_version", "db_instance_class")
        )
        if engine != "postgres" or not version or not instance_class:
            return
        major = version.split(".")[0]
        offered = offers.postgres(self.region_name).get(major)
        if not offered or version not in (major, *offered["minors"]):
            raise InvalidState("InvalidParameterCombination", f"Cannot find version {version} for postgres")
        zones = self._zones_with(instance_class)
        subnets = self.subnet_groups.get(options.get("db_subnet_group_name") or "")
        usable = {subnet.availability_zone for subnet in subnets._subnets} & zones if subnets else zones
        orderable = offers.orderable(self.region_name, instance_class, major)
        if not orderable or len(usable) < (2 if options.get("multi_az") else 1):
            raise InvalidState(
                "InvalidParameterCombination",
                "RDS does not support creating a DB instance with the following combination: "
                f"DBInstanceClass={instance_class}, Engine=postgres, EngineVersion={version}, "
                "LicenseModel=postgresql-license. For supported combinations of instance class and database engine version, "
                "see the documentation.",
            )
        # Extended Support is the default, and AWS then creates the instance and charges for it.
        supported = utcnow().strftime("%Y-%m-%d") <= offered["standard"]
        if options.get("engine_lifecycle_support") == "open-source-rds-extended-support-disabled" and not supported:
            raise InvalidState(
                "InvalidParameterCombination",
                f"The major version {major} of postgres is past its RDS end of standard support date.",
            )

    def _zones_with(self, instance_class: str) -> set[str]:
        """The names of the zones in which EC2 offers a class's instance type."""
        ids = offers.zones_with(self.region_name, instance_class.removeprefix("db."))
        return {name for name, zone_id in offers.zones(self.region_name).items() if zone_id in ids}

    def orderable_options(self, engine: str, version: str | None, instance_class: str | None) -> list[dict[str, Any]]:
        """DescribeOrderableDBInstanceOptions for gp3 storage."""
        return [
            {
                "Engine": "postgres",
                "EngineVersion": minor,
                "DBInstanceClass": one,
                "LicenseModel": "postgresql-license",
                "AvailabilityZones": [{"Name": zone} for zone in sorted(self._zones_with(one))],
                "MultiAZCapable": True,
                "Vpc": True,
                "StorageType": "gp3",
                "SupportsStorageEncryption": True,
                "SupportsEnhancedMonitoring": one != "db.m1.small",
                "SupportsIAMDatabaseAuthentication": True,
                "SupportsPerformanceInsights": True,
                "MinStorageSize": 20,
                "MaxStorageSize": 65536,
            }
            for one in offers.classes(self.region_name)
            if instance_class in (None, one)
            for major, offered in offers.postgres(self.region_name).items()
            if offers.orderable(self.region_name, one, major)
            for minor in offered["minors"]
            if version in (None, minor)
        ] if engine == "postgres" else []

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

    def describe_db_proxy_targets(self, proxy_name: str) -> list[DBProxyTarget]:
        # moto fails on a proxy that does not exist.
        self.describe_db_proxies(proxy_name)
        return super().describe_db_proxy_targets(proxy_name)

    def _close(self, proxy_name: str) -> None:
        targets = self.describe_db_proxies(proxy_name)[0].proxy_target_groups["default"].targets
        for target in targets:
            region = _real(self.databases[target.rds_resource_id]) if target.rds_resource_id in self.databases else None
            if region:
                database.close_proxy(region)


class Rds(RDSResponse):
    """Adds what the region offers. moto knows only Aurora and Neptune."""

    @property
    def _postgres(self) -> dict[str, dict[str, Any]]:
        """The majors of PostgreSQL, unless another engine was asked for."""
        return offers.postgres(self.region) if self.params.get("Engine") in (None, "postgres") else {}

    def describe_orderable_db_instance_options(self) -> ActionResult:
        asked = (self.params.get(name) for name in ("Engine", "EngineVersion", "DBInstanceClass"))
        return PaginatedResult({"OrderableDBInstanceOptions": self.backend.orderable_options(*asked)})

    def describe_db_engine_versions(self) -> ActionResult:
        """A major version stands for all its minor versions, as in RDS."""
        wanted = self.params.get("EngineVersion")
        found = [
            {
                "Engine": "postgres",
                "EngineVersion": minor,
                "MajorEngineVersion": major,
                "DBParameterGroupFamily": f"postgres{major}",
                "DBEngineDescription": "PostgreSQL",
                "DBEngineVersionDescription": f"PostgreSQL {minor}-R1",
                "Status": "available",
            }
            for major, offered in self._postgres.items()
            for minor in offered["minors"]
            if wanted in (None, major, minor)
        ]
        return PaginatedResult({"DBEngineVersions": found})

    def describe_db_major_engine_versions(self) -> ActionResult:
        wanted = self.params.get("MajorEngineVersion")
        ends = (("standard", "open-source-rds-standard-support"), ("extended", "open-source-rds-extended-support"))
        found = [
            {
                "Engine": "postgres",
                "MajorEngineVersion": major,
                "SupportedEngineLifecycles": [
                    {
                        "LifecycleSupportName": name,
                        "LifecycleSupportStartDate": datetime.datetime(2022, 1, 1),
                        "LifecycleSupportEndDate": datetime.datetime.fromisoformat(offered[end]),
                    }
                    for end, name in ends
                ],
            }
            for major, offered in self._postgres.items()
            if wanted in (None, major)
        ]
        return PaginatedResult({"DBMajorEngineVersions": found})


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
    wiring.route(urls, Rds)
