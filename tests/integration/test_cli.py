"""The command: its exit statuses, its one-line errors, its output for people, logs and programs."""

from __future__ import annotations

import errno
import json
import math
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import NOW, kubeconfig, request
from pytest_mock import MockerFixture
from rich.text import Text
from sandbox_api import workload
from test_real_world import made

from mecbounce import cli
from mecbounce.advancing import begin
from mecbounce.cli import bouncing, commands, following, options, start
from mecbounce.cli.exits import stop_signals
from mecbounce.cli.kube import cluster_of
from mecbounce.cli.record_files import default_record
from mecbounce.cli.start import Would
from mecbounce.cli.terminal import BounceInTerminal
from mecbounce.cli.values import duration
from mecbounce.errors import ImpossibleEvent, RecordNotSaved, Superseded
from mecbounce.kubernetes_api.client import KubernetesCluster
from mecbounce.kubernetes_api.kubeconfig import Kubeconfig
from mecbounce.machine import Event, State
from mecbounce.next_commands import Given
from mecbounce.progress import Progress
from mecbounce.record import BounceRecord, PinnedPod, Runner, SeenPod, StateEntry
from mecbounce.sandbox import Behaviour, Sandbox
from mecbounce.sandbox.scenarios import PROTECTION, SCENARIOS
from mecbounce.stores import FileStore
from mecbounce.task import BounceTask

GONE = "6d0c8f5e-3f0a-4a53-9d0b-2f8f1d7c5a10"  # a UID that no pod has
PATIENCE = 120.0  # seconds for the command on a busy machine: only a hang takes so long

NODE = "express.example.com/v1/expressnodes/mec-0"

NOTHING_DELETED = "This run deleted nothing. Run again to begin the bounce, or to resume it if a record was saved."
SAVED = "The record was saved: run again to resume."
UNTOLD = "The bounce has ended, and its record was saved: run again to be told how."


class Command:
    """Runs `mecbounce` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        self.out = self.err = ""

    def __call__(self, *arguments: str | Path) -> int:
        self._monkeypatch.setattr(sys, "argv", ["mecbounce", *(str(one) for one in arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        self.out, self.err = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sandbox: Sandbox
) -> Command:
    monkeypatch.setenv("KUBECONFIG", str(sandbox.kubeconfig))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    return Command(capsys, monkeypatch)


def uid(sandbox: Sandbox) -> Any:
    pod = sandbox.get("pods", "mec-0", namespace="default")
    return pod and pod["metadata"]["uid"]


def while_following(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen in place of a follower's pause between two looks."""
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: happens())
    monkeypatch.setattr(following, "time", clock)


def deletes(sandbox: Sandbox) -> int:
    return [one.verb for one in sandbox.requests].count("delete")


def ended_in(state: State, event: Event, uid: str) -> BounceRecord:
    """Give the record of a bounce of incarnation `uid` that has ended in `state`."""
    end = State.DONE if event is Event.POD_STARTED else State.FAILED
    begun = begin(request(node=None), NOW)
    passed = [
        (State.DISABLE_PROTECTION, Event.CHECKS_PASSED),
        (State.DELETE_POD, Event.PROTECTION_UNUSED),
        (State.AWAIT_TERMINATION, Event.DELETE_ACCEPTED),
        (State.AWAIT_READY, Event.POD_GONE),
    ]
    upto = [one for one, _ in passed].index(state) + 1
    path = [StateEntry(state=one, event=by, at=NOW) for one, by in [*passed[:upto], (end, event)]]
    old = PinnedPod(name="mec-0", uid=uid)
    update = {"path": (*begun.path, *path), "old_pod": old, "message": "It ended.", "untold": True}
    return begun.model_copy(update=update)


