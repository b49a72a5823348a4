"""The controllers of ReplicaSets, StatefulSets, DaemonSets and Jobs."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox.clock import timestamp
from mecbounce.sandbox.controllers import DEFAULT_CONTAINER, PodController
from mecbounce.sandbox.hosts import why_unfit
from mecbounce.sandbox.objects import (
    condition,
    is_active,
    is_ended,
    is_ready,
    is_terminating,
    keep_transition_times,
    key_of,
)
from mecbounce.sandbox.resources import DAEMON_SETS, HOSTS, JOBS, REPLICA_SETS, STATEFUL_SETS, Key, Object

if TYPE_CHECKING:
    from mecbounce.sandbox.behaviour import Behaviours
    from mecbounce.sandbox.events import EventRecorder
    from mecbounce.sandbox.store import Change, Store

DAEMON_TOLERATIONS: Final = [
    {"key": f"node.kubernetes.io/{trouble}", "operator": "Exists", "effect": effect}
    for trouble, effect in (
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    )
]
UNREACHABLE: Final = {"key": "node.kubernetes.io/unreachable", "operator": "Exists"}
"""Keeps a daemon's pod on a lost Kubernetes node, but lets no new pod be created for it."""

FIRST_JOB_BACK_OFF: Final = 10.0
LAST_JOB_BACK_OFF: Final = 360.0


class ReplicaSets(PodController):
    """Keeps as many active pods as wanted, with generated names."""

    resource = REPLICA_SETS

    def reconcile_pods(self, owner: Object, pods: list[Object], now: float) -> float:
        active = [pod for pod in pods if is_active(pod)]
        wanted = owner["spec"].get("replicas", 1)
        if len(active) > wanted:
            self.delete_pods(owner, sorted(active, key=_deletion_order)[: len(active) - wanted])
        if len(active) >= wanted:
            return math.inf
        return self.create_pod(owner, *_template(owner), now, wanted=wanted)

    def status_of(self, owner: Object, pods: list[Object]) -> Object:
        active = [pod for pod in pods if is_active(pod)]
        ready = sum(is_ready(pod) for pod in active)
        counts = {"fullyLabeledReplicas": len(active) or None, "readyReplicas": ready or None}
        counts |= {"availableReplicas": ready or None, "observedGeneration": owner["metadata"]["generation"]}
        refused = self._refusals.get(owner["metadata"]["uid"])
        failures = [condition("ReplicaFailure", True, "FailedCreate", refused)] if refused else []
        for failure in failures:
            del failure["lastProbeTime"]  # a ReplicaSet's conditions have none
        known = owner["status"].get("conditions") or []
        return {"replicas": len(active), **counts, "conditions": keep_transition_times(known, failures) or None}


class StatefulSets(PodController):
    """Keeps pods NAME-0, NAME-1 and so on; each is recreated when the pod of its name has gone.

    With the default policy, OrderedReady, each pod waits until all pods before it are ready.
    """

    resource = STATEFUL_SETS
    created_message = "create Pod {pod} in StatefulSet {owner} successful"
    refused_message = "create Pod {pod} in StatefulSet {owner} failed error: {error}"
    deleted_message = "delete Pod {pod} in StatefulSet {owner} successful"

    def matches(self, owner: Object, pod: Object) -> bool:
        parent, _, number = pod["metadata"]["name"].rpartition("-")
        return super().matches(owner, pod) and parent == owner["metadata"]["name"] and number.isdecimal()

    def reconcile_pods(self, owner: Object, pods: list[Object], now: float) -> float:
        spec, by_name = owner["spec"], {pod["metadata"]["name"]: pod for pod in pods}
        ordered = spec.get("podManagementPolicy") != "Parallel"
        start = (spec.get("ordinals") or {}).get("start", 0)
        names = [f"{owner['metadata']['name']}-{number}" for number in range(start, start + spec.get("replicas", 1))]
        due = math.inf
        for name in names:
            pod = by_name.get(name)
            if pod is None:
                due = min(due, self._create(owner, name, now, len(names)))
            elif is_ended(pod) and not is_terminating(pod):
                set_name = f"{self.namespace_of(owner)}/{owner['metadata']['name']}"
                message = f"StatefulSet {set_name} is recreating failed Pod {name}"
                self._events.warning(self._source, owner, "RecreatingFailedPod", message)
                self.delete_pods(owner, [pod])
            if ordered and (pod is None or is_terminating(pod) or not is_ready(pod)):
                return due
        surplus = sorted((pod for pod in pods if pod["metadata"]["name"] not in names), key=_ordinal, reverse=True)
        self.delete_pods(owner, surplus[:1] if ordered else surplus)
        return due

    def _create(self, owner: Object, name: str, now: float, wanted: int) -> float:
        metadata, spec = _template(owner)
        labels = {**metadata.get("labels", {}), "statefulset.kubernetes.io/pod-name": name}
        spec |= {"hostname": name, "subdomain": owner["spec"].get("serviceName", "")}
        return self.create_pod(owner, {**metadata, "name": name, "labels": labels}, spec, now, wanted=wanted)

    def status_of(self, owner: Object, pods: list[Object]) -> Object:
        ready = sum(is_ready(pod) for pod in pods)
        counts = {"replicas": len(pods), "readyReplicas": ready or None}
        return {**counts, "observedGeneration": owner["metadata"]["generation"]}


