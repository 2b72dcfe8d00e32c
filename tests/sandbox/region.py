"""What a region's cluster adds to the region's place: addresses inside it and paths. Nothing here acts."""
from pathlib import Path

import places

# a node's number is part of its addresses: 10.89.N.(2 + number) and pods 10.9N.number.0/24
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
        """Held shared by what works on a node, alone by what makes or ends the cluster."""
        return places.state() / f"{self.name}.lock"

    @property
    def interface(self) -> str:
        """The host side of the region's link."""
        return f"pd-{self.name}"

    @property
    def address(self) -> str:
        """The region side of its link: the API server, and the router of the nodes."""
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
        """The private DNS name that EC2 gives, which EKS takes as the node's name."""
        domain = "ec2.internal" if self.aws == "us-east-1" else f"{self.aws}.compute.internal"
        return f"ip-{self.node_address(number).replace('.', '-')}.{domain}"

    def node_zone(self, number: int) -> str:
        return self.aws + "abc"[(number - 1) % 3]


REGIONS = {place.name: Region(place.name, place.aws, place.index) for place in places.REGIONS}
