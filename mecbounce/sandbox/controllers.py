"""Who makes pods (the custom resources' operator, ReplicaSets, StatefulSets), and who clears up after an owner."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox.resources import (
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Object,
    ResourceType,
    clone,
    controller_of,
    owner_reference,
)
from mecbounce.sandbox.store import Change, Key, Store, select_owned

if TYPE_CHECKING:
    from mecbounce.sandbox.behaviour import Behaviour

DOWN: Final = frozenset({"down", "stopped"})
"""Values of a custom resource's ``spec.state`` that want no pod."""

DEFAULT_CONTAINER: Final[Object] = {
    "name": "main",
    "image": "registry.example.com/express-node:1.0",
    "startupProbe": {"httpGet": {"path": "/started", "port": 8080}, "periodSeconds": 1, "failureThreshold": 60},
}


class PodOwner:
    """Keeps the pods that an object of one type wants: what operator, ReplicaSet and StatefulSet share."""

    def __init__(self, store: Store, resource: ResourceType, behaviour_of: Callable[[str], Behaviour]) -> None:
        self._store = store
        self._resource = resource
        self._behaviour_of = behaviour_of
        self._had: dict[str, set[str]] = {}
        self._missing_since: dict[tuple[str, str], float] = {}

    def concerns(self, change: Change) -> Iterable[Key]:
        resource, namespace, name = change.key
        if resource == self._resource:
            return [change.key]
        if resource != PODS:
            return []
        owner = controller_of(change.new or change.old or {"metadata": {}})
        owned = [(self._resource, namespace, owner["name"])] if owner and owner["kind"] == self._resource.kind else []
        # A pod that stood in the way of one to be made: it bears the owner's name, with or without a number.
        names = {name, name.rpartition("-")[0]} if change.new is None else set()
        return [*owned, *((self._resource, namespace, each) for each in names)]

    def everything(self) -> Iterable[Key]:
        return [
            (self._resource, owner["metadata"]["namespace"], owner["metadata"]["name"])
            for owner in self._store.select(self._resource)
        ]

    def reconcile(self, key: Key, now: float) -> float:
        with self._store.lock:
            owner = self._store.find(*key)
            if owner is None or "deletionTimestamp" in owner["metadata"]:
                return math.inf
            if self._store.find(NAMESPACES, "", key[1]) is None:
                return math.inf  # the namespace has gone, and the owner will too
            pods = [
                pod for pod in self.candidates(key) if (controller_of(pod) or {}).get("uid") == owner["metadata"]["uid"]
            ]
            had = self._had.setdefault(owner["metadata"]["uid"], set())
            had |= {pod["metadata"]["uid"] for pod in pods}
            return self.keep(owner, pods, now)

    def candidates(self, key: Key) -> list[Object]:
        """Return the pods among which the owner's are."""
        return self._store.select(PODS, key[1])

    def keep(self, owner: Object, pods: list[Object], now: float) -> float:
        """Make and delete pods until they are those that are wanted; return when to look again."""
        raise NotImplementedError

    def make(self, owner: Object, metadata: Object, spec: Object, now: float, *, wanted: int = 1) -> float:
        """Make a pod as soon as its name is free and its behaviour lets it; return when to look again.

        The first pods, as many as are ``wanted``, come at once: only later ones are *re*created.
        """
        namespace = owner["metadata"]["namespace"]
        name = metadata.get("name") or owner["metadata"]["name"]
        if metadata.get("name") and self._store.find(PODS, namespace, name) is not None:
            self._missing_since.pop((owner["metadata"]["uid"], name), None)
            return math.inf
        if len(self._had[owner["metadata"]["uid"]]) >= wanted:
            behaviour = self._behaviour_of(name)
            since = self._missing_since.setdefault((owner["metadata"]["uid"], name), now)
            if not behaviour.recreates:
                return math.inf
            if now < since + behaviour.recreates_after:
                return since + behaviour.recreates_after
        self._missing_since.pop((owner["metadata"]["uid"], name), None)
        metadata = clone(metadata) | {"ownerReferences": [owner_reference(self._resource, owner)]}
        self._store.create(PODS, namespace, {"metadata": metadata, "spec": clone(spec)})
        return now

    def remove(self, pods: Iterable[Object]) -> None:
        for pod in pods:
            if "deletionTimestamp" not in pod["metadata"]:
                metadata = pod["metadata"]
                self._store.delete((PODS, metadata["namespace"], metadata["name"]), uid=metadata["uid"])


