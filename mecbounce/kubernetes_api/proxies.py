"""Through which proxy a request goes, if through any."""

from __future__ import annotations

import base64
import importlib.util
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment

import urllib3

from mecbounce.errors import ConfigError

PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


@dataclass(frozen=True)
class Proxy:
    """A proxy: its address without credentials, and what signs in to it."""

    url: str
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def at(cls, url: str, headers: Mapping[str, str] | None = None) -> Proxy:
        """Read a proxy's URL. Raises ConfigError, which quotes nothing of the URL: it may hold a password."""
        if "://" not in url:
            raise ConfigError("it has no scheme, such as http://")
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ConfigError("it is not a URL") from None
        if parts.scheme not in PORTS:
            raise ConfigError(f"its scheme is not one of {', '.join(PORTS)}")
        try:
            port = parts.port
        except ValueError:
            port = 0
        if port == 0:
            raise ConfigError("its port is not a number from 1 to 65535")
        if not _names_a_host(parts.netloc.rpartition("@")[2]):
            raise ConfigError("it names no host")
        socks = parts.scheme.startswith("socks")
        if socks and importlib.util.find_spec("socks") is None:
            raise ConfigError("a SOCKS proxy needs the package PySocks: pip install 'mecbounce[socks]'")
        try:
            user, password = (part and unquote(part, errors="strict") for part in (parts.username, parts.password))
            f"{user}{password}".encode()
        except UnicodeError:
            raise ConfigError("its user or password is not UTF-8") from None
        # In kubectl's socks5 the proxy resolves the server's name. urllib3 calls that socks5h.
        scheme = "socks5h" if socks else parts.scheme
        host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
        return cls(f"{scheme}://{host}:{port or PORTS[parts.scheme]}", user, password, headers or {})

    @property
    def scheme(self) -> str:
        return self.url.partition(":")[0]

    @property
    def socks(self) -> bool:
        return self.scheme == "socks5h"

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


def _names_a_host(place: str) -> bool:
    """Tell whether `host`, `host:port` or `[address]:port` holds an address, or a name that can be looked up."""
    found = re.fullmatch(r"(?:\[([\da-fA-F:.]+(?:%[\w.-]+)?)\]|([\w.-]+))(?::\d*)?", place)
    try:
        return found is not None and bool(ipaddress.ip_address(found[1]) if found[1] else found[2].encode("idna"))
    except ValueError:  # UnicodeError is one
        return False


def proxy_of_environment(server: str) -> Proxy | None:
    """Give the environment's proxy for a server. As with kubectl and curl, there is none for this machine itself."""
    parts, proxies = urlsplit(server), getproxies_environment()
    named = proxies.get(parts.scheme, "").strip()
    if not named or _is_here(parts.hostname or "") or spared(server, proxies.get("no", "")):
        return None
    try:
        # A host alone is enough. But in a slip such as http:/proxy, http is not taken for a host's name.
        return Proxy.at(named if re.match(r"([a-zA-Z][\w+.-]*:)?/", named) else f"http://{named}")
    except ConfigError as error:
        raise ConfigError(f"the environment's {parts.scheme}_proxy can't be used: {error}") from None


def spared(server: str, no_proxy: str) -> bool:
    """Tell whether NO_PROXY names the server: by name, domain, address, network (a CIDR), any of these with a port."""
    parts = urlsplit(server)
    host, port = (parts.hostname or "").lower(), parts.port or PORTS.get(parts.scheme)
    for entry in filter(None, (entry.strip().lower() for entry in no_proxy.split(","))):
        name = entry.removesuffix(f":{port}").strip("[]")  # as an IPv6 address with a port is written
        domain = name.removeprefix("*").removeprefix(".")
        if entry == "*" or _is_in(host, entry) or host == name or host.endswith(f".{domain}"):
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
