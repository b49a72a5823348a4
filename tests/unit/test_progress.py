"""Where a bounce stands, and what it waits for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from builders import STARTUP_PROBE, later, pod, stamp

from mecbounce.kubernetes_api.objects import Pod
from mecbounce.machine import State
from mecbounce.progress import LastLook, Progress
from mecbounce.record import Trouble

from .cli.bounces import DONE, NEW_UID, OLD_UID, PATH, record


def replacement(**fields: Any) -> Pod:
    return pod(uid=NEW_UID, ready=False, container={"startupProbe": STARTUP_PROBE}, **fields)


def running(**fields: Any) -> LastLook:
    """Give a look at a replacement whose container runs."""
    return LastLook((replacement(container_status={"state": {"running": {"startedAt": stamp(40)}}}, **fields),))


def test_tells_where_a_bounce_stands() -> None:
    found = Progress.of(record(*PATH), running(), later(60.9))
    assert (found.state, found.since, found.deadline) == (State.AWAIT_READY, later(31.75), later(631.75))
    assert (found.code, found.text) == (
        "startup_probe",
        "startup probe of app: 20 of at most 30 tries used up, 10 s left of its budget",
    )


@pytest.mark.parametrize(("now", "fraction"), [(39, 0.0), (40, 0.0), (55.5, 0.5), (71, 1.0), (99, 1.0)])
def test_the_part_of_the_startup_budget_that_is_used_is_from_0_to_1(now: float, fraction: float) -> None:
    """Thirty tries, one a second, and one second more."""
    assert Progress.of(record(*PATH), running(), later(now)).fraction == fraction


@pytest.mark.parametrize(
    "pods",
    [(), (replacement(spec={"nodeName": ""}),), (pod(uid=NEW_UID, ready=False),), (pod(uid=NEW_UID),)],
    ids=["none", "unscheduled", "without a startup probe", "back"],
)
def test_without_a_running_startup_probe_there_is_no_such_part(pods: tuple[Pod, ...]) -> None:
    assert Progress.of(record(*PATH), LastLook(pods), later(60)).fraction is None


def test_is_plain_data_for_a_screen_of_ones_own() -> None:
    """The pods are there for whoever calls, and not part of the JSON."""
    found = Progress.of(record(*PATH), running(), later(55.5))
    assert found.look == running()
    assert found.model_dump(mode="json") == {
        "state": "AWAIT_READY",
        "since": "2026-01-01T12:00:31.750000Z",
        "deadline": "2026-01-01T12:10:31.750000Z",
        "code": "startup_probe",
        "text": "startup probe of app: 15 of at most 30 tries used up, 16 s left of its budget",
        "fraction": 0.5,
    }


class TestWhatIsWaitedFor:
    STARTED = {"state": {"running": {"startedAt": stamp(40)}}}  # noqa: RUF012 -- a table

    @pytest.mark.parametrize(
        ("pods", "said"),
        [
            (None, ""),
            ((), "nothing has recreated the pod yet"),
            (
                (pod(uid=OLD_UID, deleted=30),),
                "the old pod had gone, and the API server shows it again, being deleted",
            ),
            ((replacement(spec={"nodeName": ""}),), "no scheduler has looked at it"),
            (
                (replacement(container_status=STARTED),),
                "startup probe of app: 20 of at most 30 tries used up, 10 s left of its budget",
            ),
            ((pod(uid=NEW_UID, container={"startupProbe": STARTUP_PROBE}),), ""),
        ],
        ids=["no look yet", "none", "the old one", "unscheduled", "probed", "back"],
    )
    def test_in_await_ready(self, pods: tuple[Pod, ...] | None, said: str) -> None:
        found = Progress.of(record(*PATH), None if pods is None else LastLook(pods), later(60.9))
        assert found.text == said

    @pytest.mark.parametrize(
        ("pods", "said"),
        [
            ((pod(uid=OLD_UID),), ""),
            ((), ""),
            ((pod(uid=OLD_UID, deleted=30),), "container app still running, 20 s left of the grace period"),
            (
                (pod(uid=OLD_UID, deleted=30, container_status={"state": {}}, metadata={"finalizers": ["x.io/y"]}),),
                "no container runs any more; finalizers left: x.io/y",
            ),
        ],
        ids=["not deleted yet", "gone", "in its grace period", "finalizers"],
    )
    def test_in_await_termination(self, pods: tuple[Pod, ...], said: str) -> None:
        found = Progress.of(record(*PATH[:3]), LastLook(pods), later(10))
        assert found.text == said

    NOT_REMOVED = "no container runs any more and no finalizer is left; its kubelet has not removed it"

    @pytest.mark.parametrize("skew", [-3600, 0, 3600])
    @pytest.mark.parametrize(
        ("ended", "deleted", "now", "told"),
        [
            ([10], 30, 39.9, False),
            ([10], 30, 40, True),
            ([10, 25], 30, 54.9, False),
            ([10, 25], 30, 55, True),
            ([None], 30, 29.9, False),
            ([None], 30, 30, True),
            ([], 30, 29.9, False),
            ([], 30, 30, True),
            ([-900], 30, 29.9, False),
            ([-900], 30, 30, True),
        ],
        ids=[
            "just_ended",
            "ended_30_s_ago",
            "the_last_just_ended",
            "the_last_30_s_ago",
            "nobody_knows_when_but_just_deleted",
            "nobody_knows_when_and_deleted_30_s_ago",
            "never_ran_and_just_deleted",
            "never_ran_and_deleted_30_s_ago",
            "ended_long_before_it_was_deleted",
            "ended_long_before_it_was_deleted_30_s_ago",
        ],
    )
    def test_that_a_kubelet_takes_its_time_to_remove_an_ended_pod_is_told_after_30_s(
        self, ended: list[float | None], deleted: float, now: float, told: bool, skew: float
    ) -> None:
        """Its grace period of 30 s ends at `deleted`. Whatever the kind of container, and by the cluster's clock."""
        statuses = [
            {"name": f"c{n}", "state": {"terminated": {"exitCode": 0, "finishedAt": at and stamp(skew + at)}}}
            for n, at in enumerate(ended)
        ]
        kinds = {"containerStatuses": statuses[:1], "ephemeralContainerStatuses": statuses[1:]}
        left = pod(uid=OLD_UID, deleted=skew + deleted, status=kinds)
        sight = LastLook((left,), timedelta(seconds=skew))
        found = Progress.of(record(*PATH[:3]), sight, later(now))
        assert found.text == (self.NOT_REMOVED if told else "")

    @pytest.mark.parametrize("skew", [-3600, 0, 3600])
    def test_what_the_cluster_times_is_told_by_its_clock(self, skew: float) -> None:
        """How much of a grace period is left, and of a startup probe's budget."""
        ahead = timedelta(seconds=skew)
        going = LastLook((pod(uid=OLD_UID, deleted=skew + 30),), ahead)
        found = Progress.of(record(*PATH[:3]), going, later(10))
        assert (found.code, found.text) == (
            "grace_period_running",
            "container app still running, 20 s left of the grace period",
        )
        runs = {"state": {"running": {"startedAt": stamp(skew + 40)}}}
        starting = LastLook((replacement(container_status=runs),), ahead)
        found = Progress.of(record(*PATH), starting, later(60.9))
        assert found.text == "startup probe of app: 20 of at most 30 tries used up, 10 s left of its budget"

    def test_a_container_between_two_crashes_is_waited_for(self) -> None:
        runs = {"restartCount": 2, "ready": True, "started": True, "state": {"running": {"startedAt": stamp(50)}}}
        last = {"lastState": {"terminated": {"exitCode": 1}}}
        seen = LastLook((pod(uid=NEW_UID, container_status=runs | last),))
        found = Progress.of(record(*PATH), seen, later(59))
        assert found.text == "container app, restart count 2, last exit code 1"
        assert Progress.of(record(*PATH), seen, later(60)).code == ""

    def test_an_api_server_that_gives_no_answer_is_what_is_waited_for(self) -> None:
        troubled = record(*PATH, trouble=Trouble(since=later(40), tries=3, what="connection refused"))
        found = Progress.of(troubled, LastLook(()), later(52))
        assert (found.code, found.text) == (
            "trouble",
            "no usable answer from the API server for 12 s, 3 tries: connection refused",
        )

    def test_before_the_deletion_and_after_the_end_there_is_nothing_to_wait_for(self) -> None:
        assert Progress.of(record(*PATH[:1]), LastLook(()), later(1)).code == ""
        ended = record(*PATH, DONE, trouble=Trouble(since=later(40), tries=3, what="connection refused"))
        assert Progress.of(ended, LastLook(()), later(100)).code == ""
