"""The causes of a failure: one row for each, from which the tables of docs/operations.md are written.

A row is the code, its table in docs/operations.md, where to look, who must act, and below it what that means for the
node and what to do. Where to look is a key of `COMMANDS` in `next_commands.py`. Who must act may have alternatives;
in each, `...` stands for a name from the evidence. When a cause is given is decided in `diagnosis.py` and `absence.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

ADMINISTRATORS = "the cluster's administrators"
OPERATOR = "the owners of the operator"
APPLICATION = "the owners of the application"
MAKER = "whoever made the pod"
MAKERS = (OPERATOR, ADMINISTRATORS, MAKER)  # of whatever makes the pod: an operator, a built-in controller, somebody


class DiagnosisCode(StrEnum):
    """The cause of a failure."""

    table: str
    look: str
    who: tuple[str, ...]

    def __new__(cls, code: str, table: str, look: str, *who: str) -> Self:
        row = str.__new__(cls, code)
        row._value_ = code
        row.table, row.look, row.who = table, look, who
        return row

    # The deletion was refused, or the controller could not make a new pod.
    WEBHOOK_FAILING = "webhook_failing", "refused", "webhooks", "the owners of webhook ..."
    """An admission webhook that must be asked does not answer. Have its service repaired."""
    WEBHOOK_DENIED = "webhook_denied", "refused", "webhooks", "the owners of webhook ..."
    """An admission webhook said no. Read what it says: it may allow the same later."""
    POLICY_DENIED = (
        "policy_denied",
        "refused",
        "policies",
        "the owners of ValidatingAdmissionPolicy ...",
        "whoever sets the Pod Security level of the namespace",
    )
    """A policy of the cluster says no. `kubectl describe namespace` shows the Pod Security level."""
    DELETE_FAILING = "delete_failing", "refused", "api_server", ADMINISTRATORS
    """For the API timeout, the API server answered the DELETE with errors or not at all."""
    REFUSED = "refused", "refused", "rights", ADMINISTRATORS
    """A right is missing, or the API server can't do what it was asked."""

    # The old pod has not gone.
    HOST_LOST = "host_lost", "not gone", "host", ADMINISTRATORS
    """Its Kubernetes node does not answer: nobody knows whether the pod still runs. Have that node repaired or removed.
    A new pod on such a node has the same code."""
    GRACE_PERIOD_RUNNING = "grace_period_running", "not gone", "logs", APPLICATION
    """It is shutting down within its grace period. Keep waiting."""
    GRACE_PERIOD_EXCEEDED = "grace_period_exceeded", "not gone", "host", ADMINISTRATORS
    """Its kubelet should have killed it by now. Look at the kubelet and the container runtime of that node."""
    FINALIZERS = "finalizers", "not gone", "pod_yaml", "the owners of ...", ADMINISTRATORS
    """It has stopped. A finalizer keeps the pod until its owner has finished some work. Removing it by hand skips that
    work. The administrators own those of Kubernetes (`batch.kubernetes.io/job-tracking`, `foregroundDeletion`)."""
    DELETION_LOST = "deletion_lost", "not gone", "pod", ADMINISTRATORS
    """It runs: the DELETE was accepted, and the pod shows no deletionTimestamp, or had disappeared and exists
    again. Etcd, or a proxy in front of the API server, has lost a write. Once the cause is fixed, bounce it again with
    its UID: that deletes this incarnation only."""
    NOT_REMOVED = "not_removed", "not gone", "host", ADMINISTRATORS
    """It has stopped, and its kubelet has not removed the pod. Up to half a minute of that is normal. Look at that
    node's kubelet."""
    CLUSTER_UNREACHABLE = "cluster_unreachable", "not gone", "api_server", ADMINISTRATORS
    """Not known, in either wait: the API server gave no answer at the deadline, nor for the API timeout after it."""

    # Nothing has replaced it.
    NODE_UNSERVED = "node_unserved", "not replaced", "node_types", "whoever removed the resource type"
    """The type of its custom resource was removed meanwhile, and the resource with it."""
    NODE_MISSING = "node_missing", "not replaced", "nodes", "whoever removed the custom resource"
    """Its custom resource was removed meanwhile."""
    NODE_DELETING = "node_deleting", "not replaced", "node_finalizers", "whoever deletes the custom resource"
    """Its custom resource is being deleted, so nothing makes its pod."""
    NODE_DOWN = "node_down", "not replaced", "node", "whoever turned it down"
    """It was turned down meanwhile: it stays down."""
    REPLACEMENT_TERMINATING = "replacement_terminating", "not replaced", "pod", *MAKERS
    """Its replacement is being deleted as well. Find out who deletes it."""
    OTHER_CONTROLLER = "other_controller", "not replaced", "pod", *MAKERS
    """A pod of its name exists and belongs to another controller, or to none."""
    ROLLED_OUT = "rolled_out", "not replaced", "pods", "nobody: look at the pods of ..."
    """Its Deployment was rolled out meanwhile: pods of another ReplicaSet have taken its place."""
    CONTROLLER_GONE = "controller_gone", "not replaced", "events", "whoever removed ..."
    """Its controller was removed meanwhile."""
    CONTROLLER_DELETING = "controller_deleting", "not replaced", "controller", "whoever deletes ..."
    """Its controller is being deleted."""
    CONTROLLER_SCALED_DOWN = "controller_scaled_down", "not replaced", "controller", "whoever scaled ..."
    """Its controller wants fewer pods now."""
    JOB_FINISHED = "job_finished", "not replaced", "controller", "the owners of ..."
    """Its Job is complete, or has failed for good."""
    JOB_SUSPENDED = "job_suspended", "not replaced", "controller", "whoever suspended ..."
    """Its Job is suspended."""
    HOST_GONE = "host_gone", "not replaced", "hosts", ADMINISTRATORS
    """The Kubernetes node of a DaemonSet's pod no longer exists, so no pod is due there."""
    HOST_NOT_WANTED = "host_not_wanted", "not replaced", "controller", "whoever changed ..."
    """Its DaemonSet wants no pod on that Kubernetes node any more: labels or taints have changed. `kubectl describe
    node` shows them."""
    PREDECESSOR_NOT_READY = "predecessor_not_ready", "not replaced", "pods", APPLICATION
    """Its StatefulSet makes its pods in order and waits for one of a lower number. Repair that pod first."""
    QUOTA_EXCEEDED = "quota_exceeded", "not replaced", "quota", "whoever sets ResourceQuota ..."
    """A ResourceQuota leaves no room for its pod."""
    NAMESPACE_DELETING = "namespace_deleting", "not replaced", "namespace", "whoever deletes namespace ..."
    """Its namespace is being deleted, so nothing can be made in it."""
    ACCOUNT_MISSING = "account_missing", "not replaced", "accounts", "whoever removed ServiceAccount ..."
    """The ServiceAccount of its pod was removed."""
    CREATION_FAILED = "creation_failed", "not replaced", "controller", OPERATOR, ADMINISTRATORS
    """Its controller tried to make a pod and could not."""
    CONTROLLER_PAUSED = "controller_paused", "not replaced", "controller", "whoever paused ..."
    """Its operator was told to leave it alone: by `spec.paused`, or an annotation that means the same."""
    TOO_FEW_REPLACEMENTS = "too_few_replacements", "not replaced", "controller", OPERATOR, ADMINISTRATORS
    """More pods of its controller have gone, and fewer replacements are back."""
    OTHER_NAME = "other_name", "not replaced", "pods", OPERATOR, ADMINISTRATORS
    """Its controller has made pods of other names meanwhile, one of which may take its place."""
    NAME_GENERATED = "name_generated", "not replaced", "pods", "nobody: look at the newest pods of its controller"
    """Not known: its pod had gone before this bounce, and its name looks generated, so its replacement has a different
    name."""
    TERMINATING_AGAIN = "terminating_again", "not replaced", "pod", ADMINISTRATORS
    """The old pod had disappeared and exists again, being deleted: the API server shows older data, or a cache in front
    of it does. Fix the cause, then keep waiting."""
    NOT_RECREATED = "not_recreated", "not replaced", "maker", *MAKERS
    """Its controller has not made a pod, or no further one after its replacement went too, and does not say why. See
    the operator's log, if an operator makes it. Where nothing controlled the pod, whoever made it must act."""

    # The new pod is not back.
    POD_ENDED = "pod_ended", "not back", "pod", ADMINISTRATORS, APPLICATION
    """Its new pod ended for good, as an evicted one does, or a Job's."""
    POD_DISRUPTED = "pod_disrupted", "not back", "pod", ADMINISTRATORS
    """Its new pod does not stay: it is being evicted, or its Kubernetes node shuts down."""
    SCHEDULING_GATED = "scheduling_gated", "not back", "pod", "the owners of scheduling gate ..."
    """No scheduler may look at it before its scheduling gates are removed. Whoever sets a gate, such as a queue,
    removes it."""
    UNSCHEDULABLE = "unschedulable", "not back", "pod", ADMINISTRATORS
    """No Kubernetes node takes it. Make room, or correct its selector, tolerations or volume claim."""
    UNSCHEDULED = "unscheduled", "not back", "pod", ADMINISTRATORS, "whoever runs scheduler ..."
    """No scheduler has looked at it. Look at the scheduler that its spec names."""
    KUBELET_SILENT = "kubelet_silent", "not back", "host", ADMINISTRATORS
    """It is assigned to a Kubernetes node whose kubelet reports nothing, or nothing any more. Look at that kubelet."""
    IMAGE_PULL = "image_pull", "not back", "pod", APPLICATION
    """Its image can't be pulled. Check the image's name, the pull secret and the registry."""
    CONTAINER_CONFIG = "container_config", "not back", "pod", APPLICATION
    """A container can't be made as its spec asks, usually because a ConfigMap or Secret is missing."""
    VOLUME = "volume", "not back", "pod", ADMINISTRATORS
    """A volume can't be attached or mounted."""
    INIT_CONTAINER = "init_container", "not back", "logs", APPLICATION
    """An init container fails or does not end."""
    STARTUP_KILL_LOOP = "startup_kill_loop", "not back", "last_logs", APPLICATION
    """It needs longer to start than its startup probe allows, and is killed again and again; it looks Running. Find
    what slows it down, or give the probe more tries."""
    CRASH_LOOP = "crash_loop", "not back", "last_logs", APPLICATION
    """It ends again and again."""
    STARTUP_PROBE = "startup_probe", "not back", "logs", APPLICATION
    """It runs and has not passed its startup probe yet: it may just be slow. Keep waiting."""
    READINESS_PROBE = "readiness_probe", "not back", "logs", APPLICATION
    """It runs, and its readiness probe does not pass."""
    CONTAINER_WAITING = "container_waiting", "not back", "pod", ADMINISTRATORS
    """A container does not run yet."""
    READINESS_GATE = "readiness_gate", "not back", "pod", "the owners of readiness gate ..."
    """Its containers are ready; a condition that somebody else sets is not."""
    UNKNOWN = "unknown", "not back", "pod", APPLICATION
    """Nothing in its status explains it."""


# The old pod exists although it was deleted, or had gone.
OLD_POD_EXISTS = (DiagnosisCode.DELETION_LOST, DiagnosisCode.TERMINATING_AGAIN)
