"""ReplicaSets, StatefulSets, DaemonSets and Jobs keep their pods as on a real cluster."""

from __future__ import annotations

import math
from typing import Any

import pytest
from sandbox_api import a_pod, condition, job, names, ready, said, status, uids, workload

from mecbounce.sandbox import Behaviour, Sandbox

pytest_plugins = ("mecbounce.sandbox.fixture",)


def counts(sandbox: Sandbox, plural: str, name: str = "web") -> dict[str, Any]:
    return dict((sandbox.get(plural, name) or {"status": {}})["status"])


def owner(sandbox: Sandbox, pod: str) -> dict[str, Any] | None:
    """Return a pod's only owner reference."""
    references = (sandbox.get("pods", pod) or {"metadata": {}})["metadata"].get("ownerReferences") or [None]
    (only,) = references
    return dict(only) if only else None


# Evicted pods


def test_an_evicted_pod_stays_failed(sandbox: Sandbox) -> None:
    sandbox.create(a_pod("mec-0"))
    sandbox.wait_for(lambda: ready(sandbox, "mec-0"))
    sandbox.evict("mec-0", "The node was low on resource: memory. ")
    told = status(sandbox)
    assert (told["phase"], told["reason"]) == ("Failed", "Evicted")
    assert told["message"] == "The node was low on resource: memory. "
    assert told.keys() == {"phase", "reason", "message", "startTime"}
    assert ("Warning", "Evicted", "The node was low on resource: memory. ") in said(sandbox, "Pod", "mec-0")
    sandbox.delete("pods", "mec-0")
    assert sandbox.get("pods", "mec-0") is None


def test_a_replica_set_leaves_an_evicted_pod_and_makes_another(sandbox: Sandbox) -> None:
    sandbox.create(workload("ReplicaSet"))
    sandbox.wait_for(lambda: len(names(sandbox)) == 1 and ready(sandbox, names(sandbox)[0]))
    (old,) = names(sandbox)
    sandbox.evict(old)
    sandbox.wait_for(lambda: len(names(sandbox)) == 2)
    sandbox.wait_for(lambda: counts(sandbox, "replicasets").get("readyReplicas") == 1)
    assert status(sandbox, old)["reason"] == "Evicted"


def test_a_stateful_set_recreates_an_evicted_pod(sandbox: Sandbox) -> None:
    sandbox.create(workload("StatefulSet"))
    sandbox.wait_for(lambda: ready(sandbox, "web-0"))
    old = uids(sandbox)
    sandbox.evict("web-0")
    sandbox.wait_for(lambda: ready(sandbox, "web-0"))
    assert old.isdisjoint(uids(sandbox))
    told = ("Warning", "RecreatingFailedPod", "StatefulSet default/web is recreating failed Pod web-0")
    assert told in said(sandbox, "StatefulSet", "web")


def test_a_daemon_set_recreates_an_evicted_pod(sandbox: Sandbox) -> None:
    sandbox.create(workload("DaemonSet"))
    sandbox.wait_for(lambda: len(names(sandbox)) == 1 and ready(sandbox, names(sandbox)[0]))
    (old,) = names(sandbox)
    sandbox.evict(old)
    sandbox.wait_for(lambda: len(names(sandbox)) == 1 and old not in names(sandbox))
    message = f"Found failed daemon pod default/{old} on node node1, will try to kill it"
    assert ("Warning", "FailedDaemonPod", message) in said(sandbox, "DaemonSet", "web")


# ReplicaSets


def test_a_scale_down_first_deletes_the_pods_that_do_not_serve(sandbox: Sandbox) -> None:
    sandbox.create(workload("ReplicaSet", replicas=2))
    sandbox.wait_for(lambda: len(names(sandbox)) == 2 and all(ready(sandbox, name) for name in names(sandbox)))
    serving = set(names(sandbox))
    sandbox.behave(Behaviour(image_pull_fails=True))
    sandbox.patch("replicasets", "web", {"spec": {"replicas": 4}})
    sandbox.wait_for(lambda: len(names(sandbox)) == 4)
    sandbox.patch("replicasets", "web", {"spec": {"replicas": 2}})
    sandbox.wait_for(lambda: set(names(sandbox)) == serving)
    sandbox.wait_for(lambda: counts(sandbox, "replicasets")["replicas"] == 2)


