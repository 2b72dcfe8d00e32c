"""Static tokens for the sandbox's own users of a region's API server, and a kubeconfig for each."""
import base64
import json
import os
import secrets
from pathlib import Path

from region import NODE_NUMBERS, Region


def create_users(region: Region) -> None:
    """Writes the token file and one kubeconfig per user.

    The API server reads the token file only when it starts, so the file lists the kubelets of all nodes that may be added.
    """
    users = {
        "admin": ("sandbox-admin", "system:masters"),
        "controller-manager": ("system:kube-controller-manager", ""),
        "scheduler": ("system:kube-scheduler", ""),
        "kube-proxy": ("system:kube-proxy", ""),
    }
    for number in NODE_NUMBERS:
        users[f"kubelet-{number}"] = (f"system:node:{region.node_name(number)}", "system:nodes")
    lines = []
    for name, (user, groups) in users.items():
        token = secrets.token_hex(32)
        lines.append(f'{token},{user},{name},"{groups}"\n')
        write_private(path_of(region, name), json.dumps(_document(region, name, token), indent=1) + "\n")
    write_private(region.pki / "tokens.csv", "".join(lines))


def path_of(region: Region, user: str) -> Path:
    return region.admin_kubeconfig if user == "admin" else region.pki / f"{user}.kubeconfig"


def write_token_webhook(path: Path, url: str) -> None:
    """Writes the API server's kubeconfig for the token webhook, which authenticates EKS tokens."""
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "eks",
        "clusters": [{"name": "eks", "cluster": {"server": url}}],
        "users": [{"name": "api-server", "user": {}}],
        "contexts": [{"name": "eks", "context": {"cluster": "eks", "user": "api-server"}}],
    }, indent=1))


def write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def _document(region: Region, user: str, token: str) -> dict:
    authority = base64.b64encode((region.pki / "ca.crt").read_bytes()).decode()
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": region.name,
        "clusters": [{"name": region.name, "cluster": {"server": region.kubernetes, "certificate-authority-data": authority}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": region.name, "context": {"cluster": region.name, "user": user}}],
    }
