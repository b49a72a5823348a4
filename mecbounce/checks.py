"""INIT_CHECKS: may the pod be bounced? One ordered table; the first check that refuses ends it.

Pure: no I/O, no clock. A check may rely on the answers of the checks above it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

from mecbounce.fields import Frozen
from mecbounce.kubernetes_api.node import Node
from mecbounce.kubernetes_api.objects import Owner, Pod
from mecbounce.machine import JOINING, Event
from mecbounce.messages import TASK, Terms
from mecbounce.record import looks_generated
from mecbounce.request import BounceRequest, NodeRef


@dataclass(frozen=True)
class Facts:
    """What the checks judge.

    `missing` and `unreadable` say what is wrong with the custom resource, if anything; `served` is False where the API
    server does not know its type. `above` are the controllers above the pod, lowest first, up to one of the resource's
    type; `unread` says why they could not be followed. `pinned_uid`: the UID that this bounce has pinned earlier.
    `found`: the custom resource that was found, if the request asks for that; `unasked` says why it could not be found
    or read.
    """

    request: BounceRequest
    node: Node | None = None
    missing: str = ""
    served: bool = True
    unreadable: str = ""
    pod: Pod | None = None
    above: tuple[Owner, ...] = ()
    unread: str = ""
    pinned_uid: str | None = None
    terms: Terms = TASK
    found: NodeRef | None = None
    unasked: str = ""

    @property
    def pod_uid(self) -> str | None:
        """The UID of the one incarnation that may be bounced; None: the one that exists now."""
        return self.pinned_uid or self.request.pod_uid

    @property
    def ref(self) -> NodeRef | None:
        """The custom resource that the checks judge: the request's, or the one that was found. None: there is none."""
        return self.request.given_node or (None if self.unasked else self.found)

    @property
    def named(self) -> Owner | None:
        """The custom resource as the owner references of other objects name it, if it was read."""
        return self.node.reference if self.node else None

    @property
    def maker(self) -> Owner | None:
        """What will recreate the pod: its controller, else the custom resource of the request, if that is an owner.

        An owner that was only found is judged, but not trusted to recreate the pod.
        """
        if self.pod is None:
            return None
        given = self.named if self.request.given_node else None
        return self.pod.controller or (self.pod.owner(given.uid) if given else None)

    @property
    def has_generated_name(self) -> bool:
        return self.pod is not None and self.pod.is_renamed_by(self.maker)

    @property
    def ended(self) -> bool:
        return self.pod is not None and self.pod.finished

    @property
    def runs_until_done(self) -> bool:
        """True for a Job's pod, and for one that need not be kept running, such as a step of a workflow.

        Kubernetes' other controllers only make pods with restartPolicy Always. An operator whose resource the request
        names is trusted to recreate its pod.
        """
        if self.pod is None or self.maker is None:
            return False
        if (self.maker.group, self.maker.kind) == ("batch", "Job"):
            return True
        given = self.named if self.request.given_node else None
        made_by_given = given is not None and given.uid == self.maker.uid
        return self.pod.spec.restart_policy != "Always" and not made_by_given

    @property
    def owners(self) -> str:
        """The kinds and names of the pod's owners, of which none is its controller."""
        return ", ".join(owner.called for owner in self.pod.metadata.owner_references) if self.pod else ""

    @property
    def desired_path(self) -> str:
        return self.ref.desired_path if self.ref else ""

    @property
    def who(self) -> str:
        return f"Pod {self.request.pod} in namespace {self.request.namespace}"

    @property
    def other_resource(self) -> Owner | None:
        """The custom resource that the pod is made from, if that is another one of the named one's type."""
        named = self.named
        if named is None:
            return None
        return next((owner for owner in self._controllers if owner.same_type(named) and owner.uid != named.uid), None)

    @property
    def unverified(self) -> str:
        """Why it is not known whether the pod is made from the named resource; empty if it is known."""
        named, top = self.named, self._controllers[-1:]
        if named is None or not top or top[0].same_type(named):
            return ""
        return self.unread or f"{top[0].called}, which controls it, says nothing of that resource"

    @property
    def _controllers(self) -> tuple[Owner, ...]:
        """The controllers above the pod, lowest first."""
        return self.above or ((self.pod.controller,) if self.pod and self.pod.controller else ())

    @property
    def down(self) -> bool:
        """True if the node is meant to be down."""
        return self.node is not None and self.ref is not None and self.node.is_down(self.ref)

    def active(self, values: frozenset[str]) -> bool:
        return self.node is not None and (self.node.activity or "").casefold() in values