def test_a_replica_set_writes_events_and_counts(sandbox: Sandbox) -> None:
    sandbox.create(workload("ReplicaSet"))
    sandbox.wait_for(lambda: names(sandbox))
    (name,) = names(sandbox)
    sandbox.patch("replicasets", "web", {"spec": {"replicas": 0}})
    sandbox.wait_for(lambda: not names(sandbox))
    assert set(said(sandbox, "ReplicaSet", "web")) == {
        ("Normal", "SuccessfulCreate", f"Created pod: {name}"),
        ("Normal", "SuccessfulDelete", f"Deleted pod: {name}"),
    }


def test_a_pod_whose_labels_no_longer_match_is_released_and_replaced(sandbox: Sandbox) -> None:
    sandbox.create(workload("ReplicaSet"))
    sandbox.wait_for(lambda: names(sandbox))
    (name,) = names(sandbox)
    sandbox.patch("pods", name, {"metadata": {"labels": {"app": "other"}}})
    sandbox.wait_for(lambda: len(names(sandbox)) == 2)
    assert owner(sandbox, name) is None


# StatefulSets


def test_each_pod_of_a_stateful_set_waits_until_the_one_before_is_ready(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(image_pull_fails=True), pod="web-1")
    sandbox.create(workload("StatefulSet", replicas=3))
    sandbox.wait_for(lambda: status(sandbox, "web-1").get("containerStatuses"))
    assert names(sandbox) == ["web-0", "web-1"]
    assert (sandbox.get("statefulsets", "web") or {})["spec"]["podManagementPolicy"] == "OrderedReady"
    sandbox.behave(Behaviour(), pod="web-1")
    sandbox.wait_for(lambda: ready(sandbox, "web-2"))
    sandbox.wait_for(lambda: counts(sandbox, "statefulsets").get("readyReplicas") == 3)


def test_a_deleted_pod_waits_for_an_unready_predecessor(sandbox: Sandbox) -> None:
    sandbox.create(workload("StatefulSet", replicas=2))
    sandbox.wait_for(lambda: ready(sandbox, "web-1"))
    sandbox.behave(Behaviour(image_pull_fails=True), pod="web-0")
    sandbox.delete("pods", "web-0")
    sandbox.wait_for(lambda: status(sandbox, "web-0").get("containerStatuses") and not ready(sandbox, "web-0"))
    sandbox.delete("pods", "web-1", grace=0)
    with pytest.raises(TimeoutError):
        sandbox.wait_for(lambda: sandbox.get("pods", "web-1"), timeout=0.2)
    sandbox.behave(Behaviour(), pod="web-0")
    sandbox.wait_for(lambda: ready(sandbox, "web-1"))


def test_the_first_number_can_be_given(sandbox: Sandbox) -> None:
    sandbox.create(workload("StatefulSet", replicas=2, ordinals={"start": 5}))
    sandbox.wait_for(lambda: names(sandbox) == ["web-5", "web-6"])


def test_a_scale_down_takes_the_highest_numbers_one_by_one(sandbox: Sandbox) -> None:
    sandbox.create(workload("StatefulSet", replicas=3))
    sandbox.wait_for(lambda: ready(sandbox, "web-2"))
    sandbox.behave(Behaviour(never_stops=True), pod="web-2")
    sandbox.patch("statefulsets", "web", {"spec": {"replicas": 1}})
    sandbox.wait_for(lambda: names(sandbox) == ["web-0", "web-1"])
    sandbox.delete("pods", "web-2", grace=0)
    sandbox.wait_for(lambda: names(sandbox) == ["web-0"])
    told = [message for _, reason, message in said(sandbox, "StatefulSet", "web") if reason == "SuccessfulDelete"]
    assert set(told) == {f"delete Pod {name} in StatefulSet web successful" for name in ("web-1", "web-2")}


