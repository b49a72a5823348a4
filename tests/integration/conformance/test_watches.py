"""Which events a WATCH sends, from which version, and how it ends."""

from __future__ import annotations

import time
from itertools import islice

import pytest

from .things import FINALIZER, Things, of
from .wire import Api, Events, Json


def told(events: Events, number: int) -> list[tuple[str, Json]]:
    """Return the next events, without bookmarks."""
    return list(islice((event for event in events if event[0] != "BOOKMARK"), number))


def kinds(events: Events, number: int) -> list[str]:
    return [kind for kind, _ in told(events, number)]


def mine(things: Things) -> str:
    return f"metadata.name={things.name}"


@of()
@pytest.mark.parametrize("since", [{}, {"resourceVersion": "0"}, {"resourceVersion": ""}])
def test_a_watch_without_a_version_first_sends_the_objects_that_exist(api: Api, things: Things, since: Json) -> None:
    made = things.made()
    with api.watch(things.collection, fieldSelector=mine(things), **since) as events:
        assert next(events) == ("ADDED", made)
        things.patch({"metadata": {"labels": {"a": "b"}}})
        assert kinds(events, 1) == ["MODIFIED"]


@of()
def test_a_watch_from_a_lists_version_sends_every_later_change(api: Api, things: Things) -> None:
    since = things.version()
    made = things.made()
    patched = things.patch({"metadata": {"labels": {"a": "b"}}}).body
    things.delete(gracePeriodSeconds=0)
    with api.watch(things.collection, fieldSelector=mine(things), resourceVersion=since) as events:
        assert told(events, 2) == [("ADDED", made), ("MODIFIED", patched)]
        assert "DELETED" in kinds(events, 1 if things.kind.kind != "Pod" else 2)


@of()
def test_a_watch_from_an_objects_version_sends_only_later_changes(api: Api, things: Things) -> None:
    made = things.made()
    patched = things.patch({"metadata": {"labels": {"a": "b"}}}).body
    since = made["metadata"]["resourceVersion"]
    with api.watch(things.collection, fieldSelector=mine(things), resourceVersion=since) as events:
        assert told(events, 1) == [("MODIFIED", patched)]


@of()
def test_a_watch_sends_a_change_when_it_happens(api: Api, things: Things) -> None:
    with api.watch(things.collection, fieldSelector=mine(things), resourceVersion=things.version()) as events:
        made = things.made()
        assert next(events) == ("ADDED", made)
        patched = things.patch({"metadata": {"labels": {"a": "b"}}}).body
        assert next(events) == ("MODIFIED", patched)


def test_a_forced_deletion_of_a_bound_pod_sends_two_events(api: Api, bound: Things) -> None:
    bound.made()
    with api.watch(bound.collection, fieldSelector=mine(bound), resourceVersion=bound.version()) as events:
        bound.delete({"gracePeriodSeconds": 0})
        (first, modified), (second, deleted) = told(events, 2)
    assert ("MODIFIED", "DELETED") == (first, second)
    assert (0, 0) == tuple(pod["metadata"]["deletionGracePeriodSeconds"] for pod in (modified, deleted))


def test_a_termination_sends_an_event_for_each_step(api: Api, bound: Things) -> None:
    bound.made()
    since = bound.version()
    for seconds in (20, 10, 0):
        bound.delete({"gracePeriodSeconds": seconds})
    with api.watch(bound.collection, fieldSelector=mine(bound), resourceVersion=since) as events:
        seen = told(events, 4)
    graces = [pod["metadata"]["deletionGracePeriodSeconds"] for _, pod in seen]
    assert (["MODIFIED", "MODIFIED", "MODIFIED", "DELETED"], [20, 10, 0, 0]) == ([kind for kind, _ in seen], graces)


