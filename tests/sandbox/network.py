"""Links, addresses and routes.

    host                        region (a network namespace)             node (another)
    pd-host     10.89.0.1       nodes 10.89.N.2, a bridge over           eth0 10.89.N.(2+i)
    pd-REGION   10.89.N.1, .9 ──── eth0, node-1, node-2, .. ────────────── 10.64/10 via 10.89.N.2
                10.9N/16 via 10.89.N.2                                    cni0, the pods: 10.9N.i.0/24

The region's namespace routes between its nodes' pods and to the host, as a VPC would. There is no default route in the
region, on nodes or in pods. Addresses outside the sandbox are therefore unreachable immediately: nothing in a pod can
reach the machine's network or a cloud's metadata service, or hang while trying. (This is why the CNI bridge plug-in is
configured with `isGateway` and one route instead of `isDefaultGateway`.)
"""
import subprocess
from pathlib import Path

import places
from namespace import Namespace, run
from region import Region
from waiting import Failure

# 10.89 are the links, 10.91 and up the regions' pods, 10.101 and up their services.
LINKS_AND_PODS = "10.88.0.0/13"
SANDBOX_RANGE = "10.64.0.0/10"
BRIDGE = "nodes"
FIREWALL_COMMENT = "paydeploy-sandbox"


def prepare_host() -> None:
    """Creates the interface of the servers for both regions, and loads the kernel module that nodes need. Repeatable."""
    if not Path("/proc/sys/net/bridge").exists():
        run("modprobe", "br_netfilter")
    if not exists(places.HOST_INTERFACE):
        # A bridge without ports, because every kernel that can run a node supports bridges (not so dummy interfaces).
        _tolerate("File exists", "ip", "link", "add", places.HOST_INTERFACE, "type", "bridge")
    run("ip", "address", "replace", f"{places.HOST}/24", "dev", places.HOST_INTERFACE)
    run("ip", "link", "set", places.HOST_INTERFACE, "up")


def connect_region(region: Region, inside: Namespace) -> None:
    if not exists(region.interface):
        run("ip", "link", "add", region.interface, "type", "veth", "peer", "name", "eth0", "netns", str(inside.pid()))
    for address in (region.host, region.proxy):
        run("ip", "address", "replace", f"{address}/24", "dev", region.interface)
    run("ip", "link", "set", region.interface, "up")
    run("ip", "route", "replace", region.pod_range, "via", region.address, "dev", region.interface)
    # Forwarding on this interface only: the hub's pods must reach the other region's API server, but the machine must not
    # become a router.
    _sysctl(f"net.ipv4.conf.{region.interface}.forwarding=1")
    _open_firewall(region)

    inside.run("ip", "link", "set", "lo", "up")
    if "nodes" not in inside.run("ip", "-o", "link"):
        # By default a bridge takes the lowest MAC address of its ports. Adding or removing a node could change it, and
        # peers with the old address in their ARP cache could not reach the API server.
        inside.run("ip", "link", "add", BRIDGE, "address", f"02:70:64:00:00:{region.index:02x}", "type", "bridge")
    inside.run("ip", "link", "set", "eth0", "master", BRIDGE, "up")
    inside.run("ip", "address", "replace", f"{region.address}/24", "dev", BRIDGE)
    inside.run("ip", "link", "set", BRIDGE, "up")
    inside.run("ip", "route", "replace", LINKS_AND_PODS, "via", region.host)
    # Packets between nodes leave by the link on which they arrived. Without this setting the kernel would send ICMP
    # redirects for them.
    inside.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0",
               f"net.ipv4.conf.{BRIDGE}.send_redirects=0")


def disconnect_region(region: Region) -> None:
    if exists(region.interface):
        _tolerate("Cannot find device", "ip", "link", "delete", region.interface)
    _close_firewall(region)


def connect_node(region: Region, number: int, inside: Namespace, node: Namespace) -> None:
    link = f"node-{number}"
    inside.run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(node.pid()))
    inside.run("ip", "link", "set", link, "master", BRIDGE, "up")
    node.run("ip", "link", "set", "lo", "up")
    node.run("ip", "address", "add", f"{region.node_address(number)}/24", "dev", "eth0")
    node.run("ip", "link", "set", "eth0", "up")
    node.run("ip", "route", "add", SANDBOX_RANGE, "via", region.address)
    # Traffic between two pods on one bridge must pass iptables as well, because kube-proxy translates service addresses
    # there.
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1")
    inside.run("ip", "route", "replace", region.node_pod_range(number), "via", region.node_address(number))


def disconnect_node(region: Region, number: int, inside: Namespace) -> None:
    """Removes a node's link and route. The kernel would remove the link as well, but only some time after the namespace
    has ended, when a new node could already need the name."""
    if f"node-{number}@" in inside.run("ip", "-o", "link"):
        _tolerate("Cannot find device", *inside.command("ip", "link", "delete", f"node-{number}"))
    if region.node_pod_range(number) in inside.run("ip", "route"):
        inside.run("ip", "route", "delete", region.node_pod_range(number))


def exists(interface: str) -> bool:
    return succeeds("ip", "link", "show", interface)


def succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


def _sysctl(*settings: str) -> None:
    run("sysctl", "-qw", *settings)


def _tolerate(text: str, *command: str) -> None:
    """Runs a command and ignores an error that contains `text`: another call, or the end of a namespace, was faster."""
    try:
        run(*command)
    except Failure as error:
        if text not in str(error):
            raise


def _firewall_rules(region: Region) -> dict[str, list[list[str]]]:
    end = ["-m", "comment", "--comment", FIREWALL_COMMENT, "-j", "ACCEPT"]
    incoming, outgoing = ["-i", region.interface, *end], ["-o", region.interface, *end]
    return {"INPUT": [incoming], "FORWARD": [incoming, outgoing]}


def _open_firewall(region: Region) -> None:
    """Accepts the region's traffic where the default policy drops it: container engines do so for FORWARD, firewalls for
    INPUT. Otherwise no rule is added."""
    for chain, rules in _firewall_rules(region).items():
        listed = subprocess.run(["iptables", "-S", chain], capture_output=True, text=True)
        if f"-P {chain} DROP" in listed.stdout:
            for rule in rules:
                if not _in_firewall(chain, rule):
                    run("iptables", "-I", chain, *rule)


def _close_firewall(region: Region) -> None:
    for chain, rules in _firewall_rules(region).items():
        for rule in rules:
            if _in_firewall(chain, rule):
                run("iptables", "-D", chain, *rule)


def _in_firewall(chain: str, rule: list[str]) -> bool:
    return succeeds("iptables", "-C", chain, *rule)
