"""`Sandbox`: the embedded cluster, to be started, asked, disturbed and stopped."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from mecbounce.sandbox import patches
from mecbounce.sandbox.behaviour import Behaviour, Behaviours
from mecbounce.sandbox.collector import GarbageCollector
from mecbounce.sandbox.controllers import DEFAULT_CONTAINER, Operator, PodOwner
from mecbounce.sandbox.deployments import Deployments
from mecbounce.sandbox.events import EventRecorder
from mecbounce.sandbox.hosts import FIRST_HOST, host, set_ready
from mecbounce.sandbox.kubelet import Kubelet
from mecbounce.sandbox.loop import Loop
from mecbounce.sandbox.resources import (
    BUILT_IN,
    CLOCK,
    EXPRESS_NODES,
    NAMESPACES,
    NODES,
    PODS,
    Object,
    ResourceType,
    clone,
)
from mecbounce.sandbox.scheduler import Scheduler
from mecbounce.sandbox.server import Server
from mecbounce.sandbox.store import Key, Store
from mecbounce.sandbox.workloads import DaemonSets, Jobs, ReplicaSets, StatefulSets

if TYPE_CHECKING:
    from types import TracebackType

    from mecbounce.sandbox.server import ProxyRequest, Request

LOOK_AGAIN: Final = 0.05
"""Seconds."""


class Sandbox:
    """A small Kubernetes cluster on loopback: an API server, a Kubernetes node, the controllers and an operator.

    ``resources``: the custom resource types that it serves and makes pods for. ``speed``: sandbox seconds in a real
    second; probes, grace periods, back-offs and the times of a `Behaviour` all pass so much faster.
    """

    def __init__(self, resources: tuple[ResourceType, ...] = (EXPRESS_NODES,), speed: float = 1.0) -> None:
        self.speed = speed
        self._behaviours = Behaviours()
        self._custom = resources
        self._resources = (*BUILT_IN, *resources)
        self._store = Store(grace_scale=1 / speed)
        self._loop = Loop(self._store, speed)
        events = EventRecorder(self._store)
        common = (self._store, self._behaviours, events)
        self._kubelet = Kubelet(*common)
        self._owners: list[PodOwner] = [
            *(Operator(self._store, resource, self._behaviours, events) for resource in resources),
            *(kind(*common) for kind in (ReplicaSets, StatefulSets, DaemonSets, Jobs)),
        ]
        self._loop.controllers += [
            Scheduler(*common),
            self._kubelet,
            *self._owners,
            Deployments(self._store, events),
            GarbageCollector(self._store, self._resources),
        ]
        self._server = Server(self._store, self._resources, speed)
        self._folder: Path | None = None
        self._create(NAMESPACES, "", {"metadata": {"name": "default"}, "status": {"phase": "Active"}})
        self._hosts = 0
        self.add_host(FIRST_HOST)

    def start(self) -> None:
        self._server.start()
        self._loop.start()
        self._folder = Path(tempfile.mkdtemp(prefix="mecbounce-sandbox-"))
        config = self._folder / "kubeconfig"
        with os.fdopen(os.open(config, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(_kubeconfig(self.url), file, indent=1)

    def stop(self) -> None:
        """End every thread and connection and remove the kubeconfig; what is there can still be looked at."""
        self._server.stop()
        self._loop.stop()
        CLOCK.skew = 0.0
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Where it is, and who asked what

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def kubeconfig(self) -> Path:
        """The path of a kubeconfig; it is removed at stop."""
        if self._folder is None:
            raise RuntimeError("the sandbox has not been started")
        return self._folder / "kubeconfig"

    @property
    def requests(self) -> tuple[Request, ...]:
        """The requests that came over HTTP so far, in the order of their arrival."""
        return self._server.requests

    # Objects, in-process: as any client of the API, but not among `requests`

    def create(self, obj: Object) -> Object:
        """Create an object (its ``status`` is kept) and return it."""
        resource = self._resource_of(obj)
        namespace = obj.get("metadata", {}).get("namespace", "default") if resource.namespaced else ""
        return clone(self._create(resource, namespace, obj))

    def get(self, plural: str, name: str, namespace: str = "default") -> Object | None:
        return clone(self._store.find(*self._key(plural, name, namespace)))

    def objects(self, plural: str, namespace: str = "") -> list[Object]:
        """Return the objects of a namespace, or of all."""
        return clone(self._store.select(self._resource(plural), namespace))

    def patch(
        self, plural: str, name: str, patch: Object, *, subresource: str | None = None, namespace: str = "default"
    ) -> Object:
        """Apply a JSON merge patch and return the object."""
        key = self._key(plural, name, namespace)
        patched = self._store.update(key, lambda obj: patches.merge(obj, patch), subresource=subresource or "")
        return clone(patched)

    def delete(
        self,
        plural: str,
        name: str,
        *,
        grace: int | None = None,
        propagation: str | None = None,
        namespace: str = "default",
    ) -> Object:
        """Delete an object, or begin to, and return its last look. ``grace`` in sandbox seconds.

        ``propagation``: Background, Foreground or Orphan.
        """
        obj, _ = self._store.delete(self._key(plural, name, namespace), grace=grace, propagation=propagation)
        return clone(obj)

    def add_node(
        self,
        name: str,
        *,
        state: str = "up",
        activity: str | None = None,
        containers: list[Object] | None = None,
        pod_spec: Object | None = None,
        annotations: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
        namespace: str = "default",
        timeout: float = 10,
    ) -> Object | None:
        """Make an application node: its custom resource, of the first type, and wait until its pod has started.

        ``activity`` is its ``status.state``; ``containers``, ``annotations`` and ``labels`` are the pod's, and
        ``pod_spec`` what else its spec has. Returns the pod; None where ``state`` wants none. ``timeout`` in real
        seconds.
        """
        spec = {"containers": containers or [DEFAULT_CONTAINER], **(pod_spec or {})}
        template = {"metadata": {"annotations": annotations or {}, "labels": labels or {}}, "spec": spec}
        resource = self._custom[0]
        owner: Object = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": name},
            "spec": {"state": state, "template": template},
        }
        owner["metadata" if resource.namespaced else "spec"]["namespace"] = namespace
        if activity is not None:
            owner["status"] = {"state": activity}
        if namespace not in ("default", "kube-system") and self.get("namespaces", namespace) is None:
            self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        self.create(owner)
        if state.lower() in ("down", "stopped"):
            return None
        self.wait_for(lambda: is_started(self.get("pods", name, namespace)), timeout)
        return self.get("pods", name, namespace)

    def wait_for(self, condition: Callable[[], object], timeout: float = 10) -> None:
        """Wait until a condition holds, looking whenever an object changed; TimeoutError after real seconds."""
        until = time.monotonic() + timeout
        while True:
            seen = self._store.changes
            if condition():
                return
            remaining = until - time.monotonic()
            if remaining <= 0:
                raise TimeoutError(f"not so within {timeout:g} s")
            # A condition may look elsewhere too (at `requests`, say): hence the limit.
            self._store.wait_for_change(seen, min(remaining, LOOK_AGAIN))

    # Scenarios

    def behave(self, behaviour: Behaviour, pod: str | None = None, container: str | None = None) -> None:
        """Set how a pod or a container behaves from now on, by their names; the most particular setting holds.

        ``pod`` None: each pod that has no own behaviour. A pod that is to be made under a generated name is recreated
        as the behaviour of its controller's name says.
        """
        self._behaviours.put(behaviour, pod, container)
        self._loop.look_at_everything()

    def evict(
        self,
        pod: str,
        message: str = "The node was low on resource: memory. ",
        *,
        namespace: str = "default",
    ) -> Object:
        """Let the kubelet evict a pod to save its Kubernetes node; what is left of it is Failed, for good."""
        return clone(self._kubelet.evict((PODS, namespace, pod), message))

    def add_ephemeral_container(self, pod: str, name: str = "debugger", *, namespace: str = "default") -> None:
        """Start one more container in a pod, as ``kubectl debug`` does: it ignores SIGTERM."""
        key = (PODS, namespace, pod)
        spec = {"name": name, "image": "registry.example.com/debug:1.0", "terminationMessagePolicy": "File"}
        with self._store.lock:
            changed = clone(self._store.get(*key))
            changed["spec"].setdefault("ephemeralContainers", []).append(spec)
            self._store.overwrite(key, changed)

    # Kubernetes nodes

    def add_host(self, name: str, *, labels: dict[str, str] | None = None) -> Object:
        """Add a Kubernetes node; the first one, ``node1``, is there already."""
        self._hosts += 1
        return clone(self._create(NODES, "", host(name, f"127.0.0.{self._hosts}", labels)))

    def remove_host(self, name: str) -> None:
        """Remove a Kubernetes node, and what ran on it."""
        with self._store.lock:
            self._store.delete((NODES, "", name))
            for pod in self._store.select(PODS):
                if pod["spec"].get("nodeName") == name:
                    self._store.delete((PODS, pod["metadata"]["namespace"], pod["metadata"]["name"]), grace=0)

    def set_node_ready(self, ready: bool, name: str = FIRST_HOST) -> None:
        """Lose a Kubernetes node, or have it back: its kubelet freezes, and nobody knows how its pods are."""
        set_ready(self._store, name, ready=ready)

    def add_static_pod(
        self,
        name: str,
        *,
        containers: list[Object] | None = None,
        pod_spec: Object | None = None,
        host: str = FIRST_HOST,
        namespace: str = "default",
        timeout: float = 10,
    ) -> Object | None:
        """Run a static pod, and return the pod ``NAME-HOST`` that mirrors it once it has started."""
        spec = {"containers": containers or [DEFAULT_CONTAINER], **(pod_spec or {})}
        _, _, mirror = self._kubelet.add_static(self._store.get(NODES, "", host), namespace, name, spec)
        self._loop.look_at_everything()
        self.wait_for(lambda: is_started(self.get("pods", mirror, namespace)), timeout)
        return self.get("pods", mirror, namespace)

    # Troubles of the API server

    def forbid(self, verb: str, resource: str, *, user: str | None = None) -> None:
        """Answer 403 to such requests (``"*"``: any); ``resource`` by plural, or as ``pods/proxy``.

        ``user``: of that user alone. The verb ``impersonate`` is the right to act as ``users``, ``groups`` and so on.
        """
        self._server.forbidden.add((user, verb, resource))

    def allow(self, verb: str, resource: str, *, user: str | None = None) -> None:
        """Take a `forbid` back."""
        self._server.forbidden.discard((user, verb, resource))

    @property
    def clock_skew(self) -> float:
        """How many seconds the cluster's clock is ahead: its ``Date`` header and whatever timestamp it sets.

        It is back at 0 when the sandbox stops. All sandboxes of a process share one clock.
        """
        return CLOCK.skew

    @clock_skew.setter
    def clock_skew(self, seconds: float) -> None:
        CLOCK.skew = seconds

    @property
    def refuse_delete(self) -> str | None:
        """What an admission webhook says to each DELETE over HTTP; None: there is no such webhook."""
        return self._store.admission.refuse_delete

    @refuse_delete.setter
    def refuse_delete(self, message: str | None) -> None:
        self._store.admission.refuse_delete = message

    @property
    def refuse_create(self) -> str | None:
        """What an admission webhook says to each creation of a pod, its controller's too; None: there is none."""
        return self._store.admission.refuse_create

    @refuse_create.setter
    def refuse_create(self, message: str | None) -> None:
        self._store.admission.refuse_create = message
        self._retry()

    @property
    def webhook_down(self) -> str | None:
        """The name of an admission webhook that each DELETE of a pod over HTTP fails at, for it does not answer."""
        return self._store.admission.down_at_delete

    @webhook_down.setter
    def webhook_down(self, name: str | None) -> None:
        self._store.admission.down_at_delete = name

    @property
    def webhook_down_at_create(self) -> str | None:
        """The name of an admission webhook that each creation of a pod fails at, its controller's too."""
        return self._store.admission.down_at_create

    @webhook_down_at_create.setter
    def webhook_down_at_create(self, name: str | None) -> None:
        self._store.admission.down_at_create = name
        self._retry()

    @property
    def on_proxy(self) -> Callable[[Object, ProxyRequest], tuple[int, Any]] | None:
        """Answers for the pods: ``(pod, request) -> (status, body)``, the body text, bytes or JSON."""
        return self._server.on_proxy

    @on_proxy.setter
    def on_proxy(self, answer: Callable[[Object, ProxyRequest], tuple[int, Any]] | None) -> None:
        self._server.on_proxy = answer

    @property
    def on_exec(self) -> Callable[[Object, list[str]], tuple[int, str]] | None:
        """Runs commands in the pods: ``(pod, command) -> (exit code, stdout)``."""
        return self._server.on_exec

    @on_exec.setter
    def on_exec(self, run: Callable[[Object, list[str]], tuple[int, str]] | None) -> None:
        self._server.on_exec = run

    def fail_next(
        self,
        *,
        method: str | None = None,
        path_part: str = "",
        status: int | None = 500,
        retry_after: int | None = None,
        count: int = 1,
        after: bool = False,
    ) -> None:
        """Let the next requests fail whose method is this and whose path and query contain ``path_part``.

        ``status`` None closes the connection without an answer; ``after``: only once the request took effect.
        """
        self._server.fail_next(method, path_part, status, retry_after, count, after=after)

    def compact(self) -> None:
        """Forget the watch history: every resourceVersion handed out until now has expired."""
        self._store.compact()

    def drop_watches(self, *, abruptly: bool = False) -> None:
        """End every open watch now; ``abruptly``: without the end of the HTTP message."""
        self._server.drop_watches(abruptly=abruptly)

    def back_up(self) -> Callable[[], None]:
        """Keep a copy of all objects and of their versions, as a backup of etcd; call what it returns to restore it.

        That ends every watch: the API server is restarted. A watch from a version that is yet to come again is accepted
        and tells nothing until then, as of the real one.
        """
        kept = self._store.backup()

        def restore() -> None:
            self._store.go_back(kept)
            self._loop.look_at_everything()

        return restore

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the API server for the length of a ``with``."""
        self.hold()
        try:
            yield
        finally:
            self.release()

    def hold(self) -> None:
        """Freeze the API server: connections are taken, nothing is answered, no event is sent."""
        self._server.hold()

    def release(self) -> None:
        self._server.release()

    # Inside

    def _retry(self) -> None:
        """Let the controllers try again at once to make what was refused."""
        for owner in self._owners:
            owner.retry_now()
        self._loop.look_at_everything()

    def _resource(self, plural: str) -> ResourceType:
        return next(resource for resource in self._resources if plural in (resource.plural, resource.qualified))

    def _resource_of(self, obj: Object) -> ResourceType:
        wanted = (obj.get("apiVersion"), obj.get("kind"))
        return next(resource for resource in self._resources if (resource.api_version, resource.kind) == wanted)

    def _key(self, plural: str, name: str, namespace: str) -> Key:
        resource = self._resource(plural)
        return resource, namespace if resource.namespaced else "", name

    def _create(self, resource: ResourceType, namespace: str, obj: Object) -> Object:
        return self._store.create(resource, namespace, obj, keep_status=True)


def is_started(pod: Object | None) -> bool:
    """Whether every container of a pod has started."""
    if pod is None or "deletionTimestamp" in pod["metadata"]:
        return False
    statuses = pod["status"].get("containerStatuses") or []
    return bool(statuses) and all(status.get("started") for status in statuses)


def _kubeconfig(url: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": {"server": url}}],
        "users": [{"name": "sandbox", "user": {"token": "sandbox"}}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox", "namespace": "default"}}],
        "current-context": "sandbox",
    }
