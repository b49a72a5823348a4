"""The scheduler and kubelet of the sandbox's one Kubernetes node: pods start, are probed, fail and terminate.

What runs is remembered here (`PodRun`, `ContainerRun`); what is said about it is made from that by `_status`. A look
at a pod takes one step of it, so that each stage of a start can be watched, as on a real cluster.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox.resources import EVENTS, NAMESPACES, NODES, PODS, Object, clone, timestamp

if TYPE_CHECKING:
    from mecbounce.sandbox.behaviour import Behaviour
    from mecbounce.sandbox.store import Change, Key, Store

NODE: Final = "node1"
HOST_IP: Final = "127.0.0.1"
CRASHES_AFTER: Final = 0.5
"""Seconds that a crashing container runs."""
FIRST_BACK_OFF: Final = 10.0
LAST_BACK_OFF: Final = 300.0
PULL_BACK_OFF_AFTER: Final = 1.0
"""Seconds from ErrImagePull to ImagePullBackOff."""
KILLED: Final = 137
"""Exit code of a container that was killed: 128 + SIGKILL."""
NODE_GONE: Final = "Kubelet stopped posting node status."

DEFAULT_PROBE: Final = {"initialDelaySeconds": 0, "periodSeconds": 10, "failureThreshold": 3}


@dataclass
class ContainerRun:
    """What the kubelet knows of one container. Times in sandbox seconds; None: it is not so."""

    spec: Object
    init: bool = False
    id: str = ""
    started_at: float | None = None
    started_stamp: str = ""
    started: bool = False
    ready: bool = False
    checks: int = 0
    crash_code: int | None = None
    restarts: int = 0
    starts_again_at: float | None = None
    waiting: tuple[str, str] = ("ContainerCreating", "")
    ended: Object | None = None
    last: Object | None = None

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def sidecar(self) -> bool:
        return self.init and self.spec.get("restartPolicy") == "Always"

    @property
    def running(self) -> bool:
        return self.started_at is not None

    @property
    def initialized(self) -> bool:
        """Whether an init container lets the next one start."""
        return self.started if self.sidecar else self.ended is not None and self.ended["exitCode"] == 0

    @property
    def probe_name(self) -> str:
        """The probe that counts now: readiness is not looked at before start-up has succeeded."""
        return "readinessProbe" if self.started else "startupProbe"

    @property
    def probe(self) -> Object:
        return {**DEFAULT_PROBE, **self.spec.get(self.probe_name, {})}

    def ran_for(self, now: float) -> float:
        return now - (now if self.started_at is None else self.started_at)

    def next_check(self) -> float:
        """Return when the probe is due: after its initial delay, then each period."""
        probe, since = self.probe, self.started_at or 0.0
        return float(since + probe["initialDelaySeconds"] + self.checks * probe["periodSeconds"])

    def pass_probe(self) -> None:
        """Take a probe's success: readiness is looked at afresh once start-up has succeeded."""
        self.ready = self.started or "readinessProbe" not in self.spec
        self.started, self.checks = True, 0

    def start(self, now: float, crash_code: int | None) -> None:
        self.id = f"containerd://{secrets.token_hex(32)}"
        self.started_at, self.started_stamp = now, timestamp()
        self.started = "startupProbe" not in self.spec
        self.ready = self.started and "readinessProbe" not in self.spec
        self.checks, self.crash_code = 0, crash_code
        self.starts_again_at, self.ended = None, None

    def end(self, exit_code: int, reason: str) -> Object:
        self.ended = {
            "exitCode": exit_code,
            "reason": reason,
            "startedAt": self.started_stamp,
            "finishedAt": timestamp(),
            "containerID": self.id,
        }
        self.started_at, self.started, self.ready = None, False, False
        return self.ended

    def restart(self, exit_code: int, now: float, crash_code: int | None) -> None:
        """End it and start it anew, at once."""
        self.last = self.end(exit_code, "Error")
        self.restarts += 1
        self.start(now, crash_code)


@dataclass
class PodRun:
    """What the kubelet knows of one pod."""

    uid: str
    ip: str
    since: str
    inits: list[ContainerRun]
    mains: list[ContainerRun]
    pull_failed_at: float | None = None
    volume_failed: bool = False
    term_at: float | None = None
    stopped: bool = False
    events: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def containers(self) -> list[ContainerRun]:
        return [*self.inits, *self.mains]

    @property
    def initialized(self) -> bool:
        return all(container.initialized for container in self.inits)


