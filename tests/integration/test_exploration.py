"""Every way that one bounce can go, over a small model of the cluster: not examples, all of them.

A place is a record, a cluster and a moment. From each place found, every move is tried: the cluster goes on by
itself or by another hand, time passes to the next moment that matters, and a step is taken under each fault, saved or
lost. Places that differ in nothing that a bounce decides on count as one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache, cached_property
from typing import Any

import pytest
from builders import NOW, host, pod_json, request
from sampling import forms, sampled

from mecbounce.advancing import advance, begin, cancel
from mecbounce.cli.exits import exit_status
from mecbounce.errors import AccessDenied, Conflict, NotFound, Refused, Unreachable
from mecbounce.kubernetes_api.objects import Controller, Host, Owner, Pod, PodEvent, ServedType
from mecbounce.machine import BEFORE_DELETION, TRANSITIONS, WAITING, Event, State, Transition
from mecbounce.record import BounceRecord, Protection
from mecbounce.request import BounceRequest, NodeRef
from mecbounce.result import BounceResult

pytestmark = pytest.mark.no_cover  # to follow each line of all these steps takes twice as long as the steps


class Life(StrEnum):
    """How the incarnation that stands there is."""

    PRESENT = "present"
    TERMINATING = "terminating"
    GONE = "gone"
    STARTING = "starting"
    STARTED = "started"


class Fault(StrEnum):
    """What befalls each request of one step."""

    NONE = "none"
    LOST_BEFORE = "lost before the server acted"
    LOST_AFTER = "lost after the server acted"
    DENIED = "403"
    REFUSED = "refused by a webhook"
    OVERTAKEN = "the pod is replaced between look and write"


WRITING = (State.DISABLE_PROTECTION, State.DELETE_POD)
OF_READS = (Fault.NONE, Fault.LOST_BEFORE, Fault.DENIED)
LONGEST = 28  # steps to the end for a runner that calls seldom: each expired intent costs three, and then lives longer
MOST_EXPIRIES = 1  # that are told apart: after more of them a bounce goes on as after one


MADE_BY = {"ExpressNode": "express.example.com/v1", "Job": "batch/v1"}  # apiVersions


@dataclass(frozen=True)
class Model:
    """A cluster of one node: which incarnation stands there (1 is the first) and how it is."""

    incarnation: int = 1
    life: Life = Life.PRESENT
    resource: Mapping[str, Any] | None = field(default_factory=lambda: {"spec": {"state": "up"}})
    served: bool = True
    maker: str = "ExpressNode"
    ended: bool = False
    probed: bool = True
    protection: str = "none configured"

    def __hash__(self) -> int:
        return hash((self.incarnation, self.life, str(self.resource), self.maker, self.probed, self.protection))

    def goes_on(self) -> Iterator[Model]:
        """What may become of it by itself, or by another hand."""
        match self.life:
            case Life.PRESENT | Life.STARTED:
                yield replace(self, life=Life.TERMINATING)
            case Life.TERMINATING:
                yield replace(self, life=Life.GONE)
            case Life.GONE if self.incarnation < 3:
                protection = "on" if self.protection == "off" else self.protection
                yield replace(self, life=Life.STARTING, incarnation=self.incarnation + 1, protection=protection)
            case Life.STARTING:
                yield replace(self, life=Life.STARTED)
        if self.resource and self.resource["spec"] == {"state": "up"}:
            yield replace(self, resource={"spec": {"state": "down"}})

    def stands(self, uid: str | None) -> bool:
        return self.life in (Life.PRESENT, Life.STARTED) and uid == f"uid-{self.incarnation}"

    @cached_property
    def pods(self) -> tuple[Pod, ...]:
        if self.life is Life.GONE:
            return ()
        owner = {"kind": self.maker, "name": "mec-0", "uid": "owner-1", "controller": True}
        made = pod_json(
            uid=f"uid-{self.incarnation}",
            ready=self.life in (Life.PRESENT, Life.STARTED),
            deleted=30 if self.life is Life.TERMINATING else None,
            container={"startupProbe": {"periodSeconds": 1}} if self.probed else {},
            owner=owner | {"apiVersion": MADE_BY.get(self.maker, "v1")} if self.maker else None,
            metadata={"generateName": "mec-"} if self.ended else {},
            status={"phase": "Failed"} if self.ended else {},
        )
        return (Pod.model_validate(made),)


class Asked:
    """The model as a Cluster, for one step under one fault."""

    server = "https://model.example.com"
    server_time: datetime | None = None

    def __init__(self, model: Model, fault: Fault) -> None:
        self.model = model
        self._fault = fault
        self.deleted: list[str] = []

    def _answer(self, act: Callable[[], Any], *, write: bool = False) -> Any:
        if self._fault is Fault.LOST_BEFORE:
            raise Unreachable("reset")
        if self._fault is Fault.DENIED:
            raise AccessDenied("forbidden")
        if self._fault is Fault.REFUSED and write:
            raise Refused("a webhook says no")
        if self._fault is Fault.OVERTAKEN and write and self.model.incarnation < 3:
            self.model = replace(self.model, life=Life.STARTED, incarnation=self.model.incarnation + 1)
        answer = act()
        if self._fault is Fault.LOST_AFTER and write:
            raise Unreachable("reset")
        return answer

    def node(self, namespace: str, ref: NodeRef) -> Mapping[str, Any]:  # noqa: ARG002 -- a Cluster
        found: Mapping[str, Any] | None = self._answer(lambda: self.model.resource)
        if found is None:
            raise NotFound("no such resource", served=self.model.served)
        return found

    def type_of(self, owner: Owner) -> ServedType | None:
        served: ServedType | None = self._answer(lambda: ServedType(f"{owner.kind.lower()}s", namespaced=True))
        return served

    def pods(self, namespace: str, name: str | None = None) -> tuple[Pod, ...]:  # noqa: ARG002 -- a Cluster
        pods: tuple[Pod, ...] = self._answer(lambda: self.model.pods)
        return pods

    def delete_pod(self, namespace: str, name: str, uid: str, *, dry_run: bool = False) -> None:  # noqa: ARG002
        def delete() -> None:
            if self.model.life is Life.GONE:
                raise NotFound("no such pod")
            if uid != f"uid-{self.model.incarnation}":
                raise Conflict("another UID")
            self.deleted.append(uid)
            self.model = replace(self.model, life=Life.TERMINATING)

        self._answer(delete, write=True)

    def watch(self, namespace: str) -> Any:
        raise NotImplementedError

    def controller(self, namespace: str, owner: Owner) -> Mapping[str, Any]:  # noqa: ARG002 -- a Cluster
        found: Mapping[str, Any] = self._answer(
            lambda: {"kind": owner.kind, "metadata": {"name": owner.name, "uid": owner.uid}}
        )
        return found

    def replica_sets(self, namespace: str) -> tuple[Controller, ...]:
        raise NotImplementedError

    def host(self, name: str) -> Host:  # noqa: ARG002 -- a Cluster
        found: Host = self._answer(host)
        return found

    def events(self, namespace: str, uid: str) -> tuple[PodEvent, ...]:  # noqa: ARG002 -- a Cluster
        told: tuple[PodEvent, ...] = self._answer(lambda: ())
        return told

    def tell(self, namespace: str, event: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def disable(self, pod: Pod) -> bool:
        """Switch the protection off: a ShutdownProtection."""

        def switch() -> bool:
            if pod.uid != f"uid-{self.model.incarnation}":
                raise Conflict("another UID")
            was_on = self.model.protection == "on"
            self.model = replace(self.model, protection="off")
            return was_on

        return bool(self._answer(switch, write=True))


@dataclass(frozen=True)
class Place:
    record: BounceRecord
    model: Model
    now: datetime
    deleted: tuple[str, ...] = ()

    @property
    def alike(self) -> tuple[Any, ...]:
        """All that a bounce decides on: two places with the same go on in the same way."""
        record = self.record
        asking = record.state in BEFORE_DELETION  # the checks, now or once more
        return (
            record.state,
            (record.path[-1].event, record.deletion_was_possible) if record.finished else None,
            (record.request.force, record.request.node == "auto", record.node) if asking else None,
            record.old_pod.uid if record.old_pod else record.request.pod_uid,
            record.new_pod and record.new_pod.uid,
            record.deadline_from_start,
            record.trouble is not None,
            tuple(self.now >= moment for moment in self.moments),
            min(self.expiries, MOST_EXPIRIES) if asking else None,
            record.protection if asking else None,
            any(one.code == "cluster_trouble" and one.at >= record.entered_at for one in record.notices),
            self.model if asking else replace(self.model, resource=None),
            self.deleted,
        )

    @property
    def moments(self) -> tuple[datetime, ...]:
        """When waiting is over: the deadlines, the ends of the API server's patience, and when an intent expires."""
        record, api = self.record, timedelta(seconds=self.record.request.timeouts.api)
        deadlines = (record.deadline, record.deadline + api) if record.deadline else ()
        patience = (record.trouble.since + api,) if record.trouble else ()
        return (*deadlines, *patience, *((self.expires,) if record.state is State.DELETE_POD else ()))

    @property
    def pinned(self) -> str | None:
        return self.record.old_pod.uid if self.record.old_pod else None

    @property
    def expiries(self) -> int:
        return sum(passage.event is Event.INTENT_EXPIRED for passage in self.record.path)

    @property
    def expires(self) -> datetime:
        """When the announced DELETE is too old to be carried out without asking again."""
        tried = self.record.trouble.delete_tried_at if self.record.trouble else None
        since = max(self.record.entered_at, tried or self.record.entered_at)
        return since + timedelta(seconds=self.record.request.timeouts.api) * 2.0**self.expiries

    @property
    def exactly(self) -> tuple[Any, ...]:
        """The same, and how far each moment is: with it, two places go on at the same pace in the same way."""
        return self.alike, tuple(moment - self.now for moment in self.moments), self.expiries

    def called_at(self, pace: float) -> Place:
        """Let a runner's time pass: its pace, or, where nothing but time can change anything, until that has."""
        ahead = (moment for moment in self.moments if self.record.state in WAITING)
        return replace(self, now=max((self.now + timedelta(seconds=pace), *ahead)))

    def stepped(self, fault: Fault) -> Place:
        asked = Asked(self.model, fault)
        protection = None if self.model.protection == "none configured" else asked
        step = advance(self.record, asked, self.now, protection=protection)
        return Place(step.record, asked.model, self.now, (*self.deleted, *asked.deleted))

    def moves(self) -> Iterator[Place]:
        for model in self.model.goes_on():
            yield replace(self, model=model)
        yield from (replace(self, now=moment) for moment in self.moments if moment > self.now)
        if self.record.deletion_was_possible and self.model.stands(self.pinned):
            # By the DELETE of a runner that was killed while it was under way.
            assert self.pinned is not None
            yield replace(self, model=replace(self.model, life=Life.TERMINATING), deleted=(*self.deleted, self.pinned))
        for fault in Fault if self.record.state in WRITING else OF_READS:
            after = self.stepped(fault)
            yield after
            if after.model != self.model:
                yield replace(after, record=self.record)  # killed before the save
        called_off = cancel(self.record, Asked(self.model, Fault.NONE), self.now, announced_by_this_process=True)
        if called_off:
            yield replace(self, record=called_off.record)


