"""A bounce for a runner: save before act, wait, resume, stop, tell."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import NODE, NOW, REPLICA_SET, STARTUP_PROBE, later, pod, request, stamp
from pytest_mock import MockerFixture
from structlog.testing import capture_logs

from mecbounce.advancing import advance
from mecbounce.errors import (
    AccessDenied,
    ClusterError,
    ForeignRecord,
    Interrupted,
    RecordError,
    RecordNotSaved,
    Refused,
    Superseded,
    Unreachable,
)
from mecbounce.kubernetes_api.objects import Pod, PodEvent
from mecbounce.machine import Event, State
from mecbounce.progress import LastLook, Progress
from mecbounce.record import BounceRecord, Deletion, Notice, Protection, Runner
from mecbounce.request import Timeouts
from mecbounce.result import BounceResult
from mecbounce.steps import LOOK_EVERY
from mecbounce.stores import FileStore, MappingStore
from mecbounce.task import BounceTask

from .workbench import CATCHING_UP, LOST, NEW, OLD, NeverAsked, SlowSwitch, Workbench, left_in_delete_pod, to_state


class TestForget:
    def test_then_the_same_task_begins_anew(self) -> None:
        bench = Workbench()
        bench.cluster.resource = None
        task = bench.task()
        assert (task.perform().event, task.perform().reported_again) == (Event.NODE_MISSING, True)
        task.forget()
        bench.replaced().cluster.resource = {"spec": {"state": "up"}}
        result = task.perform()
        assert (result.state, result.reported_again) == (State.DONE, False)
        task.forget()
        task.forget()  # there is nothing left
        assert bench.state == {}

    def test_it_does_not_take_a_corrected_node_for_another_bounce(self) -> None:
        bench = Workbench()
        bench.cluster.resource = None
        bench.task(request=request(node=NODE.model_copy(update={"name": "mec-typo"}))).perform()
        with pytest.raises(ForeignRecord):
            bench.task().perform()
        bench.task().forget()
        assert bench.state == {}

    def test_the_bounce_of_another_pod_stays(self) -> None:
        bench = Workbench()
        bench.cluster.resource = None
        bench.task().perform()
        with pytest.raises(ForeignRecord, match=r"request\.pod"):
            bench.task(request=request(pod="mec-1")).forget()
        assert bench.record.finished

    def test_one_that_has_not_ended_stays_and_can_be_resumed(self) -> None:
        bench = Workbench().replaced()
        with pytest.raises(Interrupted):
            bench.task(stop=lambda: "AWAIT_TERMINATION" in bench.saved).perform()
        task = bench.task()
        with pytest.raises(RecordError, match="the bounce of mec-0 has not ended, it is in AWAIT_TERMINATION"):
            task.forget()
        assert task.perform().state is State.DONE
        assert bench.cluster.deleted == ["uid-1"]


class TestPerform:
    def test_it_goes_on_with_a_record_that_was_loaded_only_if_the_store_still_holds_it(self) -> None:
        bench = Workbench().replaced()
        loaded = to_state(bench, State.DELETE_POD)
        bench.state["mecbounce"] = loaded.model_copy(update={"revision": loaded.revision + 1}).model_dump(mode="json")
        with pytest.raises(Superseded):
            bench.task().go_on(loaded)
        bench.state["mecbounce"] = loaded.model_dump(mode="json")
        assert bench.task().go_on(loaded).state is State.DONE
        assert bench.cluster.deleted == [OLD.uid]

    def test_bounces_a_pod_to_done(self) -> None:
        bench = Workbench().replaced()
        result = bench.task().perform()
        assert (result.state, result.event) == (State.DONE, Event.POD_STARTED)
        assert result.old_pod is not None
        assert result.new_pod is not None
        assert (result.old_pod.uid, result.new_pod.uid) == ("uid-1", "uid-2")
        assert bench.cluster.deleted == ["uid-1"]
        assert result.durations == {
            State.INIT_CHECKS: 0,
            State.DISABLE_PROTECTION: 0,
            State.DELETE_POD: 0,
            State.AWAIT_TERMINATION: 3,
            State.AWAIT_READY: 2,
        }

    def test_every_state_is_saved_before_its_handler_runs(self) -> None:
        bench = Workbench().replaced()
        seen: list[tuple[str, str]] = []
        original = bench.cluster._called

        def spy(call: str) -> None:
            seen.append((call.partition(" ")[0], bench.saved[-1]))
            original(call)

        bench.cluster._called = spy  # type: ignore[method-assign]
        bench.task().perform()
        assert list(dict.fromkeys(seen)) == [
            ("node", "INIT_CHECKS"),
            ("pods", "INIT_CHECKS"),
            ("pods", "DELETE_POD"),
            ("delete", "DELETE_POD"),
            ("pods", "AWAIT_TERMINATION"),
            ("pods", "AWAIT_READY"),
        ]

    def test_a_change_is_acted_on_as_it_comes_not_at_the_next_look(self) -> None:
        bench = Workbench().replaced(gone_at=0.1, back_at=0.2)
        bench.task().perform()
        assert bench.clock.now == later(0.2)

    def test_its_end_is_still_to_be_told_though_an_older_version_began_it(self) -> None:
        bench = Workbench().replaced()
        begun = to_state(bench, State.DISABLE_PROTECTION).model_dump(mode="json")
        del begun["untold"]
        bench.state["mecbounce"] = begun | {"schema_version": 2}
        assert bench.task().perform().state is State.DONE
        assert bench.record.untold

    def test_a_finished_record_is_reported_again_and_nothing_is_asked(self) -> None:
        bench = Workbench().replaced()
        first = bench.task().perform()
        calls = list(bench.cluster.calls)
        again = bench.task().perform()
        assert (first.reported_again, again.reported_again) == (False, True)
        assert again == first.model_copy(update={"reported_again": True})
        assert bench.cluster.calls == calls

    def test_one_that_was_resumed_is_not_only_reported_again(self) -> None:
        bench = Workbench().replaced()
        with pytest.raises(Interrupted):
            bench.task(stop=lambda: "AWAIT_TERMINATION" in bench.saved).perform()
        assert not bench.task().perform().reported_again

    def test_a_failure_is_a_result_not_an_exception(self) -> None:
        bench = Workbench()
        bench.cluster.resource = None
        assert bench.task().perform().event is Event.NODE_MISSING

    def test_notices_and_records_are_told_once_each(self) -> None:
        bench = Workbench().replaced()
        bench.cluster.resource = CATCHING_UP
        told: list[int] = []
        task = bench.task(observe=lambda record: told.append(record.revision))
        result = task.perform()
        assert bench.codes() == ["node_catching_up"]
        assert [notice.code for notice in result.notices] == ["node_catching_up"]
        assert told == sorted(set(told))

    def test_begun_stepping_or_resumed_what_is_told_was_saved_before(self) -> None:
        bench = Workbench().replaced()
        bench.cluster.resource = CATCHING_UP
        told: list[BounceRecord | Notice] = []
        stored: list[BounceRecord | Notice] = []

        def tell(one: BounceRecord | Notice) -> None:
            told.append(one)
            stored.append(bench.record if isinstance(one, BounceRecord) else bench.record.notices[-1])

        with pytest.raises(Interrupted):
            bench.task(notify=tell, observe=tell, stop=lambda: "DELETE_POD" in bench.saved[:-1]).perform()
        bench.task(notify=tell, observe=tell).perform()
        assert told == stored
        assert [one.code for one in told if isinstance(one, Notice)] == ["node_catching_up", "resumed"]

    def test_progress_is_told_after_each_look_and_each_save_and_nothing_is_asked_for_that(self) -> None:
        bench, told = Workbench().replaced(), list[Progress]()
        bench.cluster.keeps_time(3600)
        bench.task(progress=told.append).perform()
        undisturbed = Workbench().replaced()
        undisturbed.cluster.keeps_time(3600)
        undisturbed.task().perform()
        assert bench.cluster.calls == undisturbed.cluster.calls
        assert list(dict.fromkeys(one.state for one in told)) == [state for state in State if state is not State.FAILED]
        assert [(one.since, one.text) for one in told if one.state is State.AWAIT_TERMINATION] == [
            (NOW, ""),
            (NOW, "container app still running, 30 s left of the grace period"),
            (NOW, "container app still running, 28 s left of the grace period"),
        ]
        assert (told[0].look, told[-1].look) == (None, LastLook((NEW,), timedelta(hours=1)))

    def test_progress_is_told_last_of_a_save(self) -> None:
        """So it may use what `notify` and `observe` have kept of it."""
        bench, told = Workbench(), list[str]()
        bench.cluster.resource = CATCHING_UP
        kinds = {kind: lambda _, kind=kind: told.append(kind) for kind in ("notify", "observe", "progress")}
        bench.task(stop=lambda: "DISABLE_PROTECTION" in bench.saved, **kinds).perform()
        assert told[2:5] == ["notify", "observe", "progress"]

    def test_progress_is_told_of_what_was_saved(self) -> None:
        bench, told = Workbench().replaced(), list[tuple[State, State]]()
        bench.task(progress=lambda found: told.append((found.state, bench.record.state))).perform()
        assert [shown for shown, _ in told] == [saved for _, saved in told]

    def test_step_by_step_progress_has_the_pods_that_the_step_looked_at(self) -> None:
        bench, told = Workbench(), list[Progress]()
        while bench.task(progress=told.append).advance().record.state is not State.AWAIT_TERMINATION:
            pass
        bench.clock.now = later(2)
        bench.task(progress=told.append).advance()
        assert told[-1].text == "container app still running, 28 s left of the grace period"
        assert told[-1].look is not None
        assert [one.uid for one in told[-1].look.pods] == ["uid-1"]

    def test_progress_tells_of_an_api_server_that_gives_no_answer(self) -> None:
        bench, told = Workbench(), list[Progress]()
        bench.cluster.faults = [LOST]
        bench.task(progress=told.append).advance()
        assert (told[-1].code, told[-1].text) == (
            "trouble",
            "no usable answer from the API server for 0 s, 1 try: connection lost",
        )

    def test_a_bounce_that_has_ended_has_no_progress(self) -> None:
        bench, told = Workbench(), list[Progress]()
        bench.cluster.resource = None
        bench.task().perform()
        bench.task(progress=told.append).perform()
        assert told == []

    def test_what_0_2_0_told_of_each_look_is_still_told(self) -> None:
        bench, seen = Workbench().replaced(), list[tuple[Pod, ...]]()
        with pytest.warns(DeprecationWarning, match="use progress, and the pods in its `look`"):
            bench.task(saw=seen.append).perform()
        assert [pod.uid for pods in (seen[0], seen[-1]) for pod in pods] == ["uid-1", "uid-2"]

    def test_a_callback_that_raises_does_not_end_the_bounce_nor_show_what_the_runner_holds(self) -> None:
        bench = Workbench().replaced()

        class Runner:
            def __repr__(self) -> str:
                return "s3cret"

            def log(self, _: object) -> None:
                raise RuntimeError("s3cret")

        with capture_logs() as logs:
            assert bench.task(observe=Runner().log, progress=Runner().log).perform().state is State.DONE
        assert "bounce.callback_failed" in {entry["event"] for entry in logs}
        assert "s3cret" not in repr(logs)

    @pytest.mark.parametrize("callback", ["notify", "observe", "progress"])
    def test_a_callback_that_would_exit_is_logged_and_what_a_signal_raises_goes_through(self, callback: str) -> None:
        class AtOnce(BaseException):
            pass

        def raising(error: BaseException) -> Callable[[object], None]:
            def call(_: object) -> None:
                raise error

            return call

        def bounce(error: BaseException) -> BounceResult:
            switch = SimpleNamespace(disable=raising(ValueError("no")))  # which earns a notice
            return Workbench().replaced().task(protection=switch, **{callback: raising(error)}).perform()

        with capture_logs() as logs:
            assert bounce(SystemExit("s3cret")).state is State.DONE
        assert "SystemExit" in {entry.get("error") for entry in logs}
        assert "s3cret" not in repr(logs)
        for error in (KeyboardInterrupt(), AtOnce()):
            with pytest.raises(type(error)):
                bounce(error)

    def test_a_record_that_cannot_be_saved_stops_it_before_the_next_step(self) -> None:
        bench = Workbench()

        def full() -> None:
            bench.flush()
            if bench.saved[-1] == "DELETE_POD":
                raise OSError("disk full")

        task = BounceTask(request(), bench.cluster, MappingStore(bench.state, flush=full), clock=bench.clock)
        with pytest.raises(RecordNotSaved, match="disk full"):
            task.perform()
        assert bench.cluster.deleted == []
        assert bench.record.state is State.DISABLE_PROTECTION

    @pytest.mark.parametrize(
        ("field", "other"),
        [("namespace", "mec"), ("pod", "mec-1"), ("node", NODE.model_copy(update={"name": "mec-1"})), ("node", None)],
    )
    def test_the_record_of_another_pod_is_refused_and_stays(self, field: str, other: Any) -> None:
        bench = Workbench().replaced()
        bench.task().perform()
        before = dict(bench.state)
        with pytest.raises(ForeignRecord, match=rf"field request\.{field}:"):
            bench.task(request=request(**{field: other})).perform()
        assert bench.state == before

    def test_joining_a_deletion_it_finds_the_replacement_of_another_name_that_is_there_already(self) -> None:
        """A ReplicaSet makes it as soon as the old one is being deleted."""
        owner = {"kind": "ReplicaSet", "name": "web", "uid": "rs-1", "controller": True}
        made = {"owner": owner, "metadata": {"generateName": "web-"}, "container": {"startupProbe": STARTUP_PROBE}}
        old, twin = pod("web-a", "a", deleted=25, **made), pod("web-b", "b", **made)
        bench = Workbench(old, twin, pod("web-c", "c", created=-4, **made))
        bench.cluster.script = [(9, lambda: bench.cluster.gone("a"))]
        result = bench.task(request=request(pod="web-a", node=None)).perform()
        assert result.new_pod is not None
        assert (result.event, result.new_pod.uid, bench.cluster.deleted) == (Event.POD_STARTED, "c", [])

    def test_a_change_does_not_end_a_pause_early(self) -> None:
        bench = Workbench()
        bench.state["mecbounce"] = to_state(bench, State.AWAIT_TERMINATION).model_dump(mode="json")
        bench.replaced(gone_at=0.001, back_at=0.002)
        bench.cluster.faults = [LOST]
        bench.task().perform()
        assert bench.clock.now >= later(0.2)

    @pytest.mark.parametrize("seconds", [29, 30, 300])
    def test_a_protection_that_takes_its_time_does_not_age_it(self, seconds: float) -> None:
        bench = Workbench().replaced(400, 401)
        switch = SlowSwitch(bench.clock, seconds)
        assert bench.task(protection=switch).perform().state is State.DONE
        assert (switch.asked, bench.codes()) == (["uid-1"], [])
        assert bench.record.durations[State.DISABLE_PROTECTION] == seconds


class TestRunner:
    def test_each_save_names_who_made_it_and_when(self) -> None:
        bench = Workbench().replaced()
        bench.task(runner="ci-job-4711").perform()
        assert bench.record.runner == Runner(who="ci-job-4711", process=os.getpid(), saved_at=bench.clock.now)

    def test_its_name_costs_no_save(self) -> None:
        bench = Workbench().replaced()
        bench.task().perform()
        assert bench.saved == [*(state for state in State if state is not State.FAILED)]

    @pytest.mark.parametrize("name", ["ci", None])
    def test_without_a_name_it_is_the_user_and_the_host(self, name: str | None, mocker: MockerFixture) -> None:
        """In a container the user often has none."""
        mocker.patch(
            "getpass.getuser", **({"return_value": name} if name else {"side_effect": KeyError("uid not found")})
        )
        bench = Workbench()
        bench.task().advance()
        assert bench.record.runner is not None
        assert bench.record.runner.who == f"{name or os.getuid()}@{os.uname().nodename}"

    def test_a_name_that_could_not_be_shown_is_made_safe(self) -> None:
        bench = Workbench()
        bench.task(runner="ci\x1b[2J\udcff\n7").advance()
        assert bench.record.runner is not None
        assert bench.record.runner.who == "ci�[2J� 7"

    def test_a_runner_that_only_waits_notices_within_one_look_that_another_one_has_taken_over(
        self, tmp_path: Path
    ) -> None:
        bench, store = Workbench(), FileStore(tmp_path / "r.json")

        def take_over() -> None:
            record = store.load()
            assert record is not None
            FileStore(store.path).save(record.changed(runner=Runner(who="b", process=1, saved_at=bench.clock.now)))

        bench.cluster.script = [(60, take_over)]
        with pytest.raises(Superseded, match=r"Another runner \(b, process 1\)"):
            BounceTask(request(), bench.cluster, store, clock=bench.clock).perform()
        assert 60 <= (bench.clock.now - NOW).total_seconds() <= 60 + LOOK_EVERY + 1

    def test_perform_holds_a_store_that_can_show_its_runner_alive(self, tmp_path: Path) -> None:
        bench, store, held = Workbench().replaced(), FileStore(tmp_path / "r.json"), list[bool]()
        task = BounceTask(
            request(),
            bench.cluster,
            store,
            clock=bench.clock,
            observe=lambda _: held.append(FileStore(store.path).held()),
        )
        task.perform()
        assert held == [True] * 5 + [False]


class TestResume:
    def test_without_the_protection_that_it_began_with_it_says_so_before_it_deletes(self) -> None:
        bench = Workbench().replaced()
        with pytest.raises(SystemExit):  # right after the first save
            bench.task(protection=SlowSwitch(bench.clock), stop=partial(sys.exit, "killed")).perform()
        assert bench.record.state is State.INIT_CHECKS
        assert bench.task().perform().state is State.DONE
        assert bench.codes() == ["resumed", "protection_missing"]

    @pytest.mark.parametrize("state", [State.DISABLE_PROTECTION, State.DELETE_POD, State.AWAIT_TERMINATION])
    def test_goes_on_from_the_saved_state(self, state: State) -> None:
        bench = Workbench()
        bench.state["mecbounce"] = to_state(bench, state).model_dump(mode="json")
        bench.replaced()
        assert bench.task().perform().state is State.DONE
        assert bench.cluster.deleted == ["uid-1"]
        assert bench.codes() == ["resumed"]

    @pytest.mark.parametrize("state", [State.INIT_CHECKS, State.DELETE_POD, State.AWAIT_TERMINATION, State.DONE])
    def test_of_another_incarnation_than_the_one_asked_for_it_does_nothing(self, state: State) -> None:
        """Whoever names a UID must not have another pod deleted, nor another one's end reported."""
        bench = Workbench().replaced()
        if state is State.DONE:
            bench.task().perform()
        else:
            bench.state["mecbounce"] = to_state(bench, state).model_dump(mode="json")
        before, deleted = dict(bench.state), list(bench.cluster.deleted)
        with pytest.raises(ForeignRecord, match=r"request\.pod_uid: the record is of .*, this bounce is of uid-9"):
            bench.task(request=request(pod_uid="uid-9")).perform()
        assert (bench.state, bench.cluster.deleted) == (before, deleted)

    def test_of_the_incarnation_that_is_asked_for_it_goes_on(self) -> None:
        bench = Workbench()
        bench.state["mecbounce"] = to_state(bench, State.DELETE_POD).model_dump(mode="json")
        assert bench.replaced().task(request=request(pod_uid="uid-1")).perform().state is State.DONE

    @pytest.mark.parametrize("state", [State.INIT_CHECKS, State.DELETE_POD, State.AWAIT_TERMINATION])
    def test_however_late_the_cluster_gets_its_time_to_answer(self, state: State) -> None:
        """Trouble from before the interruption counts for nothing, nor does one failed look after a deadline."""
        bench = Workbench()
        record = to_state(bench, state)
        bench.cluster.faults = [LOST]
        record = advance(record, bench.cluster, NOW).record
        assert record.trouble is not None
        bench.state["mecbounce"] = record.model_dump(mode="json")
        bench.clock.now += timedelta(hours=2)
        bench.replaced(7203, 7205)
        if state is State.AWAIT_TERMINATION:
            bench.cluster.present = {"uid-2": NEW}
        bench.cluster.faults = [LOST]
        assert bench.task().perform().state is State.DONE

    def test_its_times_are_those_of_the_clock_that_was_given(self) -> None:
        bench = Workbench()
        for at in (5, 60):
            bench.clock.now = later(at)
            with pytest.raises(Interrupted):
                bench.task(stop=lambda: "DELETE_POD" in bench.saved[:-1]).perform()
        assert (bench.record.path[0].at, bench.record.notices[-1].at) == (later(5), later(60))

    def test_is_told_each_time_and_remembered_once(self) -> None:
        bench = Workbench()
        bench.state["mecbounce"] = to_state(bench, State.AWAIT_TERMINATION).model_dump(mode="json")
        for _ in range(3):
            with pytest.raises(Interrupted):
                bench.task(stop=lambda: True).perform()
        assert bench.codes() == ["resumed"] * 3
        assert [notice.code for notice in bench.record.notices] == ["resumed"]

    def test_says_that_the_options_it_began_with_hold(self) -> None:
        bench = Workbench()
        bench.state["mecbounce"] = to_state(bench, State.AWAIT_TERMINATION).model_dump(mode="json")
        bench.cluster.script = [
            (3, lambda: bench.cluster.gone("uid-1")),
            (99, lambda: bench.cluster.add(NEW)),
        ]
        assert bench.task(request=request(timeouts={"ready": 5})).perform().state is State.DONE
        assert "with the options that it began with" in bench.notices[0].message

    def test_other_values_in_the_node_reference_do_not_make_it_another_bounce(self) -> None:
        bench = Workbench()
        bench.state["mecbounce"] = to_state(bench, State.AWAIT_TERMINATION).model_dump(mode="json")
        node = NODE.model_copy(update={"rebuilding_values": frozenset({"resync"})})
        assert bench.replaced().task(request=request(node=node)).perform().state is State.DONE

    def test_a_resumed_bounce_that_finds_the_pod_back_is_done_however_late(self) -> None:
        bench = Workbench()
        bench.state["mecbounce"] = to_state(bench, State.AWAIT_TERMINATION).model_dump(mode="json")
        bench.cluster.present = {"uid-2": NEW}
        bench.clock.now += timedelta(days=3)
        assert bench.task().perform().event is Event.POD_STARTED

    def test_a_delete_whose_answer_was_lost_is_not_sent_twice(self) -> None:
        bench = Workbench()
        record = to_state(bench, State.DELETE_POD)
        advance(record, bench.cluster, bench.clock.now)  # killed before this step was saved
        bench.state["mecbounce"] = record.model_dump(mode="json")
        assert bench.replaced().task().perform().state is State.DONE
        assert bench.cluster.deleted == ["uid-1"]

    def test_the_runner_that_was_taken_over_is_superseded_and_acts_no_more(self) -> None:
        bench = Workbench().replaced()
        second_runs: list[BounceResult] = []

        def taken_over(record: BounceRecord) -> None:
            if record.state is State.DELETE_POD and not second_runs:
                second_runs.append(bench.task().perform())

        with pytest.raises(Superseded):
            bench.task(observe=taken_over).perform()
        assert second_runs[0].state is State.DONE
        assert bench.cluster.deleted == ["uid-1"]


