"""A cluster and a clock without a network and without waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from builders import NOW, host

from mecbounce.errors import Conflict, NotFound
from mecbounce.kubernetes_api.objects import Controller, DisruptionBudget, Host, Owner, Pod, PodEvent, ServedType
from mecbounce.request import NodeRef


class FakeClock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class FakeCluster:
    """What a bounce needs of Kubernetes, in memory. It is its own PodWatch.

    `script` holds (seconds after NOW, action) pairs, carried out as time passes; `faults` are raised, one a call;
    `calls` tells what was asked, in order, `asked_in` in
    which namespace for the custom resource. `controllers` are JSON, by name (None: gone). `refuse_delete` answers each
    DELETE. `types` are those that custom controllers have, by kind (None: not served). A deleted pod stays,
    terminating, until the script takes it away.
    """

    server = "https://fake.example.com"

    def __init__(self, clock: FakeClock, *pods: Pod) -> None:
        self.clock = clock
        self.present = {pod.uid: pod for pod in pods}
        self.resource: dict[str, Any] | None = {"spec": {"state": "up"}, "status": {"state": "running"}}
        self.types: dict[str, ServedType | None] = {}
        self.hosts = {"host-1": host()}
        self.told: tuple[PodEvent, ...] = ()
        self.skew: timedelta | None = None
        self.controllers: dict[str, dict[str, Any] | None] = {}
        self.replicas: tuple[Controller, ...] = ()
        self.denied: set[str] = set()
        self.budgets: tuple[DisruptionBudget, ...] = ()
        self.script: list[tuple[float, Callable[[], object]]] = []
        self.faults: list[Exception | None] = []
        self.refuse_delete: Exception | None = None
        self.calls: list[str] = []
        self.asked_in: list[str] = []
        self.deleted: list[str] = []
        self.written: list[Mapping[str, Any]] = []

    def keeps_time(self, skew: float) -> None:
        """Let the API server have a clock, so many seconds ahead of ours."""
        self.skew = timedelta(seconds=skew)

    @property
    def server_time(self) -> datetime | None:
        return self.clock.now + self.skew if self.skew is not None and self.calls else None

    def _called(self, call: str) -> None:
        self.calls.append(call)
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault

    def node(self, namespace: str, ref: NodeRef) -> Mapping[str, Any]:
        self._called("node")
        self.asked_in.append(namespace)
        if self.resource is None:
            raise NotFound(f"{ref} not found in {namespace}")
        return self.resource

    def type_of(self, owner: Owner) -> ServedType | None:
        self._called(f"type of {owner.api_version}/{owner.kind}")
        return self.types.get(owner.kind, ServedType(f"{owner.kind.lower()}s", namespaced=True))

    def controller(self, namespace: str, owner: Owner) -> Mapping[str, Any]:
        self._called(f"controller {namespace}/{owner.kind}/{owner.name}")
        as_named = {
            "kind": owner.kind,
            "apiVersion": owner.api_version,
            "metadata": {"name": owner.name, "uid": owner.uid},
        }
        found = self.controllers.get(owner.name, as_named)
        if found is None:
            raise NotFound("it no longer exists")
        return found

    def replica_sets(self, namespace: str) -> tuple[Controller, ...]:
        self._called(f"replica sets {namespace}")
        return self.replicas

    def pods(self, namespace: str, name: str | None = None) -> tuple[Pod, ...]:
        self._called(f"pods {namespace}/{name or '*'}")
        return tuple(pod for pod in self.present.values() if name in (None, pod.name))

    def delete_pod(self, namespace: str, name: str, uid: str, *, dry_run: bool = False) -> None:
        self._called(f"delete {namespace}/{name}" + (" (dry run)" if dry_run else ""))
        if self.refuse_delete is not None:
            raise self.refuse_delete
        found = next((pod for pod in self.present.values() if pod.name == name), None)
        if found is None:
            raise NotFound(f'pods "{name}" not found')
        if found.uid != uid:
            raise Conflict(f"Precondition failed: UID in precondition: {uid}, UID in object meta: {found.uid}")
        if not dry_run:
            self.deleted.append(uid)
            ends = (
                self.clock.now
                + (self.skew or timedelta())
                + timedelta(seconds=found.spec.termination_grace_period_seconds)
            )
            metadata = found.metadata.model_copy(update={"deletion_timestamp": ends})
            self.present[uid] = found.model_copy(update={"metadata": metadata})

    def host(self, name: str) -> Host:
        self._called(f"host {name}")
        return self.hosts[name]

    def events(self, namespace: str, uid: str) -> tuple[PodEvent, ...]:
        self._called(f"events {namespace}/{uid}")
        return self.told

    def tell(self, namespace: str, event: Mapping[str, Any]) -> None:
        self.calls.append(f"tell {namespace} {event['reason']}")  # its faults are its own: nothing hangs on them
        self.written.append(event)

    def may(self, namespace: str, verb: str, resource: str, *, group: str = "", name: str = "") -> bool:
        right = f"{verb} {resource}"
        self._called(f"may {right} of {'.'.join(filter(None, (group, namespace)))}/{name or '*'}")
        return right not in self.denied

    def disruption_budgets(self, namespace: str) -> tuple[DisruptionBudget, ...]:
        self._called(f"disruption budgets {namespace}")
        return self.budgets

    @contextmanager
    def watch(self, namespace: str) -> Iterator[FakeCluster]:
        self.watched = namespace
        yield self

    def look(self, name: str | None) -> tuple[Pod, ...]:
        return self.pods(self.watched, name)

    def wait(self, seconds: float) -> bool:
        until = self.clock.now + timedelta(seconds=seconds)
        due = sorted((at, number) for number, (at, _) in enumerate(self.script) if NOW + timedelta(seconds=at) <= until)
        if not due:
            self.clock.now = until
            return False
        at, number = due[0]
        self.clock.now = max(self.clock.now, NOW + timedelta(seconds=at))
        self.script.pop(number)[1]()
        return True

    def pause(self, seconds: float) -> None:
        until = self.clock.now + timedelta(seconds=seconds)
        while self.clock.now < until:
            self.wait((until - self.clock.now).total_seconds())

    def gone(self, uid: str) -> None:
        del self.present[uid]

    def add(self, pod: Pod) -> None:
        self.present[pod.uid] = pod
