"""The workspace in which a user runs paydeploy: this checkout as a team's repository, with `overlay/` on top.

It is one commit in a new repository, pushed to the sandbox's Git server. The same files give the same commit id, because
author and dates are fixed.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import ca
import gitserver
import places
from waiting import Failure

OVERLAY = places.SANDBOX / "overlay"
BINARY = "payment-api"
# The path that the overlay's service/Dockerfile.prebuilt copies.
BINARY_TARGET = Path("service") / "prebuilt" / BINARY
# The chart's RDS CA bundle. The sandbox's authority is appended, because it signs the databases' certificates here.
DATABASE_AUTHORITIES = Path("charts") / "payment-latency-api" / "files" / "rds-ca-bundle.pem"
AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "sandbox"), ("EMAIL", "sandbox@payments.example"), ("DATE", "2026-01-01T00:00:00Z"))
}


def folder() -> Path:
    return places.state() / "workspace"


def binary() -> Path | None:
    """The statically linked payment API: the one that PAYDEPLOY_PREBUILT names, otherwise that of tests/prebuilt."""
    named = os.environ.get("PAYDEPLOY_PREBUILT")
    if named:
        if not Path(named).is_file():
            raise Failure(f"PAYDEPLOY_PREBUILT names `{named}`, which is not a file")
        return Path(named)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or places.CHECKOUT / "target")
    built = target / "static" / BINARY
    return built if built.is_file() else None


def require_binary() -> None:
    if binary() is None:
        raise Failure(
            f"no prebuilt `{BINARY}` binary; fix: run tests/prebuilt, set PAYDEPLOY_PREBUILT to its path, "
            f"or pass `--no-image`"
        )


def create(*, image: bool) -> None:
    """Copies, commits and pushes. The same files give the same commit."""
    _copy()
    authorities = folder() / DATABASE_AUTHORITIES
    if authorities.exists():
        with authorities.open("a") as out:
            out.write(f"# The sandbox's CA\n{ca.certificate().read_text()}")
    if image:
        source = binary()
        assert source
        target = folder() / BINARY_TARGET
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755)
    repository = folder()
    gitserver.create()
    gitserver.git("init", "--quiet", "--initial-branch=main", directory=repository)
    for key, value in {
        "user.name": AUTHOR["GIT_AUTHOR_NAME"],
        "user.email": AUTHOR["GIT_AUTHOR_EMAIL"],
        "remote.origin.url": gitserver.URL,
        "remote.origin.pushurl": str(gitserver.repository()),
        "remote.origin.fetch": "+refs/heads/*:refs/remotes/origin/*",
        "commit.gpgSign": "false",
        "gc.auto": "0",
    }.items():
        gitserver.git("config", key, value, directory=repository)
    # --force, so that every copied file is committed, also those that .gitignore excludes (the prebuilt binary).
    gitserver.git("add", "--all", "--force", directory=repository)
    gitserver.git("commit", "--quiet", "--message=The sandbox's workspace", directory=repository, environment=AUTHOR)
    gitserver.git("push", "--quiet", "--set-upstream", "origin", "main", directory=repository)


def _copy() -> None:
    """Copies the checkout's tracked files with their uncommitted changes, then the overlay over them."""
    listed = gitserver.git("ls-files", "-z", directory=places.CHECKOUT).decode().split("\0")
    for name in filter(None, listed):
        _copy_one(places.CHECKOUT / name, folder() / name)
    for source in OVERLAY.rglob("*"):
        if not source.is_dir():
            _copy_one(source, folder() / source.relative_to(OVERLAY))


def _copy_one(source: Path, target: Path) -> None:
    # A tracked file may be deleted in the working tree.
    if not source.is_symlink() and not source.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)
