"""How the load balancer controller's stand-in finds the security group of a pod, and what it does with readiness gates."""
import unittest
from unittest import mock

import lb_aws
import lb_controller
import lb_webhook
from lb_model import GATE, ModelError

TAG = "kubernetes.io/cluster/c"


def interface(*groups: str) -> dict:
    return {"NetworkInterfaceId": "eni-1", "Groups": [{"GroupId": group} for group in groups],
            "PrivateIpAddresses": [{"PrivateIpAddress": "10.89.1.3"}], "Ipv4Prefixes": [{"Ipv4Prefix": "10.91.1.0/28"}]}


class EndpointGroup(unittest.TestCase):
    def test_the_only_group_of_an_interface_needs_no_tag(self):
        self.assertEqual(lb_aws.endpoint_group([interface("sg-1")], "10.91.1.7", TAG, set()), "sg-1")

    def test_of_several_groups_the_clusters_is_chosen(self):
        self.assertEqual(lb_aws.endpoint_group([interface("sg-1", "sg-2")], "10.91.1.7", TAG, {"sg-2"}), "sg-2")
        for tagged in (set(), {"sg-1", "sg-2"}):
            with self.assertRaisesRegex(ModelError, "expected exactly one securityGroup tagged with kubernetes.io/cluster/c for eni eni-1"):
                lb_aws.endpoint_group([interface("sg-1", "sg-2")], "10.91.1.7", TAG, tagged)

    def test_an_address_without_an_interface_is_an_error(self):
        with self.assertRaisesRegex(ModelError, "cannot resolve pod ENI"):
            lb_aws.endpoint_group([interface("sg-1")], "10.91.9.9", TAG, set())


class Gates(unittest.TestCase):
    def test_the_webhook_adds_gates_to_new_pods(self):
        binding = {"metadata": {"name": "k8s-x"}, "spec": {"targetType": "ip", "serviceRef": {"name": "api"}}}
        service = {"metadata": {"name": "api"}, "spec": {"selector": {"app": "api"}}}
        api = mock.Mock()
        api.call.side_effect = lambda _method, path: {"items": [binding if "elbv2" in path else service]}
        pod = {"metadata": {"labels": {"app": "api"}}, "spec": {"readinessGates": [{"conditionType": "a/b"}]}}
        request = {"kind": {"kind": "Pod"}, "operation": "CREATE", "namespace": "n", "object": pod}
        (operation,) = lb_webhook.patch(request, api)
        self.assertEqual((operation["op"], operation["path"]), ("add", "/spec/readinessGates"))
        self.assertEqual([one["conditionType"] for one in operation["value"]], ["a/b", GATE + "k8s-x"])
        self.assertEqual(lb_webhook.patch({**request, "operation": "UPDATE"}, api), [])

    def controller(self, status: str, state: str) -> tuple:
        pod = {"metadata": {"namespace": "n", "name": "p"}, "spec": {"readinessGates": [{"conditionType": GATE + "g"}]},
               "status": {"conditions": [{"type": GATE + "g", "status": status}] if status else []}}
        api, aws = mock.Mock(), mock.Mock()
        aws.target_health.return_value = {"10.91.1.7": {"State": state}}
        controller = lb_controller.Controller(mock.Mock(), api, aws)
        controller.pods.items = {"n/p": pod}
        model = {"target_groups": {"g": {"pods": {"10.91.1.7": {"pod": "p", "node": "x"}}}}}
        controller.waiting["n/i"] = model, {"g": "arn"}, 0
        controller.judge("n/i")
        return controller, api

    def test_a_pod_becomes_ready_once_its_target_is_healthy(self):
        controller, api = self.controller("", "healthy")
        (_, path, body, kind) = api.call.call_args.args
        self.assertEqual(path, "/api/v1/namespaces/n/pods/p/status")
        self.assertEqual(kind, "application/strategic-merge-patch+json")
        (written,) = body["status"]["conditions"]
        self.assertEqual((written["type"], written["status"]), (GATE + "g", "True"))
        self.assertEqual(controller.waiting, {})

    def test_a_pod_waits_while_its_target_is_initial(self):
        controller, api = self.controller("", "initial")
        self.assertEqual(api.call.call_args.args[2]["status"]["conditions"][0]["status"], "False")
        self.assertIn("n/i", controller.waiting)

    def test_a_ready_pod_needs_no_call(self):
        controller, api = self.controller("True", "healthy")
        api.call.assert_not_called()
        self.assertEqual(controller.waiting, {})

    def test_default_tags_are_parsed_and_cannot_be_overridden(self):
        self.assertEqual(lb_controller.tags("Project=x,Region=y"), {"Project": "x", "Region": "y"})
        aws = lb_aws.Aws.__new__(lb_aws.Aws)
        aws.cluster, aws.default_tags = "c", {"Project": "x"}
        self.assertEqual(aws.tags("n/i", "LoadBalancer", {"Project": "other"})["Project"], "x")


if __name__ == "__main__":
    unittest.main()
