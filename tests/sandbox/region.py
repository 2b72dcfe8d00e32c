"""A region's cluster on top of `places.Region`: its inner addresses and its paths. Nothing here acts."""
from pathlib import Path

import places

# At most four nodes per region. A node's number is part of its addresses: 10.89.N.(2 + number), pods 10.9N.number.0/24.
NODE_NUMBERS = (1, 2, 3, 4)


class Region(places.Region):
    @property
    def directory(self) -> Path:
        return places.state() / self.name

    @property
    def pki(self) -> Path:
        return self.directory / "pki"

    @property
    def logs(self) -> Path:
        return self.directory / "log"

    @property
    def admin_kubeconfig(self) -> Path:
        return self.directory / "admin.kubeconfig"

    @property
    def lock(self) -> Path:
        """Held shared while working on one node, exclusively while creating or deleting the cluster."""
        return places.state() / f"{self.name}.lock"

    @property
    def interface(self) -> str:
        """The host end of the region's veth pair."""
        return f"pd-{self.name}"

    @property
    def address(self) -> str:
        """The region end of its link: the API server's address, and the nodes' router."""
        return f"10.89.{self.index}.2"

    @property
    def pod_range(self) -> str:
        return f"10.9{self.index}.0.0/16"

    @property
    def service_range(self) -> str:
        return f"10.10{self.index}.0.0/16"

    @property
    def kubernetes_service(self) -> str:
        return f"10.10{self.index}.0.1"

    @property
    def dns_service(self) -> str:
        return f"10.10{self.index}.0.10"

    def node_address(self, number: int) -> str:
        return f"10.89.{self.index}.{2 + number}"

    def node_pod_range(self, number: int) -> str:
        return f"10.9{self.index}.{number}.0/24"

    def node_name(self, number: int) -> str:
        """The private DNS name that EC2 assigns, which EKS uses as the node's name."""
        domain = "ec2.internal" if self.aws == "us-east-1" else f"{self.aws}.compute.internal"
        return f"ip-{self.node_address(number).replace('.', '-')}.{domain}"


REGIONS = {place.name: Region(place.name, place.aws, place.index) for place in places.REGIONS}
