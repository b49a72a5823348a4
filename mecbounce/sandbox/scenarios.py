"""Furnished sandboxes: each has an application node ``mec-0`` in namespace default, and what will befall its bounce.

The pod is started quickly first; the behaviour is set then, so it hits the termination or the replacement.
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
"""Times in seconds that can be followed by eye, and are not tedious."""


@dataclass(frozen=True)
class Scenario:
    """A furnished sandbox. ``furnish`` needs one that was started with the default resource types.

    ``patience``: seconds after which a demo of it may give up waiting; None: as long as any bounce. ``killed``: a demo
    kills its bounce on the way, and runs it again.
    """

    name: str
    summary: str
    furnish: Callable[[Sandbox], None]
    patience: float | None = None
    killed: bool = False


def container(probe: str = "startupProbe", failure_threshold: int = 60) -> dict[str, Any]:
    """Return the node's container with one probe, due each second."""
    check = {"httpGet": {"path": "/started", "port": 8080}, "periodSeconds": 1, "failureThreshold": failure_threshold}
    return {"name": "main", "image": "registry.example.com/express-node:1.0", probe: check}


def _furnish(sandbox: Sandbox, then: Behaviour = LIVE, **node: Any) -> None:
    sandbox.behave(QUICK)
    sandbox.add_node(NAME, **{"containers": [container()], **node})
    sandbox.behave(then)


def _no_startup_probe(sandbox: Sandbox) -> None:
    _furnish(sandbox, containers=[container("readinessProbe")])


def _stuck_finalizer(sandbox: Sandbox) -> None:
    _furnish(sandbox)
    sandbox.patch("pods", NAME, {"metadata": {"finalizers": ["express.example.com/drain"]}})


def _node_lost(sandbox: Sandbox) -> None:
    _furnish(sandbox)
    sandbox.set_node_ready(False)


def _slow_start(sandbox: Sandbox) -> None:
    _furnish(sandbox, replace(LIVE, starts_after=20), containers=[container(failure_threshold=10)])


SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario("happy", "terminates, comes back, passes its startup probe after three seconds", _furnish),
        Scenario("no-startup-probe", "has a readiness probe alone", _no_startup_probe),
        Scenario("rebuilding", "is rebuilding", lambda sandbox: _furnish(sandbox, activity="rebuilding")),
        Scenario("catch-up", "is catching up", lambda sandbox: _furnish(sandbox, activity="catchup")),
        Scenario("down", "is meant to be down, and has no pod", lambda sandbox: _furnish(sandbox, state="down")),
        Scenario(
            "protected",
            "has its shutdown protection enabled",
            lambda sandbox: _furnish(sandbox, annotations={PROTECTION: "enabled"}),
        ),
        Scenario("stuck-finalizer", "terminates, and a finalizer keeps the pod", _stuck_finalizer, patience=5),
        Scenario("node-lost", "runs on a Kubernetes node that no longer answers", _node_lost, patience=5),
        Scenario(
            "image-pull",
            "comes back with an image that cannot be pulled",
            lambda sandbox: _furnish(sandbox, replace(LIVE, image_pull_fails=True)),
            patience=8,
        ),
        Scenario(
            "crash-loop",
            "comes back and crashes, again and again",
            lambda sandbox: _furnish(sandbox, replace(LIVE, crash_exit_code=1, starts_after=math.inf)),
            patience=12,
        ),
        Scenario("slow-start", "needs 20 s to start; its startup probe kills it after ten", _slow_start, patience=15),
        Scenario(
            "not-recreated",
            "terminates, and nothing makes it anew",
            lambda sandbox: _furnish(sandbox, replace(LIVE, recreates=False)),
            patience=5,
        ),
        Scenario(
            "interrupted",
            "is bounced by a run that is killed while it waits, and run again",
            lambda sandbox: _furnish(sandbox, replace(LIVE, stops_after=5)),
            killed=True,
        ),
    )
}
