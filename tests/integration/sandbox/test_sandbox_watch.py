"""Watches: which events they send, from which version, and how they end."""

from __future__ import annotations

import time
from itertools import islice

import pytest
from sandbox_api import NODES, PODS, ask, bound, watching

from mecbounce.sandbox import Sandbox

pytest_plugins = ("mecbounce.sandbox.fixture",)


def version(sandbox: Sandbox) -> str:
    return str(ask(sandbox, "GET", PODS)[1]["metadata"]["resourceVersion"])


def test_a_watch_from_a_future_version_after_a_restored_backup_is_silent_until_then() -> None:
    """It sends neither changes nor bookmarks; here a bookmark is due every 10 ms (kubernetes#107457)."""
    with Sandbox(speed=6000) as own:
        restore = own.back_up()
        for name in "abc":
            own.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        since = version(own)
        restore()
        with watching(own, f"{PODS}?watch=1&allowWatchBookmarks=true&resourceVersion={since}") as events:
            own.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}})
            with pytest.raises(TimeoutError):
                own.wait_for(lambda: False, timeout=0.05)
            for name in "bc":
                own.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            own.create(bound())
            told = list(islice(events, 3))
    assert min(int(obj["metadata"]["resourceVersion"]) for _, obj in told) >= int(since)


def test_dropped_watches_end_at_once(sandbox: Sandbox) -> None:
    with watching(sandbox, f"{NODES}?watch=true") as events:
        sandbox.drop_watches()
        assert list(events) == []


def test_watches_can_be_dropped_in_the_middle_of_the_message(sandbox: Sandbox) -> None:
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


def test_a_watch_that_allows_bookmarks_gets_one_a_minute_and_no_other_does() -> None:
    """A minute of the sandbox's time is 10 ms here."""

    def bookmark() -> tuple[str, object]:
        return "BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": version(own)}}

    with Sandbox(speed=6000) as own:
        query = f"watch=1&resourceVersion={version(own)}"
        allowing, other = f"{PODS}?{query}&allowWatchBookmarks=true", f"{PODS}?{query}&allowWatchBookmarks=false"
        with watching(own, allowing) as events, watching(own, other) as others:
            assert list(islice(events, 2)) == [bookmark()] * 2
            own.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "not-watched"}})
            assert bookmark() in islice(events, 100)
            own.create(bound())
            assert next(others)[0] == "ADDED"
