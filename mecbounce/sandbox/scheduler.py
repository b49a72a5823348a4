"""The scheduler: it binds each new pod to a Kubernetes node, or says why none fits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox.events import EventRecorder, Source
from mecbounce.sandbox.hosts import unschedulable_message, why_unfit
from mecbounce.sandbox.objects import clone, condition, is_terminating, keep_transition_times, key_of
from mecbounce.sandbox.resources import HOSTS, PODS, Key, Object

if TYPE_CHECKING:
    from mecbounce.sandbox.behaviour import Behaviours
    from mecbounce.sandbox.store import Change, Store

SCHEDULER: Final = Source("default-scheduler", modern=True)


class Scheduler:
    """Binds pods to Kubernetes nodes, except those that name another scheduler."""

    def __init__(self, store: Store, behaviours: Behaviours, events: EventRecorder) -> None:
        self._store = store
        self._behaviours = behaviours
        self._events = events

    def keys_of(self, change: Change) -> Iterable[Key]:
        if change.key[0] == HOSTS:
            return self.all_keys()
        return [change.key] if change.key[0] == PODS else []

    def all_keys(self) -> Iterable[Key]:
        return [key_of(PODS, pod) for pod in self._store.select(PODS) if not pod["spec"].get("nodeName")]

    def reconcile(self, key: Key, now: float) -> float:
        del now
        with self._store.lock:
            pod = self._store.find(*key)
            if pod is not None and _is_to_be_bound(pod):
                self._schedule(key, clone(pod))
            return math.inf

    def _schedule(self, key: Key, pod: Object) -> None:
        full = "Insufficient memory" if self._behaviours.of(key[2]).unschedulable else None
        hosts = self._store.select(HOSTS)
        reasons = {host["metadata"]["name"]: why_unfit(pod["spec"], host) or full for host in hosts}
        fitting = [name for name, why in reasons.items() if why is None]
        if not fitting:
            self._refuse(key, pod, unschedulable_message(filter(None, reasons.values())))
            return
        pods_on = Counter(other["spec"].get("nodeName") for other in self._store.select(PODS))
        chosen = pod["spec"]["nodeName"] = min(fitting, key=lambda name: pods_on[name])
        known = pod["status"].get("conditions") or []
        pod["status"]["conditions"] = keep_transition_times(known, [condition("PodScheduled", True)])
        bound = self._store.overwrite(key, pod)
        self._events.normal(SCHEDULER, bound, "Scheduled", f"Successfully assigned {key[1]}/{key[2]} to {chosen}")

    def _refuse(self, key: Key, pod: Object, message: str) -> None:
        known = pod["status"].get("conditions") or []
        refused = condition("PodScheduled", False, "Unschedulable", message)
        pod["status"]["conditions"] = keep_transition_times(known, [refused])
        if pod["status"]["conditions"] != known:
            self._events.warning(SCHEDULER, self._store.overwrite(key, pod), "FailedScheduling", message)


def _is_to_be_bound(pod: Object) -> bool:
    spec = pod["spec"]
    if spec.get("nodeName") or spec.get("schedulingGates") or is_terminating(pod):
        return False
    return bool(spec["schedulerName"] == SCHEDULER.component)
