"""`kubectl bounce`: naming the pod as kubectl does, the plugin itself, and what a shell offers at the tab key."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from builders import NOW, request
from sandbox_api import names, workload
from test_real_world import made
from typer.main import get_command

from mecbounce import cli
from mecbounce.advancing import begin
from mecbounce.cli import commands, completion
from mecbounce.cli.kube import cluster_of
from mecbounce.cli.record_files import default_record
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.machine import Event, State
from mecbounce.record import PinnedPod, StateEntry
from mecbounce.sandbox import Behaviour, Sandbox
from mecbounce.stores import FileStore

Run = Callable[..., tuple[int, str, str]]
LABELS = {"app": "mec"}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sandbox: Sandbox) -> None:
    monkeypatch.setenv("KUBECONFIG", str(sandbox.kubeconfig))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(completion, "COMPLETION_SECONDS", 60.0)  # a slow machine must not fail a test


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call a console script's function with arguments; gives its status and what it printed."""

    def called(script: Callable[[], object], *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["program", *arguments])
        with pytest.raises(SystemExit) as ended:
            script()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return called


def deletes(sandbox: Sandbox) -> int:
    return [one.verb for one in sandbox.requests].count("delete")


class TestNamingThePod:
    @pytest.mark.parametrize("named", ["mec-0", "pod/mec-0", "pods/mec-0", "po/mec-0", "Pod/mec-0"])
    def test_a_pod_may_be_named_as_kubectl_prints_it(self, call: Run, sandbox: Sandbox, named: str) -> None:
        sandbox.add_node("mec-0")
        status, out, _ = call(cli.main, "plan", named, "-o", "json")
        assert (status, json.loads(out)["pod"]["name"]) == (0, "mec-0")

    @pytest.mark.parametrize("named", ["deployment/mec-0", "xpod/mec-0", "pod/pod/mec-0", "pod/", "pod/mec-0/x"])
    def test_what_is_no_pod_is_refused_and_nothing_is_changed(self, call: Run, sandbox: Sandbox, named: str) -> None:
        status, _, err = call(cli.kubectl_bounce, named)
        assert status == 2
        assert err.startswith("kubectl bounce: POD: ")
        assert {one.verb for one in sandbox.requests} <= {"get"}  # of a controller: its labels

    def test_labels_select_it_at_the_price_of_one_request(self, call: Run, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0", labels=LABELS)
        sandbox.add_node("mec-1")
        by_name = call(cli.main, "plan", "mec-0")
        first = len(sandbox.requests)
        assert call(cli.main, "plan", "-l", "app=mec") == by_name
        assert len(sandbox.requests) - first == first + 1

    @pytest.mark.parametrize("words", [("-l", "app=mec"), ("--selector", "app in (mec, other)", "-n", "mec")])
    def test_the_one_with_these_labels_is_bounced(self, call: Run, sandbox: Sandbox, words: tuple[str, ...]) -> None:
        namespace = "mec" if "-n" in words else "default"
        sandbox.add_node("mec-0", labels=LABELS, namespace=namespace)
        sandbox.add_node("mec-1", labels=LABELS, namespace="elsewhere")
        status, out, err = call(cli.kubectl_bounce, *words)
        assert (status, err) == (0, "")
        assert "Pod mec-0 was bounced" in out
        assert [one.path for one in sandbox.requests if one.verb == "delete"] == [
            f"/api/v1/namespaces/{namespace}/pods/mec-0"
        ]

    def test_labels_of_no_pod_are_a_usage_error(self, call: Run, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        status, _, err = call(cli.main, "run", "-l", "app=mec")
        assert status == 2
        assert err == (
            "mecbounce: --selector: 'app=mec' matches no pod in namespace default; to resume a bounce, name its pod\n"
        )

    @pytest.mark.parametrize("left", ["to resume", "to tell", "told"])
    def test_labels_find_the_bounce_that_an_earlier_run_left(self, call: Run, sandbox: Sandbox, left: str) -> None:
        """Under a ReplicaSet its replacement has these labels too: the same command must not bounce that one."""
        (old,) = made(sandbox, workload("ReplicaSet"))
        asked = Pod.model_validate(sandbox.get("pods", old))
        pinned = PinnedPod.of(asked, [asked], asked.controller)
        path = (
            StateEntry(state=State.INIT_CHECKS, at=NOW),
            StateEntry(state=State.DISABLE_PROTECTION, at=NOW, event=Event.CHECKS_PASSED),
            StateEntry(state=State.DELETE_POD, at=NOW, event=Event.PROTECTION_UNUSED),
            StateEntry(state=State.AWAIT_READY, at=NOW, event=Event.POD_GONE),
        )
        record = begin(request(pod=old, node=None), NOW, server=sandbox.url)
        record = record.model_copy(update={"path": path, "old_pod": pinned, "deadline": NOW})
        if left != "to resume":
            end = StateEntry(state=State.FAILED, at=NOW, event=Event.NOT_RECREATED)
            record = record.model_copy(update={"path": (*path, end), "deadline": None, "untold": left == "to tell"})
        FileStore(default_record(cluster_of(None, None), "default", old)).save(record)
        sandbox.delete("pods", old)
        sandbox.wait_for(lambda: old not in names(sandbox) and len(names(sandbox)) == 1)
        _, out, _ = call(cli.main, "run", "-l", "app=web")
        assert deletes(sandbox) == (1 if left == "told" else 0)
        assert (f"{old} in default" in out) is (left != "told")

    def test_labels_of_several_pods_name_them_terminating_ones_too(self, call: Run, sandbox: Sandbox) -> None:
        sandbox.behave(Behaviour(stops_after=9999))
        sandbox.add_node("mec-1", labels=LABELS)
        sandbox.add_node("mec-0", labels=LABELS)
        sandbox.delete("pods", "mec-0")
        status, _, err = call(cli.kubectl_bounce, "-l", "app=mec")
        assert status == 2
        assert err == "kubectl bounce: --selector: 'app=mec' matches 2 pods, name one: mec-0 (terminating), mec-1\n"
        assert deletes(sandbox) == 0

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ((), "expected either POD or --selector"),
            (("mec-0", "-l", "app=mec"), "expected either POD or --selector"),
            (("-l", ""), "--selector: '' would select every pod"),
            (("-l", " "), "--selector: '' would select every pod"),
            (("-l", "a=\udc80"), "--selector: 'a=\\udc80' is not a label selector"),
        ],
    )
    def test_neither_both_and_all_are_refused_before_anything_is_asked(
        self, call: Run, sandbox: Sandbox, words: tuple[str, ...], said: str
    ) -> None:
        assert call(cli.main, "run", *words) == (2, "", f"mecbounce: {said}\n")
        assert sandbox.requests == ()

    def test_a_selector_that_is_none_is_a_usage_error(self, call: Run) -> None:
        status, _, err = call(cli.main, "run", "-l", "a b c")
        assert status == 2
        assert err.startswith("mecbounce: --selector: unable to parse requirement")

    def test_a_list_that_is_forbidden_is_a_refusal(self, call: Run, sandbox: Sandbox) -> None:
        sandbox.forbid("list", "pods")
        status, _, err = call(cli.main, "run", "-l", "app=mec")
        assert status == 3
        assert "forbidden" in err


