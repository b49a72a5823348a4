"""Each handler: what it looks at, what it decides, and the one write that it may do."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from builders import NODE, NOW, STARTUP_PROBE, Mute, host, later, pod, request, stamp
from fakes import FakeClock, FakeCluster

from mecbounce import steps
from mecbounce.advancing import advance, begin
from mecbounce.errors import (
    AccessDenied,
    ClusterError,
    Conflict,
    DeleteUnanswered,
    NotFound,
    Refused,
    Unreachable,
)
from mecbounce.kubernetes_api.objects import Controller, Owner, Pod, PodEvent
from mecbounce.machine import Event, State
from mecbounce.messages import COMMAND, TASK, Terms, bounce_only
from mecbounce.protection import AnnotationProtection, ShutdownProtection
from mecbounce.record import BounceRecord, Notice, PinnedPod, Protection, SeenPod, StateEntry, Trouble
from mecbounce.request import NodeRef
from mecbounce.steps import STILL_WAITING, Context, Outcome

OLD = pod()
REPLICA_SET = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs-1", "controller": True}
STATEFUL_SET = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "mec", "uid": "sts-1", "controller": True}
DAEMON_SET = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "log", "uid": "ds-1", "controller": True}
JOB = {"apiVersion": "batch/v1", "kind": "Job", "name": "backup", "uid": "job-1", "controller": True}


def record_in(state: State, *, deadline: float | None = None, old: Pod = OLD, **fields: Any) -> BounceRecord:
    """Give a record as it stands in `state`, entered at NOW."""
    first = begin(fields.pop("request", request()), NOW)
    path = (first.path[0], StateEntry(state=state, at=NOW))
    changes: dict[str, Any] = {"path": path, "old_pod": PinnedPod.of(old, [old])} | fields
    if deadline is not None:
        changes["deadline"] = later(deadline)
    return first.changed(**changes)


def context_of(
    record: BounceRecord,
    cluster: FakeCluster,
    *,
    now: datetime = NOW,
    protection: ShutdownProtection | None = None,
) -> Context:
    return Context(record, now, cluster, lambda name: cluster.pods("default", name), protection)


def run(record: BounceRecord, cluster: FakeCluster, **options: Any) -> Outcome:
    return steps.HANDLERS[record.state](context_of(record, cluster, **options))


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(FakeClock(), OLD)


class Switch:
    """A protection that answers what it is told to."""

    def __init__(self, answer: bool | Exception | None) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def disable(self, pod: Pod) -> bool | None:
        self.asked.append(pod.uid)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class TestInitChecks:
    def test_pins_the_identity_and_asks_for_the_resource_and_the_pod_alone(self, cluster: FakeCluster) -> None:
        outcome = run(begin(request(), NOW), cluster)
        assert outcome.event is Event.CHECKS_PASSED
        assert outcome.record_changes["old_pod"] == PinnedPod.of(OLD, [OLD])
        assert cluster.calls == ["node", "pods default/mec-0"]

    def test_a_resource_that_is_not_there_is_missed_even_where_the_cluster_says_so_without_a_word(
        self, cluster: FakeCluster
    ) -> None:
        cluster.faults = [NotFound("")]
        outcome = run(begin(request(), NOW), cluster)
        assert outcome.event is Event.NODE_MISSING
        assert "NotFound" in outcome.message

    def test_without_a_node_only_the_pod_is_asked_for(self, cluster: FakeCluster) -> None:
        assert run(begin(request(node=None), NOW), cluster).event is Event.CHECKS_PASSED
        assert cluster.calls == ["pods default/mec-0"]

    def test_a_generated_name_pins_every_pod_of_the_same_controller(self) -> None:
        owner = {"kind": "ReplicaSet", "name": "rs", "uid": "rs-1", "controller": True}
        generated = {"generateName": "rs-"}
        own = pod("rs-a", "uid-a", owner=owner, metadata=generated)
        sibling = pod("rs-b", "uid-b", owner=owner, metadata=generated)
        stranger = pod("other", "uid-c")
        cluster = FakeCluster(FakeClock(), own, sibling, stranger)
        outcome = run(begin(request(node=None, pod="rs-a"), NOW), cluster)
        assert outcome.record_changes["old_pod"].lookalikes == {"uid-b"}
        assert cluster.calls == ["pods default/rs-a", "pods default/*"]

    def test_a_pod_that_runs_is_pinned_anew_by_a_bounce_that_waits_on(self) -> None:
        """Its own DELETE comes now: what stands beside the pod by now is no replacement either."""
        generated = {"owner": REPLICA_SET, "metadata": {"generateName": "rs-"}}
        own, newer = pod("rs-a", "uid-a", **generated), pod("rs-b", "uid-b", created=5, **generated)
        known = {"old_pod": PinnedPod.of(own, [own]), "waits_on": "b-0"}
        record = begin(request(node=None, pod="rs-a"), NOW).model_copy(update=known)
        outcome = run(record, FakeCluster(FakeClock(), own, newer))
        assert outcome.event is Event.CHECKS_PASSED
        assert outcome.record_changes["old_pod"].lookalikes == {"uid-b"}

    def test_a_pod_that_terminates_is_pinned_anew_by_any_other_bounce(self) -> None:
        """As after an intent that has expired."""
        generated = {"owner": REPLICA_SET, "metadata": {"generateName": "rs-"}}
        own, beside = pod("rs-a", "uid-a", deleted=30, **generated), pod("rs-b", "uid-b", **generated)
        record = begin(request(node=None, pod="rs-a"), NOW).model_copy(update={"old_pod": PinnedPod.of(own, [own])})
        outcome = run(record, FakeCluster(FakeClock(), own, beside))
        assert outcome.event is Event.ALREADY_TERMINATING
        assert outcome.record_changes["old_pod"].lookalikes == {"uid-b"}

    def test_a_missing_resource_ends_it_before_the_pod_is_looked_at(self, cluster: FakeCluster) -> None:
        cluster.resource = None
        assert run(begin(request(), NOW), cluster).event is Event.NODE_MISSING
        assert cluster.calls == ["node"]

    def test_an_unreadable_resource_names_the_field(self, cluster: FakeCluster) -> None:
        cluster.resource = {"spec": {"state": 5}}
        outcome = run(begin(request(), NOW), cluster)
        assert outcome.event is Event.NODE_UNREADABLE
        assert "spec.state holds a number, expected text" in outcome.message

    def test_a_pinned_incarnation_that_has_gone_is_all_that_is_pinned(self, cluster: FakeCluster) -> None:
        outcome = run(begin(request(pod_uid="gone"), NOW), cluster)
        assert outcome.event is Event.ALREADY_REPLACED
        assert outcome.record_changes["old_pod"] == PinnedPod(name="mec-0", uid="gone")
        assert [code for code, _ in outcome.notices] == ["already_replaced"]

    def test_a_deletion_under_way_is_joined_with_a_notice(self) -> None:
        cluster = FakeCluster(FakeClock(), pod(deleted=20))
        outcome = run(begin(request(), NOW), cluster)
        assert outcome.event is Event.ALREADY_TERMINATING
        assert [code for code, _ in outcome.notices] == ["already_terminating"]
        assert outcome.record_changes["old_pod"].uid == "uid-1"

    @pytest.mark.parametrize(
        ("timeouts", "codes"),
        [
            ({}, []),
            ({"termination": 29}, ["short_termination_timeout"]),
            ({"termination": 30, "ready": 31}, []),
            ({"ready": 30}, ["short_ready_timeout"]),
        ],
    )
    def test_a_given_deadline_shorter_than_the_pods_own_earns_a_notice(
        self, timeouts: dict[str, float], codes: list[str]
    ) -> None:
        cluster = FakeCluster(FakeClock(), pod(container={"startupProbe": STARTUP_PROBE}))
        outcome = run(begin(request(timeouts=timeouts), NOW), cluster)
        assert [code for code, _ in outcome.notices] == codes

    @pytest.mark.parametrize(
        ("resource", "event"),
        [
            ({"spec": {"state": "down"}}, Event.NODE_DOWN),
            ({"spec": {"state": 5}}, Event.NODE_UNREADABLE),
            ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, Event.NODE_DELETING),
            (None, Event.NODE_MISSING),
        ],
    )
    def test_no_other_incarnation_than_the_one_asked_for_is_ever_pinned(
        self, resource: dict[str, Any] | None, event: Event
    ) -> None:
        """Else its record could not even be read again."""
        cluster = FakeCluster(FakeClock(), pod(uid="uid-2"))
        cluster.resource = resource
        record = advance(begin(request(pod_uid="uid-1"), NOW), cluster, NOW).record
        assert (record.path[-1].event, record.old_pod) == (event, None)
        assert record == BounceRecord.model_validate_json(record.model_dump_json())

    def test_an_owner_that_makes_it_anew_without_controlling_it_is_pinned_as_its_controller(self) -> None:
        owned = pod(owner={"kind": "ExpressNode", "name": "mec-0", "uid": "owner-1"})
        cluster = FakeCluster(FakeClock(), owned)
        cluster.resource = {"kind": "ExpressNode", "metadata": {"uid": "owner-1"}, "spec": {"state": "up"}}
        outcome = run(begin(request(), NOW), cluster)
        assert (outcome.event, [code for code, _ in outcome.notices]) == (Event.CHECKS_PASSED, ["pod_owned"])
        assert outcome.record_changes["old_pod"].controller.called == "ExpressNode mec-0"

    def test_no_check_costs_a_request_more(self, cluster: FakeCluster) -> None:
        cluster.present = {"uid-1": pod(owner=JOB, status={"phase": "Failed"}, metadata={"finalizers": ["a.io/b"]})}
        run(begin(request(force=True), NOW), cluster)
        assert cluster.calls == ["node", "pods default/mec-0"]

    def test_the_pods_that_it_judges_without_an_unnamed_resource_are_of_a_new_request(self) -> None:
        """Nothing has answered for the API timeout: what a watch still shows may be long gone."""
        cluster = FakeCluster(FakeClock(), OLD)
        troubled = record_in(State.INIT_CHECKS, request=request(node="auto"), old_pod=None)
        troubled = troubled.changed(trouble=Trouble(since=NOW, tries=9, what="503"))
        for now, asked in ((later(30), ["pods default/mec-0"]), (later(29), [])):
            cluster.calls.clear()
            context = Context(troubled, now, cluster, lambda _: (OLD,))
            assert steps.init_checks(context).event is Event.CHECKS_PASSED
            assert [call for call in cluster.calls if call.startswith("pods")] == asked


class TestDisableProtection:
    @pytest.mark.parametrize(
        ("answer", "event", "protection"),
        [
            (True, Event.PROTECTION_DISABLED, Protection.DISABLED),
            (None, Event.PROTECTION_DISABLED, Protection.DISABLED),
            (False, Event.PROTECTION_UNUSED, Protection.OFF),
            (AccessDenied("no"), Event.PROTECTION_KEPT, Protection.KEPT),
            (RuntimeError("anybody's code"), Event.PROTECTION_KEPT, Protection.KEPT),
            (Unreachable("answer lost"), Event.PROTECTION_KEPT, Protection.UNKNOWN),
        ],
    )
    def test_goes_on_whatever_comes_of_it(
        self, cluster: FakeCluster, answer: bool | Exception | None, event: Event, protection: Protection
    ) -> None:
        switch = Switch(answer)
        outcome = run(record_in(State.DISABLE_PROTECTION), cluster, protection=switch)
        assert (outcome.event, outcome.record_changes["protection"]) == (event, protection)
        assert switch.asked == ["uid-1"]

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (OSError("broken\n  pipe."), "broken pipe"),
            (ValueError(), "ValueError"),
            (OSError("POST /off?token=hunter2 was refused"), "POST /off?token=*** was refused"),
            (Mute("s3cret"), "Mute"),
        ],
        ids=["two_lines", "no_words", "a_secret", "raises_as_it_is_told"],
    )
    def test_a_failure_is_told_in_one_line(self, cluster: FakeCluster, error: Exception, told: str) -> None:
        outcome = run(record_in(State.DISABLE_PROTECTION), cluster, protection=Switch(error))
        text = f"Shutdown protection could not be switched off: {told}. Deleting the pod anyway."
        assert outcome.notices == (("protection_kept", text),)

    def test_none_configured_asks_nobody(self, cluster: FakeCluster) -> None:
        assert run(record_in(State.DISABLE_PROTECTION), cluster).event is Event.PROTECTION_UNUSED
        assert cluster.calls == []

    @pytest.mark.parametrize("standing", [pod(uid="uid-2"), pod(deleted=9)], ids=["another", "terminating"])
    def test_only_the_pinned_incarnation_is_touched_and_only_while_it_runs(self, standing: Pod) -> None:
        switch = Switch(True)
        outcome = run(record_in(State.DISABLE_PROTECTION), FakeCluster(FakeClock(), standing), protection=switch)
        assert outcome.event is Event.PROTECTION_UNUSED
        assert switch.asked == []

    def test_a_protection_that_hangs_is_left_behind_after_the_api_timeout(self, cluster: FakeCluster) -> None:
        released = threading.Event()

        class Hanging:
            def disable(self, _pod: Pod) -> None:
                released.wait(10)

        record = record_in(State.DISABLE_PROTECTION, request=request(timeouts={"api": 0.01}))
        outcome = run(record, cluster, protection=Hanging())
        released.set()
        assert (outcome.event, outcome.record_changes["protection"]) == (Event.PROTECTION_KEPT, Protection.UNKNOWN)
        assert "no answer within" in outcome.notices[0][1]


class TestDeletePod:
    def test_deletes_the_pinned_incarnation_once(self, cluster: FakeCluster) -> None:
        assert run(record_in(State.DELETE_POD), cluster).event is Event.DELETE_ACCEPTED
        assert cluster.deleted == ["uid-1"]

    def test_a_terminating_pod_is_never_deleted_again(self) -> None:
        cluster = FakeCluster(FakeClock(), pod(deleted=20))
        assert run(record_in(State.DELETE_POD), cluster).event is Event.DELETE_ACCEPTED
        assert cluster.deleted == []

    @pytest.mark.parametrize("present", [(), (pod(uid="uid-2"),)], ids=["nothing", "another"])
    def test_an_incarnation_that_has_gone_is_not_deleted(self, present: tuple[Pod, ...]) -> None:
        cluster = FakeCluster(FakeClock(), *present)
        assert run(record_in(State.DELETE_POD), cluster).event is Event.POD_GONE
        assert cluster.calls == ["pods default/mec-0"]

    def test_404_means_gone_where_a_look_confirms_it(self, cluster: FakeCluster) -> None:
        cluster.present = {}
        stale = Context(record_in(State.DELETE_POD), NOW, cluster, lambda _: (OLD,))
        assert steps.delete_pod(stale).event is Event.POD_GONE

    def test_404_with_the_pinned_pod_still_there_is_tried_again_later(self, cluster: FakeCluster) -> None:
        cluster.faults = [None, NotFound("no route, says something in between")]
        with pytest.raises(Unreachable, match="no route"):
            run(record_in(State.DELETE_POD), cluster)

    def test_a_replacement_that_came_between_look_and_delete_stays_whole(self, cluster: FakeCluster) -> None:
        replacement = pod(uid="uid-2")

        def look(_: str | None) -> tuple[Pod, ...]:
            cluster.present = {"uid-2": replacement}
            return (OLD,)

        context = Context(record_in(State.DELETE_POD), NOW, cluster, look)
        assert steps.delete_pod(context).event is Event.POD_GONE
        assert cluster.present == {"uid-2": replacement}

    def test_409_with_the_pinned_pod_still_there_is_tried_again_later(self, cluster: FakeCluster) -> None:
        cluster.faults = [None, Conflict("storage conflict")]
        with pytest.raises(Unreachable, match="storage conflict"):
            run(record_in(State.DELETE_POD), cluster)

    @pytest.mark.parametrize("error", [AccessDenied("forbidden"), Refused("webhook")])
    def test_a_final_no_says_that_the_pod_runs_on_and_whether_it_is_protected(
        self, cluster: FakeCluster, error: Exception
    ) -> None:
        cluster.faults = [None, error]
        outcome = run(record_in(State.DELETE_POD, protection=Protection.DISABLED), cluster)
        assert outcome.event is Event.DELETE_REFUSED
        assert f"{error}. It runs on, with its shutdown protection switched off." in outcome.message

    @pytest.mark.parametrize(
        ("protection", "said"),
        [
            (Protection.OFF, "runs on, without a shutdown protection."),
            (Protection.UNKNOWN, "runs on, with its shutdown protection perhaps switched off."),
            (Protection.KEPT, "runs on."),
            (Protection.UNUSED, "runs on."),
        ],
    )
    def test_a_refusal_says_no_more_of_the_protection_than_is_known(
        self, cluster: FakeCluster, protection: Protection, said: str
    ) -> None:
        cluster.faults = [None, Refused("no")]
        assert said in run(record_in(State.DELETE_POD, protection=protection), cluster).message

    def test_a_refusal_after_a_delete_that_was_carried_out_is_an_accepted_one(self, cluster: FakeCluster) -> None:
        """A watch may lag behind: only a look after the refusal tells whether the pod runs on."""
        cluster.delete_pod("default", "mec-0", "uid-1")
        cluster.faults = [Refused("webhook")]
        stale = Context(record_in(State.DELETE_POD), NOW, cluster, lambda _: (OLD,))
        assert steps.delete_pod(stale).event is Event.DELETE_ACCEPTED
        assert cluster.deleted == ["uid-1"]

    def test_after_an_unanswered_delete_a_watch_is_not_believed(self, cluster: FakeCluster) -> None:
        cluster.delete_pod("default", "mec-0", "uid-1")
        record = record_in(State.DELETE_POD, trouble=Trouble(since=NOW, tries=1, what="lost"))
        stale = Context(record, NOW, cluster, lambda _: (OLD,))
        assert steps.delete_pod(stale).event is Event.DELETE_ACCEPTED
        assert cluster.deleted == ["uid-1"]


WEBHOOK = Unreachable('Internal error occurred: failed calling webhook "keep.example.com": connection refused')
DENIED = Refused('admission webhook "keep.example.com" denied the request: not now')
KEPT_BY_POLICY = Refused("pods \"mec-0\" is forbidden: ValidatingAdmissionPolicy 'keep' denied request: frozen")


class AnsweringWith(FakeCluster):
    """Answers a DELETE by an error, and then is as it is told to be."""

    def __init__(self, answer: Exception, then: Any) -> None:
        super().__init__(FakeClock(), OLD)
        self.answer, self.then = answer, then
        self.deletes = 0

    def delete_pod(self, namespace: str, name: str, uid: str, *, dry_run: bool = False) -> None:  # noqa: ARG002
        self.deletes += 1
        if isinstance(self.then, Exception):
            self.faults = [self.then]
        else:
            self.present = {one.uid: one for one in self.then}
        raise self.answer


class TestANoToTheDelete:
    """Whatever the answer: before it is given up, a last look tells whether the pod was deleted."""

    @pytest.mark.parametrize(
        ("then", "event"),
        [
            ([OLD], Event.DELETE_REFUSED),
            ([pod(deleted=30)], Event.DELETE_ACCEPTED),
            ([pod(uid="uid-2")], Event.POD_GONE),
            ([], Event.POD_GONE),
        ],
        ids=["it_stands", "it_terminates", "it_is_replaced", "it_has_gone"],
    )
    @pytest.mark.parametrize(
        ("answer", "final"),
        [
            (WEBHOOK, False),
            (Unreachable("too many requests, please try again later.", retry_after=9), False),
            (Unreachable("connection reset"), False),
            (NotFound("404 page not found"), False),
            (Conflict("the object has been modified"), False),
            (AccessDenied("pods is forbidden"), True),
            (DENIED, True),
            (KEPT_BY_POLICY, True),
        ],
        ids=["webhook_down", "throttled", "reset", "404", "409", "403", "webhook", "policy"],
    )
    @pytest.mark.parametrize("api_timeout_passed", [False, True])
    def test_is_followed_by_a_look_that_decides(
        self, answer: ClusterError, final: bool, then: list[Pod], event: Event, api_timeout_passed: bool
    ) -> None:
        cluster = AnsweringWith(answer, then)
        trouble = Trouble(since=NOW, tries=3, what="lost", delete_tried_at=later(29))
        record = record_in(State.DELETE_POD, trouble=trouble)
        now = later(30 if api_timeout_passed else 29.9)
        looks_at_once = final or api_timeout_passed or not isinstance(answer, Unreachable)
        tried_again = not final and not api_timeout_passed and event is Event.DELETE_REFUSED
        if tried_again or not looks_at_once:
            with pytest.raises(DeleteUnanswered) as raised:
                run(record, cluster, now=now)
            assert raised.value.retry_after == getattr(answer, "retry_after", 0)
        else:
            assert run(record, cluster, now=now).event is event
        assert cluster.deletes == 1

    @pytest.mark.parametrize(
        ("answer", "code", "who"),
        [
            (WEBHOOK, "webhook_failing", "the owners of webhook keep.example.com"),
            (DENIED, "webhook_denied", "the owners of webhook keep.example.com"),
            (KEPT_BY_POLICY, "policy_denied", "the owners of ValidatingAdmissionPolicy keep"),
            (AccessDenied("pods is forbidden"), "refused", "the cluster's administrators"),
            (Unreachable("too many requests"), "delete_failing", "the cluster's administrators"),
            (NotFound("404 page not found"), "delete_failing", "the cluster's administrators"),
        ],
        ids=["webhook_down", "webhook", "policy", "403", "429", "404"],
    )
    def test_is_quoted_with_who_must_act_and_says_that_the_pod_runs_on(
        self, answer: ClusterError, code: str, who: str
    ) -> None:
        record = record_in(State.DELETE_POD, trouble=Trouble(since=NOW, tries=3, what="x", delete_tried_at=later(29)))
        outcome = run(record, AnsweringWith(answer, [OLD]), now=later(30))
        assert (outcome.event, outcome.message) == (
            Event.DELETE_REFUSED,
            f"The API server did not delete pod mec-0: {str(answer).rstrip('.')}. It runs on.",
        )
        assert outcome.diagnosis is not None
        assert (outcome.diagnosis.code, outcome.diagnosis.who) == (code, who)
        assert outcome.advice == f"To act: {who}. Fix the cause with them, then bounce again."

    @pytest.mark.parametrize("answer", [WEBHOOK, DENIED, NotFound("404"), AccessDenied("403")])
    def test_without_a_last_look_it_is_not_known(self, answer: ClusterError) -> None:
        cluster = AnsweringWith(answer, Unreachable("lost"))
        record = record_in(State.DELETE_POD, trouble=Trouble(since=NOW, tries=3, what="x", delete_tried_at=later(29)))
        after = advance(record, cluster, later(30)).record
        assert after.path[-1].event is Event.CLUSTER_UNREACHABLE
        assert "may or may not have been carried out" in after.message

    @pytest.mark.parametrize("generated", [True, False])
    def test_the_look_before_one_of_a_generated_name_is_no_watchs(self, generated: bool) -> None:
        """What a scale-up has made meanwhile, and the watch has not told of, would be taken for the replacement."""
        named = {"generateName": "rs-"} if generated else {}
        old, scaled = (pod(f"rs-{uid}", uid, owner=REPLICA_SET, metadata=named) for uid in "ab")
        record = record_in(State.DELETE_POD, old=old, request=request(node=None, pod="rs-a"))
        cluster = FakeCluster(FakeClock(), old, scaled)
        outcome = steps.delete_pod(Context(record, NOW, cluster, lambda _: (old,)))
        assert outcome.record_changes["old_pod"].lookalikes == ({"b"} if generated else set())
        assert cluster.calls == (["pods default/*"] if generated else ["delete default/rs-a"])


class TestWhatStandsBesideIt:
    """Where the DELETE's answer is lost, or its runner killed, only what was saved before tells a scale-up apart."""

    OLD, SCALED = (pod(f"rs-{uid}", uid, owner=REPLICA_SET, metadata={"generateName": "rs-"}) for uid in "ab")

    def record(self, **fields: Any) -> BounceRecord:
        return record_in(State.DELETE_POD, old=self.OLD, request=request(node=None, pod="rs-a"), **fields)

    def test_is_saved_before_the_delete_is_sent(self) -> None:
        record, cluster = self.record(), FakeCluster(FakeClock(), self.OLD, self.SCALED)
        saved = advance(record, cluster, NOW).record
        assert (saved.state, cluster.deleted) == (State.DELETE_POD, [])
        assert saved.old_pod is not None
        assert [saved.old_pod.lookalikes, saved.old_pod.peers] == [frozenset({"b"})] * 2
        advance(saved, cluster, NOW)  # killed before this one was saved
        cluster.gone("a")
        resumed = advance(saved, cluster, later(1)).record
        assert (resumed.state, cluster.deleted) == (State.AWAIT_READY, ["a"])
        assert advance(resumed, cluster, later(2)).record.new_pod is None

    def test_is_saved_without_forgetting_a_delete_that_got_no_answer(self) -> None:
        trouble = Trouble(since=NOW, tries=1, what="lost", delete_tried_at=NOW)
        cluster = FakeCluster(FakeClock(), self.OLD, self.SCALED)
        saved = advance(self.record(trouble=trouble), cluster, later(1)).record
        assert (cluster.deleted, saved.trouble) == ([], trouble)

    def test_that_changes_with_each_look_holds_the_delete_back_until_its_intent_has_expired_twice(self) -> None:
        once = (
            StateEntry(state=State.INIT_CHECKS, at=NOW),
            StateEntry(state=State.DISABLE_PROTECTION, at=NOW, event=Event.CHECKS_PASSED),
            StateEntry(state=State.DELETE_POD, at=NOW, event=Event.PROTECTION_UNUSED),
        )
        again = (StateEntry(state=State.INIT_CHECKS, at=NOW, event=Event.INTENT_EXPIRED), *once[1:])
        deleted = []
        for path in [once, (*once, *again), (*once, *again, *again)]:
            cluster = FakeCluster(FakeClock(), self.OLD, self.SCALED)
            advance(self.record(path=path), cluster, NOW)
            deleted.append(cluster.deleted)
        assert deleted == [[], [], ["a"]]


