"""A static pod belongs to the kubelet; the API server has only its mirror object."""

from __future__ import annotations

from typing import Any

import pytest
from sandbox_api import container, said, statuses

from mecbounce.sandbox import Behaviour, Sandbox

pytest_plugins = ("mecbounce.sandbox.fixture",)

NAME = "agent-node1"


def uid(sandbox: Sandbox) -> str | None:
    pod = sandbox.get("pods", NAME)
    return str(pod["metadata"]["uid"]) if pod else None


def main(sandbox: Sandbox) -> dict[str, Any]:
    return dict(statuses(sandbox, NAME).get("main") or {})


def test_its_mirror_names_the_kubernetes_node_as_its_controller(sandbox: Sandbox) -> None:
    pod = sandbox.add_static_pod("agent")
    assert pod is not None
    host = sandbox.get("nodes", "node1") or {}
    assert pod["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "name": "node1",
            "uid": host["metadata"]["uid"],
            "controller": True,
        }
    ]
    assert "kubernetes.io/config.mirror" in pod["metadata"]["annotations"]
    assert (pod["metadata"]["name"], pod["spec"]["nodeName"]) == (NAME, "node1")


@pytest.mark.parametrize("grace", [None, 0])
def test_deleting_its_mirror_restarts_nothing(sandbox: Sandbox, grace: int | None) -> None:
    sandbox.behave(Behaviour(crash_exit_code=1), container="crashing")
    sandbox.add_static_pod("agent", containers=[container(), container("crashing")])
    sandbox.wait_for(lambda: statuses(sandbox, NAME)["crashing"]["restartCount"] > 0)
    old, before = uid(sandbox), main(sandbox)
    sandbox.delete("pods", NAME, grace=grace)
    sandbox.wait_for(lambda: uid(sandbox) not in (old, None) and main(sandbox))
    assert main(sandbox) == before
    assert statuses(sandbox, NAME)["crashing"]["restartCount"] > 0
    assert not [reason for _, reason, _ in said(sandbox, "Pod", NAME) if reason == "Killing"]


def test_a_finalizer_keeps_its_mirror_too(sandbox: Sandbox) -> None:
    sandbox.add_static_pod("agent")
    old = uid(sandbox)
    sandbox.patch("pods", NAME, {"metadata": {"finalizers": ["example.com/keep"]}})
    sandbox.delete("pods", NAME)
    with pytest.raises(TimeoutError):
        sandbox.wait_for(lambda: uid(sandbox) != old, timeout=0.1)
    sandbox.patch("pods", NAME, {"metadata": {"finalizers": None}})
    sandbox.wait_for(lambda: uid(sandbox) not in (old, None))


def test_a_lost_kubernetes_node_makes_no_mirror_until_it_is_back(sandbox: Sandbox) -> None:
    sandbox.add_static_pod("agent")
    before = main(sandbox)
    sandbox.set_host_ready(False)
    sandbox.delete("pods", NAME, grace=0)
    with pytest.raises(TimeoutError):
        sandbox.wait_for(lambda: uid(sandbox), timeout=0.1)
    sandbox.set_host_ready(True)
    sandbox.wait_for(lambda: main(sandbox))
    assert main(sandbox)["state"] == before["state"]
