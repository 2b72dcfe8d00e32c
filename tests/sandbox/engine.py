"""The container engine: the machine's own if one answers, otherwise a dockerd without network or firewall rules.

A dockerd of the sandbox keeps its data in the state folder, but also creates directories at fixed places (cgroups, a
plug-in folder). Those that did not exist before it started are recorded and removed at `down`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import ca
import places
import processes
from namespace import LONGEST_SOCKET_PATH
from waiting import Failure

DEFAULT = "unix:///var/run/docker.sock"
# Where the machine's own engine reads the CA of a registry. It does so at each request, so no restart is needed.
FOREIGN_TRUST = Path("/etc/docker/certs.d")
CGROUPS = Path("/sys/fs/cgroup")
PLUGINS = Path("/run/docker/plugins")


def folder() -> Path:
    return places.state() / "engine"


def _note() -> Path:
    return folder() / "host"


def host() -> str:
    """The value of DOCKER_HOST."""
    return _note().read_text().strip()


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str):
        super().__init__("engine", timeout=3)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(3)
        self.sock.connect(self.path)


def answers(address: str) -> bool:
    url = urlsplit(address)
    connection = (
        _Unix(url.path)
        if url.scheme == "unix"
        else http.client.HTTPConnection(url.hostname or "", url.port or 2375, timeout=3)
    )
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def start() -> None:
    """Records the engine that answers, or starts one."""
    folder().mkdir(parents=True, exist_ok=True)
    for address in filter(None, (os.environ.get("DOCKER_HOST"), DEFAULT)):
        if answers(address):
            _note().write_text(address)
            _trust()
            return
    _start_own()


def _registries() -> list[str]:
    return [f"{places.HOST}:{places.ADDON_REGISTRY_PORT}", *(region.ecr for region in places.REGIONS)]


def _trust() -> None:
    for registry in _registries():
        (FOREIGN_TRUST / registry).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ca.certificate(), FOREIGN_TRUST / registry / "ca.crt")


def _start_own() -> None:
    socket_file = folder() / "docker.sock"
    if len(os.fsencode(socket_file)) > LONGEST_SOCKET_PATH:
        raise Failure(f"`{socket_file}` is too long for a Unix socket; fix: set PAYDEPLOY_SANDBOX to a shorter path")
    address = f"unix://{socket_file}"
    configuration = folder() / "daemon.json"
    configuration.write_text(json.dumps({"deprecated-key-path": str(folder() / "key.json")}))
    # Recorded so that `clean` removes only the directories that this dockerd creates outside its folder.
    (folder() / "before").write_text("\n".join(str(path) for path in _outside()))
    argv = [
        "dockerd",
        *("--config-file", str(configuration)),
        *("--host", address, "--group", "root", "--pidfile", str(folder() / "dockerd.pid")),
        *("--data-root", str(folder() / "data"), "--exec-root", str(folder() / "exec")),
        *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
    ]
    process = processes.spawn("dockerd", argv, environment={"SSL_CERT_FILE": str(ca.bundle())})
    processes.wait_ready(process, lambda: answers(address), "dockerd to answer")
    _note().write_text(address)


def _outside() -> list[Path]:
    """Existing directories of the kinds that dockerd creates at fixed places: cgroups, and a plug-in folder."""
    patterns = ("docker", "*/docker", "*/system.slice/docker-*", "system.slice/docker-*")
    return [path for path in (PLUGINS, PLUGINS.parent) if path.exists()] + [
        path for pattern in patterns for path in CGROUPS.glob(pattern)
    ]


def clean() -> None:
    """Removes the mounts and directories of our own dockerd, or the CA files given to the machine's engine."""
    # The longest path first, because a mount point inside another mount must be unmounted before it.
    for mount in sorted(_mounts(), key=len, reverse=True):
        subprocess.run(["umount", "--lazy", mount], capture_output=True)
    before = folder() / "before"
    if before.exists():
        kept = set(before.read_text().splitlines())
        for created in _outside():
            if str(created) not in kept:
                _prune(created)
    elif _note().exists():
        for registry in _registries():
            shutil.rmtree(FOREIGN_TRUST / registry, ignore_errors=True)
        with contextlib.suppress(OSError):
            FOREIGN_TRUST.rmdir()


def _prune(top: Path) -> None:
    """Removes directories, the deepest first. One that is not empty belongs to another program and stays."""
    for path, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def _mounts() -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    targets = [line.split()[1].encode().decode("unicode_escape") for line in lines]
    return [target for target in targets if target.startswith(f"{folder()}/")]
