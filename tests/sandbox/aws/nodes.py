"""What EC2 has of an EKS node group: an instance per node, with its volume and its network interface.

1. `launch` creates the instance as the group's launch template says, in the subnet of the cluster with the fewest nodes.
2. `joined` sets the node's addresses. The sandbox's links are not in the VPC's range, so this needs no free address of the
   subnet. The pods' range is on the interface as prefixes, as with the VPC CNI's prefix delegation.
3. `terminate` removes all of it; a fault rule may leave an interface of the VPC CNI behind.

A group of the sandbox has one node, whatever its size.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import Counter
from typing import Any

from moto.ec2.models import ec2_backends
from moto.ec2.utils import convert_tag_spec
from moto.eks.models import Cluster, Nodegroup

# The size of a prefix that EC2 assigns to an interface.
PREFIX_BITS = 28
# The disk of an instance whose launch template names none.
DISKS = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "DeleteOnTermination": True}}]
# Two groups that are created at the same time must not choose the same subnet.
_placing = threading.Lock()


def of_group(account: str, region: str, cluster: str, group: str) -> list[Any]:
    """The group's instances that are not terminated."""
    wanted = {"eks:cluster-name": cluster, "eks:nodegroup-name": group}
    return [one for one in running(account, region) if wanted.items() <= tags(one).items()]


def running(account: str, region: str) -> list[Any]:
    """All instances that are not terminated."""
    reservations = list(ec2_backends[account][region].reservations.values())
    return [one for reservation in reservations for one in reservation.instances if one.state != "terminated"]


def tags(resource: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in resource.get_tags()}


def provider_id(instance: Any) -> str:
    """The name of an instance in Kubernetes."""
    return f"aws:///{instance._placement.zone}/{instance.id}"


def launch(account: str, region: str, cluster: Cluster, group: Nodegroup) -> Any:
    """Starts the group's instance. Its addresses are set once the node has joined."""
    ec2 = ec2_backends[account][region]
    chosen, options = _template(ec2, group)
    named = convert_tag_spec(chosen.get("TagSpecifications", []))
    # Those of EKS itself. It adds them to the instances only.
    owned = {
        "eks:cluster-name": cluster.name,
        "eks:nodegroup-name": group.nodegroup_name,
        f"kubernetes.io/cluster/{cluster.name}": "owned",
        f"k8s.io/cluster-autoscaler/{cluster.name}": "owned",
        "k8s.io/cluster-autoscaler/enabled": "true",
    }
    types = group.instance_types or ["t3.medium"]
    with _placing:
        taken = Counter(one.subnet_id for one in running(account, region))
        subnet = ec2.get_subnet(min(group.subnets, key=lambda one: (taken[one], group.subnets.index(one))))
        reservation = ec2.run_instances(
            "",
            1,
            None,
            [],
            instance_type=types[0],
            is_instance_type_default=False,
            region_name=region,
            subnet_id=subnet.id,
            security_group_ids=groups_of(ec2, cluster, group),
            tags={"instance": {**named.get("instance", {}), **owned}, "volume": named.get("volume", {})},
            block_device_mappings=chosen.get("BlockDeviceMappings") or DISKS,
            metadata_options=chosen.get("MetadataOptions", {}),
            monitoring_state="enabled" if chosen.get("Monitoring", {}).get("Enabled") else "disabled",
            **options,
        )
    instance = reservation.instances[0]
    for interface in instance.nics.values():
        interface.add_tags({**named.get("network-interface", {}), "cluster.k8s.amazonaws.com/name": cluster.name})
        interface.delete_on_termination = True
    return instance


def _template(ec2: Any, group: Nodegroup) -> tuple[dict[str, Any], dict[str, Any]]:
    """The data of the group's launch template, and how to name the template in RunInstances."""
    named = group.launch_template or {}
    if not named:
        return {}, {}
    key = "LaunchTemplateId" if named.get("id") else "LaunchTemplateName"
    argument = {key: named.get("id") or named.get("name"), "Version": str(named.get("version") or "$Default")}
    return ec2._get_template_from_args(argument).data, {"launch_template": argument}


def groups_of(ec2: Any, cluster: Cluster, group: Nodegroup) -> list[str]:
    """The instance's security groups: those of the launch template, otherwise the cluster's."""
    chosen, _ = _template(ec2, group)
    return list(chosen.get("SecurityGroupIds") or [cluster.resources_vpc_config["clusterSecurityGroupId"]])


def joined(instance: Any, address: str, pods: str) -> None:
    """Sets the node's address, and the range of its pods."""
    interface = instance.nics[0]
    interface.subnet.del_subnet_ip(interface.private_ip_address)
    interface.private_ip_address = address
    interface.private_dns_name = instance.private_dns_name
    interface.private_ip_addresses = [
        {"Primary": True, "PrivateIpAddress": address, "PrivateDnsName": instance.private_dns_name}
    ]
    prefixes = ipaddress.ip_network(pods).subnets(new_prefix=PREFIX_BITS)
    interface.ipv4_prefixes = [{"Ipv4Prefix": str(prefix)} for prefix in prefixes]


def follow_template(account: str, region: str, cluster: Cluster, group: Nodegroup) -> None:
    """Gives the group's instance what a new version of its launch template says. AWS would replace the instance."""
    ec2 = ec2_backends[account][region]
    chosen, _ = _template(ec2, group)
    named = convert_tag_spec(chosen.get("TagSpecifications", []))
    for instance in of_group(account, region, cluster.name, group.nodegroup_name):
        instance.add_tags(named.get("instance", {}))
        instance.security_groups = [ec2.get_security_group_from_id(one) for one in groups_of(ec2, cluster, group)]
        for interface in instance.nics.values():
            interface._group_set = list(instance.security_groups)
            interface.add_tags(named.get("network-interface", {}))
        for device in instance.block_device_mapping.values():
            for volume in ec2.describe_volumes(volume_ids=[device.volume_id]):
                volume.add_tags(named.get("volume", {}))


def terminate(account: str, region: str, cluster: str, group: str, *, leak: bool) -> None:
    """Terminates the group's instances. With `leak`, the VPC CNI does not delete its interfaces in time."""
    ec2 = ec2_backends[account][region]
    for instance in of_group(account, region, cluster, group):
        for interface in instance.nics.values():
            # Not by DeleteNetworkInterface, which refuses attached interfaces.
            interface.delete_on_termination = False
            interface.subnet.del_subnet_ip(interface.private_ip_address)
            ec2.enis.pop(interface.id, None)
        if leak:
            ec2.create_network_interface(
                instance.nics[0].subnet,
                None,
                group_ids=[one.id for one in instance.security_groups],
                description=f"aws-K8S-{instance.id}",
                tags={
                    "cluster.k8s.amazonaws.com/name": cluster,
                    "node.k8s.amazonaws.com/instance_id": instance.id,
                    "node.k8s.amazonaws.com/createdAt": "2026-01-01T00:00:00Z",
                },
            )
        instance.terminate()


def interface_with(account: str, region: str, address: str) -> Any:
    """The network interface that has an address, itself or in one of its prefixes; None if there is none."""
    for interface in list(ec2_backends[account][region].enis.values()):
        if address in [one["PrivateIpAddress"] for one in interface.private_ip_addresses]:
            return interface
        prefixes = [one["Ipv4Prefix"] for one in getattr(interface, "ipv4_prefixes", ())]
        if any(ipaddress.ip_address(address) in ipaddress.ip_network(prefix) for prefix in prefixes):
            return interface
    return None
