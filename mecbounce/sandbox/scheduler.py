"""The scheduler: it gives each pod that asks for it a Kubernetes node, or says why there is none."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox.containers import condition, settled
from mecbounce.sandbox.events import EventRecorder, Source
from mecbounce.sandbox.hosts import nowhere, why_not
from mecbounce.sandbox.resources import NODES, PODS, Object, clone

if TYPE_CHECKING:
    from mecbounce.sandbox.behaviour import Behaviours
    from mecbounce.sandbox.store import Change, Key, Store

SCHEDULER: Final = Source("default-scheduler", modern=True)


class Scheduler:
    """Binds pods to Kubernetes nodes; those of another ``schedulerName`` are none of its business."""

    def __init__(self, store: Store, behaviours: Behaviours, events: EventRecorder) -> None:
        self._store = store
        self._behaviours = behaviours
        self._events = events

    def concerns(self, change: Change) -> Iterable[Key]:
        if change.key[0] == NODES:
            return self.everything()
        return [change.key] if change.key[0] == PODS else []

    def everything(self) -> Iterable[Key]:
        unbound = (pod for pod in self._store.select(PODS) if not pod["spec"].get("nodeName"))
        return [(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in unbound]

    def reconcile(self, key: Key, now: float) -> float:
        del now
        with self._store.lock:
            pod = self._store.find(*key)
            if pod is not None and _is_ours(pod):
                self._schedule(key, clone(pod))
            return math.inf

    def _schedule(self, key: Key, pod: Object) -> None:
        nodes = {node["metadata"]["name"]: node for node in self._store.select(NODES)}
        full = "Insufficient memory" if self._behaviours.of(key[2]).unschedulable else None
        refusals = {name: why_not(pod["spec"], node) or full for name, node in nodes.items()}
        fitting = [name for name, why in refusals.items() if why is None]
        if not fitting:
            self._refuse(key, pod, nowhere(filter(None, refusals.values())))
            return
        pods_on = Counter(other["spec"].get("nodeName") for other in self._store.select(PODS))
        chosen = pod["spec"]["nodeName"] = min(fitting, key=lambda name: pods_on[name])
        pod["status"]["conditions"] = settled(pod["status"].get("conditions") or [], [condition("PodScheduled", True)])
        bound = self._store.overwrite(key, pod)
        where = f"Successfully assigned {key[1]}/{key[2]} to {chosen}"
        self._events.normal(SCHEDULER, bound, "Scheduled", where)

    def _refuse(self, key: Key, pod: Object, message: str) -> None:
        known = pod["status"].get("conditions") or []
        refused = condition("PodScheduled", False, "Unschedulable", message)
        pod["status"]["conditions"] = settled(known, [refused])
        if pod["status"]["conditions"] != known:
            self._events.warning(SCHEDULER, self._store.overwrite(key, pod), "FailedScheduling", message)


def _is_ours(pod: Object) -> bool:
    spec = pod["spec"]
    if spec.get("nodeName") or spec.get("schedulingGates") or "deletionTimestamp" in pod["metadata"]:
        return False
    return bool(spec["schedulerName"] == SCHEDULER.component)
