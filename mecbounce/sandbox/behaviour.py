"""How pods and containers behave in a scenario, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Behaviour:
    """How a pod, or one of its containers, behaves. Times in sandbox seconds; infinity means never.

    A behaviour can change at any time. It decides what happens next, and undoes nothing: a probe that has passed stays
    passed, and a container that runs goes on, until the pod or the container is replaced.

    For a pod as a whole:

    ``recreates_after``: the time from its end until its controller recreates it.
    ``recreates``: False: its controller does not recreate it.
    ``controls``: False: its operator is an owner without ``controller: true``.
    ``unschedulable``: no Kubernetes node has room for it.
    ``volume_fails``: its volume cannot be mounted.
    ``sandbox_fails``: it gets no network (FailedCreatePodSandBox).

    For each container, or for the named one:

    ``starts_after``: its probes pass after it has run for this time, when a probe is next due.
    ``ready_after``: its readiness probe passes after it has run for this time, and not before its startup probe.
    ``stops_after``: the time from SIGTERM to its end, but never longer than the grace period.
    ``image_pull_fails``: its image cannot be pulled.
    ``init_fails``: the first init container exits with 1 each time (the pod must have one).
    ``crash_exit_code``: it exits with this code after it has run for ``runs_for``; 0 means that its work is done.
    ``ignores_term``: it is killed at the end of the grace period (exit code 137).
    ``never_stops``: it goes on after the grace period.
    ``kill_fails``: as ``never_stops``, with an event of the kubelet (FailedKillPod).
    """

    starts_after: float = 0.05
    ready_after: float = 0
    stops_after: float = 0.05
    recreates_after: float = 0.05
    recreates: bool = True
    controls: bool = True
    unschedulable: bool = False
    volume_fails: bool = False
    sandbox_fails: bool = False
    image_pull_fails: bool = False
    init_fails: bool = False
    crash_exit_code: int | None = None
    runs_for: float = 0.5
    ignores_term: bool = False
    never_stops: bool = False
    kill_fails: bool = False


class Behaviours:
    """The behaviours that were set. A container's own goes before its pod's, a pod's before that of all pods."""

    def __init__(self) -> None:
        self._set: dict[tuple[str | None, str | None], Behaviour] = {(None, None): Behaviour()}

    def put(self, behaviour: Behaviour, pod: str | None, container: str | None) -> None:
        self._set[pod, container] = behaviour

    def of(self, pod: str, container: str | None = None) -> Behaviour:
        return self.own(pod, container) or self._set.get((pod, None)) or self._set[None, None]

    def own(self, pod: str, container: str | None) -> Behaviour | None:
        """Return the behaviour that was set for a container by its name; None if there is none."""
        return (self._set.get((pod, container)) or self._set.get((None, container))) if container else None
