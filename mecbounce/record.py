"""What a bounce remembers: frozen data, saved as JSON. Times are in UTC, durations in seconds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mecbounce.codes import DiagnosisCode
from mecbounce.errors import ForeignRecord
from mecbounce.fields import Frozen, Instant, Words
from mecbounce.kubernetes_api.objects import _LONG_AGO, Container, Owner, Pod
from mecbounce.machine import FINAL, JOINING, KNOWN_NOT_DELETED, TRANSITIONS, WAITING, Event, State
from mecbounce.request import BounceRequest, NodeRef

# A generated name ends in five of these letters and digits: apimachinery's util/rand.
_GENERATED = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5}$")


class Notice(Frozen):
    """Something worth knowing that did not stop the bounce."""

    code: str
    """A stable name."""
    message: str
    """The text for people."""
    at: Instant
    """When it was noticed, in UTC."""
    count: int = Field(default=1, ge=1)
    """How many notices of this code there were. Only the first and the last are kept."""


class Protection(StrEnum):
    """What happened to the pod's shutdown protection.

    `disabled`: this bounce switched it off. `off`: it was off already, or the pod has none. `unused`: no protection is
    configured, or the pod was terminating already. `kept`: it could not be switched off. `unknown`: there was no
    answer; it may be switched off.
    """

    DISABLED = "disabled"
    OFF = "off"
    UNUSED = "unused"
    KEPT = "kept"
    UNKNOWN = "unknown"


class GivenProtection(Frozen):
    """Which shutdown protection a bounce was given. Without the value that switches it off, which may be a secret."""

    kind: Words
    """The name of its class."""
    annotation: Words = ""
    """The key of its annotation. Empty: it is of another kind."""

    def __str__(self) -> str:
        return self.annotation or self.kind


class Deletion(StrEnum):
    """What the bounce knows of the pod's deletion."""

    NONE = "none"
    """Nothing was deleted."""
    UNKNOWN = "unknown"
    """A DELETE may have been carried out, or may still be."""
    OURS = "ours"
    """This bounce's DELETE was accepted."""
    ALREADY = "already"
    """It was terminating, or had gone, before this bounce could delete it."""
    OURS_OR_ANOTHERS = "ours_or_anothers"
    """It is terminating, or has gone: by a DELETE of this bounce that got no answer, or by somebody else's."""
    LOST = "lost"
    """The API server accepted the DELETE, but the pod still exists: the DELETE was lost, or a backup was restored."""


class Diagnosis(Frozen):
    """The cause of a failure, found by one look at that moment."""

    code: DiagnosisCode | str = Field(union_mode="left_to_right")
    """A stable name of the cause, such as image_pull. A later mecbounce may have more."""
    evidence: str
    """What was seen."""
    who: str
    """Who must act."""
    standing: tuple[str, ...] | None = None
    """The names of pods that ran then: the replacement of a pod that has not gone, or the other pods of its controller.
    None: not known."""

    @classmethod
    def of(cls, code: DiagnosisCode, evidence: str, name: str = "", *, who: str = "") -> Self:
        """Make one of a row. `name` is what `...` in its `who` stands for; `who` takes the place of the row's."""
        fitting = (alternative for alternative in code.who if ("..." in alternative) is bool(name))
        return cls(code=code, evidence=evidence, who=who or next(fitting, code.who[0]).replace("...", name or "..."))


def looks_generated(name: str) -> bool:
    """True if a pod's name may be generated: the only hint where the pod had gone before it was seen."""
    return _GENERATED.search(name) is not None


