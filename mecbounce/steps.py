"""One handler for each state. It looks, decides, does at most one write, and names the event that happened.

The diagram shows a handler's docstring under its state. What a handler finds out is saved together
with its event. A ClusterError that a handler does not catch is dealt with in `advancing.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from mecbounce import absence, again, checks, diagnosis, messages, probes, retry
from mecbounce.codes import DiagnosisCode
from mecbounce.errors import AccessDenied, ClusterError, DeleteUnanswered, NotFound, Refused, Unreachable, one_line
from mecbounce.events import COMPONENT
from mecbounce.facts import Look, gather
from mecbounce.kubernetes_api.node import Node, UnreadableField
from mecbounce.kubernetes_api.objects import Controller, Host, Owner, Pod, PodEvent
from mecbounce.machine import JOINING, Event, State
from mecbounce.protection import ShutdownProtection, given, switch_off
from mecbounce.record import BounceRecord, Diagnosis, PinnedPod, Protection, SeenPod
from mecbounce.request import BounceRequest

if TYPE_CHECKING:
    from mecbounce.kubernetes_api import Cluster

Notices = tuple[tuple[str, str], ...]  # code and message of each
Answer = TypeVar("Answer")
LOOK_EVERY = 2.0  # seconds between two looks if no pod changes
DATE_HEADER_PRECISION = timedelta(seconds=2)  # it has whole seconds: a smaller difference of clocks is not known
# After so many expired intents, send the DELETE even if the list of the other pods is not saved yet.
MOST_HELD_BACK = 2
EVENTS_LAST = timedelta(hours=1)  # the API server's default time to keep Events


@dataclass(frozen=True)
class Context:
    """What a handler is given. `look` returns the namespace's pods, or those of one name, from a list or a watch."""

    record: BounceRecord
    now: datetime
    cluster: Cluster
    look: Look
    protection: ShutdownProtection | None = None
    terms: messages.Terms = messages.TASK

    @property
    def request(self) -> BounceRequest:
        return self.record.request

    @property
    def old(self) -> PinnedPod:
        if self.record.old_pod is None:
            raise AssertionError(f"{self.record.state} without a pinned pod")
        return self.record.old_pod

    @property
    def overdue(self) -> bool:
        return self.record.deadline is not None and self.now >= self.record.deadline

    @property
    def server_now(self) -> datetime:
        """The time by the API server's clock, from which its timestamps come. Read it after a request."""
        return self.cluster.server_time or self.now

    @property
    def skew(self) -> timedelta:
        """How far the API server's clock is ahead of this machine's; 0 if that is too little to be known."""
        found = self.server_now - self.now
        return found if abs(found) >= DATE_HEADER_PRECISION else timedelta()

    @property
    def intent_expired(self) -> bool:
        """True if the DELETE was announced longer ago than the API timeout, and not tried since.

        Each expired intent doubles the allowed age, so a runner that takes a step a minute succeeds in the end.
        """
        tried = self.record.trouble.delete_tried_at if self.record.trouble else None
        since = max(self.record.entered_at, tried or self.record.entered_at)
        return (self.now - since).total_seconds() >= self.request.timeouts.api * 2.0 ** min(self.times_expired, 99)

    @property
    def times_expired(self) -> int:
        return sum(entry.event is Event.INTENT_EXPIRED for entry in self.record.path)

    @property
    def api_timeout_passed(self) -> bool:
        """True if the API server has given no usable answer for the API timeout."""
        trouble = self.record.trouble
        return trouble is not None and self.now >= retry.give_up_at(self.record, trouble)

    def pods(self) -> tuple[Pod, ...]:
        """Look at the pods that may be the pinned one or its replacement.

        The watch is good enough, with three exceptions: to judge a deadline; after a DELETE without an answer; and
        before the DELETE of a generated name: a pod that the watch shows only later would count as its replacement.
        """
        doubtful = self.record.trouble is not None or self.old.generated_name
        afresh = self.overdue or (self.record.state is State.DELETE_POD and doubtful)
        return self.pods_by_request() if afresh else self.look(self._name)

    def pods_by_request(self) -> tuple[Pod, ...]:
        """The same, never from the watch."""
        return self.cluster.pods(self.request.namespace, self._name)

    @property
    def _name(self) -> str | None:
        return None if self.old.generated_name else self.old.name


