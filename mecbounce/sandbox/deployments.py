"""The controller of Deployments: a ReplicaSet for each pod template, and the way from one to the next."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox.controllers import is_terminating
from mecbounce.sandbox.events import EventRecorder, Source
from mecbounce.sandbox.resources import (
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SUFFIX_LETTERS,
    Object,
    ResourceType,
    clone,
    controller_of,
    owner_reference,
)

if TYPE_CHECKING:
    from mecbounce.sandbox.store import Change, Key, Store

HASH: Final = "pod-template-hash"
REVISION: Final = "deployment.kubernetes.io/revision"
CONTROLLER: Final = Source("deployment-controller")


class Deployments:
    """Scales the ReplicaSet of the present template up, and those of former ones down."""

    def __init__(self, store: Store, events: EventRecorder) -> None:
        self._store = store
        self._events = events

    def concerns(self, change: Change) -> Iterable[Key]:
        if change.key[0] == DEPLOYMENTS:
            return [change.key]
        if change.key[0] == PODS:
            return self.everything()  # a rollout may wait for one to go
        owner = controller_of(change.new or change.old or {"metadata": {}})
        of_ours = change.key[0] == REPLICA_SETS and owner and owner["kind"] == DEPLOYMENTS.kind
        return [(DEPLOYMENTS, change.key[1], owner["name"])] if of_ours and owner else []

    def everything(self) -> Iterable[Key]:
        every = self._store.select(DEPLOYMENTS)
        return [(DEPLOYMENTS, one["metadata"]["namespace"], one["metadata"]["name"]) for one in every]

    def reconcile(self, key: Key, now: float) -> float:
        del now
        with self._store.lock:
            deployment = self._store.find(*key)
            if deployment is None or is_terminating(deployment) or self._store.find(NAMESPACES, "", key[1]) is None:
                return math.inf
            old = [one for one in self._owned(deployment) if not _is_of(one, deployment)]
            new = self._present(deployment)
            self._roll(deployment, new, old)
            self._tell(key)
        return math.inf

    def _owned(self, deployment: Object) -> list[Object]:
        uid = deployment["metadata"]["uid"]
        sets = self._store.select(REPLICA_SETS, deployment["metadata"]["namespace"])
        return [one for one in sets if (controller_of(one) or {}).get("uid") == uid]

    def _present(self, deployment: Object) -> Object:
        """Return the ReplicaSet of the present template, made where there is none, with the latest revision."""
        owned = self._owned(deployment)
        found = next((one for one in owned if _is_of(one, deployment)), None)
        latest = max((_revision(one) for one in owned if one is not found), default=0)
        if found is None:
            found = self._make(deployment, latest + 1)
        elif _revision(found) < latest:
            found = self._note(REPLICA_SETS, found, latest + 1)  # a rollback
        self._note(DEPLOYMENTS, deployment, _revision(found))
        return found

    def _make(self, deployment: Object, revision: int) -> Object:
        metadata, spec = deployment["metadata"], deployment["spec"]
        template = clone(spec["template"])
        marked = _hash(template)
        template.setdefault("metadata", {}).setdefault("labels", {})[HASH] = marked
        selector = {**spec["selector"], "matchLabels": {**spec["selector"].get("matchLabels", {}), HASH: marked}}
        made = {
            "metadata": {
                "name": f"{metadata['name']}-{marked}",
                "labels": template["metadata"]["labels"],
                "annotations": {REVISION: str(revision)},
                "ownerReferences": [owner_reference(DEPLOYMENTS, deployment)],
            },
            "spec": {"replicas": 0, "selector": selector, "template": template},
        }
        return self._store.create(REPLICA_SETS, metadata["namespace"], made)

    def _note(self, resource: ResourceType, obj: Object, revision: int) -> Object:
        """Write down the revision that an object is at."""
        metadata = obj["metadata"]
        annotations = {**metadata.get("annotations", {}), REVISION: str(revision)}
        key = (resource, metadata["namespace"], metadata["name"])
        return self._store.update(key, lambda one: {**one, "metadata": {**one["metadata"], "annotations": annotations}})

    def _roll(self, deployment: Object, new: Object, old: list[Object]) -> None:
        """Take what steps of the rollout may be taken now."""
        wanted, present = deployment["spec"].get("replicas", 1), new["spec"]["replicas"]
        strategy = deployment["spec"].get("strategy") or {}
        if strategy.get("type") == "Recreate":
            for one in old:
                self._scale(deployment, one, 0)
            self._scale(deployment, new, present if any(self._has_pods(one) for one in old) else wanted)
            return
        limits = strategy.get("rollingUpdate") or {}
        surge = _share(limits.get("maxSurge", "25%"), wanted, math.ceil)
        unavailable = _share(limits.get("maxUnavailable", "25%"), wanted, math.floor)
        if surge == unavailable == 0:
            unavailable = 1
        total = present + sum(one["spec"]["replicas"] for one in old)
        grown = min(present + max(wanted + surge - total, 0), wanted)
        self._scale(deployment, new, grown)
        # As many old ones may go as leave enough that serve: of the new ones, only those that are available count.
        spare = total - present + min(_available(new), grown) - (wanted - unavailable)
        for one in sorted(old, key=_revision):
            going = max(min(one["spec"]["replicas"], spare), 0)
            spare -= going
            self._scale(deployment, one, one["spec"]["replicas"] - going)

    def _has_pods(self, replica_set: Object) -> bool:
        uid = replica_set["metadata"]["uid"]
        pods = self._store.select(PODS, replica_set["metadata"]["namespace"])
        return any((controller_of(pod) or {}).get("uid") == uid for pod in pods)

    def _scale(self, deployment: Object, replica_set: Object, replicas: int) -> None:
        metadata, present = replica_set["metadata"], replica_set["spec"]["replicas"]
        if replicas == present:
            return
        key = (REPLICA_SETS, metadata["namespace"], metadata["name"])
        self._store.update(key, lambda one: {**one, "spec": {**one["spec"], "replicas": replicas}})
        way = "up" if replicas > present else "down"
        said = f"Scaled {way} replica set {metadata['name']} to {replicas}"
        self._events.normal(CONTROLLER, deployment, "ScalingReplicaSet", said)

    def _tell(self, key: Key) -> None:
        deployment = self._store.get(*key)
        owned = self._owned(deployment)
        counts = {
            "replicas": sum(one["status"].get("replicas", 0) for one in owned),
            "updatedReplicas": sum(one["status"].get("replicas", 0) for one in owned if _is_of(one, deployment)),
            "readyReplicas": sum(_available(one) for one in owned),
            "availableReplicas": sum(_available(one) for one in owned),
        }
        counts["unavailableReplicas"] = max(deployment["spec"].get("replicas", 1) - counts["availableReplicas"], 0)
        status = {field: count for field, count in counts.items() if count}
        status["observedGeneration"] = deployment["metadata"]["generation"]
        self._store.update(key, lambda one: {**one, "status": status}, subresource="status")


def _is_of(replica_set: Object, deployment: Object) -> bool:
    """Whether a ReplicaSet was made for a Deployment's present template."""
    return bool(replica_set["metadata"].get("labels", {}).get(HASH) == _hash(deployment["spec"]["template"]))


def _hash(template: Object) -> str:
    """Return ten letters that stand for a template, of the same alphabet as a generated name's."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(SUFFIX_LETTERS[byte % len(SUFFIX_LETTERS)] for byte in digest[:10])


def _revision(replica_set: Object) -> int:
    return int(replica_set["metadata"].get("annotations", {}).get(REVISION, 0))


def _available(replica_set: Object) -> int:
    return int(replica_set["status"].get("availableReplicas", 0))


def _share(limit: int | str, of: int, rounded: Callable[[float], int]) -> int:
    """Return a limit that is a number, or a percentage of the replicas."""
    return limit if isinstance(limit, int) else rounded(int(limit.removesuffix("%")) * of / 100)
