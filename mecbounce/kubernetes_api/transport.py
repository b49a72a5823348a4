"""How a request is sent: with which headers, and for how long at most.

The official client makes a request, and `Wire` sends it in place of the client's own pool. The client keeps headers in
a dict, which can't hold one name twice; several Impersonate-Group headers need that.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import urllib3
import websocket
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ProtocolError, ProxySchemeUnsupported, SSLError
from urllib3.exceptions import TimeoutError as Late
from urllib3.util import parse_url

from mecbounce.kubernetes_api.proxies import PORTS, Proxy

WHOLE = 20.0  # seconds for a request, from its connection to the last byte of its answer; a watch may take longer
CONNECTED = 10.0  # seconds for name resolution, connection and TLS handshake together
EARLIEST, LATEST = 1970, 9000  # years of a Date that is believed: other years could overflow in arithmetic
Headers = list[tuple[str, str]]


class ServerClock:
    """The API server's own time: its last `Date` header, plus the time since then."""

    def __init__(self) -> None:
        self._told: tuple[datetime, float] | None = None

    def update(self, date: str | None) -> None:
        """Take in a `Date` header. A missing or malformed one changes nothing."""
        with suppress(ValueError, TypeError, OverflowError):
            told = parsedate_to_datetime(date or "")
            if told.tzinfo is not None and EARLIEST <= told.year < LATEST:
                self._told = told.astimezone(UTC), _ticks()

    def now(self) -> datetime | None:
        """Give the server's time now, in UTC; None before the first answer."""
        if (told := self._told) is None:
            return None
        return told[0] + timedelta(seconds=_ticks() - told[1])