class DaemonSets(PodController):
    """Keeps one pod, with a generated name, on each Kubernetes node where it may run."""

    resource = DAEMON_SETS

    def keys_of(self, change: Change) -> Iterable[Key]:
        return self.all_keys() if change.key[0] == HOSTS else super().keys_of(change)

    def reconcile_pods(self, owner: Object, pods: list[Object], now: float) -> float:
        wanted, due = self._hosts(owner), math.inf
        allowed = self._hosts(owner, UNREACHABLE)
        self.delete_pods(owner, (pod for pod in pods if _host_name(pod) not in allowed))
        for host in wanted:
            here = [pod for pod in pods if _host_name(pod) == host]
            ended = [pod for pod in here if pod["status"].get("phase") == "Failed" and not is_terminating(pod)]
            for pod in ended:
                where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']} on node {host}"
                message = f"Found failed daemon pod {where}, will try to kill it"
                self._events.warning(self._source, owner, "FailedDaemonPod", message)
            active = sorted((pod for pod in here if is_active(pod)), key=_deletion_order, reverse=True)
            self.delete_pods(owner, [*ended, *active[1:]])
            if not here:
                metadata, spec = _template(owner)
                due = min(due, self.create_pod(owner, metadata, _bound_to(spec, host), now, wanted=len(wanted)))
        return due

    def status_of(self, owner: Object, pods: list[Object]) -> Object:
        wanted = self._hosts(owner)
        scheduled = {_host_name(pod): pod for pod in pods if _host_name(pod) in wanted}
        ready = sum(is_ready(pod) for pod in scheduled.values())
        return {
            "currentNumberScheduled": len(scheduled),
            "desiredNumberScheduled": len(wanted),
            "numberMisscheduled": sum(_host_name(pod) not in wanted for pod in pods),
            "numberReady": ready,
            "numberAvailable": ready or None,
            "updatedNumberScheduled": len(scheduled) or None,
            "numberUnavailable": len(wanted) - ready or None,
            "observedGeneration": owner["metadata"]["generation"],
        }

    def _hosts(self, owner: Object, *more: Object) -> list[str]:
        """Return the names of the Kubernetes nodes where its pods may run, with ``more`` tolerations."""
        _, spec = _template(owner)
        spec["tolerations"] = [*_tolerations(spec), *more]
        return [host["metadata"]["name"] for host in self._store.select(HOSTS) if why_unfit(spec, host) is None]