@dataclass(frozen=True)
class Check:
    """A statement that is true of a sound bounce, and what to do and say where it is not.

    `applies` is true where the statement is not. `code`: the event that then ends the checks, or any other text: then
    there is only a notice. `forced` is the notice where `force` goes on all the same; None: `force` changes nothing.
    `needs`: check it only if there is this: a "node", one of which "desired" is said or expected, a "search" for the
    node, or a "pod_uid". `brief`: a plan names it among those that passed.
    """

    code: Event | str
    statement: str
    applies: Callable[[Facts], bool]
    message: Callable[[Facts], str]
    advice: Callable[[Facts], str] = lambda _: ""
    forced: Callable[[Facts], str] | None = None
    needs: str = ""
    brief: bool = False

    @property
    def event(self) -> Event | None:
        """The event that ends the checks where the statement is not true. None: it does not end them."""
        return self.code if isinstance(self.code, Event) else None


class Finding(Frozen):
    """What came of one check."""

    code: str
    """Its stable name."""
    statement: str
    """What is true of a sound bounce."""
    holds: bool = True
    """False: the statement is not true. That ends the checks, or earns a notice."""
    ends: bool = False
    """True if the checks stop here."""
    notice: str = ""
    """The notice of a statement that is not true and does not end the checks."""

    @property
    def question(self) -> str:
        """Deprecated: `statement` says it the other way round."""
        _goes("question", "statement")
        return asked_as_before(self.statement)

    @property
    def answer(self) -> bool:
        """Deprecated: `holds` is the opposite."""
        _goes("answer", "holds")
        return not self.holds


def asked_as_before(statement: str) -> str:
    """Turn a statement into a question, to which a yes ends the checks or earns a notice: as 0.2.0 put it."""
    return f"Is this untrue: {statement}?"


def _goes(name: str, instead: str) -> None:
    text = f"Finding.{name} goes with the next version: use {instead}"
    warnings.warn(text, DeprecationWarning, stacklevel=3)


@dataclass(frozen=True)
class Verdict:
    """The event that the checks end with, what to say, and the findings in order."""

    event: Event
    message: str
    advice: str
    findings: tuple[Finding, ...]


def _sentence(text: str) -> str:
    return text if text.endswith("?") else f"{text}."


def _down_advice(facts: Facts) -> str:
    path = facts.desired_path
    if facts.request.is_k8s_gitops():
        return f"To start it, change {path} in Git, where this cluster's resources come from, and let it be applied."
    return f"To start it, change {path} of {facts.ref}."


def _controller(facts: Facts) -> str:
    return facts.maker.called if facts.maker else "its controller"


def _restart_policy(facts: Facts) -> str:
    return f" (restartPolicy {facts.pod.spec.restart_policy})" if facts.pod else ""


def _host(facts: Facts) -> str:
    return facts.pod.spec.node_name if facts.pod and facts.pod.spec.node_name else "its Kubernetes node"


def _phase(facts: Facts) -> str:
    status = facts.pod.status if facts.pod else None
    return ": ".join(filter(None, (status.phase, status.reason))) if status else ""


