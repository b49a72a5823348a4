"""How a bounce ended, or how to resume it: the summary of a success, the page of a failure, JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from rich.text import Text

from mecbounce.again import left_waiting, still_waits_on
from mecbounce.cli.layout import LABEL, labelled, pasteable, short_uid, span, wrapped
from mecbounce.codes import DiagnosisCode
from mecbounce.machine import State
from mecbounce.messages import COMMAND, happened, protection_tried, utc
from mecbounce.next_commands import Given, diagnosis_code, next_commands, shell_lines, who_must_act
from mecbounce.record import BounceRecord, Deletion, Protection


def codes(record: BounceRecord) -> str:
    """Name the event and the diagnosis of a finished bounce, for which docs/operations.md can be searched."""
    found = [record.ended_by.value, *([record.diagnosis.code] if record.diagnosis else [])]
    return ", ".join(dict.fromkeys(found))  # not_recreated is both


def ending(record: BounceRecord, given: Given, width: int | None, *, alive: bool = False) -> Text:
    """Sum a success up, explain a failure, or say how to resume an unfinished bounce, or follow one that is driven."""
    if record.state is State.DONE:
        lines = _summary(record, width)
    elif record.state is State.FAILED:
        lines = _page(record, width)
    else:
        lines = _unfinished(record, width, alive=alive)
    for purpose, command in next_commands(record, given):
        lines += [Text(f"{'Follow it' if alive else purpose}:"), *pasteable(command, width)]
    return Text("\n").join(lines)


def dates(record: BounceRecord, now: datetime, *, alive: bool) -> dict[str, str]:
    """Say when a bounce began and ended, and who drives it or did: short labels, each with its text."""

    def told(at: datetime) -> str:
        return f"{utc(at)}, {span((now - at).total_seconds())} ago"

    said = {"begun": told(record.path[0].at)}
    if record.finished:
        said["ended"] = told(record.entered_at)
    if record.runner is not None:
        said["runner"] = str(record.runner) if record.finished else last_saved(record, now)
        if not record.finished and not alive:
            said["runner"] += "; it has gone"
    return said


def last_saved(record: BounceRecord, now: datetime) -> str:
    """Name the runner of a bounce, and how long ago it saved the record."""
    if record.runner is None:
        return "a runner without a name"
    return f"{record.runner}, last saved {span((now - record.runner.saved_at).total_seconds())} ago"


def _happened(record: BounceRecord, width: int | None) -> str:
    """Say how a bounce ended: with short UIDs in a terminal, and the evidence on a line of its own."""
    terms = replace(COMMAND, uid=short_uid if width else str, evidence=False)
    return happened(record, record.ended_by, record.entered_at, terms)


def _summary(record: BounceRecord, width: int | None) -> list[Text]:
    """Three lines: what happened, how long each state took, what changed."""
    return [
        *wrapped(_happened(record, width), width, style="green"),
        *labelled("Took", _took(record), width, len("Changed") + 2),
        *labelled("Changed", _changed_with_replacement(record, width), width, len("Changed") + 2),
    ]


def _took(record: BounceRecord) -> str:
    durations = record.durations
    shown = [f"{state} {took:,.1f} s" for state, took in durations.items() if round(took, 1) > 0]
    if len(shown) < len(durations):
        shown.append(f"{'the rest' if shown else 'each'} 0.0 s")
    return f"{sum(durations.values()):,.1f} s: {', '.join(shown)}"


def _changed_with_replacement(record: BounceRecord, width: int | None) -> str:
    old, new = record.old_pod, record.new_pod
    if old is None or new is None:
        return "nothing"
    name = short_uid if width else str
    said = [f"UID {name(old.uid)} → {name(new.uid)}"]
    if old.name != new.name:
        said.insert(0, f"name {old.name} → {new.name}")
    if old.images:
        images = old.image_changes(new.images)
        changes = [f"image of {container} {before} → {after}" for container, before, after in images]
        said += changes or ["same image" if len(old.images) == 1 else "same images"]
    if old.host and new.host:
        same = old.host == new.host
        said.append(f"same Kubernetes node {new.host}" if same else f"Kubernetes node {old.host} → {new.host}")
    if record.protection is Protection.DISABLED:
        said.append("the old pod's shutdown protection switched off")
    return ", ".join(said)


def _page(record: BounceRecord, width: int | None) -> list[Text]:
    """Say what happened, why, who must act, what was changed, and whether the bounce can be resumed."""
    rows, why = {"What happened": _happened(record, width)}, record.diagnosis
    if why is not None:
        rows |= {"Evidence": why.evidence.rstrip("."), "Who must act": why.who}
    else:
        rows |= {"Who must act": who_must_act(record), "What to do": record.advice}
    rows["Changed"] = _changed(record)
    rows["Record"] = "ended: the next run begins a new bounce"
    if left_waiting(record) and record.deletion is not Deletion.LOST:
        then = "the next run keeps waiting while the replacement is not back; --again begins a new bounce"
        rows["Record"] = f"ended: {then}"
    return _rows(rows, width)


def _unfinished(record: BounceRecord, width: int | None, *, alive: bool) -> list[Text]:
    saves = "once" if record.revision == 1 else f"{record.revision} times"
    then = "its runner is alive" if alive else "it can be resumed"
    rows = {"Changed": _changed(record), "Record": f"unfinished, saved {saves}: {then}"}
    if record.deadline is not None:
        rows = {"Deadline": utc(record.deadline), **rows}
    return _rows(rows, width)


def _rows(rows: Mapping[str, str], width: int | None) -> list[Text]:
    return [line for label, text in rows.items() for line in labelled(label, text, width, LABEL + 1)]


def _changed(record: BounceRecord) -> str:
    """Say what the record knows about the deletion and the protection, and no more."""
    gone, code = any(entry.state is State.AWAIT_READY for entry in record.path), diagnosis_code(record)
    if still_waits_on(record) and record.deletion is Deletion.NONE:
        return "nothing: this run only kept waiting for the replacement"
    ours = "the pod was deleted"
    if code == DiagnosisCode.TERMINATING_AGAIN:
        ours = "the pod is being deleted: it had gone, and exists again"
    elif not gone and code in ("", DiagnosisCode.CLUSTER_UNREACHABLE):
        ours = "the deletion was accepted; whether the pod has gone is not known"
    said = {
        Deletion.NONE: "nothing was deleted",
        Deletion.UNKNOWN: "not known: the DELETE may or may not have been carried out",
        Deletion.OURS: ours,
        Deletion.ALREADY: (
            f"nothing by this bounce: the pod {'had gone' if record.found_replaced else 'was being deleted'} already"
        ),
        Deletion.OURS_OR_ANOTHERS: (
            f"the pod {'has gone' if gone else 'is being deleted'}, by this bounce's DELETE or somebody else's"
        ),
        Deletion.LOST: "nothing: its deletion was lost, and the pod exists",
    }
    return said[record.deletion] + protection_tried(record)


def as_json(record: BounceRecord, now: datetime, given: Given, *, alive: bool) -> dict[str, Any]:
    """Describe a bounce for programs: times in UTC, durations in seconds. `alive`: whether it has a runner now."""
    kept = {"bounce_id", "revision", "deadline", "new_pod", "protection", "trouble", "notices", "message", "advice"}
    stored = record.model_dump(mode="json", include=kept | {"diagnosis"})
    old, runner, entries = record.old_pod, record.runner, record.model_dump(mode="json", include={"path"})["path"]
    return {
        "state": record.state,
        "finished": record.finished,
        "namespace": record.request.namespace,
        "pod": record.request.pod,
        "node": str(record.node) if record.node else None,
        "started_at": entries[0]["at"],
        "entered_at": entries[-1]["at"],
        "ended_at": entries[-1]["at"] if record.finished else None,
        "runner": {**runner.model_dump(mode="json"), "alive": alive} if runner else None,
        "elapsed": None if record.finished else record.elapsed(now),
        "durations": record.durations,
        "old_pod": old.model_dump(mode="json", include={"name", "uid", "images", "host"}) if old else None,
        **stored,
        "next_commands": shell_lines(record, given),
    }
