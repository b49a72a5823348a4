"""Reads a kubeconfig as kubectl does. Each field that kubectl knows is honoured, or refused by its name.

The official client's reader ignores fields that it does not know (`as` among them: requests are then sent as another
user), takes the last file's current context where kubectl takes the first's, and gives a credential plugin all the time
that it takes. So the files are read here, by the rules of client-go's tools/clientcmd.

kubectl ignores fields that it does not know. Here they are refused in the cluster and the user that are used: with a
misspelt `as` or `proxy-url`, requests would be sent as somebody else, or to another address.
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import json
import os
import re
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator
from urllib3.util.ssl_ import create_urllib3_context

from mecbounce.errors import ConfigError, did_you_mean
from mecbounce.fields import first_fault
from mecbounce.kubernetes_api.access import Access, Target, impersonation, sendable
from mecbounce.kubernetes_api.credentials import Credential, Exec, Strict, ask
from mecbounce.kubernetes_api.proxies import Proxy, proxy_of_environment
from mecbounce.kubernetes_api.transport import Headers

_KINDS = ("clusters", "users", "contexts")
# How a field's name looks: anything else may be a secret.
_NAME = re.compile(r"[A-Z]?[a-z]{1,16}([A-Z][a-z]{1,16}|[-_][a-z]{1,16}|URL){0,3}")
_PLUGIN_SETTINGS = "client.authentication.k8s.io/exec"  # the name of the cluster's extension for its plugin
_REMOVED = {"gcp": "gke-gcloud-auth-plugin", "azure": "kubelogin"}
Part = TypeVar("Part", bound=BaseModel)


class Extension(BaseModel):
    """Settings of another program."""

    name: str = ""
    extension: Any = None


class _Consistent(Strict):
    """A part of a kubeconfig in which some fields exclude each other, as in kubectl."""

    exclusive: ClassVar[tuple[tuple[str, str], ...]] = ()

    @model_validator(mode="after")
    def _excludes(self) -> Self:
        given = {field.alias or name for name, field in type(self).model_fields.items() if getattr(self, name)}
        for pair in self.exclusive:
            if given.issuperset(pair):
                raise ValueError(f"{' and '.join(pair)} are both given")
        return self


class Cluster(_Consistent):
    """Where the API server is, and how to recognize it."""

    exclusive = (
        ("certificate-authority", "certificate-authority-data"),
        ("insecure-skip-tls-verify", "certificate-authority"),
        ("insecure-skip-tls-verify", "certificate-authority-data"),
    )
    server: str = ""
    tls_server_name: str = Field("", alias="tls-server-name")
    insecure: bool = Field(default=False, alias="insecure-skip-tls-verify")
    certificate_authority: str = Field("", alias="certificate-authority")
    certificate_authority_data: str = Field("", alias="certificate-authority-data")
    proxy_url: str = Field("", alias="proxy-url", repr=False)
    disable_compression: bool = Field(default=False, alias="disable-compression")  # compression is never asked for
    extensions: list[Extension] = Field([])


class AuthProvider(Strict):
    """How kubectl signs in by itself. Of all its kinds, only OpenID Connect is left."""

    name: str = ""
    config: dict[str, str] = Field({}, repr=False)


class User(_Consistent):
    """Who sends the requests, and as whom."""

    exclusive = (
        ("client-certificate", "client-certificate-data"),
        ("client-key", "client-key-data"),
        *((token, basic) for token in ("token", "tokenFile") for basic in ("username", "password")),
        ("exec", "auth-provider"),
    )
    client_certificate: str = Field("", alias="client-certificate")
    client_certificate_data: str = Field("", alias="client-certificate-data", repr=False)
    client_key: str = Field("", alias="client-key")
    client_key_data: str = Field("", alias="client-key-data", repr=False)
    token: str = Field("", repr=False)
    token_file: str = Field("", alias="tokenFile")
    as_user: str = Field("", alias="as")
    as_uid: str = Field("", alias="as-uid")
    as_groups: list[str] = Field([], alias="as-groups")
    as_user_extra: dict[str, list[str]] = Field({}, alias="as-user-extra")
    username: str = ""
    password: str = Field("", repr=False)
    auth_provider: AuthProvider | None = Field(None, alias="auth-provider")
    exec: Exec | None = None
    extensions: list[Extension] = Field([])

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        certificate = self.client_certificate or self.client_certificate_data
        key = self.client_key or self.client_key_data
        if certificate and not key:
            raise ValueError("client-certificate needs client-key")
        if key and not certificate:
            raise ValueError("client-key needs client-certificate")
        return self


class Context(Strict, extra="ignore"):
    """Which cluster, which user, and which namespace."""

    cluster: str = ""
    user: str = ""
    namespace: str = ""


class Kubeconfig:
    """One kubeconfig, merged from its files as kubectl does: of two entries with one name, the first counts.

    Each fault raises ConfigError, which quotes nothing that may be a secret.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        named = str(path or os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config"))  # noqa: PTH111 -- Path raises where there is no home
        self.name = f"kubeconfig {named}"
        files = [os.path.expanduser(name) for name in ([named] if path else named.split(os.pathsep))]  # noqa: PTH111
        self._files = [os.path.abspath(file) for file in dict.fromkeys(files) if file]  # noqa: PTH100 -- as above
        self._read()

    def reread(self) -> Kubeconfig:
        """Read the same files again, although $KUBECONFIG or the working folder may have changed."""
        again = copy.copy(self)
        again._read()  # noqa: SLF001 -- its own
        return again

    def _read(self) -> None:
        files = [file for file in self._files if os.path.isfile(file)]  # noqa: PTH113 -- Path raises for a name that is too long
        if not files:
            raise ConfigError(f"{self.name}: there is no such file, or it is a folder")
        self._current = ""
        self._found: dict[str, dict[str, tuple[str, Any]]] = {kind: {} for kind in _KINDS}
        for file in files:
            with _without_content(f"kubeconfig {file}"):
                self._merge(file)

    @property
    def contexts(self) -> tuple[str, ...]:
        """The names of its contexts."""
        return tuple(self._found["contexts"])

    def context(self, name: str | None) -> tuple[str, Context]:
        """Give the context of that name, or the current one, with its name."""
        wanted = name or self._current
        if not wanted:
            raise ConfigError(f"{self.name}: it has no current-context")
        if wanted not in self._found["contexts"]:
            raise ConfigError(
                f"context {wanted!r}: {self.name} has no such context{did_you_mean(wanted, self.contexts)}"
            )
        return wanted, self._entry("contexts", wanted, Context)[1]

    def access(self, context: str | None, act_as: Mapping[str, Any]) -> Access:
        """Sign in as a context says. This may run a credential plugin; it sends no request.

        `act_as` has arguments of `impersonation`. Each takes the place of what the user's entry says.
        """
        name, chosen = self.context(context)
        for kind, other in (("clusters", chosen.cluster), ("users", chosen.user)):
            if other not in self._found[kind] and (other or kind == "clusters"):
                what = f"{self.name}: context {name!r} names a {kind.removesuffix('s')} that is not among its {kind}"
                raise ConfigError(what)
        where, cluster = self._entry("clusters", chosen.cluster, Cluster)
        who, user = self._entry("users", chosen.user, User) if chosen.user else (where, User())
        server, authorization_of_server = _server(where, cluster)
        proxy = _proxy(where, cluster, server)
        own = {"user": user.as_user, "uid": user.as_uid, "groups": user.as_groups, "extra": user.as_user_extra}
        acts_as = impersonation(who.name, **{**own, **act_as})
        authority = where.content(
            "certificate-authority", cluster.certificate_authority, cluster.certificate_authority_data
        )
        credential = _credential(who, user, _told_to_plugin(cluster, server, authority))
        options: dict[str, Any] = {}
        if server.startswith("https:"):
            tls = _tls(where, cluster, authority)
            _show_certificate(tls, who, user, credential)
            options = {"ssl_context": tls, "cert_reqs": tls.verify_mode}
            options |= {"server_hostname": cluster.tls_server_name} if cluster.tls_server_name else {}
        authorization = _authorization(who, user, credential, authorization_of_server)
        checked_by = hashlib.sha256(authority + f"{cluster.tls_server_name} {cluster.insecure}".encode()).hexdigest()
        return Access(
            Target(server, checked_by, proxy.url if proxy else "", chosen.user, tuple(acts_as)),
            headers=lambda: [*authorization(), *acts_as],
            proxy=proxy,
            options=options,
            expires=credential.expires,
            context=name,
            namespace=chosen.namespace or "default",
        )

    def _merge(self, file: str) -> None:
        content = yaml.safe_load(Path(file).read_bytes())
        if content is None:
            return
        if content.get("kind") not in (None, "", "Config") or content.get("apiVersion") not in (None, "", "v1"):
            raise ConfigError(f"kubeconfig {file}: its kind is not Config, or its apiVersion is not v1")
        current = content.get("current-context") or ""
        if not isinstance(current, str):
            raise ConfigError(f"kubeconfig {file}: current-context is not text")
        self._current = self._current or current
        for kind in _KINDS:
            named: dict[str, Any] = {}
            for entry in content.get(kind) or []:
                name = entry.get("name") or ""
                if not isinstance(name, str):
                    raise ConfigError(f"kubeconfig {file}: one of its {kind} has a name that is not text")
                if name in named:
                    raise ConfigError(f"kubeconfig {file}: two of its {kind} have the same name")
                named[name] = file, entry.get(kind.removesuffix("s"))
            self._found[kind] |= {name: value for name, value in named.items() if name not in self._found[kind]}

    def _entry(self, kind: str, name: str, model: type[Part]) -> tuple[_Entry, Part]:
        file, value = self._found[kind][name]
        place = _Entry(f"kubeconfig {file}: {kind.removesuffix('s')} {name!r}", file)
        with _without_content(place.name):
            try:
                return place, model.model_validate(_without_nulls(value or {}))
            except ValidationError as error:
                raise place.fault(_fault(error)) from None


@dataclass(frozen=True)
class _Entry:
    """An entry of a kubeconfig: its name for errors, and the file that its paths are relative to."""

    name: str
    file: str

    def fault(self, text: str) -> ConfigError:
        return ConfigError(f"{self.name}: {text}")

    def path(self, named: str) -> str:
        return os.path.join(os.path.dirname(os.path.abspath(self.file)), named)  # noqa: PTH118, PTH120, PTH100 -- of any text

    def content(self, option: str, path: str, data: str) -> bytes:
        """Give the bytes that `data` holds in base64, else those of the file at `path`; empty if neither is given."""
        try:
            if data:
                return base64.b64decode("".join(data.split()), validate=True)
            return Path(self.path(path)).read_bytes() if path else b""
        except binascii.Error:
            raise self.fault(f"{option}-data is not base64") from None
        except (OSError, ValueError) as error:
            raise self.fault(f"{option} can't be read ({type(error).__name__})") from None


@contextmanager
def _without_content(name: str) -> Iterator[None]:
    """Turn any error into a ConfigError that quotes nothing of the file: it holds secrets."""
    try:
        yield
    except ConfigError:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise ConfigError(f"{name}: it is not YAML{where}") from None
    except Exception as error:  # noqa: BLE001 -- a malformed file can cause many kinds of errors
        raise ConfigError(f"{name}: it can't be used ({type(error).__name__})") from None


def _without_nulls(value: Any) -> Any:
    """Leave out what is null: in a kubeconfig that means not given."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _fault(error: ValidationError) -> str:
    """Name the field and what is wrong with it. An unknown field is named only if it looks like a field's name."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = [str(part) for part in first["loc"]]
    if first["type"] != "extra_forbidden":
        known = ".".join(part if _NAME.fullmatch(part) or part.isdecimal() else "..." for part in path)
        return ": ".join(filter(None, (known, first_fault(error)[1])))
    field = ".".join(path) if all(_NAME.fullmatch(part) for part in path) else "one of its fields"
    return f"{field} is not a known field; if it is misspelt, requests could be sent as another user or elsewhere"


# --- where the API server is -------------------------------------------------------------------------------------


def _server(where: _Entry, cluster: Cluster) -> tuple[str, Headers]:
    """Give the address as kubectl uses it, and the Authorization header for the credentials in it, if any."""
    try:
        address = urlsplit(cluster.server)
        port = address.port
    except ValueError:
        port, address = None, urlsplit("")
    if address.scheme not in ("http", "https") or not address.hostname or port == 0:
        raise where.fault("server is not an http or https address")
    signed_in = []
    if address.username is not None:
        signed_in = [_basic(unquote(address.username), unquote(address.password or ""))]
    host = address.netloc.rpartition("@")[2]
    return f"{address.scheme}://{host}{address.path.rstrip('/')}", signed_in


def _proxy(where: _Entry, cluster: Cluster, server: str) -> Proxy | None:
    if not cluster.proxy_url:
        return proxy_of_environment(server)
    try:
        return Proxy.at(cluster.proxy_url)
    except ConfigError as error:
        raise where.fault(f"proxy-url: {error}") from None


def _tls(where: _Entry, cluster: Cluster, authority: bytes) -> ssl.SSLContext:
    """Make the context that checks the API server's certificate."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_NONE if cluster.insecure else ssl.CERT_REQUIRED)
    try:
        if authority:
            context.load_verify_locations(cadata=authority.decode("ascii", "ignore"))
        elif not cluster.insecure:
            context.load_default_certs()
    except (ssl.SSLError, ValueError):
        raise where.fault("certificate-authority holds no certificate (PEM)") from None
    return context


# --- who sends the requests --------------------------------------------------------------------------------------


def _show_certificate(context: ssl.SSLContext, who: _Entry, user: User, credential: Credential) -> None:
    """Let connections show the user's certificate. Its key is in a file only while it is loaded."""
    pem = who.content("client-certificate", user.client_certificate, user.client_certificate_data)
    if pem:
        pem += b"\n" + who.content("client-key", user.client_key, user.client_key_data)
    pem = pem or credential.certificate.encode()
    if pem:
        try:
            with tempfile.NamedTemporaryFile() as file:
                file.write(pem)
                file.flush()
                context.load_cert_chain(file.name, password="")  # without one, OpenSSL asks at the terminal
        except (ssl.SSLError, ValueError):
            raise who.fault("client-certificate and client-key are not a certificate and its key (PEM)") from None


def _told_to_plugin(cluster: Cluster, server: str, authority: bytes) -> dict[str, Any]:
    """Give what a credential plugin may know of the cluster."""
    told = {
        "server": server,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure,
        "certificate-authority-data": base64.b64encode(authority).decode(),
        "proxy-url": cluster.proxy_url,
        "disable-compression": cluster.disable_compression,
        "config": next((entry.extension for entry in cluster.extensions if entry.name == _PLUGIN_SETTINGS), None),
    }
    return {key: value for key, value in told.items() if value}


def _credential(who: _Entry, user: User, told: Mapping[str, Any]) -> Credential:
    """Use the auth provider, or run the credential plugin. As with kubectl, the user's other credentials go first."""
    if user.auth_provider is not None:
        return _of_provider(who, user.auth_provider)
    static = user.token, user.token_file, user.username, user.password
    if user.exec is None or any(static) or user.client_certificate or user.client_certificate_data:
        return Credential()
    command = who.path(user.exec.command) if os.sep in user.exec.command else user.exec.command
    try:
        return ask(user.exec, command, told if user.exec.provide_cluster_info else None)
    except ConfigError as error:
        raise who.fault(str(error)) from None


def _of_provider(who: _Entry, provider: AuthProvider) -> Credential:
    """Use an OpenID Connect token until it expires. Only kubectl renews it, as it must save the new one."""
    if provider.name != "oidc":
        instead = f"; use the credential plugin {_REMOVED[provider.name]}" if provider.name in _REMOVED else ""
        raise who.fault(f"auth-provider: kubectl now supports only oidc{instead}")
    token = provider.config.get("id-token", "")
    try:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==="))
        expires = datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError):
        raise who.fault("auth-provider: config.id-token is not a token with an expiry time") from None
    if datetime.now(UTC) >= expires:
        raise who.fault("auth-provider: config.id-token has expired; any command of kubectl renews it")
    return Credential(sendable(f"{who.name}: auth-provider", token), expires=expires)


def _authorization(who: _Entry, user: User, credential: Credential, of_server: Headers) -> Callable[[], Headers]:
    """Give a function that gives the Authorization header of each request."""
    if user.token_file:
        return _token_file(who, user)
    token = user.token or credential.token
    if user.username or user.password:
        of_server = [_basic(user.username, user.password)]
    elif token:
        of_server = [_bearer(who, "token", token)]
    return lambda: of_server


def _token_file(who: _Entry, user: User) -> Callable[[], Headers]:
    """Read the token again for each request. If that fails, use the last one that could be read."""
    last = [_bearer(who, "token", user.token)] if user.token else []

    def authorization() -> Headers:
        nonlocal last
        with suppress(ConfigError) if last else nullcontext():
            token = who.content("tokenFile", user.token_file, "").decode(errors="surrogateescape").strip()
            if not token:
                raise who.fault("tokenFile is empty")
            last = [_bearer(who, "tokenFile", token)]
        return last

    authorization()  # a file without a token is refused now
    return authorization


def _basic(user: str, password: str) -> tuple[str, str]:
    return "Authorization", f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _bearer(who: _Entry, option: str, token: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {sendable(f'{who.name}: {option}', token)}"
