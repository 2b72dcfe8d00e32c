"""An add-on that is changed or uninstalled by hand, so that the next run has something to do with Helm."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from shared import REGIONS, Failure

# Nothing waits for it, and no other add-on needs it.
NAME = "metrics-server"
CHART = f"oci://10.89.0.1:5600/charts/{NAME}"
CHANGE = "podAnnotations.changed=by-hand"


def uninstall(region: str) -> None:
    release = _release(region)
    if release:
        _helm(region, "uninstall", NAME, "--namespace", release["namespace"], "--wait")


def change(region: str) -> None:
    release = _release(region)
    place = ("--namespace", release["namespace"], "--version", release["chart"].removeprefix(f"{NAME}-"))
    _helm(region, "upgrade", NAME, CHART, *place, "--reuse-values", "--set", CHANGE)


def is_as_configured(region: str) -> bool:
    release = _release(region)
    if release.get("status") != "deployed":
        return False
    values = _helm(region, "get", "values", NAME, "--namespace", release["namespace"])
    return "by-hand" not in values


def _release(region: str) -> dict[str, Any]:
    """The release, empty if it is not installed."""
    found = _helm(region, "list", "--all-namespaces", "--filter", f"^{NAME}$", "--output", "json")
    return next(iter(json.loads(found)), {})


def _helm(region: str, *words: str) -> str:
    environment = {**os.environ, "KUBECONFIG": str(REGIONS[region].admin_kubeconfig)}
    done = subprocess.run(["helm", *words], env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Failure(f"`helm {words[0]}` in {region} failed: {done.stderr.strip()}")
    return done.stdout
