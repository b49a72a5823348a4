"""A proxy on loopback that cuts, delays, repeats, holds back and answers for the API server behind it.

What befalls a request is data: a `Fault`, chosen for each request as it comes by the proxy's `plan`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}


class Then(Enum):
    """What becomes of the connection after the answer."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"


@dataclass(frozen=True)
class Fault:
    """What befalls one request.

    `acts`: how often the API server gets it. `answer`: bytes in place of its own answer (None: its own). `cut`: only
    half of its own body, `short` with a length that says so. `late`: it gets the request only once the client has
    given up. `stale`: an earlier answer to the same request, if there was one. `delay` in seconds.
    """

    name: str
    acts: int = 0
    answer: bytes | None = None
    then: Then = Then.KEEP
    cut: bool = False
    short: bool = False
    late: bool = False
    stale: bool = False
    delay: float = 0.0

    def __str__(self) -> str:
        return self.name

    @property
    def usable(self) -> bool:
        """Whether the client gets an answer that it can take for the API server's own."""
        return self.answer is None and not self.cut and not self.late

    @property
    def after_the_act(self) -> Fault:
        return replace(self, name=f"{self.name}, after it acted", acts=1)


def _answer(status: int, body: bytes | dict[str, Any], *headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "text/html" if isinstance(body, bytes) else "application/json"
    lines = [f"HTTP/1.1 {status} {http.client.responses[status]}", f"Content-Type: {kind}", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content


def _status(code: int, *headers: str) -> bytes:
    message = f"made up: {http.client.responses[code]}"
    return _answer(code, {"kind": "Status", "status": "Failure", "message": message, "code": code}, *headers)


def _stream(*parts: bytes, end: bool = False) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + (b"0\r\n\r\n" if end else b"")


def _event(event: str, **content: Any) -> bytes:
    return json.dumps({"type": event, "object": content}).encode() + b"\n"


PAGE = b"<html><body>Please sign in</body></html>"
RESET = Fault("reset", answer=b"", then=Then.RESET)
HANGS = Fault("hangs", answer=b"", then=Then.HANG)
THROTTLED = Fault("429", answer=_status(429, "Retry-After: 1"))
UNAUTHORIZED = Fault("401", answer=_status(401))
ERRORS = tuple(Fault(str(code), answer=_status(code)) for code in (500, 502, 503, 504))
HTML = Fault("HTML with 200", answer=_answer(200, PAGE))
NO_ROUTE = Fault("HTML with 404", answer=_answer(404, PAGE))
TRUNCATED = Fault("truncated JSON", acts=1, cut=True, short=True)
BROKEN_OFF = Fault("broken off", acts=1, cut=True, then=Then.RESET)
DELAYED = Fault("delayed", acts=1, delay=0.05)
REPEATED = Fault("repeated", acts=2)
HELD = Fault("held back", acts=1, late=True)
STALE = Fault("stale", acts=1, stale=True)

BEFORE_THE_ACT = (RESET, HANGS, THROTTLED, UNAUTHORIZED, *ERRORS, HTML, NO_ROUTE)
AFTER_THE_ACT = (
    *(fault.after_the_act for fault in (RESET, HANGS, *ERRORS, HTML, NO_ROUTE)),
    *(TRUNCATED, BROKEN_OFF, DELAYED, REPEATED, HELD),
)
READ_FAULTS = (*BEFORE_THE_ACT, TRUNCATED, BROKEN_OFF, DELAYED, REPEATED)
WRITE_FAULTS = (*BEFORE_THE_ACT, *AFTER_THE_ACT)

SILENT = Fault("silent", answer=_stream(), then=Then.HANG)
_BOOKMARK = _event("BOOKMARK", kind="Pod", metadata={"resourceVersion": "1"})
WATCH_FAULTS = (
    *(RESET, HANGS, THROTTLED, UNAUTHORIZED, *ERRORS, HTML, NO_ROUTE),
    Fault("closes at once", answer=_stream(end=True)),
    SILENT,
    Fault("silent after its first words", acts=1, then=Then.HANG),
    Fault("410", answer=_status(410)),
    Fault("ERROR 410", answer=_stream(_event("ERROR", kind="Status", code=410, reason="Expired"), end=True)),
    Fault("ERROR 500", answer=_stream(_event("ERROR", kind="Status", code=500)), then=Then.HANG),
    Fault("garbage", answer=_stream(b"\x00\xff{]\n"), then=Then.HANG),
    Fault("no object", answer=_stream(b"[]\n"), then=Then.HANG),
    Fault("half a line", answer=_stream(b'{"type":"MODIFIED","obj'), then=Then.RESET),
    Fault("half a line, silent", answer=_stream(b'{"type":"MODIFIED","obj'), then=Then.HANG),
    Fault("a bookmark alone", answer=_stream(_BOOKMARK), then=Then.HANG),
)


@dataclass
class Exchange:
    """One request as the proxy saw it. `statuses` are the API server's own answers, one each time it got it."""

    verb: str
    path: str
    query: dict[str, str]
    token: str
    body: Any
    at: float = field(default_factory=time.monotonic)
    fault: Fault | None = None
    statuses: list[int] = field(default_factory=list)

    @property
    def accepted_delete(self) -> bool:
        return self.verb == "delete" and 200 in self.statuses


Plan = Callable[[Exchange], Fault | None]


def once(verb: str, *faults: Fault) -> Plan:
    """Let these befall the first requests of that verb, one each."""
    left = list(faults)
    return lambda exchange: left.pop(0) if left and exchange.verb == verb else None


def always(fault: Fault, *verbs: str) -> Plan:
    return lambda exchange: fault if exchange.verb in verbs else None


class FaultProxy:
    """Stands on a free port of 127.0.0.1 in front of `server` (an http URL) until it is left."""

    def __init__(self, server: str) -> None:
        self.server = urlsplit(server).netloc
        self.plan: Plan = lambda _: None
        self.exchanges: list[Exchange] = []
        self.lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._bodies: dict[str, tuple[int, bytes]] = {}
        self._http = _HttpServer(("127.0.0.1", 0), _Handler)
        self._http.proxy = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=[0.01], name="fault-proxy")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        with self.lock:
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._http.server_close()  # waits for every connection's thread

    def befalls(self, exchange: Exchange) -> Fault | None:
        """Note a request, and tell what befalls it."""
        with self.lock:
            self.exchanges.append(exchange)
        exchange.fault = self.plan(exchange)
        return exchange.fault

    @contextlib.contextmanager
    def open(self, one: socket.socket) -> Iterator[None]:
        """Know a socket for as long as it is open, so that leaving ends it."""
        with self.lock:
            self._sockets.add(one)
        try:
            yield
        finally:
            with self.lock:
                self._sockets.discard(one)

    def cached(self, path: str, fresh: tuple[int, bytes]) -> tuple[int, bytes]:
        """Give the first answer that there was to a path and query."""
        with self.lock:
            return self._bodies.setdefault(path, fresh)


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = False
    proxy: FaultProxy

    def server_bind(self) -> None:
        # HTTPServer's own looks its host name up, which can take seconds without a network.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()


class _Left(Exception):
    """No error: the connection has been ended on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _HttpServer

    def handle(self) -> None:
        with self.server.proxy.open(self.connection), contextlib.suppress(_Left, OSError, http.client.HTTPException):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class's name
        """Say nothing: `FaultProxy.exchanges` tells all."""

    def do_GET(self) -> None:
        proxy = self.server.proxy
        parts = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        read = json.loads(body) if body else None
        exchange = Exchange(_verb(self.command, parts.path, query), parts.path, query, token, read)
        fault = proxy.befalls(exchange) or Fault("none", acts=1)
        if fault.late:
            self._wait_till_client_left()
        time.sleep(fault.delay)
        if exchange.verb == "watch" and fault.answer is None:
            self._pass_watch(exchange, fault.then)
            return
        status, content = 0, b""
        for _ in range(fault.acts):
            status, content = self._forwarded(exchange, body)
        if fault.answer is not None:
            self.wfile.write(fault.answer)
        else:
            earlier = proxy.cached(self.path, (status, content))
            status, content = earlier if fault.stale else (status, content)
            kept = content[: len(content) // 2] if fault.cut else content
            length = len(kept) if fault.short else len(content)
            head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
            self.wfile.write(head.encode() + kept)
        self._end(fault.then)

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 -- the base class looks for these

    def _upstream(self, body: bytes) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        upstream = http.client.HTTPConnection(self.server.proxy.server)
        headers = {key: value for key, value in self.headers.items() if key not in ("Host", "Content-Length")}
        upstream.request(self.command, self.path, body or None, headers)
        return upstream, upstream.getresponse()

    def _forwarded(self, exchange: Exchange, body: bytes) -> tuple[int, bytes]:
        upstream, response = self._upstream(body)
        with contextlib.closing(upstream):
            content = response.read()
            exchange.statuses.append(response.status)
            return response.status, content

    def _pass_watch(self, exchange: Exchange, after_its_first_words: Then) -> None:
        upstream, response = self._upstream(b"")
        exchange.statuses.append(response.status)
        with contextlib.closing(upstream), contextlib.closing(response), self.server.proxy.open(upstream.sock):
            self.wfile.write(_stream())
            while part := response.read1():
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                self._end(after_its_first_words)
            self.wfile.write(b"0\r\n\r\n")

    def _end(self, then: Then) -> None:
        if then is Then.KEEP:
            return
        if then is Then.HANG:
            self._wait_till_client_left()
        if then is Then.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())  # without the FIN that a shutdown sends first
        raise _Left

    def _wait_till_client_left(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.recv(1)


def _verb(method: str, path: str, query: dict[str, str]) -> str:
    if method == "GET" and query.get("watch"):
        return "watch"
    if method == "GET" and path.endswith(("/pods", "/events")):
        return "list"
    return VERBS[method]