class TestWaitingOn:
    """A bounce that keeps waiting for the replacement that another one has waited for in vain."""

    SOON = request(node=None, timeouts=Timeouts(ready=10))

    def failed(self, bench: Workbench, **options: Any) -> BounceRecord:
        bench.cluster.script = [(1, lambda: bench.cluster.gone("uid-1"))]
        assert bench.task(**{"request": self.SOON} | options).perform().event is Event.NOT_RECREATED
        return bench.record

    def test_takes_the_place_of_the_ended_record_keeps_its_pin_and_deletes_nothing(self) -> None:
        bench = Workbench()
        ended = self.failed(bench)
        bench.cluster.script = [(15, lambda: bench.cluster.add(NEW))]
        result = bench.task(request=self.SOON).go_on(None, waits_on=ended)
        assert (result.state, bench.cluster.deleted) == (State.DONE, ["uid-1"])
        record = bench.record
        assert (record.waits_on, record.old_pod, record.request.pod_uid) == (ended.bounce_id, ended.old_pod, "uid-1")
        assert [entry.state for entry in record.path] == [State.INIT_CHECKS, State.AWAIT_READY, State.DONE]
        assert [notice.code for notice in result.notices] == ["waits_on"]

    def test_a_generated_name_is_found_by_its_controller_and_never_mixed_up_with_its_peers(self) -> None:
        generated = {"owner": REPLICA_SET, "metadata": {"generateName": "mec-7d9f-"}}
        old, peer = pod("mec-0", "uid-1", **generated), pod("mec-7d9f-b", "peer", **generated)
        bench = Workbench(old, peer)
        ended = self.failed(bench)
        bench.cluster.script = [(15, lambda: bench.cluster.add(pod("mec-7d9f-c", "uid-2", created=5, **generated)))]
        result = bench.task(request=self.SOON).go_on(None, waits_on=ended)
        assert result.new_pod is not None
        assert (result.state, result.new_pod.uid, bench.cluster.deleted) == (State.DONE, "uid-2", ["uid-1"])

    def test_it_fails_again_with_the_pin_unchanged_and_can_be_waited_on_once_more(self) -> None:
        bench = Workbench()
        first = self.failed(bench)
        for _ in range(2):
            assert bench.task(request=self.SOON).go_on(None, waits_on=bench.record).event is Event.NOT_RECREATED
            assert (bench.record.old_pod, bench.record.deletion) == (first.old_pod, Deletion.ALREADY)
        assert bench.cluster.deleted == ["uid-1"]

    def test_the_old_pod_that_still_terminates_keeps_the_pin_of_before_its_deletion(self) -> None:
        generated = {"owner": REPLICA_SET, "metadata": {"generateName": "mec-7d9f-"}}
        old, peer = pod("mec-0", "uid-1", **generated), pod("mec-7d9f-b", "peer", **generated)
        bench = Workbench(old, peer)
        asked = request(node=None, timeouts=Timeouts(termination=10, ready=10))
        assert bench.task(request=asked).perform().event is Event.TERMINATION_TIMEOUT
        ended = bench.record
        bench.cluster.gone("peer")  # a new pod may replace this one
        bench.cluster.script = [(12, lambda: bench.cluster.gone("uid-1"))]
        result = bench.task(request=asked).go_on(None, waits_on=ended)
        assert [entry.state for entry in bench.record.path][1:3] == [State.AWAIT_TERMINATION, State.AWAIT_READY]
        assert (result.event, bench.record.old_pod) == (Event.NOT_RECREATED, ended.old_pod)
        assert bench.cluster.deleted == ["uid-1"]

    def test_the_old_pod_that_runs_after_all_is_the_only_one_that_it_can_delete_and_it_says_so(self) -> None:
        bench = Workbench()
        ended = self.failed(bench)
        bench.cluster.add(OLD)
        bench.task(request=self.SOON).go_on(None, waits_on=ended)
        told = [notice.message for notice in bench.notices if notice.code == "exists_after_all"]
        assert told == ["Pod mec-0 (uid-1) exists again. This bounce deletes that incarnation, and no other."]
        assert bench.cluster.deleted == ["uid-1", "uid-1"]

    def test_a_refusal_claims_nothing_of_a_pod_that_ran_on(self) -> None:
        bench = Workbench()
        ended = self.failed(bench, request=request(timeouts=Timeouts(ready=10)))
        bench.cluster.resource = {"spec": {"state": "down"}}
        result = bench.task().go_on(None, waits_on=ended)
        assert result.event is Event.NODE_DOWN
        assert result.message.endswith("Nothing was changed: this run kept waiting for the replacement of pod mec-0.")

    def test_our_own_event_about_the_last_failure_is_no_evidence(self) -> None:
        """So seen: a second failure was called creation_failed, by the Event of the first."""
        bench = Workbench()
        ended = self.failed(bench)
        about = {
            "type": "Warning",
            "reason": "BounceFailed",
            "message": "not_recreated: ...",
            "lastTimestamp": stamp(9),
        }
        bench.cluster.told = (PodEvent.model_validate({**about, "source": {"component": "mecbounce"}}),)
        assert bench.task(request=self.SOON).go_on(None, waits_on=ended).diagnosis == ended.diagnosis
        bench.cluster.told = (PodEvent.model_validate({**about, "source": {"component": "another"}}),)
        result = bench.task(request=self.SOON).go_on(None, waits_on=bench.record)
        assert result.diagnosis is not None
        assert result.diagnosis.code == "creation_failed"

    def test_the_task_keeps_waiting_for_what_its_record_left_as_often_as_it_is_asked(self) -> None:
        bench = Workbench()
        ended = self.failed(bench)
        for _ in range(2):
            assert bench.task(request=self.SOON).keep_waiting().event is Event.NOT_RECREATED
        assert (bench.record.old_pod, bench.record.request.pod_uid) == (ended.old_pod, "uid-1")
        bench.cluster.add(NEW)
        assert bench.task(request=self.SOON).keep_waiting().state is State.DONE
        assert bench.cluster.deleted == ["uid-1"]

    def test_it_resumes_its_own_waiting(self) -> None:
        bench = Workbench()
        self.failed(bench)
        saves: list[BounceRecord] = []
        waits = bench.task(request=self.SOON, observe=saves.append, stop=lambda: len(saves) > 1)
        with pytest.raises(Interrupted):
            waits.keep_waiting()
        assert bench.record.state is State.AWAIT_READY
        bench.cluster.add(NEW)
        assert bench.task(request=self.SOON).keep_waiting().state is State.DONE
        assert [entry.state for entry in bench.record.path].count(State.INIT_CHECKS) == 1

    def test_it_begins_no_bounce_where_nothing_is_recorded(self) -> None:
        """So seen: go_on(None, waits_on=store.load()) after forget() deleted the late replacement."""
        bench = Workbench()
        self.failed(bench)
        bench.task(request=self.SOON).forget()
        bench.cluster.add(NEW)
        with pytest.raises(RecordError, match=r"there is no record of a bounce, so there is no replacement to keep"):
            bench.task(request=self.SOON).keep_waiting()
        assert (bench.state, bench.cluster.deleted) == ({}, ["uid-1"])

    def test_nor_where_the_bounce_has_not_ended_is_done_or_deleted_nothing(self) -> None:
        done, refused, unfinished = Workbench().replaced(), Workbench(), Workbench()
        done.task().perform()
        refused.cluster.resource = None
        refused.task().perform()
        left_in_delete_pod(unfinished)
        for bench, why in (
            (done, "the bounce ended by pod_started: its replacement is back. There is nothing to keep waiting for."),
            (refused, "the bounce ended by node_missing: it left no replacement that may come late."),
            (unfinished, "the bounce has not ended, it stands in DELETE_POD: perform() resumes it."),
        ):
            before, deleted = dict(bench.state), list(bench.cluster.deleted)
            with pytest.raises(RecordError, match=re.escape(why)):
                bench.task().keep_waiting()
            assert (bench.state, bench.cluster.deleted) == (before, deleted)

    def test_of_two_runners_one_waits_on_and_the_other_is_superseded(self) -> None:
        bench = Workbench()
        ended = self.failed(bench)
        bench.task(request=self.SOON).go_on(None, waits_on=ended)
        with pytest.raises(Superseded):
            bench.task(request=self.SOON).go_on(None, waits_on=ended)


