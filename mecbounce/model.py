"""What a bounce is asked, what it sees and what it remembers: frozen data.

Times are aware datetimes in UTC, durations are seconds. What is read from the API server (`Pod`, `Host`,
`PodEvent`) mirrors Kubernetes' own JSON, keeps what a bounce needs and ignores the rest; a null is a missing field.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise, starmap
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StrictBool,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

from mecbounce.machine import FINAL, TRANSITIONS, WAITING, Event, State
from mecbounce.quoting import quoted


@dataclass(frozen=True)
class _Matching:
    """A check whose error a person can act on, unlike that of a bare pattern."""

    pattern: str
    longest: int
    rule: str

    def __repr__(self) -> str:
        return self.rule  # it stands in the signatures that `help()` shows

    def _check(self, value: str) -> str:
        if len(value) > self.longest or not re.fullmatch(self.pattern, value):
            raise ValueError(f"{value[:80]!r} is not {self.rule}, at most {self.longest} characters")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^({self.pattern})$", "maxLength": self.longest}


# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LETTERS = "lower case letters, digits and '-', a letter or digit at both ends"
Label = Annotated[str, _Matching(_LABEL, 63, f"a name of {_LETTERS}")]
ObjectName = Annotated[str, _Matching(rf"{_LABEL}(\.{_LABEL})*", 253, f"a name of {_LETTERS}, in parts joined by '.'")]
Uid = Annotated[str, _Matching(r"[A-Za-z0-9-]+", 128, "a UID of letters, digits and '-'")]
FieldPath = Annotated[str, _Matching(r"[^.\s]+(\.[^.\s]+)*", 253, "a dotted path such as spec.state")]
Words = Annotated[str, AfterValidator(quoted)]  # what somebody else wrote for a person to read
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
# Far enough from a datetime's ends for any deadline and any time zone.
Instant = Annotated[AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(9000, 1, 1, tzinfo=UTC))]
LONGEST = 7 * 24 * 3600  # seconds: all that may be asked for, or is believed of a pod; far beyond it a date overflows
Seconds = Annotated[float, Field(gt=0, le=LONGEST, allow_inf_nan=False)]


class Frozen(BaseModel):
    """Data of ours: unknown fields are faults. The text below a field says what it is, and its unit."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Let `help()` list the fields."""
        fields = "\n".join(_explained(name, field) for name, field in cls.model_fields.items())
        cls.__doc__ = f"{inspect.cleandoc(cls.__doc__ or '')}{FIELDS}{fields}"


FIELDS = "\n\nFields:\n"


def _explained(name: str, field: FieldInfo) -> str:
    default = field.default
    shown = sorted(default) if isinstance(default, frozenset) else getattr(default, "value", default)  # of an Enum
    text = f"{name}: {field.description or ''} {'Required.' if field.is_required() else f'Default: {shown!r}.'}"
    return textwrap.fill(" ".join(text.split()), 100, initial_indent="    ", subsequent_indent="        ")


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
    return ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")


# --- what is asked -----------------------------------------------------------------------------------------------


class ClusterType(StrEnum):
    """How the cluster is run: by hand and operators alone, or out of Git."""

    K8S = "k8s"
    K8S_GITOPS = "k8s_gitops"


class ReadyWhen(StrEnum):
    """What counts as back: every container started, its Ready condition true, or whichever the pod is made for."""

    AUTO = "auto"
    STARTED = "started"
    READY = "ready"


class NodeRef(Frozen):
    """The custom resource of an application node, and where it keeps things."""

    group: ObjectName
    """Its API group, such as express.example.com."""
    version: Label
    """Its API version, such as v1."""
    plural: Label
    """Its type as it stands in a URL, such as expressnodes."""
    name: ObjectName
    """Its own name."""
    desired_path: FieldPath = "spec.state"
    """Where it says what is wanted: a dotted path into the object."""
    activity_path: FieldPath = "status.state"
    """Where it says what the node does: a dotted path into the object."""
    down_values: frozenset[str] = frozenset({"down", "stopped"})
    """What it says there when the node is meant to be down. Compared without case, as are those below."""
    rebuilding_values: frozenset[str] = frozenset({"rebuilding"})
    """What it says there while the node rebuilds."""
    catchup_values: frozenset[str] = frozenset({"catchup", "efficient_catchup"})
    """What it says there while the node catches up."""

    @field_validator("down_values", "rebuilding_values", "catchup_values")
    @classmethod
    def _without_case(cls, values: frozenset[str]) -> frozenset[str]:
        return frozenset(value.casefold() for value in values)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}/{self.version} {self.name}"


