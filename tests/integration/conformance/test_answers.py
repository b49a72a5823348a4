"""Errors and their texts, and what else is served: reviews, Leases, Events, subresources, discovery."""

from __future__ import annotations

import pytest

from .things import Things, of
from .wire import JSON, MERGE, NOBODY, Api, Json

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@of()
def test_an_unknown_name_is_not_found(things: Things) -> None:
    answer = things.get()
    assert answer.refusal == (404, "NotFound")
    assert answer["details"] == {"name": things.name, **things.kind.details}
    qualified = f"{things.kind.plural}.{things.kind.group}" if things.kind.group else things.kind.plural
    assert answer["message"] == f'{qualified} "{things.name}" not found'


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/trains",
        "/api/v1/namespaces/default/trains/x",
        "/api/v9/pods",
        "/apis/apps/v1/trains",
        "/apis/apps/v9/replicasets",
    ],
)
def test_an_unknown_type_of_a_built_in_group(api: Api, path: str) -> None:
    answer = api.ask("GET", path)
    assert answer.refusal == (404, "NotFound")
    assert (answer["message"], answer["details"]) == ("the server could not find the requested resource", {})


@pytest.mark.parametrize(
    "path",
    [
        "/apis/express.example.com/v1/trains",
        "/apis/express.example.com/v1/namespaces/default/trains/x",
        "/apis/express.example.com/v9/expressnodes",
        "/apis/none.example.com/v1/trains",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_is_not_found_in_plain_text(api: Api, path: str, method: str) -> None:
    answer = api.ask(method, path, {} if method == "POST" else None)
    assert (404, "404 page not found\n") == (answer.status, answer.body)


@of("pods", "leases")
@pytest.mark.parametrize(("method", "named"), [("PUT", False), ("PATCH", False), ("POST", True)])
def test_some_methods_are_only_for_one_object_and_some_only_for_lists(
    api: Api, things: Things, method: str, named: bool
) -> None:
    content_type = MERGE if method == "PATCH" else JSON
    path = things.path() if named else things.collection
    answer = api.ask(method, path, things.new(), content_type=content_type)
    assert answer.refusal == (405, "MethodNotAllowed")


@of("bound pods", "expressnodes")
@pytest.mark.parametrize("method", ["DELETE", "POST"])
def test_a_status_cannot_be_created_or_deleted(api: Api, things: Things, method: str) -> None:
    made = things.made()
    answer = api.ask(method, things.path(subresource="status"), made if method == "POST" else None)
    assert answer.refusal == (405, "MethodNotAllowed")


@of("pods", "expressnodes", "leases")
@pytest.mark.parametrize("content_type", ["text/plain", "application/xml"])
def test_a_body_of_another_format_is_refused(api: Api, things: Things, content_type: str) -> None:
    answer = api.ask("POST", things.collection, things.new(), content_type=content_type)
    assert answer.refusal == (415, "UnsupportedMediaType")


@of("pods", "expressnodes")
def test_a_body_without_a_content_type_is_json(api: Api, things: Things) -> None:
    assert api.ask("POST", things.collection, things.new(), content_type="").status == 201


@of("pods", "expressnodes", "leases")
@pytest.mark.parametrize("accept", ["text/html", "image/png"])
def test_an_answer_in_another_format_is_refused(things: Things, accept: str) -> None:
    assert things.api.ask("GET", things.collection, headers={"Accept": accept}).refusal == (406, "NotAcceptable")


@of("pods", "expressnodes")
@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html, application/json;q=0.5", ""])
def test_the_answer_is_json_wherever_the_client_accepts_it(things: Things, accept: str) -> None:
    answer = things.api.ask("GET", things.collection, headers={"Accept": accept})
    assert (200, f"{things.kind.kind}List") == (answer.status, answer["kind"])


@of("pods", "expressnodes")
def test_kubectl_can_ask_for_a_table(things: Things) -> None:
    table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    answer = things.api.ask("GET", things.collection, headers={"Accept": table})
    assert (200, "Table") == (answer.status, answer["kind"])
    columns = [one["name"] for one in answer["columnDefinitions"]]
    expected = ["Name", "Ready", "Status", "Restarts", "Age"] if things.kind.plural == "pods" else ["Name", "Age"]
    assert expected == columns[: len(expected)]


def test_there_is_no_protobuf_of_custom_resources(nodes: Things) -> None:
    accept = {"Accept": "application/vnd.kubernetes.protobuf"}
    assert nodes.api.ask("GET", nodes.collection, headers=accept).status == 406


def test_there_is_protobuf_of_pods(pods: Things) -> None:
    accept = {"Accept": "application/vnd.kubernetes.protobuf"}
    assert pods.api.ask("GET", pods.collection, headers=accept).status == 200


@of("pods", "expressnodes", "leases")
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b'"text"'])
def test_a_body_that_is_no_object_is_refused(api: Api, things: Things, body: bytes) -> None:
    assert api.ask("POST", things.collection, body).refusal == (400, "BadRequest")


