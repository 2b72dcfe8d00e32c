"""Nodes: each is a containerd, a kubelet and a kube-proxy in its own namespaces, nested in those of the region.

Like a machine, each node has its own interface, iptables rules, /run and process table. It ends with its init process,
and its pods, shims and mounts with it. One node stands for its whole node group. It is identified by its number, which
determines its addresses, cgroups and directory; a file there (NOTE) records the node group.
"""
import json
import re
import shutil
import string
from dataclasses import asdict, dataclass
from pathlib import Path

import cgroups
import kubeapi
import kubeconfig
import network
import pki
import registries
from namespace import Namespace, last_lines
from region import NODE_NUMBERS, Region
from waiting import Failure, locked, wait_until

MANIFESTS = Path(__file__).with_name("manifests")
NOTE = "node.json"
PAUSE_IMAGE = "registry.k8s.io/pause:3.10"
# Programs keep files at fixed paths in these directories, so each node gets empty ones.
PRIVATE_DIRECTORIES = ("/run", "/var/lib", "/var/log")
# Settings that the kubelet would change for the whole machine, with the values that it requires.
KUBELET_SYSCTLS = (
    "vm.overcommit_memory=1", "vm.panic_on_oom=0", "kernel.panic=10", "kernel.panic_on_oops=1",
    "kernel.keys.root_maxkeys=1000000", "kernel.keys.root_maxbytes=25000000",
)
PROVIDER_ID = re.compile(r"aws:///[a-z0-9-]+/i-[0-9a-f]+")
EFFECTS = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute", "PREFER_NO_SCHEDULE": "PreferNoSchedule"}


@dataclass(frozen=True)
class Shape:
    """What a node group requires of its node."""

    group: str
    labels: dict[str, str]
    taints: list[dict[str, str]]
    # aws:///ZONE/INSTANCE, the EC2 instance that the node stands for.
    provider_id: str

    @classmethod
    def parse(cls, group: str, labels: str, taints: str, provider_id: str) -> "Shape":
        """Parses `k=v,..` and `k=v:Effect,..`. The effect may have EKS's spelling or that of Kubernetes."""
        parsed = []
        for taint in filter(None, taints.split(",")):
            pair, _, effect = taint.rpartition(":")
            key, _, value = pair.partition("=")
            effect = EFFECTS.get(effect, effect)
            if not key or effect not in EFFECTS.values():
                raise Failure(f"not a valid taint: `{taint}`; fix: use the form key=value:NoSchedule")
            parsed.append({"key": key, "value": value, "effect": effect})
        for label in filter(None, labels.split(",")):
            if "=" not in label:
                raise Failure(f"not a valid label: `{label}`; fix: use the form key=value")
        if not PROVIDER_ID.fullmatch(provider_id):
            raise Failure(f"not a valid provider id: `{provider_id}`; fix: use the form aws:///ZONE/INSTANCE")
        return cls(group, dict(label.split("=", 1) for label in filter(None, labels.split(","))), parsed, provider_id)

    @property
    def zone(self) -> str:
        return self.provider_id.split("/")[3]


