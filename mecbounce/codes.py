"""The causes of a failure: one row for each, from which the tables of docs/operations.md are written.

A row is the code, who must act, where to look, and below it what that means for the node and what to do. In who must
act, `...` stands for a name from the evidence, and " or " is between two people. Where to look is a key of `COMMANDS`
in `cli/next_commands.py`. When a cause is given is decided in `diagnosis.py` and `absence.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

ADMINISTRATORS = "the cluster's administrators"
OPERATOR = "the owners of the operator"
APPLICATION = "the owners of the application"


class DiagnosisCode(StrEnum):
    """The cause of a failure."""

    who: str
    look: str

    def __new__(cls, code: str, who: str, look: str) -> Self:
        row = str.__new__(cls, code)
        row._value_ = code
        row.who, row.look = who, look
        return row

    # The deletion was refused, or the controller could not make a new pod.
    WEBHOOK_FAILING = "webhook_failing", "the owners of webhook ...", "webhooks"
    """An admission webhook that must be asked does not answer. Have its service repaired."""
    WEBHOOK_DENIED = "webhook_denied", "the owners of webhook ...", "webhooks"
    """An admission webhook said no. Read what it says: it may allow the same later."""
    POLICY_DENIED = (
        "policy_denied",
        "the owners of ValidatingAdmissionPolicy ... or whoever sets the Pod Security level of the namespace",
        "policies",
    )
    """A policy of the cluster says no. `kubectl describe namespace` shows the Pod Security level."""
    DELETE_FAILING = "delete_failing", ADMINISTRATORS, "api_server"
    """For the API timeout, the API server answered the DELETE with errors or not at all."""
    REFUSED = "refused", ADMINISTRATORS, "rights"
    """A right is missing, or the API server can't do what it was asked."""

    # The old pod has not gone.
    HOST_LOST = "host_lost", ADMINISTRATORS, "host"
    """Its Kubernetes node does not answer: nobody knows whether the pod still runs. Have that node repaired or removed.
    A new pod on such a node has the same code."""
    GRACE_PERIOD_RUNNING = "grace_period_running", APPLICATION, "logs"
    """It is shutting down within its grace period. Keep waiting."""
    GRACE_PERIOD_EXCEEDED = "grace_period_exceeded", ADMINISTRATORS, "host"
    """Its kubelet should have killed it by now. Look at the kubelet and the container runtime of that node."""
    FINALIZERS = "finalizers", "the owners of ... or the cluster's administrators", "pod_yaml"
    """It has stopped, and a finalizer keeps the pod until somebody has done what it is for. Find out whose it is: to
    take it off skips that. Kubernetes' own ones (`batch.kubernetes.io/job-tracking`, `foregroundDeletion`) are the
    administrators'."""
    DELETION_LOST = "deletion_lost", ADMINISTRATORS, "pod"
    """It runs: the DELETE was accepted, and the pod shows no deletionTimestamp, or had gone and stands again. Etcd, or
    a proxy before the API server, has lost a write. Once the cause is fixed, bounce it again with its UID: that deletes
    this incarnation only."""
    NOT_REMOVED = "not_removed", ADMINISTRATORS, "host"
    """It has stopped, and its kubelet has not removed the pod. Up to half a minute of that is normal. Look at that
    node's kubelet."""
    CLUSTER_UNREACHABLE = "cluster_unreachable", ADMINISTRATORS, "api_server"
    """Not known, in either wait: the API server gave no answer at the deadline, nor for the API timeout after it."""

    # Nothing has replaced it.
    NODE_MISSING = "node_missing", "whoever removed the custom resource", "nodes"
    """Its custom resource was removed meanwhile."""
    NODE_DELETING = "node_deleting", "whoever deletes the custom resource", "node_finalizers"
    """Its custom resource is being deleted, so nothing makes its pod."""
    NODE_DOWN = "node_down", "whoever turned it down", "node"
    """It was turned down meanwhile: it stays down."""
    REPLACEMENT_TERMINATING = "replacement_terminating", OPERATOR, "pod"
    """Its replacement is being deleted as well. Find out who deletes it."""
    OTHER_CONTROLLER = "other_controller", OPERATOR, "pod"
    """A pod of its name stands there and belongs to another controller, or to none."""
    ROLLED_OUT = "rolled_out", "nobody: look at the pods of ...", "pods"
    """Its Deployment was rolled out meanwhile: pods of another ReplicaSet have taken its place."""
    CONTROLLER_GONE = "controller_gone", "whoever removed ...", "events"
    """Its controller was removed meanwhile."""
    CONTROLLER_DELETING = "controller_deleting", "whoever deletes ...", "controller"
    """Its controller is being deleted."""
    CONTROLLER_SCALED_DOWN = "controller_scaled_down", "whoever scaled ...", "controller"
    """Its controller wants fewer pods now."""
    JOB_FINISHED = "job_finished", "the owners of ...", "controller"
    """Its Job is complete, or has failed for good."""
    JOB_SUSPENDED = "job_suspended", "whoever suspended ...", "controller"
    """Its Job is suspended."""
    HOST_GONE = "host_gone", ADMINISTRATORS, "hosts"
    """The Kubernetes node of a DaemonSet's pod no longer exists, so no pod is due there."""
    HOST_NOT_WANTED = "host_not_wanted", "whoever changed ...", "controller"
    """Its DaemonSet wants no pod on that Kubernetes node any more: labels or taints have changed. `kubectl describe
    node` shows them."""
    PREDECESSOR_NOT_READY = "predecessor_not_ready", APPLICATION, "pods"
    """Its StatefulSet makes its pods in order and waits for one of a lower number. Repair that pod first."""
    QUOTA_EXCEEDED = "quota_exceeded", "whoever sets ResourceQuota ...", "quota"
    """A ResourceQuota leaves no room for its pod."""
    NAMESPACE_DELETING = "namespace_deleting", "whoever deletes namespace ...", "namespace"
    """Its namespace is being deleted, so nothing can be made in it."""
    ACCOUNT_MISSING = "account_missing", "whoever removed ServiceAccount ...", "accounts"
    """The ServiceAccount of its pod was removed."""
    CREATION_FAILED = "creation_failed", OPERATOR, "controller"
    """Its controller tried to make a pod and could not."""
    CONTROLLER_PAUSED = "controller_paused", "whoever paused ...", "controller"
    """Its operator was told to leave it alone: by `spec.paused`, or an annotation that means the same."""
    TOO_FEW_REPLACEMENTS = "too_few_replacements", OPERATOR, "controller"
    """More pods of its controller have gone, and fewer new ones are back."""
    OTHER_NAME = "other_name", OPERATOR, "pods"
    """Its controller has made pods of other names meanwhile, one of which may take its place."""
    NAME_GENERATED = "name_generated", "nobody: look at the newest pods of its controller", "pods"
    """Not known: its pod had gone before this bounce, and its name looks generated, so its replacement has another."""
    TERMINATING_AGAIN = "terminating_again", ADMINISTRATORS, "pod"
    """The old pod had gone and is shown again, being deleted: the API server's data went back, or that of a cache in
    front of it. Fix the cause, then keep waiting."""
    NOT_RECREATED = "not_recreated", OPERATOR, "maker"
    """Its controller has not made a pod, or no further one after its replacement went too, and does not say why. See
    the operator's log. Where nothing controlled the pod, whoever made it must act."""

    # The new pod is not back.
    POD_ENDED = "pod_ended", f"{ADMINISTRATORS} or {APPLICATION}", "pod"
    """Its new pod ended for good, as an evicted one does, or a Job's."""
    POD_DISRUPTED = "pod_disrupted", ADMINISTRATORS, "pod"
    """Its new pod is about to go again: it is evicted, or its Kubernetes node shuts down."""
    SCHEDULING_GATED = "scheduling_gated", "the owners of scheduling gate ...", "pod"
    """No scheduler may look at it before its scheduling gates are removed. Whoever sets a gate, such as a queue,
    removes it."""
    UNSCHEDULABLE = "unschedulable", ADMINISTRATORS, "pod"
    """No Kubernetes node takes it. Make room, or correct its selector, tolerations or volume claim."""
    UNSCHEDULED = "unscheduled", f"{ADMINISTRATORS} or whoever runs scheduler ...", "pod"
    """No scheduler has looked at it. Look at the scheduler that its spec names."""
    KUBELET_SILENT = "kubelet_silent", ADMINISTRATORS, "host"
    """A Kubernetes node has it, and its kubelet reports nothing, or no longer. Look at that node's kubelet."""
    IMAGE_PULL = "image_pull", APPLICATION, "pod"
    """Its image can't be pulled. Check the image's name, the pull secret and the registry."""
    CONTAINER_CONFIG = "container_config", APPLICATION, "pod"
    """A container can't be made as its spec asks, mostly for want of a ConfigMap or Secret."""
    VOLUME = "volume", ADMINISTRATORS, "pod"
    """A volume can't be attached or mounted."""
    INIT_CONTAINER = "init_container", APPLICATION, "logs"
    """An init container fails or does not end."""
    STARTUP_KILL_LOOP = "startup_kill_loop", APPLICATION, "last_logs"
    """It needs longer to start than its startup probe allows, and is killed again and again; it looks Running. Find
    what slows it down, or give the probe more tries."""
    CRASH_LOOP = "crash_loop", APPLICATION, "last_logs"
    """It ends again and again."""
    STARTUP_PROBE = "startup_probe", APPLICATION, "logs"
    """It runs and has not passed its startup probe yet: it may just be slow. Keep waiting."""
    READINESS_PROBE = "readiness_probe", APPLICATION, "logs"
    """It runs, and its readiness probe does not pass."""
    CONTAINER_WAITING = "container_waiting", ADMINISTRATORS, "pod"
    """A container does not run yet."""
    READINESS_GATE = "readiness_gate", "the owners of readiness gate ...", "pod"
    """Its containers are ready; a condition that somebody else sets is not."""
    UNKNOWN = "unknown", APPLICATION, "pod"
    """Nothing in its status explains it."""


# The old pod exists although it was deleted, or had gone.
STANDING = (DiagnosisCode.DELETION_LOST, DiagnosisCode.TERMINATING_AGAIN)
