"""What happens to the objects of an owner that is deleted."""

from __future__ import annotations

from typing import Any

import pytest
from sandbox_api import names, ready, workload

from mecbounce.sandbox import Behaviour, ResourceType, Sandbox

pytest_plugins = ("mecbounce.sandbox.fixture",)

SITES = ResourceType("express.example.com", "v1", "sites", "Site", namespaced=False)


def lease(name: str, *owners: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "ownerReferences": [*owners]}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}


def reference(owner: dict[str, Any], **more: bool) -> dict[str, Any]:
    metadata = owner["metadata"]
    named = {"name": metadata["name"], "uid": metadata["uid"]}
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], **named, **more}


def owners(sandbox: Sandbox, plural: str) -> list[str]:
    return [one["name"] for obj in sandbox.objects(plural) for one in obj["metadata"].get("ownerReferences") or []]


def test_a_foreground_deletion_keeps_the_owner_until_its_pods_have_gone(sandbox: Sandbox) -> None:
    sandbox.create(workload("ReplicaSet"))
    sandbox.wait_for(lambda: names(sandbox) and ready(sandbox, names(sandbox)[0]))
    (name,) = names(sandbox)
    sandbox.behave(Behaviour(never_stops=True))
    sandbox.delete("replicasets", "web", propagation="Foreground")
    sandbox.wait_for(lambda: not names(sandbox))
    assert (sandbox.get("replicasets", "web") or {})["metadata"]["finalizers"] == ["foregroundDeletion"]
    sandbox.delete("pods", name, grace=0)
    sandbox.wait_for(lambda: sandbox.get("replicasets", "web") is None)


def test_a_foreground_deletion_waits_only_for_objects_that_block_it(sandbox: Sandbox) -> None:
    owner = sandbox.create(lease("owner"))
    sandbox.create(lease("owned", reference(owner)))
    sandbox.patch("leases", "owned", {"metadata": {"finalizers": ["example.com/keep"]}})
    sandbox.delete("leases", "owner", propagation="Foreground")
    sandbox.wait_for(lambda: sandbox.get("leases", "owner") is None)
    assert sandbox.get("leases", "owned") is not None


@pytest.mark.parametrize("policy", [None, "Foreground", "Orphan"])
def test_a_cluster_scoped_owner_owns_objects_in_every_namespace(policy: str | None) -> None:
    with Sandbox((SITES,), speed=20) as own:
        own.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
        site = {"apiVersion": SITES.api_version, "kind": "Site", "metadata": {"name": "a"}, "spec": {"state": "down"}}
        owner = own.create(site)
        owned = lease("owned", reference(owner, blockOwnerDeletion=True))
        owned["metadata"]["namespace"] = "other"
        own.create(owned)
        own.delete("sites", "a", propagation=policy)
        own.wait_for(lambda: own.get("sites", "a") is None)
        if policy == "Orphan":
            assert owners(own, "leases") == []
        else:
            own.wait_for(lambda: own.get("leases", "owned", "other") is None)


def test_the_pod_of_a_cluster_scoped_resource_is_in_the_namespace_of_its_spec() -> None:
    with Sandbox((SITES,), speed=20) as own:
        pod = own.add_node("mec-0", namespace="other")
        assert pod is not None
        (owner,) = pod["metadata"]["ownerReferences"]
        assert (pod["metadata"]["namespace"], owner["kind"]) == ("other", "Site")
        assert "namespace" not in (own.get("sites", "mec-0") or {})["metadata"]
        own.delete("pods", "mec-0", namespace="other")
        own.wait_for(lambda: (new := own.get("pods", "mec-0", "other")) and new["metadata"] != pod["metadata"])
        own.delete("sites", "mec-0")
        own.wait_for(lambda: not own.objects("pods"))


def test_a_resource_that_is_being_deleted_gets_no_new_pod(sandbox: Sandbox) -> None:
    sandbox.add_node("mec-0")
    sandbox.patch("expressnodes", "mec-0", {"metadata": {"finalizers": ["example.com/keep"]}})
    sandbox.delete("expressnodes", "mec-0")
    assert (sandbox.get("expressnodes", "mec-0") or {})["metadata"]["deletionTimestamp"]
    assert names(sandbox) == ["mec-0"]
    sandbox.delete("pods", "mec-0")
    sandbox.wait_for(lambda: not sandbox.objects("pods"))
    with pytest.raises(TimeoutError):
        sandbox.wait_for(lambda: sandbox.objects("pods"), timeout=0.2)
