"""What a bounce is asked, what it sees and what it remembers: frozen data.

Times are aware datetimes in UTC, durations are seconds. What is read from the API server (`Pod`, `Host`,
`PodEvent`) mirrors Kubernetes' own JSON, keeps what a bounce needs and ignores the rest; a null is a missing field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from mecbounce.machine import FINAL, Event, State


def _matching(pattern: str, longest: int, rule: str) -> AfterValidator:
    """Make a check whose error a person can act on, unlike that of a bare pattern."""

    def check(value: str) -> str:
        if len(value) > longest or not re.fullmatch(pattern, value):
            raise ValueError(f"{value[:80]!r} is not {rule}, at most {longest} characters")
        return value

    return AfterValidator(check)


# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LETTERS = "lower case letters, digits and '-', a letter or digit at both ends"
Label = Annotated[str, _matching(_LABEL, 63, f"a name of {_LETTERS}")]
ObjectName = Annotated[str, _matching(rf"{_LABEL}(\.{_LABEL})*", 253, f"a name of {_LETTERS}, in parts joined by '.'")]
Uid = Annotated[str, _matching(r"[A-Za-z0-9-]+", 128, "a UID of letters, digits and '-'")]
FieldPath = Annotated[str, _matching(r"[^.\s]+(\.[^.\s]+)*", 253, "a dotted path such as spec.state")]
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600, allow_inf_nan=False)]


class Frozen(BaseModel):
    """Data of ours: unknown fields are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FromApi(BaseModel):
    """Data of the API server's: camel case, unknown fields ignored, a null is a missing field."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_missing(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Give the field, dotted, and what is wrong with it. The value itself stays out: it may be a secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"]


# --- what is asked -----------------------------------------------------------------------------------------------


class ClusterType(StrEnum):
    """How the cluster is run: by hand and operators alone, or out of Git."""

    K8S = "k8s"
    K8S_GITOPS = "k8s_gitops"


class ReadyWhen(StrEnum):
    """What counts as back: its startup probes passed, its Ready condition true, or whichever the pod is made for."""

    AUTO = "auto"
    STARTED = "started"
    READY = "ready"


class NodeRef(Frozen):
    """The custom resource of an application node, and where it keeps things.

    `desired_path` and `activity_path` are dotted paths into the object. The values are compared without case.
    """

    group: ObjectName
    version: Label
    plural: Label
    name: ObjectName
    desired_path: FieldPath = "spec.state"
    activity_path: FieldPath = "status.state"
    down_values: frozenset[str] = frozenset({"down", "stopped"})
    rebuilding_values: frozenset[str] = frozenset({"rebuilding"})
    catchup_values: frozenset[str] = frozenset({"catchup", "efficient_catchup"})

    @field_validator("down_values", "rebuilding_values", "catchup_values")
    @classmethod
    def _without_case(cls, values: frozenset[str]) -> frozenset[str]:
        return frozenset(value.casefold() for value in values)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}/{self.version} {self.name}"


class Timeouts(Frozen):
    """How long to wait, in seconds.

    `termination` and `ready` are kept to the second where given; where not, they are 600 s and never less than what
    the pod itself asks for. `api` is how long the API server may give no usable answer.
    """

    termination: Seconds | None = None
    ready: Seconds | None = None
    api: Seconds = 30.0


class BounceRequest(Frozen):
    """One bounce: which pod, of which custom resource, and on what terms.

    `node` may be left out where no custom resource tells the node's state. `pod_uid` pins the incarnation to bounce:
    where it has gone already, nothing is deleted and the bounce only waits. `force` bounces a node that rebuilds, or
    a pod that nothing would recreate; it overrides nothing else.
    """

    namespace: Label
    pod: ObjectName
    node: NodeRef | None = None
    cluster_type: ClusterType = ClusterType.K8S
    force: StrictBool = False
    pod_uid: Uid | None = None
    timeouts: Timeouts = Timeouts()
    ready_when: ReadyWhen = ReadyWhen.AUTO

    def is_k8s_gitops(self) -> bool:
        """Whether the cluster's resources are changed in Git, and nowhere else."""
        return self.cluster_type is ClusterType.K8S_GITOPS


