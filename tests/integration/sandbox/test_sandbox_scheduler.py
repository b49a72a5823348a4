"""Which Kubernetes node a pod gets, and the message if it gets none."""

from __future__ import annotations

from typing import Any

import pytest
from sandbox_api import a_pod, condition, ready, said

from mecbounce.sandbox import Behaviour, Sandbox

pytest_plugins = ("mecbounce.sandbox.fixture",)


def host(sandbox: Sandbox, pod: str = "mec-0") -> str:
    return str((sandbox.get("pods", pod) or {"spec": {}})["spec"].get("nodeName", ""))


def refusal(sandbox: Sandbox, pod: str = "mec-0") -> str:
    """Return the scheduler's message about a pod."""
    conditions = (sandbox.get("pods", pod) or {})["status"].get("conditions") or [{}]
    return str(conditions[0].get("message", ""))


def test_pods_are_spread(sandbox: Sandbox) -> None:
    sandbox.add_host("node2")
    for name in ("mec-0", "mec-1"):
        sandbox.create(a_pod(name))
        sandbox.wait_for(lambda name=name: host(sandbox, name))  # type: ignore[misc]  # a default, not an argument
    assert {host(sandbox, name) for name in ("mec-0", "mec-1")} == {"node1", "node2"}


def test_a_pod_that_fits_on_no_kubernetes_node_gets_the_reasons(sandbox: Sandbox) -> None:
    sandbox.add_host("node2")
    sandbox.set_host_ready(False, "node2")
    sandbox.behave(Behaviour(unschedulable=True))
    sandbox.create(a_pod("mec-0"))
    sandbox.wait_for(lambda: refusal(sandbox))
    message = (
        "0/2 nodes are available: 1 Insufficient memory, "
        "1 node(s) had taint {node.kubernetes.io/unreachable: }, that the pod didn't tolerate."
    )
    assert refusal(sandbox) == message
    assert condition(sandbox.get("pods", "mec-0"), "PodScheduled") == ("False", "Unschedulable")
    sandbox.wait_for(lambda: ("Warning", "FailedScheduling", message) in said(sandbox, "Pod", "mec-0"))
    sandbox.behave(Behaviour())
    sandbox.wait_for(lambda: host(sandbox) == "node1")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"nodeSelector": {"disk": "fast"}}, "1 node(s) didn't match Pod's node affinity"),
        (
            {
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {"matchExpressions": [{"key": "disk", "operator": "NotIn", "values": ["slow"]}]},
                                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["none"]}]},
                            ]
                        }
                    }
                }
            },
            "",
        ),
    ],
)
def test_a_pod_can_select_its_kubernetes_node(sandbox: Sandbox, wanted: dict[str, Any], message: str) -> None:
    sandbox.create(a_pod("mec-0", **wanted))
    if message:
        sandbox.wait_for(lambda: refusal(sandbox) == f"0/1 nodes are available: {message}.")
        sandbox.add_host("node2", labels={"disk": "fast"})
    sandbox.wait_for(lambda: host(sandbox) == ("node2" if message else "node1"))


def test_a_cordoned_kubernetes_node_gets_no_pod(sandbox: Sandbox) -> None:
    sandbox.patch("nodes", "node1", {"spec": {"unschedulable": True}})
    sandbox.create(a_pod("mec-0"))
    sandbox.wait_for(lambda: refusal(sandbox) == "0/1 nodes are available: 1 node(s) were unschedulable.")
    sandbox.patch("nodes", "node1", {"spec": {"unschedulable": None}})
    sandbox.wait_for(lambda: ready(sandbox, "mec-0"))


def test_without_a_kubernetes_node_a_pod_stays_pending(sandbox: Sandbox) -> None:
    sandbox.remove_host("node1")
    sandbox.create(a_pod("mec-0"))
    sandbox.wait_for(lambda: refusal(sandbox) == "no nodes available to schedule pods")


def test_a_gated_pod_waits_until_its_gates_have_gone(sandbox: Sandbox) -> None:
    gates = [{"name": "example.com/quota"}, {"name": "example.com/other"}]
    made = sandbox.create(a_pod("mec-0", schedulingGates=gates))
    assert condition(made, "PodScheduled") == ("False", "SchedulingGated")
    sandbox.patch("pods", "mec-0", {"spec": {"schedulingGates": gates[:1]}})
    with pytest.raises(TimeoutError):
        sandbox.wait_for(lambda: host(sandbox), timeout=0.1)
    sandbox.patch("pods", "mec-0", {"spec": {"schedulingGates": None}})
    sandbox.wait_for(lambda: ready(sandbox, "mec-0"))
    assert condition(sandbox.get("pods", "mec-0"), "PodScheduled") == ("True", "")


def test_a_pod_of_another_scheduler_gets_no_event(sandbox: Sandbox) -> None:
    sandbox.create(a_pod("mec-0", schedulerName="nobody"))
    with pytest.raises(TimeoutError):
        sandbox.wait_for(lambda: said(sandbox, "Pod", "mec-0"), timeout=0.1)
    assert "conditions" not in (sandbox.get("pods", "mec-0") or {})["status"]


def test_one_kubernetes_node_is_lost_and_the_others_are_not(sandbox: Sandbox) -> None:
    sandbox.add_host("node2")
    for name in ("node1", "node2"):
        sandbox.create(a_pod(f"on-{name}", nodeName=name))
        sandbox.wait_for(lambda name=name: ready(sandbox, f"on-{name}"))  # type: ignore[misc]  # a default
    sandbox.set_host_ready(False, "node2")
    sandbox.wait_for(lambda: not ready(sandbox, "on-node2"))
    assert ready(sandbox, "on-node1")
    addresses = {(sandbox.get("pods", f"on-{name}") or {})["status"]["hostIP"] for name in ("node1", "node2")}
    assert addresses == {"127.0.0.1", "127.0.0.2"}
    sandbox.set_host_ready(True, "node2")
    sandbox.wait_for(lambda: ready(sandbox, "on-node2"))


def test_the_old_name_of_set_host_ready_still_works_with_a_warning(sandbox: Sandbox) -> None:
    with pytest.warns(DeprecationWarning, match="use set_host_ready"):
        sandbox.set_node_ready(False)
    assert condition(sandbox.get("nodes", "node1"), "Ready") == ("Unknown", "NodeStatusUnknown")
