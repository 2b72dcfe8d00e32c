"""The AWS regions that are enabled in the account: those of the sandbox, and those that need no opt-in."""

from __future__ import annotations

from moto.account import urls
from moto.account.responses import AccountResponse
from moto.core.responses import ActionResult
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend

import places

from . import wiring

NOT_ENABLED = "not-opted-in"


def enabled(region: str) -> bool:
    """Whether the region is enabled. True for unknown names, which moto then refuses."""
    return next((r.opt_in_status != NOT_ENABLED for r in RegionsAndZonesBackend.regions if r.name == region), True)


class Account(AccountResponse):
    """Adds the operations that tell which regions are enabled."""

    def get_region_opt_status(self) -> ActionResult:
        name = self._get_param("RegionName")
        return ActionResult({"RegionName": name, "RegionOptStatus": _status(name)})

    def list_regions(self) -> ActionResult:
        wanted = self._get_param("RegionOptStatusContains") or []
        listed = [{"RegionName": r.name, "RegionOptStatus": _status(r.name)} for r in RegionsAndZonesBackend.regions]
        return ActionResult({"Regions": [r for r in listed if not wanted or r["RegionOptStatus"] in wanted]})


def _status(name: str) -> str:
    region = next((r for r in RegionsAndZonesBackend.regions if r.name == name), None)
    known = {"opted-in": "ENABLED", "opt-in-not-required": "ENABLED_BY_DEFAULT"}
    return known.get(region.opt_in_status, "DISABLED") if region else "DISABLED"


def install() -> None:
    for region in RegionsAndZonesBackend.regions:
        if places.region_of(region.name) and region.opt_in_status == NOT_ENABLED:
            region.opt_in_status = "opted-in"
    wiring.route(urls, Account, "{0}/getRegionOptStatus$", "{0}/listRegions$")