# --- what is seen ------------------------------------------------------------------------------------------------


class Owner(FromApi):
    """An entry of `metadata.ownerReferences`."""

    kind: str
    name: str
    uid: str
    controller: bool = False


class Metadata(FromApi):
    """https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/ ."""

    name: str
    namespace: str = ""
    uid: str
    generate_name: str = ""
    creation_timestamp: AwareDatetime | None = None
    deletion_timestamp: AwareDatetime | None = None
    finalizers: tuple[str, ...] = ()
    annotations: Mapping[str, str] = {}
    owner_references: tuple[Owner, ...] = ()


class Probe(FromApi):
    """A probe's times, in seconds, with the API's defaults."""

    initial_delay_seconds: int = 0
    failure_threshold: int = 3
    period_seconds: int = 10
    timeout_seconds: int = 1


class Container(FromApi):
    """A container as the pod's spec asks for it."""

    name: str
    image: str = ""
    restart_policy: str = ""
    startup_probe: Probe | None = None


class Waiting(FromApi):
    """Why a container does not run yet."""

    reason: str = ""
    message: str = ""


class Running(FromApi):
    """Since when a container runs."""

    started_at: AwareDatetime | None = None


class Terminated(FromApi):
    """How a container ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""


class ContainerState(FromApi):
    """At most one of the three."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(FromApi):
    """A container as its kubelet reports it. `started` turns true when its startup probe has passed."""

    name: str
    ready: bool = False
    started: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class Condition(FromApi):
    """A condition of a pod or of a Kubernetes node; `status` is "True", "False" or "Unknown"."""

    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""


class ReadinessGate(FromApi):
    """An extra condition that must be true before the pod counts as ready."""

    condition_type: str


class PodSpec(FromApi):
    """The part of a pod's spec that a bounce needs."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    node_name: str = ""
    termination_grace_period_seconds: int = 30
    readiness_gates: tuple[ReadinessGate, ...] = ()

    @property
    def long_running(self) -> tuple[Container, ...]:
        """The containers that run as long as the pod: the main ones and the native sidecars (KEP-753)."""
        sidecars = (one for one in self.init_containers if one.restart_policy == "Always")
        return (*self.containers, *sidecars)


class PodStatus(FromApi):
    """The part of a pod's status that a bounce needs."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(FromApi):
    """One incarnation of a pod, as the API server showed it."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def terminating(self) -> bool:
        return self.metadata.deletion_timestamp is not None

    @property
    def finished(self) -> bool:
        """Whether its containers have all ended for good, as those of an evicted pod have."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def controller(self) -> Owner | None:
        return next((owner for owner in self.metadata.owner_references if owner.controller), None)

    @property
    def has_generated_name(self) -> bool:
        """Whether its replacement gets another name. A StatefulSet's pods have a `generateName` too, unused."""
        return bool(self.metadata.generate_name) and (self.controller is None or self.controller.kind != "StatefulSet")

    @property
    def images(self) -> dict[str, str]:
        return {container.name: container.image for container in self.spec.containers}

    def condition(self, kind: str) -> Condition | None:
        return next((one for one in self.status.conditions if one.type == kind), None)

    def container_status(self, name: str) -> ContainerStatus | None:
        statuses = (*self.status.container_statuses, *self.status.init_container_statuses)
        return next((one for one in statuses if one.name == name), None)


