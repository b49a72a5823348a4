"""Bounces that fail after the deletion: a diagnosis of what was seen, and never a second DELETE."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from kubernetes import client
from real_cluster import if_found, till

from mecbounce import Timeouts

from .helpers import IGNORES_TERM, LEAVES_LATE, NEVER, Command, Finished, Json, RunnersTask
from .real import Audit, Site

pytestmark = [pytest.mark.e2e, pytest.mark.alone]  # it needs the kubelet's Events in time


def test_a_finalizer_blocks_the_termination_and_a_later_run_waits_on(
    site: Site, command: Command, audit: Audit
) -> None:
    """Exit 4; once it is gone, a run that pins the old UID waits for the replacement: still one DELETE."""
    old = site.node()
    site.finalizers("mec-0", "example.com/hold")
    ran = command.run("run", *site.words(), "--termination-timeout", "12s")
    assert ran.outcome == (4, "termination_timeout", "finalizers")
    assert "example.com/hold" in ran.result["message"]
    assert site.pod().metadata.uid == old.metadata.uid

    site.finalizers("mec-0")
    ran = command.run("run", *site.words(), "--pod-uid", old.metadata.uid)
    assert (ran.status, ran.result["state"]) == (0, "DONE")
    assert ran.result["new_pod"]["uid"] == site.pod().metadata.uid != old.metadata.uid
    assert len(audit.deletions(site.namespace)) == 1


def test_a_container_that_ignores_term_is_given_its_grace_period(site: Site, command: Command) -> None:
    """A deadline in the middle of it: exit 4, the seconds left, and the pod is not forced."""
    old = site.node(site.spec(IGNORES_TERM, grace=30))
    ran = command.run("run", *site.words(), "--termination-timeout", "2s")
    assert ran.outcome == (4, "termination_timeout", "grace_period_running")
    assert "short_termination_timeout" in ran.notices
    pod = site.pod()
    assert (pod.metadata.uid, pod.metadata.deletion_grace_period_seconds) == (old.metadata.uid, 30)


def test_a_clock_that_is_an_hour_ahead_is_told_and_not_counted_with(site: Site, runners_task: RunnersTask) -> None:
    """The server's timestamps are compared with the server's own time: the grace period has not been exceeded."""
    site.node(site.spec(IGNORES_TERM, grace=30))

    def ahead() -> datetime:
        return datetime.now(UTC) + timedelta(hours=1)

    result = runners_task.perform(site.request(timeouts=Timeouts(termination=2)), clock=ahead)
    assert result.diagnosis is not None
    assert (result.event, result.diagnosis.code) == ("termination_timeout", "grace_period_running"), result
    assert "clock_skew" in {notice.code for notice in result.notices}


# What is broken in the new template, by the diagnosis that it must lead to: fields of the container, or of the spec.
NO_RUNTIME = "mecbounce-e2e-no-runtime"
ABSENT_VOLUME = {"name": "absent", "secret": {"secretName": "absent"}}
BROKEN_CONTAINERS: dict[str, Json] = {
    "image_pull": {"image": "127.0.0.1:1/absent:1"},
    "crash_loop": {"command": ["sh", "-c", "exit 3"], "readinessProbe": NEVER},  # without, it is ready for an instant
    "startup_kill_loop": {"command": ["sh", "-c", IGNORES_TERM], "startupProbe": NEVER | {"failureThreshold": 1}},
    "startup_probe": {"startupProbe": NEVER},
    "readiness_probe": {"readinessProbe": NEVER},
    "volume": {"volumeMounts": [{"name": "absent", "mountPath": "/absent"}]},
}
BROKEN_SPECS: dict[str, Json] = {
    "unschedulable": {"nodeSelector": {"example.com/no-such": "label"}},
    "readiness_gate": {"readinessGates": [{"conditionType": "example.com/gate"}]},
    "volume": {"volumes": [ABSENT_VOLUME]},
    "unscheduled": {"schedulerName": "nobody"},
    "container_waiting": {"runtimeClassName": NO_RUNTIME},
}


CODES = sorted({*BROKEN_CONTAINERS, *BROKEN_SPECS, "init_container"})
OTHER_IMAGES = {"image_pull", "startup_kill_loop"}  # another image, or another container


@pytest.fixture(scope="module", autouse=True)
def no_runtime(real_api: client.ApiClient) -> Iterator[None]:
    """A RuntimeClass whose handler no container runtime has: a pod of it never gets a sandbox."""
    api = client.NodeV1Api(real_api)
    if_found(lambda: api.delete_runtime_class(NO_RUNTIME))
    api.create_runtime_class({"metadata": {"name": NO_RUNTIME}, "handler": "no-such-handler"})
    yield
    api.delete_runtime_class(NO_RUNTIME)


@pytest.fixture(scope="module")
def broken(shared_site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    """For each code a bounce whose resource's template was broken before; all run side by side."""
    site, runs = shared_site, {}
    for code in CODES:
        site.create_node(name=code.replace("_", "-"))
    for code in CODES:
        name = code.replace("_", "-")
        site.running(name)
        template = site.spec(**BROKEN_CONTAINERS.get(code, {})) | BROKEN_SPECS.get(code, {})
        if code == "init_container":
            template["initContainers"] = [template["containers"][0] | {"name": "first", "command": ["false"]}]
        if code == "startup_kill_loop":
            # An old kubelet kills for a failed startup probe when it next looks at the pod, which it does each minute
            # and whenever a container ends.
            template["containers"].append(site.spec("sleep 5", name="ends")["containers"][0])
        site.change(name, template=template)
        runs[code] = ("run", *site.words(name), "--ready-timeout", "45s")  # all start at once
    return Command(tmp_path_factory.mktemp("state")).run_side_by_side(runs)