@of("expressnodes", "leases")
def test_a_deletion_sends_the_last_state_with_a_new_version(api: Api, things: Things) -> None:
    made = things.made()
    with api.watch(things.collection, fieldSelector=mine(things), resourceVersion=things.version()) as events:
        things.delete()
        kind, gone = next(events)
    assert (kind, gone["metadata"]["uid"]) == ("DELETED", made["metadata"]["uid"])
    assert int(gone["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


@of("pods", "expressnodes")
def test_the_removal_of_the_last_finalizer_is_a_deletion(api: Api, things: Things) -> None:
    things.made(finalizers=[FINALIZER])
    things.delete()
    with api.watch(things.collection, fieldSelector=mine(things), resourceVersion=things.version()) as events:
        things.patch({"metadata": {"finalizers": None}})
        assert "DELETED" in kinds(events, 1)


@of()
def test_versions_only_rise(api: Api, things: Things) -> None:
    since = things.version()
    things.made()
    for value in "abc":
        things.patch({"metadata": {"labels": {"a": value}}})
    with api.watch(things.collection, fieldSelector=mine(things), resourceVersion=since) as events:
        versions = [int(obj["metadata"]["resourceVersion"]) for _, obj in told(events, 4)]
    assert sorted(set(versions)) == versions


@of("pods", "bound pods", "expressnodes")
def test_an_old_incarnation_and_a_new_one_differ_in_their_uid(api: Api, things: Things) -> None:
    with api.watch(things.collection, fieldSelector=mine(things), resourceVersion=things.version()) as events:
        old = things.made()["metadata"]["uid"]
        things.delete(gracePeriodSeconds=0)
        new = things.made()["metadata"]["uid"]
        seen = [(kind, obj["metadata"]["uid"]) for kind, obj in told(events, 4 if things.kind.kind == "Pod" else 3)]
    assert seen[0] == ("ADDED", old)
    assert seen[-2:] == [("DELETED", old), ("ADDED", new)]


# Selectors


@of("pods", "expressnodes", "leases")
def test_a_change_of_labels_adds_an_object_to_a_watch_or_removes_it(api: Api, things: Things) -> None:
    things.made()
    selected = f"of={things.name}"
    with api.watch(things.collection, labelSelector=selected, resourceVersion=things.version()) as events:
        for labels in ({"of": things.name}, {"of": "other"}, {"of": things.name}, {"a": "b"}):
            answer = things.patch({"metadata": {"labels": labels}})
        seen = told(events, 4)
    assert [kind for kind, _ in seen] == ["ADDED", "DELETED", "ADDED", "MODIFIED"]
    # What leaves is shown as it was, at the version at which it left.
    assert seen[1][1]["metadata"]["labels"] == {"of": things.name}
    assert seen[3][1] == answer.body


def test_a_change_of_phase_adds_a_pod_to_a_watch_or_removes_it(api: Api, bound: Things) -> None:
    bound.made()
    selected = f"{mine(bound)},status.phase=Running"
    with api.watch(bound.collection, fieldSelector=selected, resourceVersion=bound.version()) as events:
        for phase in ("Running", "Failed"):
            bound.patch({"status": {"phase": phase}}, subresource="status")
        assert kinds(events, 2) == ["ADDED", "DELETED"]


@of("pods", "expressnodes")
def test_an_object_that_is_not_selected_sends_no_event(api: Api, things: Things) -> None:
    with api.watch(things.collection, fieldSelector=mine(things), resourceVersion=things.version()) as events:
        things.made("other")
        things.made()
        assert next(events)[1]["metadata"]["name"] == things.name


@of("pods", "expressnodes")
def test_all_namespaces_are_watched_at_once(api: Api, things: Things) -> None:
    path = things.collection.replace(f"/namespaces/{api.namespace}", "")
    with api.watch(path, fieldSelector=mine(things), resourceVersion=things.version()) as events:
        made = things.made()
        assert next(events) == ("ADDED", made)


@of("pods", "expressnodes")
def test_one_object_is_read_at_its_own_path_and_not_watched(things: Things) -> None:
    made = things.made()
    assert (200, made) == ((answer := things.get(watch="true")).status, answer.body)


@of("pods", "expressnodes")
def test_a_watch_refuses_a_selector_with_an_unknown_field(api: Api, things: Things) -> None:
    answer = api.ask("GET", things.collection, watch="true", fieldSelector="spec.unheard=a")
    assert answer.refusal == (400, "BadRequest")


@pytest.mark.parametrize("word", ["1", "true"])
def test_a_watch_is_asked_for_by_true_or_1(api: Api, leases: Things, word: str) -> None:
    made = leases.made()
    with api.watch(leases.collection, fieldSelector=mine(leases), watch=word) as events:
        assert next(events) == ("ADDED", made)


# Ends


def test_a_watch_from_an_expired_version_gets_the_error_in_its_stream(api: Api, nodes: Things) -> None:
    """For custom resources, since a new API server still has version 1 of its built-in types."""
    with api.watch(nodes.collection, resourceVersion="1") as events:
        ((kind, status),) = events
    assert (kind, status["kind"], status["status"]) == ("ERROR", "Status", "Failure")
    assert (410, "Expired") == (status["code"], status["reason"])
    assert "too old" in status["message"]


@of("pods", "expressnodes")
def test_the_version_of_a_watch_must_be_a_number(api: Api, things: Things) -> None:
    assert api.ask("GET", things.collection, watch="true", resourceVersion="new").status >= 400


@of("pods", "expressnodes")
def test_a_timeout_ends_a_watch_cleanly(api: Api, things: Things) -> None:
    """It ends without a bookmark: the first one is due after a minute, whatever the timeout is.

    This test does not wait that long. A real API server (1.20) sent it after 60.1 to 60.8 s.
    """
    asked = {"fieldSelector": mine(things), "resourceVersion": things.version(), "allowWatchBookmarks": "true"}
    begun = time.monotonic()
    with api.watch(things.collection, **asked, timeoutSeconds=1) as events:
        assert list(events) == []
    assert time.monotonic() - begun > 0.9


@of("pods", "expressnodes")
def test_two_watches_get_the_same_events(api: Api, things: Things) -> None:
    asked = {"fieldSelector": mine(things), "resourceVersion": things.version()}
    with api.watch(things.collection, **asked) as one, api.watch(things.collection, **asked) as other:
        things.made()
        things.patch({"metadata": {"labels": {"a": "b"}}})
        assert told(one, 2) == told(other, 2)
