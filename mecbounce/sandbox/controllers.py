"""The base of all controllers that create pods, and the operator of the custom resources."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox import selection
from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.events import EventRecorder, Source
from mecbounce.sandbox.objects import (
    clone,
    controller_of,
    is_active,
    is_controlled_by,
    is_owned_by,
    is_terminating,
    key_of,
    owner_reference,
    owners_of,
)
from mecbounce.sandbox.resources import NAMESPACES, PODS, QUOTAS, Key, Object, ResourceType

if TYPE_CHECKING:
    from mecbounce.sandbox.behaviour import Behaviours
    from mecbounce.sandbox.store import Change, Store

DOWN: Final = frozenset({"down", "stopped"})
"""Values of a custom resource's ``spec.state`` at which it gets no pod."""

DEFAULT_CONTAINER: Final[Object] = {
    "name": "main",
    "image": "registry.example.com/express-node:1.0",
    "startupProbe": {"httpGet": {"path": "/started", "port": 8080}, "periodSeconds": 1, "failureThreshold": 60},
}
LONGEST_RETRY: Final = 60.0
"""Seconds between two attempts to create a pod. After a first refusal it is 1 s, and it doubles each time."""


class PodController:
    """Creates and deletes the pods of all objects of one type; an object of that type is the *owner* of its pods."""

    resource: ResourceType
    created_message = "Created pod: {pod}"
    refused_message = "Error creating: {error}"
    deleted_message = "Deleted pod: {pod}"

    def __init__(self, store: Store, behaviours: Behaviours, events: EventRecorder) -> None:
        self._store = store
        self._behaviours = behaviours
        self._events = events
        role = "operator" if self.resource.custom else "controller"
        self._source = Source(f"{self.resource.kind.lower()}-{role}")
        self._known_uids: dict[str, set[str]] = {}
        self._missing_since: dict[tuple[str, str], float] = {}
        self._retries: dict[str, tuple[float, float]] = {}
        self._refusals: dict[str, str] = {}

    def keys_of(self, change: Change) -> Iterable[Key]:
        resource, namespace, name = change.key
        if resource == self.resource:
            return [change.key]
        if resource == QUOTAS:
            self._retries.clear()
            return self.all_keys()
        if resource != PODS:
            return []
        owners = [controller_of(obj) for obj in (change.new, change.old) if obj is not None]
        owned = [
            self._key(namespace, owner["name"]) for owner in owners if owner and owner["kind"] == self.resource.kind
        ]
        if change.new is not None and controller_of(change.new) is None:
            return [*owned, *self._keys_in(namespace)]  # some owner may adopt an orphan
        # A pod that has gone may have blocked a name that an owner needs: OWNER, or OWNER-NUMBER.
        names = {name, name.rpartition("-")[0]} if change.new is None else set()
        return [*owned, *(self._key(namespace, each) for each in names)]

    def all_keys(self) -> Iterable[Key]:
        return self._keys_in("")

    def reconcile(self, key: Key, now: float) -> float:
        with self._store.lock:
            owner = self._store.find(*key)
            if owner is None or is_terminating(owner):
                return math.inf
            if self._store.find(NAMESPACES, "", self.namespace_of(owner)) is None:
                return math.inf
            pods = self._claim(owner)
            known = self._known_uids.setdefault(owner["metadata"]["uid"], set())
            known.update(pod["metadata"]["uid"] for pod in pods)
            due = self.reconcile_pods(owner, pods, now)
            self._update_status(key)
            return due

    # What each type of owner does in its own way

    def reconcile_pods(self, owner: Object, pods: list[Object], now: float) -> float:
        """Create and delete pods as the owner asks; return when to look again, in sandbox seconds."""
        raise NotImplementedError

    def status_of(self, owner: Object, pods: list[Object]) -> Object:
        """Return fields for the owner's status; None removes a field."""
        del owner, pods
        return {}

    def matches(self, owner: Object, pod: Object) -> bool:
        """Whether a pod's labels match the owner's selector, whoever its controller is."""
        selector = owner["spec"].get("selector")
        return selection.of_labels(selector)(pod) if selector else self.owns(owner, pod)

    def candidates(self, owner: Object) -> list[Object]:
        """Return the pods to look through for those of an owner."""
        return self._store.select(PODS, self.namespace_of(owner))

    def owns(self, owner: Object, pod: Object) -> bool:
        return is_controlled_by(pod, owner)

    def reference(self, owner: Object) -> Object:
        """Return the owner reference for its pods."""
        return owner_reference(self.resource, owner)

    def namespace_of(self, owner: Object) -> str:
        """Return the namespace of an owner's pods."""
        return str(owner["metadata"]["namespace"])

    # What is the same for all of them

    def create_pod(self, owner: Object, metadata: Object, spec: Object, now: float, *, wanted: int = 1) -> float:
        """Create a pod once its name is free and its behaviour allows it; return when to look again.

        The first ``wanted`` pods come at once; the behaviour delays only pods that are recreated.
        """
        namespace, uid = self.namespace_of(owner), owner["metadata"]["uid"]
        name = metadata.get("name") or owner["metadata"]["name"]
        if metadata.get("name") and self._store.find(PODS, namespace, name) is not None:
            self._missing_since.pop((uid, name), None)
            return math.inf
        if len(self._known_uids[uid]) >= wanted:
            behaviour = self._behaviours.of(name)
            since = self._missing_since.setdefault((uid, name), now)
            if not behaviour.recreates:
                return math.inf
            if now < since + behaviour.recreates_after:
                return since + behaviour.recreates_after
        due, pause = self._retries.get(uid, (now, 1.0))
        if now < due:
            return due
        metadata = clone(metadata) | {"ownerReferences": [self.reference(owner)]}
        try:
            created = self._store.create(PODS, namespace, {"metadata": metadata, "spec": clone(spec)})
        except ApiError as error:
            message = self.refused_message.format(pod=name, owner=owner["metadata"]["name"], error=error)
            self._events.warning(self._source, owner, "FailedCreate", message)
            self._refusals[uid] = str(error)
            self._retries[uid] = now + pause, min(2 * pause, LONGEST_RETRY)
            return now + pause
        self._retries.pop(uid, None)
        self._refusals.pop(uid, None)
        self._missing_since.pop((uid, name), None)
        message = self.created_message.format(pod=created["metadata"]["name"], owner=owner["metadata"]["name"])
        self._events.normal(self._source, owner, "SuccessfulCreate", message)
        return now

    def delete_pods(self, owner: Object, pods: Iterable[Object]) -> None:
        for pod in pods:
            if not is_terminating(pod):
                metadata = pod["metadata"]
                self._store.delete(key_of(PODS, pod), uid=metadata["uid"])
                message = self.deleted_message.format(pod=metadata["name"], owner=owner["metadata"]["name"])
                self._events.normal(self._source, owner, "SuccessfulDelete", message)

    def retry_now(self) -> None:
        """Forget all waiting times: a creation that was refused may succeed now."""
        self._retries.clear()

    def _keys_in(self, namespace: str) -> list[Key]:
        owners = self._store.select(self.resource, namespace if self.resource.namespaced else "")
        return [key_of(self.resource, owner) for owner in owners]

    def _key(self, namespace: str, name: str) -> Key:
        return self.resource, namespace if self.resource.namespaced else "", name

    def _claim(self, owner: Object) -> list[Object]:
        """Return an owner's pods. It adopts orphans that match it, and releases pods that no longer match."""
        claimed = []
        for pod in self.candidates(owner):
            matches = self.matches(owner, pod)
            if self.owns(owner, pod):
                if matches or is_terminating(pod):
                    claimed.append(pod)
                else:
                    self._set_controller(pod, [])
            elif matches and controller_of(pod) is None and is_active(pod):
                claimed.append(self._set_controller(pod, [self.reference(owner)]))
        return claimed

    def _set_controller(self, pod: Object, references: list[Object]) -> Object:
        """Replace a pod's controller, by none if there is no reference; its other owners stay."""
        others = [reference for reference in owners_of(pod) if not reference.get("controller")]
        metadata = {**pod["metadata"], "ownerReferences": [*others, *references]}
        return self._store.update(key_of(PODS, pod), lambda old: {**old, "metadata": metadata})

    def _update_status(self, key: Key) -> None:
        owner = self._store.find(*key)
        if owner is None:
            return
        new = self.status_of(owner, [pod for pod in self.candidates(owner) if self.owns(owner, pod)])
        if new:
            merged = {**(owner.get("status") or {}), **new}
            status = {field: value for field, value in merged.items() if value is not None}
            self._store.update(key, lambda old: {**old, "status": status}, subresource="status")


