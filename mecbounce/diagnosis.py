"""Why did it not happen? One look at the moment of failure: a code, the evidence, and who must act.

Pure functions of what was seen. The first explanation that fits wins; the order goes from the outside (the Kubernetes
node, the scheduler) to the inside (the application).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mecbounce.kubernetes_api.objects import Controller
from mecbounce.probes import kubelet_is_silent, runs_steadily, startup_budget
from mecbounce.record import Diagnosis

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from mecbounce.kubernetes_api.node import Node
    from mecbounce.kubernetes_api.objects import Container, ContainerStatus, Host, Owner, Pod, PodEvent, Terminated
    from mecbounce.record import PinnedPod, SeenPod
    from mecbounce.request import NodeRef

UNREACHABLE = "cluster_unreachable"
STANDING = ("deletion_lost", "terminating_again")  # a look shows the old pod, where its deletion should have been told
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

# Who says no, as the API server words it. The first that fits; `{}` is what the pattern's group has found.
# https://github.com/kubernetes/apiserver: pkg/admission/plugin (webhook, policy, resourcequota), podsecurity
REFUSALS = (
    (r'failed calling (?:admission )?webhook "([^"]+)"', "webhook_failing", "the owners of webhook {}"),
    (r'admission webhook "([^"]+)" denied the request', "webhook_denied", "the owners of webhook {}"),
    (r"ValidatingAdmissionPolicy '([^']+)'", "policy_denied", "the owners of ValidatingAdmissionPolicy {}"),
    (r"violates (PodSecurity) ", "policy_denied", "whoever sets the Pod Security level of the namespace"),
    (r"exceeded quota: ([^,\s]+)", "quota_exceeded", "whoever sets ResourceQuota {}"),
    (r"failed quota: ([^:\s]+)", "quota_exceeded", "whoever sets ResourceQuota {}"),
    (r"namespace (\S+) because it is being terminated", "namespace_deleting", "whoever deletes namespace {}"),
    (r'serviceaccount "([^"]+)" not found', "account_missing", "whoever removed ServiceAccount {}"),
)
# Warning Events that tell nothing of a fault: the old pod was not quite gone, or a kubelet grumbles about its settings.
HARMLESS = re.compile(
    r"object is being deleted|^RecreatingFailedPod|^RecreatingTerminatedPod|^MissingClusterDNS|^DNSConfigForming"
)


def unreachable(what: str) -> Diagnosis:
    """No look could be had after the deadline."""
    return Diagnosis(code=UNREACHABLE, evidence=what, who=ADMINISTRATORS)


def refusal(answer: str, *, final: bool = True) -> Diagnosis:
    """Who said no to a write, by the API server's answer; `final`: that is a no, not an error or a lack of answers."""
    for pattern, code, who in REFUSALS:
        if found := re.search(pattern, answer):
            return Diagnosis(code=code, evidence=answer, who=who.format(found[1]))
    if not final:
        return Diagnosis(code="delete_failing", evidence=answer, who=ADMINISTRATORS)
    return Diagnosis(code="refused", evidence=answer, who=ADMINISTRATORS)


def last_warning(events: Iterable[PodEvent], since: datetime | None = None) -> str:
    """Quote the Warning Event that happened last, not before `since`; empty where there is none."""
    last = _last_warning(one for one in events if since is None or one.last_seen >= since)
    return _joined(last.reason, last.message) if last else ""


def _last_warning(events: Iterable[PodEvent]) -> PodEvent | None:
    telling = (one for one in events if one.type == "Warning" and not HARMLESS.search(f"{one.reason}: {one.message}"))
    in_order = sorted(telling, key=lambda one: one.last_seen)
    return in_order[-1] if in_order else None


# Finalizers that Kubernetes' own controllers take off: foregroundDeletion, orphan, batch.kubernetes.io/job-tracking.
_KUBERNETES_OWN = re.compile(r"[^./]+$|([^/]+\.)?kubernetes\.io/|(?!x-)([^/]+\.)?(?<!x-)k8s\.io/")


# --- the old pod has not gone ------------------------------------------------------------------------------------


