"""What the next run does after a bounce that has ended: a late replacement is never deleted."""

from __future__ import annotations

from typing import Any

import pytest
from builders import NOW, OTHER, REPLICA_SET, STARTUP_PROBE, later, pod, request

from mecbounce.advancing import begin
from mecbounce.again import is_late, left_waiting, still_waits_on, waits_on
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.machine import Event, State
from mecbounce.record import BounceRecord, Diagnosis, PinnedPod, StateEntry

OLD = pod(uid="old")
LATE = pod(uid="new", created=0, ready=False)
BACK = pod(uid="new", created=0)
RENAMED = {"owner": REPLICA_SET, "metadata": {"generateName": "mec-7d9f-"}}
OLD_OF_SET, PEER = pod("mec-7d9f-a", "old", **RENAMED), pod("mec-7d9f-b", "peer", **RENAMED)
NEW_OF_SET = pod("mec-7d9f-c", "new", created=0, **RENAMED)
PATH = (
    (State.DISABLE_PROTECTION, Event.CHECKS_PASSED),
    (State.DELETE_POD, Event.PROTECTION_UNUSED),
    (State.AWAIT_TERMINATION, Event.DELETE_ACCEPTED),
    (State.AWAIT_READY, Event.POD_GONE),
)


def ended(event: Event = Event.READY_TIMEOUT, passed: int = 4, *, old: Pod = OLD, **fields: Any) -> BounceRecord:
    """Give a bounce that has ended with `event` after the first states of PATH."""
    peers = fields.pop("beside", ())
    begun = begin(request(pod=old.name, node=None), NOW, waits_on=fields.pop("after", None))
    final = State.DONE if event is Event.POD_STARTED else State.FAILED
    steps = [*PATH[:passed], (final, event)]
    path = (*begun.path, *(StateEntry(state=state, at=later(1), event=by) for state, by in steps))
    return begun.model_copy(update={"path": path, "old_pod": PinnedPod.of(old, [old, *peers]), **fields})


def why(code: str) -> Diagnosis:
    return Diagnosis(code=code, evidence="e", who="w")


class TestFixedName:
    @pytest.mark.parametrize(
        ("event", "passed"),
        [
            (Event.TERMINATION_TIMEOUT, 3),
            (Event.NOT_RECREATED, 4),
            (Event.READY_TIMEOUT, 4),
            (Event.CLUSTER_UNREACHABLE, 2),  # whether the DELETE was carried out is not known
        ],
    )
    @pytest.mark.parametrize(
        ("pods", "expected"),
        [
            ([], True),
            ([LATE], True),
            ([BACK], False),
            ([pod(uid="old", deleted=30)], True),
            ([OLD], False),  # its deletion was lost
            ([pod(uid="new", deleted=30)], True),  # the replacement itself is being replaced
            ([pod(uid="newer", created=0, ready=False)], True),
            ([pod(uid="new", created=0, ready=False, owner={**OTHER, "name": "mec-9"})], False),
            ([pod(uid="new", created=0, ready=False, owner=OTHER)], True),  # the same resource, made again
            ([pod(uid="new", created=0, ready=False, owner=None)], False),
            ([pod("mec-1", "other")], True),
        ],
        ids=[
            "nothing",
            "late",
            "back",
            "terminating",
            "not deleted",
            "replacement terminating",
            "replaced again",
            "of another",
            "controller made again",
            "of nobody",
            "of another name",
        ],
    )
    def test_is_waited_for_while_what_stands_there_is_not_its_replacement_that_is_back(
        self, event: Event, passed: int, pods: list[Pod], expected: bool
    ) -> None:
        assert waits_on(ended(event, passed), pods, NOW) is expected

    @pytest.mark.parametrize(
        ("event", "passed"), [(Event.POD_STARTED, 4), (Event.DELETE_REFUSED, 2), (Event.CANCELLED, 2)]
    )
    def test_is_not_waited_for_where_the_bounce_deleted_nothing_or_is_done(self, event: Event, passed: int) -> None:
        assert not waits_on(ended(event, passed), [LATE], NOW)

    @pytest.mark.parametrize(("ready_when", "expected"), [("auto", False), ("started", False), ("ready", True)])
    def test_what_counts_as_back_is_as_the_request_says(self, ready_when: str, *, expected: bool) -> None:
        probed = {"container": {"startupProbe": STARTUP_PROBE}, "container_status": {"started": True}}
        started = pod(uid="new", created=0, ready=False, **probed)
        assert waits_on(ended(request=request(node=None, ready_when=ready_when)), [started], NOW) is expected

    @pytest.mark.parametrize(("seconds", "expected"), [(9, True), (11, False)])
    def test_one_that_was_restarted_is_back_once_it_runs_steadily(self, seconds: float, *, expected: bool) -> None:
        restarted = pod(uid="new", created=0, container_status={"restartCount": 1})
        assert waits_on(ended(), [restarted], later(seconds)) is expected

    def test_an_unfinished_bounce_is_resumed_and_not_waited_for(self) -> None:
        begun = begin(request(), NOW)
        assert not left_waiting(begun)
        assert not is_late(begun, [], NOW)
        assert not is_late(ended(Event.POD_STARTED), [], NOW)


