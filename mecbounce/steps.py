"""One handler a state: look, decide, do at most one write, then name the event that happened.

The first line of a handler's docstring stands under its state in the diagram. What a handler learns goes into the
record together with the event, in one save; a ClusterError that it lets through is dealt with in `task.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pydantic import ValidationError

from mecbounce import checks, diagnosis, messages, probes
from mecbounce.errors import (
    AccessDenied,
    ClusterError,
    Conflict,
    DeleteUnanswered,
    NotFound,
    Refused,
    Unreachable,
    one_line,
)
from mecbounce.kubernetes_api.node import Node, UnreadableField
from mecbounce.kubernetes_api.objects import Controller, Host, Owner, Pod, PodEvent
from mecbounce.machine import JOINING, Event, State
from mecbounce.record import BounceRecord, Diagnosis, PinnedPod, Protection, SeenPod
from mecbounce.request import BounceRequest

if TYPE_CHECKING:
    from mecbounce.kubernetes_api import Cluster

Look = Callable[[str | None], tuple[Pod, ...]]
Answer = TypeVar("Answer")
LOOK_EVERY = 2.0  # seconds between looks at pods that nothing tells of
DATE_TELLS = timedelta(seconds=2)  # a smaller difference of two clocks can't be seen by a Date of whole seconds


class ShutdownProtection(Protocol):
    """Whatever keeps the pod from shutting down. See `protection.py` for those that come with mecbounce."""

    def disable(self, pod: Pod) -> bool | None:
        """Switch it off for this incarnation. False: there was nothing to switch off. An exception: it could not."""
        ...


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
        """The API server's own time, which the timestamps that it shows are of. Ask it after a look."""
        return self.cluster.server_time or self.now

    @property
    def skew(self) -> timedelta:
        """How far the API server's clock is ahead of this machine's, as far as a Date of whole seconds can tell."""
        found = self.server_now - self.now
        return found if abs(found) >= DATE_TELLS else timedelta()

    @property
    def api_timeout(self) -> timedelta:
        return timedelta(seconds=self.request.timeouts.api)

    @property
    def intent_expired(self) -> bool:
        """True if the DELETE was announced longer ago than the API timeout, and not tried since.

        Each time doubles what is allowed: a runner that calls seldom gets through all the same.
        """
        times = self.times_expired
        tried = self.record.trouble.delete_tried_at if self.record.trouble else None
        since = max(self.record.entered_at, tried or self.record.entered_at)
        return (self.now - since).total_seconds() >= self.request.timeouts.api * 2.0 ** min(times, 99)

    @property
    def times_expired(self) -> int:
        return sum(entry.event is Event.INTENT_EXPIRED for entry in self.record.path)

    @property
    def api_timeout_passed(self) -> bool:
        """True if the API server has given no usable answer for the API timeout."""
        return self.record.trouble is not None and self.now - self.record.trouble.since >= self.api_timeout

    def pods(self) -> tuple[Pod, ...]:
        """Look at the pods that the pinned identity is about.

        What a watch tells is good enough, except to judge a deadline, a DELETE whose answer was lost, or which pods
        stand beside one of a generated name: whatever the watch has not told of yet would be taken for its replacement.
        """
        doubtful = self.record.trouble is not None or self.old.generated_name
        afresh = self.overdue or (self.record.state is State.DELETE_POD and doubtful)
        return self.look_afresh() if afresh else self.look(self._name)

    def look_afresh(self) -> tuple[Pod, ...]:
        """Look at them with a request of its own."""
        return self.cluster.pods(self.request.namespace, self._name)

    @property
    def _name(self) -> str | None:
        return None if self.old.generated_name else self.old.name


@dataclass(frozen=True)
class Outcome:
    """What a handler found or did. Without an event the bounce stays where it is.

    `record_changes` are new values of the record's fields; `notices` are (code, message).
    """

    event: Event | None = None
    message: str = ""
    advice: str = ""
    diagnosis: Diagnosis | None = None
    record_changes: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[tuple[str, str], ...] = ()


STILL_WAITING = Outcome()
MOST_EXPIRED = 2  # expired intents, before a DELETE no longer waits for pods that change with each look
MOST_CONTROLLERS = 3  # between a pod and its custom resource, such as a ReplicaSet and a Deployment
EVENTS_LAST = timedelta(hours=1)  # so long an API server keeps Events, unless it is told otherwise


