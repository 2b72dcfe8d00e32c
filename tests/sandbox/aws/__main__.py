"""Runs the sandbox's AWS: `python -m aws`, from the sandbox's folder.

With --state it is that sandbox's; without, it stands alone: nothing real behind its APIs, on an address of one's choice.
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
    parser.add_argument("--listen", default=f"{places.HOST}:{places.AWS_HTTP_PORT}", help="address and port for HTTP")
    parser.add_argument("--tls", help="address and port for *.amazonaws.com over TLS; needs --state")
    parser.add_argument("--state", type=Path, help="the sandbox's state folder")
    parser.add_argument("--simulate", action="append", default=[], choices=("clusters", "registries", "databases"))
    options = parser.parse_args()

    from . import server
    from .settings import current

    current.state = options.state
    current.endpoints.add(options.listen)
    for part in ("clusters", "registries", "databases"):
        setattr(current, part, bool(options.state) and part not in options.simulate)
    app = server.application()

    from . import dns, identity, inventory, route53

    credentials = identity.make_user("deployer")
    delegated = dns.delegate(route53.make_zone())
    inventory.forget_present()
    host, port = options.listen.rsplit(":", 1)
    servers = [server.listen(app, host, int(port))]
    # the same port, whichever it became
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
