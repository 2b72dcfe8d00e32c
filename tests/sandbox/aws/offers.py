"""What a region offers: instance types by zone, database classes, versions of Kubernetes, add-ons and PostgreSQL.

Each question is answered from moto's records of EC2 and from `offers_data`, changed by what tests set with `change`.
Changes apply to one AWS region, so that tests that run side by side in their own regions do not notice each other's.
`install` makes EC2 answer and refuse accordingly; `offers_eks` and `rds` do the same for their services.

The keys of a change:
- quotas: values by quota code.
- instance_types: by type, the ids of the zones that offer it (an empty list withdraws it).
- endpoint_services: by the service's full name, the ids of the zones in which it can have an interface endpoint (an empty
  list withdraws the service).
- database_classes: by class, the major versions of PostgreSQL that it can be ordered with.
- kubernetes, postgres: by version, {"standard": DATE, "extended": DATE}, the ends of support; null withdraws it.
- addons: by name, the versions that are offered for every Kubernetes version, the default first.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from moto.ec2.exceptions import EC2ClientError, InvalidInstanceTypeError, InvalidServiceName
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS, INSTANCE_TYPES, InstanceTypeOfferingBackend
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.models.vpcs import VPCBackend

from . import offers_data

KEYS = ("quotas", "instance_types", "endpoint_services", "database_classes", "kubernetes", "postgres", "addons")

_changes: dict[str, dict[str, dict[str, Any]]] = {}
_lock = threading.Lock()


def change(region: str, wanted: dict[str, dict[str, Any]]) -> None:
    """Changes what a region offers, in addition to earlier changes. An unknown key is a ValueError."""
    unknown = set(wanted) - set(KEYS)
    if unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}; known keys: {sorted(KEYS)}")
    with _lock:
        for key, values in wanted.items():
            _changes.setdefault(region, {}).setdefault(key, {}).update(values)


def clear() -> None:
    with _lock:
        _changes.clear()


def changes() -> dict[str, Any]:
    with _lock:
        return {region: {key: dict(values) for key, values in keys.items()} for region, keys in _changes.items()}


def changed(region: str, key: str) -> dict[str, Any]:
    """The changes of one key in a region."""
    with _lock:
        return dict(_changes.get(region, {}).get(key, {}))


def zones(region: str) -> dict[str, str]:
    """The region's availability zones: id by name."""
    return {zone.name: zone.zone_id for zone in RegionsAndZonesBackend.zones.get(region, [])}


# Instance types


def zones_with(region: str, instance_type: str) -> set[str]:
    """The ids of the zones that offer an instance type."""
    known = changed(region, "instance_types")
    if instance_type in known:
        return set(known[instance_type])
    listed = INSTANCE_TYPE_OFFERINGS["availability-zone-id"].get(region, [])
    return {offer["Location"] for offer in listed if offer["InstanceType"] == instance_type}


def unknown_types(region: str, types: Iterable[str]) -> list[str]:
    return [one for one in types if not zones_with(region, one)]


def vcpus(instance_type: str) -> int:
    return INSTANCE_TYPES[instance_type]["VCpuInfo"]["DefaultVCpus"] if instance_type in INSTANCE_TYPES else 0


_describe_offerings = InstanceTypeOfferingBackend.describe_instance_type_offerings


def _offerings(backend: Any, location_type: str | None = None, filters: dict[str, Any] | None = None) -> list[Any]:
    """moto's answer with the changes applied."""
    region, listed = backend.region_name, _describe_offerings(backend, location_type, filters)
    names = {zone_id: name for name, zone_id in zones(region).items()}
    for instance_type, ids in changed(region, "instance_types").items():
        listed = [offer for offer in listed if offer["InstanceType"] != instance_type]
        places = {
            "availability-zone-id": list(ids),
            "availability-zone": [names[one] for one in ids],
        }.get(location_type or "region", [region] if ids else [])
        for place in places:
            offer = {"InstanceType": instance_type, "Location": place, "LocationType": location_type or "region"}
            if backend.matches_filters(offer, filters or {}, location_type or "region"):
                listed.append(offer)
    return listed


_run_instances = InstanceBackend.run_instances