def test_an_orphan_that_terminates_is_not_adopted_and_its_name_is_waited_for(sandbox: Sandbox) -> None:
    sandbox.create(workload("StatefulSet"))
    sandbox.wait_for(lambda: ready(sandbox, "web-0"))
    old = uids(sandbox)
    sandbox.behave(Behaviour(never_stops=True))
    sandbox.delete("statefulsets", "web", propagation="Orphan")
    sandbox.wait_for(lambda: sandbox.get("statefulsets", "web") is None)
    sandbox.delete("pods", "web-0")
    second = sandbox.create(workload("StatefulSet"))
    with pytest.raises(TimeoutError):
        sandbox.wait_for(lambda: owner(sandbox, "web-0"), timeout=0.2)
    sandbox.behave(Behaviour())
    sandbox.wait_for(lambda: owner(sandbox, "web-0"))
    assert (owner(sandbox, "web-0") or {})["uid"] == second["metadata"]["uid"]
    assert old.isdisjoint(uids(sandbox))


# Jobs


def test_a_job_ends_when_enough_pods_have_succeeded(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(crash_exit_code=0))
    made = sandbox.create(job(completions=3, parallelism=2))
    sandbox.wait_for(lambda: condition(sandbox.get("jobs", "work"), "Complete") == ("True", ""))
    told = counts(sandbox, "jobs", "work")
    assert (told["succeeded"], "active" in told, "completionTime" in told) == (3, False, True)
    labels = {"job-name": "work", "controller-uid": made["metadata"]["uid"]}
    assert all(pod["metadata"]["labels"] == labels for pod in sandbox.objects("pods"))
    assert [reason for _, reason, _ in said(sandbox, "Job", "work")].count("SuccessfulCreate") == 3
    assert ("Normal", "Completed", "Job completed") in said(sandbox, "Job", "work")


