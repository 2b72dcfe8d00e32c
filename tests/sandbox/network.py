"""Links, addresses and routes.

    host                        region (a network namespace)             node (another)
    pd-host     10.89.0.1       nodes 10.89.N.2, a bridge over           eth0 10.89.N.(2+i)
    pd-REGION   10.89.N.1, .9 ──── eth0, node-1, node-2, .. ────────────── 10.64/10 via 10.89.N.2
                10.9N/16 via 10.89.N.2                                    cni0, the pods: 10.9N.i.0/24

The region's namespace routes between its nodes' pods and to the host side, as a VPC would. There is no default route,
neither there nor on nodes nor in pods: what is not the sandbox's is unreachable at once, so nothing in a pod can
reach the machine's network or a cloud's metadata, nor wait for them. (So the bridge plug-in's `isDefaultGateway` will
not do: `isGateway` and a route.)
"""
import subprocess
from pathlib import Path

import places
from namespace import Namespace, run
from region import Region
from waiting import Failure

# 10.89 are the links, 10.91 and up the pods of the regions, 10.101 and up their services
LINKS_AND_PODS = "10.88.0.0/13"
SANDBOX_RANGE = "10.64.0.0/10"
BRIDGE = "nodes"
FIREWALL_COMMENT = "paydeploy-sandbox"


def prepare_host() -> None:
    """The interface for what serves both regions, made by whoever comes first; and what nodes need of the kernel."""
    if not Path("/proc/sys/net/bridge").exists():
        run("modprobe", "br_netfilter")
    if not exists(places.HOST_INTERFACE):
        # a bridge without ports holds an address as well, and every kernel that can run a node has bridges
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
    # on this interface alone: the hub's pods reach the other region's API server, the machine becomes no router
    _sysctl(f"net.ipv4.conf.{region.interface}.forwarding=1")
    _open_firewall(region)

    inside.run("ip", "link", "set", "lo", "up")
    if "nodes" not in inside.run("ip", "-o", "link"):
        # left to itself a bridge takes the lowest of its ports' hardware addresses, so nodes that come and go would
        # make the API server unreachable to whoever remembers the former one
        inside.run("ip", "link", "add", BRIDGE, "address", f"02:70:64:00:00:{region.index:02x}", "type", "bridge")
    inside.run("ip", "link", "set", "eth0", "master", BRIDGE, "up")
    inside.run("ip", "address", "replace", f"{region.address}/24", "dev", BRIDGE)
    inside.run("ip", "link", "set", BRIDGE, "up")
    inside.run("ip", "route", "replace", LINKS_AND_PODS, "via", region.host)
    # it sends packets back out of the link they came from; nobody is to be told a shorter way
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
    # a service's address is translated by rules that traffic between two pods of one bridge must pass as well
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1")
    inside.run("ip", "route", "replace", region.node_pod_range(number), "via", region.node_address(number))


def disconnect_node(region: Region, number: int, inside: Namespace) -> None:
    """The kernel takes a link away some time after its namespace ended; a new node must not find it."""
    if f"node-{number}@" in inside.run("ip", "-o", "link"):
        _tolerate("Cannot find device", *inside.command("ip", "link", "delete", f"node-{number}"))
    if region.node_pod_range(number) in inside.run("ip", "route"):
        inside.run("ip", "route", "delete", region.node_pod_range(number))


def exists(interface: str) -> bool:
    return subprocess.run(["ip", "link", "show", interface], capture_output=True).returncode == 0


def _sysctl(*settings: str) -> None:
    run("sysctl", "-qw", *settings)


def _tolerate(text: str, *command: str) -> None:
    """Another call, or the end of a namespace, may have done it first."""
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
    """A container engine usually drops what is forwarded, a firewall what comes in. Only then are rules made."""
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
    return subprocess.run(["iptables", "-C", chain, *rule], capture_output=True).returncode == 0