class Operator(PodOwner):
    """Keeps one pod, of the resource's own name, for each custom resource that is not down."""

    def candidates(self, key: Key) -> list[Object]:
        pod = self._store.find(PODS, *key[1:])
        return [] if pod is None else [pod]

    def keep(self, owner: Object, pods: list[Object], now: float) -> float:
        if str(owner.get("spec", {}).get("state", "")).lower() in DOWN:
            self.remove(pods)
            return math.inf
        if pods:
            if not owner.get("status", {}).get("state"):
                self._tell_running(owner)
            return math.inf
        template = owner.get("spec", {}).get("template") or {}
        metadata = {
            **{field: value for field, value in template.get("metadata", {}).items() if field != "name"},
            "name": owner["metadata"]["name"],
        }
        spec = {"containers": [DEFAULT_CONTAINER], **template.get("spec", {})}
        return self.make(owner, metadata, spec, now)

    def _tell_running(self, owner: Object) -> None:
        metadata = owner["metadata"]
        key = (self._resource, metadata["namespace"], metadata["name"])

        def running(obj: Object) -> Object:
            return obj | {"status": {**obj.get("status", {}), "state": "running"}}

        self._store.update(key, running, subresource="status")


class ReplicaSets(PodOwner):
    """Keeps as many pods as wanted, of generated names; one that terminates counts no more."""

    def __init__(self, store: Store, behaviour_of: Callable[[str], Behaviour]) -> None:
        super().__init__(store, REPLICA_SETS, behaviour_of)

    def keep(self, owner: Object, pods: list[Object], now: float) -> float:
        active = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        wanted = owner["spec"].get("replicas", 1)
        self.remove(active[wanted:])
        if len(active) >= wanted:
            return math.inf
        return self.make(owner, *_template(owner), now, wanted=wanted)


class StatefulSets(PodOwner):
    """Keeps pods name-0, name-1, ...: each is made anew when the one of its name has gone."""

    def __init__(self, store: Store, behaviour_of: Callable[[str], Behaviour]) -> None:
        super().__init__(store, STATEFUL_SETS, behaviour_of)

    def keep(self, owner: Object, pods: list[Object], now: float) -> float:
        names = [f"{owner['metadata']['name']}-{number}" for number in range(owner["spec"].get("replicas", 1))]
        self.remove(pod for pod in pods if pod["metadata"]["name"] not in names)
        metadata, spec = _template(owner)
        due = (self.make(owner, {**metadata, "name": name}, spec, now, wanted=len(names)) for name in names)
        return min(due, default=math.inf)


def _template(owner: Object) -> tuple[Object, Object]:
    template = owner["spec"].get("template") or {}
    metadata = {**template.get("metadata", {}), "generateName": owner["metadata"]["name"] + "-"}
    metadata.pop("name", None)
    return metadata, {"containers": [DEFAULT_CONTAINER], **template.get("spec", {})}


class GarbageCollector:
    """Deletes what an owner that has gone leaves behind, and what is in a namespace that has gone."""

    def __init__(self, store: Store, resources: Iterable[ResourceType]) -> None:
        self._store = store
        self._resources = tuple(resource for resource in resources if resource.namespaced)
        self._gone: dict[Key, set[str]] = {}

    def concerns(self, change: Change) -> Iterable[Key]:
        if change.new is not None or change.old is None:
            return []
        self._gone.setdefault(change.key, set()).add(change.old["metadata"]["uid"])
        return [change.key]

    def everything(self) -> Iterable[Key]:
        return []

    def reconcile(self, key: Key, now: float) -> float:
        del now
        with self._store.lock:
            gone = self._gone.pop(key, set())
            namespace = key[2] if key[0] == NAMESPACES else key[1]
            for resource in self._resources:
                there = self._store.select(resource, namespace or "-")
                orphans = [obj for uid in gone for obj in select_owned(there, uid) if not self._has_owner(obj)]
                for obj in there if key[0] == NAMESPACES else orphans:
                    metadata = obj["metadata"]
                    self._store.delete((resource, metadata["namespace"], metadata["name"]), uid=metadata["uid"])
        return math.inf

    def _has_owner(self, obj: Object) -> bool:
        """Whether one of an object's owners is still there."""
        wanted = {reference["uid"] for reference in obj["metadata"]["ownerReferences"]}
        namespace = obj["metadata"]["namespace"]
        return any(
            other["metadata"]["uid"] in wanted
            for resource in self._resources
            for other in self._store.select(resource, namespace)
        )
