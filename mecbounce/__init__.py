"""Bounce one application node on Kubernetes; see `mecbounce.machine` for the whole story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mecbounce.bounce import BounceTask, Step, Wait, advance, begin, cancel
from mecbounce.errors import ClusterError, ConfigError, Interrupted, MecBounceError, RecordError, Superseded
from mecbounce.machine import Event, State
from mecbounce.model import (
    BounceRecord,
    BounceRequest,
    BounceResult,
    ClusterType,
    Diagnosis,
    NodeRef,
    Notice,
    Protection,
    ReadyWhen,
    Timeouts,
)
from mecbounce.planning import Plan, plan
from mecbounce.protection import AnnotationProtection, ExecProtection, HttpProtection
from mecbounce.steps import ShutdownProtection
from mecbounce.stores import FileStore, MappingStore, Store

if TYPE_CHECKING:
    from mecbounce.cluster import Cluster, KubernetesCluster, PlanCluster

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
    "Diagnosis",
    "Event",
    "ExecProtection",
    "FileStore",
    "HttpProtection",
    "Interrupted",
    "KubernetesCluster",
    "MappingStore",
    "MecBounceError",
    "NodeRef",
    "Notice",
    "Plan",
    "PlanCluster",
    "Protection",
    "ReadyWhen",
    "RecordError",
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
    if name in ("Cluster", "KubernetesCluster", "PlanCluster"):
        from mecbounce import cluster  # noqa: PLC0415 -- the very point

        return getattr(cluster, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
