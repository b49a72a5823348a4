"""Sequences of faults and of changes of the cluster: whatever comes together, a bounce keeps its promises.

The cluster is a model and time is virtual. Hypothesis chooses what happens and when; the steps are taken as a runner
takes them, each when the last one's wait is over or a change of the pods has ended it.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, ClassVar

import pytest
import structlog
from builders import NODE, request
from fault_bench import Killed
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from model_cluster import Fate, ModelCluster, TrueTime

from mecbounce import advancing, probes, retry, steps
from mecbounce.advancing import Step, Wait, begin
from mecbounce.errors import ClusterError, Interrupted, NotFound
from mecbounce.machine import FINAL, TRANSITIONS, Event, State
from mecbounce.record import BounceRecord, PinnedPod
from mecbounce.steps import HANDLERS, Context, Outcome
from mecbounce.task import BounceTask

API, TERMINATION, READY = 30.0, 60.0, 90.0  # seconds that the bounce is given
WINDOW = 10.0  # seconds
# Where no answer is usable, a state is tried at 0, 0.25, 0.75, 1.75, 3.75 and 7.75 s at the earliest, with three
# requests each time at most: the resource and two lists, or look, DELETE and look. Where each second look fails, there
# are two looks every 2.25 s, and three requests for the diagnosis at the end.
REQUESTS = 18


FATES = st.sampled_from([*[Fate.FINE] * 5, *Fate])
CHANGES = st.sampled_from(["goes on", "goes on", "goes on", "is replaced", "one more", "terminates", "vanishes"])


class Saved:
    """A store in memory that lets its runner be killed instead of a save."""

    def __init__(self, record: BounceRecord) -> None:
        self.record = record
        self.kill_next = False

    def load(self) -> BounceRecord:
        return self.record

    def save(self, record: BounceRecord) -> None:
        if self.kill_next:
            self.kill_next = False
            raise Killed
        before = self.record
        assert record.revision == before.revision + 1
        if before.old_pod is not None:
            assert record.old_pod is not None
            assert record.old_pod.uid == before.old_pod.uid, "another incarnation was adopted"
        self.record = record

    def clear(self) -> None:
        raise AssertionError("nobody forgets this bounce")


class Sequence(RuleBasedStateMachine):
    """Bounces one after the other on a cluster to which anything may happen, and what holds throughout."""

    ends: ClassVar[Counter[str]] = Counter()
    counted: ClassVar[Counter[str]] = Counter()
    busiest: ClassVar[int] = 0

    @initialize(
        generated=st.booleans(),
        probed=st.booleans(),
        given=st.sampled_from([True, True, False]),
        fates=st.lists(FATES, max_size=8),
    )
    def begins(self, *, generated: bool, probed: bool, given: bool, fates: list[Fate]) -> None:
        self.clock = TrueTime()
        self.cluster = ModelCluster(self.clock, generated=generated, probed=probed)
        self.cluster.on_call = self.count_request
        self.timeouts = {"api": API, **({"termination": TERMINATION, "ready": READY} if given else {})}
        self.wait: Wait | None = None
        self.begins_again(fates, lively=True)

    @precondition(lambda self: not self.running)
    @rule(fates=st.lists(FATES, max_size=8), lively=st.sampled_from([True, True, False]))
    def begins_again(self, fates: list[Fate], *, lively: bool) -> None:
        """Another bounce of a pod, as the last one has left it if it has left one."""
        self.lively = lively
        cluster = self.cluster
        if not any(uid in cluster.started for uid in cluster.present):
            cluster.present.clear()
            for _ in range(2 if cluster.generated else 1):
                cluster.starts(cluster.is_made())
        cluster.resource = {"spec": {"state": "up"}, "status": {"state": "running"}}
        cluster.fates, cluster.misled = fates, 0
        cluster.deleted.clear()
        pod = cluster.present[max(cluster.present, key=lambda uid: uid in cluster.started)]
        node = None if cluster.generated else NODE
        self.request = request(pod=pod.name, node=node, timeouts=self.timeouts)
        # A bounce's own id seeds its pauses: always the same, or no sequence could be played again.
        self.store = Saved(begin(self.request, self.clock.now).model_copy(update={"bounce_id": "b"}))
        self.stop = False
        self.wait, self.due = Wait(0), self.clock.elapsed
        self.requests: deque[float] = deque()
        self.counted["bounces"] += 1

    def count_request(self) -> None:
        """Assert that requests stay few, while nothing changes but the time."""
        self.requests.append(self.clock.elapsed)
        while self.requests[0] < self.clock.elapsed - WINDOW:
            self.requests.popleft()
        type(self).busiest = max(self.busiest, len(self.requests))
        assert len(self.requests) <= REQUESTS, "too many requests"

    # What the runner does

    def step(self) -> None:
        """Take one step, and judge it."""
        before, misled = self.store.record, self.cluster.misled
        self.counted["steps"] += 1
        task = BounceTask(self.request, self.cluster, self.store, clock=self.clock, stop=lambda: self.stop)
        try:
            step = task.advance()
        except (Killed, Interrupted):
            self.requests.clear()  # whoever starts it again does so as often as it likes
            self.stop = False
            return
        self.wait = step.wait
        self.due = self.clock.elapsed + (step.wait.seconds if step.wait else 0.0)
        if before.state is not step.record.state:
            self.requests.clear()
        if before.old_pod is None:
            self.cluster.forget()
        else:
            self.judge(before, step, misled=self.cluster.misled > misled)
        if step.wait is None:
            self.ended(step.record)

    def judge(self, before: BounceRecord, step: Step, *, misled: bool) -> None:
        record, now = step.record, self.clock.now
        if record.state is State.AWAIT_READY and before.state is not record.state and not misled:
            assert record.old_pod is not None
            assert record.old_pod.uid not in self.cluster.present, "the pod has not gone"
        if record.finished:
            return
        assert step.wait is not None
        if record.deadline is not None:
            over = record.deadline
            if record.trouble is not None:  # or else from the first look that failed after it
                over = max(over, record.trouble.since) + timedelta(seconds=API)
            last = record.deadline if now < record.deadline else over
            if now >= over and self.clock.elapsed in self.cluster.births.values():
                return  # a replacement came during the last look: the next one judges it
            assert now < over, "the deadline has passed"
            assert now + timedelta(seconds=step.wait.seconds) <= last, "no look is taken at the deadline"
        elif record.trouble is not None:
            over = record.trouble.since + timedelta(seconds=API)
            assert now < over, "the API server was given longer than asked"
            assert now + timedelta(seconds=step.wait.seconds) <= over, "no look is taken at the end"

    def ended(self, record: BounceRecord) -> None:
        event, old, new = record.path[-1].event, record.old_pod, record.new_pod
        self.ends[f"{event}"] += 1
        if record.state is State.DONE:
            assert old is not None
            assert new is not None
            assert new.uid in self.cluster.started - {old.uid} - old.lookalikes, "no replacement has started"
            assert self.cluster.births[new.uid] >= self.cluster.births[old.uid]
        if event in {Event.CANCELLED, Event.DELETE_REFUSED} and not self.cluster.misled:
            assert self.cluster.deleted == [], "it says that nothing was deleted"

    def run_for(self, seconds: float) -> None:
        until = self.clock.elapsed + seconds
        while self.wait is not None and self.due <= until:
            if self.lively and self.due > self.clock.elapsed + 1:  # meanwhile the cluster goes on by itself
                self.clock.pass_time(1.0)
                self.changed_by(self.cluster.goes_on)
            self.clock.pass_time(max(0.0, self.due - self.clock.elapsed))
            self.step()
        self.clock.pass_time(max(0.0, until - self.clock.elapsed))

    @property
    def running(self) -> bool:
        return self.wait is not None

    @precondition(lambda self: self.running)
    @rule(count=st.integers(1, 4))
    def steps_are_taken(self, count: int) -> None:
        for _ in range(count):
            self.run_for(max(0.0, self.due - self.clock.elapsed))

    @precondition(lambda self: self.running)
    @rule(seconds=st.sampled_from([1.0, 5.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.run_for(seconds)

    @precondition(lambda self: self.running)
    @rule(fate=FATES, times=st.sampled_from([1, 1, 2, 40]))
    def answers_go_wrong(self, fate: Fate, times: int) -> None:
        self.cluster.fates += [fate] * times

    @precondition(lambda self: self.running)
    @rule(what=st.sampled_from(["killed", "stopped", "an hour on", "an hour back"]))
    def the_runner_has_trouble(self, what: str) -> None:
        """It is killed before the next step is saved, asked to stop, or its clock is set."""
        self.store.kill_next |= what == "killed"
        self.stop |= what == "stopped"
        self.clock.now += timedelta(hours={"an hour on": 1, "an hour back": -1}.get(what, 0))

    @precondition(lambda self: self.running)
    @rule(change=CHANGES, draw=st.integers(0, 1))
    def the_pods_change(self, change: str, draw: int) -> None:
        """The cluster goes on, or another hand is at work; a watch tells."""
        uids = list(self.cluster.present)
        if change == "goes on":
            self.changed_by(self.cluster.goes_on)
        elif change == "is replaced":
            self.changed_by(self.cluster.is_replaced)
        elif change == "one more" and self.cluster.generated:
            self.changed_by(self.cluster.is_made)
        elif change == "terminates" and uids:
            self.changed_by(lambda: self.cluster.terminates(uids[draw % len(uids)]))
        elif change == "vanishes" and uids:
            self.changed_by(lambda: self.cluster.goes(uids[draw % len(uids)]))

    def changed_by(self, change: Callable[[], object]) -> None:
        """Let a change of the pods end the wait, as a watch does."""
        before = list(self.cluster.present.values())
        change()
        if before != list(self.cluster.present.values()):
            self.requests.clear()
            if self.wait is not None and not self.wait.backing_off:
                self.due = self.clock.elapsed

    @precondition(lambda self: self.running)
    @rule(desired=st.sampled_from(["up", "up", "down", None]), activity=st.sampled_from(["running", "rebuilding"]))
    def the_resource_changes(self, desired: str | None, activity: str) -> None:
        self.cluster.resource = {"spec": {"state": desired}, "status": {"state": activity}} if desired else None

    # What must hold all along

    @invariant()
    def deletes_what_it_pinned_and_that_once(self) -> None:
        record = self.store.record
        pinned = {record.old_pod.uid} if record.old_pod else set()
        assert set(self.cluster.deleted) <= pinned, "another pod was deleted"
        # Where a look is stale, a DELETE that was carried out may be sent again: it changes nothing.
        assert len(self.cluster.deleted) <= 1 + self.cluster.misled, "deleted twice"

    def teardown(self) -> None:
        """Leave it alone: it must end, and say when."""
        self.cluster.fates.clear()
        for _ in State:  # each deadline is waited for, though not the hours before it
            deadline = self.store.record.deadline
            if deadline is not None:
                self.clock.now = max(self.clock.now, deadline - timedelta(seconds=5))
            self.run_for(10 + API)
        assert self.wait is None, "no end"
        self.deletes_what_it_pinned_and_that_once()
        self.counted["faults"] += self.cluster.befallen


def run(examples: int, length: int, **options: Any) -> tuple[Counter[str], str]:
    """Drive machines through so many sequences; gives how often a bounce ended how, and a summary."""

    class Machine(Sequence):
        ends: ClassVar[Counter[str]] = Counter()
        counted: ClassVar[Counter[str]] = Counter()

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    chosen = settings(max_examples=examples, stateful_step_count=length, **options)
    run_state_machine_as_test(Machine, settings=chosen)
    counted, ends = Machine.counted, Machine.ends
    return ends, (
        f"{examples} sequences of {counted['bounces']} bounces, {counted['steps']} steps, {counted['faults']} faults; "
        f"at most {Machine.busiest} requests in {WINDOW:.0f} s; "
        f"ends: {', '.join(f'{count} {end}' for end, count in ends.most_common())}"
    )


@pytest.mark.short
def test_whatever_comes_together_a_bounce_keeps_its_promises(figure: Callable[[str], None]) -> None:
    _, summary = run(60, 40)
    figure(f"faults in sequence: {summary}")


@pytest.mark.long
def test_the_same_for_minutes_and_every_end_is_seen(figure: Callable[[str], None]) -> None:
    ends, summary = run(2000, 60)
    figure(f"faults in sequence, long: {summary}")
    out_of_reach = {Event.NODE_UNREADABLE, Event.NODE_DELETING}
    out_of_reach |= {Event.POD_UNMANAGED, Event.POD_FOREIGN, Event.POD_STATIC, Event.POD_ENDED, Event.POD_OF_JOB}
    assert set(ends) == {row.event for row in TRANSITIONS if row.dest in FINAL} - out_of_reach


class TestOfTheTest:
    """Each promise, broken once: a sequence notices. Hypothesis finds them all; most are spelt out here to be quick."""

    def notices(self, said: str, *fates: Fate) -> None:
        machine = Sequence()
        with pytest.raises(AssertionError, match=said):
            self.play(machine, fates)

    @staticmethod
    def play(machine: Sequence, fates: Iterable[Fate]) -> None:
        machine.begins(generated=False, probed=True, given=True, fates=list(fates))
        machine.run_for(API + TERMINATION + READY)
        machine.deletes_what_it_pinned_and_that_once()

    def handler(self, monkeypatch: pytest.MonkeyPatch, state: State, handler: Callable[[Context], Outcome]) -> None:
        monkeypatch.setattr(advancing, "HANDLERS", {**HANDLERS, state: handler})

    @pytest.mark.parametrize("fate", Fate)
    def test_what_is_not_broken_passes(self, fate: Fate) -> None:
        for calls_before in range(6):
            self.play(Sequence(), [*[Fate.FINE] * calls_before, fate])

    def test_a_delete_without_precondition(self, monkeypatch: pytest.MonkeyPatch) -> None:
        careful = ModelCluster.delete_pod

        def careless(self: ModelCluster, namespace: str, name: str, uid: str, *, dry_run: bool = False) -> None:
            if self.fates.pop(0) is Fate.OVERTAKEN:
                self.is_replaced()
            uid = next(pod.uid for pod in self.present.values() if pod.name == name)
            careful(self, namespace, name, uid, dry_run=dry_run)

        monkeypatch.setattr(ModelCluster, "delete_pod", careless)
        self.notices("another pod was deleted", Fate.FINE, Fate.FINE, Fate.FINE, Fate.OVERTAKEN)

    def test_another_incarnation_that_is_adopted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def adopts(context: Context) -> Outcome:
            pods = context.pods()
            there = next(pod for pod in pods if pod.name == context.old.name)
            if there.uid != context.old.uid:
                return Outcome(record_changes={"old_pod": PinnedPod.of(there, pods)})
            return steps.delete_pod(context)

        self.handler(monkeypatch, State.DELETE_POD, adopts)
        self.notices("another incarnation was adopted", Fate.FINE, Fate.OVERTAKEN)

    def test_no_pause_after_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retry, "_backoff", lambda *_: 0.0)
        self.notices("too many requests", *[Fate.LOST] * 40)

    def test_any_error_taken_for_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def hasty(context: Context) -> Outcome:
            try:
                return steps.await_termination(context)
            except ClusterError:
                return Outcome(Event.POD_GONE)

        self.handler(monkeypatch, State.AWAIT_TERMINATION, hasty)
        self.notices("the pod has not gone", *[Fate.FINE] * 4, Fate.LOST)

    def test_a_404_taken_for_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def hasty(context: Context) -> Outcome:
            try:
                context.cluster.delete_pod(context.request.namespace, context.old.name, context.old.uid)
            except NotFound:
                return Outcome(Event.POD_GONE)
            return Outcome(Event.DELETE_ACCEPTED)

        self.handler(monkeypatch, State.DELETE_POD, hasty)
        self.notices("the pod has not gone", Fate.FINE, Fate.FINE, Fate.NO_ROUTE)

    def test_done_before_anything_has_started(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probes, "completion_event", lambda *_: Event.POD_STARTED)
        self.notices("no replacement has started")

    def test_a_second_delete_without_a_look(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def blind(context: Context) -> Outcome:
            context.cluster.delete_pod(context.request.namespace, context.old.name, context.old.uid)
            return Outcome(Event.DELETE_ACCEPTED)

        self.handler(monkeypatch, State.DELETE_POD, blind)
        self.notices("deleted twice", Fate.FINE, Fate.FINE, Fate.UNANSWERED)

    def test_a_deadline_that_is_not_judged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Context, "overdue", False)
        monkeypatch.setattr(ModelCluster, "goes_on", lambda _: None)
        self.notices("the deadline has passed")

    def test_hypothesis_finds_one_by_itself(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probes, "completion_event", lambda *_: Event.POD_STARTED)
        with pytest.raises(AssertionError, match="no replacement has started"):
            run(100, 40, phases=[Phase.generate], report_multiple_bugs=False)
