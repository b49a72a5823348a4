"""What a kubeconfig says, obeyed whole: each field that kubectl knows is honoured here, or refused by its name.

The official client's own reader drops what it does not know (`as` among it, so that a request goes out as somebody
else), takes the last file's current context where kubectl takes the first's, and asks a credential plugin without any
limit. So the files are read here, as client-go's tools/clientcmd reads them.

A field that kubectl does not know either is refused in the cluster and the user that are used, where kubectl ignores
it: misspelt, `as` or `proxy-url` would have another one act, or elsewhere. Anywhere else it is ignored.
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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies_environment

import yaml
from kubernetes import client
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from urllib3.util.ssl_ import create_urllib3_context

from mecbounce.errors import ConfigError
from mecbounce.fields import first_fault
from mecbounce.kubernetes_api.credentials import Credential, Exec, ask
from mecbounce.kubernetes_api.transport import Proxy, proxy_of_environment, spared

_KINDS = ("clusters", "users", "contexts")
# How a field's name looks: anything else may be a secret.
_NAME = re.compile(r"[A-Z]?[a-z]{1,16}([A-Z][a-z]{1,16}|[-_][a-z]{1,16}|URL){0,3}")
_PLUGIN_SETTINGS = "client.authentication.k8s.io/exec"  # the cluster's extension that is meant for its plugin
_REMOVED = {"gcp": "gke-gcloud-auth-plugin", "azure": "kubelogin"}
_IN_A_NAME = "!#$&'*+^`|"  # what a header's name may hold beside letters, digits and _.-~
Entry = TypeVar("Entry", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Extension(BaseModel):
    """Something for other programs."""

    name: str = ""
    extension: Any = None


class Cluster(_Part):
    """Where the API server is, and how to know it."""

    server: str = ""
    tls_server_name: str = Field("", alias="tls-server-name")
    insecure: bool = Field(default=False, alias="insecure-skip-tls-verify")
    certificate_authority: str = Field("", alias="certificate-authority")
    certificate_authority_data: str = Field("", alias="certificate-authority-data")
    proxy_url: str = Field("", alias="proxy-url", repr=False)
    disable_compression: bool = Field(default=False, alias="disable-compression")  # none is ever asked for
    extensions: list[Extension] = []


class AuthProvider(_Part):
    """How kubectl signs in by itself: of all its kinds, OpenID Connect is left."""

    name: str = ""
    config: dict[str, str] = Field({}, repr=False)


class User(_Part):
    """Who asks, and as whom."""

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
    extensions: list[Extension] = []


class Context(BaseModel):
    """Which cluster, which user, and which namespace."""

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)
    cluster: str = ""
    user: str = ""
    namespace: str = ""


@dataclass(frozen=True)
class ActAs:
    """Whom to impersonate, as --as, --as-group and --as-uid say: each given one takes the kubeconfig's place."""

    user: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, Iterable[str]] = field(default_factory=dict)

    def over(self, user: User) -> ActAs:
        """Complete it with what the kubeconfig says, as kubectl does."""
        groups = self.groups or tuple(user.as_groups)
        return ActAs(self.user or user.as_user, groups, self.uid or user.as_uid, user.as_user_extra)

    def headers(self, who: str) -> list[tuple[str, str]]:
        """Give the headers that say so. As with kubectl, nobody is impersonated by a group alone."""
        more = {"as-uid": self.uid, "as-groups": self.groups, "as-user-extra": self.extra}
        if not self.user:
            if without := next((option for option, value in more.items() if value), None):
                raise ConfigError(f"{who}: {without} needs `as` (--as), the user to act as")
            return []
        said = [("as", "User", self.user)]
        said += [("as-uid", "Uid", self.uid)] if self.uid else []
        said += [("as-groups", "Group", group) for group in self.groups]
        for key, values in self.extra.items():
            name = f"Extra-{quote(key, safe=_IN_A_NAME)}"
            said += [("as-user-extra", name, value) for value in values]
        return [(f"Impersonate-{name}", _printable(who, option, value)) for option, name, value in said]


