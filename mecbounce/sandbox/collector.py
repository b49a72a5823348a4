"""The garbage collector: it deletes what an owner that has gone leaves behind, as the propagation policy says."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mecbounce.sandbox.objects import is_owned_by, is_terminating, key_of, owners_of
from mecbounce.sandbox.resources import NAMESPACES, Key, Object, ResourceType
from mecbounce.sandbox.store import GC_FINALIZERS

if TYPE_CHECKING:
    from mecbounce.sandbox.store import Change, Store


class GarbageCollector:
    """Deletes the objects of an owner that has gone, and those of a namespace that has gone.

    An owner whose deletion has the policy Orphan or Foreground stays until its objects have lost it as an owner, or
    have gone.
    """

    def __init__(self, store: Store, resources: Iterable[ResourceType]) -> None:
        self._store = store
        self._resources = tuple(resources)
        self._gone: dict[Key, set[str]] = {}

    def keys_of(self, change: Change) -> Iterable[Key]:
        if change.new is not None:
            return [change.key] if _policy(change.new) else []
        if change.old is None:
            return []
        self._gone.setdefault(change.key, set()).add(change.old["metadata"]["uid"])
        return [change.key, *self._owner_keys(change.old)]

    def all_keys(self) -> Iterable[Key]:
        return []

    def reconcile(self, key: Key, now: float) -> float:
        del now
        with self._store.lock:
            if key[0] == NAMESPACES and key in self._gone:
                self._delete_all_in(key[2])
            for uid in self._gone.pop(key, set()):
                for resource, obj in self._owned(key, uid):
                    if not self._has_owner(obj):
                        self._delete(resource, obj)
            owner = self._store.find(*key)
            if owner is not None and (policy := _policy(owner)):
                self._release(key, owner, policy)
        return math.inf

    def _release(self, key: Key, owner: Object, policy: str) -> None:
        """Treat an owner's objects as the policy says; take the finalizer from the owner when that is done."""
        uid = owner["metadata"]["uid"]
        for resource, obj in self._owned(key, uid):
            if policy == "Orphan":
                self._store.update(key_of(resource, obj), lambda old: _without_owner(old, uid))
            elif not is_terminating(obj):
                self._delete(resource, obj)
        if policy == "Orphan" or not any(_blocks(obj, uid) for _, obj in self._owned(key, uid)):
            self._store.update(key, lambda old: _without_finalizer(old, GC_FINALIZERS[policy]))

    def _owned(self, key: Key, uid: str) -> list[tuple[ResourceType, Object]]:
        """Return the objects of an owner: in its namespace, or in all of them if it has none."""
        _, namespace, _ = key
        return [
            (resource, obj)
            for resource in self._resources
            for obj in self._store.select(resource, namespace if resource.namespaced else "")
            if is_owned_by(obj, uid)
        ]

    def _delete_all_in(self, namespace: str) -> None:
        for resource in self._resources:
            for obj in self._store.select(resource, namespace) if resource.namespaced else []:
                self._delete(resource, obj)

    def _delete(self, resource: ResourceType, obj: Object) -> None:
        self._store.delete(key_of(resource, obj), uid=obj["metadata"]["uid"], propagation="Background")

    def _owner_keys(self, obj: Object) -> list[Key]:
        namespace = obj["metadata"].get("namespace", "")
        return [
            (resource, namespace if resource.namespaced else "", reference["name"])
            for reference in owners_of(obj)
            for resource in self._resources
            if resource.kind == reference["kind"]
        ]

    def _has_owner(self, obj: Object) -> bool:
        """Whether one of an object's owners still exists."""
        uids = {reference["uid"] for reference in owners_of(obj)}
        found = (self._store.find(*key) for key in self._owner_keys(obj))
        return any(owner is not None and owner["metadata"]["uid"] in uids for owner in found)


def _policy(owner: Object) -> str | None:
    """Return the propagation policy that an object waits for while it terminates; None if it waits for none."""
    finalizers = owner["metadata"].get("finalizers") or [] if is_terminating(owner) else []
    return next((policy for policy, finalizer in GC_FINALIZERS.items() if finalizer in finalizers), None)


def _blocks(obj: Object, uid: str) -> bool:
    """Whether the foreground deletion of the owner with this UID has to wait for an object."""
    return any(reference["uid"] == uid and reference.get("blockOwnerDeletion") for reference in owners_of(obj))


def _without_owner(obj: Object, uid: str) -> Object:
    owners = [reference for reference in owners_of(obj) if reference["uid"] != uid]
    return {**obj, "metadata": {**obj["metadata"], "ownerReferences": owners}}


def _without_finalizer(obj: Object, finalizer: str) -> Object:
    kept = [each for each in obj["metadata"]["finalizers"] if each != finalizer]
    return {**obj, "metadata": {**obj["metadata"], "finalizers": kept}}
