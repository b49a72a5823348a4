"""Why did it not happen in time? Each explanation, the order between them, and what each one shows."""

from __future__ import annotations

from typing import Any

import pytest
from builders import NOW, STARTUP_PROBE, host, later, pod, stamp

from mecbounce import diagnosis
from mecbounce.kubernetes_api.objects import Host, Pod, PodEvent
from mecbounce.record import Diagnosis, PinnedPod

from .diagnoses import (
    ADMINISTRATORS,
    ANSWERS,
    APPLICATION,
    absent,
    code,
    fits_its_row,
    warning,
)

READY = host()
LOST = host("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
LOST_EVIDENCE = "Kubernetes node host-1 is not ready: NodeStatusUnknown: Kubelet stopped posting node status."
RUNNING = {"running": {"startedAt": stamp(-60)}}
COMPLETED = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": stamp(-90)}}
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available: 3 Insufficient cpu.",
}
FAILED_MOUNT = PodEvent(
    type="Warning", reason="FailedMount", message='MountVolume.SetUp failed for volume "data": timed out'
)
STARTUP_FAILED = PodEvent(reason="Killing", message="Container app failed startup probe, will be restarted")
LIVENESS_FAILED = PodEvent(reason="Killing", message="Container app failed liveness probe, will be restarted")
# As a kubelet writes them.
IMAGE_REASONS = ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"]
IMAGE_REASONS += ["RegistryUnavailable", "SignatureValidationFailed"]
CONFIG_REASONS = ["CreateContainerConfigError", "CreateContainerError", "RunContainerError"]
CONFIG_REASONS += ["PreCreateHookError", "PreStartHookError", "PostStartHookError"]
VOLUME_EVENTS = ["FailedMount", "FailedAttachVolume", "FailedMapVolume"]
OWNERS_OF_BOTH = "the owners of finalizers example.com/a, kueue.x-k8s.io/managed"
PROBED = {"startupProbe": STARTUP_PROBE}


def test_an_unreachable_cluster_is_its_administrators() -> None:
    expected = Diagnosis(code="cluster_unreachable", evidence="connection refused", who=ADMINISTRATORS)
    assert expected == diagnosis.unreachable("connection refused")


