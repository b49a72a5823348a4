"""What befalls a pod in a scenario, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Behaviour:
    """How a pod behaves; times in sandbox seconds (``Sandbox(speed=...)``), infinity for never.

    A behaviour can change at any time. It decides what happens next, and takes nothing back: a probe that has passed
    stays passed, a container that runs stays running, until the pod or the container is replaced.

    ``starts_after``: its probes pass once the container has run so long (and a probe is due).
    ``stops_after``: a termination takes so long, and never longer than the grace period.
    ``recreates_after``: its controller makes it anew so long after it has gone.
    ``recreates``: its controller makes it anew at all.
    ``unschedulable``: no Kubernetes node has room for it.
    ``volume_fails``: its volume cannot be mounted.
    ``image_pull_fails``: its images cannot be pulled.
    ``init_fails``: its first init container exits with 1, again and again (the pod must have one).
    ``crash_exit_code``: each container exits with this, half a second after its start, again and again.
    ``ignores_term``: a termination takes the whole grace period, and the container is killed (exit code 137).
    ``never_stops``: a termination never ends, the grace period over or not.
    """

    starts_after: float = 0.05
    stops_after: float = 0.05
    recreates_after: float = 0.05
    recreates: bool = True
    unschedulable: bool = False
    volume_fails: bool = False
    image_pull_fails: bool = False
    init_fails: bool = False
    crash_exit_code: int | None = None
    ignores_term: bool = False
    never_stops: bool = False
