"""Jobs of a pipeline, each in a fresh clone, at the same time.

1. Three phases in each of both regions: those of one region wait for each other, and all succeed.
2. One phase in each region: both jobs hold their leases at the same time.
"""

from __future__ import annotations

import addons
from report import Report
from seen import holders
from shared import REGIONS, Failure, wait_until
from team import Team

PHASES = ("secrets", "helm-deps", "apps")
# Seconds. All six take a minute on two cores.
PATIENCE = 600


def play(report: Report, team: Team) -> None:
    phases(report, team)
    regions(report, team)


def phases(report: Report, team: Team) -> None:
    with report.scenario("single phases as CI jobs") as scenario:
        # Otherwise none of them would change anything. A missing add-on would be a missing phase for the jobs of `apps`.
        for region in REGIONS:
            addons.change(region)
        # Clones before the first start: the jobs of a pipeline start together.
        clones = {(phase, region): team.operator(f"job-{phase}-{region}", team.first) for phase in PHASES for region in REGIONS}
        jobs = {
            chosen: clone.start("phase", chosen[0], "--region", chosen[1], "--lock-wait", "10m")
            for chosen, clone in clones.items()
        }
        codes = {chosen: job.ends(PATIENCE) for chosen, job in jobs.items()}
        waited = sum("waiting for run" in job.said() for job in jobs.values())
        slowest = max(job.took for job in jobs.values())
        ended = ", ".join(f"{list(codes.values()).count(code)} ended with {code}" for code in sorted(set(codes.values())))
        scenario.see(f"of {len(jobs)} started together, {ended}, within {slowest:.0f} s; {waited} had to wait")
        failed = {f"{phase} {region}": code for (phase, region), code in codes.items() if code != 0}
        scenario.expect(not failed, f"all to end with 0, but {failed}")
        scenario.expect(waited > 0, "some to wait, or they were not at work at the same time")
        changed = [region for region in REGIONS if not addons.is_as_configured(region)]
        scenario.expect(not changed, f"the add-on to be as configured again, but it is not in {changed}")


def regions(report: Report, team: Team) -> None:
    with report.scenario("jobs of two regions") as scenario:
        clones = {region: team.operator(f"job-{region}", team.first) for region in REGIONS}
        bystander = team.operator("dan", team.second)
        jobs = {region: clone.start("phase", "terraform", "--region", region) for region, clone in clones.items()}

        def both_hold() -> bool:
            ended = [region for region, job in jobs.items() if not job.runs()]
            if ended:
                raise Failure(f"the jobs of {ended} ended before both were seen to hold their leases")
            held = holders(bystander)
            return all(held.get(region) == clone.newest_run() for region, clone in clones.items())

        wait_until(both_hold, "both jobs to hold their leases", PATIENCE)
        codes = {region: job.ends(PATIENCE) for region, job in jobs.items()}
        times = " and ".join(f"{job.took:.0f} s" for job in jobs.values())
        scenario.see(f"`lock show` named both runs; they ended with {' and '.join(map(str, codes.values()))} after {times}")
        scenario.expect(set(codes.values()) == {0}, f"both to end with 0, but {codes}")
