"""How a request leaves this machine: with which headers, through which proxy, and for how long at most.

The official client writes a request, and `Wire` sends it in place of the client's own pool. So every header of ours
reaches the wire as it should: the client's dict can hold no header twice, as several Impersonate-Group are.
"""

from __future__ import annotations

import base64
import importlib.util
import ipaddress
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import SplitResult, parse_qs, unquote, urlencode, urlsplit
from urllib.request import getproxies_environment

import urllib3
import websocket
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ProtocolError, ProxySchemeUnsupported, SSLError
from urllib3.exceptions import TimeoutError as Late
from urllib3.util import parse_url

from mecbounce.errors import ConfigError

WHOLE = 20.0  # seconds that a request may take, from its connection to the last byte of its answer; a watch may more
CONNECTED = 10.0  # seconds for the name, the connection and its TLS handshake together
EARLIEST, LATEST = 1970, 9000  # years of a Date that is believed: near a datetime's ends nothing can be added to it
PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
Headers = Iterable[tuple[str, str]]


class ServerClock:
    """The API server's own time: its last `Date` header, and the time since."""

    def __init__(self) -> None:
        self._told: tuple[datetime, float] | None = None

    def hear(self, date: str | None) -> None:
        """Take in a `Date` header; one that is missing or malformed tells nothing."""
        with suppress(ValueError, TypeError, OverflowError):
            told = parsedate_to_datetime(date or "")
            if told.tzinfo is not None and EARLIEST <= told.year < LATEST:
                self._told = told.astimezone(UTC), _ticks()

    def now(self) -> datetime | None:
        """Tell the time there; None before the first answer."""
        if (told := self._told) is None:
            return None
        return told[0] + timedelta(seconds=_ticks() - told[1])


def _ticks() -> float:
    """Seconds that go on while this machine sleeps, where it can tell."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


# --- through which proxy -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Proxy:
    """A proxy, by its scheme (http, https, socks5, socks5h), and who asks it."""

    scheme: str
    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def at(cls, url: str, headers: Mapping[str, str] | None = None) -> Proxy:
        """Read a proxy's URL. Raises ConfigError, which quotes nothing of it: it may hold a password."""
        if "://" not in url:
            raise ConfigError("it has no scheme, such as http://")
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ConfigError("it is not a URL") from None
        if parts.scheme not in PORTS:
            raise ConfigError(f"its scheme is none of {', '.join(PORTS)}")
        port = _port(parts)
        if not _names_a_host(parts.netloc.rpartition("@")[2]):
            raise ConfigError("it names no host")
        if parts.scheme.startswith("socks") and importlib.util.find_spec("socks") is None:
            raise ConfigError("a SOCKS proxy needs the package PySocks: pip install 'mecbounce[socks]'")
        try:
            user, password = (part and unquote(part, errors="strict") for part in (parts.username, parts.password))
            f"{user}{password}".encode()
        except UnicodeError:
            raise ConfigError("its user or password is not UTF-8") from None
        return cls(parts.scheme, str(parts.hostname), port or PORTS[parts.scheme], user, password, headers or {})

    @property
    def url(self) -> str:
        # As kubectl means socks5, the proxy resolves the name; urllib3 writes that socks5h.
        scheme = "socks5h" if self.socks else self.scheme
        return f"{scheme}://{_bracketed(self.host)}:{self.port}"

    @property
    def socks(self) -> bool:
        return self.scheme.startswith("socks")

    def pools(self, options: Mapping[str, Any]) -> urllib3.PoolManager:
        """Make a pool of connections through it."""
        if self.socks:
            from urllib3.contrib.socks import SOCKSProxyManager  # noqa: PLC0415 -- needs an extra package

            return SOCKSProxyManager(self.url, username=self.user, password=self.password, **options)
        signed_in = {}
        if self.user is not None:  # not with urllib3's make_headers, which encodes Latin-1
            who = base64.b64encode(f"{self.user}:{self.password or ''}".encode()).decode()
            signed_in = {"Proxy-Authorization": f"Basic {who}"}
        tls = {"proxy_ssl_context": options["ssl_context"]} if options.get("ssl_context") else {}
        return urllib3.ProxyManager(self.url, proxy_headers={**self.headers, **signed_in}, **tls, **options)


