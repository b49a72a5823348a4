"""One step: which state follows, what is told, how long to wait, when to give up."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from builders import NOW, STARTUP_PROBE, later, pod, request
from pytest_mock import MockerFixture

from mecbounce.advancing import Step, Wait, advance, begin, cancel
from mecbounce.cli.exits import exit_status
from mecbounce.errors import (
    AccessDenied,
    ClusterError,
    ForeignRecord,
    Interrupted,
    NotFound,
    Refused,
    Unreachable,
)
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.machine import Event, State
from mecbounce.record import BounceRecord, Deletion, Protection, Trouble
from mecbounce.result import BounceResult
from mecbounce.steps import LOOK_EVERY

from .workbench import CATCHING_UP, LOST, NEW, OLD, NeverAsked, SlowSwitch, Workbench, left_in_delete_pod, to_state

STATES_BEFORE_DELETION = (State.INIT_CHECKS, State.DISABLE_PROTECTION, State.DELETE_POD)


class TestBegin:
    def test_a_record_without_a_pod_can_not_be_waited_on(self) -> None:
        with pytest.raises(ValueError, match="never saw its pod"):
            begin(request(), NOW, waits_on=begin(request(), NOW))

    def test_the_record_of_another_pod_can_not_be_waited_on(self) -> None:
        with pytest.raises(ForeignRecord, match=r"field request\.pod"):
            begin(request(pod="mec-1"), NOW, waits_on=to_state(Workbench(), State.DELETE_POD))


class TestAdvance:
    def test_a_still_waiting_look_changes_nothing_and_saves_nothing(self) -> None:
        bench = Workbench()
        record = to_state(bench, State.AWAIT_TERMINATION)
        assert advance(record, bench.cluster, later(1)) == Step(record, Wait(LOOK_EVERY))
        assert advance(record, bench.cluster, later(1)).record is record

    def test_the_wait_ends_at_the_deadline(self) -> None:
        bench = Workbench()
        record = to_state(bench, State.AWAIT_TERMINATION)
        assert advance(record, bench.cluster, later(599.5)).wait == Wait(0.5)

    def test_a_finished_record_is_given_back(self) -> None:
        bench = Workbench()
        bench.cluster.resource = None
        record = advance(begin(request(), NOW), bench.cluster, NOW).record
        assert advance(record, bench.cluster, NOW) == Step(record, None, reported_again=True)


class TestCancel:
    def test_after_an_unanswered_delete_it_only_leaves(self) -> None:
        bench = Workbench()
        record = to_state(bench, State.DELETE_POD)
        bench.cluster.faults = [None, LOST]
        record = advance(record, bench.cluster, bench.clock.now).record
        assert cancel(record, bench.cluster, bench.clock.now, announced_by_this_process=True) is None


class TestAnOldIntent:
    """A DELETE that was announced long ago is not carried out before the checks have been asked again."""

    @pytest.mark.parametrize(
        ("age", "standing", "event", "deleted"),
        [
            (29.9, OLD, Event.DELETE_ACCEPTED, ["uid-1"]),
            (30, OLD, Event.INTENT_EXPIRED, []),
            (9 * 86400, OLD, Event.INTENT_EXPIRED, []),
            (9 * 86400, pod(deleted=20), Event.DELETE_ACCEPTED, []),
            (9 * 86400, NEW, Event.POD_GONE, []),
            (9 * 86400, None, Event.POD_GONE, []),
            (-3600, OLD, Event.DELETE_ACCEPTED, ["uid-1"]),
        ],
        ids=["young", "just_too_old", "days_old", "terminating", "replaced", "gone", "clock_set_back"],
    )
    def test_is_carried_out_while_young_and_else_only_looked_at(
        self, age: float, standing: Pod | None, event: Event, deleted: list[str]
    ) -> None:
        bench = Workbench()
        record = left_in_delete_pod(bench)
        bench.cluster.present = {standing.uid: standing} if standing else {}
        after = advance(record, bench.cluster, later(age)).record
        assert (after.path[-1].event, bench.cluster.deleted) == (event, deleted)
        assert (after.old_pod and after.old_pod.uid, after.protection) == ("uid-1", Protection.DISABLED)

    def test_is_as_old_as_the_api_timeout_allows(self) -> None:
        bench = Workbench()
        record = left_in_delete_pod(bench, request=request(timeouts={"api": 300}))
        assert advance(record, bench.cluster, later(299)).record.state is State.AWAIT_TERMINATION
        record = left_in_delete_pod(bench := Workbench(), request=request(timeouts={"api": 300}))
        assert advance(record, bench.cluster, later(300)).record.state is State.INIT_CHECKS

    def test_resumed_days_later_the_checks_are_asked_again_and_the_pinned_pod_is_deleted_once(self) -> None:
        bench = Workbench()
        left_in_delete_pod(bench)
        bench.clock.now += timedelta(days=3)
        bench.replaced(3 * 86400 + 5, 3 * 86400 + 9)
        result = bench.task().perform()
        assert (result.state, result.failed_in, bench.cluster.deleted) == (State.DONE, None, ["uid-1"])
        assert [one.path[-1].event for one in [bench.record]] == [Event.POD_STARTED]
        assert [passage.state for passage in bench.record.path] == [
            *[State.INIT_CHECKS, State.DISABLE_PROTECTION, State.DELETE_POD] * 2,
            *[State.AWAIT_TERMINATION, State.AWAIT_READY, State.DONE],
        ]
        assert bench.codes() == ["resumed", "intent_expired"]
        assert "announced at 2026-01-01 12:00:00 UTC and not sent in time" in bench.notices[1].message
        assert result.protection is Protection.DISABLED

    def test_its_times_add_up_where_a_state_was_passed_twice(self) -> None:
        bench = Workbench()
        left_in_delete_pod(bench)
        bench.clock.now += timedelta(hours=1)
        bench.replaced(3605, 3609)
        durations = bench.task(protection=SlowSwitch(bench.clock)).perform().durations
        assert durations[State.DELETE_POD] == 3600
        assert sum(durations.values()) == 3609
        assert [*durations] == [state for state in State if state not in (State.DONE, State.FAILED)]

    @pytest.mark.parametrize(
        ("resource", "standing", "force", "event", "state"),
        [
            ({"spec": {"state": "down"}}, OLD, True, Event.NODE_DOWN, State.FAILED),
            ({"spec": {"state": "down"}}, NEW, True, Event.ALREADY_REPLACED, State.AWAIT_READY),
            ({"spec": {"state": "down"}}, pod(deleted=20), True, Event.ALREADY_TERMINATING, State.AWAIT_TERMINATION),
            ({"spec": {"state": 7}}, OLD, True, Event.NODE_UNREADABLE, State.FAILED),
            ({"spec": {"state": 7}}, NEW, True, Event.ALREADY_REPLACED, State.AWAIT_READY),
            (None, OLD, True, Event.NODE_MISSING, State.FAILED),
            (None, None, True, Event.ALREADY_REPLACED, State.AWAIT_READY),
            ({}, pod(owner=None, deleted=20), False, Event.ALREADY_TERMINATING, State.AWAIT_TERMINATION),
            ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, OLD, True, Event.NODE_DELETING, State.FAILED),
            ({"status": {"state": "rebuilding"}}, OLD, False, Event.NODE_REBUILDING, State.FAILED),
            ({}, NEW, False, Event.ALREADY_REPLACED, State.AWAIT_READY),
            ({}, None, False, Event.ALREADY_REPLACED, State.AWAIT_READY),
            ({}, pod(deleted=20), False, Event.ALREADY_TERMINATING, State.AWAIT_TERMINATION),
            ({}, pod(owner=None), False, Event.POD_UNMANAGED, State.FAILED),
            ({}, OLD, False, Event.CHECKS_PASSED, State.DISABLE_PROTECTION),
        ],
    )
    def test_meanwhile_anything_may_have_happened_and_it_is_that_incarnation_that_is_judged(
        self, resource: Any, standing: Pod | None, force: bool, event: Event, state: State
    ) -> None:
        bench = Workbench()
        record = advance(left_in_delete_pod(bench, request=request(force=force)), bench.cluster, later(3600)).record
        bench.cluster.resource, bench.cluster.present = resource, {standing.uid: standing} if standing else {}
        after = advance(record, bench.cluster, later(3600)).record
        assert (after.path[-1].event, after.state, bench.cluster.deleted) == (event, state, [])
        assert after.old_pod is not None
        assert (after.old_pod.uid, after.old_pod.name) == ("uid-1", "mec-0")
        assert after == BounceRecord.model_validate_json(after.model_dump_json())

    def test_a_node_turned_down_meanwhile_ends_it_and_does_not_say_that_nothing_was_deleted(self) -> None:
        """Whoever announced the deletion may be paused right before its DELETE. The protection is off."""
        bench = Workbench()
        left_in_delete_pod(bench)
        bench.clock.now += timedelta(hours=1)
        bench.cluster.resource = {"spec": {"state": "down"}}
        result = bench.task().perform()
        assert (result.state, result.failed_in, result.event) == (State.FAILED, State.INIT_CHECKS, Event.NODE_DOWN)
        assert (exit_status(result), bench.cluster.deleted) == (1, [])
        assert "Nothing was" not in result.message
        assert result.message.endswith(
            "Pod mec-0 ran on when last seen, with its shutdown protection switched off. "
            "The DELETE that was announced before may still be carried out."
        )
        assert result.advice.endswith(
            " Then call the task's forget() and perform one with pod_uid=uid-1: this can delete no other pod."
        )

    @pytest.mark.parametrize("fault", [LOST, AccessDenied("expired")], ids=["unreachable", "denied"])
    def test_without_an_answer_to_the_checks_again_it_is_not_known_whether_the_pod_was_deleted(
        self, fault: ClusterError
    ) -> None:
        """A runner was killed while its DELETE was under way, which may have been carried out since the last look."""
        bench = Workbench()
        record = advance(left_in_delete_pod(bench), bench.cluster, later(3600)).record
        bench.state["mecbounce"], bench.clock.now = record.model_dump(mode="json"), later(3600)
        bench.cluster.faults = [fault] * 99
        result = bench.task().perform()
        assert (result.failed_in, exit_status(result)) == (State.INIT_CHECKS, 1)
        assert "Nothing was deleted" not in result.message
        assert result.message.endswith(
            "The DELETE of pod mec-0 may or may not have been carried out. If it was not, the pod runs on, with its "
            "shutdown protection switched off."
        )
        assert "call the task's forget() and perform one with pod_uid=uid-1" in result.advice

    def test_the_checks_end_it_only_after_a_look_that_shows_that_no_delete_was_carried_out(
        self, mocker: MockerFixture
    ) -> None:
        """A runner was killed while its DELETE was under way: it is carried out while the checks are asked again."""
        bench = Workbench()
        record = advance(left_in_delete_pod(bench), bench.cluster, later(3600)).record
        bench.cluster.resource = {"spec": {"state": "down"}}
        looks = [(OLD,), (pod(deleted=20),)]
        mocker.patch.object(bench.cluster, "pods", side_effect=looks)
        after = advance(record, bench.cluster, later(3600)).record
        assert (after.path[-1].event, after.state) == (Event.ALREADY_TERMINATING, State.AWAIT_TERMINATION)
        assert "deletion that was announced before was carried out" in after.notices[-1].message

    def test_on_the_way_round_it_can_be_called_off_by_whoever_announced_it(self) -> None:
        bench = Workbench()
        record = advance(left_in_delete_pod(bench), bench.cluster, later(3600)).record
        assert cancel(record, bench.cluster, later(3600)) is None
        step = cancel(record, bench.cluster, later(3600), announced_by_this_process=True)
        assert step is not None
        assert step.record.message.endswith("with its shutdown protection switched off.")

    @pytest.mark.parametrize(
        ("first", "second", "known"),
        [
            (True, False, Protection.DISABLED),
            (True, AccessDenied("no"), Protection.DISABLED),
            (True, Unreachable("lost"), Protection.DISABLED),
            (Unreachable("lost"), False, Protection.DISABLED),
            (Unreachable("lost"), True, Protection.DISABLED),
            (Unreachable("lost"), AccessDenied("no"), Protection.UNKNOWN),
            (AccessDenied("no"), True, Protection.DISABLED),
            (AccessDenied("no"), AccessDenied("no"), Protection.KEPT),
            (False, False, Protection.OFF),
            (False, True, Protection.DISABLED),
        ],
        ids=repr,
    )
    def test_what_came_of_the_protection_is_known_from_both_tries(
        self, first: Any, second: Any, known: Protection
    ) -> None:
        bench = Workbench()
        record = to_state(bench, State.DELETE_POD, protection=SlowSwitch(bench.clock, 0, first))
        switch = SlowSwitch(bench.clock, 0, second)
        for _ in range(3):
            record = advance(record, bench.cluster, later(3600), protection=switch).record
        assert (record.state, record.protection, switch.asked) == (State.DELETE_POD, known, ["uid-1"])

    def test_what_was_told_the_first_time_is_not_told_again(self) -> None:
        bench = Workbench()
        bench.cluster.resource = CATCHING_UP
        record = to_state(
            bench,
            State.DELETE_POD,
            protection=SlowSwitch(bench.clock, 0, AccessDenied("no")),
            request=request(timeouts={"termination": 1}),
        )
        bench.state["mecbounce"] = record.model_dump(mode="json")
        bench.clock.now = later(3600)
        bench.task(protection=SlowSwitch(bench.clock, 0, AccessDenied("no"))).perform()
        assert [notice.code for notice in bench.record.notices if notice.at <= later(3600)] == [
            *["node_catching_up", "short_termination_timeout", "protection_kept", "resumed", "intent_expired"]
        ]

    @pytest.mark.parametrize(
        ("pace", "expiries"), [(1, 0), (29, 0), (30, 1), (59, 1), (60, 2), (600, 5), (3600, 7), (86400, 12)]
    )
    def test_a_runner_that_calls_seldom_is_sent_round_ever_less_often(self, pace: float, expiries: int) -> None:
        """Each time doubles the age that is allowed, so that in the end the DELETE is sent."""
        bench, calls = Workbench(), 0
        while (step := bench.task().advance()).wait is not None:
            calls += 1
            assert calls <= 3 * expiries + 4 + 600 / pace + 1
            bench.clock.now += timedelta(seconds=pace)
            bench.cluster.present = {"uid-2": NEW} if bench.cluster.deleted else bench.cluster.present
        assert (step.record.state, bench.cluster.deleted) == (State.DONE, ["uid-1"])
        assert [one.event for one in step.record.path].count(Event.INTENT_EXPIRED) == expiries

    @pytest.mark.parametrize("pace", [0.5, 10, 60, 3600])
    def test_a_webhook_that_is_down_for_ever_ends_it_at_any_pace(self, pace: float) -> None:
        bench, calls = Workbench(), 0
        down = Unreachable('Internal error occurred: failed calling webhook "keep.example.com": no route')
        bench.cluster.refuse_delete = down
        while (step := bench.task().advance()).wait is not None:
            calls += 1
            assert calls <= 99
            bench.clock.now += timedelta(seconds=max(pace, step.wait.seconds))
        assert (step.record.path[-1].event, bench.cluster.deleted) == (Event.DELETE_REFUSED, [])
        assert "the owners of webhook keep.example.com" in step.record.advice

    @pytest.mark.parametrize("before", [*STATES_BEFORE_DELETION])
    def test_an_api_server_that_is_away_for_31_s_costs_a_runner_that_comes_once_a_minute_nothing(
        self, before: State
    ) -> None:
        bench = Workbench()
        bench.state["mecbounce"] = to_state(bench, before).model_dump(mode="json")
        bench.cluster.faults = [LOST]
        for _ in range(20):
            if bench.task().advance().wait is None:
                break
            bench.clock.now += timedelta(seconds=60)
            bench.cluster.present = {"uid-2": NEW} if bench.cluster.deleted else bench.cluster.present
        assert (bench.record.state, bench.cluster.deleted) == (State.DONE, ["uid-1"])

    def test_a_delete_that_was_tried_a_moment_ago_is_no_old_intent(self) -> None:
        """Its age counts from the last try: the checks are not asked between two tries of one DELETE."""
        bench = Workbench()
        bench.cluster.refuse_delete = LOST
        record = advance(left_in_delete_pod(bench), bench.cluster, NOW).record
        bench.state["mecbounce"] = record.model_dump(mode="json")
        bench.clock.now = later(20)
        bench.cluster.script = [(45, lambda: setattr(bench.cluster, "refuse_delete", None))]
        bench.cluster.script += [
            (50, lambda: bench.cluster.gone("uid-1")),
            (51, lambda: bench.cluster.add(NEW)),
        ]
        assert bench.task().perform().state is State.DONE
        assert Event.INTENT_EXPIRED not in [passage.event for passage in bench.record.path]


class TestDeadlines:
    @pytest.mark.parametrize(("grace", "given", "seconds"), [(30, None, 600), (570, None, 630), (570, 10, 10)])
    def test_termination(self, grace: int, given: float | None, seconds: float) -> None:
        bench = Workbench(pod(spec={"terminationGracePeriodSeconds": grace}))
        asked = request(timeouts={"termination": given})
        assert to_state(bench, State.AWAIT_TERMINATION, request=asked).deadline == later(seconds)

    @pytest.mark.parametrize(("tries", "given", "seconds"), [(60, None, 2130), (None, None, 600), (60, 10, 10)])
    def test_readiness(self, tries: int | None, given: float | None, seconds: float) -> None:
        probe = {"startupProbe": {"periodSeconds": 30, "failureThreshold": tries}} if tries else {}
        bench = Workbench(pod(container=probe)).replaced(back_at=9e9)
        asked = request(timeouts={"ready": given})
        with pytest.raises(Interrupted):
            bench.task(request=asked, stop=lambda: bench.saved[-1:] == ["AWAIT_READY"]).perform()
        assert bench.record.deadline == later(3 + seconds)

    def test_termination_times_out_at_its_deadline(self) -> None:
        bench = Workbench()
        result = bench.task(request=request(timeouts={"termination": 7})).perform()
        assert result.event is Event.TERMINATION_TIMEOUT
        assert result.durations[State.AWAIT_TERMINATION] == 7
        assert bench.cluster.deleted == ["uid-1"]

    def test_readiness_times_out_at_its_deadline_and_never_deletes_again(self) -> None:
        bench = Workbench().replaced(back_at=9e9)
        result = bench.task(request=request(timeouts={"ready": 7})).perform()
        assert result.event is Event.NOT_RECREATED
        assert result.durations[State.AWAIT_READY] == 7
        assert bench.cluster.deleted == ["uid-1"]


class TestTwoClocks:
    @pytest.mark.parametrize(
        ("skew", "said"),
        [
            (-3600, "The API server's clock is 3,600 s behind this machine's."),
            (-30.5, "The API server's clock is 30 s behind this machine's."),
            (-30, None),
            (0, None),
            (30, None),
            (31, "The API server's clock is 31 s ahead of this machine's."),
            (86400, "The API server's clock is 86,400 s ahead of this machine's."),
            (None, None),
        ],
    )
    def test_that_are_more_than_30_s_apart_are_told_of_once(self, skew: float | None, said: str | None) -> None:
        bench = Workbench().replaced()
        if skew is not None:
            bench.cluster.keeps_time(skew)
        result = bench.task().perform()
        told = [notice.message for notice in result.notices if notice.code == "clock_skew"]
        assert len(told) == (said is not None)
        assert not said or told[0].startswith(said)
        assert (result.state, bench.cluster.deleted) == (State.DONE, ["uid-1"])

    def test_a_runner_that_steps_or_resumes_is_not_told_again(self) -> None:
        bench = Workbench().replaced()
        bench.cluster.keeps_time(3600)
        while (step := bench.task().advance()).wait is not None:
            bench.cluster.wait(step.wait.seconds)
        assert bench.codes() == ["clock_skew"]

    def test_a_clock_that_was_set_while_it_waits_is_told_of_once(self) -> None:
        bench = Workbench().replaced(30, 40)
        bench.cluster.keeps_time(0)
        bench.cluster.script += [(at, partial(bench.cluster.keeps_time, 80 + at)) for at in (10, 12, 20)]
        bench.task().perform()
        assert bench.codes() == ["clock_skew"]
        assert bench.notices[0].at >= later(10)

    def test_a_bounce_that_ends_with_its_first_step_tells_of_them_too(self) -> None:
        bench = Workbench()
        bench.cluster.resource = None
        bench.cluster.keeps_time(3600)
        assert [notice.code for notice in bench.task().perform().notices] == ["clock_skew"]

    def test_a_first_step_that_takes_its_time_is_no_skew(self) -> None:
        """The answers of a slow step are younger than its beginning; those of the step before are not."""
        bench = Workbench().replaced(300, 301)
        bench.cluster.keeps_time(0)
        bench.task(protection=SlowSwitch(bench.clock, 120)).perform()
        assert bench.codes() == []

    @pytest.mark.parametrize("skew", [-3600, 3600])
    def test_deadlines_are_kept_by_our_own(self, skew: float) -> None:
        bench = Workbench()
        bench.cluster.keeps_time(skew)
        result = bench.task(request=request(timeouts={"termination": 7})).perform()
        assert (result.event, result.durations[State.AWAIT_TERMINATION]) == (Event.TERMINATION_TIMEOUT, 7)
        assert result.diagnosis is not None
        assert result.diagnosis.evidence == "container app still running, 23 s left of the grace period"

    @pytest.mark.parametrize("skew", [-3600, 0, 3600])
    def test_a_startup_has_its_whole_budget_however_the_clocks_differ(self, skew: float) -> None:
        bench = Workbench()
        bench.cluster.keeps_time(skew)
        probe = {"startupProbe": {"periodSeconds": 10, "failureThreshold": 60}}  # 610 s, and 300 more
        bench.cluster.present = {"uid-1": pod(container=probe)}
        starts = pod(uid="uid-2", created=skew + 100, container=probe, ready=False)
        bench.cluster.script = [
            (3, lambda: bench.cluster.gone("uid-1")),
            (100, lambda: bench.cluster.add(starts)),
        ]
        result = bench.task().perform()
        assert (result.event, bench.clock.now) == (Event.READY_TIMEOUT, later(100 + 910))


class TestTrouble:
    def test_a_passing_fault_is_waited_out_and_told_once(self) -> None:
        bench = Workbench().replaced(gone_at=30, back_at=40)
        bench.cluster.faults = [LOST, None, LOST, LOST]
        assert bench.task().perform().state is State.DONE
        assert bench.codes() == ["cluster_trouble"]

    @pytest.mark.parametrize("kind", [Unreachable, AccessDenied])
    @pytest.mark.parametrize(("said", "told"), [("", ""), (" two\nlines. ", "two lines")], ids=["no_words", "lines"])
    def test_what_a_cluster_of_ones_own_says_is_told_in_one_line(
        self, kind: type[ClusterError], said: str, told: str
    ) -> None:
        bench = Workbench()
        bench.cluster.faults = [kind(said)] * 99
        result = bench.task().perform()
        assert f"{told or kind.__name__}. Nothing was deleted." in result.message

    def test_trouble_that_comes_and_goes_is_told_once_a_state(self) -> None:
        bench = Workbench()
        bench.cluster.faults = [*[None] * 4, LOST, None, LOST]
        bench.cluster.script = [
            (30, lambda: bench.cluster.gone("uid-1")),
            (31, lambda: bench.cluster.faults.append(LOST)),
            (40, lambda: bench.cluster.add(NEW)),
        ]
        assert bench.task().perform().state is State.DONE
        assert [(notice.code, notice.at > later(30)) for notice in bench.notices] == [
            ("cluster_trouble", False),
            ("cluster_trouble", True),
        ]

    def test_pauses_grow_differ_between_bounces_and_are_bounded(self) -> None:
        bench = Workbench()
        pauses: list[list[float]] = []
        for _ in range(2):
            record = to_state(bench, State.AWAIT_TERMINATION)
            record = record.changed(deadline=later(9e5))
            pauses.append([])
            for _ in range(12):
                bench.cluster.faults = [LOST]
                step = advance(record, bench.cluster, bench.clock.now)
                record = step.record
                assert step.wait is not None
                pauses[-1].append(step.wait.seconds)
        assert pauses[0] != pauses[1]
        for row in pauses:
            assert all(0.25 * 2**n <= pause <= 0.5 * 2**n for n, pause in enumerate(row[:6]))
            assert max(row) <= 30

    def test_after_thousands_of_tries_a_pause_is_still_the_longest(self) -> None:
        bench = Workbench()
        record = to_state(bench, State.AWAIT_TERMINATION)
        bench.cluster.faults = [LOST]
        trouble = Trouble(since=NOW, tries=2000, what="lost")
        step = advance(record.changed(trouble=trouble), bench.cluster, NOW)
        assert step.wait is not None
        assert 15 <= step.wait.seconds <= 30

    @pytest.mark.parametrize(("asked", "kept"), [(17, 17), (3600, 30)])
    def test_retry_after_is_kept_up_to_the_longest_pause(self, asked: float, kept: float) -> None:
        bench = Workbench()
        bench.cluster.faults = [Unreachable("busy", retry_after=asked)]
        step = advance(begin(request(timeouts={"api": 9000}), NOW), bench.cluster, NOW)
        assert step.wait == Wait(kept, backing_off=True)

    @pytest.mark.parametrize("state", [State.INIT_CHECKS, State.DISABLE_PROTECTION, State.DELETE_POD])
    def test_before_the_deletion_it_gives_up_after_the_api_timeout(self, state: State) -> None:
        bench = Workbench()
        protection = NeverAsked()
        bench.state["mecbounce"] = to_state(bench, state, protection=protection).model_dump(mode="json")
        bench.cluster.faults = [LOST] * 999
        result = bench.task(protection=protection).perform()
        assert result.event is Event.CLUSTER_UNREACHABLE
        assert bench.clock.now == later(30)

    def test_giving_up_on_an_unanswered_delete_does_not_claim_that_the_pod_runs_on(self) -> None:
        bench = Workbench()
        bench.state["mecbounce"] = to_state(bench, State.DELETE_POD).model_dump(mode="json")
        bench.cluster.faults = [LOST] * 999
        result = bench.task().perform()
        assert "may or may not have been carried out" in result.message
        assert result.deletion is Deletion.UNKNOWN

    def test_an_access_denied_before_the_deletion_fails_at_once(self) -> None:
        bench = Workbench()
        bench.cluster.faults = [None, AccessDenied("pods is forbidden")]
        result = bench.task().perform()
        assert result.event is Event.ACCESS_DENIED
        assert result.message == "pods is forbidden. Nothing was deleted."
        assert bench.clock.now == NOW

    def test_an_access_denied_after_an_unanswered_delete_does_not_claim_that_the_pod_runs_on(self) -> None:
        bench = Workbench()
        record = to_state(bench, State.DELETE_POD)
        bench.cluster.faults = [None, LOST]
        record = advance(record, bench.cluster, bench.clock.now).record
        bench.cluster.faults = [AccessDenied("expired")]
        record = advance(record, bench.cluster, bench.clock.now).record
        assert record.path[-1].event is Event.ACCESS_DENIED
        assert "may or may not have been carried out" in record.message
        assert BounceResult.of(record).deletion is Deletion.UNKNOWN

    @pytest.mark.parametrize("state", [State.AWAIT_TERMINATION, State.AWAIT_READY])
    def test_a_deadline_without_a_look_claims_nothing_about_the_pod(self, state: State) -> None:
        bench = Workbench()
        record = to_state(bench, State.AWAIT_TERMINATION)
        if state is State.AWAIT_READY:
            bench.cluster.present.clear()
            record = advance(record, bench.cluster, NOW).record
        bench.cluster.faults = [LOST, LOST]
        record = advance(record, bench.cluster, later(3600)).record
        record = advance(record, bench.cluster, later(3630)).record
        assert record.state is State.FAILED
        assert (
            record.message
            == {
                State.AWAIT_TERMINATION: (
                    "The deletion of pod mec-0 was accepted; whether it has gone is not known: connection lost."
                ),
                State.AWAIT_READY: "Pod mec-0 had gone; whether its replacement is back is not known: connection lost.",
            }[state]
        )
        gone = state is State.AWAIT_READY
        assert ("without deleting again, call the task's keep_waiting()" in record.advice) is gone
        assert ("call the task's forget() and perform one with pod_uid=uid-1" in record.advice) is not gone

    def test_a_clock_that_was_set_back_makes_no_negative_times(self) -> None:
        bench = Workbench().replaced()
        task = bench.task()
        task.advance()
        bench.clock.now = later(-3600)
        bench.cluster.present = {"uid-2": NEW}
        result = task.perform()
        assert "back after 0 s" in result.message
        assert min(result.durations.values()) >= 0

    @pytest.mark.parametrize("error", [LOST, AccessDenied("expired"), NotFound("?"), Refused("?")])
    def test_after_the_deletion_it_waits_until_a_look_after_the_deadline_had_its_time(self, error: Exception) -> None:
        bench = Workbench()
        bench.state["mecbounce"] = to_state(bench, State.AWAIT_TERMINATION).model_dump(mode="json")
        bench.cluster.faults = [error] * 9999
        result = bench.task().perform()
        assert result.event is Event.TERMINATION_TIMEOUT
        assert result.diagnosis is not None
        assert result.diagnosis.code == "cluster_unreachable"
        assert bench.clock.now == later(600 + 30)

    def test_an_unreachable_cluster_after_the_replacement_was_seen_is_a_ready_timeout(self) -> None:
        bench = Workbench()
        unready = pod(uid="uid-2", created=5, container={"startupProbe": STARTUP_PROBE}, ready=False)
        bench.cluster.present = {"uid-2": unready}
        record = to_state(bench, State.AWAIT_READY, request=request(pod_uid="uid-1"))
        record = advance(record, bench.cluster, later(6)).record
        bench.cluster.faults = [LOST, LOST]
        assert record.deadline is not None
        record = advance(record, bench.cluster, record.deadline).record
        assert record.deadline is not None
        record = advance(record, bench.cluster, record.deadline + timedelta(seconds=30)).record
        assert record.path[-1].event is Event.READY_TIMEOUT

    def test_trouble_that_is_over_starts_its_time_anew(self) -> None:
        bench = Workbench()
        bench.cluster.faults = [LOST]
        record = advance(begin(request(), NOW), bench.cluster, NOW).record
        assert record.trouble is not None
        record = advance(record, bench.cluster, later(29)).record
        assert (record.state, record.trouble) == (State.DISABLE_PROTECTION, None)
