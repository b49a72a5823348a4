"""What the sandbox serves: resource types, and the few things that every Kubernetes object has."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from email.utils import format_datetime
from typing import Any, Final, TypeVar, cast

T = TypeVar("T")
Object = dict[str, Any]
"""A Kubernetes object as JSON. One that the store holds is never changed in place: each write makes a new one."""


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
        """The name that error messages use: ``pods``, ``expressnodes.express.example.com``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """The other name that error messages use: ``Pod``, ``ExpressNode.express.example.com``."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def custom(self) -> bool:
        return self not in BUILT_IN


PODS: Final = ResourceType("", "v1", "pods", "Pod")
NODES: Final = ResourceType("", "v1", "nodes", "Node", namespaced=False)
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
BUILT_IN: Final = (PODS, NODES, NAMESPACES, EVENTS, LEASES, *WORKLOADS, JOBS, QUOTAS, DISRUPTION_BUDGETS)
HAS_STATUS: Final = frozenset({*BUILT_IN} - {EVENTS, LEASES})
"""Built-in types with a ``/status`` subresource; custom resources always have one here."""

SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
"""The real server's alphabet for what it makes up: no vowels, no look-alikes."""

EXPRESS_NODES: Final = ResourceType("express.example.com", "v1", "expressnodes", "ExpressNode")


def clone(value: T) -> T:
    """Return a deep copy of plain JSON (several times faster than ``copy.deepcopy``)."""
    if isinstance(value, dict):
        return cast("T", {key: clone(item) for key, item in value.items()})
    if isinstance(value, list):
        return cast("T", [clone(item) for item in value])
    return value


class Clock:
    """The cluster's own clock: this machine's, or ``skew`` seconds ahead of it. One for all sandboxes of a process."""

    skew = 0.0

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.skew)


CLOCK: Final = Clock()


def timestamp(seconds_ahead: float = 0) -> str:
    """Return the present time, or one some seconds ahead, as Kubernetes writes it: UTC in whole seconds."""
    when = CLOCK.now() + dt.timedelta(seconds=seconds_ahead)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def http_date() -> str:
    """Return the present time as HTTP's ``Date`` header has it."""
    return format_datetime(CLOCK.now(), usegmt=True)


def random_suffix() -> str:
    """Return five letters, as a generated name ends in."""
    return "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))


def controller_of(obj: Object) -> Object | None:
    """Return the owner reference whose ``controller`` is true, if there is one."""
    references: list[Object] = obj["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def owner_reference(resource: ResourceType, owner: Object) -> Object:
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
