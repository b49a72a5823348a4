"""Views of Kubernetes' objects: only the fields that a bounce needs. A null counts as a missing field.

Times are aware datetimes in UTC, durations are seconds. A Kubernetes node is called a host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import starmap
from typing import Any, NamedTuple, Self

from pydantic import AliasPath, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from mecbounce.fields import Frozen, Words

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class FromApi(BaseModel):
    """JSON of the API server: names in camel case, unknown fields are ignored, a null counts as a missing field."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_missing(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class Explained(FromApi):
    """Something that the cluster explains: `reason` is one word, `message` is for people."""

    reason: Words = ""
    message: Words = ""

    @property
    def explanation(self) -> str:
        return ": ".join(filter(None, (self.reason, self.message)))


class Owner(FromApi):
    """An entry of `metadata.ownerReferences`. `controller` is true for the one owner that controls the object."""

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
        """The plural of its type, as in a URL. Empty unless it is one of Kubernetes' own controllers of pods."""
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
    def custom(self) -> bool:
        """True unless its type is one of Kubernetes' own: only their API groups have no dot."""
        return "." in self.group

    @property
    def called(self) -> str:
        """Its kind and name, for messages."""
        return f"{self.kind} {self.name}"

    def same_type(self, other: Owner) -> bool:
        return (self.group, self.kind) == (other.group, other.kind)


class ServedType(NamedTuple):
    """A type of objects, as the API server serves it."""

    plural: str
    """Its name in a URL, such as expressnodes."""
    namespaced: bool
    """False if its objects belong to no namespace."""


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
    annotations: Mapping[str, str] = Field(default={}, repr=False)  # may hold secrets
    owner_references: tuple[Owner, ...] = ()

    @property
    def controller(self) -> Owner | None:
        return next((owner for owner in self.owner_references if owner.controller), None)


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


class Running(FromApi):
    """Since when a container runs."""

    started_at: AwareDatetime | None = None


class Terminated(Explained):
    """How a container ended."""

    exit_code: int = 0
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None


class ContainerState(FromApi):
    """At most one of the three is set."""

    waiting: Explained | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(FromApi):
    """A container as its kubelet reports it.

    `started` becomes true when its startup probe has passed; without a startup probe, when it runs. Kubelets before
    1.16 do not report it: None.
    """

    name: str
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class Condition(Explained):
    """A condition of a pod or of a Kubernetes node; `status` is "True", "False" or "Unknown"."""

    type: str
    status: str = "Unknown"


class ReadinessGate(FromApi):
    """A condition that must also be true before the pod is ready."""

    condition_type: str


class SchedulingGate(FromApi):
    """The scheduler ignores the pod until this gate is removed (KEP-3521)."""

    name: str


class Requirement(FromApi):
    """One expression of a selector of labels or fields."""

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


class _NodeSelectorTerm(FromApi):
    match_fields: tuple[Requirement, ...] = ()


_REQUIRED_HOST = AliasPath(
    "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"
)


class PodSpec(FromApi):
    """The part of a pod's spec that a bounce needs."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    restart_policy: str = "Always"
    node_name: str = ""
    scheduler_name: str = ""
    scheduling_gates: tuple[SchedulingGate, ...] = ()
    required_host: tuple[_NodeSelectorTerm, ...] = Field((), validation_alias=_REQUIRED_HOST)
    termination_grace_period_seconds: int = 30
    readiness_gates: tuple[ReadinessGate, ...] = ()

    @property
    def host(self) -> str:
        """The Kubernetes node that it runs on or must run on; empty where that is not known.

        A DaemonSet's pod that is not scheduled yet names its host in its node affinity.
        """
        named = {
            field.values
            for term in self.required_host
            for field in term.match_fields
            if (field.key, field.operator, len(field.values)) == ("metadata.name", "In", 1)
        }
        return self.node_name or (named.pop()[0] if len(named) == 1 else "")

    @property
    def long_running(self) -> tuple[Container, ...]:
        """The containers that run as long as the pod: the main containers and the native sidecars (KEP-753)."""
        sidecars = (container for container in self.init_containers if container.restart_policy == "Always")
        return (*self.containers, *sidecars)


class PodStatus(Explained):
    """The part of a pod's status that a bounce needs."""

    phase: str = ""
    start_time: AwareDatetime | None = None  # when its kubelet first saw it, by the kubelet's clock
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()

    @property
    def all_containers(self) -> tuple[ContainerStatus, ...]:
        """The statuses of containers of every kind, also those of `kubectl debug`."""
        return (*self.init_container_statuses, *self.container_statuses, *self.ephemeral_container_statuses)


