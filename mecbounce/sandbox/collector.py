"""The garbage collector: it clears up after an owner that goes, as the propagation policy of its deletion says."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mecbounce.sandbox.resources import NAMESPACES, Object, ResourceType
from mecbounce.sandbox.store import COLLECTED, select_owned

if TYPE_CHECKING:
    from mecbounce.sandbox.store import Change, Key, Store


class GarbageCollector:
    """Deletes what an owner that has gone leaves behind, and what is in a namespace that has gone.

    An owner that is being deleted with the policy Orphan or Foreground stays until what it owns has been let go, or
    has gone.
    """

    def __init__(self, store: Store, resources: Iterable[ResourceType]) -> None:
        self._store = store
        self._resources = tuple(resources)
        self._gone: dict[Key, set[str]] = {}

    def concerns(self, change: Change) -> Iterable[Key]:
        if change.new is not None:
            return [change.key] if _policy(change.new) else []
        if change.old is None:
            return []
        self._gone.setdefault(change.key, set()).add(change.old["metadata"]["uid"])
        return [change.key, *self._owners(change.old)]

    def everything(self) -> Iterable[Key]:
        return []

    def reconcile(self, key: Key, now: float) -> float:
        del now
        with self._store.lock:
            if key[0] == NAMESPACES and key in self._gone:
                self._empty(key[2])
            for uid in self._gone.pop(key, set()):
                for resource, obj in self._owned(key, uid):
                    if not self._has_owner(obj):
                        self._delete(resource, obj)
            owner = self._store.find(*key)
            if owner is not None and (policy := _policy(owner)):
                self._let_go(key, owner, policy)
        return math.inf

    def _let_go(self, key: Key, owner: Object, policy: str) -> None:
        """Do with an owner's objects what the policy says, and with the owner once that is done."""
        uid = owner["metadata"]["uid"]
        owned = self._owned(key, uid)
        for resource, obj in owned:
            if policy == "Orphan":
                place = (resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
                self._store.update(place, lambda old: _without_owner(old, uid))
            elif "deletionTimestamp" not in obj["metadata"]:
                self._delete(resource, obj)
        if policy == "Orphan" or not any(_blocks(obj, uid) for _, obj in self._owned(key, uid)):
            self._store.update(key, lambda old: _without_finalizer(old, COLLECTED[policy]))

    def _owned(self, key: Key, uid: str) -> list[tuple[ResourceType, Object]]:
        """Return what an object owns: in its namespace, or everywhere where it has none."""
        _, namespace, _ = key
        return [
            (resource, obj)
            for resource in self._resources
            for obj in select_owned(self._store.select(resource, namespace if resource.namespaced else ""), uid)
        ]

    def _empty(self, namespace: str) -> None:
        for resource in self._resources:
            for obj in self._store.select(resource, namespace) if resource.namespaced else []:
                self._delete(resource, obj)

    def _delete(self, resource: ResourceType, obj: Object) -> None:
        metadata = obj["metadata"]
        place = (resource, metadata.get("namespace", ""), metadata["name"])
        self._store.delete(place, uid=metadata["uid"], propagation="Background")

    def _owners(self, obj: Object) -> list[Key]:
        """Return the places where an object's owners are."""
        namespace = obj["metadata"].get("namespace", "")
        return [
            (resource, namespace if resource.namespaced else "", reference["name"])
            for reference in obj["metadata"].get("ownerReferences") or []
            for resource in self._resources
            if resource.kind == reference["kind"]
        ]

    def _has_owner(self, obj: Object) -> bool:
        """Whether one of an object's owners is still there."""
        wanted = {reference["uid"] for reference in obj["metadata"].get("ownerReferences") or []}
        there = (self._store.find(*place) for place in self._owners(obj))
        return any(owner is not None and owner["metadata"]["uid"] in wanted for owner in there)


def _policy(owner: Object) -> str | None:
    """Return the policy with which the collector has to deal before an object goes, if there is one."""
    metadata = owner["metadata"]
    kept = metadata.get("finalizers") or [] if "deletionTimestamp" in metadata else []
    return next((policy for policy, finalizer in COLLECTED.items() if finalizer in kept), None)


def _blocks(obj: Object, uid: str) -> bool:
    """Whether an object must have gone before the owner of this UID may, when that is deleted in the foreground."""
    owners = obj["metadata"].get("ownerReferences") or []
    return any(reference["uid"] == uid and reference.get("blockOwnerDeletion") for reference in owners)


def _without_owner(obj: Object, uid: str) -> Object:
    owners = [reference for reference in obj["metadata"]["ownerReferences"] if reference["uid"] != uid]
    return {**obj, "metadata": {**obj["metadata"], "ownerReferences": owners}}


def _without_finalizer(obj: Object, finalizer: str) -> Object:
    kept = [each for each in obj["metadata"]["finalizers"] if each != finalizer]
    return {**obj, "metadata": {**obj["metadata"], "finalizers": kept}}
