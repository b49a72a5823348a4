"""No secret of the kubeconfig's, the pod's or the resource's in what is logged, recorded, told, printed or raised.

Outside of it: what urllib3 and the Kubernetes client log by themselves at DEBUG. And what a runner's own code raises
is its own to word: the text of a protection's or a flush's exception is quoted, that of a callback's is not.
"""

from __future__ import annotations

import base64
import json
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import NODE, kubeconfig, request
from hypothesis import example, given, settings
from mutations import EXAMPLES, almost, as_bytes, spoilt
from pydantic_core import from_json
from structlog.testing import capture_logs

from mecbounce import cli
from mecbounce.errors import ConfigError, MecBounceError, RecordNotSaved
from mecbounce.kubernetes_api.client import KubernetesCluster
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.planning import plan
from mecbounce.protection import AnnotationProtection, ExecProtection, HttpProtection
from mecbounce.sandbox import Sandbox
from mecbounce.sandbox.scenarios import SCENARIOS
from mecbounce.stores import FileStore, MappingStore
from mecbounce.task import BounceTask

SECRET = "s3cr3t"  # noqa: S105 -- the mark that each secret here bears
TOKEN = f"{SECRET}-eyJhbGciOiJSUzI1NiJ9"
KEY = base64.b64encode(f"{SECRET}-a-private-key".encode()).decode()
SEEDS = (SECRET, KEY, base64.b64encode(f"user:{SECRET}-password".encode()).decode())

PLUGIN = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "command": "sh",
    "env": [{"name": "PLUGIN_KEY", "value": f"{SECRET}-env"}],
    "interactiveMode": "Never",
}
CREDENTIAL = json.dumps({"apiVersion": PLUGIN["apiVersion"], "kind": "ExecCredential", "status": {"token": TOKEN}})
USERS: dict[str, dict[str, Any]] = {
    "token": {"token": TOKEN},
    "password": {"username": "user", "password": f"{SECRET}-password"},
    "certificate": {"client-certificate-data": KEY, "client-key-data": KEY},
    "plugin": {"exec": PLUGIN | {"args": ["-c", f"echo '{CREDENTIAL}'"]}},
    "plugin that fails": {"exec": PLUGIN | {"args": ["-c", f"echo {TOKEN} >&2; exit 3"]}},
    "token of two lines": {"token": f"{TOKEN}\n{TOKEN}"},
}


class Ears:
    """Hears all that a bounce lets out: standard output and error, logs, its file, notices, result, exceptions."""

    def __init__(self, folder: Path, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder, self.sandbox, self._capfd = folder, sandbox, capfd
        self.heard: list[str] = []

    def config(self, user: dict[str, Any], url: str | None = None, **cluster: Any) -> Path:
        path = self.folder / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(url or self.sandbox.url, user, **cluster)))
        return path

    def listen(self, act: Callable[[], object]) -> None:
        """Do it, and hear what it prints, logs, gives back or raises. Only an error of ours may come out."""
        with capture_logs() as logs:
            try:
                self.heard.append(repr(act()))
            except (MecBounceError, SystemExit) as error:
                self.heard += [str(error), repr(error), *traceback.format_exception(error)]
        self.heard += [repr(logs), *self._capfd.readouterr()]

    def bounce(self, path: Path, protection: Any = None, **options: Any) -> None:
        store = FileStore(self.folder / "state" / "mec-0.json")
        asked = request(timeouts={"termination": 0.3, "ready": 0.3, "api": 0.3} | options.pop("timeouts", {}))
        standing = self.sandbox.get("pods", "mec-0")
        uid = standing["metadata"]["uid"] if standing else "none"

        def bounced() -> object:
            cluster = KubernetesCluster.from_kubeconfig(path)
            self.listen(lambda: plan(asked, cluster))
            self.listen(lambda: cluster.delete_pod("default", "mec-0", uid, dry_run=True))
            result = BounceTask(
                asked, cluster, store, protection=protection and protection(cluster), notify=self.hear, **options
            ).perform()
            self.heard.append(result.model_dump_json())
            written = [one for one in self.sandbox.objects("events") if one["source"].get("component") == "mecbounce"]
            self.heard.append(repr(written))
            return result

        self.listen(bounced)
        self.heard += [one.read_text() for one in store.path.parent.iterdir()] if store.path.exists() else []

    def hear(self, told: object) -> None:
        self.heard.append(repr(told))

    @property
    def text(self) -> str:
        return "\n".join(self.heard)

    def assert_kept(self) -> None:
        assert len(self.text) > 100
        text = re.sub(
            rf'User \\*"{SECRET}-(eyJ\w+|\*+)\\*"', "User", self.text
        )  # the embedded cluster takes a token for a name
        for seed in SEEDS:
            at = text.find(seed)
            assert at < 0, text[max(0, at - 300) : at + 300]


