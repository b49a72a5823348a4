"""Why has the old pod not gone, or the new pod not started? One look at the moment of failure.

Pure functions of what was seen. They return the first cause that fits: those outside the pod (its Kubernetes node, the
scheduler) come before those inside it (the application). `absence.py` explains why there is no new pod at all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mecbounce.codes import ADMINISTRATORS, APPLICATION, DiagnosisCode
from mecbounce.probes import kubelet_is_silent, runs_steadily, startup_budget
from mecbounce.record import Diagnosis

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from mecbounce.kubernetes_api.objects import (
        Container,
        ContainerStatus,
        Explained,
        Host,
        Pod,
        PodEvent,
        Terminated,
    )

LONGEST_QUOTE = 300  # characters of a reason and message of Kubernetes

IMAGE_REASONS = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
}
CONFIG_REASONS = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
    "PreStartHookError",
    "PostStartHookError",
}
VOLUME_EVENTS = {"FailedMount", "FailedAttachVolume", "FailedMapVolume"}
KILLED_EXIT_CODES = {137, 143}  # SIGKILL, SIGTERM: how a kubelet ends a container

# Who refuses a write, by the text of the API server's answer. The first pattern that fits counts; its group is a name.
# https://github.com/kubernetes/apiserver: pkg/admission/plugin (webhook, policy, resourcequota), podsecurity
REFUSALS = (
    (r'failed calling (?:admission )?webhook "([^"]+)"', DiagnosisCode.WEBHOOK_FAILING),
    (r'admission webhook "([^"]+)" denied the request', DiagnosisCode.WEBHOOK_DENIED),
    (r"ValidatingAdmissionPolicy '([^']+)'", DiagnosisCode.POLICY_DENIED),
    (r"violates PodSecurity ()", DiagnosisCode.POLICY_DENIED),
    (r"exceeded quota: ([^,\s]+)", DiagnosisCode.QUOTA_EXCEEDED),
    (r"failed quota: ([^:\s]+)", DiagnosisCode.QUOTA_EXCEEDED),
    (r"namespace (\S+) because it is being terminated", DiagnosisCode.NAMESPACE_DELETING),
    (r'serviceaccount "([^"]+)" not found', DiagnosisCode.ACCOUNT_MISSING),
)
# Warning Events that are no cause: the old pod had not quite gone, or a kubelet complains about its own settings.
HARMLESS = re.compile(
    r"object is being deleted|^RecreatingFailedPod|^RecreatingTerminatedPod|^MissingClusterDNS|^DNSConfigForming"
)
# Finalizers that Kubernetes' own controllers remove: foregroundDeletion, orphan, batch.kubernetes.io/job-tracking.
_KUBERNETES_OWN = re.compile(r"[^./]+$|([^/]+\.)?kubernetes\.io/|(?!x-)([^/]+\.)?(?<!x-)k8s\.io/")


def unreachable(what: str) -> Diagnosis:
    """The API server gave no answer after the deadline."""
    return Diagnosis.of(DiagnosisCode.CLUSTER_UNREACHABLE, what)


def refusal(answer: str, *, final: bool = True) -> Diagnosis:
    """Find out who refused a write, from the API server's answer. `final`: it said no; else it failed to answer."""
    for pattern, code in REFUSALS:
        if said_by := re.search(pattern, answer):
            return Diagnosis.of(code, answer, said_by[1])
    return Diagnosis.of(DiagnosisCode.REFUSED if final else DiagnosisCode.DELETE_FAILING, answer)


def last_warning(events: Iterable[PodEvent], since: datetime | None = None) -> str:
    """Quote the last Warning Event, if it is not from before `since`. Empty: there is none."""
    return explanation(_last_warning(event for event in events if since is None or event.last_seen >= since))


def _last_warning(events: Iterable[PodEvent]) -> PodEvent | None:
    warnings = (one for one in events if one.type == "Warning" and not HARMLESS.search(f"{one.reason}: {one.message}"))
    in_order = sorted(warnings, key=lambda event: event.last_seen)
    return in_order[-1] if in_order else None


# --- the old pod has not gone ------------------------------------------------------------------------------------