def init_checks(context: Context) -> Outcome:
    """May the pod be bounced? Pin its identity."""
    request = context.request
    facts, pods = gather(request, context.cluster, context.look, context.record.old_pod)
    again = context.record.deletion_was_possible  # the deletion was announced, and that intent has expired
    verdict = checks.judge(facts, messages.perhaps_deleted(context.record)) if again else checks.judge(facts)
    notices = [(answer.check.code, answer.notice) for answer in verdict.answers if answer.notice]
    advice = verdict.advice
    record_changes: dict[str, Any] = {"resource": facts.node.reference if facts.node else None}
    if verdict.event in JOINING:
        notices.append((verdict.event.value, verdict.message))
    if verdict.event is Event.ALREADY_REPLACED:
        record_changes["old_pod"] = context.record.old_pod or PinnedPod(name=request.pod, uid=facts.pod_uid or "")
    elif facts.pod is not None and facts.pod_uid in (None, facts.pod.uid):  # or an earlier check has ended them
        record_changes["old_pod"] = pinned = PinnedPod.of(facts.pod, pods, facts.maker)
        notices += short_deadlines(request, pinned)
    if verdict.event is Event.CHECKS_PASSED:
        record_changes["protection"] = _protection_announced(context)
    elif verdict.event not in JOINING and again:
        if done := _carried_out(context):
            return done
        advice += f" For that, {messages.bounce_only(context.old, context.terms)}"
    return Outcome(verdict.event, verdict.message, advice, record_changes=record_changes, notices=tuple(notices))


def _carried_out(context: Context) -> Outcome | None:
    """Look once more before the checks end a bounce whose DELETE may have been sent before."""
    done = _deleted(context.old, context.look_afresh())
    if done is None:
        return None
    event = Event.ALREADY_REPLACED if done.event is Event.POD_GONE else Event.ALREADY_TERMINATING
    text = "The deletion that was announced before has happened meanwhile: waiting on, whatever the checks say now."
    return replace(done, event=event, notices=((event.value, text),))


def gather(
    request: BounceRequest, cluster: Cluster, look: Look, pinned: PinnedPod | None = None
) -> tuple[checks.Facts, tuple[Pod, ...]]:
    """Look at the custom resource and the pod: what the checks judge, and the pods among which it stands.

    `pinned` is what an earlier look of the same bounce has pinned.
    """
    facts = checks.Facts(request, pinned_uid=pinned.uid if pinned else None)
    if request.node is not None:
        try:
            facts = replace(facts, node=Node.read(cluster.node(request.namespace, request.node), request.node))
        except NotFound as error:
            return replace(facts, missing=one_line(error), served=error.served), ()
        except UnreadableField as error:
            return replace(facts, unreadable=str(error)), ()
    pods = look(request.pod)
    facts = replace(facts, pod=next((one for one in pods if one.name == request.pod), None))
    if facts.has_generated_name:
        pods = look(None)
        facts = replace(facts, pod=next((one for one in pods if one.name == request.pod), None))
    pod = facts.pod
    named = facts.node.reference if facts.node else None
    if pod is not None and named is not None:
        above, unread = _controllers_above(pod, named, request.namespace, cluster)
        facts = replace(facts, above=above, unread=unread)
    return facts, pods


def _controllers_above(pod: Pod, named: Owner, namespace: str, cluster: Cluster) -> tuple[tuple[Owner, ...], str]:
    """Follow what controls the pod, up to an object of the named one's type; and why it could not be followed."""
    above = [pod.controller] if pod.controller else []
    while above and above[-1].built_in_plural and not above[-1].same_type(named):
        if len(above) > MOST_CONTROLLERS:
            return tuple(above), f"more than {MOST_CONTROLLERS} controllers stand between"
        try:
            found = Controller.read(cluster.controller(namespace, above[-1]))
        except Unreachable:  # passing: the checks are asked again
            raise
        except (ClusterError, ValueError, KeyError) as error:
            return tuple(above), f"{above[-1].called} could not be read: {one_line(error)}"
        uid, named_uid = found.reference.uid, above[-1].uid
        if uid != named_uid:
            return tuple(above), f"{above[-1].called} was made anew: its UID is {uid}, the pod names {named_uid}"
        if found.owner is None:
            break
        above.append(found.owner)
    return tuple(above), ""


