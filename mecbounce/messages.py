"""The sentences of a bounce, made from its record, for a task or for the command. Pure.

Those of a check are in its row (`checks.py`), the evidence of a diagnosis is made where the cause is found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mecbounce import again, diagnosis, probes
from mecbounce.codes import OLD_POD_EXISTS, DiagnosisCode
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.machine import Event, State
from mecbounce.record import BounceRecord, Diagnosis, GivenProtection, PinnedPod, Protection, SeenPod
from mecbounce.request import Timeouts

MOST_NAMES = 5  # of pods in a message


@dataclass(frozen=True)
class Terms:
    """How a sentence is written for its reader: whoever runs a task, or the command."""

    bounce_again: str
    """What to do to begin a new bounce."""
    bounce_this_uid: str
    """What to do to bounce one incarnation. `{uid}` is its UID."""
    wait_on: str
    """What to do to keep waiting for the replacement after a bounce that has ended. `{uid}` is the old pod's UID."""
    wait_on_renamed: str
    """The same if the replacement gets another name."""
    timeout: str
    """How a longer timeout is written. `{which}` is termination or ready; it is `{seconds}`, or the text `{time}`."""
    anew: str
    """What begins a new bounce where the replacement of the last one is not back: a sentence."""
    force: str
    """How `force` is written."""
    name_node: str
    """How to name the custom resource."""
    no_node: str
    """How to have no custom resource checked."""
    node_types: str
    """Where it is written which fields of a resource that was found hold its state. `{type}` is its type."""
    uid: Callable[[str], str] = str
    """How a UID is written in what happened. What to do always has the whole UID."""
    evidence: bool = True
    """False: leave the evidence out, it is shown beside the sentence."""


TASK = Terms(
    bounce_again="call the task's forget() and perform it again",
    bounce_this_uid="call the task's forget() and perform one with pod_uid={uid}",
    wait_on="call the task's keep_waiting()",
    wait_on_renamed="call the task's keep_waiting()",
    timeout="Timeouts({which}={seconds:g})",
    anew="To begin a new bounce, call the task's forget() and perform it again.",
    force="force=True",
    name_node="node=NodeRef(...)",
    no_node="node=None",
    node_types='node_types["{type}"]',
)
COMMAND = Terms(
    bounce_again="run the same command again",
    bounce_this_uid="run it again with --pod-uid {uid}",
    wait_on="run the same command again while it is not back",
    wait_on_renamed="run the same command again",
    timeout="--{which}-timeout {time}",
    anew="--again begins a new bounce.",
    force="--force",
    name_node="--node GROUP/VERSION/PLURAL/NAME",
    no_node="--no-node",
    node_types='[node."{type}"] of mecbounce\'s config.toml',
)