class Timeouts(Frozen):
    """How long to wait, in seconds: more than 0 and at most a week."""

    termination: Seconds | None = None
    """Seconds until the pod must have gone, kept to the second. None: 600, or the pod's grace period and 60 if that
    is longer."""
    ready: Seconds | None = None
    """Seconds until the replacement must be back, kept to the second. None: 600, or what the pod's startup probes
    allow and 300 if that is longer."""
    api: Seconds = 30.0
    """Seconds for which the API server may give no usable answer."""


class BounceRequest(Frozen):
    """One bounce: which pod, of which custom resource, and on what terms."""

    namespace: Label
    """The namespace of the pod, and of its custom resource unless that is cluster-scoped."""
    pod: ObjectName
    """The name of the pod to bounce."""
    node: NodeRef | None = None
    """The custom resource that the pod is made from. None: no custom resource tells the node's state."""
    cluster_type: ClusterType = ClusterType.K8S
    """How the cluster is run: `k8s_gitops` where its resources are changed in Git."""
    force: StrictBool = False
    """Bounce a node that rebuilds, a pod that nothing would recreate, or one that works to an end (a Job's). Overrides
    nothing else."""
    pod_uid: Uid | None = None
    """The UID of the one incarnation to bounce: where it has gone already, nothing is deleted and the bounce only
    waits. None: whichever incarnation stands there."""
    timeouts: Timeouts = Timeouts()
    """How long to wait, in seconds."""
    ready_when: ReadyWhen = ReadyWhen.AUTO
    """What counts as back: `started` (every container has started, as its startup probe tells), `ready` (its Ready
    condition is true), or `auto`: `started` where there is a startup probe."""

    def is_k8s_gitops(self) -> bool:
        """Whether the cluster's resources are changed in Git, and nowhere else."""
        return self.cluster_type is ClusterType.K8S_GITOPS


# --- what is seen ------------------------------------------------------------------------------------------------


class Owner(FromApi):
    """An object as an entry of `metadata.ownerReferences` names it; `controller`: whether it is the pod's."""

    api_version: str = ""
    kind: str
    name: str
    uid: str
    controller: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name} ({self.uid})"

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def built_in_plural(self) -> str:
        """How its type stands in a URL, if it is one of Kubernetes' own that makes pods, or their ReplicaSets."""
        own = {
            ("", "ReplicationController"): "replicationcontrollers",
            ("apps", "DaemonSet"): "daemonsets",
            ("apps", "Deployment"): "deployments",
            ("apps", "ReplicaSet"): "replicasets",
            ("apps", "StatefulSet"): "statefulsets",
            ("batch", "Job"): "jobs",
        }
        return own.get((self.group, self.kind), "")

    @property
    def called(self) -> str:
        """Its kind and name, as a person would say it."""
        return f"{self.kind} {self.name}"

    def same_type(self, other: Owner) -> bool:
        return (self.group, self.kind) == (other.group, other.kind)

    def same_object(self, other: Owner) -> bool:
        """True for the same group, kind and name: that object itself, or one made anew in its place."""
        return (self.group, self.kind, self.name) == (other.group, other.kind, other.name)


class Metadata(FromApi):
    """https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/ ."""

    name: str
    namespace: str = ""
    uid: str
    generate_name: str = ""
    creation_timestamp: AwareDatetime | None = None
    deletion_timestamp: AwareDatetime | None = None
    deletion_grace_period_seconds: int = 0
    finalizers: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = Field(default={}, repr=False)  # anything may be in there, secrets too
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
    readiness_probe: Probe | None = None


class Waiting(FromApi):
    """Why a container does not run yet."""

    reason: Words = ""
    message: Words = ""


class Running(FromApi):
    """Since when a container runs."""

    started_at: AwareDatetime | None = None


class Terminated(FromApi):
    """How a container ended."""

    exit_code: int = 0
    reason: Words = ""
    message: Words = ""
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None