class TestRun:
    def test_a_bounce_ends_with_0_and_tells_its_states_in_plain_lines(self, command: Command, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        before = uid(sandbox)
        assert command("run", "mec-0") == 0
        assert uid(sandbox) != before
        lines = [line.split("Z ", 1)[-1] for line in command.out.splitlines()]
        lines = [line for line in lines if not line.startswith("waiting, ")]
        assert lines[0] == "mec-0 in default (sandbox)"
        assert lines[1:8] == [
            "INIT_CHECKS",
            "node expressnodes.express.example.com/v1 mec-0",
            "DISABLE_PROTECTION",
            "DELETE_POD",
            "AWAIT_TERMINATION, at most 600 s",
            "AWAIT_READY, at most 600 s",
            "DONE",
        ]
        assert lines[8].startswith("Pod mec-0 was bounced: mec-0 (")
        assert command.err == ""

    @pytest.mark.parametrize(("options", "written"), [((), 2), (("--no-events",), 0)])
    def test_events_are_written_unless_they_are_switched_off(
        self, options: tuple[str, ...], written: int, command: Command, sandbox: Sandbox
    ) -> None:
        sandbox.add_node("mec-0")
        assert command("run", "mec-0", "--node", NODE, *options) == 0
        assert [one.verb for one in sandbox.requests].count("create") == written

    def test_a_pinned_uid_that_has_gone_is_not_called_a_bounce(self, command: Command, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        assert command("run", "mec-0", "--pod-uid", GONE) == 0
        assert f"Nothing was deleted: {GONE} had gone already, and mec-0" in command.out
        assert deletes(sandbox) == 0

    def test_json_is_the_result_alone_on_standard_output(self, command: Command, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        before = uid(sandbox)
        assert command("run", "mec-0", "-o", "json") == 0
        result = json.loads(command.out)
        assert result["node"] == "expressnodes.express.example.com/v1 mec-0"
        assert {
            "state",
            "event",
            "message",
            "advice",
            "old_pod",
            "new_pod",
            "protection",
            "durations",
            "notices",
        } <= set(result)
        assert (result["state"], result["old_pod"]["uid"], result["new_pod"]["uid"]) == ("DONE", before, uid(sandbox))
        assert "AWAIT_READY" in command.err

    def test_a_protection_annotation_is_switched_off(self, command: Command, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0", annotations={"example.com/protected": "yes"})
        assert command("run", "mec-0", "--protection-annotation", "example.com/protected=no", "-o", "json") == 0
        assert json.loads(command.out)["protection"] == "disabled"
        assert [one.verb for one in sandbox.requests].count("patch") == 1

    @pytest.mark.parametrize(
        ("name", "options", "status", "code"),
        [
            ("down", (), 3, ""),
            ("rebuilding", (), 3, ""),
            ("rebuilding", ("--force",), 0, ""),
            ("rebuilding", ("--no-node",), 0, ""),
            ("catch-up", (), 0, ""),
            ("no-startup-probe", ("--gitops",), 0, ""),
            ("stuck-finalizer", ("--termination-timeout", "0.3"), 4, "finalizers"),
            ("node-lost", ("--termination-timeout", "0.3"), 4, "host_lost"),
            ("image-pull", ("--ready-timeout", "1"), 5, "image_pull"),
            ("crash-loop", ("--ready-timeout", "1"), 5, "crash_loop"),
            ("slow-start", ("--ready-timeout", "2"), 5, "startup_kill_loop"),
            ("not-recreated", ("--ready-timeout", "0.3"), 5, "not_recreated"),
        ],
    )
    def test_each_scenario_ends_with_its_exit_status_and_diagnosis(
        self, command: Command, sandbox: Sandbox, name: str, options: tuple[str, ...], status: int, code: str
    ) -> None:
        SCENARIOS[name].set_up(sandbox)
        node = ("--node", NODE) if name == "down" else ()  # it has no pod, above which it could be found
        assert command("run", "mec-0", *node, "-o", "json", *options) == status
        diagnosis = json.loads(command.out)["diagnosis"]
        assert (diagnosis["code"] if diagnosis else "") == code
        assert deletes(sandbox) == (0 if status == 3 else 1)

    def test_a_failure_says_what_happened_and_who_must_act(self, command: Command, sandbox: Sandbox) -> None:
        SCENARIOS["stuck-finalizer"].set_up(sandbox)
        assert command("run", "mec-0", "--termination-timeout", "0.2s") == 4
        assert "finalizers left: express.example.com/drain" in command.out
        assert "Who must act: the owners of finalizer express.example.com/drain\n" in command.out

    def test_a_teams_file_says_where_a_type_holds_its_state(
        self, command: Command, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        """For a node that is found and for one that is named; a fault in the file is told before anything is asked."""
        sandbox.add_node("mec-0")
        sandbox.patch("expressnodes", "mec-0", {"spec": {"power": "Parked"}})
        config = tmp_path / "config" / "mecbounce" / "config.toml"
        config.parent.mkdir(parents=True)
        table = '[node."expressnodes.express.example.com"]\ndesired_path = "spec.power"\n'
        config.write_text(f'{table}down_values = ["parked"]\n')
        for named in ((), ("--node", NODE)):
            assert command("run", "mec-0", *named) == 3
            assert "is meant to be down" in command.out
            assert "change spec.power of" in command.out
        before = len(sandbox.requests)
        config.write_text(f'{table}down_values = "parked"\n')
        assert command("run", "mec-0") == 2
        where = 'node."expressnodes.express.example.com".down_values'
        assert command.err == f'mecbounce: {config}: {where}: expected a list of texts, such as ["down"]\n'
        assert len(sandbox.requests) == before
        assert command("status", "mec-0") == 0

    def test_a_notice_is_a_line_of_its_own(self, command: Command, sandbox: Sandbox) -> None:
        SCENARIOS["catch-up"].set_up(sandbox)
        command("run", "mec-0", "--node", NODE)
        assert "notice: The node is catching up" in command.out

    def test_a_delete_that_is_never_answered_is_refused_where_the_last_look_shows_the_pod_untouched(
        self, command: Command, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        sandbox.add_node("mec-0")
        sandbox.fail_next(method="DELETE", path_part="/pods", status=503, count=99)
        record = begin(request(timeouts={"api": 0.5}), NOW)
        FileStore(tmp_path / "r.json").save(record)
        assert command("run", "mec-0", "--node", NODE, "--state", tmp_path / "r.json") == 3
        assert "FAILED: delete_refused, delete_failing" in command.out
        assert "kubectl get --raw /readyz" in command.out
        assert "can-i" not in command.out
        assert "The API server did not delete pod mec-0" in command.out

    def test_without_that_look_it_makes_no_claim_about_the_pod(
        self, command: Command, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        made = sandbox.add_node("mec-0")
        assert made is not None
        begun = begin(request(timeouts={"api": 0.5}), datetime.now(UTC))
        announced = (
            (State.DISABLE_PROTECTION, Event.CHECKS_PASSED),
            (State.DELETE_POD, Event.PROTECTION_UNUSED),
        )
        path = [StateEntry(state=state, event=event, at=begun.entered_at) for state, event in announced]
        pinned = PinnedPod(name="mec-0", uid=made["metadata"]["uid"])
        FileStore(tmp_path / "r.json").save(begun.model_copy(update={"path": (*begun.path, *path), "old_pod": pinned}))
        sandbox.fail_next(status=503, count=99)
        assert command("run", "mec-0", "--node", NODE, "--state", tmp_path / "r.json") == 1
        assert "may or may not have been carried out" in command.out

    def test_verbose_logs_to_standard_error(self, command: Command, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        assert command("run", "mec-0", "-v") == 0
        assert "bounce.saved" in command.err
        assert "bounce.saved" not in command.out

    @pytest.mark.parametrize(
        ("name", "options", "event", "codes"),
        [
            ("no-startup-probe", (), "pod_ready", []),
            ("no-startup-probe", ("--gitops",), "pod_ready", ["no_startup_probe"]),
            ("happy", (), "pod_started", []),
            ("happy", ("--ready-when", "ready"), "pod_ready", []),
        ],
    )
    def test_what_counts_as_back_is_as_the_options_say(
        self, command: Command, sandbox: Sandbox, name: str, options: tuple[str, ...], event: str, codes: list[str]
    ) -> None:
        SCENARIOS[name].set_up(sandbox)
        sandbox.behave(Behaviour())
        assert command("run", "mec-0", "-o", "json", *options) == 0
        result = json.loads(command.out)
        assert (result["event"], [notice["code"] for notice in result["notices"]]) == (event, codes)


class TestRecords:
    def test_a_finished_record_is_set_aside_and_a_new_bounce_begins(self, command: Command, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        assert command("run", "mec-0") == 0
        sandbox.wait_for(lambda: uid(sandbox) is not None)
        assert command("run", "mec-0") == 0
        assert deletes(sandbox) == 2
        folder = Path(os.environ["XDG_STATE_HOME"]) / "mecbounce"
        assert {path.suffix for path in folder.iterdir()} == {".json", ".last"}

    @pytest.mark.parametrize("words", [(), ("--state",)])
    def test_a_run_in_the_default_folder_removes_records_that_are_long_over(
        self,
        command: Command,
        sandbox: Sandbox,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        words: tuple[str, ...],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        SCENARIOS["down"].set_up(sandbox)
        old = default_record(cluster_of(sandbox.kubeconfig, None), "default", "mec-9")
        old.parent.mkdir(parents=True)
        ended = ended_in(State.AWAIT_READY, Event.POD_STARTED, GONE)
        old.write_text(ended.model_copy(update={"untold": False}).model_dump_json())
        os.utime(old, (0, 0))
        assert command("run", "mec-0", "--node", NODE, *words, *(tmp_path / "r.json" for _ in words)) == 3
        assert old.exists() is bool(words)

    @pytest.mark.parametrize(
        ("event", "state", "status"),
        [
            (Event.POD_STARTED, State.AWAIT_READY, 0),
            (Event.READY_TIMEOUT, State.AWAIT_READY, 5),
            (Event.TERMINATION_TIMEOUT, State.AWAIT_TERMINATION, 4),
            (Event.DELETE_REFUSED, State.DELETE_POD, 3),
        ],
    )
    @pytest.mark.parametrize("output", ["text", "json"])
    def test_an_end_that_nobody_was_told_is_told_first_and_nothing_is_deleted(
        self, command: Command, sandbox: Sandbox, tmp_path: Path, event: Event, state: State, status: int, output: str
    ) -> None:
        """Its run was killed after it had saved the end. Whoever repeats it wants that bounce, not a second one."""
        sandbox.add_node("mec-0")
        ended = ended_in(state, event, str(uid(sandbox)))
        FileStore(tmp_path / "r.json").save(ended)
        again = ("run", "mec-0", "--state", tmp_path / "r.json", "-o", output)
        assert command(*again) == status
        told = command.out + command.err
        late = status in (4, 5)  # the old pod runs: its deletion was lost, and it is bounced anew
        then = "keeps waiting if the replacement is not back" if late else "begins a new bounce"
        assert f"its run was stopped before it could say so. Run the same command again: it {then}." in told
        if output == "json":  # its commands act on the same record
            result = json.loads(command.out)
            assert (result["event"], result["reported_again"]) == (event, True)
            ours = [line for line in result["next_commands"] if line.startswith("mecbounce run")]
            assert all(str(tmp_path / "r.json") in line for line in ours)
            assert bool(ours) is (event in (Event.TERMINATION_TIMEOUT, Event.READY_TIMEOUT))
        assert deletes(sandbox) == 0
        assert command(*again) == 0
        assert deletes(sandbox) == 1

    @pytest.mark.parametrize("version", [1, 2])
    def test_an_end_that_an_older_version_wrote_is_not_told_again(
        self, command: Command, sandbox: Sandbox, tmp_path: Path, version: int
    ) -> None:
        """Else the first run after an upgrade would end with 0, and bounce nothing."""
        sandbox.add_node("mec-0")
        ended = ended_in(State.AWAIT_READY, Event.POD_STARTED, str(uid(sandbox))).model_dump(mode="json")
        del ended["untold"]
        (tmp_path / "r.json").write_text(json.dumps(ended | {"schema_version": version}))
        assert command("run", "mec-0", "--state", tmp_path / "r.json") == 0
        assert deletes(sandbox) == 1

    def test_an_end_that_nobody_was_told_does_not_stand_in_the_way_of_another_bounce(
        self, command: Command, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        sandbox.add_node("mec-0")
        FileStore(tmp_path / "r.json").save(ended_in(State.AWAIT_READY, Event.READY_TIMEOUT, GONE))
        assert command("run", "mec-0", "--state", tmp_path / "r.json", "--pod-uid", str(uid(sandbox))) == 0
        assert deletes(sandbox) == 1

    def test_a_relative_xdg_state_home_is_ignored(
        self, command: Command, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("XDG_STATE_HOME", "state")
        sandbox.add_node("mec-0")
        assert command("run", "mec-0") == 0
        assert len([*(tmp_path / "home/.local/state/mecbounce").iterdir()]) == 1
        assert not (tmp_path / "state").exists()

    def test_an_unfinished_record_is_resumed_and_said_so(
        self, command: Command, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        sandbox.add_node("mec-0")
        FileStore(tmp_path / "r.json").save(begin(request(node=None), NOW))
        assert command("run", "mec-0", "--state", tmp_path / "r.json") == 0
        assert "notice: Resumed bounce" in command.out.splitlines()[1]

    def test_pods_whose_long_names_begin_alike_have_default_records_of_their_own(
        self, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        asked = [request(pod="mec-0" * 50 + last, namespace="n" * 63) for last in "ab"]
        cluster = cluster_of(sandbox.kubeconfig, None)
        for one in asked:
            FileStore(default_record(cluster, one.namespace, one.pod)).save(begin(one, NOW))
        assert len({*(tmp_path / "mecbounce").glob("*.json")}) == 2

    def test_a_superseded_run_ends_with_6(
        self, command: Command, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sandbox.add_node("mec-0")
        path = tmp_path / "r.json"
        observe = BounceInTerminal.observe

        def taken_over(self: BounceInTerminal, record: BounceRecord) -> None:
            observe(self, record)
            if record.state is State.DELETE_POD:
                taking = Runner(who="ci@build-7", process=4711, saved_at=NOW)
                FileStore(path).save(record.changed(runner=taking))

        monkeypatch.setattr(BounceInTerminal, "observe", taken_over)
        assert command("run", "mec-0", "--state", path) == 6
        assert command.err.startswith("mecbounce: Another runner (ci@build-7, process 4711) has taken over the bounce")

    def test_a_record_that_vanishes_on_the_way_is_not_called_one_of_usage(
        self, command: Command, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sandbox.add_node("mec-0")
        path, observe = tmp_path / "r.json", BounceInTerminal.observe

        def removed(self: BounceInTerminal, record: BounceRecord) -> None:
            observe(self, record)
            if record.state is State.AWAIT_TERMINATION:
                path.unlink(missing_ok=True)

        monkeypatch.setattr(BounceInTerminal, "observe", removed)
        assert command("run", "mec-0", "--state", path) == 1
        assert "is no longer there" in command.err
        assert deletes(sandbox) == 1

    def test_a_fault_of_mecbounce_is_not_called_one_of_usage(
        self, command: Command, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sandbox.add_node("mec-0")

        def impossible(*_: object, **__: object) -> None:
            raise ImpossibleEvent("pod_gone can't happen in DONE: please report this")

        monkeypatch.setattr(BounceTask, "go_on", impossible)
        assert command("run", "mec-0") == 1
        assert command.err == "mecbounce: pod_gone can't happen in DONE: please report this\n"

    def test_status_and_diagram_tell_where_it_stands(self, command: Command, sandbox: Sandbox, tmp_path: Path) -> None:
        SCENARIOS["not-recreated"].set_up(sandbox)
        path = tmp_path / "r.json"
        command("run", "mec-0", "--state", path, "--ready-timeout", "0.2")
        assert command("status", "--state", path) == 0
        assert "✘  FAILED: not_recreated\n" in command.out
        assert "Evidence: nothing has recreated the pod" in command.out
        assert command("diagram", "--state", path) == 0
        assert "class AWAIT_READY bad" in command.out

    def test_status_finds_the_record_of_a_pod_by_its_name(self, command: Command, sandbox: Sandbox) -> None:
        SCENARIOS["down"].set_up(sandbox)
        command("run", "mec-0", "--node", NODE)
        assert command("status", "mec-0") == 0
        assert "✘  FAILED: node_down\n" in command.out
        assert command("status", "mec-1") == 2
        assert command.err.startswith("mecbounce: no bounce of mec-1 is recorded in ")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("mec-0", "--state", "r.json"), "expected either POD or --state"),
            (("mec-0", "-A"), "--selector and --all-namespaces list bounces: give neither POD nor --state with them"),
            (("--watch",), "--watch and --exit-status are about one bounce: give POD or --state with them"),
            (("-l", "a b c"), "--selector: unable to parse requirement: found 'a b c'"),
        ],
    )
    def test_status_is_of_one_bounce_or_of_all(self, command: Command, words: tuple[str, ...], said: str) -> None:
        assert command("status", *words) == 2
        assert command.err == f"mecbounce: {said}\n"

    def test_status_lists_what_is_recorded_the_newest_first(self, command: Command, sandbox: Sandbox) -> None:
        assert command("status") == 0
        assert (command.out, command.err) == ("", "No bounce is recorded for namespace default of context sandbox.\n")
        cluster = cluster_of(sandbox.kubeconfig, None)
        for seconds, (pod, namespace) in enumerate((("mec-0", "default"), ("mec-1", "default"), ("mec-2", "mec"))):
            one = begin(request(pod=pod, namespace=namespace, node=None), NOW + timedelta(seconds=seconds))
            FileStore(default_record(cluster, namespace, pod)).save(one)
        default_record(cluster, "default", "mec-3").write_text("{")

        def listed(*words: str) -> list[str]:
            assert command("status", *words) == 0
            return [line.split()[0] for line in command.out.splitlines()]

        assert listed() == ["POD", "mec-1", "mec-0", "!"]
        assert listed("-n", "mec") == ["POD", "mec-2"]
        assert listed("-A") == ["POD", "mec-2", "mec-1", "mec-0", "!"]
        assert command("status", "-o", "json") == 0
        *read, damaged = json.loads(command.out)
        assert [one["pod"] for one in read] == ["mec-1", "mec-0"]
        assert "not a complete record" in damaged["error"]
        assert sandbox.requests == ()

    @pytest.mark.parametrize("words", [(), ("-A",)])
    def test_status_lists_the_bounces_of_pods_with_labels_and_those_that_these_replaced(
        self, command: Command, sandbox: Sandbox, words: tuple[str, ...]
    ) -> None:
        cluster = cluster_of(sandbox.kubeconfig, None)
        for pod, new in (("mec-0", None), ("gone-1", "mec-1"), ("gone-2", "mec-2")):
            seen = SeenPod(name=new, uid=GONE) if new else None
            one = begin(request(pod=pod, node=None), NOW).model_copy(update={"new_pod": seen})
            FileStore(default_record(cluster, "default", pod)).save(one)
        for name in ("mec-0", "mec-1"):
            sandbox.add_node(name, labels={"app": "mec"})
        assert command("status", "-l", "app=mec", *words) == 0
        assert {line.split()[0] for line in command.out.splitlines()} == {"POD", "mec-0", "gone-1"}
        assert [one.verb for one in sandbox.requests] == ["list"]

    @pytest.mark.parametrize(("event", "status"), [(Event.POD_STARTED, 0), (Event.READY_TIMEOUT, 5), (None, 75)])
    def test_status_has_the_exit_status_of_the_bounce_if_it_is_asked_to(
        self, command: Command, tmp_path: Path, event: Event | None, status: int
    ) -> None:
        path = tmp_path / "r.json"
        FileStore(path).save(ended_in(State.AWAIT_READY, event, GONE) if event else begin(request(), NOW))
        assert command("status", "--state", path) == 0
        assert command("status", "--state", path, "--exit-status") == status

    def test_a_record_of_another_cluster_is_not_resumed_and_status_tells_of_which_it_is(
        self, command: Command, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        """There the pod would be taken for gone."""
        path, there = tmp_path / "r.json", "https://elsewhere:6443"
        FileStore(path).save(begin(request(), NOW, server=there))
        assert command("run", "mec-0", "--node", NODE, "--state", path) == 2
        assert f"field server: the record is of {there}, this bounce is of {sandbox.url}" in command.err
        assert command("status", "--state", path) == 0
        assert command.out.startswith(f"mec-0 in default ({there})\n")

    def test_status_as_json_is_one_document(self, command: Command, tmp_path: Path) -> None:
        path = tmp_path / "r.json"
        FileStore(path).save(begin(request(), NOW))
        assert command("status", "--state", path, "-o", "json") == 0
        found = json.loads(command.out)
        assert (found["state"], found["finished"]) == ("INIT_CHECKS", False)
        assert found["next_commands"] == [f"mecbounce run mec-0 -n default --state {path}"]

    @pytest.mark.parametrize(
        "other", [{"server": "https://b"}, {"name": "prod-eu"}, {"namespace": "mec"}, {"pod": "mec-1"}], ids=str
    )
    def test_two_bounces_that_differ_in_anything_never_share_a_default_record(self, other: dict[str, str]) -> None:
        def place(server: str = "https://a", name: str = "prod/eu", **fields: str) -> Path:
            cluster: Any = SimpleNamespace(context=name, server=server)
            asked = request(**fields)
            return default_record(cluster, asked.namespace, asked.pod)

        assert place() != place(**other)


@pytest.mark.parametrize(
    ("words", "long"),
    [
        (("plan", "mec-0", "--node", NODE, "-v"), "the default; container main's startup probe allows"),
        (("status", "mec-0"), "ended: the next run keeps waiting"),
    ],
)
def test_piped_each_row_of_a_page_is_one_line_without_blanks_at_its_end(
    command: Command, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], long: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    SCENARIOS["stuck-finalizer"].set_up(sandbox)
    assert command("run", "mec-0", "--node", NODE, "--termination-timeout", "0.2s") == 4
    command(*words)
    assert [line for line in command.out.splitlines() if line != line.rstrip()] == []
    assert [len(line) > 80 for line in command.out.splitlines() if long in line] == [True]


class TestAgain:
    """After exit 4 or 5 the same line keeps waiting. It never deletes a late replacement."""

    FAILS = ("run", "mec-0", "--ready-timeout", "0.3s", "--no-events")

    @pytest.fixture
    def late(self, sandbox: Sandbox) -> None:
        """Let the node's replacement start too late."""
        sandbox.behave(Behaviour(starts_after=0))
        sandbox.add_node("mec-0")
        sandbox.behave(Behaviour(starts_after=math.inf))

    @pytest.fixture
    def repaired(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        """Let replacements start from the next run's first look on."""
        progress = BounceInTerminal.progress

        def seen(terminal: BounceInTerminal, found: Progress) -> None:
            progress(terminal, found)
            sandbox.behave(Behaviour(starts_after=0))

        return lambda: monkeypatch.setattr(BounceInTerminal, "progress", seen)

    @pytest.mark.usefixtures("late")
    def test_the_same_line_waits_on_until_the_replacement_is_back(
        self, command: Command, sandbox: Sandbox, repaired: Callable[[], None]
    ) -> None:
        old = uid(sandbox)
        assert command(*self.FAILS) == 5
        replacement = uid(sandbox)
        assert command(*self.FAILS) == 5
        assert "keeps waiting for its replacement; nothing is deleted. --again begins a new bounce." in command.out
        assert command("plan", "mec-0", "-o", "json") == 0
        found = json.loads(command.out)
        assert (found["would"], found["resumes"], found["event"]) == ("wait_on", "", "already_replaced")
        assert command("status", "mec-0") == 0
        words = shlex.split(command.out.splitlines()[-1])
        assert words == ["mecbounce", "run", "mec-0", "-n", "default", "--pod-uid", old, "--ready-timeout", "0.6s"]
        repaired()
        for _ in range(2):  # once it is back, the printed command still deletes nothing
            assert command(*words[1:-1], "60s", "-o", "json") == 0
            result = json.loads(command.out)
            assert (result["new_pod"]["uid"], result["deletion"]) == (replacement, "already")
        assert deletes(sandbox) == 1

    def test_of_a_pod_with_a_generated_name_too_and_of_labels(
        self, command: Command, sandbox: Sandbox, repaired: Callable[[], None]
    ) -> None:
        (old,) = made(sandbox, workload("ReplicaSet"))
        sandbox.behave(Behaviour(image_pull_fails=True))
        assert command("run", old, "--ready-timeout", "0.3s") == 5
        assert command("run", "-l", "app=web", "--ready-timeout", "0.3s") == 5
        (new,) = (each["metadata"]["name"] for each in sandbox.objects("pods"))
        assert command("run", new, "--ready-timeout", "0.3s") == 5  # its own name is a new one
        assert command("status", old) == 0
        words = shlex.split(command.out.splitlines()[-1])
        assert words[:3] == ["mecbounce", "run", old]
        repaired()
        assert command(*words[1:-1], "60s") == 0
        assert deletes(sandbox) == 1
        assert command("plan", "-l", "app=web", "-o", "json") == 0
        assert json.loads(command.out)["pod"]["name"] == new  # it is back: the labels mean the new one

    @pytest.mark.usefixtures("late")
    def test_with_again_a_new_bounce_begins(self, command: Command, sandbox: Sandbox) -> None:
        assert command(*self.FAILS) == 5
        assert command(*self.FAILS, "--again") == 5
        assert deletes(sandbox) == 2

    @pytest.mark.usefixtures("late")
    def test_where_no_look_can_be_had_it_waits_on_and_what_stops_it_does_not_change_that(
        self, command: Command, sandbox: Sandbox
    ) -> None:
        """The right to list pods is missing for a while: the run after that must not delete the replacement."""
        assert command(*self.FAILS) == 5
        sandbox.forbid("list", "pods")
        assert command(*self.FAILS) == 3
        assert "Changed: nothing: this run only kept waiting for the replacement" in command.out
        sandbox.allow("list", "pods")
        assert command(*self.FAILS) == 5
        assert deletes(sandbox) == 1

    @pytest.mark.usefixtures("late")
    def test_killed_before_its_first_save_it_leaves_the_ended_record_in_its_place(
        self, command: Command, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert command(*self.FAILS) == 5

        def killed(*_: object) -> None:
            raise RecordNotSaved("no space")

        with monkeypatch.context() as patched:
            patched.setattr(FileStore, "save", killed)
            assert command(*self.FAILS) == 2
        assert command(*self.FAILS) == 5
        assert deletes(sandbox) == 1

    @pytest.mark.parametrize("earlier", [0, 1], ids=["the_first_bounce", "after_an_ended_one"])
    def test_a_run_that_decided_before_another_bounced_the_pod_keeps_its_late_replacement(
        self, command: Command, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, earlier: int
    ) -> None:
        """Between its decision and its first save it may have been paused, or have waited for the API server."""
        sandbox.behave(Behaviour(starts_after=0))
        sandbox.add_node("mec-0")
        for _ in range(earlier):
            assert command("run", "mec-0") == 0
        decide, late = start.start_of, list[str]()

        def decided(asked: options.Asked) -> start.Start:
            found = decide(asked)
            monkeypatch.setattr(bouncing, "start_of", decide)
            sandbox.behave(Behaviour(starts_after=math.inf))
            assert command(*self.FAILS) == 5
            late.append(uid(sandbox))
            return found

        monkeypatch.setattr(bouncing, "start_of", decided)
        assert command(*self.FAILS) == 5
        assert "Z Another run was faster: this one goes by what that one has saved.\n" in command.out
        assert (deletes(sandbox), [uid(sandbox)]) == (earlier + 1, late)
        assert command(*self.FAILS) == 5  # its record is where the next run looks
        assert deletes(sandbox) == earlier + 1

    @pytest.mark.parametrize(
        ("typed", "fields", "would"),
        [
            ((), {}, "wait_on"),
            (("--node", NODE, "--ready-timeout", "1h", "--force"), {}, "wait_on"),
            (("--pod-uid", GONE), {}, "wait_on"),
            (("--pod-uid", GONE.replace("6", "7")), {}, "begin"),
            (("--node", f"{NODE}9"), {}, "begin"),
            (("--again",), {}, "begin"),
            ((), {"server": "https://elsewhere"}, "begin"),
            ((), {"untold": True}, "tell"),
            (("--again",), {"untold": True}, "begin"),
        ],
    )
    def test_what_was_typed_says_which_bounce_is_meant(
        self,
        command: Command,
        sandbox: Sandbox,
        tmp_path: Path,
        typed: tuple[str, ...],
        fields: dict[str, Any],
        would: str,
    ) -> None:
        ended = ended_in(State.AWAIT_READY, Event.READY_TIMEOUT, GONE)
        FileStore(tmp_path / "r.json").save(
            ended.model_copy(update={"request": request(), "server": sandbox.url, "untold": False} | fields)
        )
        command("plan", "mec-0", "--state", tmp_path / "r.json", "-o", "json", *typed)
        assert json.loads(command.out)["would"] == would


def test_an_end_that_another_run_saves_meanwhile_is_not_called_told(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = FileStore(tmp_path / "r.json")
    ended = ended_in(State.AWAIT_READY, Event.READY_TIMEOUT, GONE)
    other = ended.model_copy(update={"bounce_id": "b-2"})
    store.save(ended)
    monkeypatch.setattr(BounceInTerminal, "end", lambda *_: store.path.write_text(other.model_dump_json()))
    assert command("run", "mec-0", "--state", store.path) == 5
    assert store.load() == other  # untold: the next run tells it


class TestTyped:
    """To resume a bounce its pod's name is enough; what is typed must not contradict it."""

    def left(self, path: Path, **fields: Any) -> None:
        FileStore(path).save(begin(request(**fields), NOW))

    def test_the_name_alone_resumes_it_with_the_options_that_it_began_with(
        self, command: Command, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        sandbox.add_node("mec-0", activity="rebuilding")
        self.left(tmp_path / "r.json", force=True, timeouts={"ready": 300}, cluster_type="k8s_gitops")
        assert command("run", "mec-0", "--state", tmp_path / "r.json") == 0
        assert "It goes on with the options that it began with." in command.out
        assert "The node is rebuilding; going on because of --force." in command.out
        assert "AWAIT_READY, at most 300 s" in command.out

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            (("--ready-timeout", "5m"), "--ready-timeout 5m: the unfinished bounce of mec-0 began with 10m"),
            (
                ("--termination-timeout", "90"),
                "--termination-timeout 90s: the unfinished bounce of mec-0 began without",
            ),
            (("--force",), "--force: the unfinished bounce of mec-0 began without it"),
            (("--ready-when", "auto"), "--ready-when auto: the unfinished bounce of mec-0 began with started"),
            (("--node", f"{NODE}9"), f"--node {NODE}9: the unfinished bounce of mec-0 began with --node {NODE}"),
        ],
    )
    def test_one_that_contradicts_is_refused_with_the_command_that_resumes(
        self, command: Command, sandbox: Sandbox, tmp_path: Path, typed: tuple[str, ...], said: str
    ) -> None:
        sandbox.add_node("mec-0")
        path = tmp_path / "r.json"
        self.left(path, timeouts={"ready": 600}, ready_when="started")
        for verb in ("plan", "run"):
            assert command(verb, "mec-0", "--context", "sandbox", "--state", path, *typed) == 2
            assert command.err.startswith(f"mecbounce: {said}")
            assert sandbox.requests == ()
        resume = f"mecbounce run mec-0 -n default --context sandbox --state {path}"
        assert command.err.endswith(f". To resume it as it began: {resume}\n")
        assert command(*shlex.split(resume)[1:]) == 0

    def test_again_resumes_a_bounce_that_has_not_ended_and_says_so(
        self, command: Command, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        sandbox.add_node("mec-0")
        self.left(tmp_path / "r.json")
        assert command("run", "mec-0", "--again", "--state", tmp_path / "r.json") == 0
        assert "Z --again: the last bounce has not ended, so it goes on.\n" in command.out
        assert deletes(sandbox) == 1


class TestTwoRunners:
    """`run` on a bounce that another runner drives."""

    @pytest.fixture
    def driver(self, sandbox: Sandbox, tmp_path: Path) -> Iterator[FileStore]:
        """Another runner, which waits for the replacement and is alive."""
        sandbox.add_node("mec-0")
        ended = ended_in(State.AWAIT_READY, Event.READY_TIMEOUT, GONE)
        store = FileStore(tmp_path / "r.json")
        runner = Runner(who="ci@build-7", process=4711, saved_at=NOW)
        deadline = datetime.now(UTC) + timedelta(minutes=10)
        waiting = {"path": ended.path[:4], "deadline": deadline, "untold": False, "runner": runner}
        with store.hold():
            store.save(ended.model_copy(update=waiting))
            yield store

    @staticmethod
    def ends(driver: FileStore) -> None:
        record = driver.load()
        assert record is not None
        entries = [
            StateEntry(state=State.AWAIT_READY, at=NOW, event=Event.POD_GONE),
            StateEntry(state=State.FAILED, at=NOW, event=Event.READY_TIMEOUT),
        ]
        driver.save(record.changed(path=(*record.path, *entries), deadline=None, message="It ended.", untold=True))

    @pytest.mark.parametrize("output", ["text", "json"])
    def test_it_is_followed_and_ends_as_that_bounce_ends(
        self, command: Command, sandbox: Sandbox, driver: FileStore, monkeypatch: pytest.MonkeyPatch, output: str
    ) -> None:
        while_following(monkeypatch, lambda: self.ends(driver))
        again = ("run", "mec-0", "--state", driver.path, "-o", output)
        assert command(*again) == 5
        assert "Following: ci@build-7, process 4711, drives this bounce (last save " in command.out + command.err
        assert output == "text" or json.loads(command.out)["event"] == "ready_timeout"
        assert ["list"] == [one.verb for one in sandbox.requests]  # to show what the bounce waits for
        record = driver.load()
        assert record is not None
        assert record.untold  # its own runner tells it, or the next run of whoever began it

    def test_a_plan_says_that_it_would_be_followed(self, command: Command, driver: FileStore) -> None:
        command("plan", "mec-0", "--state", driver.path, "-o", "json")
        found = json.loads(command.out)
        assert found["would"] == "follow"
        by = "A bounce in AWAIT_TERMINATION is driven by ci@build-7, process 4711"
        assert found["resumes"] == f"{by}: `mecbounce run` follows it and deletes nothing."
        assert command("plan", "mec-0", "--state", driver.path) == 0
        assert command.out.startswith(f"✔ {by}: ")
        assert "DELETE " not in command.out

    def test_it_is_taken_over_once_its_runner_has_gone(
        self, command: Command, driver: FileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        alive = [True, True]  # when `run` decides what to do, and when it begins to follow
        monkeypatch.setattr(FileStore, "held", lambda _: bool(alive and alive.pop()))
        assert command("run", "mec-0", "--state", driver.path) == 0
        said = "Its runner (ci@build-7, process 4711) has gone: this run takes the bounce over."
        assert [line for line in command.out.splitlines() if line.endswith(said)] != []
        assert "notice: Resumed bounce" in command.out

    def test_take_over_takes_it_at_once_and_the_other_is_told_who_has_it(
        self, command: Command, driver: FileStore
    ) -> None:
        before = driver.load()
        assert before is not None
        assert command("run", "mec-0", "--state", driver.path, "--take-over") == 0
        assert "Following" not in command.out
        with pytest.raises(Superseded, match=rf"^Another runner \(.*@.*, process {os.getpid()}\) has taken over"):
            driver.save(before.changed(message="I am late."))

    def test_of_two_that_begin_at_once_the_slower_follows(
        self, command: Command, sandbox: Sandbox, driver: FileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It looked for a record before the other had saved one."""
        monkeypatch.setattr(bouncing, "start_of", lambda asked: start.Start(Would.BEGIN, asked.request))
        while_following(monkeypatch, lambda: self.ends(driver))
        assert command("run", "mec-0", "--state", driver.path) == 5
        assert "Following: ci@build-7" in command.out
        assert deletes(sandbox) == 0

    @pytest.mark.parametrize("output", ["text", "json"])
    def test_status_follows_it_too(
        self, command: Command, sandbox: Sandbox, driver: FileStore, monkeypatch: pytest.MonkeyPatch, output: str
    ) -> None:
        while_following(monkeypatch, lambda: self.ends(driver))
        assert command("status", "--state", driver.path, "--watch", "--exit-status", "-o", output) == 5
        assert "Following: ci@build-7" in command.out + command.err
        assert "FAILED: ready_timeout" in command.out + command.err
        assert output == "text" or json.loads(command.out)["ended_at"] == "2026-01-01T12:00:00Z"
        assert sandbox.requests == ()

    @pytest.mark.parametrize("looks", [0, 1], ids=["gone_before", "gone_meanwhile"])
    def test_status_never_takes_it_over(
        self, command: Command, sandbox: Sandbox, driver: FileStore, monkeypatch: pytest.MonkeyPatch, looks: int
    ) -> None:
        alive = [True] * looks
        monkeypatch.setattr(FileStore, "held", lambda _: bool(alive and alive.pop()))
        before = driver.path.read_bytes()
        assert command("status", "--state", driver.path, "--watch") == 0
        assert "has gone" in command.out
        assert f"Resume it:\n  mecbounce run mec-0 -n default --state {driver.path}\n" in command.out
        assert (driver.path.read_bytes(), sandbox.requests) == (before, ())

    @pytest.mark.parametrize(
        ("words", "status"), [(("run", "mec-0"), 75), (("status", "-w"), 0), (("status", "-w", "--exit-status"), 75)]
    )
    def test_a_signal_ends_the_following_and_not_the_bounce(
        self,
        command: Command,
        driver: FileStore,
        monkeypatch: pytest.MonkeyPatch,
        words: tuple[str, ...],
        status: int,
    ) -> None:
        before = driver.path.read_bytes()
        while_following(monkeypatch, lambda: signal.raise_signal(signal.SIGINT))
        assert command(*words, "--state", driver.path) == status
        said = "Stopped following: the bounce of mec-0 goes on, driven by ci@build-7, process 4711."
        assert (said in command.out, command.err, driver.path.read_bytes()) == (True, "", before)
        assert "Resume it" not in command.out

    def test_another_incarnation_is_refused_and_not_followed(self, command: Command, driver: FileStore) -> None:
        assert command("run", "mec-0", "--state", driver.path, "--pod-uid", f"f{GONE[1:]}") == 2
        assert f"--pod-uid f{GONE[1:]}: the unfinished bounce of mec-0 began with {GONE}" in command.err


class TestTerminal:
    """`run` in something that says it is a terminal."""

    @pytest.fixture(autouse=True)
    def _terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "80")

    def test_is_one_screen_that_is_drawn_over_never_cleared(self, command: Command, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        assert command("run", "mec-0", "--node", NODE) == 0
        assert "\x1b[2J" not in command.out
        assert "\x1b[H" not in command.out
        assert "\x1b[?1049h" not in command.out
        drawn = Text.from_ansi(command.out.rpartition("\x1b[1A\x1b[2K")[2]).plain
        assert "✔  AWAIT_READY" in drawn
        assert "\nChanged  UID " in drawn

    def test_is_refreshed_at_most_four_times_a_second(self) -> None:
        with BounceInTerminal(request(), "c", Given(), options.Output.TEXT) as terminal:
            assert terminal._live is not None
            assert terminal._live.refresh_per_second == 4

    def test_a_burst_of_records_draws_nothing_by_itself(self, capsys: pytest.CaptureFixture[str]) -> None:
        terminal = BounceInTerminal(request(), "c", Given(), options.Output.TEXT)
        for _ in range(9):
            terminal.observe(begin(request(), NOW))
            terminal.progress(Progress.of(begin(request(), NOW), None, NOW))
        assert capsys.readouterr().out == ""

    def test_a_dumb_one_gets_plain_lines(
        self, command: Command, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TERM", "dumb")
        sandbox.add_node("mec-0")
        assert command("run", "mec-0", "--node", NODE) == 0
        assert "\x1b" not in command.out
        assert "Z AWAIT_READY, at most 600 s\n" in command.out

    def test_no_color_leaves_no_colour(
        self, command: Command, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        sandbox.add_node("mec-0")
        assert command("run", "mec-0", "--node", NODE) == 0
        assert re.search(r"\x1b\[3\dm", command.out) is None


@pytest.mark.parametrize("setting", [("PYTHONIOENCODING", "latin-1"), ("LC_ALL", "C")], ids=lambda pair: pair[0])
def test_a_terminal_that_lacks_the_marks_gets_ascii(sandbox: Sandbox, tmp_path: Path, setting: tuple[str, str]) -> None:
    sandbox.add_node("mec-0")
    arguments = [sys.executable, "-m", "mecbounce", "run", "mec-0", "--kubeconfig", str(sandbox.kubeconfig)]
    arguments += ["--state", str(tmp_path / "r.json")]
    environment = {**os.environ, setting[0]: setting[1]}
    ran = subprocess.run(arguments, env=environment, capture_output=True, check=False, timeout=PATIENCE)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert re.search(rb"Changed: UID \S+ -> \S+, same image", ran.stdout)


SHELL = """
import fcntl, os, signal, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = subprocess.Popen(sys.argv[1:], process_group=0)
os.tcsetpgrp(0, job.pid)
_, status = os.waitpid(job.pid, os.WUNTRACED)
os.tcsetpgrp(0, os.getpgrp())
print("STOPPED" if os.WIFSTOPPED(status) else "ENDED", flush=True)
os.tcsetpgrp(0, job.pid)
os.killpg(job.pid, signal.SIGCONT)
sys.exit(job.wait())
"""


def test_ctrl_z_shows_the_cursor_and_fg_draws_the_screen_again(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.add_node("mec-0")
    sandbox.behave(Behaviour(stops_after=PATIENCE))
    terminal, its_end = pty.openpty()
    words = ["run", "mec-0", "--kubeconfig", sandbox.kubeconfig, "--state", tmp_path / "r.json"]
    command = [sys.executable, "-c", SHELL, sys.executable, "-m", "mecbounce", *map(str, words)]
    environment = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", "COLUMNS": "80"}
    shown = b""

    def until(said: bytes) -> bytes:
        nonlocal shown
        while said not in shown:
            assert select.select([terminal], [], [], PATIENCE)[0], shown
            shown += os.read(terminal, 65536)
        before, _, shown = shown.partition(said)
        return before + said

    with subprocess.Popen(
        command, stdin=its_end, stdout=its_end, stderr=its_end, env=environment, start_new_session=True
    ) as shell:
        until(b"of at most 600 s")
        os.write(terminal, b"\x1a")
        assert until(b"STOPPED").rpartition(b"\x1b[?25")[2][:1] == b"h"  # the cursor is shown
        assert until(b"of at most 600 s").rpartition(b"\x1b[?25")[2][:1] == b"l"
        os.write(terminal, b"\x03")
        assert until(b"mecbounce run mec-0").count(b"Interrupted in AWAIT_TERMINATION.") == 1
        assert shell.wait(PATIENCE) == 75
    os.close(terminal)
    os.close(its_end)


class TestInterruption:
    @pytest.mark.parametrize(
        ("state", "behaviour", "number"),
        [
            ("AWAIT_TERMINATION", Behaviour(stops_after=20), signal.SIGTERM),
            ("AWAIT_READY", Behaviour(recreates_after=20), signal.SIGINT),
        ],
    )
    def test_a_signal_while_waiting_ends_with_75_and_the_same_command_resumes(
        self, sandbox: Sandbox, tmp_path: Path, state: str, behaviour: Behaviour, number: int
    ) -> None:
        sandbox.add_node("mec-0")
        sandbox.behave(behaviour)
        arguments = [sys.executable, "-m", "mecbounce", "run", "mec-0", "--node", NODE]
        arguments += ["--kubeconfig", str(sandbox.kubeconfig), "--state", str(tmp_path / "r.json")]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            assert running.stderr is not None
            while state not in running.stdout.readline():
                assert running.poll() is None
            running.send_signal(number)
            assert running.wait(PATIENCE) == 75
            told = running.stdout.read()
            assert (told.count(f"Z Interrupted in {state}.\n"), running.stderr.read()) == (1, "")
            words = shlex.split(told.splitlines()[-1])
        sandbox.behave(Behaviour())
        assert words[:5] == ["mecbounce", "run", "mec-0", "-n", "default"]
        assert set(arguments[7:]) == set(words[5:])  # all but the node, which the record has
        arguments[3:] = words[1:]
        again = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert again.returncode == 0, again.stderr
        assert deletes(sandbox) == 1

    def test_a_signal_before_the_deletion_gives_up_with_3(self, sandbox: Sandbox, tmp_path: Path) -> None:
        sandbox.add_node("mec-0")
        sandbox.fail_next(method="GET", path_part="/pods", status=503, count=99)
        arguments = [sys.executable, "-m", "mecbounce", "run", "mec-0", "--kubeconfig", str(sandbox.kubeconfig)]
        arguments += ["--state", str(tmp_path / "r.json")]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            while "No usable answer" not in running.stdout.readline():
                assert running.poll() is None
            running.send_signal(signal.SIGTERM)
            assert running.wait(PATIENCE) == 3
            assert "Asked to stop before the deletion. Nothing was deleted." in running.stdout.read()
        assert deletes(sandbox) == 0

    def test_a_second_signal_leaves_at_once(self, sandbox: Sandbox, tmp_path: Path) -> None:
        sandbox.add_node("mec-0")
        arguments = [sys.executable, "-m", "mecbounce", "run", "mec-0", "--kubeconfig", str(sandbox.kubeconfig)]
        arguments += ["--state", str(tmp_path / "r.json")]
        with sandbox.held(), subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
            assert running.stdout is not None
            while b"INIT_CHECKS" not in running.stdout.readline():
                assert running.poll() is None
            running.send_signal(signal.SIGINT)
            running.send_signal(signal.SIGTERM)
            assert running.wait(PATIENCE) == 75
            assert running.stderr is not None
            assert b"Stopped immediately. The record was saved: run again to resume." in running.stderr.read()

    def test_a_bounce_that_can_not_be_saved_as_it_is_resumed_is_not_called_untouched(
        self, command: Command, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Exit 2 says so, and the run before may have deleted its pod."""
        sandbox.add_node("mec-0")
        path = tmp_path / "r.json"
        record = ended_in(State.AWAIT_READY, Event.READY_TIMEOUT, str(uid(sandbox)))
        going_on = {"path": record.path[:4], "deadline": NOW, "untold": False, "server": sandbox.url}
        FileStore(path).save(record.model_copy(update=going_on))

        def full(*_: object) -> None:
            raise RecordNotSaved("r.json: the record can't be written: No space left on device")

        monkeypatch.setattr(FileStore, "save", full)
        assert command("run", "mec-0", "--state", path) == 1
        assert command.err == "mecbounce: --state: r.json: the record can't be written: No space left on device\n"

    @pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize(
        ("method", "times", "said"),
        [("save", 1, NOTHING_DELETED), ("save", 3, SAVED), ("set_aside", 1, NOTHING_DELETED)],
        ids=["first_save", "later_save", "set_aside"],
    )
    def test_left_in_the_middle_of_writing_it_tells_no_more_than_what_was_saved(
        self,
        command: Command,
        sandbox: Sandbox,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        method: str,
        times: int,
        said: str,
        *,
        done: bool,
    ) -> None:
        """Two signals come before or after a file is put in its place."""
        sandbox.add_node("mec-0")
        path = tmp_path / "r.json"
        if method == "set_aside":
            ended = ended_in(State.AWAIT_READY, Event.READY_TIMEOUT, GONE)
            FileStore(path).save(ended.model_copy(update={"untold": False}))
        calls: list[object] = []
        original = getattr(FileStore, method)

        def interrupted(*arguments: object, **options: object) -> Any:
            calls.append(arguments)
            last = len(calls) == times
            returned = original(*arguments, **options) if done or not last else None
            if last:
                signal.raise_signal(signal.SIGTERM)
                signal.raise_signal(signal.SIGTERM)
            return returned

        monkeypatch.setattr(FileStore, method, interrupted)
        assert command("run", "mec-0", "--state", path) == 75
        assert command.err == f"mecbounce: Stopped immediately. {said}\n"

    @pytest.mark.parametrize(
        ("left", "method", "said"),
        [(None, "progress", SAVED), (State.AWAIT_TERMINATION, "observe", SAVED), (State.FAILED, "say", UNTOLD)],
        ids=["while_it_goes_on", "as_it_resumes", "as_it_tells_an_end"],
    )
    def test_left_at_once_it_does_not_ask_the_disk_again(
        self,
        command: Command,
        sandbox: Sandbox,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        left: State | None,
        method: str,
        said: str,
    ) -> None:
        """A disk that does not answer may be why somebody leaves at once."""
        sandbox.add_node("mec-0")
        path = tmp_path / "r.json"
        if left is not None:
            record = ended_in(State.AWAIT_READY, Event.READY_TIMEOUT, str(uid(sandbox)))
            if left is State.AWAIT_TERMINATION:
                record = record.model_copy(update={"path": record.path[:4], "deadline": NOW, "untold": False})
            FileStore(path).save(record.model_copy(update={"server": sandbox.url}))

        def interrupted(*_: object) -> None:
            monkeypatch.setattr(FileStore, "load", lambda _: pytest.fail("the record was read"))
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(BounceInTerminal, method, interrupted)
        assert command("run", "mec-0", "--state", path) == 75
        assert command.err == f"mecbounce: Stopped immediately. {said}\n"

    def test_left_after_the_end_it_says_so(
        self, command: Command, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        sandbox.add_node("mec-0")
        original = BounceInTerminal.observe

        def interrupted(terminal: BounceInTerminal, record: BounceRecord) -> None:
            original(terminal, record)
            if record.finished:
                signal.raise_signal(signal.SIGTERM)
                signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(BounceInTerminal, "observe", interrupted)
        assert command("run", "mec-0", "--state", tmp_path / "r.json") == 75
        assert command.err == f"mecbounce: Stopped immediately. {UNTOLD}\n"
        monkeypatch.undo()
        assert deletes(sandbox) == 1

    def test_a_signal_that_was_ignored_stays_ignored(self) -> None:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        try:
            with stop_signals():
                assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGHUP, before)

    def test_a_reader_that_goes_away_does_not_end_the_bounce(self, sandbox: Sandbox, tmp_path: Path) -> None:
        sandbox.add_node("mec-0")
        path = tmp_path / "r.json"
        command = f"{sys.executable} -m mecbounce run mec-0 --kubeconfig {sandbox.kubeconfig} --state {path} | head -1"
        subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=True, timeout=PATIENCE)
        sandbox.wait_for(lambda: (left := FileStore(path).load()) and left.state is State.DONE, PATIENCE)

    @pytest.mark.parametrize("closed", ["stdout", "stderr"])
    def test_a_reader_of_either_output_that_goes_away_changes_neither_the_other_nor_the_status(
        self, sandbox: Sandbox, tmp_path: Path, closed: str
    ) -> None:
        sandbox.add_node("mec-0")
        words = ["run", "mec-0", "--kubeconfig", str(sandbox.kubeconfig), "--state", str(tmp_path / "r.json")]
        reading, writing = os.pipe()
        os.close(reading)
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, closed: writing}
        command = [sys.executable, "-m", "mecbounce", *words, "-o", "json"]
        ran = subprocess.run(command, **streams, timeout=PATIENCE, check=False)
        os.close(writing)
        assert ran.returncode == 0
        if closed == "stderr":
            assert json.loads(ran.stdout)["state"] == "DONE"
        else:
            assert ran.stderr.endswith(b"DONE\n")

    @pytest.mark.parametrize(
        ("words", "status"), [(("diagram",), 1), (("run", "mec-0"), 1), (("run", "mec-0", "-o", "json"), 0)]
    )
    def test_a_full_disk_is_no_traceback_and_does_not_change_how_a_bounce_ended(
        self, sandbox: Sandbox, tmp_path: Path, words: tuple[str, ...], status: int
    ) -> None:
        """In text the first line is refused before anything is done."""
        sandbox.add_node("mec-0")
        environment = os.environ | {"KUBECONFIG": str(sandbox.kubeconfig), "XDG_STATE_HOME": str(tmp_path)}
        with Path("/dev/full").open("wb") as full:
            ran = subprocess.run(
                [sys.executable, "-m", "mecbounce", *words],
                env=environment,
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=PATIENCE,
                check=False,
            )
        assert (ran.returncode, b"Traceback" in ran.stderr) == (status, False)
        assert deletes(sandbox) == (1 if status == 0 else 0)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_first_signal_of_each_kind_asks_to_stop(self, number: int) -> None:
        before = signal.signal(number, lambda *_: None)
        try:
            with stop_signals() as stop:
                assert not stop()
                signal.raise_signal(number)
                assert stop()
        finally:
            signal.signal(number, before)


class TestBadInput:
    """One line that names the field, no traceback, nothing changed."""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("",), "POD: it is empty; expected NAME or pod/NAME"),
            (("Mec_0",), "POD: 'Mec_0' is not a pod's name; did you mean mec-0?"),
            (("zeb_ra",), "POD: 'zeb_ra' is not a name of lower case letters, digits and '-'"),
            (("pod", "mec-0"), "extra argument(s) (mec-0): expected one POD, as NAME or pod/NAME"),
            (("default/mec-0",), "POD: 'default/mec-0' is not NAME or pod/NAME; a namespace is given by -n"),
            (("cj/web",), "POD: cj/web is a CronJob, and mecbounce bounces one pod: name one of its pods (kubectl get"),
            (("mec-0", "-n", ""), "--namespace: '' is not a name"),
            (("mec-0", "-n", "a.b"), "--namespace: 'a.b' is not a name"),
            (("mec-0", "--kubeconfig", "a\nb"), "kubeconfig a�b: there is no such file"),
            (("mec-0", "--pod-uid", "../x"), "--pod-uid: '../x' is not a whole UID"),
            (("mec-0", "--pod-uid", "6d0c8f5e"), "jsonpath={.metadata.uid} prints it"),
            (("mec-0", "--pod-uid", GONE.upper()), f"--pod-uid: '{GONE.upper()}' is not a whole UID"),
            (("mec-0", "--node", "a/b/c"), "--node: 'a/b/c' is not of the form"),
            (("mec-0", "--node", NODE, "--no-node"), "--no-node: --node is given too"),
            (("mec-0", "--node", "A/v1/x/y"), "--node: group: 'A' is not a name"),
            (("mec-0", "--ready-timeout", "10x"), "--ready-timeout: '10x' is not a duration"),
            (("mec-0", "--ready-timeout", "١m"), "--ready-timeout: '١m' is not a duration"),  # noqa: RUF001 -- a digit, not ASCII's
            (("mec-0", "--ready-timeout", "-5"), "--ready-timeout: '-5' is not a duration"),
            (("mec-0", "--termination-timeout", "0"), "--termination-timeout: '0' is not between 0 and a week"),
            (("mec-0", "--termination-timeout", ""), "--termination-timeout: '' is not a duration"),
            (("mec-0", "--protection-annotation", "novalue"), "--protection-annotation: expected KEY=VALUE"),
            (("mec-0", "--protection-annotation", "=x"), "--protection-annotation: expected KEY=VALUE"),
            (("mec-0", "--protection-annotation", "a/b=..."), "put the annotation's value in the place of ..."),
            (("mec-0", "--context", "nope"), "has no such context"),
            (("mec-0", "--context", "sandbx"), "has no such context; did you mean sandbox?"),
            (("mec-0", "--kubeconfig", "/nowhere"), "kubeconfig /nowhere: there is no such file"),
            (("mec-0", "--kubeconfig", "x" * 300), "xxx: there is no such file"),
            (("mec-0", "-o", "xml"), "--output: 'xml' is not one of 'text', 'json'"),
            (("mec-0", "--ready-when", "never"), "--ready-when"),
            (("mec-0", "--nonsense"), "--nonsense"),
            (("mec-0", "--state", "/dev/null/r.json"), "--state: /dev/null/r.json: the record can't be written"),
            (("mec-0", "--state", "/proc/nope/r.json"), "--state: /proc/nope/r.json: the record can't be written"),
        ],
    )
    def test_is_a_usage_error(self, command: Command, sandbox: Sandbox, arguments: tuple[str, ...], said: str) -> None:
        sandbox.add_node("mec-0")
        assert command("run", *arguments) == 2
        assert said in command.err
        assert command.err.count("\n") == 1
        assert {one.verb for one in sandbox.requests} <= {"get", "list"}

    @pytest.mark.parametrize("verb", ["run", "plan"])
    @pytest.mark.parametrize(
        ("step", "number", "said"),
        [
            ("fcntl.flock", errno.ENOLCK, "its folder can't be locked (flock: No locks available)"),
            ("os.fsync", errno.ENOSPC, "the record can't be written: No space left on device"),
            ("os.open", errno.EROFS, "the record can't be written: Read-only file system"),
        ],
        ids=["no_locks", "full", "read_only"],
    )
    def test_a_place_that_keeps_no_record_is_told_by_plan_as_by_run(
        self,
        command: Command,
        sandbox: Sandbox,
        tmp_path: Path,
        mocker: MockerFixture,
        verb: str,
        step: str,
        number: int,
        said: str,
    ) -> None:
        sandbox.add_node("mec-0")
        path, opened = tmp_path / "there" / "r.json", os.open
        path.parent.mkdir()

        def fails(*arguments: Any, **options: Any) -> int:
            if step == "os.open" and not arguments[1] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
                return opened(*arguments, **options)
            raise OSError(number, os.strerror(number))

        mocker.patch(step, side_effect=fails)
        assert command(verb, "mec-0", "--state", path) == 2
        assert command.err.startswith(f"mecbounce: --state: {path}: {said}")
        assert command.err.count("\n") == 1
        assert not path.exists()
        assert {one.verb for one in sandbox.requests} <= {"list"}

    def test_a_kubeconfig_that_points_nowhere_gives_up_before_the_deletion(
        self, command: Command, tmp_path: Path, sandbox: Sandbox
    ) -> None:
        path = tmp_path / "kubeconfig"
        path.write_text(sandbox.kubeconfig.read_text().replace(sandbox.url, "http://127.0.0.1:1"))
        assert command("plan", "mec-0", "--kubeconfig", path) == 3
        assert "the API server http://127.0.0.1:1 can't be reached" in command.out
        assert command("plan", "mec-0", "--kubeconfig", path, "-o", "json") == 3
        assert json.loads(command.out)["event"] == "cluster_unreachable"

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("-n", "nope", "--node", NODE), "'mec-0' (node.name) does not exist in namespace 'nope' (namespace)"),
            (("--node", "x.example.com/v1/xs/y"), "does not serve xs.x.example.com/v1 (node.group, version, plural)"),
            (("--node", NODE.replace("nodes", "node")), "; did you mean expressnodes? Nothing was changed."),
            (("--node", NODE.replace("v1", "v2")), "; did you mean express.example.com/v1? Nothing was changed."),
            (("--node", f"{NODE[:-1]}1"), "; did you mean mec-0? Nothing was changed."),
        ],
    )
    def test_what_is_not_in_the_cluster_is_refused_with_3(
        self, command: Command, sandbox: Sandbox, options: tuple[str, ...], said: str
    ) -> None:
        sandbox.add_node("mec-0")
        assert command("run", "mec-0", *options) == 3
        assert said in command.out
        assert deletes(sandbox) == 0

    @pytest.mark.parametrize("value", [5, True, ["up"], {"x": 1}])
    def test_a_state_field_that_is_not_text_is_refused_with_3(
        self, command: Command, sandbox: Sandbox, value: object
    ) -> None:
        sandbox.add_node("mec-0")
        sandbox.patch("expressnodes", "mec-0", {"status": {"state": value}}, subresource="status")
        assert command("run", "mec-0") == 3
        assert "status.state holds " in command.out
        assert "use --no-node" in command.out
        assert deletes(sandbox) == 0

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("{", "not a complete record: it is not complete JSON"),
            ('{"schema_version": 99}', "field schema_version is 99"),
            (begin(request(pod="mec-7", node=None), NOW).model_dump_json(), "field request.pod"),
        ],
    )
    def test_a_record_that_is_not_this_ones_is_refused_and_stays(
        self, command: Command, sandbox: Sandbox, tmp_path: Path, content: str, said: str
    ) -> None:
        path = tmp_path / "r.json"
        path.write_text(content)
        assert command("run", "mec-0", "--state", path) == 2
        assert str(path) in command.err
        assert said in command.err
        assert path.read_text() == content
        assert sandbox.requests == ()

    def test_a_namespace_in_the_kubeconfig_that_is_none_is_named(
        self, command: Command, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        content = json.loads(sandbox.kubeconfig.read_text())
        content["contexts"][0]["context"]["namespace"] = "Bad_NS"
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(content))
        assert command("run", "mec-0", "--kubeconfig", path) == 2
        assert "context sandbox: namespace: 'Bad_NS' is not a name" in command.err

    def test_the_finished_record_of_another_pod_is_refused_too_and_stays(
        self, command: Command, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        sandbox.add_node("mec-0")
        path = tmp_path / "r.json"
        assert command("run", "mec-7", "--node", NODE, "--state", path) == 3
        before = path.read_bytes()
        for verb in ("plan", "run"):
            assert command(verb, "mec-0", "--state", path) == 2
            assert f"--state: {path}: field request.pod: the record is of mec-7" in command.err
            assert "That bounce has ended: use another place for this one, or move the record away" in command.err
        assert path.read_bytes() == before
        assert list(tmp_path.glob("r.json*")) == [path]

    def test_a_mistyped_node_does_not_stand_in_the_way_of_the_corrected_one(
        self, command: Command, sandbox: Sandbox
    ) -> None:
        sandbox.add_node("mec-0")
        assert command("run", "mec-0", "--node", "express.example.com/v1/expressnodes/mec-9") == 3
        assert command("run", "mec-0", "--node", NODE) == 0

    def test_a_server_that_is_no_address_is_named(self, command: Command, sandbox: Sandbox, tmp_path: Path) -> None:
        path = tmp_path / "kubeconfig"
        path.write_text(sandbox.kubeconfig.read_text().replace(sandbox.url, "not a url"))
        assert command("run", "mec-0", "--kubeconfig", path) == 2
        assert f"kubeconfig {path}: cluster 'sandbox': server is not an http or https address" in command.err

    def test_a_missing_record_is_named(self, command: Command, tmp_path: Path) -> None:
        assert command("status", "--state", tmp_path / "none") == 2
        assert f"--state: there is no record {tmp_path / 'none'}" in command.err

    def test_an_unknown_scenario_tells_the_known_ones(self, command: Command) -> None:
        assert command("demo", "--scenario", "nope") == 2
        assert "happy" in command.err


class TestTypingErrors:
    @pytest.mark.parametrize("verb", ["run", "plan"])
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("mec-o",), "pod mec-o not found in namespace default; did you mean mec-0?"),
            (("pod/mec-3",), "pod mec-3 not found in namespace default; did you mean mec-0 or mec-1?"),
            (
                ("web",),
                "pod web not found in namespace default; kubectl get pods -n default lists those that are there",
            ),
            (("mec-0", "-n", "defalt"), "namespace defalt not found; did you mean default?"),
            (("mec-0", "-n", "nope"), "namespace nope not found"),
        ],
    )
    def test_what_is_not_there_is_one_line_with_near_names_and_leaves_no_record(
        self, command: Command, sandbox: Sandbox, verb: str, words: tuple[str, ...], said: str
    ) -> None:
        for name in ("mec-0", "mec-1"):
            sandbox.add_node(name)
        assert command(verb, *words) == 3
        assert (command.out, command.err) == ("", f"mecbounce: {said}\n")
        assert [*Path(os.environ["XDG_STATE_HOME"]).rglob("*.json")] == []

    @pytest.mark.parametrize("options", [("--pod-uid", GONE), ("--node", NODE), ("-o", "json")])
    def test_where_something_says_that_it_should_be_there_or_a_program_asks_its_end_is_told_whole(
        self, command: Command, sandbox: Sandbox, options: tuple[str, ...]
    ) -> None:
        sandbox.add_node("mec-0")
        status = command("run", "mec-1", "--ready-timeout", "0.1", *options)
        assert (status, "not found in namespace" in command.err) == (5 if "--pod-uid" in options else 3, False)
        assert "pod_missing" in command.out or "not_recreated" in command.out or "pod_foreign" in command.out

    def test_a_namespace_that_may_not_be_read_is_not_said_to_be_missing(
        self, command: Command, sandbox: Sandbox
    ) -> None:
        sandbox.forbid("get", "namespaces")
        assert command("run", "mec-0", "-n", "nope") == 3
        assert command.err.startswith("mecbounce: pod mec-0 not found in namespace nope; ")
        sandbox.forbid("list", "pods")
        assert command("run", "mec-0", "-n", "nope") == 3
        assert "FAILED: access_denied" in command.out

    def test_of_a_controller_it_says_which_pods_to_name(self, command: Command, sandbox: Sandbox) -> None:
        made(sandbox, workload("StatefulSet"))
        assert command("run", "sts/web") == 2
        assert command.err == (
            "mecbounce: POD: sts/web is a StatefulSet, and mecbounce bounces one pod: name one of its pods "
            "(kubectl get pods -n default -l app=web), or use -l app=web if it has but one\n"
        )
        assert command("run", "web") == 3
        assert "; did you mean web-0?" in command.err

    def test_what_it_prints_for_kubectl_asks_the_same_cluster(self, command: Command, sandbox: Sandbox) -> None:
        path = sandbox.kubeconfig.rename(sandbox.kubeconfig.with_name("my clusters"))
        assert command("run", "web", "--kubeconfig", path) == 3
        assert f"; kubectl get pods -n default --kubeconfig '{path}' lists those that are there" in command.err

    @pytest.mark.parametrize("word", ["mec-9", "mec_0", "deploy/mec"])
    def test_status_asks_the_api_server_nothing(self, command: Command, sandbox: Sandbox, word: str) -> None:
        assert command("status", word) == 2
        assert command.err != ""
        assert sandbox.requests == ()


class TestPlan:
    def test_every_request_reads_reviews_or_runs_dry(self, command: Command, sandbox: Sandbox) -> None:
        SCENARIOS["protected"].set_up(sandbox)
        before = sandbox.get("pods", "mec-0"), sandbox.get("expressnodes", "mec-0")
        assert command("plan", "mec-0", "--protection-annotation", f"{PROTECTION}=disabled") == 0
        assert command.out.startswith("✔ A bounce would proceed.\n")
        assert "custom resource: expressnodes.express.example.com/v1 mec-0\n" in command.out
        assert "pod exists, it has an owner that recreates it, node is not rebuilding\n" in command.out
        assert uid(sandbox) in command.out
        assert (sandbox.get("pods", "mec-0"), sandbox.get("expressnodes", "mec-0")) == before
        asked = [(one.verb, one.path.rpartition("/")[2]) for one in sandbox.requests]
        assert asked == [
            ("list", "pods"),
            ("get", "v1"),  # the type of its custom resource
            ("get", "mec-0"),
            *[("create", "selfsubjectaccessreviews")] * 8,
            ("delete", "mec-0"),  # dry, or the pod's metadata would tell
            ("get", "poddisruptionbudgets"),  # policy/v1, which a server of 1.20 has not
            ("list", "poddisruptionbudgets"),
        ]

    @pytest.mark.parametrize(
        ("words", "said"),
        [(("mec-1",), "field request.pod: the record is of"), (("mec-0", "--pod-uid", GONE), f"--pod-uid {GONE}: ")],
    )
    def test_a_record_that_run_would_not_resume_is_refused_likewise(
        self, command: Command, tmp_path: Path, words: tuple[str, ...], said: str
    ) -> None:
        FileStore(tmp_path / "r.json").save(begin(request(pod_uid="a"), NOW))
        for verb in ("plan", "run"):
            assert command(verb, *words, "--state", tmp_path / "r.json") == 2
            assert said in command.err

    def test_an_unfinished_bounce_is_told_first(self, command: Command, sandbox: Sandbox, tmp_path: Path) -> None:
        sandbox.add_node("mec-0")
        FileStore(tmp_path / "r.json").save(begin(request(), NOW))
        assert command("plan", "mec-0", "--node", NODE, "--state", tmp_path / "r.json") == 0
        first = (
            "✔ An unfinished bounce is recorded, in INIT_CHECKS: `mecbounce run` resumes it with these checks first."
        )
        assert command.out.startswith(first)
        assert command("plan", "mec-0", "--node", NODE, "-o", "json") == 0
        found = json.loads(command.out)
        assert (found["would"], found["resumes"]) == ("begin", "")

    def test_a_node_that_the_pod_is_not_made_from_is_refused(self, command: Command, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        sandbox.add_node("mec-1")
        assert command("plan", "mec-1", "--node", NODE) == 3
        assert "\n  Pod mec-1 in namespace default is made from ExpressNode mec-1 (" in command.out
        assert command("run", "mec-1", "--node", NODE) == 3
        assert "Who must act: whoever began this bounce\n" in command.out
        assert deletes(sandbox) == 0

    def test_without_events_none_is_planned(self, command: Command, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        assert command("plan", "mec-0", "-o", "json", "--no-events") == 0
        assert [one["verb"] for one in json.loads(command.out)["writes"]] == ["DELETE"]

    def test_a_disruption_budget_of_the_pods_labels_is_told(self, command: Command, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0", labels={"app": "mec"})
        fields = {"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "status": {"disruptionsAllowed": 0}}
        for name, selector in (
            ("mec", {"matchLabels": {"app": "mec"}}),
            ("empty", {}),
            ("x", {"matchLabels": {"app": "x"}}),
        ):
            sandbox.create({**fields, "metadata": {"name": name}, "spec": {"selector": selector}})
        assert command("plan", "mec-0", "-o", "json") == 0
        assert json.loads(command.out)["disruption_budgets"] == {"mec": 0}

    def test_a_bounce_that_would_be_refused_ends_with_3(self, command: Command, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        sandbox.refuse_delete = "not today"
        assert command("plan", "mec-0", "-o", "json") == 3
        found = json.loads(command.out)
        assert (found["goes_on"], "not today" in found["dry_run"]) == (False, True)

    @pytest.mark.parametrize(("verb", "resource"), [("get", "expressnodes"), ("list", "pods"), ("delete", "pods")])
    def test_a_missing_right_ends_with_3(self, command: Command, sandbox: Sandbox, verb: str, resource: str) -> None:
        sandbox.add_node("mec-0")
        sandbox.forbid(verb, resource)
        assert command("plan", "mec-0", "--node", NODE) == 3
        assert f"must grant: {verb} {resource}" in command.out

    def test_says_which_check_ends_it(self, command: Command, sandbox: Sandbox) -> None:
        SCENARIOS["rebuilding"].set_up(sandbox)
        assert command("plan", "mec-0", "--node", NODE, "-v") == 3
        assert "✘  no node is not rebuilding\n" in command.out


class TestDemo:
    def test_bounces_a_node_of_its_own(self, command: Command) -> None:
        assert command("demo", "-o", "json") == 0
        assert json.loads(command.out)["state"] == "DONE"

    def test_lists_its_scenarios(self, command: Command) -> None:
        assert command("demo", "--scenario", "list") == 0
        assert [line.split()[0] for line in command.out.splitlines()] == list(SCENARIOS)


class TestHelp:
    def test_no_arguments_give_help(self, command: Command) -> None:
        assert command() == 0
        assert "Usage: mecbounce" in command.out

    def test_the_diagram_is_the_committed_one(self, command: Command) -> None:
        assert command("diagram") == 0
        assert command.out == Path("diagrams/bounce.mmd").read_text()
        assert command("diagram", "--check") == 0
        assert command.out == ""

    def test_a_diagram_that_is_out_of_date_is_told_by_its_rows(self, command: Command, tmp_path: Path) -> None:
        committed = Path("diagrams/bounce.mmd").read_text()
        old = tmp_path / "bounce.mmd"
        old.write_text("".join(line for line in committed.splitlines(keepends=True) if "intent_expired" not in line))
        assert command("diagram", "--check", tmp_path) == 1
        assert command.out == f"{old}: out of date\n+ DELETE_POD --intent_expired--> INIT_CHECKS\n"
        old.write_text(committed.replace("Writes nothing", "Reads"))
        assert command("diagram", "--check", tmp_path) == 1
        assert command.out == f"{old}: the same rows, in other words or another layout: draw it anew\n"

    def test_a_folder_without_diagrams_and_a_path_of_no_bounce_are_usage(
        self, command: Command, tmp_path: Path
    ) -> None:
        assert command("diagram", "--check", tmp_path) == 2
        assert command.err == f"mecbounce: FOLDER: {tmp_path} has none of bounce.mmd, init_checks.mmd\n"
        assert command("diagram", tmp_path) == 2
        assert command.err == "mecbounce: FOLDER: it needs --check\n"
        assert command("diagram", "--taken") == 2
        assert "--state" in command.err


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("45", 45), ("1.5s", 1.5), ("2h", 7200)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("words", [("--version",), ("-h",), ("plan", "-h")])
def test_version_and_help_are_told_as_anywhere(command: Command, words: tuple[str, ...]) -> None:
    assert command(*words) == 0
    assert command.out.startswith("mecbounce 0." if words == ("--version",) else "Usage: mecbounce ")


def test_ctrl_c_outside_of_a_bounce_is_told(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "plan", interrupted)
    assert command("plan", "mec-0") == 1
    assert command.err == "mecbounce: Interrupted.\n"


def test_what_a_demo_says_to_try_next_can_hit_no_other_cluster(command: Command) -> None:
    """Its commands name its own kubeconfig, which has gone with it."""
    assert command("demo", "--scenario", "down") == 3
    [shown] = [line for line in command.out.splitlines() if "kubectl get" in line]
    assert not Path(shlex.split(shown)[-1]).exists()
    assert "python -m mecbounce.sandbox --scenario down" in command.out


class TestActingAs:
    """Whom a kubeconfig, or the command, impersonates: the bounce has that user's rights and no other's."""

    @pytest.fixture(autouse=True)
    def nobody(self, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        sandbox.forbid("*", "*", user="nobody")

    def test_as_nobody_of_the_kubeconfig_nothing_is_deleted(
        self, command: Command, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        """So seen on 0.2.0: the pod was deleted as the token's own user."""
        content = json.loads(sandbox.kubeconfig.read_text())
        content["users"][0]["user"]["as"] = "nobody"
        (tmp_path / "kubeconfig").write_text(json.dumps(content))
        before = uid(sandbox)
        assert command("run", "mec-0", "--node", NODE, "--kubeconfig", tmp_path / "kubeconfig") == 3
        assert 'User "nobody" cannot get resource "expressnodes"' in command.out
        assert (uid(sandbox), deletes(sandbox)) == (before, 0)
        assert {one.user for one in sandbox.requests} == {"nobody"}

    @pytest.mark.parametrize("verb", ["run", "plan"])
    def test_as_nobody_of_the_command_nothing_is_deleted(self, command: Command, sandbox: Sandbox, verb: str) -> None:
        assert command(verb, "mec-0", "--as", "nobody", "--as-group", "a", "--as-group", "b", "--as-uid", "u") == 3
        assert deletes(sandbox) == 0
        acted = {(one.user, one.groups, one.uid) for one in sandbox.requests}
        assert acted == {("nobody", ("a", "b"), "u")}

    def test_the_next_command_acts_as_the_same_user(self, command: Command) -> None:
        for verb, status in (("run", 3), ("status", 0)):
            assert command(verb, "mec-0", "--as", "nobody", "--as-group", "a") == status
            assert "kubectl auth can-i --list -n default --as nobody --as-group a\n" in command.out

    def test_it_is_the_same_bounce_whoever_acts(self, command: Command, sandbox: Sandbox) -> None:
        """Its record is found by another user: it is about the pod."""
        command("run", "mec-0", "--as", "nobody")
        assert command("status", "mec-0", "-o", "json") == 0
        assert json.loads(command.out)["state"] == "FAILED"
        assert sandbox.requests

    @pytest.mark.parametrize("option", ["--as-group", "--as-uid"])
    def test_a_group_or_a_uid_needs_a_user(self, command: Command, sandbox: Sandbox, option: str) -> None:
        assert command("run", "mec-0", option, "a") == 2
        assert re.search(r"as-(groups|uid) needs `as` \(--as\), the user to act as", command.err)
        assert sandbox.requests == ()

    def test_a_field_that_is_not_known_ends_with_2(self, command: Command, sandbox: Sandbox, tmp_path: Path) -> None:
        content = json.loads(sandbox.kubeconfig.read_text())
        content["users"][0]["user"]["impersonate"] = "nobody"
        (tmp_path / "kubeconfig").write_text(json.dumps(content))
        assert command("run", "mec-0", "--kubeconfig", tmp_path / "kubeconfig") == 2
        assert "impersonate is not a known field" in command.err
        assert command.err.count("\n") == 1
        assert sandbox.requests == ()


@pytest.mark.parametrize(
    ("where", "found"),
    [("nowhere", ("in-cluster", "mec")), *[(where, ("sandbox", "default")) for where in ("option", "env", "home")]],
)
def test_in_a_pod_its_own_account_is_used_unless_there_is_a_kubeconfig(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, found: tuple[str, str]
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    inside = SimpleNamespace(context="in-cluster", namespace="mec")
    monkeypatch.setattr(KubernetesCluster, "in_cluster", lambda **_: inside)
    monkeypatch.setenv("KUBECONFIG", str(sandbox.kubeconfig) if where == "env" else "")
    monkeypatch.setenv("HOME", str(tmp_path))
    if where == "home":
        (tmp_path / ".kube").mkdir()
        (tmp_path / ".kube/config").write_text(sandbox.kubeconfig.read_text())
    cluster: Any = cluster_of(sandbox.kubeconfig if where == "option" else None, None)
    assert (cluster.context, cluster.namespace) == found
    assert (cluster is inside) is (where == "nowhere")


def test_the_context_that_is_named_is_the_one_that_is_asked(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kubectl config use-context` in another shell may come while the kubeconfig is read."""
    content = kubeconfig(sandbox.url, {})
    content["clusters"] += [{"name": "there", "cluster": {"server": "http://127.0.0.1:1"}}]
    content["contexts"] += [{"name": "there", "context": {"cluster": "there", "user": "me"}}]
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(content))
    read = Kubeconfig._read

    def then_another_is_current(read_now: Kubeconfig) -> None:
        read(read_now)
        path.write_text(json.dumps(content | {"current-context": "there"}))

    monkeypatch.setattr(Kubeconfig, "_read", then_another_is_current)
    cluster = cluster_of(path, None)
    assert (cluster.context, cluster.server) == ("it", sandbox.url)


def test_a_demo_that_is_interrupted_does_not_say_that_it_can_be_run_again() -> None:
    """Its cluster has gone, and its record."""
    arguments = [sys.executable, "-m", "mecbounce", "demo"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        while "AWAIT_TERMINATION" not in running.stdout.readline():
            assert running.poll() is None
        running.send_signal(signal.SIGTERM)
        assert running.wait(PATIENCE) == 75
        assert "The embedded cluster has stopped, and its records are gone." in running.stdout.read()
        assert running.stderr.read() == ""
