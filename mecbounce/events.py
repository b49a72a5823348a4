"""The Kubernetes Events of a bounce, which `kubectl describe` shows. Pure functions of its record.

`Bouncing` is about the pod, before its DELETE. `Bounced` or `BounceFailed` is about the custom resource, or else the
pod's controller, at the end; also where the bounce joined somebody else's deletion. A bounce that its checks refused
writes none: it has changed nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mecbounce.machine import FINAL, WAITING, State
from mecbounce.record import BounceRecord, PinnedPod, SeenPod

COMPONENT = "mecbounce"
LONGEST_MESSAGE = 1000  # characters; the API server's own limit for newer Events is 1,024 bytes


def on_entering(record: BounceRecord, now: datetime) -> dict[str, Any] | None:
    """Give the Event to write, as JSON, after the record with its new state was saved. None: this state has none."""
    old = record.old_pod
    if old is None or all(entry.state not in (State.DELETE_POD, *WAITING) for entry in record.path):
        return None
    maker = _resource_or_controller(record, old)
    if record.state is State.DELETE_POD:
        message = f"Deleting this pod ({old.uid}) to have it replaced; its grace period is {old.grace_period} s."
        told = {"type": "Normal", "reason": "Bouncing", "message": message}
        return _event(record, now, told, _pod(record, old), maker)
    if record.state not in FINAL:
        return None
    told = {"type": "Normal", "reason": "Bounced", "message": record.message}
    if record.state is State.FAILED:
        code = record.diagnosis.code if record.diagnosis else record.path[-1].event
        told = {"type": "Warning", "reason": "BounceFailed", "message": f"{code}: {record.message}"}
    pod = _pod(record, record.new_pod or old)
    return _event(record, now, told, maker or pod, pod if maker else None)


def _event(
    record: BounceRecord, now: datetime, told: dict[str, str], about: dict[str, str], related: dict[str, str] | None
) -> dict[str, Any]:
    at, message = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", told["message"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{about['name']}."},
        "involvedObject": about,
        **({"related": related} if related else {}),
        **told,
        "message": message if len(message) <= LONGEST_MESSAGE else f"{message[: LONGEST_MESSAGE - 1]}…",
        "action": "Bounce",
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": record.bounce_id,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


def _pod(record: BounceRecord, pod: PinnedPod | SeenPod) -> dict[str, str]:
    return _reference(record, "v1", "Pod", pod.name, pod.uid)


def _resource_or_controller(record: BounceRecord, old: PinnedPod) -> dict[str, str] | None:
    owner = record.resource or old.controller
    return _reference(record, owner.api_version, owner.kind, owner.name, owner.uid) if owner else None


def _reference(record: BounceRecord, api_version: str, kind: str, name: str, uid: str) -> dict[str, str]:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "namespace": record.request.namespace,
        "name": name,
        "uid": uid,
    }
