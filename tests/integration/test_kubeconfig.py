"""A kubeconfig is obeyed whole or refused: a row for each field that kubectl knows, seen on the wire or named."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from builders import kubeconfig, pod_json
from kubernetes import client
from loopback import ApiServer, Authority, HttpProxy, Seen, SocksProxy, TlsFront, said
from real_cluster import till
from urllib3.exceptions import InsecureRequestWarning

from mecbounce.errors import AccessDenied, ConfigError, Refused, Unreachable
from mecbounce.kubernetes_api import credentials
from mecbounce.kubernetes_api.client import KubernetesCluster
from mecbounce.kubernetes_api.objects import Pod

V1 = "client.authentication.k8s.io/v1"
# What client-go reads (tools/clientcmd/api/v1/types.go), by the JSON names of its types.
CONFIG = "kind apiVersion preferences clusters users contexts current-context extensions"
CLUSTER = (
    "server tls-server-name insecure-skip-tls-verify certificate-authority certificate-authority-data proxy-url "
    "disable-compression extensions"
)
USER = (
    "client-certificate client-certificate-data client-key client-key-data token tokenFile as as-uid as-groups "
    "as-user-extra username password auth-provider exec extensions"
)
CONTEXT = "cluster user namespace extensions"
EXEC = "command args env apiVersion installHint provideClusterInfo interactiveMode"
PROVIDER = "name config"
KNOWN = {
    *(f"config.{name}" for name in CONFIG.split()),
    *(f"cluster.{name}" for name in CLUSTER.split()),
    *(f"user.{name}" for name in USER.split()),
    *(f"context.{name}" for name in CONTEXT.split()),
    *(f"exec.{name}" for name in EXEC.split()),
    *(f"auth-provider.{name}" for name in PROVIDER.split()),
}
TLS = shutil.which("openssl") is not None

pytestmark = pytest.mark.skipif(not TLS, reason="makes its certificates with openssl")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@dataclass
class Bench:
    """An API server, TLS before it, and a folder for the kubeconfig."""

    folder: Path
    authority: Authority
    stack: ExitStack
    api: ApiServer = field(default_factory=ApiServer)

    @property
    def path(self) -> Path:
        return self.folder / "kubeconfig"

    def tls(self, name: str = "here") -> TlsFront:
        front: TlsFront = self.up(TlsFront(self.api.port, self.authority.context(name)))
        return front

    def up(self, server: Any) -> Any:
        return self.stack.enter_context(server)

    def write(self, user: dict[str, Any] | None = None, server: str | None = None, **cluster: Any) -> Path:
        named = {name.replace("_", "-"): value for name, value in cluster.items()}
        self.path.write_text(json.dumps(kubeconfig(server or self.api.url, user or {}, **named)))
        return self.path

    def ask(self, user: dict[str, Any] | None = None, server: str | None = None, **cluster: Any) -> Seen:
        """Ask for the pods as a kubeconfig says, and give what reached the API server."""
        KubernetesCluster.from_kubeconfig(self.write(user, server, **cluster)).pods("default")
        return self.api.seen[-1]

    def refusal(self, user: dict[str, Any] | None = None, server: str | None = None, **cluster: Any) -> str:
        """Give why a kubeconfig is refused: in one line, and before any request."""
        with pytest.raises(ConfigError) as caught:
            KubernetesCluster.from_kubeconfig(self.write(user, server, **cluster))
        assert "\n" not in str(caught.value)
        assert self.api.seen == []
        return str(caught.value)

    def plugin(self, script: str, status: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        """Give a user whose credential plugin runs a script and prints a status."""
        version = fields.get("apiVersion", V1)
        printed = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status or {"token": "t"}})
        (self.folder / "printed").write_text(printed)
        command = {"command": "sh", "args": ["-c", f"{script}\ncat {self.folder}/printed"]}
        return {"exec": {"apiVersion": version, "interactiveMode": "Never"} | command | fields}

    def told(self) -> Any:
        """Give what the plugin was told in its environment, where its script has kept that."""
        return json.loads((self.folder / "told").read_text())

    @property
    def telling(self) -> str:
        return f'printf %s "$KUBERNETES_EXEC_INFO" >{self.folder}/told'


@pytest.fixture
def bench(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with ExitStack() as stack:
        made = Bench(tmp_path, authority, stack)
        made.up(made.api)
        yield made


ROWS: dict[str, Callable[[Bench], None]] = {}


def row(*fields: str) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Mark a check as the row of these fields."""

    def enter(check: Callable[[Bench], None]) -> Callable[[Bench], None]:
        ROWS.update(dict.fromkeys(fields, check))
        return check

    return enter


def test_the_table_has_a_row_for_each_field_that_client_go_knows() -> None:
    assert set(ROWS) == KNOWN


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_each_field_is_honoured_or_named(name: str, bench: Bench) -> None:
    ROWS[name](bench)


# --- the cluster -------------------------------------------------------------------------------------------------


@row("cluster.server")
def _(bench: Bench) -> None:
    """With a path before each request, as Rancher has it; what else an address may hold is used as kubectl does."""
    address = bench.api.url.removeprefix("http://")
    seen = bench.ask(server=f"http://me:p%40ss@{address}/k8s/clusters/c-1/?a=b")
    assert seen.target == "/k8s/clusters/c-1/api/v1/namespaces/default/pods"
    assert seen.all("Authorization") == [basic("me:p@ss")]


