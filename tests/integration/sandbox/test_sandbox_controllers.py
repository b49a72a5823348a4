"""Which pods the operator and the controllers create, and which are deleted with their owner."""

from __future__ import annotations

import contextlib

import pytest
from sandbox_api import express_node, names, workload

from mecbounce.sandbox import Behaviour, ResourceType, Sandbox

pytest_plugins = ("mecbounce.sandbox.fixture",)


def test_a_deleted_pod_is_recreated_under_its_name(sandbox: Sandbox) -> None:
    old = sandbox.add_node("mec-0", annotations={"a": "b"}, labels={"c": "d"})
    assert old is not None
    sandbox.delete("pods", "mec-0")
    sandbox.wait_for(lambda: (new := sandbox.get("pods", "mec-0")) and new["metadata"]["uid"] != old["metadata"]["uid"])
    new = sandbox.get("pods", "mec-0") or {}
    assert (new["metadata"]["annotations"], new["metadata"]["labels"]) == ({"a": "b"}, {"c": "d"})


def test_the_operator_sets_an_empty_status_state_and_never_changes_another(sandbox: Sandbox) -> None:
    sandbox.add_node("mec-0")
    sandbox.wait_for(lambda: (sandbox.get("expressnodes", "mec-0") or {}).get("status") == {"state": "running"})
    sandbox.add_node("mec-1", activity="rebuilding")
    assert (sandbox.get("expressnodes", "mec-1") or {})["status"] == {"state": "rebuilding"}


def test_a_node_that_is_down_has_no_pod_until_it_is_up_again(sandbox: Sandbox) -> None:
    assert sandbox.add_node("mec-0", state="down") is None
    sandbox.patch("expressnodes", "mec-0", {"spec": {"state": "up"}})
    sandbox.wait_for(lambda: names(sandbox) == ["mec-0"])
    sandbox.patch("expressnodes", "mec-0", {"spec": {"state": "down"}})
    sandbox.wait_for(lambda: not sandbox.objects("pods"))


def test_a_pod_is_not_recreated_if_its_behaviour_says_so(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(recreates=False), pod="mec-0")
    sandbox.add_node("mec-0")
    sandbox.add_node("mec-1")
    for name in ("mec-0", "mec-1"):
        sandbox.delete("pods", name, grace=0)
    sandbox.wait_for(lambda: names(sandbox) == ["mec-1"])
    sandbox.behave(Behaviour(), pod="mec-0")
    sandbox.wait_for(lambda: names(sandbox) == ["mec-0", "mec-1"])


def test_an_operator_may_own_its_pods_without_controlling_them(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(controls=False))
    old = sandbox.add_node("mec-0")
    assert old is not None
    (owner,) = old["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"]) == ("ExpressNode", False)
    sandbox.delete("pods", "mec-0")
    sandbox.wait_for(lambda: (new := sandbox.get("pods", "mec-0")) and new["metadata"]["uid"] != old["metadata"]["uid"])
    sandbox.delete("expressnodes", "mec-0")
    sandbox.wait_for(lambda: not sandbox.objects("pods"))


def test_the_deletion_of_a_namespace_deletes_everything_in_it(sandbox: Sandbox) -> None:
    sandbox.add_node("mec-0", namespace="other")
    sandbox.delete("namespaces", "other")
    sandbox.wait_for(lambda: not sandbox.objects("pods") and not sandbox.objects("expressnodes"))


def test_a_replica_set_replaces_a_terminating_pod_at_once_under_another_name(sandbox: Sandbox) -> None:
    sandbox.create(workload("ReplicaSet", replicas=2))
    sandbox.wait_for(lambda: len(names(sandbox)) == 2)
    first, second = names(sandbox)
    pod = sandbox.get("pods", first) or {}
    assert pod["metadata"]["generateName"] == "web-"
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"
    sandbox.behave(Behaviour(never_stops=True))
    sandbox.delete("pods", first)
    sandbox.wait_for(lambda: len(names(sandbox)) == 2)
    assert (first in names(sandbox), second in names(sandbox)) == (False, True)
    sandbox.patch("replicasets", "web", {"spec": {"replicas": 1}})
    sandbox.wait_for(lambda: len(names(sandbox)) == 1)


def test_a_stateful_set_keeps_its_names(sandbox: Sandbox) -> None:
    sandbox.create(workload("StatefulSet", replicas=2))
    sandbox.wait_for(lambda: names(sandbox) == ["web-0", "web-1"])
    old = sandbox.delete("pods", "web-0")
    sandbox.wait_for(lambda: (new := sandbox.get("pods", "web-0")) and new["metadata"]["uid"] != old["metadata"]["uid"])
    sandbox.patch("statefulsets", "web", {"spec": {"replicas": 1}})
    sandbox.wait_for(lambda: names(sandbox) == ["web-0"])


def test_each_served_custom_resource_has_its_operator() -> None:
    other = ResourceType("other.example.com", "v2", "things", "Thing")
    with Sandbox((ResourceType("express.example.com", "v1", "expressnodes", "ExpressNode"), other), speed=20) as own:
        own.create({"apiVersion": "other.example.com/v2", "kind": "Thing", "metadata": {"name": "a"}, "spec": {}})
        own.create(express_node("b", "up"))
        own.wait_for(lambda: names(own) == ["a", "b"])


def test_a_condition_that_is_not_met_in_time_raises_timeout_error(sandbox: Sandbox) -> None:
    with pytest.raises(TimeoutError):
        sandbox.wait_for(lambda: False, timeout=0.01)
    with contextlib.suppress(StopIteration):
        sandbox.wait_for(lambda: True, timeout=0)