@pytest.mark.parametrize("code", CODES)
def test_a_replacement_that_does_not_come_up_is_diagnosed(
    shared_site: Site, broken: dict[str, Finished], code: str
) -> None:
    """Exit 5 and why, in time; other images than before are told."""
    ran = broken[code]
    assert ran.outcome == (5, "ready_timeout", code), ran.result["diagnosis"]
    assert ran.result["new_pod"]["uid"] == shared_site.pod(code.replace("_", "-")).metadata.uid
    assert ("images_changed" in ran.notices) == (code in OTHER_IMAGES)


def test_the_last_warning_event_is_quoted_where_the_status_says_little(broken: dict[str, Finished]) -> None:
    """Such as that of a pod without a sandbox, whose containers are "being created" for ever."""
    assert "FailedCreatePodSandBox" in broken["container_waiting"].evidence


def test_the_scheduler_that_has_not_looked_is_named(broken: dict[str, Finished]) -> None:
    assert "nobody" in broken["unscheduled"].evidence + broken["unscheduled"].who


def test_a_pod_that_nothing_recreates(site: Site, command: Command, audit: Audit) -> None:
    site.node()
    site.operator.pause()
    ran = command.run("run", *site.words(), "--ready-timeout", "1s")
    assert ran.outcome == (5, "not_recreated", "not_recreated")
    assert ran.result["new_pod"] is None
    site.operator.resume()
    ran = command.run("run", *site.words(), "--pod-uid", ran.result["old_pod"]["uid"])
    assert (ran.status, ran.notices) == (0, {"waits_on"})
    assert len(audit.deletions(site.namespace)) == 1


def test_a_node_turned_down_during_the_bounce_is_what_the_diagnosis_tells(site: Site, command: Command) -> None:
    site.node(site.spec(LEAVES_LATE, grace=10))
    process = command.start("run", *site.words(), "--ready-timeout", "2s")
    till("the deletion", lambda: (pod := site.pod()) and pod.metadata.deletion_timestamp)
    site.change(state="down")
    ran = command.finish(process)
    assert ran.outcome == (5, "not_recreated", "node_down")


def test_a_bare_pod_that_is_forced_is_gone_for_good(site: Site, command: Command) -> None:
    site.core.create_namespaced_pod(site.namespace, {"metadata": {"name": "bare"}, "spec": site.spec()})
    ran = command.run("run", "bare", "-n", site.namespace, "-o", "json", "--force", "--ready-timeout", "1s")
    assert (ran.status, ran.result["event"], ran.notices) == (5, "not_recreated", {"pod_unmanaged"})
