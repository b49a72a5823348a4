"""The kubelet of all Kubernetes nodes: it starts, probes, restarts and terminates the containers of pods.

Each look at a pod takes one step of each container, so a watch sees every stage of a start, as on a real cluster.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox import hosts
from mecbounce.sandbox.clock import timestamp
from mecbounce.sandbox.containers import ContainerRun, PodRun, status
from mecbounce.sandbox.events import EventRecorder, Source
from mecbounce.sandbox.objects import (
    clone,
    condition,
    is_ended,
    is_ready,
    is_terminating,
    keep_transition_times,
    key_of,
    owner_reference,
)
from mecbounce.sandbox.resources import HOSTS, PODS, Key, Object

if TYPE_CHECKING:
    from mecbounce.sandbox.behaviour import Behaviour, Behaviours
    from mecbounce.sandbox.store import Change, Store

FIRST_BACK_OFF: Final = 10.0
LAST_BACK_OFF: Final = 300.0
PULL_BACK_OFF_AFTER: Final = 1.0
"""Seconds from ErrImagePull to ImagePullBackOff."""

NETWORK_RETRY_AFTER: Final = 12.0
"""Seconds between two attempts to give a pod a network."""

KILLED: Final = 137
"""Exit code of a container that was killed: 128 + SIGKILL."""

MIRROR: Final = "kubernetes.io/config.mirror"


class Kubelet:
    """Runs the pods of every Kubernetes node. The containers of a static pod outlive its mirror object."""

    def __init__(self, store: Store, behaviours: Behaviours, events: EventRecorder) -> None:
        self._store = store
        self._behaviours = behaviours
        self._events = events
        self._runs: dict[Key, PodRun] = {}
        self._static: dict[Key, Object] = {}
        self._addresses = 0

    def keys_of(self, change: Change) -> Iterable[Key]:
        if change.key[0] == HOSTS:
            return [key for key in self.all_keys() if self._host_name(key) == change.key[2]]
        return [change.key] if change.key[0] == PODS else []

    def all_keys(self) -> Iterable[Key]:
        return [*(key_of(PODS, pod) for pod in self._store.select(PODS)), *self._static]

    def reconcile(self, key: Key, now: float) -> float:
        with self._store.lock:
            pod = self._pod(key)
            run = self._runs.get(key)
            if run is not None and key not in self._static and (pod is None or pod["metadata"]["uid"] != run.uid):
                del self._runs[key]  # it was deleted by force; the real kubelet kills its containers now
                run = None
            if pod is None or not pod["spec"].get("nodeName"):
                return math.inf
            host = self._store.find(HOSTS, "", pod["spec"]["nodeName"])
            if host is None:
                return math.inf
            if not is_ready(host):
                self._mark_not_ready(key, pod)
                return math.inf
            if run is None:
                return self._admit(key, pod, host, now)
            return self._step(key, pod, run, host, now)

    def _step(self, key: Key, pod: Object, run: PodRun, host: Object, now: float) -> float:
        terminating = is_terminating(pod) and key not in self._static
        if run.evicted:
            return math.inf
        self._add_ephemerals(pod, run)
        due = (self._terminate if terminating else self._run)(pod, run, now)
        # While the kubelet stops a pod it does not update the status: only before, and once all has stopped.
        if terminating == run.stopped:
            self._update_status(key, run, host)
        if run.stopped:
            self._store.delete(key, grace=0, uid=run.uid)
        return due

    def add_static(self, host: Object, namespace: str, name: str, spec: Object) -> Key:
        """Run a static pod, which the API server cannot stop; return the key of its mirror object."""
        host_name, config = host["metadata"]["name"], secrets.token_hex(16)
        owner = owner_reference(HOSTS, host)
        del owner["blockOwnerDeletion"]
        marks = {MIRROR: config, "kubernetes.io/config.hash": config, "kubernetes.io/config.source": "file"}
        mirror = f"{name}-{host_name}"
        metadata = {"name": mirror, "annotations": marks, "ownerReferences": [owner]}
        tolerations = [{"operator": "Exists", "effect": "NoExecute"}]
        spec = {"tolerations": tolerations, **clone(spec), "nodeName": host_name}
        key = (PODS, namespace, mirror)
        with self._store.lock:
            self._static[key] = {"metadata": metadata, "spec": spec}
        return key

    def evict(self, key: Key, message: str) -> Object:
        """Stop a pod because its Kubernetes node is short of resources. Its object stays, in phase Failed."""
        with self._store.lock:
            pod, run = self._store.get(*key), self._runs.get(key)
            failed = {"phase": "Failed", "reason": "Evicted", "message": message}
            since = {"startTime": pod["status"]["startTime"]} if "startTime" in pod["status"] else {}
            evicted = self._overwrite_status(key, pod, {**failed, **since})
            self._events.warning(_source(pod), evicted, "Evicted", message)
            if run is not None:
                run.evicted = True
                for container in filter(lambda container: container.running, run.containers):
                    self._normal(pod, container, "Killing", f"Stopping container {container.name}")
            return evicted

    def _host_name(self, key: Key) -> str:
        pod = self._store.find(*key) or self._static.get(key)
        return str(pod["spec"].get("nodeName", "")) if pod else ""

    def _pod(self, key: Key) -> Object | None:
        """Return the pod of a key. If a mirror object was deleted, make it anew; the containers run on."""
        pod, static, run = self._store.find(*key), self._static.get(key), self._runs.get(key)
        if static is None or (pod is not None and not is_terminating(pod)):
            return pod
        host = self._store.find(HOSTS, "", static["spec"]["nodeName"])
        if host is None or not is_ready(host):
            return pod
        if pod is not None and not self._store.delete(key, grace=0)[1]:
            return pod  # a finalizer keeps it
        pod = self._store.create(PODS, key[1], static)
        if run is not None:
            run.uid = pod["metadata"]["uid"]
        return pod

    def _mark_not_ready(self, key: Key, pod: Object) -> None:
        """Do what the node controller does to the pods of a lost Kubernetes node."""
        conditions = pod["status"].get("conditions") or []
        lost = [condition("Ready", False, "NodeNotReady") if one["type"] == "Ready" else one for one in conditions]
        changed = keep_transition_times(conditions, lost)
        if changed != conditions:
            self._overwrite_status(key, pod, {**pod["status"], "conditions": changed})
            self._events.warning(Source("node-controller"), pod, "NodeNotReady", "Node is not ready")

    def _admit(self, key: Key, pod: Object, host: Object, now: float) -> float:
        """Take over a pod that was bound to a Kubernetes node."""
        if is_ended(pod):
            return math.inf
        self._addresses += 1
        spec = pod["spec"]
        inits = [ContainerRun(container, "init") for container in spec.get("initContainers") or []]
        mains = [ContainerRun(container) for container in spec["containers"]]
        for container in [*inits, *mains]:
            container.waiting = ("PodInitializing" if inits else "ContainerCreating", "")
        address = f"10.88.{self._addresses // 250 % 250}.{self._addresses % 250 + 2}"
        self._runs[key] = run = PodRun(pod["metadata"]["uid"], address, timestamp(), inits, mains)
        if not is_terminating(pod):
            self._update_status(key, run, host)
        return now

    def _add_ephemerals(self, pod: Object, run: PodRun) -> None:
        known = {container.name for container in run.ephemerals}
        specs = pod["spec"].get("ephemeralContainers") or []
        run.ephemerals += [ContainerRun(spec, "ephemeral") for spec in specs if spec["name"] not in known]

    # A pod that runs

    def _run(self, pod: Object, run: PodRun, now: float) -> float:
        """Take one step of each container; return when the next is due."""
        if not run.has_run and (blocked_until := self._blocked(pod, run, now)) is not None:
            return blocked_until
        due = math.inf
        work_done = all(main.ended is not None and not _restarts(pod, main) for main in run.mains)
        for init in run.inits:
            if init.sidecar and work_done:
                if init.running:
                    init.end(0)
                continue
            due = min(due, self._step_container(pod, run, init, now))
            if not init.initialized:
                return due
        for container in [*run.mains, *run.ephemerals]:
            due = min(due, self._step_container(pod, run, container, now))
        return due

    def _blocked(self, pod: Object, run: PodRun, now: float) -> float | None:
        """Return when to look again at a pod that has no volume or no network; None if it can start."""
        behaviour = self._behaviours.of(pod["metadata"]["name"])
        if behaviour.volume_fails:
            if not run.volume_failed:
                run.volume_failed = True
                message = (
                    "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[data]: "
                    "timed out waiting for the condition"
                )
                self._events.warning(_source(pod), pod, "FailedMount", message)
            return math.inf
        if not behaviour.sandbox_fails:
            return None
        if now >= run.network_retry_at:
            run.network_retry_at = now + NETWORK_RETRY_AFTER
            message = (
                "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "
                f'"{run.uid}": failed to allocate for range 0: no IP addresses available in range set'
            )
            self._events.warning(_source(pod), pod, "FailedCreatePodSandBox", message)
        return run.network_retry_at

    def _step_container(self, pod: Object, run: PodRun, container: ContainerRun, now: float) -> float:
        """Take a container's next step, if it is due; return when the one after it is due."""
        behaviour = self._behaviours.of(pod["metadata"]["name"], container.name)
        if container.running:
            return self._end_or_probe(pod, container, behaviour, now)
        if container.ended is not None and not _restarts(pod, container):
            return math.inf
        if container.ended is not None and container.restarts > 0:
            self._back_off(pod, container, now)
        if container.backs_off_until is not None and now < container.backs_off_until:
            return container.backs_off_until
        if not container.id and behaviour.image_pull_fails:
            return self._fail_to_pull(pod, container, now)
        exit_code, runs_for = behaviour.crash_exit_code, behaviour.runs_for
        if container.init and not container.sidecar:
            own = self._behaviours.own(pod["metadata"]["name"], container.name)
            exit_code, runs_for = int(behaviour.init_fails and (own is not None or container is run.inits[0])), 0
        container.start(now, exit_code, now + runs_for)
        image = container.spec.get("image", "")
        self._normal(pod, container, "Pulled", f'Container image "{image}" already present on machine')
        self._normal(pod, container, "Created", f"Created container {container.name}")
        self._normal(pod, container, "Started", f"Started container {container.name}")
        return now

    def _end_or_probe(self, pod: Object, container: ContainerRun, behaviour: Behaviour, now: float) -> float:
        """Let a container that runs exit, or probe it, if that is due."""
        if container.exit_code is None:
            return math.inf if container.ready else self._probe(pod, container, behaviour, now)
        if now < container.exits_at:
            return container.exits_at
        container.end(container.exit_code)
        return now

    def _fail_to_pull(self, pod: Object, container: ContainerRun, now: float) -> float:
        image = container.spec.get("image", "")
        if container.pull_failed_at is None:
            container.pull_failed_at = now
            why = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": not found'
            error = f"rpc error: code = NotFound desc = {why}"
            container.waiting = ("ErrImagePull", error)
            self._normal(pod, container, "Pulling", f'Pulling image "{image}"')
            self._warning(pod, container, "Failed", f'Failed to pull image "{image}": {error}')
            self._warning(pod, container, "Failed", "Error: ErrImagePull")
        backs_off_at = container.pull_failed_at + PULL_BACK_OFF_AFTER
        if now < backs_off_at:
            return backs_off_at
        if container.waiting[0] != "ImagePullBackOff":
            container.waiting = ("ImagePullBackOff", f'Back-off pulling image "{image}"')
            self._normal(pod, container, "BackOff", container.waiting[1])
            self._warning(pod, container, "Failed", "Error: ImagePullBackOff")
        return math.inf

    def _probe(self, pod: Object, container: ContainerRun, behaviour: Behaviour, now: float) -> float:
        if container.kind == "ephemeral" or (container.started and "readinessProbe" not in container.spec):
            return math.inf
        due = container.next_check()
        if now < due:
            return due
        container.checks += 1
        passes_after = max(behaviour.starts_after, behaviour.ready_after if container.started else 0)
        if container.ran_for(now) >= passes_after:
            container.pass_probe()
            return now
        what = container.probe_name.removesuffix("Probe").capitalize()
        refused = f"{what} probe failed: dial tcp: connect: connection refused"
        self._warning(pod, container, "Unhealthy", refused)
        if not container.started and container.checks >= container.probe["failureThreshold"]:
            message = f"Container {container.name} failed startup probe, will be restarted"
            self._normal(pod, container, "Killing", message)
            container.end(KILLED)
            return now
        return container.next_check()

    def _back_off(self, pod: Object, container: ContainerRun, now: float) -> None:
        """Let a container that has ended wait before its restart; each wait is twice as long, at most 300 s."""
        seconds = min(FIRST_BACK_OFF * 2.0 ** (container.restarts - 1), LAST_BACK_OFF)
        name, namespace, uid = (pod["metadata"][part] for part in ("name", "namespace", "uid"))
        pod_name = f"{name}_{namespace}({uid})"
        message = f"back-off {_duration(seconds)} restarting failed container={container.name} pod={pod_name}"
        container.back_off(now + seconds, message)
        self._warning(pod, container, "BackOff", "Back-off restarting failed container")

    # A pod that terminates

    def _terminate(self, pod: Object, run: PodRun, now: float) -> float:
        """Stop the containers, native sidecars last; kill what still runs at the end of the grace period."""
        if run.stopping_since is None:
            run.stopping_since = now
        killed_at = run.stopping_since + pod["metadata"]["deletionGracePeriodSeconds"]
        running = [container for container in run.containers if container.running]
        first = [container for container in running if not container.sidecar]
        due = min((self._stop(pod, container, now, killed_at) for container in first or running), default=math.inf)
        run.stopped = not any(container.running for container in running)
        return math.inf if run.stopped else due

    def _stop(self, pod: Object, container: ContainerRun, now: float, killed_at: float) -> float:
        behaviour = self._behaviours.of(pod["metadata"]["name"], container.name)
        if container.stopping_since is None:
            container.stopping_since = now
            self._normal(pod, container, "Killing", f"Stopping container {container.name}")
        if behaviour.kill_fails and now >= killed_at:
            message = (
                f'error killing pod: failed to "KillContainer" for "{container.name}" with KillContainerError: '
                '"rpc error: code = DeadlineExceeded desc = context deadline exceeded"'
            )
            self._events.warning(_source(pod), pod, "FailedKillPod", message)
            return math.inf
        if behaviour.never_stops:
            return math.inf
        # An ephemeral container runs a shell, which ignores SIGTERM.
        ignores = behaviour.ignores_term or container.kind == "ephemeral"
        stops_at = math.inf if ignores or behaviour.kill_fails else container.stopping_since + behaviour.stops_after
        ends_at = min(stops_at, killed_at)
        if now < ends_at:
            return ends_at
        container.end(0 if stops_at <= killed_at else KILLED)
        return now

    # Status and Events

    def _update_status(self, key: Key, run: PodRun, host: Object) -> None:
        pod = self._store.get(*key)
        new = status(pod, run, hosts.address(host))
        if new != pod["status"]:
            self._overwrite_status(key, pod, new)

    def _overwrite_status(self, key: Key, pod: Object, new: Object) -> Object:
        return self._store.overwrite(key, {**pod, "metadata": dict(pod["metadata"]), "status": new})

    def _normal(self, pod: Object, container: ContainerRun, reason: str, message: str) -> None:
        self._events.normal(_source(pod), pod, reason, message, field=container.field_path)

    def _warning(self, pod: Object, container: ContainerRun, reason: str, message: str) -> None:
        self._events.warning(_source(pod), pod, reason, message, field=container.field_path)


def _source(pod: Object) -> Source:
    return Source("kubelet", pod["spec"].get("nodeName", ""))


def _restarts(pod: Object, container: ContainerRun) -> bool:
    """Whether the restart policy restarts a container that has ended."""
    if container.kind == "ephemeral":
        return False
    if container.sidecar:
        return True
    policy = pod["spec"]["restartPolicy"]
    failed = not container.succeeded
    return failed and policy != "Never" if container.init else policy == "Always" or (failed and policy == "OnFailure")


def _duration(seconds: float) -> str:
    """Return a duration as Go writes it: 40s, 2m40s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
