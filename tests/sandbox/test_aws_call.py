"""How a request's service, region and action are found."""

import io
import unittest

from aws import call


def request(method: str, path: str, query: str = "", body: bytes = b"", **headers: str) -> call.Call:
    """A request signed for a service in eu-south-2. A body is sent as a form."""
    service = headers.pop("service")
    environ = {
        "REQUEST_METHOD": method,
        "RAW_URI": f"{path}?{query}",
        "QUERY_STRING": query,
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/x-www-form-urlencoded" if body else "",
        "HTTP_HOST": "10.89.0.1:5000",
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-south-2/{service}/aws4_request, SignedHeaders=host, Signature=0",
        **headers,
    }
    return call.of(environ)


class Naming(unittest.TestCase):
    def test_the_action_is_found_in_every_protocol(self):
        self.assertEqual(
            request("POST", "/", body=b"Action=DescribeVpcs&Version=1", service="ec2").action, "DescribeVpcs"
        )
        self.assertEqual(
            request("POST", "/", service="ecr", HTTP_X_AMZ_TARGET="A.B.PutLifecyclePolicy").action, "PutLifecyclePolicy"
        )
        self.assertEqual(request("GET", "/clusters/c", service="eks").action, "DescribeCluster")
        self.assertEqual(
            request("POST", "/2013-04-01/hostedzone/Z/rrset/", service="route53").action, "ChangeResourceRecordSets"
        )

    def test_operations_with_the_same_path_are_distinguished(self):
        self.assertEqual(request("PUT", "/b/k", service="s3").action, "PutObject")
        self.assertEqual(request("PUT", "/b/k", service="s3", HTTP_X_AMZ_COPY_SOURCE="/b/o").action, "CopyObject")
        self.assertEqual(request("PUT", "/b/k", "partNumber=1&uploadId=x", service="s3").action, "UploadPart")
        self.assertEqual(request("DELETE", "/b/k", service="s3").action, "DeleteObject")
        self.assertEqual(request("GET", "/b", "versioning", service="s3").action, "GetBucketVersioning")

    def test_an_unsigned_call_is_identified_by_its_host(self):
        environ = {
            "REQUEST_METHOD": "POST",
            "RAW_URI": "/",
            "wsgi.input": io.BytesIO(body := b"Action=AssumeRoleWithWebIdentity"),
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "HTTP_HOST": "sts.us-east-1.amazonaws.com",
        }
        found = call.of(environ)
        self.assertEqual((found.service, found.region, found.action), ("sts", "us-east-1", "AssumeRoleWithWebIdentity"))

    def test_reads_do_not_count_as_changes(self):
        for action in (
            "DescribeVpcs",
            "ListRoles",
            "GetObject",
            "HeadBucket",
            "BatchGetImage",
            "AssumeRole",
            "Decrypt",
        ):
            self.assertFalse(call.Call("x", "r", action, "").changes, action)
        for action in ("CreateVpc", "PutObject", "DeleteObject", "BatchDeleteImage", "TagResource", "RunInstances"):
            self.assertTrue(call.Call("x", "r", action, "").changes, action)


if __name__ == "__main__":
    unittest.main()
