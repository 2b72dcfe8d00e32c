"""A cgroup root per node.

Two kubelets under one root would take each other's pods for orphans and kill them, so each gets its own root, named after
its region and number. With cgroup v1 this is a directory in every hierarchy. With cgroup v2 it is one directory to which
the controllers are delegated, because the kubelet rejects a root without a controller that the machine has.
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
    # A new cpuset has no CPUs and memory nodes, and rejects processes until it has both.
    for setting in ("cpuset.cpus", "cpuset.mems"):
        whole = ROOT / "cpuset" / setting
        if whole.exists():
            (ROOT / "cpuset" / name / setting).write_text(whole.read_text())


def remove(name: str) -> None:
    """Removes the root and every cgroup below it. Their processes must have ended.

    The kernel releases a cgroup shortly after its last process has ended, hence the wait of up to 10 s.
    """
    for hierarchy in _hierarchies():
        top = hierarchy / name
        wait_until(lambda: _prune(top), f"the cgroup `{top}` to be empty", 10)


def names(region: str) -> set[str]:
    return {top.name for hierarchy in _hierarchies() for top in hierarchy.glob(f"pd-{region}-*")}


def unified() -> bool:
    return (ROOT / "cgroup.controllers").exists()


def _hierarchies() -> list[Path]:
    if unified():
        return [ROOT]
    # Aliases of a hierarchy (cpu for cpu,cpuacct) are symbolic links.
    return [path for path in sorted(ROOT.iterdir()) if path.is_dir() and not path.is_symlink() and (path / "cgroup.procs").exists()]


def _delegate(group: Path, controllers: str) -> None:
    try:
        (group / "cgroup.subtree_control").write_text(controllers)
    except OSError as error:
        raise Failure(
            f"failed to delegate the controllers `{controllers}` of `{group}`: {error.strerror} (a cgroup that contains "
            "processes cannot delegate); fix: run the sandbox on the machine itself, not in a container without its own "
            "cgroup") from error


def _prune(top: Path) -> bool:
    for directory, _, _ in os.walk(top, topdown=False):
        try:
            os.rmdir(directory)
        except OSError:
            # Still busy, or a child is: the caller retries.
            pass
    return not top.exists()
