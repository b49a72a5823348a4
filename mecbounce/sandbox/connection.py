"""One HTTP connection, in a thread of its own: it reads one request after another and writes the answers."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, cast

from mecbounce.sandbox import errors
from mecbounce.sandbox.answers import Answer, refusal, to_json
from mecbounce.sandbox.clock import http_date
from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.requests import read_call
from mecbounce.sandbox.resources import Object

if TYPE_CHECKING:
    from mecbounce.sandbox.server import Fault, Server


class _Dropped(Exception):
    """Ends a connection without an answer."""


class Connection(BaseHTTPRequestHandler):
    """Serves a connection until the client or the server ends it; the constructor returns after that."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server  # type: ignore[assignment]  # the base class only keeps it

    def __init__(self, connection: socket.socket, address: Any, server: Server) -> None:
        super().__init__(connection, address, cast("Any", server))

    def handle(self) -> None:
        with contextlib.suppress(_Dropped, ConnectionError, TimeoutError, ValueError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Log nothing: `Sandbox.requests` lists every request."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = read_call(self.command, self.path, self.headers, body, self.server.api.routes)
        self._number = self.server.add_request(call.request)
        self.wait_while_held()
        fault = self.server.take_fault(self.command, self.path)
        if fault and not fault.after:
            self._fail(fault)
            return
        try:
            answer = self.server.api.answer(call)
            if not isinstance(answer, Answer):
                answer(self)
        except ApiError as error:
            answer = refusal(error)
        except (AttributeError, KeyError, TypeError) as error:
            # The body is JSON but no Kubernetes object. The real server answers 500 or 400 too, and goes on.
            answer = refusal(ApiError(500, f"the sandbox cannot interpret this request: {error!r}"))
        if fault:
            self._fail(fault)
        elif isinstance(answer, Answer):
            self._send_answer(answer)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815  # the base class looks for these

    def wait_while_held(self) -> None:
        self.server.released.wait()
        if self.server.stopping:
            raise _Dropped

    def send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        """Send head and content in one write, so in one packet if they fit; note the status."""
        self.server.set_status(self._number, status)
        phrase = self.responses.get(cast("Any", status), ("",))[0]
        lines = [f"{field}: {value}" for field, value in {"Date": http_date(), **headers}.items()]
        self.wfile.write("\r\n".join([f"HTTP/1.1 {status} {phrase}", *lines, "", ""]).encode() + content)

    def send_stream(self, objects: Iterable[Object]) -> None:
        """Send a chunked answer: each object as soon as it is there."""
        headers = {
            "Content-Type": "application/json",
            "Cache-Control": "no-cache, private",
            "Transfer-Encoding": "chunked",
        }
        self.send(200, headers, b"")
        for obj in objects:
            data = to_json(obj)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def _send_answer(self, answer: Answer) -> None:
        content = answer.content()
        headers = {"Content-Type": answer.content_type, "Content-Length": str(len(content)), **answer.headers}
        self.send(answer.status, headers, b"" if self.command == "HEAD" else content)

    def _fail(self, fault: Fault) -> None:
        if fault.status is None:
            raise _Dropped
        answer = refusal(errors.of_status(fault.status, retry_after=fault.retry_after))
        if fault.retry_after is not None:
            answer.headers["Retry-After"] = str(fault.retry_after)
        self._send_answer(answer)
