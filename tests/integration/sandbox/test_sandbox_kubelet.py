"""How pods start, fail and stop: each failure looks as on a real cluster."""

from __future__ import annotations

import math
import threading
from typing import Any

from mecbounce.sandbox import Behaviour, Sandbox

pytest_plugins = ("mecbounce.sandbox.fixture",)

PROBE = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1, "failureThreshold": 3}
NEVER = Behaviour(starts_after=math.inf)


def container(**probes: dict[str, Any]) -> dict[str, Any]:
    return {"name": "main", "image": "image:1", **probes}


def status(sandbox: Sandbox, name: str = "mec-0") -> dict[str, Any]:
    pod = sandbox.get("pods", name) or {"status": {}}
    statuses: dict[str, Any] = pod["status"]
    return statuses


def main(sandbox: Sandbox) -> dict[str, Any]:
    (only,) = status(sandbox).get("containerStatuses") or [{}]
    return dict(only)


def waiting(sandbox: Sandbox, which: str = "containerStatuses") -> str | None:
    """Return what the first container waits for."""
    first, *_ = status(sandbox).get(which) or [{}]
    reason: str | None = first.get("state", {}).get("waiting", {}).get("reason")
    return reason


def conditions(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    return {condition["type"]: condition for condition in status(sandbox).get("conditions") or []}


def reasons(sandbox: Sandbox) -> set[str]:
    return {event["reason"] for event in sandbox.objects("events")}


def replace(sandbox: Sandbox, behaviour: Behaviour, **node: Any) -> str:
    """Start mec-0, set the behaviour of its replacement, and delete it; return the replacement's UID."""
    old = sandbox.add_node("mec-0", **node)
    assert old is not None
    sandbox.behave(behaviour)
    sandbox.delete("pods", "mec-0")
    sandbox.wait_for(lambda: uid(sandbox) not in (None, old["metadata"]["uid"]))
    return str(uid(sandbox))


def uid(sandbox: Sandbox) -> str | None:
    pod = sandbox.get("pods", "mec-0")
    return None if pod is None else str(pod["metadata"]["uid"])


def test_a_start_can_be_watched_stage_by_stage(sandbox: Sandbox) -> None:
    seen: list[str] = []
    sandbox._store.listeners.append(lambda change: seen.append(_stage(change.new)))  # each write, none missed
    pod = sandbox.add_node("mec-0", containers=[container(startupProbe=PROBE, readinessProbe=PROBE)])
    assert pod is not None
    sandbox.wait_for(lambda: conditions(sandbox)["Ready"]["status"] == "True")
    stages = [stage for stage in dict.fromkeys(seen) if stage]
    assert stages == ["unbound", "bound", "ContainerCreating", "running", "started", "ready"]
    (of,) = pod["metadata"]["ownerReferences"]
    assert (of["kind"], of["name"], of["controller"]) == ("ExpressNode", "mec-0", True)
    assert {"podIP", "hostIP", "startTime"} <= status(sandbox).keys()
    assert reasons(sandbox) >= {"Scheduled", "Pulled", "Created", "Started"}


def _stage(obj: dict[str, Any] | None) -> str:
    if obj is None or obj["kind"] != "Pod":
        return ""
    (one,) = obj["status"].get("containerStatuses") or [None]
    if one is None:
        return "bound" if obj["spec"].get("nodeName") else "unbound"
    if "waiting" in one["state"]:
        return str(one["state"]["waiting"]["reason"])
    return "ready" if one["ready"] else "started" if one["started"] else "running"


def test_a_startup_probe_kills_a_slow_container_while_the_pod_stays_running(sandbox: Sandbox) -> None:
    replace(sandbox, NEVER, containers=[container(startupProbe=PROBE)])
    sandbox.wait_for(lambda: main(sandbox).get("restartCount", 0) >= 2)
    one = main(sandbox)
    assert "running" in one["state"]
    assert one["lastState"]["terminated"]["exitCode"] == 137
    assert (one["started"], status(sandbox)["phase"]) == (False, "Running")
    assert {"Unhealthy", "Killing"} <= reasons(sandbox)


def test_a_container_without_a_startup_probe_is_started_and_can_be_unready(sandbox: Sandbox) -> None:
    replace(sandbox, NEVER, containers=[container(readinessProbe=PROBE)])
    sandbox.wait_for(lambda: main(sandbox).get("started"))
    assert main(sandbox)["ready"] is False
    assert conditions(sandbox)["Ready"]["reason"] == "ContainersNotReady"
    sandbox.behave(Behaviour())
    sandbox.wait_for(lambda: conditions(sandbox)["Ready"]["status"] == "True")


def test_a_later_behaviour_does_not_change_a_container_that_runs(sandbox: Sandbox) -> None:
    pod = sandbox.add_node("mec-0")
    sandbox.behave(Behaviour(starts_after=math.inf, crash_exit_code=1, image_pull_fails=True))
    other = sandbox.add_node("mec-1", state="down")
    assert (sandbox.get("pods", "mec-0"), other) == (pod, None)


def test_crash_loop(sandbox: Sandbox) -> None:
    replace(sandbox, Behaviour(crash_exit_code=3), containers=[container(startupProbe=PROBE)])
    sandbox.wait_for(lambda: waiting(sandbox) == "CrashLoopBackOff")
    one = main(sandbox)
    assert one["lastState"]["terminated"]["exitCode"] == 3
    assert one["restartCount"] == 1
    assert "BackOff" in reasons(sandbox)
    sandbox.wait_for(lambda: main(sandbox)["restartCount"] > one["restartCount"])


def test_images_that_cannot_be_pulled(sandbox: Sandbox) -> None:
    replace(sandbox, Behaviour(image_pull_fails=True))
    sandbox.wait_for(lambda: waiting(sandbox) == "ErrImagePull")
    sandbox.wait_for(lambda: waiting(sandbox) == "ImagePullBackOff")
    assert status(sandbox)["phase"] == "Pending"
    assert {"Failed", "BackOff"} <= reasons(sandbox)
    sandbox.behave(Behaviour())
    sandbox.wait_for(lambda: main(sandbox).get("started"))


def test_unschedulable(sandbox: Sandbox) -> None:
    replace(sandbox, Behaviour(unschedulable=True))
    sandbox.wait_for(lambda: "PodScheduled" in conditions(sandbox))
    assert conditions(sandbox)["PodScheduled"]["reason"] == "Unschedulable"
    assert "0/1 nodes are available" in conditions(sandbox)["PodScheduled"]["message"]
    assert "FailedScheduling" in reasons(sandbox)


def test_volume_that_cannot_be_mounted(sandbox: Sandbox) -> None:
    replace(sandbox, Behaviour(volume_fails=True))
    sandbox.wait_for(lambda: "FailedMount" in reasons(sandbox))
    assert main(sandbox)["state"]["waiting"]["reason"] == "ContainerCreating"


def test_init_containers_come_first_and_sidecars_stay(sandbox: Sandbox) -> None:
    inits = [
        {"name": "prepare", "image": "image:1"},
        {"name": "side", "image": "image:1", "restartPolicy": "Always", "startupProbe": PROBE},
    ]
    sandbox.add_node("mec-0", pod_spec={"initContainers": inits})
    prepare, side = status(sandbox)["initContainerStatuses"]
    assert prepare["state"]["terminated"]["exitCode"] == 0
    assert (side["started"], "running" in side["state"]) == (True, True)


def test_init_container_that_fails(sandbox: Sandbox) -> None:
    replace(sandbox, Behaviour(init_fails=True), pod_spec={"initContainers": [{"name": "prepare", "image": "image:1"}]})
    sandbox.wait_for(lambda: waiting(sandbox, "initContainerStatuses") == "CrashLoopBackOff")
    assert main(sandbox)["state"]["waiting"]["reason"] == "PodInitializing"
    assert conditions(sandbox)["Initialized"]["message"] == "containers with incomplete status: [prepare]"
    sandbox.behave(Behaviour())
    sandbox.wait_for(lambda: main(sandbox).get("started"))


def test_a_readiness_gate_is_opened_by_a_condition_of_another_writer(sandbox: Sandbox) -> None:
    sandbox.add_node("mec-0", pod_spec={"readinessGates": [{"conditionType": "example.com/gate"}]})
    assert conditions(sandbox)["Ready"]["reason"] == "ReadinessGatesNotReady"
    opened = [*conditions(sandbox).values(), {"type": "example.com/gate", "status": "True"}]
    sandbox.patch("pods", "mec-0", {"status": {"conditions": opened}}, subresource="status")
    sandbox.wait_for(lambda: conditions(sandbox)["Ready"]["status"] == "True")


def test_a_termination_never_takes_longer_than_its_grace_period(sandbox: Sandbox) -> None:
    for behaviour, seconds in ((Behaviour(stops_after=2), 2), (Behaviour(ignores_term=True), 3)):
        sandbox.behave(Behaviour())
        sandbox.add_node(f"mec-{seconds}", pod_spec={"terminationGracePeriodSeconds": 3})
        sandbox.behave(behaviour)
        began = sandbox._loop.now()
        sandbox.patch("expressnodes", f"mec-{seconds}", {"spec": {"state": "down"}})
        sandbox.wait_for(lambda name=f"mec-{seconds}": sandbox.get("pods", name) is None)  # type: ignore[misc]  # a default, not an argument
        assert seconds <= sandbox._loop.now() - began < seconds + 3


def test_a_pod_that_never_stops_can_be_deleted_by_force(sandbox: Sandbox) -> None:
    sandbox.add_node("mec-0", pod_spec={"terminationGracePeriodSeconds": 0})
    sandbox.behave(Behaviour(never_stops=True, recreates=False))
    sandbox.delete("pods", "mec-0", grace=1)
    sandbox.wait_for(lambda: "Killing" in reasons(sandbox))
    assert sandbox.get("pods", "mec-0") is not None
    sandbox.delete("pods", "mec-0", grace=0)
    assert sandbox.get("pods", "mec-0") is None


def test_a_finalizer_keeps_a_stopped_pod(sandbox: Sandbox) -> None:
    sandbox.add_node("mec-0")
    sandbox.behave(Behaviour(recreates=False))
    sandbox.patch("pods", "mec-0", {"metadata": {"finalizers": ["x.y/z"]}})
    sandbox.delete("pods", "mec-0")
    sandbox.wait_for(lambda: "terminated" in main(sandbox)["state"])
    sandbox.patch("pods", "mec-0", {"metadata": {"finalizers": None}})
    sandbox.wait_for(lambda: sandbox.get("pods", "mec-0") is None)


def test_a_lost_kubernetes_node_stops_no_pod_and_reports_nothing(sandbox: Sandbox) -> None:
    sandbox.add_node("mec-0")
    sandbox.set_host_ready(False)
    sandbox.wait_for(lambda: conditions(sandbox)["Ready"]["status"] == "False")
    (ready,) = (sandbox.get("nodes", "node1") or {})["status"]["conditions"]
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
    sandbox.delete("pods", "mec-0", grace=1)
    assert main(sandbox)["started"] is True
    sandbox.set_host_ready(True)
    sandbox.wait_for(lambda: sandbox.get("pods", "mec-0") is None)


def test_no_thread_outlives_the_sandbox() -> None:
    before = set(threading.enumerate())
    with Sandbox(speed=20) as own:
        own.add_node("mec-0")
        kubeconfig = own.kubeconfig
        assert kubeconfig.stat().st_mode & 0o777 == 0o600
    assert set(threading.enumerate()) == before
    assert not kubeconfig.parent.exists()


def test_a_sandbox_can_be_stopped_twice() -> None:
    with Sandbox() as own:
        own.stop()