# The reasons that kubelets of all versions give in the status of a pod that they evict or shut down.
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
        """Seconds from its DELETE until `at`; None if it is not being deleted.

        Its deletionTimestamp is the end of the grace period, not the time of the DELETE.
        """
        ends = self.metadata.deletion_timestamp
        return (at - ends).total_seconds() + self.metadata.deletion_grace_period_seconds if ends else None

    def made_since_deletion_of(self, other: Pod) -> bool:
        """True if it was created after the deletion of `other` began."""
        made = self.metadata.creation_timestamp
        deleted_for = other.deleted_for(made) if made else None
        return deleted_for is not None and deleted_for >= 0

    @property
    def finished(self) -> bool:
        """True if all its containers have ended for good, as those of an evicted pod."""
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def controller(self) -> Owner | None:
        return self.metadata.controller

    @property
    def controller_uid(self) -> str | None:
        return self.controller.uid if self.controller else None

    def owner(self, uid: str) -> Owner | None:
        return next((owner for owner in self.metadata.owner_references if owner.uid == uid), None)

    @property
    def mirrors_static_pod(self) -> bool:
        """True if it only shows a static pod: deleting it does not end the containers.

        https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/
        """
        on_host = self.controller is not None and (self.controller.group, self.controller.kind) == ("", "Node")
        return on_host or "kubernetes.io/config.mirror" in self.metadata.annotations

    def belongs_to(self, controller: Owner) -> bool:
        """True if `controller`, or its successor of the same name, controls it; or owns it and nothing controls it."""
        owners = (self.controller,) if self.controller else self.metadata.owner_references
        same = [owner for owner in owners if owner.same_type(controller) and owner.name == controller.name]
        return bool(same) or any(owner.uid == controller.uid for owner in owners)

    @property
    def active(self) -> bool:
        """True unless it is being deleted or its containers have ended for good."""
        return not self.terminating and not self.finished

    def surges_past(self, other: Pod) -> bool:
        """True if it is a younger pod on the same Kubernetes node, as a DaemonSet's rollout makes before a deletion.

        https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/ (maxSurge)
        """
        made, before = self.metadata.creation_timestamp, other.metadata.creation_timestamp
        younger = made is not None and before is not None and made > before
        return self.active and younger and self.spec.host == other.spec.host != ""

    def is_renamed_by(self, maker: Owner | None) -> bool:
        """True if the replacement that `maker` creates gets another name.

        A StatefulSet's pods have a `generateName` too, but keep their names. A pod without a controller is created
        again by hand, under its name.
        """
        return bool(self.metadata.generate_name) and maker is not None and maker.kind != "StatefulSet"

    @property
    def images(self) -> dict[str, str]:
        return {container.name: container.image for container in self.spec.long_running}

    @property
    def revision(self) -> str:
        """The revision of its controller's template that it was made from; empty where it is not known."""
        labels = self.metadata.labels
        return labels.get("controller-revision-hash") or labels.get("pod-template-hash", "")

    @property
    def disrupted(self) -> str:
        """Why it is about to end although it may still look Running; empty if it is not.

        https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
        """
        if self.status.reason in DISRUPTED_REASONS:
            return self.status.explanation
        target = self.condition("DisruptionTarget")
        if target is None or target.status != "True":
            return ""
        return target.explanation or "DisruptionTarget"

    def condition(self, kind: str) -> Condition | None:
        return next((condition for condition in self.status.conditions if condition.type == kind), None)

    def container_status(self, name: str) -> ContainerStatus | None:
        statuses = (*self.status.container_statuses, *self.status.init_container_statuses)
        return next((status for status in statuses if status.name == name), None)


