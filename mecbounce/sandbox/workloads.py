"""The controllers of Kubernetes' own that make pods: ReplicaSets, StatefulSets, DaemonSets and Jobs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox.containers import condition, settled
from mecbounce.sandbox.controllers import (
    DEFAULT_CONTAINER,
    PodOwner,
    is_active,
    is_ended,
    is_pod_ready,
    is_terminating,
)
from mecbounce.sandbox.hosts import why_not
from mecbounce.sandbox.resources import (
    DAEMON_SETS,
    JOBS,
    NODES,
    REPLICA_SETS,
    STATEFUL_SETS,
    Object,
    timestamp,
)

if TYPE_CHECKING:
    from mecbounce.sandbox.behaviour import Behaviours
    from mecbounce.sandbox.events import EventRecorder
    from mecbounce.sandbox.store import Change, Key, Store

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
LOST: Final = {"key": "node.kubernetes.io/unreachable", "operator": "Exists"}
"""What keeps a daemon's pod on a Kubernetes node that is lost; no new one is made for it."""

FIRST_JOB_BACK_OFF: Final = 10.0
LAST_JOB_BACK_OFF: Final = 360.0


class ReplicaSets(PodOwner):
    """Keeps as many pods as wanted, of generated names; one that terminates or has ended counts no more."""

    def __init__(self, store: Store, behaviours: Behaviours, events: EventRecorder) -> None:
        super().__init__(store, REPLICA_SETS, behaviours, events)

    def keep(self, owner: Object, pods: list[Object], now: float) -> float:
        active = [pod for pod in pods if is_active(pod)]
        wanted = owner["spec"].get("replicas", 1)
        if len(active) > wanted:
            self.remove(owner, sorted(active, key=_worth)[: len(active) - wanted])
        if len(active) >= wanted:
            return math.inf
        return self.make(owner, *template_of(owner), now, wanted=wanted)

    def count(self, owner: Object, pods: list[Object]) -> Object:
        active = [pod for pod in pods if is_active(pod)]
        ready = sum(is_pod_ready(pod) for pod in active)
        counts = {"fullyLabeledReplicas": len(active) or None, "readyReplicas": ready or None}
        counts |= {"availableReplicas": ready or None, "observedGeneration": owner["metadata"]["generation"]}
        refused = self._refusals.get(owner["metadata"]["uid"])
        failure = [condition("ReplicaFailure", True, "FailedCreate", refused)] if refused else []
        for one in failure:
            del one["lastProbeTime"]
        known = owner["status"].get("conditions") or []
        return {"replicas": len(active), **counts, "conditions": settled(known, failure) or None}


class StatefulSets(PodOwner):
    """Keeps pods name-0, name-1, ...: each is made anew when the one of its name has gone.

    With the policy OrderedReady, which is the default, one waits for those before it to be ready.
    """

    said_created = "create Pod {pod} in StatefulSet {owner} successful"
    said_not_created = "create Pod {pod} in StatefulSet {owner} failed error: {error}"
    said_deleted = "delete Pod {pod} in StatefulSet {owner} successful"

    def __init__(self, store: Store, behaviours: Behaviours, events: EventRecorder) -> None:
        super().__init__(store, STATEFUL_SETS, behaviours, events)

    def is_member(self, owner: Object, pod: Object) -> bool:
        parent, _, number = pod["metadata"]["name"].rpartition("-")
        return super().is_member(owner, pod) and parent == owner["metadata"]["name"] and number.isdecimal()

    def keep(self, owner: Object, pods: list[Object], now: float) -> float:
        spec, by_name = owner["spec"], {pod["metadata"]["name"]: pod for pod in pods}
        ordered = spec.get("podManagementPolicy") != "Parallel"
        start = (spec.get("ordinals") or {}).get("start", 0)
        names = [f"{owner['metadata']['name']}-{number}" for number in range(start, start + spec.get("replicas", 1))]
        due = math.inf
        for name in names:
            pod = by_name.get(name)
            if pod is None:
                due = min(due, self._make(owner, name, now, len(names)))
            elif is_ended(pod) and not is_terminating(pod):
                said = f"StatefulSet {self.place(owner)}/{owner['metadata']['name']} is recreating failed Pod {name}"
                self._events.warning(self._source, owner, "RecreatingFailedPod", said)
                self.remove(owner, [pod])
            if ordered and (pod is None or is_terminating(pod) or not is_pod_ready(pod)):
                return due
        surplus = sorted((pod for pod in pods if pod["metadata"]["name"] not in names), key=_ordinal, reverse=True)
        self.remove(owner, surplus[:1] if ordered else surplus)
        return due

    def _make(self, owner: Object, name: str, now: float, wanted: int) -> float:
        metadata, spec = template_of(owner)
        labels = {**metadata.get("labels", {}), "statefulset.kubernetes.io/pod-name": name}
        spec |= {"hostname": name, "subdomain": owner["spec"].get("serviceName", "")}
        return self.make(owner, {**metadata, "name": name, "labels": labels}, spec, now, wanted=wanted)

    def count(self, owner: Object, pods: list[Object]) -> Object:
        ready = sum(is_pod_ready(pod) for pod in pods)
        counts = {"replicas": len(pods), "readyReplicas": ready or None}
        return {**counts, "observedGeneration": owner["metadata"]["generation"]}


