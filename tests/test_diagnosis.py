"""Why did it not happen in time? Each explanation, the order between them, and what each one shows."""

from __future__ import annotations

from typing import Any

import pytest
from builders import NODE, NOW, STARTUP_PROBE, host, pod, stamp

from mecbounce import diagnosis
from mecbounce.diagnosis import Absence
from mecbounce.model import Controller, Diagnosis, Host, Node, NodeRef, Owner, PinnedPod, Pod, PodEvent

ADMINISTRATORS = "the cluster's administrators"
OPERATOR = "the owners of the operator"
APPLICATION = "the owners of the application"
REF = "expressnodes.express.example.com/v1 mec-0"

READY = host()
LOST = host("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
LOST_EVIDENCE = "Kubernetes node host-1 is not ready: NodeStatusUnknown: Kubelet stopped posting node status."
SPARE: dict[str, Any] = {"kind": "ExpressNode", "name": "mec-0", "uid": "owner-2", "controller": True}
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
# As a kubelet writes them.
IMAGE_REASONS = ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"]
IMAGE_REASONS += ["RegistryUnavailable"]
CONFIG_REASONS = ["CreateContainerConfigError", "CreateContainerError", "RunContainerError"]
VOLUME_EVENTS = ["FailedMount", "FailedAttachVolume", "FailedMapVolume"]


def code(found: Diagnosis) -> str:
    return found.code


def absence(
    old: PinnedPod, pods: list[Pod], ref: NodeRef | None = None, node: Node | str | None = None, **seen: Any
) -> Diagnosis:
    return diagnosis.not_recreated(old, Absence(NOW, pods=tuple(pods), ref=ref, node=node, **seen))


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

    def test_a_running_sidecar_counts(self) -> None:
        status = {
            "containerStatuses": [{"name": "app", "state": COMPLETED}],
            "initContainerStatuses": [{"name": "migrate", "state": COMPLETED}, {"name": "proxy", "state": RUNNING}],
        }
        found = diagnosis.termination(pod(deleted=-5, status=status), READY, NOW)
        assert "container proxy still running, 5 s over the grace period" == found.evidence

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
        evidence = "the API server took the deletion, and the pod shows no deletionTimestamp"
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


class TestNotRecreated:
    OLD = PinnedPod.of(pod(), [])
    UP = Node(desired="up")

    @pytest.mark.parametrize(
        ("pods", "node", "expected"),
        [
            (
                [],
                f"{REF} not found in default",
                Diagnosis(
                    code="node_missing",
                    evidence=f"{REF} not found in default",
                    who="whoever removed the custom resource",
                ),
            ),
            (
                [],
                Node(desired="Stopped"),
                Diagnosis(
                    code="node_down",
                    evidence=f"{REF} has been turned down meanwhile (spec.state: Stopped)",
                    who="whoever turned it down",
                ),
            ),
            (
                [pod(uid="uid-2", deleted=20)],
                UP,
                Diagnosis(
                    code="replacement_terminating",
                    evidence="pod mec-0 (uid-2) stands in its place and is itself terminating",
                    who=OPERATOR,
                ),
            ),
            (
                [pod(uid="uid-2", owner=SPARE)],
                UP,
                Diagnosis(
                    code="other_controller",
                    evidence="pod mec-0 (uid-2) stands in its place, but another controller owns it: "
                    "ExpressNode mec-0 (owner-2)",
                    who=OPERATOR,
                ),
            ),
            (
                [pod(uid="uid-2", owner=None)],
                UP,
                Diagnosis(
                    code="other_controller",
                    evidence="pod mec-0 (uid-2) stands in its place, but nothing controls it",
                    who=OPERATOR,
                ),
            ),
            ([], UP, Diagnosis(code="not_recreated", evidence="nothing has recreated the pod", who=OPERATOR)),
        ],
        ids=["node_missing", "node_down", "terminating", "other_controller", "unowned", "not_recreated"],
    )
    def test_says_why_there_is_no_replacement(self, pods: list[Pod], node: Node | str, expected: Diagnosis) -> None:
        assert expected == absence(self.OLD, pods, NODE, node)

    @pytest.mark.parametrize("node", [Node(), Node(desired="up", activity="down"), None])
    def test_a_node_that_does_not_say_down_is_no_explanation(self, node: Node | None) -> None:
        assert "not_recreated" == code(absence(self.OLD, [], NODE, node))

    def test_without_a_ref_the_node_says_nothing(self) -> None:
        assert "not_recreated" == code(absence(self.OLD, [], None, Node(desired="down")))
        assert "not_recreated" == code(absence(self.OLD, [], None, "not found"))
        assert "not_recreated" == code(absence(self.OLD, [], None, None))

    DAEMON: dict[str, Any] = {"kind": "DaemonSet", "name": "ds", "uid": "ds-1", "controller": True}  # noqa: RUF012 -- a table

    def daemon(self, name: str, on: str, **fields: Any) -> Pod:
        return pod(name, name, owner=self.DAEMON, metadata={"generateName": "ds-"}, spec={"nodeName": on}, **fields)

    @pytest.mark.parametrize(
        ("wanted", "standing", "expected"),
        [(1, ["host-2"], "host_not_wanted"), (2, ["host-2"], "not_recreated"), (None, ["host-2"], "not_recreated")],
        ids=["one_on_each", "one_is_due", "not_told"],
    )
    def test_a_daemon_sets_own_pods_tell_whether_it_wants_one_here(
        self, wanted: int | None, standing: list[str], expected: str
    ) -> None:
        """Its status alone may be of a time before the deletion. A new pod elsewhere is none of another name."""
        old = PinnedPod.of(self.daemon("ds-a", "host-1"), [])
        elsewhere = [self.daemon(f"ds-{on}", on, created=10) for on in standing]
        reference = Owner(kind="DaemonSet", name="ds", uid="ds-1")
        found = absence(old, elsewhere, controller=Controller(reference=reference, hosts_wanted=wanted))
        assert code(found) == expected

    @pytest.mark.parametrize("pods", [[pod()], [pod("mec-1", "uid-3")]], ids=["itself", "another_name"])
    def test_neither_itself_nor_another_name_stands_in_its_place(self, pods: list[Pod]) -> None:
        assert "not_recreated" == code(absence(self.OLD, pods, NODE, self.UP))

    @pytest.mark.parametrize(("node", "expected"), [("not found", "node_missing"), (Node(desired="down"), "node_down")])
    def test_the_resource_explains_more_than_what_stands_in_its_place(self, node: Node | str, expected: str) -> None:
        pods = [pod(uid="uid-2", deleted=20)]
        assert expected == code(absence(self.OLD, pods, NODE, node))


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
PROBED = {"startupProbe": STARTUP_PROBE}
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
                "Kubernetes node host-1 has it, and its kubelet has reported no container",
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
                "the owners of that readiness gate",
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
                "the owners of that readiness gate",
                id="readiness_gate",
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
                "Kubernetes node host-1 has it, and its kubelet has reported no container",
                ADMINISTRATORS,
                id="nothing_reported_yet",
            ),
        ],
    )
    def test_says_why_the_replacement_is_not_back(self, seen: Pod, expected: str, evidence: str, who: str) -> None:
        assert Diagnosis(code=expected, evidence=evidence, who=who) == diagnosis.readiness(seen, READY, (), NOW)

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
    found.append(absence(PinnedPod.of(of, []), [], None, None))
    assert [] == [one for one in found if not (one.code and one.evidence and one.who)]