class TestBounds:
    def test_a_replacement_that_is_replaced_again_and_again_leaves_the_record_small(self) -> None:
        """Of notices of one code the first and the last are kept; what nothing hangs on is saved once a second.

        Progress shows each of them.
        """
        bench, shown = Workbench(), list[Progress]()
        bench.cluster.script = [(3, lambda: bench.cluster.gone("uid-1"))]

        def again(number: int) -> Callable[[], None]:
            def act() -> None:
                bench.cluster.present.pop(f"new-{number - 1}", None)
                bench.cluster.add(pod(uid=f"new-{number}", ready=False))

            return act

        bench.cluster.script += [(4 + number / 50, again(number)) for number in range(500)]
        bench.cluster.script += [
            (20, lambda: bench.cluster.add(NEW)),
            (20, lambda: bench.cluster.gone("new-499")),
        ]
        assert bench.task(progress=shown.append).perform().state is State.DONE
        told = [notice for notice in bench.record.notices if notice.code == "replaced_again"]
        assert len(told) == 2
        assert told[0].count == 1
        assert told[1].count > 5
        assert len(bench.saved) < 40
        assert len(json.dumps(bench.state)) < 10_000
        assert {f"new-{number}" for number in range(500)} <= {
            pod.uid for one in shown if one.look for pod in one.look.pods
        }

    def test_step_by_step_each_step_is_saved_also_within_a_second(self) -> None:
        """A runner that calls again makes a new task each time, or not."""
        bench = Workbench()
        bench.state["mecbounce"] = to_state(bench, State.AWAIT_TERMINATION).model_dump(mode="json")
        bench.cluster.gone("uid-1")
        task = bench.task()
        task.advance()
        for uid in ("new-1", "new-2", "new-3"):
            bench.cluster.add(pod(uid=uid, ready=False))
            assert task.advance().record == bench.record
            assert bench.record.new_pod is not None
            assert bench.record.new_pod.uid == uid
            bench.cluster.gone(uid)

    def test_each_notice_is_told_once_though_an_older_one_gives_way(self) -> None:
        bench = Workbench().replaced()
        bench.cluster.faults = [LOST, None, LOST, None, None, LOST]
        bench.task().perform()
        assert len(bench.notices) == len({(notice.code, notice.at) for notice in bench.notices})