def _port(parts: SplitResult) -> int | None:
    """Give the port of a URL; None where it names none. Raises ConfigError."""
    try:
        if (port := parts.port) != 0:
            return port
    except ValueError:
        pass
    raise ConfigError("its port is no number from 1 to 65535") from None


def proxy_of_environment(server: str) -> Proxy | None:
    """Give the proxy that the environment names for a server. It spares this machine, as kubectl and curl do."""
    parts, proxies = urlsplit(server), getproxies_environment()
    named = proxies.get(parts.scheme, "").strip()
    if not named or _is_here(parts.hostname or "") or spared(server, proxies.get("no", "")):
        return None
    try:
        # A host alone will do; a slip such as http:/proxy is not taken for a host of the name http.
        return Proxy.at(named if re.match(r"([a-zA-Z][\w+.-]*:)?/", named) else f"http://{named}")
    except ConfigError as error:
        raise ConfigError(f"the environment's {parts.scheme}_proxy can't be used: {error}") from None


def spared(server: str, no_proxy: str) -> bool:
    """Tell whether NO_PROXY names the server: by name, domain, address, network (a CIDR), any of these with a port."""
    parts = urlsplit(server)
    host, port = (parts.hostname or "").lower(), parts.port or PORTS.get(parts.scheme)
    for entry in filter(None, (one.strip().lower() for one in no_proxy.split(","))):
        if entry == "*" or _is_in(host, entry):
            return True
        name, colon, its_port = entry.rpartition(":")
        if colon and its_port.isdecimal():
            if int(its_port) != port:
                continue
            entry = name  # noqa: PLW2901 -- the port has been seen to
        entry = entry.strip("[]")  # noqa: PLW2901 -- as an IPv6 address with a port is written
        domain = entry.removeprefix("*")
        if host == entry or host.endswith(domain if domain.startswith(".") else f".{domain}"):
            return True
    return False


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_in(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _names_a_host(place: str) -> bool:
    """Whether there is an address, or a name that can be looked up, in `host`, `host:port` or `[address]:port`."""
    found = re.fullmatch(r"(?:\[([\da-fA-F:.]+(?:%[\w.-]+)?)\]|([\w.-]+))(?::\d*)?", place)
    try:
        return found is not None and bool(ipaddress.ip_address(found[1]) if found[1] else found[2].encode("idna"))
    except ValueError:  # UnicodeError is one
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


# --- for how long at most ----------------------------------------------------------------------------------------

_LOCK = threading.RLock()  # over whose request a connection serves
_running = threading.local()
os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


class _Allowance:
    """The time that one request may take as a whole. Then its connection is shut down under it."""

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

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _running.allowance = None

    def take(self, connection: Any) -> None:
        """Know the connection, and its socket: where the server closes after its answer, the connection forgets it."""
        self._connection, self._socket = connection, connection.sock or self._socket
        self.check()

    def check(self) -> None:
        if self.over:
            raise Late(f"no whole answer within {self.seconds:.0f} s")

    def _cut(self) -> None:
        with _LOCK:
            self.over = True
            # Not where the connection has gone back to the pool and already serves the next request.
            if self._connection is not None and self._connection.allowance is self:
                sock = self._connection.sock or self._socket
                with suppress(OSError, TypeError):  # TypeError: there is none yet
                    socket.socket.shutdown(getattr(sock, "socket", sock), socket.SHUT_RDWR)


class _Limited:
    """Mixed into a urllib3 connection: tells the request's allowance which connection serves it."""

    allowance: _Allowance | None = None

    def connect(self) -> None:
        self._serve()
        self._connect_within(CONNECTED)
        self._serve()

    def _connect_within(self, seconds: float) -> None:
        """Connect in a thread of its own: a name server that does not answer can't be interrupted, only left."""
        raised: list[BaseException] = []
        late = threading.Event()

        def connect() -> None:
            try:
                super(_Limited, self).connect()  # type: ignore[misc]
            except BaseException as error:  # noqa: BLE001 -- handed to whoever waits
                raised.append(error)
            if late.is_set():
                self.close()  # type: ignore[attr-defined]

        thread = threading.Thread(target=connect, name="mecbounce-connect", daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            late.set()
            raise Late(f"no connection within {seconds:.0f} s, name resolution included")
        if raised:
            raise raised[0]

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
    """Sends requests in place of a urllib3.PoolManager, of which it offers what the official client uses.

    `options` are those of the pool's connections; `headers` gives what each request carries besides its own.
    """

    def __init__(
        self, options: Mapping[str, Any], proxy: Proxy | None, headers: Callable[[], Headers], clock: ServerClock
    ) -> None:
        self.connection_pool_kw = dict(options)
        self._proxy = proxy
        self._headers = headers
        self._clock = clock
        self._pools = proxy.pools(options) if proxy else urllib3.PoolManager(**options)
        self._pools.pool_classes_by_scheme = {
            scheme: _limited(pool) for scheme, pool in self._pools.pool_classes_by_scheme.items()
        }

    def clear(self) -> None:
        self._pools.clear()

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
        """Send one request, once. Its answer is read whole, unless it is a watch."""
        target = f"{url}?{urlencode(fields)}" if fields else url
        sent = urllib3.HTTPHeaderDict(headers or {})
        ours = list(self._headers())
        for name, _value in ours:
            sent.discard(name)
        for name, value in ours:
            sent.add(name, _on_the_wire(value))
        if "watch" in parse_qs(urlsplit(target).query):
            return self._open(method, target, body, sent, timeout)
        with self._within(min(WHOLE, 2 * float(timeout.read_timeout or WHOLE))):
            response = self._open(method, target, body, sent, timeout)
            _read = response.data  # the response keeps it
            return response

    @contextmanager
    def websocket(self, url: str, headers: Headers, protocol: str, seconds: float) -> Iterator[websocket.WebSocket]:
        """Open a WebSocket over a connection like any other's. Raises WebSocketException too."""
        options: dict[str, Any] = {"redirect_limit": 0, "suppress_origin": True, "subprotocols": [protocol]}
        options["header"] = [f"{name}: {value}" for name, value in (*headers, *self._headers())]
        if any("\r" in line or "\n" in line for line in options["header"]):
            raise ValueError("a header of two lines")
        made: Any = websocket.WebSocket(skip_utf8_validation=True)
        with self._within(min(WHOLE, 2 * seconds)):
            connection = self._connected(url, seconds)
            try:
                made.connect(f"ws{url.removeprefix('http')}", socket=connection.sock, timeout=seconds, **options)
                self._clock.hear((made.getheaders() or {}).get("date"))
                yield made
            except websocket.WebSocketBadStatusException as error:
                self._clock.hear((error.resp_headers or {}).get("date"))
                raise
            finally:
                connection.close()

    def _open(self, method: str, url: str, body: Any, headers: Any, timeout: Any) -> urllib3.BaseHTTPResponse:
        # Not PoolManager.request: on its way to a proxy it would make one header of several of the same name.
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
                retries=False,  # a hidden retry of a DELETE would show a 404 of its own making
                redirect=False,
                assert_same_host=False,
                preload_content=False,
            )
        except SSLError as error:  # client 36 trips over what it makes of it
            raise ProtocolError(str(error)) from error
        self._clock.hear(response.headers.get("Date"))
        return response

    def _connected(self, url: str, seconds: float) -> HTTPConnection:
        """Make a connection of its own, through the proxy and TLS where there are any."""
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

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Cut off what takes longer. What a cut connection makes of it is told as what it is."""
        with _Allowance(seconds) as allowance:
            try:
                yield
            except Exception:
                allowance.check()
                raise
            allowance.check()


def _on_the_wire(value: str) -> str:
    """Give a header's value so that its bytes are UTF-8, as client-go sends them: http.client encodes Latin-1."""
    return value.encode().decode("latin-1")