class Host(FromApi):
    """A Kubernetes node, which runs pods. It is not the application's node."""

    metadata: Metadata
    conditions: tuple[Condition, ...] = Field((), validation_alias=AliasPath("status", "conditions"))

    @classmethod
    def removed(cls, name: str) -> Self:
        """Make the view of a host that a pod still names and that no longer exists."""
        ready = Condition(type="Ready", reason="NotFound", message="it no longer exists")
        return cls(metadata=Metadata(name=name, uid=""), conditions=(ready,))

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def ready(self) -> Condition:
        return next((condition for condition in self.conditions if condition.type == "Ready"), Condition(type="Ready"))


class PodEvent(Explained):
    """A Kubernetes Event about a pod or its controller."""

    type: str = "Normal"
    component: str = Field("", validation_alias=AliasPath("source", "component"))
    first_timestamp: AwareDatetime | None = None
    last_timestamp: AwareDatetime | None = None
    event_time: AwareDatetime | None = None
    last_observed_time: AwareDatetime | None = Field(None, validation_alias=AliasPath("series", "lastObservedTime"))

    @property
    def last_seen(self) -> datetime:
        """When it happened last; the year 1 where that is not known."""
        times = (self.last_observed_time, self.last_timestamp, self.event_time, self.first_timestamp)
        return max((time for time in times if time is not None), default=_LONG_AGO)


class Controller(Frozen):
    """A controller of pods, such as a StatefulSet or a custom resource, as it was last seen.

    A number is None where the object has no such field, or something other than a number there.
    """

    reference: Owner
    """The controller's own kind, name and UID."""
    owner: Owner | None = None
    """Its own controller, such as a ReplicaSet's Deployment."""
    deleting: bool = False
    """True if it has a deletionTimestamp."""
    paused: bool = False
    """True if `spec.paused` or an annotation tells its operator to leave it alone."""
    replicas: int | None = None
    """How many pods it wants."""
    first_ordinal: int = 0
    """The number of a StatefulSet's first pod."""
    ordered: bool = False
    """True if a StatefulSet creates a pod only when all pods of lower numbers are ready (OrderedReady)."""
    suspended: bool = False
    """True if a Job is suspended."""
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
        # The status may still be that of an older spec.
        current = _number(status, "observedGeneration") == _number(_mapping(found.get("metadata")), "generation")
        try:
            conditions = PodStatus.model_validate({"conditions": status.get("conditions")}).conditions
        except ValidationError:  # a custom resource may use the name for something else
            conditions = ()
        reference = Owner(api_version=api_version, kind=kind, name=metadata.name, uid=metadata.uid)
        return cls(
            reference=reference,
            owner=metadata.controller,
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

    def true_condition(self, kind: str) -> Condition | None:
        """Give the condition of that type if its status is "True"; else None."""
        return next((one for one in self.conditions if (one.type, one.status) == (kind, "True")), None)


# The names of annotations that known operators use.
_PAUSE = re.compile(r"(^|[/.-])(paused?|pause-reconciliation)$")
_LEFT_ALONE = re.compile(r"/(managed|reconcile|reconciliationLoop)$")


def _says_paused(annotation: str, value: str) -> bool:
    """Tell whether an annotation asks an operator to leave its object alone."""
    if _PAUSE.search(annotation):
        return value == "true"
    return _LEFT_ALONE.search(annotation) is not None and value in ("false", "disabled")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(found: Mapping[str, Any], key: str) -> int | None:
    value = found.get(key)
    return value if type(value) is int else None


class LabelSelector(FromApi):
    """https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/label-selector/ ."""

    match_labels: Mapping[str, str] = {}
    match_expressions: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        alike = all(labels.get(key) == value for key, value in self.match_labels.items())
        return alike and all(requirement.holds(labels) for requirement in self.match_expressions)


class DisruptionBudget(FromApi):
    """A PodDisruptionBudget: how many of the pods that it selects may be evicted now."""

    metadata: Metadata
    selector: LabelSelector | None = Field(None, validation_alias=AliasPath("spec", "selector"))
    disruptions_allowed: int = Field(0, validation_alias=AliasPath("status", "disruptionsAllowed"))

    def covers(self, pod: Pod) -> bool:
        return self.selector is not None and self.selector.matches(pod.metadata.labels)