class DaemonSets(PodOwner):
    """Keeps one pod, of a generated name, on each Kubernetes node where it may run."""

    def __init__(self, store: Store, behaviours: Behaviours, events: EventRecorder) -> None:
        super().__init__(store, DAEMON_SETS, behaviours, events)

    def concerns(self, change: Change) -> Iterable[Key]:
        return self.everything() if change.key[0] == NODES else super().concerns(change)

    def keep(self, owner: Object, pods: list[Object], now: float) -> float:
        wanted, due = self._hosts(owner), math.inf
        bearable = self._hosts(owner, LOST)
        self.remove(owner, (pod for pod in pods if host_of(pod) not in bearable))
        for host in wanted:
            here = [pod for pod in pods if host_of(pod) == host]
            ended = [pod for pod in here if pod["status"].get("phase") == "Failed" and not is_terminating(pod)]
            for pod in ended:
                where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']} on node {host}"
                said = f"Found failed daemon pod {where}, will try to kill it"
                self._events.warning(self._source, owner, "FailedDaemonPod", said)
            active = sorted((pod for pod in here if is_active(pod)), key=_worth, reverse=True)
            self.remove(owner, [*ended, *active[1:]])
            if not here:
                metadata, spec = template_of(owner)
                due = min(due, self.make(owner, metadata, _bound_to(spec, host), now, wanted=len(wanted)))
        return due

    def count(self, owner: Object, pods: list[Object]) -> Object:
        wanted = self._hosts(owner)
        right = {host_of(pod): pod for pod in pods if host_of(pod) in wanted}
        ready = sum(is_pod_ready(pod) for pod in right.values())
        return {
            "currentNumberScheduled": len(right),
            "desiredNumberScheduled": len(wanted),
            "numberMisscheduled": sum(host_of(pod) not in wanted for pod in pods),
            "numberReady": ready,
            "numberAvailable": ready or None,
            "updatedNumberScheduled": len(right) or None,
            "numberUnavailable": len(wanted) - ready or None,
            "observedGeneration": owner["metadata"]["generation"],
        }

    def _hosts(self, owner: Object, *more: Object) -> list[str]:
        """Return the names of the Kubernetes nodes where it may run; with more tolerations, where it may stay."""
        _, spec = template_of(owner)
        spec["tolerations"] = [*_tolerations(spec), *more]
        return [node["metadata"]["name"] for node in self._store.select(NODES) if why_not(spec, node) is None]