class Jobs(PodController):
    """Keeps pods running until enough of them have succeeded, or too many have failed."""

    resource = JOBS

    def __init__(self, store: Store, behaviours: Behaviours, events: EventRecorder) -> None:
        super().__init__(store, behaviours, events)
        self._failures: dict[str, tuple[int, float]] = {}

    def reconcile_pods(self, owner: Object, pods: list[Object], now: float) -> float:
        spec = owner["spec"]
        active = [pod for pod in pods if is_active(pod)]
        succeeded, failed = (_in_phase(pods, phase) for phase in ("Succeeded", "Failed"))
        if self._settle(owner, pods, active, succeeded, failed):
            return math.inf
        wanted = min(spec["parallelism"], spec.get("completions", math.inf) - succeeded)
        if spec.get("completions") is None and succeeded:
            wanted = len(active)  # one pod has found the work done: no new ones
        if len(active) > wanted:
            self.delete_pods(owner, sorted(active, key=_deletion_order)[: len(active) - int(wanted)])
        if len(active) >= wanted:
            return math.inf
        seen, due = self._failures.get(owner["metadata"]["uid"], (0, now))
        if failed > seen:
            due = now + min(FIRST_JOB_BACK_OFF * 2.0 ** (failed - 1), LAST_JOB_BACK_OFF)
            self._failures[owner["metadata"]["uid"]] = failed, due
        if now < due:
            return due
        return self.create_pod(owner, *_template(owner), now, wanted=spec["parallelism"])

    def _settle(self, owner: Object, pods: list[Object], active: list[Object], succeeded: int, failed: int) -> bool:
        """End, suspend or resume a Job if it is time to; return whether it needs no pod now."""
        spec = owner["spec"]
        if _is_finished(owner):
            return True
        wanted = spec.get("completions")
        if failed > spec["backoffLimit"] or _restarted_too_often(spec, pods):
            self.delete_pods(owner, active)
            message = "Job has reached the specified backoff limit"
            self._set_condition(owner, "Failed", "BackoffLimitExceeded", message)
            self._events.warning(self._source, owner, "BackoffLimitExceeded", message)
            return True
        if (succeeded >= wanted) if wanted is not None else (succeeded > 0 and not active):
            self.delete_pods(owner, active)
            self._set_condition(owner, "Complete")
            self._events.normal(self._source, owner, "Completed", "Job completed")
            return True
        suspended = bool(spec.get("suspend"))
        if suspended != (_conditions(owner).get("Suspended") == "True"):
            reason, message = ("Suspended", "Job suspended") if suspended else ("Resumed", "Job resumed")
            self._set_condition(owner, "Suspended", f"Job{reason}", message, holds=suspended)
            self._events.normal(self._source, owner, reason, message)
        if suspended:
            self.delete_pods(owner, active)
        return suspended

    def _set_condition(
        self, owner: Object, kind: str, reason: str = "", message: str = "", *, holds: bool = True
    ) -> None:
        new = condition(kind, holds, reason, message)
        new["lastProbeTime"] = new["lastTransitionTime"]
        status = dict(owner["status"])
        others = [one for one in status.get("conditions") or [] if one["type"] != kind]
        status["conditions"] = [*others, new]
        if kind == "Complete":
            status["completionTime"] = new["lastTransitionTime"]
        self._store.update(key_of(JOBS, owner), lambda old: {**old, "status": status}, subresource="status")

    def status_of(self, owner: Object, pods: list[Object]) -> Object:
        if _is_finished(owner) and not owner["status"].get("active"):
            return {}  # what happens to its pods later does not change it
        counts = {
            "active": sum(is_active(pod) for pod in pods) or None,
            "succeeded": _in_phase(pods, "Succeeded") or None,
            "failed": _in_phase(pods, "Failed") or None,
        }
        since = {} if owner["spec"].get("suspend") else {"startTime": timestamp()}
        return {**since, **(owner.get("status") or {}), **counts}


def _host_name(pod: Object) -> str:
    """Return the Kubernetes node of a daemon's pod; before it is bound, the one in its affinity."""
    bound: str = pod["spec"].get("nodeName", "")
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or []:
        for field in term.get("matchFields") or []:
            if field["key"] == "metadata.name" and field["operator"] == "In":
                return bound or str(field["values"][0])
    return bound


def _bound_to(spec: Object, host: str) -> Object:
    """Return a pod spec that only one Kubernetes node fits."""
    only = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [host]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [only]}}
    affinity = {**spec.get("affinity", {}), "nodeAffinity": required}
    return {**spec, "affinity": affinity, "tolerations": _tolerations(spec)}


def _tolerations(spec: Object) -> list[Object]:
    return [*(spec.get("tolerations") or []), *DAEMON_TOLERATIONS]


def _template(owner: Object) -> tuple[Object, Object]:
    """Return metadata and spec for a new pod."""
    template = owner["spec"].get("template") or {}
    metadata = {**template.get("metadata", {}), "generateName": owner["metadata"]["name"] + "-"}
    metadata.pop("name", None)
    return metadata, {"containers": [DEFAULT_CONTAINER], **template.get("spec", {})}


def _deletion_order(pod: Object) -> tuple[bool, bool, bool, float]:
    """Return a sort key: the first pod is deleted first. Pods that serve come last, the oldest of them at the end."""
    created = dt.datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    running = pod["status"].get("phase") == "Running"
    return bool(pod["spec"].get("nodeName")), running, is_ready(pod), -created.timestamp()


def _ordinal(pod: Object) -> int:
    return int(pod["metadata"]["name"].rpartition("-")[2])


def _in_phase(pods: Iterable[Object], phase: str) -> int:
    return sum(pod["status"].get("phase") == phase for pod in pods)


def _conditions(job: Object) -> dict[str, str]:
    return {one["type"]: one["status"] for one in job["status"].get("conditions") or []}


def _is_finished(job: Object) -> bool:
    held = _conditions(job)
    return "True" in (held.get("Complete"), held.get("Failed"))


def _restarted_too_often(spec: Object, pods: Iterable[Object]) -> bool:
    """Whether the containers of a Job with restartPolicy OnFailure have failed too often."""
    if (spec["template"].get("spec") or {}).get("restartPolicy") != "OnFailure":
        return False
    statuses = [one for pod in pods for one in pod["status"].get("containerStatuses") or []]
    restarts: int = sum(one["restartCount"] for one in statuses)
    return restarts > 0 if spec["backoffLimit"] == 0 else restarts >= spec["backoffLimit"]
