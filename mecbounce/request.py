"""What is asked of a bounce: which pod, of which custom resource, and on what terms. Durations are seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import StrictBool, ValidationError, WrapValidator, field_validator

from mecbounce.fields import FieldPath, Frozen, Label, ObjectName, Seconds, TypeName, Uid


class ClusterType(StrEnum):
    """Where the cluster's resources are changed: in the cluster itself, or in Git."""

    K8S = "k8s"
    K8S_GITOPS = "k8s_gitops"


class ReadyWhen(StrEnum):
    """When the replacement counts as back: see `BounceRequest.ready_when`."""

    AUTO = "auto"
    STARTED = "started"
    READY = "ready"


class NodeFields(Frozen):
    """Where the custom resources of a type hold the state of their node, and which words they use for it."""

    desired_path: FieldPath = "spec.state"
    """The field that holds the desired state: a dotted path."""
    activity_path: FieldPath = "status.state"
    """The field that holds what the node is doing: a dotted path."""
    down_values: frozenset[str] = frozenset({"down", "stopped"})
    """Desired states of a node that is meant to be down. Upper and lower case are the same here and below."""
    rebuilding_values: frozenset[str] = frozenset({"rebuilding"})
    """What a node that is rebuilding does."""
    catchup_values: frozenset[str] = frozenset({"catchup", "efficient_catchup"})
    """What a node that is catching up does."""

    @field_validator("down_values", "rebuilding_values", "catchup_values")
    @classmethod
    def _without_case(cls, values: frozenset[str]) -> frozenset[str]:
        return frozenset(value.casefold() for value in values)


class NodeRef(NodeFields):
    """The custom resource of an application node, and which of its fields hold the node's state."""

    group: ObjectName
    """Its API group, such as express.example.com."""
    version: Label
    """Its API version, such as v1."""
    plural: Label
    """Its type as in a URL, such as expressnodes."""
    name: ObjectName
    """Its own name."""

    @property
    def type_name(self) -> str:
        """Its plural and group, such as expressnodes.express.example.com."""
        return f"{self.plural}.{self.group}"

    @property
    def as_option(self) -> str:
        """It as the command's `--node` takes it: GROUP/VERSION/PLURAL/NAME, without its paths and values."""
        return f"{self.group}/{self.version}/{self.plural}/{self.name}"

    def __str__(self) -> str:
        return f"{self.type_name}/{self.version} {self.name}"


def _node(value: Any, read: Callable[[Any], Any]) -> Any:
    """Read `BounceRequest.node`, with an error that names the field of a NodeRef and not the alternatives."""
    if isinstance(value, Mapping):
        return NodeRef.model_validate(value)
    try:
        return read(value)
    except ValidationError:
        raise ValueError("expected a NodeRef, 'auto' or None") from None


class Timeouts(Frozen):
    """How long to wait, in seconds: more than 0 and at most a week."""

    termination: Seconds | None = None
    """Seconds until the pod must have gone, never extended. None: 600, or the pod's grace period + 60 if that is
    longer."""
    ready: Seconds | None = None
    """Seconds until the replacement must be back, never extended if given. None: 600, or what the pod's startup probes
    allow + 300 if that is longer; counted again from the start of its containers."""
    api: Seconds = 30.0
    """Seconds that the API server may go without a usable answer."""


class BounceRequest(Frozen):
    """One bounce: which pod, of which custom resource, and on what terms."""

    namespace: Label
    """The namespace of the pod, and of its custom resource unless that is cluster-scoped."""
    pod: ObjectName
    """The name of the pod to bounce."""
    node: Annotated[NodeRef | Literal["auto"] | None, WrapValidator(_node)] = "auto"
    """The custom resource that the pod is made from. `auto`: it is found, by following the pod's controllers. None:
    there is none to check."""
    node_types: Mapping[TypeName, NodeFields] = {}
    """Where a resource that is found holds its state, by its plural and group, such as
    expressnodes.express.example.com. A type that is not named here has the defaults of `NodeFields`."""
    cluster_type: ClusterType = ClusterType.K8S
    """Where the cluster's resources are changed: `k8s_gitops` if in Git."""
    force: StrictBool = False
    """Bounce also a node that is rebuilding, a pod that has no controller, or a pod that runs until its work is done
    (a Job's). Overrides nothing else."""
    pod_uid: Uid | None = None
    """The UID of the one incarnation to bounce. If it has gone already, nothing is deleted and the bounce only waits.
    None: the incarnation that exists now."""
    timeouts: Timeouts = Timeouts()
    """How long to wait, in seconds."""
    ready_when: ReadyWhen = ReadyWhen.AUTO
    """When the replacement counts as back: `started` (every container has started, by its startup probe), `ready` (its
    Ready condition is true), or `auto` (`started` if the pod has a startup probe, else `ready`)."""

    @property
    def given_node(self) -> NodeRef | None:
        """The custom resource that it names. None: it is to be found, or there is none to check."""
        return self.node if isinstance(self.node, NodeRef) else None

    def is_k8s_gitops(self) -> bool:
        """True if the cluster's resources are changed in Git."""
        return self.cluster_type is ClusterType.K8S_GITOPS
