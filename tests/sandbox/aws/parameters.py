"""The parameters of a request, with the names of the API reference, from the service's model."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import determine_request_protocol
from moto.core.utils import get_service_model
from werkzeug.datastructures import EnvironHeaders, MultiDict

from . import call as calling
from . import operations


def _path(template: str, path: str) -> dict[str, str]:
    """The parameters in a path. The last one may contain slashes if the model says so (`{Key+}`)."""
    wanted, given = template.partition("?")[0].strip("/").split("/"), path.strip("/").split("/")
    named = {}
    for position, part in enumerate(wanted):
        if part.startswith("{") and position < len(given):
            value = "/".join(given[position:]) if part.endswith("+}") else given[position]
            named[part.strip("{}").removesuffix("+")] = value
    return named


def of(environ: calling.Environ, call: calling.Call) -> dict[str, Any]:
    """Parses a request. Objects of S3 are not read: only bucket and key are returned."""
    if call.service == "s3":
        bucket, _, key = call.resource.strip("/").partition("/")
        return {"Bucket": bucket, "Key": key}
    model = get_service_model(operations.MODELS.get(call.service, call.service))
    operation = model.operation_model(call.action)
    body = calling.body(environ)
    protocol = determine_request_protocol(model, environ.get("CONTENT_TYPE", "").split(";")[0])
    values: MultiDict[str, str] = MultiDict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    if protocol in ("ec2", "query"):
        values.update(parse_qsl(body.decode(), keep_blank_values=True))
    parser = PROTOCOL_PARSERS[protocol](operation)
    return parser.parse(
        {
            "method": environ["REQUEST_METHOD"],
            "values": values,
            "headers": EnvironHeaders(environ),
            "body": body,
            "url_path": call.resource,
            "url_params": _path(operation.http.get("requestUri", "/"), call.resource),
        }
    )
