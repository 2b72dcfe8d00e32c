"""EKS clusters and node groups, backed by real clusters and nodes.

Creating and deleting answers immediately (CREATING, DELETING); the work runs in the background as a call of `cluster.py`,
after which the state becomes ACTIVE, FAILED or the resource disappears. Without real clusters only the settling time of a
fault rule separates the two states.
"""

from __future__ import annotations

import base64
import secrets
import sys
from pathlib import Path
from typing import Any

from moto.core.utils import utcnow
from moto.ec2.exceptions import DependencyViolationError, EC2ClientError
from moto.ec2.models import ec2_backends
from moto.eks.exceptions import EKSError, InvalidParameterException, InvalidRequestException, ResourceInUseException
from moto.eks.models import Cluster, EKSBackend, Nodegroup
from moto.iam.models import iam_backends

import node as nodes_of_region
import places
from region import REGIONS

from . import access, background, faults, guardduty, logs, nodes, ssm, trust
from .settings import current

CLUSTER_TOOL = places.SANDBOX / "cluster.py"


class ResourceLimitExceededException(EKSError):
    """The error for a second cluster in a region."""

    TYPE = "ResourceLimitExceededException"
    STATUS = 400


def _tool(region: places.Region, *words: str) -> None:
    # 300 s cover the waits inside cluster.py: up to 180 s for a lock and 120 s for the API server.
    assert current.state
    background.run(
        [sys.executable, str(CLUSTER_TOOL), *words], current.state / "logs" / f"cluster-{region.name}.log", deadline=300
    )


