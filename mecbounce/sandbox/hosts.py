"""The Kubernetes nodes: what they are, whether they are there, and which pods may run on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox.resources import NODES, Object, clone, timestamp
from mecbounce.sandbox.selection import meets

if TYPE_CHECKING:
    from mecbounce.sandbox.store import Store

FIRST_HOST: Final = "node1"
NODE_GONE: Final = "Kubelet stopped posting node status."
UNREACHABLE: Final = (
    {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"},
)
UNSCHEDULABLE: Final = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def host(name: str, address: str, labels: dict[str, str] | None = None) -> Object:
    """Return a Kubernetes node, ready."""
    capacity = {"cpu": "8", "memory": "16Gi", "pods": "250"}
    known = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    return {
        "metadata": {"name": name, "labels": {**known, **(labels or {})}},
        "spec": {},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "conditions": [_condition(ready=True)],
        },
    }


def _condition(*, ready: bool) -> Object:
    return {
        "type": "Ready",
        "status": "True" if ready else "Unknown",
        "lastHeartbeatTime": timestamp(),
        "lastTransitionTime": timestamp(),
        "reason": "KubeletReady" if ready else "NodeStatusUnknown",
        "message": "kubelet is posting ready status" if ready else NODE_GONE,
    }


def set_ready(store: Store, name: str, *, ready: bool) -> None:
    """Lose a Kubernetes node, or have it back: the taints say so too."""
    with store.lock:
        node = clone(store.get(NODES, "", name))
        node["status"]["conditions"] = [_condition(ready=ready)]
        taints = [taint for taint in node["spec"].pop("taints", []) if taint["key"] != UNREACHABLE[0]["key"]]
        taints += [] if ready else [{**taint, "timeAdded": timestamp()} for taint in UNREACHABLE]
        node["spec"] |= {"taints": taints} if taints else {}
        store.overwrite((NODES, "", name), node)


def is_ready(node: Object) -> bool:
    conditions = node.get("status", {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def address(node: Object) -> str:
    """Return the address that a pod on it reports as its host's."""
    listed = node.get("status", {}).get("addresses") or []
    return next((str(one["address"]) for one in listed if one["type"] == "InternalIP"), "")


def why_not(pod_spec: Object, node: Object) -> str | None:
    """Return why a pod may not run on a Kubernetes node, in the scheduler's words; None: it may."""
    if not _selected(pod_spec, node):
        return "node(s) didn't match Pod's node affinity"
    spec = node.get("spec") or {}
    taints = [taint for taint in spec.get("taints") or [] if taint.get("effect") != "PreferNoSchedule"]
    tolerations = pod_spec.get("tolerations") or []
    if spec.get("unschedulable") and not _tolerated(UNSCHEDULABLE, tolerations):
        return "node(s) were unschedulable"
    for taint in taints:
        if not _tolerated(taint, tolerations):
            return f"node(s) had taint {{{taint['key']}: {taint.get('value', '')}}}, that the pod didn't tolerate"
    return None


def nowhere(reasons: Iterable[str]) -> str:
    """Return the scheduler's message about a pod that fits on no Kubernetes node; a reason for each."""
    counted = Counter(reasons)
    if not counted:
        return "no nodes available to schedule pods"
    listed = ", ".join(sorted(f"{count} {reason}" for reason, count in counted.items()))
    return f"0/{counted.total()} nodes are available: {listed}."


def _tolerated(taint: Object, tolerations: Iterable[Object]) -> bool:
    return any(
        toleration.get("effect", taint["effect"]) == taint["effect"]
        and toleration.get("key", taint["key"]) == taint["key"]
        and (toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", ""))
        for toleration in tolerations
    )


def _selected(pod_spec: Object, node: Object) -> bool:
    labels = node["metadata"].get("labels") or {}
    if not (pod_spec.get("nodeSelector") or {}).items() <= labels.items():
        return False
    affinity = (pod_spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(
        all(meets(labels, one) for one in term.get("matchExpressions") or [])
        and all(meets(fields, one) for one in term.get("matchFields") or [])
        for term in required.get("nodeSelectorTerms") or []
    )
