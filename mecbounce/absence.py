"""Why has nothing replaced the old pod? Found by a look at the custom resource, the controller and the other pods.

Pure functions of what was seen. They return the first cause that fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mecbounce.codes import ADMINISTRATORS, MAKER, OPERATOR, DiagnosisCode
from mecbounce.diagnosis import bracketed, explanation, last_warning, listed, refusal
from mecbounce.errors import NotFound, one_line
from mecbounce.kubernetes_api.objects import Controller
from mecbounce.record import Diagnosis

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from mecbounce.kubernetes_api.node import Node
    from mecbounce.kubernetes_api.objects import Host, Owner, Pod, PodEvent
    from mecbounce.record import PinnedPod, SeenPod
    from mecbounce.request import NodeRef


@dataclass(frozen=True)
class Absence:
    """What was seen when no replacement had come. None and () mean not known. Times are by the API server's clock.

    `since`: what happened before can't be the cause. `came`: a replacement that an earlier look has shown.
    `node` and `controller`: what they are now, or why they no longer exist: an error, a text. `pods` and
    `replica_sets`: those of the namespace. `events`: those of the controller. `host`: the Kubernetes node that a
    DaemonSet's pod was on.
    """

    since: datetime
    came: SeenPod | None = None
    pods: tuple[Pod, ...] = ()
    ref: NodeRef | None = None
    node: Node | NotFound | None = None
    controller: Controller | str | None = None
    events: tuple[PodEvent, ...] = ()
    replica_sets: tuple[Controller, ...] = ()
    host: Host | None = None


def not_recreated(old: PinnedPod, seen: Absence) -> Diagnosis:
    """Say why there is no replacement."""
    return (
        _resource(seen)
        or _in_its_place(old, seen)
        or _controller(old, seen)
        or _creation_refused(old, seen)
        or _paused(seen)
        or _other_name(old, seen)
        or _nothing_came(old, seen)
    )


def name_generated() -> Diagnosis:
    """Say that the replacement can't be found: the pod had gone before it was seen, and its name looks generated."""
    evidence = "its name looks generated: then its replacement has another name, and this bounce can't find it"
    return Diagnosis.of(DiagnosisCode.NAME_GENERATED, evidence)


def too_few(old: PinnedPod, gone: int) -> Diagnosis:
    """Say that there is a new pod, but more pods of its controller have gone than new ones are back."""
    evidence = f"{gone + 1} pods of its controller have gone, and fewer replacements are back"
    return Diagnosis.of(DiagnosisCode.TOO_FEW_REPLACEMENTS, evidence, who=_who_must_act(old))


