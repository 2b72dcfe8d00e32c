#!/usr/bin/env python3
"""Stand-in for the AWS Load Balancer Controller. It runs in a pod, with the real chart's values and arguments.

For an Ingress it creates what the real controller creates, with the same names and tags, so that a search for leftovers
finds the same resources: an application load balancer, `ip` target groups with the ready pods as targets, a frontend
security group, a shared backend security group and rules for it on the security groups of the pods' network interfaces,
TargetGroupBindings, readiness gates of pods and their conditions, events, status and finalizer.
Not supported, reported as an event: instance targets, certificate discovery. Not supported, ignored: groups of Ingresses,
actions and authentication, Services, Gateways. A condition that is True stays True, even if the target becomes unhealthy.

The loop in `Controller.run`:
1. Wait until all watched kinds are listed once.
2. For each Ingress that is new, has changed, or whose retry is due: build its model (lb_model) and, unless its fingerprint
   equals that of the last success, deploy it (lb_aws), then write bindings, status and event.
3. For each Ingress with pods that wait for their targets: read the targets' health and set the pods' conditions.
4. Sleep until a watch reports a change, a retry or a look at the targets is due, or the sync period ends. The last deploys
   every model again.

Invariants: the finalizer is set before the first AWS resource is created and removed after the last one is deleted; a
failed Ingress does not block others and is retried with exponential backoff, or immediately once it changes. Only the
replica that holds the lease acts; all replicas answer the API server's admission reviews.
"""
import argparse
import hashlib
import json
import os
import re
import signal
import sys
import threading
import time
import urllib.error

from lb_aws import Aws
from lb_kubernetes import Api, Leader, Store, key_of, log, now
from lb_model import GATE, ModelError, build_model, condition, has_gate, pairs
from lb_webhook import BINDINGS, CLASSES, start_probes, start_webhook

FINALIZER, BINDING_FINALIZER = "ingress.k8s.aws/resources", "elbv2.k8s.aws/resources"
CLASS_CONTROLLER, CLASS_ANNOTATION = "ingress.k8s.aws/alb", "kubernetes.io/ingress.class"
FIELD_MANAGER = "controller"
NETWORKING = "/apis/networking.k8s.io/v1"
# Seconds: the limit of the exponential backoff of a failing Ingress.
LONGEST_DELAY = 60
# Seconds between two reads of the health of targets that pods wait for. The real controller reads it every 15 s.
HEALTH_INTERVAL = 0.5


