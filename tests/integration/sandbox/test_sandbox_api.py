"""Where the API server differs from a real one. What both do alike is in tests/integration/conformance."""

from __future__ import annotations

from sandbox_api import PODS, ask, bound

from mecbounce.sandbox import Sandbox

pytest_plugins = ("mecbounce.sandbox.fixture",)


def test_only_json_is_served_and_accepted(sandbox: Sandbox) -> None:
    assert ask(sandbox, "GET", PODS, accept="application/vnd.kubernetes.protobuf")[0] == 406
    assert ask(sandbox, "POST", PODS, b"k8s\x00", "application/vnd.kubernetes.protobuf")[0] == 415


def test_a_negative_grace_period_is_one_second(sandbox: Sandbox) -> None:
    """So do current servers; 1.20 deletes by force."""
    ask(sandbox, "POST", PODS, bound())
    assert (
        ask(sandbox, "DELETE", f"{PODS}/held?gracePeriodSeconds=-1")[1]["metadata"]["deletionGracePeriodSeconds"] == 1
    )