def beginnings() -> Iterator[Place]:
    """Give each kind of request with each cluster that it can meet."""
    requests = {
        "plain": request(),
        "forced": request(force=True),
        "pinned": request(pod_uid="uid-1"),
        "pinned to another": request(pod_uid="uid-0"),
    }
    resources: tuple[Any, ...] = (
        {"spec": {"state": "up"}},
        {"spec": {"state": "down"}},
        {"spec": {"state": "up"}, "status": {"state": "rebuilding"}},
        {"spec": {"state": 1}},
        {"metadata": {"deletionTimestamp": "2026-01-01T12:00:00Z"}, "spec": {"state": "up"}},
        {
            "apiVersion": "express.example.com/v1",
            "kind": "ExpressNode",
            "metadata": {"uid": "owner-2"},
            "spec": {"state": "up"},
        },
        None,
    )
    for asked in requests.values():
        for resource in resources:
            yield _beginning(asked, Model(resource=resource))
        for life in (Life.TERMINATING, Life.GONE, Life.STARTED):
            yield _beginning(asked, Model(life=life))
        yield _beginning(asked, Model(maker=""))
        yield _beginning(asked, Model(probed=False))
    for refused in (Model(maker="Node"), Model(maker="Job"), Model(ended=True), Model(resource=None, served=False)):
        yield _beginning(request(), refused)
    for resource in ({"spec": {"state": "up"}}, {"spec": {"state": 1}}, None):
        yield _beginning(request(node="auto"), Model(resource=resource, probed=False))
    for protection in ("on", "off"):
        yield _beginning(request(), Model(protection=protection))