class Backend(EKSBackend):
    """moto's clusters, with EKS's states, refusals and defaults."""

    def _role(self, arn: str, service: str, source: str) -> None:
        roles = [role for role in iam_backends[self.account_id]["aws"].get_roles() if role.arn == arn]
        if not roles or not trust.allows_service(roles[0], service, source):
            raise InvalidParameterException(
                message=f"Role with arn: {arn}, could not be assumed because it does not exist "
                "or the trusted entity is not correct"
            )

    def open_cluster(
        self, options: dict[str, Any], access_config: dict[str, Any], creator: str, extra: dict[str, Any]
    ) -> Cluster:
        """CreateCluster: returns the cluster in CREATING, and starts the control plane in the background."""
        arn = f"arn:{self.partition}:eks:{self.region_name}:{self.account_id}:cluster/{options['name']}"
        self._role(options["role_arn"], "eks.amazonaws.com", arn)
        region = current.region_with("clusters", self.region_name)
        if region and self.clusters and options["name"] not in self.clusters:
            raise ResourceLimitExceededException(
                message=f"the sandbox supports one cluster per region; `{next(iter(self.clusters))}` already exists"
            )
        subnets = self._subnets(options["resources_vpc_config"])
        cluster = super().create_cluster(**options)
        self._complete(cluster, subnets)
        cluster.access_config = {"authenticationMode": access_config.get("authenticationMode", "CONFIG_MAP")}
        bootstrap = access_config.get("bootstrapClusterCreatorAdminPermissions", True)
        cluster.access_config["bootstrapClusterCreatorAdminPermissions"] = bootstrap
        for name, value in extra.items():
            setattr(cluster, name, value)
        if bootstrap and cluster.access_config["authenticationMode"] != "CONFIG_MAP":
            entry = access.create(cluster, creator, groups=None, username=None, type_=None, tags=None)
            access.associate(
                entry, f"arn:aws:eks::aws:cluster-access-policy/{access.ADMINISTRATOR}", {"type": "cluster"}
            )
        issuer = cluster.identity["oidc"]["issuer"]
        job = (
            (lambda: _tool(region, "create", region.name, "--name", cluster.name, "--issuer", issuer))
            if region
            else None
        )
        background.start(job, lambda failure: self._opened(cluster, region, failure))
        return cluster

    def _subnets(self, vpc_config: dict[str, Any]) -> list[Any]:
        ec2 = ec2_backends[self.account_id][self.region_name]
        known = {subnet.id: subnet for zone in ec2.subnets.values() for subnet in zone.values()}
        wanted = vpc_config.get("subnetIds") or []
        missing = [subnet for subnet in wanted if subnet not in known]
        if missing:
            raise InvalidParameterException(
                message=f"The subnet ID '{missing[0]}' does not exist (Service: Ec2, Status Code: 400)"
            )
        if len({known[subnet].availability_zone for subnet in wanted}) < 2:
            raise InvalidParameterException(message="Subnets specified must be in at least two different AZs")
        return [known[subnet] for subnet in wanted]

    def _complete(self, cluster: Cluster, subnets: list[Any]) -> None:
        """Fills in what EKS adds itself, including the cluster's security group."""
        ec2 = ec2_backends[self.account_id][self.region_name]
        vpc = subnets[0].vpc_id
        group = ec2.create_security_group(
            f"eks-cluster-sg-{cluster.name}-{secrets.randbelow(10**9)}",
            "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, "
            "as well as any managed workloads.",
            vpc_id=vpc,
            tags={f"kubernetes.io/cluster/{cluster.name}": "owned", "aws:eks:cluster-name": cluster.name},
            force=True,
        )
        config = {"endpointPublicAccess": True, "endpointPrivateAccess": False, **cluster.resources_vpc_config}
        if config["endpointPublicAccess"]:
            config.setdefault("publicAccessCidrs", ["0.0.0.0/0"])
        cluster.resources_vpc_config = {
            "securityGroupIds": [],
            **config,
            "vpcId": vpc,
            "clusterSecurityGroupId": group.id,
        }
        cluster.kubernetes_network_config = {
            "ipFamily": "ipv4",
            "serviceIpv4Cidr": "172.20.0.0/16",
            "elasticLoadBalancing": {"enabled": False},
            **(cluster.kubernetes_network_config or {}),
        }
        cluster.identity = {
            "oidc": {"issuer": f"https://oidc.eks.{self.region_name}.amazonaws.com/id/{secrets.token_hex(16).upper()}"}
        }
        cluster.addons, cluster.access_entries, cluster.updates = {}, {}, {}
        cluster.health = {"issues": []}
        cluster.platformVersion = "eks.1"
        cluster.status, cluster.endpoint, cluster.certificate_authority = "CREATING", None, None

    def _opened(self, cluster: Cluster, region: places.Region | None, failure: str | None) -> None:
        if failure:
            cluster.status = "FAILED"
            cluster.health = {"issues": [{"code": "Other", "message": failure, "resourceIds": [cluster.name]}]}
            sys.stderr.write(f"cluster {cluster.name} failed: {failure}\n")
            return
        authority = Path(current.state or "/", region.name, "pki", "ca.crt") if region else None
        text = (
            authority.read_bytes()
            if authority
            else b"-----BEGIN CERTIFICATE-----\nc2ltdWxhdGVk\n-----END CERTIFICATE-----\n"
        )
        cluster.certificate_authority = {"data": base64.b64encode(text).decode()}
        unreal = f"https://{secrets.token_hex(16).upper()}.gr7.{self.region_name}.eks.amazonaws.com"
        cluster.endpoint = region.kubernetes if region else unreal
        cluster.status = "ACTIVE"
        logs.write(self.account_id, self.region_name, cluster)

    def active(self, name: str) -> Cluster:
        cluster = self.describe_cluster(name)
        if cluster.status != "ACTIVE":
            raise InvalidRequestException(clusterName=name, message=f"Cluster '{name}' is not in ACTIVE status")
        return cluster

    def delete_cluster(self, name: str) -> Cluster:
        cluster = self.describe_cluster(name)
        if cluster.status == "DELETING":
            raise ResourceInUseException(clusterName=name, message=f"Cluster has DELETING status: {name}")
        if cluster.status == "CREATING":
            raise ResourceInUseException(clusterName=name, message=f"Cluster is in creating state: {name}")
        if cluster.nodegroups:
            raise ResourceInUseException(
                clusterName=name, nodegroupName=",".join(cluster.nodegroups), message="Cluster has nodegroups attached"
            )
        if getattr(cluster, "deletion_protection", False):
            raise InvalidRequestException(
                clusterName=name, message="Cluster deletion protection is enabled, disable it first"
            )
        cluster.status = "DELETING"
        if faults.leaks("log-group"):
            logs.write_late(self.region_name, cluster)
        region = current.region_with("clusters", self.region_name)
        background.start(
            (lambda: _tool(region, "delete", region.name)) if region else None,
            lambda failure: self._closed(cluster, failure),
        )
        return cluster

    def _closed(self, cluster: Cluster, failure: str | None) -> None:
        if failure:
            cluster.status = "FAILED"
            cluster.health = {"issues": [{"code": "Other", "message": failure, "resourceIds": [cluster.name]}]}
            return
        self.clusters.pop(cluster.name, None)
        self.cluster_count = len(self.clusters)
        ec2 = ec2_backends[self.account_id][self.region_name]
        group = cluster.resources_vpc_config["clusterSecurityGroupId"]
        try:
            if ec2.get_security_group_from_id(group):
                ec2.delete_security_group(group_id=group)
        except DependencyViolationError as held:
            # Like EKS, leave the security group behind while another resource uses it.
            sys.stderr.write(f"{held}\n")

    def open_nodegroup(self, options: dict[str, Any], update_config: dict[str, Any] | None) -> Nodegroup:
        """CreateNodegroup: starts one node, with the group's labels and taints, that stands for the whole group."""
        cluster = self.active(options["cluster_name"])
        self._role(options["node_role"], "ec2.amazonaws.com", cluster.arn)
        release = self.release(options.get("version") or cluster.version, options.get("release_version"))
        group = super().create_nodegroup(**options)
        if not options.get("remote_access"):
            group.remote_access = None
        if options.get("launch_template") and not options.get("disk_size"):
            group.disk_size = None
        group.ami_type = options.get("ami_type") or "AL2023_x86_64_STANDARD"
        group.version = options.get("version") or cluster.version
        group.release_version = release
        group.update_config = update_config or {"maxUnavailable": 1}
        group.health = {"issues": []}
        group.status = "CREATING"
        mode = cluster.access_config["authenticationMode"]
        if mode != "CONFIG_MAP" and options["node_role"] not in cluster.access_entries:
            access.create(cluster, options["node_role"], groups=None, username=None, type_="EC2_LINUX", tags=None)
        if faults.leaks("guardduty"):
            guardduty.protect(self.account_id, self.region_name, cluster)
        try:
            instance = nodes.launch(self.account_id, self.region_name, cluster, group)
        except EC2ClientError as error:
            _settled(group, str(error))
            return group
        region = current.region_with("clusters", self.region_name)
        background.start(
            (lambda: _start_node(region, group, instance)) if region else None,
            lambda failure: _settled(group, failure),
        )
        return group

    def release(self, version: str, wanted: str | None) -> str:
        """The release of the node image: the requested one, which must be of the version, or the recommended one."""
        if wanted and not wanted.startswith(f"{version}."):
            raise InvalidParameterException(
                message=f"Requested release version {wanted} is not valid for kubernetes version {version}."
            )
        return wanted or ssm.release(version)

    def delete_nodegroup(self, cluster_name: str, nodegroup_name: str) -> Nodegroup:
        group = self.describe_nodegroup(cluster_name, nodegroup_name)
        cluster = self.clusters[cluster_name]
        if group.status == "DELETING":
            raise ResourceInUseException(
                nodegroupName=nodegroup_name, message=f"Nodegroup {nodegroup_name} is being deleted"
            )
        group.status = "DELETING"
        region, leak = current.region_with("clusters", self.region_name), faults.leaks("network-interface")

        def done(failure: str | None) -> None:
            if failure:
                group.status = "DELETE_FAILED"
                group.health = {
                    "issues": [{"code": "InternalFailure", "message": failure, "resourceIds": [nodegroup_name]}]
                }
                return
            nodes.terminate(self.account_id, self.region_name, cluster_name, nodegroup_name, leak=leak)
            cluster.nodegroups.pop(nodegroup_name, None)
            cluster.nodegroup_count = len(cluster.nodegroups)

        background.start((lambda: _tool(region, "node-remove", region.name, nodegroup_name)) if region else None, done)
        return group

    def tagged(self, arn: str) -> dict[str, str]:
        """The tags of the EKS resource with this ARN."""
        for cluster in self.clusters.values():
            entries = {entry.access_entry_arn: entry.tags for entry in cluster.access_entries.values()}
            addons = {addon["addonArn"]: addon["tags"] for addon in cluster.addons.values()}
            groups = {group.arn: group.tags for group in cluster.nodegroups.values()}
            everything = {cluster.arn: cluster.tags, **entries, **addons, **groups}
            if arn in everything:
                return everything[arn]
        raise EKSNotFound(message="Resource was not found")

    def new_update(self, cluster: Cluster, kind: str, params: dict[str, Any]) -> dict[str, Any]:
        """Records an update. It stays InProgress for the settling time of a fault rule, if any."""
        update = {
            "id": secrets.token_hex(4) + "-0000-4000-8000-" + secrets.token_hex(6),
            "status": "InProgress",
            "type": kind,
            "params": [{"type": key, "value": str(value)} for key, value in params.items()],
            "createdAt": utcnow(),
            "errors": [],
        }
        cluster.updates[update["id"]] = update
        background.start(None, lambda _failure: update.update(status="Successful"))
        return update


