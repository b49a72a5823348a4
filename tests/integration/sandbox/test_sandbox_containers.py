"""Each container of a pod has its own state, and the pod's status follows from all of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from sandbox_api import PROBE, a_pod, condition, container, said, state, status, statuses

from mecbounce.sandbox import Behaviour, Sandbox

pytest_plugins = ("mecbounce.sandbox.fixture",)

PROXY = container("proxy", startupProbe=PROBE)


def runs(sandbox: Sandbox, name: str, pod: str = "mec-0", which: str = "containerStatuses") -> bool:
    return name in (found := statuses(sandbox, pod, which)) and state(found[name])[0] == "running"


def stages(sandbox: Sandbox, name: str) -> list[tuple[str, str, int]]:
    """Collect each state of a container from now on, with its restart count."""
    seen: list[tuple[str, str, int]] = []

    def note(change: Any) -> None:
        for one in (change.new or {}).get("status", {}).get("containerStatuses") or []:
            if one["name"] == name and (now := (*state(one), one["restartCount"])) not in seen[-1:]:
                seen.append(now)

    sandbox._store.listeners.append(note)
    return seen


def test_an_image_that_cannot_be_pulled_stops_no_other_container(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(image_pull_fails=True), container="app")
    sandbox.create(a_pod("mec-0", container("app"), PROXY))
    sandbox.wait_for(
        lambda: (
            (found := statuses(sandbox))
            and found["proxy"]["started"]
            and state(found["app"]) == ("waiting", "ImagePullBackOff")
        )
    )
    assert (statuses(sandbox)["app"]["started"], status(sandbox)["phase"]) == (False, "Pending")
    assert condition(sandbox.get("pods", "mec-0"), "Ready") == ("False", "ContainersNotReady")
    sandbox.behave(Behaviour(), container="app")
    sandbox.wait_for(lambda: status(sandbox)["phase"] == "Running" and runs(sandbox, "app"))


def test_a_container_that_crashes_runs_briefly_between_its_back_offs(sandbox: Sandbox) -> None:
    seen = stages(sandbox, "app")
    sandbox.behave(Behaviour(crash_exit_code=3), container="app")
    sandbox.create(a_pod("mec-0", container("app"), PROXY))
    sandbox.wait_for(lambda: "app" in (found := statuses(sandbox)) and found["app"]["restartCount"] == 2)
    assert seen[1:8] == [
        ("running", "", 0),
        ("terminated", "Error", 0),
        ("running", "", 1),
        ("terminated", "Error", 1),
        ("waiting", "CrashLoopBackOff", 1),
        ("running", "", 2),
    ]
    one = statuses(sandbox)["app"]
    assert {"exitCode", "reason", "startedAt", "finishedAt", "containerID"} == one["lastState"]["terminated"].keys()
    assert (statuses(sandbox)["proxy"]["started"], status(sandbox)["phase"]) == (True, "Running")


def test_a_container_without_probes_is_started_only_while_it_runs(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(crash_exit_code=1), container="app")
    sandbox.create(a_pod("mec-0", container("app")))
    told: list[tuple[bool, str]] = []
    sandbox._store.listeners.append(
        lambda change: told.extend(
            (one["started"], state(one)[0])
            for one in (change.new or {}).get("status", {}).get("containerStatuses") or []
        )
    )
    sandbox.wait_for(lambda: (True, "running") in told and (False, "terminated") in told)
    assert {("running", True), ("terminated", False), ("waiting", False)} >= {(kind, started) for started, kind in told}


def test_a_container_can_stay_unready_beside_a_ready_one(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(starts_after=math.inf), container="app")
    sandbox.create(a_pod("mec-0", container("app", readinessProbe=PROBE), PROXY))
    sandbox.wait_for(lambda: "app" in (found := statuses(sandbox)) and found["proxy"]["ready"])
    one = statuses(sandbox)["app"]
    assert (one["started"], one["ready"], status(sandbox)["phase"]) == (True, False, "Running")
    sandbox.wait_for(lambda: any(reason == "Unhealthy" for _, reason, _ in said(sandbox, "Pod", "mec-0")))


def test_a_started_container_can_become_ready_later(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(ready_after=math.inf))
    sandbox.create(a_pod("mec-0", container(startupProbe=PROBE, readinessProbe=PROBE)))
    sandbox.wait_for(lambda: (found := statuses(sandbox)) and found["main"]["started"])
    assert statuses(sandbox)["main"]["ready"] is False
    sandbox.behave(Behaviour())
    sandbox.wait_for(lambda: statuses(sandbox)["main"]["ready"])


@pytest.mark.parametrize(
    ("policy", "exit_code", "phase"), [("Never", 0, "Succeeded"), ("Never", 2, "Failed"), ("OnFailure", 0, "Succeeded")]
)
def test_a_pod_ends_when_no_container_restarts(sandbox: Sandbox, policy: str, exit_code: int, phase: str) -> None:
    sandbox.behave(Behaviour(crash_exit_code=exit_code), container="app")
    sandbox.behave(Behaviour(crash_exit_code=0, runs_for=1), container="other")
    sandbox.create(a_pod("mec-0", container("app"), container("other"), restartPolicy=policy))
    sandbox.wait_for(lambda: "app" in (found := statuses(sandbox)) and state(found["app"])[0] == "terminated")
    sandbox.wait_for(lambda: status(sandbox)["phase"] != "Running")
    one = statuses(sandbox)["app"]
    assert (status(sandbox)["phase"], one["state"]["terminated"]["exitCode"]) == (phase, exit_code)
    assert (one["restartCount"], one["started"]) == (0, False)
    ready = ("False", "PodCompleted" if phase == "Succeeded" else "ContainersNotReady")
    assert condition(sandbox.get("pods", "mec-0"), "Ready") == ready


def test_a_pod_does_not_end_with_only_one_of_its_containers(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(crash_exit_code=0), container="app")
    sandbox.create(a_pod("mec-0", container("app"), PROXY, restartPolicy="Never"))
    sandbox.wait_for(lambda: (found := statuses(sandbox)) and state(found["app"]) == ("terminated", "Completed"))
    sandbox.wait_for(lambda: statuses(sandbox)["proxy"]["started"])
    assert status(sandbox)["phase"] == "Running"


def test_the_policy_on_failure_restarts_a_failed_container(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(crash_exit_code=1))
    sandbox.create(a_pod("mec-0", restartPolicy="OnFailure"))
    sandbox.wait_for(lambda: (found := statuses(sandbox)) and found["main"]["restartCount"] == 1)
    assert status(sandbox)["phase"] == "Running"


def test_an_init_container_that_fails_for_good_fails_the_pod(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(init_fails=True), container="second")
    inits = [container("first"), container("second")]
    sandbox.create(a_pod("mec-0", initContainers=inits, restartPolicy="Never"))
    sandbox.wait_for(lambda: status(sandbox)["phase"] == "Failed")
    first, second = statuses(sandbox, which="initContainerStatuses").values()
    assert [one["state"]["terminated"]["exitCode"] for one in (first, second)] == [0, 1]


def test_a_native_sidecar_ends_with_the_work(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(crash_exit_code=0), container="main")
    side = container("side", restartPolicy="Always")
    sandbox.create(a_pod("mec-0", initContainers=[side], restartPolicy="Never"))
    sandbox.wait_for(lambda: status(sandbox)["phase"] == "Succeeded")
    sandbox.wait_for(lambda: state(statuses(sandbox, which="initContainerStatuses")["side"])[0] == "terminated")


def test_a_native_sidecar_stops_last(sandbox: Sandbox) -> None:
    def stopped() -> set[str]:
        return {message for _, reason, message in said(sandbox, "Pod", "mec-0") if reason == "Killing"}

    sandbox.behave(Behaviour(never_stops=True), container="main")
    side = container("side", restartPolicy="Always")
    sandbox.create(a_pod("mec-0", initContainers=[side]))
    sandbox.wait_for(lambda: runs(sandbox, "main"))
    sandbox.delete("pods", "mec-0")
    sandbox.wait_for(stopped)
    with pytest.raises(TimeoutError):
        sandbox.wait_for(lambda: "Stopping container side" in stopped(), timeout=0.2)
    sandbox.behave(Behaviour(), container="main")
    sandbox.wait_for(lambda: sandbox.get("pods", "mec-0") is None)
    assert stopped() == {"Stopping container main", "Stopping container side"}


def test_the_status_of_a_pod_does_not_change_until_all_its_containers_have_stopped(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(never_stops=True), container="stubborn")
    made = sandbox.create(a_pod("mec-0", container("main"), container("stubborn")))
    sandbox.wait_for(lambda: runs(sandbox, "main") and runs(sandbox, "stubborn"))
    sandbox.patch("pods", "mec-0", {"metadata": {"finalizers": ["example.com/keep"]}})
    seen = stages(sandbox, "main")
    sandbox.delete("pods", "mec-0")
    (main, _) = next(run for run in sandbox._kubelet._runs.values() if run.uid == made["metadata"]["uid"]).mains
    sandbox.wait_for(lambda: main.ended)
    sandbox.patch("pods", "mec-0", {"metadata": {"labels": {"look": "again"}}})
    assert runs(sandbox, "main")
    sandbox.behave(Behaviour(), container="stubborn")
    sandbox.wait_for(lambda: not runs(sandbox, "stubborn"))
    assert not runs(sandbox, "main")
    assert seen == [("running", "", 0), ("terminated", "Completed", 0)]


def test_an_ephemeral_container_runs_until_the_grace_period_is_over(sandbox: Sandbox) -> None:
    sandbox.create(a_pod("mec-0", terminationGracePeriodSeconds=20))
    sandbox.wait_for(lambda: runs(sandbox, "main"))
    sandbox.add_ephemeral_container("mec-0")
    sandbox.wait_for(lambda: runs(sandbox, "debugger", which="ephemeralContainerStatuses"))
    assert "started" not in statuses(sandbox, which="ephemeralContainerStatuses")["debugger"]
    began = sandbox._loop.now()
    sandbox.delete("pods", "mec-0")
    sandbox.wait_for(lambda: any(reason == "Killing" for _, reason, _ in said(sandbox, "Pod", "mec-0")))
    assert runs(sandbox, "debugger", which="ephemeralContainerStatuses")
    sandbox.wait_for(lambda: sandbox.get("pods", "mec-0") is None)
    assert 20 <= sandbox._loop.now() - began < 60


def test_a_containers_behaviour_goes_before_its_pods(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(image_pull_fails=True))
    sandbox.behave(Behaviour(), container="app")
    sandbox.behave(Behaviour(), pod="mec-1")
    sandbox.behave(Behaviour(crash_exit_code=1), pod="mec-1", container="app")
    for name in ("mec-0", "mec-1"):
        sandbox.create(a_pod(name, container("app"), container("other")))
    sandbox.wait_for(lambda: runs(sandbox, "app") and runs(sandbox, "other", "mec-1"))
    sandbox.wait_for(lambda: statuses(sandbox, "mec-1")["app"]["restartCount"] == 1)
    assert state(statuses(sandbox)["other"])[0] == "waiting"


def test_a_pod_without_a_network_gets_only_events_one_after_each_retry(sandbox: Sandbox) -> None:
    def counted() -> list[int]:
        return [event["count"] for event in sandbox.objects("events") if event["reason"] == "FailedCreatePodSandBox"]

    sandbox.behave(Behaviour(sandbox_fails=True))
    sandbox.create(a_pod("mec-0"))
    sandbox.wait_for(lambda: counted() == [2])
    assert state(statuses(sandbox)["main"]) == ("waiting", "ContainerCreating")
    assert status(sandbox)["phase"] == "Pending"
    sandbox.behave(Behaviour())
    sandbox.wait_for(lambda: runs(sandbox, "main"))


def test_a_pod_that_cannot_be_killed_gets_an_event_after_its_grace_period(sandbox: Sandbox) -> None:
    sandbox.create(a_pod("mec-0", terminationGracePeriodSeconds=2))
    sandbox.wait_for(lambda: runs(sandbox, "main"))
    sandbox.behave(Behaviour(kill_fails=True))
    sandbox.delete("pods", "mec-0")
    sandbox.wait_for(lambda: any(reason == "FailedKillPod" for _, reason, _ in said(sandbox, "Pod", "mec-0")))
    assert runs(sandbox, "main")
