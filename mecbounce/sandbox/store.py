"""The objects, their versions and the rules of writing and deleting them: an API server without its HTTP.

Every write makes a new version, and a `Change` that each watch gets. One lock guards it all, so a caller that holds
``store.lock`` reads and writes as one step.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

from mecbounce.sandbox import defaults, errors
from mecbounce.sandbox.admission import Admission, check_quotas
from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.resources import (
    EVENTS,
    HAS_STATUS,
    JOBS,
    LEASES,
    NAMESPACES,
    PODS,
    QUOTAS,
    WORKLOADS,
    Object,
    ResourceType,
    clone,
    random_suffix,
    timestamp,
)
from mecbounce.sandbox.selection import Predicate

HISTORY: Final = 20_000
"""Changes that are kept for watches that start in the past."""

_DNS_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_WORD: Final = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
DNS_NAME: Final = re.compile(rf"(?=.{{1,253}}$){_DNS_LABEL}(\.{_DNS_LABEL})*")
LABEL_VALUE: Final = re.compile(rf"({_WORD})?")
QUALIFIED_NAME: Final = re.compile(rf"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?{_WORD}")
"""Keys of labels and annotations, and finalizers."""

LONGEST_PREFIX: Final = 58
"""Characters of a ``generateName`` that are kept."""

COLLECTED: Final = {"Orphan": "orphan", "Foreground": "foregroundDeletion"}
"""What keeps an object that is being deleted, by propagation policy, until the garbage collector takes it away."""

SERVER_OWNED: Final = (
    *("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "generateName"),
)
Key = tuple[ResourceType, str, str]
"""Type, namespace (empty for what has none) and name."""


Backup = tuple[int, dict[ResourceType, dict[tuple[str, str], Object]]]
"""The version and all objects of a store."""


@dataclass(frozen=True)
class Change:
    """One write: created where ``old`` is None, deleted where ``new`` is None."""

    version: int
    key: Key
    old: Object | None
    new: Object | None

    def event(self, selects: Predicate) -> tuple[str, Object] | None:
        """Return the watch event that one selector's watchers see, if they see any."""
        before = self.old is not None and selects(self.old)
        after = self.new is not None and selects(self.new)
        if after and self.new is not None:
            return ("MODIFIED" if before else "ADDED"), self.new
        if before and self.old is not None:
            # Gone, or selected no longer: the last selected look, at this version.
            metadata = {**self.old["metadata"], "resourceVersion": str(self.version)}
            return "DELETED", {**self.old, "metadata": metadata}
        return None


@dataclass(frozen=True, eq=False)
class Watch:
    """One watcher's place in the store: what comes after ``since``. ``None`` in its queue tells it to end."""

    resource: ResourceType
    namespace: str
    queue: SimpleQueue[Change | None]
    since: int

    def wants(self, change: Change) -> bool:
        resource, namespace, _ = change.key
        return resource == self.resource and self.namespace in ("", namespace) and change.version > self.since