def _missing_advice(facts: Facts) -> str:
    ref = facts.ref
    said = f"The operator of {ref.plural}.{ref.group} should have made it: look at its log and Events. " if ref else ""
    if looks_generated(facts.request.pod):
        said = f"If {facts.request.pod} was a generated name, its controller has made another pod or wants none. "
    said += "If the name or the namespace is wrong, correct it."
    if ref is None and not looks_generated(facts.request.pod):
        said += " If not, whatever makes the pod has not made it."
    if ref is None and facts.request.node == "auto":
        said += f" To see whether it is meant to be down, name its custom resource with {facts.terms.name_node}."
    return said


def _replaced_message(facts: Facts) -> str:
    gone = f"{facts.who}: incarnation {facts.pod_uid} has gone already; nothing is deleted, "
    if facts.pinned_uid is not None:  # this bounce has seen it, and knows what its replacement is made by
        return f"{gone}the bounce only waits for its replacement."
    said = f"{gone}the bounce only waits for a replacement of that name."
    if facts.pod is None and looks_generated(facts.request.pod):
        said += (
            f" If {facts.request.pod} was a generated name, its replacement has another one and is not found: "
            "look at the newest pods of its controller instead."
        )
    return said


def _of_found(found: str, given: str) -> Callable[[Facts], str]:
    """Say one thing of a custom resource that was found, and another of one that the request names."""
    return lambda facts: _filled(given if facts.request.given_node else found, facts)