@dataclass(frozen=True)
class Target:
    """What a bounce stays with when its credentials are renewed: which API server, through which proxy, as whom.

    Nothing in it is a secret. Tokens, passwords and client certificates are not in it: these may change.
    """

    server: str
    authority: str  # a hash of what the server's certificate is checked against
    proxy: str
    user: str  # its name in the kubeconfig
    acts_as: tuple[tuple[str, str], ...]  # the headers of the impersonation
    source: str  # where all this stands

    def change(self, found: Target) -> str:
        """Say what differs in another target, and what to do about it; empty where nothing does."""
        before, now = _impersonated(self.acts_as), _impersonated(found.acts_as)
        rows = (
            (self.server, found.server, f"the API server {found.server}", f"is of {self.server} and stays there"),
            (self.proxy, found.proxy, _proxied(found.proxy), f"goes by {_proxied(self.proxy)} and stays with it"),
            (self.user, found.user, f"the user {found.user!r}", f"is of the user {self.user!r} and stays so"),
            (before, now, f"{now} to act as", f"acts as {before} and stays so"),
            (
                self.authority,
                found.authority,
                f"another certificate authority or server name for {self.server}",
                "stays with the first one",
            ),
            (self.acts_as, found.acts_as, f"another as-user-extra for {before}", "stays with the first one"),
        )
        for was, is_now, names, stays in rows:
            if was != is_now:
                what = f"the {self.source} now names {names}; this bounce {stays}"
                return f"{what}. Put the old entry back, or stop and begin anew"
        return ""


def _proxied(proxy: str) -> str:
    return f"the proxy {proxy}" if proxy else "no proxy"


def _impersonated(headers: Iterable[tuple[str, str]]) -> str:
    """Name the user, the UID and the groups of an impersonation. What is extra is not told: it may be a secret."""
    short = ((name.removeprefix("Impersonate-"), value) for name, value in headers)
    return ", ".join(f"{name} {value!r}" for name, value in short if not name.startswith("Extra-")) or "nobody"


@dataclass(frozen=True)
class Access:
    """One look at the credentials: where the API server is, and how to ask it."""

    configuration: client.Configuration
    authority: str = ""
    user: str = ""
    acts_as: tuple[tuple[str, str], ...] = ()
    headers: Callable[[], list[tuple[str, str]]] = list
    proxy: Proxy | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # of the pool's connections
    expires: datetime | None = None
    source: str = "kubeconfig"

    @property
    def target(self) -> Target:
        """Which API server that is, by which way, and as whom."""
        proxy = self.proxy.url if self.proxy else ""
        return Target(str(self.configuration.host), self.authority, proxy, self.user, self.acts_as, self.source)

    @property
    def expired(self) -> bool:
        """Whether the credentials must be looked at anew."""
        return self.expires is not None and datetime.now(UTC) >= self.expires


def access_of(configuration: client.Configuration, headers: list[tuple[str, str]]) -> Access:
    """Use a configuration of the official client as it is now, with the proxy that it names. Raises ConfigError.

    The file of its certificate authority is read here, once: one that is replaced later is not trusted unseen.
    """
    named = configuration.proxy
    if not named or named in getproxies_environment().values():  # the client has looked there too, for any server
        proxy = proxy_of_environment(configuration.host)
    elif spared(configuration.host, configuration.no_proxy or ""):
        proxy = None
    else:
        try:
            proxy = Proxy.at(named, configuration.proxy_headers)
        except ConfigError as error:
            raise ConfigError(f"the client's proxy can't be used: {error}") from None
    authority, options = b"", {}
    if configuration.verify_ssl and configuration.ssl_ca_cert:
        try:
            authority = Path(configuration.ssl_ca_cert).read_bytes()
        except (OSError, ValueError) as error:
            what = f"the client's certificate authority can't be read ({type(error).__name__})"
            raise ConfigError(what) from None
        options = {"ca_certs": None, "ca_cert_data": authority.decode("ascii", "ignore")}
    hashed = hashlib.sha256(authority).hexdigest()
    source = "service account"  # else nothing is read anew
    return Access(configuration, hashed, headers=lambda: headers, proxy=proxy, options=options, source=source)


