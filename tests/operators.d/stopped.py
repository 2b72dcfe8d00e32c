"""A holder that is stopped (SIGSTOP), and one whose helm is stopped, in one region each, because both take minutes.

In mexico:
1. Ana's run applies with terraform when it is stopped. Terraform continues, and would for many minutes, because AWS
   throttles it. It is interrupted once the lease has expired.
2. Ben's run, on another machine, waits until Ana's has been silent for the time of a lease and the margin, and takes over.
3. Ana's run is continued while Ben's works. It ends with 5 and changes nothing any more, neither in AWS nor in the cluster.

In spain, meanwhile:
1. The helm of Eva's run is stopped for longer than a lease is good without renewal.
2. The run renews its lease, so others are refused, on the same machine and on another one.
3. Helm is continued, and the run ends with 0.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import addons
from job import Job, is_running, is_stopped, send
from report import Report, Scenario
from seen import calls, changes, last_call, lease_writes
from shared import REGIONS, account, wait_until
from team import Team
from witness import Witness

# Seconds, as in src/lease/mod.rs and src/task/fence.rs: how long a lease is good without renewal, and for how much
# longer no other run takes it over.
SILENCE, MARGIN = 60, 120
# Seconds from the moment at which a takeover is allowed, as the issue demands.
LATEST = 30
# Seconds by which two clocks and the poll of an output may let a takeover appear early: B's first read comes before its line.
TOLERANCE = 1
# Renewals, one every 10 s: together longer than a lease is good without one.
RENEWALS = 7
# Seconds that terraform has from its interrupt to its end, of the 110 after which it would be killed.
ENDING = 30
# Seconds after which something hangs.
PATIENCE = 300
# The resource that terraform recreates, of the first stack, so that everything else of the run waits for it.
POLICY = ["ecr", "delete-lifecycle-policy", "--repository-name", "payment-latency-api"]
CREATION = {"service": "ecr", "action": "PutLifecyclePolicy", "region": "us-east-1"}
THROTTLED = {"count": None, "status": 400, "code": "ThrottlingException"}


def play(report: Report, team: Team) -> None:
    throttle = {**CREATION, **THROTTLED, "access_key": team.first.id}
    holder = report.scenario("SIGSTOP of a holder")
    with holder as scenario, Witness("mexico", [team.first, team.second]) as witness, fault(throttle):
        addons.uninstall("mexico")
        command = ["aws", "--endpoint-url", "http://10.89.0.1:5000", "--region", REGIONS["mexico"].aws, *POLICY]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        phases = ("phase", "terraform", "helm-deps", "--region", "mexico")
        ana, ben = team.operator("ana", team.first), team.operator("ben", team.second)

        stopped = ana.start(*phases)
        terraform = stop_at_work(scenario, stopped)
        ends: list[float] = []
        terraform_end = threading.Thread(target=lambda: ends.append(when_ended(terraform)))
        terraform_end.start()
        since, takes_over = last_call(), ben.start(*phases, "--lock-wait", "10m", elsewhere=True)
        takes_over.says("it counts as dead if it stays silent for", PATIENCE)
        seen_at = time.time()
        with report.scenario("SIGSTOP of helm") as beside:
            stop_helm(beside, team)

        deadline = SILENCE + MARGIN + LATEST + PATIENCE
        taken = wait_until(lambda: lease_writes(ben.key, since, REGIONS["mexico"].aws), "the takeover", deadline)
        late = taken[0] - (seen_at + SILENCE + MARGIN)
        scenario.see(f"taken over {taken[0] - seen_at:.1f} s after the first sight, {late:.1f} s after that was allowed")
        scenario.expect(-TOLERANCE <= late <= LATEST, f"the takeover 0 to {LATEST} s after it is allowed")
        terraform_end.join()
        alone = ends[0] - max(lease_writes(ana.key, 0, REGIONS["mexico"].aws))
        scenario.see(f"terraform alone ended {alone:.0f} s after the last renewal")
        scenario.expect(SILENCE <= alone <= SILENCE + ENDING, f"terraform to end within {ENDING} s after the lease")

        since, written, woke = last_call(), witness.writes(ana.key), time.monotonic()
        stopped.signal(signal.SIGCONT)
        code = stopped.ends(PATIENCE)
        changed, wrote = changes(ana.key, since), witness.writes(ana.key) - written
        records = len(calls(ana.key, since)) - len(changed)
        scenario.see(f"continued, it ended with {code} after {time.monotonic() - woke:.1f} s: {len(changed)} changing calls")
        scenario.see(f"{wrote} writes to the cluster, {records} writes of leases and records")
        scenario.expect(code == 5, f"it to end with 5, not {code}")
        scenario.expect(not changed, f"no changing call, but {changed}")
        scenario.expect(wrote == 0, f"no write to the cluster, but {wrote}")
        scenario.expect("has taken the lease of region `mexico`" in stopped.said(), "it to say who has the lease")

        code = takes_over.ends(PATIENCE)
        scenario.see(f"the other ended with {code} after {takes_over.took:.0f} s, {takes_over.changed()[0]} steps changed")
        scenario.expect(code == 0, f"the other to end with 0, not {code}")
        # Otherwise the count of the stopped run's writes would prove nothing.
        scenario.expect(witness.writes(ben.key) > 0, "the other's writes to the cluster to be counted")
        scenario.expect(addons.is_as_configured("mexico"), "the add-on to be installed again")


@contextmanager
def fault(rule: dict[str, Any]) -> Iterator[None]:
    """Injects a fault, and removes all faults of its key afterwards."""
    account.page("faults", "POST", rule)
    try:
        yield
    finally:
        account.page(f"faults?access_key={rule['access_key']}", "DELETE")


def when_ended(pid: int) -> float:
    wait_until(lambda: not is_running(pid), "the end of terraform", PATIENCE)
    return time.time()


def stop_at_work(scenario: Scenario, job: Job) -> int:
    """Stops the run while AWS throttles its terraform, and returns the process id of terraform."""
    terraform = job.child("terraform", "apply", PATIENCE)
    wait_until(lambda: any(rule["matched"] for rule in account.page("faults")), "terraform's call", PATIENCE)
    job.signal(signal.SIGSTOP)
    wait_until(lambda: is_stopped(job.process.pid), "the run to stop", 5)
    scenario.expect(is_running(terraform), "terraform to be at work")
    return terraform


def stop_helm(scenario: Scenario, team: Team) -> None:
    addons.uninstall("spain")
    eva = team.operator("eva", team.second)
    phase = ("phase", "helm-deps", "--region", "spain")
    job = eva.start(*phase)
    helm = job.child("helm", "upgrade", PATIENCE)
    send(helm, signal.SIGSTOP)
    wait_until(lambda: is_stopped(helm), "helm to stop", 5)
    since, stopped = last_call(), time.monotonic()
    codes = {}
    for place in ("here", "elsewhere"):
        refused = team.operator(f"dan-{place}", team.first).start(*phase, elsewhere=place == "elsewhere")
        codes[place] = refused.ends(PATIENCE)
        scenario.expect(f"run {eva.newest_run()}" in refused.said(), f"the one {place} to name the run that is at work")
    scenario.see(" and ".join(f"one {place} ended with {code}" for place, code in codes.items()))
    scenario.expect(set(codes.values()) == {5}, "both of them to end with 5")

    def renewals() -> int:
        return len(lease_writes(eva.key, since, REGIONS["spain"].aws))

    wait_until(lambda: renewals() >= RENEWALS, f"{RENEWALS} renewals of the lease", PATIENCE)
    scenario.see(f"the lease was renewed {renewals()} times in the {time.monotonic() - stopped:.0f} s without helm")
    scenario.expect(is_stopped(helm) and job.runs(), "the run to wait for its helm")
    send(helm, signal.SIGCONT)
    continued = time.monotonic()
    code = job.ends(PATIENCE)
    scenario.see(f"continued, the run ended with {code} after {time.monotonic() - continued:.0f} s")
    scenario.expect(code == 0, f"the run to end with 0, not {code}")
    scenario.expect(addons.is_as_configured("spain"), "the add-on to be installed again")