class TestStop:
    def test_before_the_deletion_it_cancels(self) -> None:
        bench = Workbench()
        result = bench.task(stop=lambda: True).perform()
        assert (result.state, result.event) == (State.FAILED, Event.CANCELLED)
        assert bench.cluster.calls == []

    @staticmethod
    def in_delete_pod(bench: Workbench) -> bool:
        return bool(bench.state) and bench.record.state is State.DELETE_POD

    def test_right_before_the_delete_it_cancels_after_a_look_and_tells_of_the_protection(self) -> None:
        bench = Workbench()
        task = bench.task(stop=lambda: self.in_delete_pod(bench), protection=SimpleNamespace(disable=lambda _: None))
        result = task.perform()
        assert result.event is Event.CANCELLED
        assert "with its shutdown protection switched off" in result.message
        assert bench.cluster.deleted == []

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda bench: bench.cluster.present.clear(),
            lambda bench: bench.cluster.delete_pod("default", "mec-0", "uid-1"),
            lambda bench: bench.cluster.faults.append(LOST),
        ],
        ids=["gone", "terminating", "no look"],
    )
    def test_where_a_delete_may_have_been_sent_it_only_leaves(self, spoil: Callable[[Workbench], None]) -> None:
        bench = Workbench()

        def stop() -> bool:
            if not self.in_delete_pod(bench):
                return False
            spoil(bench)
            return True

        with pytest.raises(Interrupted):
            bench.task(stop=stop).perform()
        assert bench.record.state is State.DELETE_POD

    @pytest.mark.parametrize("how", ["perform", "advance"])
    def test_a_deletion_that_another_process_has_announced_is_never_called_off(self, how: str) -> None:
        """That process may be paused right before its DELETE; it would send it, once "nothing was deleted" was said."""
        bench = Workbench()
        bench.state["mecbounce"] = to_state(bench, State.DELETE_POD).model_dump(mode="json")
        with pytest.raises(Interrupted):
            getattr(bench.task(stop=lambda: True), how)()
        assert bench.record.state is State.DELETE_POD
        assert not any(call.startswith("delete") for call in bench.cluster.calls)

    @pytest.mark.parametrize("state", [State.INIT_CHECKS, State.DISABLE_PROTECTION, State.DELETE_POD])
    def test_nor_is_it_once_it_has_expired_and_the_checks_are_asked_again(self, state: State) -> None:
        bench = Workbench()
        left_in_delete_pod(bench)
        bench.clock.now += timedelta(days=3)
        with pytest.raises(Interrupted, match=f"left in {state}"):
            bench.task(stop=lambda: len(bench.record.path) > 3 and bench.record.state is state).perform()
        assert bench.cluster.deleted == []

    def test_its_own_that_has_expired_is_called_off_after_a_look(self) -> None:
        def expired() -> tuple[Workbench, BounceTask]:
            bench = Workbench()
            task = bench.task(stop=lambda: len(bench.record.path) > 3 if bench.state else False)
            while not bench.state or bench.record.state is not State.DELETE_POD:
                task.advance()
            bench.clock.now += timedelta(days=3)
            assert task.advance().record.path[-1].event is Event.INTENT_EXPIRED
            return bench, task

        bench, task = expired()
        assert task.perform().event is Event.CANCELLED
        bench, task = expired()
        bench.cluster.present.clear()
        with pytest.raises(Interrupted):
            task.perform()

    @pytest.mark.parametrize("how", ["perform", "advance"])
    def test_while_another_thread_may_be_sending_the_delete_it_only_leaves(
        self, mocker: MockerFixture, how: str
    ) -> None:
        bench, stop = Workbench(), threading.Event()
        task = bench.task(stop=stop.is_set)
        while not bench.state or bench.record.state is not State.DELETE_POD:
            task.advance()
        sending, go_on, answered = threading.Event(), threading.Event(), bench.cluster.delete_pod

        def hangs(*args: Any) -> None:
            sending.set()
            assert go_on.wait(10)
            answered(*args)

        mocker.patch.object(bench.cluster, "delete_pod", side_effect=hangs)

        def sends() -> None:
            with contextlib.suppress(Superseded):
                task.advance()

        other = threading.Thread(target=sends, daemon=True)
        other.start()
        assert sending.wait(10)
        stop.set()
        with pytest.raises(Interrupted, match="left in DELETE_POD"):
            getattr(task, how)()
        go_on.set()
        other.join(10)
        assert bench.cluster.deleted == ["uid-1"]

    def test_a_forked_process_only_leaves_what_its_parent_has_announced(self, mocker: MockerFixture) -> None:
        bench, stop = Workbench(), threading.Event()
        task = bench.task(stop=stop.is_set)
        while not bench.state or bench.record.state is not State.DELETE_POD:
            task.advance()
        stop.set()
        mocker.patch("os.getpid", return_value=os.getpid() + 1)
        with pytest.raises(Interrupted):
            task.advance()
        mocker.stopall()
        assert task.advance().record.path[-1].event is Event.CANCELLED

    @pytest.mark.parametrize("call", ["advance", "perform"])
    def test_once_another_runner_has_taken_it_over_whoever_announced_the_delete_only_leaves(
        self, call: str, mocker: MockerFixture
    ) -> None:
        """The other runner may still be paused right before its DELETE."""
        bench, stop = Workbench(), threading.Event()
        first, second = bench.task(stop=stop.is_set), bench.task()
        while not bench.state or bench.record.state is not State.DELETE_POD:
            first.advance()
        mocker.patch.object(bench.cluster, "delete_pod", side_effect=KeyboardInterrupt)  # paused right before it
        with pytest.raises(KeyboardInterrupt):
            second.advance()
        stop.set()
        with pytest.raises(Interrupted, match="left in DELETE_POD"):
            getattr(first, call)()

    @pytest.mark.parametrize("how", ["perform", "advance"])
    def test_whoever_has_announced_a_deletion_finds_itself_superseded_before_it_is_carried_out(
        self, mocker: MockerFixture, how: str
    ) -> None:
        bench = Workbench()
        paused = to_state(bench, State.DELETE_POD)
        bench.state["mecbounce"] = paused.model_dump(mode="json")
        seen: list[int] = []
        mocker.patch.object(bench.cluster, "delete_pod", side_effect=lambda *_: seen.append(bench.record.revision))
        if how == "advance":
            bench.task().advance()
        else:
            with pytest.raises(Interrupted):
                bench.task(stop=lambda: bench.record.state is State.AWAIT_TERMINATION).perform()
        assert [revision > paused.revision for revision in seen] == [True]

    @pytest.mark.parametrize("before", [True, False])
    @pytest.mark.parametrize("now", [True, False])
    @pytest.mark.parametrize("how", ["perform", "advance"])
    def test_stopped_after_a_protection_that_nobody_saw_the_end_of_it_says_perhaps(
        self, how: str, *, before: bool, now: bool
    ) -> None:
        """A runner was killed between switching the protection off and saving that; the next one may have none."""
        bench = Workbench()
        protection = SimpleNamespace(disable=lambda _: None)
        record = to_state(bench, State.DISABLE_PROTECTION, protection=protection if before else None)
        bench.state["mecbounce"] = record.model_dump(mode="json")
        getattr(bench.task(stop=lambda: True, protection=protection if now else None), how)()
        assert ("perhaps switched off" in bench.record.message) is before

    @pytest.mark.parametrize("how", ["perform", "advance"])
    def test_refused_after_a_protection_that_nobody_saw_the_end_of_it_says_perhaps(self, how: str) -> None:
        bench = Workbench()
        switch = SlowSwitch(bench.clock)
        record = to_state(bench, State.DISABLE_PROTECTION, protection=switch)
        bench.state["mecbounce"] = record.model_dump(mode="json")
        bench.cluster.refuse_delete = Refused("webhook")
        while not bench.record.finished:
            getattr(bench.task(), how)()
        assert bench.record.protection is Protection.UNKNOWN
        assert "runs on, with its shutdown protection perhaps switched off" in bench.record.message

    @pytest.mark.parametrize("version", [1, 2, 3])
    @pytest.mark.parametrize("now", [None, AccessDenied("no")], ids=["none_now", "fails_now"])
    def test_resumed_from_any_versions_record_it_says_perhaps(self, version: int, now: Exception | None) -> None:
        """The next run has no protection, or one that fails: neither tells what came of the try before."""
        bench = Workbench()
        record = to_state(bench, State.DISABLE_PROTECTION, protection=SlowSwitch(bench.clock)).model_dump(mode="json")
        del record["untold"]
        bench.state["mecbounce"] = record | {"schema_version": version}
        bench.cluster.refuse_delete = Refused("webhook")
        protection = SlowSwitch(bench.clock, 0, now) if now else None
        result = bench.task(protection=protection).perform()
        assert result.protection is Protection.UNKNOWN
        assert "runs on, with its shutdown protection perhaps switched off" in result.message

    @pytest.mark.parametrize("fault", [LOST, AccessDenied("expired")], ids=["unreachable", "denied"])
    def test_given_up_after_a_protection_that_nobody_saw_the_end_of_it_says_perhaps(self, fault: ClusterError) -> None:
        bench = Workbench()
        switch = SlowSwitch(bench.clock)
        bench.state["mecbounce"] = to_state(bench, State.DISABLE_PROTECTION, protection=switch).model_dump(mode="json")
        bench.cluster.faults = [fault] * 99
        while not bench.record.finished:
            bench.clock.now += timedelta(seconds=10)
            bench.task(protection=switch).advance()
        assert (bench.record.protection, switch.asked) == (Protection.UNKNOWN, [])
        assert "with its shutdown protection perhaps switched off" in bench.record.message

    def test_a_protection_that_is_tried_again_on_the_way_round_is_in_doubt_too(self) -> None:
        bench = Workbench()
        record = to_state(bench, State.DELETE_POD, protection=SlowSwitch(bench.clock, 0, AccessDenied("no")))
        switch = SlowSwitch(bench.clock)
        for _ in range(2):
            record = advance(record, bench.cluster, later(3600), protection=switch).record
        bench.state["mecbounce"], bench.clock.now = record.model_dump(mode="json"), later(3600)
        bench.cluster.refuse_delete = Refused("webhook")
        assert bench.task().perform().protection is Protection.UNKNOWN

    @pytest.mark.parametrize("state", [State.AWAIT_TERMINATION, State.AWAIT_READY])
    def test_after_the_deletion_it_leaves_and_the_next_run_resumes(self, state: State) -> None:
        bench = Workbench().replaced()
        with pytest.raises(Interrupted, match=f"left in {state}"):
            bench.task(stop=lambda: bool(bench.saved) and bench.saved[-1] == state).perform()
        assert bench.record.state is state
        assert bench.task().perform().state is State.DONE
        assert bench.cluster.deleted == ["uid-1"]

    @pytest.mark.parametrize("look", [None, Unreachable("busy", retry_after=20)], ids=["waiting", "backing_off"])
    def test_is_asked_while_waiting_too(self, look: Exception | None) -> None:
        bench = Workbench()
        bench.cluster.faults = [*[None] * 4, look]
        with pytest.raises(Interrupted):
            bench.task(stop=lambda: bench.clock.now >= later(1)).perform()
        assert bench.clock.now < later(1.5)