class Kubeconfig:
    """One kubeconfig, merged of its files as kubectl does: the first to name a thing has the say about it.

    Whatever is wrong raises ConfigError, which quotes nothing that may be a secret.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        named = str(path or os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config"))  # noqa: PTH111 -- Path raises where there is no home
        self.name = f"kubeconfig {named}"
        files = [os.path.expanduser(one) for one in ([named] if path else named.split(os.pathsep))]  # noqa: PTH111
        self._files = [os.path.abspath(one) for one in dict.fromkeys(files) if one]  # noqa: PTH100 -- as above
        self.read()

    def reread(self) -> Kubeconfig:
        """Read the same files anew, whatever $KUBECONFIG and the working folder are now."""
        again = copy.copy(self)
        again.read()
        return again

    def read(self) -> None:
        """Read its files."""
        files = [one for one in self._files if os.path.isfile(one)]  # noqa: PTH113 -- Path raises for a name that is too long
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
        """Give the context of that name, or the current one."""
        wanted = name or self._current
        if not wanted:
            raise ConfigError(f"{self.name}: it has no current-context")
        if wanted not in self._found["contexts"]:
            raise ConfigError(f"context {wanted!r}: {self.name} has no such context")
        return wanted, self._entry("contexts", wanted, Context)[1]

    def access(self, context: str | None = None, act_as: ActAs | None = None) -> Access:
        """Sign in as a context says. A credential plugin is asked, and nothing is sent."""
        name, chosen = self.context(context)
        for kind, other in (("clusters", chosen.cluster), ("users", chosen.user)):
            if other not in self._found[kind] and (other or kind == "clusters"):
                what = f"{self.name}: context {name!r} names a {kind.removesuffix('s')} that is not among its {kind}"
                raise ConfigError(what)
        where, cluster = self._entry("clusters", chosen.cluster, Cluster)
        who, user = self._entry("users", chosen.user, User) if chosen.user else (where, User())
        server, signed_in = _server(self.name, cluster)
        proxy = _proxy(where, cluster, server)
        impersonated = (act_as or ActAs()).over(user).headers(who.name)
        _refuse_contradictions(where, cluster, who, user)
        authority = where.content(
            "certificate-authority", cluster.certificate_authority, cluster.certificate_authority_data
        )
        credential = _credential(self.name, who, user, lambda: _told(cluster, server, authority))
        options: dict[str, Any] = {}
        if server.startswith("https:"):
            tls = _tls(where, cluster, authority)
            _show_certificate(tls, who, user, credential)
            options = {"ssl_context": tls, "cert_reqs": tls.verify_mode}
            options |= {"server_hostname": cluster.tls_server_name} if cluster.tls_server_name else {}
        authorization = _authorization(who, user, credential, signed_in)
        configuration = client.Configuration()
        configuration.host = server
        known_by = f"{cluster.tls_server_name} {cluster.insecure}"
        return Access(
            configuration,
            authority=hashlib.sha256(authority + known_by.encode()).hexdigest(),
            user=chosen.user,
            acts_as=tuple(impersonated),
            headers=lambda: [*authorization(), *impersonated],
            proxy=proxy,
            options=options,
            expires=credential.expires,
        )

    def _merge(self, file: str) -> None:
        content = yaml.safe_load(Path(file).read_bytes())
        if content is None:
            return
        if content.get("kind") not in (None, "", "Config") or content.get("apiVersion") not in (None, "", "v1"):
            raise ConfigError(f"kubeconfig {file}: it is of another kind than Config, or of another apiVersion than v1")
        current = content.get("current-context") or ""
        if not isinstance(current, str):
            raise ConfigError(f"kubeconfig {file}: current-context is no text")
        self._current = self._current or current
        for kind in _KINDS:
            named: dict[str, Any] = {}
            for entry in content.get(kind) or []:
                name = entry.get("name") or ""
                if not isinstance(name, str):
                    raise ConfigError(f"kubeconfig {file}: one of its {kind} has a name that is no text")
                if name in named:
                    raise ConfigError(f"kubeconfig {file}: two of its {kind} have the same name")
                named[name] = entry.get(kind.removesuffix("s"))
            for name, value in named.items():
                self._found[kind].setdefault(name, (file, value))

    def _entry(self, kind: str, name: str, model: type[Entry]) -> tuple[_Place, Entry]:
        file, value = self._found[kind][name]
        place = _Place(f"kubeconfig {file}: {kind.removesuffix('s')} {name!r}", file)
        with _without_content(place.name):
            try:
                return place, model.model_validate(_without_nulls(value or {}))
            except ValidationError as error:
                raise ConfigError(f"{place.name}: {_fault(error)}") from None


@dataclass(frozen=True)
class _Place:
    """Where something stands, to name it and to find the files that it names."""

    name: str
    file: str

    def fault(self, text: str) -> ConfigError:
        return ConfigError(f"{self.name}: {text}")

    def path(self, named: str) -> str:
        return os.path.join(os.path.dirname(os.path.abspath(self.file)), named)  # noqa: PTH118, PTH120, PTH100 -- of any text

    def content(self, option: str, path: str, data: str) -> bytes:
        """Give what a field holds: the bytes of the file that it names, or its own."""
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
    """Say that a file is no kubeconfig, and nothing of what it holds: there are secrets in it."""
    try:
        yield
    except ConfigError:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise ConfigError(f"{name}: it is not YAML{where}") from None
    except Exception as error:  # noqa: BLE001 -- a malformed file trips its reader in many ways
        raise ConfigError(f"{name}: it can't be used ({type(error).__name__})") from None


def _without_nulls(value: Any) -> Any:
    """Leave out what is null: in a kubeconfig that is the same as not given."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _fault(error: ValidationError) -> str:
    """Name the field and what is wrong with it; an unknown one only if its name looks like a field's."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = [str(part) for part in first["loc"]]
    if first["type"] != "extra_forbidden":
        known = [part if _NAME.fullmatch(part) or part.isdecimal() else "..." for part in path]
        return f"{'.'.join(known)}: {first_fault(error)[1]}"
    field_ = ".".join(path) if all(_NAME.fullmatch(part) for part in path) else "one of its fields"
    return f"{field_} is no field that is known here; a misspelt one could have somebody else act, or elsewhere"


# --- where the API server is -------------------------------------------------------------------------------------


def _server(name: str, cluster: Cluster) -> tuple[str, list[tuple[str, str]]]:
    """Give the address as kubectl uses it, and the Authorization that may stand in it."""
    try:
        address = urlsplit(cluster.server)
        port = address.port
    except ValueError:
        port, address = None, urlsplit("")
    if address.scheme not in ("http", "https") or not address.hostname or port == 0:
        raise ConfigError(f"{name}: its server is not an http or https address")
    signed_in = []
    if address.username is not None:
        signed_in = [_basic(unquote(address.username), unquote(address.password or ""))]
    host = address.netloc.rpartition("@")[2]
    return f"{address.scheme}://{host}{address.path.rstrip('/')}", signed_in


def _proxy(where: _Place, cluster: Cluster, server: str) -> Proxy | None:
    try:
        return Proxy.at(cluster.proxy_url) if cluster.proxy_url else proxy_of_environment(server)
    except ConfigError as error:
        raise where.fault(f"proxy-url: {error}") if cluster.proxy_url else error from None


def _refuse_contradictions(where: _Place, cluster: Cluster, who: _Place, user: User) -> None:
    """Refuse what contradicts itself, as kubectl does."""
    basic, certificate = bool(user.username or user.password), user.client_certificate or user.client_certificate_data
    authority = cluster.certificate_authority or cluster.certificate_authority_data
    faults = (
        (
            cluster.certificate_authority and cluster.certificate_authority_data,
            where,
            "certificate-authority and certificate-authority-data are both given",
        ),
        (cluster.insecure and authority, where, "insecure-skip-tls-verify and certificate-authority are both given"),
        (
            user.client_certificate and user.client_certificate_data,
            who,
            "client-certificate and client-certificate-data are both given",
        ),
        (user.client_key and user.client_key_data, who, "client-key and client-key-data are both given"),
        (certificate and not (user.client_key or user.client_key_data), who, "client-certificate needs client-key"),
        ((user.client_key or user.client_key_data) and not certificate, who, "client-key needs client-certificate"),
        (basic and (user.token or user.token_file), who, "token and username are both given"),
        (user.exec and user.auth_provider, who, "exec and auth-provider are both given"),
    )
    for contradicts, place, text in faults:
        if contradicts:
            raise place.fault(text)


def _tls(where: _Place, cluster: Cluster, authority: bytes) -> ssl.SSLContext:
    """Make the context that knows the API server."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_NONE if cluster.insecure else ssl.CERT_REQUIRED)
    try:
        if authority:
            context.load_verify_locations(cadata=authority.decode("ascii", "ignore"))
        elif not cluster.insecure:
            context.load_default_certs()
    except (ssl.SSLError, ValueError):
        raise where.fault("certificate-authority holds no certificate (PEM)") from None
    return context