@dataclass(frozen=True)
class Outcome:
    """What a handler found or did. Without an event the bounce stays in its state.

    `record_changes`: new values of the record's fields.
    """

    event: Event | None = None
    message: str = ""
    advice: str = ""
    diagnosis: Diagnosis | None = None
    record_changes: Mapping[str, Any] = field(default_factory=dict)
    notices: Notices = ()


STILL_WAITING = Outcome()


def init_checks(context: Context) -> Outcome:
    """May the pod be bounced? Pin its identity.

    Writes nothing.
    """
    record, request = context.record, context.request
    late = context.api_timeout_passed  # then it does without a resource that nobody named, if the rest answers now

    def look(name: str | None) -> tuple[Pod, ...]:
        return context.cluster.pods(request.namespace, name) if late else context.look(name)

    facts, pods = gather(request, context.cluster, look, record, context.terms, insist=not late)
    announced = record.deletion_was_possible  # a DELETE was announced before, and that intent has expired
    waits_on = again.still_waits_on(record)
    unchanged = messages.perhaps_deleted(record) if announced else messages.untouched(record) if waits_on else None
    verdict = checks.judge(facts, unchanged) if unchanged else checks.judge(facts)
    event, advice = verdict.event, verdict.advice
    if announced and event is not Event.CHECKS_PASSED and event not in JOINING:
        if done := _carried_out(context):
            return done
        advice = messages.then_bounce_only(advice, context.old, context.terms)
    record_changes: dict[str, Any] = {"resource": facts.named}
    if request.node == "auto":
        record_changes["found_node"] = facts.ref
    notices = [(finding.code, finding.notice) for finding in verdict.findings if finding.notice]
    if event in JOINING and not waits_on:  # else its first notice says so
        notices.append((event.value, verdict.message))
    if event is Event.ALREADY_REPLACED:
        record_changes["old_pod"] = record.old_pod or PinnedPod(name=request.pod, uid=facts.pod_uid or "")
    elif facts.pod is not None and facts.pod_uid in (None, facts.pod.uid):
        known = record.old_pod if waits_on and event in JOINING else None  # from before the deletion
        record_changes["old_pod"] = pinned = known or PinnedPod.of(facts.pod, pods, facts.maker)
        notices += messages.short_deadlines(request.timeouts, pinned)
    if waits_on and event is Event.CHECKS_PASSED:
        notices.append(("exists_after_all", messages.exists_after_all(context.old)))
    if event is Event.CHECKS_PASSED:
        record_changes["protection"] = _protection_before_try(context)
        record_changes["given_protection"] = given(context.protection) or record.given_protection
    return Outcome(event, verdict.message, advice, record_changes=record_changes, notices=tuple(notices))


def _carried_out(context: Context) -> Outcome | None:
    """Look once more before the checks end a bounce whose DELETE may have been sent."""
    done = _deleted(context.old, context.pods_by_request())
    if done is None:
        return None
    event = Event.ALREADY_REPLACED if done.event is Event.POD_GONE else Event.ALREADY_TERMINATING
    return replace(done, event=event, notices=((event.value, messages.CARRIED_OUT),))


def disable_protection(context: Context) -> Outcome:
    """Try to switch its shutdown protection off; go on either way.

    Writes to the pod once, if it has a protection.
    """
    record = context.record

    def outcome(event: Event, found: Protection, *notices: tuple[str, str]) -> Outcome:
        known = _KNOWN_AFTER_TWO_TRIES.get((record.protection, found), found)
        return Outcome(event, record_changes={"protection": known}, notices=notices)

    if context.protection is None:  # an earlier run of this bounce may have had one
        found = Protection.UNKNOWN if record.protection_in_doubt else Protection.UNUSED
        missing = record.given_protection if record.protection not in (Protection.DISABLED, Protection.OFF) else None
        notices = (("protection_missing", messages.protection_missing(missing)),) if missing else ()
        return outcome(Event.PROTECTION_UNUSED, found, *notices)
    pod = context.old.find_in(context.pods())
    if pod is None or pod.terminating:
        return outcome(Event.PROTECTION_UNUSED, Protection.UNUSED)
    try:
        switched = switch_off(context.protection, pod, context.request.timeouts.api)
    except Exception as error:  # noqa: BLE001 -- best effort: whatever a user's protection raises, go on
        unanswered = isinstance(error, (Unreachable, TimeoutError))
        found = Protection.UNKNOWN if unanswered else Protection.KEPT
        return outcome(Event.PROTECTION_KEPT, found, ("protection_kept", messages.protection_kept(one_line(error))))
    if switched is False:
        return outcome(Event.PROTECTION_UNUSED, Protection.OFF)
    return outcome(Event.PROTECTION_DISABLED, Protection.DISABLED)


