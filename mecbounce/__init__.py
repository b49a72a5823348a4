"""Bounce one application node on Kubernetes; see `mecbounce.machine` for the whole story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mecbounce.advancing import Step, Wait, advance, begin, cancel
from mecbounce.codes import DiagnosisCode
from mecbounce.errors import ClusterError, ConfigError, Interrupted, MecBounceError, RecordError, Superseded
from mecbounce.kubernetes_api import Cluster, PlanCluster
from mecbounce.machine import Event, State
from mecbounce.planning import Plan, plan
from mecbounce.progress import Progress
from mecbounce.protection import AnnotationProtection, ExecProtection, HttpProtection, ShutdownProtection
from mecbounce.record import BounceRecord, Deletion, Diagnosis, Notice, Protection, Runner
from mecbounce.request import BounceRequest, ClusterType, NodeFields, NodeRef, ReadyWhen, Timeouts
from mecbounce.result import BounceResult
from mecbounce.stores import FileStore, MappingStore, Store
from mecbounce.task import BounceTask

if TYPE_CHECKING:
    from mecbounce.kubernetes_api.client import KubernetesCluster

__all__ = [
    "AnnotationProtection",
    "BounceRecord",
    "BounceRequest",
    "BounceResult",
    "BounceTask",
    "Cluster",
    "ClusterError",
    "ClusterType",
    "ConfigError",
    "Deletion",
    "Diagnosis",
    "DiagnosisCode",
    "Event",
    "ExecProtection",
    "FileStore",
    "HttpProtection",
    "Interrupted",
    "KubernetesCluster",
    "MappingStore",
    "MecBounceError",
    "NodeFields",
    "NodeRef",
    "Notice",
    "Plan",
    "PlanCluster",
    "Progress",
    "Protection",
    "ReadyWhen",
    "RecordError",
    "Runner",
    "ShutdownProtection",
    "State",
    "Step",
    "Store",
    "Superseded",
    "Timeouts",
    "Wait",
    "advance",
    "begin",
    "cancel",
    "plan",
]


def __getattr__(name: str) -> Any:
    """Import what needs the Kubernetes client only when it is asked for: that takes a third of a second."""
    if name == "KubernetesCluster":
        from mecbounce.kubernetes_api.client import KubernetesCluster  # noqa: PLC0415 -- the very point

        return KubernetesCluster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