class TestGeneratedName:
    def test_is_waited_for_even_if_it_is_back_as_there_is_no_pod_to_bounce_anew(self) -> None:
        for pods in ([], [NEW_OF_SET], [PEER, NEW_OF_SET], [pod("mec-7d9f-a", "old", deleted=30, **RENAMED)]):
            assert waits_on(ended(old=OLD_OF_SET, beside=[PEER]), pods, NOW)

    def test_is_not_waited_for_where_it_still_runs(self) -> None:
        assert not waits_on(ended(old=OLD_OF_SET), [OLD_OF_SET], NOW)

    def test_is_not_waited_for_after_a_rollout_took_its_place(self) -> None:
        assert not waits_on(ended(Event.NOT_RECREATED, old=OLD_OF_SET, diagnosis=why("rolled_out")), [], NOW)

    @pytest.mark.parametrize(
        ("pods", "late"),
        [
            ([PEER], True),
            ([PEER, NEW_OF_SET], False),
            ([NEW_OF_SET], True),  # the peer has gone too: one new pod is not the replacement of two
            ([NEW_OF_SET, pod("mec-7d9f-d", "newer", created=1, **RENAMED)], False),
        ],
    )
    def test_is_late_until_as_many_are_back_as_have_gone(self, pods: list[Pod], late: bool) -> None:
        assert is_late(ended(old=OLD_OF_SET, beside=[PEER]), pods, NOW) is late


class TestASecondFailure:
    def test_of_one_that_waited_on_is_waited_on_again(self) -> None:
        again = ended(Event.NOT_RECREATED, 0, after=ended())
        waited = (State.AWAIT_READY, Event.ALREADY_REPLACED), (State.FAILED, Event.NOT_RECREATED)
        path = (again.path[0], *(StateEntry(state=state, at=later(2), event=event) for state, event in waited))
        assert waits_on(again.model_copy(update={"path": path}), [LATE], NOW)

    @pytest.mark.parametrize(
        "event", [Event.CANCELLED, Event.CLUSTER_UNREACHABLE, Event.ACCESS_DENIED, Event.NODE_DOWN]
    )
    def test_before_it_could_look_is_waited_on_too(self, event: Event) -> None:
        """It deleted nothing itself, and what it kept waiting for is still late."""
        stopped = ended(event, 0, after=ended())
        assert still_waits_on(stopped)
        assert waits_on(stopped, [LATE], NOW)

    def test_after_it_found_the_old_pod_and_was_refused_is_a_bounce_of_its_own(self) -> None:
        refused = ended(Event.DELETE_REFUSED, 2, after=ended())
        assert not still_waits_on(refused)
        assert not waits_on(refused, [LATE], NOW)
