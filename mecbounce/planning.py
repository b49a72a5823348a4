"""What would a bounce do now? Found out by reads, access reviews and one dry run: nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mecbounce import absence, checks, probes, steps
from mecbounce.checks import Finding
from mecbounce.errors import AccessDenied, ClusterError, Refused, Unreachable, one_line
from mecbounce.facts import gather
from mecbounce.fields import Frozen
from mecbounce.kubernetes_api.objects import Controller, Pod
from mecbounce.machine import JOINING, Event, State, follow
from mecbounce.messages import TASK, Terms
from mecbounce.probes import Deadline
from mecbounce.protection import AnnotationProtection, ShutdownProtection
from mecbounce.record import BounceRecord, PinnedPod, SeenPod
from mecbounce.request import BounceRequest

if TYPE_CHECKING:
    from mecbounce.kubernetes_api import PlanCluster


class Write(Frozen):
    """Something that a bounce would change."""

    verb: str
    """PATCH, POST or DELETE; NONE if nothing is left to change; CALL for a protection of the caller's own."""
    target: str
    """What it would change."""
    terms: str
    """How it would change it."""


class Right(Frozen):
    """Something that these credentials must be allowed to do."""

    verb: str
    """What is done, such as get."""
    resource: str
    """The type of the objects, as in a URL."""
    group: str = ""
    """Its API group; empty for the core group."""
    name: str = ""
    """The one object; empty: all of that type."""
    otherwise: str = ""
    """What is lost without the right; empty: a bounce is impossible without it."""
    granted: bool | None = None
    """True if it is granted; None: that could not be asked."""
    why: str = ""
    """Why it could not be asked."""
    namespaced: bool = True
    """True if its objects are in the namespace, False if they are in none."""

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")

    @property
    def misses(self) -> bool:
        """True if a bounce is impossible because this right is missing."""
        return self.granted is False and not self.otherwise


class Plan(Frozen):
    """What a bounce would do now. `mecbounce plan -o json` prints these fields."""

    goes_on: bool
    """True if its checks would pass and its DELETE would be accepted."""
    event: Event
    """The event that its checks would end with."""
    message: str
    """The same for people, or what prevents the bounce."""
    advice: str
    """Who must do what, if anything."""
    node: str | None = None
    """The custom resource that was checked: its type, version and name. None: none was."""
    checks: tuple[Finding, ...] = ()
    """The checks that were made, in order."""
    pod: SeenPod | None = None
    """The pod, if there is one."""
    writes: tuple[Write, ...] = ()
    """What it would change, in order."""
    dry_run: str = ""
    """What the API server answered to a dry run of the DELETE; empty if there was none."""
    refused: bool = False
    """True if there was a dry run and it was not accepted."""
    termination: Deadline | None = None
    """How long the pod may take to go."""
    ready: Deadline | None = None
    """How long its replacement may take to be back."""
    rights: tuple[Right, ...] = ()
    """The rights that it would need."""
    eviction: str = ""
    """How an eviction would end. A bounce deletes: a PodDisruptionBudget does not stop it."""
    disruption_budgets: Mapping[str, int] | None = None
    """How many disruptions each PodDisruptionBudget of the pod allows now; None: they could not be read."""
    notices: tuple[str, ...] = ()
    """What else is worth knowing."""