@row("cluster.tls-server-name", "cluster.certificate-authority-data")
def _(bench: Bench) -> None:
    front, data = bench.tls("server"), bench.authority.data("ca.crt")
    bench.ask(server=front.url, tls_server_name="api.test", certificate_authority_data=data)
    assert front.names == ["api.test"]
    cluster = KubernetesCluster.from_kubeconfig(bench.write(server=front.url, certificate_authority_data=data))
    with pytest.raises(Unreachable, match="certificate"):
        cluster.pods("default")
    assert "certificate-authority-data is not base64" in fresh(bench).refusal(
        server=front.url, certificate_authority_data="no base64!"
    )
    assert "certificate-authority holds no certificate" in bench.refusal(
        server=front.url, certificate_authority_data=bench.authority.data("ca.key")
    )


@row("cluster.certificate-authority")
def _(bench: Bench) -> None:
    """Relative to the kubeconfig's own folder."""
    shutil.copy(bench.authority.certificate, bench.folder / "ca.crt")
    bench.ask(server=bench.tls().url, certificate_authority="ca.crt")
    assert "certificate-authority can't be read" in fresh(bench).refusal(
        server=bench.tls().url, certificate_authority="nowhere.crt"
    )
    data = bench.authority.data("ca.crt")
    assert "certificate-authority and certificate-authority-data are both given" in bench.refusal(
        server=bench.tls().url, certificate_authority="ca.crt", certificate_authority_data=data
    )


@row("cluster.insecure-skip-tls-verify")
def _(bench: Bench) -> None:
    with pytest.warns(InsecureRequestWarning):
        bench.ask(server=bench.tls("server").url, insecure_skip_tls_verify=True)
    cluster = KubernetesCluster.from_kubeconfig(bench.write(server=bench.tls("server").url))
    with pytest.raises(Unreachable, match="certificate"):
        cluster.pods("default")
    data = bench.authority.data("ca.crt")
    assert "insecure-skip-tls-verify and certificate-authority-data are both given" in fresh(bench).refusal(
        server=bench.tls().url, insecure_skip_tls_verify=True, certificate_authority_data=data
    )


@row("cluster.proxy-url")
def _(bench: Bench) -> None:
    """For a server on loopback too."""
    proxy = bench.up(HttpProxy(bench.api.port))
    bench.ask(proxy_url=f"http://127.0.0.1:{proxy.port}")
    assert [one.target for one in proxy.seen] == [f"{bench.api.url}/api/v1/namespaces/default/pods"]


@row("cluster.disable-compression")
def _(bench: Bench) -> None:
    for disabled in (True, False):
        assert bench.ask(disable_compression=disabled).all("Accept-Encoding") == ["identity"]


@row("cluster.extensions", "user.extensions", "context.extensions", "config.extensions", "config.preferences")
def _(bench: Bench) -> None:
    """They are for others, and change nothing; but see exec.provideClusterInfo."""
    extensions = [{"name": "minikube.sigs.k8s.io", "extension": {"version": "1"}}]
    content = kubeconfig(bench.api.url, {"token": "t", "extensions": extensions}, extensions=extensions)
    content["contexts"][0]["context"]["extensions"] = extensions
    bench.path.write_text(json.dumps(content | {"extensions": extensions, "preferences": {"colors": True}}))
    KubernetesCluster.from_kubeconfig(bench.path).pods("default")
    assert bench.api.seen[-1].all("Authorization") == ["Bearer t"]


# --- the user ----------------------------------------------------------------------------------------------------


@row("user.token")
def _(bench: Bench) -> None:
    assert bench.ask({"token": "t"}).all("Authorization") == ["Bearer t"]
    assert "user 'me': token: Input should be a valid string" in fresh(bench).refusal({"token": 12345})


@row("user.tokenFile")
def _(bench: Bench) -> None:
    """It goes before a token, and is read again and again; where it can't be read, the last one counts."""
    file = bench.folder / "token"
    file.write_text("first\n")
    cluster = KubernetesCluster.from_kubeconfig(bench.write({"token": "t", "tokenFile": "token"}))
    for content in ("first\n", "second\n", None):
        if content is None:
            file.unlink()
        else:
            file.write_text(content)
        cluster.pods("default")
    sent = [one.all("Authorization") for one in bench.api.seen]
    assert sent == [["Bearer first"], ["Bearer second"], ["Bearer second"]]
    assert "user 'me': tokenFile can't be read" in fresh(bench).refusal({"tokenFile": "token"})
    file.write_text(" \n")
    assert "user 'me': tokenFile is empty" in bench.refusal({"tokenFile": "token"})


@row("user.username", "user.password")
def _(bench: Bench) -> None:
    assert bench.ask({"username": "jürgen", "password": "p"}).all("Authorization") == [basic("jürgen:p")]
    assert bench.ask({"username": "me"}).all("Authorization") == [basic("me:")]
    assert "token and username are both given" in fresh(bench).refusal({"username": "me", "token": "t"})


@row("user.client-certificate", "user.client-key")
def _(bench: Bench) -> None:
    for name in ("client.crt", "client.key"):
        shutil.copy(bench.authority.folder / name, bench.folder / name)
    front, user = bench.tls(), {"client-certificate": "client.crt", "client-key": "client.key"}
    bench.ask(user, front.url, certificate_authority=str(bench.authority.certificate))
    assert front.seen == ["client"]
    for left_out in user:
        rest = {name: value for name, value in user.items() if name != left_out}
        assert f"needs {left_out}" in fresh(bench).refusal(rest, front.url)