class Controller:
    def __init__(self, options, api, aws):
        self.options, self.api, self.aws = options, api, aws
        self.changed = threading.Event()
        self.ingresses = Store(api, f"{NETWORKING}/ingresses", self.changed)
        self.services = Store(api, "/api/v1/services", self.changed)
        self.slices = Store(api, "/apis/discovery.k8s.io/v1/endpointslices", self.changed)
        self.classes = Store(api, CLASSES, self.changed)
        self.pods = Store(api, "/api/v1/pods", self.changed)
        self.nodes = Store(api, "/api/v1/nodes", self.changed)
        self.stores = (self.ingresses, self.services, self.slices, self.classes, self.pods, self.nodes)
        # By Ingress. `settled`: the fingerprint of the last success. `failed`: number of consecutive failures, the version
        # that failed, the time of the next retry.
        self.settled, self.failed = {}, {}
        # By Ingress: its model and target groups' ARNs, while pods wait for their targets, and when to read their health.
        self.waiting = {}
        # How often each event was recorded, by the event's name.
        self.event_counts = {}

    def run(self):
        for store in self.stores:
            store.start()
        for store in self.stores:
            store.listed.wait()
        resync_at = time.monotonic() + self.options.sync_period
        while True:
            # Cleared before the stores are read, so that a change during this pass starts another one.
            self.changed.clear()
            ingresses = self.ingresses.items
            for key, ingress in sorted(ingresses.items()):
                _, version, retry_at = self.failed.get(key, (0, None, 0))
                if version != ingress["metadata"]["resourceVersion"] or time.monotonic() >= retry_at:
                    self.attempt(key, ingress)
            for known in (self.settled, self.failed, self.waiting):
                for deleted in set(known) - set(ingresses):
                    del known[deleted]
            for key, (_, _, due_at) in list(self.waiting.items()):
                if time.monotonic() >= due_at:
                    self.judge(key)
            if time.monotonic() >= resync_at:
                self.settled.clear()
                resync_at = time.monotonic() + self.options.sync_period
            due = [entry[2] for entry in (*self.failed.values(), *self.waiting.values())]
            next_at = min([resync_at, *due])
            self.changed.wait(max(0.05, next_at - time.monotonic()))

    def attempt(self, key, ingress):
        try:
            self.reconcile(key, ingress)
            self.failed.pop(key, None)
        except Exception as error:
            count = self.failed.get(key, (0,))[0] + 1
            delay = min(0.25 * 2**count, LONGEST_DELAY)
            self.failed[key] = (count, ingress["metadata"]["resourceVersion"], time.monotonic() + delay)
            log("error", "Reconciler error", ingress=key, error=f"{error} {getattr(error, 'detail', '')}".strip())
            if isinstance(error, urllib.error.HTTPError) and error.code in (404, 409):
                return  # Deleted or changed meanwhile: the watch will report it, so an event would be noise.
            reason, verb = ("FailedBuildModel", "build") if isinstance(error, ModelError) else ("FailedDeployModel", "deploy")
            self.event(ingress, "Warning", reason, f"Failed {verb} model due to {error}")

    def reconcile(self, key, ingress):
        meta = ingress["metadata"]
        finalized = FINALIZER in meta.get("finalizers", [])
        if meta.get("deletionTimestamp") or not self.ours(ingress):
            if finalized:
                self.tear_down(key, ingress)
            return
        model = self.model(ingress)
        if self.settled.get(key) == fingerprint(meta["uid"], finalized, host_name(ingress), model):
            return
        if not finalized:
            finalizers = [*meta.get("finalizers", []), FINALIZER]
            self.patch(ingress, {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": finalizers}})
        host, arns = self.aws.deploy(model, self.endpoint_ports())
        self.bind(ingress, model, arns)
        self.waiting[key] = model, arns, 0
        if host_name(ingress) != host:
            self.patch(ingress, {"status": {"loadBalancer": {"ingress": [{"hostname": host}]}}}, "/status")
        self.settled[key] = fingerprint(meta["uid"], True, host, model)
        log("info", "successfully deployed model", ingressGroup=key, loadBalancer=model["name"], host=host)
        self.event(ingress, "Normal", "SuccessfullyReconciled", "Successfully reconciled")

    def tear_down(self, key, ingress):
        """Deletes everything that was created for the Ingress, and removes the finalizer only then."""
        self.settled.pop(key, None)
        self.waiting.pop(key, None)
        self.unbind(ingress, keep=())
        self.aws.remove(key)
        self.aws.sync_endpoint_rules(self.endpoint_ports())
        # The backend security group is shared: the last Ingress with our finalizer deletes it.
        others = [other for name, other in self.ingresses.items.items() if name != key]
        if not any(FINALIZER in other["metadata"].get("finalizers", []) for other in others):
            self.aws.remove_backend_group()
        rest = [name for name in ingress["metadata"]["finalizers"] if name != FINALIZER]
        self.patch(ingress, {"metadata": {"finalizers": rest}})
        log("info", "removed", ingressGroup=key)

    def ours(self, ingress):
        """Whether the Ingress has our class. The legacy annotation takes precedence over `ingressClassName`."""
        annotated = (ingress["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
        if annotated is not None:
            return annotated == self.options.ingress_class
        known = self.classes.items.get(f"/{ingress['spec'].get('ingressClassName')}")
        return known is not None and known["spec"]["controller"] == CLASS_CONTROLLER

    def model(self, ingress):
        return build_model(self.options, ingress, self.services.items, self.slices.items, self.pods.items)

    def endpoint_ports(self):
        """The ports that load balancers must be able to reach, over all Ingresses: a set of (instance, pod's address, port)."""
        found = set()
        for ingress in self.ingresses.items.values():
            if self.ours(ingress) and not ingress["metadata"].get("deletionTimestamp"):
                try:
                    model = self.model(ingress)
                except ModelError:
                    # Reported when that Ingress itself is reconciled.
                    continue
                if model["manage_rules"]:
                    for group in model["target_groups"].values():
                        checked = group["health"]["HealthCheckPort"]
                        for address, port in group["targets"]:
                            instance = self.instance(group["pods"][address]["node"])
                            found |= {(instance, address, one) for one in {port, int(checked) if checked.isdigit() else port}}
        return found

    def instance(self, node):
        """The id of a node's EC2 instance, from its provider id: aws:///ZONE/INSTANCE."""
        known = self.nodes.items.get(f"/{node}")
        provider = known["spec"].get("providerID", "") if known else ""
        if not provider.startswith("aws:///"):
            raise ModelError(f"providerID {provider} is invalid for EC2 instances, node: {node}")
        return provider.rsplit("/", 1)[1]

    def judge(self, key):
        """Sets the conditions of the pods that wait for their targets. Comes back as long as one of them waits."""
        model, arns, _ = self.waiting[key]
        namespace, waits = key.split("/")[0], False
        try:
            for name, group in model["target_groups"].items():
                pods = {address: self.pods.items.get(f"{namespace}/{held['pod']}") for address, held in group["pods"].items()}
                gated = {address: pod for address, pod in pods.items() if pod and has_gate(pod, GATE + name)}
                open_ = {address: pod for address, pod in gated.items() if condition(pod, GATE + name).get("status") != "True"}
                healths = self.aws.target_health(arns[name]) if open_ else {}
                for address, pod in open_.items():
                    waits |= self.set_condition(pod, GATE + name, healths.get(address, {}))
        except Exception as error:
            # Tried again: a throttled call or a pod that was just deleted must not end the loop.
            log("error", "target health", ingress=key, error=str(error))
            waits = True
        if waits:
            self.waiting[key] = model, arns, time.monotonic() + HEALTH_INTERVAL
        else:
            self.waiting.pop(key)

    def set_condition(self, pod, kind, health):
        """Writes a pod's condition if it differs. Returns whether the target is not healthy yet."""
        healthy = health.get("State") == "healthy"
        wanted = {"type": kind, "status": "True" if healthy else "False"}
        if health.get("Reason"):
            wanted.update(reason=health["Reason"], message=health.get("Description") or "")
        known = condition(pod, kind)
        if any(known.get(field) != wanted.get(field) for field in ("status", "reason", "message")):
            meta = pod["metadata"]
            # A strategic merge patch merges conditions by type, so that the kubelet's are kept.
            body = {"status": {"conditions": [{**wanted, "lastTransitionTime": now()[:19] + "Z"}]}}
            path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status"
            self.api.call("PATCH", path, body, "application/strategic-merge-patch+json")
        return not healthy

    def bind(self, ingress, model, arns):
        """Writes a TargetGroupBinding for each target group, or none if the CRD is not installed."""
        meta = ingress["metadata"]
        for name, group in model["target_groups"].items():
            path = f"{BINDINGS}/namespaces/{meta['namespace']}/targetgroupbindings/{name}?fieldManager={FIELD_MANAGER}&force=true"
            binding = {
                "apiVersion": "elbv2.k8s.aws/v1beta1", "kind": "TargetGroupBinding",
                "metadata": {"name": name, "finalizers": [BINDING_FINALIZER], "labels": stack_labels(meta)},
                "spec": {
                    "targetGroupARN": arns[name], "targetType": "ip", "ipAddressType": "ipv4", "vpcID": self.options.aws_vpc_id,
                    "serviceRef": {"name": group["service"], "port": group["service_port"]},
                },
            }
            try:
                self.api.call("PATCH", path, binding, "application/apply-patch+yaml")
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
                return
        self.unbind(ingress, keep=model["target_groups"])

    def unbind(self, ingress, keep):
        meta = ingress["metadata"]
        collection = f"{BINDINGS}/namespaces/{meta['namespace']}/targetgroupbindings"
        selector = ",".join(f"{key}%3D{value}" for key, value in stack_labels(meta).items())
        try:
            found = self.api.call("GET", f"{collection}?labelSelector={selector}")["items"]
            for name in (item["metadata"]["name"] for item in found if item["metadata"]["name"] not in keep):
                # Nothing else handles the binding's finalizer: without the patch it would never be deleted.
                self.api.call("DELETE", f"{collection}/{name}")
                self.api.patch(f"{collection}/{name}", {"metadata": {"finalizers": None}})
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise

    def patch(self, ingress, change, subresource=""):
        meta = ingress["metadata"]
        return self.api.patch(f"{NETWORKING}/namespaces/{meta['namespace']}/ingresses/{meta['name']}{subresource}", change)

    def event(self, ingress, kind, reason, message):
        """Records an event. A repeated event increases the count of the first one. A failure to record it is only logged."""
        meta = ingress["metadata"]
        name = f"{meta['name']}.{hashlib.sha256(json.dumps([meta['uid'], reason, message]).encode()).hexdigest()[:16]}"
        collection = f"/api/v1/namespaces/{meta['namespace']}/events"
        self.event_counts[name] = count = self.event_counts.get(name, 0) + 1
        try:
            if count > 1:
                self.api.patch(f"{collection}/{name}", {"count": count, "lastTimestamp": now()[:19] + "Z"})
                return
            self.api.call("POST", collection, {
                "metadata": {"name": name, "namespace": meta["namespace"]}, "type": kind, "reason": reason, "message": message[:1024],
                "count": 1, "firstTimestamp": now()[:19] + "Z", "lastTimestamp": now()[:19] + "Z", "source": {"component": "ingress"},
                "involvedObject": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "namespace": meta["namespace"],
                                   "name": meta["name"], "uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
            })
        except (OSError, ValueError) as error:
            log("info", "event not recorded", ingress=key_of(ingress), reason=reason, error=str(error))


def stack_labels(meta):
    return {"ingress.k8s.aws/stack-namespace": meta["namespace"], "ingress.k8s.aws/stack-name": meta["name"]}


def host_name(ingress):
    balancers = ingress.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
    return balancers[0].get("hostname")


def fingerprint(*parts):
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def seconds(text):
    """Parses a duration in Go's notation: 10h, 1h30m, 60s."""
    parts = re.findall(r"(\d+)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f"not a valid duration: `{text}` (for example 10h or 60s)")
    return sum(int(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts)


def tags(text):
    """Parses tags of the form k=v,k=v."""
    if any("=" not in part for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"not valid tags: `{text}` (for example Project=x,Region=y)")
    return pairs(text)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--cluster-name", required=True)
    parser.add_argument("--aws-region", required=True)
    parser.add_argument("--aws-vpc-id", required=True)
    parser.add_argument("--ingress-class", default="alb")
    parser.add_argument("--default-target-type", default="instance")
    parser.add_argument("--default-ssl-policy", default="ELBSecurityPolicy-2016-08")
    parser.add_argument("--default-load-balancer-scheme", default="internal")
    parser.add_argument("--default-tags", type=tags, default={})
    parser.add_argument("--sync-period", type=seconds, default="10h")
    parser.add_argument("--webhook-bind-port", type=int, default=9443)
    parser.add_argument("--webhook-cert-dir", default="/tmp/k8s-webhook-server/serving-certs")
    options, others = parser.parse_known_args(arguments)
    if others:
        log("info", "ignored arguments of the real controller", arguments=others)
    return options


def main():
    options = parse(sys.argv[1:])
    api = Api()
    leader = Leader(api)

    def terminate(*_):
        # os._exit, because threads in blocking reads would delay a regular exit. Nothing is left to save.
        leader.release()
        os._exit(0)

    signal.signal(signal.SIGTERM, terminate)
    # Before the lease is acquired: standby replicas answer admission reviews and probes as well.
    start_webhook(api, options.webhook_bind_port, options.webhook_cert_dir)
    start_probes(61779)
    aws = Aws(options)
    leader.acquire()
    Controller(options, api, aws).run()


if __name__ == "__main__":
    main()
