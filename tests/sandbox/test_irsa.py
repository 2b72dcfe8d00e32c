"""What the pod identity webhook adds to a pod."""
import unittest

import irsa

ROLE = "arn:aws:iam::123456789012:role/reader"
ACCOUNT = {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": ROLE}}}


def pod(*containers: dict, annotations: dict | None = None, **spec) -> dict:
    return {"metadata": {"annotations": annotations}, "spec": {"containers": list(containers), **spec}}


def patched(pod: dict, account: dict = ACCOUNT) -> dict:
    """The values of the patch by their path."""
    return {operation["path"]: operation["value"] for operation in irsa.patch(pod, account, "eu-south-2")}


def variables(container: dict) -> dict:
    return {variable["name"]: variable["value"] for variable in container["env"]}


class Patch(unittest.TestCase):
    def test_every_container_gets_role_token_and_region(self):
        given = patched(pod({"name": "app"}, initContainers=[{"name": "first"}]))
        for container in (given["/spec/containers"][0], given["/spec/initContainers"][0]):
            self.assertEqual(variables(container), {
                "AWS_STS_REGIONAL_ENDPOINTS": "regional", "AWS_DEFAULT_REGION": "eu-south-2", "AWS_REGION": "eu-south-2",
                "AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"})
            self.assertEqual(container["volumeMounts"], [
                {"name": "aws-iam-token", "readOnly": True, "mountPath": "/var/run/secrets/eks.amazonaws.com/serviceaccount"}])
        token = given["/spec/volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]
        self.assertEqual(token, {"audience": "sts.amazonaws.com", "expirationSeconds": 86400, "path": "token"})

    def test_a_service_account_without_a_role_changes_nothing(self):
        self.assertEqual(irsa.patch(pod({"name": "app"}), {"metadata": {}}, "eu-south-2"), [])

    def test_variables_set_by_the_pod_are_kept(self):
        own = {"name": "app", "env": [{"name": "AWS_REGION", "value": "us-west-1"}, {"name": "AWS_ROLE_ARN", "value": "mine"}]}
        self.assertEqual(variables(patched(pod(own))["/spec/containers"][0]), {
            "AWS_REGION": "us-west-1", "AWS_ROLE_ARN": "mine", "AWS_STS_REGIONAL_ENDPOINTS": "regional"})

    def test_a_second_review_of_the_same_pod_adds_nothing(self):
        first = pod({"name": "app"})
        given = patched(first)
        first["spec"] |= {"containers": given["/spec/containers"], "volumes": given["/spec/volumes"]}
        self.assertEqual(irsa.patch(first, ACCOUNT, "eu-south-2"), [])

    def test_other_volumes_are_kept(self):
        self.assertIn("/spec/volumes/0", patched(pod({"name": "app"}, volumes=[{"name": "data"}])))

    def test_a_skipped_container_is_unchanged(self):
        given = patched(pod({"name": "app"}, {"name": "side"}, annotations={"eks.amazonaws.com/skip-containers": "side"}))
        self.assertEqual(given["/spec/containers"][1], {"name": "side"})

    def test_the_pod_sets_the_tokens_lifetime_to_at_least_an_hour(self):
        for annotated, seconds in (("7200", 7200), ("60", 3600), ("soon", 86400)):
            given = patched(pod({"name": "app"}, annotations={"eks.amazonaws.com/token-expiration": annotated}))
            self.assertEqual(given["/spec/volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], seconds)


if __name__ == "__main__":
    unittest.main()
