"""Translates an Ingress, its Services and their EndpointSlices into a model: plain data without any AWS identifier.

1. Read the Ingress's annotations: scheme, listen ports, certificates, redirect, attributes.
2. For each listen port create a listener: with `ssl-redirect` an HTTP listener only redirects; any other gets one rule per
   path, exact paths first, then prefixes from long to short.
3. For each backend find the Service's port, create a target group, and add the ready pods as targets, and those that only
   wait for this target group's readiness gate.

Invariants: the same objects give the same model (pure functions, no clock, no AWS call); names, hashes and messages are
those of the real controller, because users and tests search for them; anything that cannot be translated raises
ModelError, and then no part of the model is deployed.
"""
import hashlib
import json
import re

from lb_kubernetes import key_of

ANNOTATION = "alb.ingress.kubernetes.io/"
# A pod's readiness gate, completed by the name of a TargetGroupBinding.
GATE = "target-health.elbv2.k8s.aws/"


class ModelError(Exception):
    """The Ingress cannot be translated. The message becomes an event on it."""


def digest(*parts):
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:10]


def short(text, length=8):
    return re.sub("[^0-9A-Za-z]", "", text)[:length]


def backend_group_name(cluster):
    return f"k8s-traffic-{short(cluster, 232)}-{digest(cluster)}"


def pairs(text):
    """Parses an annotation of the form `k=v,k=v`."""
    return dict(part.strip().split("=", 1) for part in text.split(",") if "=" in part)


def words(text):
    return [word.strip() for word in text.split(",") if word.strip()]


def listen_ports(text):
    """Parses a listen-ports annotation into {port: protocol}."""
    try:
        entries = [(protocol, port) for entry in json.loads(text) for protocol, port in entry.items()]
    except (ValueError, AttributeError, TypeError):
        raise ModelError(f"failed to parse listen-ports configuration: `{text}`") from None
    if not entries:
        raise ModelError(f"empty listen-ports configuration: `{text}`")
    for protocol, port in entries:
        if not isinstance(port, int) or not 1 <= port <= 65535:
            raise ModelError(f"listen port must be within [1, 65535]: {port}")
        if protocol not in ("HTTP", "HTTPS"):
            raise ModelError(f"listen protocol must be within [HTTP, HTTPS]: {protocol}")
    return {port: protocol for protocol, port in entries}


def build_model(options, ingress, services, slices, pods):
    """Everything that must exist in AWS for this Ingress."""
    namespace, name = ingress["metadata"]["namespace"], ingress["metadata"]["name"]
    stack, cluster = f"{namespace}/{name}", options.cluster_name
    notes = annotations(ingress)
    scheme = notes.get("scheme", options.default_load_balancer_scheme)
    if scheme not in ("internet-facing", "internal"):
        raise ModelError(f"unknown scheme: {scheme}")
    certificates = words(notes.get("certificate-arn", ""))
    if "listen-ports" in notes:
        ports = listen_ports(notes["listen-ports"])
    else:
        ports = {443: "HTTPS"} if certificates else {80: "HTTP"}
    redirect = notes.get("ssl-redirect")
    if redirect is not None and ports.get(int(redirect) if redirect.isdigit() else 0) != "HTTPS":
        raise ModelError(f"listener does not exist for SSLRedirect port: {redirect}")
    prefix = f"k8s-{short(namespace)}-{short(name)}-"
    model = {
        "stack": stack, "name": notes.get("load-balancer-name") or prefix + digest(cluster, stack, scheme), "scheme": scheme,
        "subnets": words(notes.get("subnets", "")), "attributes": pairs(notes.get("load-balancer-attributes", "")),
        "tags": pairs(notes.get("tags", "")), "groups": words(notes.get("security-groups", "")),
        "manage_rules": "security-groups" not in notes or notes.get("manage-backend-security-group-rules") == "true",
        "frontend": prefix + digest(cluster, stack), "cidrs": words(notes.get("inbound-cidrs", "0.0.0.0/0")),
        "target_groups": {}, "listeners": {},
    }

    def forward(backend):
        service = services.get(f"{namespace}/{backend['service']['name']}")
        group = target_group(options, ingress, backend, service, slices, pods)
        model["target_groups"][group["name"]] = group
        return {"forward": group["name"]}

    for port, protocol in sorted(ports.items()):
        listener = {"protocol": protocol, "default": {"status": "404"}, "rules": []}
        if protocol == "HTTPS":
            if not certificates:
                hosts = ", ".join(rule.get("host", "*") for rule in ingress["spec"].get("rules") or [])
                raise ModelError(f"no certificate found for host: {hosts}")
            listener.update(certificates=certificates, policy=notes.get("ssl-policy", options.default_ssl_policy))
        model["listeners"][str(port)] = listener
        if protocol == "HTTP" and redirect:
            listener["default"] = {"redirect": redirect}
            continue
        if backend := ingress["spec"].get("defaultBackend"):
            listener["default"] = forward(backend)
        for rule in ingress["spec"].get("rules") or []:
            for path in sorted_paths((rule.get("http") or {}).get("paths") or []):
                listener["rules"].append({"host": rule.get("host"), "paths": path_patterns(path), "action": forward(path["backend"])})
    return model


def sorted_paths(paths):
    """Exact paths first, then prefixes from long to short, then the others in their original order."""

    def rank(path):
        kind = path.get("pathType")
        return ({"Exact": 0, "Prefix": 1}.get(kind, 2), -len(path["path"]) if kind == "Prefix" else 0)

    return sorted(paths, key=rank)