def short_deadlines(request: BounceRequest, pinned: PinnedPod) -> list[tuple[str, str]]:
    """Say where a given deadline is shorter than what the pod itself allows. It is kept to the second all the same."""
    notices = []
    termination, ready = request.timeouts.termination, request.timeouts.ready
    if probes.too_short(termination, pinned.grace_period):
        text = f"The termination timeout is {termination:g} s, the pod's own grace period {pinned.grace_period} s."
        notices.append(("short_termination_timeout", text))
    budget = probes.startup_budget(pinned.containers)
    if probes.too_short(ready, budget):
        text = f"The readiness timeout is {ready:g} s, the pod's own startup probe allows {budget:.0f} s."
        notices.append(("short_ready_timeout", text))
    return notices


def disable_protection(context: Context) -> Outcome:
    """Try to switch its shutdown protection off; go on either way."""
    event, found, notices = _disable(context)
    protection = _OF_TWO_TRIES.get((context.record.protection, found), found)
    return Outcome(event, record_changes={"protection": protection}, notices=notices)


# What came of two tries of one bounce, where the second alone does not tell.
_OF_TWO_TRIES: Mapping[tuple[Protection | None, Protection], Protection] = {
    **{(Protection.DISABLED, second): Protection.DISABLED for second in Protection},
    (Protection.UNKNOWN, Protection.OFF): Protection.DISABLED,
    (Protection.UNKNOWN, Protection.KEPT): Protection.UNKNOWN,
    (Protection.UNKNOWN, Protection.UNUSED): Protection.UNKNOWN,
    (Protection.OFF, Protection.UNUSED): Protection.OFF,
    (Protection.KEPT, Protection.UNUSED): Protection.KEPT,
}


def _protection_announced(context: Context) -> Protection | None:
    """What to save before a protection is tried. None: a run that is killed before it saves more leaves it unknown."""
    before = context.record.protection
    if context.protection is None:
        return _OF_TWO_TRIES.get((before, Protection.UNUSED), Protection.UNUSED)
    return before if before in (Protection.DISABLED, Protection.OFF, Protection.UNKNOWN) else None


def _disable(context: Context) -> tuple[Event, Protection, tuple[tuple[str, str], ...]]:
    protection = context.protection
    if protection is None:  # a runner before may have had one
        in_doubt = context.record.protection_in_doubt
        return Event.PROTECTION_UNUSED, Protection.UNKNOWN if in_doubt else Protection.UNUSED, ()
    pod = context.old.find_in(context.pods())
    if pod is None or pod.terminating:
        return Event.PROTECTION_UNUSED, Protection.UNUSED, ()
    try:
        switched = _within(context.request.timeouts.api, lambda: protection.disable(pod))
    except Exception as error:  # noqa: BLE001 -- best effort: whatever a user's protection raises, go on
        notice = f"Shutdown protection could not be switched off: {one_line(error)}. Deleting the pod all the same."
        unanswered = isinstance(error, (Unreachable, TimeoutError))
        return (
            Event.PROTECTION_KEPT,
            Protection.UNKNOWN if unanswered else Protection.KEPT,
            (("protection_kept", notice),),
        )
    if switched is False:
        return Event.PROTECTION_UNUSED, Protection.OFF, ()
    return Event.PROTECTION_DISABLED, Protection.DISABLED, ()


def delete_pod(context: Context) -> Outcome:
    """Delete that one incarnation, with its UID as precondition."""
    old, pods = context.old, context.pods()
    seen = old.seen_among(pods)
    if outcome := _deleted(old, pods) or _held_back(context, seen):
        return outcome
    try:
        context.cluster.delete_pod(context.request.namespace, old.name, old.uid)
    except (AccessDenied, Refused) as error:
        return _deleted(old, context.look_afresh()) or _refused(context, error)
    except (NotFound, Conflict, Unreachable) as error:  # whatever stands between may answer so: only a look tells
        if context.api_timeout_passed:
            return _deleted(old, context.look_afresh()) or _refused(context, error)
        if isinstance(error, Unreachable):
            raise DeleteUnanswered(one_line(error), retry_after=error.retry_after) from error
        if done := _deleted(old, context.look_afresh()):
            return done
        raise DeleteUnanswered(one_line(error)) from error
    return Outcome(Event.DELETE_ACCEPTED, record_changes={"old_pod": seen})