def _filled(text: str, facts: Facts) -> str:
    return text.format(
        ref=facts.ref,
        missing=_sentence(facts.missing),
        no_node=facts.terms.no_node,
        fields=facts.terms.node_types.format(type=facts.ref.type_name if facts.ref else ""),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        code="node_unasked",
        statement="its custom resource, if it has one, was read",
        needs="search",
        applies=lambda facts: bool(facts.unasked),
        message=lambda facts: (
            f"Not checked: whether the node is down, is being deleted or is rebuilding ({facts.unasked}). "
            + ("See that it can be read" if facts.found else f"Name its custom resource with {facts.terms.name_node}")
            + f", or use {facts.terms.no_node} if none is to be checked."
        ),
    ),
    Check(
        code=Event.NODE_UNSERVED,
        statement="the API server knows the resource type",
        needs="node",
        applies=lambda facts: bool(facts.missing) and not facts.served,
        message=lambda facts: _sentence(facts.missing),
        advice=lambda _: "Correct the node's group, version and plural, or have that resource type installed.",
    ),
    Check(
        code=Event.NODE_MISSING,
        statement="custom resource exists",
        brief=True,
        needs="node",
        applies=lambda facts: bool(facts.missing),
        message=_of_found("The pod is made from {ref}, which does not exist.", "{missing}"),
        advice=_of_found(
            "Its pod would not be recreated. If the node is still wanted, create that resource again. To bounce the "
            "pod whatever its resource says, use {no_node}.",
            "Check the namespace and the node's group, version, plural and name.",
        ),
    ),
    Check(
        code=Event.NODE_UNREADABLE,
        statement="its state is text",
        needs="node",
        applies=lambda facts: bool(facts.unreadable),
        message=lambda facts: f"{facts.ref}: {facts.unreadable}.",
        advice=_of_found(
            "Say in {fields} which fields hold its state. To bounce the pod whatever its resource says, use {no_node}.",
            "Check desired_path and activity_path of the NodeRef, or correct the resource.",
        ),
    ),
    Check(
        code=Event.NODE_DELETING,
        statement="it is not being deleted",
        needs="node",
        applies=lambda facts: facts.node is not None and facts.node.deleting,
        message=lambda facts: (
            f"{facts.ref} is being deleted, so its operator would not recreate the pod. It is not bounced "
            f"({facts.terms.force} does not change that)."
        ),
        advice=lambda _: "If the node is still wanted, create its resource again once it has gone.",
    ),
    Check(
        code=Event.NODE_DOWN,
        statement="it is not meant to be down",
        needs="node",
        applies=lambda facts: facts.down,
        message=lambda facts: (
            f"{facts.ref} is meant to be down, so it is not bounced ({facts.terms.force} does not change that)."
        ),
        advice=_down_advice,
    ),
    Check(
        code="node_silent",
        statement="it is meant to be up",
        brief=True,
        needs="desired",
        applies=lambda facts: facts.node is not None and not facts.node.desired,
        message=lambda facts: f"{facts.ref} has no {facts.desired_path} (desired_path): treated as meant to be up.",
    ),
    Check(
        code=Event.ALREADY_REPLACED,
        statement="the pinned incarnation exists",
        needs="pod_uid",
        applies=lambda facts: facts.pod is None or facts.pod.uid != facts.pod_uid,
        message=_replaced_message,
    ),
    Check(
        code=Event.POD_MISSING,
        statement="pod exists",
        brief=True,
        applies=lambda facts: facts.pod is None,
        message=lambda facts: (
            f"{facts.who} does not exist"
            + (f", although {facts.ref} is not meant to be down" if facts.ref else "")
            + "."
        ),
        advice=_missing_advice,
    ),
    Check(
        code=Event.POD_STATIC,
        statement="it mirrors no static pod",
        applies=lambda facts: facts.pod is not None and facts.pod.mirrors_static_pod,
        message=lambda facts: (
            f"{facts.who} only mirrors a static pod of the kubelet on {_host(facts)}: deleting it restarts nothing "
            f"({facts.terms.force} does not change that)."
        ),
        advice=lambda facts: (
            f"Restart it on {_host(facts)}: take its manifest out of the kubelet's folder of static pods, and put it "
            "back."
        ),
    ),
    Check(
        code=Event.POD_UNMANAGED,
        statement="it has an owner that recreates it",
        brief=True,
        applies=lambda facts: facts.pod is not None and facts.maker is None,
        message=lambda facts: (
            f"{facts.who} has no controller"
            + (f", only owners that do not control it ({facts.owners})" if facts.owners else "")
            + ", so nothing would recreate it."
        ),
        advice=lambda facts: (
            f"Bounce it with {facts.terms.force} only if you will recreate it yourself."
            + (" If one of its owners recreates it, name that owner as the node." if facts.owners else "")
        ),
        forced=lambda facts: (
            f"The pod has no controller; going on because of {facts.terms.force}. Somebody must recreate it."
        ),
    ),
    Check(
        code="pod_owned",
        statement="that owner is its controller",
        needs="node",
        applies=lambda facts: facts.pod is not None and facts.pod.controller is None and facts.maker is not None,
        message=lambda facts: (
            f"{facts.ref} owns the pod without `controller: true`: its operator is trusted to recreate it."
        ),
    ),
    Check(
        code=Event.POD_FOREIGN,
        statement="pod is made from no other custom resource",
        needs="node",
        applies=lambda facts: facts.other_resource is not None,
        message=lambda facts: f"{facts.who} is made from {facts.other_resource}, not from {facts.ref}.",
        advice=_of_found(
            "That resource was recreated under its name: its operator must replace the pod.",
            "Name the node that the pod is made from. If that resource was recreated under its name, its operator must "
            "replace the pod.",
        ),
    ),
    Check(
        code="node_unverified",
        statement="its link to the custom resource is verified",
        needs="node",
        applies=lambda facts: bool(facts.unverified),
        message=lambda facts: (
            f"Not verified: whether {facts.who} is made from {facts.ref} ({facts.unverified}). "
            "Its state is checked anyway."
        ),
    ),
    Check(
        code=Event.ALREADY_TERMINATING,
        statement="pod is not terminating",
        applies=lambda facts: facts.pod is not None and facts.pod.terminating,
        message=lambda facts: f"{facts.who} is being deleted already: this bounce sends no DELETE and only waits.",
    ),
    Check(
        code=Event.POD_ENDED,
        statement="it has not ended, or its name is fixed",
        applies=lambda facts: facts.ended and facts.has_generated_name,
        message=lambda facts: (
            f"{facts.who} has ended ({_phase(facts)}), and {_controller(facts)} already has another pod, "
            f"or wants no pod. Deleting this one restarts nothing ({facts.terms.force} does not change that)."
        ),
        advice=lambda facts: f"Bounce a pod of {_controller(facts)} that runs; this one can be deleted at any time.",
    ),
    Check(
        code="pod_ended_in_place",
        statement="it has not ended",
        applies=lambda facts: facts.ended,
        message=lambda facts: f"The pod has ended ({_phase(facts)}): a bounce removes it, so that it can be recreated.",
    ),
    Check(
        code=Event.POD_OF_JOB,
        statement="it runs for good, not only until its work is done",
        applies=lambda facts: facts.runs_until_done,
        message=lambda facts: (
            f"{facts.who} belongs to {_controller(facts)} and runs only until its work is done"
            f"{_restart_policy(facts)}. Once deleted, its work starts again in another pod, or counts as failed and is "
            "not done again."
        ),
        advice=lambda facts: (
            f"{'It has ended: leave it' if facts.ended else 'Let it end by itself'}. To delete it anyway, use "
            f"{facts.terms.force}."
        ),
        forced=lambda facts: (
            f"The pod belongs to {_controller(facts)} and runs only until its work is done; going on because of "
            f"{facts.terms.force}. Its work starts again, or counts as failed and is not done again."
        ),
    ),
    Check(
        code=Event.NODE_REBUILDING,
        statement="node is not rebuilding",
        brief=True,
        needs="node",
        applies=lambda facts: facts.ref is not None and facts.active(facts.ref.rebuilding_values),
        message=lambda facts: f"{facts.ref} is rebuilding; a bounce now would make it begin again.",
        advice=lambda facts: f"Wait until it has rebuilt. To bounce it anyway, use {facts.terms.force}.",
        forced=lambda facts: (
            f"The node is rebuilding; going on because of {facts.terms.force}. It will begin to rebuild again."
        ),
    ),
    Check(
        code="node_catching_up",
        statement="node is not catching up",
        needs="node",
        applies=lambda facts: facts.ref is not None and facts.active(facts.ref.catchup_values),
        message=lambda _: "The node is catching up; it goes on catching up after the bounce.",
    ),
)