class TestPlugin:
    def test_its_help_is_that_of_kubectl_bounce(self, call: Run) -> None:
        for option in ("-h", "--help"):
            status, out, _ = call(cli.kubectl_bounce, option)
            assert status == 0
            assert out.startswith("Usage: kubectl bounce [OPTIONS] [POD]\n")
            assert "completion" not in out  # kubectl's own completes it

    def test_it_takes_what_run_takes(self) -> None:
        run = get_command(commands.app).commands["run"]  # type: ignore[attr-defined]
        plugin = get_command(commands.plugin)
        assert [(one.name, one.opts) for one in plugin.params] == [(one.name, one.opts) for one in run.params]

    def test_its_errors_carry_its_name(self, call: Run) -> None:
        status, _, err = call(cli.kubectl_bounce, "mec-0", "--nonsense")
        assert status == 2
        assert err.startswith("kubectl bounce: No such option: --nonsense")

    def test_kubectl_finds_it_by_the_names_of_its_programs(self) -> None:
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
        for name, function in SCRIPTS.items():
            assert project["project"]["scripts"][name] == f"mecbounce.cli:{function}"


class TestCompletion:
    """What the tab key offers, through kubectl's protocol; the shells below ask the same functions."""

    @pytest.fixture
    def offered(self, call: Run) -> Callable[..., list[str]]:
        def offered(*words: str) -> list[str]:
            status, out, err = call(cli.complete_kubectl_bounce, *words)
            assert (status, err) == (0, "")
            return [line.partition("\t")[0] for line in out.split("\n") if line]

        return offered

    @pytest.fixture(autouse=True)
    def _environment(self) -> Iterator[None]:
        before = dict(os.environ)
        yield
        os.environ.clear()
        os.environ.update(before)

    @pytest.fixture
    def prod(self, sandbox: Sandbox, tmp_path: Path) -> Path:
        """Write a kubeconfig with a second context, whose namespace is mec."""
        content = json.loads(sandbox.kubeconfig.read_text())
        prod = {**content["contexts"][0]["context"], "namespace": "mec"}
        content["contexts"].append({"name": "prod", "context": prod})
        path = tmp_path / "prod"
        path.write_text(json.dumps(content))
        return path

    @pytest.fixture
    def pods(self, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        sandbox.add_node("mec-1")
        sandbox.add_node("web-0", namespace="mec")

    @pytest.mark.usefixtures("pods")
    def test_pods_are_those_of_the_namespace_context_and_kubeconfig_so_far(
        self, offered: Callable[..., list[str]], prod: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert offered("") == ["mec-0", "mec-1", ":4"]
        assert offered("mec-1") == ["mec-1", ":4"]
        assert offered("-n", "mec", "") == ["web-0", ":4"]
        monkeypatch.delenv("KUBECONFIG")
        assert offered("") == [":4"]
        assert offered("--kubeconfig", str(prod), "") == ["mec-0", "mec-1", ":4"]
        assert offered("--force", "--kubeconfig", str(prod), "--context", "prod", "") == ["web-0", ":4"]

    @pytest.mark.usefixtures("pods")
    def test_pods_keep_the_kind_that_was_typed(self, offered: Callable[..., list[str]]) -> None:
        assert offered("pod/") == ["pod/mec-0", "pod/mec-1", ":4"]
        assert offered("po/mec-1") == ["po/mec-1", ":4"]
        assert offered("node/") == [":4"]
        assert offered("mec-0", "") == [":4"]

    @pytest.mark.usefixtures("pods")
    def test_namespaces_are_all_that_there_are(self, offered: Callable[..., list[str]]) -> None:
        assert offered("-n", "") == ["default", "mec", ":4"]
        assert offered("--namespace", "m") == ["mec", ":4"]

    def test_contexts_are_those_of_the_kubeconfig(self, offered: Callable[..., list[str]], prod: Path) -> None:
        assert offered("--context", "") == ["sandbox", ":4"]
        assert offered("--kubeconfig", str(prod), "--context", "") == ["sandbox", "prod", ":4"]

    def test_options_and_their_choices_come_by_themselves(self, offered: Callable[..., list[str]]) -> None:
        assert offered("--sel") == ["--selector", ":4"]
        assert offered("--ready-when", "") == ["auto", "started", "ready", ":4"]

    def test_where_a_file_is_asked_for_the_shell_offers_its_own(self, offered: Callable[..., list[str]]) -> None:
        assert offered("--kubeconfig", "") == offered("--state", "r.j") == [":0"]

    @pytest.mark.usefixtures("pods")
    def test_what_can_not_be_asked_offers_nothing_and_says_nothing(
        self, offered: Callable[..., list[str]], sandbox: Sandbox
    ) -> None:
        assert offered("--kubeconfig", "/nowhere", "") == [":4"]
        assert offered("--context", "nope", "") == [":4"]
        sandbox.forbid("*", "*")
        assert offered("") == offered("-n", "") == [":4"]

    def test_after_status_they_are_those_of_which_a_bounce_is_recorded(
        self, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The API server is not asked: the pod may have gone."""
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        for pod in ("mec-0", "web-0"):
            record = begin(request(pod=pod, node=None), NOW)
            FileStore(default_record(cluster_of(None, None), "default", pod)).save(record)
        group: Any = get_command(commands.app)
        context = group.commands["status"].make_context("status", [], resilient_parsing=True)
        assert sorted(completion.completion(completion.bounced_pods)(context, "")) == ["mec-0", "web-0"]
        assert sandbox.requests == ()

    def test_an_answer_that_is_late_is_not_waited_for(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(completion, "COMPLETION_SECONDS", 0.01)
        let_go = threading.Event()

        def late(_options: dict[str, Any], _incomplete: str) -> list[str]:
            sys.stderr.write("something odd")
            let_go.wait(60)
            return ["late"]

        try:
            assert completion.completion(late)(typer.Context(get_command(commands.plugin)), "") == []
        finally:
            let_go.set()
        assert capsys.readouterr().err == ""


# --- real shells, and the real kubectl -------------------------------------------------------------------------------

SCRIPTS = {
    "mecbounce": "main",
    "kubectl-bounce": "kubectl_bounce",
    "kubectl_complete-bounce": "complete_kubectl_bounce",
}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the console scripts on PATH, with more patience than a person has."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, function in SCRIPTS.items():
        program = folder / name
        slowly = (
            "from mecbounce import cli\nfrom mecbounce.cli import completion\ncompletion.COMPLETION_SECONDS = 60.0\n"
        )
        code = f"#!{sys.executable}\n{slowly}cli.{function}()\n"
        program.write_text(code)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


# Each prints what it is offered for each of the command lines.
IN_BASH = """
source /dev/stdin <<< "$(_MECBOUNCE_COMPLETE=source_bash mecbounce)"
for line; do
    COMP_WORDS=($line) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _mecbounce_completion mecbounce
    printf '%s\\n' "${COMPREPLY[@]}"
done
"""
# Zsh hands the choices to a function of its own that needs a terminal; here that function prints them.
IN_ZSH = """
compdef() { }
_arguments() { print -r -- "$@" | grep -o '"[^"]*"' | tr -d '"' }
eval "$(_MECBOUNCE_COMPLETE=source_zsh mecbounce)"
for line; do
    words=(${=line}) CURRENT=$#words
    _mecbounce_completion
done
"""
IN_FISH = """
_MECBOUNCE_COMPLETE=source_fish mecbounce | source
for line in $argv
    complete -C $line
end
"""
SHELLS = {
    "bash": ["bash", "--norc", "-c", IN_BASH, "-"],
    "zsh": ["zsh", "-f", "-c", IN_ZSH, "-"],
    "fish": ["fish", "--no-config", "-c", IN_FISH],
}


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_offers_the_pods_and_the_namespaces(shell: str, sandbox: Sandbox) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    sandbox.add_node("web-0", namespace="mec")
    offered = output(*SHELLS[shell], "mecbounce run -n m", "mecbounce plan -n mec pod/w")
    assert offered.split() == ["mec", "pod/web-0"]


@pytest.fixture
def kubectl(programs: None) -> str:  # noqa: ARG001 -- what it finds on PATH
    found = shutil.which("kubectl")
    if found is None:
        pytest.skip("there is no kubectl here")
    return found


class TestRealKubectl:
    def test_runs_it_with_its_exit_status(self, kubectl: str, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        assert "Pod mec-0 was bounced" in output(kubectl, "bounce", "pod/mec-0", "-n", "default")
        assert deletes(sandbox) == 1
        refused = subprocess.run([kubectl, "bounce", "mec-7"], capture_output=True, check=False, timeout=120)
        assert refused.returncode == 3

    def test_hands_a_signal_on(self, kubectl: str, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        sandbox.behave(Behaviour(recreates_after=9999))
        with subprocess.Popen([kubectl, "bounce", "mec-0"], stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            while "AWAIT_READY" not in running.stdout.readline():
                assert running.poll() is None
            running.send_signal(signal.SIGTERM)
            assert running.wait(60) == 75

    def test_completes_it(self, kubectl: str, sandbox: Sandbox) -> None:
        client = json.loads(output(kubectl, "version", "--client", "-o", "json"))["clientVersion"]
        if int(client["minor"].rstrip("+")) < 26:
            pytest.skip("kubectl completes plugins from 1.26 on")
        sandbox.add_node("web-0", namespace="mec")
        assert output(kubectl, "__complete", "bounce", "-n", "mec", "").split() == ["web-0", ":4"]