@of("pods", "expressnodes")
@pytest.mark.parametrize("field", ["metadata", "spec"])
def test_a_number_where_an_object_must_be_is_refused(things: Things, field: str) -> None:
    status = things.post({**things.new(), field: 5}).status
    assert status in (400, 422)


def test_an_unknown_token_is_refused(api: Api) -> None:
    answer = api.ask("GET", "/api/v1/nodes", headers={"authorization": "Bearer unknown"})
    assert answer.refusal == (401, "Unauthorized")


def test_a_connection_outlives_a_refusal(pods: Things) -> None:
    for _ in range(3):
        assert pods.get().status == 404
        assert pods.post({}).status >= 400
    assert pods.list().status == 200


# Access reviews


@pytest.mark.parametrize(
    "asked",
    [
        {"verb": "delete", "resource": "pods"},
        {"verb": "patch", "resource": "pods", "name": "some"},
        {"verb": "get", "group": "express.example.com", "resource": "expressnodes"},
        {"verb": "create", "resource": "pods", "subresource": "exec"},
        {"verb": "*", "resource": "*"},
    ],
    ids=lambda asked: " ".join(asked.values()),
)
def test_an_administrator_is_allowed_everything(api: Api, asked: Json) -> None:
    attributes = {"namespace": api.namespace, **asked}
    answer = api.ask("POST", REVIEWS, {"spec": {"resourceAttributes": attributes}})
    assert (201, True, attributes) == (
        answer.status,
        answer["status"]["allowed"],
        answer["spec"]["resourceAttributes"],
    )
    assert ("SelfSubjectAccessReview", "authorization.k8s.io/v1") == (answer["kind"], answer["apiVersion"])


def test_a_review_must_ask_for_something(api: Api) -> None:
    assert api.ask("POST", REVIEWS, {"spec": {}}).refusal == (422, "Invalid")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_reviews_can_only_be_created(api: Api, method: str) -> None:
    assert api.ask(method, REVIEWS).refusal == (405, "MethodNotAllowed")


# Leases


def test_a_lease_is_swapped_by_its_version(leases: Things) -> None:
    made = leases.made()
    mine = {**made, "spec": {"holderIdentity": "mine"}}
    theirs = {**made, "spec": {"holderIdentity": "theirs"}}
    assert leases.put(mine)["spec"] == {"holderIdentity": "mine"}
    assert leases.put(theirs).refusal == (409, "Conflict")
    assert leases.get()["spec"] == {"holderIdentity": "mine"}


def test_a_second_put_without_a_version_does_not_replace_a_new_lease(leases: Things) -> None:
    assert leases.put(leases.new()).status == 201
    assert leases.put(leases.new()).refusal == (422, "Invalid")


def test_a_record_in_an_annotation_comes_back_as_it_was(leases: Things) -> None:
    record = '{"schema_version": 1, "text": "ä\\u2028\\"\\\\ \\n"}' + "x" * 20_000
    leases.made(annotations={"example.com/record": record})
    assert leases.get().metadata["annotations"]["example.com/record"] == record


def test_times_of_a_lease_have_microseconds(leases: Things) -> None:
    time = "2026-01-01T12:00:00.123456Z"
    spec = {"acquireTime": time, "renewTime": time, "leaseTransitions": 3}
    assert spec.items() <= leases.made(spec=spec)["spec"].items()


def test_a_lease_needs_no_spec(leases: Things) -> None:
    answer = leases.post({"metadata": {"name": leases.name}})
    assert (201, {}) == (answer.status, answer["spec"])


# Events


def test_an_event_must_be_in_the_namespace_of_its_object(events: Things) -> None:
    event = events.new()
    event["involvedObject"]["namespace"] = "other"
    answer = events.post(event)
    assert answer.refusal == (422, "Invalid")
    assert answer.causes == [("involvedObject.namespace", "FieldValueInvalid")]


def test_an_events_defaults(events: Things) -> None:
    made = events.made()
    assert {"source": {}, "firstTimestamp": None, "lastTimestamp": None, "eventTime": None}.items() <= made.items()
    assert {"reportingComponent": "", "reportingInstance": ""}.items() <= made.items()


def test_an_event_can_be_counted_up(events: Things) -> None:
    events.made()
    answer = events.patch({"count": 2, "lastTimestamp": "2026-01-01T12:00:00Z"})
    assert (200, 2, "2026-01-01T12:00:00Z") == (answer.status, answer["count"], answer["lastTimestamp"])


# Into a pod


