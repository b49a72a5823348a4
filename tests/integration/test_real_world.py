"""Bounces of the kinds of pods that real clusters have, on the embedded one: each ends as it truly went.

The samples are of public reports; `tests/e2e` plays those again that a real kubelet or controller decides.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from builders import NODE
from sandbox_api import PROBE, container, job, names, ready, statuses, workload

from mecbounce import (
    BounceRequest,
    BounceResult,
    BounceTask,
    Event,
    KubernetesCluster,
    MappingStore,
    NodeRef,
    State,
    Timeouts,
    plan,
)
from mecbounce.errors import NotFound
from mecbounce.kubernetes_api.objects import Owner
from mecbounce.record import BounceRecord
from mecbounce.sandbox import Behaviour, Sandbox
from mecbounce.sandbox.resources import ResourceType

JSON = dict[str, Any]
PROXY = container("proxy", startupProbe=PROBE)
APP = container("app")
READINESS = {"httpGet": {"path": "/ready", "port": 80}, "periodSeconds": 1}
SOON = Timeouts(termination=10, ready=1)


def bounce(
    sandbox: Sandbox,
    pod: str = "mec-0",
    *,
    meanwhile: tuple[State, Callable[[], object]] | None = None,
    **fields: Any,
) -> BounceResult:
    """Bounce a pod; `meanwhile` is done once the bounce has entered that state."""
    cluster = KubernetesCluster.from_kubeconfig(sandbox.kubeconfig)

    def observe(record: BounceRecord) -> None:
        if meanwhile and record.state is meanwhile[0] and once:
            try:
                once.pop()()
            except Exception as error:  # noqa: BLE001 -- a bounce logs what its callback raises, and goes on
                failed.append(error)

    once = [meanwhile[1]] if meanwhile else []
    failed: list[Exception] = []
    request = BounceRequest(**{"namespace": "default", "pod": pod, "timeouts": SOON} | fields)
    result = BounceTask(request, cluster, MappingStore({}, flush=lambda: None), observe=observe).perform()
    if failed:
        raise failed[0]
    return result


def code(result: BounceResult) -> str:
    return result.diagnosis.code if result.diagnosis else ""


def notices(result: BounceResult) -> set[str]:
    """Give the codes of its notices, but for those that tell of these tests' own short timeouts."""
    return {notice.code for notice in result.notices if not notice.code.startswith("short_")}


def deletes(sandbox: Sandbox) -> int:
    return sum(request.method == "DELETE" for request in sandbox.requests)


def made(sandbox: Sandbox, controller: JSON, pods: int = 1) -> list[str]:
    """Make a controller, and give the names of its pods once they are ready."""
    sandbox.create(controller)
    sandbox.wait_for(lambda: len(names(sandbox)) == pods and all(ready(sandbox, name) for name in names(sandbox)))
    return sorted(names(sandbox))


def standing(sandbox: Sandbox) -> set[str]:
    """Give the names of the pods that have not ended and are not being deleted."""
    ended = ("Succeeded", "Failed")
    return {name for name in names(sandbox) if (sandbox.get("pods", name) or {})["status"].get("phase") not in ended}


def uid(sandbox: Sandbox, name: str) -> str:
    found = sandbox.get("pods", name)
    assert found is not None
    return str(found["metadata"]["uid"])


# --- what counts as back -----------------------------------------------------------------------------------------


