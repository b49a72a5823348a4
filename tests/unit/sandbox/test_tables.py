"""What `kubectl get` shows of the embedded cluster: the rules of Kubernetes' own printers."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from mecbounce.sandbox.clock import FORMAT, Clock
from mecbounce.sandbox.resources import EVENTS, EXPRESS_NODES, HOSTS, PODS
from mecbounce.sandbox.tables import age, pod_status, table

NOW = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "now", lambda _: NOW)


def stamp(seconds_ago: float) -> str:
    return (NOW - dt.timedelta(seconds=seconds_ago)).strftime(FORMAT)


def container(name: str, ready: bool = False, restarts: int = 0, **state: Any) -> dict[str, Any]:
    return {"name": name, "ready": ready, "restartCount": restarts, "state": state}


RUNNING = container("app", ready=True, running={})
PULLING = container("app", waiting={"reason": "ImagePullBackOff"})


def pod(
    *statuses: dict[str, Any], inits: tuple[dict[str, Any], ...] = (), deleted: bool = False, **fields: Any
) -> dict[str, Any]:
    sidecars = fields.pop("sidecars", ())
    initial = [
        {"name": one["name"]} | ({"restartPolicy": "Always"} if one["name"] in sidecars else {}) for one in inits
    ]
    metadata = {"name": "mec-0", "resourceVersion": "7", "creationTimestamp": stamp(90)}
    return {
        "metadata": metadata | ({"deletionTimestamp": stamp(0)} if deleted else {}),
        "spec": {"containers": [{"name": one["name"]} for one in statuses], "initContainers": initial},
        "status": {
            "phase": "Running",
            "containerStatuses": list(statuses),
            "initContainerStatuses": list(inits),
            **fields,
        },
    }


@pytest.mark.parametrize(
    ("of", "shown"),
    [
        (pod(RUNNING), "1/1 Running 0"),
        (pod(container("app", running={})), "0/1 Running 0"),
        (pod(phase="Pending"), "0/0 Pending 0"),
        (pod(RUNNING, PULLING), "1/2 ImagePullBackOff 0"),
        (pod(container("app", restarts=4, waiting={"reason": "CrashLoopBackOff"})), "0/1 CrashLoopBackOff 4"),
        (pod(container("app", terminated={"exitCode": 1, "reason": "Error"})), "0/1 Error 0"),
        (pod(container("app", terminated={"exitCode": 3})), "0/1 ExitCode:3 0"),
        (pod(container("app", terminated={"exitCode": 137, "signal": 9})), "0/1 Signal:9 0"),
        (pod(RUNNING, container("job", terminated={"exitCode": 0, "reason": "Completed"})), "1/2 NotReady 0"),
        (
            pod(
                RUNNING,
                container("job", terminated={"exitCode": 0, "reason": "Completed"}),
                conditions=[{"type": "Ready", "status": "True"}],
            ),
            "1/2 Running 0",
        ),
        (pod(RUNNING, deleted=True), "1/1 Terminating 0"),
        (pod(RUNNING, deleted=True, phase="Succeeded"), "1/1 Succeeded 0"),
        (pod(RUNNING, deleted=True, reason="NodeLost"), "1/1 Unknown 0"),
        (pod(phase="Failed", reason="Evicted"), "0/0 Evicted 0"),
        (
            pod(phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]),
            "0/0 SchedulingGated 0",
        ),
        (pod(PULLING, inits=(container("a", running={}), container("b"))), "0/1 Init:0/2 0"),
        (
            pod(PULLING, inits=(container("a", terminated={"exitCode": 0}), container("b", running={}))),
            "0/1 Init:1/2 0",
        ),
        (pod(PULLING, inits=(container("a", waiting={"reason": "PodInitializing"}),)), "0/1 Init:0/1 0"),
        (
            pod(PULLING, inits=(container("a", restarts=2, waiting={"reason": "CrashLoopBackOff"}),)),
            "0/1 Init:CrashLoopBackOff 2",
        ),
        (pod(PULLING, inits=(container("a", terminated={"exitCode": 2, "reason": "Error"}),)), "0/1 Init:Error 0"),
        (pod(PULLING, inits=(container("a", terminated={"exitCode": 2}),)), "0/1 Init:ExitCode:2 0"),
        (
            pod(
                RUNNING,
                inits=(container("proxy", ready=True, restarts=1, running={}) | {"started": True},),
                sidecars=("proxy",),
            ),
            "2/2 Running 1",
        ),
    ],
)
def test_a_pod_is_shown_as_kubectl_shows_it(of: dict[str, Any], shown: str) -> None:
    ready, containers, status, restarts = pod_status(of)
    assert f"{ready}/{containers} {status} {restarts}" == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        *((-5, "0s"), (5, "5s"), (119, "119s"), (120, "2m"), (150, "2m30s"), (700, "11m"), (3 * 3600, "3h")),
        *((3 * 3600 + 300, "3h5m"), (30 * 3600, "30h"), (3 * 86400, "3d"), (3 * 86400 + 7200, "3d2h")),
        *((100 * 86400, "100d"), (1000 * 86400, "2y")),
    ],
)
def test_an_age_is_written_as_kubectl_writes_it(seconds: float, shown: str) -> None:
    assert age(stamp(seconds)) == shown


def test_an_age_that_is_not_known_is_said_so() -> None:
    assert age(None) == "<unknown>"


def test_a_list_becomes_a_table_with_a_row_for_each() -> None:
    shown = table(PODS, {"metadata": {"resourceVersion": "9"}, "items": [pod(RUNNING), pod(PULLING)]}, "Metadata")
    assert (shown["kind"], shown["metadata"]) == ("Table", {"resourceVersion": "9"})
    assert [one["name"] for one in shown["columnDefinitions"] if not one["priority"]] == [
        *("Name", "Ready", "Status", "Restarts", "Age")
    ]
    assert [row["cells"][:5] for row in shown["rows"]] == [
        ["mec-0", "1/1", "Running", 0, "90s"],
        ["mec-0", "0/1", "ImagePullBackOff", 0, "90s"],
    ]
    assert {row["object"]["kind"] for row in shown["rows"]} == {"PartialObjectMetadata"}


@pytest.mark.parametrize(("include", "kind"), [("Object", "Pod"), ("Metadata", "PartialObjectMetadata")])
def test_a_row_has_of_its_object_what_was_asked_for(include: str, kind: str) -> None:
    (row,) = table(PODS, pod(RUNNING), include)["rows"]
    assert row["object"]["kind"] == kind
    assert table(PODS, pod(RUNNING), "None", described=True)["columnDefinitions"] is None
    assert table(PODS, pod(RUNNING), "None")["rows"][0]["object"] is None


def test_other_types_are_shown_by_their_own_columns_or_by_name_and_age() -> None:
    def cells(resource: Any, obj: dict[str, Any]) -> list[Any]:
        return [str(cell) for cell in table(resource, obj, "None")["rows"][0]["cells"]]

    metadata = {"name": "x", "resourceVersion": "1", "creationTimestamp": stamp(5)}
    assert cells(EXPRESS_NODES, {"metadata": metadata}) == ["x", "5s"]
    lost = {"metadata": metadata, "spec": {"unschedulable": True}, "status": {"conditions": []}}
    assert cells(HOSTS, lost)[1] == "Unknown,SchedulingDisabled"
    lost["status"] = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
    assert cells(HOSTS, lost)[1] == "NotReady,SchedulingDisabled"
    event = {
        "type": "Warning",
        "reason": "Failed",
        "message": "no ",
        "involvedObject": {"kind": "Pod", "name": "mec-0"},
    }
    told = cells(EVENTS, {"metadata": metadata, "lastTimestamp": stamp(7), **event})
    assert told[:5] == ["7s", "Warning", "Failed", "pod/mec-0", "no"]
