"""What webhooks and quotas refuse, and the Events of controllers about it."""

from __future__ import annotations

from typing import Any

import pytest
from sandbox_api import PODS, a_pod, ask, bound, condition, names, said, workload

from mecbounce.sandbox import Sandbox

pytest_plugins = ("mecbounce.sandbox.fixture",)

DOWN = (
    'Internal error occurred: failed calling webhook "guard.example.com": '
    'Post "https://guard.example.com.default.svc:443/?timeout=10s": dial tcp 10.96.0.9:443: connect: connection refused'
)
DENIED = 'admission webhook "w" denied the request: not today'
EXCEEDED = 'pods "web-0" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'


def quota(pods: int) -> dict[str, Any]:
    hard = {"hard": {"pods": str(pods)}}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": hard}


def refusals(sandbox: Sandbox, kind: str, name: str = "web") -> list[str]:
    return [message for _, reason, message in said(sandbox, kind, name) if reason == "FailedCreate"]


def test_a_webhook_that_is_down_fails_each_deletion_of_a_pod_and_changes_nothing(sandbox: Sandbox) -> None:
    made = sandbox.create(bound())
    sandbox.webhook_down = "guard.example.com"
    for query in ("", "?dryRun=All"):
        status, answer = ask(sandbox, "DELETE", f"{PODS}/held{query}")
        assert (status, answer["reason"], answer["message"]) == (500, "InternalError", DOWN)
        assert DOWN.endswith(answer["details"]["causes"][0]["message"])
    assert sandbox.get("pods", "held") == made
    sandbox.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    assert ask(sandbox, "DELETE", "/api/v1/namespaces/other")[0] == 200
    sandbox.webhook_down = None
    assert ask(sandbox, "DELETE", f"{PODS}/held")[0] == 200


def test_a_quota_refuses_one_pod_too_many(sandbox: Sandbox) -> None:
    sandbox.create(quota(1))
    sandbox.create(a_pod("mec-0"))
    status, answer = ask(sandbox, "POST", PODS, a_pod("mec-1"))
    message = 'pods "mec-1" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'
    assert (status, answer["reason"], answer["message"]) == (403, "Forbidden", message)
    assert answer["details"] == {"name": "mec-1", "kind": "pods"}
    sandbox.evict("mec-0")
    assert ask(sandbox, "POST", PODS, a_pod("mec-1"))[0] == 201


@pytest.mark.parametrize(
    ("trouble", "message"), [("refuse_create", DENIED), ("webhook_down_at_create", DOWN), ("quota", EXCEEDED)]
)
def test_a_stateful_set_writes_an_event_with_the_refusal(sandbox: Sandbox, trouble: str, message: str) -> None:
    if trouble == "quota":
        sandbox.create(a_pod("other", schedulerName="nobody"))
        sandbox.create(quota(1))
    else:
        setattr(sandbox, trouble, "not today" if trouble == "refuse_create" else "guard.example.com")
    sandbox.create(workload("StatefulSet"))
    sandbox.wait_for(lambda: refusals(sandbox, "StatefulSet"))
    assert refusals(sandbox, "StatefulSet") == [f"create Pod web-0 in StatefulSet web failed error: {message}"]
    (event,) = [one for one in sandbox.objects("events") if one["reason"] == "FailedCreate"]
    assert (event["type"], event["source"]) == ("Warning", {"component": "statefulset-controller"})
    if trouble == "quota":
        sandbox.delete("resourcequotas", "q")
    else:
        setattr(sandbox, trouble, None)
    sandbox.wait_for(lambda: "web-0" in names(sandbox))


@pytest.mark.parametrize("kind", ["ReplicaSet", "DaemonSet"])
def test_other_controllers_write_such_an_event_in_their_own_words(sandbox: Sandbox, kind: str) -> None:
    sandbox.refuse_create = "not today"
    sandbox.create(workload(kind))
    sandbox.wait_for(lambda: refusals(sandbox, kind))
    assert refusals(sandbox, kind) == [f"Error creating: {DENIED}"]


def test_a_replica_set_has_the_refusal_in_its_status_too(sandbox: Sandbox) -> None:
    sandbox.refuse_create = "not today"
    sandbox.create(workload("ReplicaSet"))
    sandbox.wait_for(lambda: condition(sandbox.get("replicasets", "web"), "ReplicaFailure") == ("True", "FailedCreate"))
    sandbox.refuse_create = None
    sandbox.wait_for(lambda: condition(sandbox.get("replicasets", "web"), "ReplicaFailure") is None)


def test_the_operator_writes_such_an_event_about_the_custom_resource(sandbox: Sandbox) -> None:
    sandbox.refuse_create = "not today"
    sandbox.create(
        {
            "apiVersion": "express.example.com/v1",
            "kind": "ExpressNode",
            "metadata": {"name": "mec-0"},
            "spec": {"state": "up"},
        }
    )
    sandbox.wait_for(lambda: refusals(sandbox, "ExpressNode", "mec-0") == [f"Error creating: {DENIED}"])


def test_the_same_event_is_counted_and_too_many_similar_ones_are_combined(sandbox: Sandbox) -> None:
    sandbox.create(quota(0))
    sandbox.create(workload("StatefulSet"))
    sandbox.create(workload("ReplicaSet", "other"))

    def counted(kind: str) -> list[int]:
        return [
            event["count"]
            for event in sandbox.objects("events")
            if event["reason"] == "FailedCreate" and event["involvedObject"]["kind"] == kind
        ]

    sandbox.wait_for(lambda: counted("StatefulSet") and counted("StatefulSet")[0] > 1)
    for _ in range(12):
        sandbox.refuse_create = None  # the controllers try again at once
        seen = sum(counted("ReplicaSet"))
        sandbox.wait_for(lambda seen=seen: sum(counted("ReplicaSet")) > seen)  # type: ignore[misc]  # a default
    assert len(counted("ReplicaSet")) == 10
    combined = [message for message in refusals(sandbox, "ReplicaSet", "other") if message.startswith("(combined")]
    assert len(combined) == 1
