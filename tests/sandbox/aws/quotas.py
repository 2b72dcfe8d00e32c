"""Service Quotas, and their enforcement where EC2 creates what they count.

The values are those of an account that has asked for what paydeploy needs: only the vCPUs differ from AWS's defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.models.elastic_ip_addresses import ElasticAddressBackend
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.models.vpcs import VPCBackend
from moto.servicequotas import urls
from moto.servicequotas.exceptions import NoSuchResource
from moto.servicequotas.responses import ServiceQuotasResponse

from . import offers, wiring


@dataclass(frozen=True)
class Quota:
    """A quota: AWS's default value, and the value applied to the account."""

    service: str
    code: str
    name: str
    default: float
    applied: float


ADDRESSES, VPCS, VCPUS = "L-0263D0A3", "L-F678F1CE", "L-1216C47A"

# https://docs.aws.amazon.com/general/latest/gr/ec2-service.html#limits_ec2
# https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html
# A new account has 5 vCPUs, which is one node short of a cluster: 64 stands for the increase that operators request.
QUOTAS = (
    Quota("ec2", ADDRESSES, "EC2-VPC Elastic IPs", 5, 5),
    Quota("vpc", VPCS, "VPCs per Region", 5, 5),
    Quota("ec2", VCPUS, "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 5, 64),
)


def value(region: str, code: str) -> float:
    """The value applied in a region."""
    applied = next(quota.applied for quota in QUOTAS if quota.code == code)
    return float(offers.changed(region, "quotas").get(code, applied))


def standard(instance_type: str) -> bool:
    """Whether an instance type counts towards the quota of standard instances."""
    family = instance_type.split(".")[0]
    return family[0] in "acdhimrtz" and not family.startswith(("dl", "hpc", "inf", "mac", "trn"))


class ServiceQuotas(ServiceQuotasResponse):
    """One method per operation."""

    def _shown(self, quota: Quota, amount: float) -> dict[str, Any]:
        account, service = self.current_account, quota.service
        return {
            "ServiceCode": service,
            "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)" if service == "ec2" else "Amazon VPC",
            "QuotaArn": f"arn:aws:servicequotas:{self.region}:{account}:{service}/{quota.code}",
            "QuotaCode": quota.code,
            "QuotaName": quota.name,
            "Value": amount,
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }

    def _listed(self) -> list[Quota]:
        found = [quota for quota in QUOTAS if quota.service == self._get_param("ServiceCode")]
        if not found:
            raise NoSuchResource
        return found

    def _one(self) -> Quota:
        for quota in self._listed():
            if quota.code == self._get_param("QuotaCode"):
                return quota
        raise NoSuchResource

    def get_service_quota(self) -> ActionResult:  # type: ignore[override]
        quota = self._one()
        return ActionResult({"Quota": self._shown(quota, value(self.region, quota.code))})

    def list_service_quotas(self) -> ActionResult:
        return ActionResult({"Quotas": [self._shown(quota, value(self.region, quota.code)) for quota in self._listed()]})

    def get_aws_default_service_quota(self) -> ActionResult:
        quota = self._one()
        return ActionResult({"Quota": self._shown(quota, quota.default)})

    def list_aws_default_service_quotas(self) -> ActionResult:  # type: ignore[override]
        return ActionResult({"Quotas": [self._shown(quota, quota.default) for quota in self._listed()]})


# Enforcement

_allocate_address = ElasticAddressBackend.allocate_address
_create_vpc = VPCBackend.create_vpc


def _allocate(backend: Any, *args: Any, **kwargs: Any) -> Any:
    if len(backend.addresses) >= value(backend.region_name, ADDRESSES):
        raise EC2ClientError("AddressLimitExceeded", "The maximum number of addresses has been reached.")
    return _allocate_address(backend, *args, **kwargs)


def _vpc(backend: Any, *args: Any, **kwargs: Any) -> Any:
    if len(backend.vpcs) >= value(backend.region_name, VPCS):
        raise EC2ClientError("VpcLimitExceeded", "The maximum number of VPCs has been reached.")
    return _create_vpc(backend, *args, **kwargs)


def running_vcpus(account: str, region: str) -> int:
    """The vCPUs of the region's standard instances."""
    return sum(
        offers.vcpus(instance.instance_type)
        for reservation in list(ec2_backends[account][region].reservations.values())
        for instance in reservation.instances
        if instance.state in ("pending", "running") and standard(instance.instance_type)
    )


def exceeded(account: str, region: str, instance_type: str, count: int) -> str | None:
    """AWS's message if `count` more instances exceed the quota of vCPUs."""
    limit = value(region, VCPUS)
    if not standard(instance_type) or running_vcpus(account, region) + count * offers.vcpus(instance_type) <= limit:
        return None
    return (
        f"You have requested more vCPU capacity than your current vCPU limit of {limit:.0f} allows for the instance bucket "
        "that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request "
        "an adjustment to this limit."
    )


def install() -> None:
    # `offers`, which is installed before, refuses types that do not exist; AWS checks those before quotas.
    run_instances = InstanceBackend.run_instances

    def run(backend: Any, image_id: str, count: int, *args: Any, **kwargs: Any) -> Any:
        why = exceeded(backend.account_id, backend.region_name, kwargs.get("instance_type") or "m1.small", count)
        if why:
            raise EC2ClientError("VcpuLimitExceeded", why)
        return run_instances(backend, image_id, count, *args, **kwargs)

    ElasticAddressBackend.allocate_address = _allocate  # type: ignore[method-assign]
    VPCBackend.create_vpc = _vpc  # type: ignore[method-assign]
    InstanceBackend.run_instances = run  # type: ignore[method-assign,assignment]
    wiring.route(urls, ServiceQuotas)