class PinnedPod(Frozen):
    """The identity of the pod to bounce, saved before anything is changed.

    Of a pod that had gone before it was seen, only the name and the UID are known.
    """

    name: str
    """Its name."""
    uid: str
    """Its UID. Every incarnation has its own."""
    generated_name: bool = False
    """True if its replacement gets another name."""
    controller_uid: str | None = None
    """The UID of its controller. None: it has none."""
    controller: Owner | None = None
    """Its controller. A record of schema 1 has only the UID."""
    containers: tuple[Container, ...] = ()
    """Its long-running containers, with their probes, whose times are in seconds."""
    images: Mapping[str, str] = {}
    """The image of each of its containers, by the container's name."""
    revision: str = ""
    """The revision of its controller's template that it was made from. Empty: not known."""
    host: str = ""
    """Its Kubernetes node."""
    grace_period: int = 30
    """Its own grace period, in seconds."""
    lookalikes: frozenset[str] = frozenset()
    """The UIDs of the pods that could be mistaken for its replacement."""
    peers: frozenset[str] = frozenset()
    """The UIDs of those among them that ran beside it."""

    @classmethod
    def of(cls, pod: Pod, pods: Iterable[Pod], controller: Owner | None = None) -> Self:
        """Pin `pod`; `pods` are the pods beside it. `controller`: what recreates it, if that is not its controller."""
        controller = controller or pod.controller
        pinned = cls(
            name=pod.name,
            uid=pod.uid,
            generated_name=pod.is_renamed_by(controller),
            controller_uid=controller.uid if controller else None,
            controller=controller,
            containers=pod.spec.long_running,
            images=pod.images,
            revision=pod.revision,
            host=pod.spec.host,
            grace_period=pod.spec.termination_grace_period_seconds,
        )
        return pinned.with_lookalikes_in((pod, *pods))

    def with_lookalikes_in(self, pods: Iterable[Pod]) -> Self:
        """Pin again which `pods` could be mistaken for its replacement. Unchanged if it is not among them itself."""
        pods = tuple(pods)
        pod = self.find_in(pods)
        if pod is None:
            return self
        lookalikes = frozenset(
            other.uid
            for other in pods
            if other.uid != self.uid
            and self.is_replaced_by(other)
            and not other.made_since_deletion_of(pod)
            and not (self.of_daemon_set and other.surges_past(pod))
        )
        standing = frozenset(other.uid for other in pods if other.active)
        peers = lookalikes & standing if self.generated_name and not self.of_daemon_set else frozenset()
        return self.model_copy(update={"lookalikes": lookalikes, "peers": peers})

    def peers_gone(self, pods: Iterable[Pod]) -> int:
        """How many of the pods that ran beside it have gone: each may have a replacement among the new pods."""
        return len(self.peers - {pod.uid for pod in pods if pod.active})

    @property
    def of_daemon_set(self) -> bool:
        return self.controller is not None and self.controller.kind == "DaemonSet"

    def find_in(self, pods: Iterable[Pod]) -> Pod | None:
        """The pinned incarnation itself; None if it has gone."""
        return next((pod for pod in pods if pod.uid == self.uid), None)

    def image_changes(self, images: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """The containers whose image is another one in `images`: name, image before, image after."""
        if not self.images:  # it was never seen
            return []
        pairs = [(name, self.images.get(name, "none"), images.get(name, "none")) for name in {*self.images, *images}]
        return sorted(pair for pair in pairs if pair[1] != pair[2])

    def replacements(self, pods: Iterable[Pod]) -> tuple[Pod, ...]:
        """The pods that may replace it; the first is the one to wait for.

        First those that have not ended, oldest first; then those that have ended, youngest first.
        """
        fit = (
            pod
            for pod in pods
            if not pod.terminating
            and pod.uid != self.uid
            and pod.uid not in self.lookalikes
            and self.is_replaced_by(pod)
        )
        in_order = sorted(fit, key=lambda pod: (pod.metadata.creation_timestamp or _LONG_AGO, pod.uid))
        ended = (pod for pod in reversed(in_order) if pod.finished)
        return (*(pod for pod in in_order if not pod.finished), *ended)

    def is_replaced_by(self, pod: Pod) -> bool:
        """True if name, controller and, for a DaemonSet, Kubernetes node match. Without a controller the name does."""
        if self.controller is not None and not pod.belongs_to(self.controller):
            return False
        if self.controller is None and self.controller_uid not in (None, pod.controller_uid):  # a record of schema 1
            return False
        if self.of_daemon_set:
            return self.host in ("", pod.spec.host)
        return self.generated_name or pod.name == self.name


class SeenPod(Frozen):
    """A pod as a result names it."""

    name: str
    """Its name."""
    uid: str
    """Its UID."""
    images: Mapping[str, str] = {}
    """The image of each of its containers, by the container's name."""
    host: str = ""
    """Its Kubernetes node."""

    @classmethod
    def of(cls, pod: Pod) -> Self:
        return cls(name=pod.name, uid=pod.uid, images=pod.images, host=pod.spec.node_name)


class StateEntry(Frozen):
    """When a state was entered, and through which event."""

    state: State
    """The state."""
    at: Instant
    """When it was entered, in UTC."""
    event: Event | None = None
    """The event that led to it. None: the bounce began."""


class Runner(Frozen):
    """Who drives a bounce, as of the last save."""

    who: Words
    """The name of the runner: user@host, or as `BounceTask(runner=...)` says."""
    process: int = Field(ge=1)
    """The id of its process, on its own machine or in its own container."""
    saved_at: Instant
    """When it last saved the record, in UTC."""

    def __str__(self) -> str:
        return f"{self.who}, process {self.process}"


class Trouble(Frozen):
    """Requests that failed in a row, up to now."""

    since: Instant
    """When the first of them failed, in UTC."""
    tries: int = Field(ge=0)
    """How many there were."""
    what: str
    """The error of the last one."""
    delete_tried_at: Instant | None = None
    """When a DELETE last got no usable answer, in UTC. None: that did not happen."""


ANY_INCARNATION = "whichever incarnation it finds"
SCHEMA_VERSION: Literal[3] = 3
READABLE = (1, 2, 3)  # an older record lacks the fields that came later


class BounceRecord(Frozen):
    """Everything that a bounce must remember: one small JSON document."""

    schema_version: Literal[3] = SCHEMA_VERSION
    """The version of this layout. An older one becomes this one when it is read."""
    bounce_id: str
    """The bounce's own name, also in its logs."""
    revision: int = Field(ge=1, lt=2**53)
    """Rises by one with each save. A store compares and swaps on it."""
    request: BounceRequest
    """The request that it began with."""
    path: Annotated[tuple[StateEntry, ...], Field(min_length=1)]
    """The states that it has entered, in order; the last one is the present one."""
    deadline: Instant | None = None
    """When the present state has waited long enough, in UTC, or the one in which it failed had. None: it is not a
    waiting state."""
    deadline_from_start: bool = False
    """True once the deadline has been counted again, from the start of the containers."""
    server: str = ""
    """The address of its API server. Empty: not known."""
    found_node: NodeRef | None = None
    """The custom resource that was found, where the request asks for that. None: none was found."""
    runner: Runner | None = None
    """Who drives it, or did at the last save. None: not known."""
    resource: Owner | None = None
    """The custom resource. None: none was read."""
    old_pod: PinnedPod | None = None
    """The one incarnation that is bounced. None: not yet pinned."""
    new_pod: SeenPod | None = None
    """Its replacement. None: not seen yet."""
    protection: Protection | None = None
    """What happened to its shutdown protection. None: not tried, or the outcome was not saved."""
    given_protection: GivenProtection | None = None
    """The shutdown protection that it was given: a run that resumes it needs it again. None: none, or not known."""
    trouble: Trouble | None = None
    """The requests that are failing now. None: none are."""
    notices: tuple[Notice, ...] = ()
    """What is worth knowing but did not stop it, in order."""
    message: str = ""
    """What happened. Empty until it has ended."""
    advice: str = ""
    """What to do next. Empty until it has ended, or if nothing is to be done."""
    diagnosis: Diagnosis | None = None
    """Why it failed at the DELETE or at a deadline. None: it did not."""
    untold: bool = False
    """True if it has ended and the command has not said so yet. A record of an older mecbounce does not have this."""
    waits_on: str = ""
    """The `bounce_id` of the bounce that ended before its replacement was back, which this one keeps waiting for.
    Empty: there is none."""

    @field_validator("schema_version", mode="before")
    @classmethod
    def _from_older(cls, version: Any) -> Any:
        return SCHEMA_VERSION if type(version) is int and version in READABLE else version

    @model_validator(mode="after")
    def _can_have_happened(self) -> Self:
        """Refuse a path that is not in the transition table, and a state without the fields that its handler needs."""
        if (self.path[0].state, self.path[0].event) != (State.INIT_CHECKS, None):
            raise ValueError(f"path.0: no bounce begins in {self.path[0].state} by {self.path[0].event}")
        for number, (before, here) in enumerate(pairwise(self.path), start=1):
            if (before.state, here.event, here.state) not in TRANSITIONS:
                raise ValueError(f"path.{number}: {here.event} does not lead from {before.state} to {here.state}")
        if not self.finished and (self.deadline is None) is (self.state in WAITING):
            raise ValueError(f"deadline: {self.state} has {'one' if self.state in WAITING else 'none'}")
        old, request = self.old_pod, self.request
        if old is None and any(entry.state not in (State.INIT_CHECKS, State.FAILED) for entry in self.path):
            raise ValueError(f"old_pod: {self.state} has one")
        if old is not None and (old.name != request.pod or request.pod_uid not in (None, old.uid)):
            raise ValueError("old_pod: it is not the pod of the request")
        return self

    @property
    def pinned_uid(self) -> str | None:
        """The UID of the one incarnation that it may delete. None: it is not known yet."""
        return self.old_pod.uid if self.old_pod else self.request.pod_uid

    @property
    def state(self) -> State:
        return self.path[-1].state

    @property
    def failed_in(self) -> State | None:
        """The state in which it failed. None: it has not."""
        return self.path[-2].state if self.state is State.FAILED else None

    @property
    def ended_by(self) -> Event:
        """The event that ended it. Raises ValueError while it is unfinished."""
        event = self.path[-1].event
        if not self.finished or event is None:
            raise ValueError(f"the bounce is still in {self.state}")
        return event

    @property
    def entered_at(self) -> datetime:
        return self.path[-1].at

    @property
    def since_checks(self) -> tuple[StateEntry, ...]:
        """The path from the last INIT_CHECKS on. DELETE_POD may have led back there."""
        start = max(number for number, entry in enumerate(self.path) if entry.state is State.INIT_CHECKS)
        return self.path[start:]

    @property
    def checked_at(self) -> datetime:
        """When the checks were last made. Whatever made the pod go happened after that."""
        return self.since_checks[0].at

    @property
    def finished(self) -> bool:
        return self.state in FINAL

    def took(self, until: datetime) -> float:
        """The seconds from its beginning until then."""
        return max(0.0, (until - self.path[0].at).total_seconds())

    def elapsed(self, now: datetime) -> float:
        """The seconds spent in the present state."""
        return max(0.0, (now - self.entered_at).total_seconds())

    @property
    def protection_in_doubt(self) -> bool:
        """True if its protection may have been switched off, because the outcome of that was not saved."""
        return self.state is State.DISABLE_PROTECTION and self.protection is None

    @property
    def deletion_was_possible(self) -> bool:
        """True if the bounce has entered DELETE_POD: a DELETE may have been sent."""
        return any(entry.state is State.DELETE_POD for entry in self.path)

    @property
    def deletion(self) -> Deletion:
        """What is known of the pod's deletion."""
        events = {entry.event for entry in self.path}
        if self.diagnosis is not None and self.diagnosis.code == DiagnosisCode.DELETION_LOST:
            return Deletion.LOST
        if Event.DELETE_ACCEPTED in events:
            return Deletion.OURS
        if events & {*JOINING, Event.POD_GONE}:
            return Deletion.OURS_OR_ANOTHERS if self.deletion_was_possible else Deletion.ALREADY
        if not self.deletion_was_possible or self.path[-1].event in KNOWN_NOT_DELETED:
            return Deletion.NONE
        return Deletion.UNKNOWN

    @property
    def found_replaced(self) -> bool:
        """True if the pod had gone before this bounce could delete it."""
        joined = any(entry.event is Event.ALREADY_REPLACED for entry in self.path)
        return joined and not self.deletion_was_possible

    @property
    def by_other_name(self) -> bool:
        """True if the replacement gets another name, or seems to: of a pod that had gone, only the name is known."""
        old = self.old_pod
        if old is None:
            return False
        guessed = not old.images and self.found_replaced and self.node is None and looks_generated(old.name)
        return old.generated_name or guessed

    @property
    def node(self) -> NodeRef | None:
        """The custom resource that the checks judge: the request's, or the one that was found. None: there is none."""
        return self.request.given_node or self.found_node

    @property
    def limit(self) -> float | None:
        """How long the present state may wait, in seconds. None: it is not a waiting state."""
        return None if self.finished else self._allowed(self.path[-1])

    @property
    def limit_passed(self) -> float | None:
        """How long the state in which it failed might wait, in seconds. None: it did not fail in a waiting state."""
        return self._allowed(self.path[-2]) if self.finished else None

    def _allowed(self, entry: StateEntry) -> float | None:
        return max(0.0, (self.deadline - entry.at).total_seconds()) if self.deadline else None

    @property
    def durations(self) -> dict[State, float]:
        """How long each state took that was left, in seconds, in the order in which they were first entered."""
        took: dict[State, float] = {}
        for here, after in pairwise(self.path):  # a state may be there twice: DELETE_POD may lead back to INIT_CHECKS
            took[here.state] = took.get(here.state, 0.0) + max(0.0, (after.at - here.at).total_seconds())
        return took

    def changed(self, **changes: Any) -> Self:
        """Give a copy with `changes` and the next revision; the record itself if nothing changes."""
        if all(getattr(self, name) == value for name, value in changes.items()):
            return self
        return self.model_copy(update={**changes, "revision": self.revision + 1})


def refuse_other_pod(record: BounceRecord, request: BounceRequest, where: str) -> None:
    """Raise ForeignRecord, which names the field, if the record in `where` is of another pod than the request."""
    _refuse_other(record, where, "request.namespace", record.request.namespace, request.namespace)
    _refuse_other(record, where, "request.pod", record.request.pod, request.pod)


def refuse_other_bounce(record: BounceRecord, request: BounceRequest, where: str, *, server: str = "") -> None:
    """The same, also if it is of another node, of another incarnation than `pod_uid`, or of another API server."""
    refuse_other_pod(record, request, where)
    if request.node != "auto":  # else whichever node that bounce has is right
        theirs = record.node or ("a node to be found" if record.request.node == "auto" else "no node")
        mine = request.node or "no node"
        _refuse_other(record, where, "request.node", str(theirs), str(mine))  # without paths and values
    if request.pod_uid is not None:
        _refuse_other(record, where, "request.pod_uid", record.pinned_uid or ANY_INCARNATION, request.pod_uid)
    if server and record.server:  # at another one its pod would seem to have gone
        _refuse_other(record, where, "server", record.server, server)


def _refuse_other(record: BounceRecord, where: str, field: str, theirs: str, mine: str) -> None:
    if theirs == mine:
        return
    then = "Resume that bounce with its own options, or use another place for this one"
    if record.finished:
        then = "That bounce has ended: use another place for this one, or move the record away"
    raise ForeignRecord(
        f"{where}: field {field}: the record is of {theirs}, this bounce is of {mine}. {then}; the record was left as "
        "it is."
    )
