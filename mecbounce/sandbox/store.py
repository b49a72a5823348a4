"""The objects and their versions: the API server without its HTTP.

Every write makes a new version, and a `Change` that each watch gets. One lock guards everything, so a caller that
holds ``store.lock`` can read and write as one step.
"""

from __future__ import annotations

import datetime as dt
import itertools
import threading
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

from mecbounce.sandbox import clock, defaults, errors, validation
from mecbounce.sandbox.admission import Admission, check_quotas
from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.objects import clone, is_ended, is_terminating, random_suffix
from mecbounce.sandbox.resources import (
    HAS_STATUS,
    JOBS,
    NAMESPACES,
    PODS,
    QUOTAS,
    WORKLOADS,
    Key,
    Object,
    ResourceType,
)
from mecbounce.sandbox.selection import Predicate

HISTORY: Final = 20_000
"""Changes that are kept for watches from an earlier version."""

LONGEST_PREFIX: Final = 58
"""Characters of a ``generateName`` that are kept."""

GC_FINALIZERS: Final = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}
"""By propagation policy: the finalizer that keeps an object until the garbage collector has done its work."""

Backup = tuple[int, dict[ResourceType, dict[tuple[str, str], Object]]]
"""The version and all objects of a store."""


@dataclass(frozen=True)
class Change:
    """One write. ``old`` is None if it created the object, ``new`` is None if it removed the object."""

    version: int
    key: Key
    old: Object | None
    new: Object | None

    def event(self, selects: Predicate) -> tuple[str, Object] | None:
        """Return the event for a watch with a selector; None if it selects neither the old nor the new object."""
        before = self.old is not None and selects(self.old)
        after = self.new is not None and selects(self.new)
        if after and self.new is not None:
            return ("MODIFIED" if before else "ADDED"), self.new
        if before and self.old is not None:
            # Removed, or no longer selected: the object as it was, at this version.
            metadata = {**self.old["metadata"], "resourceVersion": str(self.version)}
            return "DELETED", {**self.old, "metadata": metadata}
        return None


@dataclass(frozen=True, eq=False)
class Watch:
    """One open watch: the changes after the version ``since``. ``None`` in its queue ends it."""

    resource: ResourceType
    namespace: str
    queue: SimpleQueue[Change | None]
    since: int

    def wants(self, change: Change) -> bool:
        resource, namespace, _ = change.key
        return resource == self.resource and self.namespace in ("", namespace) and change.version > self.since