class Host(FromApi):
    """A Kubernetes node: what runs the pods, not the application's node."""

    class _Status(FromApi):
        conditions: tuple[Condition, ...] = ()

    metadata: Metadata
    status: _Status = _Status()

    @classmethod
    def removed(cls, name: str) -> Self:
        """Stand for one that a pod still names and that no longer exists."""
        ready = Condition(type="Ready", reason="NotFound", message="it no longer exists")
        return cls(metadata=Metadata(name=name, uid=""), status=cls._Status(conditions=(ready,)))

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def ready(self) -> Condition:
        return next((one for one in self.status.conditions if one.type == "Ready"), Condition(type="Ready"))


class PodEvent(FromApi):
    """A Kubernetes Event about a pod."""

    reason: str = ""
    message: str = ""
    type: str = "Normal"


class UnreadableField(ValueError):
    """A field of the custom resource holds something other than text."""


class Node(Frozen):
    """The application's node, as its custom resource tells: what is wanted and what it does. None: it doesn't say."""

    desired: str | None = None
    activity: str | None = None

    @classmethod
    def read(cls, resource: Mapping[str, Any], ref: NodeRef) -> Self:
        """Read a custom resource's JSON.

        Raises UnreadableField, which names the field, where there is something other than text.
        """
        return cls(desired=_text_at(resource, ref.desired_path), activity=_text_at(resource, ref.activity_path))


def _text_at(resource: Mapping[str, Any], path: str) -> str | None:
    found: Any = resource
    walked: list[str] = []
    for key in path.split("."):
        if found is None:
            return None
        if not isinstance(found, Mapping):
            raise UnreadableField(f"{'.'.join(walked)} holds {_shown(found)}, expected an object with {path!r}")
        found = found.get(key)
        walked.append(key)
    if found is not None and not isinstance(found, str):
        raise UnreadableField(f"{path} holds {_shown(found)}, expected text")
    return found


def _shown(value: Any) -> str:
    """Name a value's JSON type; the value itself stays out of messages."""
    names = {bool: "a boolean", int: "a number", float: "a number", list: "a list", str: "text"}
    return names.get(type(value), "an object")


# --- what is remembered ------------------------------------------------------------------------------------------


class Notice(Frozen):
    """Something worth knowing that did not stop the bounce."""

    code: str
    message: str
    at: AwareDatetime


class Protection(StrEnum):
    """What came of switching the pod's shutdown protection off.

    `disabled`: done. `off`: it was off already. `unused`: none is configured. `kept`: it could not be done.
    `unknown`: there was no answer, so it may have been done.
    """

    DISABLED = "disabled"
    OFF = "off"
    UNUSED = "unused"
    KEPT = "kept"
    UNKNOWN = "unknown"


class Diagnosis(Frozen):
    """One look at the moment of failure: a stable code, what was seen, and who must act."""

    code: str
    evidence: str
    who: str


class PinnedPod(Frozen):
    """The identity of the pod to bounce, written down before anything is changed.

    `containers` are the long-running ones, with their probes; `lookalikes` the UIDs of the pods that could be
    mistaken for its replacement. Where the pod had gone before it was seen, its name and UID are all there is.
    """

    name: str
    uid: str
    generated_name: bool = False
    controller_uid: str | None = None
    containers: tuple[Container, ...] = ()
    images: Mapping[str, str] = {}
    grace_period: int = 30
    lookalikes: frozenset[str] = frozenset()

    @classmethod
    def of(cls, pod: Pod, pods: Iterable[Pod]) -> Self:
        """Pin `pod`, as it stands among `pods`."""
        controller = pod.controller
        return cls(
            name=pod.name,
            uid=pod.uid,
            generated_name=pod.has_generated_name,
            controller_uid=controller.uid if controller else None,
            containers=pod.spec.long_running,
            images=pod.images,
            grace_period=pod.spec.termination_grace_period_seconds,
            lookalikes=frozenset(other.uid for other in pods if other.controller == controller) - {pod.uid},
        )

    def among(self, pods: Iterable[Pod]) -> Pod | None:
        """The pinned incarnation itself, or None where it has gone."""
        return next((pod for pod in pods if pod.uid == self.uid), None)

    def replacements(self, pods: Iterable[Pod]) -> tuple[Pod, ...]:
        """The pods that replace it, the one to wait for first: running before ended, then the oldest."""
        fit = (
            pod
            for pod in pods
            if not pod.terminating
            and pod.uid != self.uid
            and pod.uid not in self.lookalikes
            and self._is_replaced_by(pod)
        )
        return tuple(sorted(fit, key=lambda pod: (pod.finished, pod.metadata.creation_timestamp or _LONG_AGO, pod.uid)))

    def _is_replaced_by(self, pod: Pod) -> bool:
        """Whether name and controller fit. Where nothing controlled it, whoever takes its fixed name replaces it."""
        controlled_alike = pod.controller is not None and pod.controller.uid == self.controller_uid
        if self.generated_name:
            return controlled_alike
        return pod.name == self.name and (controlled_alike or self.controller_uid is None)