class Kubelet:
    """Binds pods to the one node and runs them. ``behaviour_of``: the behaviour of the pod of a name."""

    def __init__(self, store: Store, behaviour_of: Callable[[str], Behaviour]) -> None:
        self.node_ready = True
        self._store = store
        self._behaviour_of = behaviour_of
        self._runs: dict[Key, PodRun] = {}
        self._addresses = 0

    def concerns(self, change: Change) -> Iterable[Key]:
        return [change.key] if change.key[0] == PODS else []

    def everything(self) -> Iterable[Key]:
        pods = self._store.select(PODS)
        return [(PODS, pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in pods]

    def reconcile(self, key: Key, now: float) -> float:
        with self._store.lock:
            pod = self._store.find(*key)
            run = self._runs.get(key)
            if run is not None and (pod is None or pod["metadata"]["uid"] != run.uid):
                del self._runs[key]  # deleted by force: the real kubelet kills what is left of it
                run = None
            if pod is None:
                return math.inf
            behaviour = self._behaviour_of(key[2])
            if not pod["spec"].get("nodeName"):
                return self._schedule(key, pod, behaviour, now)
            if pod["spec"]["nodeName"] != NODE:
                return math.inf
            if not self.node_ready:
                return self._lose(key, pod)
            if run is None:
                return self._admit(key, pod, now)
            terminating = "deletionTimestamp" in pod["metadata"]
            advance = self._terminate if terminating else self._run
            due = advance(pod, run, behaviour, now)
            if not run.stopped or terminating:
                self._report(key, run)
            if run.stopped:
                self._store.delete(key, grace=0, uid=run.uid)
            return due

    def set_node_ready(self, ready: bool) -> None:
        with self._store.lock:
            self.node_ready = ready
            key = (NODES, "", NODE)
            node = clone(self._store.get(*key))
            node["status"]["conditions"] = [node_condition(ready=ready)]
            node["spec"] = {} if ready else {"taints": [dict(taint, timeAdded=timestamp()) for taint in UNREACHABLE]}
            self._store.overwrite(key, node)

    def _schedule(self, key: Key, pod: Object, behaviour: Behaviour, now: float) -> float:
        if "deletionTimestamp" in pod["metadata"] or pod["spec"]["schedulerName"] != "default-scheduler":
            return math.inf
        pod = clone(pod)
        if behaviour.unschedulable or not self.node_ready:
            why = "Insufficient memory" if self.node_ready else "node(s) had taint {node.kubernetes.io/unreachable: }"
            message = f"0/1 nodes are available: 1 {why}" + (
                "." if self.node_ready else ", that the pod didn't tolerate."
            )
            known = pod["status"].get("conditions") or []
            condition = _condition("PodScheduled", False, "Unschedulable", message)
            if not known:
                self._event(pod, None, "Warning", "FailedScheduling", message, component="default-scheduler")
            pod["status"]["conditions"] = _settled(known, [condition])
            if pod["status"]["conditions"] != known:
                self._store.overwrite(key, pod)
            return math.inf
        pod["spec"]["nodeName"] = NODE
        pod["status"]["conditions"] = [_condition("PodScheduled", True)]
        self._store.overwrite(key, pod)
        where = f"Successfully assigned {key[1]}/{key[2]} to {NODE}"
        self._event(pod, None, "Normal", "Scheduled", where, component="default-scheduler")
        return now

    def _lose(self, key: Key, pod: Object) -> float:
        """Say of a pod on a lost node what the node controller says: it is not ready; nothing else is known."""
        conditions = pod["status"].get("conditions") or []
        lost = [
            _condition("Ready", False, "NodeNotReady") if condition["type"] == "Ready" else condition
            for condition in conditions
        ]
        settled = _settled(conditions, lost)
        if settled != conditions:
            self._store.overwrite(
                key, {**pod, "metadata": dict(pod["metadata"]), "status": {**pod["status"], "conditions": settled}}
            )
            self._event(pod, None, "Warning", "NodeNotReady", "Node is not ready", component="node-controller")
        return math.inf

    def _admit(self, key: Key, pod: Object, now: float) -> float:
        self._addresses += 1
        spec = pod["spec"]
        inits = [ContainerRun(container, init=True) for container in spec.get("initContainers") or []]
        mains = [ContainerRun(container) for container in spec["containers"]]
        for container in [*inits, *mains]:
            container.waiting = ("PodInitializing" if inits else "ContainerCreating", "")
        address = f"10.88.{self._addresses // 250 % 250}.{self._addresses % 250 + 2}"
        self._runs[key] = run = PodRun(pod["metadata"]["uid"], address, timestamp(), inits, mains)
        if "deletionTimestamp" not in pod["metadata"]:
            self._report(key, run)
        return now

    def _run(self, pod: Object, run: PodRun, behaviour: Behaviour, now: float) -> float:
        """Bring a pod on by one step; return when the next is due."""
        if not any(container.running or container.ended for container in run.containers):
            blocked = self._blocked(pod, run, behaviour, now)
            if blocked is not None:
                return blocked
        due = math.inf
        for container in run.containers:
            due = min(due, self._tend(pod, container, behaviour, now))
        for init in run.inits:
            if not init.initialized:
                return min(due, self._start_init(pod, run, init, behaviour, now))
        for container in run.mains:
            if not container.running and container.ended is None and container.starts_again_at is None:
                container.start(now, behaviour.crash_exit_code)
                self._started(pod, container)
                due = now
        return due

    def _blocked(self, pod: Object, run: PodRun, behaviour: Behaviour, now: float) -> float | None:
        """Return when to look again at a pod that cannot start; None for one that can."""
        if behaviour.volume_fails:
            if not run.volume_failed:
                run.volume_failed = True
                message = (
                    "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[data]: "
                    "timed out waiting for the condition"
                )
                self._event(pod, None, "Warning", "FailedMount", message)
            return math.inf
        if not behaviour.image_pull_fails:
            return None
        first = run.pull_failed_at is None
        failed_at = run.pull_failed_at = now if run.pull_failed_at is None else run.pull_failed_at
        backing_off = now >= failed_at + PULL_BACK_OFF_AFTER
        for container in run.inits[:1] or run.mains:
            image = container.spec.get("image", "")
            why = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": not found'
            if first:
                error = f'Failed to pull image "{image}": rpc error: code = NotFound desc = {why}'
                self._event(pod, container, "Normal", "Pulling", f'Pulling image "{image}"')
                self._event(pod, container, "Warning", "Failed", error)
                self._event(pod, container, "Warning", "Failed", "Error: ErrImagePull")
                container.waiting = ("ErrImagePull", f"rpc error: code = NotFound desc = {why}")
            elif backing_off and container.waiting[0] != "ImagePullBackOff":
                message = f'Back-off pulling image "{image}"'
                self._event(pod, container, "Normal", "BackOff", message)
                self._event(pod, container, "Warning", "Failed", "Error: ImagePullBackOff")
                container.waiting = ("ImagePullBackOff", message)
        return math.inf if backing_off else failed_at + PULL_BACK_OFF_AFTER

    def _start_init(self, pod: Object, run: PodRun, init: ContainerRun, behaviour: Behaviour, now: float) -> float:
        if init.running or (init.starts_again_at is not None and now < init.starts_again_at):
            return math.inf  # `_tend` told when it is due
        fails = behaviour.init_fails and init is run.inits[0] and not init.sidecar
        init.start(now, None)
        self._started(pod, init)
        if fails:
            self._crashed(pod, init, 1, now)
        elif not init.sidecar:
            init.end(0, "Completed")
            init.ready = True
        return now

    def _tend(self, pod: Object, container: ContainerRun, behaviour: Behaviour, now: float) -> float:
        """Start again, crash or probe one container where that is due; return when the next thing is."""
        if container.starts_again_at is not None:
            if now < container.starts_again_at:
                return container.starts_again_at
            if not container.init:
                container.start(now, behaviour.crash_exit_code)
                self._started(pod, container)
            return now
        if container.started_at is None:
            return math.inf
        if container.crash_code is not None:
            crashes_at = container.started_at + CRASHES_AFTER
            if now < crashes_at:
                return crashes_at
            self._crashed(pod, container, container.crash_code, now)
            return now
        return math.inf if container.ready else self._probe(pod, container, behaviour, now)

    def _probe(self, pod: Object, container: ContainerRun, behaviour: Behaviour, now: float) -> float:
        due = container.next_check()
        if now < due:
            return due
        container.checks += 1
        if container.ran_for(now) >= behaviour.starts_after:
            container.pass_probe()
            return now
        what = container.probe_name.removesuffix("Probe").capitalize()
        refused = f"{what} probe failed: dial tcp: connect: connection refused"
        self._event(pod, container, "Warning", "Unhealthy", refused)
        if not container.started and container.checks >= container.probe["failureThreshold"]:
            message = f"Container {container.name} failed startup probe, will be restarted"
            self._event(pod, container, "Normal", "Killing", message)
            container.restart(KILLED, now, behaviour.crash_exit_code)
            self._started(pod, container)
            return now
        return container.next_check()

    def _crashed(self, pod: Object, container: ContainerRun, code: int, now: float) -> None:
        """A container has ended by itself: the first time it starts again at once, then after a growing back-off."""
        ended = container.end(code, "Error" if code else "Completed")
        if container.restarts == 0 and not container.init:
            container.restarts, container.last = 1, ended
            container.start(now, container.crash_code)
            self._started(pod, container)
            return
        container.last, container.ended = ended, None
        back_off = min(FIRST_BACK_OFF * 2.0 ** max(container.restarts - 1, 0), LAST_BACK_OFF)
        container.restarts += 1
        container.starts_again_at = now + back_off
        name, namespace, uid = (pod["metadata"][part] for part in ("name", "namespace", "uid"))
        pod_name = f"{name}_{namespace}({uid})"
        message = f"back-off {_duration(back_off)} restarting failed container={container.name} pod={pod_name}"
        container.waiting = ("CrashLoopBackOff", message)
        self._event(pod, container, "Warning", "BackOff", "Back-off restarting failed container")

    def _started(self, pod: Object, container: ContainerRun) -> None:
        image = container.spec.get("image", "")
        self._event(pod, container, "Normal", "Pulled", f'Container image "{image}" already present on machine')
        self._event(pod, container, "Normal", "Created", f"Created container {container.name}")
        self._event(pod, container, "Normal", "Started", f"Started container {container.name}")

    def _terminate(self, pod: Object, run: PodRun, behaviour: Behaviour, now: float) -> float:
        running = [container for container in run.containers if container.running]
        if run.term_at is None:
            run.term_at = now
            for container in running:
                self._event(pod, container, "Normal", "Killing", f"Stopping container {container.name}")
        if run.stopped:
            return math.inf
        killed_at: float = run.term_at + pod["metadata"]["deletionGracePeriodSeconds"]
        stops_at = math.inf if behaviour.ignores_term else run.term_at + behaviour.stops_after
        if running and behaviour.never_stops:
            return math.inf
        if running and now < min(stops_at, killed_at):
            return min(stops_at, killed_at)
        for container in running:
            if stops_at <= killed_at:
                container.end(0, "Completed")
            else:
                container.end(KILLED, "Error")
        run.stopped = True
        return math.inf

    def _report(self, key: Key, run: PodRun) -> None:
        pod = self._store.get(*key)
        status = _status(pod, run)
        if status != pod["status"]:
            self._store.overwrite(key, {**pod, "metadata": dict(pod["metadata"]), "status": status})

    def _event(
        self,
        pod: Object,
        container: ContainerRun | None,
        kind: str,
        reason: str,
        message: str,
        *,
        component: str = "kubelet",
    ) -> None:
        """Write an Event about a pod, or count one up that says the same."""
        metadata = pod["metadata"]
        if self._store.find(NAMESPACES, "", metadata["namespace"]) is None:
            return  # the namespace has gone, and its pods are going
        key = (PODS, metadata["namespace"], metadata["name"])
        run = self._runs.get(key)
        known = run.events if run else {}
        place = container.name if container else ""
        name = known.get((reason, place + message))
        old = self._store.find(EVENTS, metadata["namespace"], name) if name else None
        if old is not None and name:
            again = {**clone(old), "count": old["count"] + 1, "lastTimestamp": timestamp()}
            self._store.overwrite((EVENTS, metadata["namespace"], name), again)
            return
        involved = {
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "apiVersion": "v1",
            "resourceVersion": metadata["resourceVersion"],
        }
        if container:
            involved["fieldPath"] = f"spec.{'initContainers' if container.init else 'containers'}{{{container.name}}}"
        source = {"component": component, **({"host": NODE} if component == "kubelet" else {})}
        event = {
            "metadata": {"name": f"{metadata['name']}.{secrets.token_hex(8)}"},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": timestamp(),
            "lastTimestamp": timestamp(),
            "count": 1,
            "type": kind,
        }
        written = self._store.create(EVENTS, metadata["namespace"], event)
        known[reason, place + message] = written["metadata"]["name"]


UNREACHABLE: Final = (
    {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"},
)


def node() -> Object:
    """Return the one Kubernetes node, ready."""
    capacity = {"cpu": "8", "memory": "16Gi", "pods": "250"}
    return {
        "metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"}},
        "spec": {},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "addresses": [{"type": "InternalIP", "address": HOST_IP}, {"type": "Hostname", "address": NODE}],
            "conditions": [node_condition(ready=True)],
        },
    }


