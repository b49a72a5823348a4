"""Who makes pods: what all their controllers share, and the operator of the custom resources."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox import selection
from mecbounce.sandbox.containers import ENDED
from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.events import EventRecorder, Source
from mecbounce.sandbox.resources import (
    NAMESPACES,
    PODS,
    QUOTAS,
    Object,
    ResourceType,
    clone,
    controller_of,
    owner_reference,
)
from mecbounce.sandbox.store import select_owned

if TYPE_CHECKING:
    from mecbounce.sandbox.behaviour import Behaviours
    from mecbounce.sandbox.store import Change, Key, Store

DOWN: Final = frozenset({"down", "stopped"})
"""Values of a custom resource's ``spec.state`` that want no pod."""

DEFAULT_CONTAINER: Final[Object] = {
    "name": "main",
    "image": "registry.example.com/express-node:1.0",
    "startupProbe": {"httpGet": {"path": "/started", "port": 8080}, "periodSeconds": 1, "failureThreshold": 60},
}
LONGEST_RETRY: Final = 60.0
"""Seconds between two attempts at a pod whose creation is refused; they begin at one and double."""


def is_terminating(obj: Object) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def is_ended(pod: Object) -> bool:
    return pod["status"].get("phase") in ENDED


def is_active(pod: Object) -> bool:
    """Whether a pod counts as one that its controller has."""
    return not is_terminating(pod) and not is_ended(pod)


def is_pod_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


class PodOwner:
    """Keeps the pods that the objects of one type want."""

    said_created = "Created pod: {pod}"
    said_not_created = "Error creating: {error}"
    said_deleted = "Deleted pod: {pod}"

    def __init__(self, store: Store, resource: ResourceType, behaviours: Behaviours, events: EventRecorder) -> None:
        self._store = store
        self._resource = resource
        self._behaviours = behaviours
        self._events = events
        self._source = Source(f"{resource.kind.lower()}-{'operator' if resource.custom else 'controller'}")
        self._had: dict[str, set[str]] = {}
        self._missing_since: dict[tuple[str, str], float] = {}
        self._retry: dict[str, tuple[float, float]] = {}
        self._refusals: dict[str, str] = {}

    def concerns(self, change: Change) -> Iterable[Key]:
        resource, namespace, name = change.key
        if resource == self._resource:
            return [change.key]
        if resource == QUOTAS:
            self._retry.clear()
            return self.everything()
        if resource != PODS:
            return []
        owners = [controller_of(obj) for obj in (change.new, change.old) if obj is not None]
        owned = [
            self._key(namespace, owner["name"]) for owner in owners if owner and owner["kind"] == self._resource.kind
        ]
        if change.new is not None and controller_of(change.new) is None:
            return [*owned, *self._in(namespace)]  # an orphan may be adopted
        # A pod that stood in the way of one to be made: it bears the owner's name, with or without a number.
        names = {name, name.rpartition("-")[0]} if change.new is None else set()
        return [*owned, *(self._key(namespace, each) for each in names)]

    def everything(self) -> Iterable[Key]:
        return self._in("")

    def reconcile(self, key: Key, now: float) -> float:
        with self._store.lock:
            owner = self._store.find(*key)
            if owner is None or is_terminating(owner) or self._store.find(NAMESPACES, "", self.place(owner)) is None:
                return math.inf
            pods = self._claimed(owner)
            self._had.setdefault(owner["metadata"]["uid"], set()).update(pod["metadata"]["uid"] for pod in pods)
            due = self.keep(owner, pods, now)
            self._tell(key)
            return due

    # What a kind of owner says for itself

    def keep(self, owner: Object, pods: list[Object], now: float) -> float:
        """Make and delete pods until they are those that are wanted; return when to look again."""
        raise NotImplementedError

    def count(self, owner: Object, pods: list[Object]) -> Object:
        """Return what to put into the owner's status; None: to leave out there."""
        del owner, pods
        return {}

    def is_member(self, owner: Object, pod: Object) -> bool:
        """Whether a pod may be an owner's by what it is, whoever its controller is now."""
        selector = owner["spec"].get("selector")
        return selection.of_labels(selector)(pod) if selector else self.owns(owner, pod)

    def candidates(self, owner: Object) -> list[Object]:
        """Return the pods among which an owner's are."""
        return self._store.select(PODS, self.place(owner))

    def owns(self, owner: Object, pod: Object) -> bool:
        return bool((controller_of(pod) or {}).get("uid") == owner["metadata"]["uid"])

    def reference(self, owner: Object) -> Object:
        """Return what is written into a pod about its owner."""
        return owner_reference(self._resource, owner)

    def place(self, owner: Object) -> str:
        """Return the namespace of an owner's pods."""
        return str(owner["metadata"]["namespace"])

    # What they have alike

    def make(self, owner: Object, metadata: Object, spec: Object, now: float, *, wanted: int = 1) -> float:
        """Make a pod as soon as its name is free and its behaviour lets it; return when to look again.

        The first pods, as many as are ``wanted``, come at once: only later ones are *re*created.
        """
        namespace, uid = self.place(owner), owner["metadata"]["uid"]
        name = metadata.get("name") or owner["metadata"]["name"]
        if metadata.get("name") and self._store.find(PODS, namespace, name) is not None:
            self._missing_since.pop((uid, name), None)
            return math.inf
        if len(self._had[uid]) >= wanted:
            behaviour = self._behaviours.of(name)
            since = self._missing_since.setdefault((uid, name), now)
            if not behaviour.recreates:
                return math.inf
            if now < since + behaviour.recreates_after:
                return since + behaviour.recreates_after
        due, pause = self._retry.get(uid, (now, 1.0))
        if now < due:
            return due
        metadata = clone(metadata) | {"ownerReferences": [self.reference(owner)]}
        try:
            made = self._store.create(PODS, namespace, {"metadata": metadata, "spec": clone(spec)})
        except ApiError as error:
            said = self.said_not_created.format(pod=name, owner=owner["metadata"]["name"], error=error)
            self._events.warning(self._source, owner, "FailedCreate", said)
            self._refusals[uid] = str(error)
            self._retry[uid] = now + pause, min(2 * pause, LONGEST_RETRY)
            return now + pause
        self._retry.pop(uid, None)
        self._refusals.pop(uid, None)
        self._missing_since.pop((uid, name), None)
        said = self.said_created.format(pod=made["metadata"]["name"], owner=owner["metadata"]["name"])
        self._events.normal(self._source, owner, "SuccessfulCreate", said)
        return now

    def remove(self, owner: Object, pods: Iterable[Object]) -> None:
        for pod in pods:
            if not is_terminating(pod):
                metadata = pod["metadata"]
                self._store.delete((PODS, metadata["namespace"], metadata["name"]), uid=metadata["uid"])
                said = self.said_deleted.format(pod=metadata["name"], owner=owner["metadata"]["name"])
                self._events.normal(self._source, owner, "SuccessfulDelete", said)

    def retry_now(self) -> None:
        """What refused a creation may have changed."""
        self._retry.clear()

    def _in(self, namespace: str) -> list[Key]:
        owners = self._store.select(self._resource, namespace if self._resource.namespaced else "")
        return [self._key(owner["metadata"].get("namespace", ""), owner["metadata"]["name"]) for owner in owners]

    def _key(self, namespace: str, name: str) -> Key:
        return self._resource, namespace if self._resource.namespaced else "", name

    def _claimed(self, owner: Object) -> list[Object]:
        """Return an owner's pods: it adopts those without a controller that match, and lets go those that do not."""
        claimed = []
        for pod in self.candidates(owner):
            matches = self.is_member(owner, pod)
            if self.owns(owner, pod):
                if matches or is_terminating(pod):
                    claimed.append(pod)
                else:
                    self._own(pod, [])
            elif matches and controller_of(pod) is None and is_active(pod):
                claimed.append(self._own(pod, [self.reference(owner)]))
        return claimed

    def _own(self, pod: Object, controllers: list[Object]) -> Object:
        """Give a pod another controller, or none, beside the owners that it has."""
        metadata = pod["metadata"]
        others = [reference for reference in metadata.get("ownerReferences") or [] if not reference.get("controller")]
        key = (PODS, metadata["namespace"], metadata["name"])
        owned = {**metadata, "ownerReferences": [*others, *controllers]}
        return self._store.update(key, lambda old: {**old, "metadata": owned})

    def _tell(self, key: Key) -> None:
        """Bring the owner's status up to date."""
        owner = self._store.find(*key)
        if owner is None:
            return
        counted = self.count(owner, [pod for pod in self.candidates(owner) if self.owns(owner, pod)])
        if counted:
            merged = {**(owner.get("status") or {}), **counted}
            status = {field: value for field, value in merged.items() if value is not None}
            self._store.update(key, lambda old: {**old, "status": status}, subresource="status")