@row("user.client-certificate-data", "user.client-key-data")
def _(bench: Bench) -> None:
    front, authority = bench.tls(), bench.authority
    data = {"client-certificate-data": authority.data("client.crt"), "client-key-data": authority.data("client.key")}
    bench.ask(data, front.url, certificate_authority=str(authority.certificate))
    assert front.seen == ["client"]
    other = data | {"client-key-data": authority.data("ca.key")}
    assert "client-certificate and client-key are not a certificate and its key" in fresh(bench).refusal(
        other, front.url
    )
    for name in ("client-certificate", "client-key"):
        assert f"{name} and {name}-data are both given" in bench.refusal(data | {name: "a file"}, front.url)


@row("user.as")
def _(bench: Bench) -> None:
    seen = bench.ask({"token": "t", "as": "jürgen"})
    assert seen.all("Authorization") == ["Bearer t"]
    assert [one.encode("latin-1").decode() for one in seen.all("Impersonate-User")] == ["jürgen"]
    assert "as holds a character that can't be sent" in fresh(bench).refusal({"as": "me\nImpersonate-Group: root"})


@row("user.as-uid")
def _(bench: Bench) -> None:
    assert bench.ask({"as": "me", "as-uid": "u-1"}).all("Impersonate-Uid") == ["u-1"]
    assert "user 'me': as-uid needs `as`" in fresh(bench).refusal({"as-uid": "u-1"})


@row("user.as-groups")
def _(bench: Bench) -> None:
    """A header each: in one, they would be one group of a long name."""
    assert bench.ask({"as": "me", "as-groups": ["a", "b, c"]}).all("Impersonate-Group") == ["a", "b, c"]
    assert "user 'me': as-groups needs `as`" in fresh(bench).refusal({"as-groups": ["a"]})


@row("user.as-user-extra")
def _(bench: Bench) -> None:
    seen = bench.ask({"as": "me", "as-user-extra": {"scopes": ["view", "edit"], "example.com/a b%": ["c"]}})
    extra = [one for one in seen.headers if one[0].startswith("Impersonate-Extra-")]
    assert extra == [
        ("Impersonate-Extra-scopes", "view"),
        ("Impersonate-Extra-scopes", "edit"),
        ("Impersonate-Extra-example.com%2Fa%20b%25", "c"),
    ]
    assert "user 'me': as-user-extra needs `as`" in fresh(bench).refusal({"as-user-extra": {"a": ["b"]}})


@row("user.auth-provider", "auth-provider.name", "auth-provider.config")
def _(bench: Bench) -> None:
    """OpenID Connect's token is used while it lasts; kubectl, which can renew it, no longer knows the others."""
    provider = {"name": "oidc", "config": {"id-token": jwt(hours=1), "refresh-token": "r", "client-id": "c"}}
    assert bench.ask({"auth-provider": provider}).all("Authorization") == [f"Bearer {provider['config']['id-token']}"]  # type: ignore[index]
    fresh(bench)
    provider["config"] = {"id-token": jwt(hours=-1)}
    assert "auth-provider: config.id-token has expired; any command" in bench.refusal({"auth-provider": provider})
    provider["config"] = {"id-token": "no token"}
    assert "config.id-token is not a token" in bench.refusal({"auth-provider": provider})
    for name, says in (
        ("gcp", "use the credential plugin gke-gcloud-auth-plugin"),
        ("some", "kubectl now supports only oidc"),
    ):
        assert says in bench.refusal({"auth-provider": {"name": name, "config": {"access-token": "a"}}})
    both = {"auth-provider": provider, **bench.plugin("true")}
    assert "exec and auth-provider are both given" in bench.refusal(both)


# --- the credential plugin ---------------------------------------------------------------------------------------


@row("user.exec", "exec.args")
def _(bench: Bench) -> None:
    assert bench.ask(bench.plugin("true", {"token": "from a plugin"})).all("Authorization") == ["Bearer from a plugin"]
    user = bench.plugin(f"touch {bench.folder}/ran") | {"token": "t"}
    assert bench.ask(user).all("Authorization") == ["Bearer t"]
    assert not (bench.folder / "ran").exists()


@row("exec.command")
def _(bench: Bench) -> None:
    """By a path, it lies relative to the kubeconfig; it runs where we do."""
    user = bench.plugin(f"pwd >{bench.folder}/where")
    (bench.folder / "plugin").write_text(f"#!/bin/sh\n{user['exec']['args'][1]}")
    (bench.folder / "plugin").chmod(0o700)
    user["exec"] |= {"command": "./plugin", "args": None}
    assert bench.ask(user).all("Authorization") == ["Bearer t"]
    assert (bench.folder / "where").read_text().strip() == str(Path.cwd())
    user["exec"]["command"] = ""
    assert "user 'me': exec.command: String should have at least 1 character" in fresh(bench).refusal(user)


@row("exec.env")
def _(bench: Bench) -> None:
    script = f'printf %s "$PROFILE" >{bench.folder}/profile'
    bench.ask(bench.plugin(script, env=[{"name": "PROFILE", "value": "prod"}]))
    assert (bench.folder / "profile").read_text() == "prod"
    bench.ask(bench.plugin(script, env=None))
    user = bench.plugin(script, env=[{"name": "", "value": "prod"}])
    assert "user 'me': exec.env.0.name: String should have" in fresh(bench).refusal(user)


@row("exec.apiVersion")
def _(bench: Bench) -> None:
    for version in ("v1", "v1beta1", "v1alpha1"):
        full = f"client.authentication.k8s.io/{version}"
        bench.ask(bench.plugin(bench.telling, apiVersion=full))
        assert bench.told()["apiVersion"] == full
    fresh(bench)
    assert "user 'me': exec.apiVersion: Input should be" in bench.refusal(bench.plugin("true", apiVersion="v2"))
    user = bench.plugin("true")
    (bench.folder / "printed").write_text((bench.folder / "printed").read_text().replace("/v1", "/v1beta1"))
    assert f"it does not answer in the apiVersion {V1}" in bench.refusal(user)


