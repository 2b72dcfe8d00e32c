"""The proxy fails the requests that its rules hit, at the right byte, and passes on everything else; and its start."""

import asyncio
import http.client
import http.server
import json
import queue
import socket
import ssl
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

import breaking
import pki
import processes
import proxy

SIZE = 300_000


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/upgrade":
            self.send_response(101)
            self.end_headers()
            self.wfile.write(self.rfile.readline().upper())
            self.close_connection = True
            return
        if self.path in ("/204", "/304"):
            self.send_response(int(self.path[1:]))
            self.end_headers()
            return
        self.send_response(200)
        if self.path == "/until-close":
            self.close_connection = True
            self.end_headers()
            self.wfile.write(b"l" * SIZE)
            return
        self.send_header("Transfer-Encoding" if self.path == "/chunked" else "Content-Length",
                         "chunked" if self.path == "/chunked" else str(SIZE))
        self.end_headers()
        if self.path == "/chunked":
            for size in (SIZE - 5, 5):
                self.wfile.write(b"%x\r\n%s\r\n" % (size, b"c" * size))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.wfile.write(b"l" * SIZE)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()

    def do_PATCH(self) -> None:
        read = 0
        try:
            while piece := self.rfile.read1(min(65536, int(self.headers["Content-Length"]) - read)):
                read += len(piece)
        finally:
            self.server.uploads.put((self.path, read))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """`uploads` has the path and the received bytes of each upload that has ended, complete or not."""

    daemon_threads = True

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.uploads: queue.Queue[tuple[str, int]] = queue.Queue()

    def handle_error(self, *_) -> None:
        """The proxy resets connections in the middle of a request."""