def termination(pod: Pod, host: Host | None, server_now: datetime, events: Iterable[PodEvent] = ()) -> Diagnosis:
    """Say why the deleted pod still exists. `server_now`: the time by the API server's clock, as in its timestamps."""
    finalizers = ", ".join(pod.metadata.finalizers)
    also = f"; finalizers: {finalizers}" if finalizers else ""
    if not pod.terminating:
        evidence = "the API server accepted the deletion, and the pod shows no deletionTimestamp"
        return Diagnosis.of(DiagnosisCode.DELETION_LOST, evidence)
    if lost := _host_lost(host):
        return Diagnosis.of(DiagnosisCode.HOST_LOST, lost + also)
    # What was wrong before the deletion, such as a failed probe, does not keep the pod.
    warning = last_warning(event for event in events if (pod.deleted_for(event.last_seen) or 0) >= 0)
    last = f"; its last Warning Event: {warning}" if warning else ""
    running = [status.name for status in pod.status.all_containers if status.state.running]
    grace_ends = pod.metadata.deletion_timestamp
    if running and grace_ends is not None:
        left = (grace_ends - server_now).total_seconds()
        still = f"{listed('container', running)} still running"
        if left > 0:
            evidence = f"{still}, {left:.0f} s left of the grace period{also}"
            return Diagnosis.of(DiagnosisCode.GRACE_PERIOD_RUNNING, evidence)
        evidence = f"{still}, {abs(left):.0f} s over the grace period{also}{last}"
        return Diagnosis.of(DiagnosisCode.GRACE_PERIOD_EXCEEDED, evidence)
    if finalizers:
        foreign = [name for name in pod.metadata.finalizers if not _KUBERNETES_OWN.match(name)]
        evidence = f"no container runs any more; finalizers left: {finalizers}"
        return Diagnosis.of(DiagnosisCode.FINALIZERS, evidence, listed("finalizer", foreign) if foreign else "")
    evidence = f"no container runs any more and no finalizer is left; its kubelet has not removed it{last}"
    return Diagnosis.of(DiagnosisCode.NOT_REMOVED, evidence)


def exists_again(pod: Pod) -> Diagnosis:
    """Say that the old pod had gone and exists again: a backup of the API server's data was restored, for instance."""
    again = "the old pod had gone, and the API server shows it again"
    if pod.terminating:
        return Diagnosis.of(DiagnosisCode.TERMINATING_AGAIN, f"{again}, being deleted")
    return Diagnosis.of(DiagnosisCode.DELETION_LOST, f"{again}, without a deletionTimestamp")


# --- the new pod is not back -------------------------------------------------------------------------------------


def readiness(pod: Pod, host: Host | None, events: Iterable[PodEvent], server_now: datetime) -> Diagnosis:
    """Say why the replacement has not started."""
    events = tuple(events)
    return (
        _ended(pod)
        or _scheduling(pod)
        or _on_its_host(pod, host)
        or _not_made(pod)
        or _volume(pod, events)
        or _init_container(pod)
        or _restarting(pod, events, server_now)
        or _probes(pod, events)
        or _readiness_gate(pod)
        or _silent(pod)
        or Diagnosis.of(DiagnosisCode.UNKNOWN, f"phase {pod.status.phase or 'unknown'}, no reason given")
    )


def with_ended(why: Diagnosis, pods: Iterable[Pod], told: str) -> Diagnosis:
    """Add to `why` how other replacements have ended: this one may end in the same way.

    `pods`: those that still exist, the newest first. `told`: the notice about one that does not.
    """
    ended = [(pod, end) for pod in pods if (end := _ended(pod))]
    if ended:
        last, how = ended[0]
        told = f"{len(ended)} more of its replacements have ended, the last {last.name}, {how.evidence}"
    if not told:
        return why
    return why.model_copy(update={"evidence": f"{why.evidence}; {told[0].lower()}{told[1:].rstrip('.')}"})


def how_it_ended(pod: Pod) -> str:
    """Say how a pod has ended. Empty: it has not."""
    ended = _ended(pod)
    return ended.evidence if ended else ""


def _ended(pod: Pod) -> Diagnosis | None:
    if not pod.finished:
        return None
    ended = [(status.name, status.state.terminated) for status in _statuses(pod) if status.state.terminated]
    why, who = explanation(pod.status) or shortened(pod.disrupted), ADMINISTRATORS
    if not why and ended:  # its containers have ended by themselves
        name, how = next((one for one in ended if one[1].exit_code), ended[-1])
        why, who = f"container {name}, exit code {how.exit_code}{bracketed(how)}", APPLICATION
    return Diagnosis.of(DiagnosisCode.POD_ENDED, f"phase {pod.status.phase}: {why or 'no reason given'}", who=who)