def path_patterns(path):
    text, kind = path.get("path") or "/", path.get("pathType")
    if kind == "Prefix":
        return ["/*"] if text == "/" else [text.rstrip("/"), text.rstrip("/") + "/*"]
    return ["/*"] if kind != "Exact" and text == "/" else [text]


def target_group(options, ingress, backend, service, slices, pods):
    stack, asked = key_of(ingress), backend["service"]
    namespace, name = stack.split("/")
    if service is None:
        raise ModelError(f"ingress: {stack}: Service \"{asked['name']}\" not found")
    notes = annotations(service) | annotations(ingress)
    kind = notes.get("target-type", options.default_target_type)
    if kind != "ip":
        raise ModelError(f"unsupported targetType: {kind} (the stand-in knows `ip` alone)")
    wanted = asked["port"].get("name") or asked["port"].get("number")
    port = next((port for port in service["spec"].get("ports") or [] if wanted in (port.get("name"), port["port"])), None)
    if port is None:
        raise ModelError(f"ingress: {stack}: unable to find port {wanted} on service {key_of(service)}")
    # A named target port may differ between pods. Each target is registered with its own port, so the group's number is
    # irrelevant then, and the real controller uses 1.
    number = port.get("targetPort", port["port"])
    number = number if isinstance(number, int) else 1
    protocol, version = notes.get("backend-protocol", "HTTP"), notes.get("backend-protocol-version", "HTTP1")
    uuid = digest(options.cluster_name, stack, namespace, name, service["metadata"]["uid"], str(wanted), str(number), kind, protocol, version)
    group_name = f"k8s-{short(namespace)}-{short(asked['name'])}-{uuid}"
    endpoints = ready_endpoints(service, port.get("name", ""), slices, pods, GATE + group_name)
    return {
        "name": group_name, "resource": f"{stack}-{asked['name']}:{wanted}",
        "service": asked["name"], "service_port": wanted, "port": number, "protocol": protocol, "version": version,
        "targets": sorted([address, number] for address, number in endpoints), "pods": {address: pod for (address, _), pod in sorted(endpoints.items())},
        "attributes": pairs(notes.get("target-group-attributes", "")),
        "health": {
            "HealthCheckProtocol": notes.get("healthcheck-protocol", protocol),
            "HealthCheckPort": notes.get("healthcheck-port", "traffic-port"),
            "HealthCheckPath": notes.get("healthcheck-path", "/"),
            "Matcher": {"HttpCode": notes.get("success-codes", "200")},
            "HealthCheckIntervalSeconds": whole(notes, "healthcheck-interval-seconds", 15),
            "HealthCheckTimeoutSeconds": whole(notes, "healthcheck-timeout-seconds", 5),
            "HealthyThresholdCount": whole(notes, "healthy-threshold-count", 2),
            "UnhealthyThresholdCount": whole(notes, "unhealthy-threshold-count", 2),
        },
    }


def annotations(item):
    """The controller's annotations of an object, without their prefix."""
    found = item["metadata"].get("annotations") or {}
    return {key.removeprefix(ANNOTATION): value for key, value in found.items() if key.startswith(ANNOTATION)}


def whole(notes, name, default):
    try:
        return int(notes.get(name, default))
    except ValueError:
        raise ModelError(f"failed to parse int64 annotation, {ANNOTATION}{name}: {notes[name]}") from None


def ready_endpoints(service, port_name, slices, pods, gate):
    """The ready pods of a Service as {(address, port): {pod, node}}, from its EndpointSlices.

    A pod is not ready while its gates are not met, and a gate of a load balancer is met only by a registered target. So a
    pod whose containers are ready counts if it has this gate.
    """
    meta = service["metadata"]
    found = {}
    for item in slices.values():
        labels = item["metadata"].get("labels") or {}
        if (item["metadata"]["namespace"], labels.get("kubernetes.io/service-name")) != (meta["namespace"], meta["name"]):
            continue
        for port in item.get("ports") or []:
            for endpoint in item.get("endpoints") or []:
                name = (endpoint.get("targetRef") or {}).get("name", "")
                pod = pods.get(f"{meta['namespace']}/{name}")
                ready = endpoint.get("conditions", {}).get("ready", True) or (pod is not None and waits_for(pod, gate))
                if ready and (port.get("name") or "") == port_name:
                    for address in endpoint["addresses"]:
                        found[address, port["port"]] = {"pod": name, "node": endpoint.get("nodeName")}
    return found


def has_gate(pod, gate):
    return any(one["conditionType"] == gate for one in pod["spec"].get("readinessGates") or [])


def condition(pod, kind):
    """A pod's condition, or {}."""
    return next((one for one in pod.get("status", {}).get("conditions") or [] if one["type"] == kind), {})


def waits_for(pod, gate):
    """Whether a pod with ready containers has this gate. A pod that is being deleted is no longer of interest."""
    running = condition(pod, "ContainersReady").get("status") == "True" and not pod["metadata"].get("deletionTimestamp")
    return running and has_gate(pod, gate)


def gates_for(pod, bindings, services):
    """The readiness gates that a new pod gets: one for each TargetGroupBinding of a Service that selects it."""
    labels = (pod["metadata"].get("labels") or {}).items()
    selectors = {service["metadata"]["name"]: service["spec"].get("selector") or {} for service in services}
    gates = []
    for binding in bindings:
        selector = selectors.get(binding["spec"]["serviceRef"]["name"])
        if binding["spec"].get("targetType") == "ip" and selector and selector.items() <= labels:
            gates.append(GATE + binding["metadata"]["name"])
    return [gate for gate in gates if not has_gate(pod, gate)]