class TestBack:
    """A proxy with a startup probe starts; the application beside it does not."""

    @pytest.mark.parametrize(
        ("app", "behaviour", "expected"),
        [
            (APP, Behaviour(image_pull_fails=True), "image_pull"),
            (APP, Behaviour(crash_exit_code=1, runs_for=0), "crash_loop"),
            (container("app", readinessProbe=READINESS), Behaviour(starts_after=math.inf), "readiness_probe"),
        ],
        ids=["image_pull", "crash_loop", "readiness_probe"],
    )
    def test_it_is_not_back_before_the_application_is(
        self, sandbox: Sandbox, app: JSON, behaviour: Behaviour, expected: str
    ) -> None:
        sandbox.add_node("mec-0", containers=[app, PROXY])
        sandbox.behave(behaviour, container="app")
        sandbox.behave(Behaviour(starts_after=2), container="proxy")  # by then one that crashes has been restarted
        result = bounce(sandbox, node=NODE)
        assert (result.event, code(result)) == (Event.READY_TIMEOUT, expected)

    @pytest.mark.parametrize("probe", [{}, {"readinessProbe": READINESS}, {"startupProbe": PROBE}], ids=str)
    def test_it_is_back_once_all_of_it_runs(self, sandbox: Sandbox, probe: JSON) -> None:
        sandbox.add_node("mec-0", containers=[container("app", **probe), PROXY])
        assert bounce(sandbox, node=NODE).event is Event.POD_STARTED

    @pytest.mark.parametrize("ready_when", ["auto", "started", "ready"])
    def test_a_crash_loop_without_any_probe_is_not_caught_in_its_running_moment(
        self, sandbox: Sandbox, ready_when: str
    ) -> None:
        """Its first run can't be told from a sound one; each later one can."""
        sandbox.add_node("mec-0", containers=[APP])
        gone = uid(sandbox, "mec-0")
        sandbox.behave(Behaviour(crash_exit_code=1, runs_for=4))
        sandbox.delete("pods", "mec-0")
        sandbox.wait_for(lambda: statuses(sandbox).get("app", {}).get("restartCount", 0) > 0)
        result = bounce(sandbox, node=NODE, pod_uid=gone, ready_when=ready_when)
        assert (result.event, code(result)) == (Event.READY_TIMEOUT, "crash_loop")


# --- asked before the DELETE -------------------------------------------------------------------------------------