def _scheduling(pod: Pod) -> Diagnosis | None:
    """Say why it has no Kubernetes node yet."""
    if pod.spec.node_name:
        return None
    if gates := [gate.name for gate in pod.spec.scheduling_gates]:
        evidence = f"{listed('scheduling gate', gates)} not removed: no scheduler may look at it yet"
        return Diagnosis.of(DiagnosisCode.SCHEDULING_GATED, evidence, ", ".join(gates))
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        return Diagnosis.of(DiagnosisCode.UNSCHEDULABLE, explanation(scheduled))
    if pod.spec.scheduler_name in ("", "default-scheduler"):
        return Diagnosis.of(DiagnosisCode.UNSCHEDULED, "no scheduler has looked at it")
    scheduler = pod.spec.scheduler_name
    return Diagnosis.of(DiagnosisCode.UNSCHEDULED, f"its scheduler {scheduler} has not looked at it", scheduler)


def _on_its_host(pod: Pod, host: Host | None) -> Diagnosis | None:
    if lost := _host_lost(host):
        return Diagnosis.of(DiagnosisCode.HOST_LOST, lost)
    if pod.disrupted:
        return Diagnosis.of(
            DiagnosisCode.POD_DISRUPTED, f"it is about to be evicted or shut down: {shortened(pod.disrupted)}"
        )
    return None


def _not_made(pod: Pod) -> Diagnosis | None:
    for status in _statuses(pod):
        waiting = status.state.waiting
        evidence = f"container {status.name}: {explanation(waiting)}"
        if waiting and waiting.reason in IMAGE_REASONS:
            return Diagnosis.of(DiagnosisCode.IMAGE_PULL, evidence)
        if waiting and waiting.reason in CONFIG_REASONS:
            return Diagnosis.of(DiagnosisCode.CONTAINER_CONFIG, evidence)
    return None


def _volume(pod: Pod, events: tuple[PodEvent, ...]) -> Diagnosis | None:
    warning = _last_warning(events)
    if warning is None or warning.reason not in VOLUME_EVENTS:
        return None
    if any(status.state.running or status.state.terminated for status in _statuses(pod)):  # it was mounted in the end
        return None
    return Diagnosis.of(DiagnosisCode.VOLUME, explanation(warning))


def _init_container(pod: Pod) -> Diagnosis | None:
    sidecars = {container.name for container in pod.spec.long_running}
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
        return Diagnosis.of(DiagnosisCode.INIT_CONTAINER, evidence)
    return None


def _restarting(pod: Pod, events: tuple[PodEvent, ...], server_now: datetime) -> Diagnosis | None:
    """Find a container that ends again and again."""
    for container, status in _long_running(pod):
        ended = status.state.terminated or status.last_state.terminated
        if ended is None or (status.ready and runs_steadily(status, pod, server_now)):
            continue
        times = f"container {status.name}, restart count {status.restart_count}"
        if _killed_by_startup_probe(container, status, events):
            budget = f"{startup_budget([container]):.0f} s"
            evidence = f"{times}: killed before its startup probe passed (it allows {budget})"
            return Diagnosis.of(DiagnosisCode.STARTUP_KILL_LOOP, evidence)
        if not status.state.running or status.restart_count > 1 or status.ready:  # one restart alone is no loop
            evidence = f"{times}, last exit code {ended.exit_code}{bracketed(ended)}"
            if killing := _killed_for_a_probe(status, ended, events):
                evidence += f"; {killing}"
            return Diagnosis.of(DiagnosisCode.CRASH_LOOP, evidence)
    return None


def _probes(pod: Pod, events: tuple[PodEvent, ...]) -> Diagnosis | None:
    """Find a container that has not passed its probes, or does not run yet."""
    for container, status in _long_running(pod):
        if container.startup_probe and status.state.running and not status.started:
            evidence = f"container {container.name} runs, its startup probe has not passed yet"
            return Diagnosis.of(DiagnosisCode.STARTUP_PROBE, evidence)
    for _, status in _long_running(pod):
        if not status.state.running:
            why, warning = explanation(status.state.waiting), last_warning(events)
            evidence = f"container {status.name} does not run yet" + (f": {why}" if why else "")
            if warning:
                evidence += f"; the pod's last Warning Event: {warning}"
            return Diagnosis.of(DiagnosisCode.CONTAINER_WAITING, evidence)
        if not status.ready:
            evidence = f"container {status.name} runs, its readiness probe does not pass"
            return Diagnosis.of(DiagnosisCode.READINESS_PROBE, evidence)
    return None