class TestAdvance:
    def test_one_step_a_call_reaches_done_without_a_watch(self) -> None:
        bench = Workbench().replaced()
        waits: list[float] = []
        while (step := bench.task().advance()).wait is not None:
            waits.append(step.wait.seconds)
            bench.cluster.wait(step.wait.seconds)
        assert step.record.state is State.DONE
        assert bench.cluster.deleted == ["uid-1"]
        assert waits[:3] == [0, 0, 0]
        assert set(waits[4:]) <= {0, LOOK_EVERY}

    def test_step_by_step_its_result_says_whether_it_is_only_reported_again(self) -> None:
        bench = Workbench()
        bench.cluster.resource = None
        first, again = bench.task().advance().result, bench.task().advance().result
        assert (first and first.event, first and first.reported_again) == (Event.NODE_MISSING, False)
        assert (again and again.event, again and again.reported_again) == (Event.NODE_MISSING, True)

    def test_before_its_end_a_step_has_no_result(self) -> None:
        assert Workbench().task().advance().result is None

    def test_stop_is_asked_before_each_step(self) -> None:
        bench = Workbench()
        step = bench.task(stop=lambda: True).advance()
        assert (step.record.path[-1].event, step.wait) == (Event.CANCELLED, None)
        assert bench.cluster.calls == []

    def test_at_most_one_write_a_step(self) -> None:
        bench = Workbench().replaced()

        class Writing:
            def disable(self, pod: Pod) -> bool:
                bench.cluster.calls.append(f"patch {pod.name}")
                return True

        while True:
            before = len(bench.cluster.calls)
            step = bench.task(protection=Writing()).advance()
            writes = [call for call in bench.cluster.calls[before:] if call.startswith(("delete", "patch"))]
            assert len(writes) <= 1
            if step.wait is None:
                break
            bench.cluster.wait(step.wait.seconds)


