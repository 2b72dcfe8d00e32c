"""The controller's HTTP servers: admission reviews for the API server (TLS), and probes for the kubelet."""
import base64
import http.server
import json
import os
import ssl
import threading
import urllib.error

from lb_kubernetes import log
from lb_model import ANNOTATION, ModelError, gates_for, listen_ports

CLASSES = "/apis/networking.k8s.io/v1/ingressclasses"
BINDINGS = "/apis/elbv2.k8s.aws/v1beta1"


def refusal(request, api):
    """The reason to deny an object, or None. Unlike the real controller, which reports malformed listen-ports only in an
    event, this denies them."""
    if request["kind"]["kind"] != "Ingress" or request["operation"] == "DELETE":
        return None
    ingress, before = request["object"], request.get("oldObject") or {}
    notes = ingress["metadata"].get("annotations") or {}
    wanted = ingress["spec"].get("ingressClassName")
    if wanted and wanted != before.get("spec", {}).get("ingressClassName") and not class_exists(api, wanted):
        return f'invalid ingress class: IngressClass.networking.k8s.io "{wanted}" not found'
    try:
        if (text := notes.get(ANNOTATION + "listen-ports")) is not None:
            listen_ports(text)
    except ModelError as error:
        return str(error)
    for key, text in notes.items():
        if key.startswith(ANNOTATION + "conditions."):
            try:
                json.loads(text)
            except ValueError:
                return f"failed to parse json annotation, {key}: {text}"
    return None


def patch(request, api):
    """The JSON patch for a new pod: the readiness gates of its targets. The webhook's configuration selects namespaces."""
    if request["kind"]["kind"] != "Pod" or request["operation"] != "CREATE":
        return []
    pod, namespace = request["object"], request["namespace"]
    bindings = api.call("GET", f"{BINDINGS}/namespaces/{namespace}/targetgroupbindings")["items"]
    services = api.call("GET", f"/api/v1/namespaces/{namespace}/services")["items"] if bindings else []
    gates = [{"conditionType": gate} for gate in gates_for(pod, bindings, services)]
    if not gates:
        return []
    return [{"op": "add", "path": "/spec/readinessGates", "value": [*(pod["spec"].get("readinessGates") or []), *gates]}]


def class_exists(api, name):
    try:
        api.call("GET", f"{CLASSES}/{name}")
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        raise
    return True


class BaseHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Seconds until an idle connection is closed, so that a silent client does not occupy a thread permanently.
    timeout = 60

    def log_message(self, *_):
        pass

    def reply(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def start_webhook(api, port, directory):
    """Serves admission reviews. The certificate is reloaded whenever its file changes, which a chart upgrade may do."""

    class Review(BaseHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            request = asked["request"]
            answer = {"uid": request["uid"], "allowed": True}
            if self.path.startswith("/validate") and (reason := refusal(request, api)):
                answer.update(allowed=False, status={"code": 403, "reason": "Forbidden", "message": reason})
                log("info", "refused", object=f"{request.get('namespace')}/{request.get('name')}", reason=reason)
            if self.path == "/mutate-v1-pod" and (operations := patch(request, api)):
                answer.update(patchType="JSONPatch", patch=base64.b64encode(json.dumps(operations).encode()).decode())
            # In the version of the request: a webhook configuration may list several.
            self.reply(200, json.dumps({"apiVersion": asked["apiVersion"], "kind": "AdmissionReview", "response": answer}).encode())

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    read_at = None

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def get_request(self):
            nonlocal read_at
            if read_at != (changed := os.stat(f"{directory}/tls.crt").st_mtime_ns):
                context.load_cert_chain(f"{directory}/tls.crt", f"{directory}/tls.key")
                read_at = changed
            return super().get_request()

        def finish_request(self, request, client_address):
            # The TLS handshake runs in the connection's thread. In the listener, a silent client would block all others.
            request.settimeout(Review.timeout)
            with context.wrap_socket(request, server_side=True) as connection:
                super().finish_request(connection, client_address)

        def handle_error(self, request, client_address):
            log("debug", "webhook connection failed", client=client_address[0])

    server = Server(("", port), Review)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def start_probes(port):
    class Probe(BaseHandler):
        def do_GET(self):
            self.reply(200 if self.path in ("/healthz", "/readyz") else 404, b"ok", "text/plain")

    server = http.server.ThreadingHTTPServer(("", port), Probe)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