def node_condition(*, ready: bool) -> Object:
    return {
        "type": "Ready",
        "status": "True" if ready else "Unknown",
        "lastHeartbeatTime": timestamp(),
        "lastTransitionTime": timestamp(),
        "reason": "KubeletReady" if ready else "NodeStatusUnknown",
        "message": "kubelet is posting ready status" if ready else NODE_GONE,
    }


def _duration(seconds: float) -> str:
    """Write a duration as Go does: 40s, 2m40s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _condition(kind: str, holds: bool, reason: str = "", message: str = "") -> Object:
    condition = {
        "type": kind,
        "status": "True" if holds else "False",
        "lastProbeTime": None,
        "lastTransitionTime": timestamp(),
    }
    return condition | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def _settled(old: list[Object], new: list[Object]) -> list[Object]:
    """Return the new conditions, each with its old transition time where its status is the same."""
    known = {condition["type"]: condition for condition in old}
    for condition in new:
        before = known.get(condition["type"])
        if before and before["status"] == condition["status"]:
            condition["lastTransitionTime"] = before["lastTransitionTime"]
    return new


def _status(pod: Object, run: PodRun) -> Object:
    """Return the pod's status as the kubelet reports it; conditions of others (readiness gates) stay."""
    old = pod["status"]
    mains = run.mains
    counted = [*mains, *(init for init in run.inits if init.sidecar)]
    waiting_for = [container.name for container in run.inits if not container.initialized]
    unready = [container.name for container in counted if not container.ready]
    gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or []]
    others = [
        condition
        for condition in old.get("conditions") or []
        if condition["type"] not in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    ]
    scheduled = [condition for condition in old.get("conditions") or [] if condition["type"] == "PodScheduled"]
    conditions = [
        _condition("Initialized", False, "ContainersNotInitialized", _incomplete(waiting_for))
        if waiting_for and not run.stopped
        else _condition("Initialized", True),
        _ready(unready, gates, others),
        _condition("ContainersReady", False, "ContainersNotReady", _unready(unready))
        if unready
        else _condition("ContainersReady", True),
        *(scheduled or [_condition("PodScheduled", True)]),
    ]
    status = {
        **old,
        "phase": _phase(run),
        "conditions": [*_settled(old.get("conditions") or [], conditions), *others],
        "hostIP": HOST_IP,
        "startTime": run.since,
        "containerStatuses": [_container_status(container) for container in mains],
    }
    if run.inits:
        status["initContainerStatuses"] = [_container_status(container) for container in run.inits]
    if any(container.id for container in run.containers):
        status |= {"podIP": run.ip, "podIPs": [{"ip": run.ip}]}
    return status


