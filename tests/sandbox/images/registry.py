"""Pushes images to a registry on loopback through the OCI distribution API."""

import hashlib
import http.client
import json
from urllib.parse import urlencode

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


class Registry:
    def __init__(self, address):
        self._address = address

    def publish(self, repository, tags, config, layers):
        """Pushes `layers` (pairs of descriptor and file), the configuration and the manifest. Returns its digest."""
        for descriptor, file in layers:
            with file.open("rb") as content:
                self._blob(repository, descriptor["digest"], content, descriptor["size"])
        raw = json.dumps(config, sort_keys=True).encode()
        digest = _digest(raw)
        self._blob(repository, digest, raw, len(raw))
        manifest = json.dumps({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest, "size": len(raw)},
            "layers": [descriptor for descriptor, _ in layers],
        }, sort_keys=True).encode()
        for tag in tags:
            self._ask("PUT", f"/v2/{repository}/manifests/{tag}", 201, manifest, {"Content-Type": MANIFEST})
        return _digest(manifest)

    def _blob(self, repository, digest, content, size):
        if self._ask("HEAD", f"/v2/{repository}/blobs/{digest}", None).status == 200:
            return
        location = self._ask("POST", f"/v2/{repository}/blobs/uploads/", 202).headers["Location"]
        path = location.split(self._address, 1)[-1]
        path += ("&" if "?" in path else "?") + urlencode({"digest": digest})
        self._ask("PUT", path, 201, content, {"Content-Type": "application/octet-stream", "Content-Length": str(size)})

    def _ask(self, method, path, expected, body=None, headers=None):
        connection = http.client.HTTPConnection(self._address, timeout=120)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if expected is not None and answer.status != expected:
            raise RuntimeError(f"the registry returned {answer.status} for {method} `{path}`: {text[:500]!r}")
        return answer


def _digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()