@row("exec.installHint")
def _(bench: Bench) -> None:
    hint = "brew install\n\x1b[1mfoo"
    user = bench.plugin("true", command="no-such-plugin", installHint=hint)
    assert "there is no command 'no-such-plugin'; brew install �[1mfoo" in bench.refusal(user)


@row("exec.provideClusterInfo")
def _(bench: Bench) -> None:
    """All that client-go tells: the authority as data, wherever it stands, and the extension meant for plugins."""
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}
    cluster = {"server": bench.tls().url, "certificate_authority": str(bench.authority.certificate)}
    for provided in (True, False):
        user = bench.plugin(bench.telling, provideClusterInfo=provided)
        bench.ask(user, **cluster, disable_compression=True, extensions=[extension])
        known = {
            "server": cluster["server"],
            "certificate-authority-data": bench.authority.data("ca.crt"),
            "disable-compression": True,
            "config": {"audience": "a"},
        }
        assert bench.told()["spec"] == {"interactive": False} | ({"cluster": known} if provided else {})


@row("exec.interactiveMode")
def _(bench: Bench) -> None:
    """As with kubectl: v1 must say; Always needs a terminal."""
    for mode in ("Never", "IfAvailable"):
        bench.ask(bench.plugin(bench.telling, interactiveMode=mode))
        assert bench.told()["spec"]["interactive"] is False
    bench.ask(bench.plugin("true", interactiveMode="", apiVersion="client.authentication.k8s.io/v1beta1"))
    fresh(bench)
    for mode, says in (
        ("Always", "exec.interactiveMode is Always, and standard input is not a terminal"),
        ("", "exec.interactiveMode must be Never, IfAvailable or Always"),
        ("Sometimes", "exec.interactiveMode: Input should be"),
    ):
        assert says in bench.refusal(bench.plugin("true", interactiveMode=mode))


# --- what leads there --------------------------------------------------------------------------------------------


@row("config.current-context", "config.contexts", "config.clusters", "config.users", "context.cluster", "context.user")
def _(bench: Bench) -> None:
    elsewhere = bench.up(ApiServer())
    content = kubeconfig(elsewhere.url, {"token": "other"})
    content["clusters"].append({"name": "there", "cluster": {"server": bench.api.url}})
    content["users"].append({"name": "you", "user": {"token": "t"}})
    content["contexts"].append({"name": "that", "context": {"cluster": "there", "user": "you"}})
    bench.path.write_text(json.dumps(content | {"current-context": "that"}))
    KubernetesCluster.from_kubeconfig(bench.path).pods("default")
    KubernetesCluster.from_kubeconfig(bench.path, "it").pods("default")
    assert [bench.api.seen[0].all("Authorization"), elsewhere.seen[0].all("Authorization")] == [
        *(["Bearer t"], ["Bearer other"])
    ]
    for kind in ("users", "clusters"):
        bench.path.write_text(json.dumps(content | {kind: content[kind][:1]}))
        with pytest.raises(ConfigError, match=f"context 'that' names a {kind[:-1]} that is not among its {kind}"):
            KubernetesCluster.from_kubeconfig(bench.path, "that")
    bench.path.write_text(json.dumps(content | {"users": content["users"] + content["users"]}))
    with pytest.raises(ConfigError, match="two of its users have the same name"):
        KubernetesCluster.from_kubeconfig(bench.path)
    bench.path.write_text(json.dumps(content | {"current-context": ""}))
    with pytest.raises(ConfigError, match="it has no current-context"):
        KubernetesCluster.from_kubeconfig(bench.path)


@row("context.namespace")
def _(bench: Bench) -> None:
    content = kubeconfig(bench.api.url, {})
    content["contexts"][0]["context"]["namespace"] = "mec"
    bench.path.write_text(json.dumps(content))
    assert KubernetesCluster.from_kubeconfig(bench.path).namespace == "mec"


@row("config.kind", "config.apiVersion")
def _(bench: Bench) -> None:
    for wrong in ({"kind": "Secret"}, {"apiVersion": "v2"}):
        bench.path.write_text(json.dumps(kubeconfig(bench.api.url, {}) | wrong))
        with pytest.raises(ConfigError, match="its kind is not Config, or its apiVersion is not v1"):
            KubernetesCluster.from_kubeconfig(bench.path)
    bench.path.write_text(json.dumps(kubeconfig(bench.api.url, {}) | {"kind": None, "apiVersion": None}))
    KubernetesCluster.from_kubeconfig(bench.path).pods("default")


def basic(who: str) -> str:
    return f"Basic {base64.b64encode(who.encode()).decode()}"


def jwt(hours: float) -> str:
    claims = json.dumps({"exp": (datetime.now(UTC) + timedelta(hours=hours)).timestamp()})
    return f"e30.{base64.urlsafe_b64encode(claims.encode()).decode().rstrip('=')}.c2ln"


def fresh(bench: Bench) -> Bench:
    bench.api.seen.clear()
    return bench


# --- what no row says --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        *(({"As": "nobody"}, {}), ({"impersonate": "nobody"}, {}), ({"as_user": "nobody"}, {})),
        *(({"proxy_url": "x"}, {}), ({}, {"proxyUrl": "x"}), ({}, {"proxyURL": "x"})),
    ],
)
def test_a_field_of_the_user_or_the_cluster_that_is_not_known_is_refused(
    bench: Bench, user: dict[str, Any], cluster: dict[str, Any]
) -> None:
    """kubectl ignores it. Misspelt, it would have another one act, or elsewhere."""
    said = bench.refusal({"token": "t"} | user, **cluster)
    assert "is not a known field; if it is misspelt, requests could be sent as another user or elsewhere" in said
    assert any(f"{name} is not a known field" in said for name in (*user, *cluster))