def termination(pod: Pod, host: Host | None, server_now: datetime, events: Iterable[PodEvent] = ()) -> Diagnosis:
    """Why the deleted pod still exists. `server_now`: the API server's own time, which its timestamps are of."""
    finalizers = ", ".join(pod.metadata.finalizers)
    also = f"; finalizers: {finalizers}" if finalizers else ""
    if not pod.terminating:
        evidence = "the API server took the deletion, and the pod shows no deletionTimestamp"
        return Diagnosis(code="deletion_lost", evidence=evidence, who=ADMINISTRATORS)
    if host_lost := _host_lost(host):
        return Diagnosis(code="host_lost", evidence=host_lost + also, who=ADMINISTRATORS)
    # What was wrong with it before, such as a probe while it started, does not keep it.
    warning = last_warning(one for one in events if (pod.deleted_for(one.last_seen) or 0) >= 0)
    quoted = f"; its last Warning Event: {warning}" if warning else ""
    running = [one.name for one in pod.status.all_containers if one.state.running]
    grace_ends = pod.metadata.deletion_timestamp
    if running and grace_ends is not None:
        left = (grace_ends - server_now).total_seconds()
        names = _list("container", running)
        if left > 0:
            evidence = f"{names} still running, {left:.0f} s left of the grace period{also}"
            return Diagnosis(code="grace_period_running", evidence=evidence, who=APPLICATION)
        evidence = f"{names} still running, {abs(left):.0f} s over the grace period{also}{quoted}"
        return Diagnosis(code="grace_period_exceeded", evidence=evidence, who=ADMINISTRATORS)
    if finalizers:
        evidence = f"no container runs any more; finalizers left: {finalizers}"
        foreign = [one for one in pod.metadata.finalizers if not _KUBERNETES_OWN.match(one)]
        who = f"the owners of {_list('finalizer', foreign)}" if foreign else ADMINISTRATORS
        return Diagnosis(code="finalizers", evidence=evidence, who=who)
    evidence = f"no container runs any more and no finalizer is left; its kubelet has not removed it{quoted}"
    return Diagnosis(code="not_removed", evidence=evidence, who=ADMINISTRATORS)


def standing_again(pod: Pod) -> Diagnosis:
    """Say of the old pod that it had gone and is shown once more: the data of the API server went back."""
    again = "the old pod had gone, and the API server shows it again"
    if pod.terminating:
        return Diagnosis(code="terminating_again", evidence=f"{again}, being deleted", who=ADMINISTRATORS)
    return Diagnosis(code="deletion_lost", evidence=f"{again}, without a deletionTimestamp", who=ADMINISTRATORS)


# --- nothing has replaced it -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Absence:
    """What was looked at once no replacement had come. All of it is best effort: None and () mean not known.

    `came`: a replacement that an earlier look has shown.
    `node` and `controller`: what they are now, or in text that they no longer exist. `pods` are the namespace's,
    `events` those of the controller since `since`, `replica_sets` the namespace's. `host` is the Kubernetes node that
    a DaemonSet's pod was on. Times are the API server's.
    """

    since: datetime
    came: SeenPod | None = None
    pods: tuple[Pod, ...] = ()
    ref: NodeRef | None = None
    node: Node | str | None = None
    controller: Controller | str | None = None
    events: tuple[PodEvent, ...] = ()
    replica_sets: tuple[Controller, ...] = ()
    host: Host | None = None


def not_recreated(old: PinnedPod, seen: Absence) -> Diagnosis:
    """Why there is no replacement."""
    for explanation in (
        _resource(seen),
        _in_its_place(old, seen),
        _controller(old, seen),
        _creation_refused(old, seen),
        _paused(seen),
    ):
        for diagnosis in explanation:
            return diagnosis
    made = [pod.name for pod in others(old, seen.pods) if (pod.metadata.creation_timestamp or seen.since) > seen.since]
    if made and old.controller is not None and not old.generated_name and old.controller.kind != "StatefulSet":
        evidence = f"{old.controller.called} has made {_list('pod', made)} meanwhile, and none of the name {old.name}"
        return Diagnosis(code="other_name", evidence=evidence, who=_maker(old))
    evidence = "nothing has recreated the pod"
    if came := seen.came:
        how = "is terminating" if any(pod.uid == came.uid for pod in seen.pods) else "has gone too"
        evidence = f"the replacement {came.name} ({came.uid}) {how}, and nothing has made another"
    if isinstance(seen.controller, Controller) and (why := _not_ready(seen.controller)):
        evidence += f"; {seen.controller.reference.called} says of itself that it is not ready: {why}"
    return Diagnosis(code="not_recreated", evidence=evidence, who=_maker(old))


