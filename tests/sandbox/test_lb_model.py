"""How the load balancer controller's stand-in translates an Ingress."""
import argparse
import copy
import unittest

import lb_model

OPTIONS = argparse.Namespace(
    cluster_name="payment-latency-api-spain", default_load_balancer_scheme="internal", default_target_type="ip",
    default_ssl_policy="ELBSecurityPolicy-2016-08")
PREFIX = "alb.ingress.kubernetes.io/"


def backend(port: dict) -> dict:
    return {"service": {"name": "payment-latency-api", "port": port}}


INGRESS = {
    "metadata": {"namespace": "payment-api", "name": "payment-latency-api", "annotations": {
        PREFIX + "scheme": "internet-facing", PREFIX + "listen-ports": '[{"HTTP":80},{"HTTPS":443}]', PREFIX + "ssl-redirect": "443",
        PREFIX + "certificate-arn": "arn:certificate", PREFIX + "healthcheck-path": "/readyz",
        PREFIX + "target-group-attributes": "deregistration_delay.timeout_seconds=15"}},
    "spec": {"rules": [{"host": "api-es.payments.example", "http": {"paths": [
        {"path": "/api", "pathType": "Prefix", "backend": backend({"name": "http"})},
        {"path": "/health", "pathType": "Exact", "backend": backend({"name": "http"})}]}}]},
}
SERVICES = {"payment-api/payment-latency-api": {
    "metadata": {"namespace": "payment-api", "name": "payment-latency-api", "uid": "1"},
    "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}}
SLICES = {"payment-api/x": {
    "metadata": {"namespace": "payment-api", "labels": {"kubernetes.io/service-name": "payment-latency-api"}},
    "ports": [{"name": "http", "port": 8080}, {"name": "metrics", "port": 9090}],
    "endpoints": [{"addresses": ["10.91.2.7"], "conditions": {"ready": True}}, {"addresses": ["10.91.1.9"], "conditions": {"ready": False}}]}}


def model(**annotations: str) -> dict:
    ingress = copy.deepcopy(INGRESS)
    ingress["metadata"]["annotations"] |= {PREFIX + name.replace("_", "-"): value for name, value in annotations.items()}
    return lb_model.build_model(OPTIONS, ingress, SERVICES, SLICES, {})


class Model(unittest.TestCase):
    def test_names_equal_those_of_the_real_controller(self):
        # The suffix is the first ten digits of a SHA-256: of cluster, group and scheme for the load balancer, of cluster and
        # group for the frontend security group, of the cluster for the backend security group.
        self.assertEqual(model()["name"], "k8s-paymenta-paymentl-e4c4876fd8")
        self.assertEqual(model(scheme="internal")["name"], "k8s-paymenta-paymentl-6c20952583")
        self.assertEqual(model()["frontend"], "k8s-paymenta-paymentl-6b24ffae19")
        self.assertEqual(lb_model.backend_group_name(OPTIONS.cluster_name), "k8s-traffic-paymentlatencyapispain-bf46b37ca8")

    def test_http_redirects_and_https_forwards_exact_paths_first(self):
        listeners = model()["listeners"]
        self.assertEqual((listeners["80"]["default"], listeners["80"]["rules"]), ({"redirect": "443"}, []))
        self.assertEqual([rule["paths"] for rule in listeners["443"]["rules"]], [["/health"], ["/api", "/api/*"]])
        self.assertEqual(listeners["443"]["default"], {"status": "404"})

    def test_only_ready_pods_become_targets(self):
        (group,) = model()["target_groups"].values()
        self.assertEqual(group["targets"], [["10.91.2.7", 8080]])
        self.assertEqual(group["health"]["HealthCheckPath"], "/readyz")
        self.assertEqual(group["attributes"], {"deregistration_delay.timeout_seconds": "15"})
        self.assertEqual(group["resource"], "payment-api/payment-latency-api-payment-latency-api:http")

    def test_a_pod_that_waits_for_its_own_target_becomes_one(self):
        slices = copy.deepcopy(SLICES)
        slices["payment-api/x"]["endpoints"][1] |= {"targetRef": {"kind": "Pod", "name": "new"}, "nodeName": "ip-10-89-1-3"}
        (group,) = model()["target_groups"]

        def targets(gate: str, containers_ready: str) -> list:
            pod = {"metadata": {}, "spec": {"readinessGates": [{"conditionType": gate}]},
                   "status": {"conditions": [{"type": "ContainersReady", "status": containers_ready}]}}
            built = lb_model.build_model(OPTIONS, INGRESS, SERVICES, slices, {"payment-api/new": pod})
            return built["target_groups"][group]["targets"]

        self.assertEqual(targets(lb_model.GATE + group, "True"), [["10.91.1.9", 8080], ["10.91.2.7", 8080]])
        self.assertEqual(targets(lb_model.GATE + group, "False"), [["10.91.2.7", 8080]])
        self.assertEqual(targets("example.com/other", "True"), [["10.91.2.7", 8080]])

    def test_a_new_pod_gets_the_gate_of_each_service_that_selects_it(self):
        services = [{"metadata": {"name": "api"}, "spec": {"selector": {"app": "api"}}}]
        bindings = [{"metadata": {"name": "k8s-api"}, "spec": {"targetType": "ip", "serviceRef": {"name": "api"}}}]

        def gates(labels: dict, **spec: list) -> list:
            return lb_model.gates_for({"metadata": {"labels": labels}, "spec": spec}, bindings, services)

        self.assertEqual(gates({"app": "api", "version": "2"}), ["target-health.elbv2.k8s.aws/k8s-api"])
        self.assertEqual(gates({"app": "migration"}), [])
        held = [{"conditionType": "target-health.elbv2.k8s.aws/k8s-api"}]
        self.assertEqual(gates({"app": "api"}, readinessGates=held), [])

    def test_an_invalid_annotation_is_reported(self):
        for annotations, text in (
            ({"scheme": "public"}, "unknown scheme: public"),
            ({"listen_ports": '[{"HTTP":80}'}, "failed to parse listen-ports configuration"),
            ({"listen_ports": "[]"}, "empty listen-ports configuration"),
            ({"listen_ports": '[{"TCP":80}]'}, "listen protocol must be within"),
            ({"listen_ports": '[{"HTTP":80}]'}, "listener does not exist for SSLRedirect port"),
            ({"certificate_arn": ""}, "no certificate found for host: api-es.payments.example"),
            ({"target_type": "instance"}, "unsupported targetType: instance"),
            ({"healthcheck_interval_seconds": "often"}, "failed to parse int64 annotation"),
        ):
            with self.subTest(text), self.assertRaisesRegex(lb_model.ModelError, text):
                model(**annotations)

    def test_a_missing_service_is_reported(self):
        with self.assertRaisesRegex(lb_model.ModelError, 'Service "payment-latency-api" not found'):
            lb_model.build_model(OPTIONS, INGRESS, {}, SLICES, {})


if __name__ == "__main__":
    unittest.main()
