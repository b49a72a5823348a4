"""What a bounce asks of Kubernetes. The real client is in `client`, which this does not import."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from mecbounce.kubernetes_api.objects import Controller, DisruptionBudget, Host, Owner, Pod, PodEvent, ServedType
from mecbounce.request import NodeRef


class PodWatch(Protocol):
    """The pods of a namespace, kept current."""

    def look(self, name: str | None) -> tuple[Pod, ...]:
        """Give the pods of that name, or all if it is None, as they are now. Raises ClusterError."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait until a pod has changed since the last look (True), or until the seconds are over (False)."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait for the seconds, even if a pod changes."""
        ...


class Cluster(Protocol):
    """What a bounce asks of Kubernetes. Each method sends one request and raises ClusterError if it fails."""

    @property
    def server(self) -> str:
        """The address of the API server, without credentials."""
        ...

    @property
    def server_time(self) -> datetime | None:
        """The API server's own time now, in UTC; None before its first answer."""
        ...

    def node(self, namespace: str, ref: NodeRef) -> Mapping[str, Any]:
        """Read the custom resource, as JSON. NotFound has `served=False` if its type is not served.

        The namespace is empty for a resource that is known to be cluster-scoped; otherwise that is found out.
        """
        ...

    def type_of(self, owner: Owner) -> ServedType | None:
        """Find the type of the object that an owner reference names; None if the API server does not serve it."""
        ...

    def controller(self, namespace: str, owner: Owner) -> Mapping[str, Any]:
        """Read the object that an owner reference names, as JSON. Raises NotFound if it no longer exists."""
        ...

    def replica_sets(self, namespace: str) -> tuple[Controller, ...]:
        """List the ReplicaSets."""
        ...

    def pods(self, namespace: str, name: str | None = None) -> tuple[Pod, ...]:
        """List the pods of that name, or all."""
        ...

    def watch(self, namespace: str) -> AbstractContextManager[PodWatch]:
        """Open a watch of the pods. It sends nothing before its first look."""
        ...

    def delete_pod(self, namespace: str, name: str, uid: str, *, dry_run: bool = False) -> None:
        """Delete that incarnation, with its own grace period. With `dry_run`, the API server changes nothing.

        Raises NotFound or Conflict if it no longer exists.
        """
        ...

    def host(self, name: str) -> Host:
        """Read a Kubernetes node. Raises NotFound."""
        ...

    def events(self, namespace: str, uid: str) -> tuple[PodEvent, ...]:
        """List the Kubernetes Events about the object of that UID."""
        ...

    def tell(self, namespace: str, event: Mapping[str, Any]) -> None:
        """Write a Kubernetes Event, given as JSON. It must give up soon, as no bounce depends on it."""
        ...


class PlanCluster(Cluster, Protocol):
    """What a plan asks beyond that. Each method raises ClusterError."""

    def may(self, namespace: str, verb: str, resource: str, *, group: str = "", name: str = "") -> bool:
        """Tell whether these credentials have a right: to the object of that name, or to all if it is empty.

        The namespace is empty for a cluster-scoped resource.
        """
        ...

    def disruption_budgets(self, namespace: str) -> tuple[DisruptionBudget, ...]:
        """List the PodDisruptionBudgets. An API server before 1.21 needs a second request."""
        ...