class ContainerState(FromApi):
    """At most one of the three."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(FromApi):
    """A container as its kubelet reports it.

    `started` turns true when its startup probe has passed, or, without one, when it runs. None: not reported, as by
    kubelets before 1.16.
    """

    name: str
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class Condition(FromApi):
    """A condition of a pod or of a Kubernetes node; `status` is "True", "False" or "Unknown"."""

    type: str
    status: str = "Unknown"
    reason: Words = ""
    message: Words = ""


class ReadinessGate(FromApi):
    """An extra condition that must be true before the pod counts as ready."""

    condition_type: str


class SchedulingGate(FromApi):
    """What keeps a pod from its scheduler until it is removed (KEP-3521)."""

    name: str


class _NodeSelector(FromApi):
    """Which Kubernetes nodes a pod may run on: any of the terms. A DaemonSet names its one host in a field."""

    class _Term(FromApi):
        class _Field(FromApi):
            key: str = ""
            operator: str = ""
            values: tuple[str, ...] = ()

        match_fields: tuple[_Field, ...] = ()

    node_selector_terms: tuple[_Term, ...] = ()


class _Affinity(FromApi):
    class _NodeAffinity(FromApi):
        required_during_scheduling_ignored_during_execution: _NodeSelector = _NodeSelector()

    node_affinity: _NodeAffinity = _NodeAffinity()


class PodSpec(FromApi):
    """The part of a pod's spec that a bounce needs."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    restart_policy: str = "Always"
    node_name: str = ""
    scheduler_name: str = ""
    scheduling_gates: tuple[SchedulingGate, ...] = ()
    affinity: _Affinity = _Affinity()
    termination_grace_period_seconds: int = 30
    readiness_gates: tuple[ReadinessGate, ...] = ()

    @property
    def host(self) -> str:
        """The Kubernetes node that it runs on, or the one that it is meant for; empty where neither is told.

        A DaemonSet's pod that is not scheduled yet names its host in its node affinity.
        """
        terms = self.affinity.node_affinity.required_during_scheduling_ignored_during_execution.node_selector_terms
        named = {
            field.values
            for term in terms
            for field in term.match_fields
            if (field.key, field.operator, len(field.values)) == ("metadata.name", "In", 1)
        }
        return self.node_name or (named.pop()[0] if len(named) == 1 else "")

    @property
    def long_running(self) -> tuple[Container, ...]:
        """The containers that run as long as the pod: the main ones and the native sidecars (KEP-753)."""
        sidecars = (one for one in self.init_containers if one.restart_policy == "Always")
        return (*self.containers, *sidecars)


class PodStatus(FromApi):
    """The part of a pod's status that a bounce needs."""

    phase: str = ""
    reason: Words = ""
    message: Words = ""
    start_time: AwareDatetime | None = None  # when its kubelet first saw it, by that kubelet's clock
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()

    @property
    def all_containers(self) -> tuple[ContainerStatus, ...]:
        """Containers of every kind, those of `kubectl debug` too."""
        return (*self.init_container_statuses, *self.container_statuses, *self.ephemeral_container_statuses)


