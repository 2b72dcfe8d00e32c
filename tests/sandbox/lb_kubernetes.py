"""A minimal Kubernetes client for the controller's pod: API calls, watched kinds, leader election. Standard library only."""
import datetime
import json
import os
import ssl
import threading
import time
import urllib.error
import urllib.request

IDENTITY = "/var/run/secrets/kubernetes.io/serviceaccount"
# Leader election in seconds, with client-go's defaults. The deadline is shorter than the lease, so a leader that cannot
# renew exits before another replica may take over.
LEASE_SECONDS, RENEW_SECONDS, RENEW_DEADLINE = 15, 2, 10


def log(level, message, **fields):
    print(json.dumps({"level": level, "ts": now(), "msg": message, **fields}), flush=True)


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def key_of(item):
    return f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"


class Api:
    """Calls to the API server as the pod's service account. Raises urllib's errors; HTTPError gets a `detail`."""

    def __init__(self):
        self.server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
        self.trust = ssl.create_default_context(cafile=f"{IDENTITY}/ca.crt")
        with open(f"{IDENTITY}/namespace") as file:
            self.namespace = file.read().strip()

    def open(self, method, path, body=None, kind="application/json", seconds=30):
        with open(f"{IDENTITY}/token") as file:  # Read at each call: the kubelet replaces it before it expires.
            headers = {"Authorization": f"Bearer {file.read().strip()}", "Content-Type": kind}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.server + path, data, headers, method=method)
        return urllib.request.urlopen(request, timeout=seconds, context=self.trust)

    def call(self, method, path, body=None, kind="application/json"):
        try:
            with self.open(method, path, body, kind) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                error.detail = error.read().decode(errors="replace")[:500]
            raise

    def patch(self, path, body):
        return self.call("PATCH", path, body, "application/merge-patch+json")


class Store(threading.Thread):
    """All objects of a kind, kept up to date by a watch. After any error they are listed again.

    `items` is replaced, never modified, so that other threads can iterate over it without a lock.
    """

    def __init__(self, api, path, changed):
        super().__init__(daemon=True)
        self.api, self.path, self.changed = api, path, changed
        self.items, self.listed = {}, threading.Event()

    def run(self):
        delay = 1
        while True:
            try:
                listed = self.api.call("GET", self.path)
                self.items = {key_of(item): item for item in listed["items"]}
                self.listed.set()
                self.changed.set()
                self.watch(listed["metadata"]["resourceVersion"])
                delay = 1
            except Exception as error:
                # The thread must survive any error. The API server may be down for a while: back off up to 30 s.
                log("error", "watch failed", path=self.path, error=str(error))
                time.sleep(delay)
                delay = min(delay * 2, 30)

    def watch(self, version):
        """Applies changes, until the server reports that `version` is too old. Raises on connection errors."""
        while True:
            # The server ends a watch after 240 s; the client's timeout of 300 s detects a dead connection.
            query = f"?watch=1&allowWatchBookmarks=true&timeoutSeconds=240&resourceVersion={version}"
            with self.api.open("GET", self.path + query, seconds=300) as response:
                for line in response:
                    event = json.loads(line)
                    item = event["object"]
                    if event["type"] == "ERROR":
                        log("info", "watch expired", path=self.path, reason=item.get("reason"))
                        return
                    version = item["metadata"]["resourceVersion"]
                    if event["type"] == "BOOKMARK":
                        continue
                    items = dict(self.items)
                    items.pop(key_of(item), None)
                    if event["type"] != "DELETED":
                        items[key_of(item)] = item
                    self.items = items
                    self.changed.set()


class Leader(threading.Thread):
    """Holds the real controller's Lease. The process exits when it loses the lease, as other Kubernetes controllers do."""

    def __init__(self, api):
        super().__init__(daemon=True)
        self.api, self.identity = api, os.environ.get("HOSTNAME", "?")
        self.collection = f"/apis/coordination.k8s.io/v1/namespaces/{api.namespace}/leases"
        self.name, self.seen, self.since, self.held = "aws-load-balancer-controller-leader", None, 0, False

    def acquire(self):
        while not self.attempt():
            time.sleep(RENEW_SECONDS)
        self.held = True
        log("info", "became leader", identity=self.identity)
        self.start()

    def attempt(self):
        """Tries once to acquire or renew the lease.

        Another holder has lost it if the lease did not change for its whole duration, measured by our own monotonic clock:
        clocks of different machines are not compared.
        """
        try:
            try:
                lease = self.api.call("GET", f"{self.collection}/{self.name}")
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
                self.api.call("POST", self.collection, {
                    "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self.name},
                    "spec": {"holderIdentity": self.identity, "leaseDurationSeconds": LEASE_SECONDS, "acquireTime": now(), "renewTime": now()},
                })
                return True
            spec = lease["spec"]
            holder = spec.get("holderIdentity")
            if self.seen != (holder, spec.get("renewTime")):
                self.seen, self.since = (holder, spec.get("renewTime")), time.monotonic()
            mine = holder == self.identity
            alive = time.monotonic() - self.since < spec.get("leaseDurationSeconds", LEASE_SECONDS)
            if holder and not mine and alive:
                return False
            spec.update(holderIdentity=self.identity, leaseDurationSeconds=LEASE_SECONDS, renewTime=now())
            if not mine:
                spec.update(acquireTime=now(), leaseTransitions=spec.get("leaseTransitions", 0) + 1)
            self.api.call("PUT", f"{self.collection}/{self.name}", lease)  # Conflicts if another replica was faster.
            return True
        except Exception as error:
            # Any error counts as a failed attempt: the caller retries, and exits after RENEW_DEADLINE.
            log("error", "lease", error=str(error))
            return False

    def run(self):
        renewed = time.monotonic()
        while True:
            time.sleep(RENEW_SECONDS)
            if self.attempt():
                renewed = time.monotonic()
            elif time.monotonic() - renewed > RENEW_DEADLINE:
                log("error", "leader election lost")
                os._exit(1)

    def release(self):
        """Releases the lease at a regular shutdown, so that the next leader does not have to wait for it to expire."""
        if self.held:
            self.api.patch(f"{self.collection}/{self.name}", {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}})