class Store:
    """Every object of one sandbox.

    ``grace_scale``: what one second of a grace period lasts, in seconds.
    """

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
    def changes(self) -> int:
        """The version: it rises with each change."""
        return self._version

    def wait_for_change(self, seen: int, timeout: float) -> None:
        """Wait until there is a version later than one seen; ``timeout`` in seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != seen, timeout)

    # Reading

    def get(self, resource: ResourceType, namespace: str, name: str) -> Object:
        found = self.find(resource, namespace, name)
        if found is None:
            raise errors.not_found(resource, name)
        return found

    def find(self, resource: ResourceType, namespace: str, name: str) -> Object | None:
        return self._objects.get(resource, {}).get((namespace, name))

    def select(self, resource: ResourceType, namespace: str = "") -> list[Object]:
        """Return the objects of a namespace, or of all; by namespace and name."""
        with self.lock:
            keys = sorted(key for key in self._objects.get(resource, {}) if namespace in ("", key[0]))
            return [self._objects[resource][key] for key in keys]

    def selected(self, resource: ResourceType, namespace: str, selects: Predicate) -> tuple[list[Object], int]:
        """Return the selected objects and the version at which this is the truth."""
        with self.lock:
            return [obj for obj in self.select(resource, namespace) if selects(obj)], self._version

    # Watching

    def watch(
        self, resource: ResourceType, namespace: str, selects: Predicate, since: int
    ) -> tuple[Watch, list[Object]]:
        """Follow what comes after a version; after 0, what is there comes first: the second value.

        Raises the 410 of an expired version.
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
                present, _ = self.selected(resource, namespace, selects)
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
        """Forget the history: every version handed out until now is too old to watch from."""
        with self.lock:
            self._version += 1
            self._oldest = self._version
            self._history.clear()

    def backup(self) -> Backup:
        with self.lock:
            return self._version, {kind: dict(found) for kind, found in self._objects.items()}

    def go_back(self, backup: Backup) -> None:
        """Restore a backup, as of etcd: versions go back too, and every watch ends."""
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
        """Take in a new object, as the real server does: named, stamped, defaulted and checked.

        ``keep_status``: with the status that it brings, which the real server drops.
        """
        obj = clone(obj)
        metadata = obj["metadata"] = obj.get("metadata") or {}
        if metadata.get("generateName") and not metadata.get("name"):
            metadata["name"] = metadata["generateName"][:LONGEST_PREFIX] + random_suffix()
        name = metadata.get("name") or ""
        if resource.namespaced:
            metadata["namespace"] = namespace
        _check_new(resource, namespace, name, obj)
        metadata = obj["metadata"] = _tidy(metadata)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": timestamp()}
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
                terminating = "deletionTimestamp" in old["metadata"]
                raise (errors.being_deleted if terminating else errors.already_exists)(resource, name)
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
        """Replace an object by what ``change`` makes of a copy of it; nothing changed: no new version.

        ``whole`` tells a PUT, whose object must stand for itself, from a patch.
        """
        with self.lock:
            old = self.get(*key)
            new = _admit(key, old, change(clone(old)), subresource=subresource, whole=whole)
            if dry_run or new == old:
                return new
            if _may_go(new["metadata"]):
                self._commit(key, old, None)
                return new
            return self._commit(key, old, new)

    def overwrite(self, key: Key, new: Object) -> Object:
        """Write an object as it is: for the sandbox itself, which is above the rules."""
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
        admit: Callable[[], None] | None = None,
    ) -> tuple[Object, bool]:
        """Delete an object, or begin to; return its last look, and whether it has gone.

        ``grace`` in seconds; ``uid`` and ``version`` are preconditions; ``propagation`` says what becomes of what it
        owns; ``admit`` may refuse what exists.
        """
        with self.lock:
            old = self.get(*key)
            _check_preconditions(key, old, uid, version)
            if admit:
                admit()
            new = self._terminating(key[0], old, grace)
            _leave_to_collector(key[0], new["metadata"], propagation)
            gone = key[0] != PODS and not new["metadata"].get("finalizers")
            gone = gone or _may_go(new["metadata"])
            if dry_run:
                return new, gone
            if gone and key[0] != PODS:
                return self._commit(key, old, None), gone
            if new != old:
                new = self._commit(key, old, new)
            if gone:
                self._commit(key, new, None)
            return new, gone

    def _terminating(self, resource: ResourceType, old: Object, grace: int | None) -> Object:
        """Return the object with its deletion under way; a later deletion can only shorten the grace period."""
        new = clone(old)
        metadata = new["metadata"]
        present = metadata.get("deletionGracePeriodSeconds")
        if resource != PODS:
            grace = 0
        elif not old["spec"].get("nodeName") or old.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            grace = 0 if present is None or grace is not None else None  # nothing runs: nothing to wait for
        elif grace is None and present is None:
            grace = old["spec"]["terminationGracePeriodSeconds"]
        if grace is not None and grace < 0:
            grace = 1
        if present is None and grace is not None:
            metadata["deletionTimestamp"] = timestamp(grace * self._grace_scale)
            metadata["deletionGracePeriodSeconds"] = grace
            if "generation" in metadata:
                metadata["generation"] += 1
        elif grace is not None and grace < present:
            until = dt.datetime.fromisoformat(metadata["deletionTimestamp"])
            sooner = until - dt.timedelta(seconds=(present - grace) * self._grace_scale)
            metadata["deletionTimestamp"] = sooner.strftime("%Y-%m-%dT%H:%M:%SZ")
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