def _held_back(context: Context, seen: PinnedPod) -> Outcome | None:
    """What to do before the DELETE is sent, if anything. `seen`: the pinned pod with what stands beside it now."""
    if context.intent_expired:
        return Outcome(Event.INTENT_EXPIRED, notices=(("intent_expired", messages.intent_expired(context.record)),))
    if seen != context.old and context.times_expired < MOST_EXPIRED:
        # To be saved first: where the DELETE's answer is lost, nothing else tells which pods stood before it.
        return Outcome(record_changes={"old_pod": seen, "trouble": context.record.trouble})
    return None


def _refused(context: Context, answer: ClusterError) -> Outcome:
    """Give up: the DELETE was answered by a no, or by an error for as long as the API timeout, and the pod stands."""
    final = isinstance(answer, (AccessDenied, Refused))
    why = diagnosis.refusal(one_line(answer), final=final)
    message, advice = messages.refused(context.record, context.old, why, final=final)
    return Outcome(Event.DELETE_REFUSED, message, advice, why)


def _deleted(old: PinnedPod, pods: tuple[Pod, ...]) -> Outcome | None:
    """What to report where the deletion has happened: by a DELETE whose answer was lost, or by somebody else."""
    pod = old.find_in(pods)
    if pod is None:
        return Outcome(Event.POD_GONE)
    if not pod.terminating:
        return None
    return Outcome(Event.DELETE_ACCEPTED, record_changes={"old_pod": old.seen_among(pods)})


def await_termination(context: Context) -> Outcome:
    """Wait until that incarnation has gone; never force."""
    pods = context.pods()
    pod = context.old.find_in(pods)
    if pod is None:
        return Outcome(Event.POD_GONE)
    if not context.overdue:
        return STILL_WAITING
    why = diagnosis.termination(pod, _host_of(context, pod), context.server_now, _events_of(context, pod.uid))
    return not_terminated(context, why, context.old.replacements(pods))


def await_ready(context: Context) -> Outcome:
    """Wait until its replacement has started."""
    record, old = context.record, context.old
    pods = context.pods()
    again = old.find_in(pods)
    if again is not None:  # the API server's data went back, or a cache did: nothing can be said to have replaced it
        return not_back(context, diagnosis.standing_again(again)) if context.overdue else STILL_WAITING
    candidates = old.replacements(pods)
    if not candidates:
        return _not_recreated(context, pods) if context.overdue else STILL_WAITING
    pod = candidates[0]
    record_changes: dict[str, Any] = {"new_pod": SeenPod.of(pod)}
    notices = _about_replacement(old, record.new_pod, candidates)
    if pod.finished:  # its controller may put another in its place, again and again
        text = f"The replacement {pod.name} ({pod.uid}) has ended: {diagnosis.how_it_ended(pod).rstrip('.')}."
        notices.append(("replacement_ended", text))
    event, gone = _completion(context, pod), old.peers_gone(pods)
    if gone:
        text = "More of its controller's pods went meanwhile: which new pod replaces which can't be told."
        notices.append(("several_gone", text))
    too_few = event is not None and gone > 0 and not _enough_are_back(context, candidates, pods)
    if event is not None and not too_few:
        return _back(context, event, pod, record_changes, notices)
    if context.request.timeouts.ready is None and not record.deadline_from_start:
        anew = probes.deadline_from_start(pod, entered_at=record.entered_at, now=context.now, skew=context.skew)
        if anew is not None:
            record_changes |= {"deadline": anew, "deadline_from_start": True}
    deadline: datetime = record_changes.get("deadline") or record.deadline or context.now
    if context.now < deadline:
        return Outcome(record_changes=record_changes, notices=tuple(notices))
    why = diagnosis.too_few(old, gone)
    if not too_few:
        why = diagnosis.readiness(pod, _host_of(context, pod), _events_of(context, pod.uid), context.server_now)
        told = [notice.message for notice in record.notices if notice.code == "replacement_ended"]
        why = diagnosis.with_ended(why, candidates[1:], "" if pod.finished else "".join(told[-1:]))
    others = tuple(one for one in diagnosis.others(old, pods) if one.uid != pod.uid)
    return not_back(context, why, others=others, record_changes=record_changes, notices=tuple(notices))