def utc(at: datetime) -> str:
    """Write a time for people, in UTC and whole seconds."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


# --- before the deletion -----------------------------------------------------------------------------------------


def cancelled(record: BounceRecord, terms: Terms) -> tuple[str, str]:
    """Message and advice for a bounce that was asked to stop."""
    if again.still_waits_on(record):
        return f"Asked to stop. {untouched(record)}", f"To keep waiting, {_wait_on(record, terms)}."
    return f"Asked to stop before the deletion. {untouched(record)}", f"To bounce it anyway, {terms.bounce_again}."


def given_up(record: BounceRecord, event: Event, error: str, terms: Terms) -> tuple[str, str]:
    """Message and advice for a bounce that gave up before the API server accepted its DELETE."""
    what, advice = error, "Have that right granted, or the credentials renewed."
    if event is Event.CLUSTER_UNREACHABLE:
        what = f"No usable answer from the API server within {record.request.timeouts.api:.0f} s: {error}"
        advice = "Find out why the API server does not answer."
        if record.request.given_node and record.state is State.INIT_CHECKS:
            advice += f" If only {record.request.given_node} can't be read, {terms.no_node} leaves it out."
    if not record.deletion_was_possible or record.old_pod is None:
        return f"{what}. {untouched(record)}", f"{advice} Then {terms.bounce_again}."
    message = f"{what}. The DELETE of pod {record.request.pod} may or may not have been carried out."
    if off := protection_off(record):
        message += f" If it was not, the pod runs on{off}."
    return message, then_bounce_only(advice, record.old_pod, terms)


def untouched(record: BounceRecord) -> str:
    """Say what is known about a pod that this bounce has not deleted."""
    if again.still_waits_on(record):
        return f"Nothing was changed: this run kept waiting for the replacement of pod {record.request.pod}."
    if record.old_pod is None:
        return "Nothing was deleted."
    return f"Nothing was deleted: pod {record.request.pod} ran on when last seen{protection_off(record)}."


def perhaps_deleted(record: BounceRecord) -> str:
    """Say what is known about a pod whose DELETE was announced by another run, which may still send it."""
    return (
        f"Pod {record.request.pod} ran on when last seen{protection_off(record)}. "
        "The DELETE that was announced before may still be carried out."
    )


def protection_tried(record: BounceRecord) -> str:
    """Say what became of its shutdown protection, as the end of a sentence. Empty: nothing was tried."""
    tried = {
        Protection.DISABLED: "; its shutdown protection was switched off",
        Protection.OFF: "; it had no shutdown protection to switch off",
        Protection.KEPT: "; its shutdown protection could not be switched off",
        Protection.UNKNOWN: "; its shutdown protection may have been switched off",
    }
    known = Protection.UNKNOWN if record.protection_in_doubt else record.protection
    return tried.get(known, "") if known else ""


def protection_off(record: BounceRecord) -> str:
    """Say that the pod has no shutdown protection now, or perhaps none. Empty: it has, or nothing changed."""
    off = {
        Protection.DISABLED: ", with its shutdown protection switched off",
        Protection.OFF: ", without a shutdown protection",
        Protection.UNKNOWN: ", with its shutdown protection perhaps switched off",
    }
    return off.get(record.protection, "") if record.protection else ""


def then_bounce_only(advice: str, old: PinnedPod, terms: Terms) -> str:
    """Add to an advice how to bounce the pod if its DELETE may or may not have been carried out."""
    return f"{advice} Then {bounce_only(old, terms)}"


def bounce_only(old: PinnedPod, terms: Terms) -> str:
    """Say how to bounce the pod if its DELETE may or may not have been carried out."""
    this_uid = terms.bounce_this_uid.format(uid=old.uid)
    if old.generated_name:  # if it has gone, its replacement can't be told from other pods
        return f"look whether {old.uid} still exists; only if so, {this_uid}."
    return f"{this_uid}: this can delete no other pod."


# --- after it ----------------------------------------------------------------------------------------------------


def happened(record: BounceRecord, event: Event, at: datetime, terms: Terms) -> str:
    """Say how a bounce ended with `event` at `at`. `record` has its diagnosis or its new pod already.

    Without a diagnosis, and for a record of an older version, which has fewer facts, this is the record's own message.
    """
    old, new, why = record.old_pod, record.new_pod, record.diagnosis
    if old is not None and new is not None and event in (Event.POD_STARTED, Event.POD_READY):
        return _back(record, old, new, at, terms)
    if old is None or why is None or why.standing is None:
        return record.message
    if event is Event.DELETE_REFUSED:
        return (
            f"The API server did not delete pod {old.name}{_because(why, terms)}. It runs on{protection_off(record)}."
        )
    if event is Event.TERMINATION_TIMEOUT:
        return _not_gone(record, old, why, at, terms)
    return _not_back(record, old, why, at, terms)


def _back(record: BounceRecord, old: PinnedPod, new: SeenPod, at: datetime, terms: Terms) -> str:
    back = f"{new.name} ({terms.uid(new.uid)}) is back"
    if record.found_replaced:
        return f"Nothing was deleted: {terms.uid(old.uid)} had gone already, and {back}."
    return f"Pod {old.name} was bounced: {back} after {record.took(at):,.0f} s."


def _not_gone(record: BounceRecord, old: PinnedPod, why: Diagnosis, at: datetime, terms: Terms) -> str:
    because, waited = _because(why, terms), _waited(record, at)
    if why.code == DiagnosisCode.DELETION_LOST:
        return f"Pod {old.name} still exists after {waited}{protection_off(record)}{because}."
    if why.code == DiagnosisCode.CLUSTER_UNREACHABLE:
        return f"The deletion of pod {old.name} was accepted; whether it has gone is not known{because}."
    then = "it will be removed and replaced once the cause is fixed"
    if why.standing:
        then = f"its replacement {why.standing[0]} exists already"
    return f"Pod {old.name} is deleted but has not gone after {waited}{because}. It was not force-deleted; {then}."


def _not_back(record: BounceRecord, old: PinnedPod, why: Diagnosis, at: datetime, terms: Terms) -> str:
    new, because, waited = record.new_pod, _because(why, terms), _waited(record, at)
    if why.code in OLD_POD_EXISTS:
        return f"Pod {old.name} ({terms.uid(old.uid)}) exists again{because}. It was left as it is."
    if why.code == DiagnosisCode.CLUSTER_UNREACHABLE:
        return f"Pod {old.name} had gone; whether its replacement is back is not known{because}."
    if why.code == DiagnosisCode.NAME_GENERATED:
        return f"No pod {old.name} has come in {waited}{because}."
    if why.code == DiagnosisCode.ROLLED_OUT:
        service = "Look at the pods of the ReplicaSet that took over to see whether the node is in service."
        return f"Pod {old.name} has gone and a rollout took its place{because}. {service}"
    what = f"its replacement {new.name} ({terms.uid(new.uid)}) is not back" if new else "it has no replacement"
    service = "The node is not in service."
    if why.standing and old.controller is not None:
        service = f"Other pods of {old.controller.called}: {', '.join(why.standing)}."
    return f"Pod {old.name} has gone and {what} after {waited}{because}. {service}"


def _because(why: Diagnosis, terms: Terms) -> str:
    return f": {why.evidence.rstrip('.')}" if terms.evidence else ""


def _waited(record: BounceRecord, at: datetime) -> str:
    """How long the last waiting state took until `at`."""
    entered = record.path[-2 if record.finished else -1].at
    return f"{max(0.0, (at - entered).total_seconds()):.0f} s"


def names(pods: Iterable[Pod]) -> tuple[str, ...]:
    """Give the names of pods, sorted: five of them at most."""
    return tuple(sorted(pod.name for pod in pods)[:MOST_NAMES])


def advice(record: BounceRecord, why: Diagnosis, terms: Terms) -> str:
    """Say who must act, and how to go on."""
    old = record.old_pod
    if record.state is State.DELETE_POD:
        return f"To act: {why.who}. Fix the cause with them, then bounce again."
    if why.code == DiagnosisCode.ROLLED_OUT:
        return "Nothing needs repair: the rollout goes on by itself. Look at the pods of the ReplicaSet that took over."
    if why.code == DiagnosisCode.DELETION_LOST and old is not None:
        this_uid = terms.bounce_this_uid.format(uid=old.uid)
        return f"To act: {why.who}. To try once more, {this_uid}, which deletes this incarnation only."
    if old is None or (record.by_other_name and not old.generated_name):
        return f"To act: {why.who}. Its replacement has another name: look at the newest pods of its controller."
    if why.code == DiagnosisCode.CLUSTER_UNREACHABLE and record.state is State.AWAIT_TERMINATION:  # it may still exist
        return f"To act: {why.who}. To keep waiting, {bounce_only(old, terms)}"
    how = f"{_wait_on(record, terms)}{_with_timeout(record, terms)}"
    return f"To act: {why.who}. To keep waiting without deleting again, {how}."


def _wait_on(record: BounceRecord, terms: Terms) -> str:
    if record.old_pod is not None and record.old_pod.generated_name:
        return terms.wait_on_renamed
    return terms.wait_on


_TIMEOUTS: Mapping[State | None, str] = {State.AWAIT_TERMINATION: "termination", State.AWAIT_READY: "ready"}


def longer_timeout(state: State | None, limit: float | None) -> tuple[str, float] | None:
    """Name the timeout that has just proved too short, with a longer time in seconds. None: none has."""
    which = _TIMEOUTS.get(state)
    return (which, probes.longer(limit)) if which and limit else None


def _with_timeout(record: BounceRecord, terms: Terms) -> str:
    if (longer := longer_timeout(record.state, record.limit)) is None:
        return ""
    which, seconds = longer
    return f", with {terms.timeout.format(which=which, seconds=seconds, time=duration(seconds))}"


def duration(seconds: float) -> str:
    """Write a duration as the command takes it, such as 20m or 0.4s."""
    return f"{seconds:.10g}s" if seconds % 60 else f"{seconds / 60:.0f}m"


def limit_of(seconds: float) -> str:
    """Write how long a state may wait, for people: 1,200 s, or 0.5 s."""
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.2g} s"  # noqa: PLR2004 -- not 0 s


# --- notices -----------------------------------------------------------------------------------------------------


def resumed(record: BounceRecord, *, other_options: bool) -> str:
    """Say that a bounce was resumed, in which state, and when it entered that state."""
    text = f"Resumed bounce {record.bounce_id} in {record.state}, which it entered at {utc(record.entered_at)}."
    return f"{text} It goes on with the options that it began with." if other_options else text


def waits_on(ended: BounceRecord, terms: Terms) -> str:
    """Say that a bounce keeps waiting for the replacement of one that has ended."""
    return (
        f"The last bounce of {ended.request.pod} ended at {utc(ended.entered_at)} by {ended.ended_by}. This run keeps "
        f"waiting for its replacement; nothing is deleted. {terms.anew}"
    )


def nothing_to_wait_for(record: BounceRecord | None, where: str) -> str:
    """Say why a task's keep_waiting() does nothing."""
    if record is None:
        return f"{where}: there is no record of a bounce, so there is no replacement to keep waiting for."
    if not record.finished:
        return f"{where}: the bounce has not ended, it stands in {record.state}: perform() resumes it."
    why = "its replacement is back" if record.state is State.DONE else "it left no replacement that may come late"
    return f"{where}: the bounce ended by {record.ended_by}: {why}. There is nothing to keep waiting for."


