"""Signature Version 4 and EKS tokens, verified against signatures by botocore."""

import base64
import datetime
import unittest
from unittest import mock
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from aws import sigv4

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CREDENTIALS = Credentials("AKIDEXAMPLE", SECRET)


def environ_of(request: AWSRequest) -> tuple[dict, str]:
    """The request as a WSGI server passes it on, and its path as it was sent."""
    url = urlsplit(request.url)
    environ = {"REQUEST_METHOD": request.method, "QUERY_STRING": url.query, "HTTP_HOST": url.netloc}
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return environ, url.path or "/"


def signed(service: str, method: str, url: str, body: bytes = b"", headers: dict | None = None) -> AWSRequest:
    request = AWSRequest(method, url, data=body, headers=headers or {})
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(CREDENTIALS, service, "eu-south-2").add_auth(request)
    return request


class Header(unittest.TestCase):
    def assert_valid(self, *args, **kwargs) -> None:
        request = signed(*args, **kwargs)
        environ, path = environ_of(request)
        sigv4.check(environ, path, kwargs.get("body", b""), SECRET)

    def test_a_json_call_is_valid(self):
        self.assert_valid(
            "eks",
            "POST",
            "http://10.89.0.1:5000/clusters",
            body=b'{"name": "c"}',
            headers={"Content-Type": "application/json"},
        )

    def test_an_encoded_path_and_query_are_valid(self):
        self.assert_valid(
            "eks",
            "GET",
            "http://10.89.0.1:5000/clusters/c/access-entries/arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx?b=2&a=1%2F2",
        )

    def test_an_object_key_with_spaces_is_valid(self):
        self.assert_valid("s3", "GET", "http://10.89.0.1:5000/bucket/a%20b/%C3%BC?list-type=2&prefix=a%2Fb")

    def test_another_secret_is_refused(self):
        environ, path = environ_of(signed("sts", "POST", "http://10.89.0.1:5000/", b"Action=GetCallerIdentity"))
        with self.assertRaisesRegex(sigv4.Refused, "does not match"):
            sigv4.check(environ, path, b"Action=GetCallerIdentity", SECRET + "x")

    def test_another_body_is_refused(self):
        environ, path = environ_of(signed("sts", "POST", "http://10.89.0.1:5000/", b"Action=GetCallerIdentity"))
        with self.assertRaises(sigv4.Refused):
            sigv4.check(environ, path, b"Action=AssumeRole", SECRET)

    def test_an_old_request_is_refused(self):
        environ, path = environ_of(signed("sts", "POST", "http://10.89.0.1:5000/"))
        later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=16)
        with mock.patch("aws.sigv4.datetime.datetime", wraps=datetime.datetime) as clock:
            clock.now.return_value = later
            with self.assertRaisesRegex(sigv4.Refused, "expired"):
                sigv4.check(environ, path, b"", SECRET)


class Query(unittest.TestCase):
    def presigned(self, cluster: str) -> str:
        url = "https://sts.eu-south-2.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15"
        request = AWSRequest("GET", url, headers={"x-k8s-aws-id": cluster})
        SigV4QueryAuth(CREDENTIALS, "sts", "eu-south-2", expires=60).add_auth(request)
        return request.url

    def verify(self, url: str, cluster: str) -> None:
        parts = urlsplit(url)
        environ = {
            "REQUEST_METHOD": "GET",
            "QUERY_STRING": parts.query,
            "HTTP_HOST": parts.netloc,
            "HTTP_X_K8S_AWS_ID": cluster,
        }
        sigv4.verify(environ, parts.path, b"", SECRET)

    def test_a_token_is_valid_for_its_cluster(self):
        self.verify(self.presigned("spain"), "spain")

    def test_a_token_is_invalid_for_another_cluster(self):
        with self.assertRaises(sigv4.Refused):
            self.verify(self.presigned("spain"), "mexico")

    def test_a_token_survives_its_base64_encoding(self):
        url = self.presigned("spain")
        token = base64.urlsafe_b64encode(url.encode()).rstrip(b"=")
        self.verify(base64.urlsafe_b64decode(token + b"=" * (-len(token) % 4)).decode(), "spain")


if __name__ == "__main__":
    unittest.main()