def _show_certificate(context: ssl.SSLContext, who: _Place, user: User, credential: Credential) -> None:
    """Let a connection show the user's certificate. Its key lies in no file for longer than it takes to read it."""
    pem = who.content("client-certificate", user.client_certificate, user.client_certificate_data)
    if pem:
        pem += b"\n" + who.content("client-key", user.client_key, user.client_key_data)
    pem = pem or credential.certificate.encode()
    if pem:
        try:
            with tempfile.NamedTemporaryFile() as file:
                file.write(pem)
                file.flush()
                context.load_cert_chain(file.name, password="")  # or OpenSSL asks a person for one
        except (ssl.SSLError, ValueError):
            raise who.fault("client-certificate and client-key are no certificate and its key (PEM)") from None


# --- who asks ----------------------------------------------------------------------------------------------------


def _told(cluster: Cluster, server: str, authority: bytes) -> dict[str, Any]:
    """Give what a credential plugin may know of the cluster."""
    told = {
        "server": server,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure,
        "certificate-authority-data": base64.b64encode(authority).decode(),
        "proxy-url": cluster.proxy_url,
        "disable-compression": cluster.disable_compression,
        "config": next((one.extension for one in cluster.extensions if one.name == _PLUGIN_SETTINGS), None),
    }
    return {key: value for key, value in told.items() if value}