def _beginning(asked: BounceRequest, model: Model) -> Place:
    return Place(begin(asked, NOW), model, NOW)


@dataclass(frozen=True)
class Explored:
    places: tuple[Place, ...]
    moves: int
    rows: frozenset[Transition]
    done: tuple[Place, ...]
    """Each arrival in DONE, with the cluster as it was then."""
    pinned: frozenset[tuple[str | None, str | None]]
    """The pinned UID before and after each move."""
    protection: frozenset[tuple[Protection | None, Protection | None]]
    """What came of the protection, before and after each move."""

    @property
    def unfinished(self) -> Iterator[Place]:
        return (place for place in self.places if not place.record.finished)


@cache
def explore() -> Explored:
    ahead = deque(beginnings())
    found = {place.alike: place for place in ahead}
    rows, moves, done = set[Transition](), 0, list[Place]()
    pinned, protection = set[tuple[str | None, str | None]](), set[tuple[Protection | None, Protection | None]]()
    while ahead:
        here = ahead.popleft()
        if here.record.finished or len(here.deleted) > 1:
            continue
        for there in here.moves():
            moves += 1
            before, after = len(here.record.path), there.record.path
            rows |= {
                Transition(one.state, two.event, two.state)
                for one, two in zip(after[before - 1 :], after[before:], strict=False)
                if two.event
            }
            pinned.add((here.pinned, there.pinned))
            protection.add((here.record.protection, there.record.protection))
            if there.record.state is State.DONE:
                done.append(there)
            if there.alike not in found:
                found[there.alike] = there
                ahead.append(there)
    places = tuple(found.values())
    return Explored(places, moves, frozenset(rows), tuple(done), frozenset(pinned), frozenset(protection))