@pytest.mark.parametrize("name", ["proxy_url ", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "a" * 17, "a: b"])
def test_a_field_that_may_be_a_secret_is_not_named(bench: Bench, name: str) -> None:
    """A value that has lost its field, or its colon, stands where a field does."""
    said = bench.refusal({"token": "t", name: "x"})
    assert "one of its fields is not a known field" in said
    assert name not in said


def test_a_proxy_that_can_not_be_reached_is_named(bench: Bench) -> None:
    """Without it, the API server would be looked at; its password is not told."""
    path = bench.write({"token": "t"}, **{"proxy-url": "http://me:secret@127.0.0.1:1"})
    with pytest.raises(Unreachable, match=r"can't be reached through the proxy http://127\.0\.0\.1:1: ") as raised:
        KubernetesCluster.from_kubeconfig(path).pods("default")
    assert "secret" not in str(raised.value)


def test_what_is_unknown_elsewhere_is_ignored_as_kubectl_does(bench: Bench) -> None:
    content = kubeconfig(bench.api.url, {"token": "t"}) | {"colour": "blue"}
    content["contexts"][0]["context"]["colour"] = "blue"
    content["users"].append({"name": "unused", "user": {"colour": "blue"}})
    bench.path.write_text(json.dumps(content))
    KubernetesCluster.from_kubeconfig(bench.path).pods("default")


def test_an_unknown_field_that_may_be_a_secret_is_not_quoted(bench: Bench) -> None:
    assert "s3cr3t" not in bench.refusal({"s3cr3t-token": "t"})