class Store:
    """Every object of one sandbox. ``grace_scale``: real seconds in one second of a grace period."""

    def __init__(self, *, grace_scale: float = 1.0) -> None:
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self.listeners: list[Callable[[Change], None]] = []
        self.admission = Admission()
        self._grace_scale = grace_scale
        self._objects: dict[ResourceType, dict[tuple[str, str], Object]] = {}
        self._version = 0
        self._oldest = 0
        self._history: deque[Change] = deque()
        self._watches: set[Watch] = set()

    @property
    def version(self) -> int:
        """The latest version; each change raises it by one."""
        return self._version

    def wait_for_change(self, seen: int, timeout: float) -> None:
        """Wait until the version is no longer the one that was seen; ``timeout`` in seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != seen, timeout)

    # Reading

    def get(self, resource: ResourceType, namespace: str, name: str) -> Object:
        """Return an object; raise the 404 if there is none."""
        found = self.find(resource, namespace, name)
        if found is None:
            raise errors.not_found(resource, name)
        return found

    def find(self, resource: ResourceType, namespace: str, name: str) -> Object | None:
        return self._objects.get(resource, {}).get((namespace, name))

    def select(self, resource: ResourceType, namespace: str = "") -> list[Object]:
        """Return the objects of a namespace, or of all namespaces, sorted by namespace and name."""
        with self.lock:
            keys = sorted(key for key in self._objects.get(resource, {}) if namespace in ("", key[0]))
            return [self._objects[resource][key] for key in keys]

    def snapshot(self, resource: ResourceType, namespace: str, selects: Predicate) -> tuple[list[Object], int]:
        """Return the selected objects, and the version at which they are so."""
        with self.lock:
            return [obj for obj in self.select(resource, namespace) if selects(obj)], self._version

    # Watching

    def watch(
        self, resource: ResourceType, namespace: str, selects: Predicate, since: int
    ) -> tuple[Watch, list[Object]]:
        """Open a watch of the changes after a version; raise the 410 if that version has expired.

        The list holds what a watch from version 0 sends first: the objects that are there.
        """
        with self.lock:
            if since and since < self._oldest:
                raise ApiError(410, f"too old resource version: {since} ({self._version})")
            watch = Watch(resource, namespace, SimpleQueue(), since)
            present: list[Object] = []
            if since:
                later = list(itertools.takewhile(lambda change: change.version > since, reversed(self._history)))
                for change in filter(watch.wants, reversed(later)):
                    watch.queue.put(change)
            else:
                present, _ = self.snapshot(resource, namespace, selects)
            self._watches.add(watch)
            return watch, present

    def unwatch(self, watch: Watch) -> None:
        with self.lock:
            self._watches.discard(watch)

    def end_watches(self) -> None:
        with self.lock:
            for watch in self._watches:
                watch.queue.put(None)

    def compact(self) -> None:
        """Forget the history: every version until now has expired for a watch."""
        with self.lock:
            self._version += 1
            self._oldest = self._version
            self._history.clear()

    def backup(self) -> Backup:
        with self.lock:
            return self._version, {kind: dict(found) for kind, found in self._objects.items()}

    def restore(self, backup: Backup) -> None:
        """Restore a backup, as of etcd: the version goes back too, and every watch ends."""
        with self.lock:
            self._version, self._objects = backup[0], {kind: dict(found) for kind, found in backup[1].items()}
            self._history.clear()
            self._oldest = self._version
            self.end_watches()
            self._changed.notify_all()

    # Writing

    def create(
        self, resource: ResourceType, namespace: str, obj: Object, *, dry_run: bool = False, keep_status: bool = False
    ) -> Object:
        """Create an object as the real server does: check it, name it, fill in defaults.

        ``keep_status``: keep the given status, which the real server drops.
        """
        obj = clone(obj)
        metadata = obj["metadata"] = obj.get("metadata") or {}
        if metadata.get("generateName") and not metadata.get("name"):
            metadata["name"] = metadata["generateName"][:LONGEST_PREFIX] + random_suffix()
        name = metadata.get("name") or ""
        if resource.namespaced:
            metadata["namespace"] = namespace
        validation.check_new(resource, namespace, name, obj)
        metadata = obj["metadata"] = validation.drop_empty(metadata)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": clock.timestamp()}
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            metadata.pop(field, None)
        obj |= {"apiVersion": resource.api_version, "kind": resource.kind}
        if not keep_status and (resource.custom or resource in HAS_STATUS):
            obj.pop("status", None)
        obj = defaults.fill_in(resource, obj)
        if resource.custom or resource in WORKLOADS:
            metadata["generation"] = 1
        with self.lock:
            if resource.namespaced and self.find(NAMESPACES, "", namespace) is None:
                raise errors.not_found(NAMESPACES, namespace)
            self.admission.create(resource)
            if resource == PODS and (quotas := self.select(QUOTAS, namespace)):
                check_quotas(quotas, self.select(PODS, namespace), name)
            old = self.find(resource, namespace, name)
            if old is not None:
                raise (errors.being_deleted if is_terminating(old) else errors.already_exists)(resource, name)
            return obj if dry_run else self._commit((resource, namespace, name), None, obj)

    def update(
        self,
        key: Key,
        change: Callable[[Object], Object],
        *,
        subresource: str = "",
        whole: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """Replace an object by what ``change`` makes from a copy of it, and return it.

        The version stays if nothing changes. ``whole``: a PUT, not a patch.
        """
        with self.lock:
            old = self.get(*key)
            new = validation.updated(key, old, change(clone(old)), subresource=subresource, whole=whole)
            if dry_run or new == old:
                return new
            if _can_go(new):
                self._commit(key, old, None)
                return new
            return self._commit(key, old, new)

    def overwrite(self, key: Key, new: Object) -> Object:
        """Write an object without any check: for the sandbox itself."""
        with self.lock:
            return self._commit(key, self.get(*key), new)

    def delete(
        self,
        key: Key,
        *,
        grace: int | None = None,
        uid: str | None = None,
        version: str | None = None,
        propagation: str | None = None,
        dry_run: bool = False,
        ask_webhooks: bool = False,
    ) -> tuple[Object, bool]:
        """Delete an object, or begin to; return its last state, and whether it has gone.

        ``grace`` in seconds; ``uid`` and ``version`` are preconditions; ``propagation``: Background, Foreground or
        Orphan.
        """
        resource = key[0]
        with self.lock:
            old = self.get(*key)
            validation.check_preconditions(key, old, uid, version)
            if ask_webhooks:
                self.admission.delete(resource)
            new = self._terminating(resource, old, grace)
            _set_gc_finalizer(resource, new["metadata"], propagation)
            gone = _can_go(new) or (resource != PODS and not new["metadata"].get("finalizers"))
            if dry_run:
                return new, gone
            if gone and resource != PODS:
                return self._commit(key, old, None), gone
            if new != old:
                new = self._commit(key, old, new)
            if gone:
                self._commit(key, new, None)
            return new, gone

    def _terminating(self, resource: ResourceType, old: Object, grace: int | None) -> Object:
        """Return the object with its deletion under way. A later deletion can only shorten the grace period."""
        new = clone(old)
        metadata = new["metadata"]
        present = metadata.get("deletionGracePeriodSeconds")
        if resource != PODS:
            grace = 0
        elif not old["spec"].get("nodeName") or is_ended(old):
            grace = 0 if present is None or grace is not None else None  # nothing runs: there is nothing to wait for
        elif grace is None and present is None:
            grace = old["spec"]["terminationGracePeriodSeconds"]
        if grace is not None and grace < 0:
            grace = 1
        if present is None and grace is not None:
            metadata["deletionTimestamp"] = clock.timestamp(grace * self._grace_scale)
            metadata["deletionGracePeriodSeconds"] = grace
            if "generation" in metadata:
                metadata["generation"] += 1
        elif grace is not None and grace < present:
            until = dt.datetime.fromisoformat(metadata["deletionTimestamp"])
            sooner = until - dt.timedelta(seconds=(present - grace) * self._grace_scale)
            metadata["deletionTimestamp"] = sooner.strftime(clock.FORMAT)
            metadata["deletionGracePeriodSeconds"] = grace
        return new

    def _commit(self, key: Key, old: Object | None, new: Object | None) -> Object:
        self._version += 1
        objects = self._objects.setdefault(key[0], {})
        if new is None:
            del objects[key[1:]]
        else:
            new["metadata"]["resourceVersion"] = str(self._version)
            objects[key[1:]] = new
        change = Change(self._version, key, old, new)
        self._history.append(change)
        if len(self._history) > HISTORY:
            self._oldest = self._history.popleft().version
        for watch in self._watches:
            if watch.wants(change):
                watch.queue.put(change)
        for listener in self.listeners:
            listener(change)
        self._changed.notify_all()
        return new if new is not None else old or {}


def _can_go(obj: Object) -> bool:
    """Whether an object that terminates has nothing left to wait for."""
    metadata = obj["metadata"]
    return is_terminating(obj) and not metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds")


def _set_gc_finalizer(resource: ResourceType, metadata: Object, propagation: str | None) -> None:
    """Keep an object until the garbage collector has dealt with what it owns, if the policy says so."""
    if propagation is None and resource == JOBS:
        propagation = "Orphan"  # the old default, which only Jobs still have
    if propagation is not None:
        kept = [finalizer for finalizer in metadata.pop("finalizers", []) if finalizer not in GC_FINALIZERS.values()]
        kept += [GC_FINALIZERS[propagation]] if propagation in GC_FINALIZERS else []
        metadata |= {"finalizers": kept} if kept else {}
