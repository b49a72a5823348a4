"""The kubelets of the sandbox's Kubernetes nodes: pods start, are probed, fail and terminate.

A look at a pod takes one step of each of its containers, so that each stage of a start can be watched, as on a real
cluster. What runs is remembered in `containers`; a static pod's containers outlive the object that mirrors them.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox import hosts
from mecbounce.sandbox.containers import ENDED, ContainerRun, PodRun, condition, settled, status
from mecbounce.sandbox.events import EventRecorder, Source
from mecbounce.sandbox.resources import NODES, PODS, Object, clone, owner_reference, timestamp

if TYPE_CHECKING:
    from mecbounce.sandbox.behaviour import Behaviour, Behaviours
    from mecbounce.sandbox.store import Change, Key, Store

FIRST_BACK_OFF: Final = 10.0
LAST_BACK_OFF: Final = 300.0
PULL_BACK_OFF_AFTER: Final = 1.0
"""Seconds from ErrImagePull to ImagePullBackOff."""
SANDBOX_AGAIN_AFTER: Final = 12.0
"""Seconds between two attempts at a pod's network."""
KILLED: Final = 137
"""Exit code of a container that was killed: 128 + SIGKILL."""
MIRROR: Final = "kubernetes.io/config.mirror"


class Kubelet:
    """Runs the pods that are bound to a Kubernetes node, for all of them that are there."""

    def __init__(self, store: Store, behaviours: Behaviours, events: EventRecorder) -> None:
        self._store = store
        self._behaviours = behaviours
        self._events = events
        self._runs: dict[Key, PodRun] = {}
        self._static: dict[Key, Object] = {}
        self._addresses = 0

    def concerns(self, change: Change) -> Iterable[Key]:
        if change.key[0] == NODES:
            return [key for key in self.everything() if self._host_of(key) == change.key[2]]
        return [change.key] if change.key[0] == PODS else []

    def everything(self) -> Iterable[Key]:
        pods = self._store.select(PODS)
        return [*((PODS, pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in pods), *self._static]

    def reconcile(self, key: Key, now: float) -> float:
        with self._store.lock:
            pod = self._mirror(key)
            run = self._runs.get(key)
            if run is not None and key not in self._static and (pod is None or pod["metadata"]["uid"] != run.uid):
                del self._runs[key]  # deleted by force: the real kubelet kills what is left of it
                run = None
            if pod is None or not pod["spec"].get("nodeName"):
                return math.inf
            node = self._store.find(NODES, "", pod["spec"]["nodeName"])
            if node is None:
                return math.inf
            if not hosts.is_ready(node):
                return self._lose(key, pod)
            if run is None:
                return self._admit(key, pod, node, now)
            return self._step(key, pod, run, node, now)

    def _step(self, key: Key, pod: Object, run: PodRun, node: Object, now: float) -> float:
        terminating = "deletionTimestamp" in pod["metadata"] and key not in self._static
        if run.evicted:
            return math.inf
        self._take_ephemerals(pod, run)
        due = (self._terminate if terminating else self._run)(pod, run, now)
        # The kubelet says nothing of a pod while it stops it, nor of one that has ended for good.
        if terminating == run.stopped:
            self._report(key, run, node)
        if run.stopped:
            self._store.delete(key, grace=0, uid=run.uid)
        return due

    def add_static(self, node: Object, namespace: str, name: str, spec: Object) -> Key:
        """Run a pod that the API server has no say in; return the key of the object that mirrors it."""
        host, config = node["metadata"]["name"], secrets.token_hex(16)
        owner = owner_reference(NODES, node)
        del owner["blockOwnerDeletion"]
        marks = {MIRROR: config, "kubernetes.io/config.hash": config, "kubernetes.io/config.source": "file"}
        metadata = {"name": f"{name}-{host}", "annotations": marks, "ownerReferences": [owner]}
        key = (PODS, namespace, f"{name}-{host}")
        with self._store.lock:
            tolerations = [{"operator": "Exists", "effect": "NoExecute"}]
            self._static[key] = {
                "metadata": metadata,
                "spec": {"tolerations": tolerations, **clone(spec), "nodeName": host},
            }
        return key

    def evict(self, key: Key, message: str) -> Object:
        """Stop a pod to save its Kubernetes node: what is left is an object that says so."""
        with self._store.lock:
            pod, run = self._store.get(*key), self._runs.get(key)
            said = {"phase": "Failed", "reason": "Evicted", "message": message}
            since = {"startTime": pod["status"]["startTime"]} if "startTime" in pod["status"] else {}
            left = {**pod, "metadata": dict(pod["metadata"]), "status": {**said, **since}}
            evicted = self._store.overwrite(key, left)
            self._events.warning(_source(pod), evicted, "Evicted", message)
            if run is not None:
                run.evicted = True
                for container in filter(lambda container: container.running, run.containers):
                    self._say(pod, container, "Killing", f"Stopping container {container.name}")
            return evicted

    def _host_of(self, key: Key) -> str:
        pod = self._store.find(*key) or self._static.get(key)
        return str(pod["spec"].get("nodeName", "")) if pod else ""

    def _mirror(self, key: Key) -> Object | None:
        """Return the pod of a key; a static one that has been deleted gets a new object over the same containers."""
        pod, static, run = self._store.find(*key), self._static.get(key), self._runs.get(key)
        if static is None or (pod is not None and "deletionTimestamp" not in pod["metadata"]):
            return pod
        node = self._store.find(NODES, "", static["spec"]["nodeName"])
        if node is None or not hosts.is_ready(node):
            return pod
        if pod is not None and not self._store.delete(key, grace=0)[1]:
            return pod  # a finalizer keeps it
        pod = self._store.create(PODS, key[1], static)
        if run is not None:
            run.uid = pod["metadata"]["uid"]
        return pod

    def _lose(self, key: Key, pod: Object) -> float:
        """Say of a pod on a lost node what the node controller says: it is not ready; nothing else is known."""
        conditions = pod["status"].get("conditions") or []
        lost = [condition("Ready", False, "NodeNotReady") if one["type"] == "Ready" else one for one in conditions]
        known = settled(conditions, lost)
        if known != conditions:
            lost_pod = {**pod, "metadata": dict(pod["metadata"]), "status": {**pod["status"], "conditions": known}}
            self._store.overwrite(key, lost_pod)
            self._events.warning(Source("node-controller"), pod, "NodeNotReady", "Node is not ready")
        return math.inf

    def _admit(self, key: Key, pod: Object, node: Object, now: float) -> float:
        if pod["status"]["phase"] in ENDED:
            return math.inf
        self._addresses += 1
        spec = pod["spec"]
        inits = [ContainerRun(container, "init") for container in spec.get("initContainers") or []]
        mains = [ContainerRun(container) for container in spec["containers"]]
        for container in [*inits, *mains]:
            container.waiting = ("PodInitializing" if inits else "ContainerCreating", "")
        address = f"10.88.{self._addresses // 250 % 250}.{self._addresses % 250 + 2}"
        self._runs[key] = run = PodRun(pod["metadata"]["uid"], address, timestamp(), inits, mains)
        if "deletionTimestamp" not in pod["metadata"]:
            self._report(key, run, node)
        return now

    def _take_ephemerals(self, pod: Object, run: PodRun) -> None:
        known = {container.name for container in run.ephemerals}
        specs = pod["spec"].get("ephemeralContainers") or []
        run.ephemerals += [ContainerRun(spec, "ephemeral") for spec in specs if spec["name"] not in known]

    # A pod that is to run

    def _run(self, pod: Object, run: PodRun, now: float) -> float:
        """Bring each container on by one step; return when the next is due."""
        if not run.ran and (blocked_until := self._blocked(pod, run, now)) is not None:
            return blocked_until
        due = math.inf
        work_done = all(main.ended is not None and not _starts_again(pod, main) for main in run.mains)
        for init in run.inits:
            if init.sidecar and work_done:
                if init.running:
                    init.end(0, "Completed")
                continue
            due = min(due, self._tend(pod, run, init, now))
            if not init.initialized:
                return due
        for container in [*run.mains, *run.ephemerals]:
            due = min(due, self._tend(pod, run, container, now))
        return due

    def _blocked(self, pod: Object, run: PodRun, now: float) -> float | None:
        """Return when to look again at a pod that wants a volume or a network; None for one that can start."""
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
        if now >= run.sandbox_again_at:
            run.sandbox_again_at = now + SANDBOX_AGAIN_AFTER
            message = (
                "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "
                f'"{run.uid}": failed to allocate for range 0: no IP addresses available in range set'
            )
            self._events.warning(_source(pod), pod, "FailedCreatePodSandBox", message)
        return run.sandbox_again_at

    def _tend(self, pod: Object, run: PodRun, container: ContainerRun, now: float) -> float:
        """Take one container's next step where it is due; return when the next one is."""
        behaviour = self._behaviours.of(pod["metadata"]["name"], container.name)
        if container.running:
            return self._look_after(pod, container, behaviour, now)
        if container.ended is not None and not _starts_again(pod, container):
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
        self._say(pod, container, "Pulled", f'Container image "{image}" already present on machine')
        self._say(pod, container, "Created", f"Created container {container.name}")
        self._say(pod, container, "Started", f"Started container {container.name}")
        return now

    def _look_after(self, pod: Object, container: ContainerRun, behaviour: Behaviour, now: float) -> float:
        """End or probe a container that runs, where that is due."""
        if container.exit_code is None:
            return math.inf if container.ready else self._probe(pod, container, behaviour, now)
        if now < container.exits_at:
            return container.exits_at
        container.end(container.exit_code, "Error" if container.exit_code else "Completed")
        return now

    def _fail_to_pull(self, pod: Object, container: ContainerRun, now: float) -> float:
        image = container.spec.get("image", "")
        if container.pull_failed_at is None:
            container.pull_failed_at = now
            why = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": not found'
            error = f"rpc error: code = NotFound desc = {why}"
            container.waiting = ("ErrImagePull", error)
            self._say(pod, container, "Pulling", f'Pulling image "{image}"')
            self._warn(pod, container, "Failed", f'Failed to pull image "{image}": {error}')
            self._warn(pod, container, "Failed", "Error: ErrImagePull")
        backs_off_at = container.pull_failed_at + PULL_BACK_OFF_AFTER
        if now < backs_off_at:
            return backs_off_at
        if container.waiting[0] != "ImagePullBackOff":
            container.waiting = ("ImagePullBackOff", f'Back-off pulling image "{image}"')
            self._say(pod, container, "BackOff", container.waiting[1])
            self._warn(pod, container, "Failed", "Error: ImagePullBackOff")
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
        self._warn(pod, container, "Unhealthy", refused)
        if not container.started and container.checks >= container.probe["failureThreshold"]:
            message = f"Container {container.name} failed startup probe, will be restarted"
            self._say(pod, container, "Killing", message)
            container.end(KILLED, "Error")
            return now
        return container.next_check()

    def _back_off(self, pod: Object, container: ContainerRun, now: float) -> None:
        """Let a container that has ended wait; the first time it starts again at once."""
        seconds = min(FIRST_BACK_OFF * 2.0 ** (container.restarts - 1), LAST_BACK_OFF)
        name, namespace, uid = (pod["metadata"][part] for part in ("name", "namespace", "uid"))
        pod_name = f"{name}_{namespace}({uid})"
        message = f"back-off {_duration(seconds)} restarting failed container={container.name} pod={pod_name}"
        container.back_off(now + seconds, message)
        self._warn(pod, container, "BackOff", "Back-off restarting failed container")

    # A pod that is to end

    def _terminate(self, pod: Object, run: PodRun, now: float) -> float:
        """Tell the containers to stop, the native sidecars last, and kill them at the end of the grace period."""
        if run.term_at is None:
            run.term_at = now
        killed_at = run.term_at + pod["metadata"]["deletionGracePeriodSeconds"]
        running = [container for container in run.containers if container.running]
        first = [container for container in running if not container.sidecar]
        due = min((self._stop(pod, container, now, killed_at) for container in first or running), default=math.inf)
        run.stopped = not any(container.running for container in running)
        return math.inf if run.stopped else due

    def _stop(self, pod: Object, container: ContainerRun, now: float, killed_at: float) -> float:
        behaviour = self._behaviours.of(pod["metadata"]["name"], container.name)
        if container.term_at is None:
            container.term_at = now
            self._say(pod, container, "Killing", f"Stopping container {container.name}")
        if behaviour.kill_fails and now >= killed_at:
            message = (
                f'error killing pod: failed to "KillContainer" for "{container.name}" with KillContainerError: '
                '"rpc error: code = DeadlineExceeded desc = context deadline exceeded"'
            )
            self._events.warning(_source(pod), pod, "FailedKillPod", message)
            return math.inf
        if behaviour.never_stops:
            return math.inf
        # A shell, which is what runs in an ephemeral container, does not end at SIGTERM.
        ignores = behaviour.ignores_term or container.kind == "ephemeral"
        stops_at = math.inf if ignores else container.term_at + behaviour.stops_after
        if behaviour.kill_fails or now < min(stops_at, killed_at):
            return killed_at if behaviour.kill_fails else min(stops_at, killed_at)
        if stops_at <= killed_at:
            container.end(0, "Completed")
        else:
            container.end(KILLED, "Error")
        return now

    # What it tells

    def _report(self, key: Key, run: PodRun, node: Object) -> None:
        pod = self._store.get(*key)
        made = status(pod, run, hosts.address(node))
        if made != pod["status"]:
            self._store.overwrite(key, {**pod, "metadata": dict(pod["metadata"]), "status": made})

    def _say(self, pod: Object, container: ContainerRun, reason: str, message: str) -> None:
        self._events.normal(_source(pod), pod, reason, message, field=container.field_path)

    def _warn(self, pod: Object, container: ContainerRun, reason: str, message: str) -> None:
        self._events.warning(_source(pod), pod, reason, message, field=container.field_path)


def _source(pod: Object) -> Source:
    return Source("kubelet", pod["spec"].get("nodeName", ""))


def _starts_again(pod: Object, container: ContainerRun) -> bool:
    """Whether a container that has ended is to start again."""
    if container.kind == "ephemeral":
        return False
    if container.sidecar:
        return True
    policy = pod["spec"]["restartPolicy"]
    failed = not container.succeeded
    return failed and policy != "Never" if container.init else policy == "Always" or (failed and policy == "OnFailure")


def _duration(seconds: float) -> str:
    """Write a duration as Go does: 40s, 2m40s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
