"""Scenarios: a sandbox with an application node ``mec-0`` in namespace default, and what happens to its bounce.

The pod starts quickly. Only then the behaviour is set, so it affects the termination or the replacement.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from mecbounce.sandbox.behaviour import Behaviour

if TYPE_CHECKING:
    from mecbounce.sandbox.cluster import Sandbox

NAME: Final = "mec-0"
PROTECTION: Final = "express.example.com/shutdown-protection"

QUICK: Final = Behaviour(starts_after=0)
LIVE: Final = Behaviour(starts_after=3, stops_after=1.5, recreates_after=0.5)
"""Slow enough to watch, and quick enough for a demo."""


@dataclass(frozen=True)
class Scenario:
    """One scenario. ``set_up`` needs a started sandbox with the default resource types.

    ``timeout``: the two timeouts of its demo, in seconds; None: the default ones. ``killed``: its demo kills the bounce
    while it waits, and runs it again.
    """

    name: str
    summary: str
    set_up: Callable[[Sandbox], None]
    timeout: float | None = None
    killed: bool = False


def container(probe: str = "startupProbe", failure_threshold: int = 60) -> dict[str, Any]:
    """Return the node's container with one probe, due each second."""
    check = {"httpGet": {"path": "/started", "port": 8080}, "periodSeconds": 1, "failureThreshold": failure_threshold}
    return {"name": "main", "image": "registry.example.com/express-node:1.0", probe: check}


def _set_up(sandbox: Sandbox, then: Behaviour = LIVE, **node: Any) -> None:
    sandbox.behave(QUICK)
    sandbox.add_node(NAME, **{"containers": [container()], **node})
    sandbox.behave(then)


def _no_startup_probe(sandbox: Sandbox) -> None:
    _set_up(sandbox, containers=[container("readinessProbe")])


def _stuck_finalizer(sandbox: Sandbox) -> None:
    _set_up(sandbox)
    sandbox.patch("pods", NAME, {"metadata": {"finalizers": ["express.example.com/drain"]}})


def _node_lost(sandbox: Sandbox) -> None:
    _set_up(sandbox)
    sandbox.set_host_ready(False)


def _slow_start(sandbox: Sandbox) -> None:
    _set_up(sandbox, replace(LIVE, starts_after=20), containers=[container(failure_threshold=10)])


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario("happy", "terminates, comes back, passes its startup probe after three seconds", _set_up),
        Scenario("no-startup-probe", "has only a readiness probe", _no_startup_probe),
        Scenario("rebuilding", "is rebuilding", lambda sandbox: _set_up(sandbox, activity="rebuilding")),
        Scenario("catch-up", "is catching up", lambda sandbox: _set_up(sandbox, activity="catchup")),
        Scenario("down", "is meant to be down, and has no pod", lambda sandbox: _set_up(sandbox, state="down")),
        Scenario(
            "protected",
            "has its shutdown protection enabled",
            lambda sandbox: _set_up(sandbox, annotations={PROTECTION: "enabled"}),
        ),
        Scenario("stuck-finalizer", "terminates, and a finalizer keeps the pod", _stuck_finalizer, timeout=5),
        Scenario("node-lost", "runs on a Kubernetes node that no longer answers", _node_lost, timeout=5),
        Scenario(
            "image-pull",
            "comes back with an image that cannot be pulled",
            lambda sandbox: _set_up(sandbox, replace(LIVE, image_pull_fails=True)),
            timeout=8,
        ),
        Scenario(
            "crash-loop",
            "comes back and crashes, again and again",
            lambda sandbox: _set_up(sandbox, replace(LIVE, crash_exit_code=1, starts_after=math.inf)),
            timeout=12,
        ),
        Scenario("slow-start", "needs 20 s to start; its startup probe kills it after ten", _slow_start, timeout=15),
        Scenario(
            "not-recreated",
            "terminates, and nothing recreates it",
            lambda sandbox: _set_up(sandbox, replace(LIVE, recreates=False)),
            timeout=5,
        ),
        Scenario(
            "interrupted",
            "is bounced by a run that is killed while it waits, and run again",
            lambda sandbox: _set_up(sandbox, replace(LIVE, stops_after=5)),
            killed=True,
        ),
    )
}