class TestTermination:
    @staticmethod
    def old(deleted: float, *running: str, finalizers: tuple[str, ...] = (), ended: tuple[str, ...] = ()) -> Pod:
        """Give a pod whose grace period ends `deleted` seconds after NOW, with containers that run or have ended."""
        statuses = [
            *({"name": name, "ready": False, "state": RUNNING} for name in running),
            *({"name": name, "ready": False, "state": COMPLETED} for name in ended),
        ]
        return pod(deleted=deleted, metadata={"finalizers": [*finalizers]}, status={"containerStatuses": statuses})

    @pytest.mark.parametrize(
        ("left", "expected", "evidence", "who"),
        [
            (25, "grace_period_running", "25 s left of the grace period", APPLICATION),
            (1, "grace_period_running", "1 s left of the grace period", APPLICATION),
            (0, "grace_period_exceeded", "0 s over the grace period", ADMINISTRATORS),
            (-1, "grace_period_exceeded", "1 s over the grace period", ADMINISTRATORS),
            (-570, "grace_period_exceeded", "570 s over the grace period", ADMINISTRATORS),
        ],
    )
    def test_running_containers_are_within_their_grace_period_or_past_it(
        self, left: float, expected: str, evidence: str, who: str
    ) -> None:
        found = diagnosis.termination(self.old(left, "app", ended=("log",)), READY, NOW)
        assert Diagnosis(code=expected, evidence=f"container app still running, {evidence}", who=who) == found

    def test_names_every_running_container_and_finalizer(self) -> None:
        old = self.old(5, "app", "log", finalizers=("example.com/a", "example.com/b"))
        expected = "containers app, log still running, 5 s left of the grace period"
        assert (
            f"{expected}; finalizers: example.com/a, example.com/b" == diagnosis.termination(old, READY, NOW).evidence
        )
        old = self.old(-5, "app", finalizers=("example.com/a",))
        expected = "container app still running, 5 s over the grace period; finalizers: example.com/a"
        assert expected == diagnosis.termination(old, READY, NOW).evidence

    def test_finalizers_hold_a_pod_whose_containers_have_ended(self) -> None:
        old = self.old(-5, ended=("app",), finalizers=("example.com/a", "example.com/b"))
        evidence = "no container runs any more; finalizers left: example.com/a, example.com/b"
        expected = Diagnosis(
            code="finalizers", evidence=evidence, who="the owners of finalizers example.com/a, example.com/b"
        )
        assert expected == diagnosis.termination(old, READY, NOW)

    def test_without_either_its_kubelet_has_not_removed_it(self) -> None:
        evidence = "no container runs any more and no finalizer is left; its kubelet has not removed it"
        expected = Diagnosis(code="not_removed", evidence=evidence, who=ADMINISTRATORS)
        assert expected == diagnosis.termination(self.old(-5, ended=("app",)), READY, NOW)

    def test_a_deletion_that_the_pod_does_not_show_is_lost(self) -> None:
        """The DELETE was answered by 200: an etcd that was restored, or something in front that swallows writes."""
        evidence = "the API server accepted the deletion, and the pod shows no deletionTimestamp"
        assert Diagnosis(code="deletion_lost", evidence=evidence, who=ADMINISTRATORS) == diagnosis.termination(
            pod(), READY, NOW
        )

    @pytest.mark.parametrize(
        ("seen", "evidence"),
        [
            (LOST, LOST_EVIDENCE),
            (host("False", "KubeletNotReady"), "Kubernetes node host-1 is not ready: KubeletNotReady"),
            (host("False", "", "starting"), "Kubernetes node host-1 is not ready: starting"),
            (host("Unknown", ""), "Kubernetes node host-1 is not ready"),
            (
                Host.model_validate({"metadata": {"name": "host-1", "uid": "h"}}),
                "Kubernetes node host-1 is not ready",
            ),
        ],
        ids=["unreachable", "not_ready", "message_alone", "no_word", "no_condition"],
    )
    def test_a_lost_host_explains_all_the_rest(self, seen: Host, evidence: str) -> None:
        expected = Diagnosis(code="host_lost", evidence=evidence, who=ADMINISTRATORS)
        assert expected == diagnosis.termination(self.old(-5, "app"), seen, NOW)

    def test_a_lost_host_does_not_hide_the_finalizers(self) -> None:
        found = diagnosis.termination(self.old(-5, "app", finalizers=("example.com/a",)), LOST, NOW)
        assert ("host_lost", f"{LOST_EVIDENCE}; finalizers: example.com/a") == (found.code, found.evidence)

    def test_a_host_that_could_not_be_read_says_nothing(self) -> None:
        assert "grace_period_exceeded" == code(diagnosis.termination(self.old(-5, "app"), None, NOW))

    @pytest.mark.parametrize("kind", ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"])
    def test_whatever_kind_of_container_runs_counts(self, kind: str) -> None:
        status = {"containerStatuses": [{"name": "app", "state": COMPLETED}]}
        status[kind] = [*status.get(kind, []), {"name": "late", "state": RUNNING}]
        found = diagnosis.termination(pod(deleted=-5, status=status), READY, NOW)
        expected = "container late still running, 5 s over the grace period"
        assert ("grace_period_exceeded", expected) == (found.code, found.evidence)

    @pytest.mark.parametrize("skew", [-3600, 0, 3600])
    def test_its_grace_period_is_judged_by_the_clusters_clock(self, skew: float) -> None:
        found = diagnosis.termination(self.old(skew + 20, "app"), READY, later(skew))
        assert "container app still running, 20 s left of the grace period" == found.evidence

    @pytest.mark.parametrize(
        ("finalizers", "who"),
        [
            (("example.com/a",), "the owners of finalizer example.com/a"),
            (("example.com/a", "kueue.x-k8s.io/managed"), OWNERS_OF_BOTH),
            (("kueue.x-k8s.io/managed",), "the owners of finalizer kueue.x-k8s.io/managed"),
            (("batch.kubernetes.io/job-tracking",), ADMINISTRATORS),
            (("batch.kubernetes.io/job-tracking", "example.com/a"), "the owners of finalizer example.com/a"),
            (("foregroundDeletion",), ADMINISTRATORS),
            (("orphan",), ADMINISTRATORS),
            (("kubernetes.io/pvc-protection",), ADMINISTRATORS),
            (("service.k8s.io/load-balancer",), ADMINISTRATORS),
            (("mykubernetes.io/x",), "the owners of finalizer mykubernetes.io/x"),
            (("express.example.com/kubernetes.io",), "the owners of finalizer express.example.com/kubernetes.io"),
        ],
        ids=str,
    )
    def test_a_finalizer_is_of_whoever_its_name_tells(self, finalizers: tuple[str, ...], who: str) -> None:
        """Those of Kubernetes' own are taken off by its controllers: its administrators look there."""
        old = self.old(-5, ended=("app",), finalizers=finalizers)
        found = diagnosis.termination(old, READY, NOW)
        assert ("finalizers", who) == (found.code, found.who)
        assert fits_its_row(found)

    @pytest.mark.parametrize(("running", "expected"), [(True, "grace_period_exceeded"), (False, "not_removed")])
    def test_its_last_warning_event_is_quoted_once_its_grace_period_is_over(self, running: bool, expected: str) -> None:
        old = self.old(-5, *(["app"] if running else []), ended=() if running else ("app",))
        killing = warning("FailedKillPod", "error killing pod: failed to unmount", last=-1)
        found = diagnosis.termination(old, READY, NOW, [killing, warning("Unhealthy", "probe", last=-2)])
        assert expected == found.code
        assert found.evidence.endswith("last Warning Event: FailedKillPod: error killing pod: failed to unmount")

    @pytest.mark.parametrize(("last", "quoted"), [(-36, False), (-35, True), (-1, True), (None, False)])
    def test_a_warning_event_from_before_its_deletion_is_no_evidence(self, last: float | None, quoted: bool) -> None:
        """A startup probe that failed while it started does not keep it from being removed."""
        old = self.old(-5, ended=("app",))
        found = diagnosis.termination(old, READY, NOW, [warning("Unhealthy", "Startup probe failed", last=last)])
        assert ("not_removed", quoted) == (found.code, "Startup probe failed" in found.evidence)

    def test_within_its_grace_period_no_event_is_quoted(self) -> None:
        found = diagnosis.termination(self.old(5, "app"), READY, NOW, [warning("Unhealthy", "probe")])
        assert "Unhealthy" not in found.evidence

    def test_a_pod_that_never_ran_has_not_been_removed(self) -> None:
        """One that its kubelet had rejected, as with OutOfcpu."""
        old = pod(deleted=-5, status={"phase": "Failed", "reason": "OutOfcpu", "containerStatuses": []})
        assert "not_removed" == code(diagnosis.termination(old, READY, NOW))


@pytest.mark.parametrize(("answer", "expected", "who"), ANSWERS, ids=lambda one: one[:40])
def test_whoever_says_no_is_named_by_the_answer(answer: str, expected: str, who: str) -> None:
    found = diagnosis.refusal(answer)
    assert Diagnosis(code=expected, evidence=answer, who=who) == found
    assert fits_its_row(found)


@pytest.mark.parametrize("answer", ["pods is forbidden", "too many requests, please try again later.", "", "webhook"])
def test_any_other_no_is_the_administrators(answer: str) -> None:
    assert Diagnosis(code="refused", evidence=answer, who=ADMINISTRATORS) == diagnosis.refusal(answer)


class TestLastWarning:
    @pytest.mark.parametrize(
        ("events", "since", "expected"),
        [
            ([("A", -5), ("B", -1), ("C", -9)], None, "B: told"),
            ([("A", -5), ("B", -1)], -1, "B: told"),
            ([("A", -5), ("B", -1)], 0, ""),
            ([("A", None)], None, "A: told"),
            ([("A", None)], -3600, ""),
            ([("A", None), ("B", -3600)], None, "B: told"),
            ([("RecreatingFailedPod", -1), ("B", -5)], None, "B: told"),
            ([("RecreatingTerminatedPod", -1)], None, ""),
            ([], None, ""),
        ],
    )
    def test_is_the_one_that_was_seen_last_and_not_before_what_is_asked_about(
        self, events: list[tuple[str, float | None]], since: float | None, expected: str
    ) -> None:
        told = [warning(reason, "told", last=last) for reason, last in events]
        assert expected == diagnosis.last_warning(told, None if since is None else later(since))

    @pytest.mark.parametrize(
        "times",
        [
            {"eventTime": stamp(-1)},
            {"eventTime": stamp(-9), "series": {"lastObservedTime": stamp(-1), "count": 4}},
            {"series": {"lastObservedTime": stamp(-1)}},
            {"firstTimestamp": stamp(-900), "lastTimestamp": stamp(-1), "count": 40},
        ],
        ids=["event_time", "series", "series_alone", "counted"],
    )
    def test_is_dated_as_any_version_of_events_dates_it(self, times: dict[str, Any]) -> None:
        event = PodEvent.model_validate({"type": "Warning", "reason": "New", "message": "told", **times})
        assert "New: told" == diagnosis.last_warning([event, warning("Old", "told", last=-5)], later(-6))

    def test_a_normal_event_is_no_warning_and_an_ordinary_replacement_no_fault(self) -> None:
        normal = PodEvent(reason="SuccessfulCreate", message="Created pod: mec-0")
        harmless = warning("FailedCreate", 'object is being deleted: pods "mec-0" already exists, the server was not')
        assert "" == diagnosis.last_warning([normal, harmless])


def new(
    *statuses: dict[str, Any],
    spec: dict[str, Any] | None = None,
    container: dict[str, Any] | None = None,
    **status: Any,
) -> Pod:
    """Give a replacement that is not ready: containers `statuses`, further fields of its status."""
    return pod(
        uid="uid-2",
        ready=False,
        container=container,
        spec=spec,
        status={"phase": "Pending", "containerStatuses": list(statuses)} | status,
    )


def waiting(reason: str, message: str = "", name: str = "app", **fields: Any) -> dict[str, Any]:
    return {"name": name, "ready": False, "state": {"waiting": {"reason": reason, "message": message}}} | fields


def restarted(exit_code: int, reason: str = "Error", message: str = "", **fields: Any) -> dict[str, Any]:
    """Give container app, running again after it ended."""
    last = {"terminated": {"exitCode": exit_code, "reason": reason, "message": message}}
    return {"name": "app", "ready": False, "restartCount": 4, "state": RUNNING, "lastState": last} | fields


RUNS = {"name": "app", "ready": False, "started": True, "state": RUNNING}
GATE = {"readinessGates": [{"conditionType": "example.com/load-balanced"}]}
IN_SERVICE = {"name": "app", "ready": True, "started": True, "state": RUNNING}


class TestReadiness:
    """Each replacement is as a real API server would show it."""

    @pytest.mark.parametrize(
        ("seen", "expected", "evidence", "who"),
        [
            pytest.param(
                new(phase="Failed", reason="Evicted", message="The node was low on resource: memory."),
                "pod_ended",
                "phase Failed: Evicted: The node was low on resource: memory.",
                ADMINISTRATORS,
                id="evicted",
            ),
            pytest.param(
                new(phase="Succeeded"),
                "pod_ended",
                "phase Succeeded: no reason given",
                ADMINISTRATORS,
                id="ended_without_a_word",
            ),
            pytest.param(
                new(
                    {"name": "log", "state": COMPLETED},
                    {"name": "app", "state": {"terminated": {"exitCode": 2, "reason": "Error", "message": "no disk"}}},
                    phase="Failed",
                ),
                "pod_ended",
                "phase Failed: container app, exit code 2 (Error: no disk)",
                APPLICATION,
                id="ended_by_itself",
            ),
            pytest.param(
                new({"name": "app", "state": COMPLETED}, phase="Succeeded"),
                "pod_ended",
                "phase Succeeded: container app, exit code 0 (Completed)",
                APPLICATION,
                id="its_work_is_done",
            ),
            pytest.param(
                new(
                    {"name": "app", "state": {"terminated": {"exitCode": 137}}},
                    phase="Failed",
                    conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}],
                ),
                "pod_ended",
                "phase Failed: DeletionByPodGC",
                ADMINISTRATORS,
                id="ended_by_another",
            ),
            pytest.param(
                new(spec={"nodeName": ""}, conditions=[UNSCHEDULABLE]),
                "unschedulable",
                "Unschedulable: 0/3 nodes are available: 3 Insufficient cpu.",
                ADMINISTRATORS,
                id="unschedulable",
            ),
            pytest.param(
                new(spec={"nodeName": None}, conditions=[]),
                "unscheduled",
                "no scheduler has looked at it",
                ADMINISTRATORS,
                id="no_scheduler",
            ),
            pytest.param(
                new(spec={"nodeName": ""}, conditions=[{"type": "PodScheduled", "status": "True"}]),
                "unscheduled",
                "no scheduler has looked at it",
                ADMINISTRATORS,
                id="no_host_yet",
            ),
            pytest.param(
                new(waiting("ContainerCreating"), conditions=[UNSCHEDULABLE]),
                "container_waiting",
                "container app does not run yet: ContainerCreating",
                ADMINISTRATORS,
                id="scheduled_since",
            ),
            pytest.param(
                new(waiting("ImagePullBackOff", 'Back-off pulling image "app:2"')),
                "image_pull",
                'container app: ImagePullBackOff: Back-off pulling image "app:2"',
                APPLICATION,
                id="image_pull",
            ),
            pytest.param(
                new(
                    waiting("PodInitializing"),
                    spec={"initContainers": [{"name": "migrate"}]},
                    initContainerStatuses=[waiting("ErrImagePull", "not found", "migrate")],
                ),
                "image_pull",
                "container migrate: ErrImagePull: not found",
                APPLICATION,
                id="image_pull_of_an_init_container",
            ),
            pytest.param(
                new(waiting("CreateContainerConfigError", 'secret "mec" not found')),
                "container_config",
                'container app: CreateContainerConfigError: secret "mec" not found',
                APPLICATION,
                id="container_config",
            ),
            pytest.param(
                new(
                    waiting("PodInitializing"),
                    spec={"initContainers": [{"name": "migrate"}]},
                    initContainerStatuses=[
                        waiting(
                            "CrashLoopBackOff",
                            name="migrate",
                            restartCount=3,
                            lastState={"terminated": {"exitCode": 2, "reason": "Error"}},
                        )
                    ],
                ),
                "init_container",
                "init container migrate failed with exit code 2 (3 restarts)",
                APPLICATION,
                id="init_container_failed",
            ),
            pytest.param(
                new(
                    waiting("PodInitializing"),
                    spec={"initContainers": [{"name": "migrate"}]},
                    initContainerStatuses=[
                        {"name": "migrate", "state": {"terminated": {"exitCode": 1}}, "restartCount": 0}
                    ],
                ),
                "init_container",
                "init container migrate failed with exit code 1 (0 restarts)",
                APPLICATION,
                id="init_container_just_failed",
            ),
            pytest.param(
                new(
                    waiting("PodInitializing"),
                    spec={"initContainers": [{"name": "wait-for-db"}]},
                    initContainerStatuses=[{"name": "wait-for-db", "state": RUNNING}],
                ),
                "init_container",
                "init container wait-for-db is still running (0 restarts)",
                APPLICATION,
                id="init_container_runs",
            ),
            pytest.param(
                new(restarted(137), container=PROBED, phase="Running"),
                "startup_kill_loop",
                "container app, restart count 4: killed before its startup probe passed (it allows 31 s)",
                APPLICATION,
                id="startup_kill_loop",
            ),
            pytest.param(
                new(restarted(143), container=PROBED, phase="Running"),
                "startup_kill_loop",
                "container app, restart count 4: killed before its startup probe passed (it allows 31 s)",
                APPLICATION,
                id="startup_kill_loop_by_sigterm",
            ),
            pytest.param(
                new(restarted(137, "OOMKilled"), container=PROBED, phase="Running"),
                "crash_loop",
                "container app, restart count 4, last exit code 137 (OOMKilled)",
                APPLICATION,
                id="out_of_memory",
            ),
            pytest.param(
                new(restarted(137), phase="Running"),
                "crash_loop",
                "container app, restart count 4, last exit code 137 (Error)",
                APPLICATION,
                id="killed_without_a_startup_probe",
            ),
            pytest.param(
                new(restarted(3, "Error", "no licence"), container=PROBED, phase="Running"),
                "crash_loop",
                "container app, restart count 4, last exit code 3 (Error: no licence)",
                APPLICATION,
                id="crash_loop",
            ),
            pytest.param(
                new(
                    waiting(
                        "CrashLoopBackOff",
                        "back-off 5m0s restarting failed container",
                        restartCount=7,
                        lastState={"terminated": {"exitCode": 1}},
                    ),
                    phase="Running",
                ),
                "crash_loop",
                "container app, restart count 7, last exit code 1",
                APPLICATION,
                id="crash_loop_backing_off",
            ),
            pytest.param(
                new({"name": "app", "ready": False, "state": COMPLETED}, phase="Running"),
                "crash_loop",
                "container app, restart count 0, last exit code 0 (Completed)",
                APPLICATION,
                id="ended_and_not_restarted",
            ),
            pytest.param(
                new({"name": "app", "state": {"terminated": {"exitCode": 3}}}, container=PROBED, phase="Running"),
                "crash_loop",
                "container app, restart count 0, last exit code 3",
                APPLICATION,
                id="first_crash_of_a_probed_container",
            ),
            pytest.param(
                new(RUNS | {"started": False}, container=PROBED, phase="Running"),
                "startup_probe",
                "container app runs, its startup probe has not passed yet",
                APPLICATION,
                id="startup_probe",
            ),
            pytest.param(
                new(
                    IN_SERVICE,
                    spec={"initContainers": [{"name": "proxy", "restartPolicy": "Always", **PROBED}]},
                    initContainerStatuses=[{"name": "proxy", "state": RUNNING, "started": False}],
                    phase="Running",
                ),
                "startup_probe",
                "container proxy runs, its startup probe has not passed yet",
                APPLICATION,
                id="startup_probe_of_a_sidecar",
            ),
            pytest.param(
                new(RUNS, container=PROBED, phase="Running"),
                "readiness_probe",
                "container app runs, its readiness probe does not pass",
                APPLICATION,
                id="readiness_probe",
            ),
            pytest.param(
                new(waiting("ContainerCreating")),
                "container_waiting",
                "container app does not run yet: ContainerCreating",
                ADMINISTRATORS,
                id="container_waiting",
            ),
            pytest.param(
                new(waiting("ContainerCreating"), container=PROBED),
                "container_waiting",
                "container app does not run yet: ContainerCreating",
                ADMINISTRATORS,
                id="probed_container_waiting",
            ),
            pytest.param(
                new(container=PROBED),
                "kubelet_silent",
                "it is assigned to Kubernetes node host-1, whose kubelet has reported no container yet",
                ADMINISTRATORS,
                id="probed_container_without_a_status",
            ),
            pytest.param(
                new({"name": "app", "state": {}}),
                "container_waiting",
                "container app does not run yet",
                ADMINISTRATORS,
                id="container_without_a_state",
            ),
            pytest.param(
                new(IN_SERVICE, spec=GATE, phase="Running"),
                "readiness_gate",
                "readiness gate example.com/load-balanced is not reported",
                "the owners of readiness gate example.com/load-balanced",
                id="readiness_gate_not_reported",
            ),
            pytest.param(
                new(
                    IN_SERVICE,
                    spec=GATE,
                    phase="Running",
                    conditions=[{"type": "example.com/load-balanced", "status": "False"}],
                ),
                "readiness_gate",
                "readiness gate example.com/load-balanced is False",
                "the owners of readiness gate example.com/load-balanced",
                id="readiness_gate",
            ),
            pytest.param(
                new(
                    IN_SERVICE,
                    spec=GATE,
                    phase="Running",
                    conditions=[
                        {
                            "type": "example.com/load-balanced",
                            "status": "False",
                            "reason": "Target.FailedHealthChecks",
                            "message": "Health checks failed",
                        }
                    ],
                ),
                "readiness_gate",
                "readiness gate example.com/load-balanced is False (Target.FailedHealthChecks: Health checks failed)",
                "the owners of readiness gate example.com/load-balanced",
                id="readiness_gate_that_says_why",
            ),
            pytest.param(
                new(
                    IN_SERVICE,
                    spec=GATE,
                    phase="Running",
                    conditions=[{"type": "example.com/load-balanced", "status": "True"}],
                ),
                "unknown",
                "phase Running, no reason given",
                APPLICATION,
                id="unknown",
            ),
            pytest.param(
                new(phase=""),
                "kubelet_silent",
                "it is assigned to Kubernetes node host-1, whose kubelet has reported no container yet",
                ADMINISTRATORS,
                id="nothing_reported_yet",
            ),
        ],
    )
    def test_says_why_the_replacement_is_not_back(self, seen: Pod, expected: str, evidence: str, who: str) -> None:
        found = diagnosis.readiness(seen, READY, (), NOW)
        assert Diagnosis(code=expected, evidence=evidence, who=who) == found
        assert fits_its_row(found)

    @pytest.mark.parametrize("reason", IMAGE_REASONS)
    def test_every_way_in_which_an_image_fails_counts(self, reason: str) -> None:
        assert "image_pull" == code(diagnosis.readiness(new(waiting(reason)), READY, (), NOW))

    @pytest.mark.parametrize(("length", "cut"), [(300, ""), (301, "...")])
    def test_what_others_say_is_cut_at_300_characters(self, length: int, cut: str) -> None:
        said = "x" * (length - len("ErrImagePull: "))
        evidence = diagnosis.readiness(new(waiting("ErrImagePull", said)), READY, (), NOW).evidence
        assert f"container app: {f'ErrImagePull: {said}'[:300]}{cut}" == evidence

    def test_a_readiness_gate_that_nobody_knows_holds_the_pod_back_too(self) -> None:
        gate = {"type": "example.com/load-balanced", "status": "Unknown"}
        found = diagnosis.readiness(new(IN_SERVICE, spec=GATE, conditions=[gate]), READY, (), NOW)
        assert "readiness gate example.com/load-balanced is Unknown" == found.evidence

    def test_of_two_ends_the_present_one_counts(self) -> None:
        ended = restarted(137, state={"terminated": {"exitCode": 3, "reason": "Error"}})
        found = diagnosis.readiness(new(ended, container=PROBED), READY, (), NOW)
        assert ("crash_loop", "container app, restart count 4, last exit code 3 (Error)") == (
            found.code,
            found.evidence,
        )

    def test_of_two_ends_of_an_init_container_the_present_one_counts(self) -> None:
        ended = restarted(7, name="migrate", state={"terminated": {"exitCode": 3}})
        seen = new(spec={"initContainers": [{"name": "migrate"}]}, initContainerStatuses=[ended])
        assert "failed with exit code 3" in diagnosis.readiness(seen, READY, (), NOW).evidence

    @pytest.mark.parametrize("reason", CONFIG_REASONS)
    def test_every_way_in_which_a_container_cannot_be_made_counts(self, reason: str) -> None:
        assert "container_config" == code(diagnosis.readiness(new(waiting(reason)), READY, (), NOW))

    @pytest.mark.parametrize("reason", VOLUME_EVENTS)
    def test_a_volume_is_told_by_its_event(self, reason: str) -> None:
        event = PodEvent(type="Warning", reason=reason, message='volume "data": timed out')
        expected = Diagnosis(code="volume", evidence=f'{reason}: volume "data": timed out', who=ADMINISTRATORS)
        assert expected == diagnosis.readiness(new(waiting("ContainerCreating")), READY, iter([event]), NOW)

    def test_what_a_kubelet_grumbles_about_at_each_sync_hides_no_fault(self) -> None:
        """A cluster without DNS for its pods says so again and again, by a Warning."""
        grumble = PodEvent(type="Warning", reason="MissingClusterDNS", message="pod: ...", last_timestamp=NOW)
        assert "volume" == code(
            diagnosis.readiness(new(waiting("ContainerCreating")), READY, [FAILED_MOUNT, grumble], NOW)
        )

    def test_of_several_events_about_a_volume_the_last_is_shown(self) -> None:
        events = [
            FAILED_MOUNT,
            PodEvent(type="Warning", reason="FailedMount", message="later"),
            PodEvent(reason="Pulled"),
        ]
        assert (
            "FailedMount: later" == diagnosis.readiness(new(waiting("ContainerCreating")), READY, events, NOW).evidence
        )

    @pytest.mark.parametrize(
        ("status", "expected"),
        [(RUNS, "readiness_probe"), (restarted(1), "crash_loop"), ({"name": "app", "state": COMPLETED}, "crash_loop")],
        ids=["runs", "runs_again", "ended"],
    )
    def test_a_volume_that_was_mounted_in_the_end_is_no_explanation(
        self, status: dict[str, Any], expected: str
    ) -> None:
        assert expected == code(diagnosis.readiness(new(status), READY, [FAILED_MOUNT], NOW))

    @pytest.mark.parametrize(
        ("spec", "conditions", "expected", "evidence", "who"),
        [
            (
                {"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]},
                [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
                "scheduling_gated",
                "scheduling gate kueue.x-k8s.io/admission not removed: no scheduler may look at it yet",
                "the owners of scheduling gate kueue.x-k8s.io/admission",
            ),
            (
                {"schedulingGates": [{"name": "a.io/x"}, {"name": "b.io/y"}]},
                [],
                "scheduling_gated",
                "scheduling gates a.io/x, b.io/y not removed: no scheduler may look at it yet",
                "the owners of scheduling gate a.io/x, b.io/y",
            ),
            (
                {"schedulerName": "volcano"},
                [],
                "unscheduled",
                "its scheduler volcano has not looked at it",
                "whoever runs scheduler volcano",
            ),
            (
                {"schedulerName": "default-scheduler"},
                [],
                "unscheduled",
                "no scheduler has looked at it",
                ADMINISTRATORS,
            ),
            (
                {"schedulerName": "volcano", "schedulingGates": []},
                [UNSCHEDULABLE],
                "unschedulable",
                "Unschedulable: 0/3 nodes are available: 3 Insufficient cpu.",
                ADMINISTRATORS,
            ),
        ],
        ids=["gated", "gated_twice", "of_a_scheduler_of_its_own", "of_the_default_one", "unschedulable"],
    )
    def test_whatever_holds_it_back_from_a_kubernetes_node_is_named_with_its_owners(
        self, spec: dict[str, Any], conditions: list[Any], expected: str, evidence: str, who: str
    ) -> None:
        seen = new(spec={"nodeName": "", **spec}, conditions=conditions)
        assert Diagnosis(code=expected, evidence=evidence, who=who) == diagnosis.readiness(seen, None, (), NOW)

    @pytest.mark.parametrize(
        ("mounted_at", "sandbox_at", "expected", "quoted"),
        [
            (-60, -5, "container_waiting", "FailedCreatePodSandBox: no address left"),
            (-5, -60, "volume", "FailedMount: configmap a not found"),
            (None, -60, "container_waiting", "FailedCreatePodSandBox: no address left"),
        ],
    )
    def test_of_what_the_pods_events_tell_the_newest_counts(
        self, mounted_at: float | None, sandbox_at: float, expected: str, quoted: str
    ) -> None:
        told = [
            warning("FailedCreatePodSandBox", "no address left", last=sandbox_at),
            warning("FailedMount", "configmap a not found", last=mounted_at),
            PodEvent(reason="Scheduled", message="assigned", last_timestamp=NOW),
        ]
        for events in (told, told[::-1]):
            found = diagnosis.readiness(new(waiting("ContainerCreating")), READY, events, NOW)
            assert expected == found.code
            assert found.evidence.endswith(quoted)

    def test_where_the_status_says_little_the_last_warning_event_is_quoted_and_where_it_says_much_not(self) -> None:
        told = [warning("FailedCreatePodSandBox", "no address left")]
        found = diagnosis.readiness(new(waiting("ContainerCreating")), READY, told, NOW)
        quoted = "the pod's last Warning Event: FailedCreatePodSandBox: no address left"
        assert f"container app does not run yet: ContainerCreating; {quoted}" == found.evidence
        found = diagnosis.readiness(new(waiting("ErrImagePull", "not found")), READY, told, NOW)
        assert "container app: ErrImagePull: not found" == found.evidence
        normal = [PodEvent(reason="Pulling", message="Pulling image")]
        found = diagnosis.readiness(new(waiting("ContainerCreating")), READY, normal, NOW)
        assert "container app does not run yet: ContainerCreating" == found.evidence

    @pytest.mark.parametrize("ready", ["False", "Unknown"])
    def test_a_condition_that_its_containers_belie_tells_of_a_silent_kubelet(self, ready: str) -> None:
        seen = new(IN_SERVICE, phase="Running", conditions=[{"type": "Ready", "status": ready}])
        evidence = "all containers were ready, and the pod is not: the kubelet of host-1 may not answer"
        expected = Diagnosis(code="kubelet_silent", evidence=evidence, who=ADMINISTRATORS)
        assert expected == diagnosis.readiness(seen, None, (), NOW)
        assert "host_lost" == code(diagnosis.readiness(seen, LOST, (), NOW))

    @pytest.mark.parametrize(
        ("status", "evidence"),
        [
            (
                {"reason": "Terminated", "message": "node shutdown"},
                "it is about to be evicted or shut down: Terminated: node shutdown",
            ),
            (
                {"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}]},
                "it is about to be evicted or shut down: DeletionByTaintManager",
            ),
        ],
        ids=["by_its_status", "by_its_condition"],
    )
    def test_a_pod_on_its_way_out_is_told_so(self, status: dict[str, Any], evidence: str) -> None:
        found = diagnosis.readiness(new(IN_SERVICE, phase="Running", **status), READY, (), NOW)
        assert ("pod_disrupted", evidence, ADMINISTRATORS) == (found.code, found.evidence, found.who)

    @pytest.mark.parametrize(
        ("ran", "exit_code", "reason", "events", "expected"),
        [
            (29, 137, "Error", (), "startup_kill_loop"),
            (300, 143, "Error", (), "startup_kill_loop"),
            (28, 137, "Error", (), "crash_loop"),
            (None, 137, "Error", (), "startup_kill_loop"),
            (300, 137, "OOMKilled", (), "crash_loop"),
            (300, 1, "Error", (), "crash_loop"),
            (300, 0, "Completed", (), "crash_loop"),
            (300, 137, "Error", (LIVENESS_FAILED,), "crash_loop"),
            (2, 137, "Error", (STARTUP_FAILED,), "startup_kill_loop"),
            (2, 3, "Error", (LIVENESS_FAILED, STARTUP_FAILED), "startup_kill_loop"),
            (300, 137, "Error", (PodEvent(reason="Unhealthy", message="Startup probe failed"),), "startup_kill_loop"),
            (2, 137, "Error", (warning("FailedPostStartHook", "PostStartHook failed"),), "crash_loop"),
        ],
        ids=[
            "as_long_as_its_budget",
            "longer",
            "shorter",
            "nobody_knows_how_long",
            "out_of_memory",
            "by_itself",
            "by_itself_without_an_error",
            "by_its_liveness_probe",
            "by_its_startup_probe",
            "by_both",
            "after_a_failed_try",
            "by_a_hook",
        ],
    )
    def test_137_alone_does_not_tell_that_the_startup_probe_killed_it(
        self, ran: float | None, exit_code: int, reason: str, events: tuple[PodEvent, ...], expected: str
    ) -> None:
        times = {"startedAt": stamp(-400), "finishedAt": stamp(-400 + ran)} if ran is not None else {}
        last = {"terminated": {"exitCode": exit_code, "reason": reason, **times}}
        seen = new(restarted(exit_code, started=False, lastState=last), container=PROBED, phase="Running")
        assert expected == code(diagnosis.readiness(seen, READY, events, NOW))

    @pytest.mark.parametrize(("since", "expected"), [(-3, "crash_loop"), (-9.9, "crash_loop"), (-10, "unknown")])
    @pytest.mark.parametrize("restarts", [1, 4])
    def test_an_unprobed_container_caught_between_two_crashes_is_told_as_one_that_crashes(
        self, since: float, expected: str, restarts: int
    ) -> None:
        status = restarted(1, ready=True, started=True, restartCount=restarts)
        status["state"] = {"running": {"startedAt": stamp(since)}}
        seen = new(status, phase="Running", conditions=[{"type": "Ready", "status": "True"}])
        assert expected == code(diagnosis.readiness(seen, READY, (), NOW))

    @pytest.mark.parametrize(
        ("exit_code", "reason", "at", "of", "quoted"),
        [
            (137, "Error", -6, "app", True),
            (0, "Completed", -60, "app", True),
            (1, "Error", -6, "app", True),
            (1, "Error", -60, "app", False),
            (137, "OOMKilled", -60, "app", False),
            (137, "Error", -6, "db", False),
        ],
        ids=["killed", "left_after_an_earlier_kill", "failed", "failed_by_itself", "out_of_memory", "of_another"],
    )
    def test_a_probe_for_which_its_kubelet_has_killed_a_container_is_told(
        self, exit_code: int, reason: str, at: float, of: str, quoted: bool
    ) -> None:
        """The exit code alone looks like a lack of memory, or like an end that was wanted.

        A kubelet may have sent so many Events that those of later kills are left out.
        """
        last = {"exitCode": exit_code, "reason": reason, "startedAt": stamp(-30), "finishedAt": stamp(-5)}
        seen = new(restarted(exit_code, lastState={"terminated": last}), phase="Running")
        message = f"Container {of} failed liveness probe, will be restarted"
        killing = PodEvent(reason="Killing", message=message, last_timestamp=later(at))
        found = diagnosis.readiness(seen, READY, [killing], NOW)
        assert "crash_loop" == found.code
        assert found.evidence.endswith(f"({reason}); {message}" if quoted else f"({reason})")

    def test_what_kubectl_debug_has_left_explains_nothing(self) -> None:
        aside = [waiting("ErrImagePull", name="debug"), restarted(1, name="shell")]
        seen = new(RUNS, phase="Running", ephemeralContainerStatuses=aside)
        assert "readiness_probe" == code(diagnosis.readiness(seen, READY, (), NOW))

    def test_a_kill_by_the_startup_probe_is_told_by_its_event_whatever_the_exit_code(self) -> None:
        seen = new(restarted(3), container=PROBED, phase="Running")
        assert "startup_kill_loop" == code(diagnosis.readiness(seen, READY, [STARTUP_FAILED], NOW))

    def test_a_first_kill_by_the_startup_probe_counts_before_the_restart(self) -> None:
        status = {"name": "app", "state": {"terminated": {"exitCode": 137}}}
        assert "startup_kill_loop" == code(diagnosis.readiness(new(status, container=PROBED), READY, (), NOW))

    @pytest.mark.parametrize(
        "event",
        [
            PodEvent(reason="Killing", message="Container db failed startup probe, will be restarted"),
            PodEvent(reason="Killing", message="Container app failed liveness probe, will be restarted"),
            PodEvent(reason="BackOff", message="Back-off restarting failed container app"),
        ],
        ids=["another_container", "another_probe", "back_off"],
    )
    def test_another_event_does_not_tell_of_one(self, event: PodEvent) -> None:
        seen = new(restarted(3), container=PROBED, phase="Running")
        assert "crash_loop" == code(diagnosis.readiness(seen, READY, [event], NOW))

    def test_a_container_whose_name_begins_alike_is_another_one(self) -> None:
        event = PodEvent(reason="Killing", message="Container app-log failed startup probe, will be restarted")
        seen = new(restarted(3), container=PROBED, phase="Running")
        assert "crash_loop" == code(diagnosis.readiness(seen, READY, [event], NOW))

    def test_a_sidecar_that_is_not_ready_holds_the_pod_back(self) -> None:
        seen = new(
            IN_SERVICE,
            spec={"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]},
            initContainerStatuses=[{"name": "proxy", "state": RUNNING, "started": True, "ready": False}],
            phase="Running",
        )
        evidence = "container proxy runs, its readiness probe does not pass"
        expected = Diagnosis(code="readiness_probe", evidence=evidence, who=APPLICATION)
        assert expected == diagnosis.readiness(seen, READY, (), NOW)

    def test_the_budget_in_a_kill_loop_is_that_containers_own(self) -> None:
        spec = {"containers": [{"name": "app", **PROBED}, {"name": "db", "startupProbe": {"failureThreshold": 60}}]}
        found = diagnosis.readiness(new(restarted(137), IN_SERVICE | {"name": "db"}, spec=spec), READY, (), NOW)
        assert found.evidence.endswith("killed before its startup probe passed (it allows 31 s)")

    def test_a_startup_probe_belongs_to_its_own_container(self) -> None:
        spec = {"containers": [{"name": "app"}, {"name": "db", **PROBED}]}
        found = diagnosis.readiness(new(restarted(137), IN_SERVICE | {"name": "db"}, spec=spec), READY, (), NOW)
        assert "crash_loop" == found.code

    def test_one_restart_of_a_container_that_runs_is_no_loop(self) -> None:
        seen = new(restarted(3, restartCount=1, started=True), phase="Running")
        assert "readiness_probe" == code(diagnosis.readiness(seen, READY, (), NOW))

    def test_a_container_that_restarted_and_is_ready_again_explains_nothing(self) -> None:
        statuses = restarted(1, ready=True, started=True), RUNS | {"name": "db"}
        spec = {"containers": [{"name": "app"}, {"name": "db"}]}
        found = diagnosis.readiness(new(*statuses, spec=spec, phase="Running"), READY, (), NOW)
        assert ("readiness_probe", "container db runs, its readiness probe does not pass") == (
            found.code,
            found.evidence,
        )

    @pytest.mark.parametrize(
        "status",
        [{"name": "migrate", "state": COMPLETED}, waiting("PodInitializing", name="migrate")],
        ids=["completed", "not_begun"],
    )
    def test_an_init_container_that_did_its_work_or_has_not_begun_explains_nothing(
        self, status: dict[str, Any]
    ) -> None:
        seen = new(RUNS, spec={"initContainers": [{"name": "migrate"}]}, initContainerStatuses=[status])
        assert "readiness_probe" == code(diagnosis.readiness(seen, READY, (), NOW))

    def test_a_sidecar_that_runs_is_no_init_container_still_running(self) -> None:
        seen = new(
            RUNS,
            spec={"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]},
            initContainerStatuses=[{"name": "proxy", "state": RUNNING, "ready": True}],
        )
        assert (
            "container app runs, its readiness probe does not pass"
            == diagnosis.readiness(seen, READY, (), NOW).evidence
        )

    def test_a_lost_host_is_shown(self) -> None:
        expected = Diagnosis(code="host_lost", evidence=LOST_EVIDENCE, who=ADMINISTRATORS)
        assert expected == diagnosis.readiness(new(RUNS, phase="Running"), LOST, (), NOW)

    def test_a_host_that_could_not_be_read_says_nothing(self) -> None:
        assert "readiness_probe" == code(diagnosis.readiness(new(RUNS, phase="Running"), None, (), NOW))

    @pytest.mark.parametrize(
        ("seen", "on", "events", "expected"),
        [
            (new(phase="Failed", spec={"nodeName": ""}, conditions=[UNSCHEDULABLE]), LOST, (), "pod_ended"),
            (new(spec={"nodeName": ""}, conditions=[UNSCHEDULABLE]), LOST, (FAILED_MOUNT,), "unschedulable"),
            (new(waiting("ErrImagePull")), LOST, (FAILED_MOUNT,), "host_lost"),
            (new(restarted(1), spec=GATE), LOST, (), "host_lost"),
            (new(waiting("ErrImagePull")), READY, (FAILED_MOUNT,), "image_pull"),
            (
                new(
                    waiting("PodInitializing"),
                    spec={"initContainers": [{"name": "migrate"}]},
                    initContainerStatuses=[{"name": "migrate", "state": {"terminated": {"exitCode": 1}}}],
                ),
                READY,
                (FAILED_MOUNT,),
                "init_container",
            ),
            (
                new(
                    waiting("PodInitializing", lastState={"terminated": {"exitCode": 1}}),
                    spec={"initContainers": [{"name": "migrate"}]},
                    initContainerStatuses=[{"name": "migrate", "state": RUNNING}],
                ),
                READY,
                (),
                "init_container",
            ),
            (new(restarted(1, started=False), container=PROBED), READY, (), "crash_loop"),
            (new(RUNS | {"started": False}, container=PROBED, spec=GATE), READY, (), "startup_probe"),
            (new(RUNS, spec=GATE), READY, (), "readiness_probe"),
            (new(waiting("ContainerCreating"), spec=GATE), READY, (), "container_waiting"),
            (new(waiting("ContainerCreating")), READY, (FAILED_MOUNT,), "volume"),
        ],
        ids=[
            "ended_before_scheduling",
            "scheduling_before_host",
            "host_before_image",
            "host_before_crash",
            "image_before_volume",
            "init_container_after_a_mounted_volume",
            "init_container_before_crash",
            "crash_before_startup_probe",
            "startup_probe_before_gate",
            "readiness_probe_before_gate",
            "waiting_before_gate",
            "volume_before_waiting",
        ],
    )
    def test_the_outermost_explanation_wins(
        self, seen: Pod, on: Host, events: tuple[PodEvent, ...], expected: str
    ) -> None:
        assert expected == code(diagnosis.readiness(seen, on, events, NOW))


@pytest.mark.parametrize("seen", [None, READY, LOST])
@pytest.mark.parametrize("of", [pod(), pod(deleted=-5), pod(ready=False), new(), new(phase="Failed")])
def test_somebody_must_always_act_on_something(of: Pod, seen: Host | None) -> None:
    found = [diagnosis.termination(of, seen, NOW), diagnosis.readiness(of, seen, (), NOW)]
    found.append(absent(PinnedPod.of(of, []), [], None, None))
    assert [] == [one for one in found if not (one.code and one.evidence and one.who)]


INIT_ENDS = [("fetch", 0), ("migrate", 1)]


class TestTheLastDetail:
    """What decides in the one case on either side of a limit, or between two alike."""

    @pytest.mark.parametrize(
        ("times", "expected"),
        [
            ({"startedAt": stamp(-100), "finishedAt": stamp(-75)}, "startup_kill_loop"),
            ({"startedAt": stamp(-100), "finishedAt": stamp(-75.001)}, "crash_loop"),
            ({"finishedAt": stamp(-75)}, "startup_kill_loop"),
            ({"startedAt": stamp(-100)}, "startup_kill_loop"),
        ],
        ids=["at_the_last_try", "before_it", "no_start", "no_end"],
    )
    def test_its_startup_probe_kills_a_container_at_the_last_try_and_not_before(
        self, times: dict[str, str], expected: str
    ) -> None:
        """After 5 s the first of three tries, 10 s apart."""
        probe = {"initialDelaySeconds": 5, "periodSeconds": 10, "failureThreshold": 3}
        last = {"terminated": {"exitCode": 137, "reason": "Error", **times}}
        seen = new(restarted(137, started=False, lastState=last), container={"startupProbe": probe}, phase="Running")
        assert expected == code(diagnosis.readiness(seen, READY, (), NOW))

    @pytest.mark.parametrize(("at", "quoted"), [(-30, True), (-30.001, False)])
    def test_a_kill_in_the_moment_in_which_a_container_starts_is_of_that_run(self, at: float, quoted: bool) -> None:
        last = {"exitCode": 1, "reason": "Error", "startedAt": stamp(-30), "finishedAt": stamp(-5)}
        seen = new(restarted(1, lastState={"terminated": last}), phase="Running")
        killing = LIVENESS_FAILED.model_copy(update={"last_timestamp": later(at)})
        assert quoted is diagnosis.readiness(seen, READY, [killing], NOW).evidence.endswith(killing.message)

    def test_what_one_container_did_well_does_not_hide_the_next(self) -> None:
        spec = {"initContainers": [{"name": "fetch"}, {"name": "migrate"}]}
        done, failed = ({"name": name, "state": {"terminated": {"exitCode": code}}} for name, code in INIT_ENDS)
        seen = new(waiting("PodInitializing"), spec=spec, initContainerStatuses=[done, failed])
        assert diagnosis.readiness(seen, READY, (), NOW).evidence.startswith("init container migrate failed")
        spec = {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}, {"name": "migrate"}]}
        seen = new(waiting("PodInitializing"), spec=spec, initContainerStatuses=[RUNS | {"name": "proxy"}, failed])
        assert diagnosis.readiness(seen, READY, (), NOW).evidence.startswith("init container migrate failed")
        both = {"containers": [{"name": "log"}, {"name": "app"}]}
        seen = new(IN_SERVICE | {"name": "log"}, restarted(1), spec=both, phase="Running")
        assert diagnosis.readiness(seen, READY, (), NOW).evidence.startswith("container app, restart count 4")

    @pytest.mark.parametrize(("restarts", "expected"), [(1, "readiness_probe"), (2, "crash_loop")])
    def test_a_second_restart_is_a_loop(self, restarts: int, expected: str) -> None:
        seen = new(restarted(1, restartCount=restarts), phase="Running")
        assert expected == code(diagnosis.readiness(seen, READY, (), NOW))

    def test_a_phase_that_is_not_told_is_unknown(self) -> None:
        conditions = [{"type": "Ready", "status": "True"}]
        found = diagnosis.readiness(new(IN_SERVICE, phase="", conditions=conditions), READY, (), NOW)
        assert ("unknown", "phase unknown, no reason given") == (found.code, found.evidence)
