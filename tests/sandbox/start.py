"""`sandbox up`: everything at once, each part as soon as what it needs is there."""

from __future__ import annotations

import os
import subprocess
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
        verdict, lines = state.look()
        if verdict == state.UP:
            print(lines[-1])
            return 0
        if image:
            workspace.require_binary()
        began = time.monotonic()
        stop.everything()
        try:
            _start(image)
        except BaseException:
            print("sandbox: taking down what was started", file=sys.stderr)
            stop.everything()
            raise
        print(f"up in {time.monotonic() - began:.0f} s: state in {places.state()}")
        print('next: eval "$(tests/sandbox/sandbox env)" && cd "$PAYDEPLOY_WORKSPACE"')
    return 0


class _Parts:
    """Tasks side by side, each after those it names; the first failure is the one that is told."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(16)
        self.futures: dict[str, Future] = {}
        self.took: dict[str, float] = {}

    def add(self, name: str, task: Callable[[], None], *after: str) -> None:
        needed = [self.futures[one] for one in after]

        def run() -> None:
            for future in needed:
                future.result()
            began = time.monotonic()
            task()
            self.took[name] = time.monotonic() - began

        self.futures[name] = self.pool.submit(run)

    def finish(self) -> None:
        try:
            wait(self.futures.values(), return_when=FIRST_EXCEPTION)
        finally:
            # Nothing may start behind the back of whoever cleans up.
            if any(not future.done() or future.exception() for future in self.futures.values()):
                processes.closing.set()
            self.pool.shutdown(cancel_futures=True)
        for name, future in self.futures.items():
            error = None if future.cancelled() else future.exception()
            if isinstance(error, Failure) and not isinstance(error, processes.GivenUp):
                raise error
            if error and not isinstance(error, Failure):
                raise Failure(f"{name}: {type(error).__name__}: {error}") from error


def _start(image: bool) -> None:
    simulated = os.environ.get(NO_CLUSTERS) == "1"
    places.state().mkdir(parents=True)
    # the databases' user passes through here
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
    """The region's link, made by the clusters' tool; without clusters its addresses alone."""
    if simulated:
        for address in (region.host, region.proxy):
            network.run("ip", "address", "replace", f"{address}/24", "dev", places.HOST_INTERFACE)
        return
    tool([sys.executable, str(places.SANDBOX / "cluster.py"), "prepare", region.name], seconds=60)


def tool(argv: list[str], *, seconds: float) -> None:
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        env=processes.plain_environment(),
    )
    if done.returncode:
        raise Failure(f"`{' '.join(argv[1:])}` failed: {done.stderr.strip() or done.stdout.strip()}")


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
    processes.ready(process, _aws_answers, "the AWS stand-in answers", 60)


def _aws_answers() -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        return opener.open(f"http://{places.HOST}:{places.AWS_HTTP_PORT}/sandbox/ready", timeout=2).status == 200
    except OSError:
        return False


def _irsa() -> None:
    process = processes.spawn("irsa", [sys.executable, str(places.SANDBOX / "irsa.py"), "serve"])
    processes.ready(process, lambda: "listening" in processes.last_lines("irsa"), "the pod identity webhook listens")
