"""What befalls a pod in a scenario, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Behaviour:
    """How a pod, or one of its containers, behaves; times in sandbox seconds, infinity for never.

    A behaviour can change at any time. It decides what happens next, and takes nothing back: a probe that has passed
    stays passed, a container that runs stays running, until the pod or the container is replaced.

    Of a pod as a whole:

    ``recreates_after``: its controller makes it anew so long after it has gone.
    ``recreates``: its controller makes it anew at all.
    ``controls``: an operator that makes it owns it as its controller, with ``controller: true``.
    ``unschedulable``: no Kubernetes node has room for it.
    ``volume_fails``: its volume cannot be mounted.
    ``sandbox_fails``: it gets no network (FailedCreatePodSandBox).

    Of each container, or of the one that it is set for:

    ``starts_after``: its probes pass once it has run so long (and a probe is due).
    ``ready_after``: its readiness probe passes once it has run so long, and not before its startup probe.
    ``stops_after``: a termination takes so long, and never longer than the grace period.
    ``image_pull_fails``: its image cannot be pulled.
    ``init_fails``: the first init container exits with 1, again and again (the pod must have one).
    ``crash_exit_code``: it exits with this, ``runs_for`` after its start; 0: it has done its work.
    ``ignores_term``: a termination takes the whole grace period, and it is killed (exit code 137).
    ``never_stops``: a termination never ends, the grace period over or not.
    ``kill_fails``: as ``never_stops``, and the kubelet says so (FailedKillPod).
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
    """Which behaviour holds for which pod or container: the most particular one that was set."""

    def __init__(self) -> None:
        self._set: dict[tuple[str | None, str | None], Behaviour] = {(None, None): Behaviour()}

    def put(self, behaviour: Behaviour, pod: str | None, container: str | None) -> None:
        self._set[pod, container] = behaviour

    def of(self, pod: str, container: str | None = None) -> Behaviour:
        return self.own(pod, container) or self._set.get((pod, None)) or self._set[None, None]

    def own(self, pod: str, container: str | None) -> Behaviour | None:
        """Return what was set for a container by its name, if anything was."""
        return (self._set.get((pod, container)) or self._set.get((None, container))) if container else None
