"""The resource types that the sandbox serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Object = dict[str, Any]
"""A Kubernetes object as JSON. An object in the store is never changed in place: each write makes a new one."""


@dataclass(frozen=True)
class ResourceType:
    """One type of resource, such as ``ResourceType("express.example.com", "v1", "expressnodes", "ExpressNode")``."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The plural as error messages write it: ``pods``, ``expressnodes.express.example.com``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """The kind as error messages write it: ``Pod``, ``ExpressNode.express.example.com``."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def custom(self) -> bool:
        return self not in BUILT_IN


Key = tuple[ResourceType, str, str]
"""Where an object is: its type, its namespace (empty for a type without namespaces) and its name."""

PODS: Final = ResourceType("", "v1", "pods", "Pod")
HOSTS: Final = ResourceType("", "v1", "nodes", "Node", namespaced=False)
"""Kubernetes nodes. In this code, a node is an application node and a host is a Kubernetes node."""

NAMESPACES: Final = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)
EVENTS: Final = ResourceType("", "v1", "events", "Event")
LEASES: Final = ResourceType("coordination.k8s.io", "v1", "leases", "Lease")
REPLICA_SETS: Final = ResourceType("apps", "v1", "replicasets", "ReplicaSet")
STATEFUL_SETS: Final = ResourceType("apps", "v1", "statefulsets", "StatefulSet")
DAEMON_SETS: Final = ResourceType("apps", "v1", "daemonsets", "DaemonSet")
DEPLOYMENTS: Final = ResourceType("apps", "v1", "deployments", "Deployment")
JOBS: Final = ResourceType("batch", "v1", "jobs", "Job")
QUOTAS: Final = ResourceType("", "v1", "resourcequotas", "ResourceQuota")
DISRUPTION_BUDGETS: Final = ResourceType("policy", "v1beta1", "poddisruptionbudgets", "PodDisruptionBudget")
WORKLOADS: Final = (REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS, DEPLOYMENTS)
BUILT_IN: Final = (PODS, HOSTS, NAMESPACES, EVENTS, LEASES, *WORKLOADS, JOBS, QUOTAS, DISRUPTION_BUDGETS)
HAS_STATUS: Final = frozenset({*BUILT_IN} - {EVENTS, LEASES})
"""Built-in types with a ``/status`` subresource; each custom resource has one here."""

EXPRESS_NODES: Final = ResourceType("express.example.com", "v1", "expressnodes", "ExpressNode")
