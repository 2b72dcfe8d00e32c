"""The first `up` of an empty account: killed, continued by another operator, and met by others.

1. Eva's `up` is interrupted in the middle of an apply, and killed with all children when the grace of a CI system has
   passed. Until then S3 refuses her writes, so terraform cannot end by itself, and what it has created is in no state.
2. Ana's `up` continues on the same machine, and takes over immediately.
3. While it works, Ben's `up` and `down` are refused, and Cid's `up` waits for it.
4. Ana's ends with 0, and then Cid's, which finds everything as configured.
"""

from __future__ import annotations

import signal
import time

from job import Job
from report import Report, Scenario
from seen import calls, changes, holders, last_call, lease_writes
from shared import REGIONS, Failure, account, wait_until
from team import Operator, Team

# Seconds from SIGINT to SIGKILL: GitHub's runner gives a cancelled job 7.5 s, and 2.5 s after a SIGTERM.
GRACE = 10
# Seconds that count as immediately, for a run that reads the configuration, asks AWS who it is and looks up one process.
IMMEDIATELY = 30
# Seconds after which a refused command hangs.
REFUSAL = 60
# Seconds after which a full `up` hangs. It takes three minutes, and one that continues may repair first.
UP = 900
# What the first `up` has just called when it is interrupted: in the middle of the apply of its region's first stack.
MOMENT = "CreateNatGateway"
REFUSED_WRITES = {"service": "s3", "action": "PutObject", "count": None, "status": 503, "code": "SlowDown"}
# Each clone gets its own kubeconfig, and that step is the only one of a region that counts as changed.
KUBECONFIGS = len(REGIONS)


def play(report: Report, team: Team) -> None:
    with report.scenario("SIGINT, then SIGKILL") as killed:
        kill(killed, team)
        ana = team.operator("ana", team.first)
        since, started = last_call(), time.time()
        up = ana.start("up")
        taken = wait_until(lambda: lease_writes(ana.key, since, "eu-south-2"), "the next run to take over", IMMEDIATELY)
        killed.see(f"the next run took the leases after {taken[0] - started:.1f} s")
        with report.scenario("up against up") as beside:
            cid = team.operator("cid", team.second)
            refuse_up(beside, team, ana)
            waiting = cid.start("up", "--lock-wait", "30m")
            waiting.says(f"waiting for run {ana.newest_run()}", REFUSAL)
            with report.scenario("up against down") as against:
                refuse_down(against, team, ana)
            code = up.ends(UP)
            killed.see(f"ended with {code} after {up.took:.0f} s, {counted(up)}")
            killed.expect(code == 0, f"the next run to end with 0, not {code}")
            killed.expect("counts as dead" not in up.said(), "no wait for the proof that the killed run is dead")
            follow(beside, cid, waiting)


def kill(scenario: Scenario, team: Team) -> None:
    eva = team.operator("eva", team.second)
    since, up = last_call(), eva.start("up")

    def is_applying() -> bool:
        if not up.runs():
            raise Failure(f"the first `up` ended with {up.process.returncode} before its kill")
        return any(call["action"] == MOMENT for call in calls(eva.key, since))

    wait_until(is_applying, f"the first `up` to call {MOMENT}", UP)
    account.page("faults", "POST", {**REFUSED_WRITES, "access_key": eva.key.id})
    try:
        up.signal(signal.SIGINT)
        interrupted = time.monotonic()
        wait_until(lambda: not up.runs() or time.monotonic() - interrupted > GRACE, "the grace", 2 * GRACE)
        code, others = up.process.poll(), up.kill() - 1
    finally:
        account.page(f"faults?access_key={eva.key.id}", "DELETE")
    scenario.expect(code is None, f"a run to kill {GRACE} s after SIGINT, but it ended with {code} after {up.took:.0f} s")
    scenario.see(f"killed {up.took - (interrupted - up.started):.1f} s after SIGINT with {others} children")


def refuse_up(scenario: Scenario, team: Team, ana: Operator) -> None:
    run = ana.newest_run()
    held = holders(team.operator("dan", team.first))
    scenario.expect(held == dict.fromkeys(REGIONS, run), f"run {run} to hold all regions, but they are held by {held}")
    ben = team.operator("ben", team.second)
    since, up = last_call(), ben.start("up")
    code = up.ends(REFUSAL)
    names = f"run {run}" in up.said()
    scenario.see(f"the second ended with {code} after {up.took:.1f} s and {'named' if names else 'did not name'} the first")
    scenario.expect(code == 5, f"the second to end with 5, not {code}")
    scenario.expect(names, f"it to name run {run}")
    changed = changes(ben.key, since)
    scenario.expect(not changed, f"it to change nothing, but it sent these calls: {changed}")


def refuse_down(scenario: Scenario, team: Team, ana: Operator) -> None:
    ben = team.operator("ben", team.second)
    since, down = last_call(), ben.start("down", "--yes")
    code = down.ends(REFUSAL)
    sent, changed = calls(ben.key, since), changes(ben.key, since)
    scenario.see(f"`down` ended with {code} after {down.took:.1f} s and {len(sent)} writes, {len(changed)} not of its records")
    scenario.expect(code == 5, f"`down` to end with 5, not {code}")
    scenario.expect(f"run {ana.newest_run()}" in down.said(), "it to name the run that is at work")
    scenario.expect(not changed, f"it to change nothing, but it sent these calls: {changed}")


def follow(scenario: Scenario, cid: Operator, waiting: Job) -> None:
    """The run that has waited finds what the other one has created."""
    since, ended = last_call(), time.monotonic()
    code = waiting.ends(UP)
    scenario.see(f"the waiting one ended with {code}, {time.monotonic() - ended:.0f} s after the first, {counted(waiting)}")
    scenario.expect(code == 0, f"the waiting one to end with 0, not {code}")
    scenario.expect(waiting.changed()[0] <= KUBECONFIGS, "it to change nothing but its kubeconfig")
    changed = [call for call in changes(cid.key, since) if ".tflock" not in call]
    scenario.expect(not changed, f"it to change nothing in the account, but it sent these calls: {changed}")


def counted(job: Job) -> str:
    changed, steps = job.changed()
    return f"{changed} of {steps} steps changed"
