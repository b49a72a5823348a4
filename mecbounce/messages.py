"""What a bounce says of itself: sentences made of the record and of what was seen. Pure.

The checks keep theirs in their own table (`checks.py`), a diagnosis its evidence (`diagnosis.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mecbounce import diagnosis, probes
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.machine import State
from mecbounce.record import BounceRecord, Diagnosis, PinnedPod, Protection, SeenPod
from mecbounce.request import Timeouts

MOST_NAMES = 5  # of pods in a message


@dataclass(frozen=True)
class Terms:
    """How whoever runs the bounce writes what a message tells to do."""

    anew: str
    """Begin a new bounce."""
    this_one: str
    """Begin a new bounce of one incarnation; `{uid}` is its UID."""


TASK = Terms(
    anew="begin anew, with an empty step state",
    this_one="begin anew with pod_uid={uid} and an empty step state",
)
COMMAND = Terms(anew="run the same command again", this_one="run it again with --pod-uid {uid}")


# --- before the deletion -----------------------------------------------------------------------------------------


def cancelled(record: BounceRecord, terms: Terms) -> tuple[str, str]:
    """Message and advice of a bounce that was asked to stop."""
    return f"Asked to stop before the deletion. {untouched(record)}", f"To bounce it after all, {terms.anew}."


def given_up(record: BounceRecord, what: str, advice: str, terms: Terms) -> tuple[str, str]:
    """Message and advice of a bounce that was given up before its deletion was known to be accepted."""
    if not record.deletion_was_possible or record.old_pod is None:
        return f"{what}. {untouched(record)}", f"{advice} Then {terms.anew}."
    message = f"{what}. The DELETE of pod {record.request.pod} may or may not have been carried out."
    if off := protection_off(record):
        message += f" If it was not, the pod runs on{off}."
    return message, f"{advice} Then {bounce_only(record.old_pod, terms)}"


def refused(record: BounceRecord, old: PinnedPod, why: Diagnosis, *, final: bool) -> tuple[str, str]:
    """Message and advice where the API server did not delete the pod. `final`: it said no."""
    how = "refused" if final else "did not carry out"
    said, state = why.evidence.rstrip("."), protection_off(record)
    message = f"The API server {how} the deletion: {said}. Pod {old.name} runs on{state}."
    return message, f"To act: {why.who}. Settle it with them, then bounce again."


def untouched(record: BounceRecord) -> str:
    """Say what is known of a pod that this bounce has not deleted."""
    if record.old_pod is None:
        return "Nothing was deleted."
    return f"Nothing was deleted: pod {record.request.pod} ran on when last seen{protection_off(record)}."


def perhaps_deleted(record: BounceRecord) -> str:
    """Say what is known of a pod whose DELETE was announced by a run that may be paused right before it."""
    return (
        f"Pod {record.request.pod} ran on when last seen{protection_off(record)}. "
        "The DELETE that was announced before may still be carried out."
    )


def protection_off(record: BounceRecord) -> str:
    """Say in a message that the pod runs on unprotected, where it does or may."""
    off = {
        Protection.DISABLED: ", with its shutdown protection switched off",
        Protection.OFF: ", without a shutdown protection",
        Protection.UNKNOWN: ", with its shutdown protection perhaps switched off",
    }
    return off.get(record.protection, "") if record.protection else ""


def bounce_only(old: PinnedPod, terms: Terms) -> str:
    """Say how to bounce it where its DELETE may or may not have been carried out."""
    this_one = terms.this_one.format(uid=old.uid)
    if old.generated_name:  # once it has gone, nothing would tell its replacement from others
        return f"look whether {old.uid} still stands; only if so, {this_one}."
    return f"{this_one}: no other pod can be deleted then."


# --- after it ----------------------------------------------------------------------------------------------------


def bounced(record: BounceRecord, old: PinnedPod, new: Pod, now: datetime) -> str:
    """Say that the replacement is back."""
    if record.found_replaced:
        return f"Nothing was deleted: {old.uid} had gone already, and {new.name} ({new.uid}) is back."
    took = max(0.0, (now - record.path[0].at).total_seconds())
    return f"Pod {old.name} was bounced: {new.name} ({new.uid}) is back after {took:,.0f} s."


def not_terminated(
    record: BounceRecord, old: PinnedPod, why: Diagnosis, replacements: tuple[Pod, ...], now: datetime
) -> str:
    """Say that the old pod has not gone in time."""
    evidence, waited = why.evidence.rstrip("."), f"{record.elapsed(now):.0f} s"
    if why.code == "deletion_lost":
        return f"Pod {old.name} still stands after {waited}{protection_off(record)}: {evidence}."
    if why.code == diagnosis.UNREACHABLE:
        return f"The deletion of pod {old.name} was accepted; whether it has gone is not known: {evidence}."
    then = "it goes, and is replaced, once that is settled"
    if replacements:
        then = f"its replacement {replacements[0].name} stands already"
    return f"Pod {old.name} is deleted but has not gone after {waited}: {evidence}. It was not force-deleted; {then}."


def not_back(
    record: BounceRecord,
    old: PinnedPod,
    new: SeenPod | None,
    why: Diagnosis,
    *,
    others: tuple[Pod, ...],
    now: datetime,
) -> str:
    """Say that no replacement is back in time. `others`: the other pods of its controller that stand."""
    evidence, waited = why.evidence.rstrip("."), f"{record.elapsed(now):.0f} s"
    if why.code in diagnosis.STANDING:
        return f"Pod {old.name} ({old.uid}) stands again: {evidence}. It was left as it is."
    if why.code == diagnosis.UNREACHABLE:
        return f"Pod {old.name} had gone; whether its replacement is back is not known: {evidence}."
    if why.code == "name_generated":
        return f"No pod {old.name} has come in {waited}: {evidence}."
    what = f"its replacement {new.name} ({new.uid}) is not back" if new else "it has no replacement"
    what = "a rollout took its place" if why.code == "rolled_out" else f"{what} after {waited}"
    service = "The node is not in service."
    if why.code == "rolled_out":
        service = "Whether the node is in service, the pods of the ReplicaSet that took over tell."
    elif others and old.controller is not None:
        service = f"Pods of {old.controller.called} that stand: {_names(others)}."
    return f"Pod {old.name} has gone and {what}: {evidence}. {service}"


def advice(record: BounceRecord, why: Diagnosis, terms: Terms) -> str:
    """Say who must act after a deadline, and how to go on."""
    old = record.old_pod
    if why.code == "rolled_out":
        return (
            "Nothing is to be mended: the rollout goes on by itself. Look at the pods of the ReplicaSet that took over."
        )
    if why.code == "deletion_lost" and old is not None:
        this_one = terms.this_one.format(uid=old.uid)
        return f"To act: {why.who}. To try once more, {this_one}, which deletes this incarnation only."
    if record.by_other_name or old is None:
        return f"To act: {why.who}. Its replacement has a name of its own: look at the newest pods of its controller."
    if why.code == diagnosis.UNREACHABLE and record.state is State.AWAIT_TERMINATION:  # its DELETE may have been lost
        return f"To act: {why.who}. To wait on, {bounce_only(old, terms)}"
    return f"To act: {why.who}. To wait on without deleting again, {terms.this_one.format(uid=old.uid)}."


def _names(pods: Iterable[Pod]) -> str:
    return ", ".join(sorted(pod.name for pod in pods)[:MOST_NAMES])


# --- notices -----------------------------------------------------------------------------------------------------


def resumed(record: BounceRecord, *, other_options: bool) -> str:
    """Say that a bounce goes on, and since when it stands where it does."""
    since = f"{record.entered_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    text = f"Resumed bounce {record.bounce_id} in {record.state}, which it entered at {since}."
    return f"{text} It goes on with the options that it began with." if other_options else text


def intent_expired(record: BounceRecord) -> str:
    """Say that an old intent is not carried out as it is."""
    at = f"{record.entered_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"The deletion was announced at {at} and not carried out: asking the checks again first."


def clock_skew(skew: timedelta) -> str:
    """Say that two clocks are far apart."""
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
        text = "More of its controller's pods went meanwhile: which new pod replaces which can't be told."
        notices.append(("several_gone", text))
    return tuple(notices)


def _on_first_sight(old: PinnedPod, before: SeenPod | None, candidates: tuple[Pod, ...]) -> list[tuple[str, str]]:
    pod, notices = candidates[0], []
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
