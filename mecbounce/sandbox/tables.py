"""The tables that kubectl shows: `kubectl get` asks for them by ``Accept: application/json;as=Table``.

The rules are those of Kubernetes' pkg/printers/internalversion/printers.go. Types without columns of their own there,
and custom resources, have a name and an age.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from mecbounce.sandbox.clock import CLOCK, FORMAT
from mecbounce.sandbox.objects import ENDED
from mecbounce.sandbox.resources import (
    DEPLOYMENTS,
    EVENTS,
    HOSTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Object,
    ResourceType,
)

UNKNOWN: Final = "<unknown>"
NONE: Final = "<none>"


class Column(NamedTuple):
    """One column. ``wide``: only `kubectl get -o wide` shows it."""

    name: str
    cell: Callable[[Object], Any]
    kind: str = "string"
    wide: bool = False


def table(resource: ResourceType, obj: Object, include: str, *, described: bool = False) -> Object:
    """Return the table of an object or a list of objects.

    ``include``: Object, Metadata or None, as the query's ``includeObject``. ``described``: its columns are known.
    """
    columns = COLUMNS.get(resource, (NAME, AGE))
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]},
        "columnDefinitions": None if described else [_described(column) for column in columns],
        "rows": [
            {"cells": [column.cell(item) for column in columns], "object": _included(resource, item, include)}
            for item in obj.get("items", [obj])
        ],
    }


def _described(column: Column) -> Object:
    name_of_it = "name" if column is NAME else ""
    return {
        "name": column.name,
        "type": column.kind,
        "format": name_of_it,
        "description": "",
        "priority": int(column.wide),
    }


def _included(resource: ResourceType, item: Object, include: str) -> Object | None:
    if include == "None":
        return None
    if include == "Object":
        return {"kind": resource.kind, "apiVersion": resource.api_version, **item}
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}


def age(stamp: str | None) -> str:
    """Return how long ago a time was, as kubectl writes it: apimachinery's HumanDuration."""
    if not stamp:
        return UNKNOWN
    then = dt.datetime.strptime(stamp[:19] + "Z", FORMAT).replace(tzinfo=dt.UTC)
    seconds = int((CLOCK.now() - then).total_seconds())
    minutes, hours = seconds // 60, seconds // 3600
    days = hours // 24
    for limit, whole, unit, rest, small in (
        (120, seconds, "s", 0, ""),
        (600, minutes, "m", seconds % 60, "s"),
        (3 * 3600, minutes, "m", 0, ""),
        (8 * 3600, hours, "h", minutes % 60, "m"),
        (48 * 3600, hours, "h", 0, ""),
        (8 * 86400, days, "d", hours % 24, "h"),
        (2 * 365 * 86400, days, "d", 0, ""),
    ):
        if seconds < limit:
            return f"{max(whole, 0)}{unit}{f'{rest}{small}' if rest else ''}"
    return f"{days // 365}y"


def pod_status(pod: Object) -> tuple[int, int, str, int]:
    """Return how many of a pod's containers are ready, how many there are, its status in a word, and its restarts."""
    status, spec = pod.get("status") or {}, pod["spec"]
    sidecars = {one["name"] for one in spec.get("initContainers") or [] if one.get("restartPolicy") == "Always"}
    inits, mains = (status.get(key) or [] for key in ("initContainerStatuses", "containerStatuses"))
    word, counted = _first_not_done(inits, sidecars), inits
    if not word or _condition(pod, "Initialized").get("status") == "True":
        word, counted = _of_mains(pod, mains), [*(one for one in inits if one["name"] in sidecars), *mains]
    if pod["metadata"].get("deletionTimestamp") is not None:
        if status.get("reason") == "NodeLost":
            word = "Unknown"
        elif status.get("phase") not in ENDED:
            word = "Terminating"
    ready = sum(_runs(one) and one.get("ready") is True for one in counted)
    restarts = sum(one.get("restartCount", 0) for one in counted)
    return ready, len(spec.get("containers") or []) + len(sidecars), word, restarts


def _first_not_done(inits: list[Object], sidecars: set[str]) -> str:
    """Return the status of a pod that waits for an init container; empty if it waits for none."""
    for number, one in enumerate(inits):
        if one["name"] in sidecars and one.get("started"):
            continue
        if word := _initializing(one, number, len(inits)):
            return word
    return ""


