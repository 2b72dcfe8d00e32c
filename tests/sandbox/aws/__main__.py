"""Run the simulated AWS: `python -m aws`, in the folder tests/sandbox.

With --state it is the AWS of that sandbox. Without it, it is self-contained: nothing real stands behind its APIs.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

import places


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="aws", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--listen", default=f"{places.HOST}:{places.AWS_HTTP_PORT}", help="Address and port for HTTP")
    parser.add_argument("--tls", help="Address and port for *.amazonaws.com over TLS; requires --state")
    parser.add_argument("--state", type=Path, help="The sandbox's state folder")
    parser.add_argument(
        "--simulate",
        action="append",
        default=[],
        choices=("clusters", "registries", "databases"),
        help="Simulate this part even with --state (repeatable)",
    )
    options = parser.parse_args()

    # Imported late: `server` sets environment variables that moto reads on import, and --help needs none of it.
    from . import server
    from .settings import current

    current.state = options.state
    current.endpoints.add(options.listen)
    for part in ("clusters", "registries", "databases"):
        setattr(current, part, bool(options.state) and part not in options.simulate)
    app = server.application()

    from . import dns, identity, inventory, route53

    credentials = identity.create_user("deployer")
    delegated = dns.delegate(route53.create_zone())
    inventory.mark_existing_as_initial()
    host, port = options.listen.rsplit(":", 1)
    servers = [server.listen(app, host, int(port))]
    # DNS listens on the same port number, which the kernel chose if --listen asked for port 0.
    dns.serve(host, servers[0].port, delegated)
    if options.tls:
        host, port = options.tls.rsplit(":", 1)
        authority = options.state / "ca"
        servers.append(server.listen(app, host, int(port), (authority / "aws.crt", authority / "aws.key")))
    if options.state:
        folder = options.state / "aws"
        folder.mkdir(parents=True, exist_ok=True)
        with open(os.open(folder / "credentials.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            json.dump(credentials, out)
    else:
        exports = {
            "AWS_ENDPOINT_URL": f"http://{options.listen}",
            "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        print("".join(f"export {name}={shlex.quote(value)}\n" for name, value in exports.items()), end="", flush=True)
    server.serve(servers)


if __name__ == "__main__":
    sys.exit(main())
