"""What a POST does with an object, and what it refuses."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .things import FINALIZER, Things, of
from .wire import Api, Json


@of()
def test_a_created_object_gets_uid_version_and_time(things: Things) -> None:
    answer = things.post(things.new())
    assert answer.status == 201
    assert (things.kind.api_version, things.kind.kind) == (answer["apiVersion"], answer["kind"])
    assert (things.name, things.api.namespace) == (answer.metadata["name"], answer.metadata["namespace"])
    assert answer.metadata["resourceVersion"].isdecimal()
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer.metadata["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer.metadata["creationTimestamp"])


@of()
def test_what_is_created_can_be_read(things: Things) -> None:
    made = things.made()
    assert (200, made) == (things.get().status, things.get().body)


@of()
def test_a_second_object_of_the_same_name_is_refused(things: Things) -> None:
    things.made()
    answer = things.post(things.new())
    assert answer.refusal == (409, "AlreadyExists")
    assert answer["details"] == {"name": things.name, **things.kind.details}
    assert answer["message"].endswith(f'"{things.name}" already exists')


@of("bound pods", "expressnodes")
def test_a_second_object_is_refused_while_the_first_terminates(things: Things) -> None:
    things.made(finalizers=[FINALIZER])
    things.delete()
    answer = things.post(things.new())
    assert answer.refusal == (409, "AlreadyExists")
    assert answer["message"].startswith("object is being deleted: ")


@of()
def test_the_next_object_of_the_same_name_has_another_uid(things: Things) -> None:
    first = things.made()
    things.delete(gracePeriodSeconds=0)
    assert things.made()["metadata"]["uid"] != first["metadata"]["uid"]


@of()
def test_a_client_cannot_set_the_servers_metadata(things: Things) -> None:
    claimed: Json = {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z"}
    claimed |= {"deletionTimestamp": "2001-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5}
    metadata = things.made(**claimed)["metadata"]
    assert metadata["uid"] != "mine"
    assert metadata["creationTimestamp"] > "2020"
    assert {"deletionTimestamp", "deletionGracePeriodSeconds"}.isdisjoint(metadata)


@of()
def test_an_object_to_be_created_has_no_version(things: Things) -> None:
    assert things.post(things.new(resourceVersion="1")).status == 500
    assert things.gone


@of()
def test_labels_annotations_and_owners_are_kept(things: Things) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "some", "uid": "1-2-3", "controller": True}
    given: Json = {"labels": {"a.b/c": "d", "e": ""}, "annotations": {"f": "g h\n"}, "ownerReferences": [owner]}
    metadata = things.made(finalizers=[FINALIZER], **given)["metadata"]
    assert given | {"finalizers": [FINALIZER]} == {key: metadata[key] for key in (*given, "finalizers")}


@of()
def test_empty_metadata_is_left_out(things: Things) -> None:
    metadata = things.made(labels={}, annotations={}, finalizers=[], ownerReferences=[])["metadata"]
    assert {"labels", "annotations", "finalizers", "ownerReferences"}.isdisjoint(metadata)


@of("pods", "expressnodes")
def test_a_status_is_dropped_at_creation(things: Things) -> None:
    made = things.post({**things.new(), "status": {"phase": "Running", "reason": "Early"}})
    assert "Early" != (made.body.get("status") or {}).get("reason")


@of("pods", "leases", "events")
def test_kind_and_version_can_be_left_out(things: Things) -> None:
    bare = {key: value for key, value in things.new().items() if key not in ("apiVersion", "kind")}
    assert things.post(bare).status == 201


def test_a_custom_resource_must_name_its_kind(nodes: Things) -> None:
    bare = {key: value for key, value in nodes.new().items() if key != "kind"}
    assert nodes.post(bare).refusal == (400, "BadRequest")


@of("pods", "leases")
def test_another_kind_than_the_paths_is_refused(things: Things) -> None:
    assert things.post({**things.new(), "kind": "Other"}).refusal == (400, "BadRequest")


def test_another_kind_of_custom_resource_than_the_paths_is_refused(nodes: Things) -> None:
    answer = nodes.post({**nodes.new(), "kind": "Other"})
    assert (answer.refusal, answer.causes) == ((422, "Invalid"), [("kind", "FieldValueInvalid")])


@of("pods", "expressnodes", "leases")
@pytest.mark.parametrize("version", ["v9", "other.example.com/v1"])
def test_another_version_than_the_paths_is_refused(things: Things, version: str) -> None:
    assert things.post({**things.new(), "apiVersion": version}).refusal == (400, "BadRequest")


@of("pods", "expressnodes", "leases")
def test_another_namespace_than_the_paths_is_refused(things: Things) -> None:
    answer = things.post(things.new(namespace="other"))
    assert answer.refusal == (400, "BadRequest")
    assert answer["message"].startswith("the namespace of the provided object does not match")


@of("pods", "expressnodes", "leases")
def test_a_namespace_must_exist(api: Api, things: Things) -> None:
    answer = api.ask("POST", things.collection.replace(api.namespace, "none-such"), things.new())
    assert answer.refusal == (404, "NotFound")
    assert answer["details"] == {"name": "none-such", "kind": "namespaces"}


# Names


@of()
def test_generated_names_have_the_prefix_and_differ(things: Things) -> None:
    def generated() -> str:
        obj = things.new(generateName=f"{things.name}-")
        del obj["metadata"]["name"]
        answer = things.post(obj)
        assert (201, f"{things.name}-") == (answer.status, answer.metadata["generateName"])
        return str(answer.metadata["name"])

    names = {generated() for _ in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch(f"{things.name}-[a-z0-9]{{5}}", name) for name in names)


def test_a_long_prefix_is_cut(leases: Things) -> None:
    answer = leases.post({"metadata": {"generateName": "a" * 80}})
    assert answer.metadata["name"].startswith("a" * 58)
    assert len(answer.metadata["name"]) == 63


@of("pods", "expressnodes")
def test_a_given_name_takes_precedence_over_a_generated_one(things: Things) -> None:
    assert things.made(generateName="other-")["metadata"]["name"] == things.name


@of("pods", "expressnodes", "leases")
def test_without_a_name_nothing_is_created(things: Things) -> None:
    answer = things.post({**things.new(), "metadata": {}})
    assert answer.refusal == (422, "Invalid")
    assert ("metadata.name", "FieldValueRequired") in answer.causes


@of("pods", "expressnodes", "leases")
@pytest.mark.parametrize(
    "name",
    ["Upper", "under_score", "-begin", "end-", ".begin", "end.", "two..dots", "dot.-dash", "a b", "é", "a" * 254],
)
def test_a_name_must_be_a_dns_subdomain(things: Things, name: str) -> None:
    answer = things.post(things.new(name=name))
    assert answer.refusal == (422, "Invalid")
    assert ("metadata.name", "FieldValueInvalid") in answer.causes


@of("pods", "expressnodes", "leases")
@pytest.mark.parametrize("name", ["a/b", "a%b", ".", ".."])
def test_a_name_that_cannot_be_in_a_path_is_refused(things: Things, name: str) -> None:
    assert things.post(things.new(name=name)).refusal == (422, "Invalid")


@of("pods", "expressnodes")
@pytest.mark.parametrize("rest", [".dot", "-dash", "0", "a" * 242])
def test_unusual_names_that_are_valid_are_accepted(things: Things, rest: str) -> None:
    assert things.made(rest)["metadata"]["name"] == things.name + rest


@of("pods", "expressnodes")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", {"bad key": "a"}),
        ("labels", {"/a": "a"}),
        ("labels", {"a": "bad value"}),
        ("labels", {"a": "x" * 64}),
        ("annotations", {"bad key": "a"}),
        ("finalizers", ["bad name"]),
    ],
)
def test_an_invalid_label_annotation_or_finalizer_is_refused(things: Things, field: str, value: Any) -> None:
    answer = things.post(things.new(**{field: value}))
    assert answer.refusal == (422, "Invalid")
    assert answer.causes[0][0].startswith(f"metadata.{field}")


@of("pods", "expressnodes")
@pytest.mark.parametrize(("field", "value"), [("labels", {"a": 1}), ("annotations", {"a": True}), ("finalizers", "a")])
def test_metadata_of_another_type_is_refused(things: Things, field: str, value: Any) -> None:
    assert things.post(things.new(**{field: value})).refusal == (400, "BadRequest")


# Pods


def test_a_pods_defaults(pods: Things) -> None:
    obj = pods.new()
    del obj["spec"]["schedulerName"]
    spec = pods.post(obj, dryRun="All")["spec"]
    assert {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    }.items() <= spec.items()


def test_a_containers_defaults(pods: Things) -> None:
    (container,) = pods.made()["spec"]["containers"]
    assert {
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }.items() <= container.items()


@pytest.mark.parametrize(("image", "policy"), [("a", "Always"), ("a:latest", "Always"), ("r:5000/a:1", "IfNotPresent")])
def test_the_latest_image_is_always_pulled(pods: Things, image: str, policy: str) -> None:
    (container,) = pods.made(spec={"containers": [{"name": "app", "image": image}]})["spec"]["containers"]
    assert container["imagePullPolicy"] == policy


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_a_probes_defaults(pods: Things, probe: str) -> None:
    container = {"name": "app", "image": "a:1", probe: {"exec": {"command": ["true"]}}}
    (made,) = pods.made(spec={"containers": [container]})["spec"]["containers"]
    assert made[probe] == {
        "exec": {"command": ["true"]},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


@of("pods", "bound pods")
def test_a_new_pod_is_pending(things: Things) -> None:
    status = things.made()["status"]
    assert ("Pending", "BestEffort") == (status["phase"], status["qosClass"])


@pytest.mark.parametrize("spec", [{"containers": []}, {"containers": None}])
def test_a_pod_must_have_a_container(pods: Things, spec: Json) -> None:
    answer = pods.post(pods.new(spec=spec))
    assert answer.refusal == (422, "Invalid")
    assert answer.causes[0] == ("spec.containers", "FieldValueRequired")


# Fields that the type does not have


def test_an_unknown_field_of_a_pod_is_dropped(pods: Things) -> None:
    assert "unheard" not in pods.made(spec={"unheard": 1})["spec"]


def test_an_unknown_field_of_a_custom_resource_is_kept(nodes: Things) -> None:
    assert nodes.made(spec={"unheard": {"of": [1, None, "two"]}})["spec"]["unheard"] == {"of": [1, None, "two"]}


def test_a_field_of_another_type_is_refused(pods: Things) -> None:
    assert pods.post(pods.new(spec={"terminationGracePeriodSeconds": "long"})).refusal == (400, "BadRequest")
