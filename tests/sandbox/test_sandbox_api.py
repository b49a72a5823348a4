"""What the API server does with objects; measured on a real one first."""

from __future__ import annotations

import pytest
from sandbox_api import JSON_PATCH, LEASES, MERGE, NODES, PODS, STRATEGIC, ask, bound, express_node, pod

from mecbounce.sandbox import Behaviour, Sandbox

pytest_plugins = ("mecbounce.sandbox.fixture",)


def test_create_stamps_and_refuses_a_second(sandbox: Sandbox) -> None:
    status, made = ask(sandbox, "POST", PODS, bound())
    assert status == 201
    assert {"uid", "creationTimestamp", "resourceVersion"} <= made["metadata"].keys()
    assert made["spec"]["terminationGracePeriodSeconds"] == 30
    status, refusal = ask(sandbox, "POST", PODS, bound())
    assert (status, refusal["reason"]) == (409, "AlreadyExists")
    assert refusal["message"] == 'pods "held" already exists'
    ask(sandbox, "DELETE", f"{PODS}/held")
    _, refusal = ask(sandbox, "POST", PODS, bound())
    assert refusal["message"] == 'object is being deleted: pods "held" already exists'


def test_generated_names_differ(sandbox: Sandbox) -> None:
    names = {ask(sandbox, "POST", PODS, pod())[1]["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("any-") for name in names)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (pod("Bad_Name"), 422, 'Pod "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name"'),
        ({"metadata": {"name": "a"}, "spec": {}}, 422, 'Pod "a" is invalid: spec.containers: Required value'),
        ({**pod("a"), "metadata": {}}, 422, 'Pod "" is invalid: metadata.name: Required value'),
        ({**pod("a"), "kind": "Node"}, 400, 'Node in version "v1" cannot be handled as a Pod'),
        ({**pod("a"), "metadata": {"name": "a", "namespace": "b"}}, 400, "the namespace of the provided object"),
        (b"{", 400, "the object provided is unrecognized (must be of type Pod)"),
        ([1], 400, "the object provided is unrecognized (must be of type Pod)"),
    ],
)
def test_what_is_no_pod_is_refused(sandbox: Sandbox, body: object, status: int, message: str) -> None:
    answer = ask(sandbox, "POST", PODS, body)
    assert (status, True) == (answer[0], answer[1]["message"].startswith(message))


def test_unknown_places(sandbox: Sandbox) -> None:
    assert ask(sandbox, "GET", f"{PODS}/x")[1]["message"] == 'pods "x" not found'
    assert ask(sandbox, "GET", "/api/v1/namespaces/none/pods")[1]["items"] == []
    status, refusal = ask(sandbox, "POST", "/api/v1/namespaces/none/pods", pod("a"))
    assert (status, refusal["message"]) == (404, 'namespaces "none" not found')
    assert ask(sandbox, "GET", "/apis/other.example.com/v1/things") == (404, b"404 page not found\n")
    assert ask(sandbox, "GET", "/api/v1/things")[1]["message"] == "the server could not find the requested resource"
    assert ask(sandbox, "PUT", PODS, pod("a"))[0] == 405


def test_lists_are_selected_by_fields_and_labels(sandbox: Sandbox) -> None:
    for name, color in (("a", "red"), ("b", "blue"), ("c", None)):
        made = bound(name)
        made["metadata"]["labels"] = {"color": color} if color else {}
        ask(sandbox, "POST", PODS, made)

    def names(query: str) -> list[str]:
        return [item["metadata"]["name"] for item in ask(sandbox, "GET", f"{PODS}?{query}")[1]["items"]]

    assert names("fieldSelector=metadata.name%3Da") == ["a"]
    assert names("fieldSelector=metadata.name!%3Da,spec.nodeName%3Delsewhere") == ["b", "c"]
    assert names("labelSelector=color%3Dred") == ["a"]
    assert names("labelSelector=color!%3Dred") == ["b", "c"]
    assert names("labelSelector=color+in+(red,blue)") == ["a", "b"]
    assert names("labelSelector=color+notin+(red)") == ["b", "c"]
    assert names("labelSelector=color") == ["a", "b"]
    assert names("labelSelector=!color") == ["c"]
    status, refusal = ask(sandbox, "GET", f"{PODS}?fieldSelector=spec.foo%3Da")
    assert (status, refusal["message"]) == (400, "field label not supported: spec.foo")
    assert ask(sandbox, "GET", f"{PODS}?labelSelector=%3D%3D")[0] == 400