def plan(
    request: BounceRequest,
    cluster: PlanCluster,
    protection: ShutdownProtection | None = None,
    *,
    events: bool = True,
    terms: Terms = TASK,
    waits_on: BounceRecord | None = None,
) -> Plan:
    """Make every check, ask for every right, dry-run the DELETE. Changes nothing. A ClusterError becomes a part of it.

    Give it the `protection`, `events` and `terms` that the `BounceTask` will get; no protection is called.
    `waits_on`: the record of the bounce whose replacement it would keep waiting for.
    """
    pinned = waits_on.old_pod if waits_on else None

    def look(name: str | None) -> tuple[Pod, ...]:
        return cluster.pods(request.namespace, name)

    try:
        facts, _ = gather(request, cluster, look, waits_on, terms, insist=False)
    except AccessDenied as error:
        needed = _rights(checks.Facts(request), protection, writes=True, events=events, pinned=pinned)
        rights = _ask_for(request, cluster, needed)
        advice, message = _who_grants(request, rights), f"{one_line(error)}."
        return Plan(goes_on=False, event=Event.ACCESS_DENIED, message=message, advice=advice, rights=rights)
    except ClusterError as error:
        advice = "Find out why the API server gives no usable answer. Then plan again."
        return Plan(goes_on=False, event=Event.CLUSTER_UNREACHABLE, message=f"{one_line(error)}.", advice=advice)
    verdict, pod, timeouts = checks.judge(facts), facts.pod, request.timeouts
    spec = pod.spec if pod else None
    containers = spec.long_running if spec else pinned.containers if pinned else None
    needed = _rights(facts, protection, writes=verdict.event not in JOINING, events=events, pinned=pinned)
    rights = _ask_for(request, cluster, needed)
    deleted = pod if verdict.event is Event.CHECKS_PASSED else None
    dry_run, refused = _dry_run(request, deleted, cluster) if deleted else ("", False)
    eviction, budgets = _eviction(request, pod, cluster) if pod else ("", None)
    goes_on, message, advice = _goes_on(verdict.event), verdict.message, verdict.advice
    if goes_on and (missing := _missing(rights)):
        goes_on, advice = False, _who_grants(request, rights)
        message = f"Missing in namespace {request.namespace}: the right to {missing}."
    elif goes_on and refused:
        goes_on, message = False, f"Dry run of the deletion: {dry_run.rstrip('.')}."
        advice = "Whoever sets the rights and admission rules of this namespace must allow it. Then plan again."
    return Plan(
        goes_on=goes_on,
        event=verdict.event,
        message=message,
        advice=advice,
        node=str(facts.ref) if facts.ref else None,
        checks=verdict.findings,
        pod=SeenPod.of(pod) if pod else None,
        writes=tuple(_writes(facts, verdict.event, protection, events=events, pinned=pinned)),
        dry_run=dry_run,
        refused=refused,
        termination=probes.termination_deadline(timeouts.termination, spec.termination_grace_period_seconds)
        if spec and verdict.event is not Event.ALREADY_REPLACED
        else None,
        ready=probes.ready_deadline(timeouts.ready, containers) if containers is not None else None,
        rights=rights,
        eviction=eviction,
        disruption_budgets=budgets,
        notices=(
            *_waits_for_predecessor(request, deleted, cluster),
            *(f"No right to {one}: {one.otherwise}." for one in rights if one.granted is False and one.otherwise),
        ),
    )


def _dry_run(request: BounceRequest, pod: Pod, cluster: PlanCluster) -> tuple[str, bool]:
    """Give the API server's answer to the DELETE, and True if it was not accepted."""
    try:
        cluster.delete_pod(request.namespace, pod.name, pod.uid, dry_run=True)
    except Unreachable as error:
        return f"no usable answer: {one_line(error)}", True
    except Refused as error:
        said = one_line(error)
        if "does not support dry run" in said:  # a webhook with side effects; it may allow the real DELETE
            return f"not asked: {said}", False
        return f"refused: {said}", True
    except ClusterError as error:
        return f"refused: {one_line(error)}", True
    return "accepted", False


def _writes(
    facts: checks.Facts,
    event: Event,
    protection: ShutdownProtection | None,
    *,
    events: bool,
    pinned: PinnedPod | None = None,
) -> Iterator[Write]:
    pod, target = facts.pod, f"pod {facts.request.pod}"
    if event is Event.CHECKS_PASSED and pod is not None:
        yield from _protection_writes(pod, protection)
        if events:
            yield Write(verb="POST", target=target, terms="Kubernetes Event Bouncing")
        grace = f"its own grace period of {pod.spec.termination_grace_period_seconds:,} s"
        terms = f"UID {pod.uid} as precondition, {grace}, propagation Background"
        yield Write(verb="DELETE", target=target, terms=terms)
    if events and _goes_on(event):
        controller = pod.controller if pod else pinned.controller if pinned else None
        maker = facts.named or controller
        about = maker.called if maker else target
        yield Write(verb="POST", target=about, terms="Kubernetes Event Bounced or BounceFailed")


def _goes_on(event: Event) -> bool:
    return follow(State.INIT_CHECKS, event) is not State.FAILED


def _protection_writes(pod: Pod, protection: ShutdownProtection | None) -> Iterator[Write]:
    """Say how the protection would be switched off, without the annotation's value: that may be a secret."""
    if protection is None:
        return
    if not isinstance(protection, AnnotationProtection):
        yield Write(verb="CALL", target=type(protection).__name__, terms="once, to switch the shutdown protection off")
    elif (present := pod.metadata.annotations.get(protection.key)) is None:
        yield Write(verb="NONE", target=f"pod {pod.name}", terms=f"it has no annotation {protection.key}: unprotected")
    elif present == protection.off_value:
        yield Write(verb="NONE", target=f"pod {pod.name}", terms=f"its annotation {protection.key} is off already")
    else:
        yield Write(verb="PATCH", target=f"pod {pod.name}", terms=f"switches its annotation {protection.key} off")


