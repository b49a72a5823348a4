"""Bounces in every state, as the screen, the pages and the next commands are to show them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from builders import NOW, STARTUP_PROBE, later, pod, request
from rich.text import Text

from mecbounce.advancing import begin
from mecbounce.cli.options import BounceOptions
from mecbounce.machine import TRANSITIONS, Event, State
from mecbounce.record import BounceRecord, Diagnosis, PinnedPod, Runner, SeenPod, StateEntry

OLD_UID, NEW_UID = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
OLD = PinnedPod.of(pod(uid=OLD_UID, container={"startupProbe": STARTUP_PROBE}), [])
NEW = SeenPod(name="mec-0", uid=NEW_UID, images={"app": "app:2"}, host="host-2")
PATH = (
    (State.DISABLE_PROTECTION, Event.CHECKS_PASSED, 0.02),
    (State.DELETE_POD, Event.PROTECTION_DISABLED, 0.2),
    (State.AWAIT_TERMINATION, Event.DELETE_ACCEPTED, 0.25),
    (State.AWAIT_READY, Event.POD_GONE, 31.75),
)
EXPIRED = (State.INIT_CHECKS, Event.INTENT_EXPIRED, 40.0)
DONE = (State.DONE, Event.POD_STARTED, 91.75)
RUNNER = Runner(who="ci@build-7", process=4711, saved_at=later(31.75))
REQUEST = request(
    cluster_type="k8s_gitops", force=True, ready_when="started", timeouts={"termination": 90.5, "ready": 700}
)
OPTIONS = BounceOptions(
    kubeconfig=Path("/etc/my kube"),
    context="prod",
    protection_annotation="example.com/p=off",
    state=Path("r.json"),
    no_events=True,
)
GIVEN = OPTIONS.given()
PIPED = None


def record(*steps: tuple[State, Event, float], **fields: Any) -> BounceRecord:
    first = begin(fields.pop("request", request()), NOW).model_copy(update={"bounce_id": "b-1"})
    path = (*first.path, *(StateEntry(state=state, at=later(at), event=event) for state, event, at in steps))
    known = {"old_pod": OLD} if len(path) > 1 else {}
    waits = path[-1].state in (State.AWAIT_TERMINATION, State.AWAIT_READY)
    deadline = {"deadline": later(steps[-1][2] + 600)} if waits else {}
    return BounceRecord.model_validate(
        first.model_copy(update={"path": path, **known, **deadline, **fields}).model_dump()
    )


def failed(event: Event, code: str = "", **fields: Any) -> BounceRecord:
    """Give a bounce that ended with `event`, in the last of its states that allows it."""
    states = [State.INIT_CHECKS, *(step[0] for step in PATH)]
    allowed = [number for number, state in enumerate(states) if (state, event, State.FAILED) in TRANSITIONS]
    why = Diagnosis(code=code, evidence="what was seen", who="somebody", standing=()) if code else None
    steps = PATH[: allowed[-1]]
    return record(*steps, (State.FAILED, event, 99), **{"diagnosis": why, "old_pod": OLD} | fields)


def shown(text: Text) -> list[str]:
    return [line.rstrip() for line in text.plain.splitlines()]
