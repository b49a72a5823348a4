"""Why did it not happen in time? One look at the moment of failure: a code, the evidence, and who must act.

Pure functions of what was seen. The first explanation that fits wins; the order goes from the outside (the Kubernetes
node, the scheduler) to the inside (the application).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mecbounce.model import Diagnosis
from mecbounce.probes import startup_budget

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from mecbounce.model import ContainerStatus, Host, Node, NodeRef, PinnedPod, Pod, PodEvent

UNREACHABLE = "cluster_unreachable"
LONGEST_QUOTE = 300  # characters of what others say

ADMINISTRATORS = "the cluster's administrators"
OPERATOR = "the owners of the operator"
APPLICATION = "the owners of the application"

IMAGE_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
}
CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
VOLUME_EVENTS = {"FailedMount", "FailedAttachVolume", "FailedMapVolume"}
KILLED_EXIT_CODES = {137, 143}  # SIGKILL, SIGTERM: how a kubelet ends a container


def unreachable(what: str) -> Diagnosis:
    """No look could be had after the deadline."""
    return Diagnosis(code=UNREACHABLE, evidence=what, who=ADMINISTRATORS)


def termination(pod: Pod, host: Host | None, now: datetime) -> Diagnosis:
    """Why the deleted pod still exists."""
    finalizers = ", ".join(pod.metadata.finalizers)
    also = f"; finalizers: {finalizers}" if finalizers else ""
    if host_lost := _host_lost(host):
        return Diagnosis(code="host_lost", evidence=host_lost + also, who=ADMINISTRATORS)
    running = [one.name for one in _statuses(pod) if one.state.running]
    grace_ends = pod.metadata.deletion_timestamp
    if running and grace_ends is not None:
        left = (grace_ends - now).total_seconds()
        names = _list("container", running)
        if left > 0:
            evidence = f"{names} still running, {left:.0f} s left of the grace period{also}"
            return Diagnosis(code="grace_period_running", evidence=evidence, who=APPLICATION)
        evidence = f"{names} still running, {abs(left):.0f} s over the grace period{also}"
        return Diagnosis(code="grace_period_exceeded", evidence=evidence, who=ADMINISTRATORS)
    if finalizers:
        evidence = f"no container runs any more; finalizers left: {finalizers}"
        return Diagnosis(code="finalizers", evidence=evidence, who="the owners of these finalizers")
    evidence = "no container runs any more and no finalizer is left; its kubelet has not removed it"
    return Diagnosis(code="not_removed", evidence=evidence, who=ADMINISTRATORS)


def not_recreated(old: PinnedPod, pods: Iterable[Pod], ref: NodeRef | None, node: Node | str | None) -> Diagnosis:
    """Why there is no replacement. `node`: what the custom resource says now, or in text why it says nothing."""
    if ref is not None and isinstance(node, str):
        return Diagnosis(code="node_missing", evidence=node, who="whoever removed the custom resource")
    if ref is not None and node is not None and not isinstance(node, str):
        desired = node.desired or ""
        if desired.casefold() in ref.down_values:
            evidence = f"{ref} has been turned down meanwhile ({ref.desired_path}: {desired})"
            return Diagnosis(code="node_down", evidence=evidence, who="whoever turned it down")
    namesake = next((pod for pod in pods if pod.name == old.name and pod.uid != old.uid), None)
    if namesake is not None and namesake.terminating:
        evidence = f"pod {namesake.name} ({namesake.uid}) stands in its place and is itself terminating"
        return Diagnosis(code="replacement_terminating", evidence=evidence, who=OPERATOR)
    if namesake is not None:
        owner = namesake.controller
        owned = f"another controller owns it: {owner}" if owner else "nothing controls it"
        evidence = f"pod {namesake.name} ({namesake.uid}) stands in its place, but {owned}"
        return Diagnosis(code="other_controller", evidence=evidence, who=OPERATOR)
    return Diagnosis(code="not_recreated", evidence="nothing has recreated the pod", who=OPERATOR)


def readiness(pod: Pod, host: Host | None, events: Iterable[PodEvent]) -> Diagnosis:
    """Why the replacement is not back."""
    events = tuple(events)
    for explanation in (_ended(pod), _scheduling(pod), _lost(host), _containers(pod, events), _probes(pod)):
        for diagnosis in explanation:
            return diagnosis
    evidence = f"phase {pod.status.phase or 'unknown'}, no reason given"
    return Diagnosis(code="unknown", evidence=evidence, who=APPLICATION)


def _ended(pod: Pod) -> Iterator[Diagnosis]:
    if pod.finished:
        why = _joined(pod.status.reason, pod.status.message) or "no reason given"
        yield Diagnosis(code="pod_ended", evidence=f"phase {pod.status.phase}: {why}", who=ADMINISTRATORS)


def _scheduling(pod: Pod) -> Iterator[Diagnosis]:
    scheduled = pod.condition("PodScheduled")
    if not pod.spec.node_name and scheduled is not None and scheduled.status == "False":
        evidence = _joined(scheduled.reason, scheduled.message)
        yield Diagnosis(code="unschedulable", evidence=evidence, who=ADMINISTRATORS)
    elif not pod.spec.node_name:
        yield Diagnosis(code="unscheduled", evidence="no scheduler has looked at it", who=ADMINISTRATORS)


def _lost(host: Host | None) -> Iterator[Diagnosis]:
    if evidence := _host_lost(host):
        yield Diagnosis(code="host_lost", evidence=evidence, who=ADMINISTRATORS)


def _containers(pod: Pod, events: tuple[PodEvent, ...]) -> Iterator[Diagnosis]:
    """Containers that do not run, or not for long."""
    for status in _statuses(pod):
        waiting = status.state.waiting
        if waiting and waiting.reason in IMAGE_REASONS:
            evidence = f"container {status.name}: {_joined(waiting.reason, waiting.message)}"
            yield Diagnosis(code="image_pull", evidence=evidence, who=APPLICATION)
        if waiting and waiting.reason in CONFIG_REASONS:
            evidence = f"container {status.name}: {_joined(waiting.reason, waiting.message)}"
            yield Diagnosis(code="container_config", evidence=evidence, who=APPLICATION)
    volume = next((one for one in reversed(events) if one.reason in VOLUME_EVENTS), None)
    if volume and not any(one.state.running or one.state.terminated for one in _statuses(pod)):
        yield Diagnosis(code="volume", evidence=_joined(volume.reason, volume.message), who=ADMINISTRATORS)
    yield from _init_containers(pod)
    for status in _long_running(pod):
        ended = status.state.terminated or status.last_state.terminated
        if ended is None or status.ready:
            continue
        times = f"container {status.name}, restart count {status.restart_count}"
        if _killed_by_startup_probe(pod, status, events):
            budget = startup_budget(one for one in pod.spec.long_running if one.name == status.name)
            evidence = f"{times}: killed before its startup probe passed (it allows {budget:.0f} s)"
            yield Diagnosis(code="startup_kill_loop", evidence=evidence, who=APPLICATION)
        elif not status.state.running or status.restart_count > 1:  # once may have been a stumble
            last = _joined(ended.reason, ended.message)
            evidence = f"{times}, last exit code {ended.exit_code}" + (f" ({last})" if last else "")
            yield Diagnosis(code="crash_loop", evidence=evidence, who=APPLICATION)


def _init_containers(pod: Pod) -> Iterator[Diagnosis]:
    sidecars = {one.name for one in pod.spec.long_running}
    for status in pod.status.init_container_statuses:
        if status.name in sidecars:
            continue
        ended = status.state.terminated or status.last_state.terminated
        if status.state.running:
            how = "is still running"
        elif ended is not None and ended.exit_code != 0:
            how = f"failed with exit code {ended.exit_code}"
        else:
            continue
        evidence = f"init container {status.name} {how} ({status.restart_count} restarts)"
        yield Diagnosis(code="init_container", evidence=evidence, who=APPLICATION)


def _probes(pod: Pod) -> Iterator[Diagnosis]:
    """Containers that run and have not passed their probes, then the readiness gates."""
    for container in pod.spec.long_running:
        status = pod.container_status(container.name)
        if container.startup_probe and status and status.state.running and not status.started:
            evidence = f"container {container.name} runs, its startup probe has not passed yet"
            yield Diagnosis(code="startup_probe", evidence=evidence, who=APPLICATION)
    for status in _long_running(pod):
        if status.state.running and not status.ready:
            evidence = f"container {status.name} runs, its readiness probe does not pass"
            yield Diagnosis(code="readiness_probe", evidence=evidence, who=APPLICATION)
        elif not status.state.running:
            waiting = status.state.waiting
            why = _joined(waiting.reason, waiting.message) if waiting else ""
            evidence = f"container {status.name} does not run yet" + (f": {why}" if why else "")
            yield Diagnosis(code="container_waiting", evidence=evidence, who=ADMINISTRATORS)
    for gate in pod.spec.readiness_gates:
        condition = pod.condition(gate.condition_type)
        if condition is None or condition.status != "True":
            evidence = f"readiness gate {gate.condition_type} is {condition.status if condition else 'not reported'}"
            yield Diagnosis(code="readiness_gate", evidence=evidence, who="the owners of that readiness gate")


def _killed_by_startup_probe(pod: Pod, status: ContainerStatus, events: tuple[PodEvent, ...]) -> bool:
    probed = any(one.startup_probe for one in pod.spec.long_running if one.name == status.name)
    last = status.state.terminated or status.last_state.terminated
    if not probed or last is None or last.reason == "OOMKilled":
        return False
    told = any(one.message.startswith(f"Container {status.name} failed startup probe") for one in events)
    return told or last.exit_code in KILLED_EXIT_CODES


def _host_lost(host: Host | None) -> str:
    if host is None or host.ready.status == "True":
        return ""
    why = _joined(host.ready.reason, host.ready.message)
    return f"Kubernetes node {host.name} is not ready" + (f": {why}" if why else "")


def _long_running(pod: Pod) -> Iterator[ContainerStatus]:
    """The statuses of the main containers and the sidecars, as far as they are reported."""
    return filter(None, (pod.container_status(one.name) for one in pod.spec.long_running))


def _statuses(pod: Pod) -> tuple[ContainerStatus, ...]:
    return (*pod.status.init_container_statuses, *pod.status.container_statuses)


def _joined(reason: str, message: str) -> str:
    text = " ".join(": ".join(part for part in (reason, message) if part).split())
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."


def _list(noun: str, names: list[str]) -> str:
    return f"{noun}{'s' if len(names) != 1 else ''} {', '.join(names)}"