def test_delete_keeps_the_grace_period_until_it_is_shortened(sandbox: Sandbox) -> None:
    ask(sandbox, "POST", PODS, bound())

    def delete(query: str = "") -> int:
        _, answer = ask(sandbox, "DELETE", f"{PODS}/held{query}")
        return int(answer["metadata"]["deletionGracePeriodSeconds"])

    assert delete() == 30
    version = ask(sandbox, "GET", f"{PODS}/held")[1]["metadata"]["resourceVersion"]
    assert delete("?gracePeriodSeconds=60") == 30
    assert delete() == 30
    assert ask(sandbox, "GET", f"{PODS}/held")[1]["metadata"]["resourceVersion"] == version
    assert delete("?gracePeriodSeconds=10") == 10
    assert delete("?gracePeriodSeconds=-1") == 1
    assert delete("?gracePeriodSeconds=0") == 0
    assert ask(sandbox, "GET", f"{PODS}/held")[0] == 404


def test_an_unbound_pod_goes_at_once(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(unschedulable=True))
    ask(sandbox, "POST", PODS, pod("free"))
    assert ask(sandbox, "DELETE", f"{PODS}/free?gracePeriodSeconds=20")[0] == 200
    assert ask(sandbox, "GET", f"{PODS}/free")[0] == 404


@pytest.mark.parametrize("extra", [{}, {"dryRun": ["All"]}])
def test_delete_minds_its_preconditions(sandbox: Sandbox, extra: dict[str, object]) -> None:
    _, made = ask(sandbox, "POST", PODS, bound())
    uid = made["metadata"]["uid"]
    status, refusal = ask(sandbox, "DELETE", f"{PODS}/held", {"preconditions": {"uid": "other"}, **extra})
    assert (status, refusal["reason"]) == (409, "Conflict")
    assert refusal["message"] == (
        f'Operation cannot be fulfilled on Pod "held": the UID in the precondition (other) does not match the UID in '
        f"record ({uid}). The object might have been deleted and then recreated"
    )
    status, _ = ask(sandbox, "DELETE", f"{PODS}/held", {"preconditions": {"resourceVersion": "1"}, **extra})
    assert status == 409
    assert ask(sandbox, "DELETE", f"{PODS}/held", {"preconditions": {"uid": uid}, **extra})[0] == 200
    assert ask(sandbox, "DELETE", f"{PODS}/none", {"preconditions": {"uid": uid}, **extra})[0] == 404


def test_a_dry_run_changes_nothing(sandbox: Sandbox) -> None:
    ask(sandbox, "POST", PODS, bound())
    before = ask(sandbox, "GET", f"{PODS}/held")
    status, seen = ask(sandbox, "DELETE", f"{PODS}/held?dryRun=All")
    assert (status, "deletionTimestamp" in seen["metadata"]) == (200, True)
    assert ask(sandbox, "DELETE", f"{PODS}/held", {"dryRun": ["Some"]})[0] == 422
    assert ask(sandbox, "PATCH", f"{PODS}/held?dryRun=All", {"metadata": {"labels": {"a": "b"}}}, MERGE)[0] == 200
    assert ask(sandbox, "POST", f"{PODS}?dryRun=All", pod("dry"))[0] == 201
    assert ask(sandbox, "GET", f"{PODS}/dry")[0] == 404
    assert ask(sandbox, "GET", f"{PODS}/held") == before


