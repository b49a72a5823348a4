"""Events: what kubelet, scheduler and controllers say about an object."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mecbounce.sandbox.resources import EVENTS, NAMESPACES, Object, clone, timestamp

if TYPE_CHECKING:
    from mecbounce.sandbox.store import Store


@dataclass(frozen=True)
class Source:
    """Who speaks: a component, and the Kubernetes node where it runs."""

    component: str
    host: str = ""


class EventRecorder:
    """Writes Events; one that says the same again is counted up."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._written: dict[tuple[str, ...], str] = {}

    def normal(self, source: Source, obj: Object, reason: str, message: str, *, field: str = "") -> None:
        self._write(source, obj, ("Normal", reason, message, field))

    def warning(self, source: Source, obj: Object, reason: str, message: str, *, field: str = "") -> None:
        self._write(source, obj, ("Warning", reason, message, field))

    def _write(self, source: Source, obj: Object, said: tuple[str, str, str, str]) -> None:
        metadata = obj["metadata"]
        # What is said of an object without a namespace is kept in the namespace default.
        namespace = metadata.get("namespace") or "default"
        if self._store.find(NAMESPACES, "", namespace) is None:
            return  # the namespace has gone, and its objects are going
        same = (metadata["uid"], source.component, *said)
        old = self._store.find(EVENTS, namespace, self._written.get(same, ""))
        if old is not None:
            again = {**clone(old), "count": old["count"] + 1, "lastTimestamp": timestamp()}
            self._store.overwrite((EVENTS, namespace, old["metadata"]["name"]), again)
            return
        kind, reason, message, field = said
        involved = {
            "kind": obj["kind"],
            "namespace": metadata.get("namespace", ""),
            "name": metadata["name"],
            "uid": metadata["uid"],
            "apiVersion": obj["apiVersion"],
            "resourceVersion": metadata["resourceVersion"],
            "fieldPath": field,
        }
        event = {
            "metadata": {"name": f"{metadata['name']}.{secrets.token_hex(8)}"},
            "involvedObject": {key: value for key, value in involved.items() if value},
            "reason": reason,
            "message": message,
            "source": {"component": source.component, **({"host": source.host} if source.host else {})},
            "firstTimestamp": timestamp(),
            "lastTimestamp": timestamp(),
            "count": 1,
            "type": kind,
        }
        self._written[same] = self._store.create(EVENTS, namespace, event)["metadata"]["name"]
