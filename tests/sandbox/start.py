"""`sandbox up`: starts all parts concurrently, each as soon as the parts it depends on are ready.

1. Take the machine's lock. If the sandbox is already up, print that and stop.
2. Remove the leftovers of an earlier sandbox (`stop.everything`).
3. Create the state folder, claim the machine, copy the certificate authority.
4. Start the parts as a graph: `_Parts.add(name, task, *after)`. A task starts when all parts in `after` have succeeded.
5. Write `up.json` last. Its existence means that every part was started.

Invariants: a failure or interruption anywhere removes everything again; no process starts once `processes.closing` is
set; the reported failure is the original one, not the parts that gave up because of it.
"""

from __future__ import annotations

import os
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

import ca
import engine
import gitserver
import network
import places
import postgres
import processes
import registry
import state
import stop
import workspace
from waiting import Failure

NO_CLUSTERS = "PAYDEPLOY_SANDBOX_NO_CLUSTERS"


def up(*, image: bool) -> int:
    with state.alone():
        status, lines = state.check()
        if status == state.UP:
            print(lines[-1])
            return 0
        if image:
            workspace.require_binary()
        started_at = time.monotonic()
        stop.everything()
        try:
            _start(image)
        except BaseException:
            # BaseException: an interrupt (KeyboardInterrupt) must not leave processes behind either.
            print("sandbox: stopping the parts that were started", file=sys.stderr)
            stop.everything()
            raise
        print(f"up in {time.monotonic() - started_at:.0f} s: state in {places.state()}")
        print('next: eval "$(tests/sandbox/sandbox env)" && cd "$PAYDEPLOY_WORKSPACE"')
    return 0


class _Parts:
    """Tasks that run concurrently, each after the tasks it names. `finish` raises the first real failure."""

    def __init__(self) -> None:
        # Tasks block a worker while they wait for others. They are added in dependency order, so with fewer workers than
        # tasks the ones that others wait for still start first.
        self.pool = ThreadPoolExecutor(16)
        self.futures: dict[str, Future] = {}
        self.took: dict[str, float] = {}

    def add(self, name: str, task: Callable[[], None], *after: str) -> None:
        needed = [self.futures[one] for one in after]

        def run() -> None:
            for future in needed:
                future.result()
            started_at = time.monotonic()
            task()
            self.took[name] = time.monotonic() - started_at

        self.futures[name] = self.pool.submit(run)

    def finish(self) -> None:
        try:
            wait(self.futures.values(), return_when=FIRST_EXCEPTION)
        finally:
            # After a failure or an interrupt, no part may start any more: it would run after the clean-up.
            if any(not future.done() or future.exception() for future in self.futures.values()):
                processes.closing.set()
            self.pool.shutdown(cancel_futures=True)
        # `add` order is dependency order, so the first failure found here is a cause, not a consequence. GivenUp is
        # skipped: it only says that another part failed.
        for name, future in self.futures.items():
            error = None if future.cancelled() else future.exception()
            if isinstance(error, Failure) and not isinstance(error, processes.GivenUp):
                raise error
            if error and not isinstance(error, Failure):
                raise Failure(f"{name}: {type(error).__name__}: {error}") from error


def _start(image: bool) -> None:
    simulated = os.environ.get(NO_CLUSTERS) == "1"
    places.state().mkdir(parents=True)
    # The user `postgres` must be able to traverse the state folder to reach its data.
    places.state().chmod(0o755)
    state.claim()
    ca.prepare()
    parts = _Parts()
    parts.add("host", network.prepare_host)
    for region in places.REGIONS:
        parts.add(f"network {region.name}", lambda region=region: _network(region, simulated), "host")
    parts.add("aws", lambda: _aws(simulated), "host")
    parts.add("engine", engine.start)
    for region in places.REGIONS:
        parts.add(f"initdb {region.name}", lambda region=region: postgres.initialize(region))
    parts.add("add-ons", registry.addons, "host")
    parts.add("workspace", lambda: workspace.create(image=image))
    parts.add("git", gitserver.start, "host", "workspace")
    for region in places.REGIONS:
        parts.add(f"ecr {region.name}", lambda region=region: registry.ecr(region), f"network {region.name}")
        parts.add(
            f"postgres {region.name}",
            lambda region=region: postgres.start(region),
            f"initdb {region.name}",
            f"network {region.name}",
        )
    if not simulated:
        parts.add("irsa", _irsa, "host")
    parts.finish()
    state.note_complete(clusters=not simulated, took=parts.took)


def _network(region: places.Region, simulated: bool) -> None:
    """Creates the region's link with `cluster.py`. With simulated clusters, only adds its addresses to the host."""
    if simulated:
        for address in (region.host, region.proxy):
            network.run("ip", "address", "replace", f"{address}/24", "dev", places.HOST_INTERFACE)
        return
    processes.run_cluster_tool("prepare", region.name)


def _aws(simulated: bool) -> None:
    ca.aws()
    argv = [
        sys.executable,
        "-m",
        "aws",
        "--state",
        str(places.state()),
        "--tls",
        f"{places.HOST}:{places.AWS_TLS_PORT}",
    ]
    argv += ["--simulate", "clusters"] if simulated else []
    environment = {"PYTHONPATH": str(places.SANDBOX), "PYTHONDONTWRITEBYTECODE": "1"}
    process = processes.spawn("aws", argv, environment=environment)
    # Importing moto and loading the managed IAM policies takes most of this time.
    processes.wait_ready(process, _aws_answers, "the simulated AWS to answer", 60)


def _aws_answers() -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return opener.open(f"http://{places.HOST}:{places.AWS_HTTP_PORT}/sandbox/ready", timeout=2).status == 200
    except OSError:
        return False


def _irsa() -> None:
    process = processes.spawn("irsa", [sys.executable, str(places.SANDBOX / "irsa.py"), "serve"])
    processes.wait_ready(
        process, lambda: "listening" in processes.last_lines("irsa"), "the pod identity webhook to listen"
    )