def _phase(run: PodRun) -> str:
    if run.stopped:
        clean = all(container.ended is not None and container.ended["exitCode"] == 0 for container in run.mains)
        return "Succeeded" if clean else "Failed"
    return "Running" if any(container.id for container in run.mains) else "Pending"


def _incomplete(names: list[str]) -> str:
    return f"containers with incomplete status: [{' '.join(names)}]"


def _unready(names: list[str]) -> str:
    return f"containers with unready status: [{' '.join(names)}]"


def _ready(unready: list[str], gates: list[str], others: list[Object]) -> Object:
    if unready:
        return _condition("Ready", False, "ContainersNotReady", _unready(unready))
    met = {condition["type"]: condition["status"] for condition in others}
    for gate in gates:
        if gate not in met:
            why = f'corresponding condition of pod readiness gate "{gate}" does not exist.'
            return _condition("Ready", False, "ReadinessGatesNotReady", why)
        if met[gate] != "True":
            why = f'the status of pod readiness gate "{gate}" is not "True", but {met[gate]}'
            return _condition("Ready", False, "ReadinessGatesNotReady", why)
    return _condition("Ready", True)


def _container_status(container: ContainerRun) -> Object:
    reason, message = container.waiting
    if container.running:
        state: Object = {"running": {"startedAt": container.started_stamp}}
    elif container.ended is not None:
        state = {"terminated": container.ended}
    else:
        state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    image = container.spec.get("image", "")
    status: Object = {
        "name": container.name,
        "state": state,
        "lastState": {"terminated": container.last} if container.last else {},
        "ready": container.ready,
        "restartCount": container.restarts,
        "image": image,
        "imageID": f"sandbox@sha256:{image}" if container.id else "",
        "started": container.started,
    }
    return status | ({"containerID": container.id} if container.id else {})