def judge(facts: Facts, unchanged: str = "Nothing was changed.") -> Verdict:
    """Make the checks in order, until one ends them. The message of a refusal ends with `unchanged`."""
    request = facts.request
    there_is = {
        "": True,
        "node": facts.ref is not None,
        "desired": request.given_node is not None or (facts.node is not None and bool(facts.node.desired)),
        "search": request.node == "auto",
        "pod_uid": facts.pod_uid is not None,
    }
    findings: list[Finding] = []
    for check in CHECKS:
        if not there_is[check.needs]:
            continue
        applies = check.applies(facts)
        goes_on = check.message if check.event is None else check.forced if request.force else None
        notice = goes_on(facts) if applies and goes_on else ""
        ends = check.event if applies and goes_on is None else None
        findings.append(
            Finding(code=check.code, statement=check.statement, holds=not applies, ends=ends is not None, notice=notice)
        )
        if ends is not None:
            message = check.message(facts)
            if ends not in JOINING:
                message = f"{message} {unchanged}"
            return Verdict(ends, message, check.advice(facts), tuple(findings))
    return Verdict(Event.CHECKS_PASSED, f"All checks passed{_without_node(facts)}.", "", tuple(findings))


def _without_node(facts: Facts) -> str:
    if facts.ref:
        return ""
    if facts.request.node is None or facts.unasked:
        return " that can be asked without a custom resource (node)"
    return "; no custom resource controls the pod"