# What is known after two tries of one bounce, where that is not what the second try found.
_KNOWN_AFTER_TWO_TRIES: Mapping[tuple[Protection | None, Protection], Protection] = {
    **{(Protection.DISABLED, second): Protection.DISABLED for second in Protection},
    (Protection.UNKNOWN, Protection.OFF): Protection.DISABLED,
    (Protection.UNKNOWN, Protection.KEPT): Protection.UNKNOWN,
    (Protection.UNKNOWN, Protection.UNUSED): Protection.UNKNOWN,
    (Protection.OFF, Protection.UNUSED): Protection.OFF,
    (Protection.KEPT, Protection.UNUSED): Protection.KEPT,
}


def _protection_before_try(context: Context) -> Protection | None:
    """What to save before a protection is tried. None: unknown, if the run is killed before it saves the outcome."""
    before = context.record.protection
    if context.protection is None:
        return _KNOWN_AFTER_TWO_TRIES.get((before, Protection.UNUSED), Protection.UNUSED)
    return before if before in (Protection.DISABLED, Protection.OFF, Protection.UNKNOWN) else None


def delete_pod(context: Context) -> Outcome:
    """Delete that one incarnation, with its UID as precondition.

    Writes one DELETE.
    """
    old, pods = context.old, context.pods()
    if done := _deleted(old, pods):
        return done
    if context.intent_expired:
        return Outcome(Event.INTENT_EXPIRED, notices=(("intent_expired", messages.intent_expired(context.record)),))
    seen = old.with_lookalikes_in(pods)
    if seen != old and context.times_expired < MOST_HELD_BACK:
        # To be saved first: if the DELETE's answer is lost, nothing else tells which pods stood there before it.
        return Outcome(record_changes={"old_pod": seen, "trouble": context.record.trouble})
    try:
        context.cluster.delete_pod(context.request.namespace, old.name, old.uid)
    except ClusterError as error:
        return _not_accepted(context, error)
    return Outcome(Event.DELETE_ACCEPTED, record_changes={"old_pod": seen})


def _deleted(old: PinnedPod, pods: tuple[Pod, ...]) -> Outcome | None:
    """Tell that the pod is deleted, by a DELETE whose answer was lost or by somebody else. None: it is not."""
    pod = old.find_in(pods)
    if pod is None:
        return Outcome(Event.POD_GONE)
    if not pod.terminating:
        return None
    return Outcome(Event.DELETE_ACCEPTED, record_changes={"old_pod": old.with_lookalikes_in(pods)})


def _not_accepted(context: Context, error: ClusterError) -> Outcome:
    """Look whether the DELETE was carried out all the same; else give up, or raise DeleteUnanswered to try again.

    `_after_failure` in `advancing.py` then counts the try and sets the pause.
    """
    if isinstance(error, Unreachable) and not context.api_timeout_passed:
        raise DeleteUnanswered(one_line(error), retry_after=error.retry_after) from error
    if done := _deleted(context.old, context.pods_by_request()):
        return done
    refused = isinstance(error, (AccessDenied, Refused))
    if not refused and not context.api_timeout_passed:  # 404 or 409, but the pod exists: a proxy may answer that
        raise DeleteUnanswered(one_line(error)) from error
    return failed(context, diagnosis.refusal(one_line(error), final=refused))