def exists_after_all(old: PinnedPod) -> str:
    """Say that a bounce that keeps waiting has found the old pod itself, and what it does."""
    return f"Pod {old.name} ({old.uid}) exists again. This bounce deletes that incarnation, and no other."


def intent_expired(record: BounceRecord) -> str:
    """Say that an old announcement is not carried out without new checks."""
    at = utc(record.entered_at)
    return f"The deletion was announced at {at} and not sent in time: asking the checks again first."


CARRIED_OUT = (
    "The deletion that was announced before was carried out: this bounce waits, although the checks refuse now."
)
NO_STARTUP_PROBE = "The replacement has no startup probe, which a GitOps cluster expects; its Ready condition was used."


def protection_kept(error: str) -> str:
    """Say that the protection could not be switched off."""
    return f"Shutdown protection could not be switched off: {error}. Deleting the pod anyway."


def protection_missing(given: GivenProtection) -> str:
    """Say that a bounce goes on to its deletion without the protection that it began with."""
    return (
        f"This bounce began with a shutdown protection ({given}). This run was not given it, so it does not switch it "
        "off. Deleting the pod anyway."
    )


def cluster_trouble(error: str) -> str:
    """Say that a request failed for the first time in this state."""
    return f"No usable answer from the API server, trying again: {error}."