class SeenPod(Frozen):
    """A pod as it is named in a result."""

    name: str
    uid: str
    images: Mapping[str, str] = {}


class Passage(Frozen):
    """When a state was entered, and through which event (None: the beginning)."""

    state: State
    at: AwareDatetime
    event: Event | None = None


class Trouble(Frozen):
    """The API server gives no usable answer: since when, how often asked since, and what came instead."""

    since: AwareDatetime
    tries: int
    what: str


SCHEMA_VERSION: Literal[1] = 1


class BounceRecord(Frozen):
    """Everything that a bounce must remember: one small JSON document.

    `revision` rises by one with each save and is what a store compares and swaps on. `deadline` is the wall-clock
    end of the present waiting state; `deadline_from_start`: it has been taken anew from a container's start.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    bounce_id: str
    revision: int = Field(ge=1)
    request: BounceRequest
    path: Annotated[tuple[Passage, ...], Field(min_length=1)]
    deadline: AwareDatetime | None = None
    deadline_from_start: bool = False
    old_pod: PinnedPod | None = None
    new_pod: SeenPod | None = None
    protection: Protection | None = None
    trouble: Trouble | None = None
    notices: tuple[Notice, ...] = ()
    message: str = ""
    advice: str = ""
    diagnosis: Diagnosis | None = None

    @property
    def state(self) -> State:
        return self.path[-1].state

    @property
    def entered_at(self) -> datetime:
        return self.path[-1].at

    @property
    def finished(self) -> bool:
        return self.state in FINAL

    def changed(self, **changes: Any) -> Self:
        """Give a copy with `changes` and the next revision, or the record itself where they change nothing."""
        if all(getattr(self, name) == value for name, value in changes.items()):
            return self
        return self.model_copy(update={**changes, "revision": self.revision + 1})


class BounceResult(Frozen):
    """How a bounce ended. `durations` are seconds a state, in the order in which they were passed."""

    state: State
    event: Event
    message: str
    advice: str
    diagnosis: Diagnosis | None
    old_pod: SeenPod | None
    new_pod: SeenPod | None
    protection: Protection | None
    durations: Mapping[State, float]
    notices: tuple[Notice, ...]

    @classmethod
    def of(cls, record: BounceRecord) -> Self:
        """Sum a finished record up."""
        event = record.path[-1].event
        if not record.finished or event is None:
            raise ValueError(f"the bounce is still in {record.state}")
        old = record.old_pod
        return cls(
            state=record.state,
            event=event,
            message=record.message,
            advice=record.advice,
            diagnosis=record.diagnosis,
            old_pod=SeenPod(name=old.name, uid=old.uid, images=old.images) if old else None,
            new_pod=record.new_pod,
            protection=record.protection,
            durations={
                here.state: max(0.0, (after.at - here.at).total_seconds())
                for here, after in zip(record.path, record.path[1:], strict=False)
            },
            notices=record.notices,
        )

    @property
    def deletion_was_possible(self) -> bool:
        """Whether the bounce reached DELETE_POD, so that a DELETE may have been sent."""
        return State.DELETE_POD in self.durations
