"""`Sandbox`: the embedded cluster. Tests and demos start it, fill it, disturb it and stop it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from mecbounce.sandbox import patches
from mecbounce.sandbox.api import Api
from mecbounce.sandbox.behaviour import Behaviour, Behaviours
from mecbounce.sandbox.clock import CLOCK
from mecbounce.sandbox.collector import GarbageCollector
from mecbounce.sandbox.controllers import DEFAULT_CONTAINER, DOWN, Operator, PodController
from mecbounce.sandbox.deployments import Deployments
from mecbounce.sandbox.events import EventRecorder
from mecbounce.sandbox.hosts import FIRST_HOST, new_host, set_ready
from mecbounce.sandbox.kubelet import Kubelet
from mecbounce.sandbox.loop import Loop
from mecbounce.sandbox.objects import clone, is_terminating, key_of
from mecbounce.sandbox.resources import (
    BUILT_IN,
    EXPRESS_NODES,
    HOSTS,
    NAMESPACES,
    PODS,
    Key,
    Object,
    ResourceType,
)
from mecbounce.sandbox.scheduler import Scheduler
from mecbounce.sandbox.server import Fault, Server
from mecbounce.sandbox.store import Store
from mecbounce.sandbox.workloads import DaemonSets, Jobs, ReplicaSets, StatefulSets

if TYPE_CHECKING:
    from types import TracebackType

    from mecbounce.sandbox.pod_subresources import Exec, Proxy
    from mecbounce.sandbox.requests import Request

CHECK_EVERY: Final = 0.05
"""Real seconds between two checks of a condition that `Sandbox.wait_for` waits for, if no object changes."""


class Sandbox:
    """A small Kubernetes cluster on loopback: an API server, a Kubernetes node, the controllers and an operator.

    ``resources``: the custom resource types that it serves and creates pods for. ``speed``: sandbox seconds in one
    real second; probes, grace periods, back-offs and the times of a `Behaviour` are all in sandbox seconds.
    """

    def __init__(self, resources: tuple[ResourceType, ...] = (EXPRESS_NODES,), speed: float = 1.0) -> None:
        if not speed > 0:
            raise ValueError(f"speed: {speed} is not above 0")
        self.speed = speed
        self._behaviours = Behaviours()
        self._custom = resources
        self._resources = (*BUILT_IN, *resources)
        self._store = Store(grace_scale=1 / speed)
        self._loop = Loop(self._store, speed)
        events = EventRecorder(self._store)
        common = (self._store, self._behaviours, events)
        self._kubelet = Kubelet(*common)
        self._pod_controllers: list[PodController] = [
            *(Operator(resource, *common) for resource in resources),
            *(kind(*common) for kind in (ReplicaSets, StatefulSets, DaemonSets, Jobs)),
        ]
        self._loop.controllers += [
            Scheduler(*common),
            self._kubelet,
            *self._pod_controllers,
            Deployments(self._store, events),
            GarbageCollector(self._store, self._resources),
        ]
        self._api = Api(self._store, self._resources, speed)
        self._server = Server(self._api)
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
        """End every thread and connection, and remove the kubeconfig. The objects can still be read."""
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

    # Its address, and its requests

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def kubeconfig(self) -> Path:
        """The path of a kubeconfig, which `stop` removes."""
        if self._folder is None:
            raise RuntimeError("the sandbox has not been started")
        return self._folder / "kubeconfig"

    @property
    def requests(self) -> tuple[Request, ...]:
        """The HTTP requests until now, in the order in which they came."""
        return self._server.requests

    # Objects, without an HTTP request

    def create(self, obj: Object) -> Object:
        """Create an object, with its ``status`` if it has one, and return it."""
        resource = self._resource_of(obj)
        namespace = obj.get("metadata", {}).get("namespace", "default") if resource.namespaced else ""
        return clone(self._create(resource, namespace, obj))

    def get(self, plural: str, name: str, namespace: str = "default") -> Object | None:
        return clone(self._store.find(*self._key(plural, name, namespace)))

    def objects(self, plural: str, namespace: str = "") -> list[Object]:
        """Return the objects of a namespace, or of all namespaces."""
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
        """Delete an object, or begin to, and return its last state. ``grace`` in sandbox seconds.

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
        """Create an application node (a custom resource of the first type) and wait until its pod has started.

        ``state`` is its ``spec.state``, ``activity`` its ``status.state``. ``containers``, ``annotations`` and
        ``labels`` are those of its pod; ``pod_spec`` has further fields of the pod's spec. ``timeout`` in real seconds.
        Returns the pod; None if ``state`` is down or stopped.
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
        if state.lower() in DOWN:
            return None
        self.wait_for(lambda: is_started(self.get("pods", name, namespace)), timeout)
        return self.get("pods", name, namespace)

    def wait_for(self, condition: Callable[[], object], timeout: float = 10) -> None:
        """Wait until a condition is true; check it after each change. TimeoutError after ``timeout`` real seconds."""
        until = time.monotonic() + timeout
        while True:
            seen = self._store.version
            if condition():
                return
            remaining = until - time.monotonic()
            if remaining <= 0:
                raise TimeoutError(f"the condition is still not met after {timeout:g} s")
            # A condition may be about something other than objects, such as `requests`: check it now and then.
            self._store.wait_for_change(seen, min(remaining, CHECK_EVERY))

    # What happens to pods

    def behave(self, behaviour: Behaviour, pod: str | None = None, container: str | None = None) -> None:
        """Set how a pod or a container behaves from now on. A container's behaviour goes before its pod's.

        ``pod`` None: every pod without a behaviour of its own. A pod with a generated name has no name before it is
        created, so until then the behaviour for its controller's name counts.
        """
        self._behaviours.put(behaviour, pod, container)
        self._loop.check_all()

    def evict(
        self,
        pod: str,
        message: str = "The node was low on resource: memory. ",
        *,
        namespace: str = "default",
    ) -> Object:
        """Evict a pod, as the kubelet does when it is short of resources. Its object stays, in phase Failed."""
        return clone(self._kubelet.evict((PODS, namespace, pod), message))

    def add_ephemeral_container(self, pod: str, name: str = "debugger", *, namespace: str = "default") -> None:
        """Add an ephemeral container to a pod, as ``kubectl debug`` does. It ignores SIGTERM."""
        key = (PODS, namespace, pod)
        spec = {"name": name, "image": "registry.example.com/debug:1.0", "terminationMessagePolicy": "File"}
        with self._store.lock:
            changed = clone(self._store.get(*key))
            changed["spec"].setdefault("ephemeralContainers", []).append(spec)
            self._store.overwrite(key, changed)

    # Kubernetes nodes

    def add_host(self, name: str, *, labels: dict[str, str] | None = None) -> Object:
        """Add a Kubernetes node. A new sandbox has one: ``node1``."""
        self._hosts += 1
        return clone(self._create(HOSTS, "", new_host(name, f"127.0.0.{self._hosts}", labels)))

    def remove_host(self, name: str) -> None:
        """Remove a Kubernetes node and its pods."""
        with self._store.lock:
            self._store.delete((HOSTS, "", name))
            for pod in self._store.select(PODS):
                if pod["spec"].get("nodeName") == name:
                    self._store.delete(key_of(PODS, pod), grace=0)

    def set_host_ready(self, ready: bool, name: str = FIRST_HOST) -> None:
        """Lose a Kubernetes node (its kubelet stops, and its Ready condition is Unknown), or get it back."""
        set_ready(self._store, name, ready=ready)

    def set_node_ready(self, ready: bool, name: str = FIRST_HOST) -> None:
        """Deprecated: use `set_host_ready`."""
        text = "Sandbox.set_node_ready goes with the next version: use set_host_ready"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        self.set_host_ready(ready, name)

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
        """Run a static pod, wait until it has started, and return its mirror object ``NAME-HOST``."""
        spec = {"containers": containers or [DEFAULT_CONTAINER], **(pod_spec or {})}
        _, _, mirror = self._kubelet.add_static(self._store.get(HOSTS, "", host), namespace, name, spec)
        self._loop.check_all()
        self.wait_for(lambda: is_started(self.get("pods", mirror, namespace)), timeout)
        return self.get("pods", mirror, namespace)

    # Failures of the API server

    def forbid(self, verb: str, resource: str, *, user: str | None = None) -> None:
        """Answer requests with this verb and resource with 403. ``"*"`` means each; ``user`` None means every user.

        ``resource``: a plural, or a subresource such as ``pods/proxy``. For the verb ``impersonate`` it is ``users``,
        ``groups``, ``uids``, ``serviceaccounts`` or ``userextras/KEY``.
        """
        self._api.access.forbidden.add((user, verb, resource))

    def allow(self, verb: str, resource: str, *, user: str | None = None) -> None:
        """Undo a `forbid`."""
        self._api.access.forbidden.discard((user, verb, resource))

    @property
    def clock_skew(self) -> float:
        """How many seconds the cluster's clock is ahead, for its ``Date`` header and its timestamps.

        All sandboxes of a process share one clock. When one of them stops, it is set back to 0.
        """
        return CLOCK.skew

    @clock_skew.setter
    def clock_skew(self, seconds: float) -> None:
        CLOCK.skew = seconds

    @property
    def refuse_delete(self) -> str | None:
        """The message of an admission webhook that refuses each DELETE over HTTP; None: no such webhook."""
        return self._store.admission.refuse_delete

    @refuse_delete.setter
    def refuse_delete(self, message: str | None) -> None:
        self._store.admission.refuse_delete = message

    @property
    def refuse_create(self) -> str | None:
        """The message of an admission webhook that refuses each creation of a pod, even by its controller; or None."""
        return self._store.admission.refuse_create

    @refuse_create.setter
    def refuse_create(self, message: str | None) -> None:
        self._store.admission.refuse_create = message
        self._retry()

    @property
    def webhook_down(self) -> str | None:
        """The name of an admission webhook that does not answer, so each DELETE of a pod over HTTP fails; or None."""
        return self._store.admission.down_at_delete

    @webhook_down.setter
    def webhook_down(self, name: str | None) -> None:
        self._store.admission.down_at_delete = name

    @property
    def webhook_down_at_create(self) -> str | None:
        """The name of an admission webhook that does not answer, so each creation of a pod fails; or None."""
        return self._store.admission.down_at_create

    @webhook_down_at_create.setter
    def webhook_down_at_create(self, name: str | None) -> None:
        self._store.admission.down_at_create = name
        self._retry()

    @property
    def on_proxy(self) -> Proxy | None:
        """Answers proxied requests for the pods: ``(pod, request) -> (status, body)``; text, bytes or JSON."""
        return self._api.on_proxy

    @on_proxy.setter
    def on_proxy(self, answer: Proxy | None) -> None:
        self._api.on_proxy = answer

    @property
    def on_exec(self) -> Exec | None:
        """Runs commands in the pods: ``(pod, command) -> (exit code, stdout)``."""
        return self._api.on_exec

    @on_exec.setter
    def on_exec(self, run: Exec | None) -> None:
        self._api.on_exec = run

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
        """Let the next ``count`` requests fail that have this method, and ``path_part`` in their path or query.

        ``status`` None: close the connection without an answer. ``after``: carry out the request first.
        """
        self._server.fail_next(Fault(method, path_part, status, retry_after, count, after))

    def compact(self) -> None:
        """Forget the watch history: every resourceVersion until now has expired."""
        self._store.compact()

    def drop_watches(self, *, abruptly: bool = False) -> None:
        """End every open watch now. ``abruptly``: close the connection in the middle of the HTTP message."""
        self._server.drop_watches(abruptly=abruptly)

    def back_up(self) -> Callable[[], None]:
        """Back up all objects and the version, as a backup of etcd does; return what restores the backup.

        The restore ends every watch, as a restart of the API server does. A watch may then start from a version that
        does not exist yet: it is silent until then, as on the real server.
        """
        backup = self._store.backup()

        def restore() -> None:
            self._store.restore(backup)
            self._loop.check_all()

        return restore

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Freeze the API server for the length of a ``with``."""
        self.hold()
        try:
            yield
        finally:
            self.release()

    def hold(self) -> None:
        """Freeze the API server: it accepts connections, but sends no answer and no watch event."""
        self._server.hold()

    def release(self) -> None:
        self._server.release()

    # Inside

    def _retry(self) -> None:
        """Let the controllers try at once to create what was refused."""
        for controller in self._pod_controllers:
            controller.retry_now()
        self._loop.check_all()

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
    """Whether there is a pod that does not terminate, and each of its containers has started."""
    if pod is None or is_terminating(pod):
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