def name_generated() -> Diagnosis:
    """Nothing came of the name of a pod that had gone before it was seen, and that name looks generated."""
    evidence = "its name looks generated: then its replacement has another one, and can't be found by this bounce"
    who = "nobody: look at the newest pods of its controller"
    return Diagnosis(code="name_generated", evidence=evidence, who=who)


def too_few(old: PinnedPod, gone: int) -> Diagnosis:
    """A new pod is there, and as many more of its controller's pods have gone as new ones came."""
    evidence = f"{gone + 1} pods of its controller have gone, and fewer new ones are back"
    return Diagnosis(code="too_few_replacements", evidence=evidence, who=_maker(old))


def _not_ready(controller: Controller) -> str:
    """Quote the Ready condition of a controller's own status; empty where it is true or says nothing."""
    unready = next((one for one in controller.conditions if one.type == "Ready" and one.status != "True"), None)
    return _joined(unready.reason, unready.message) if unready else ""


def others(old: PinnedPod, pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """The other pods of its controller that stand."""
    controller = old.controller
    if controller is None:
        return ()
    return tuple(pod for pod in pods if pod.uid != old.uid and pod.stands and pod.belongs_to(controller))


def unready_predecessor(controller: Controller, pod_name: str, pods: Iterable[Pod]) -> str:
    """Say which pod of a lower number an OrderedReady StatefulSet waits for; empty where it waits for none.

    https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#deployment-and-scaling-guarantees
    """
    ordinal = _ordinal(pod_name)
    if not controller.ordered or ordinal is None:
        return ""
    present = {pod.name: pod for pod in pods}
    for number in range(controller.first_ordinal, ordinal):
        name = f"{controller.reference.name}-{number}"
        pod = present.get(name)
        if pod is None:
            return f"pod {name} does not exist"
        if pod.terminating:
            return f"pod {name} is terminating"
        ready = pod.condition("Ready")
        if ready is None or ready.status != "True":
            return f"pod {name} is not ready"
    return ""


def _resource(seen: Absence) -> Iterator[Diagnosis]:
    ref, node = seen.ref, seen.node
    if ref is None or node is None:
        return
    if isinstance(node, str):
        yield Diagnosis(code="node_missing", evidence=node, who="whoever removed the custom resource")
    elif node.deleting:
        evidence = f"{ref} is being deleted"
        yield Diagnosis(code="node_deleting", evidence=evidence, who="whoever deletes the custom resource")
    elif (node.desired or "").casefold() in ref.down_values:
        evidence = f"{ref} has been turned down meanwhile ({ref.desired_path}: {node.desired})"
        yield Diagnosis(code="node_down", evidence=evidence, who="whoever turned it down")


def _in_its_place(old: PinnedPod, seen: Absence) -> Iterator[Diagnosis]:
    namesake = next((pod for pod in seen.pods if pod.name == old.name and pod.uid != old.uid), None)
    if namesake is None:
        return
    what = f"pod {namesake.name} ({namesake.uid}) stands in its place"
    if namesake.terminating:
        evidence = f"{what} and is itself terminating"
        yield Diagnosis(code="replacement_terminating", evidence=evidence, who=_maker(old))
    else:
        owner = namesake.controller
        owned = f"another controller owns it: {owner}" if owner else "nothing controls it"
        yield Diagnosis(code="other_controller", evidence=f"{what}, but {owned}", who=_maker(old))


def _controller(old: PinnedPod, seen: Absence) -> Iterator[Diagnosis]:
    """What became of the controller, as it says itself."""
    pinned, now = old.controller, seen.controller
    if pinned is None:
        return
    yield from _rolled_out(old, pinned, seen)
    if isinstance(now, str):
        yield Diagnosis(
            code="controller_gone", evidence=f"{pinned.called}: {now}", who=f"whoever removed {pinned.called}"
        )
    elif now is not None and now.deleting:
        evidence = f"{pinned.called} is being deleted"
        yield Diagnosis(code="controller_deleting", evidence=evidence, who=f"whoever deletes {pinned.called}")
    elif now is not None:
        yield from _wants_none(old, now, seen)


def _wants_none(old: PinnedPod, now: Controller, seen: Absence) -> Iterator[Diagnosis]:
    """Why a controller that stands makes no pod now."""
    called = now.reference.called
    if scaled := _scaled_down(old, now, seen):
        asked = now.owner or now.reference  # a ReplicaSet is scaled by way of its Deployment
        yield Diagnosis(code="controller_scaled_down", evidence=scaled, who=f"whoever scaled {asked.called}")
    over = (now.condition("Complete") or now.condition("Failed")) if now.reference.kind == "Job" else None
    if over is not None:
        why = _joined(over.reason, over.message)
        evidence = f"{called} is over: {over.type}" + (f" ({why})" if why else "")
        yield Diagnosis(code="job_finished", evidence=evidence, who=f"the owners of {called}")
    if now.suspended and now.reference.kind == "Job":
        evidence = f"{called} is suspended (spec.suspend)"
        yield Diagnosis(code="job_suspended", evidence=evidence, who=f"whoever suspended {called}")
    if old.of_daemon_set:
        yield from _host_without_daemon(old, now, seen)
    if waits_for := unready_predecessor(now, old.name, seen.pods):
        evidence = f"{called} makes its pods in order (OrderedReady), and {waits_for}"
        yield Diagnosis(code="predecessor_not_ready", evidence=evidence, who=APPLICATION)


def _rolled_out(old: PinnedPod, pinned: Owner, seen: Absence) -> Iterator[Diagnosis]:
    """Which ReplicaSet of the same Deployment has taken over from one that wants no more pods than it has."""
    if pinned.kind != "ReplicaSet":
        return
    now = seen.controller
    listed = (one for one in seen.replica_sets if one.reference.uid == pinned.uid)
    known = now if isinstance(now, Controller) else next(listed, None)
    if known is not None and not _has_enough(old, known, seen):
        return
    # The old one may have been removed already: then its name tells whose it was.
    maker = known.owner.uid if known and known.owner else pinned.name.rpartition("-")[0]
    siblings = (
        other
        for other in seen.replica_sets
        if other.reference.uid != pinned.uid
        and other.replicas
        and other.owner
        and maker in (other.owner.uid, other.owner.name)
    )
    successor = max(siblings, key=lambda other: other.replicas or 0, default=None)
    if successor is None or successor.owner is None:
        return
    was, new = f"is scaled down to {known.replicas}" if known else "no longer exists", successor.reference.called
    evidence = f"{successor.owner.called} was rolled out: {pinned.called} {was}, {new} took over"
    yield Diagnosis(code="rolled_out", evidence=evidence, who=f"nobody: look at the pods of {new}")


def _has_enough(old: PinnedPod, now: Controller, seen: Absence) -> bool:
    return now.replicas is not None and now.replicas <= len(others(old, seen.pods))


def _scaled_down(old: PinnedPod, now: Controller, seen: Absence) -> str:
    """Say from how many pods to how many the controller was scaled down, where that leaves no place for this one."""
    called, wanted = now.reference.called, now.replicas
    # A StatefulSet of another group may leave ordinals out, such as OpenKruise's by reserveOrdinals.
    ordinal = _ordinal(old.name) if now.reference.built_in_plural == "statefulsets" else None
    if wanted is None:
        return ""
    if ordinal is not None:
        if ordinal < now.first_ordinal:
            return f"{called} wants no pod {old.name}: its ordinals begin with {now.first_ordinal}"
        before = ordinal + 1 - now.first_ordinal
        return f"{called} was scaled down, from at least {before} to {wanted}" if wanted < before else ""
    if not old.generated_name:
        return f"{called} was scaled down to 0" if wanted == 0 else ""
    if not _has_enough(old, now, seen):
        return ""
    return f"{called} was scaled down, from at least {len(others(old, seen.pods)) + 1} to {wanted}"


def _host_without_daemon(old: PinnedPod, now: Controller, seen: Absence) -> Iterator[Diagnosis]:
    if seen.host is not None and not seen.host.metadata.uid:
        evidence = f"Kubernetes node {old.host} no longer exists"
        yield Diagnosis(code="host_gone", evidence=evidence, who=ADMINISTRATORS)
    elif now.hosts_wanted is not None and now.hosts_wanted == len({pod.spec.host for pod in others(old, seen.pods)}):
        evidence = (
            f"{now.reference.called} has a pod on every Kubernetes node where it wants one ({now.hosts_wanted}), "
            f"and {old.host} is none of them"
        )
        yield Diagnosis(
            code="host_not_wanted", evidence=evidence, who=f"whoever changed {now.reference.called} or {old.host}"
        )


def _creation_refused(old: PinnedPod, seen: Absence) -> Iterator[Diagnosis]:
    """What stopped the controller from making the pod, as its last Warning Event tells."""
    if old.controller is not None and (warning := last_warning(seen.events, seen.since)):
        evidence = f"the last Warning Event of {old.controller.called}: {warning}"
        found = refusal(warning)
        if found.code == "refused":
            yield Diagnosis(code="creation_failed", evidence=evidence, who=_maker(old))
        yield found.model_copy(update={"evidence": evidence})


def _paused(seen: Absence) -> Iterator[Diagnosis]:
    now = seen.controller
    if isinstance(now, Controller) and now.paused:
        called = now.reference.called
        evidence = f"{called} is paused, by spec.paused or an annotation: its operator leaves it alone"
        yield Diagnosis(code="controller_paused", evidence=evidence, who=f"whoever paused {called}")


def _maker(old: PinnedPod) -> str:
    """Who answers for that which makes the pod."""
    if old.controller is None:
        return "whoever made the pod"
    return ADMINISTRATORS if old.controller.built_in_plural else OPERATOR


def _ordinal(pod_name: str) -> int | None:
    number = pod_name.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() else None


# --- the new pod is not back -------------------------------------------------------------------------------------


def readiness(pod: Pod, host: Host | None, events: Iterable[PodEvent], server_now: datetime) -> Diagnosis:
    """Why the replacement is not back."""
    events = tuple(events)
    for explanation in (
        _ended(pod),
        _scheduling(pod),
        _lost(host),
        _disrupted(pod),
        _containers(pod, events, server_now),
        _probes(pod, events),
    ):
        for diagnosis in explanation:
            return diagnosis
    if pod.spec.node_name and not _statuses(pod):
        evidence = f"Kubernetes node {pod.spec.node_name} has it, and its kubelet has reported no container yet"
        return Diagnosis(code="kubelet_silent", evidence=evidence, who=ADMINISTRATORS)
    if kubelet_is_silent(pod):
        evidence = f"all containers were ready, and the pod is not: the kubelet of {pod.spec.node_name} may not answer"
        return Diagnosis(code="kubelet_silent", evidence=evidence, who=ADMINISTRATORS)
    evidence = f"phase {pod.status.phase or 'unknown'}, no reason given"
    return Diagnosis(code="unknown", evidence=evidence, who=APPLICATION)


def with_ended(why: Diagnosis, pods: Iterable[Pod], told: str = "") -> Diagnosis:
    """Add to `why` which other replacements have ended: this one may end like them.

    `pods` are those that are still there, the last one first; `told` is what was told of one that is not.
    """
    ended = [(pod, diagnosis) for pod in pods for diagnosis in _ended(pod)]
    if ended:
        last, how = ended[0]
        told = f"{len(ended)} more of its replacements have ended, the last {last.name}, {how.evidence}"
    if not told:
        return why
    return why.model_copy(update={"evidence": f"{why.evidence}; {told[0].lower()}{told[1:].rstrip('.')}"})


def how_it_ended(pod: Pod) -> str:
    """Say how a pod has ended; empty where it has not."""
    return next((diagnosis.evidence for diagnosis in _ended(pod)), "")


def _ended(pod: Pod) -> Iterator[Diagnosis]:
    if not pod.finished:
        return
    ended = [(one.name, one.state.terminated) for one in _statuses(pod) if one.state.terminated]
    why, who = _joined(pod.status.reason, pod.status.message) or _joined(pod.disrupted, ""), ADMINISTRATORS
    if not why and ended:  # its containers have ended by themselves
        name, how = next((one for one in ended if one[1].exit_code), ended[-1])
        last = _joined(how.reason, how.message)
        why, who = f"container {name}, exit code {how.exit_code}" + (f" ({last})" if last else ""), APPLICATION
    yield Diagnosis(code="pod_ended", evidence=f"phase {pod.status.phase}: {why or 'no reason given'}", who=who)


def _scheduling(pod: Pod) -> Iterator[Diagnosis]:
    """What keeps it from a Kubernetes node."""
    if pod.spec.node_name:
        return
    if gates := [gate.name for gate in pod.spec.scheduling_gates]:
        names = ", ".join(gates)
        evidence = f"{_list('scheduling gate', gates)} not removed: no scheduler may look at it yet"
        yield Diagnosis(code="scheduling_gated", evidence=evidence, who=f"the owners of scheduling gate {names}")
    scheduled = pod.condition("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        evidence = _joined(scheduled.reason, scheduled.message)
        yield Diagnosis(code="unschedulable", evidence=evidence, who=ADMINISTRATORS)
    elif pod.spec.scheduler_name in ("", "default-scheduler"):
        yield Diagnosis(code="unscheduled", evidence="no scheduler has looked at it", who=ADMINISTRATORS)
    else:
        evidence = f"its scheduler {pod.spec.scheduler_name} has not looked at it"
        yield Diagnosis(code="unscheduled", evidence=evidence, who=f"whoever runs scheduler {pod.spec.scheduler_name}")


def _lost(host: Host | None) -> Iterator[Diagnosis]:
    if evidence := _host_lost(host):
        yield Diagnosis(code="host_lost", evidence=evidence, who=ADMINISTRATORS)


def _disrupted(pod: Pod) -> Iterator[Diagnosis]:
    if why := pod.disrupted:
        yield Diagnosis(
            code="pod_disrupted", evidence=f"it is about to go again: {_joined(why, '')}", who=ADMINISTRATORS
        )


def _containers(pod: Pod, events: tuple[PodEvent, ...], server_now: datetime) -> Iterator[Diagnosis]:
    """Containers that do not run, or not for long."""
    for status in _statuses(pod):
        waiting = status.state.waiting
        if waiting and waiting.reason in IMAGE_REASONS:
            evidence = f"container {status.name}: {_joined(waiting.reason, waiting.message)}"
            yield Diagnosis(code="image_pull", evidence=evidence, who=APPLICATION)
        if waiting and waiting.reason in CONFIG_REASONS:
            evidence = f"container {status.name}: {_joined(waiting.reason, waiting.message)}"
            yield Diagnosis(code="container_config", evidence=evidence, who=APPLICATION)
    volume = _last_warning(events)
    if (
        volume
        and volume.reason in VOLUME_EVENTS
        and not any(one.state.running or one.state.terminated for one in _statuses(pod))
    ):
        yield Diagnosis(code="volume", evidence=_joined(volume.reason, volume.message), who=ADMINISTRATORS)
    yield from _init_containers(pod)
    for container, status in _long_running(pod):
        ended = status.state.terminated or status.last_state.terminated
        if ended is None or (status.ready and runs_steadily(status, pod, server_now)):
            continue
        times = f"container {status.name}, restart count {status.restart_count}"
        if _killed_by_startup_probe(container, status, events):
            evidence = (
                f"{times}: killed before its startup probe passed (it allows {startup_budget([container]):.0f} s)"
            )
            yield Diagnosis(code="startup_kill_loop", evidence=evidence, who=APPLICATION)
        elif not status.state.running or status.restart_count > 1 or status.ready:  # once may have been a stumble
            last = _joined(ended.reason, ended.message)
            evidence = f"{times}, last exit code {ended.exit_code}" + (f" ({last})" if last else "")
            if killing := _killed_for_a_probe(status, ended, events):
                evidence += f"; {killing}"
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


def _probes(pod: Pod, events: tuple[PodEvent, ...]) -> Iterator[Diagnosis]:
    """Containers that run and have not passed their probes, then the readiness gates."""
    for container, status in _long_running(pod):
        if container.startup_probe and status.state.running and not status.started:
            evidence = f"container {container.name} runs, its startup probe has not passed yet"
            yield Diagnosis(code="startup_probe", evidence=evidence, who=APPLICATION)
    for _, status in _long_running(pod):
        if status.state.running and not status.ready:
            evidence = f"container {status.name} runs, its readiness probe does not pass"
            yield Diagnosis(code="readiness_probe", evidence=evidence, who=APPLICATION)
        elif not status.state.running:
            waiting = status.state.waiting
            why = _joined(waiting.reason, waiting.message) if waiting else ""
            evidence = f"container {status.name} does not run yet" + (f": {why}" if why else "")
            if warning := last_warning(events):
                evidence += f"; the pod's last Warning Event: {warning}"
            yield Diagnosis(code="container_waiting", evidence=evidence, who=ADMINISTRATORS)
    for gate in pod.spec.readiness_gates:
        condition = pod.condition(gate.condition_type)
        if condition is None or condition.status != "True":
            evidence = f"readiness gate {gate.condition_type} is {condition.status if condition else 'not reported'}"
            if condition is not None and (why := _joined(condition.reason, condition.message)):
                evidence += f" ({why})"
            yield Diagnosis(
                code="readiness_gate", evidence=evidence, who=f"the owners of readiness gate {gate.condition_type}"
            )


def _killed_by_startup_probe(container: Container, status: ContainerStatus, events: tuple[PodEvent, ...]) -> bool:
    last = status.state.terminated or status.last_state.terminated
    if container.startup_probe is None or last is None or last.reason == "OOMKilled":
        return False
    if killings := _killings(status, events):
        return any("failed startup probe" in one.message for one in killings)
    if last.exit_code not in KILLED_EXIT_CODES:
        return False
    if last.started_at is None or last.finished_at is None:
        return True
    # Whatever else may kill it (a liveness probe, the machine's lack of memory) need not wait for the last try.
    probe = container.startup_probe
    earliest = probe.initial_delay_seconds + (probe.failure_threshold - 1) * probe.period_seconds
    return (last.finished_at - last.started_at).total_seconds() >= earliest


def _killed_for_a_probe(status: ContainerStatus, ended: Terminated, events: tuple[PodEvent, ...]) -> str:
    """Quote what its kubelet tells of the probe for which it has killed a container; empty where that is not known.

    A kubelet sends only so many Events. Where this run has ended as a killed one does, one of an earlier run tells too.
    """
    as_killed = ended.reason != "OOMKilled" and ended.exit_code in {0, *KILLED_EXIT_CODES}
    killings = _killings(status, events)
    if not killings or not (as_killed or (ended.started_at and killings[-1].last_seen >= ended.started_at)):
        return ""
    return killings[-1].message


def _killings(status: ContainerStatus, events: tuple[PodEvent, ...]) -> list[PodEvent]:
    """What its kubelet tells of a container that it has killed for a probe, the last at the end."""
    told = (one for one in events if one.message.startswith(f"Container {status.name} failed"))
    return sorted(told, key=lambda one: one.last_seen)


def _host_lost(host: Host | None) -> str:
    if host is None or host.ready.status == "True":
        return ""
    why = _joined(host.ready.reason, host.ready.message)
    return f"Kubernetes node {host.name} is not ready" + (f": {why}" if why else "")


def _long_running(pod: Pod) -> Iterator[tuple[Container, ContainerStatus]]:
    """The main containers and the sidecars with their statuses, as far as they are reported."""
    for container in pod.spec.long_running:
        if (status := pod.container_status(container.name)) is not None:
            yield container, status


def _statuses(pod: Pod) -> tuple[ContainerStatus, ...]:
    """The containers that must run for the pod to be back: not those of `kubectl debug`."""
    return (*pod.status.init_container_statuses, *pod.status.container_statuses)


def _joined(reason: str, message: str) -> str:
    text = " ".join(": ".join(part for part in (reason, message) if part).split())
    return text if len(text) <= LONGEST_QUOTE else f"{text[:LONGEST_QUOTE]}..."


def _list(noun: str, names: list[str]) -> str:
    return f"{noun}{'s' if len(names) != 1 else ''} {', '.join(names)}"