def await_termination(context: Context) -> Outcome:
    """Wait until that incarnation has gone; never force.

    Writes nothing. Deadline: 10 min, or its grace period + 1 min.
    """
    pods = context.pods()
    pod = context.old.find_in(pods)
    if pod is None:
        return Outcome(Event.POD_GONE)
    if not context.overdue:
        return STILL_WAITING
    host = _host_now(context, pod.spec.node_name)
    why = diagnosis.termination(pod, host, context.server_now, _events_of(context, pod.uid))
    return failed(context, why, standing=context.old.replacements(pods)[:1])


def await_ready(context: Context) -> Outcome:
    """Wait until its replacement has started.

    Writes nothing. Deadline: 10 min, or its startup budget + 5 min.
    """
    record, old, pods = context.record, context.old, context.pods()
    if again := old.find_in(pods):  # a backup was restored, or a cache is old: nothing can count as its replacement
        return failed(context, diagnosis.exists_again(again)) if context.overdue else STILL_WAITING
    candidates = old.replacements(pods)
    if not candidates:
        return _not_recreated(context, pods) if context.overdue else STILL_WAITING
    pod, gone = candidates[0], old.peers_gone(pods)
    record_changes: dict[str, Any] = {"new_pod": SeenPod.of(pod)}
    notices = messages.about_replacement(old, record.new_pod, candidates, gone)
    event = _completion(context, pod)
    too_few = event is not None and not _enough_are_back(context, candidates, gone)
    if event is not None and not too_few:
        if event is Event.POD_READY and context.request.is_k8s_gitops() and not probes.has_startup_probe(pod):
            notices = (*notices, ("no_startup_probe", messages.NO_STARTUP_PROBE))
        back = record.model_copy(update=record_changes)
        message = messages.happened(back, event, context.now, context.terms)
        return Outcome(event, message, record_changes=record_changes, notices=notices)
    if context.request.timeouts.ready is None and not record.deadline_from_start:
        counted = probes.deadline_from_start(pod, entered_at=record.entered_at, now=context.now, skew=context.skew)
        if counted is not None:
            record_changes |= {"deadline": counted, "deadline_from_start": True}
    deadline: datetime = record_changes.get("deadline") or record.deadline or context.now
    if context.now < deadline:
        return Outcome(record_changes=record_changes, notices=notices)
    why = absence.too_few(old, gone) if too_few else _why_not_ready(context, candidates)
    others = tuple(other for other in absence.others(old, pods) if other.uid != pod.uid)
    return failed(context, why, standing=others, record_changes=record_changes, notices=notices)


def _completion(context: Context, pod: Pod) -> Event | None:
    return probes.completion_event(pod, context.request.ready_when, context.server_now)


def _enough_are_back(context: Context, candidates: tuple[Pod, ...], gone: int) -> bool:
    """True if more new pods are back than the `gone` peers, or as many as the controller wants after a scale-down."""
    old = context.old
    back = sum(_completion(context, candidate) is not None for candidate in candidates)
    if back > gone:
        return True
    now = _controller_now(context, old.controller) if old.controller else None
    if not isinstance(now, Controller):
        return False  # how many it wants can't be read: one new pod does not count as the replacement of two
    if now.replicas is None:
        return context.overdue  # it wants no number of pods: at the deadline one new pod that is back must do
    return now.replicas <= back + len(old.peers) - gone


def _why_not_ready(context: Context, candidates: tuple[Pod, ...]) -> Diagnosis:
    """Find out why the replacement is not ready. Others that ended before it are part of the answer."""
    pod, host = candidates[0], _host_now(context, candidates[0].spec.node_name)
    why = diagnosis.readiness(pod, host, _events_of(context, pod.uid), context.server_now)
    told = [notice.message for notice in context.record.notices if notice.code == "replacement_ended"]
    return diagnosis.with_ended(why, candidates[1:], told[-1] if told and not pod.finished else "")


