#!/usr/bin/env python3
"""IAM roles for service accounts (IRSA): stand-in for amazon-eks-pod-identity-webhook, for both regions' API servers.

A pod whose service account has the annotation eks.amazonaws.com/role-arn gets a projected token for STS, and the
environment variables by which every AWS SDK finds the role and the token. The rules are those of the original:
- A container that already has one of the role's variables gets neither of them. The same holds for the region's variables.
- The service account and the pod can set the token's lifetime; the service account can also set its audience and whether
  the regional STS endpoint is used.
- The annotation eks.amazonaws.com/skip-containers on the pod excludes containers.
- If the service account does not exist, the pod is left unchanged.

usage: irsa.py serve      listen on https://10.89.0.1:5443, path /mutate/REGION, until SIGTERM
"""
import base64
import copy
import csv
import http.server
import json
import ssl
import sys

import kubeapi
import pki
import places
from region import REGIONS, Region

PORT = 5443
DOMAIN = "eks.amazonaws.com"
VOLUME = "aws-iam-token"
MOUNT_PATH = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
DEFAULT_AUDIENCE = "sts.amazonaws.com"
# Seconds, as in the original: one day unless annotated, and never less than an hour.
DEFAULT_EXPIRATION, SHORTEST_EXPIRATION = 86400, 3600
ROLE_VARIABLES = {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"}
REGION_VARIABLES = {"AWS_REGION", "AWS_DEFAULT_REGION"}
STS_VARIABLE = "AWS_STS_REGIONAL_ENDPOINTS"
# Bytes. A review contains the whole pod, and etcd limits an object to 1.5 MiB.
LARGEST_REVIEW = 8 * 1024 * 1024


def patch(pod: dict, account: dict, aws_region: str) -> list[dict]:
    """The JSON patch for a pod of this service account. Empty if there is nothing to add."""
    annotations = account["metadata"].get("annotations") or {}
    role = annotations.get(f"{DOMAIN}/role-arn")
    if not role:
        return []
    spec = pod["spec"]
    regional = annotations.get(f"{DOMAIN}/sts-regional-endpoints", "true") == "true"
    skipped = _skipped(pod)
    operations = []
    for field in ("initContainers", "containers"):
        before = spec.get(field) or []
        after = [container if container["name"] in skipped else _with_role(container, role, aws_region, regional) for container in before]
        if after != before:
            operations.append({"op": "add", "path": f"/spec/{field}", "value": after})
    if all(volume["name"] != VOLUME for volume in spec.get("volumes") or []):
        volume = _volume(annotations, pod)
        if spec.get("volumes"):
            operations.append({"op": "add", "path": "/spec/volumes/0", "value": volume})
        else:
            operations.append({"op": "add", "path": "/spec/volumes", "value": [volume]})
    return operations


def _with_role(container: dict, role: str, aws_region: str, regional: bool) -> dict:
    container = copy.deepcopy(container)
    variables = container.get("env") or []
    present = {variable["name"] for variable in variables}
    if present & ROLE_VARIABLES and present & REGION_VARIABLES and STS_VARIABLE in present:
        return container
    if regional and STS_VARIABLE not in present:
        variables.append({"name": STS_VARIABLE, "value": "regional"})
    if not present & REGION_VARIABLES:
        variables += [{"name": "AWS_DEFAULT_REGION", "value": aws_region}, {"name": "AWS_REGION", "value": aws_region}]
    if not present & ROLE_VARIABLES:
        variables += [{"name": "AWS_ROLE_ARN", "value": role},
                      {"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": f"{MOUNT_PATH}/token"}]
    container["env"] = variables
    mounts = container.get("volumeMounts") or []
    if all(mount["name"] != VOLUME for mount in mounts):
        mounts.append({"name": VOLUME, "readOnly": True, "mountPath": MOUNT_PATH})
    container["volumeMounts"] = mounts
    return container


def _volume(account_annotations: dict, pod: dict) -> dict:
    lifetime = DEFAULT_EXPIRATION
    for annotations in (account_annotations, pod["metadata"].get("annotations") or {}):
        if (value := annotations.get(f"{DOMAIN}/token-expiration", "")).isdigit():
            lifetime = max(int(value), SHORTEST_EXPIRATION)
    audience = account_annotations.get(f"{DOMAIN}/audience", DEFAULT_AUDIENCE)
    token = {"audience": audience, "expirationSeconds": lifetime, "path": "token"}
    return {"name": VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}}


def _skipped(pod: dict) -> set[str]:
    listed = (pod["metadata"].get("annotations") or {}).get(f"{DOMAIN}/skip-containers")
    return set(next(csv.reader([listed]), [])) if listed else set()


def review(request: dict, region: Region) -> dict:
    """The response to the request of an AdmissionReview."""
    answer = {"uid": request["uid"], "allowed": True}
    pod = request["object"]
    account = service_account(region, request["namespace"], pod["spec"].get("serviceAccountName") or "default")
    operations = patch(pod, account, region.aws) if account else []
    if operations:
        answer["patchType"] = "JSONPatch"
        answer["patch"] = base64.b64encode(json.dumps(operations).encode()).decode()
    name = pod["metadata"].get("name") or pod["metadata"].get("generateName")
    print(f"{region.name}: {request['namespace']}/{name}: {'has a role' if operations else 'unchanged'}", flush=True)
    return answer


def service_account(region: Region, namespace: str, name: str) -> dict | None:
    status, body = kubeapi.get(region, f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
    if status not in (200, 404):
        raise RuntimeError(f"API server of {region.name} answered {status} for service account {namespace}/{name}")
    return body if status == 200 else None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Seconds: a client that opens a connection and sends nothing must not occupy a thread permanently.
    timeout = 60

    def do_POST(self) -> None:
        _, path, name = (self.path.partition("?")[0].split("/") + ["", ""])[:3]
        length = int(self.headers.get("Content-Length") or 0)
        if path != "mutate" or name not in REGIONS or not 0 < length <= LARGEST_REVIEW:
            self.close_connection = True
            self._reply(404, {"error": "POST an AdmissionReview to /mutate/REGION"})
            return
        try:
            request = json.loads(self.rfile.read(length))["request"]
            self._reply(200, {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": review(request, REGIONS[name])})
        except Exception as error:
            # The webhook's failurePolicy is Ignore, so the API server admits the pod without a role, as on EKS.
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            self._reply(500, {"error": str(error)})

    def do_GET(self) -> None:
        self._reply(200 if self.path == "/healthz" else 404, {})

    def log_message(self, *_) -> None:
        pass

    def _reply(self, status: int, document: dict) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext):
        super().__init__(address, Handler)
        self.context = context

    def finish_request(self, request, client_address) -> None:
        """Does the TLS handshake in the connection's thread. In the listener, a silent client would block all others."""
        request.settimeout(Handler.timeout)
        with self.context.wrap_socket(request, server_side=True) as connection:
            super().finish_request(connection, client_address)

    def handle_error(self, request, client_address) -> None:
        print(f"{client_address[0]}: {sys.exc_info()[1]!r}", flush=True)


def serve() -> None:
    certificate = places.state() / "irsa" / "server"
    pki.issue_from_sandbox(certificate, "pod-identity-webhook", (places.HOST,))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certificate}.crt", f"{certificate}.key")
    server = Server((places.HOST, PORT), context)
    print(f"listening on https://{places.HOST}:{PORT}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1:] != ["serve"]:
        sys.exit(__doc__)
    serve()