def _completion(context: Context, pod: Pod) -> Event | None:
    return probes.completion_event(pod, context.request.ready_when, context.server_now)


def _back(
    context: Context, event: Event, pod: Pod, record_changes: Mapping[str, Any], notices: list[tuple[str, str]]
) -> Outcome:
    """Tell that the replacement is back."""
    record, old = context.record, context.old
    if event is Event.POD_READY and context.request.is_k8s_gitops() and not probes.has_startup_probe(pod):
        text = "The replacement has no startup probe, which a GitOps cluster expects; its Ready condition was used."
        notices.append(("no_startup_probe", text))
    message = messages.bounced(record, old, pod, context.now)
    return Outcome(event, message, record_changes=record_changes, notices=tuple(notices))


def _enough_are_back(context: Context, candidates: tuple[Pod, ...], pods: tuple[Pod, ...]) -> bool:
    """Whether as many new pods are back as pods of the controller have gone, or as it wants after a scale-down."""
    old = context.old
    back = sum(_completion(context, one) is not None for one in candidates)
    if back > old.peers_gone(pods):
        return True
    now = _controller_now(context, old.controller, None, None) if old.controller else None
    if not isinstance(now, Controller):
        return False  # what it wants can't be read: one new pod is not taken for the replacement of two
    if now.replicas is None:
        return context.overdue  # it wants no number of pods: a new one that is back must do in the end
    return now.replicas <= back + len(old.peers) - old.peers_gone(pods)


def not_terminated(context: Context, why: Diagnosis, replacements: tuple[Pod, ...] = ()) -> Outcome:
    """Give up waiting for the old pod to go."""
    message = messages.not_terminated(context.record, context.old, why, replacements, context.now)
    return Outcome(Event.TERMINATION_TIMEOUT, message, messages.advice(context.record, why, context.terms), why)


def not_back(
    context: Context,
    why: Diagnosis,
    *,
    others: tuple[Pod, ...] = (),
    record_changes: Mapping[str, Any] | None = None,
    notices: tuple[tuple[str, str], ...] = (),
) -> Outcome:
    """Give up waiting for the replacement. `others`: the other pods of its controller that stand."""
    record, changes = context.record, record_changes or {}
    new = changes.get("new_pod") or record.new_pod
    message = messages.not_back(record, context.old, new, why, others=others, now=context.now)
    event = Event.READY_TIMEOUT if new else Event.NOT_RECREATED
    return Outcome(event, message, messages.advice(record, why, context.terms), why, changes, notices)


def _about_replacement(old: PinnedPod, before: SeenPod | None, candidates: tuple[Pod, ...]) -> list[tuple[str, str]]:
    """Notices, once a replacement, about what is odd about it. `before` is the one that was seen last."""
    pod = candidates[0]
    if before is not None and before.uid == pod.uid:
        return []
    notices = []
    if before is not None:
        text = f"The replacement {before.name} ({before.uid}) was itself replaced by {pod.name} ({pod.uid})."
        notices.append(("replaced_again", text))
    standing = sum(one.stands for one in candidates)
    if standing > 1:
        text = f"{standing} pods could be the replacement; waiting for the oldest, {pod.name} ({pod.uid})."
        notices.append(("several_replacements", text))
    controller = pod.controller
    if controller is not None and old.controller is not None and controller.uid != old.controller.uid:
        text = f"{controller.called} was made anew ({old.controller.uid} -> {controller.uid}) and made the replacement."
        notices.append(("controller_remade", text))
    if old.revision and pod.revision and old.revision != pod.revision:
        text = f"The replacement is made from revision {pod.revision} of its controller's template, not {old.revision}."
        notices.append(("revision_changed", text))
    changes = [f"{name}: {here} -> {there}" for name, here, there in old.image_changes(pod.images)]
    if changes:
        notices.append(("images_changed", f"The replacement runs other images: {'; '.join(changes)}."))
    return notices