def _not_recreated(context: Context, pods: tuple[Pod, ...]) -> Outcome:
    """Give up: look once at what should have made the replacement. Each look is best effort."""
    cluster, namespace, old, owner = context.cluster, context.request.namespace, context.old, context.old.controller
    node, resource = _node_now(context)
    if not old.generated_name:
        pods = _best_effort(lambda: cluster.pods(namespace)) or pods
    if old.replacements(pods):  # it came this moment: the next look judges it
        return STILL_WAITING
    reference = node.reference if isinstance(node, Node) else None
    is_resource = reference is not None and owner is not None and reference.uid == owner.uid
    controller = _controller_now(context, owner, resource if is_resource else None) if owner else None
    uid = controller.reference.uid if isinstance(controller, Controller) else old.controller_uid
    of_replica_set = owner is not None and owner.kind == "ReplicaSet"
    # The Events of a pod that had gone, or was terminating, before the checks are older than the checks.
    joined = any(entry.event in JOINING for entry in context.record.path)
    since = context.record.checked_at + context.skew - (EVENTS_LAST if joined else timedelta())
    seen = absence.Absence(
        came=context.record.new_pod,
        since=since.replace(microsecond=0),  # an Event's time has whole seconds
        pods=pods,
        ref=context.record.node,
        node=node,
        controller=controller,
        events=_events_of(context, uid) if uid else (),
        replica_sets=(_best_effort(lambda: cluster.replica_sets(namespace)) or ()) if of_replica_set else (),
        host=_host_now(context, old.host) if old.of_daemon_set else None,
    )
    why = absence.not_recreated(old, seen)
    if why.code is DiagnosisCode.NOT_RECREATED and context.record.by_other_name and not old.generated_name:
        why = absence.name_generated()
    return failed(context, why, standing=absence.others(old, pods))


_FAILURE_OF = {State.DELETE_POD: Event.DELETE_REFUSED, State.AWAIT_TERMINATION: Event.TERMINATION_TIMEOUT}


def failed(
    context: Context,
    why: Diagnosis,
    *,
    standing: tuple[Pod, ...] = (),
    record_changes: Mapping[str, Any] | None = None,
    notices: Notices = (),
) -> Outcome:
    """End a bounce with a diagnosis. `standing`: the old pod's replacement, or the other pods of its controller."""
    why, changes = why.model_copy(update={"standing": messages.names(standing)}), record_changes or {}
    record = context.record.model_copy(update={**changes, "diagnosis": why})
    event = _FAILURE_OF.get(record.state, Event.READY_TIMEOUT if record.new_pod else Event.NOT_RECREATED)
    message = messages.happened(record, event, context.now, context.terms)
    return Outcome(event, message, messages.advice(record, why, context.terms), why, changes, notices)


# --- looks for a diagnosis: best effort --------------------------------------------------------------------------


def _node_now(context: Context) -> tuple[Node | NotFound | None, Mapping[str, Any] | None]:
    """Read the custom resource again: give its state, or why it no longer exists; and its JSON."""
    ref = context.record.node
    if ref is None:
        return None, None
    try:
        resource = context.cluster.node(context.request.namespace, ref)
        return Node.read(resource, ref), resource
    except NotFound as error:
        return error, None
    except (ClusterError, UnreadableField):
        return None, None


def _controller_now(
    context: Context, owner: Owner, resource: Mapping[str, Any] | None = None
) -> Controller | str | None:
    """Read the pod's controller again, unless its JSON is given; or say why it no longer exists."""
    try:
        return Controller.read(resource or context.cluster.controller(context.request.namespace, owner))
    except NotFound as error:
        return one_line(error)
    except (ClusterError, ValidationError):
        return None


def _host_now(context: Context, name: str) -> Host | None:
    """Read a Kubernetes node, if its name is known."""
    try:
        return context.cluster.host(name) if name else None
    except NotFound:
        return Host.removed(name)
    except ClusterError:
        return None


def _events_of(context: Context, uid: str) -> tuple[PodEvent, ...]:
    """Read what others say of an object. That the last bounce failed is no cause of this one's failure."""
    events = _best_effort(lambda: context.cluster.events(context.request.namespace, uid)) or ()
    return tuple(event for event in events if event.component != COMPONENT)


def _best_effort(ask: Callable[[], Answer]) -> Answer | None:
    try:
        return ask()
    except ClusterError:
        return None


HANDLERS: Mapping[State, Callable[[Context], Outcome]] = {
    State.INIT_CHECKS: init_checks,
    State.DISABLE_PROTECTION: disable_protection,
    State.DELETE_POD: delete_pod,
    State.AWAIT_TERMINATION: await_termination,
    State.AWAIT_READY: await_ready,
}
