"""The defaults that the API server fills into a new object."""

from __future__ import annotations

from typing import Final

from mecbounce.sandbox.objects import clone, condition
from mecbounce.sandbox.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    LEASES,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Object,
    ResourceType,
)

PROBE_DEFAULTS: Final = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
POD_DEFAULTS: Final[Object] = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
    "enableServiceLinks": True,
}
CONTAINER_DEFAULTS: Final[Object] = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
DEFAULTS: Final[dict[ResourceType, Object]] = {
    EVENTS: {
        "source": {},
        "firstTimestamp": None,
        "lastTimestamp": None,
        "eventTime": None,
        "reportingComponent": "",
        "reportingInstance": "",
    },
    LEASES: {"spec": {}},
    NAMESPACES: {"status": {"phase": "Active"}},
}
ROLLING: Final[Object] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
SPECS: Final[dict[ResourceType, Object]] = {
    REPLICA_SETS: {"replicas": 1},
    STATEFUL_SETS: {
        "replicas": 1,
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "revisionHistoryLimit": 10,
    },
    DEPLOYMENTS: {"replicas": 1, "strategy": ROLLING, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600},
    DAEMON_SETS: {
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
        "revisionHistoryLimit": 10,
    },
    JOBS: {"parallelism": 1, "backoffLimit": 6},
}
DAEMON_COUNTS: Final = ("currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady")
STATUSES: Final[dict[ResourceType, Object]] = {
    REPLICA_SETS: {"replicas": 0},
    STATEFUL_SETS: {"replicas": 0},
    DAEMON_SETS: dict.fromkeys(DAEMON_COUNTS, 0),
}
"""Counts that are in the status from the start, even at 0."""


def fill_in(resource: ResourceType, obj: Object) -> Object:
    """Return a new object, which has its UID already, with all defaults."""
    obj = {**clone(DEFAULTS.get(resource, {})), **obj}
    if resource in SPECS:
        obj["spec"] = {**clone(SPECS[resource]), **obj.get("spec", {})}
        obj.setdefault("status", clone(STATUSES.get(resource, {})))
    if resource == PODS:
        _fill_in_pod(obj)
    if resource == JOBS:
        _fill_in_job(obj)
    return obj


def _fill_in_pod(pod: Object) -> None:
    spec = pod["spec"] = {**clone(POD_DEFAULTS), **pod["spec"]}
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        for field, value in CONTAINER_DEFAULTS.items():
            container.setdefault(field, clone(value))
        if "imagePullPolicy" not in container:
            tag = container.get("image", "").rpartition("/")[2].partition(":")[2]
            container["imagePullPolicy"] = "Always" if tag in ("", "latest") else "IfNotPresent"
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe in container:
                container[probe] = {**PROBE_DEFAULTS, **container[probe]}
    pod["status"] = {"phase": "Pending", "qosClass": "BestEffort", **pod.get("status", {})}
    if spec.get("schedulingGates"):
        why = "Scheduling is blocked due to non-empty scheduling gates"
        pod["status"].setdefault("conditions", [condition("PodScheduled", False, "SchedulingGated", why)])


def _fill_in_job(job: Object) -> None:
    """Give a Job a selector of its own pods, unless it has ``manualSelector``."""
    spec, uid = job["spec"], job["metadata"]["uid"]
    if "completions" not in spec and spec["parallelism"] == 1:
        spec["completions"] = 1
    if spec.get("manualSelector"):
        return
    template = spec["template"] = {**spec.get("template", {})}
    metadata = template["metadata"] = {**template.get("metadata", {})}
    metadata["labels"] = {**metadata.get("labels", {}), "controller-uid": uid, "job-name": job["metadata"]["name"]}
    spec["selector"] = {"matchLabels": {"controller-uid": uid}}