class TestEvents:
    """Kubernetes is told twice; nothing hangs on it."""

    @staticmethod
    def reasons(bench: Workbench) -> list[str]:
        return [event["reason"] for event in bench.cluster.written]

    @staticmethod
    def deaf(bench: Workbench, error: Exception) -> None:
        def raises(namespace: str, event: object) -> None:  # noqa: ARG001 -- a Cluster's
            bench.cluster.calls.append("tell")
            raise error

        bench.cluster.tell = raises  # type: ignore[method-assign]

    def test_one_is_written_after_the_announcing_save_and_before_the_delete_and_one_at_the_end(self) -> None:
        bench = Workbench().replaced()
        seen: list[tuple[str, str]] = []

        class Calls(list[str]):
            def append(self, call: str) -> None:
                seen.append((call.partition("/")[0], bench.saved[-1]))

        bench.cluster.calls = Calls()
        bench.task().perform()
        told = [(call, state) for call, state in seen if call.startswith(("tell", "delete"))]
        assert told == [
            ("tell default Bouncing", "DELETE_POD"),
            ("delete default", "DELETE_POD"),
            ("tell default Bounced", "DONE"),
        ]

    def test_a_bounce_that_fails_after_it_was_announced_says_so(self) -> None:
        bench = Workbench()
        bench.task(request=request(timeouts={"termination": 7})).perform()
        assert self.reasons(bench) == ["Bouncing", "BounceFailed"]
        assert bench.cluster.written[1]["message"].startswith("grace_period_running: Pod mec-0 is deleted but has not")

    def test_a_bounce_that_is_cancelled_right_before_its_delete_says_so(self) -> None:
        bench = Workbench()
        bench.task(stop=lambda: bench.saved[-1:] == ["DELETE_POD"]).perform()
        assert bench.cluster.deleted == []
        assert self.reasons(bench) == ["Bouncing", "BounceFailed"]

    def test_an_announced_delete_that_is_tried_again_is_told_of_once(self) -> None:
        bench = Workbench().replaced(gone_at=30, back_at=40)
        bench.cluster.faults = [None, None, None, LOST, LOST]
        assert bench.task().perform().state is State.DONE
        assert self.reasons(bench) == ["Bouncing", "Bounced"]

    def test_a_bounce_that_is_refused_tells_nobody(self) -> None:
        bench = Workbench()
        bench.cluster.resource = {"spec": {"state": "down"}}
        assert bench.task().perform().state is State.FAILED
        assert self.reasons(bench) == []

    def test_one_step_a_call_writes_the_same(self) -> None:
        bench = Workbench().replaced()
        while (step := bench.task().advance()).wait is not None:
            bench.cluster.wait(step.wait.seconds)
        assert self.reasons(bench) == ["Bouncing", "Bounced"]

    def test_a_resumed_bounce_tells_the_end_and_a_finished_one_nothing_more(self) -> None:
        bench = Workbench()
        bench.state["mecbounce"] = to_state(bench, State.AWAIT_TERMINATION).model_dump(mode="json")
        for _ in range(2):
            bench.replaced().task().perform()
        assert self.reasons(bench) == ["Bounced"]

    def test_switched_off_none_is_written(self) -> None:
        bench = Workbench().replaced()
        assert bench.task(events=False).perform().state is State.DONE
        assert self.reasons(bench) == []

    @pytest.mark.parametrize("error", [AccessDenied("events is forbidden"), LOST, RuntimeError("s3cret")], ids=repr)
    def test_what_cannot_be_written_costs_a_log_line_and_changes_nothing(self, error: Exception) -> None:
        undisturbed, bench = Workbench().replaced(), Workbench().replaced()
        self.deaf(bench, error)
        with capture_logs() as logs:
            result = bench.task().perform()
        assert result == undisturbed.task(events=False).perform()
        assert [call for call in bench.cluster.calls if call != "tell"] == undisturbed.cluster.calls
        assert bench.cluster.calls.count("tell") == 2
        warnings = [entry for entry in logs if entry["event"] == "bounce.event_not_written"]
        said = str(error) if isinstance(error, ClusterError) else "RuntimeError"
        assert [(entry["log_level"], entry["error"]) for entry in warnings] == [("warning", said)] * 2