def test_a_job_gives_up_after_too_many_failures(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(crash_exit_code=1))
    sandbox.create(job(backoffLimit=1))
    sandbox.wait_for(lambda: condition(sandbox.get("jobs", "work"), "Failed") == ("True", "BackoffLimitExceeded"))
    assert counts(sandbox, "jobs", "work")["failed"] == 2
    limit = ("Warning", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    assert limit in said(sandbox, "Job", "work")


def test_a_job_can_restart_its_containers_in_their_pod(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(crash_exit_code=1))
    sandbox.create(job(policy="OnFailure", backoffLimit=2))
    sandbox.wait_for(lambda: condition(sandbox.get("jobs", "work"), "Failed"))
    sandbox.wait_for(lambda: not sandbox.objects("pods"))


def test_the_deleted_pod_of_a_finished_job_is_not_replaced(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(crash_exit_code=0))
    sandbox.create(job())
    sandbox.wait_for(lambda: condition(sandbox.get("jobs", "work"), "Complete"))
    (old,) = names(sandbox)
    sandbox.delete("pods", old)
    with pytest.raises(TimeoutError):
        sandbox.wait_for(lambda: names(sandbox), timeout=0.2)
    assert counts(sandbox, "jobs", "work")["succeeded"] == 1


def test_a_suspended_job_has_no_pods(sandbox: Sandbox) -> None:
    sandbox.create(job())
    sandbox.wait_for(lambda: names(sandbox))
    sandbox.patch("jobs", "work", {"spec": {"suspend": True}})
    sandbox.wait_for(lambda: not names(sandbox))
    assert condition(sandbox.get("jobs", "work"), "Suspended") == ("True", "JobSuspended")
    sandbox.patch("jobs", "work", {"spec": {"suspend": False}})
    sandbox.wait_for(lambda: names(sandbox))
    assert {"Suspended", "Resumed"} <= {reason for _, reason, _ in said(sandbox, "Job", "work")}


# DaemonSets


def test_a_daemon_set_has_a_pod_on_each_kubernetes_node(sandbox: Sandbox) -> None:
    sandbox.add_host("node2")
    sandbox.create(workload("DaemonSet"))
    sandbox.wait_for(lambda: counts(sandbox, "daemonsets").get("numberReady") == 2)
    assert {pod["spec"]["nodeName"] for pod in sandbox.objects("pods")} == {"node1", "node2"}
    told = counts(sandbox, "daemonsets")
    assert (told["desiredNumberScheduled"], told["currentNumberScheduled"], told["observedGeneration"]) == (2, 2, 1)
    sandbox.add_host("node3")
    sandbox.wait_for(lambda: len(names(sandbox)) == 3)
    sandbox.remove_host("node2")
    sandbox.wait_for(lambda: {pod["spec"].get("nodeName") for pod in sandbox.objects("pods")} == {"node1", "node3"})


def test_the_pod_of_a_daemon_set_knows_its_kubernetes_node_before_it_is_bound(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(unschedulable=True))
    sandbox.create(workload("DaemonSet"))
    sandbox.wait_for(lambda: sandbox.objects("pods"))
    (pod,) = sandbox.objects("pods")
    assert (pod["metadata"]["generateName"], pod["spec"].get("nodeName", "")) == ("web-", "")
    field = {"key": "metadata.name", "operator": "In", "values": ["node1"]}
    required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required == {"nodeSelectorTerms": [{"matchFields": [field]}]}


def test_a_daemons_deleted_pod_is_replaced_on_its_kubernetes_node_once_it_has_gone(sandbox: Sandbox) -> None:
    sandbox.add_host("node2")
    sandbox.create(workload("DaemonSet"))
    sandbox.wait_for(lambda: counts(sandbox, "daemonsets").get("numberReady") == 2)
    old = next(pod for pod in sandbox.objects("pods") if pod["spec"]["nodeName"] == "node2")
    sandbox.behave(Behaviour(never_stops=True))
    sandbox.delete("pods", old["metadata"]["name"])
    with pytest.raises(TimeoutError):
        sandbox.wait_for(lambda: len(sandbox.objects("pods")) == 3, timeout=0.2)
    sandbox.delete("pods", old["metadata"]["name"], grace=0)
    sandbox.wait_for(lambda: len(names(sandbox)) == 2)
    sandbox.wait_for(lambda: {pod["spec"].get("nodeName") for pod in sandbox.objects("pods")} == {"node1", "node2"})


def test_a_daemon_set_can_select_its_kubernetes_nodes(sandbox: Sandbox) -> None:
    sandbox.add_host("node2", labels={"disk": "fast"})
    sandbox.create(workload("DaemonSet", template={"nodeSelector": {"disk": "fast"}}))
    sandbox.wait_for(lambda: counts(sandbox, "daemonsets").get("numberReady") == 1)
    (pod,) = sandbox.objects("pods")
    assert pod["spec"]["nodeName"] == "node2"
    sandbox.patch("daemonsets", "web", {"spec": {"template": {"spec": {"nodeSelector": {"disk": "none"}}}}})
    sandbox.wait_for(lambda: not names(sandbox))
    sandbox.wait_for(lambda: counts(sandbox, "daemonsets")["observedGeneration"] == 2)


def test_a_daemons_pod_stays_on_a_lost_kubernetes_node(sandbox: Sandbox) -> None:
    sandbox.add_host("node2")
    sandbox.create(workload("DaemonSet"))
    sandbox.wait_for(lambda: counts(sandbox, "daemonsets").get("numberReady") == 2)
    sandbox.set_host_ready(False, "node2")
    sandbox.wait_for(lambda: counts(sandbox, "daemonsets")["numberReady"] == 1)
    assert len(names(sandbox)) == 2


# All of them


@pytest.mark.parametrize("kind", ["ReplicaSet", "StatefulSet", "DaemonSet"])
def test_nothing_is_made_for_an_owner_that_is_being_deleted(sandbox: Sandbox, kind: str) -> None:
    sandbox.behave(Behaviour(recreates_after=math.inf))
    sandbox.create(workload(kind))
    sandbox.wait_for(lambda: names(sandbox))
    sandbox.patch(f"{kind.lower()}s", "web", {"metadata": {"finalizers": ["example.com/keep"]}})
    sandbox.delete(f"{kind.lower()}s", "web")
    sandbox.behave(Behaviour())
    sandbox.delete("pods", names(sandbox)[0])
    sandbox.wait_for(lambda: not sandbox.objects("pods"))
    with pytest.raises(TimeoutError):
        sandbox.wait_for(lambda: sandbox.objects("pods"), timeout=0.2)