# As kubelets of all versions write them into the status of a pod that they evict or shut down.
DISRUPTED_REASONS = {"Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated"}


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

    def deleted_for(self, at: datetime) -> float | None:
        """Seconds from its deletion until `at`. None: it is not being deleted.

        A deletionTimestamp is when the grace period ends, not when the deletion was asked for.
        """
        ends = self.metadata.deletion_timestamp
        return (at - ends).total_seconds() + self.metadata.deletion_grace_period_seconds if ends else None

    def made_since_deletion_of(self, other: Pod) -> bool:
        """Whether it was made once `other` was being deleted."""
        made = self.metadata.creation_timestamp
        deleted_for = other.deleted_for(made) if made else None
        return deleted_for is not None and deleted_for >= 0

    @property
    def finished(self) -> bool:
        """Whether its containers have all ended for good, as those of an evicted pod have."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def controller(self) -> Owner | None:
        return next((owner for owner in self.metadata.owner_references if owner.controller), None)

    @property
    def controller_uid(self) -> str | None:
        return self.controller.uid if self.controller else None

    def owner(self, uid: str) -> Owner | None:
        return next((owner for owner in self.metadata.owner_references if owner.uid == uid), None)

    @property
    def mirrors_static_pod(self) -> bool:
        """True if its kubelet shows a static pod by it: the containers are not the API server's to end.

        https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/
        """
        on_host = self.controller is not None and (self.controller.group, self.controller.kind) == ("", "Node")
        return on_host or "kubernetes.io/config.mirror" in self.metadata.annotations

    def belongs_to(self, controller: Owner) -> bool:
        """True if `controller`, or what was made anew in its place, controls it; or owns it and nothing controls it."""
        owners = (self.controller,) if self.controller else self.metadata.owner_references
        return any(owner.uid == controller.uid or owner.same_object(controller) for owner in owners)

    @property
    def stands(self) -> bool:
        """True unless it is being deleted or its containers have ended."""
        return not self.terminating and not self.finished

    def surges_past(self, other: Pod) -> bool:
        """Whether it is a younger pod on the same Kubernetes node: one that a DaemonSet's rollout keeps there instead.

        https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/ (maxSurge)
        """
        made, before = self.metadata.creation_timestamp, other.metadata.creation_timestamp
        younger = made is not None and before is not None and made > before
        return self.stands and younger and self.spec.host == other.spec.host != ""

    @property
    def has_generated_name(self) -> bool:
        """Whether its replacement gets another name."""
        return self.is_renamed_by(self.controller)

    def is_renamed_by(self, maker: Owner | None) -> bool:
        """Whether what `maker` makes in its place gets another name.

        A StatefulSet's pods have a `generateName` too, unused; what nothing controls is made anew by hand.
        """
        return bool(self.metadata.generate_name) and maker is not None and maker.kind != "StatefulSet"

    @property
    def images(self) -> dict[str, str]:
        return {container.name: container.image for container in self.spec.long_running}

    @property
    def revision(self) -> str:
        """Which revision of its controller's template it is made from; empty where none is told."""
        labels = self.metadata.labels
        return labels.get("controller-revision-hash") or labels.get("pod-template-hash", "")

    @property
    def disrupted(self) -> str:
        """Why it is about to go although it may still look Running; empty if it is not.

        https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
        """
        if self.status.reason in DISRUPTED_REASONS:
            return ": ".join(filter(None, (self.status.reason, self.status.message)))
        target = self.condition("DisruptionTarget")
        if target is None or target.status != "True":
            return ""
        return ": ".join(filter(None, (target.reason, target.message))) or "DisruptionTarget"

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
    """A Kubernetes Event about a pod or its controller."""

    class _Series(FromApi):
        last_observed_time: AwareDatetime | None = None

    reason: Words = ""
    message: Words = ""
    type: str = "Normal"
    first_timestamp: AwareDatetime | None = None
    last_timestamp: AwareDatetime | None = None
    event_time: AwareDatetime | None = None
    series: _Series = _Series()

    @property
    def last_seen(self) -> datetime:
        """When it happened last; long ago where that is not told."""
        times = (self.series.last_observed_time, self.last_timestamp, self.event_time, self.first_timestamp)
        return max((time for time in times if time is not None), default=_LONG_AGO)


class Controller(Frozen):
    """What makes pods, such as a StatefulSet or a custom resource, as it was last seen.

    The values of its spec and status are None where it has none of that name and type.
    """

    reference: Owner
    """It itself."""
    owner: Owner | None = None
    """What controls it in turn, such as a ReplicaSet's Deployment."""
    deleting: bool = False
    """Whether it has a deletionTimestamp."""
    paused: bool = False
    """Whether somebody told its operator to leave it alone, by `spec.paused` or an annotation of that meaning."""
    replicas: int | None = None
    """How many pods it wants."""
    first_ordinal: int = 0
    """The number of a StatefulSet's first pod."""
    ordered: bool = False
    """Whether a StatefulSet makes a pod only when all pods of a lower number are ready (OrderedReady)."""
    suspended: bool = False
    """Whether a Job is suspended."""
    hosts_wanted: int | None = None
    """On how many Kubernetes nodes a DaemonSet wants a pod."""
    conditions: tuple[Condition, ...] = ()
    """The conditions of its status."""

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Self:
        """Read its JSON. Raises ValidationError where it has no name or no UID."""
        metadata = Metadata.model_validate(found.get("metadata"))
        spec, status = (_mapping(found.get(part)) for part in ("spec", "status"))
        kind, api_version = str(found.get("kind") or ""), str(found.get("apiVersion") or "")
        ordinals = _mapping(spec.get("ordinals"))
        # An older status tells of an older spec.
        current = _number(status, "observedGeneration") == _number(_mapping(found.get("metadata")), "generation")
        try:
            conditions = PodStatus.model_validate({"conditions": status.get("conditions")}).conditions
        except ValidationError:  # a custom resource may call something else so
            conditions = ()
        reference = Owner(api_version=api_version, kind=kind, name=metadata.name, uid=metadata.uid)
        return cls(
            reference=reference,
            owner=next((owner for owner in metadata.owner_references if owner.controller), None),
            deleting=metadata.deletion_timestamp is not None,
            paused=spec.get("paused") is True or any(starmap(_says_paused, metadata.annotations.items())),
            replicas=_number(spec, "replicas"),
            first_ordinal=_number(ordinals, "start") or 0,
            ordered=reference.built_in_plural == "statefulsets"
            and spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady",
            suspended=spec.get("suspend") is True,
            hosts_wanted=_number(status, "desiredNumberScheduled") if current else None,
            conditions=conditions,
        )

    def condition(self, kind: str) -> Condition | None:
        """The condition of that type, if it is true."""
        return next((one for one in self.conditions if (one.type, one.status) == (kind, "True")), None)