class TestSeveralFiles:
    """As kubectl merges them: of $KUBECONFIG, the first to name a thing has the say about it."""

    def files(self, bench: Bench, *contents: dict[str, Any]) -> str:
        names = []
        for number, content in enumerate(contents):
            folder = bench.folder / str(number)
            folder.mkdir()
            (folder / "config").write_text(json.dumps(content))
            names.append(str(folder / "config"))
        return os.pathsep.join([str(bench.folder / "missing"), *names])

    def test_the_first_current_context_and_the_first_user_of_a_name_count(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The official client takes the last file's current context."""
        elsewhere = bench.up(ApiServer())
        first = kubeconfig(bench.api.url, {"token": "t"})
        second = kubeconfig(elsewhere.url, {"token": "other", "as": "somebody"})
        second["contexts"].append({"name": "that", "context": {"cluster": "here", "user": "me"}})
        named = self.files(bench, first, second | {"current-context": "that"})
        monkeypatch.setenv("KUBECONFIG", named)
        cluster = KubernetesCluster.from_kubeconfig()
        cluster.pods("default")
        assert (cluster.context, cluster.namespace) == ("it", "default")
        assert KubernetesCluster.contexts() == ("it", "that")
        assert [one.all("Authorization") for one in bench.api.seen] == [["Bearer t"]]
        assert bench.api.seen[0].all("Impersonate-User") == []
        assert elsewhere.seen == []

    def test_a_later_file_completes_what_the_first_leaves_open(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And its relative paths are relative to it."""
        whole = kubeconfig(bench.api.url, {"tokenFile": "token"})
        named = self.files(bench, {"contexts": whole["contexts"]}, whole | {"contexts": []})
        (bench.folder / "1" / "token").write_text("t")
        monkeypatch.setenv("KUBECONFIG", named)
        KubernetesCluster.from_kubeconfig().pods("default")
        assert bench.api.seen[0].all("Authorization") == ["Bearer t"]

    def test_an_empty_file_says_nothing_and_a_damaged_one_is_named(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        named = self.files(bench, {}, kubeconfig(bench.api.url, {}))
        monkeypatch.setenv("KUBECONFIG", named)
        (bench.folder / "0" / "config").write_text("")
        KubernetesCluster.from_kubeconfig().pods("default")
        (bench.folder / "0" / "config").write_text("{")
        with pytest.raises(ConfigError, match=f"^kubeconfig {bench.folder}/0/config: it is not YAML"):
            KubernetesCluster.from_kubeconfig()

    def test_a_given_path_is_one_file(self, bench: Bench) -> None:
        named = self.files(bench, kubeconfig(bench.api.url, {}))
        with pytest.raises(ConfigError, match="there is no such file"):
            KubernetesCluster.from_kubeconfig(named)


class TestActAs:
    """What --as, --as-group and --as-uid say takes the kubeconfig's place, one by one, as with kubectl."""

    USER: dict[str, Any] = {"token": "t", "as": "me", "as-uid": "u", "as-groups": ["a", "b"]}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("options", "sent"),
        [
            ({}, ("me", "u", ["a", "b"])),
            ({"as_user": "you"}, ("you", "u", ["a", "b"])),
            ({"as_groups": ("c",)}, ("me", "u", ["c"])),
            ({"as_user": "you", "as_uid": "v"}, ("you", "v", ["a", "b"])),
        ],
    )
    def test_each_takes_the_place_of_its_own(
        self, bench: Bench, options: dict[str, Any], sent: tuple[str, str, list[str]]
    ) -> None:
        KubernetesCluster.from_kubeconfig(bench.write(self.USER), **options).pods("default")
        seen = bench.api.seen[0]
        assert (*seen.all("Impersonate-User"), *seen.all("Impersonate-Uid"), seen.all("Impersonate-Group")) == sent

    def test_a_group_without_a_user_is_refused(self, bench: Bench) -> None:
        with pytest.raises(ConfigError, match=r"as-groups needs `as` \(--as\), the user to act as"):
            KubernetesCluster.from_kubeconfig(bench.write({"token": "t"}), as_groups=("a",))

    def test_another_clients_certificate_authority_is_the_one_of_when_it_was_given(self, bench: Bench) -> None:
        authority = bench.folder / "ca.crt"
        shutil.copy(bench.authority.certificate, authority)
        configuration = client.Configuration()
        configuration.host = bench.tls().url
        configuration.ssl_ca_cert = str(authority)
        cluster = KubernetesCluster.from_api_client(client.ApiClient(configuration))
        authority.write_text("replaced")
        cluster.pods("default")
        ask(cluster, "proxy")
        assert len(bench.api.seen) == 2
        authority.unlink()
        with pytest.raises(ConfigError, match="the client's certificate authority can't be read"):
            KubernetesCluster.from_api_client(client.ApiClient(configuration))

    def test_another_clients_headers_are_kept(self, bench: Bench) -> None:
        """So it is told to impersonate, for want of another way (kubernetes-client/python#362)."""
        configuration = client.Configuration()
        configuration.host = bench.api.url
        own = client.ApiClient(configuration)
        own.set_default_header("Impersonate-User", "nobody")
        KubernetesCluster.from_api_client(own).pods("default")
        assert bench.api.seen[0].all("Impersonate-User") == ["nobody"]
        assert [one.partition("/")[0] for one in bench.api.seen[0].all("User-Agent")] == ["mecbounce"]


# --- proxies -----------------------------------------------------------------------------------------------------

POD = Pod.model_validate(pod_json())
ASKS = {
    "list": lambda cluster: cluster.pods("default"),
    "exec": lambda cluster: cluster.exec_pod(POD, ("true",), "app"),
    "proxy": lambda cluster: cluster.proxy_pod(POD, 8080, "off", "GET"),
}
LIST = "/api/v1/namespaces/default/pods"


def ask(cluster: KubernetesCluster, kind: str) -> None:
    try:
        ASKS[kind](cluster)
    except Refused as error:
        assert (kind, str(error)) == ("exec", "exec was refused: no upgrade here")  # noqa: PT017 -- only exec may


@pytest.mark.parametrize("kind", ASKS)
class TestProxy:
    """Whatever is asked goes through it: lists, exec's WebSocket and requests to a pod, as the same user."""

    USER: dict[str, Any] = {"token": "t", "as": "me", "as-groups": ["a", "b"]}  # noqa: RUF012

    def through(self, bench: Bench, kind: str, server: str, **cluster: Any) -> None:
        status = '{"kind": "Status", "message": "no upgrade here"}'
        bench.api.answer = said(400, status) if kind == "exec" else bench.api.answer
        ask(KubernetesCluster.from_kubeconfig(bench.write(self.USER, server, **cluster)), kind)
        [seen] = bench.api.seen
        assert seen.target.partition("?")[0].startswith(LIST)
        assert seen.all("Authorization") == ["Bearer t"]
        assert (seen.all("Impersonate-User"), seen.all("Impersonate-Group")) == (["me"], ["a", "b"])
        assert [one.partition("/")[0] for one in seen.all("User-Agent")] == ["mecbounce"]
        assert seen.all("Proxy-Authorization") == []

    @pytest.mark.parametrize("tls_to_proxy", [False, True], ids=["http", "https"])
    def test_of_http_or_https_to_a_server_of_https(self, bench: Bench, kind: str, *, tls_to_proxy: bool) -> None:
        front, authority = bench.tls("server"), bench.authority
        context = authority.context("here") if tls_to_proxy else None
        proxy = bench.up(HttpProxy(front.port, context, user="me:p@ss"))
        scheme = "https" if tls_to_proxy else "http"
        cluster = {"certificate_authority": str(authority.certificate)}
        url = f"{scheme}://me:p%40ss@127.0.0.1:{proxy.port}"
        self.through(bench, kind, "https://api.test:7443", proxy_url=url, **cluster)
        assert [(one.method, one.target) for one in proxy.seen] == [("CONNECT", "api.test:7443")]
        assert front.names == ["api.test"]

    def test_of_http_to_a_server_of_http(self, bench: Bench, kind: str) -> None:
        proxy = bench.up(HttpProxy(bench.api.port, user="me:p"))
        self.through(bench, kind, "http://cluster.invalid", proxy_url=f"http://me:p@127.0.0.1:{proxy.port}")
        assert len(proxy.seen) == 1

    @pytest.mark.skipif(importlib.util.find_spec("socks") is None, reason="PySocks is not installed")
    @pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
    @pytest.mark.parametrize("user", ["", "me:p@ss"])
    def test_of_socks_which_resolves_the_name(self, bench: Bench, kind: str, scheme: str, user: str) -> None:
        front = bench.tls("server")
        proxy = bench.up(SocksProxy(front.port, user=user))
        signed_in = "me:p%40ss@" if user else ""
        url = f"{scheme}://{signed_in}127.0.0.1:{proxy.port}"
        self.through(
            bench, kind, "https://api.test:7443", proxy_url=url, certificate_authority=str(bench.authority.certificate)
        )
        assert proxy.seen == [("api.test", 7443, user)]

    def test_that_turns_us_away_is_told_in_one_line_without_the_password(self, bench: Bench, kind: str) -> None:
        front = bench.tls("server")
        for server in ("https://api.test:7443", "http://cluster.invalid"):
            proxy = bench.up(HttpProxy(front.port, user="me:right"))
            path = bench.write({"token": "t"}, server, proxy_url=f"http://me:s3cr3t@127.0.0.1:{proxy.port}")
            with pytest.raises((Unreachable, AccessDenied), match="407 Proxy Authentication Required") as caught:
                ask(KubernetesCluster.from_kubeconfig(path), kind)
            assert "s3cr3t" not in str(caught.value)
        assert bench.api.seen == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://proxy:1", "its scheme is not one of http, https, socks5, socks5h"),
        ("proxy:3128", "it has no scheme, such as http://"),
        ("//proxy:3128", "it has no scheme, such as http://"),
        ("http:/proxy", "it has no scheme, such as http://"),
        ("http://", "it names no host"),
        ("http://me:s3cr3t@", "it names no host"),
        ("http://me:s3cr3t@pro xy", "it names no host"),
        ("http://me:s3cr3t@[::1", "it is not a URL"),
        ("http://me:s3cr3t@proxy:port", "its port is not a number from 1 to 65535"),
        ("http://me:s3cr3t@proxy:99999", "its port is not a number from 1 to 65535"),
        ("http://me:s3cr3t@proxy:0", "its port is not a number from 1 to 65535"),
        ("http://me:s3cr3t%FF@proxy:1", "its user or password is not UTF-8"),
        ("http://m%FF:s3cr3t@proxy:1", "its user or password is not UTF-8"),
        ("http://me:s3cr3t\udcff@proxy:1", "its user or password is not UTF-8"),
        ("http://me:s3cr3t@proxy%00:1", "it names no host"),
        ("http://me:s3cr3t@%70roxy:1", "it names no host"),
        ("http://me:s3cr3t@proxy..example.com:1", "it names no host"),
        (f"http://me:s3cr3t@{'a' * 64}:1", "it names no host"),
        ("http://me:s3cr3t@[::1]x:1", "it "),  # what of it is said depends on Python's version
        ("http://me:s3cr3t@[1::2::3]:1", "it "),
    ],
)
def test_a_proxy_url_that_is_none_is_named_without_its_password(bench: Bench, url: str, says: str) -> None:
    said = bench.refusal(proxy_url=url)
    assert f"cluster 'here': proxy-url: {says}" in said
    assert "s3cr3t" not in said


