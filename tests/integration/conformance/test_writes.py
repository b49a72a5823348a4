"""What a PATCH and a PUT change and refuse, and that a dry run changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from .things import FINALIZER, Things, of
from .wire import JSON, JSON_PATCH, MERGE, STRATEGIC, Answer, Api, Json

LABEL = {"metadata": {"labels": {"a": "b"}}}
LABELLED: dict[str, Any] = {
    MERGE: LABEL,
    STRATEGIC: LABEL,
    JSON_PATCH: [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}],
}
STALE = {"metadata": {"resourceVersion": "1", "labels": {"a": "b"}}}


# Patches


@of("pods", "bound pods", "leases", "events")
@pytest.mark.parametrize("content_type", LABELLED)
def test_a_built_in_type_takes_each_kind_of_patch(things: Things, content_type: str) -> None:
    made = things.made()
    answer = things.patch(LABELLED[content_type], content_type)
    assert (200, {"a": "b"}) == (answer.status, answer.metadata["labels"])
    assert int(answer.metadata["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    assert things.get().body == answer.body


@pytest.mark.parametrize("content_type", [MERGE, JSON_PATCH])
def test_a_custom_resource_takes_json_patches_and_merge_patches(nodes: Things, content_type: str) -> None:
    nodes.made()
    assert {"a": "b"} == nodes.patch(LABELLED[content_type], content_type).metadata["labels"]


def test_a_custom_resource_takes_no_strategic_patch(nodes: Things) -> None:
    made = nodes.made()
    assert nodes.patch(LABEL, STRATEGIC).refusal == (415, "UnsupportedMediaType")
    assert nodes.get().body == made


@of("pods", "expressnodes", "leases")
@pytest.mark.parametrize("content_type", [JSON, "text/plain", ""])
def test_an_unknown_kind_of_patch_is_refused(things: Things, content_type: str) -> None:
    things.made()
    assert things.patch(LABEL, content_type).refusal == (415, "UnsupportedMediaType")


@of("pods", "expressnodes")
@pytest.mark.parametrize("content_type", [MERGE, JSON_PATCH])
@pytest.mark.parametrize("body", [b"{", b'"text"', b"5"])
def test_a_malformed_patch_is_refused(things: Things, content_type: str, body: bytes) -> None:
    made = things.made()
    assert things.patch(body, content_type).status >= 400
    assert things.get().body == made


@of()
def test_an_unknown_object_cannot_be_patched(things: Things) -> None:
    answer = things.patch(LABEL)
    assert answer.refusal == (404, "NotFound")
    assert answer["details"] == {"name": things.name, **things.kind.details}


@of()
@pytest.mark.parametrize("patch", [{}, {"metadata": {}}, {"metadata": {"labels": {"a": "b"}}}])
def test_a_patch_that_changes_nothing_keeps_the_version(things: Things, patch: Json) -> None:
    made = things.made(labels={"a": "b"})
    assert (200, made) == ((answer := things.patch(patch)).status, answer.body)
    assert things.get().body == made


@of("bound pods", "expressnodes")
def test_null_removes_and_objects_merge(things: Things) -> None:
    things.made(annotations={"a": "1", "b": "2"})
    answer = things.patch({"metadata": {"annotations": {"a": None, "c": "3"}}})
    assert answer.metadata["annotations"] == {"b": "2", "c": "3"}
    assert "annotations" not in things.patch({"metadata": {"annotations": None}}).metadata


def test_a_merge_patch_replaces_lists(nodes: Things) -> None:
    nodes.made(spec={"list": [{"name": "a", "size": 1}, {"name": "b"}]})
    assert [{"name": "a"}] == nodes.patch({"spec": {"list": [{"name": "a"}]}})["spec"]["list"]


def test_a_strategic_patch_merges_lists_by_name(bound: Things) -> None:
    containers = [{"name": "app", "image": "app:1"}, {"name": "side", "image": "side:1"}]
    bound.made(spec={"containers": containers})
    answer = bound.patch({"spec": {"containers": [{"name": "side", "image": "side:2"}]}}, STRATEGIC)
    assert [("app", "app:1"), ("side", "side:2")] == [
        (each["name"], each["image"]) for each in answer["spec"]["containers"]
    ]


def test_a_strategic_patch_adds_finalizers(pods: Things) -> None:
    pods.made(finalizers=[FINALIZER])
    answer = pods.patch({"metadata": {"finalizers": ["example.com/more"]}}, STRATEGIC)
    assert {FINALIZER, "example.com/more"} == set(answer.metadata["finalizers"])


def test_a_strategic_patch_can_replace(pods: Things) -> None:
    pods.made(annotations={"a": "1"})
    answer = pods.patch({"metadata": {"annotations": {"$patch": "replace", "b": "2"}}}, STRATEGIC)
    assert answer.metadata["annotations"] == {"b": "2"}


OPERATIONS: dict[str, tuple[list[Json], Json]] = {
    "add": ([{"op": "add", "path": "/spec/new", "value": 1}], {"list": [1, 2], "a/b": 0, "new": 1}),
    "add over": ([{"op": "add", "path": "/spec/list", "value": 1}], {"list": 1, "a/b": 0}),
    "insert": ([{"op": "add", "path": "/spec/list/0", "value": 0}], {"list": [0, 1, 2], "a/b": 0}),
    "append": ([{"op": "add", "path": "/spec/list/-", "value": 3}], {"list": [1, 2, 3], "a/b": 0}),
    "remove": ([{"op": "remove", "path": "/spec/list/0"}], {"list": [2], "a/b": 0}),
    "replace": ([{"op": "replace", "path": "/spec/a~1b", "value": 1}], {"list": [1, 2], "a/b": 1}),
    "move": ([{"op": "move", "from": "/spec/list", "path": "/spec/new"}], {"new": [1, 2], "a/b": 0}),
    "copy": ([{"op": "copy", "from": "/spec/list/1", "path": "/spec/new"}], {"list": [1, 2], "a/b": 0, "new": 2}),
    "test": ([{"op": "test", "path": "/spec/list/1", "value": 2}], {"list": [1, 2], "a/b": 0}),
    "test, then write": (
        [{"op": "test", "path": "/spec/a~1b", "value": 0}, {"op": "replace", "path": "/spec/a~1b", "value": 2}],
        {"list": [1, 2], "a/b": 2},
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_json_patch_applies_its_operations(nodes: Things, name: str) -> None:
    nodes.made(spec={"list": [1, 2], "a/b": 0})
    operations, expected = OPERATIONS[name]
    drop = [{"op": "remove", "path": "/spec/size"}, {"op": "remove", "path": "/spec/state"}]
    answer = nodes.patch([*operations, *drop], JSON_PATCH)
    assert (200, expected) == (answer.status, answer["spec"])


@of("bound pods", "expressnodes")
@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/metadata/name", "value": "other"},
        {"op": "remove", "path": "/metadata/none"},
        {"op": "remove", "path": "/none/none"},
        {"op": "sing", "path": "/metadata/name"},
    ],
    ids=lambda operation: f"{operation['op']} {operation['path']}",
)
def test_one_failed_operation_fails_the_whole_patch(things: Things, operation: Json) -> None:
    made = things.made()
    first = {"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}
    assert things.patch([first, operation], JSON_PATCH).refusal == (422, "Invalid")
    assert things.get().body == made


@of("pods", "expressnodes")
@pytest.mark.parametrize(
    "metadata",
    [{"labels": {"a": "bad value"}}, {"annotations": {"bad key": "b"}}, {"annotations": {"a": 1}}, {"labels": "a=b"}],
    ids=str,
)
def test_a_patch_is_validated(things: Things, metadata: Json) -> None:
    made = things.made()
    assert things.patch({"metadata": metadata}).refusal == (422, "Invalid")
    assert things.get().body == made


@of("pods", "bound pods")
@pytest.mark.parametrize("spec", [{"hostname": "other"}, {"terminationGracePeriodSeconds": 5}, {"nodeName": "other"}])
def test_most_of_a_pods_spec_cannot_be_changed(things: Things, spec: Json) -> None:
    made = things.made()
    answer = things.patch({"spec": spec})
    assert answer.refusal == (422, "Invalid")
    assert ("spec", "FieldValueForbidden") in answer.causes
    assert things.get().body == made


def test_a_pods_image_can_be_changed(bound: Things) -> None:
    bound.made()
    (container,) = bound.patch({"spec": {"containers": [{"name": "app", "image": "app:2"}]}}, STRATEGIC)["spec"][
        "containers"
    ]
    assert container["image"] == "app:2"


def test_a_pods_deadline_can_be_set(bound: Things) -> None:
    bound.made()
    assert bound.patch({"spec": {"activeDeadlineSeconds": 60}})["spec"]["activeDeadlineSeconds"] == 60


def test_a_pods_tolerations_can_be_added_to(bound: Things) -> None:
    have = bound.made()["spec"].get("tolerations", [])
    more = {"key": "a", "operator": "Exists"}
    assert more in bound.patch({"spec": {"tolerations": [*have, more]}})["spec"]["tolerations"]


# Which one is meant


@of()
@pytest.mark.parametrize("content_type", [MERGE, JSON_PATCH])
def test_a_patch_of_another_version_is_refused(things: Things, content_type: str) -> None:
    made = things.made()
    operations = [{"op": "add", "path": "/metadata/resourceVersion", "value": "1"}]
    answer = things.patch(STALE if content_type == MERGE else operations, content_type)
    assert answer.refusal == (409, "Conflict")
    assert answer["message"].endswith("please apply your changes to the latest version and try again")
    assert answer["details"] == {"name": things.name, **things.kind.details}
    assert things.get().body == made


@of()
def test_a_patch_of_this_version_is_taken(things: Things) -> None:
    made = things.made()
    version = {"resourceVersion": made["metadata"]["resourceVersion"]}
    assert things.patch({"metadata": {**version, "labels": {"a": "b"}}}).status == 200
    assert things.patch({"metadata": {**version, "labels": {"a": "c"}}}).refusal == (409, "Conflict")


@of()
def test_a_patch_of_another_uid_is_refused(things: Things) -> None:
    made = things.made()
    answer = things.patch({"metadata": {"uid": "other", "labels": {"a": "b"}}})
    assert answer.refusal == (422, "Invalid")
    assert ("metadata.uid", "FieldValueInvalid") in answer.causes
    assert things.get().body == made


@of()
def test_a_patch_of_this_uid_is_taken(things: Things) -> None:
    uid = things.made()["metadata"]["uid"]
    assert things.patch({"metadata": {"uid": uid, "labels": {"a": "b"}}}).status == 200


@of("pods", "expressnodes", "leases")
@pytest.mark.parametrize("field", ["name", "namespace"])
def test_a_patch_cannot_change_name_or_namespace(things: Things, field: str) -> None:
    things.made()
    assert things.patch({"metadata": {field: "other"}}).refusal == (400, "BadRequest")


# PUT


@of()
def test_a_put_replaces_this_version_once(things: Things) -> None:
    made = things.made(annotations={"a": "1"})
    changed = {**made, "metadata": {**made["metadata"], "annotations": {"b": "2"}}}
    answer = things.put(changed)
    assert (200, {"b": "2"}) == (answer.status, answer.metadata["annotations"])
    assert things.put(changed).refusal == (409, "Conflict")


@of()
def test_a_put_that_changes_nothing_keeps_the_version(things: Things) -> None:
    made = things.made()
    assert (200, made) == ((answer := things.put(made)).status, answer.body)


@of()
def test_a_put_of_another_uid_is_refused(things: Things) -> None:
    made = things.made()
    answer = things.put({**made, "metadata": {**made["metadata"], "uid": "other", "labels": {"a": "b"}}})
    assert answer.refusal == (409, "Conflict")
    assert things.get().body == made


@of("expressnodes", "leases")
def test_a_put_must_name_a_version(things: Things) -> None:
    things.made()
    answer = things.put(things.new())
    assert answer.refusal == (422, "Invalid")
    assert answer.causes == [("metadata.resourceVersion", "FieldValueInvalid")]


@of("pods", "events")
def test_some_types_take_a_put_without_a_version(things: Things) -> None:
    made = things.made()
    del made["metadata"]["resourceVersion"]
    assert things.put({**made, "metadata": {**made["metadata"], "labels": {"a": "b"}}}).metadata["labels"] == {"a": "b"}


@of("pods", "expressnodes")
def test_a_put_creates_nothing(things: Things) -> None:
    obj = things.new(resourceVersion="5") if things.kind.kind == "ExpressNode" else things.new()
    assert things.put(obj).refusal == (404, "NotFound")


@of("leases", "events")
def test_a_put_creates_objects_of_some_types(things: Things) -> None:
    assert things.put(things.new()).status == 201
    assert things.get().status == 200


@of("pods", "expressnodes", "leases")
def test_a_put_must_have_the_name_in_its_path(api: Api, things: Things) -> None:
    made = things.made()
    made["metadata"]["name"] = "other"
    assert api.ask("PUT", things.path(), made).refusal == (400, "BadRequest")


# Status


def test_a_custom_resources_status_is_patched_only_through_its_subresource(nodes: Things) -> None:
    nodes.made()
    answer = nodes.patch({"status": {"state": "up"}, "spec": {"size": 2}}, subresource="status")
    assert (200, {"state": "up"}, 1) == (answer.status, answer["status"], answer["spec"]["size"])
    answer = nodes.patch({"status": {"state": "down"}, "spec": {"size": 3}})
    assert ({"state": "up"}, 3) == (answer["status"], answer["spec"]["size"])


def test_a_custom_resources_status_is_put_only_through_its_subresource(nodes: Things) -> None:
    made = nodes.made()
    answer = nodes.put({**made, "status": {"state": "up"}, "spec": {"size": 2}}, "status")
    assert (200, {"state": "up"}, 1) == (answer.status, answer["status"], answer["spec"]["size"])


def test_a_pods_status_is_written_only_through_its_subresource(bound: Things) -> None:
    bound.made()
    answer = bound.patch({"status": {"phase": "Running"}, "spec": {"hostname": "other"}}, subresource="status")
    assert (200, "Running") == (answer.status, answer["status"]["phase"])
    assert "hostname" not in answer["spec"]
    assert "Running" == bound.patch({"status": {"phase": "Failed"}})["status"]["phase"]


def test_a_pods_conditions_merge_by_type(bound: Things) -> None:
    bound.made()

    def patched(kind: str, status: str) -> Any:
        patch = {"status": {"conditions": [{"type": kind, "status": status}]}}
        return bound.patch(patch, STRATEGIC, subresource="status")["status"]["conditions"]

    patched("Ready", "False")
    patched("Other", "True")
    assert {("Ready", "True"), ("Other", "True")} == {(one["type"], one["status"]) for one in patched("Ready", "True")}


def test_a_status_patch_changes_metadata_of_a_pod_but_not_of_a_custom_resource(bound: Things, nodes: Things) -> None:
    bound.made()
    nodes.made()
    assert bound.patch(LABEL, subresource="status").metadata.get("labels") == {"a": "b"}
    assert "labels" not in nodes.patch(LABEL, subresource="status").metadata


@of("bound pods", "expressnodes")
def test_the_status_subresource_returns_the_whole_object(api: Api, things: Things) -> None:
    made = things.made()
    assert api.ask("GET", things.path(subresource="status")).body == made


@of("bound pods", "expressnodes")
def test_a_status_patch_of_another_version_is_refused(things: Things) -> None:
    things.made()
    answer = things.patch({"metadata": {"resourceVersion": "1"}, "status": {"reason": "x"}}, subresource="status")
    assert answer.refusal == (409, "Conflict")


def test_a_lease_has_no_status(api: Api, leases: Things) -> None:
    leases.made()
    assert api.ask("GET", leases.path(subresource="status")).refusal == (404, "NotFound")


# Generation


def test_a_custom_resources_generation_rises_with_its_spec(nodes: Things) -> None:
    assert nodes.made()["metadata"]["generation"] == 1
    assert nodes.patch({"spec": {"size": 2}}).metadata["generation"] == 2
    assert nodes.patch({"spec": {"size": 2}}).metadata["generation"] == 2


@pytest.mark.parametrize(("patch", "subresource"), [(LABEL, ""), ({"status": {"state": "up"}}, "status")])
def test_a_custom_resources_generation_stays_at_any_other_change(nodes: Things, patch: Json, subresource: str) -> None:
    nodes.made()
    assert nodes.patch(patch, subresource=subresource).metadata["generation"] == 1


def test_a_custom_resources_generation_rises_with_its_deletion(nodes: Things) -> None:
    nodes.made(finalizers=[FINALIZER])
    assert nodes.delete().metadata["generation"] == 2


@of("pods", "leases", "events")
def test_the_other_types_have_no_generation(things: Things) -> None:
    assert "generation" not in things.made()["metadata"]


# Dry runs


@of()
def test_a_dry_run_creates_nothing(things: Things) -> None:
    answer = things.post(things.new(), dryRun="All")
    assert answer.status == 201
    assert answer.metadata["uid"]
    assert "resourceVersion" not in answer.metadata
    assert things.gone


def written(things: Things, verb: str, made: Json) -> Answer:
    metadata = {**made["metadata"], "labels": {"a": "b"}}
    return (
        things.patch(LABEL, dryRun="All")
        if verb == "PATCH"
        else things.put({**made, "metadata": metadata}, dryRun="All")
    )


@of()
@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
def test_a_dry_run_changes_nothing(things: Things, verb: str) -> None:
    made = things.made()
    answer = written(things, verb, made)
    assert (200, {"a": "b"}) == (answer.status, answer.metadata["labels"])
    assert things.get().body == made


@of()
@pytest.mark.parametrize("where", ["body", "query"])
def test_a_dry_run_deletes_nothing(things: Things, where: str) -> None:
    made = things.made()
    answer = things.delete({"dryRun": ["All"]}) if where == "body" else things.delete(dryRun="All")
    assert answer.status == 200
    assert things.get().body == made


@of("pods", "bound pods")
def test_a_dry_run_of_a_deletion_returns_the_pod_as_it_would_be(things: Things) -> None:
    things.made()
    answer = things.delete({"dryRun": ["All"]})
    assert "deletionTimestamp" in answer.metadata
    assert answer.metadata["deletionGracePeriodSeconds"] == (30 if "nodeName" in answer["spec"] else 0)


def test_a_body_with_delete_options_overrules_dry_run_in_the_query(bound: Things) -> None:
    bound.made()
    assert bound.delete({}, dryRun="All").status == 200
    assert "deletionTimestamp" in bound.get().metadata


@of("bound pods", "expressnodes")
def test_a_dry_run_of_a_deletion_respects_finalizers(things: Things) -> None:
    made = things.made(finalizers=[FINALIZER])
    answer = things.delete({"dryRun": ["All"]})
    assert ([FINALIZER], True) == (answer.metadata["finalizers"], "deletionTimestamp" in answer.metadata)
    assert things.get().body == made


@of("bound pods", "expressnodes")
def test_a_dry_run_of_a_collection_deletes_nothing(api: Api, things: Things) -> None:
    made = things.made(labels={"of": things.name})
    answer = api.ask("DELETE", things.collection, labelSelector=f"of={things.name}", dryRun="All")
    assert (200, made) == (answer.status, things.get().body)


@of("bound pods", "expressnodes", "leases")
@pytest.mark.parametrize("precondition", ["uid", "resourceVersion"])
def test_a_dry_run_of_a_deletion_respects_preconditions(things: Things, precondition: str) -> None:
    things.made()
    options: Json = {"dryRun": ["All"], "preconditions": {precondition: "1"}}
    assert things.delete(options).refusal == (409, "Conflict")


@of("pods", "expressnodes")
def test_a_dry_run_is_refused_for_the_same_reasons(things: Things) -> None:
    assert things.delete({"dryRun": ["All"]}).refusal == (404, "NotFound")
    assert things.patch(LABEL, dryRun="All").refusal == (404, "NotFound")
    things.made()
    assert things.post(things.new(), dryRun="All").refusal == (409, "AlreadyExists")
    assert things.patch(STALE, dryRun="All").refusal == (409, "Conflict")


@of("pods", "expressnodes")
@pytest.mark.parametrize("verb", ["POST", "PATCH", "DELETE", "DELETE body"])
def test_an_unknown_value_of_dry_run_is_refused(things: Things, verb: str) -> None:
    if verb != "POST":
        things.made()
    ask = {
        "POST": lambda: things.post(things.new(), dryRun="Half"),
        "PATCH": lambda: things.patch(LABEL, dryRun="Half"),
        "DELETE": lambda: things.delete(dryRun="Half"),
        "DELETE body": lambda: things.delete({"dryRun": ["Half"]}),
    }
    assert ask[verb]().refusal == (422, "Invalid")
