"""How an API server is reached, and as whom: what one look at the credentials gives."""

from __future__ import annotations

import copy
import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies_environment

from kubernetes import client, config
from kubernetes.config import incluster_config

from mecbounce.errors import ConfigError, Unreachable
from mecbounce.kubernetes_api.proxies import Proxy, proxy_of_environment, spared
from mecbounce.kubernetes_api.transport import Headers
from mecbounce.quoting import quoted

_SAFE_IN_A_NAME = "!#$&'*+^`|"  # what a header's name may hold beside letters, digits and _.-~


@dataclass(frozen=True)
class Target:
    """What must stay the same when credentials are renewed: the API server, the way to it, and the user.

    It holds no secrets. Tokens, passwords and client certificates are not in it: they may change.
    """

    server: str
    authority: str  # a hash of what the server's certificate is checked against
    proxy: str = ""
    user: str = ""  # its name in the kubeconfig
    acts_as: tuple[tuple[str, str], ...] = ()  # the headers of the impersonation
    source: str = "kubeconfig"

    def change(self, found: Target) -> str:
        """Say what differs in another target, and what to do about it; empty if nothing differs."""
        for (what, was, shown), (_, now, _shown) in zip(self._parts, found._parts, strict=True):
            if was != now:
                values = f": {now or 'none'} instead of {was or 'none'}" if shown else ""
                new = f"the {self.source} now names another {what}{values}"
                return f"{new}. This bounce stays with the old one: restore its entry, or stop and start again"
        return ""

    @property
    def _parts(self) -> tuple[tuple[str, object, bool], ...]:
        """What it consists of: a name, a value, and whether messages may show the value."""
        short = ((name.removeprefix("Impersonate-"), value) for name, value in self.acts_as)
        whom = ", ".join(f"{name} {value!r}" for name, value in short if not name.startswith("Extra-"))
        return (
            ("API server", self.server, True),
            ("proxy", self.proxy, True),
            ("user", repr(self.user), True),
            ("user to impersonate", whom, True),
            ("certificate authority or server name", self.authority, False),
            ("as-user-extra", self.acts_as, False),  # it may hold secrets
        )


@dataclass(frozen=True)
class Access:
    """One look at the credentials: which API server, and how to send it requests."""

    target: Target
    headers: Callable[[], Headers] = list  # of each request
    proxy: Proxy | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # of the pool's connections
    expires: datetime | None = None
    context: str = ""
    namespace: str = "default"

    @property
    def expired(self) -> bool:
        """True if the credentials must be read again."""
        return self.expires is not None and datetime.now(UTC) >= self.expires


def access_of(configuration: client.Configuration, more: Headers) -> Access:
    """Use a configuration of the official client as it is now, with `more` headers. Raises ConfigError.

    The file of its certificate authority is read here, once. A file that is replaced later is not trusted.
    """
    hook = configuration.refresh_api_key_hook  # it may belong to an object that can't be copied
    configuration = copy.deepcopy(configuration, {id(hook): hook})
    server, named = configuration.host, configuration.proxy
    if not named or named in getproxies_environment().values():  # the client took that one for any server
        proxy = proxy_of_environment(server)
    elif spared(server, configuration.no_proxy or ""):
        proxy = None
    else:
        try:
            proxy = Proxy.at(named, configuration.proxy_headers)
        except ConfigError as error:
            raise ConfigError(f"the client's proxy can't be used: {error}") from None
    configuration.proxy = None
    options = client.ApiClient(configuration).rest_client.pool_manager.connection_pool_kw
    authority = b""
    if configuration.verify_ssl and configuration.ssl_ca_cert:
        try:
            authority = Path(configuration.ssl_ca_cert).read_bytes()
        except (OSError, ValueError) as error:
            what = f"the client's certificate authority can't be read ({type(error).__name__})"
            raise ConfigError(what) from None
        options |= {"ca_certs": None, "ca_cert_data": authority.decode("ascii", "ignore")}

    def headers() -> Headers:
        with _unquoted_plugin() as failures:
            signed_in = configuration.auth_settings().values()  # calls the hook
        if failures:
            raise Unreachable("the kubeconfig's credential plugin failed; run it to see why")
        return [*((each["key"], each["value"]) for each in signed_in), *more]

    parts = urlsplit(server)
    without_secrets = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    target = Target(without_secrets, hashlib.sha256(authority).hexdigest(), proxy.url if proxy else "")
    return Access(target, headers, proxy, options)


def access_in_cluster(act_as: Mapping[str, Any]) -> Access:
    """Use the service account of the pod that this runs in. Raises ConfigError outside of one."""
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException as error:
        raise ConfigError(f"in-cluster credentials can't be used: {quoted(error)}") from error
    found = access_of(configuration, impersonation("in-cluster credentials", **act_as))
    namespace = Path(incluster_config.SERVICE_TOKEN_FILENAME).with_name("namespace")
    return replace(
        found,
        target=replace(found.target, source="service account"),
        context="in-cluster",
        namespace=namespace.read_text(encoding="utf-8").strip() if namespace.exists() else "default",
    )


def impersonation(
    who: str,
    *,
    user: str = "",
    uid: str = "",
    groups: Iterable[str] = (),
    extra: Mapping[str, Iterable[str]] | None = None,
) -> Headers:
    """Give the headers that say whom to act as. As with kubectl, there is no impersonation without a user.

    `who` names the credentials in the ConfigError that this raises.
    """
    rows = [("as", "User", user)] if user else []
    rows += [("as-uid", "Uid", uid)] if uid else []
    rows += [("as-groups", "Group", group) for group in groups]
    for key, values in (extra or {}).items():
        rows += [("as-user-extra", f"Extra-{quote(key, safe=_SAFE_IN_A_NAME)}", value) for value in values]
    if rows and not user:
        raise ConfigError(f"{who}: {rows[0][0]} needs `as` (--as), the user to act as")
    return [(f"Impersonate-{name}", sendable(f"{who}: {option}", value)) for option, name, value in rows]


def sendable(what: str, value: str) -> str:
    """Refuse a value that is no header of one line. `what` names it in the ConfigError."""
    if not value.isprintable():
        raise ConfigError(f"{what} holds a character that can't be sent")
    return value


@contextmanager
def _unquoted_plugin() -> Iterator[list[logging.LogRecord]]:
    """Keep what a failed credential plugin printed out of the root logger, where the client logs it.

    Gives a list that collects these log records.
    """
    failures: list[logging.LogRecord] = []
    mine = threading.get_ident()  # a filter runs in the thread that logs

    def passes(record: logging.LogRecord) -> bool:
        if record.funcName != "_load_from_exec_plugin" or record.thread != mine:
            return True
        failures.append(record)
        return False

    root, handler = logging.getLogger(), logging.NullHandler()  # without any handler, `logging` would add one
    root.addFilter(passes)
    root.addHandler(handler)
    try:
        yield failures
    finally:
        root.removeHandler(handler)
        root.removeFilter(passes)
