"""What the kubelet knows about a pod and its containers, and the pod status that follows from it.

`ContainerRun` and `PodRun` are the kubelet's memory. `status` is a pure function of them and of the pod before.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from mecbounce.sandbox.clock import timestamp
from mecbounce.sandbox.objects import condition, keep_transition_times
from mecbounce.sandbox.resources import Object

DEFAULT_PROBE: Final = {"initialDelaySeconds": 0, "periodSeconds": 10, "failureThreshold": 3}
FIELDS: Final = {"init": "initContainers", "main": "containers", "ephemeral": "ephemeralContainers"}
OWN_CONDITIONS: Final = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
"""Conditions that the kubelet writes; it keeps all others, such as those of readiness gates."""


@dataclass
class ContainerRun:
    """One container. ``kind``: a key of `FIELDS`. Times in sandbox seconds, None before they are known."""

    spec: Object
    kind: str = "main"
    id: str = ""
    started_at: float | None = None
    started_stamp: str = ""
    started: bool = False
    started_once: bool = False
    ready: bool = False
    checks: int = 0
    exit_code: int | None = None
    exits_at: float = 0
    restarts: int = 0
    backs_off_until: float | None = None
    pull_failed_at: float | None = None
    waiting: tuple[str, str] = ("ContainerCreating", "")
    ended: Object | None = None
    last: Object | None = None
    stopping_since: float | None = None

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def init(self) -> bool:
        return self.kind == "init"

    @property
    def sidecar(self) -> bool:
        return self.init and self.spec.get("restartPolicy") == "Always"

    @property
    def lasting(self) -> bool:
        """Whether it is meant to run as long as its pod."""
        return self.kind == "main" or self.sidecar

    @property
    def running(self) -> bool:
        return self.started_at is not None

    @property
    def succeeded(self) -> bool:
        return self.ended is not None and self.ended["exitCode"] == 0

    @property
    def initialized(self) -> bool:
        """Whether the next init container may start."""
        return self.started_once if self.sidecar else self.succeeded

    @property
    def probe_name(self) -> str:
        """The probe that runs now: the readiness probe only after the startup probe has passed."""
        return "readinessProbe" if self.started else "startupProbe"

    @property
    def probe(self) -> Object:
        return {**DEFAULT_PROBE, **self.spec.get(self.probe_name, {})}

    @property
    def field_path(self) -> str:
        return f"spec.{FIELDS[self.kind]}{{{self.name}}}"

    def ran_for(self, now: float) -> float:
        return now - (now if self.started_at is None else self.started_at)

    def next_check(self) -> float:
        """Return when the probe is due: after its initial delay, then once a period."""
        probe, since = self.probe, self.started_at or 0.0
        return float(since + probe["initialDelaySeconds"] + self.checks * probe["periodSeconds"])

    def pass_probe(self) -> None:
        """Record that the probe passed. After the startup probe, the readiness probe begins anew."""
        self.ready = self.started or "readinessProbe" not in self.spec
        self.started, self.started_once, self.checks = True, True, 0

    def start(self, now: float, exit_code: int | None, exits_at: float) -> None:
        """Start or restart the container. ``exit_code`` None: it runs until it is stopped."""
        self.restarts += bool(self.id)
        self.last = self.ended or self.last
        self.id = f"containerd://{secrets.token_hex(32)}"
        self.started_at, self.started_stamp = now, timestamp()
        self.started = "startupProbe" not in self.spec
        self.started_once = self.started_once or self.started
        self.ready = self.started and "readinessProbe" not in self.spec
        self.checks, self.exit_code, self.exits_at = 0, exit_code, exits_at
        self.backs_off_until, self.ended = None, None

    def end(self, exit_code: int) -> None:
        self.ended = {
            "exitCode": exit_code,
            "reason": "Error" if exit_code else "Completed",
            "startedAt": self.started_stamp,
            "finishedAt": timestamp(),
            "containerID": self.id,
        }
        self.started_at, self.started = None, False
        self.ready = self.init and not self.sidecar and exit_code == 0

    def back_off(self, until: float, message: str) -> None:
        self.last, self.ended = self.ended, None
        self.backs_off_until, self.waiting = until, ("CrashLoopBackOff", message)

    def status(self) -> Object:
        reason, message = self.waiting
        if self.running:
            state: Object = {"running": {"startedAt": self.started_stamp}}
        elif self.ended is not None:
            state = {"terminated": self.ended}
        else:
            state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        image = self.spec.get("image", "")
        status: Object = {
            "name": self.name,
            "state": state,
            "lastState": {"terminated": self.last} if self.last else {},
            "ready": self.ready,
            "restartCount": self.restarts,
            "image": image,
            "imageID": f"sandbox@sha256:{image}" if self.id else "",
        }
        # The kubelet leaves `started` out for init and ephemeral containers, which have no probes.
        status |= {"started": self.started} if self.lasting else {}
        status |= {"ready": False} if self.kind == "ephemeral" else {}
        return status | ({"containerID": self.id} if self.id else {})


@dataclass
class PodRun:
    """One pod. Times in sandbox seconds, None before they are known."""

    uid: str
    ip: str
    since: str
    inits: list[ContainerRun]
    mains: list[ContainerRun]
    ephemerals: list[ContainerRun] = field(default_factory=list)
    volume_failed: bool = False
    network_retry_at: float = 0
    stopping_since: float | None = None
    stopped: bool = False
    evicted: bool = False

    @property
    def containers(self) -> list[ContainerRun]:
        return [*self.inits, *self.mains, *self.ephemerals]

    @property
    def has_run(self) -> bool:
        return any(container.id for container in self.containers)


def status(pod: Object, run: PodRun, host_ip: str) -> Object:
    """Return the pod's status as the kubelet reports it; conditions of other writers stay."""
    old = pod["status"]
    known = old.get("conditions") or []
    phase = _phase(pod, run)
    others = [one for one in known if one["type"] not in OWN_CONDITIONS]
    scheduled = [one for one in known if one["type"] == "PodScheduled"]
    conditions = [
        _initialized(run, phase),
        _ready("Ready", run, phase, _unmet_gate(pod, others)),
        _ready("ContainersReady", run, phase),
        *(scheduled or [condition("PodScheduled", True)]),
    ]
    made = {
        **old,
        "phase": phase,
        "conditions": [*keep_transition_times(known, conditions), *others],
        "hostIP": host_ip,
        "startTime": run.since,
        "containerStatuses": [container.status() for container in run.mains],
    }
    if run.inits:
        made["initContainerStatuses"] = [container.status() for container in run.inits]
    if run.ephemerals:
        made["ephemeralContainerStatuses"] = [container.status() for container in run.ephemerals]
    if run.has_run:
        made |= {"podIP": run.ip, "podIPs": [{"ip": run.ip}]}
    return made