def _run(backend: Any, *args: Any, **kwargs: Any) -> Any:
    """RunInstances refuses a type that the region or the zone does not offer."""
    wanted = kwargs.get("instance_type")
    if wanted:
        offered = zones_with(backend.region_name, wanted)
        if not offered:
            raise InvalidInstanceTypeError(wanted)
        zone = _zone_of(backend, kwargs)
        if zone and zones(backend.region_name).get(zone) not in offered:
            names = [name for name, zone_id in zones(backend.region_name).items() if zone_id in offered]
            raise EC2ClientError(
                "Unsupported",
                f"Your requested instance type ({wanted}) is not supported in your requested Availability Zone ({zone}). "
                f"Please retry your request by not specifying an Availability Zone or choosing {', '.join(names)}.",
            )
    return _run_instances(backend, *args, **kwargs)


def _zone_of(backend: Any, options: dict[str, Any]) -> str | None:
    interfaces = [interface.get("SubnetId") for interface in options.get("nics") or []]
    subnet = next((one for one in [options.get("subnet_id"), *interfaces] if one), None)
    return backend.get_subnet(subnet).availability_zone if subnet else options.get("placement")


# Endpoint services

_describe_services = VPCBackend._collect_default_endpoint_services


def endpoint_services(account_id: str, region: str) -> list[dict[str, Any]]:
    """moto's endpoint services with the changes applied."""
    names = {zone_id: name for name, zone_id in zones(region).items()}
    known = changed(region, "endpoint_services")
    found = []
    for service in _describe_services(account_id, region):
        ids = known.get(service["ServiceName"])
        if ids is None:
            found.append(service)
        elif ids:
            found.append({**service, "AvailabilityZones": [names[one] for one in ids]})
    return found


def check_endpoint(backend: Any, service_name: str, subnets: Iterable[str]) -> None:
    """CreateVpcEndpoint refuses a service that the region or the zone of a subnet does not offer."""
    named = [one for one in endpoint_services(backend.account_id, backend.region_name) if one["ServiceName"] == service_name]
    if not named:
        raise InvalidServiceName(service_name)
    offered = {zone for service in named for zone in service["AvailabilityZones"]}
    for subnet in subnets:
        if backend.get_subnet(subnet).availability_zone not in offered:
            raise EC2ClientError(
                "InvalidParameter",
                f"The VPC endpoint service {service_name} does not support the availability zone of the subnet: {subnet}.",
            )


# Databases


def postgres(region: str) -> dict[str, dict[str, Any]]:
    """The major versions of PostgreSQL: minor versions and ends of support."""
    found = {**offers_data.POSTGRES}
    for version, ends in changed(region, "postgres").items():
        if ends is None:
            found.pop(version, None)
        else:
            found[version] = {"minors": [f"{version}.1"], **found.get(version, {}), **ends}
    return found


def orderable(region: str, instance_class: str, major: str) -> bool:
    """Whether RDS can create an instance of the class with a major version of PostgreSQL."""
    known = changed(region, "database_classes")
    if instance_class in known:
        return major in known[instance_class]
    offered = instance_class in offers_data.DATABASE_CLASSES and major in postgres(region)
    return offered and bool(zones_with(region, instance_class.removeprefix("db.")))


def classes(region: str) -> list[str]:
    """Every class that can be ordered with some version."""
    return sorted({*offers_data.DATABASE_CLASSES, *changed(region, "database_classes")})


# EKS


def kubernetes(region: str) -> dict[str, dict[str, str]]:
    """The Kubernetes versions: ends of standard and of extended support."""
    found = {**offers_data.KUBERNETES, **changed(region, "kubernetes")}
    return {version: ends for version, ends in found.items() if ends}


def addons(region: str, kubernetes_version: str) -> dict[str, list[str]]:
    """The versions of each add-on for a Kubernetes version, the default first."""
    kube_proxy = offers_data.KUBE_PROXY.get(kubernetes_version, [])
    return {**offers_data.ADDONS, "kube-proxy": kube_proxy, **changed(region, "addons")}


def install() -> None:
    InstanceTypeOfferingBackend.describe_instance_type_offerings = _offerings  # type: ignore[method-assign]
    InstanceBackend.run_instances = _run  # type: ignore[method-assign]
    VPCBackend._collect_default_endpoint_services = staticmethod(endpoint_services)  # type: ignore[method-assign]