def _may_go(metadata: Object) -> bool:
    terminating = "deletionTimestamp" in metadata
    return terminating and not metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds")


def _leave_to_collector(resource: ResourceType, metadata: Object, propagation: str | None) -> None:
    """Keep an object until the garbage collector has done with what it owns, where the policy wants that."""
    if propagation is None and resource == JOBS:
        propagation = "Orphan"  # of old, and alone
    if propagation is not None:
        kept = [finalizer for finalizer in metadata.pop("finalizers", []) if finalizer not in COLLECTED.values()]
        kept += [COLLECTED[propagation]] if propagation in COLLECTED else []
        metadata |= {"finalizers": kept} if kept else {}


def _check_preconditions(key: Key, old: Object, uid: str | None, version: str | None) -> None:
    resource, _, name = key
    found = old["metadata"]
    if uid is not None and uid != found["uid"]:
        then = "deleted and then recreated"
        raise errors.precondition_failed(resource, name, "UID", wanted=uid, found=found["uid"], then=then)
    if version is not None and version != found["resourceVersion"]:
        now = found["resourceVersion"]
        raise errors.precondition_failed(resource, name, "ResourceVersion", wanted=version, found=now, then="modified")


def check_types(obj: Object) -> str:
    """Return the first field that every type of object has alike and that is of another type here; empty: none."""
    parts = {field: obj.get(field) or {} for field in ("metadata", "spec", "status")}
    for field, part in parts.items():
        if not isinstance(part, dict):
            return field
    for field in ("labels", "annotations"):
        texts = parts["metadata"].get(field) or {}
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            return f"metadata.{field}"
    listed = parts["metadata"].get("finalizers") or []
    return "" if isinstance(listed, list) and all(isinstance(text, str) for text in listed) else "metadata.finalizers"


def _check_metadata(resource: ResourceType, name: str, metadata: Object) -> None:
    """Refuse what cannot be a label, an annotation's key or a finalizer."""
    labels = metadata.get("labels") or {}
    for field, pattern, texts in (
        ("labels", QUALIFIED_NAME, labels),
        ("labels", LABEL_VALUE, labels.values()),
        ("annotations", QUALIFIED_NAME, metadata.get("annotations") or {}),
        ("finalizers", QUALIFIED_NAME, metadata.get("finalizers") or []),
    ):
        for text in texts:
            if not pattern.fullmatch(text):
                why = f'Invalid value: "{text}": a valid one is matched by {pattern.pattern}'
                raise errors.invalid(resource, name, f"metadata.{field}", why)