def _credential(name: str, who: _Place, user: User, told: Callable[[], Mapping[str, Any]]) -> Credential:
    """Ask the credential plugin, if the user signs in with it alone: as kubectl, which prefers what stands there."""
    if user.auth_provider is not None:
        return _of_provider(who, user.auth_provider)
    stands_there = user.token, user.token_file, user.username, user.password
    if user.exec is None or any(stands_there) or user.client_certificate or user.client_certificate_data:
        return Credential()
    command = who.path(user.exec.command) if os.sep in user.exec.command else user.exec.command
    try:
        return ask(user.exec, command, told() if user.exec.provide_cluster_info else None)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _of_provider(who: _Place, provider: AuthProvider) -> Credential:
    """Take OpenID Connect's token while it lasts. To renew it is left to kubectl, which writes the new one down."""
    if provider.name != "oidc":
        instead = f"; use the credential plugin {_REMOVED[provider.name]}" if provider.name in _REMOVED else ""
        raise who.fault(f"auth-provider: kubectl knows none of this name any more, but oidc{instead}")
    token = provider.config.get("id-token", "")
    try:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==="))
        expires = datetime.fromtimestamp(float(claims["exp"]), UTC)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, OSError):
        raise who.fault("auth-provider: config.id-token holds no token that tells when it expires") from None
    if datetime.now(UTC) >= expires:
        raise who.fault("auth-provider: config.id-token has expired; any command of kubectl renews it")
    return Credential(_printable(who.name, "auth-provider", token), expires=expires)


def _authorization(
    who: _Place, user: User, credential: Credential, signed_in: list[tuple[str, str]]
) -> Callable[[], list[tuple[str, str]]]:
    """Give what gives the Authorization of each request."""
    if user.token_file:
        return _TokenFile(who, user).authorization
    token = user.token or credential.token
    if user.username or user.password:
        signed_in = [_basic(user.username, user.password)]
    elif token:
        signed_in = [_bearer(who.name, "token", token)]
    return lambda: signed_in


class _TokenFile:
    """A token that is read anew for each request; where that fails, the last one that could be read counts."""

    def __init__(self, who: _Place, user: User) -> None:
        self._who = who
        self._path = who.path(user.token_file)
        self._last = [_bearer(who.name, "token", user.token)] if user.token else []
        self._last = self._read()

    def authorization(self) -> list[tuple[str, str]]:
        with suppress(ConfigError):
            self._last = self._read()
        return self._last

    def _read(self) -> list[tuple[str, str]]:
        try:
            token = Path(self._path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            if self._last:
                return self._last
            raise self._who.fault(f"tokenFile can't be read ({type(error).__name__})") from None
        if not token and not self._last:
            raise self._who.fault("tokenFile is empty")
        return [_bearer(self._who.name, "tokenFile", token)] if token else self._last


def _basic(user: str, password: str) -> tuple[str, str]:
    return "Authorization", f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _bearer(who: str, option: str, token: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {_printable(who, option, token)}"


def _printable(who: str, option: str, value: str) -> str:
    """Refuse what makes no header of one line."""
    if not value.isprintable():
        raise ConfigError(f"{who}: {option} holds a character that can't be sent")
    return value
