#!/usr/bin/env python3
"""Create and delete the Kubernetes cluster of one region, in the same pieces as EKS.

  cluster.py prepare REGION                          `sandbox up`: create namespaces, link and addresses
  cluster.py create REGION --name EKS --issuer URL   create the control plane; returns when its API answers
  cluster.py node-add REGION GROUP --provider-id aws:///ZONE/INSTANCE [--labels k=v,..] [--taints k=v:Effect,..]
                                                     returns when the node is Ready
  cluster.py node-remove REGION GROUP
  cluster.py delete REGION                           delete control plane, nodes and data
  cluster.py release REGION                          `sandbox down`: remove everything of the region
  cluster.py exec [--node GROUP] REGION COMMAND..    run a command in the namespaces of a region or node, for debugging

Every command can be repeated at any time, also after a call that was killed: it continues from the existing resources.
Calls for different regions, and for different node groups of one region, can run concurrently.

Locks: `create`, `delete`, `prepare` and `release` hold the region's lock exclusively; `node-add` and `node-remove` hold it
shared, and the lock of their node exclusively.
"""
import argparse
import os
import shutil
import sys

import cgroups
import controlplane
import network
import node as nodes
import places
from namespace import Namespace
from region import REGIONS, Region
from waiting import Failure, locked


def prepare(region: Region, options: argparse.Namespace) -> None:
    inside = region_namespace(region)
    with locked(region.lock):
        if inside.pid() is None:
            existed = region.directory.exists()
            clear(region, inside)
            if existed:
                # The kernel removes the links of a dead namespace only after some time.
                network.disconnect_region(region)
            elif network.exists(region.interface):
                raise Failure(
                    f"interface `{region.interface}` belongs to a sandbox whose state is not in `{places.state()}`; fix: "
                    f"set PAYDEPLOY_SANDBOX to its folder and run `sandbox down`, or restart the machine")
            inside.create(region.logs / "supervisor.log")
        network.prepare_host()
        network.connect_region(region, inside)


def release(region: Region, options: argparse.Namespace) -> None:
    inside = region_namespace(region)
    # Before taking the lock: calls that hold it fail as soon as the region's processes are dead, and release it.
    inside.kill()
    with locked(region.lock):
        clear(region, inside)
        network.disconnect_region(region)
        shutil.rmtree(region.directory, ignore_errors=True)
        region.lock.unlink()


def clear(region: Region, inside: Namespace) -> None:
    """Stops everything in the region and deletes its data, complete or partial."""
    inside.kill()
    for node in nodes.nodes(region):
        node.remove(inside)
    for name in cgroups.names(region.name):
        cgroups.remove(name)
    controlplane.forget(region)


def create(region: Region, options: argparse.Namespace) -> None:
    inside = region_namespace(region)
    with locked(region.lock):
        require(region, inside)
        # Written last, so that a cluster whose creation was interrupted is deleted and created again.
        identity = region.directory / "cluster"
        wanted = f"{options.name}\n{options.issuer}\n"
        if controlplane.running(inside) and identity.exists() and identity.read_text() == wanted:
            return
        remove_cluster(region, inside)
        controlplane.create(region, inside, options.name, options.issuer)
        identity.write_text(wanted)


def delete(region: Region, options: argparse.Namespace) -> None:
    inside = region_namespace(region)
    with locked(region.lock):
        remove_cluster(region, inside)


def remove_cluster(region: Region, inside: Namespace) -> None:
    (region.directory / "cluster").unlink(missing_ok=True)
    if inside.pid() is not None:
        controlplane.stop(inside)
    for node in nodes.nodes(region):
        node.remove(inside)
    controlplane.forget(region)


def node_add(region: Region, options: argparse.Namespace) -> None:
    shape = nodes.Shape.parse(options.group, options.labels, options.taints, options.provider_id)
    inside = region_namespace(region)
    with locked(region.lock, shared=True):
        require(region, inside)
        if not (region.directory / "cluster").exists():
            raise Failure(f"region `{region.name}` has no cluster; fix: run `cluster.py create` first")
        node = nodes.claim(region, shape)
        with locked(region.directory / f"node-{node.number}.lock"):
            if not (node.running() and node.shape() == shape):
                end_node(region, inside, node)
                node.clear(inside)
                nodes.note(node, shape)
                node.start(inside, shape)
            node.wait_ready()


def node_remove(region: Region, options: argparse.Namespace) -> None:
    inside = region_namespace(region)
    with locked(region.lock, shared=True):
        node = nodes.find(region, options.group) if region.directory.exists() else None
        if node is None:
            return
        with locked(region.directory / f"node-{node.number}.lock"):
            end_node(region, inside, node)
            node.remove(inside)


def end_node(region: Region, inside: Namespace, node: nodes.Node) -> None:
    """Kills the node and deletes its Node object. Otherwise the cluster would keep it and its pods for minutes."""
    node.namespace.kill()
    if inside.pid() is not None and controlplane.running(inside):
        controlplane.kubectl(region, "delete", "node", node.name, "--ignore-not-found", "--wait=false")


def execute(region: Region, options: argparse.Namespace) -> None:
    space = region_namespace(region)
    if options.node:
        node = nodes.find(region, options.node)
        if node is None:
            raise Failure(f"region `{region.name}` has no node group `{options.node}`")
        space = node.namespace
    pid = space.pid()
    if pid is None:
        raise Failure(f"no process is running in the namespaces of `{space.path.parent}`")
    os.execvp("nsenter", ["nsenter", "--target", str(pid), "--mount", "--net", "--pid", "--", *options.command])


def region_namespace(region: Region) -> Namespace:
    return Namespace(region.directory / "socket")


def require(region: Region, inside: Namespace) -> None:
    if inside.pid() is None:
        raise Failure(f"region `{region.name}` is not prepared; fix: run `sandbox up`")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name, function):
        added = commands.add_parser(name)
        added.add_argument("region", choices=REGIONS)
        added.set_defaults(function=function)
        return added

    command("prepare", prepare)
    command("release", release)
    created = command("create", create)
    created.add_argument("--name", required=True, help="Name of the EKS cluster")
    created.add_argument("--issuer", required=True, help="Issuer URL of its service account tokens")
    command("delete", delete)
    added = command("node-add", node_add)
    added.add_argument("group")
    added.add_argument("--provider-id", required=True, help="The node's EC2 instance, as aws:///ZONE/INSTANCE")
    added.add_argument("--labels", default="")
    added.add_argument("--taints", default="")
    command("node-remove", node_remove).add_argument("group")
    entered = command("exec", execute)
    entered.add_argument("--node", metavar="GROUP")
    entered.add_argument("command", nargs=argparse.REMAINDER)
    return parser.parse_args()


def main() -> None:
    options = parse()
    if os.geteuid() != 0:
        sys.exit("cluster.py: namespaces and links require root")
    try:
        options.function(REGIONS[options.region], options)
    except Failure as error:
        sys.exit(f"cluster.py: {error}")


if __name__ == "__main__":
    main()
