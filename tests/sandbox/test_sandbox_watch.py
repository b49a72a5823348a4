"""Watches: what they tell, from where on, and how they end."""

from __future__ import annotations

import time

import pytest
from sandbox_api import NODES, PODS, ask, bound, watching

from mecbounce.sandbox import Sandbox

pytest_plugins = ("mecbounce.sandbox.fixture",)


def version(sandbox: Sandbox) -> str:
    return str(ask(sandbox, "GET", PODS)[1]["metadata"]["resourceVersion"])


def test_an_expired_version_is_told_in_the_stream(sandbox: Sandbox) -> None:
    since = version(sandbox)
    sandbox.compact()
    with watching(sandbox, f"{PODS}?watch=1&resourceVersion={since}") as events:
        ((kind, status),) = events
    assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
    with watching(sandbox, f"{PODS}?watch=1&timeoutSeconds=1&resourceVersion={version(sandbox)}") as events:
        sandbox.create(bound())
        assert next(events)[0] == "ADDED"


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
