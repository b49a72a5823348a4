"""What a DELETE does: with grace periods, preconditions and finalizers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from real_cluster import till

from .things import FINALIZER, Things, of
from .wire import JSON_PATCH, LONGEST_ANSWER, MERGE, STRATEGIC, Api, Json


def grace(obj: Any) -> Any:
    return obj["metadata"].get("deletionGracePeriodSeconds")


def ends(obj: Any) -> datetime:
    return datetime.fromisoformat(obj["metadata"]["deletionTimestamp"])


@of("expressnodes", "leases", "events")
def test_an_object_other_than_a_pod_is_gone_at_once_and_the_answer_is_a_status(things: Things) -> None:
    made = things.made()
    answer = things.delete()
    assert (200, "Status", "v1", "Success") == (answer.status, answer["kind"], answer["apiVersion"], answer["status"])
    assert answer["details"] == {"name": things.name, **things.kind.details, "uid": made["metadata"]["uid"]}
    assert things.gone


@of("expressnodes", "leases")
def test_an_object_other_than_a_pod_has_no_grace_period(things: Things) -> None:
    things.made()
    assert things.delete(gracePeriodSeconds=30).status == 200
    assert things.gone


@of()
def test_an_unknown_object_cannot_be_deleted(things: Things) -> None:
    answer = things.delete()
    assert answer.refusal == (404, "NotFound")
    assert answer["details"] == {"name": things.name, **things.kind.details}


@pytest.mark.parametrize("seconds", [None, 0, 20])
def test_an_unbound_pod_is_gone_at_once(pods: Things, seconds: int | None) -> None:
    made = pods.made()
    answer = pods.delete({} if seconds is None else {"gracePeriodSeconds": seconds})
    assert (200, "Pod", made["metadata"]["uid"]) == (answer.status, answer["kind"], answer.metadata["uid"])
    assert pods.gone


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_is_gone_at_once(bound: Things, phase: str) -> None:
    bound.made()
    assert bound.patch({"status": {"phase": phase}}, subresource="status").status == 200
    assert bound.delete().status == 200
    assert bound.gone


def test_a_bound_pod_stays_for_its_grace_period(bound: Things) -> None:
    made = bound.made()
    answer = bound.delete()
    assert (200, "Pod", made["metadata"]["uid"], 30) == (
        answer.status,
        answer["kind"],
        answer.metadata["uid"],
        grace(answer),
    )
    assert bound.get().body == answer.body


@pytest.mark.parametrize("seconds", [1, 7, 3600])
def test_the_grace_period_is_the_pods_own(bound: Things, seconds: int) -> None:
    bound.made(spec={"terminationGracePeriodSeconds": seconds})
    assert grace(bound.delete()) == seconds


def test_a_pods_own_grace_period_can_be_0(bound: Things) -> None:
    bound.made(spec={"terminationGracePeriodSeconds": 0})
    assert bound.delete().status == 200
    assert bound.gone


@pytest.mark.parametrize("seconds", [1, 10, 3600])
def test_a_grace_period_can_be_given(bound: Things, seconds: int) -> None:
    made = bound.made()
    answer = bound.delete({"gracePeriodSeconds": seconds})
    assert grace(answer) == seconds
    lasts = ends(answer) - datetime.fromisoformat(made["metadata"]["creationTimestamp"])
    assert timedelta(seconds=seconds) <= lasts <= timedelta(seconds=seconds + 2 * LONGEST_ANSWER)


def test_a_grace_period_of_0_is_force(bound: Things) -> None:
    bound.made()
    answer = bound.delete({"gracePeriodSeconds": 0})
    assert (200, "Pod") == (answer.status, answer["kind"])
    assert bound.gone


def test_a_negative_grace_period_is_force_too(bound: Things) -> None:
    bound.made()
    assert bound.delete({"gracePeriodSeconds": -1}).status == 200
    assert bound.gone


@pytest.mark.parametrize("options", [None, {}, {"gracePeriodSeconds": 30}, {"gracePeriodSeconds": 60}])
def test_a_second_delete_with_no_shorter_grace_period_changes_nothing(bound: Things, options: Json | None) -> None:
    bound.made()
    first = bound.delete()
    assert (200, first.body) == ((second := bound.delete(options)).status, second.body)
    assert bound.get().body == first.body


@pytest.mark.parametrize("seconds", [1, 10])
def test_a_second_delete_can_shorten_the_grace_period(bound: Things, seconds: int) -> None:
    bound.made()
    first = bound.delete()
    second = bound.delete({"gracePeriodSeconds": seconds})
    assert (seconds, 30 - seconds) == (grace(second), (ends(first) - ends(second)).total_seconds())


def test_a_second_delete_can_end_it(bound: Things) -> None:
    bound.made()
    bound.delete()
    assert bound.delete({"gracePeriodSeconds": 0}).status == 200
    assert bound.gone


def test_a_deletion_raises_the_version(bound: Things) -> None:
    made = bound.made()
    answer = bound.delete()
    assert int(answer.metadata["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


def test_a_terminating_pod_can_still_be_patched(bound: Things) -> None:
    bound.made()
    bound.delete()
    answer = bound.patch({"metadata": {"annotations": {"a": "b"}}})
    assert (200, {"a": "b"}, 30) == (answer.status, answer.metadata["annotations"], grace(answer))


@of()
def test_a_patch_can_neither_undo_nor_begin_a_deletion(things: Things) -> None:
    things.made()
    stamp = {"deletionTimestamp": "2001-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5}
    things.patch({"metadata": stamp})
    assert "deletionTimestamp" not in things.get().metadata


# Options


def test_delete_options_can_be_in_the_query(bound: Things) -> None:
    bound.made()
    assert grace(bound.delete(gracePeriodSeconds=5)) == 5


@pytest.mark.parametrize("body", [{}, {"propagationPolicy": "Background"}, {"gracePeriodSeconds": 9}])
def test_delete_options_in_the_body_overrule_those_in_the_query(bound: Things, body: Json) -> None:
    bound.made()
    answer = bound.delete(body, gracePeriodSeconds=5)
    assert (200, body.get("gracePeriodSeconds", 30)) == (answer.status, grace(answer))


@pytest.mark.parametrize("named", [{}, {"kind": "DeleteOptions", "apiVersion": "v1"}])
@of("bound pods", "expressnodes")
def test_delete_options_can_name_their_kind(things: Things, named: Json) -> None:
    things.made()
    assert things.delete({**named, "propagationPolicy": "Background"}).status == 200


@of("bound pods", "expressnodes")
@pytest.mark.parametrize("where", ["body", "query"])
def test_an_unknown_propagation_policy_is_refused(things: Things, where: str) -> None:
    things.made()
    policy = "Sideways"
    answer = things.delete({"propagationPolicy": policy} if where == "body" else None, propagationPolicy=policy)
    assert answer.refusal == (422, "Invalid")
    assert "deletionTimestamp" not in things.get().metadata


@of("bound pods", "expressnodes")
@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"gracePeriodSeconds": "x"}', b'{"kind": "Other", "apiVersion": "v1"}']
)
def test_malformed_delete_options_are_refused(api: Api, things: Things, body: bytes) -> None:
    things.made()
    assert api.ask("DELETE", things.path(), body).status >= 400
    assert "deletionTimestamp" not in things.get().metadata


# Preconditions


@of("bound pods", "pods", "expressnodes", "leases", "events")
def test_a_delete_with_another_uid_is_refused(things: Things) -> None:
    made = things.made()
    answer = things.delete({"preconditions": {"uid": "other"}})
    assert answer.refusal == (409, "Conflict")
    assert (
        f"the UID in the precondition (other) does not match the UID in record ({made['metadata']['uid']})"
        in (answer["message"])
    )
    assert answer["details"]["name"] == things.name
    assert things.get().body == made


@of("bound pods", "pods", "expressnodes", "leases")
def test_a_delete_with_another_version_is_refused(things: Things) -> None:
    made = things.made()
    assert things.delete({"preconditions": {"resourceVersion": "1"}}).refusal == (409, "Conflict")
    assert things.get().body == made


@of("bound pods", "pods", "expressnodes", "leases")
@pytest.mark.parametrize("which", [["uid"], ["resourceVersion"], ["uid", "resourceVersion"]])
def test_a_delete_with_the_right_precondition_deletes(things: Things, which: list[str]) -> None:
    made = things.made()
    assert things.delete({"preconditions": {key: made["metadata"][key] for key in which}}).status == 200
    assert things.gone or "deletionTimestamp" in things.get().metadata


@of("bound pods", "expressnodes")
@pytest.mark.parametrize("wrong", ["uid", "resourceVersion"])
def test_both_preconditions_must_hold(things: Things, wrong: str) -> None:
    metadata = things.made()["metadata"]
    asked = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"], wrong: "1"}
    assert things.delete({"preconditions": asked}).refusal == (409, "Conflict")


@of("bound pods", "pods", "expressnodes")
def test_a_delete_of_an_unknown_object_with_a_precondition_is_not_found(things: Things) -> None:
    assert things.delete({"preconditions": {"uid": "other"}}).refusal == (404, "NotFound")


@of("bound pods", "expressnodes")
def test_preconditions_are_checked_while_an_object_terminates(things: Things) -> None:
    uid = things.made(finalizers=[FINALIZER])["metadata"]["uid"]
    going = things.delete()
    assert things.delete({"preconditions": {"uid": "other"}}).refusal == (409, "Conflict")
    assert things.delete({"preconditions": {"uid": uid}}).status == 200
    assert things.get().body == going.body


@of("pods", "expressnodes")
def test_the_replacement_is_safe_from_its_predecessors_uid(things: Things) -> None:
    old = things.made()["metadata"]["uid"]
    things.delete({"preconditions": {"uid": old}})
    new = things.made()
    assert things.delete({"preconditions": {"uid": old}}).refusal == (409, "Conflict")
    assert things.get().body == new


# Finalizers


@of()
def test_a_finalizer_keeps_an_object(things: Things) -> None:
    made = things.made(finalizers=[FINALIZER])
    answer = things.delete()
    assert (200, things.kind.kind, made["metadata"]["uid"]) == (answer.status, answer["kind"], answer.metadata["uid"])
    assert "deletionTimestamp" in answer.metadata
    assert things.get().body == answer.body


@of("pods", "expressnodes", "leases")
def test_an_object_kept_by_a_finalizer_has_no_grace_period(things: Things) -> None:
    things.made(finalizers=[FINALIZER])
    assert grace(things.delete()) == 0


def test_force_does_not_override_a_finalizer(bound: Things) -> None:
    bound.made(finalizers=[FINALIZER])
    assert grace(bound.delete({"gracePeriodSeconds": 0})) == 0
    assert not bound.gone


@of("pods", "expressnodes", "leases")
def test_a_second_delete_does_not_override_a_finalizer(things: Things) -> None:
    things.made(finalizers=[FINALIZER])
    first = things.delete()
    second = things.delete()
    assert (200, first.body) == (second.status, second.body)
    assert things.get().body == first.body


REMOVALS = {
    "merge null": (MERGE, {"metadata": {"finalizers": None}}),
    "merge empty": (MERGE, {"metadata": {"finalizers": []}}),
    "JSON patch": (JSON_PATCH, [{"op": "remove", "path": "/metadata/finalizers"}]),
    "JSON patch of one": (JSON_PATCH, [{"op": "remove", "path": "/metadata/finalizers/0"}]),
}


@of("pods", "expressnodes", "leases")
@pytest.mark.parametrize("how", REMOVALS)
def test_a_patch_that_removes_the_last_finalizer_removes_the_object(things: Things, how: str) -> None:
    things.made(finalizers=[FINALIZER])
    things.delete()
    content_type, patch = REMOVALS[how]
    assert things.patch(patch, content_type).status == 200
    assert things.gone


def test_a_strategic_patch_can_remove_one_finalizer(pods: Things) -> None:
    pods.made(finalizers=[FINALIZER])
    pods.delete()
    assert pods.patch({"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}, STRATEGIC).status == 200
    assert pods.gone


@of("pods", "expressnodes", "leases")
def test_a_put_that_removes_the_last_finalizer_removes_the_object(things: Things) -> None:
    things.made(finalizers=[FINALIZER])
    going = things.delete().body
    assert things.put({**going, "metadata": {**going["metadata"], "finalizers": []}}).status == 200
    assert things.gone


@of("pods", "expressnodes")
def test_one_finalizer_of_two_keeps_an_object(things: Things) -> None:
    things.made(finalizers=[FINALIZER, "example.com/more"])
    things.delete()
    assert things.patch({"metadata": {"finalizers": ["example.com/more"]}}).metadata["finalizers"] == [
        "example.com/more"
    ]
    assert not things.gone


def test_a_bound_pod_without_its_finalizer_stays_for_its_grace_period(bound: Things) -> None:
    bound.made(finalizers=[FINALIZER])
    bound.delete()
    assert grace(bound.patch({"metadata": {"finalizers": None}})) == 30
    assert not bound.gone


@of()
def test_no_finalizer_can_be_added_while_an_object_terminates(things: Things) -> None:
    things.made(finalizers=[FINALIZER])
    going = things.delete()
    answer = things.patch({"metadata": {"finalizers": [FINALIZER, "example.com/more"]}})
    assert answer.refusal == (422, "Invalid")
    assert ("metadata.finalizers", "FieldValueForbidden") in answer.causes
    assert things.get().body == going.body


@of("pods", "expressnodes")
def test_finalizers_can_be_added_and_removed_before_a_deletion(things: Things) -> None:
    things.made()
    assert things.patch({"metadata": {"finalizers": [FINALIZER]}}).metadata["finalizers"] == [FINALIZER]
    assert "finalizers" not in things.patch({"metadata": {"finalizers": None}}).metadata
    things.delete()
    assert things.gone


# Collections


@of("bound pods", "expressnodes", "leases")
def test_a_collection_is_deleted_by_its_selector(api: Api, things: Things) -> None:
    for suffix in ("a", "b", "c"):
        things.made(suffix, labels={"of": things.name, "keep": str(suffix == "b")})
    selected = f"of={things.name},keep=False"
    answer = api.ask("DELETE", things.collection, {"gracePeriodSeconds": 0}, labelSelector=selected)
    assert (200, f"{things.kind.kind}List") == (answer.status, answer["kind"])
    assert things.listed() == {"b"}


def test_a_deleted_collection_of_bound_pods_stays_for_its_grace_period(api: Api, bound: Things) -> None:
    bound.made(labels={"of": bound.name})
    api.ask("DELETE", bound.collection, labelSelector=f"of={bound.name}")
    assert grace(bound.get()) == 30


def test_a_collection_without_a_selected_object_deletes_nothing(api: Api, nodes: Things) -> None:
    nodes.made()
    answer = api.ask("DELETE", nodes.collection, labelSelector=f"of={nodes.name}")
    assert (200, []) == (answer.status, answer["items"])
    assert not nodes.gone


# Owners


def owned_by(owner: Json, **more: Any) -> list[Json]:
    return [
        {"apiVersion": owner["apiVersion"], "kind": owner["kind"], **more}
        | {key: owner["metadata"][key] for key in ("name", "uid")}
    ]


@pytest.mark.parametrize("kind", ["pods", "leases"])
def test_the_objects_of_a_deleted_owner_are_deleted(pods: Things, leases: Things, kind: str) -> None:
    owner = leases.made("-owner")
    owned = {"pods": pods, "leases": leases}[kind]
    owned.made(ownerReferences=owned_by(owner, controller=True, blockOwnerDeletion=False))
    leases.delete({"propagationPolicy": "Background"}, suffix="-owner")
    till("the owned one gone", lambda: owned.gone)


def test_an_object_with_one_owner_left_of_two_stays(leases: Things) -> None:
    owners = [leases.made("-owner"), leases.made("-other")]
    leases.made(ownerReferences=[*owned_by(owners[0]), *owned_by(owners[1])])
    leases.made("-alone", ownerReferences=owned_by(owners[0]))
    leases.delete(suffix="-owner")
    till("the one with a single owner gone", lambda: leases.get("-alone").status == 404)
    assert not leases.gone


def test_orphans_stay(leases: Things) -> None:
    owner = leases.made("-owner")
    leases.made(ownerReferences=owned_by(owner))
    leases.delete({"propagationPolicy": "Orphan"}, suffix="-owner")
    till("the owner gone", lambda: leases.get("-owner").status == 404)
    assert (200, None) == ((left := leases.get()).status, left.metadata.get("ownerReferences"))


def test_a_foreground_deletion_waits_for_the_owned_objects(leases: Things) -> None:
    leases.made()
    answer = leases.delete({"propagationPolicy": "Foreground"})
    assert answer.metadata["finalizers"] == ["foregroundDeletion"]
    till("the owner gone", lambda: leases.gone)
