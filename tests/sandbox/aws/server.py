"""The server process: installs the services' overrides and opens the listeners."""

from __future__ import annotations

import logging
import os
import ssl
import sys
import threading
from pathlib import Path
from typing import Any

# moto reads these when it is imported, so they must be set before the imports below. The caller's AWS settings are removed:
# boto3 inside moto must never reach a real account.
os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
os.environ.setdefault("MOTO_ACM_VALIDATION_WAIT", "1")
for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE"):
    os.environ.pop(name, None)
os.environ.setdefault("AWS_ACCESS_KEY_ID", "moto")
os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "moto")
os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server  # noqa: E402

from . import acm, cloudtrail, ec2, ecr, eks, elbv2, kms, logs, offers, offers_eks, quotas, rds  # noqa: E402
from . import regions, route53, s3, ssm, sts, tagging  # noqa: E402
from .front import Front  # noqa: E402

INSTALLED_FIRST = (acm, cloudtrail, ec2, ecr, eks, elbv2, kms, logs, rds, regions, route53, s3, ssm, sts, tagging)
# These wrap what the services above install.
SERVICES = (*INSTALLED_FIRST, offers, offers_eks, quotas)


class Handler(WSGIRequestHandler):
    """Does not log: `front` logs each request together with its service and action."""

    def log_request(self, *_: Any) -> None:
        pass


def application() -> Front:
    for service in SERVICES:
        service.install()
    return Front(DomainDispatcherApplication(create_backend_app))


def listen(app: Front, host: str, port: int, certificate: tuple[Path, Path] | None = None) -> BaseWSGIServer:
    server = make_server(host, port, app, threaded=True, request_handler=Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        # The handshake takes place in the connection's thread. In `accept`, one silent client would block all others.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.ssl_context = context
    return server


def serve(servers: list[BaseWSGIServer]) -> None:
    """Serves until the process is terminated."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # Daemon threads: threads of open connections must not delay the exit, and have nothing to save.
    for server in servers:
        server.daemon_threads = True  # type: ignore[attr-defined]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stderr.write("listening on " + ", ".join(f"{s.host}:{s.port}" for s in servers) + "\n")
    servers[0].serve_forever()
