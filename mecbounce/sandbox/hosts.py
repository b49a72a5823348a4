"""The Kubernetes nodes: their objects, whether they are ready, and which pods may run on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox.clock import timestamp
from mecbounce.sandbox.objects import clone
from mecbounce.sandbox.resources import HOSTS, Object
from mecbounce.sandbox.selection import meets

if TYPE_CHECKING:
    from mecbounce.sandbox.store import Store

FIRST_HOST: Final = "node1"
UNREACHABLE: Final = (
    {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"},
)
UNSCHEDULABLE: Final = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def new_host(name: str, address: str, labels: dict[str, str] | None = None) -> Object:
    """Return a Kubernetes node that is ready."""
    capacity = {"cpu": "8", "memory": "16Gi", "pods": "250"}
    known = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    return {
        "metadata": {"name": name, "labels": {**known, **(labels or {})}},
        "spec": {},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "conditions": [_ready_condition(ready=True)],
        },
    }


def _ready_condition(*, ready: bool) -> Object:
    return {
        "type": "Ready",
        "status": "True" if ready else "Unknown",
        "lastHeartbeatTime": timestamp(),
        "lastTransitionTime": timestamp(),
        "reason": "KubeletReady" if ready else "NodeStatusUnknown",
        "message": "kubelet is posting ready status" if ready else "Kubelet stopped posting node status.",
    }


def set_ready(store: Store, name: str, *, ready: bool) -> None:
    """Set a Kubernetes node's Ready condition, and its taints to match."""
    with store.lock:
        host = clone(store.get(HOSTS, "", name))
        host["status"]["conditions"] = [_ready_condition(ready=ready)]
        taints = [taint for taint in host["spec"].pop("taints", []) if taint["key"] != UNREACHABLE[0]["key"]]
        taints += [] if ready else [{**taint, "timeAdded": timestamp()} for taint in UNREACHABLE]
        host["spec"] |= {"taints": taints} if taints else {}
        store.overwrite((HOSTS, "", name), host)


def address(host: Object) -> str:
    """Return the address that its pods report as ``hostIP``."""
    listed = host.get("status", {}).get("addresses") or []
    return next((str(one["address"]) for one in listed if one["type"] == "InternalIP"), "")


def why_unfit(pod_spec: Object, host: Object) -> str | None:
    """Return why a pod may not run on a Kubernetes node, in the scheduler's words; None if it may."""
    if not _is_selected(pod_spec, host):
        return "node(s) didn't match Pod's node affinity"
    spec = host.get("spec") or {}
    taints = [taint for taint in spec.get("taints") or [] if taint.get("effect") != "PreferNoSchedule"]
    tolerations = pod_spec.get("tolerations") or []
    if spec.get("unschedulable") and not _is_tolerated(UNSCHEDULABLE, tolerations):
        return "node(s) were unschedulable"
    for taint in taints:
        if not _is_tolerated(taint, tolerations):
            return f"node(s) had taint {{{taint['key']}: {taint.get('value', '')}}}, that the pod didn't tolerate"
    return None


def unschedulable_message(reasons: Iterable[str]) -> str:
    """Return the scheduler's message about a pod, from the reason of each Kubernetes node."""
    counted = Counter(reasons)
    if not counted:
        return "no nodes available to schedule pods"
    listed = ", ".join(sorted(f"{count} {reason}" for reason, count in counted.items()))
    return f"0/{counted.total()} nodes are available: {listed}."


def _is_tolerated(taint: Object, tolerations: Iterable[Object]) -> bool:
    return any(
        toleration.get("effect", taint["effect"]) == taint["effect"]
        and toleration.get("key", taint["key"]) == taint["key"]
        and (toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", ""))
        for toleration in tolerations
    )


def _is_selected(pod_spec: Object, host: Object) -> bool:
    """Whether a pod's nodeSelector and its required node affinity select a Kubernetes node."""
    labels = host["metadata"].get("labels") or {}
    if not (pod_spec.get("nodeSelector") or {}).items() <= labels.items():
        return False
    affinity = (pod_spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    fields = {"metadata.name": host["metadata"]["name"]}
    return any(
        all(meets(labels, one) for one in term.get("matchExpressions") or [])
        and all(meets(fields, one) for one in term.get("matchFields") or [])
        for term in required.get("nodeSelectorTerms") or []
    )