class EKSNotFound(EKSError):
    """The tag operations of EKS use this error instead of ResourceNotFoundException."""

    TYPE = "NotFoundException"
    STATUS = 404


def _start_node(region: places.Region, group: Nodegroup, instance: Any) -> None:
    """Starts the Kubernetes node of an instance, and gives the instance the node's addresses."""
    _tool(region, *_node(region, group), "--provider-id", nodes.provider_id(instance))
    node = nodes_of_region.find(REGIONS[region.name], group.nodegroup_name)
    assert node, f"`{region.name}` has no node for `{group.nodegroup_name}` although it was started"
    nodes.joined(instance, node.region.node_address(node.number), node.region.node_pod_range(node.number))


def _node(region: places.Region, group: Nodegroup) -> list[str]:
    labels = {
        **group.labels,
        "eks.amazonaws.com/nodegroup": group.nodegroup_name,
        "eks.amazonaws.com/capacityType": group.capacity_type,
    }
    words = [
        "node-add",
        region.name,
        group.nodegroup_name,
        "--labels",
        ",".join(f"{key}={value}" for key, value in labels.items()),
    ]
    taints = [f"{taint['key']}={taint.get('value', '')}:{taint['effect']}" for taint in group.taints]
    return [*words, "--taints", ",".join(taints)] if taints else words


def _settled(group: Nodegroup, failure: str | None) -> None:
    group.status = "CREATE_FAILED" if failure else "ACTIVE"
    if failure:
        group.health = {
            "issues": [{"code": "NodeCreationFailure", "message": failure, "resourceIds": [group.nodegroup_name]}]
        }
