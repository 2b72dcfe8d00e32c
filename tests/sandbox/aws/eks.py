"""The EKS API: moto's, with add-ons, access entries, updates and access configuration."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from moto.core.responses import ActionResult, EmptyResult
from moto.eks import urls
from moto.eks.exceptions import InvalidParameterException, ResourceNotFoundException
from moto.eks.models import eks_backends
from moto.eks.responses import EKSResponse

from . import access, addons, identity, nodes, wiring
from .eks_backend import Backend

ADDON_SETTINGS = ("serviceAccountRoleArn", "configurationValues", "podIdentityAssociations")


class Eks(EKSResponse):
    """One method per operation, with the API's name in snake case."""

    @property
    def backend(self) -> Backend:
        return eks_backends[self.current_account][self.region]  # type: ignore[return-value]

    def _cluster(self, *, active: bool = False) -> Any:
        name = self._get_param("clusterName") or self._get_param("name")
        return self.backend.active(name) if active else self.backend.describe_cluster(name)

    # Clusters

    def create_cluster(self) -> ActionResult:
        options = {
            "name": self._get_param("name"),
            "version": self._get_param("version") or "1.35",
            "role_arn": self._get_param("roleArn"),
            "resources_vpc_config": self._get_param("resourcesVpcConfig") or {},
            "kubernetes_network_config": self._get_param("kubernetesNetworkConfig"),
            "logging": self._get_param("logging"),
            "client_request_token": self._get_param("clientRequestToken"),
            "tags": self._get_param("tags"),
            "encryption_config": self._get_param("encryptionConfig"),
            "remote_network_config": self._get_param("remoteNetworkConfig"),
        }
        extra = {
            "upgrade_policy": self._get_param("upgradePolicy") or {"supportType": "EXTENDED"},
            "zonal_shift_config": self._get_param("zonalShiftConfig"),
            "deletion_protection": bool(self._get_param("deletionProtection")),
        }
        creator = identity.of(self.access_key).principal
        cluster = self.backend.open_cluster(options, self._get_param("accessConfig") or {}, creator, extra)
        return ActionResult({"cluster": cluster})

    def update_cluster_config(self) -> ActionResult:
        cluster, changed = self._cluster(active=True), {}
        vpc = self._get_param("resourcesVpcConfig")
        if vpc:
            cluster.resources_vpc_config = {**cluster.resources_vpc_config, **vpc}
            changed.update(vpc)
        if self._get_param("accessConfig"):
            cluster.access_config = {**cluster.access_config, **self._get_param("accessConfig")}
            changed.update(cluster.access_config)
        for name, attribute in (
            ("logging", "logging"),
            ("upgradePolicy", "upgrade_policy"),
            ("deletionProtection", "deletion_protection"),
        ):
            wanted = self._get_param(name)
            if wanted is None:
                continue
            if wanted == getattr(cluster, attribute):
                # As EKS words it, which refuses an update that would change nothing.
                raise InvalidParameterException(
                    clusterName=cluster.name, message=f"Cluster is already at the desired configuration with {name}: {wanted}"
                )
            setattr(cluster, attribute, wanted)
            changed[name] = wanted
        kind = (
            "AccessConfigUpdate"
            if self._get_param("accessConfig")
            else "EndpointAccessUpdate"
            if vpc
            else "LoggingUpdate"
        )
        return ActionResult({"update": self.backend.new_update(cluster, kind, changed)})

    def update_cluster_version(self) -> ActionResult:
        cluster = self._cluster(active=True)
        cluster.version = self._get_param("version")
        return ActionResult({"update": self.backend.new_update(cluster, "VersionUpdate", {"Version": cluster.version})})

    def describe_update(self) -> ActionResult:
        cluster, wanted = self._cluster(), self._get_param("updateId")
        if wanted not in cluster.updates:
            raise ResourceNotFoundException(clusterName=cluster.name, message=f"No update found for ID: {wanted}")
        return ActionResult({"update": cluster.updates[wanted]})

    def list_updates(self) -> ActionResult:
        return ActionResult({"updateIds": list(self._cluster().updates)})

    # Node groups

    def create_nodegroup(self) -> ActionResult:
        named = {
            "cluster_name": "name",
            "nodegroup_name": "nodegroupName",
            "scaling_config": "scalingConfig",
            "subnets": "subnets",
            "instance_types": "instanceTypes",
            "ami_type": "amiType",
            "remote_access": "remoteAccess",
            "node_role": "nodeRole",
            "labels": "labels",
            "taints": "taints",
            "tags": "tags",
            "client_request_token": "clientRequestToken",
            "launch_template": "launchTemplate",
            "capacity_type": "capacityType",
            "version": "version",
            "release_version": "releaseVersion",
        }
        options = {ours: self._get_param(theirs) for ours, theirs in named.items()}
        options["disk_size"] = self._get_int_param("diskSize")
        return ActionResult({"nodegroup": self.backend.open_nodegroup(options, self._get_param("updateConfig"))})

    def list_nodegroups(self) -> ActionResult:
        return ActionResult({"nodegroups": sorted(self._cluster().nodegroups)})

    def update_nodegroup_config(self) -> ActionResult:
        cluster = self._cluster(active=True)
        super().update_nodegroup_config()
        return ActionResult({"update": self.backend.new_update(cluster, "ConfigUpdate", {})})

    def update_nodegroup_version(self) -> ActionResult:
        cluster = self._cluster(active=True)
        group = self.backend.describe_nodegroup(cluster.name, self._get_param("nodegroupName"))
        version = self._get_param("version") or cluster.version
        group.release_version = self.backend.release(version, self._get_param("releaseVersion"))
        group.version = version
        if self._get_param("launchTemplate"):
            group.launch_template = {**(group.launch_template or {}), **self._get_param("launchTemplate")}
        nodes.follow_template(self.current_account, self.region, cluster, group)
        return ActionResult({"update": self.backend.new_update(cluster, "VersionUpdate", {"Version": group.version})})

    # Add-ons

    def _settings(self) -> dict[str, Any]:
        return {name: self._get_param(name) for name in ADDON_SETTINGS}

    def describe_addon_versions(self) -> ActionResult:
        found = addons.describe_versions(
            self.region, self._get_param("addonName"), self._get_param("kubernetesVersion")
        )
        return ActionResult({"addons": found})

    def create_addon(self) -> ActionResult:
        cluster, name = self._cluster(active=True), self._get_param("addonName")
        tags = self._get_param("tags") or {}
        return ActionResult(
            {"addon": addons.create(cluster, name, self._get_param("addonVersion"), self._settings(), tags)}
        )

    def describe_addon(self) -> ActionResult:
        return ActionResult({"addon": addons.get(self._cluster(), self._get_param("addonName"))})

    def list_addons(self) -> ActionResult:
        return ActionResult({"addons": sorted(self._cluster().addons)})

    def update_addon(self) -> ActionResult:
        cluster = self._cluster(active=True)
        addons.update(cluster, self._get_param("addonName"), self._get_param("addonVersion"), self._settings())
        return ActionResult({"update": self.backend.new_update(cluster, "AddonUpdate", {})})

    def delete_addon(self) -> ActionResult:
        return ActionResult({"addon": addons.delete(self._cluster(active=True), self._get_param("addonName"))})

    # Access entries

    def _entry(self) -> access.Entry:
        return access.get(self._cluster(), unquote(self._get_param("principalArn")))

    def create_access_entry(self) -> ActionResult:
        entry = access.create(
            self._cluster(active=True),
            self._get_param("principalArn"),
            groups=self._get_param("kubernetesGroups"),
            username=self._get_param("username"),
            type_=self._get_param("type"),
            tags=self._get_param("tags"),
        )
        return ActionResult({"accessEntry": entry})

    def describe_access_entry(self) -> ActionResult:
        return ActionResult({"accessEntry": self._entry()})

    def update_access_entry(self) -> ActionResult:
        entry = self._entry()
        if self._get_param("kubernetesGroups") is not None:
            entry.kubernetes_groups = self._get_param("kubernetesGroups")
        if self._get_param("username"):
            entry.username = self._get_param("username")
        return ActionResult({"accessEntry": entry})

    def delete_access_entry(self) -> ActionResult:
        self._cluster().access_entries.pop(self._entry().principal_arn)
        return EmptyResult()

    def list_access_entries(self) -> ActionResult:
        policy = self._get_param("associatedPolicyArn")
        found = self._cluster().access_entries.values()
        return ActionResult(
            {"accessEntries": sorted(e.principal_arn for e in found if not policy or policy in e.policies)}
        )

    def associate_access_policy(self) -> ActionResult:
        entry = self._entry()
        policy = access.associate(entry, self._get_param("policyArn"), self._get_param("accessScope"))
        named = {"clusterName": entry.cluster_name, "principalArn": entry.principal_arn}
        return ActionResult({**named, "associatedAccessPolicy": policy})

    def disassociate_access_policy(self) -> ActionResult:
        access.disassociate(self._entry(), unquote(self._get_param("policyArn")))
        return EmptyResult()

    def list_associated_access_policies(self) -> ActionResult:
        entry = self._entry()
        named = {"clusterName": entry.cluster_name, "principalArn": entry.principal_arn}
        return ActionResult({**named, "associatedAccessPolicies": list(entry.policies.values())})

    # Tags

    def tag_resource(self) -> ActionResult:
        self.backend.tagged(self._extract_arn_from_path()).update(self._get_param("tags"))
        return EmptyResult()

    def untag_resource(self) -> ActionResult:
        tags = self.backend.tagged(self._extract_arn_from_path())
        for key in self.querystring.get("tagKeys", []):
            tags.pop(key, None)
        return EmptyResult()

    def list_tags_for_resource(self) -> ActionResult:
        return ActionResult({"tags": self.backend.tagged(self._extract_arn_from_path())})


def install() -> None:
    wiring.use_backend(eks_backends, Backend, urls)
    cluster = "{0}/clusters/(?P<name>[^/]+)/"
    wiring.route(
        urls,
        Eks,
        "{0}/addons/supported-versions$",
        cluster + "addons$",
        cluster + "addons/(?P<addonName>[^/]+)$",
        cluster + "addons/(?P<addonName>[^/]+)/update$",
        cluster + "access-entries$",
        cluster + "access-entries/(?P<principalArn>.+)$",
        cluster + "updates$",
        cluster + "updates/(?P<updateId>[^/]+)$",
        cluster + "node-groups/(?P<nodegroupName>[^/]+)/update-version$",
    )