def test_finalizers_keep_an_object_until_the_last_is_removed(sandbox: Sandbox) -> None:
    ask(sandbox, "POST", NODES, {**express_node("a"), "metadata": {"name": "a", "finalizers": ["x.y/z"]}})
    _, kept = ask(sandbox, "DELETE", f"{NODES}/a")
    assert "deletionTimestamp" in kept["metadata"]
    more = {"metadata": {"finalizers": ["x.y/z", "x.y/more"]}}
    status, refusal = ask(sandbox, "PATCH", f"{NODES}/a", more, MERGE)
    assert (status, "no new finalizers can be added" in refusal["message"]) == (422, True)
    assert ask(sandbox, "PATCH", f"{NODES}/a", {"metadata": {"finalizers": None}}, MERGE)[0] == 200
    assert ask(sandbox, "GET", f"{NODES}/a")[0] == 404


def test_the_deletion_of_what_is_no_pod_answers_with_a_status(sandbox: Sandbox) -> None:
    _, made = ask(sandbox, "POST", NODES, express_node("a"))
    _, status = ask(sandbox, "DELETE", f"{NODES}/a")
    assert (status["kind"], status["status"]) == ("Status", "Success")
    assert status["details"] == {
        "name": "a",
        "group": "express.example.com",
        "kind": "expressnodes",
        "uid": made["metadata"]["uid"],
    }


@pytest.mark.parametrize("path", [f"{PODS}/held", f"{NODES}/held"])
def test_patches_mind_versions_and_identities(sandbox: Sandbox, path: str) -> None:
    ask(sandbox, "POST", PODS, bound())
    ask(sandbox, "POST", NODES, express_node("held"))
    change = {"metadata": {"annotations": {"a": "b"}}}
    _, first = ask(sandbox, "PATCH", path, change, MERGE)
    _, second = ask(sandbox, "PATCH", path, change, MERGE)
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert ask(sandbox, "PATCH", path, {"metadata": {"resourceVersion": "1", "labels": {"a": "b"}}}, MERGE)[0] == 409
    assert ask(sandbox, "PATCH", path, {"metadata": {"uid": "other"}}, MERGE)[0] == 422
    assert ask(sandbox, "PATCH", path, {"metadata": {"name": "other"}}, MERGE)[0] == 400
    assert ask(sandbox, "PATCH", path, {"metadata": {}}, "application/json")[0] == 415


def test_status_and_the_rest_are_written_apart(sandbox: Sandbox) -> None:
    ask(sandbox, "POST", NODES, {**express_node("a"), "status": {"state": "early"}})
    path = f"{NODES}/a"
    _, main = ask(sandbox, "PATCH", path, {"status": {"state": "no"}, "spec": {"size": 1}}, MERGE)
    assert (main.get("status"), main["spec"]["size"], main["metadata"]["generation"]) == (None, 1, 2)
    _, status = ask(sandbox, "PATCH", f"{path}/status", {"status": {"state": "x"}, "spec": {"size": 2}}, MERGE)
    assert (status["status"], status["spec"]["size"], status["metadata"]["generation"]) == ({"state": "x"}, 1, 2)


def test_patch_kinds_are_those_of_the_type(sandbox: Sandbox) -> None:
    made = bound()
    made["spec"]["containers"].append({"name": "side", "image": "image:1"})
    ask(sandbox, "POST", PODS, made)
    ask(sandbox, "POST", NODES, express_node("a"))
    change = {"spec": {"containers": [{"name": "side", "image": "image:2"}]}}
    _, patched = ask(sandbox, "PATCH", f"{PODS}/held", change, STRATEGIC)
    images = [(container["name"], container["image"]) for container in patched["spec"]["containers"]]
    assert images == [("main", "image:1"), ("side", "image:2")]
    assert ask(sandbox, "PATCH", f"{NODES}/a", change, STRATEGIC)[0] == 415
    operations = [{"op": "test", "path": "/spec/state", "value": "up"}]
    assert ask(sandbox, "PATCH", f"{NODES}/a", operations, JSON_PATCH)[0] == 422
    assert ask(sandbox, "PATCH", f"{PODS}/held", {"spec": {"hostname": "other"}}, MERGE)[0] == 422