class Node:
    def __init__(self, region: Region, number: int):
        self.region = region
        self.number = number
        self.directory = region.directory / "nodes" / str(number)
        self.namespace = Namespace(self.directory / "socket")
        self.cgroup = cgroups.node_root(region.name, number)
        self.name = region.node_name(number)

    def log(self, program: str) -> Path:
        return self.region.logs / f"node-{self.number}-{program}.log"

    def shape(self) -> Shape | None:
        try:
            return Shape(**json.loads((self.directory / NOTE).read_text()))
        except FileNotFoundError:
            return None

    def running(self) -> bool:
        if self.namespace.pid() is None:
            return False
        programs = self.namespace.programs()
        return all(name in programs and programs[name] is None for name in ("containerd", "kubelet", "kube-proxy"))

    def start(self, inside: Namespace, shape: Shape) -> None:
        self.namespace.create(self.log("supervisor"), inside=inside, hide=PRIVATE_DIRECTORIES, sysctls=KUBELET_SYSCTLS)
        network.connect_node(self.region, self.number, inside, self.namespace)
        cgroups.create(self.cgroup)
        self._configure(shape)
        self.namespace.start("containerd", ["containerd", "--config", self.directory / "containerd.toml"], self.log("containerd"))
        socket = Path(f"/proc/{self.namespace.pid()}/root/run/containerd/containerd.sock")
        wait_until(socket.is_socket, f"containerd of {self.name} (log: {self.log('containerd')})", 30)
        labels = {
            "eks.amazonaws.com/capacityType": "ON_DEMAND", **shape.labels, "eks.amazonaws.com/nodegroup": shape.group,
            "topology.kubernetes.io/region": self.region.aws, "topology.kubernetes.io/zone": shape.zone,
        }
        provider = self.directory / "credential-provider"
        self.namespace.start("kubelet", [
            "kubelet", f"--config={self.directory}/kubelet.yaml", f"--root-dir={self.directory}/kubelet",
            f"--kubeconfig={kubeconfig.path_of(self.region, f'kubelet-{self.number}')}",
            f"--hostname-override={self.name}", f"--node-ip={self.region.node_address(self.number)}",
            f"--node-labels={','.join(f'{key}={value}' for key, value in labels.items())}",
            f"--image-credential-provider-config={provider}/config.json", f"--image-credential-provider-bin-dir={provider}",
        ], self.log("kubelet"))
        self.namespace.start("kube-proxy", [
            "kube-proxy", f"--kubeconfig={kubeconfig.path_of(self.region, 'kube-proxy')}",
            f"--hostname-override={self.name}", "--proxy-mode=iptables", f"--cluster-cidr={self.region.pod_range}",
            # The size of the connection tracking table belongs to the machine, not to the node: do not change it.
            "--conntrack-max-per-core=0",
        ], self.log("kube-proxy"))

    def wait_ready(self, seconds: float = 90) -> None:
        """Waits until the API server lists the node as Ready. Fails immediately if one of its programs has ended."""
        def ready() -> bool:
            for name, status in self.namespace.programs().items():
                if status is not None:
                    raise Failure(f"`{name}` of {self.name} ended with {status}: {last_lines(self.log(name))}")
            try:
                status, node = kubeapi.get(self.region, f"/api/v1/nodes/{self.name}")
            except OSError:
                return False
            conditions = node["status"].get("conditions", []) if status == 200 else []
            return any((condition["type"], condition["status"]) == ("Ready", "True") for condition in conditions)

        wait_until(ready, f"{self.name} to become Ready (log: {self.log('kubelet')})", seconds, interval=0.2)

    def clear(self, inside: Namespace) -> None:
        """Stops the node and removes what it has, complete or partial. Keeps NOTE, and thereby its number."""
        self.namespace.kill()
        if inside.pid() is not None:
            network.disconnect_node(self.region, self.number, inside)
        cgroups.remove(self.cgroup)
        for path in self.directory.glob("*"):
            if path.name != NOTE:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def remove(self, inside: Namespace) -> None:
        """Like `clear`, and also releases its number."""
        self.clear(inside)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _configure(self, shape: Shape) -> None:
        (self.directory / "cni").mkdir()
        (self.directory / "tmp").mkdir()
        (self.directory / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        registries.configure(self.region, self.directory)
        # Signed by the cluster's authority, like the certificates that EKS approves: metrics-server and the API server
        # verify it.
        address = self.region.node_address(self.number)
        pki.issue(self.region.pki, self.directory / "serving", f"system:node:{self.name}", organization="system:nodes",
                  hosts=(address, self.name))
        values = {
            "directory": self.directory, "pause": PAUSE_IMAGE, "cni_programs": _cni_programs(),
            "address": address, "pods": self.region.node_pod_range(self.number),
            "sandbox_range": network.SANDBOX_RANGE,
            "authority": self.region.pki / "ca.crt", "cgroup": self.cgroup, "dns": self.region.dns_service,
            "provider_id": shape.provider_id, "taints": json.dumps(shape.taints),
        }
        for source, target in (("containerd.toml", "containerd.toml"), ("kubelet.yaml", "kubelet.yaml"), ("cni.conflist", "cni/10-pods.conflist")):
            (self.directory / target).write_text(string.Template((MANIFESTS / source).read_text()).substitute(values))


def nodes(region: Region) -> list[Node]:
    """Every node of which a directory or a cgroup exists, running or partially removed."""
    known = {int(path.name) for path in (region.directory / "nodes").glob("[0-9]*")}
    known |= {int(name.rpartition("-")[2]) for name in cgroups.names(region.name)}
    return [Node(region, number) for number in sorted(known)]


def claim(region: Region, shape: Shape) -> Node:
    """The group's node: the existing one, otherwise the first free number, which is claimed by writing NOTE."""
    with locked(region.directory / "nodes.lock", seconds=30):
        taken = {}
        for number in NODE_NUMBERS:
            if held := Node(region, number).shape():
                taken[number] = held.group
        for number, group in taken.items():
            if group == shape.group:
                return Node(region, number)
        free = [number for number in NODE_NUMBERS if number not in taken]
        if not free:
            raise Failure(f"region `{region.name}` already has {len(taken)} nodes, the sandbox's maximum; fix: remove a node group")
        node = Node(region, free[0])
        note(node, shape)
        return node


def note(node: Node, shape: Shape) -> None:
    node.directory.mkdir(parents=True, exist_ok=True)
    (node.directory / NOTE).write_text(json.dumps(asdict(shape)))


def find(region: Region, group: str) -> Node | None:
    return next((node for node in nodes(region) if (shape := node.shape()) and shape.group == group), None)


def _cni_programs() -> Path:
    for directory in (Path("/usr/lib/cni"), Path("/opt/cni/bin")):
        if (directory / "bridge").exists():
            return directory
    raise Failure("the CNI plug-ins are not installed; fix: run tests/setup")
