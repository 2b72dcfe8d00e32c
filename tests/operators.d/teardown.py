"""What remains at the end: the deployment as configured, and nothing after `down`."""

from __future__ import annotations

from report import Report
from seen import holders, leftover_objects, leftovers
from team import Team

# Seconds after which a command hangs. `down` takes two minutes.
PATIENCE = 900


def play(report: Report, team: Team) -> None:
    with report.scenario("status after all of that") as scenario:
        status = team.operator("ana", team.first).start("status")
        code = status.ends(PATIENCE)
        scenario.see(f"ended with {code} after {status.took:.0f} s")
        scenario.expect(code == 0, f"everything to be as configured, but `status` ended with {code}")

    with report.scenario("down") as scenario:
        ana = team.operator("ana", team.first)
        down = ana.start("down", "--yes")
        code = down.ends(PATIENCE)
        scenario.see(f"ended with {code} after {down.took:.0f} s")
        scenario.expect(code == 0, f"it to end with 0, not {code}")
        held = holders(ana)
        scenario.expect(not held, f"all regions to be free, but they are held by {held}")
        left = [*leftovers(), *leftover_objects(team.work / "buckets")]
        scenario.see(f"{len(left)} leftovers")
        scenario.expect(not left, f"only state buckets and keys to remain, but also {left}")
