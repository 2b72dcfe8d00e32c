"""`sandbox down`: stops all processes and removes their leftovers, complete or partial, of this boot or an earlier one.

1. Stop the simulated AWS first: it is the only part that starts others (clusters and nodes).
2. Stop the recorded processes and release the regions, concurrently.
3. Kill unrecorded processes that carry the sandbox's mark, remove what the container engine left, delete the interface.
4. Only if all of that succeeded, delete the state folder and release the machine.

Invariants: a step that fails does not prevent the next one; after a failure the records stay, so the next `down`
continues from them; running it twice is safe.
"""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import engine
import network
import places
import processes
import state
from region import REGIONS


def down() -> int:
    with state.alone():
        existed = places.state().exists()
        started_at = time.monotonic()
        everything()
        print(f"down in {time.monotonic() - started_at:.0f} s" if existed else "not up")
    return 0


def everything() -> None:
    """Leaves no process, mount, interface, cgroup or file of the sandbox. Raises the first failure, after all steps."""
    running = processes.recorded()
    # First the part that could start more processes. It has nothing to save, so it gets one second.
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
        # The records stay, so that the next `down` continues from them.
        raise failures[0]
    _remove()
    state.release()


def _release(region: places.Region) -> None:
    """Skips a region that has neither files nor a link: `cluster.py release` would search all processes for nothing."""
    if not (places.state() / region.name).exists() and not network.exists(REGIONS[region.name].interface):
        return
    places.state().mkdir(parents=True, exist_ok=True)
    processes.run_cluster_tool("release", region.name)


def _unlink_host() -> None:
    if network.exists(places.HOST_INTERFACE):
        network.run("ip", "link", "delete", places.HOST_INTERFACE)


def _remove() -> None:
    """Retries, because the kernel may keep a container engine's folders busy for a moment after its last process."""
    for attempt in range(3):
        shutil.rmtree(places.state(), ignore_errors=attempt < 2)
        if not places.state().exists():
            return
        time.sleep(0.2)