@pytest.mark.parametrize("subresource", ["log", "exec", "proxy/"])
def test_log_exec_and_proxy_of_an_unknown_pod_are_not_found(api: Api, pods: Things, subresource: str) -> None:
    assert api.ask("GET", pods.path(subresource=subresource), command="true").refusal == (404, "NotFound")


def test_a_pod_that_is_not_bound_has_no_log(api: Api, pods: Things) -> None:
    pods.made()
    answer = api.ask("GET", pods.path(subresource="log"))
    assert (204, "") == (answer.status, answer.body)


def test_a_pod_that_is_not_bound_runs_no_command(api: Api, pods: Things) -> None:
    pods.made()
    assert api.ask("GET", pods.path(subresource="exec"), command="true").refusal == (400, "BadRequest")


def test_a_pod_without_an_address_has_no_proxy(api: Api, pods: Things) -> None:
    pods.made()
    assert api.ask("GET", pods.path(subresource="proxy/")).status >= 400


def test_a_pod_can_be_evicted(api: Api, bound: Things) -> None:
    bound.made()
    eviction = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": bound.name}}
    assert api.ask("POST", bound.path(subresource="eviction"), eviction).status == 201
    assert "deletionTimestamp" in bound.get().metadata


# Kubernetes nodes and namespaces


def test_a_kubernetes_node_has_a_ready_condition(api: Api) -> None:
    (first, *_) = api.ask("GET", "/api/v1/nodes")["items"]
    node = api.ask("GET", f"/api/v1/nodes/{first['metadata']['name']}")
    conditions = {one["type"]: one for one in node["status"]["conditions"]}
    assert {"status", "reason", "message", "lastTransitionTime"} <= conditions["Ready"].keys()
    assert "namespace" not in node.metadata


@pytest.mark.parametrize("plural", ["nodes", "namespaces"])
def test_an_unknown_name_without_a_namespace(api: Api, plural: str) -> None:
    answer = api.ask("GET", f"/api/v1/{plural}/none-such")
    assert answer.refusal == (404, "NotFound")
    assert answer["details"] == {"name": "none-such", "kind": plural}


def test_a_namespace_is_active(api: Api) -> None:
    assert api.ask("GET", f"/api/v1/namespaces/{api.namespace}")["status"] == {"phase": "Active"}


def test_a_namespace_cannot_be_created_twice(api: Api) -> None:
    answer = api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": api.namespace}})
    assert answer.refusal == (409, "AlreadyExists")


# Discovery


def test_the_version_is_served(api: Api) -> None:
    assert {"major", "minor", "gitVersion", "platform"} <= api.ask("GET", "/version").body.keys()


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_the_health_paths_answer_ok(api: Api, path: str) -> None:
    answer = api.ask("GET", path)
    assert (200, "ok") == (answer.status, answer.body)


def test_the_groups_are_listed(api: Api) -> None:
    assert api.ask("GET", "/api")["versions"] == ["v1"]
    groups = {group["name"]: group["preferredVersion"]["version"] for group in api.ask("GET", "/apis")["groups"]}
    expected = ("apps", "coordination.k8s.io", "authorization.k8s.io", "express.example.com")
    assert dict.fromkeys(expected, "v1").items() <= groups.items()


@pytest.mark.parametrize(
    ("path", "resources"),
    [
        (
            "/api/v1",
            {"pods": "Pod", "pods/status": "Pod", "nodes": "Node", "events": "Event", "namespaces": "Namespace"},
        ),
        ("/apis/coordination.k8s.io/v1", {"leases": "Lease"}),
        ("/apis/express.example.com/v1", {"expressnodes": "ExpressNode", "expressnodes/status": "ExpressNode"}),
    ],
)
def test_the_types_are_listed(api: Api, path: str, resources: dict[str, str]) -> None:
    answer = api.ask("GET", path)
    assert ("APIResourceList", path.removeprefix("/apis/").removeprefix("/api/")) == (
        answer["kind"],
        answer["groupVersion"],
    )
    assert resources.items() <= {each["name"]: each["kind"] for each in answer["resources"]}.items()


def test_a_kind_tells_its_plural_even_to_somebody_without_rights(api: Api) -> None:
    """Its subresources are of the same kind, with a slash in their names."""
    answer = api.ask("GET", "/apis/express.example.com/v1", headers={"Impersonate-User": NOBODY})
    named = [each["name"] for each in answer["resources"] if each["kind"] == "ExpressNode"]
    assert (200, ["expressnodes"]) == (answer.status, [name for name in named if "/" not in name])
    assert "expressnodes/status" in named


def test_pods_are_listed_with_their_short_name_and_verbs(api: Api) -> None:
    pods = next(each for each in api.ask("GET", "/api/v1")["resources"] if each["name"] == "pods")
    assert (True, ["po"]) == (pods["namespaced"], pods["shortNames"])
    assert {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"} == set(pods["verbs"])