def _check_new(resource: ResourceType, namespace: str, name: str, obj: Object) -> None:
    if not name:
        why = "Required value: name or generateName is required"
        raise errors.invalid(resource, "", "metadata.name", why, cause="FieldValueRequired")
    if not DNS_NAME.fullmatch(name):
        why = (
            f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric '
            "characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
            "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        )
        raise errors.invalid(resource, name, "metadata.name", why)
    _check_metadata(resource, name, obj["metadata"])
    if obj["metadata"].get("resourceVersion"):
        raise ApiError(500, "resourceVersion should not be set on objects to be created", reason="")
    involved = obj.get("involvedObject", {}).get("namespace", "")
    if resource == EVENTS and (involved or "default") != namespace:
        why = f'Invalid value: "{involved}": does not match event.namespace'
        raise errors.invalid(resource, name, "involvedObject.namespace", why)
    if resource == PODS and not (obj.get("spec") or {}).get("containers"):
        raise errors.invalid(resource, name, "spec.containers", "Required value", cause="FieldValueRequired")


def _admit(key: Key, old: Object, new: Object, *, subresource: str, whole: bool) -> Object:
    """Return what a write may change of an object, or refuse it."""
    resource, _, name = key
    if field := check_types(new):
        raise errors.invalid(resource, name, field, "Invalid value: it is of another type")
    held, metadata = old["metadata"], new.get("metadata") or {}
    _check_identity(key, old, metadata, whole=whole)
    if subresource == "status" and resource.custom:
        return {**old, "metadata": dict(held), "status": clone(new.get("status") or {})}
    _check_finalizers(resource, name, held, metadata)
    _check_metadata(resource, name, metadata)
    given = {field: value for field, value in metadata.items() if field not in SERVER_OWNED}
    kept = (*SERVER_OWNED, "name", "namespace", "resourceVersion")
    metadata = _tidy(given | {field: held[field] for field in kept if field in held})
    if subresource == "status":  # of a built-in type: it takes metadata too
        return {**old, "metadata": metadata, "status": clone(new.get("status") or {})}
    new = {**new, "apiVersion": old["apiVersion"], "kind": old["kind"], "metadata": metadata}
    if resource.custom or resource in HAS_STATUS:
        new.pop("status", None)
        new |= {"status": old["status"]} if "status" in old else {}
    if resource == PODS:
        _check_pod_spec(name, old, new)
    if "generation" in held and _desired(new) != _desired(old):
        metadata["generation"] += 1
    return new


def _check_identity(key: Key, old: Object, metadata: Object, *, whole: bool) -> None:
    """Refuse a write that was meant for another object, or for another version of this one."""
    resource, namespace, name = key
    held = old["metadata"]
    given = metadata.get("name", name)
    if given != name:
        raise ApiError(400, f"the name of the object ({given}) does not match the name on the URL ({name})")
    given = metadata.get("namespace") or namespace
    if given != namespace:
        message = f"the namespace of the object ({given}) does not match the namespace on the request ({namespace})"
        raise ApiError(400, message)
    if whole and (resource.custom or resource == LEASES) and not metadata.get("resourceVersion"):
        raise errors.no_version(resource, name)
    if (metadata.get("resourceVersion") or held["resourceVersion"]) != held["resourceVersion"]:
        raise errors.modified(resource, name)
    uid = metadata.get("uid", held["uid"])
    if uid != held["uid"]:
        if whole:
            path = "/".join(filter(None, ("/registry", resource.group, resource.plural, namespace, name)))
            raise errors.conflict(
                resource,
                name,
                f"StorageError: invalid object, Code: 4, Key: {path}, ResourceVersion: 0, AdditionalErrorMsg: "
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {held['uid']}",
            )
        raise errors.invalid(resource, name, "metadata.uid", f'Invalid value: "{uid}": field is immutable')


def _tidy(metadata: Object) -> Object:
    """Return metadata without its empty lists and maps, which the real server leaves out."""
    return {field: value for field, value in metadata.items() if value not in ([], {})}


def _desired(obj: Object) -> Object:
    return {field: value for field, value in obj.items() if field not in ("metadata", "status")}


def _check_finalizers(resource: ResourceType, name: str, held: Object, metadata: Object) -> None:
    added = set(metadata.get("finalizers") or []) - set(held.get("finalizers") or [])
    if added and "deletionTimestamp" in held:
        listed = ", ".join(f'"{finalizer}"' for finalizer in sorted(added))
        why = (
            "Forbidden: no new finalizers can be added if the object is being deleted, "
            f"found new finalizers []string{{{listed}}}"
        )
        raise errors.invalid(resource, name, "metadata.finalizers", why, cause="FieldValueForbidden")


def _check_pod_spec(name: str, old: Object, new: Object) -> None:
    """A pod that exists can change its images, its deadline and its tolerations; nothing else of its spec."""

    def gates(pod: Object) -> set[str]:
        return {gate["name"] for gate in pod.get("spec", {}).get("schedulingGates") or []}

    def fixed(pod: Object) -> Object:
        spec: Object = {**pod.get("spec", {})}
        for field in ("activeDeadlineSeconds", "tolerations"):
            spec.pop(field, None)
        if not (gates(new) - gates(old)):
            spec.pop("schedulingGates", None)
        for field in ("containers", "initContainers"):
            spec[field] = [{**container, "image": ""} for container in spec.get(field) or []]
        return spec

    if fixed(old) != fixed(new):
        why = (
            "Forbidden: pod updates may not change fields other than `spec.containers[*].image`, "
            "`spec.initContainers[*].image`, `spec.activeDeadlineSeconds` or `spec.tolerations` "
            "(only additions to existing tolerations)"
        )
        raise errors.invalid(PODS, name, "spec", why, cause="FieldValueForbidden")


def select_owned(objects: Iterable[Object], uid: str) -> list[Object]:
    """Return the objects that have an owner of this UID."""
    return [
        obj
        for obj in objects
        if any(reference.get("uid") == uid for reference in obj["metadata"].get("ownerReferences") or [])
    ]
