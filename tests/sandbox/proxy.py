#!/usr/bin/env python3
"""A proxy in front of a registry or an API server that fails the requests which its rules hit, and passes on the others.

usage: proxy.py CONFIGURATION

The configuration is a JSON object: `listen` and `to` (HOST:PORT), `certificate` and `key` (the server's own, so that clients
notice nothing), `authority` (which signed it), `kind` (`registry` or `kubernetes`, for the format of errors) and `rules`.

The keys of a rule:
- method, path, authorization: shell patterns, default `*`. The path contains the query; `authorization` is that header.
- skip: number of matching requests to let pass first. count: number to fail then (default 1; null for all).
- status: 401, 403, 429 or 500, the error to answer. Without it, the connection is reset (TCP RST).
- bytes: let so many bytes of the body pass first, null for a failure before anything passes. The body is the request's or,
  if it has none, the answer's. An answer that has started can no longer become an error, so it is cut off by a reset.

A request that is hit fails even if its body is not longer than `bytes`. A request's body then passes in full, so the server
may act on it. An answer's body is cut off before its last byte or chunk, and an answer without a body before its head.

How a connection is served:
1. Each has its own connection to the server. Requests and answers are passed on in order, unchanged, and streamed.
2. A request that a rule hits ends both connections, as the failure of a server's process would. What has passed before
   arrives first.
3. When either side disconnects, so does the other: a watch must not stay open at the API server without its reader.

Clients and the server speak HTTP/1.1 here, because the proxy offers nothing else in the TLS handshake.
"""
from __future__ import annotations

import asyncio
import contextlib
import fcntl
import fnmatch
import json
import socket
import ssl
import struct
import sys
import termios
from dataclasses import dataclass, fields
from typing import Any

# Bytes: the piece in which bodies are passed on, and the longest head, beyond what any client or server here sends.
PIECE = 64 * 1024
# Seconds for which an answered client may go on sending. If its data met a closed socket, the kernel would reset the
# connection, and the client could lose the answer.
LINGER = 2
# Seconds for which a reset waits until what has passed arrives. On one machine that takes milliseconds, unless the receiver
# has stopped reading.
FLUSH = 2
# Seconds between two checks of that. Nothing reports when the kernel's buffer is empty.
FLUSH_INTERVAL = 0.002
CHUNKED = -1
UNTIL_CLOSE = -2

MESSAGE = "injected by the sandbox"
REGISTRY_CODES = {401: "UNAUTHORIZED", 403: "DENIED", 429: "TOOMANYREQUESTS", 500: "UNKNOWN"}
KUBERNETES_REASONS = {401: "Unauthorized", 403: "Forbidden"}
PHRASES = {401: "Unauthorized", 403: "Forbidden", 429: "Too Many Requests", 500: "Internal Server Error"}


class Broken(Exception):
    """The connection is of no use any more. The message is for the log, and empty for a client that has gone."""


@dataclass
class Rule:
    """A rule; its keys are explained above. `matched` counts the requests that fit its patterns."""

    method: str = "*"
    path: str = "*"
    authorization: str = "*"
    skip: int = 0
    count: int | None = 1
    status: int | None = None
    bytes: int | None = None
    matched: int = 0

    @classmethod
    def parse(cls, given: dict[str, Any]) -> Rule:
        known = {field.name for field in fields(cls)} - {"matched"}
        if unknown := set(given) - known:
            raise ValueError(f"unknown keys {sorted(unknown)} in a rule; known keys: {sorted(known)}")
        if given.get("status") not in (None, *PHRASES):
            raise ValueError(f"unknown status {given['status']}; known: {sorted(PHRASES)}")
        return cls(**given)

    def hit(self, request: Head) -> bool:
        if not (
            fnmatch.fnmatchcase(request.method, self.method)
            and fnmatch.fnmatchcase(request.path, self.path)
            and fnmatch.fnmatchcase(request.headers.get("authorization", ""), self.authorization)
        ):
            return False
        self.matched += 1
        return self.matched > self.skip and (self.count is None or self.matched <= self.skip + self.count)


