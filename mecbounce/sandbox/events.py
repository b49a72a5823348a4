"""Events: what kubelet, scheduler and controllers say about an object."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox.resources import EVENTS, NAMESPACES, Object, clone, timestamp

if TYPE_CHECKING:
    from mecbounce.sandbox.store import Store


MOST_ALIKE: Final = 9
"""Events of one reason about one object that stand each for itself; any more are combined into one."""


@dataclass(frozen=True)
class Source:
    """Who speaks: a component, and the Kubernetes node where it runs. ``modern``: by the newer of the two APIs."""

    component: str
    host: str = ""
    modern: bool = False


class EventRecorder:
    """Writes Events; one that says the same again is counted up."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._written: dict[tuple[str, ...], dict[str, str]] = {}

    def normal(self, source: Source, obj: Object, reason: str, message: str, *, field: str = "") -> None:
        self._write(source, obj, ("Normal", reason, field), message)

    def warning(self, source: Source, obj: Object, reason: str, message: str, *, field: str = "") -> None:
        self._write(source, obj, ("Warning", reason, field), message)

    def _write(self, source: Source, obj: Object, about: tuple[str, str, str], message: str) -> None:
        metadata = obj["metadata"]
        # What is said of an object without a namespace is kept in the namespace default.
        namespace = metadata.get("namespace") or "default"
        if self._store.find(NAMESPACES, "", namespace) is None:
            return  # the namespace has gone, and its objects are going
        alike = self._written.setdefault((metadata["uid"], source.component, *about), {})
        same = message
        if message not in alike and len(alike) >= MOST_ALIKE:
            same, message = "", f"(combined from similar events): {message}"
        old = self._store.find(EVENTS, namespace, alike.get(same, ""))
        if old is not None and not source.modern:
            again = {**clone(old), "message": message, "count": old["count"] + 1, "lastTimestamp": timestamp()}
            self._store.overwrite((EVENTS, namespace, old["metadata"]["name"]), again)
            return
        kind, reason, field = about
        event = {
            "metadata": {"name": f"{metadata['name']}.{secrets.token_hex(8)}"},
            "involvedObject": _reference(obj, field),
            "reason": reason,
            "message": message,
            **_when(source),
            "type": kind,
        }
        alike[same] = self._store.create(EVENTS, namespace, event)["metadata"]["name"]


def _reference(obj: Object, field: str) -> Object:
    metadata = obj["metadata"]
    reference = {
        "kind": obj["kind"],
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata["uid"],
        "apiVersion": obj["apiVersion"],
        "resourceVersion": metadata["resourceVersion"],
        "fieldPath": field,
    }
    return {key: value for key, value in reference.items() if value}


def _when(source: Source) -> Object:
    """Return who spoke and when: an Event of the newer API is not counted, and has another time."""
    if source.modern:
        stamp = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        reporting = {"reportingComponent": source.component, "reportingInstance": f"{source.component}-sandbox"}
        return {"source": {}, "eventTime": stamp, "action": "Scheduling", **reporting}
    host = {"host": source.host} if source.host else {}
    stamps = {"firstTimestamp": timestamp(), "lastTimestamp": timestamp(), "count": 1}
    return {"source": {"component": source.component, **host}, **stamps}