def test_a_socks_proxy_names_the_package_that_it_needs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "socks" else found(name))
    said = bench.refusal(proxy_url="socks5://127.0.0.1:1")
    assert "proxy-url: a SOCKS proxy needs the package PySocks: pip install 'mecbounce[socks]'" in said


class TestEnvironmentsProxy:
    """One that the environment names spares loopback and NO_PROXY; one of the kubeconfig goes before it."""

    @pytest.mark.parametrize(
        ("no_proxy", "proxied"),
        [
            *(("", True), ("other.invalid,10.0.0.0/8", True), ("*", False), ("cluster.invalid", False)),
            *((".invalid", False), ("invalid", False), ("cluster.invalid:80", False), ("cluster.invalid:81", True)),
        ],
    )
    def test_is_taken_unless_no_proxy_names_the_server(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, no_proxy: str, *, proxied: bool
    ) -> None:
        proxy = bench.up(HttpProxy(bench.api.port))
        monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        cluster = KubernetesCluster.from_kubeconfig(bench.write(server="http://cluster.invalid"))
        if proxied:
            cluster.pods("default")
        else:
            with pytest.raises(Unreachable, match="Failed to resolve"):
                cluster.pods("default")
        assert len(proxy.seen) == len(bench.api.seen) == proxied

    @pytest.mark.parametrize(
        ("no_proxy", "proxied"),
        [
            ("fd00::5", False),
            ("[fd00::5]", False),
            ("[fd00::5]:80", False),
            ("[fd00::5]:81", True),
            ("fd00::/8", False),
        ],
    )
    def test_an_address_of_ipv6_is_spared_however_it_is_written(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, no_proxy: str, *, proxied: bool
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        made = KubernetesCluster.from_kubeconfig(bench.write(server="http://[fd00::5]"))
        assert (made._access.proxy is not None) is proxied

    def test_a_network_is_spared_by_its_addresses(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        proxy = bench.up(HttpProxy(bench.api.port))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        for no_proxy, targets in (("10.0.0.0/8", []), ("192.168.0.0/16", ["http://10.255.0.1:1" + LIST])):
            monkeypatch.setenv("no_proxy", no_proxy)
            made = KubernetesCluster.from_kubeconfig(bench.write(server="http://10.255.0.1:1"))
            assert (made._access.proxy is None) is (targets == [])
            if targets:
                made.pods("default")
            assert [one.target for one in proxy.seen] == targets

    @pytest.mark.parametrize(
        ("named", "fault"),
        [
            ("ftp://me:s3cr3t@proxy", "its scheme is not one of http, https, socks5, socks5h"),
            ("http:/proxy", "it has no scheme, such as http://"),
            ("//proxy:3128", "it has no scheme, such as http://"),
            ("me:s3cr3t@proxy:99999", "its port is not a number from 1 to 65535"),
            ("http://me:s3cr3t%FF@proxy", "its user or password is not UTF-8"),
        ],
    )
    def test_one_that_is_none_is_named(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, named: str, fault: str
    ) -> None:
        monkeypatch.setenv("http_proxy", named)
        said = bench.refusal(server="http://cluster.invalid")
        assert said == f"the environment's http_proxy can't be used: {fault}"

    @pytest.mark.parametrize("named", [" http://127.0.0.1:1", "127.0.0.1:1 ", "127.0.0.1:1/"])
    def test_spaces_around_it_and_a_path_behind_it_do_not_count(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, named: str
    ) -> None:
        monkeypatch.setenv("http_proxy", named)
        made = KubernetesCluster.from_kubeconfig(bench.write(server="http://cluster.invalid"))
        assert made._access.proxy is not None
        assert made._access.proxy.url == "http://127.0.0.1:1"

    @pytest.mark.parametrize("user", ["me:€", "я:пароль"])
    def test_its_user_and_password_are_sent_as_utf_8(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, user: str
    ) -> None:
        proxy = bench.up(HttpProxy(bench.api.port, user=user))
        monkeypatch.setenv("http_proxy", f"http://{user}@127.0.0.1:{proxy.port}")
        KubernetesCluster.from_kubeconfig(bench.write(server="http://cluster.invalid")).pods("default")
        monkeypatch.delenv("http_proxy")
        url = f"http://{quote(user, safe=':')}@127.0.0.1:{proxy.port}"
        bench.ask(server="http://cluster.invalid", proxy_url=url)
        assert len(bench.api.seen) == 2


# --- a plugin's life ---------------------------------------------------------------------------------------------


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class TestPlugin:
    def test_is_ended_with_its_children_when_its_time_is_over(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(credentials, "LIMIT", 1.0)
        pids = bench.folder / "pids"
        user = bench.plugin(f"sleep 300 & echo $! $$ >{pids}; sleep 300")
        assert "its credential plugin failed: it had not ended after 1 s" in bench.refusal(user)
        written = [int(pid) for pid in pids.read_text().split()]
        assert len(written) == 2
        till("it and its child have gone", lambda: not any(map(is_running, written)))

    @pytest.mark.parametrize("prints", ["while :; do echo xxxxxxxx; done", "yes >&2 & yes"])
    def test_that_prints_for_ever_is_ended_once_it_has_printed_too_much(self, bench: Bench, prints: str) -> None:
        said = bench.refusal(bench.plugin(f"echo $$ >{bench.folder}/pid\n{prints}"))
        assert "its credential plugin failed: it printed more than 1 MiB" in said
        pid = int((bench.folder / "pid").read_text())
        till("it has gone", lambda: not is_running(pid))

    def test_that_drips_is_ended_when_its_time_is_over(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(credentials, "LIMIT", 1.0)
        assert "it had not ended after 1 s" in bench.refusal(bench.plugin("while :; do echo x; sleep 0.1; done"))
        assert "it had not ended after 1 s" in bench.refusal(bench.plugin("exec >&-; sleep 300"))

    def test_that_has_ended_but_left_a_child_with_its_output_is_told_so(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(credentials, "LIMIT", 1.0)
        said = bench.refusal(bench.plugin(f"sleep 300 & echo $! >{bench.folder}/pid"))
        assert "its credential plugin failed: its output was not closed within 1 s" in said
        pid = int((bench.folder / "pid").read_text())
        till("the child has gone", lambda: not is_running(pid))

    def test_that_takes_too_long_later_is_unreachable(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(credentials, "LIMIT", 1.0)
        once = bench.folder / "once"
        expired = {"token": "t", "expirationTimestamp": "2020-01-01T00:00:00Z"}
        user = bench.plugin(f"test -e {once} && exec sleep 300; touch {once}", expired)
        cluster = KubernetesCluster.from_kubeconfig(bench.write(user))
        with pytest.raises(Unreachable, match="it had not ended after 1 s"):
            cluster.pods("default")
        assert bench.api.seen == []

    def test_is_asked_again_once_its_credential_has_expired_and_not_before(self, bench: Bench) -> None:
        for hours, runs in ((1, 1), (-1, 3)):
            count = bench.folder / f"count{hours}"
            expires = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
            user = bench.plugin(f"echo >>{count}", {"token": "t", "expirationTimestamp": expires})
            cluster = KubernetesCluster.from_kubeconfig(bench.write(user))
            for _ in range(2):
                cluster.pods("default")
            assert len(count.read_text().splitlines()) == runs

    def test_may_give_a_certificate_and_a_token(self, bench: Bench) -> None:
        front, pem = bench.tls(), bench.authority.pem
        status = {"token": "t", "clientCertificateData": pem("client.crt"), "clientKeyData": pem("client.key")}
        user, authority = bench.plugin("true", status), str(bench.authority.certificate)
        assert bench.ask(user, front.url, certificate_authority=authority).all("Authorization") == ["Bearer t"]
        assert front.seen == ["client"]
        del status["clientKeyData"]
        said = fresh(bench).refusal(bench.plugin("true", status), front.url, certificate_authority=authority)
        assert "it gave a certificate without its key" in said

    def test_what_it_prints_is_not_quoted(self, bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
        for script in ("echo s3cr3t >&2; exit 3", "echo s3cr3t; exit 0", "echo '{\"s3cr3t\": 5}'; exit 0"):
            said = bench.refusal(bench.plugin(script))
            assert "its credential plugin failed" in said
            assert "s3cr3t" not in said
        assert capfd.readouterr() == ("", "")

    def test_may_ask_where_there_is_a_terminal(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        ours, theirs = os.openpty()
        with os.fdopen(ours, "wb"), os.fdopen(theirs) as terminal:
            monkeypatch.setattr(sys, "stdin", terminal)
            for mode, may in (("Always", True), ("IfAvailable", True), ("Never", False)):
                bench.ask(bench.plugin(bench.telling, interactiveMode=mode))
                assert bench.told()["spec"]["interactive"] is may