class Operator(PodController):
    """Keeps one pod for each custom resource that is not down; the pod has the resource's name.

    A cluster-scoped resource has its pod in the namespace of its ``spec.namespace``, or in default.
    """

    def __init__(self, resource: ResourceType, store: Store, behaviours: Behaviours, events: EventRecorder) -> None:
        self.resource = resource
        super().__init__(store, behaviours, events)

    def namespace_of(self, owner: Object) -> str:
        return str(owner["metadata"].get("namespace") or owner.get("spec", {}).get("namespace") or "default")

    def candidates(self, owner: Object) -> list[Object]:
        pod = self._store.find(PODS, self.namespace_of(owner), owner["metadata"]["name"])
        return [] if pod is None else [pod]

    def matches(self, owner: Object, pod: Object) -> bool:
        return self.owns(owner, pod)  # it adopts no pod

    def owns(self, owner: Object, pod: Object) -> bool:
        return is_owned_by(pod, owner["metadata"]["uid"])

    def reference(self, owner: Object) -> Object:
        controls = self._behaviours.of(owner["metadata"]["name"]).controls
        return super().reference(owner) | ({} if controls else {"controller": False, "blockOwnerDeletion": False})

    def reconcile_pods(self, owner: Object, pods: list[Object], now: float) -> float:
        if str(owner.get("spec", {}).get("state", "")).lower() in DOWN:
            self.delete_pods(owner, pods)
            return math.inf
        if pods:
            return math.inf
        template = owner.get("spec", {}).get("template") or {}
        metadata = {**template.get("metadata", {}), "name": owner["metadata"]["name"]}
        spec = {"containers": [DEFAULT_CONTAINER], **template.get("spec", {})}
        return self.create_pod(owner, metadata, spec, now)

    def status_of(self, owner: Object, pods: list[Object]) -> Object:
        return {"state": "running"} if pods and not owner.get("status", {}).get("state") else {}