@dataclass
class Head:
    """The first line and the headers of a request or an answer, and the bytes that they were."""

    raw: bytes
    first: list[str]
    headers: dict[str, str]

    @property
    def method(self) -> str:
        return self.first[0]

    @property
    def path(self) -> str:
        return self.first[1]

    @property
    def status(self) -> int:
        return int(self.first[1])

    def __str__(self) -> str:
        # Without the query, which holds the state of an upload.
        return f"{self.method} {self.path.partition('?')[0]}"

    def length(self, default: int) -> int:
        """The length of the body, or CHUNKED, or `default` if no header tells it."""
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            return CHUNKED
        return int(self.headers.get("content-length", default))


@dataclass
class Side:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> Head:
        try:
            raw = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            raise Broken("") from None
        first, *lines = raw.decode("latin-1").rstrip().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return Head(raw, first.split(" ", 2), {name.lower(): value.strip() for name, _, value in pairs})

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Closes with a TCP RST, and drops what the kernel has not sent yet."""
        connection = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def flush_and_reset(self) -> None:
        """Resets once the other side's kernel has acknowledged everything that was sent."""
        # OSError, ValueError: the connection was closed in the meantime.
        with contextlib.suppress(asyncio.TimeoutError, OSError, ValueError):
            await asyncio.wait_for(self._arrived(), FLUSH)
        self.reset()

    async def _arrived(self) -> None:
        # asyncio gives no public access to the transport below TLS, which has its own buffer. It is None once disconnected.
        while below := self.writer.transport._ssl_protocol._transport:
            acknowledged = fcntl.ioctl(below.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4)) == bytes(4)
            if acknowledged and not below.get_write_buffer_size() and not self.writer.transport.get_write_buffer_size():
                return
            await asyncio.sleep(FLUSH_INTERVAL)


