"""The Events that the kubelet, the scheduler and the controllers write about an object."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox.clock import timestamp
from mecbounce.sandbox.objects import clone
from mecbounce.sandbox.resources import EVENTS, NAMESPACES, Object

if TYPE_CHECKING:
    from mecbounce.sandbox.store import Store

MOST_SIMILAR: Final = 9
"""Similar Events (one object, one source, one reason) that are kept apart; all later ones are combined into one."""


@dataclass(frozen=True)
class Source:
    """The component that writes, and its Kubernetes node. ``modern``: it uses the newer Events API."""

    component: str
    host: str = ""
    modern: bool = False


class EventRecorder:
    """Writes Events; the same Event again raises its ``count``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: dict[tuple[str, ...], dict[str, str]] = {}

    def normal(self, source: Source, obj: Object, reason: str, message: str, *, field: str = "") -> None:
        self._write(source, obj, ("Normal", reason, field), message)

    def warning(self, source: Source, obj: Object, reason: str, message: str, *, field: str = "") -> None:
        self._write(source, obj, ("Warning", reason, field), message)

    def _write(self, source: Source, obj: Object, about: tuple[str, str, str], message: str) -> None:
        metadata = obj["metadata"]
        # The Events of an object without a namespace are in the namespace default.
        namespace = metadata.get("namespace") or "default"
        if self._store.find(NAMESPACES, "", namespace) is None:
            return  # the namespace has gone, and its objects are about to go
        similar = self._names.setdefault((metadata["uid"], source.component, *about), {})
        known_as = message
        if message not in similar and len(similar) >= MOST_SIMILAR:
            known_as, message = "", f"(combined from similar events): {message}"
        old = self._store.find(EVENTS, namespace, similar.get(known_as, ""))
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
            **_source_and_times(source),
            "type": kind,
        }
        similar[known_as] = self._store.create(EVENTS, namespace, event)["metadata"]["name"]


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


def _source_and_times(source: Source) -> Object:
    """Return the fields for source and times; the newer Events API has others, and no count."""
    if source.modern:
        stamp = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        reporting = {"reportingComponent": source.component, "reportingInstance": f"{source.component}-sandbox"}
        return {"source": {}, "eventTime": stamp, "action": "Scheduling", **reporting}
    host = {"host": source.host} if source.host else {}
    stamps = {"firstTimestamp": timestamp(), "lastTimestamp": timestamp(), "count": 1}
    return {"source": {"component": source.component, **host}, **stamps}