class TestRefusals:
    """Nothing would make it anew, or that would be no restart. No request more is made for it, and nothing deleted."""

    def test_a_mirror_pod_restarts_nothing(self, sandbox: Sandbox) -> None:
        sandbox.add_static_pod("agent")
        for force in (False, True):
            result = bounce(sandbox, "agent-node1", force=force)
            assert (result.event, result.failed_in) == (Event.POD_STATIC, State.INIT_CHECKS)
        assert deletes(sandbox) == 0

    def test_an_evicted_pod_of_a_replica_set_was_replaced_long_ago(self, sandbox: Sandbox) -> None:
        (old,) = made(sandbox, workload("ReplicaSet"))
        sandbox.evict(old)
        sandbox.wait_for(lambda: len([name for name in names(sandbox) if ready(sandbox, name)]) == 1)
        assert [bounce(sandbox, old, force=force).event for force in (False, True)] == [Event.POD_ENDED] * 2
        assert deletes(sandbox) == 0

    def test_an_evicted_pod_under_a_fixed_name_is_bounced_with_a_notice(self, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        sandbox.evict("mec-0")
        result = bounce(sandbox, node=NODE)
        assert (result.state, notices(result)) == (State.DONE, {"pod_ended_in_place"})

    def test_a_jobs_pod_is_refused_and_forced(self, sandbox: Sandbox) -> None:
        (pod,) = made(sandbox, job("backup"))
        assert bounce(sandbox, pod).event is Event.POD_OF_JOB
        assert deletes(sandbox) == 0
        result = bounce(sandbox, pod, force=True)
        assert (result.state, notices(result)) == (State.DONE, {"pod_of_job"})

    def test_a_resource_that_is_being_deleted_makes_no_pod_anew(self, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        sandbox.patch("expressnodes", "mec-0", {"metadata": {"finalizers": ["express.example.com/clean-up"]}})
        sandbox.delete("expressnodes", "mec-0")
        for force in (False, True):
            assert bounce(sandbox, node=NODE, force=force).event is Event.NODE_DELETING
        assert deletes(sandbox) == 0

    def test_a_type_that_is_not_served_is_told_from_a_missing_resource(self, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        elsewhere = NodeRef(group="example.com", version="v1", plural="nodes", name="mec-0")
        assert bounce(sandbox, node=elsewhere).event is Event.NODE_UNSERVED
        assert bounce(sandbox, node=NODE.model_copy(update={"name": "mec-9"})).event is Event.NODE_MISSING

    def test_owned_without_controller_true_is_bounced_where_the_resource_is_named(self, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        pod = sandbox.get("pods", "mec-0")
        assert pod is not None
        (owner,) = pod["metadata"]["ownerReferences"]
        sandbox.patch("pods", "mec-0", {"metadata": {"ownerReferences": [{**owner, "controller": None}]}})
        refused = bounce(sandbox)
        assert (refused.event, "ExpressNode mec-0" in refused.message) == (Event.POD_UNMANAGED, True)
        result = bounce(sandbox, node=NODE)
        assert (result.state, notices(result)) == (State.DONE, {"pod_owned"})

    def test_a_cluster_scoped_resource_is_found_by_one_discovery_request(self) -> None:
        scoped = ResourceType("express.example.com", "v1", "expressnodes", "ExpressNode", namespaced=False)
        with Sandbox((scoped,), speed=20) as sandbox:
            sandbox.add_node("mec-0")
            assert bounce(sandbox, node=NODE).state is State.DONE
            gets = [request.path for request in sandbox.requests if "expressnodes" in request.path]
            assert gets == [
                "/apis/express.example.com/v1/namespaces/default/expressnodes/mec-0",
                "/apis/express.example.com/v1/expressnodes/mec-0",
            ]
            assert sum(request.path == "/apis/express.example.com/v1" for request in sandbox.requests) == 1
            missing = bounce(sandbox, node=NODE.model_copy(update={"name": "mec-9"}))
            assert (missing.event, "cluster-scoped" in missing.message) == (Event.NODE_MISSING, True)


# --- who replaces it ---------------------------------------------------------------------------------------------


class TestReplacement:
    def test_a_stateful_set_made_anew_while_its_pod_stops_replaces_it(self, sandbox: Sandbox) -> None:
        (pod,) = made(sandbox, workload("StatefulSet"))
        sandbox.behave(Behaviour(stops_after=10), pod)

        def make_anew() -> None:
            sandbox.delete("statefulsets", "web", propagation="Orphan")
            sandbox.wait_for(lambda: sandbox.get("statefulsets", "web") is None)
            sandbox.create(workload("StatefulSet"))

        result = bounce(sandbox, pod, meanwhile=(State.AWAIT_TERMINATION, make_anew))
        assert (result.state, notices(result)) == (State.DONE, {"controller_remade"})

    def test_a_daemon_sets_pod_is_replaced_on_its_own_kubernetes_node(self, sandbox: Sandbox) -> None:
        sandbox.add_host("node2")
        pods = made(sandbox, workload("DaemonSet"), pods=2)
        result = bounce(sandbox, pods[0])
        assert result.state is State.DONE
        assert result.old_pod is not None
        assert result.new_pod is not None
        assert result.old_pod.host == result.new_pod.host

    def test_the_daemons_of_other_kubernetes_nodes_do_not_count(self, sandbox: Sandbox) -> None:
        sandbox.add_host("node2")
        pods = made(sandbox, workload("DaemonSet"), pods=2)
        sandbox.behave(Behaviour(recreates=False), "web")
        sandbox.behave(Behaviour(stops_after=2), pods[0])

        def another() -> None:  # before the old pod has gone: it takes that place in what a DaemonSet makes at once
            sandbox.add_host("node3")
            sandbox.wait_for(lambda: len(names(sandbox)) == 2)

        result = bounce(sandbox, pods[0], meanwhile=(State.AWAIT_TERMINATION, another))
        assert result.event is Event.NOT_RECREATED

    def test_a_rollout_is_named_and_not_taken_for_nothing(self, sandbox: Sandbox) -> None:
        (old,) = made(sandbox, workload("Deployment"))
        sandbox.behave(Behaviour(stops_after=10), old)

        def roll_out() -> None:
            sandbox.patch("deployments", "web", {"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}})
            sandbox.wait_for(lambda: len(sandbox.objects("replicasets")) == 2)

        result = bounce(sandbox, old, meanwhile=(State.DISABLE_PROTECTION, roll_out))
        assert (result.event, code(result)) == (Event.NOT_RECREATED, "rolled_out")
        assert result.diagnosis is not None
        new = next(one for one in sandbox.objects("replicasets") if one["spec"]["replicas"])["metadata"]["name"]
        assert f"ReplicaSet {new} took over" in result.diagnosis.evidence
        assert "Deployment web was rolled out" in result.diagnosis.evidence
        for untrue in ("not in service", "no replacement", "that ReplicaSet"):
            assert untrue not in f"{result.message} {result.advice}"


# --- nothing came ------------------------------------------------------------------------------------------------


class TestNothingCame:
    def test_of_a_generated_name_that_had_gone_it_is_not_known_whether_the_node_is_in_service(
        self, sandbox: Sandbox
    ) -> None:
        """Its replacement has another name, and nothing tells which: it may well run."""
        (old,) = made(sandbox, workload("ReplicaSet"))
        gone = uid(sandbox, old)
        sandbox.delete("pods", old)
        sandbox.wait_for(lambda: sandbox.get("pods", old) is None and len(names(sandbox)) == 1)
        result = bounce(sandbox, old, pod_uid=gone)
        assert (result.event, code(result)) == (Event.NOT_RECREATED, "name_generated")
        assert "newest pods of its controller" in result.advice
        for untrue in ("not in service", "no replacement", "--pod-uid"):
            assert untrue not in f"{result.message} {result.advice}"

    def test_a_quota_is_named_with_the_controllers_own_words(self, sandbox: Sandbox) -> None:
        (pod,) = made(sandbox, workload("StatefulSet"))
        quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
        sandbox.create({"apiVersion": "v1", "kind": "ResourceQuota", **quota})
        result = bounce(sandbox, pod)
        assert (result.event, code(result)) == (Event.NOT_RECREATED, "quota_exceeded")
        assert result.diagnosis is not None
        assert "exceeded quota: none" in result.diagnosis.evidence
        assert result.diagnosis.who == "whoever sets ResourceQuota none"
        assert "The node is not in service" in result.message

    @pytest.mark.parametrize(
        ("field", "value", "expected"),
        [
            ("refuse_create", "no more pods", "webhook_denied"),
            ("webhook_down_at_create", "guard.example.com", "webhook_failing"),
        ],
    )
    def test_a_webhook_that_lets_no_pod_in_is_named(
        self, sandbox: Sandbox, field: str, value: str, expected: str
    ) -> None:
        (pod,) = made(sandbox, workload("ReplicaSet"))
        setattr(sandbox, field, value)
        result = bounce(sandbox, pod)
        assert (result.event, code(result)) == (Event.NOT_RECREATED, expected)

    @pytest.mark.parametrize(
        ("controller", "patch", "expected", "evidence"),
        [
            (workload("StatefulSet"), {"spec": {"replicas": 0}}, "controller_scaled_down", "from at least 1 to 0"),
            (workload("ReplicaSet"), {"spec": {"replicas": 0}}, "controller_scaled_down", "from at least 1 to 0"),
        ],
        ids=["StatefulSet", "ReplicaSet"],
    )
    def test_scaled_down_meanwhile(
        self, sandbox: Sandbox, controller: JSON, patch: JSON, expected: str, evidence: str
    ) -> None:
        (pod,) = made(sandbox, controller)
        plural = f"{controller['kind'].lower()}s"
        sandbox.behave(Behaviour(stops_after=10), pod)
        change = (State.AWAIT_TERMINATION, lambda: sandbox.patch(plural, "web", patch))
        result = bounce(sandbox, pod, meanwhile=change)
        assert (result.event, code(result)) == (Event.NOT_RECREATED, expected)
        assert result.diagnosis is not None
        assert evidence in result.diagnosis.evidence

    def test_a_controller_that_was_removed(self, sandbox: Sandbox) -> None:
        (pod,) = made(sandbox, workload("StatefulSet"))
        sandbox.behave(Behaviour(stops_after=10), pod)
        gone = (State.AWAIT_TERMINATION, lambda: sandbox.delete("statefulsets", "web"))
        result = bounce(sandbox, pod, meanwhile=gone)
        assert (result.event, code(result)) == (Event.NOT_RECREATED, "controller_gone")

    def test_a_predecessor_that_is_not_ready_holds_it_up_and_the_plan_tells_beforehand(self, sandbox: Sandbox) -> None:
        template = {"containers": [container(readinessProbe=READINESS)]}
        pods = made(sandbox, workload("StatefulSet", template=template, replicas=2), pods=2)
        assert pods == ["web-0", "web-1"]
        sandbox.behave(Behaviour(starts_after=math.inf, ready_after=math.inf), "web-0")
        sandbox.delete("pods", "web-0")
        sandbox.wait_for(lambda: sandbox.get("pods", "web-0") and not ready(sandbox, "web-0"))
        cluster = KubernetesCluster.from_kubeconfig(sandbox.kubeconfig)
        foretold = plan(BounceRequest(namespace="default", pod="web-1"), cluster)
        assert any("pod web-0 is not ready" in notice for notice in foretold.notices)
        result = bounce(sandbox, "web-1")
        assert (result.event, code(result)) == (Event.NOT_RECREATED, "predecessor_not_ready")
        assert result.diagnosis is not None
        assert "pod web-0 is not ready" in result.diagnosis.evidence

    @pytest.mark.parametrize(
        ("patch", "subresource", "expected"),
        [
            ({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}, "status", "job_finished"),
            ({"spec": {"suspend": True}}, None, "job_suspended"),
        ],
        ids=["complete", "suspended"],
    )
    def test_a_job_that_wants_no_pod_any_more(
        self, sandbox: Sandbox, patch: JSON, subresource: str | None, expected: str
    ) -> None:
        (pod,) = made(sandbox, job("backup"))
        sandbox.behave(Behaviour(recreates=False), "backup")
        change = (State.AWAIT_TERMINATION, lambda: sandbox.patch("jobs", "backup", patch, subresource=subresource))
        result = bounce(sandbox, pod, force=True, meanwhile=change)
        assert (result.event, code(result)) == (Event.NOT_RECREATED, expected)

    def test_other_pods_of_the_controller_that_stand_are_named(self, sandbox: Sandbox) -> None:
        pods = made(sandbox, workload("ReplicaSet", replicas=2), pods=2)
        sandbox.refuse_create = "no more pods"
        result = bounce(sandbox, pods[0])
        assert result.event is Event.NOT_RECREATED
        assert f"Other pods of ReplicaSet web: {pods[1]}." in result.message
        assert "not in service" not in result.message

    def test_a_forced_bounce_of_a_bare_pod_blames_no_operator(self, sandbox: Sandbox) -> None:
        sandbox.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"}, "spec": {"containers": [APP]}})
        sandbox.wait_for(lambda: ready(sandbox, "bare"))
        result = bounce(sandbox, "bare", force=True)
        assert result.diagnosis is not None
        assert (result.event, result.diagnosis.who) == (Event.NOT_RECREATED, "whoever made the pod")


# --- answers, evidence, intents ----------------------------------------------------------------------------------


class TestAnswers:
    def test_a_webhook_that_is_down_is_a_no(self, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        before = uid(sandbox, "mec-0")
        sandbox.webhook_down = "guard.example.com"
        result = bounce(sandbox, node=NODE, timeouts=Timeouts(api=1))
        assert (result.event, result.failed_in, code(result)) == (
            Event.DELETE_REFUSED,
            State.DELETE_POD,
            "webhook_failing",
        )
        assert result.diagnosis is not None
        assert result.diagnosis.who == "the owners of webhook guard.example.com"
        assert 'failed calling webhook "guard.example.com"' in result.message
        assert uid(sandbox, "mec-0") == before

    def test_replacements_that_ended_before_the_present_one_are_told(self, sandbox: Sandbox) -> None:
        """Evicted again and again, the present one always looks as if it were about to start."""
        (old,) = made(sandbox, workload("ReplicaSet"))
        sandbox.behave(Behaviour(sandbox_fails=True))

        def evict_two() -> None:
            for _ in range(2):
                sandbox.wait_for(lambda: any(statuses(sandbox, name) for name in standing(sandbox)))
                (new,) = standing(sandbox)
                sandbox.evict(new, "The node had condition: [DiskPressure]. ")

        result = bounce(sandbox, old, meanwhile=(State.AWAIT_READY, evict_two))
        assert (result.event, code(result)) == (Event.READY_TIMEOUT, "container_waiting")
        assert result.diagnosis is not None
        assert "2 more of its replacements have ended" in result.diagnosis.evidence
        assert "phase Failed: Evicted: The node had condition: [DiskPressure]" in result.diagnosis.evidence

    def test_a_jobs_pod_that_ends_by_itself_again_is_the_affair_of_the_application(self, sandbox: Sandbox) -> None:
        probed = {"spec": {"restartPolicy": "Never", "containers": [container(startupProbe=PROBE)]}}
        (pod,) = made(sandbox, job("backup", template=probed))  # without a probe it is back while it runs
        sandbox.behave(Behaviour(crash_exit_code=3, runs_for=0))
        result = bounce(sandbox, pod, force=True)
        assert (result.event, code(result)) == (Event.READY_TIMEOUT, "pod_ended")
        assert result.diagnosis is not None
        assert result.diagnosis.who == "the owners of the application"
        assert "container main, exit code 3 (Error)" in result.diagnosis.evidence

    def test_a_webhook_that_comes_back_in_time_costs_only_time(self, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        sandbox.webhook_down = "guard.example.com"
        with after(1.0, lambda: setattr(sandbox, "webhook_down", None)):
            assert bounce(sandbox, node=NODE).state is State.DONE

    def test_a_pod_that_gets_no_sandbox_is_told_by_its_event(self, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0")
        sandbox.behave(Behaviour(sandbox_fails=True))
        result = bounce(sandbox, node=NODE)
        assert code(result) == "container_waiting"
        assert result.diagnosis is not None
        assert "FailedCreatePodSandBox" in result.diagnosis.evidence

    @pytest.mark.parametrize(
        ("spec", "expected", "who"),
        [
            ({"schedulingGates": [{"name": "queue.example.com/wait"}]}, "scheduling_gated", "queue.example.com/wait"),
            ({"schedulerName": "batch"}, "unscheduled", "whoever runs scheduler batch"),
        ],
    )
    def test_whatever_holds_it_back_from_the_scheduler_is_named(
        self, sandbox: Sandbox, spec: JSON, expected: str, who: str
    ) -> None:
        sandbox.add_node("mec-0")
        sandbox.patch("expressnodes", "mec-0", {"spec": {"template": {"spec": spec}}})
        result = bounce(sandbox, node=NODE)
        assert code(result) == expected
        assert result.diagnosis is not None
        assert who in result.diagnosis.who

    def test_a_debug_container_counts_among_those_that_run(self, sandbox: Sandbox) -> None:
        sandbox.add_node("mec-0", pod_spec={"terminationGracePeriodSeconds": 60})
        sandbox.add_ephemeral_container("mec-0", name="debugger")
        result = bounce(sandbox, node=NODE, timeouts=Timeouts(termination=0.5))
        assert (result.event, code(result)) == (Event.TERMINATION_TIMEOUT, "grace_period_running")
        assert result.diagnosis is not None
        assert "debugger" in result.diagnosis.evidence


@contextmanager
def after(seconds: float, act: Callable[[], object]) -> Iterator[None]:
    timer = threading.Timer(seconds, act)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class TestAdapter:
    def test_reads_whatever_controls_a_pod(self, sandbox: Sandbox) -> None:
        sandbox.create(workload("StatefulSet"))
        sandbox.add_node("mec-0")
        cluster = KubernetesCluster.from_kubeconfig(sandbox.kubeconfig)
        for api_version, kind, name in (
            ("apps/v1", "StatefulSet", "web"),
            ("express.example.com/v1", "ExpressNode", "mec-0"),
        ):
            found = cluster.controller("default", Owner(api_version=api_version, kind=kind, name=name, uid="any"))
            assert found["metadata"]["name"] == name
        with pytest.raises(NotFound, match="no longer exists"):
            cluster.controller("default", Owner(api_version="apps/v1", kind="DaemonSet", name="web", uid="any"))