def test_every_row_of_the_table_is_taken_and_no_other(figure: Callable[[str], None]) -> None:
    explored = explore()
    figure(f"explored {len(explored.places):,} places of a small model by {explored.moves:,} moves")
    assert frozenset(TRANSITIONS) == explored.rows


def test_every_state_is_reached() -> None:
    assert set(State) == {place.record.state for place in explore().places}


def test_no_incarnation_is_deleted_twice_and_none_but_the_pinned_one() -> None:
    for place in explore().places:
        old = place.record.old_pod
        assert len(place.deleted) <= 1
        assert not place.deleted or (old is not None and place.deleted == (old.uid,))


def test_where_it_ends_with_3_nothing_was_deleted() -> None:
    """Not even by a runner before, which was killed while its DELETE was under way."""
    ended = [place for place in explore().places if place.record.finished]
    refused = [place for place in ended if exit_status(BounceResult.of(place.record)) == 3]
    assert {place.record.path[-1].event for place in refused} >= {Event.NODE_DOWN, Event.CANCELLED, Event.ACCESS_DENIED}
    assert any(place.record.deletion_was_possible for place in refused)
    assert [] == [place for place in refused if place.deleted]


def test_a_bounce_is_done_only_with_a_replacement_that_has_started() -> None:
    assert explore().done
    for place in explore().done:
        old, new = place.record.old_pod, place.record.new_pod
        assert old is not None
        assert new is not None
        assert new.uid == f"uid-{place.model.incarnation}" != old.uid
        assert place.model.life in (Life.PRESENT, Life.STARTED)


def test_a_deadline_is_kept_to_one_look() -> None:
    """At its deadline a waiting state is left, or gets a new deadline once, counted from a container's start."""
    late = [place for place in explore().unfinished if place.record.deadline and place.now >= place.record.deadline]
    assert late
    for place in late:
        after = place.stepped(Fault.NONE).record
        anew = after.deadline_from_start and not place.record.deadline_from_start
        assert after.state is not place.record.state or anew


@forms("most", short=2000, long=None)
@pytest.mark.parametrize(
    ("fault", "pace"),
    [(Fault.NONE, 60), (Fault.LOST_BEFORE, 10), (Fault.LOST_BEFORE, 60), (Fault.DENIED, 60)],
)
def test_every_state_is_left_by_time_alone(fault: Fault, pace: float, most: int | None) -> None:
    """Whatever stands still and whatever fails for good: a runner comes to an end, however many seconds it pauses."""
    ends: dict[Any, int] = {}
    unfinished = list(explore().unfinished)
    for place in sampled(unfinished, most, fault):
        path, here = list[Any](), place
        while not here.record.finished and here.exactly not in ends:
            path.append(here.exactly)
            assert len(path) <= LONGEST, place
            here = here.called_at(pace).stepped(fault)
        to_go = 0 if here.record.finished else ends[here.exactly]
        ends |= {passed: to_go + number for number, passed in enumerate(reversed(path), 1)}
    assert max(ends.values()) <= LONGEST


def test_an_old_intent_goes_back_to_the_checks_and_no_deletion_comes_of_it_unasked() -> None:
    """Before its DELETE an intent is always younger than the API timeout, or than twice that for each time before."""
    old = [one for one in explore().unfinished if one.record.state is State.DELETE_POD and one.now >= one.expires]
    assert {place.model.life for place in old} == {*Life}
    for place in old:
        after = place.stepped(Fault.NONE)
        stands = place.record.old_pod is not None and place.record.old_pod.find_in(place.model.pods)
        event = Event.POD_GONE if not stands else Event.DELETE_ACCEPTED if stands.terminating else Event.INTENT_EXPIRED
        assert (after.record.path[-1].event, after.deleted) == (event, place.deleted)


def test_the_pinned_incarnation_never_changes() -> None:
    assert {before for before, _ in explore().pinned} == {None, "uid-0", "uid-1", "uid-2", "uid-3"}
    assert [] == [(before, after) for before, after in explore().pinned if before not in (None, after)]


def test_what_came_of_the_protection_is_not_forgotten_on_the_way_round() -> None:
    """What is known better the second time counts; that it was switched off, or perhaps, is never unsaid."""
    assert {after for before, after in explore().protection if before is Protection.DISABLED} == {Protection.DISABLED}
    after_unknown = {after for before, after in explore().protection if before is Protection.UNKNOWN}
    assert after_unknown == {Protection.UNKNOWN, Protection.DISABLED}
