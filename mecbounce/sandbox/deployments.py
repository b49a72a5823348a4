"""The controller of Deployments: it makes a ReplicaSet for each pod template, and rolls out the latest one."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox.events import EventRecorder, Source
from mecbounce.sandbox.objects import (
    SUFFIX_LETTERS,
    clone,
    controller_of,
    is_controlled_by,
    is_terminating,
    key_of,
    owner_reference,
)
from mecbounce.sandbox.resources import DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS, Key, Object, ResourceType

if TYPE_CHECKING:
    from mecbounce.sandbox.store import Change, Store

HASH: Final = "pod-template-hash"
REVISION: Final = "deployment.kubernetes.io/revision"
CONTROLLER: Final = Source("deployment-controller")


class Deployments:
    """Scales the ReplicaSet of the current pod template up, and those of earlier templates down."""

    def __init__(self, store: Store, events: EventRecorder) -> None:
        self._store = store
        self._events = events

    def keys_of(self, change: Change) -> Iterable[Key]:
        if change.key[0] == DEPLOYMENTS:
            return [change.key]
        if change.key[0] == PODS:
            return self.all_keys()  # a rollout may wait for a pod to go
        owner = controller_of(change.new or change.old or {"metadata": {}})
        is_ours = change.key[0] == REPLICA_SETS and owner and owner["kind"] == DEPLOYMENTS.kind
        return [(DEPLOYMENTS, change.key[1], owner["name"])] if is_ours and owner else []

    def all_keys(self) -> Iterable[Key]:
        return [key_of(DEPLOYMENTS, deployment) for deployment in self._store.select(DEPLOYMENTS)]

    def reconcile(self, key: Key, now: float) -> float:
        del now
        with self._store.lock:
            deployment = self._store.find(*key)
            if deployment is None or is_terminating(deployment) or self._store.find(NAMESPACES, "", key[1]) is None:
                return math.inf
            old = [one for one in self._replica_sets(deployment) if not _has_template(one, deployment)]
            self._roll_out(deployment, self._current(deployment), old)
            self._update_status(key)
        return math.inf

    def _replica_sets(self, deployment: Object) -> list[Object]:
        all_sets = self._store.select(REPLICA_SETS, deployment["metadata"]["namespace"])
        return [one for one in all_sets if is_controlled_by(one, deployment)]

    def _current(self, deployment: Object) -> Object:
        """Return the ReplicaSet of the current template, with the latest revision; create it if there is none."""
        owned = self._replica_sets(deployment)
        found = next((one for one in owned if _has_template(one, deployment)), None)
        latest = max((_revision(one) for one in owned if one is not found), default=0)
        if found is None:
            found = self._create(deployment, latest + 1)
        elif _revision(found) < latest:
            found = self._set_revision(REPLICA_SETS, found, latest + 1)  # a rollback
        self._set_revision(DEPLOYMENTS, deployment, _revision(found))
        return found

    def _create(self, deployment: Object, revision: int) -> Object:
        metadata, spec = deployment["metadata"], deployment["spec"]
        template = clone(spec["template"])
        template_hash = _hash(template)
        template.setdefault("metadata", {}).setdefault("labels", {})[HASH] = template_hash
        selector = {**spec["selector"], "matchLabels": {**spec["selector"].get("matchLabels", {}), HASH: template_hash}}
        made = {
            "metadata": {
                "name": f"{metadata['name']}-{template_hash}",
                "labels": template["metadata"]["labels"],
                "annotations": {REVISION: str(revision)},
                "ownerReferences": [owner_reference(DEPLOYMENTS, deployment)],
            },
            "spec": {"replicas": 0, "selector": selector, "template": template},
        }
        return self._store.create(REPLICA_SETS, metadata["namespace"], made)

    def _set_revision(self, resource: ResourceType, obj: Object, revision: int) -> Object:
        annotations = {**obj["metadata"].get("annotations", {}), REVISION: str(revision)}
        return self._store.update(
            key_of(resource, obj), lambda old: {**old, "metadata": {**old["metadata"], "annotations": annotations}}
        )

    def _roll_out(self, deployment: Object, new: Object, old: list[Object]) -> None:
        """Take the steps of the rollout that its strategy allows now."""
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
        # Old pods may go as long as enough pods serve; of the new pods only the available ones count.
        spare = total - present + min(_available(new), grown) - (wanted - unavailable)
        for one in sorted(old, key=_revision):
            going = max(min(one["spec"]["replicas"], spare), 0)
            spare -= going
            self._scale(deployment, one, one["spec"]["replicas"] - going)

    def _has_pods(self, replica_set: Object) -> bool:
        pods = self._store.select(PODS, replica_set["metadata"]["namespace"])
        return any(is_controlled_by(pod, replica_set) for pod in pods)

    def _scale(self, deployment: Object, replica_set: Object, replicas: int) -> None:
        key, present = key_of(REPLICA_SETS, replica_set), replica_set["spec"]["replicas"]
        if replicas == present:
            return
        self._store.update(key, lambda old: {**old, "spec": {**old["spec"], "replicas": replicas}})
        direction = "up" if replicas > present else "down"
        message = f"Scaled {direction} replica set {key[2]} to {replicas}"
        self._events.normal(CONTROLLER, deployment, "ScalingReplicaSet", message)

    def _update_status(self, key: Key) -> None:
        deployment = self._store.get(*key)
        owned = self._replica_sets(deployment)
        counts = {
            "replicas": sum(one["status"].get("replicas", 0) for one in owned),
            "updatedReplicas": sum(one["status"].get("replicas", 0) for one in owned if _has_template(one, deployment)),
            "readyReplicas": sum(_available(one) for one in owned),
            "availableReplicas": sum(_available(one) for one in owned),
        }
        counts["unavailableReplicas"] = max(deployment["spec"].get("replicas", 1) - counts["availableReplicas"], 0)
        status = {field: count for field, count in counts.items() if count}
        status["observedGeneration"] = deployment["metadata"]["generation"]
        self._store.update(key, lambda one: {**one, "status": status}, subresource="status")


def _has_template(replica_set: Object, deployment: Object) -> bool:
    """Whether a ReplicaSet was made for a Deployment's current template."""
    return bool(replica_set["metadata"].get("labels", {}).get(HASH) == _hash(deployment["spec"]["template"]))


def _hash(template: Object) -> str:
    """Return a hash of a template: ten letters of those that generated names use."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(SUFFIX_LETTERS[byte % len(SUFFIX_LETTERS)] for byte in digest[:10])


def _revision(replica_set: Object) -> int:
    return int(replica_set["metadata"].get("annotations", {}).get(REVISION, 0))


def _available(replica_set: Object) -> int:
    return int(replica_set["status"].get("availableReplicas", 0))


def _share(limit: int | str, of: int, rounded: Callable[[float], int]) -> int:
    """Return a limit as a number; it may be given as a percentage of the replicas."""
    return limit if isinstance(limit, int) else rounded(int(limit.removesuffix("%")) * of / 100)
