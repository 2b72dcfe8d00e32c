"""A control group root for each node.

Two kubelets under one root take each other's pods for orphans and kill them, so each gets a root of its own, named
after its region and number. With cgroup v1 that is a directory in every hierarchy; with cgroup v2 one directory that
passes on the controllers, because the kubelet refuses a root that lacks one it knows and the machine has.
"""
import os
from pathlib import Path

from waiting import Failure, wait_until

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuset", "hugetlb", "io", "memory", "pids")


def node_root(region: str, number: int) -> str:
    return f"pd-{region}-{number}"


def create(name: str) -> None:
    if unified():
        available = (ROOT / "cgroup.controllers").read_text().split()
        controllers = " ".join(f"+{controller}" for controller in CONTROLLERS if controller in available)
        _delegate(ROOT, controllers)
        (ROOT / name).mkdir(exist_ok=True)
        _delegate(ROOT / name, controllers)
        return
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)
    # a cpuset group starts without processors and memory nodes, and takes no process until it has some
    for setting in ("cpuset.cpus", "cpuset.mems"):
        whole = ROOT / "cpuset" / setting
        if whole.exists():
            (ROOT / "cpuset" / name / setting).write_text(whole.read_text())


def remove(name: str) -> None:
    """Removes the root and every group below it; their processes must have ended."""
    for hierarchy in _hierarchies():
        top = hierarchy / name
        wait_until(lambda: _prune(top), f"the control group `{top}` to be empty", 10)


def names(region: str) -> set[str]:
    return {top.name for hierarchy in _hierarchies() for top in hierarchy.glob(f"pd-{region}-*")}


def unified() -> bool:
    return (ROOT / "cgroup.controllers").exists()


def _hierarchies() -> list[Path]:
    if unified():
        return [ROOT]
    # two names of one hierarchy (cpu and cpu,cpuacct) are links to one directory
    return [path for path in sorted(ROOT.iterdir()) if path.is_dir() and not path.is_symlink() and (path / "cgroup.procs").exists()]


def _delegate(group: Path, controllers: str) -> None:
    try:
        (group / "cgroup.subtree_control").write_text(controllers)
    except OSError as error:
        raise Failure(
            f"cannot pass on the controllers `{controllers}` of `{group}`: {error.strerror}; processes in that group "
            "forbid it: run the sandbox on the machine itself, not in a container without a control group of its own") from error


def _prune(top: Path) -> bool:
    for directory, _, _ in os.walk(top, topdown=False):
        try:
            os.rmdir(directory)
        except OSError:
            pass
    return not top.exists()
