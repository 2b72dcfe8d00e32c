"""`sandbox down`: ends what runs and takes away what it left, whole or half-made, of this boot or of one before."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import engine
import network
import places
import processes
import state
from region import REGIONS
from waiting import Failure


def down() -> int:
    with state.alone():
        there = places.state().exists()
        began = time.monotonic()
        everything()
        print(f"down in {time.monotonic() - began:.0f} s" if there else "not up")
    return 0


def everything() -> None:
    """Leaves no process, mount, interface, cgroup or file of the sandbox; what one step cannot do does not stop the next."""
    running = processes.recorded()
    # First the one that could start more.
    processes.stop([process for process in running if process.name == "aws"], patience=1)
    failures = []
    with ThreadPoolExecutor() as pool:
        tasks = [pool.submit(processes.stop, running), *(pool.submit(_release, region) for region in places.REGIONS)]
        failures += [task.exception() for task in tasks]
    for step in (processes.sweep, engine.clean, _unlink_host):
        try:
            step()
        except Exception as error:
            failures.append(error)
    failures = [failure for failure in failures if failure]
    if failures:
        # The records stay: the next `down` goes on from them.
        raise failures[0]
    _remove()
    state.release()


def _release(region: places.Region) -> None:
    """Only where something of the region is: the clusters' tool looks at the whole machine."""
    if not (places.state() / region.name).exists() and not network.exists(REGIONS[region.name].interface):
        return
    places.state().mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, str(places.SANDBOX / "cluster.py"), "release", region.name]
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=processes.plain_environment()
    )
    if done.returncode:
        raise Failure(f"`cluster.py release {region.name}` failed: {done.stderr.strip()}")


def _unlink_host() -> None:
    if network.exists(places.HOST_INTERFACE):
        network.run("ip", "link", "delete", places.HOST_INTERFACE)


def _remove() -> None:
    """A container engine's folders go away a moment after their last user."""
    for attempt in range(3):
        shutil.rmtree(places.state(), ignore_errors=attempt < 2)
        if not places.state().exists():
            return
        time.sleep(0.2)
