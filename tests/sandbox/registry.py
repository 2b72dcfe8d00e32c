"""Image registries: one per region as its ECR, and one with the add-ons' images and charts.

ECR's user is AWS, its password is created at `up`; `aws/images.py` reads it and the registry's storage.
"""

from __future__ import annotations

import json
import secrets
import ssl
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import ca
import places
import processes


def _serve(
    name: str, folder: Path, storage: Path, address: str, *, htpasswd: Path | None = None, read_only: bool = False
) -> None:
    """Starts a registry whose images are in `storage`, and waits until it answers over TLS."""
    folder.mkdir(parents=True, exist_ok=True)
    host, _ = address.rsplit(":", 1)
    certificate, key = ca.server(folder / f"{name}-server", name, (host,))
    configuration = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(storage)},
            "delete": {"enabled": not read_only},
            # No cache (`cache` is not set): aws/images.py deletes images in the storage, behind the registry's back.
            "maintenance": {"uploadpurging": {"enabled": False}, "readonly": {"enabled": read_only}},
        },
        "http": {
            "addr": address,
            "secret": secrets.token_hex(16),
            "tls": {"certificate": str(certificate), "key": str(key)},
            "headers": {"X-Content-Type-Options": ["nosniff"]},
        },
    }
    if htpasswd:
        configuration["auth"] = {"htpasswd": {"realm": "ecr", "path": str(htpasswd)}}
    file = folder / f"{name}.yml"
    file.write_text(json.dumps(configuration))
    process = processes.spawn(name, ["docker-registry", "serve", str(file)])
    processes.wait_ready(
        process, lambda: _answers(address, 401 if htpasswd else 200), f"the registry at {address} to answer"
    )


def _answers(address: str, status: int) -> bool:
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca.certificate()))),
    )
    try:
        with opener.open(f"https://{address}/v2/", timeout=2) as response:
            return response.status == status
    except urllib.error.HTTPError as error:
        return error.code == status
    except OSError:
        return False


def addons() -> None:
    """Serves the tool folder's images and charts, read-only and without a password."""
    folder = places.state() / "addon-registry"
    _serve(
        "addon-registry",
        folder,
        places.tools() / "registry",
        f"{places.HOST}:{places.ADDON_REGISTRY_PORT}",
        read_only=True,
    )


def password(region: places.Region) -> Path:
    return places.state() / "ecr" / f"{region.name}.password"


def ecr(region: places.Region) -> None:
    """Starts a region's registry with a new password for the user AWS."""
    folder = places.state() / "ecr"
    folder.mkdir(parents=True, exist_ok=True)
    secret = secrets.token_urlsafe(48)
    for file, text in ((password(region), secret), (folder / f"{region.name}.htpasswd", f"AWS:{_bcrypt(secret)}\n")):
        file.touch(0o600)
        file.write_text(text)
    storage = folder / region.name
    _serve(f"ecr-{region.name}", folder, storage, region.ecr, htpasswd=folder / f"{region.name}.htpasswd")


def _bcrypt(secret: str) -> str:
    """The only hash that docker-registry accepts. bcrypt ignores everything after 72 bytes, hence the assertion."""
    assert len(secret) <= 72
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import crypt
    return crypt.crypt(secret, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=2**5))