def _waits_for_predecessor(request: BounceRequest, pod: Pod | None, cluster: PlanCluster) -> Iterator[str]:
    """Say if an OrderedReady StatefulSet would not recreate the pod now. Best effort."""
    owner = pod.controller if pod else None
    if pod is None or owner is None or owner.kind != "StatefulSet":
        return
    try:
        controller = Controller.read(cluster.controller(request.namespace, owner))
        waits = absence.unready_predecessor(controller, pod.name, cluster.pods(request.namespace))
    except (ClusterError, ValidationError):
        return
    if waits:
        yield f"{waits}: {pod.name} would not be recreated until that is solved."


def _rights(
    facts: checks.Facts,
    protection: ShutdownProtection | None,
    *,
    writes: bool,
    events: bool,
    pinned: PinnedPod | None = None,
) -> Iterator[Right]:
    """List the rights that a bounce needs; `writes`: also those to change the pod."""
    request, pod = facts.request, facts.pod
    generated = pinned.generated_name if pinned else facts.has_generated_name
    name = "" if generated else request.pod
    unasked = "" if request.given_node else "whether the node is down or rebuilding is not checked"
    if (ref := request.given_node or facts.found) is not None:
        scoped = facts.node is None or not facts.node.cluster_scoped
        yield Right(
            verb="get", resource=ref.plural, group=ref.group, name=ref.name, otherwise=unasked, namespaced=scoped
        )
    yield Right(verb="list", resource="pods", name=name)
    yield Right(
        verb="watch", resource="pods", name=name, otherwise=f"a bounce looks every {steps.LOOK_EVERY:.0f} s instead"
    )
    if writes:
        yield Right(verb="delete", resource="pods", name=request.pod)
        if isinstance(protection, AnnotationProtection):
            kept = "the shutdown protection stays on, and the pod is deleted anyway"
            yield Right(verb="patch", resource="pods", name=request.pod, otherwise=kept)
    if events:
        yield Right(verb="create", resource="events", otherwise="`kubectl describe` tells nothing of the bounce")
    less = "the diagnosis of a failure says less"
    yield Right(verb="list", resource="events", otherwise=less)
    host = pod.spec.node_name if pod else ""
    yield Right(verb="get", resource="nodes", name=host, namespaced=False, otherwise=less)
    for owner in facts.above or ((facts.maker,) if facts.maker else ()):
        if plural := owner.built_in_plural:
            lost = f"{unasked}, and {less}" if request.node == "auto" else less
            yield Right(verb="get", resource=plural, group=owner.group, name=owner.name, otherwise=lost)
        if plural == "replicasets":
            yield Right(verb="list", resource=plural, group=owner.group, otherwise=less)


def _ask_for(request: BounceRequest, cluster: PlanCluster, rights: Iterator[Right]) -> tuple[Right, ...]:
    """Ask the API server which of the rights are granted."""

    def answered(right: Right) -> Right:
        namespace = request.namespace if right.namespaced else ""
        try:
            granted = cluster.may(namespace, right.verb, right.resource, group=right.group, name=right.name)
        except ClusterError as error:
            return right.model_copy(update={"why": one_line(error)})
        return right.model_copy(update={"granted": granted})

    return tuple(answered(right) for right in rights)


def _eviction(request: BounceRequest, pod: Pod, cluster: PlanCluster) -> tuple[str, dict[str, int] | None]:
    """Say how an eviction would end now, and give each PodDisruptionBudget's allowed disruptions."""
    try:
        budgets = [budget for budget in cluster.disruption_budgets(request.namespace) if budget.covers(pod)]
    except ClusterError as error:
        return f"Whether a PodDisruptionBudget covers the pod could not be asked: {one_line(error)}.", None
    allowed = {budget.metadata.name: budget.disruptions_allowed for budget in budgets}
    if not allowed:
        return "No PodDisruptionBudget covers the pod.", allowed
    if len(allowed) > 1:  # https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
        told = f"{len(allowed)} PodDisruptionBudgets cover the pod ({', '.join(allowed)}): an eviction would be refused"
    else:
        name, number = next(iter(allowed.items()))
        disruptions = "1 more disruption" if number == 1 else f"{number} more disruptions"
        outcome = "accepted" if number > 0 else "refused"
        told = f"PodDisruptionBudget {name} allows {disruptions} now: an eviction would be {outcome}"
    return f"{told}; a bounce uses DELETE, which a budget does not stop.", allowed


def _missing(rights: tuple[Right, ...]) -> str:
    return ", ".join(str(right) for right in rights if right.misses)


def _who_grants(request: BounceRequest, rights: tuple[Right, ...]) -> str:
    what = f"grant: {missing}" if (missing := _missing(rights)) else "allow it"
    return f"Whoever sets the rights of namespace {request.namespace} must {what}. Then plan again."