class Requests(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        pki.create_authority(folder, "test")
        pki.issue(folder, folder / "server", "server", hosts=("127.0.0.1",))
        cls.files = {"certificate": f"{folder}/server.crt", "key": f"{folder}/server.key", "authority": f"{folder}/ca.crt"}
        cls.trusting = ssl.create_default_context(cafile=cls.files["authority"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cls.files["certificate"], cls.files["key"])
        cls.upstream = Server(("127.0.0.1", 0), Upstream)
        cls.upstream.socket = context.wrap_socket(cls.upstream.socket, server_side=True)
        threading.Thread(target=cls.upstream.serve_forever, daemon=True).start()
        cls.loop = asyncio.new_event_loop()
        threading.Thread(target=cls.loop.run_forever, daemon=True).start()

    def client(self, *rules: dict, kind: str = "registry") -> http.client.HTTPSConnection:
        configuration = {"kind": kind, "listen": "127.0.0.1:0", "rules": rules, **self.files}
        instance = proxy.Proxy({**configuration, "to": f"127.0.0.1:{self.upstream.server_port}"})
        server = asyncio.run_coroutine_threadsafe(instance.start(), self.loop).result(5)
        self.addCleanup(self.loop.call_soon_threadsafe, server.close)
        port = server.sockets[0].getsockname()[1]
        client = http.client.HTTPSConnection("127.0.0.1", port, context=self.trusting, timeout=5)
        self.addCleanup(client.close)
        return client

    def ask(self, client: http.client.HTTPSConnection, method: str, path: str, **more) -> tuple[int, bytes]:
        client.request(method, path, **more)
        answer = client.getresponse()
        return answer.status, answer.read()

    def uploaded(self, path: str) -> int:
        """The number of bytes that the server received of the next upload to a path. Others may end late."""
        while True:
            found, size = self.upstream.uploads.get(timeout=5)
            if found == path:
                return size

    def until_reset(self, client: http.client.HTTPSConnection, method: str, path: str) -> tuple[bytes, bytes]:
        """The head and the body, as they were sent, of an answer that a reset cuts off.

        TLS apart from its socket, because `SSLSocket` reports a reset as an end, at least in Python 3.11.
        """
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.trusting.wrap_bio(incoming, outgoing, server_hostname=client.host)
        received = b""
        with socket.create_connection((client.host, client.port), timeout=5) as connection:

            def until_done(function, *arguments):
                while True:
                    try:
                        result = function(*arguments)
                    except ssl.SSLWantReadError:
                        result = None
                    # Sending nothing would report a reset before what has arrived is read.
                    if outgoing.pending:
                        connection.sendall(outgoing.read())
                    if result is not None:
                        return result
                    piece = connection.recv(65536)
                    self.assertTrue(piece, "ended without a reset")
                    incoming.write(piece)

            until_done(lambda: tls.do_handshake() or True)
            until_done(tls.write, f"{method} {path} HTTP/1.1\r\n\r\n".encode())
            with self.assertRaises(ConnectionResetError):
                while True:
                    received += until_done(tls.read, 65536)
        head, _, body = received.partition(b"\r\n\r\n")
        return head, body

    def test_requests_that_no_rule_hits_share_a_connection(self):
        client = self.client({"path": "/other", "status": 500})
        self.assertEqual(self.ask(client, "GET", "/chunked"), (200, b"c" * SIZE))
        used = client.sock
        self.assertEqual(self.ask(client, "HEAD", "/"), (200, b""))
        self.assertEqual(self.ask(client, "PATCH", "/", body=b"x" * SIZE), (202, b""))
        self.assertEqual(self.ask(client, "GET", "/"), (200, b"l" * SIZE))
        self.assertIs(client.sock, used)

    def test_a_rule_skips_requests_before_it_fails_some(self):
        client = self.client({"method": "GET", "authorization": "Bearer mine*", "skip": 1, "status": 403})
        mine = {"headers": {"Authorization": "Bearer mine.1"}}
        found = [self.ask(client, "GET", "/", **more)[0] for more in (mine, {}, mine, mine)]
        self.assertEqual(found, [200, 200, 403, 200])

    def test_an_upload_fails_in_the_middle_and_the_client_sees_the_error(self):
        client = self.client({"method": "PATCH", "status": 429, "bytes": 100_000})
        status, body = self.ask(client, "PATCH", "/blobs/uploads/1", body=b"x" * SIZE)
        self.assertEqual((status, json.loads(body)["errors"][0]["code"]), (429, "TOOMANYREQUESTS"))
        self.assertEqual(self.uploaded("/blobs/uploads/1"), 100_000)
        self.assertEqual(self.ask(client, "PATCH", "/blobs/uploads/1", body=b"x" * SIZE)[0], 202)
        self.assertEqual(self.uploaded("/blobs/uploads/1"), SIZE)

    def test_a_short_upload_fails_as_well(self):
        client = self.client({"method": "PATCH", "status": 500, "bytes": 100_000})
        self.assertEqual(self.ask(client, "PATCH", "/blobs/uploads/short", body=b"x" * 10)[0], 500)
        self.assertEqual(self.uploaded("/blobs/uploads/short"), 10)

    def test_a_download_is_cut_off_in_the_middle(self):
        for path, letter in (("/", b"l"), ("/until-close", b"l"), ("/chunked", b"c")):
            with self.subTest(path):
                client = self.client({"status": 500, "bytes": 100_000})
                head, body = self.until_reset(client, "GET", path)
                self.assertIn(b" 200 ", head)
                # The size of a chunk, 493db, has neither letter.
                self.assertEqual(body.count(letter), 100_000)
                self.assertEqual(self.ask(client, "GET", path), (200, letter * SIZE))

    def test_a_short_download_is_cut_off_before_its_end(self):
        for path, letter, size in (("/", b"l", SIZE - 1), ("/until-close", b"l", SIZE), ("/chunked", b"c", SIZE)):
            for limit in (SIZE, 2 * SIZE):
                with self.subTest(path, limit=limit):
                    client = self.client({"bytes": limit})
                    body = self.until_reset(client, "GET", path)[1]
                    self.assertEqual(body.count(letter), size)
                    self.assertFalse(body.endswith(b"0\r\n\r\n"))
                    self.assertEqual(self.ask(client, "GET", path), (200, letter * SIZE))

    def test_an_answer_without_a_body_is_cut_off_before_its_head(self):
        for method, path in (("HEAD", "/"), ("GET", "/204"), ("GET", "/304"), ("GET", "/upgrade")):
            with self.subTest(f"{method} {path}"):
                client = self.client({"bytes": 10})
                self.assertEqual(self.until_reset(client, method, path), (b"", b""))

    def test_without_a_status_the_connection_is_reset(self):
        client = self.client({"count": 2}, kind="kubernetes")
        self.assertEqual(self.until_reset(client, "GET", "/"), (b"", b""))
        # While it still sends, a client may see a broken pipe instead.
        with self.assertRaises((ConnectionResetError, BrokenPipeError, ssl.SSLError)):
            self.ask(client, "PATCH", "/", body=b"x" * SIZE)
        client.close()
        self.assertEqual(self.ask(client, "GET", "/")[0], 200)

    def test_errors_have_the_format_of_the_server(self):
        forbidden = json.loads(proxy.error("kubernetes", 403, "GET").split(b"\r\n\r\n")[1])
        self.assertEqual((forbidden["reason"], forbidden["code"]), ("Forbidden", 403))
        self.assertIn(b"\r\nRetry-After: 1\r\n", proxy.error("kubernetes", 429, "GET"))
        self.assertIn(b"WWW-Authenticate", proxy.error("registry", 401, "GET"))
        self.assertTrue(proxy.error("registry", 500, "HEAD").endswith(b"\r\n\r\n"))

    def test_an_upgraded_connection_is_passed_on(self):
        client = self.client()
        client.connect()
        client.sock.sendall(b"GET /upgrade HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        received = b""
        while not received.endswith(b"HELLO\n"):
            if received.endswith(b"\r\n\r\n"):
                client.sock.sendall(b"hello\n")
            received += client.sock.recv(1024)

    def test_a_client_that_expects_permission_gets_it_before_its_upload_fails(self):
        client = self.client({"status": 401, "bytes": 10})
        client.connect()
        client.sock.sendall(b"PATCH / HTTP/1.1\r\nContent-Length: 20\r\nExpect: 100-continue\r\n\r\n")
        self.assertIn(b"100 Continue", client.sock.recv(1024))
        client.sock.sendall(b"x" * 20)
        self.assertTrue(client.sock.recv(1024).startswith(b"HTTP/1.1 401"))

    def test_a_server_that_is_away_resets_the_client(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.upstream, kept = type("Away", (), {"server_port": port}), self.upstream
        self.addCleanup(setattr, self, "upstream", kept)
        with self.assertRaises(OSError):
            self.ask(self.client(), "GET", "/")

    def test_an_invalid_rule_is_refused(self):
        with self.assertRaisesRegex(ValueError, "stauts"):
            proxy.Rule.parse({"stauts": 500})
        with self.assertRaisesRegex(ValueError, "418"):
            proxy.Rule.parse({"status": 418})


class Parts(unittest.TestCase):
    def test_a_registry_behind_the_proxy_differs_in_its_address_only(self):
        call = {"argv": ["docker-registry"], "environment": {"A": "b"}, "user": "someone", "directory": "/var"}
        process = processes.Process("ecr-spain", 1, 2, "boot", 15, call)
        served = {"http": {"addr": "10.89.1.1:5601", "tls": {"certificate": "c", "key": "k"}}}
        with (
            mock.patch.multiple(breaking, _configuration=lambda _: served, _wait_listening=mock.DEFAULT),
            mock.patch.multiple(breaking.processes, named=lambda _: process, stop=mock.DEFAULT, spawn=mock.DEFAULT) as mocks,
        ):
            breaking._start_registry("ecr-spain", [])
        behind = mocks["spawn"].call_args_list[0]
        self.assertEqual(behind.args, ("ecr-spain-behind",))
        address = {"A": "b", "REGISTRY_HTTP_ADDR": "10.89.1.1:5611"}
        self.assertEqual(behind.kwargs, {**call, "environment": address})


if __name__ == "__main__":
    unittest.main()
