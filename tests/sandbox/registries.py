"""How a node pulls images: containerd's registry mirrors, and the kubelet's credentials for the region's ECR.

All public registries are mirrored by the sandbox's add-on registry, which stores an image under its public name: a request
for quay.io/argoproj/argocd goes to /v2/quay.io/argoproj/argocd there. The region's ECR requires a password. As on EKS, the
kubelet gets it from a credential provider at every pull, so the password may appear or change after the node was created.
"""
import json
import shlex
from pathlib import Path

import places
from region import Region

PUBLIC = ("docker.io", "ghcr.io", "oci.external-secrets.io", "public.ecr.aws", "quay.io", "registry.k8s.io")
PROVIDER = "ecr-credential-provider"


def configure(region: Region, directory: Path) -> None:
    """Writes containerd's `certs.d`, and the credential provider with its configuration."""
    authority = places.state() / "ca" / "ca.crt"
    for registry in PUBLIC:
        url = f"https://{places.HOST}:{places.ADDON_REGISTRY_PORT}/v2/{registry}"
        _write_hosts(directory / "certs.d" / registry, url, authority, override_path=True)
    _write_hosts(directory / "certs.d" / region.ecr, f"https://{region.ecr}", authority, override_path=False)
    _write_provider(region, directory / "credential-provider")


def _write_hosts(directory: Path, url: str, authority: Path, *, override_path: bool) -> None:
    path = "override_path = true\n" if override_path else ""
    directory.mkdir(parents=True)
    # Without `server`, containerd would fall back to the registry's real host name.
    (directory / "hosts.toml").write_text(
        f'server = "{url}"\nca = "{authority}"\n{path}'
        f'\n[host."{url}"]\ncapabilities = ["pull", "resolve"]\nca = "{authority}"\n{path}')


def _write_provider(region: Region, directory: Path) -> None:
    directory.mkdir()
    password = places.state() / "ecr" / f"{region.name}.password"
    answer = {
        "kind": "CredentialProviderResponse", "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "cacheKeyType": "Registry", "cacheDuration": "0s",
        "auth": {region.ecr: {"username": "AWS", "password": "%s"}},
    }
    program = directory / PROVIDER
    program.write_text(f"#!/bin/sh\nset -e\npassword=$(cat {shlex.quote(str(password))})\n"
                       f"printf {shlex.quote(json.dumps(answer))} \"$password\"\n")
    program.chmod(0o755)
    (directory / "config.json").write_text(json.dumps({
        "kind": "CredentialProviderConfig", "apiVersion": "kubelet.config.k8s.io/v1",
        "providers": [{
            "name": PROVIDER, "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "matchImages": [region.ecr], "defaultCacheDuration": "0s",
        }],
    }, indent=1))
