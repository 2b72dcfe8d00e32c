"""Single GET requests to a region's API server, as its administrator."""
import base64
import http.client
import json
import ssl

from region import Region


def get(region: Region, path: str, seconds: float = 5) -> tuple[int, dict]:
    """Returns the status and the JSON body ({} for other bodies).

    The kubeconfig is read at each call, because a recreated cluster has new keys. Raises OSError if there is no cluster or
    it does not answer within `seconds`.
    """
    configuration = json.loads(region.admin_kubeconfig.read_text())
    authority = base64.b64decode(configuration["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    trust = ssl.create_default_context(cadata=authority)
    connection = http.client.HTTPSConnection(region.address, 6443, timeout=seconds, context=trust)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {configuration['users'][0]['user']['token']}"})
        response = connection.getresponse()
        body = response.read()
    except http.client.HTTPException as error:
        raise OSError(f"{region.kubernetes}: {error!r}") from error
    finally:
        connection.close()
    return response.status, json.loads(body) if body.startswith(b"{") else {}