def _not_recreated(context: Context, pods: tuple[Pod, ...]) -> Outcome:
    """Give up: look once at what should have made the replacement. All of it best effort."""
    cluster, namespace, old = context.cluster, context.request.namespace, context.old
    node, resource = _node_now(context)
    if not old.generated_name:
        pods = _best_effort(lambda: cluster.pods(namespace)) or pods
    if old.replacements(pods):  # it came this moment: the next look judges it
        return STILL_WAITING
    controller: Controller | str | None = None
    if old.controller is not None:
        controller = _controller_now(context, old.controller, node, resource)
    uid = controller.reference.uid if isinstance(controller, Controller) else old.controller_uid
    of_replica_set = old.controller is not None and old.controller.kind == "ReplicaSet"
    # Where the pod was gone or going before, so was what its controller told of that.
    joined = any(entry.event in JOINING for entry in context.record.path)
    since = context.record.checked_at + context.skew - (EVENTS_LAST if joined else timedelta())
    seen = diagnosis.Absence(
        came=context.record.new_pod,
        since=since.replace(microsecond=0),  # an Event tells whole seconds: one of that second may have come after it
        pods=pods,
        ref=context.request.node,
        node=node,
        controller=controller,
        events=_events_of(context, uid) if uid else (),
        replica_sets=(_best_effort(lambda: cluster.replica_sets(namespace)) or ()) if of_replica_set else (),
        host=_host_named(context, old.host) if old.of_daemon_set else None,
    )
    why = diagnosis.not_recreated(old, seen)
    if why.code == "not_recreated" and context.record.by_other_name and not old.generated_name:
        why = diagnosis.name_generated()
    return not_back(context, why, others=diagnosis.others(old, pods))


def _node_now(context: Context) -> tuple[Node | str | None, Mapping[str, Any] | None]:
    """Look at the custom resource again: what it says, or that it no longer exists, and its JSON."""
    ref = context.request.node
    if ref is None:
        return None, None
    try:
        resource = context.cluster.node(context.request.namespace, ref)
        return Node.read(resource, ref), resource
    except NotFound as error:
        return one_line(error), None
    except (ClusterError, UnreadableField):
        return None, None


def _controller_now(
    context: Context, owner: Owner, node: Node | str | None, resource: Mapping[str, Any] | None
) -> Controller | str | None:
    """Look at the pod's controller. Where it is the custom resource, that has been looked at already."""
    named = node.reference if isinstance(node, Node) else None
    try:
        if resource is None or named is None or named.uid != owner.uid:
            resource = context.cluster.controller(context.request.namespace, owner)
        return Controller.read(resource)
    except NotFound as error:
        return one_line(error)
    except (ClusterError, ValidationError):  # as everything here, best effort
        return None


def _host_of(context: Context, pod: Pod) -> Host | None:
    return _host_named(context, pod.spec.node_name)


def _host_named(context: Context, name: str) -> Host | None:
    """Look at a Kubernetes node, if there is a name and it may be read."""
    try:
        return context.cluster.host(name) if name else None
    except NotFound:
        return Host.removed(name)
    except ClusterError:
        return None


def _events_of(context: Context, uid: str) -> tuple[PodEvent, ...]:
    return _best_effort(lambda: context.cluster.events(context.request.namespace, uid)) or ()


def _best_effort(ask: Callable[[], Answer]) -> Answer | None:
    """Ask for what only serves a diagnosis: None where it can't be had."""
    try:
        return ask()
    except ClusterError:
        return None


def _within(seconds: float, call: Callable[[], bool | None]) -> bool | None:
    """Give a protection `seconds`: it may be anybody's code, and a bounce does not hang on it."""
    returned: list[bool | None] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            returned.append(call())
        except BaseException as error:  # noqa: BLE001 -- handed to the caller below; SystemExit would end this thread alone
            raised.append(error)

    thread = threading.Thread(target=run, name="mecbounce-protection", daemon=True)
    thread.start()
    thread.join(seconds)
    if raised and not isinstance(raised[0], Exception):
        raise RuntimeError(f"it raised {type(raised[0]).__name__}") from None
    if raised:
        raise raised[0]
    if not returned:
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    return returned[0]


HANDLERS: Mapping[State, Callable[[Context], Outcome]] = {
    State.INIT_CHECKS: init_checks,
    State.DISABLE_PROTECTION: disable_protection,
    State.DELETE_POD: delete_pod,
    State.AWAIT_TERMINATION: await_termination,
    State.AWAIT_READY: await_ready,
}
