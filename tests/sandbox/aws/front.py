"""What every request passes before and after moto.

1. Requests for the sandbox's own pages and moto's dashboard are passed on unchecked.
2. Identify the call; verify access key, session, region and signature. A failure is answered in the service's own format.
3. Refuse what IAM would refuse: calls that the caller's policies, a key's policy or a service's role do not allow.
4. Apply the fault rules: delay, then an error or no answer instead of the service (or after it, with `after`).
5. Let moto answer, unless a read gets an answer from before a change. S3 writes are serialized. An exception becomes a 501
   response.
6. Record the call if it changed something, and log one line. Without an answer, close the connection.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from . import call as calling
from . import calls, control, errors, faults, guard, identity, regions, sigv4, stale

Environ = dict[str, Any]
Start = Callable[..., Any]
App = Callable[[Environ, Start], Iterable[bytes]]

# STS accepts these without a signature, because the token authenticates the caller.
UNSIGNED = {"AssumeRoleWithWebIdentity", "AssumeRoleWithSAML"}

# moto checks and writes an object in two steps, but conditional writes (Terraform's state lock) must be atomic. One lock for
# all S3 writes is enough.
_s3_writes = threading.RLock()


class Front:
    """The WSGI application in front of moto's."""

    def __init__(self, moto: App):
        self.moto = moto

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if path.startswith("/sandbox/"):
            return control.answer(environ, start)
        if path.startswith("/moto-api") or path == "/favicon.ico":
            return self.moto(environ, start)
        call = calling.of(environ)
        started_at = time.monotonic()
        status, headers, chunks = self._serve(environ, call)
        if call.changes:
            calls.record(call, status)
        took = time.monotonic() - started_at
        sys.stderr.write(
            f"{time.strftime('%H:%M:%S')} {call.service} {call.action} {call.region} {status} {took:.3f}s {call.resource}\n"
        )
        if not status:
            hang_up(environ)
        start(f"{status} {'OK' if status < 400 else 'Refused'}", headers)
        return chunks

    def _serve(self, environ: Environ, call: calling.Call) -> tuple[int, list[tuple[str, str]], Iterable[bytes]]:
        refusal = self._refusal(environ, call)
        if refusal:
            return _whole(environ, refusal.render(call.service))
        rules = faults.on(call)
        faults.set_settling(rules)
        time.sleep(max((rule.delay for rule in rules), default=0))
        failing = next((rule for rule in rules if rule.fails), None)
        if failing and not failing.after:
            return _whole(environ, failing.answer(call.service))
        old = stale.old(environ, call)
        if old:
            return old
        if call.presigned and call.service == "sts":
            # moto finds the caller only in this header, not in the query.
            environ["HTTP_AUTHORIZATION"] = (
                f"AWS4-HMAC-SHA256 Credential={call.access_key}/x/{call.region}/sts/aws4_request, SignedHeaders=host, Signature=0"
            )
        try:
            if call.service == "s3" and call.changes:
                calling.body(environ)
                with _s3_writes:
                    answer = self._moto(environ)
            else:
                answer = self._moto(environ)
        except Exception as error:
            # moto raises for operations that it does not support. A 501 with the reason helps more than a closed
            # connection. NotImplementedError is expected and logged without a traceback.
            sys.stderr.write(f"{call.service} {call.action}: {type(error).__name__}: {error}\n")
            if not isinstance(error, NotImplementedError):
                import traceback

                traceback.print_exc()
            answer = errors.Refusal(
                501, "NotImplemented", f"the sandbox's AWS does not support {call.service}:{call.action}: {error}"
            ).render(call.service)
            return _whole(environ, answer)
        if faults.may_get_stale(call):
            answer = stale.keep(environ, call, answer)
        times = max((rule.stale for rule in rules), default=0)
        if times and answer[0] < 400:
            stale.changed(call, times)
        if failing:
            return _whole(environ, failing.answer(call.service))
        return answer

    def _refusal(self, environ: Environ, call: calling.Call) -> errors.Refusal | None:
        if call.action in UNSIGNED:
            return None
        if not call.access_key:
            return errors.unsigned(call.service)
        try:
            who = identity.of(call.access_key, call.session_token)
        except identity.Unknown:
            return errors.unknown_key(call.service)
        except identity.Expired:
            return errors.expired(call.service)
        if not regions.enabled(call.region):
            return errors.unknown_key(call.service)
        hashed = "HTTP_X_AMZ_CONTENT_SHA256" in environ
        try:
            sigv4.check(environ, calling.raw_path(environ), None if hashed else calling.body(environ), who.secret)
        except sigv4.Refused as why:
            return errors.bad_signature(call.service, str(why))
        return guard.refusal(environ, call, who)

    def _moto(self, environ: Environ) -> tuple[int, list[tuple[str, str]], Iterable[bytes]]:
        seen: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], _exc: Any = None) -> Callable[[bytes], None]:
            seen[:] = [int(status.split()[0]), headers]
            return lambda _chunk: None

        chunks = self.moto(environ, start)
        return seen[0], seen[1], chunks


def hang_up(environ: Environ) -> NoReturn:
    """Closes the connection of a request without an answer."""
    # The server would wait for the client's next request on a connection that it only stops writing to.
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    # The server takes this for a client that is gone, and answers nothing. Any other exception becomes a 500 response.
    raise ConnectionAbortedError


def _whole(
    environ: Environ, answer: tuple[int, list[tuple[str, str]], bytes]
) -> tuple[int, list[tuple[str, str]], Iterable[bytes]]:
    status, headers, text = answer
    # The body must be read: closing a socket with unread data resets the connection, and the client may lose the answer.
    calling.body(environ)
    body = b"" if environ["REQUEST_METHOD"] == "HEAD" else text
    return status, [*headers, ("Content-Length", str(len(body)))], [body]
