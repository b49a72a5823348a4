"""Watches: what they tell, from where on, and how they end."""

from __future__ import annotations

import time

import pytest
from sandbox_api import NODES, PODS, ask, bound, watching

from mecbounce.sandbox import Sandbox

pytest_plugins = ("mecbounce.sandbox.fixture",)


def version(sandbox: Sandbox) -> str:
    return str(ask(sandbox, "GET", PODS)[1]["metadata"]["resourceVersion"])


@pytest.mark.parametrize("since", ["", "&resourceVersion=0"])
def test_a_watch_without_a_version_tells_first_what_is_there(sandbox: Sandbox, since: str) -> None:
    sandbox.create(bound())
    with watching(sandbox, f"{PODS}?watch=1{since}") as events:
        kind, seen = next(events)
        assert (kind, seen["metadata"]["name"]) == ("ADDED", "held")


def test_a_watch_from_a_version_tells_all_that_came_after_in_order(sandbox: Sandbox) -> None:
    since = version(sandbox)
    sandbox.create(bound())
    sandbox.patch("pods", "held", {"metadata": {"labels": {"a": "b"}}})
    sandbox.delete("pods", "held")
    sandbox.delete("pods", "held", grace=0)
    with watching(sandbox, f"{PODS}?watch=1&resourceVersion={since}") as events:
        seen = [next(events) for _ in range(5)]
    assert [kind for kind, _ in seen] == ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]
    graces = [pod["metadata"].get("deletionGracePeriodSeconds") for _, pod in seen]
    assert graces == [None, None, 30, 0, 0]
    versions = [int(pod["metadata"]["resourceVersion"]) for _, pod in seen]
    assert sorted(set(versions)) == versions


def test_a_selector_makes_objects_come_and_go(sandbox: Sandbox) -> None:
    sandbox.create(bound())
    with watching(sandbox, f"{PODS}?watch=1&labelSelector=a%3Db&resourceVersion={version(sandbox)}") as events:
        for value in ("b", "b", "c"):
            sandbox.patch("pods", "held", {"metadata": {"labels": {"a": value}, "annotations": {"now": value}}})
        sandbox.patch("pods", "held", {"metadata": {"labels": {"a": "b"}}})
        sandbox.patch("pods", "held", {"metadata": {"annotations": {"now": "x"}}})
        assert [next(events)[0] for _ in range(4)] == ["ADDED", "DELETED", "ADDED", "MODIFIED"]


def test_an_expired_version_is_told_in_the_stream(sandbox: Sandbox) -> None:
    since = version(sandbox)
    sandbox.compact()
    with watching(sandbox, f"{PODS}?watch=1&resourceVersion={since}") as events:
        ((kind, status),) = events
    assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
    with watching(sandbox, f"{PODS}?watch=1&timeoutSeconds=1&resourceVersion={version(sandbox)}") as events:
        sandbox.create(bound())
        assert next(events)[0] == "ADDED"


def test_a_timeout_ends_a_watch_cleanly(sandbox: Sandbox) -> None:
    with watching(sandbox, f"{NODES}?watch=true&timeoutSeconds=0.1&allowWatchBookmarks=true") as events:
        assert list(events) == []


def test_dropped_watches_end_at_once(sandbox: Sandbox) -> None:
    with watching(sandbox, f"{NODES}?watch=true") as events:
        sandbox.drop_watches()
        assert list(events) == []


def test_watches_can_be_cut_off(sandbox: Sandbox) -> None:
    with watching(sandbox, f"{NODES}?watch=true") as events:
        sandbox.drop_watches(abruptly=True)
        with pytest.raises((ConnectionError, StopIteration)):
            next(events)


def test_a_frozen_server_sends_no_event_until_it_is_released(sandbox: Sandbox) -> None:
    with watching(sandbox, f"{PODS}?watch=1&resourceVersion={version(sandbox)}") as events:
        with sandbox.held():
            sandbox.create(bound())
            held_until = time.monotonic() + 0.05
            with pytest.raises(TimeoutError):
                sandbox.wait_for(lambda: False, timeout=0.05)
        assert next(events)[0] == "ADDED"
        assert time.monotonic() >= held_until
