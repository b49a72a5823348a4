"""What a bounce asks of Kubernetes. The client that asks it is in `client`, and importing this does not import it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from mecbounce.kubernetes_api.objects import Controller, DisruptionBudget, Host, Owner, Pod, PodEvent
from mecbounce.request import NodeRef


class PodWatch(Protocol):
    """A namespace's pods kept current: a list and the watch that starts from it are one source of full looks."""

    def look(self, name: str | None) -> tuple[Pod, ...]:
        """Give the pods of that name, or all. Raises ClusterError."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait until something changed since the last look (True), or for so long (False)."""
        ...

    def pause(self, seconds: float) -> None:
        """Wait for so long, whatever changes."""
        ...


class Cluster(Protocol):
    """What a bounce asks of Kubernetes. Each method is one request and raises ClusterError.

    `server` is the address of its API server, without credentials; `server_time` is the time there, once it answered.
    """

    @property
    def server(self) -> str: ...

    @property
    def server_time(self) -> datetime | None:
        """The API server's own time now, by its last answer. None before the first."""
        ...

    def node(self, namespace: str, ref: NodeRef) -> Mapping[str, Any]:
        """Read the custom resource, as JSON. Raises NotFound; `served` tells whether there is such a type."""
        ...

    def controller(self, namespace: str, owner: Owner) -> Mapping[str, Any]:
        """Read the object that an owner reference names, as JSON. Raises NotFound where it no longer exists."""
        ...

    def replica_sets(self, namespace: str) -> tuple[Controller, ...]:
        """List the ReplicaSets."""
        ...

    def pods(self, namespace: str, name: str | None = None) -> tuple[Pod, ...]:
        """List the pods, of that name or all."""
        ...

    def watch(self, namespace: str) -> AbstractContextManager[PodWatch]:
        """Open a context manager that gives a PodWatch. Nothing is asked before its first look."""
        ...

    def delete_pod(self, namespace: str, name: str, uid: str, *, dry_run: bool = False) -> None:
        """Delete that incarnation, with its own grace period. A server-side `dry_run` changes nothing."""
        ...

    def host(self, name: str) -> Host:
        """Read a Kubernetes node."""
        ...

    def events(self, namespace: str, uid: str) -> tuple[PodEvent, ...]:
        """List the Kubernetes Events about the object of that UID."""
        ...

    def tell(self, namespace: str, event: Mapping[str, Any]) -> None:
        """Write a Kubernetes Event, given as JSON. Nothing hangs on it: it must give up soon."""
        ...


class PlanCluster(Cluster, Protocol):
    """What a plan asks beyond that. Each method raises ClusterError."""

    def may(self, namespace: str, verb: str, resource: str, *, group: str = "", name: str = "") -> bool:
        """Tell whether these credentials have that right, to the object of that name or else to all.

        A resource that lies in no namespace has an empty one.
        """
        ...

    def disruption_budgets(self, namespace: str) -> tuple[DisruptionBudget, ...]:
        """List the PodDisruptionBudgets that may select pods; an old API server needs a second request."""
        ...