class TestLogs:
    def test_have_dotted_names_and_carry_the_bounce_its_pod_and_uid(self) -> None:
        bench = Workbench().replaced()
        with capture_logs() as logs:
            result = bench.task().perform()
        assert {"bounce.saved"} == {entry["event"] for entry in logs}
        last = logs[-1]
        assert (last["bounce"], last["namespace"], last["pod"]) == (bench.record.bounce_id, "default", "mec-0")
        assert (last["uid"], last["state"]) == ("uid-1", result.state)

    def test_tell_notices_and_that_a_bounce_was_left(self) -> None:
        bench = Workbench()
        bench.cluster.resource = CATCHING_UP
        with capture_logs() as logs, pytest.raises(Interrupted):
            bench.task(stop=lambda: "AWAIT_TERMINATION" in bench.saved).perform()
        [told] = [entry for entry in logs if entry["event"] == "bounce.notice"]
        assert (told["code"], told["message"]) == ("node_catching_up", bench.notices[0].message)
        assert (logs[-1]["event"], logs[-1]["bounce"]) == ("bounce.interrupted", bench.record.bounce_id)
        assert logs[-1]["state"] == "AWAIT_TERMINATION"

    def test_hold_no_annotation_and_no_environment(self) -> None:
        secret = {"metadata": {"annotations": {"token": "s3cret"}}, "container": {"env": [{"value": "s3cret"}]}}
        bench = Workbench(pod(**secret))
        with capture_logs() as logs:
            bench.task(request=request(timeouts={"termination": 1}), protection=NeverAsked()).perform()
        assert "s3cret" not in repr(logs)
        assert "s3cret" not in bench.record.model_dump_json()