class Jobs(PodOwner):
    """Keeps pods running until as many as wanted have ended well, or too many have not."""

    def __init__(self, store: Store, behaviours: Behaviours, events: EventRecorder) -> None:
        super().__init__(store, JOBS, behaviours, events)
        self._failures: dict[str, tuple[int, float]] = {}

    def keep(self, owner: Object, pods: list[Object], now: float) -> float:
        spec = owner["spec"]
        active = [pod for pod in pods if is_active(pod)]
        succeeded, failed = (_in_phase(pods, phase) for phase in ("Succeeded", "Failed"))
        if self._settle(owner, pods, active, succeeded, failed):
            return math.inf
        wanted = min(spec["parallelism"], spec.get("completions", math.inf) - succeeded)
        if spec.get("completions") is None and succeeded:
            wanted = len(active)  # one has found the work done: no more are made
        if len(active) > wanted:
            self.remove(owner, sorted(active, key=_worth)[: len(active) - int(wanted)])
        if len(active) >= wanted:
            return math.inf
        seen, due = self._failures.get(owner["metadata"]["uid"], (0, now))
        if failed > seen:
            due = now + min(FIRST_JOB_BACK_OFF * 2.0 ** (failed - 1), LAST_JOB_BACK_OFF)
            self._failures[owner["metadata"]["uid"]] = failed, due
        if now < due:
            return due
        return self.make(owner, *template_of(owner), now, wanted=spec["parallelism"])

    def _settle(self, owner: Object, pods: list[Object], active: list[Object], succeeded: int, failed: int) -> bool:
        """End, suspend or resume a Job where it is time; return whether it wants no pod now."""
        spec, held = owner["spec"], _conditions(owner)
        if _is_finished(owner):
            return True
        wanted = spec.get("completions")
        if failed > spec["backoffLimit"] or _restarted_too_often(spec, pods):
            self.remove(owner, active)
            self._conclude(owner, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
            self._events.warning(
                self._source, owner, "BackoffLimitExceeded", "Job has reached the specified backoff limit"
            )
            return True
        if (succeeded >= wanted) if wanted is not None else (succeeded > 0 and not active):
            self.remove(owner, active)
            self._conclude(owner, "Complete")
            self._events.normal(self._source, owner, "Completed", "Job completed")
            return True
        suspended = bool(spec.get("suspend"))
        if suspended != (held.get("Suspended") == "True"):
            said = ("Suspended", "Job suspended") if suspended else ("Resumed", "Job resumed")
            self._conclude(owner, "Suspended", f"Job{said[0]}", said[1], holds=suspended)
            self._events.normal(self._source, owner, *said)
        if suspended:
            self.remove(owner, active)
        return suspended

    def _conclude(self, owner: Object, kind: str, reason: str = "", message: str = "", *, holds: bool = True) -> None:
        made = condition(kind, holds, reason, message)
        made["lastProbeTime"] = made["lastTransitionTime"]
        status = dict(owner["status"])
        others = [one for one in status.get("conditions") or [] if one["type"] != kind]
        status["conditions"] = [*others, made]
        if kind == "Complete":
            status["completionTime"] = made["lastTransitionTime"]
        key = (JOBS, owner["metadata"]["namespace"], owner["metadata"]["name"])
        self._store.update(key, lambda old: {**old, "status": status}, subresource="status")

    def count(self, owner: Object, pods: list[Object]) -> Object:
        if _is_finished(owner) and not owner["status"].get("active"):
            return {}  # what becomes of its pods later changes nothing
        counts = {
            "active": sum(is_active(pod) for pod in pods) or None,
            "succeeded": _in_phase(pods, "Succeeded") or None,
            "failed": _in_phase(pods, "Failed") or None,
        }
        since = {} if owner["spec"].get("suspend") else {"startTime": timestamp()}
        return {**since, **(owner.get("status") or {}), **counts}


def host_of(pod: Object) -> str:
    """Return the Kubernetes node of a daemon's pod: where it runs, or while Pending where it is to run."""
    bound: str = pod["spec"].get("nodeName", "")
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or []:
        for field in term.get("matchFields") or []:
            if field["key"] == "metadata.name" and field["operator"] == "In":
                return bound or str(field["values"][0])
    return bound


def _bound_to(spec: Object, host: str) -> Object:
    """Return the spec of a pod that the scheduler can put on one Kubernetes node alone."""
    only = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [host]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [only]}}
    affinity = {**spec.get("affinity", {}), "nodeAffinity": required}
    return {**spec, "affinity": affinity, "tolerations": _tolerations(spec)}


def _tolerations(spec: Object) -> list[Object]:
    return [*(spec.get("tolerations") or []), *DAEMON_TOLERATIONS]


def template_of(owner: Object) -> tuple[Object, Object]:
    template = owner["spec"].get("template") or {}
    metadata = {**template.get("metadata", {}), "generateName": owner["metadata"]["name"] + "-"}
    metadata.pop("name", None)
    return metadata, {"containers": [DEFAULT_CONTAINER], **template.get("spec", {})}


def _worth(pod: Object) -> tuple[bool, bool, bool, str]:
    """Rank pods: those that are nearest to serving come last, and of these the oldest."""
    stamp = pod["metadata"]["creationTimestamp"]
    younger_first = "".join(chr(0x10FFFF - ord(letter)) for letter in stamp)
    running = pod["status"].get("phase") == "Running"
    return bool(pod["spec"].get("nodeName")), running, is_pod_ready(pod), younger_first


def _ordinal(pod: Object) -> int:
    return int(re.sub(r".*-", "", pod["metadata"]["name"]))


def _in_phase(pods: Iterable[Object], phase: str) -> int:
    return sum(pod["status"].get("phase") == phase for pod in pods)


def _conditions(job: Object) -> dict[str, str]:
    return {one["type"]: one["status"] for one in job["status"].get("conditions") or []}


def _is_finished(job: Object) -> bool:
    held = _conditions(job)
    return "True" in (held.get("Complete"), held.get("Failed"))


def _restarted_too_often(spec: Object, pods: Iterable[Object]) -> bool:
    """Whether the containers of a Job that restarts them in their pods have failed too often."""
    if (spec["template"].get("spec") or {}).get("restartPolicy") != "OnFailure":
        return False
    statuses = [one for pod in pods for one in pod["status"].get("containerStatuses") or []]
    restarts: int = sum(one["restartCount"] for one in statuses)
    return restarts > 0 if spec["backoffLimit"] == 0 else restarts >= spec["backoffLimit"]