def test_put_replaces_one_version_of_one_object(sandbox: Sandbox) -> None:
    _, made = ask(sandbox, "POST", NODES, express_node("a"))
    assert ask(sandbox, "PUT", f"{NODES}/a", express_node("a"))[0] == 422
    changed = {**made, "spec": {"state": "down", "size": 3}}
    assert ask(sandbox, "PUT", f"{NODES}/a", changed)[1]["spec"]["size"] == 3
    status, refusal = ask(sandbox, "PUT", f"{NODES}/a", changed)
    assert (status, "the object has been modified" in refusal["message"]) == (409, True)
    _, now = ask(sandbox, "GET", f"{NODES}/a")
    now["metadata"]["uid"] = "other"
    status, refusal = ask(sandbox, "PUT", f"{NODES}/a", now)
    assert status == 409
    assert f"UID in precondition: other, UID in object meta: {made['metadata']['uid']}" in refusal["message"]


def test_a_lease_is_swapped_by_its_version_and_made_by_a_put(sandbox: Sandbox) -> None:
    lease = {"metadata": {"name": "record"}, "spec": {"holderIdentity": "me"}}
    status, made = ask(sandbox, "PUT", f"{LEASES}/record", lease)
    assert status == 201
    assert ask(sandbox, "PUT", f"{LEASES}/record", lease)[0] == 422
    made["spec"]["holderIdentity"] = "you"
    assert ask(sandbox, "PUT", f"{LEASES}/record", made)[0] == 200
    made["spec"]["holderIdentity"] = "them"
    assert ask(sandbox, "PUT", f"{LEASES}/record", made)[0] == 409


def test_an_event_belongs_to_the_namespace_of_its_object(sandbox: Sandbox) -> None:
    event = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "a", "namespace": "other"}}
    path = "/api/v1/namespaces/default/events"
    assert ask(sandbox, "POST", path, event)[0] == 422
    event["involvedObject"]["namespace"] = "default"
    assert ask(sandbox, "POST", path, event)[0] == 201
    _, found = ask(sandbox, "GET", f"{path}?fieldSelector=involvedObject.name%3Da,involvedObject.kind%3DPod")
    assert len(found["items"]) == 1


def test_discovery_names_what_is_served(sandbox: Sandbox) -> None:
    assert ask(sandbox, "GET", "/version")[1]["major"] == "1"
    assert ask(sandbox, "GET", "/readyz") == (200, b"ok")
    assert ask(sandbox, "GET", "/api")[1]["versions"] == ["v1"]
    names = [resource["name"] for resource in ask(sandbox, "GET", "/api/v1")[1]["resources"]]
    assert {"pods", "pods/exec", "nodes", "events"} <= set(names)
    groups = [group["name"] for group in ask(sandbox, "GET", "/apis")[1]["groups"]]
    assert {"apps", "coordination.k8s.io", "express.example.com", "authorization.k8s.io"} == set(groups)
    assert ask(sandbox, "GET", "/apis/apps")[1]["preferredVersion"]["version"] == "v1"
    assert ask(sandbox, "GET", "/apis/express.example.com/v1")[1]["resources"][0]["kind"] == "ExpressNode"
    assert ask(sandbox, "GET", "/apis/express.example.com/v2")[0] == 404


def test_json_is_all_that_is_spoken(sandbox: Sandbox) -> None:
    table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    assert ask(sandbox, "GET", PODS, accept=table)[1]["kind"] == "PodList"
    assert ask(sandbox, "GET", PODS, accept="application/vnd.kubernetes.protobuf")[0] == 406
    assert ask(sandbox, "POST", PODS, b"k8s\x00", "application/vnd.kubernetes.protobuf")[0] == 415


def test_a_collection_is_deleted_by_its_selector(sandbox: Sandbox) -> None:
    for name in ("a", "b"):
        ask(sandbox, "POST", NODES, express_node(name))
    assert ask(sandbox, "DELETE", f"{NODES}?fieldSelector=metadata.name%3Da")[0] == 200
    assert [node["metadata"]["name"] for node in sandbox.objects("expressnodes")] == ["b"]