def _readiness_gate(pod: Pod) -> Diagnosis | None:
    for name in (gate.condition_type for gate in pod.spec.readiness_gates):
        condition = pod.condition(name)
        if condition is None:
            return Diagnosis.of(DiagnosisCode.READINESS_GATE, f"readiness gate {name} is not reported", name)
        if condition.status != "True":
            evidence = f"readiness gate {name} is {condition.status}{bracketed(condition)}"
            return Diagnosis.of(DiagnosisCode.READINESS_GATE, evidence, name)
    return None


def _silent(pod: Pod) -> Diagnosis | None:
    host = pod.spec.node_name
    if host and not _statuses(pod):
        evidence = f"it is assigned to Kubernetes node {host}, whose kubelet has reported no container yet"
        return Diagnosis.of(DiagnosisCode.KUBELET_SILENT, evidence)
    if kubelet_is_silent(pod):
        evidence = f"all containers were ready, and the pod is not: the kubelet of {host} may not answer"
        return Diagnosis.of(DiagnosisCode.KUBELET_SILENT, evidence)
    return None


def _killed_by_startup_probe(container: Container, status: ContainerStatus, events: tuple[PodEvent, ...]) -> bool:
    last = status.state.terminated or status.last_state.terminated
    if container.startup_probe is None or last is None or last.reason == "OOMKilled":
        return False
    if killings := _killings(status, events):
        return any("failed startup probe" in event.message for event in killings)
    if last.exit_code not in KILLED_EXIT_CODES:
        return False
    if last.started_at is None or last.finished_at is None:
        return True
    # Anything else that kills it (a liveness probe, too little memory) may do so before the probe's last try.
    probe = container.startup_probe
    earliest = probe.initial_delay_seconds + (probe.failure_threshold - 1) * probe.period_seconds
    return (last.finished_at - last.started_at).total_seconds() >= earliest


def _killed_for_a_probe(status: ContainerStatus, ended: Terminated, events: tuple[PodEvent, ...]) -> str:
    """Quote the Event which says that the kubelet killed a container for a failed probe. Empty: there is none.

    A kubelet limits how many Events it sends. So an older one counts too, if this run has ended as a killed one does.
    """
    as_killed = ended.reason != "OOMKilled" and ended.exit_code in {0, *KILLED_EXIT_CODES}
    killings = _killings(status, events)
    if not killings or not (as_killed or (ended.started_at and killings[-1].last_seen >= ended.started_at)):
        return ""
    return killings[-1].message


def _killings(status: ContainerStatus, events: tuple[PodEvent, ...]) -> list[PodEvent]:
    """The Events which say that the kubelet killed a container for a failed probe, the newest last."""
    found = (event for event in events if event.message.startswith(f"Container {status.name} failed"))
    return sorted(found, key=lambda event: event.last_seen)


def _host_lost(host: Host | None) -> str:
    if host is None or host.ready.status == "True":
        return ""
    why = explanation(host.ready)
    return f"Kubernetes node {host.name} is not ready" + (f": {why}" if why else "")


def _long_running(pod: Pod) -> Iterator[tuple[Container, ContainerStatus]]:
    """The main containers and the sidecars that have a status, with it."""
    for container in pod.spec.long_running:
        if (status := pod.container_status(container.name)) is not None:
            yield container, status


def _statuses(pod: Pod) -> tuple[ContainerStatus, ...]:
    """The statuses of all containers except those of `kubectl debug`."""
    return (*pod.status.init_container_statuses, *pod.status.container_statuses)


def explanation(what: Explained | None) -> str:
    """Give a reason and a message of Kubernetes, on one line."""
    return shortened(what.explanation) if what else ""


def shortened(text: str) -> str:
    """Give a text on one line, cut where it is too long."""
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."


def bracketed(what: Explained) -> str:
    text = explanation(what)
    return f" ({text})" if text else ""


def listed(noun: str, names: list[str]) -> str:
    return f"{noun}{'s' if len(names) != 1 else ''} {', '.join(names)}"