def _phase(pod: Object, run: PodRun) -> str:
    policy = pod["spec"]["restartPolicy"]
    if run.stopped:
        return "Succeeded" if all(container.succeeded for container in run.mains) else "Failed"
    inits = [init for init in run.inits if not init.sidecar]
    if policy == "Never" and any(init.ended and not init.succeeded for init in inits):
        return "Failed"
    # A pod is Pending until each of its containers has started once.
    if any(not (init.initialized or init.last) for init in run.inits) or not all(main.id for main in run.mains):
        return "Pending"
    if policy == "Always" or any(not main.ended for main in run.mains):
        return "Running"
    if all(main.succeeded for main in run.mains):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def _names(containers: Iterable[ContainerRun]) -> str:
    return f"[{' '.join(container.name for container in containers)}]"


def _initialized(run: PodRun, phase: str) -> Object:
    waiting_for = [init for init in run.inits if not init.initialized]
    if not waiting_for or run.stopped:
        return condition("Initialized", True, "PodCompleted" if phase == "Succeeded" and not run.stopped else "")
    message = f"containers with incomplete status: {_names(waiting_for)}"
    return condition("Initialized", False, "ContainersNotInitialized", message)


def _ready(kind: str, run: PodRun, phase: str, unmet_gate: str = "") -> Object:
    """Return the condition Ready or ContainersReady; ``unmet_gate``: why a readiness gate is not met."""
    if phase == "Succeeded" and not run.stopped:
        return condition(kind, False, "PodCompleted")
    unready = [container for container in run.containers if container.lasting and not container.ready]
    if unready:
        return condition(kind, False, "ContainersNotReady", f"containers with unready status: {_names(unready)}")
    if unmet_gate:
        return condition(kind, False, "ReadinessGatesNotReady", unmet_gate)
    return condition(kind, True)


def _unmet_gate(pod: Object, conditions: list[Object]) -> str:
    """Return the message about the first readiness gate that is not met; empty if there is none."""
    known = {one["type"]: one["status"] for one in conditions}
    for gate in pod["spec"].get("readinessGates") or []:
        kind = gate["conditionType"]
        if kind not in known:
            return f'corresponding condition of pod readiness gate "{kind}" does not exist.'
        if known[kind] != "True":
            return f'the status of pod readiness gate "{kind}" is not "True", but {known[kind]}'
    return ""
