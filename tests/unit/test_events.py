"""Which Kubernetes Events a bounce writes, about what, and in which words."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

import pytest
from builders import NOW, later, pod, request

from mecbounce import events
from mecbounce.advancing import begin
from mecbounce.kubernetes_api.objects import Owner, Pod
from mecbounce.machine import Event, State
from mecbounce.record import BounceRecord, Diagnosis, PinnedPod, SeenPod, StateEntry

OWNER = {
    "apiVersion": "express.example.com/v1",
    "kind": "ExpressNode",
    "name": "node-0",
    "uid": "owner-1",
    "controller": True,
}
OLD = {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "mec-0", "uid": "uid-1"}
NEW = OLD | {"uid": "uid-2"}
RESOURCE = {key: value for key, value in OWNER.items() if key != "controller"} | {"namespace": "default"}

TO_DELETION = ((State.DISABLE_PROTECTION, Event.CHECKS_PASSED), (State.DELETE_POD, Event.PROTECTION_UNUSED))
TO_READINESS = (*TO_DELETION, (State.AWAIT_TERMINATION, Event.DELETE_ACCEPTED), (State.AWAIT_READY, Event.POD_GONE))
DONE = (*TO_READINESS, (State.DONE, Event.POD_STARTED))
TIMED_OUT = (*TO_READINESS, (State.FAILED, Event.READY_TIMEOUT))


def record(*steps: tuple[State, Event], old: Pod | None = None, **fields: Any) -> BounceRecord:
    path = [StateEntry(state=state, at=later(number), event=event) for number, (state, event) in enumerate(steps)]
    first = begin(request(), NOW)
    pinned = PinnedPod.of(old or pod(owner=OWNER), [])
    return first.changed(path=(*first.path, *path), old_pod=pinned, **fields)


def written(*steps: tuple[State, Event], **fields: Any) -> dict[str, Any]:
    event = events.on_entering(record(*steps, **fields), NOW)
    assert event is not None
    return event


def test_bouncing_is_about_the_pinned_pod_and_relates_to_its_controller() -> None:
    event = written(*TO_DELETION)
    assert (event["type"], event["reason"], event["action"]) == ("Normal", "Bouncing", "Bounce")
    assert (event["involvedObject"], event["related"]) == (OLD, RESOURCE)
    assert event["message"] == "Deleting this pod (uid-1) to have it replaced; its grace period is 30 s."


def test_bounced_is_about_the_controller_and_relates_to_the_replacement() -> None:
    event = written(*DONE, new_pod=SeenPod(name="mec-0", uid="uid-2"), message="It is back.")
    assert (event["type"], event["reason"], event["message"]) == ("Normal", "Bounced", "It is back.")
    assert (event["involvedObject"], event["related"]) == (RESOURCE, NEW)


def test_bounce_failed_is_a_warning_that_tells_the_diagnosis_and_its_evidence() -> None:
    why = Diagnosis(code="image_pull", evidence="app: no such image", who="somebody")
    event = written(*TIMED_OUT, diagnosis=why, message=f"It is not back: {why.evidence}.")
    assert (event["type"], event["reason"]) == ("Warning", "BounceFailed")
    assert event["message"] == "image_pull: It is not back: app: no such image."
    assert (event["involvedObject"], event["related"]) == (RESOURCE, OLD)


def test_a_failure_without_a_diagnosis_is_told_by_its_event() -> None:
    refused = (*TO_DELETION, (State.FAILED, Event.DELETE_REFUSED))
    assert written(*refused, message="No.")["message"] == "delete_refused: No."


def test_a_delete_that_is_announced_once_more_after_its_intent_expired_is_told_once_more() -> None:
    """What was told a day ago has not come; the checks in between are told of only where they end the bounce."""
    expired = (*TO_DELETION, (State.INIT_CHECKS, Event.INTENT_EXPIRED))
    assert events.on_entering(record(*expired), NOW) is None
    assert events.on_entering(record(*expired, TO_DELETION[0]), NOW) is None
    assert written(*expired, *TO_DELETION)["reason"] == "Bouncing"
    ended = written(*expired, (State.FAILED, Event.NODE_DOWN), message="It is meant to be down.")
    assert (ended["reason"], ended["message"]) == ("BounceFailed", "node_down: It is meant to be down.")


@pytest.mark.parametrize(
    ("new", "about"), [(None, OLD), (SeenPod(name="mec-0", uid="uid-2"), NEW)], ids=["old_pod", "new_pod"]
)
def test_without_a_controller_the_end_is_told_about_the_pod(new: SeenPod | None, about: dict[str, str]) -> None:
    event = written(*TIMED_OUT, old=pod(owner=None), new_pod=new)
    assert event["involvedObject"] == about
    assert "related" not in event
    assert "related" not in written(*TO_DELETION, old=pod(owner=None))


@pytest.mark.parametrize(
    "steps",
    [
        (),
        TO_DELETION[:1],
        TO_READINESS[:3],
        TO_READINESS,
        ((State.FAILED, Event.NODE_DOWN),),
        (TO_DELETION[0], (State.FAILED, Event.CANCELLED)),
        ((State.AWAIT_READY, Event.ALREADY_REPLACED),),
        ((State.AWAIT_TERMINATION, Event.ALREADY_TERMINATING),),
    ],
    ids=["begun", "checked", "deleted", "gone", "refused", "cancelled", "already_replaced", "already_terminating"],
)
def test_nothing_is_told_in_between_nor_of_a_bounce_that_was_refused(
    steps: tuple[tuple[State, Event], ...],
) -> None:
    assert events.on_entering(record(*steps), NOW) is None


def test_the_end_of_a_deletion_that_was_joined_is_told_too() -> None:
    """Or the `BounceFailed` of a bounce that came too early would be the last word."""
    joined = (State.AWAIT_READY, Event.ALREADY_REPLACED), (State.DONE, Event.POD_READY)
    assert written(*joined)["reason"] == "Bounced"
    joined = (State.AWAIT_TERMINATION, Event.ALREADY_TERMINATING), (State.FAILED, Event.TERMINATION_TIMEOUT)
    assert written(*joined)["reason"] == "BounceFailed"


def test_the_custom_resource_is_told_also_where_something_between_controls_the_pod() -> None:
    stateful_set = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "mec", "uid": "set-1", "controller": True}
    given: dict[str, Any] = {"old": pod(owner=stateful_set), "resource": Owner.model_validate(OWNER)}
    assert written(*TO_DELETION, **given)["related"] == RESOURCE
    assert written(*DONE, **given)["involvedObject"] == RESOURCE


def test_nothing_is_told_where_nothing_is_pinned() -> None:
    assert events.on_entering(begin(request(), NOW), NOW) is None


def test_has_what_kubectl_describe_needs_to_show_its_age_and_from_whom_it_is() -> None:
    event = written(*TO_DELETION)
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-01T12:00:00Z"
    assert event["count"] == 1
    assert event["source"]["component"] == event["reportingComponent"] == "mecbounce"


def test_the_bounce_is_found_by_what_reported_it() -> None:
    of = record(*TO_DELETION)
    event = events.on_entering(of, NOW)
    assert event is not None
    assert event["reportingInstance"] == of.bounce_id


def test_its_times_are_in_utc_whatever_the_clock_tells() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5)))
    event = events.on_entering(record(*TO_DELETION), there)
    assert event is not None
    assert event["lastTimestamp"] == "2026-01-01T12:00:00Z"


def test_a_name_is_made_of_what_it_is_about() -> None:
    assert written(*TO_DELETION)["metadata"] == {"generateName": "mec-0."}
    assert written(*DONE)["metadata"] == {"generateName": "node-0."}


@pytest.mark.parametrize(("length", "cut"), [(1000, False), (1001, True)])
def test_a_message_is_cut_at_1000_characters(length: int, cut: bool) -> None:
    said = written(*DONE, message="x" * length)["message"]
    assert (len(said), said.endswith("…")) == (1000, cut)


def test_a_record_of_before_events_tells_the_end_about_the_pod() -> None:
    """A record saved by an older version knows its controller's UID alone."""
    old = PinnedPod(name="mec-0", uid="uid-1", controller_uid="owner-1")
    event = events.on_entering(record(*DONE).changed(old_pod=old), NOW)
    assert event is not None
    assert event["involvedObject"] == OLD