class TestAwaitTermination:
    def test_waits_while_the_pinned_uid_exists(self) -> None:
        cluster = FakeCluster(FakeClock(), pod(deleted=30))
        assert run(record_in(State.AWAIT_TERMINATION, deadline=60), cluster) == steps.STILL_WAITING

    def test_another_uid_under_the_same_name_means_gone(self) -> None:
        cluster = FakeCluster(FakeClock(), pod(uid="uid-2"))
        assert run(record_in(State.AWAIT_TERMINATION, deadline=60), cluster).event is Event.POD_GONE

    def test_looks_before_it_judges(self) -> None:
        outcome = run(record_in(State.AWAIT_TERMINATION, deadline=60), FakeCluster(FakeClock()), now=later(3600))
        assert outcome.event is Event.POD_GONE

    def test_the_deadline_is_judged_on_a_look_of_its_own_not_on_a_watch(self) -> None:
        cluster = FakeCluster(FakeClock())
        record = record_in(State.AWAIT_TERMINATION, deadline=60)
        stale = Context(record, later(60), cluster, lambda _: (pod(deleted=30),))
        assert steps.await_termination(stale).event is Event.POD_GONE
        assert cluster.calls == ["pods default/mec-0"]

    def test_after_the_deadline_it_fails_with_the_diagnosis_and_never_forces(self) -> None:
        stuck = pod(
            deleted=30,
            metadata={"finalizers": ["example.com/drain"]},
            container_status={"state": {"terminated": {"exitCode": 0}}},
        )
        cluster = FakeCluster(FakeClock(), stuck)
        outcome = run(record_in(State.AWAIT_TERMINATION, deadline=60), cluster, now=later(60))
        assert outcome.event is Event.TERMINATION_TIMEOUT
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == "finalizers"
        assert "after 60 s" in outcome.message
        assert "keep_waiting()" in outcome.advice
        assert cluster.deleted == []

    @pytest.mark.parametrize("skew", [-3600, 0, 3600])
    def test_its_evidence_is_reckoned_by_the_clusters_clock_and_its_deadline_by_ours(self, skew: float) -> None:
        cluster = FakeCluster(FakeClock(), pod(deleted=skew + 80))
        cluster.keeps_time(skew + 60)
        outcome = run(record_in(State.AWAIT_TERMINATION, deadline=60), cluster, now=later(60))
        assert (outcome.event, outcome.diagnosis and outcome.diagnosis.evidence) == (
            Event.TERMINATION_TIMEOUT,
            "container app still running, 20 s left of the grace period",
        )
        assert run(record_in(State.AWAIT_TERMINATION, deadline=60), cluster, now=later(59)) == steps.STILL_WAITING

    def test_the_last_warning_event_of_the_pod_is_asked_for_once_at_the_deadline(self) -> None:
        ended = {"state": {"terminated": {"exitCode": 0}}}
        cluster = FakeCluster(FakeClock(), pod(deleted=30, container_status=ended))
        cluster.told = (PodEvent(type="Warning", reason="FailedKillPod", message="busy", last_timestamp=later(40)),)
        outcome = run(record_in(State.AWAIT_TERMINATION, deadline=60), cluster, now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.evidence.endswith("its last Warning Event: FailedKillPod: busy")
        assert cluster.calls == ["pods default/mec-0", "host host-1", "events default/uid-1"]

    def test_a_deletion_that_the_pod_never_showed_is_not_called_one(self) -> None:
        outcome = run(record_in(State.AWAIT_TERMINATION, deadline=60), FakeCluster(FakeClock(), OLD), now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == "deletion_lost"
        assert outcome.message.startswith("Pod mec-0 still exists after 60 s: the API server accepted the deletion")
        assert "is deleted" not in outcome.message
        assert "which deletes this incarnation only" in outcome.advice
        assert "without deleting" not in outcome.advice

    def test_nor_where_its_kubernetes_node_is_lost_as_well(self) -> None:
        cluster = FakeCluster(FakeClock(), OLD)
        cluster.hosts["host-1"] = host("Unknown", "NodeStatusUnknown")
        outcome = run(record_in(State.AWAIT_TERMINATION, deadline=60), cluster, now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == "deletion_lost"

    @pytest.mark.parametrize("replaced", [False, True])
    def test_it_says_whether_the_replacement_stands_already(self, replaced: bool) -> None:
        """A generated name need not wait for the old one to go."""
        held = {"generateName": "rs-", "finalizers": ["kueue.x-k8s.io/managed"]}
        ended = {"phase": "Succeeded", "containerStatuses": []}
        old = pod("rs-a", "a", owner=REPLICA_SET, metadata=held, deleted=30, status=ended)
        new = pod("rs-b", "b", owner=REPLICA_SET, metadata={"generateName": "rs-"}, created=5)
        record = record_in(State.AWAIT_TERMINATION, deadline=60, old=old, request=request(node=None, pod="rs-a"))
        outcome = run(record, FakeCluster(FakeClock(), old, *([new] if replaced else [])), now=later(60))
        said = "it will be removed and replaced once the cause is fixed."
        said = "its replacement rs-b exists already." if replaced else said
        assert outcome.message.endswith(f"It was not force-deleted; {said}")


class TestAwaitReady:
    def test_a_replacement_whose_startup_probes_passed_ends_it(self) -> None:
        new = pod(uid="uid-2", container={"startupProbe": STARTUP_PROBE})
        outcome = run(record_in(State.AWAIT_READY, deadline=60), FakeCluster(FakeClock(), new), now=later(9))
        assert outcome.event is Event.POD_STARTED
        seen = SeenPod(name="mec-0", uid="uid-2", images={"app": "app:1"}, host="host-1")
        assert outcome.record_changes["new_pod"] == seen
        assert "back after 9 s" in outcome.message

    def test_the_time_it_took_counts_from_the_beginning_of_the_bounce(self) -> None:
        path = StateEntry(state=State.INIT_CHECKS, at=later(-60)), StateEntry(state=State.AWAIT_READY, at=NOW)
        record = record_in(State.AWAIT_READY, deadline=60, path=path)
        assert "back after 69 s" in run(record, FakeCluster(FakeClock(), pod(uid="uid-2")), now=later(9)).message

    def test_without_a_startup_probe_its_ready_condition_does(self) -> None:
        outcome = run(record_in(State.AWAIT_READY, deadline=60), FakeCluster(FakeClock(), pod(uid="uid-2")))
        assert (outcome.event, outcome.notices) == (Event.POD_READY, ())

    @pytest.mark.parametrize(
        ("container", "codes"), [({}, ["no_startup_probe"]), ({"startupProbe": STARTUP_PROBE}, [])]
    )
    def test_on_a_gitops_cluster_a_missing_startup_probe_is_told(
        self, container: dict[str, Any], codes: list[str]
    ) -> None:
        asked = request(cluster_type="k8s_gitops", ready_when="ready")
        record = record_in(State.AWAIT_READY, deadline=60, request=asked)
        outcome = run(record, FakeCluster(FakeClock(), pod(uid="uid-2", container=container)))
        assert (outcome.event, [code for code, _ in outcome.notices]) == (Event.POD_READY, codes)

    def test_however_late_a_pod_that_is_back_is_done(self) -> None:
        outcome = run(
            record_in(State.AWAIT_READY, deadline=60), FakeCluster(FakeClock(), pod(uid="uid-2")), now=later(9e4)
        )
        assert outcome.event is Event.POD_READY

    @pytest.mark.parametrize(
        "impostor",
        [
            pod(),
            pod(uid="uid-2", deleted=30),
            pod("mec-1", "uid-2"),
            pod(uid="uid-2", owner={"kind": "X", "name": "x", "uid": "other", "controller": True}),
        ],
        ids=["the old pod", "a terminating pod", "another name", "another controller"],
    )
    def test_nothing_else_is_taken_for_the_replacement(self, impostor: Pod) -> None:
        outcome = run(record_in(State.AWAIT_READY, deadline=60), FakeCluster(FakeClock(), impostor))
        assert outcome == steps.STILL_WAITING

    def test_of_several_the_oldest_is_awaited_with_a_notice(self) -> None:
        owner = {"kind": "ReplicaSet", "name": "rs", "uid": "rs-1", "controller": True}
        old, younger, older = (
            pod(name, uid, owner=owner, created=created, metadata={"generateName": "rs-"})
            for name, uid, created in (("rs-a", "uid-a", -900), ("rs-b", "uid-b", -1), ("rs-c", "uid-c", -2))
        )
        record = record_in(State.AWAIT_READY, deadline=60, old=old, request=request(node=None, pod="rs-a"))
        outcome = run(record, FakeCluster(FakeClock(), younger, older))
        assert outcome.record_changes["new_pod"].uid == "uid-c"
        assert [code for code, _ in outcome.notices] == ["several_replacements"]

    def test_other_images_are_told_once(self) -> None:
        new = pod(uid="uid-2", container={"image": "app:2"}, ready=False)
        cluster = FakeCluster(FakeClock(), new)
        record = record_in(State.AWAIT_READY, deadline=60)
        first = run(record, cluster)
        assert first.notices == (("images_changed", "The replacement runs other images: app: app:1 -> app:2."),)
        assert run(record.changed(**first.record_changes), cluster).notices == ()

    def test_a_replacement_replaced_again_is_told(self) -> None:
        record = record_in(State.AWAIT_READY, deadline=60, new_pod=SeenPod(name="mec-0", uid="uid-2"))
        outcome = run(record, FakeCluster(FakeClock(), pod(uid="uid-3", ready=False)))
        assert [code for code, _ in outcome.notices] == ["replaced_again"]

    def test_a_replacement_that_has_ended_is_told_at_the_deadline_too(self) -> None:
        """Where a kubelet rejects one after another, the last may just have been made, and show nothing of it."""
        why = {"phase": "Failed", "reason": "OutOfcpu", "message": "Node is full.", "containerStatuses": []}
        rejected = pod(uid="uid-2", status=why)
        record = record_in(State.AWAIT_READY, deadline=60)
        outcome = run(record, FakeCluster(FakeClock(), rejected))
        text = "The replacement mec-0 (uid-2) has ended: phase Failed: OutOfcpu: Node is full."
        assert outcome.notices == (("replacement_ended", text),)
        told = Notice(code="replacement_ended", message=text, at=NOW)
        fresh = pod(uid="uid-3", status={"phase": "Pending", "containerStatuses": []}, ready=False)
        late = run(record.changed(notices=(told,)), FakeCluster(FakeClock(), fresh), now=later(60))
        assert late.diagnosis is not None
        assert late.diagnosis.code == "kubelet_silent"
        assert late.diagnosis.evidence.endswith(f"reported no container yet; t{text.rstrip('.')[1:]}")
        ended = run(record.changed(notices=(told,)), FakeCluster(FakeClock(), rejected), now=later(60))
        assert ended.diagnosis is not None
        assert ended.diagnosis.evidence == "phase Failed: OutOfcpu: Node is full."

    def test_the_deadline_is_taken_anew_from_the_containers_start_and_only_once(self) -> None:
        new = pod(uid="uid-2", created=100, container={"startupProbe": STARTUP_PROBE}, ready=False)
        cluster = FakeCluster(FakeClock(), new)
        record = record_in(State.AWAIT_READY, deadline=600)
        learned = run(record, cluster, now=later(101)).record_changes
        assert learned["deadline"] == later(100 + 600)
        again = run(record.changed(**learned), cluster, now=later(200))
        assert "deadline" not in again.record_changes

    def test_a_given_deadline_is_kept_to_the_second(self) -> None:
        new = pod(uid="uid-2", created=1, container={"startupProbe": STARTUP_PROBE}, ready=False)
        record = record_in(State.AWAIT_READY, deadline=10, request=request(timeouts={"ready": 10}))
        assert run(record, FakeCluster(FakeClock(), new), now=later(9.9)).event is None
        assert run(record, FakeCluster(FakeClock(), new), now=later(10)).event is Event.READY_TIMEOUT

    def test_a_container_that_starts_right_at_the_deadline_still_gets_its_budget(self) -> None:
        new = pod(uid="uid-2", created=599, container={"startupProbe": STARTUP_PROBE}, ready=False)
        outcome = run(record_in(State.AWAIT_READY, deadline=600), FakeCluster(FakeClock(), new), now=later(600))
        assert outcome.event is None
        assert outcome.record_changes["deadline"] == later(599 + 600)

    def test_what_is_first_seen_of_a_replacement_at_the_deadline_is_kept(self) -> None:
        new = pod(uid="uid-2", container={"image": "app:2"}, ready=False)
        record = record_in(State.AWAIT_READY, deadline=60, request=request(timeouts={"ready": 60}))
        outcome = run(record, FakeCluster(FakeClock(), new), now=later(60))
        assert (outcome.event, outcome.record_changes["new_pod"].uid) == (Event.READY_TIMEOUT, "uid-2")
        assert [code for code, _ in outcome.notices] == ["images_changed"]

    @pytest.mark.parametrize(
        ("resource", "standing", "code"),
        [
            (None, (), "node_missing"),
            ({"spec": {"state": "Down"}}, (), "node_down"),
            ({}, (pod(uid="uid-2", deleted=30),), "replacement_terminating"),
            ({}, (pod(uid="uid-2", owner=None),), "other_controller"),
        ],
    )
    def test_nothing_recreated_it_fails_with_what_is_there_instead(
        self, resource: dict[str, Any] | None, standing: tuple[Pod, ...], code: str
    ) -> None:
        cluster = FakeCluster(FakeClock(), *standing)
        cluster.resource = resource
        outcome = run(record_in(State.AWAIT_READY, deadline=60), cluster, now=later(60))
        assert outcome.event is Event.NOT_RECREATED
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == code
        assert "keep_waiting()" in outcome.advice

    def test_a_replacement_that_comes_between_the_last_looks_is_judged_by_the_next(self) -> None:
        class Late(FakeCluster):
            def node(self, namespace: str, ref: NodeRef) -> Mapping[str, Any]:
                self.add(pod(uid="uid-2"))
                return super().node(namespace, ref)

        cluster, record = Late(FakeClock()), record_in(State.AWAIT_READY, deadline=60)
        assert run(record, cluster, now=later(60)) == STILL_WAITING
        assert run(record, cluster, now=later(60)).event is Event.POD_READY

    @pytest.mark.parametrize("metadata", [None, [], "text", {"uid": None}], ids=repr)
    def test_a_resource_whose_metadata_is_none_does_not_hide_it_either(self, metadata: object) -> None:
        cluster = FakeCluster(FakeClock())
        cluster.resource = {"kind": "ExpressNode", "metadata": metadata}
        cluster.controllers["mec-0"] = {"kind": "ExpressNode", "metadata": metadata}
        outcome = run(record_in(State.AWAIT_READY, deadline=60), cluster, now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == "not_recreated"

    def test_a_replacement_that_is_not_back_is_explained_by_its_events_too(self) -> None:
        new = pod(uid="uid-2", ready=False, container_status={"state": {"waiting": {"reason": "ContainerCreating"}}})
        cluster = FakeCluster(FakeClock(), new)
        cluster.told = (PodEvent(type="Warning", reason="FailedMount", message="timed out"),)
        outcome = run(record_in(State.AWAIT_READY, deadline=60), cluster, now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == "volume"
        assert cluster.calls[-1] == "events default/uid-2"

    @pytest.mark.parametrize("error", [AccessDenied("no"), Unreachable("lost"), Refused("no")], ids=repr)
    @pytest.mark.parametrize("present", [True, False])
    def test_a_diagnosis_whose_looks_fail_still_comes(self, error: Exception, *, present: bool) -> None:
        new = pod(uid="uid-2", ready=False, container_status={"state": {"waiting": {"reason": "ErrImagePull"}}})
        cluster = FakeCluster(FakeClock(), *([new] if present else []))
        cluster.faults = [None, error, error]
        outcome = run(record_in(State.AWAIT_READY, deadline=60), cluster, now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == ("image_pull" if present else "not_recreated")

    def test_a_generated_name_gets_no_advice_that_can_not_work(self) -> None:
        owner = {"kind": "ReplicaSet", "name": "rs", "uid": "rs-1", "controller": True}
        old = pod("rs-a", "uid-a", owner=owner, metadata={"generateName": "rs-"})
        record = record_in(State.AWAIT_READY, deadline=60, old=old, request=request(node=None, pod="rs-a"))
        outcome = run(record, FakeCluster(FakeClock()), now=later(60))
        assert "pod_uid=" not in outcome.advice
        assert "keep_waiting()" in outcome.advice

    def test_an_unreadable_resource_does_not_hide_that_nothing_recreated_it(self) -> None:
        cluster = FakeCluster(FakeClock())
        cluster.resource = {"spec": []}
        outcome = run(record_in(State.AWAIT_READY, deadline=60), cluster, now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == "not_recreated"


class TestDataGoneBack:
    """An API server that was restored from a backup, or a cache in front of it: what had happened is undone."""

    EARLIER = pod(uid="uid-0", created=-9000)  # stood there before the pinned one was made
    GENERATED: ClassVar = {"owner": REPLICA_SET, "metadata": {"generateName": "rs-"}}

    @pytest.mark.parametrize(
        ("standing", "event"),
        [((), Event.POD_MISSING), ((pod(deleted=20),), Event.ALREADY_TERMINATING), ((EARLIER,), Event.CHECKS_PASSED)],
        ids=["gone", "terminating", "an_earlier_one"],
    )
    def test_in_init_checks_what_stands_there_is_judged(self, standing: tuple[Pod, ...], event: Event) -> None:
        assert run(begin(request(), NOW), FakeCluster(FakeClock(), *standing)).event is event

    def test_in_init_checks_a_resource_that_is_not_there_ends_it(self, cluster: FakeCluster) -> None:
        cluster.resource = None
        assert run(begin(request(), NOW), cluster).event is Event.NODE_MISSING

    @pytest.mark.parametrize("standing", [(), (EARLIER,)], ids=["none", "an_earlier_one"])
    def test_before_the_deletion_another_incarnation_is_left_alone(self, standing: tuple[Pod, ...]) -> None:
        cluster, switch = FakeCluster(FakeClock(), *standing), Switch(True)
        assert run(record_in(State.DISABLE_PROTECTION), cluster, protection=switch).event is Event.PROTECTION_UNUSED
        assert run(record_in(State.DELETE_POD), cluster).event is Event.POD_GONE
        assert (switch.asked, cluster.deleted) == ([], [])

    def test_in_await_termination_one_that_stands_as_before_is_waited_for_and_not_deleted_again(self) -> None:
        cluster, record = FakeCluster(FakeClock(), OLD), record_in(State.AWAIT_TERMINATION, deadline=60)
        assert run(record, cluster, now=later(59)) == STILL_WAITING
        outcome = run(record, cluster, now=later(60))
        assert (outcome.event, cluster.deleted) == (Event.TERMINATION_TIMEOUT, [])
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == "deletion_lost"

    @pytest.mark.parametrize(
        ("deleted", "code", "shown", "advice"),
        [
            (
                None,
                "deletion_lost",
                "without a deletionTimestamp",
                "To try once more, call the task's forget() and perform one with pod_uid=uid-1",
            ),
            (
                20,
                "terminating_again",
                "being deleted",
                "To keep waiting without deleting again, call the task's keep_waiting()",
            ),
        ],
    )
    @pytest.mark.parametrize(
        ("new_pod", "event"),
        [(None, Event.NOT_RECREATED), (SeenPod(name="mec-0", uid="uid-2"), Event.READY_TIMEOUT)],
        ids=["before_a_replacement", "after_one"],
    )
    def test_in_await_ready_the_old_pod_is_said_to_stand_again(
        self, deleted: float | None, code: str, shown: str, advice: str, new_pod: SeenPod | None, event: Event
    ) -> None:
        cluster = FakeCluster(FakeClock(), pod(deleted=deleted))
        record = record_in(State.AWAIT_READY, deadline=60, new_pod=new_pod)
        assert run(record, cluster, now=later(59)) == STILL_WAITING
        outcome = run(record, cluster, now=later(60))
        assert outcome.event is event
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == code
        assert outcome.message == (
            f"Pod mec-0 (uid-1) exists again: the old pod had gone, and the API server shows it again, {shown}. "
            "It was left as it is."
        )
        assert advice in outcome.advice
        assert cluster.deleted == []

    def test_beside_it_no_other_pod_can_have_replaced_it(self) -> None:
        """A pod that a scale-up has made since."""
        old, other = pod("rs-a", "a", **self.GENERATED), pod("rs-b", "b", created=9, **self.GENERATED)
        record = record_in(State.AWAIT_READY, deadline=60, old=old, request=request(node=None, pod="rs-a"))
        cluster = FakeCluster(FakeClock(), old, other)
        assert run(record, cluster, now=later(59)) == STILL_WAITING
        outcome = run(record, cluster, now=later(60))
        assert outcome.message.startswith("Pod rs-a (a) exists again")
        assert "which deletes this incarnation only" in outcome.advice

    @pytest.mark.parametrize(
        ("standing", "how"), [((), "has gone too"), ((pod("rs-b", "b", deleted=30, **GENERATED),), "is terminating")]
    )
    def test_a_replacement_that_came_is_not_said_never_to_have_come(self, standing: tuple[Pod, ...], how: str) -> None:
        old = pod("rs-a", "a", **self.GENERATED)
        asked = request(node=None, pod="rs-a")
        seen = SeenPod(name="rs-b", uid="b")
        record = record_in(State.AWAIT_READY, deadline=60, old=old, request=asked, new_pod=seen)
        outcome = run(record, FakeCluster(FakeClock(), *standing), now=later(60))
        assert outcome.message.startswith(
            "Pod rs-a has gone and its replacement rs-b (b) is not back after 60 s: "
            f"the replacement rs-b (b) {how}, and nothing has made another."
        )

    def test_in_await_ready_a_resource_that_is_not_there_is_the_cause(self) -> None:
        cluster = FakeCluster(FakeClock())
        cluster.resource = None
        record = record_in(State.AWAIT_READY, deadline=60, new_pod=SeenPod(name="mec-0", uid="uid-2"))
        outcome = run(record, cluster, now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == "node_missing"


class TestAReadyThatFlaps:
    """The first look that shows it is enough; at the deadline, the look of its own decides."""

    FLAPPING = [True, False]  # noqa: RUF012 -- a table

    @pytest.mark.parametrize("at", [59, 60, 61])
    @pytest.mark.parametrize("ready", FLAPPING)
    def test_is_judged_by_how_it_is_at_that_look(self, at: float, ready: bool) -> None:
        asked = request(timeouts={"ready": 60})
        record = record_in(State.AWAIT_READY, deadline=60, request=asked)
        outcome = run(record, FakeCluster(FakeClock(), pod(uid="uid-2", ready=ready)), now=later(at))
        assert outcome.event is (Event.POD_READY if ready else Event.READY_TIMEOUT if at >= 60 else None)

    @pytest.mark.parametrize("ready", FLAPPING)
    def test_at_the_deadline_what_a_watch_has_told_before_is_not_believed(self, ready: bool) -> None:
        record = record_in(State.AWAIT_READY, deadline=60, request=request(timeouts={"ready": 60}))
        cluster = FakeCluster(FakeClock(), pod(uid="uid-2", ready=ready))
        stale = Context(record, later(60), cluster, lambda _: (pod(uid="uid-2", ready=not ready),))
        assert steps.await_ready(stale).event is (Event.POD_READY if ready else Event.READY_TIMEOUT)

    def test_one_that_is_unready_again_right_after_is_done_all_the_same(self) -> None:
        cluster = FakeCluster(FakeClock(), pod(uid="uid-2"))
        record = record_in(State.AWAIT_READY, deadline=60)
        done = advance(record, cluster, later(59.9)).record
        cluster.present = {"uid-2": pod(uid="uid-2", ready=False)}
        assert advance(done, cluster, later(60)).record is done
        assert done.state is State.DONE


class TestWhatIsOddAboutAReplacement:
    def told(self, old: Pod, *new: Pod, new_pod: SeenPod | None = None) -> dict[str, str]:
        asked = request(node=None, pod=old.name)
        record = record_in(State.AWAIT_READY, deadline=60, old=old, request=asked, new_pod=new_pod)
        return dict(run(record, FakeCluster(FakeClock(), *new)).notices)

    def test_nothing_is_told_of_one_like_the_old(self) -> None:
        assert self.told(OLD, pod(uid="uid-2")) == {}

    def test_that_its_controller_was_made_anew(self) -> None:
        remade = {"kind": "ExpressNode", "name": "mec-0", "uid": "owner-2", "controller": True}
        assert self.told(OLD, pod(uid="uid-2", owner=remade)) == {
            "controller_remade": "ExpressNode mec-0 was recreated (owner-1 -> owner-2) and made the replacement."
        }

    @pytest.mark.parametrize("label", ["controller-revision-hash", "pod-template-hash"])
    @pytest.mark.parametrize(("before", "after", "told"), [("s-1", "s-2", True), ("s-1", "s-1", False)])
    def test_that_it_is_made_from_another_revision(self, label: str, before: str, after: str, told: bool) -> None:
        """As with OnDelete, a partition, or a rollout under way."""
        old, new = pod(metadata={"labels": {label: before}}), pod(uid="uid-2", metadata={"labels": {label: after}})
        text = "The replacement is made from revision s-2 of its controller's template, not s-1."
        assert self.told(old, new) == ({"revision_changed": text} if told else {})
        assert self.told(old, pod(uid="uid-2")) == {}
        assert self.told(OLD, new) == {}

    @pytest.mark.parametrize("kind", ["containers", "initContainers"])
    def test_that_a_sidecar_is_missing_or_new(self, kind: str) -> None:
        """A mesh whose webhook was down lets pods come back without their proxy."""
        proxy = {"name": "proxy", "image": "proxy:3", "restartPolicy": "Always"}
        spec = {"containers": [{"name": "app", "image": "app:1"}], "initContainers": []}
        meshed = pod(uid="uid-2", spec=spec | {kind: [*spec[kind], proxy]})
        bare = pod(uid="uid-3")
        assert self.told(meshed, bare.model_copy(update={"metadata": meshed.metadata})) == {}
        assert self.told(meshed, bare) == {
            "images_changed": "The replacement runs other images: proxy: proxy:3 -> none."
        }
        assert "proxy: none -> proxy:3" in self.told(bare, meshed)["images_changed"]

    @pytest.mark.parametrize(("rejected", "standing", "told"), [(300, 1, False), (0, 2, True), (300, 2, True)])
    def test_that_several_stand_and_not_how_many_ended(self, rejected: int, standing: int, told: bool) -> None:
        """A kubelet may reject hundreds before one is let in."""
        fields: dict[str, Any] = {"owner": REPLICA_SET, "metadata": {"generateName": "rs-"}, "created": 5}
        left = [pod(f"rs-r{n}", f"r{n}", **fields, status={"phase": "Failed"}) for n in range(rejected)]
        new = [pod(f"rs-n{n}", f"n{n}", **fields) for n in range(standing)]
        old = pod("rs-a", "a", owner=REPLICA_SET, metadata={"generateName": "rs-"})
        notices = self.told(old, *left, *new)
        text = f"{standing} pods could be the replacement; waiting for the oldest, rs-n0 (n0)."
        assert notices == ({"several_replacements": text} if told else {})


class TestTwoClocks:
    """What the cluster's timestamps tell is reckoned by its own clock."""

    @pytest.mark.parametrize(("ran", "back"), [(9.9, False), (10, True)])
    @pytest.mark.parametrize("skew", [-3600, 0, 3600])
    def test_a_restarted_container_has_run_as_long_as_the_clusters_clock_says(
        self, skew: float, ran: float, back: bool
    ) -> None:
        runs = {"restartCount": 1, "state": {"running": {"startedAt": stamp(skew - ran)}}}
        cluster = FakeCluster(FakeClock(), pod(uid="uid-2", container_status=runs))
        cluster.keeps_time(skew)
        assert run(record_in(State.AWAIT_READY, deadline=60), cluster).event is (Event.POD_READY if back else None)

    @pytest.mark.parametrize("skew", [-3600, 0, 3600])
    def test_a_readiness_deadline_is_counted_from_the_containers_start_as_our_clock_has_it(self, skew: float) -> None:
        runs = {"state": {"running": {"startedAt": stamp(skew + 100)}}}
        new = pod(uid="uid-2", container={"startupProbe": STARTUP_PROBE}, ready=False, container_status=runs)
        cluster = FakeCluster(FakeClock(), new)
        cluster.keeps_time(skew + 140)
        learned = run(record_in(State.AWAIT_READY, deadline=600), cluster, now=later(140)).record_changes
        assert learned["deadline"] == later(100 + 600)

    @pytest.mark.parametrize(("seen", "quoted"), [(-1, False), (0, True), (30, True)])
    @pytest.mark.parametrize("skew", [-3600, 0, 3600])
    def test_events_of_the_controller_count_since_the_bounce_began_as_the_clusters_clock_has_it(
        self, skew: float, seen: float, quoted: bool
    ) -> None:
        cluster = FakeCluster(FakeClock())
        cluster.told = (PodEvent(type="Warning", reason="FailedCreate", message="x", event_time=later(skew + seen)),)
        cluster.keeps_time(skew + 60)
        outcome = run(record_in(State.AWAIT_READY, deadline=60), cluster, now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == ("creation_failed" if quoted else "not_recreated")

    def test_an_event_of_the_second_in_which_the_bounce_began_counts(self) -> None:
        """It tells whole seconds: a controller that was refused at once tells of the same second."""
        record = record_in(State.AWAIT_READY, deadline=60)
        began = tuple(one.model_copy(update={"at": one.at + timedelta(seconds=0.7)}) for one in record.path)
        cluster = FakeCluster(FakeClock())
        cluster.told = (PodEvent(type="Warning", reason="FailedCreate", message="x", last_timestamp=NOW),)
        outcome = run(record.model_copy(update={"path": began}), cluster, now=later(61))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == "creation_failed"

    def test_events_from_before_the_checks_were_asked_again_do_not_count(self) -> None:
        path = StateEntry(state=State.INIT_CHECKS, at=later(-86400)), StateEntry(state=State.INIT_CHECKS, at=NOW)
        cluster = FakeCluster(FakeClock())
        cluster.told = (PodEvent(type="Warning", reason="FailedCreate", message="x", event_time=later(-60)),)
        record = record_in(State.AWAIT_READY, deadline=60, path=(*path, StateEntry(state=State.AWAIT_READY, at=NOW)))
        outcome = run(record, cluster, now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == "not_recreated"


class TestNothingCame:
    """At the deadline the controller is looked at once; all of it is best effort."""

    @pytest.mark.parametrize(
        ("owner", "generated", "calls"),
        [
            (
                STATEFUL_SET,
                True,
                ["pods default/*", "controller default/StatefulSet/mec", "events default/sts-1"],
            ),
            (
                REPLICA_SET,
                True,
                ["controller default/ReplicaSet/rs", "events default/rs-1", "replica sets default"],
            ),
            (DAEMON_SET, True, ["controller default/DaemonSet/log", "events default/ds-1", "host host-1"]),
            (JOB, True, ["controller default/Job/backup", "events default/job-1"]),
            (None, False, ["pods default/*"]),
        ],
        ids=["stateful_set", "replica_set", "daemon_set", "job", "bare"],
    )
    def test_is_looked_into_with_few_requests(
        self, owner: dict[str, Any] | None, generated: bool, calls: list[str]
    ) -> None:
        old = pod("mec-0", "a", owner=owner, metadata={"generateName": "mec-"} if generated else {})
        record = record_in(State.AWAIT_READY, deadline=60, old=old, request=request(node=None))
        cluster = FakeCluster(FakeClock())
        assert run(record, cluster, now=later(60)).event is Event.NOT_RECREATED
        assert cluster.calls[1:] == calls

    def test_a_resource_that_is_the_controller_is_read_once(self) -> None:
        cluster = FakeCluster(FakeClock())
        cluster.resource = {"kind": "ExpressNode", "metadata": {"name": "mec-0", "uid": "owner-1"}, "spec": {}}
        run(record_in(State.AWAIT_READY, deadline=60), cluster, now=later(60))
        assert cluster.calls == ["pods default/mec-0", "node", "pods default/*", "events default/owner-1"]

    @pytest.mark.parametrize(
        ("found", "code"),
        [
            (None, "controller_gone"),
            ({"metadata": {"name": "mec", "uid": "sts-1", "deletionTimestamp": stamp(5)}}, "controller_deleting"),
            ({"metadata": {"name": "mec", "uid": "sts-1"}, "spec": {"replicas": 0}}, "controller_scaled_down"),
            ({"metadata": {"name": "mec"}}, "not_recreated"),
            ({}, "not_recreated"),
        ],
        ids=["gone", "being_deleted", "scaled_down", "without_a_uid", "nothing_of_it"],
    )
    def test_is_told_by_what_became_of_the_controller(self, found: dict[str, Any] | None, code: str) -> None:
        cluster = FakeCluster(FakeClock())
        cluster.controllers["mec"] = found if found is None else {"kind": "StatefulSet"} | found
        record = record_in(State.AWAIT_READY, deadline=60, old=pod(owner=STATEFUL_SET))
        outcome = run(record, cluster, now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == code

    @pytest.mark.parametrize("owner", [STATEFUL_SET, REPLICA_SET, DAEMON_SET, JOB])
    @pytest.mark.parametrize("failing", range(1, 6))
    @pytest.mark.parametrize("error", [AccessDenied("no"), Unreachable("lost"), NotFound("gone"), Refused("no")])
    def test_is_told_whichever_look_fails(self, owner: dict[str, Any], failing: int, error: Exception) -> None:
        cluster = FakeCluster(FakeClock())
        cluster.faults = [*[None] * failing, error]
        old = pod(owner=owner, metadata={"generateName": "mec-"})
        outcome = run(record_in(State.AWAIT_READY, deadline=60, old=old), cluster, now=later(60))
        assert outcome.event is Event.NOT_RECREATED
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code in ("not_recreated", "controller_gone", "host_gone", "node_missing")

    @pytest.mark.parametrize(
        ("standing", "said"),
        [
            ([], "The node is not in service."),
            (["b"], "Other pods of ReplicaSet rs: rs-b."),
            ([*"gfedcb"], "Other pods of ReplicaSet rs: rs-b, rs-c, rs-d, rs-e, rs-f."),
        ],
        ids=["none", "one", "many"],
    )
    @pytest.mark.parametrize("came", [False, True])
    def test_a_node_is_out_of_service_only_where_no_other_pod_of_its_controller_stands(
        self, standing: list[str], said: str, came: bool
    ) -> None:
        generated = {"owner": REPLICA_SET, "metadata": {"generateName": "rs-"}}
        old, *others = (pod(f"rs-{uid}", uid, **generated) for uid in ("a", *standing))
        new = pod("rs-z", "z", created=5, ready=False, **generated)
        asked = request(node=None, pod="rs-a", timeouts={"ready": 60})
        record = record_in(State.AWAIT_READY, deadline=60, old=old, request=asked)
        assert record.old_pod is not None
        record = record.changed(old_pod=record.old_pod.with_lookalikes_in([old, *others]))
        outcome = run(record, FakeCluster(FakeClock(), *others, *([new] if came else [])), now=later(60))
        assert outcome.event is (Event.READY_TIMEOUT if came else Event.NOT_RECREATED)
        assert outcome.message.endswith(said)

    def test_a_rollout_is_named_and_it_never_says_that_nothing_came(self) -> None:
        old = pod("rs-a", "a", owner=REPLICA_SET, metadata={"generateName": "rs-"})
        deployment = Owner(kind="Deployment", name="web", uid="d-1", controller=True)
        cluster = FakeCluster(FakeClock())
        cluster.controllers["rs"] = {
            "kind": "ReplicaSet",
            "metadata": {
                "name": "rs",
                "uid": "rs-1",
                "ownerReferences": [{"kind": "Deployment", "name": "web", "uid": "d-1", "controller": True}],
            },
            "spec": {"replicas": 0},
        }
        taken = Owner(kind="ReplicaSet", name="web-2", uid="rs-2")
        cluster.replicas = (Controller(reference=taken, owner=deployment, replicas=1),)
        record = record_in(State.AWAIT_READY, deadline=60, old=old, request=request(node=None, pod="rs-a"))
        outcome = run(record, cluster, now=later(60))
        assert outcome.message.startswith(
            "Pod rs-a has gone and a rollout took its place: Deployment web was rolled out: "
            "ReplicaSet rs is scaled down to 0, ReplicaSet web-2 took over."
        )
        assert "no replacement" not in outcome.message

    def test_a_bare_pods_maker_is_whoever_made_it(self) -> None:
        record = record_in(State.AWAIT_READY, deadline=60, old=pod(owner=None), request=request(node=None))
        outcome = run(record, FakeCluster(FakeClock()), now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.who == "whoever made the pod"
        assert outcome.message.endswith("nothing has recreated the pod. The node is not in service.")

    def test_why_nothing_came_is_looked_for_in_a_resource_that_was_found(self) -> None:
        record = record_in(State.AWAIT_READY, deadline=60, request=request(node="auto"), found_node=NODE)
        cluster = FakeCluster(FakeClock())
        cluster.resource = {"spec": {"state": "down"}}
        outcome = run(record, cluster, now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == "node_down"
        assert str(NODE) in outcome.diagnosis.evidence


def test_every_state_that_is_not_final_has_one_handler() -> None:
    assert set(steps.HANDLERS) == set(State) - {State.DONE, State.FAILED}


@pytest.mark.parametrize("state", [State.AWAIT_TERMINATION, State.AWAIT_READY])
def test_a_kubernetes_node_that_no_longer_exists_is_lost(state: State) -> None:
    seen = pod(deleted=30) if state is State.AWAIT_TERMINATION else pod(uid="uid-2", ready=False)
    cluster = FakeCluster(FakeClock(), seen)
    cluster.faults = [None, NotFound("nodes not found")]
    record = record_in(state, deadline=60, request=request(timeouts={"ready": 60}))
    outcome = run(record, cluster, now=later(60))
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.code == "host_lost"


class TestPeers:
    """Where several pods of one ReplicaSet have gone, as many new ones must have come."""

    OWNER: ClassVar = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs-1", "controller": True}

    def one(self, name: str, **fields: Any) -> Pod:
        return pod(name, name, owner=self.OWNER, metadata={"generateName": "rs-"}, **fields)

    @pytest.mark.parametrize(
        ("present", "replicas", "event"),
        [
            (["b", "new-1"], 2, Event.POD_READY),  # the peer stands: nothing else can have been replaced
            (["new-1"], 2, None),  # the peer has gone too, and one new pod can't be both
            (["new-1", "new-2"], 2, Event.POD_READY),
            (["new-1"], 1, Event.POD_READY),  # scaled down
            (["new-1"], None, None),  # what it wants is not known
        ],
    )
    def test_it_is_back_once_as_many_are(self, present: list[str], replicas: int | None, event: Event | None) -> None:
        old = self.one("a")
        record = record_in(State.AWAIT_READY, deadline=60, old=old, request=request(node=None, pod="a"))
        pinned = PinnedPod.of(old, [old, self.one("b")])
        record = record.model_copy(update={"old_pod": pinned})
        cluster = FakeCluster(FakeClock(), *map(self.one, present))
        spec = {} if replicas is None else {"replicas": replicas}
        cluster.controllers["rs"] = {**self.OWNER, "metadata": {"name": "rs", "uid": "rs-1"}, "spec": spec}
        outcome = run(record, cluster, now=later(30))
        assert outcome.event is event
        assert ("several_gone" in {code for code, _ in outcome.notices}) is ("b" not in present)

    @pytest.mark.parametrize(
        ("kind", "fault", "event"),
        [
            ("ReplicaSet", AccessDenied("replicasets are forbidden"), Event.READY_TIMEOUT),
            ("ReplicaSet", NotFound("it no longer exists"), Event.READY_TIMEOUT),
            ("Job", None, Event.POD_READY),  # it was read, and wants no number of pods
        ],
    )
    def test_one_new_pod_replaces_two_at_the_deadline_only_where_their_controller_wants_no_number(
        self, kind: str, fault: Exception | None, event: Event
    ) -> None:
        old = self.one("a")
        asked = request(node=None, pod="a", timeouts={"ready": 60})
        record = record_in(State.AWAIT_READY, deadline=60, old=old, request=asked)
        record = record.model_copy(update={"old_pod": PinnedPod.of(old, [old, self.one("b")])})
        cluster = FakeCluster(FakeClock(), self.one("new-1"))
        cluster.controllers["rs"] = {"kind": kind, "metadata": {"name": "rs", "uid": "rs-1"}, "spec": {}}
        cluster.faults = [None, fault]
        outcome = run(record, cluster, now=later(60))
        assert outcome.event is event
        assert [code for code, _ in outcome.notices] == ["several_gone"]
        assert (outcome.diagnosis and outcome.diagnosis.code) == (None if fault is None else "too_few_replacements")

    def test_at_the_deadline_too_few_are_told(self) -> None:
        old = self.one("a")
        asked = request(node=None, pod="a", timeouts={"ready": 60})
        record = record_in(State.AWAIT_READY, deadline=60, old=old, request=asked)
        record = record.model_copy(update={"old_pod": PinnedPod.of(old, [old, self.one("b")])})
        cluster = FakeCluster(FakeClock(), self.one("new-1"))
        cluster.controllers["rs"] = {**self.OWNER, "metadata": {"name": "rs", "uid": "rs-1"}, "spec": {"replicas": 2}}
        outcome = run(record, cluster, now=later(60))
        assert outcome.event is Event.READY_TIMEOUT
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == "too_few_replacements"

    def test_an_ended_leftover_is_no_peer(self) -> None:
        old, ended = self.one("a"), self.one("b", status={"phase": "Failed", "reason": "Evicted"})
        pinned = PinnedPod.of(old, [old, ended])
        assert (pinned.lookalikes, pinned.peers) == (frozenset({"b"}), frozenset())


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_protection_that_would_end_the_process_is_told_at_once_and_its_text_is_not(
    kind: type[BaseException], capfd: pytest.CaptureFixture[str]
) -> None:
    def disable(_: Pod) -> None:
        raise kind("s3cret")

    record = record_in(State.DISABLE_PROTECTION)
    began = time.monotonic()
    outcome = run(record, FakeCluster(FakeClock(), pod()), protection=SimpleNamespace(disable=disable))
    assert time.monotonic() - began < record.request.timeouts.api
    assert outcome.event is Event.PROTECTION_KEPT
    ((code, text),) = outcome.notices
    assert (code, f"it raised {kind.__name__}" in text) == ("protection_kept", True)
    assert "s3cret" not in text + "".join(capfd.readouterr())


class TestWhatIsTold:
    """Whole sentences, and what each look is about."""

    @pytest.mark.parametrize("answer", [Unreachable("connection reset"), NotFound("404 page"), Conflict("modified")])
    def test_of_a_delete_without_an_answer_what_came_instead(self, cluster: FakeCluster, answer: ClusterError) -> None:
        cluster.refuse_delete = answer
        with pytest.raises(DeleteUnanswered, match=str(answer)):
            run(record_in(State.DELETE_POD), cluster)

    @pytest.mark.parametrize(
        ("standing", "event"), [((), Event.ALREADY_REPLACED), ((pod(deleted=9),), Event.ALREADY_TERMINATING)]
    )
    def test_of_a_deletion_that_was_announced_before_that_it_has_happened(
        self, standing: tuple[Pod, ...], event: Event
    ) -> None:
        path = (
            StateEntry(state=State.INIT_CHECKS, at=NOW),
            StateEntry(state=State.DELETE_POD, at=NOW, event=Event.PROTECTION_UNUSED),
            StateEntry(state=State.INIT_CHECKS, at=NOW, event=Event.INTENT_EXPIRED),
        )
        cluster = FakeCluster(FakeClock(), *standing)
        cluster.resource = None
        outcome = run(record_in(State.INIT_CHECKS, path=path), cluster)
        text = (
            "The deletion that was announced before was carried out: this bounce waits, although the checks refuse now."
        )
        assert (outcome.event, outcome.notices) == (event, ((event.value, text),))

    def test_of_a_gitops_cluster_that_it_expects_a_startup_probe(self) -> None:
        asked = request(cluster_type="k8s_gitops", ready_when="ready")
        outcome = run(record_in(State.AWAIT_READY, deadline=60, request=asked), FakeCluster(FakeClock(), pod(uid="2")))
        text = "The replacement has no startup probe, which a GitOps cluster expects; its Ready condition was used."
        assert outcome.notices == (("no_startup_probe", text),)

    def test_of_more_pods_that_went_that_their_replacements_cannot_be_told_apart(self) -> None:
        old, peer, new = (pod(uid, uid, owner=REPLICA_SET, metadata={"generateName": "rs-"}) for uid in "abc")
        record = record_in(State.AWAIT_READY, deadline=60, old=old, request=request(node=None, pod="a"))
        record = record.model_copy(update={"old_pod": PinnedPod.of(old, [old, peer])})
        text = "More of its controller's pods went meanwhile: it is not known which new pod replaces which."
        assert run(record, FakeCluster(FakeClock(), new)).notices == (("several_gone", text),)

    def test_of_two_changed_images_both(self) -> None:
        containers = [{"name": "app", "image": "app:1"}, {"name": "log", "image": "log:1"}]
        changed = [one | {"image": f"{one['name']}:2"} for one in containers]
        record = record_in(State.AWAIT_READY, deadline=60, old=pod(spec={"containers": containers}))
        outcome = run(record, FakeCluster(FakeClock(), pod(uid="uid-2", spec={"containers": changed})))
        text = "The replacement runs other images: app: app:1 -> app:2; log: log:1 -> log:2."
        assert outcome.notices == (("images_changed", text),)


class TestWhatIsLookedAtAtTheDeadline:
    def test_the_node_is_asked_for_by_its_name_in_the_bounces_namespace(self) -> None:
        asked = []

        class Asked(FakeCluster):
            def node(self, namespace: str, ref: NodeRef) -> Mapping[str, Any]:
                asked.append((namespace, ref.name))
                return super().node(namespace, ref)

        run(record_in(State.AWAIT_READY, deadline=60), Asked(FakeClock()), now=later(60))
        assert asked == [("default", "mec-0")]

    @pytest.mark.parametrize(
        ("code", "evidence"),
        [
            ("node_missing", "expressnodes.express.example.com/v1 mec-0 not found in default"),
            ("controller_gone", "StatefulSet mec: it no longer exists"),
        ],
    )
    def test_what_has_gone_is_told_as_the_api_server_words_it(self, code: str, evidence: str) -> None:
        cluster = FakeCluster(FakeClock())
        cluster.controllers["mec"] = None
        if code == "node_missing":
            cluster.resource = None
        outcome = run(record_in(State.AWAIT_READY, deadline=60, old=pod(owner=STATEFUL_SET)), cluster, now=later(60))
        assert outcome.diagnosis is not None
        assert (outcome.diagnosis.code, outcome.diagnosis.evidence) == (code, evidence)

    def test_of_a_controller_that_was_made_anew_its_own_events_are_asked_for(self) -> None:
        cluster = FakeCluster(FakeClock())
        cluster.controllers["mec"] = {"kind": "StatefulSet", "metadata": {"name": "mec", "uid": "sts-2"}}
        run(record_in(State.AWAIT_READY, deadline=60, old=pod(owner=STATEFUL_SET)), cluster, now=later(60))
        assert cluster.calls[-1] == "events default/sts-2"

    def test_no_kubernetes_node_is_asked_for_where_the_pod_has_none(self) -> None:
        new = pod(uid="uid-2", spec={"nodeName": ""}, status={"containerStatuses": []}, ready=False)
        cluster = FakeCluster(FakeClock(), new)
        outcome = run(record_in(State.AWAIT_READY, deadline=60), cluster, now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == "unscheduled"
        assert cluster.calls == ["pods default/mec-0", "events default/uid-2"]

    @pytest.mark.parametrize("joined", [Event.ALREADY_REPLACED, Event.ALREADY_TERMINATING, Event.PROTECTION_UNUSED])
    @pytest.mark.parametrize("before", [1, 3600, 3601])
    def test_events_of_the_hour_before_count_where_the_pod_went_before(self, joined: Event, before: float) -> None:
        """Its controller tried at once to make another, and was refused."""
        path = StateEntry(state=State.INIT_CHECKS, at=NOW), StateEntry(state=State.AWAIT_READY, at=NOW, event=joined)
        cluster = FakeCluster(FakeClock())
        cluster.told = (PodEvent(type="Warning", reason="FailedCreate", message="x", event_time=later(-before)),)
        outcome = run(record_in(State.AWAIT_READY, deadline=60, path=path), cluster, now=later(60))
        counts = joined is not Event.PROTECTION_UNUSED and before <= 3600
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == ("creation_failed" if counts else "not_recreated")

    @pytest.mark.parametrize(("name", "code"), [("mec-7d9f8b6c5-x2x4z", "name_generated"), ("mec-0", "not_recreated")])
    def test_of_a_pod_that_was_never_seen_a_generated_name_explains_that_nothing_of_it_came(
        self, name: str, code: str
    ) -> None:
        gone = Event.ALREADY_REPLACED
        path = StateEntry(state=State.INIT_CHECKS, at=NOW), StateEntry(state=State.AWAIT_READY, at=NOW, event=gone)
        asked = request(node=None, pod=name, pod_uid="a")
        old = PinnedPod(name=name, uid="a")
        record = record_in(State.AWAIT_READY, deadline=60, path=path, request=asked, old_pod=old)
        outcome = run(record, FakeCluster(FakeClock()), now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == code

    def test_a_replacement_between_two_crashes_is_judged_by_the_clusters_clock(self) -> None:
        crashed = {"restartCount": 2, "lastState": {"terminated": {"exitCode": 1}}}
        status = {"name": "app", "ready": True, "state": {"running": {"startedAt": stamp(3600 + 57)}}} | crashed
        cluster = FakeCluster(FakeClock(), pod(uid="uid-2", status={"containerStatuses": [status]}))
        cluster.keeps_time(3600 + 60)
        record = record_in(State.AWAIT_READY, deadline=60, request=request(timeouts={"ready": 60}))
        outcome = run(record, cluster, now=later(60))
        assert outcome.diagnosis is not None
        assert outcome.diagnosis.code == "crash_loop"

    def test_of_others_that_ended_the_last_is_told(self) -> None:
        ended = {"phase": "Failed", "reason": "Evicted", "containerStatuses": []}
        old, first, last, new = (
            pod(uid, uid, owner=REPLICA_SET, metadata={"generateName": "rs-"}, created=at, status=status, ready=False)
            for uid, at, status in [("a", -900, {}), ("b", 1, ended), ("c", 2, ended), ("d", 3, {})]
        )
        asked = request(node=None, pod="a", timeouts={"ready": 60})
        record = record_in(State.AWAIT_READY, deadline=60, old=old, request=asked)
        beside = run(record, FakeCluster(FakeClock(), first, last, new), now=later(60))
        assert beside.diagnosis is not None
        assert "2 more of its replacements have ended, the last c, phase Failed: Evicted" in beside.diagnosis.evidence
        told = tuple(Notice(code="replacement_ended", message=f"Pod {uid} has ended.", at=NOW) for uid in "bc")
        before = run(record.changed(notices=told), FakeCluster(FakeClock(), new), now=later(60))
        assert before.diagnosis is not None
        assert before.diagnosis.evidence.endswith("; pod c has ended")


@pytest.mark.parametrize(("ahead", "skew"), [(1.999, 0), (-1.999, 0), (2, 2), (-2, -2)])
def test_a_difference_of_the_clocks_below_2_s_is_none(ahead: float, skew: float) -> None:
    """A Date header has whole seconds."""
    cluster = FakeCluster(FakeClock(), OLD)
    cluster.keeps_time(ahead)
    cluster.pods("default")
    context = context_of(record_in(State.AWAIT_READY), cluster)
    assert context.skew == timedelta(seconds=skew)
    assert context.server_now == later(ahead)


def test_of_several_replacements_of_a_pod_that_has_not_gone_the_oldest_is_kept() -> None:
    made = {"owner": REPLICA_SET, "metadata": {"generateName": "rs-"}}
    old = pod("rs-a", "a", deleted=30, **made)
    new = [pod(f"rs-{uid}", uid, created=created, **made) for uid, created in (("b", 9), ("c", 5))]
    record = record_in(State.AWAIT_TERMINATION, deadline=60, old=old, request=request(node=None, pod="rs-a"))
    outcome = run(record, FakeCluster(FakeClock(), old, *new), now=later(60))
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.standing == ("rs-c",)


def test_the_pods_beside_one_whose_deletion_has_happened_are_saved_with_it() -> None:
    """Else one that a scale-up has made would count as its replacement."""
    made = {"owner": REPLICA_SET, "metadata": {"generateName": "rs-"}}
    old, going, beside = pod("rs-a", "a", **made), pod("rs-a", "a", deleted=30, **made), pod("rs-b", "b", **made)
    record = record_in(State.DELETE_POD, old=old, request=request(node=None, pod="rs-a"))
    outcome = run(record, FakeCluster(FakeClock(), going, beside))
    assert outcome.event is Event.DELETE_ACCEPTED
    assert outcome.record_changes["old_pod"].lookalikes == {"b"}


@pytest.mark.parametrize(
    ("before", "configured", "after"),
    [
        (None, False, Protection.UNKNOWN),  # a run before had one, and was killed while it was tried
        (Protection.UNUSED, False, Protection.UNUSED),
        (None, True, Protection.UNUSED),
    ],
    ids=["tried_by_another_run", "none", "the_pod_terminates"],
)
def test_a_protection_that_is_not_tried_is_unused_and_unknown_if_another_run_may_have_tried_one(
    before: Protection | None, configured: bool, after: Protection
) -> None:
    record = record_in(State.DISABLE_PROTECTION, protection=before)
    switch = Switch(True) if configured else None
    outcome = run(record, FakeCluster(FakeClock(), pod(deleted=9)), protection=switch)
    assert (outcome.event, outcome.record_changes["protection"]) == (Event.PROTECTION_UNUSED, after)


class TestAProtectionThatThisRunWasNotGiven:
    """A run that began with one was killed, and the bounce was resumed by its pod's name alone."""

    ANNOTATION = AnnotationProtection(None, "example.com/protected", "s3cret")  # type: ignore[arg-type] # it is only named

    def record(self, given: ShutdownProtection, **fields: Any) -> BounceRecord:
        begun = begin(request(), NOW, protection=given)
        passed = advance(begun, FakeCluster(FakeClock(), OLD), NOW).record
        return passed.model_copy(update=fields)

    @pytest.mark.parametrize(
        ("given", "name"), [(ANNOTATION, "example.com/protected"), (Switch(True), "Switch")], ids=["key", "class"]
    )
    def test_is_named_before_the_deletion_without_its_value(
        self, cluster: FakeCluster, given: ShutdownProtection, name: str
    ) -> None:
        record = self.record(given)
        outcome = run(record, cluster)
        text = (
            f"This bounce began with a shutdown protection ({name}). This run was not given it, so it does not switch"
        )
        assert outcome.notices == (("protection_missing", f"{text} it off. Deleting the pod anyway."),)
        assert "s3cret" not in record.model_dump_json()

    @pytest.mark.parametrize(
        ("known", "told"), [(protection, protection not in ("disabled", "off")) for protection in (None, *Protection)]
    )
    def test_is_told_unless_it_is_known_to_be_off(
        self, cluster: FakeCluster, known: Protection | None, told: bool
    ) -> None:
        assert bool(run(self.record(self.ANNOTATION, protection=known), cluster).notices) is told

    def test_one_that_the_resuming_run_is_the_first_to_have_is_recorded_too(self, cluster: FakeCluster) -> None:
        outcome = run(begin(request(), NOW), cluster, protection=self.ANNOTATION)
        assert str(outcome.record_changes["given_protection"]) == "example.com/protected"

    def test_a_bounce_that_never_had_one_has_nothing_to_tell(self, cluster: FakeCluster) -> None:
        assert run(record_in(State.DISABLE_PROTECTION), cluster).notices == ()


class TestWhatTheChecksAreTold:
    def test_the_node_is_asked_for_by_its_name_in_the_requests_namespace(self) -> None:
        asked = []

        class Asked(FakeCluster):
            def node(self, namespace: str, ref: NodeRef) -> Mapping[str, Any]:
                asked.append((namespace, ref.name))
                return super().node(namespace, ref)

        run(begin(request(), NOW), Asked(FakeClock(), OLD))
        assert asked == [("default", "mec-0")]

    @pytest.mark.parametrize(("served", "event"), [(True, Event.NODE_MISSING), (False, Event.NODE_UNSERVED)])
    def test_a_type_that_is_not_served_is_told_apart(self, cluster: FakeCluster, served: bool, event: Event) -> None:
        cluster.faults = [NotFound("it is not there", served=served)]
        outcome = run(begin(request(), NOW), cluster)
        assert (outcome.event, outcome.message) == (event, "it is not there. Nothing was changed.")

    @pytest.mark.parametrize("served", [True, False])
    def test_what_may_have_been_meant_ends_the_sentence(self, cluster: FakeCluster, served: bool) -> None:
        cluster.faults = [NotFound("it is not there", served=served, near="; did you mean mec-1?")]
        outcome = run(begin(request(), NOW), cluster)
        assert outcome.message == "it is not there; did you mean mec-1? Nothing was changed."

    @pytest.mark.parametrize(("terms", "said"), [(TASK, "use force=True."), (COMMAND, "use --force.")])
    def test_they_speak_as_the_reader_does(self, cluster: FakeCluster, terms: Terms, said: str) -> None:
        cluster.resource = {"spec": {"state": "up"}, "status": {"state": "rebuilding"}}
        context = context_of(begin(request(), NOW), cluster)
        assert steps.init_checks(replace(context, terms=terms)).advice.endswith(said)

    def test_after_an_announced_delete_their_advice_is_kept_and_goes_on(self, cluster: FakeCluster) -> None:
        path = (
            StateEntry(state=State.INIT_CHECKS, at=NOW),
            StateEntry(state=State.DELETE_POD, at=NOW, event=Event.PROTECTION_UNUSED),
            StateEntry(state=State.INIT_CHECKS, at=NOW, event=Event.INTENT_EXPIRED),
        )
        cluster.resource = {"spec": {"state": "up"}, "status": {"state": "rebuilding"}}
        outcome = run(record_in(State.INIT_CHECKS, path=path), cluster)
        assert outcome.event is Event.NODE_REBUILDING
        assert outcome.message.endswith("The DELETE that was announced before may still be carried out.")
        assert outcome.advice == (
            "Wait until it has rebuilt. To bounce it anyway, use force=True. "
            f"Then {bounce_only(PinnedPod.of(OLD, [OLD]), TASK)}"
        )