# A generated name ends in five of these letters and digits: apimachinery's util/rand.
_GENERATED = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5}$")
# As the operators of the field name it.
_PAUSE = re.compile(r"(^|[/.-])(paused?|pause-reconciliation)$")
_LEFT_ALONE = re.compile(r"/(managed|reconcile|reconciliationLoop)$")


def _says_paused(annotation: str, value: str) -> bool:
    """Whether an annotation tells an operator to leave its object alone."""
    if _PAUSE.search(annotation):
        return value == "true"
    return _LEFT_ALONE.search(annotation) is not None and value in ("false", "disabled")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(found: Mapping[str, Any], key: str) -> int | None:
    value = found.get(key)
    return value if type(value) is int else None


class Requirement(FromApi):
    """One of a label selector's expressions."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
        return False


class LabelSelector(FromApi):
    """https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/label-selector/ ."""

    match_labels: Mapping[str, str] = {}
    match_expressions: tuple[Requirement, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.match_labels and not self.match_expressions

    def matches(self, labels: Mapping[str, str]) -> bool:
        alike = all(labels.get(key) == value for key, value in self.match_labels.items())
        return alike and all(one.holds(labels) for one in self.match_expressions)


class DisruptionBudget(FromApi):
    """A PodDisruptionBudget: how many of the pods that it selects may be evicted now."""

    class _Spec(FromApi):
        selector: LabelSelector | None = None

    class _Status(FromApi):
        disruptions_allowed: int = 0

    metadata: Metadata
    spec: _Spec = _Spec()
    status: _Status = _Status()

    def covers(self, pod: Pod) -> bool:
        return self.spec.selector is not None and self.spec.selector.matches(pod.metadata.labels)


class UnreadableField(ValueError):
    """A field of the custom resource holds something other than text."""


class Node(Frozen):
    """The application's node, as its custom resource tells: what is wanted and what it does. None: it doesn't say.

    `reference` is what names the custom resource itself in other objects, such as its pod. `deleting`: it has a
    deletionTimestamp. `cluster_scoped`: it lies in no namespace.
    """

    desired: str | None = None
    activity: str | None = None
    reference: Owner | None = None
    deleting: bool = False
    cluster_scoped: bool = False

    @classmethod
    def read(cls, resource: Mapping[str, Any], ref: NodeRef) -> Self:
        """Read a custom resource's JSON.

        Raises UnreadableField, which names the field, where there is something other than text.
        """
        api_version, kind, uid = (_text_at(resource, path) for path in ("apiVersion", "kind", "metadata.uid"))
        return cls(
            desired=_text_at(resource, ref.desired_path),
            activity=_text_at(resource, ref.activity_path),
            reference=Owner(api_version=api_version or "", kind=kind, name=ref.name, uid=uid) if kind and uid else None,
            deleting=_text_at(resource, "metadata.deletionTimestamp") is not None,
            cluster_scoped=bool(uid) and not _text_at(resource, "metadata.namespace"),
        )


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
    """A stable name of what it is about."""
    message: str
    """What to tell a person."""
    at: Instant
    """When it was noticed, in UTC."""
    count: int = Field(default=1, ge=1)
    """How many of this code there have been. Of many the first and the last are kept."""


class Protection(StrEnum):
    """What came of switching the pod's shutdown protection off.

    `disabled`: done. `off`: there was nothing to switch off: it was off, or there was none. `unused`: none is
    configured, or the pod was going already. `kept`: it could not be done. `unknown`: there was no answer, so it may
    have been done.
    """

    DISABLED = "disabled"
    OFF = "off"
    UNUSED = "unused"
    KEPT = "kept"
    UNKNOWN = "unknown"


class Diagnosis(Frozen):
    """One look at the moment of failure: a stable code, what was seen, and who must act."""

    code: str
    """A stable name of what it is, such as image_pull."""
    evidence: str
    """What was seen."""
    who: str
    """Who must act."""


def looks_generated(name: str) -> bool:
    """Whether a pod's name may have been generated: all that is known of one that had gone before it was seen."""
    return _GENERATED.search(name) is not None


