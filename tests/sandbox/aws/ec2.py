"""EC2: DependencyViolation for networks in use, NAT gateways with states, and details that Terraform reads back."""

from __future__ import annotations

import secrets
from typing import Any

from moto.ec2 import urls
from moto.ec2.exceptions import DependencyViolationError, EC2ClientError
from moto.ec2.models import EC2Backend, ec2_backends, launch_templates, security_groups
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateVersion
from moto.ec2.models.nat_gateways import NatGateway
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ec2.responses import EC2Response

from . import background, dependencies, offers, wiring


def _refuse(what: str, name: str, held: list[str]) -> None:
    if held:
        # AWS does not name the dependencies. They are appended, because they help to debug a failed deletion.
        raise DependencyViolationError(
            f"The {what} '{name}' has dependencies and cannot be deleted. ({', '.join(held[:5])})"
        )


class Backend(EC2Backend):
    """moto's backend, with AWS's refusals."""

    def delete_vpc(self, vpc_id: str) -> Any:
        _refuse("vpc", vpc_id, dependencies.of_vpc(self.account_id, self.region_name, vpc_id))
        vpc = super().delete_vpc(vpc_id)
        # moto leaves the default ACL behind.
        for acl in [acl for acl in self.network_acls.values() if acl.vpc_id == vpc_id]:
            del self.network_acls[acl.id]
        return vpc

    def delete_subnet(self, subnet_id: str) -> Any:
        _refuse("subnet", subnet_id, dependencies.of_subnet(self.account_id, self.region_name, subnet_id))
        return super().delete_subnet(subnet_id)

    def delete_security_group(self, name: str | None = None, group_id: str | None = None) -> None:
        if group_id:
            held = dependencies.of_group(self.account_id, self.region_name, group_id)
            if held:
                raise DependencyViolationError(f"resource {group_id} has a dependent object ({', '.join(held[:5])})")
        super().delete_security_group(name, group_id)

    def detach_internet_gateway(self, internet_gateway_id: str, vpc_id: str) -> None:
        held = dependencies.public_in(self.account_id, self.region_name, vpc_id)
        if held:
            raise DependencyViolationError(
                f"Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) "
                f"before detaching the gateway. ({', '.join(held[:5])})"
            )
        super().detach_internet_gateway(internet_gateway_id, vpc_id)

    def delete_network_interface(self, eni_id: str) -> None:
        interface = self.get_network_interface(eni_id)
        if getattr(interface, "attachment_id", None) or any(
            eni_id == gateway._eni.id for gateway in self.nat_gateways.values()
        ):
            raise EC2ClientError("InvalidParameterValue", f"Network interface '{eni_id}' is currently in use.")
        super().delete_network_interface(eni_id)

    # NAT gateways

    def create_nat_gateway(self, *args: Any, **kwargs: Any) -> NatGateway:
        gateway = super().create_nat_gateway(*args, **kwargs)
        gateway.state = "pending"
        gateway._eni.interface_type = "nat_gateway"
        background.start(None, lambda _failure: setattr(gateway, "state", "available"))
        return gateway

    def delete_nat_gateway(self, nat_gateway_id: str) -> NatGateway:
        gateway = self.nat_gateways.get(nat_gateway_id)
        if not gateway:
            raise EC2ClientError("NatGatewayNotFound", f"The Nat Gateway {nat_gateway_id} was not found")
        gateway.state = "deleting"

        def done(_failure: str | None) -> None:
            for address in self.addresses:
                if address.eni and address.eni.id == gateway._eni.id:
                    address.eni = address.association_id = None
            self.enis.pop(gateway._eni.id, None)
            gateway.state = "deleted"

        background.start(None, done)
        return gateway

    # Endpoints

    def create_vpc_endpoint(self, vpc_id: str, service_name: str, *args: Any, **kwargs: Any) -> Any:
        offers.check_endpoint(self, service_name, kwargs.get("subnet_ids") or ())
        endpoint = super().create_vpc_endpoint(vpc_id, service_name, *args, **kwargs)
        for interface in endpoint.network_interface_ids or ():
            self.enis[interface].interface_type = "vpc_endpoint"
            self.enis[interface].description = f"VPC Endpoint Interface {endpoint.id}"
        return endpoint

    def describe_vpc_endpoint_services(self, service_names: Any, filters: Any, *args: Any, **kwargs: Any) -> Any:
        """A filter has `Values`. moto reads `Value`."""
        filters = [{**one, "Value": one.get("Values", [])} for one in filters or ()]
        return super().describe_vpc_endpoint_services(service_names, filters, *args, **kwargs)

    def allocate_address(self, domain: str, address: str | None = None, tags: dict[str, str] | None = None) -> Any:
        """Uses 198.18.0.0/15, which RFC 2544 reserves for benchmarks. moto would assign addresses of 127.0.0.0/8."""
        while not address or any(address == taken.public_ip for taken in self.addresses):
            address = f"198.{18 + secrets.randbelow(2)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
        return super().allocate_address(domain, address, tags)

    def release_address(self, address: str | None = None, allocation_id: str | None = None) -> None:
        if allocation_id and self.address_by_allocation([allocation_id])[0].association_id:
            held = self.address_by_allocation([allocation_id])[0].public_ip
            raise EC2ClientError("InvalidIPAddress.InUse", f"Address {held} is in use.")
        return super().release_address(address, allocation_id)

    # Flow logs

    def create_flow_logs(self, *args: Any, **kwargs: Any) -> Any:
        """A prefix may follow the bucket in the destination. moto takes the whole string for a bucket's name."""
        destination = kwargs.get("log_destination")
        if kwargs.get("log_destination_type") == "s3" and destination and "/" in destination:
            created, failed = super().create_flow_logs(
                *args, **{**kwargs, "log_destination": destination.split("/")[0]}
            )
            for log in created:
                log.log_destination = destination
            return created, failed
        return super().create_flow_logs(*args, **kwargs)


class Rule(SecurityGroupRule):
    """The description of a rule is that of its source, whether a CIDR or a security group."""

    @property
    def description(self) -> str | None:
        return self.ip_range.get("Description") or self.source_group.get("Description")


class Template(LaunchTemplate):
    """Shows its present tags. moto keeps those from its creation, so that every plan would change them again."""

    @property
    def tags(self) -> list[dict[str, str]]:
        return self.get_tags()

    @tags.setter
    def tags(self, _: list[dict[str, str]]) -> None:
        pass


class TemplateVersion(LaunchTemplateVersion):
    """Tags of the template itself do not belong to its launch data, and AWS does not return them there."""

    def __init__(self, template: Any, number: int, data: dict[str, Any], description: str):
        kept = [spec for spec in data.pop("TagSpecifications", []) if spec.get("ResourceType") != "launch-template"]
        if kept:
            data["TagSpecifications"] = kept
        super().__init__(template, number, data, description)


def install() -> None:
    security_groups.SecurityGroupRule = Rule  # type: ignore[misc]
    launch_templates.LaunchTemplate = Template  # type: ignore[misc]
    launch_templates.LaunchTemplateVersion = TemplateVersion  # type: ignore[misc]
    wiring.use_backend(ec2_backends, Backend, urls)
    wiring.route(urls, EC2Response)
