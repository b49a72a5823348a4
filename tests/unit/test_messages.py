"""What a bounce says of itself, to whoever runs it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from builders import NODE, NOW, later, pod, request

from mecbounce import messages
from mecbounce.advancing import begin
from mecbounce.machine import Event, State
from mecbounce.messages import (
    COMMAND,
    TASK,
    Terms,
    advice,
    bounce_only,
    cancelled,
    clock_skew,
    cluster_trouble,
    duration,
    given_up,
    happened,
    intent_expired,
    protection_tried,
    resumed,
)
from mecbounce.record import BounceRecord, Diagnosis, PinnedPod, Protection, SeenPod, StateEntry

OLD = PinnedPod.of(pod(), [pod()])
GENERATED = OLD.model_copy(update={"generated_name": True})
WHY = Diagnosis(code="crash_loop", evidence="it crashes.", who="somebody")


def record(*states: State, old: PinnedPod | None = OLD, protection: Protection | None = None) -> BounceRecord:
    first = begin(request(), NOW)
    path = [StateEntry(state=state, at=later(number), event=Event.CHECKS_PASSED) for number, state in enumerate(states)]
    return first.model_copy(update={"path": (*first.path, *path), "old_pod": old, "protection": protection})


@pytest.mark.parametrize(
    ("terms", "bounce_again", "bounce_this_uid"),
    [
        (
            TASK,
            "call the task's forget() and perform it again",
            "call the task's forget() and perform one with pod_uid=uid-1",
        ),
        (COMMAND, "run the same command again", "run it again with --pod-uid uid-1"),
    ],
    ids=["task", "command"],
)
class TestTerms:
    """A runner reads of its fields, and whoever types the command of its options."""

    def test_to_bounce_it_after_all(self, terms: Terms, bounce_again: str, bounce_this_uid: str) -> None:
        assert cancelled(record(), terms)[1] == f"To bounce it anyway, {bounce_again}."
        assert bounce_this_uid not in cancelled(record(), terms)[1]

    def test_to_bounce_that_incarnation_or_none(self, terms: Terms, bounce_again: str, bounce_this_uid: str) -> None:
        assert bounce_only(OLD, terms) == f"{bounce_this_uid}: this can delete no other pod."
        assert bounce_only(GENERATED, terms) == f"look whether uid-1 still exists; only if so, {bounce_this_uid}."
        assert bounce_again not in bounce_only(OLD, terms)


WAITED = (State.DISABLE_PROTECTION, State.DELETE_POD, State.AWAIT_TERMINATION, State.AWAIT_READY)


@pytest.mark.parametrize(
    ("terms", "old", "limit", "how"),
    [
        (TASK, OLD, None, "call the task's keep_waiting()"),
        (TASK, OLD, 600, "call the task's keep_waiting(), with Timeouts(ready=1200)"),
        (TASK, GENERATED, None, "call the task's keep_waiting()"),
        (COMMAND, OLD, None, "run the same command again while it is not back"),
        (COMMAND, OLD, 600, "run the same command again while it is not back, with --ready-timeout 20m"),
        (COMMAND, GENERATED, 0.2, "run the same command again, with --ready-timeout 0.4s"),
    ],
)
def test_to_wait_on_takes_a_longer_time_than_the_one_that_was_too_short(
    terms: Terms, old: PinnedPod, limit: float | None, how: str
) -> None:
    waiting = record(*WAITED, old=old)
    deadline = waiting.entered_at + timedelta(seconds=limit) if limit else None
    said = advice(waiting.model_copy(update={"deadline": deadline}), WHY, terms)
    assert said == f"To act: somebody. To keep waiting without deleting again, {how}."


def test_the_time_for_the_old_pod_to_go_is_named_as_such() -> None:
    waiting = record(*WAITED[:3]).model_copy(update={"deadline": later(602)})
    assert advice(waiting, WHY, COMMAND).endswith(", with --termination-timeout 20m.")


def test_a_replacement_whose_name_is_not_known_is_looked_for() -> None:
    unseen = record(State.AWAIT_READY, old=PinnedPod(name="mec-x4k2p", uid="uid-1"))
    path = (unseen.path[0], unseen.path[1].model_copy(update={"event": Event.ALREADY_REPLACED}))
    unseen = unseen.model_copy(update={"path": path, "request": request(pod="mec-x4k2p", node=None)})
    assert advice(unseen, WHY, COMMAND).endswith("look at the newest pods of its controller.")


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0.4s"), (90, "90s"), (120, "2m"), (604800, "10080m")])
def test_a_duration_is_one_that_the_command_takes(seconds: float, said: str) -> None:
    assert duration(seconds) == said


class TestWaitingOn:
    """What is said of a bounce that keeps waiting for what another one deleted."""

    ENDED = record(*WAITED, State.FAILED)
    ENDED = ENDED.model_copy(
        update={"path": (*ENDED.path[:-1], ENDED.path[-1].model_copy(update={"event": Event.READY_TIMEOUT}))}
    )

    def test_says_which_bounce_and_that_nothing_is_deleted(self) -> None:
        expected = (
            "The last bounce of mec-0 ended at 2026-01-01 12:00:04 UTC by ready_timeout. This run keeps "
            "waiting for its replacement; nothing is deleted. "
        )
        assert messages.waits_on(self.ENDED, COMMAND) == f"{expected}--again begins a new bounce."
        task = "To begin a new bounce, call the task's forget() and perform it again."
        assert messages.waits_on(self.ENDED, TASK) == f"{expected}{task}"

    def test_it_does_not_claim_that_the_old_pod_runs_on(self) -> None:
        begun = begin(request(), NOW, waits_on=self.ENDED)
        assert messages.untouched(begun) == (
            "Nothing was changed: this run kept waiting for the replacement of pod mec-0."
        )
        assert cancelled(begun, COMMAND)[1] == "To keep waiting, run the same command again while it is not back."


@pytest.mark.parametrize(
    ("protection", "said"),
    [
        (None, ""),
        (Protection.UNUSED, ""),
        (Protection.KEPT, ""),
        (Protection.DISABLED, ", with its shutdown protection switched off"),
        (Protection.OFF, ", without a shutdown protection"),
        (Protection.UNKNOWN, ", with its shutdown protection perhaps switched off"),
    ],
)
def test_a_pod_that_runs_on_unprotected_is_said_to(protection: Protection | None, said: str) -> None:
    stopped = record(State.DISABLE_PROTECTION, protection=protection)
    ran_on = f"Nothing was deleted: pod mec-0 ran on when last seen{said}."
    assert cancelled(stopped, TASK)[0] == f"Asked to stop before the deletion. {ran_on}"
    refused = stopped.model_copy(update={"diagnosis": STOOD})
    assert happened(refused, Event.DELETE_REFUSED, NOW, TASK).endswith(f"It runs on{said}.")


def test_once_a_delete_was_announced_it_is_not_said_that_nothing_was_deleted() -> None:
    denied, unreachable = Event.ACCESS_DENIED, Event.CLUSTER_UNREACHABLE
    before = given_up(record(State.DISABLE_PROTECTION), denied, "403", TASK)
    assert before == (
        "403. Nothing was deleted: pod mec-0 ran on when last seen.",
        "Have that right granted, or the credentials renewed. Then call the task's forget() and perform it again.",
    )
    announced = record(State.DISABLE_PROTECTION, State.DELETE_POD, protection=Protection.DISABLED)
    message, advised = given_up(announced, unreachable, "503", TASK)
    assert message == (
        "No usable answer from the API server within 30 s: 503. The DELETE of pod mec-0 may or may not have "
        "been carried out. If it was not, the pod runs on, with its shutdown protection switched off."
    )
    assert advised == f"Find out why the API server does not answer. Then {bounce_only(OLD, TASK)}"


def test_the_first_failed_request_of_a_state_is_told_with_its_error() -> None:
    assert cluster_trouble("503") == "No usable answer from the API server, trying again: 503."


PASSED = (State.DISABLE_PROTECTION, State.DELETE_POD)
WAITING = (*PASSED, State.AWAIT_TERMINATION, State.AWAIT_READY)
STOOD = WHY.model_copy(update={"standing": ("mec-1", "mec-2")})
ENDS = [
    (PASSED, Event.DELETE_REFUSED),
    (WAITING[:3], Event.TERMINATION_TIMEOUT),
    (WAITING, Event.NOT_RECREATED),
    (WAITING, Event.READY_TIMEOUT),
]


@pytest.mark.parametrize(("states", "event"), ENDS, ids=[str(event) for _, event in ENDS])
def test_a_finished_record_says_the_same_as_it_ended_and_can_leave_its_evidence_out(
    states: tuple[State, ...], event: Event
) -> None:
    new = SeenPod(name="mec-0", uid="uid-2") if event is Event.READY_TIMEOUT else None
    ending = record(*states).model_copy(update={"new_pod": new, "diagnosis": STOOD})
    told = happened(ending, event, later(60), TASK)
    failed = StateEntry(state=State.FAILED, at=later(60), event=event)
    ended = ending.model_copy(update={"path": (*ending.path, failed), "message": "as it was told"})
    assert ": it crashes." in told
    assert happened(ended, event, ended.entered_at, TASK) == told
    bare = happened(ended, event, ended.entered_at, replace(TASK, evidence=False))
    assert bare == told.replace(": it crashes.", ".")
    of_an_older_version = ended.model_copy(update={"diagnosis": WHY})
    assert happened(of_an_older_version, event, ended.entered_at, TASK) == "as it was told"


@pytest.mark.parametrize(("skew", "said"), [(1, "1 s ahead of"), (-1, "1 s behind"), (-4000.4, "4,000 s behind")])
def test_two_clocks_that_differ_are_told_with_what_each_is_used_for(skew: float, said: str) -> None:
    assert clock_skew(timedelta(seconds=skew)) == (
        f"The API server's clock is {said} this machine's. "
        "Its timestamps are compared with its own clock, deadlines are kept by this machine's."
    )


def test_times_are_told_in_utc_wherever_the_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XYZ-9")
    time.tzset()
    try:
        told = [resumed(record(State.DELETE_POD), other_options=False), intent_expired(record(State.DELETE_POD))]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [True, True] == ["2026-01-01 12:00:00 UTC" in text for text in told]


TOOK_OVER = "Look at the pods of the ReplicaSet that took over to see whether the node is in service."


@pytest.mark.parametrize(
    ("code", "at", "said"),
    [
        ("not_recreated", 60, "has gone and it has no replacement after 57 s: it crashes. The node is not in service."),
        ("rolled_out", 60, f"has gone and a rollout took its place: it crashes. {TOOK_OVER}"),
        ("name_generated", -60, "has come in 0 s: it crashes."),
    ],
)
def test_a_missing_replacement_is_told_with_what_it_means_for_the_node(code: str, at: float, said: str) -> None:
    """A time is never negative: our own clock may have gone back."""
    why = Diagnosis(code=code, evidence="it crashes.", who="somebody", standing=())
    ending = record(*WAITING).model_copy(update={"diagnosis": why})
    no = "No pod" if code == "name_generated" else "Pod"
    assert happened(ending, Event.NOT_RECREATED, later(at), TASK) == f"{no} mec-0 {said}"


@pytest.mark.parametrize("other_options", [True, False])
def test_a_resumed_bounce_says_whose_options_count_if_it_was_given_others(other_options: bool) -> None:
    kept = " It goes on with the options that it began with."
    assert resumed(record(), other_options=other_options).endswith(f"UTC.{kept}" if other_options else "UTC.")


@pytest.mark.parametrize(
    ("joined", "said"),
    [
        (False, "Pod mec-0 was bounced: mec-0 (uid-2) is back after 60 s."),
        (True, "Nothing was deleted: uid-1 had gone already, and mec-0 (uid-2) is back."),
    ],
)
def test_of_a_bounce_that_is_done_both_incarnations_are_told(joined: bool, said: str) -> None:
    done = record(*WAITING).model_copy(update={"new_pod": SeenPod(name="mec-0", uid="uid-2")})
    if joined:
        gone = StateEntry(state=State.AWAIT_READY, at=NOW, event=Event.ALREADY_REPLACED)
        done = done.model_copy(update={"path": (done.path[0], gone)})
    assert happened(done, Event.POD_READY, later(60), TASK) == said


def test_a_rollout_needs_no_repair() -> None:
    why = Diagnosis(code="rolled_out", evidence="it was rolled out", who="nobody", standing=())
    said = "Nothing needs repair: the rollout goes on by itself. Look at the pods of the ReplicaSet that took over."
    assert advice(record(*WAITING), why, TASK) == said


@pytest.mark.parametrize(
    ("states", "protection", "said"),
    [
        (PASSED, None, ""),
        (PASSED, Protection.UNUSED, ""),
        (PASSED, Protection.DISABLED, "; its shutdown protection was switched off"),
        (PASSED, Protection.OFF, "; it had no shutdown protection to switch off"),
        (PASSED, Protection.KEPT, "; its shutdown protection could not be switched off"),
        (PASSED, Protection.UNKNOWN, "; its shutdown protection may have been switched off"),
        (PASSED[:1], None, "; its shutdown protection may have been switched off"),
        (PASSED[:1], Protection.DISABLED, "; its shutdown protection was switched off"),
    ],
)
def test_what_came_of_its_protection_is_told(
    states: tuple[State, ...], protection: Protection | None, said: str
) -> None:
    """In DISABLE_PROTECTION, without an outcome: a run may have been killed while it tried."""
    assert protection_tried(record(*states, protection=protection)) == said


@pytest.mark.parametrize(("old", "why"), [(None, STOOD), (OLD, None), (None, None)], ids=["no_pod", "no_cause", "none"])
def test_what_has_no_pod_or_no_cause_is_told_as_it_was_saved(old: PinnedPod | None, why: Diagnosis | None) -> None:
    saved = record(State.DISABLE_PROTECTION, old=old).model_copy(update={"diagnosis": why, "message": "as it was told"})
    assert happened(saved, Event.CANCELLED, NOW, TASK) == "as it was told"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.5, "0.5 s"), (0.04, "0.04 s"), (5.0, "5 s"), (9.96, "10 s"), (600.2, "600 s"), (1e4, "10,000 s")],
)
def test_a_limit_below_one_second_is_not_called_none(seconds: float, said: str) -> None:
    assert messages.limit_of(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.5, "0.5 s"), (9.94, "9.9 s"), (10, "10 s"), (10.4, "10 s"), (600, "600 s")]
)
def test_a_limit_has_tenths_below_ten_seconds_only(seconds: float, said: str) -> None:
    assert messages.limit_of(seconds) == said


def test_a_resource_that_was_named_and_gets_no_answer_can_be_left_out() -> None:
    asked = begin(request(node=NODE), NOW)
    assert given_up(asked, Event.CLUSTER_UNREACHABLE, "503", COMMAND)[1] == (
        f"Find out why the API server does not answer. If only {NODE} can't be read, --no-node leaves it out. "
        "Then run the same command again."
    )