def others(old: PinnedPod, pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """The other pods of its controller, without those that terminate or have ended."""
    controller = old.controller
    if controller is None:
        return ()
    return tuple(pod for pod in pods if pod.uid != old.uid and pod.active and pod.belongs_to(controller))


def unready_predecessor(controller: Controller, pod_name: str, pods: Iterable[Pod]) -> str:
    """Say that an OrderedReady StatefulSet waits for a pod of a lower number. Empty: it does not.

    https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#deployment-and-scaling-guarantees
    """
    ordinal = _ordinal(pod_name)
    if not controller.ordered or ordinal is None:
        return ""
    present = {pod.name: pod for pod in pods}
    in_order = f"{controller.reference.called} makes its pods in order (OrderedReady), and"
    for number in range(controller.first_ordinal, ordinal):
        name = f"{controller.reference.name}-{number}"
        pod = present.get(name)
        if pod is None:
            return f"{in_order} pod {name} does not exist"
        if pod.terminating:
            return f"{in_order} pod {name} is terminating"
        ready = pod.condition("Ready")
        if ready is None or ready.status != "True":
            return f"{in_order} pod {name} is not ready"
    return ""


def _resource(seen: Absence) -> Diagnosis | None:
    ref, node = seen.ref, seen.node
    if ref is None or node is None:
        return None
    if isinstance(node, NotFound):
        return Diagnosis.of(DiagnosisCode.NODE_MISSING if node.served else DiagnosisCode.NODE_UNSERVED, one_line(node))
    if node.deleting:
        return Diagnosis.of(DiagnosisCode.NODE_DELETING, f"{ref} is being deleted")
    if node.is_down(ref):
        evidence = f"{ref} has been turned down meanwhile ({ref.desired_path}: {node.desired})"
        return Diagnosis.of(DiagnosisCode.NODE_DOWN, evidence)
    return None


def _in_its_place(old: PinnedPod, seen: Absence) -> Diagnosis | None:
    namesake = next((pod for pod in seen.pods if pod.name == old.name and pod.uid != old.uid), None)
    if namesake is None:
        return None
    what = f"pod {namesake.name} ({namesake.uid}) exists in its place"
    if namesake.terminating:
        evidence = f"{what} and is itself terminating"
        return Diagnosis.of(DiagnosisCode.REPLACEMENT_TERMINATING, evidence, who=_who_must_act(old))
    owner = namesake.controller
    owned = f"another controller owns it: {owner}" if owner else "nothing controls it"
    return Diagnosis.of(DiagnosisCode.OTHER_CONTROLLER, f"{what}, but {owned}", who=_who_must_act(old))


def _controller(old: PinnedPod, seen: Absence) -> Diagnosis | None:
    """Say what happened to the controller."""
    pinned, now = old.controller, seen.controller
    if pinned is None:
        return None
    called = pinned.called
    if rolled_out := _rolled_out(old, pinned, seen):
        return rolled_out
    if now is None:
        return None
    if isinstance(now, str):
        return Diagnosis.of(DiagnosisCode.CONTROLLER_GONE, f"{called}: {now}", called)
    if now.deleting:
        return Diagnosis.of(DiagnosisCode.CONTROLLER_DELETING, f"{called} is being deleted", called)
    return _wants_none(old, now, seen)


def _wants_none(old: PinnedPod, now: Controller, seen: Absence) -> Diagnosis | None:
    """Say why a controller that still exists makes no pod now."""
    called = now.reference.called
    if scaled := _scaled_down(old, now, seen):
        asked = now.owner or now.reference  # people scale a Deployment, not its ReplicaSet
        return Diagnosis.of(DiagnosisCode.CONTROLLER_SCALED_DOWN, scaled, asked.called)
    if now.reference.kind == "Job":
        if over := now.true_condition("Complete") or now.true_condition("Failed"):
            return Diagnosis.of(DiagnosisCode.JOB_FINISHED, f"{called} is over: {over.type}{bracketed(over)}", called)
        if now.suspended:
            return Diagnosis.of(DiagnosisCode.JOB_SUSPENDED, f"{called} is suspended (spec.suspend)", called)
    if old.of_daemon_set and (without := _host_without_daemon(old, now, seen)):
        return without
    if waits := unready_predecessor(now, old.name, seen.pods):
        return Diagnosis.of(DiagnosisCode.PREDECESSOR_NOT_READY, waits)
    return None


def _rolled_out(old: PinnedPod, pinned: Owner, seen: Absence) -> Diagnosis | None:
    """Find the ReplicaSet of the same Deployment that took over from one that wants no more pods than it has."""
    if pinned.kind != "ReplicaSet":
        return None
    now = seen.controller
    listed = (controller for controller in seen.replica_sets if controller.reference.uid == pinned.uid)
    known = now if isinstance(now, Controller) else next(listed, None)
    if known is not None and not _has_enough(old, known, seen):
        return None
    # If the old one was removed already, its name says to which Deployment it belonged.
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
        return None
    was, new = f"is scaled down to {known.replicas}" if known else "no longer exists", successor.reference.called
    evidence = f"{successor.owner.called} was rolled out: {pinned.called} {was}, {new} took over"
    return Diagnosis.of(DiagnosisCode.ROLLED_OUT, evidence, new)


def _has_enough(old: PinnedPod, now: Controller, seen: Absence) -> bool:
    return now.replicas is not None and now.replicas <= len(others(old, seen.pods))


def _scaled_down(old: PinnedPod, now: Controller, seen: Absence) -> str:
    """Say from how many pods to how many the controller was scaled down. Empty: there is room for this pod."""
    called, wanted = now.reference.called, now.replicas
    # A StatefulSet of another API group may skip ordinals, as OpenKruise's does by reserveOrdinals.
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


def _host_without_daemon(old: PinnedPod, now: Controller, seen: Absence) -> Diagnosis | None:
    if seen.host is not None and not seen.host.metadata.uid:
        return Diagnosis.of(DiagnosisCode.HOST_GONE, f"Kubernetes node {old.host} no longer exists")
    if now.hosts_wanted is not None and now.hosts_wanted == len({pod.spec.host for pod in others(old, seen.pods)}):
        called = now.reference.called
        evidence = (
            f"{called} has a pod on every Kubernetes node where it wants one ({now.hosts_wanted}), "
            f"but not on {old.host}"
        )
        return Diagnosis.of(DiagnosisCode.HOST_NOT_WANTED, evidence, f"{called} or {old.host}")
    return None


def _creation_refused(old: PinnedPod, seen: Absence) -> Diagnosis | None:
    """Say what stopped the controller from making the pod, by its last Warning Event."""
    warning = last_warning(seen.events, seen.since)
    if old.controller is None or not warning:
        return None
    evidence = f"the last Warning Event of {old.controller.called}: {warning}"
    why = refusal(warning)
    if why.code is DiagnosisCode.REFUSED:
        return Diagnosis.of(DiagnosisCode.CREATION_FAILED, evidence, who=_who_must_act(old))
    return why.model_copy(update={"evidence": evidence})


def _paused(seen: Absence) -> Diagnosis | None:
    now = seen.controller
    if not isinstance(now, Controller) or not now.paused:
        return None
    called = now.reference.called
    evidence = f"{called} is paused, by spec.paused or an annotation: its operator leaves it alone"
    return Diagnosis.of(DiagnosisCode.CONTROLLER_PAUSED, evidence, called)


def _other_name(old: PinnedPod, seen: Absence) -> Diagnosis | None:
    made = [pod.name for pod in others(old, seen.pods) if (pod.metadata.creation_timestamp or seen.since) > seen.since]
    if not made or old.controller is None or old.generated_name or old.controller.kind == "StatefulSet":
        return None
    evidence = f"{old.controller.called} has made {listed('pod', made)} meanwhile, and none of the name {old.name}"
    return Diagnosis.of(DiagnosisCode.OTHER_NAME, evidence, who=_who_must_act(old))


def _nothing_came(old: PinnedPod, seen: Absence) -> Diagnosis:
    evidence = "nothing has recreated the pod"
    if came := seen.came:
        how = "is terminating" if any(pod.uid == came.uid for pod in seen.pods) else "has gone too"
        evidence = f"the replacement {came.name} ({came.uid}) {how}, and nothing has made another"
    if isinstance(seen.controller, Controller):
        unready = (one for one in seen.controller.conditions if one.type == "Ready" and one.status != "True")
        if why := explanation(next(unready, None)):
            evidence += f"; {seen.controller.reference.called} reports that it is not ready: {why}"
    return Diagnosis.of(DiagnosisCode.NOT_RECREATED, evidence, who=_who_must_act(old))


def _who_must_act(old: PinnedPod) -> str:
    """Name who must act for whatever makes the pod."""
    if old.controller is None:
        return MAKER
    return ADMINISTRATORS if old.controller.built_in_plural else OPERATOR


def _ordinal(pod_name: str) -> int | None:
    number = pod_name.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() else None
