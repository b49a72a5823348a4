"""What is asked of a bounce: which pod, of which custom resource, and on what terms. Durations are seconds."""

from __future__ import annotations

from enum import StrEnum

from pydantic import (
    StrictBool,
    field_validator,
)

from mecbounce.fields import FieldPath, Frozen, Label, ObjectName, Seconds, Uid

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