def _of_mains(pod: Object, mains: list[Object]) -> str:
    """Return the status of a pod whose init containers are done: that of its first container that does not run."""
    status = pod.get("status") or {}
    word = str(status.get("reason") or status.get("phase") or "")
    if _condition(pod, "PodScheduled").get("reason") == "SchedulingGated":
        word = "SchedulingGated"
    for one in reversed(mains):
        state = one.get("state") or {}
        if waits := (state.get("waiting") or {}).get("reason"):
            word = waits
        elif state.get("terminated") is not None:
            word = _how_it_ended(state["terminated"])
    if word == "Completed" and any(_runs(one) and one.get("ready") for one in mains):  # one has ended, another runs
        return "Running" if _condition(pod, "Ready").get("status") == "True" else "NotReady"
    return word


def _runs(one: Object) -> bool:
    return (one.get("state") or {}).get("running") is not None


def _initializing(one: Object, number: int, of: int) -> str:
    """Return the status of a pod that waits for this init container; empty if the container is done."""
    state = one.get("state") or {}
    ended, waits = state.get("terminated"), (state.get("waiting") or {}).get("reason")
    if ended is not None:
        return "" if ended.get("exitCode") == 0 else f"Init:{_how_it_ended(ended)}"
    return f"Init:{waits}" if waits and waits != "PodInitializing" else f"Init:{number}/{of}"


def _how_it_ended(ended: Object) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _condition(obj: Object, kind: str) -> Object:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((one for one in conditions if one.get("type") == kind), {})


def _host_status(host: Object) -> str:
    ready = _condition(host, "Ready").get("status")
    words = ["Ready" if ready == "True" else "NotReady" if ready else "Unknown"]
    return ",".join([*words, *(["SchedulingDisabled"] if host.get("spec", {}).get("unschedulable") else [])])


def _at(path: str, missing: Any = NONE) -> Callable[[Object], Any]:
    """Return a cell that shows what is at a path."""

    def cell(obj: Object) -> Any:
        found: Any = obj
        for part in path.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return missing if found in (None, "") else found

    return cell


def _of(ready: str, wanted: str) -> Callable[[Object], str]:
    return lambda obj: f"{_at(ready, 0)(obj)}/{_at(wanted, 0)(obj)}"


def _involved(event: Object) -> str:
    about = event.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _last_seen(event: Object) -> str:
    return age(event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp"))


NAME: Final = Column("Name", _at("metadata.name"))
AGE: Final = Column("Age", lambda obj: age(obj["metadata"].get("creationTimestamp")))
COLUMNS: Final[dict[ResourceType, tuple[Column, ...]]] = {
    PODS: (
        NAME,
        Column("Ready", lambda pod: "{}/{}".format(*pod_status(pod)[:2])),
        Column("Status", lambda pod: pod_status(pod)[2]),
        Column("Restarts", lambda pod: pod_status(pod)[3], "integer"),
        AGE,
        Column("IP", _at("status.podIP"), wide=True),
        Column("Node", _at("spec.nodeName"), wide=True),
    ),
    HOSTS: (
        NAME,
        Column("Status", _host_status),
        Column("Roles", lambda _: NONE),
        AGE,
        Column("Version", _at("status.nodeInfo.kubeletVersion", "")),
    ),
    EVENTS: (
        Column("Last Seen", _last_seen),
        Column("Type", _at("type", "")),
        Column("Reason", _at("reason", "")),
        Column("Object", _involved),
        Column("Message", lambda event: str(event.get("message", "")).strip()),
        Column("Count", _at("count", 1), "integer", wide=True),
        Column("Name", _at("metadata.name"), wide=True),
    ),
    NAMESPACES: (NAME, Column("Status", _at("status.phase", "")), AGE),
    DEPLOYMENTS: (
        NAME,
        Column("Ready", _of("status.readyReplicas", "spec.replicas")),
        Column("Up-to-date", _at("status.updatedReplicas", 0), "integer"),
        Column("Available", _at("status.availableReplicas", 0), "integer"),
        AGE,
    ),
    STATEFUL_SETS: (NAME, Column("Ready", _of("status.readyReplicas", "spec.replicas")), AGE),
    REPLICA_SETS: (
        NAME,
        Column("Desired", _at("spec.replicas", 0), "integer"),
        Column("Current", _at("status.replicas", 0), "integer"),
        Column("Ready", _at("status.readyReplicas", 0), "integer"),
        AGE,
    ),
}