def _ticks() -> float:
    """Give seconds of a clock that goes on while this machine sleeps, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


# --- for how long at most ----------------------------------------------------------------------------------------

_LOCK = threading.RLock()  # held to read or change which request a connection serves
_running = threading.local()
os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


class _Allowance:
    """The time that one whole request may take. After that its connection is shut down."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.over = False
        self._connection: Any = None
        self._socket: Any = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        _running.allowance = self
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Raise Late if the time was over, in place of the error of the connection that was cut."""
        self._timer.cancel()
        _running.allowance = None
        if kind is None or issubclass(kind, Exception):
            self.check()

    def take(self, connection: Any) -> None:
        """Remember the connection and its socket, which the connection forgets when the server closes."""
        self._connection, self._socket = connection, connection.sock or self._socket
        self.check()

    def check(self) -> None:
        if self.over:
            raise Late(f"no complete answer within {self.seconds:.0f} s")

    def _cut(self) -> None:
        with _LOCK:
            self.over = True
            # Not if the connection is back in the pool and already serves the next request.
            if self._connection is not None and self._connection.allowance is self:
                sock = self._connection.sock or self._socket
                with suppress(OSError, TypeError):  # TypeError: there is none yet
                    socket.socket.shutdown(getattr(sock, "socket", sock), socket.SHUT_RDWR)


class _Limited:
    """A mix-in for urllib3's connections: it tells a request's allowance which connection serves the request."""

    allowance: _Allowance | None = None

    def connect(self) -> None:
        """Connect in a thread: nothing can interrupt the wait for a name server, so the thread is left behind."""
        self._serve()
        raised: list[BaseException] = []
        late = threading.Event()

        def connect() -> None:
            try:
                super(_Limited, self).connect()  # type: ignore[misc]
            except BaseException as error:  # noqa: BLE001 -- raised again in the thread that waits
                raised.append(error)
            if late.is_set():
                self.close()  # type: ignore[attr-defined]

        thread = threading.Thread(target=connect, name="mecbounce-connect", daemon=True)
        thread.start()
        thread.join(CONNECTED)
        if thread.is_alive():
            late.set()
            raise Late(f"no connection within {CONNECTED:.0f} s, name resolution included")
        if raised:
            raise raised[0]
        self._serve()

    def request(self, *args: Any, **options: Any) -> None:
        self._serve()
        super().request(*args, **options)  # type: ignore[misc]

    def _serve(self) -> None:
        with _LOCK:
            self.allowance = getattr(_running, "allowance", None)
            if self.allowance is not None:
                self.allowance.take(self)


def _limited(pool: Any) -> Any:
    connection = type(f"Limited{pool.ConnectionCls.__name__}", (_Limited, pool.ConnectionCls), {})
    return type(f"Limited{pool.__name__}", (pool,), {"ConnectionCls": connection})


# --- what is sent ------------------------------------------------------------------------------------------------


class Wire:
    """Sends requests in place of a urllib3.PoolManager. It has the methods that the official client calls.

    `options` are those of the pool's connections. `headers` gives the headers that replace or complete a request's own.
    """

    def __init__(
        self, options: Mapping[str, Any], proxy: Proxy | None, headers: Callable[[], Headers], clock: ServerClock
    ) -> None:
        self._proxy = proxy
        self._headers = headers
        self._clock = clock
        self._pools = proxy.pools(options) if proxy else urllib3.PoolManager(**options)
        self._pools.pool_classes_by_scheme = {
            scheme: _limited(pool) for scheme, pool in self._pools.pool_classes_by_scheme.items()
        }

    def request(
        self,
        method: str,
        url: str,
        *,
        fields: Sequence[tuple[str, str]] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: urllib3.Timeout,
        **_: Any,
    ) -> urllib3.BaseHTTPResponse:
        """Send one request, once. Read the whole answer, unless it is a watch."""
        target = f"{url}?{urlencode(fields)}" if fields else url
        sent = urllib3.HTTPHeaderDict(headers or {})
        ours = self._headers()
        for name, _value in ours:
            sent.discard(name)
        for name, value in ours:
            sent.add(name, value.encode().decode("latin-1"))  # sent as UTF-8: http.client encodes Latin-1
        if "watch" in parse_qs(urlsplit(target).query):
            return self._open(method, target, body, sent, timeout)
        with _Allowance(min(WHOLE, 2 * float(timeout.read_timeout or WHOLE))):
            response = self._open(method, target, body, sent, timeout)
            _read = response.data  # the response keeps it
            return response

    @contextmanager
    def websocket(self, url: str, protocol: str, seconds: float) -> Iterator[websocket.WebSocket]:
        """Open a WebSocket over a connection like that of other requests. Raises WebSocketException too."""
        options: dict[str, Any] = {"redirect_limit": 0, "suppress_origin": True, "subprotocols": [protocol]}
        options["header"] = [f"{name}: {value}" for name, value in self._headers()]
        if any("\r" in line or "\n" in line for line in options["header"]):
            raise ValueError("a header has two lines")
        made: Any = websocket.WebSocket(skip_utf8_validation=True)
        with _Allowance(min(WHOLE, 2 * seconds)):
            connection = self._connected(url, seconds)
            try:
                made.connect(f"ws{url.removeprefix('http')}", socket=connection.sock, timeout=seconds, **options)
                self._clock.update((made.getheaders() or {}).get("date"))
                yield made
            except websocket.WebSocketBadStatusException as error:
                self._clock.update((error.resp_headers or {}).get("date"))
                raise
            finally:
                connection.close()

    def _open(self, method: str, url: str, body: Any, headers: Any, timeout: Any) -> urllib3.BaseHTTPResponse:
        # Not PoolManager.request: before a proxy it would merge headers of the same name into one.
        parts = parse_url(url)
        pool = self._pools.connection_from_host(parts.host, parts.port, parts.scheme)
        forwarded = self._proxy is not None and not self._proxy.socks and parts.scheme == "http"
        try:
            response = pool.urlopen(
                method,
                url if forwarded else parts.request_uri,
                body=body,
                headers=headers,
                timeout=timeout,
                retries=False,  # a hidden retry of a DELETE would get a 404 that the first try caused
                redirect=False,
                assert_same_host=False,
                preload_content=False,
            )
        except SSLError as error:  # client 36 makes an ApiException of it and then fails at that
            raise ProtocolError(str(error)) from error
        self._clock.update(response.headers.get("Date"))
        return response

    def _connected(self, url: str, seconds: float) -> HTTPConnection:
        """Make a connection that no other request uses, through the proxy and TLS where there are any."""
        parts = parse_url(url)
        pool: Any = self._pools.connection_from_host(parts.host, parts.port, parts.scheme)
        connection: Any = pool._new_conn()  # noqa: SLF001 -- urllib3 lends a connection to nobody
        connection.timeout = seconds
        if self._proxy is not None and not self._proxy.socks:
            if (self._proxy.scheme, parts.scheme) == ("https", "http"):
                raise ProxySchemeUnsupported("no WebSocket goes through an https proxy to an http server")
            port = parts.port or PORTS[str(parts.scheme)]
            connection.set_tunnel(parts.host, port, headers=pool.proxy_headers, scheme=self._proxy.scheme)
        connection.connect()
        return connection  # type: ignore[no-any-return]