def clock_skew(skew: timedelta) -> str:
    """Say that the API server's clock differs from this machine's."""
    seconds = skew.total_seconds()
    return (
        f"The API server's clock is {abs(seconds):,.0f} s {'ahead of' if seconds > 0 else 'behind'} this machine's. "
        "Its timestamps are compared with its own clock, deadlines are kept by this machine's."
    )


def short_deadlines(timeouts: Timeouts, old: PinnedPod) -> list[tuple[str, str]]:
    """Say which given deadline is shorter than what the pod itself allows. It is not extended."""
    notices = []
    termination = probes.termination_deadline(timeouts.termination, old.grace_period)
    if termination.short:
        text = f"The termination timeout is {termination.seconds:g} s, the pod's own grace period {old.grace_period} s."
        notices.append(("short_termination_timeout", text))
    ready = probes.ready_deadline(timeouts.ready, old.containers)
    if ready.short:
        budget = probes.startup_budget(old.containers)
        text = f"The readiness timeout is {ready.seconds:g} s, the pod's own startup probe allows {budget:.0f} s."
        notices.append(("short_ready_timeout", text))
    return notices


def about_replacement(
    old: PinnedPod, before: SeenPod | None, candidates: tuple[Pod, ...], gone: int
) -> tuple[tuple[str, str], ...]:
    """Say what is unusual about the first candidate. `before`: that of the last look; `gone`: how many peers went."""
    pod = candidates[0]
    notices = [] if before is not None and before.uid == pod.uid else _on_first_sight(old, before, candidates)
    if pod.finished:  # its controller may put another in its place, again and again
        text = f"The replacement {pod.name} ({pod.uid}) has ended: {diagnosis.how_it_ended(pod).rstrip('.')}."
        notices.append(("replacement_ended", text))
    if gone:
        text = "More of its controller's pods went meanwhile: it is not known which new pod replaces which."
        notices.append(("several_gone", text))
    return tuple(notices)


def _on_first_sight(old: PinnedPod, before: SeenPod | None, candidates: tuple[Pod, ...]) -> list[tuple[str, str]]:
    pod, notices = candidates[0], []
    if before is not None:
        text = f"The replacement {before.name} ({before.uid}) was itself replaced by {pod.name} ({pod.uid})."
        notices.append(("replaced_again", text))
    active = sum(pod.active for pod in candidates)
    if active > 1:
        text = f"{active} pods could be the replacement; waiting for the oldest, {pod.name} ({pod.uid})."
        notices.append(("several_replacements", text))
    controller = pod.controller
    if controller is not None and old.controller is not None and controller.uid != old.controller.uid:
        text = f"{controller.called} was recreated ({old.controller.uid} -> {controller.uid}) and made the replacement."
        notices.append(("controller_remade", text))
    if old.revision and pod.revision and old.revision != pod.revision:
        text = f"The replacement is made from revision {pod.revision} of its controller's template, not {old.revision}."
        notices.append(("revision_changed", text))
    changes = [f"{name}: {here} -> {there}" for name, here, there in old.image_changes(pod.images)]
    if changes:
        notices.append(("images_changed", f"The replacement runs other images: {'; '.join(changes)}."))
    return notices