class Operator(PodOwner):
    """Keeps one pod, of the resource's own name, for each custom resource that is not down.

    The pod of a cluster-scoped resource is in the namespace that its ``spec.namespace`` names, or in default.
    """

    def place(self, owner: Object) -> str:
        return str(owner["metadata"].get("namespace") or owner.get("spec", {}).get("namespace") or "default")

    def candidates(self, owner: Object) -> list[Object]:
        pod = self._store.find(PODS, self.place(owner), owner["metadata"]["name"])
        return [] if pod is None else [pod]

    def is_member(self, owner: Object, pod: Object) -> bool:
        return self.owns(owner, pod)  # it adopts none

    def owns(self, owner: Object, pod: Object) -> bool:
        return bool(select_owned([pod], owner["metadata"]["uid"]))

    def reference(self, owner: Object) -> Object:
        controls = self._behaviours.of(owner["metadata"]["name"]).controls
        return super().reference(owner) | ({} if controls else {"controller": False, "blockOwnerDeletion": False})

    def keep(self, owner: Object, pods: list[Object], now: float) -> float:
        if str(owner.get("spec", {}).get("state", "")).lower() in DOWN:
            self.remove(owner, pods)
            return math.inf
        if pods:
            return math.inf
        template = owner.get("spec", {}).get("template") or {}
        metadata = {
            **{field: value for field, value in template.get("metadata", {}).items() if field != "name"},
            "name": owner["metadata"]["name"],
        }
        spec = {"containers": [DEFAULT_CONTAINER], **template.get("spec", {})}
        return self.make(owner, metadata, spec, now)

    def count(self, owner: Object, pods: list[Object]) -> Object:
        return {"state": "running"} if pods and not owner.get("status", {}).get("state") else {}
