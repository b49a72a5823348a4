"""A Deployment has a ReplicaSet for each pod template, and rolls out the latest one."""

from __future__ import annotations

from typing import Any

import pytest
from sandbox_api import names, ready, said, workload

from mecbounce.sandbox import Behaviour, Sandbox

pytest_plugins = ("mecbounce.sandbox.fixture",)

REVISION = "deployment.kubernetes.io/revision"


def sets(sandbox: Sandbox) -> dict[str, dict[str, Any]]:
    """Return the ReplicaSets by their revisions."""
    return {one["metadata"]["annotations"][REVISION]: one for one in sandbox.objects("replicasets")}


def sizes(sandbox: Sandbox) -> dict[str, tuple[int, int]]:
    """Return how many pods each ReplicaSet wants, and how many are ready, by revision."""
    return {
        revision: (one["spec"]["replicas"], one["status"].get("readyReplicas", 0))
        for revision, one in sets(sandbox).items()
    }


def roll(sandbox: Sandbox, version: str) -> None:
    annotations = {"metadata": {"annotations": {"version": version}}}
    sandbox.patch("deployments", "web", {"spec": {"template": annotations}})


def pods(sandbox: Sandbox) -> list[dict[str, Any]]:
    return sandbox.objects("pods")


def test_a_rollout_moves_to_another_replica_set(sandbox: Sandbox) -> None:
    sandbox.create(workload("Deployment", replicas=2))
    sandbox.wait_for(lambda: sizes(sandbox) == {"1": (2, 2)})
    old = set(names(sandbox))
    roll(sandbox, "2")
    sandbox.wait_for(lambda: sizes(sandbox) == {"1": (0, 0), "2": (2, 2)})
    sandbox.wait_for(lambda: len(pods(sandbox)) == 2)
    assert old.isdisjoint(names(sandbox))
    first, second = (sets(sandbox)[revision]["metadata"]["name"] for revision in "12")
    scaled = {message.removeprefix("Scaled ") for _, _, message in said(sandbox, "Deployment", "web")}
    assert {f"up replica set {second} to 2", f"down replica set {first} to 0"} <= scaled
    sandbox.wait_for(lambda: (sandbox.get("deployments", "web") or {})["status"].get("updatedReplicas") == 2)
    assert (sandbox.get("deployments", "web") or {})["status"]["observedGeneration"] == 2


def test_a_rollout_keeps_the_old_pods_until_the_new_ones_are_available(sandbox: Sandbox) -> None:
    sandbox.create(workload("Deployment", replicas=2))
    sandbox.wait_for(lambda: sizes(sandbox) == {"1": (2, 2)})
    sandbox.behave(Behaviour(image_pull_fails=True))
    roll(sandbox, "2")
    sandbox.wait_for(lambda: sizes(sandbox) == {"1": (2, 2), "2": (1, 0)})
    sandbox.behave(Behaviour())
    sandbox.wait_for(lambda: sizes(sandbox) == {"1": (0, 0), "2": (2, 2)})


def test_a_rollback_reuses_the_old_replica_set_with_a_new_revision(sandbox: Sandbox) -> None:
    sandbox.create(workload("Deployment"))
    sandbox.wait_for(lambda: sizes(sandbox) == {"1": (1, 1)})
    first = sets(sandbox)["1"]["metadata"]["uid"]
    roll(sandbox, "2")
    sandbox.wait_for(lambda: sizes(sandbox) == {"1": (0, 0), "2": (1, 1)})
    sandbox.patch("deployments", "web", {"spec": {"template": {"metadata": {"annotations": None}}}})
    sandbox.wait_for(lambda: sizes(sandbox) == {"3": (1, 1), "2": (0, 0)})
    assert sets(sandbox)["3"]["metadata"]["uid"] == first


def test_recreate_waits_until_the_old_ones_have_gone(sandbox: Sandbox) -> None:
    sandbox.create(workload("Deployment", strategy={"type": "Recreate"}))
    sandbox.wait_for(lambda: sizes(sandbox) == {"1": (1, 1)})
    (old,) = names(sandbox)
    sandbox.behave(Behaviour(never_stops=True))
    roll(sandbox, "2")
    sandbox.wait_for(lambda: sizes(sandbox) == {"1": (0, 0), "2": (0, 0)})
    with pytest.raises(TimeoutError):
        sandbox.wait_for(lambda: names(sandbox), timeout=0.2)
    sandbox.delete("pods", old, grace=0)
    sandbox.wait_for(lambda: sizes(sandbox) == {"1": (0, 0), "2": (1, 1)})


def test_a_deployment_is_scaled_by_its_own_replicas(sandbox: Sandbox) -> None:
    sandbox.create(workload("Deployment", replicas=3))
    sandbox.wait_for(lambda: sizes(sandbox) == {"1": (3, 3)})
    sandbox.patch("deployments", "web", {"spec": {"replicas": 1}})
    sandbox.wait_for(lambda: sizes(sandbox) == {"1": (1, 1)} and len(names(sandbox)) == 1)
    (name,) = names(sandbox)
    assert ready(sandbox, name)


def test_the_deletion_of_a_deployment_deletes_everything_that_it_made(sandbox: Sandbox) -> None:
    sandbox.create(workload("Deployment", replicas=2))
    sandbox.wait_for(lambda: sizes(sandbox) == {"1": (2, 2)})
    sandbox.delete("deployments", "web")
    sandbox.wait_for(lambda: not sandbox.objects("replicasets") and not pods(sandbox))