@pytest.fixture
def ears(tmp_path: Path, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> Ears:
    return Ears(tmp_path, sandbox, capfd)


def furnish(sandbox: Sandbox, scenario: str = "happy") -> None:
    """Make the scenario's node, with secrets in its resource and its pods."""
    SCENARIOS[scenario].set_up(sandbox)
    annotations = {"protect": f"{SECRET}-on", "example.com/key": f"{SECRET}-value"}
    template = {"metadata": {"annotations": annotations}}
    secret = {"spec": {"password": f"{SECRET}-spec", "template": template}, "status": {"key": f"{SECRET}-status"}}
    sandbox.patch("expressnodes", "mec-0", secret)
    if sandbox.get("pods", "mec-0"):
        sandbox.patch("pods", "mec-0", {"metadata": {"annotations": annotations}})


def annotation(cluster: KubernetesCluster) -> AnnotationProtection:
    return AnnotationProtection(cluster, "protect", f"{SECRET}-off")


def everything_fails(status: int | None) -> Callable[[Sandbox], object]:
    return lambda sandbox: sandbox.fail_next(status=status, count=1000)


TROUBLES: dict[str, Callable[[Sandbox], object]] = {
    "none": lambda _: None,
    "401": everything_fails(401),
    "403": lambda sandbox: sandbox.forbid("*", "*"),
    "500": everything_fails(500),
    "lost": everything_fails(None),
    "patch_forbidden": lambda sandbox: sandbox.forbid("patch", "pods"),
    "patch_lost": lambda sandbox: sandbox.fail_next(method="PATCH", status=None),
    "delete_forbidden": lambda sandbox: sandbox.forbid("delete", "pods"),
    "credentials_quoted": lambda sandbox: setattr(sandbox, "refuse_delete", f"got Authorization: Bearer {TOKEN}, no"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_none_comes_out_of_a_bounce_whatever_the_api_server_does(trouble: str, ears: Ears) -> None:
    furnish(ears.sandbox)
    TROUBLES[trouble](ears.sandbox)
    ears.bounce(ears.config(USERS["token"]), annotation, timeouts={"ready": 20, "termination": 20})
    ears.assert_kept()


@pytest.mark.parametrize("scenario", ["down", "rebuilding", "stuck-finalizer", "image-pull", "not-recreated"])
def test_none_comes_out_of_a_bounce_that_fails(scenario: str, ears: Ears) -> None:
    furnish(ears.sandbox, scenario)
    ears.bounce(ears.config(USERS["token"]), annotation)
    assert "FAILED" in ears.text
    ears.assert_kept()


SAID = f"got AccountKey={SECRET}== of https://user:{SECRET}@db, --password {SECRET}, Authorization: Bearer {SECRET}"


@pytest.mark.parametrize("scenario", ["down", "image-pull", "crash-loop"])
def test_none_comes_out_that_others_have_put_into_what_they_say(
    scenario: str, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has a reason and a message gets secrets: Events, conditions, states of containers, errors."""

    def spoilt_json(raw: Any) -> Any:
        return spoil(from_json(raw))

    def spoil(found: Any) -> Any:
        if isinstance(found, list):
            return [spoil(one) for one in found]
        if not isinstance(found, dict):
            return found
        said = {"message": f"{found.get('message', '')} {SAID}"} if "reason" in found else {}
        return {key: spoil(value) for key, value in found.items()} | said

    for module in ("answers", "client", "pod_exec", "watch"):
        monkeypatch.setattr(f"mecbounce.kubernetes_api.{module}.from_json", spoilt_json)
    furnish(ears.sandbox, scenario)
    ears.bounce(ears.config(USERS["token"]), timeouts={"ready": 3, "termination": 3})
    assert "got AccountKey=***" in ears.text
    ears.assert_kept()


@pytest.mark.parametrize("user", USERS)
def test_none_comes_out_however_it_signs_in(user: str, ears: Ears) -> None:
    furnish(ears.sandbox)
    ears.bounce(ears.config(USERS[user]))
    ears.assert_kept()


@pytest.mark.parametrize(
    ("user", "url"),
    [
        ("token", "http://user:{secret}@{address}"),
        ("token", "http://user:{secret}@127.0.0.1:1"),
        ("token", "https://user:{secret}@{address}"),
        ("certificate", "https://{address}"),
    ],
    ids=["password_in_the_address", "nobody_listens", "no_tls", "a_certificate_that_is_none"],
)
def test_none_comes_out_of_an_address(user: str, url: str, ears: Ears) -> None:
    furnish(ears.sandbox)
    address = ears.sandbox.url.removeprefix("http://")
    ears.bounce(ears.config(USERS[user], url.format(secret=f"{SECRET}-password", address=address)))
    ears.assert_kept()


def test_none_comes_out_of_a_proxys_address(ears: Ears) -> None:
    proxy = {"proxy-url": f"http://user:{SECRET}-password@127.0.0.1:1"}
    ears.bounce(ears.config(USERS["token"], "http://cluster.invalid", **proxy))
    assert "can't be reached" in ears.text
    ears.assert_kept()


PROTECTIONS: dict[str, Callable[[KubernetesCluster], Any]] = {
    "http": lambda cluster: HttpProtection(cluster, 8080, f"/off?token={TOKEN}"),
    "exec": lambda cluster: ExecProtection(cluster, ("switch", "--token", TOKEN)),
}


@pytest.mark.parametrize("protection", PROTECTIONS)
@pytest.mark.parametrize("trouble", ["none", "fails", "forbidden", "lost"])
def test_none_comes_out_of_a_protections_request(protection: str, trouble: str, ears: Ears) -> None:
    furnish(ears.sandbox)
    ears.sandbox.on_proxy = lambda *_: (500 if trouble == "fails" else 200, f"{SECRET}-answer")
    ears.sandbox.on_exec = lambda *_: (int(trouble == "fails"), f"{SECRET}-output")
    if trouble == "forbidden":
        ears.sandbox.forbid("*", "pods/proxy")
        ears.sandbox.forbid("*", "pods/exec")
    if trouble == "lost":
        ears.sandbox.fail_next(path_part="/proxy", status=None)
        ears.sandbox.fail_next(path_part="/exec", status=None)
    ears.bounce(ears.config(USERS["token"]), PROTECTIONS[protection], timeouts={"api": 5, "ready": 20})
    assert "protection_kept" in ears.text or trouble == "none"
    ears.assert_kept()


@pytest.mark.parametrize("callback", ["notify", "observe"])
def test_what_a_callback_raises_is_not_quoted(callback: str, ears: Ears) -> None:
    def raises(_told: object) -> None:
        raise RuntimeError(TOKEN)

    options: dict[str, Any] = {callback: raises}
    furnish(ears.sandbox, "catch-up")  # which earns a notice
    cluster = KubernetesCluster.from_kubeconfig(ears.config(USERS["token"]))
    task = BounceTask(request(), cluster, MappingStore({}, flush=lambda: None), **options)
    ears.listen(task.perform)
    assert "callback_failed" in ears.text
    ears.assert_kept()


def test_what_a_runners_own_protection_or_flush_raises_is_quoted_so_it_must_hold_none(ears: Ears) -> None:
    class Loud:
        def disable(self, _pod: Pod) -> None:
            raise RuntimeError("words of its own")

    def flush() -> None:
        raise RuntimeError("words of its own")

    furnish(ears.sandbox)
    ears.bounce(ears.config(USERS["token"]), lambda _: Loud(), timeouts={"ready": 20, "termination": 20})
    assert "could not be switched off: words of its own." in ears.text
    with pytest.raises(RecordNotSaved, match="words of its own"):
        BounceTask(
            request(), KubernetesCluster.from_kubeconfig(ears.config(USERS["token"])), MappingStore({}, flush=flush)
        ).perform()


@pytest.mark.parametrize(
    ("options", "trouble"),
    [((), "401"), (("-v",), "none"), (("-v",), "patch_forbidden"), (("-o", "json"), "delete_forbidden")],
    ids=["401", "verbose", "patch_forbidden", "json"],
)
def test_none_comes_out_of_the_command(
    options: tuple[str, ...], trouble: str, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(ears.sandbox)
    TROUBLES[trouble](ears.sandbox)
    words = ["run", "mec-0", "--node", f"{NODE.group}/{NODE.version}/{NODE.plural}/{NODE.name}", *options]
    words += ["--kubeconfig", str(ears.config(USERS["token"])), "--protection-annotation", f"protect={SECRET}-off"]
    monkeypatch.setattr("sys.argv", ["mecbounce", *words, "--state", str(ears.folder / "state" / "mec-0.json")])
    ears.listen(cli.main)
    ears.heard += [one.read_text() for one in (ears.folder / "state").iterdir()]
    ears.assert_kept()


WHOLE = kubeconfig(
    f"https://user:{SECRET}-password@127.0.0.1:1",
    USERS["token"],
    **{"proxy-url": f"http://user:{SECRET}-password@127.0.0.1:1"},
)
WHOLE["users"] += [{"name": kind, "user": USERS[kind]} for kind in ("password", "certificate")]
WHOLE["contexts"] += [{"name": kind, "context": {"cluster": "here", "user": kind}} for kind in ("certificate",)]


@EXAMPLES
def test_none_comes_out_of_a_kubeconfig_that_cannot_be_used(
    examples: int, ears: Ears, figure: Callable[[str], None]
) -> None:
    path = ears.folder / "kubeconfig"
    tried = {"usable": 0, "refused": 0}

    @example(json.dumps(WHOLE | {"users": [WHOLE["users"][0] | {"name": None}]}).encode())
    @settings(max_examples=60 * examples)
    @given(raw=as_bytes(almost(WHOLE)) | spoilt(json.dumps(WHOLE, indent=1).encode()))
    def holds(raw: bytes) -> None:
        path.write_bytes(raw)
        try:
            KubernetesCluster.from_kubeconfig(path)
            tried["usable"] += 1
            KubernetesCluster.from_kubeconfig(path, "certificate")
        except ConfigError as error:
            tried["refused"] += 1
            ears.heard = [str(error), *traceback.format_exception(error)]
            ears.assert_kept()

    holds()
    assert all(tried.values())
    figure(f"fuzz, kubeconfigs full of secrets: {tried}")