class PinnedPod(Frozen):
    """The identity of the pod to bounce, written down before anything is changed.

    Where the pod had gone before it was seen, its name and UID are all there is.
    """

    name: str
    """Its name."""
    uid: str
    """Its UID, which no other incarnation has."""
    generated_name: bool = False
    """Whether its replacement gets another name."""
    controller_uid: str | None = None
    """The UID of what controls it. None: nothing does."""
    controller: Owner | None = None
    """What controls it, as its Events need it. Records of schema 1 have its UID alone."""
    containers: tuple[Container, ...] = ()
    """Its long-running containers, with their probes, whose times are in seconds."""
    images: Mapping[str, str] = {}
    """The image of each of its containers, by the container's name."""
    revision: str = ""
    """Which revision of its controller's template it was made from. Empty: not told."""
    host: str = ""
    """Its Kubernetes node."""
    grace_period: int = 30
    """Its own grace period, in seconds."""
    lookalikes: frozenset[str] = frozenset()
    """The UIDs of the pods that could be mistaken for its replacement."""
    peers: frozenset[str] = frozenset()
    """The UIDs of those among them that stood by its side."""

    @classmethod
    def of(cls, pod: Pod, pods: Iterable[Pod], controller: Owner | None = None) -> Self:
        """Pin `pod`, as it stands among `pods`. `controller`: who makes it anew, where that is not its controller."""
        controller = controller or pod.controller
        pinned = cls(
            name=pod.name,
            uid=pod.uid,
            generated_name=pod.is_renamed_by(controller),
            controller_uid=controller.uid if controller else None,
            controller=controller,
            containers=pod.spec.long_running,
            images=pod.images,
            revision=pod.revision,
            host=pod.spec.host,
            grace_period=pod.spec.termination_grace_period_seconds,
        )
        return pinned.seen_among((pod, *pods))

    def seen_among(self, pods: Iterable[Pod]) -> Self:
        """Pin anew which pods could be mistaken for its replacement, as long as it stands among `pods` itself."""
        pods = tuple(pods)
        pod = self.find_in(pods)
        if pod is None:
            return self
        lookalikes = frozenset(
            other.uid
            for other in pods
            if other.uid != self.uid
            and self.is_replaced_by(other)
            and not other.made_since_deletion_of(pod)
            and not (self.of_daemon_set and other.surges_past(pod))
        )
        standing = frozenset(other.uid for other in pods if other.stands)
        peers = lookalikes & standing if self.generated_name and not self.of_daemon_set else frozenset()
        return self.model_copy(update={"lookalikes": lookalikes, "peers": peers})

    def peers_gone(self, pods: Iterable[Pod]) -> int:
        """How many of the pods that stood by its side stand no more: each may have a replacement among the new ones."""
        return len(self.peers - {pod.uid for pod in pods if pod.stands})

    @property
    def of_daemon_set(self) -> bool:
        return self.controller is not None and self.controller.kind == "DaemonSet"

    def find_in(self, pods: Iterable[Pod]) -> Pod | None:
        """The pinned incarnation itself, or None where it has gone."""
        return next((pod for pod in pods if pod.uid == self.uid), None)

    def image_changes(self, images: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """The containers whose image differs in the replacement's `images`: name, image before, image after."""
        if not self.images:  # it was never seen
            return []
        pairs = [(name, self.images.get(name, "none"), images.get(name, "none")) for name in {*self.images, *images}]
        return sorted(pair for pair in pairs if pair[1] != pair[2])

    def replacements(self, pods: Iterable[Pod]) -> tuple[Pod, ...]:
        """The pods that replace it, the one to wait for first.

        First those that have not ended, from the oldest on, then the ended ones, from the last on.
        """
        fit = (
            pod
            for pod in pods
            if not pod.terminating
            and pod.uid != self.uid
            and pod.uid not in self.lookalikes
            and self.is_replaced_by(pod)
        )
        in_order = sorted(fit, key=lambda pod: (pod.metadata.creation_timestamp or _LONG_AGO, pod.uid))
        ended = (pod for pod in reversed(in_order) if pod.finished)
        return (*(pod for pod in in_order if not pod.finished), *ended)

    def is_replaced_by(self, pod: Pod) -> bool:
        """True if name, controller and, for a DaemonSet, Kubernetes node fit.

        Where nothing controlled it, any pod of its fixed name replaces it.
        """
        if self.controller is not None and not pod.belongs_to(self.controller):
            return False
        if self.controller is None and self.controller_uid not in (None, pod.controller_uid):  # a record of schema 1
            return False
        if self.of_daemon_set:
            return self.host in ("", pod.spec.host)
        return self.generated_name or pod.name == self.name


class SeenPod(Frozen):
    """A pod as it is named in a result."""

    name: str
    """Its name."""
    uid: str
    """Its UID."""
    images: Mapping[str, str] = {}
    """The image of each of its containers, by the container's name."""
    host: str = ""
    """Its Kubernetes node."""

    @classmethod
    def of(cls, pod: Pod) -> Self:
        return cls(name=pod.name, uid=pod.uid, images=pod.images, host=pod.spec.node_name)


class Passage(Frozen):
    """When a state was entered, and through which event."""

    state: State
    """The state."""
    at: Instant
    """When it was entered, in UTC."""
    event: Event | None = None
    """What led to it. None: the beginning."""


class Trouble(Frozen):
    """The API server gives no usable answer."""

    since: Instant
    """Since when, in UTC."""
    tries: int = Field(ge=0)
    """How many tries in a row have failed."""
    what: str
    """What came instead of an answer."""
    delete_tried_at: Instant | None = None
    """When a DELETE was sent last that got no usable answer, in UTC. None: none was."""


SCHEMA_VERSION: Literal[3] = 3
READABLE = (1, 2, 3)  # what a later one has added may be missing


class BounceRecord(Frozen):
    """Everything that a bounce must remember: one small JSON document."""

    schema_version: Literal[3] = SCHEMA_VERSION
    """The version of this layout. One that an older mecbounce wrote becomes this one as it is read."""
    bounce_id: str
    """The bounce's own name, which its logs bear too."""
    revision: int = Field(ge=1, lt=2**53)
    """Rises by one with each save, and is what a store compares and swaps on."""
    request: BounceRequest
    """What was asked for as it began."""
    path: Annotated[tuple[Passage, ...], Field(min_length=1)]
    """The states that it has entered, the present one last."""
    deadline: Instant | None = None
    """When the present waiting state ends, in UTC. None: it does not wait."""
    deadline_from_start: bool = False
    """Whether the deadline has been taken anew from a container's start."""
    server: str = ""
    """The address of its API server. Empty: not known."""
    resource: Owner | None = None
    """The custom resource, as its Events need it. None: none was read."""
    old_pod: PinnedPod | None = None
    """The one incarnation that is bounced. None: not yet pinned."""
    new_pod: SeenPod | None = None
    """Its replacement. None: not yet seen."""
    protection: Protection | None = None
    """What came of switching its shutdown protection off. None: not tried, or that was not saved."""
    trouble: Trouble | None = None
    """What keeps the API server from being asked just now. None: nothing."""
    notices: tuple[Notice, ...] = ()
    """What is worth knowing and did not stop it, in the order in which it was noticed."""
    message: str = ""
    """What happened, once it has ended."""
    advice: str = ""
    """What to do next, once it has ended."""
    diagnosis: Diagnosis | None = None
    """Why it was not deleted, not gone in time or not back in time."""
    untold: bool = False
    """Whether it has ended and the command has not said so yet. A record of an older mecbounce has no such field."""

    @field_validator("schema_version", mode="before")
    @classmethod
    def _from_older(cls, version: Any) -> Any:
        return SCHEMA_VERSION if type(version) is int and version in READABLE else version

    @model_validator(mode="after")
    def _can_have_happened(self) -> Self:
        """Refuse a path that the table has not, and a state without what its handler relies on."""
        if (self.path[0].state, self.path[0].event) != (State.INIT_CHECKS, None):
            raise ValueError(f"path.0: no bounce begins in {self.path[0].state} by {self.path[0].event}")
        for number, (before, here) in enumerate(pairwise(self.path), start=1):
            if (before.state, here.event, here.state) not in TRANSITIONS:
                raise ValueError(f"path.{number}: {here.event} does not lead from {before.state} to {here.state}")
        if not self.finished and (self.deadline is None) is (self.state in WAITING):
            raise ValueError(f"deadline: {self.state} has {'one' if self.state in WAITING else 'none'}")
        old, request = self.old_pod, self.request
        if old is None and any(passage.state not in (State.INIT_CHECKS, State.FAILED) for passage in self.path):
            raise ValueError(f"old_pod: {self.state} has one")
        if old is not None and (old.name != request.pod or request.pod_uid not in (None, old.uid)):
            raise ValueError("old_pod: it is not the pod of the request")
        return self

    @property
    def state(self) -> State:
        return self.path[-1].state

    @property
    def entered_at(self) -> datetime:
        return self.path[-1].at

    @property
    def since_checks(self) -> tuple[Passage, ...]:
        """The states from the last INIT_CHECKS on: DELETE_POD may have led back there."""
        start = max(number for number, passage in enumerate(self.path) if passage.state is State.INIT_CHECKS)
        return self.path[start:]

    @property
    def checked_at(self) -> datetime:
        """When the checks were asked last: what made the pod go has happened since."""
        return self.since_checks[0].at

    @property
    def finished(self) -> bool:
        return self.state in FINAL

    @property
    def protection_in_doubt(self) -> bool:
        """Whether a try to switch its protection off was announced, and its outcome was not saved."""
        return self.state is State.DISABLE_PROTECTION and self.protection is None

    @property
    def deletion_was_possible(self) -> bool:
        """Whether the bounce reached DELETE_POD, so that a DELETE may have been sent."""
        return any(passage.state is State.DELETE_POD for passage in self.path)

    @property
    def found_replaced(self) -> bool:
        """Whether the pod had gone before this bounce came to delete it."""
        joined = any(passage.event is Event.ALREADY_REPLACED for passage in self.path)
        return joined and not self.deletion_was_possible

    @property
    def by_other_name(self) -> bool:
        """Whether the replacement gets another name, or seems to: of a pod that had gone its name alone is known."""
        old = self.old_pod
        if old is None:
            return False
        return old.generated_name or (self.found_replaced and self.request.node is None and looks_generated(old.name))

    @property
    def limit(self) -> float | None:
        """How long the present state may take, in seconds. None: it does not wait."""
        return max(0.0, (self.deadline - self.entered_at).total_seconds()) if self.deadline else None

    @property
    def durations(self) -> dict[State, float]:
        """How long each state took that it has left, in seconds, in the order in which they were first passed."""
        took: dict[State, float] = {}
        for here, after in pairwise(self.path):  # a state may be passed twice: DELETE_POD leads back to INIT_CHECKS
            took[here.state] = took.get(here.state, 0.0) + max(0.0, (after.at - here.at).total_seconds())
        return took

    def changed(self, **changes: Any) -> Self:
        """Give a copy with `changes` and the next revision, or the record itself where they change nothing."""
        if all(getattr(self, name) == value for name, value in changes.items()):
            return self
        return self.model_copy(update={**changes, "revision": self.revision + 1})


class BounceResult(Frozen):
    """How a bounce ended."""

    state: State
    """DONE or FAILED."""
    event: Event
    """What ended it."""
    failed_in: State | None
    """The state in which it failed. None: it is DONE."""
    message: str
    """What happened, for a person."""
    advice: str
    """What to do next; empty where nothing is to be done."""
    diagnosis: Diagnosis | None
    """Why it was not deleted, not gone in time or not back in time. None: none of these."""
    old_pod: SeenPod | None
    """The pod that was to be bounced. None: it was never seen."""
    new_pod: SeenPod | None
    """Its replacement. None: none was seen."""
    protection: Protection | None
    """What came of switching the pod's shutdown protection off. None: it was not tried."""
    durations: Mapping[State, float]
    """How long each state took, in seconds, in the order in which they were passed."""
    notices: tuple[Notice, ...]
    """What is worth knowing and did not stop it, in the order in which it was noticed."""

    @classmethod
    def of(cls, record: BounceRecord) -> Self:
        """Summarise a finished record."""
        event = record.path[-1].event
        if not record.finished or event is None:
            raise ValueError(f"the bounce is still in {record.state}")
        old = record.old_pod
        return cls(
            state=record.state,
            event=event,
            failed_in=record.path[-2].state if record.state is State.FAILED else None,
            message=record.message,
            advice=record.advice,
            diagnosis=record.diagnosis,
            old_pod=SeenPod(name=old.name, uid=old.uid, images=old.images, host=old.host) if old else None,
            new_pod=record.new_pod,
            protection=record.protection,
            durations=record.durations,
            notices=record.notices,
        )

    @property
    def deletion_was_possible(self) -> bool:
        """Whether the bounce reached DELETE_POD, so that a DELETE may have been sent."""
        return State.DELETE_POD in self.durations
