"""The sandbox's certificate authority, and the certificates of the servers on the host."""

from __future__ import annotations

import shutil
from pathlib import Path

import pki
import places
from waiting import Failure

SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def folder() -> Path:
    return places.state() / "ca"


def certificate() -> Path:
    return folder() / "ca.crt"


def bundle() -> Path:
    """The machine's root certificates plus the sandbox's, for programs that read a single file."""
    return folder() / "bundle.crt"


def prepare() -> None:
    """Copies the authority from the tool folder. It must be that one, because the add-ons' images were built to trust it."""
    folder().mkdir(parents=True, exist_ok=True)
    for name, mode in (("ca.crt", 0o644), ("ca.key", 0o600)):
        source = places.tools() / "ca" / name
        if not source.exists():
            raise Failure(f"`{source}` is missing; fix: run tests/setup")
        shutil.copyfile(source, folder() / name)
        (folder() / name).chmod(mode)
    roots = SYSTEM_BUNDLE.read_text() if SYSTEM_BUNDLE.exists() else ""
    bundle().write_text(roots + certificate().read_text())


def aws() -> None:
    """Issues the certificate for *.amazonaws.com and for the regional names: a wildcard covers one label only."""
    hosts = ["*.amazonaws.com"]
    for region in places.REGIONS:
        hosts += [f"*.{part}{region.aws}.amazonaws.com" for part in ("", "s3.", "eks.", "ecr.", "dkr.ecr.")]
    pki.issue_from_sandbox(folder() / "aws", "amazonaws.com", (*hosts, places.HOST))


def server(target: Path, name: str, hosts: tuple[str, ...], owner: str | None = None) -> tuple[Path, Path]:
    """Issues a server certificate. Returns the paths of the certificate and its key, `target`.crt and `target`.key."""
    pki.issue_from_sandbox(target, name, hosts)
    files = target.with_name(target.name + ".crt"), target.with_name(target.name + ".key")
    if owner:
        for file in files:
            shutil.chown(file, owner, owner)
    return files