class Proxy:
    def __init__(self, configuration: dict[str, Any]):
        self.kind = configuration["kind"]
        self.listen, self.to = (_address(configuration[name]) for name in ("listen", "to"))
        self.rules = [Rule.parse(rule) for rule in configuration["rules"]]
        self.server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_side.load_cert_chain(configuration["certificate"], configuration["key"])
        self.client_side = ssl.create_default_context(cafile=configuration["authority"])
        for context in (self.server_side, self.client_side):
            context.set_alpn_protocols(["http/1.1"])

    async def start(self) -> asyncio.Server:
        host, port = self.listen
        return await asyncio.start_server(self._connection, host, port, ssl=self.server_side, limit=PIECE)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Side(reader, writer)
        try:
            host, port = self.to
            server = Side(*await asyncio.open_connection(host, port, ssl=self.client_side, limit=PIECE))
        except OSError as error:
            log(f"{host}:{port}: {error}")
            client.reset()
            return
        served = asyncio.create_task(self._serve(client, server))
        # Nothing else would notice that the client disconnects during a silent watch.
        gone = asyncio.create_task(client.writer.wait_closed())
        await asyncio.wait([served, gone], return_when=asyncio.FIRST_COMPLETED)
        await end(served, gone)
        for side in (client, server):
            side.writer.close()

    async def _serve(self, client: Side, server: Side) -> None:
        try:
            while await self._exchange(client, server):
                pass
        except Broken as why:
            if str(why):
                log(str(why))
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            log(f"{type(error).__name__}: {error}")
            client.reset()

    async def _exchange(self, client: Side, server: Side) -> bool:
        """Serves one request; false if the connection ends with it."""
        request = await client.head()
        length = request.length(default=0)
        hits = [rule for rule in self.rules if rule.hit(request)]
        rule = hits[0] if hits else None
        if rule and (rule.bytes is None or length):
            if rule.bytes is not None:
                await self._start_upload(client, server, request, length, rule.bytes)
            # The server has to see that its request fails, not wait for the rest of it.
            await server.flush_and_reset()
            await self._fail(client, request, rule)
            return False
        await server.send(request.raw)
        upload = asyncio.create_task(copy(client, server, length))
        try:
            answer = await self._answer(client, server)
            empty = request.method == "HEAD" or answer.status in (101, 204, 304)
            size = 0 if empty else answer.length(default=UNTIL_CLOSE)
            if rule:
                if size:
                    await client.send(answer.raw)
                    await copy(server, client, size, rule.bytes, complete=False)
                server.reset()
                await client.flush_and_reset()
                log(f"{request}: reset in the answer")
                return False
            await client.send(answer.raw)
            if answer.status == 101:
                ways = [asyncio.create_task(copy(*ends, UNTIL_CLOSE)) for ends in ((client, server), (server, client))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                await end(*ways)
                return False
            await copy(server, client, size)
            # The server has answered without reading all of the request: the rest could not be told from the next one.
            if not upload.done():
                return False
            await upload
        finally:
            await end(upload)
        closing = "close" in (request.headers.get("connection", "").lower(), answer.headers.get("connection", "").lower())
        return not closing and size != UNTIL_CLOSE

    async def _start_upload(self, client: Side, server: Side, request: Head, length: int, limit: int) -> None:
        await server.send(request.raw)
        if request.headers.get("expect", "").lower() == "100-continue":
            await client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await copy(client, server, length, limit)

    async def _answer(self, client: Side, server: Side) -> Head:
        """Returns the head of the answer, and before it passes on those of interim answers (1xx)."""
        while True:
            answer = await server.head()
            if answer.status >= 200 or answer.status == 101:
                return answer
            await client.send(answer.raw)

    async def _fail(self, client: Side, request: Head, rule: Rule) -> None:
        log(f"{request}: {rule.status or 'reset'}")
        if not rule.status:
            await client.flush_and_reset()
            return
        await client.send(error(self.kind, rule.status, request.method))
        with contextlib.suppress(asyncio.TimeoutError, OSError):
            await asyncio.wait_for(_discard(client.reader), LINGER)


async def _discard(reader: asyncio.StreamReader) -> None:
    while await reader.read(PIECE):
        pass


async def copy(source: Side, target: Side, length: int, limit: int | None = None, *, complete: bool = True) -> None:
    """Passes on a body as it arrives, or its first `limit` bytes. Unless `complete`, its end never passes."""
    left = limit if limit is not None else sys.maxsize
    if length != CHUNKED:
        size = length if length >= 0 else sys.maxsize
        # A client that has the last byte has the whole answer, and does not notice what happens to the connection.
        left = left if complete else min(left, size - 1)
        await _pass_on(source, target, min(size, left), to_end=length == UNTIL_CLOSE)
        return
    while True:
        line = await source.reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if size == 0 and not complete:
            return
        await target.send(line)
        if size == 0:
            break
        await _pass_on(source, target, min(size, left))
        if size > left:
            return
        left -= size
        await target.send(await source.reader.readexactly(2))
    # The trailers end with an empty line.
    while line != b"\r\n":
        line = await source.reader.readuntil(b"\r\n")
        await target.send(line)


async def _pass_on(source: Side, target: Side, length: int, *, to_end: bool = False) -> None:
    """Passes on so many bytes, with `to_end` fewer if the source ends before."""
    while length:
        piece = await source.reader.read(min(PIECE, length))
        if not piece and to_end:
            return
        if not piece:
            raise EOFError("disconnected within a body")
        await target.send(piece)
        length -= len(piece)


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancels tasks whose result or error is of no use any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def error(kind: str, status: int, method: str) -> bytes:
    """An error in the server's own format."""
    headers = {"Connection": "close", "Content-Type": "application/json"}
    if status == 429:
        headers["Retry-After"] = "1"
    if kind == "registry":
        text = json.dumps({"errors": [{"code": REGISTRY_CODES[status], "message": MESSAGE, "detail": None}]})
        if status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="ecr"'
    elif status == 429:
        # Priority and fairness answers with plain text, not with a Status object.
        headers["Content-Type"] = "text/plain; charset=utf-8"
        text = "Too many requests, please try again later.\n"
    else:
        # Errors of etcd are the usual 500s of an API server. They have no reason.
        what = {"message": "etcdserver: request timed out"} if status == 500 else {"message": MESSAGE}
        reason = {"reason": KUBERNETES_REASONS[status]} if status in KUBERNETES_REASONS else {}
        status_object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        text = json.dumps({**status_object, **what, **reason, "code": status})
    body = text.encode()
    headers["Content-Length"] = str(len(body))
    lines = [f"HTTP/1.1 {status} {PHRASES[status]}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if method == "HEAD" else body)


def log(text: str) -> None:
    print(text, flush=True)


def _address(text: str) -> tuple[str, int]:
    host, port = text.rsplit(":", 1)
    return host, int(port)


async def main() -> None:
    server = await Proxy(json.loads(sys.argv[1])).start()
    log("listening")
    await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    asyncio.run(main())
