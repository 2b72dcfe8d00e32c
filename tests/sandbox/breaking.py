"""`sandbox break PART JSON..` and `sandbox repair PART`: put the proxy of `proxy.py` in front of a server and remove it.

A registry (`addon-registry`, `ecr-REGION`):
1. Stop the part, which frees its address, and start the same registry at another port.
2. Start the proxy at the part's address, with the part's certificate.
`repair` does the reverse. While they change places, for about a second, the address refuses connections.

An API server (`kubernetes-REGION`):
1. Start the proxy in the region's network namespace, at another port.
2. Redirect connections from the host to it. The program under test runs there; nodes, pods and the API server's own
   connections do not pass the proxy.
3. Reset the connections that exist, because a redirection applies to new ones only.
The sandbox's own requests also come from the host. Rules should therefore name the tokens of EKS, which only its users have:
`"authorization": "Bearer k8s-aws-v1.*"`.

Invariants: `repair` can be repeated, succeeds whatever of this exists, and needs no cluster; `down` removes everything,
because the processes are recorded like parts and the rules of the firewall end with the namespace. The deletion of a cluster
removes nothing of this, so the creation of the next one times out unless `repair` comes first.
"""
from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import network
import places
import processes
import proxy
from namespace import Namespace
from region import REGIONS, Region
from waiting import Failure

PROXY = Path(__file__).with_name("proxy.py")
KUBERNETES = "kubernetes-"
API_PORT, API_PROXY_PORT = 6443, 6444
# The ports 5600 and 5601 are the registries' own.
BEHIND = 10


def parts() -> list[str]:
    return ["addon-registry", *(f"ecr-{name}" for name in REGIONS), *(f"{KUBERNETES}{name}" for name in REGIONS)]


def start(part: str, rules: list[dict]) -> None:
    """Puts the proxy in front of a part. One that is there already is replaced."""
    try:
        for rule in rules:
            proxy.Rule.parse(rule)
    except (TypeError, ValueError) as error:
        raise Failure(str(error)) from None
    repair(part)
    try:
        (_start_kubernetes if part.startswith(KUBERNETES) else _start_registry)(part, rules)
    except BaseException:
        # BaseException: an interrupt must not leave half of it behind either.
        repair(part)
        raise


def repair(part: str) -> None:
    if part.startswith(KUBERNETES):
        _close(REGIONS[part.removeprefix(KUBERNETES)])
    _end(f"{part}-proxy")
    if not part.startswith(KUBERNETES):
        _end(f"{part}-behind")
        process = processes.named(part)
        if not process.alive:
            processes.restart(process)
            _wait_listening(part, _configuration(part)["http"]["addr"])


def _start_registry(part: str, rules: list[dict]) -> None:
    served = _configuration(part)["http"]
    host, port = served["addr"].rsplit(":", 1)
    behind = f"{host}:{int(port) + BEHIND}"
    process = processes.named(part)
    processes.stop([process])
    # The same configuration except for the address, so that uploads which have started can continue.
    environment = {**(process.call["environment"] or {}), "REGISTRY_HTTP_ADDR": behind}
    processes.spawn(f"{part}-behind", **{**process.call, "environment": environment})
    _wait_listening(f"{part}-behind", behind)
    files = {**served["tls"], "authority": str(places.state() / "ca" / "ca.crt")}
    _start_proxy(part, {"kind": "registry", "listen": served["addr"], "to": behind, "rules": rules, **files})


def _start_kubernetes(part: str, rules: list[dict]) -> None:
    region = REGIONS[part.removeprefix(KUBERNETES)]
    # Written once the cluster is complete: the sandbox's own creation of it must not be disturbed.
    if not (region.directory / "cluster").exists():
        raise Failure(f"region `{region.name}` has no cluster; fix: deploy it, for example with `paydeploy up`")
    listen, to = (f"{region.address}:{port}" for port in (API_PROXY_PORT, API_PORT))
    files = {"certificate": f"{region.pki}/server.crt", "key": f"{region.pki}/server.key", "authority": f"{region.pki}/ca.crt"}
    configuration = {"kind": "kubernetes", "listen": listen, "to": to, "rules": rules, **files}
    inside = Namespace(region.directory / "socket")
    _start_proxy(part, configuration, inside.command)
    for rule in _firewall_rules(region):
        inside.run("iptables", "--wait", *rule("-I"))


def _start_proxy(part: str, configuration: dict, inside: Callable[..., list[str]] = lambda *argv: list(argv)) -> None:
    name = f"{part}-proxy"
    processes.spawn(name, inside(sys.executable, str(PROXY), json.dumps(configuration)))
    _wait_listening(name, configuration["listen"])


def _close(region: Region) -> None:
    """Removes the rules from the firewall of the region's namespace, if both exist."""
    inside = Namespace(region.directory / "socket")
    if inside.pid() is None:
        return
    for rule in _firewall_rules(region):
        while network.succeeds(*inside.command("iptables", "--wait", *rule("-C"))):
            inside.run("iptables", "--wait", *rule("-D"))


def _firewall_rules(region: Region) -> list[Callable[[str], list[str]]]:
    """The arguments of iptables, by its operation."""
    end = ["-m", "comment", "--comment", network.FIREWALL_COMMENT]
    match = ["-s", region.host, "-d", region.address, "-p", "tcp", "--dport", str(API_PORT), *end]
    redirect = [*match, "-j", "REDIRECT", "--to-ports", str(API_PROXY_PORT)]
    # Connections that are redirected have the proxy's port here, so this finds only those from before.
    reset = [*match, "-j", "REJECT", "--reject-with", "tcp-reset"]
    return [
        lambda operation: ["-t", "nat", operation, "PREROUTING", *redirect],
        lambda operation: ["-t", "filter", operation, "INPUT", *reset],
    ]


def _configuration(part: str) -> dict:
    """The configuration file of a registry, which is JSON."""
    return json.loads(Path(processes.named(part).call["argv"][-1]).read_text())


def _end(name: str) -> None:
    """Stops one of our processes and forgets it, so that `status` does not report it as ended."""
    processes.stop([process for process in processes.recorded() if process.name == name])
    processes.forget(name)


def _wait_listening(name: str, address: str) -> None:
    host, port = address.rsplit(":", 1)

    def listening() -> bool:
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
        except OSError:
            return False
        return True

    processes.wait_ready(processes.named(name), listening, f"{name} to listen at {address}")
