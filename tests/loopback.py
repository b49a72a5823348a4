"""Servers on loopback that tell what reached them: an API server, TLS before it, and the proxies on the way to it."""

from __future__ import annotations

import base64
import json
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

NO_PODS = json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []})
PATIENCE = 10.0  # seconds


@dataclass(frozen=True)
class Seen:
    """One request as it came: headers in their order, a name as often as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    owner: Any

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that leaves is no fault here."""


class Listener:
    """A server on a free port of 127.0.0.1, for the length of a `with`."""

    handler: type[socketserver.BaseRequestHandler]

    def __enter__(self) -> Any:
        self._server = _Server(("127.0.0.1", 0), self.handler)
        self._server.owner = self
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)


class _ApiHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.server.owner.date or super().date_time_string(timestamp)

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        owner: ApiServer = self.server.owner
        owner.seen.append(Seen(self.command, self.path, list(self.headers.items())))
        with suppress(OSError):
            owner.answer(self)

    do_POST = do_DELETE = do_PATCH = do_GET  # noqa: N815 -- the base class looks for these


class ApiServer(Listener):
    """Answers every request with `answer`, an empty list of pods unless set; `date` is the Date that it tells."""

    handler = _ApiHandler

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None] | None = None) -> None:
        self.seen: list[Seen] = []
        self.date = ""
        self.answer = answer or said(200, NO_PODS)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def said(status: int, body: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body.encode())

    return answer


def dripping(head: bytes, byte: bytes, pause: float = 0.05) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with `head`, and then a byte at a time for as long as somebody listens."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(head)
        for _ in range(int(PATIENCE / pause)):
            handler.wfile.write(byte)
            time.sleep(pause)

    return answer


def pump(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""

    def carry(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=carry, args=[other, one], daemon=True)
    back.start()
    carry(one, other)
    back.join(PATIENCE)


@dataclass
class _Way(Listener):
    """Something between the client and an API server, which listens at `upstream`, whatever name it is asked for."""

    upstream: int
    tls: ssl.SSLContext | None = None
    seen: list[Any] = field(default_factory=list)

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.upstream)) as made:
            yield made


class _Raw(socketserver.BaseRequestHandler):
    server: Any

    def setup(self) -> None:
        self.way: Any = self.server.owner
        if self.way.tls is not None:
            self.request = self.way.tls.wrap_socket(self.request, server_side=True)

    def head(self) -> list[str]:
        raw = b""
        while not raw.endswith(b"\r\n\r\n") and (byte := self.request.recv(1)):
            raw += byte
        return raw.decode("latin-1").split("\r\n")

    def finish(self) -> None:
        with suppress(OSError):
            self.request.close()


class _TlsHandler(_Raw):
    def handle(self) -> None:
        peer = self.request.getpeercert() or {}
        self.way.seen.append(dict(pair for part in peer.get("subject", ()) for pair in part).get("commonName", ""))
        with self.way.connection() as upstream:
            pump(self.request, upstream)


@dataclass
class TlsFront(_Way):
    """TLS before an API server. `names` are the server names (SNI) that it was asked for; `seen` whose certificates."""

    names: list[str | None] = field(default_factory=list)
    handler = _TlsHandler

    def __post_init__(self) -> None:
        assert self.tls is not None
        self.tls.sni_callback = lambda _socket, name, _context: self.names.append(name)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


class _HttpProxyHandler(_Raw):
    def handle(self) -> None:
        line, *headers = self.head()
        if not line:
            return
        method, target, _ = line.split()
        pairs = [(name, value.strip()) for name, _, value in (one.partition(":") for one in headers if one)]
        asked = Seen(method, target, pairs)
        self.way.seen.append(asked)
        user = [base64.b64decode(one.partition(" ")[2]).decode() for one in asked.all("Proxy-Authorization")]
        if self.way.user and user != [self.way.user]:
            self.request.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        with self.way.connection() as upstream:
            if method == "CONNECT":
                self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                headers = [one for one in headers if not one.lower().startswith("proxy-authorization:")]
                path = "/" + target.partition("://")[2].partition("/")[2]
                upstream.sendall("\r\n".join([f"{method} {path} HTTP/1.1", *headers[:-1], ""]).encode("latin-1"))
            pump(self.request, upstream)


@dataclass
class HttpProxy(_Way):
    """An HTTP or, with `tls`, an HTTPS proxy; `user`: who alone may use it, with the password."""

    user: str = ""
    handler = _HttpProxyHandler


class _SocksHandler(_Raw):
    def take(self, count: int) -> bytes:
        taken = b""
        while len(taken) < count and (more := self.request.recv(count - len(taken))):
            taken += more
        return taken

    def handle(self) -> None:
        methods = self.take(self.take(2)[1])
        user = ""
        if self.way.user:
            assert 2 in methods
            self.request.sendall(b"\x05\x02")
            name = self.take(self.take(2)[1]).decode()
            user = f"{name}:{self.take(self.take(1)[0]).decode()}"
            self.request.sendall(b"\x01\x00" if user == self.way.user else b"\x01\x01")
        else:
            self.request.sendall(b"\x05\x00")
        kind = self.take(4)[3]
        host = self.take(self.take(1)[0]).decode() if kind == 3 else socket.inet_ntoa(self.take(4))
        port = int.from_bytes(self.take(2), "big")
        self.way.seen.append((host, port, user))
        self.request.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        with self.way.connection() as upstream:
            pump(self.request, upstream)


@dataclass
class SocksProxy(_Way):
    """A SOCKS 5 proxy; `seen` are the hosts and ports that it was asked for, and by whom."""

    user: str = ""
    handler = _SocksHandler


class Authority:
    """A certificate authority, and what it has signed: a server by the name api.test and 127.0.0.1, and a client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.crt"
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
        usage = ["-addext", "keyUsage=critical,keyCertSign", "-addext", "basicConstraints=critical,CA:TRUE"]
        self._run("req", "-x509", *kind, "-subj", "/CN=test", *usage, "-keyout", "ca.key", "-out", "ca.crt")
        for name, subject in (("server", "subjectAltName=DNS:api.test"), ("here", "subjectAltName=IP:127.0.0.1")):
            self._sign(name, kind, subject)
        self._sign("client", kind, "extendedKeyUsage=clientAuth")

    def _sign(self, name: str, kind: list[str], extension: str) -> None:
        self._run("req", *kind[:-2], "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (self.folder / "extension").write_text(extension)
        by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "extension"]
        self._run("x509", "-req", "-in", f"{name}.csr", *by, "-out", f"{name}.crt")

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)  # noqa: S607

    def context(self, name: str) -> ssl.SSLContext:
        """Make a server's TLS; it takes a client's certificate, and asks nobody for one."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        made.load_verify_locations(self.certificate)
        made.verify_mode = ssl.CERT_OPTIONAL
        return made

    def pem(self, file: str) -> str:
        return (self.folder / file).read_text()

    def data(self, file: str) -> str:
        return base64.b64encode((self.folder / file).read_bytes()).decode()
