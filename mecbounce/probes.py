"""When is a pod back, and how long may that take? Pure functions of its spec and status.

https://kubernetes.io/docs/concepts/workloads/pods/probes/
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mecbounce.fields import ONE_WEEK, Frozen
from mecbounce.machine import Event
from mecbounce.request import ReadyWhen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mecbounce.kubernetes_api.objects import Container, ContainerStatus, Pod, Probe
    from mecbounce.record import PinnedPod

DEFAULT_TIMEOUT, GRACE_MARGIN, BUDGET_MARGIN = 600.0, 60.0, 300.0  # seconds
TWO_MINUTES = 120.0  # seconds
IGNORED_SKEW = timedelta(seconds=5)  # a smaller difference of two clocks is ignored
STEADY_AFTER = 10.0  # seconds that a restarted container must have run: as long as the kubelet's first back-off


def probe_budget(probe: Probe) -> float:
    """Seconds that a startup probe allows a container before its kubelet kills it."""
    tries = probe.failure_threshold * max(probe.period_seconds, probe.timeout_seconds)
    return float(min(probe.initial_delay_seconds + tries + probe.period_seconds, ONE_WEEK))


def startup_budget(containers: Iterable[Container]) -> float:
    """Seconds that the slowest startup probe allows; 0 if there is none."""
    return max((probe_budget(one.startup_probe) for one in containers if one.startup_probe), default=0.0)


class Deadline(Frozen):
    """How long a bounce would wait."""

    seconds: float
    """At most so many seconds."""
    origin: str
    """Where that comes from."""
    short: bool
    """True if the pod itself allows more."""


def termination_deadline(given: float | None, grace_period: float) -> Deadline:
    """Say how long to wait for the old pod to go."""
    return _deadline(given, grace_period, GRACE_MARGIN, f"the pod's grace period is {grace_period:,.0f} s")


def ready_deadline(given: float | None, containers: Iterable[Container]) -> Deadline:
    """Say how long to wait for the replacement to be back."""
    probed = [(container.name, container.startup_probe) for container in containers if container.startup_probe]
    own, pod_allows = 0.0, "no container has a startup probe"
    if probed:
        name, probe = max(probed, key=lambda one: probe_budget(one[1]))
        own = probe_budget(probe)
        delay = f"{probe.initial_delay_seconds:,} s + " if probe.initial_delay_seconds else ""
        tries = f"{probe.failure_threshold:,} × {max(probe.period_seconds, probe.timeout_seconds):,} s"  # noqa: RUF001 -- a product
        total = f"{delay}{tries} + {probe.period_seconds:,} s = {own:,.0f} s"
        pod_allows = f"container {name}'s startup probe allows {total}"
    return _deadline(given, own, BUDGET_MARGIN, pod_allows, "; counted again once its containers run")


def _deadline(given: float | None, own: float, margin: float, pod_allows: str, then: str = "") -> Deadline:
    """Take the given time, else the default or the pod's own time and a margin, whichever is longer."""
    if given is not None:
        short = given < own
        return Deadline(
            seconds=given, origin=f"as given{', and too short: ' if short else '; '}{pod_allows}", short=short
        )
    seconds = max(DEFAULT_TIMEOUT, min(own, ONE_WEEK) + margin)
    origin = f"{pod_allows}, and {margin:.0f} s more" if seconds > DEFAULT_TIMEOUT else f"the default; {pod_allows}"
    return Deadline(seconds=seconds, origin=f"{origin}{then}", short=False)


def longer(seconds: float) -> float:
    """Say how long to wait where `seconds` were too short: twice as long, above two minutes in whole minutes."""
    twice = min(2 * seconds, ONE_WEEK)
    return twice if twice <= TWO_MINUTES else math.ceil(twice / 60) * 60.0


def has_startup_probe(pod: Pod) -> bool:
    """True if any long-running container has one."""
    return any(container.startup_probe for container in pod.spec.long_running)


def is_started(pod: Pod, server_now: datetime) -> bool:
    """True if every long-running container has started; one that has only a readiness probe must be ready."""
    containers = pod.spec.long_running
    return bool(containers) and all(_has_started(container, pod, server_now) for container in containers)


def _has_started(container: Container, pod: Pod, server_now: datetime) -> bool:
    status = pod.container_status(container.name)
    if status is None or status.state.running is None or not runs_steadily(status, pod, server_now):
        return False
    if container.startup_probe:
        return status.started is True
    return status.started is not False and (status.ready or container.readiness_probe is None)


def kubelet_now(pod: Pod, server_now: datetime) -> datetime:
    """The time by the kubelet's clock, which is the clock of a container's `startedAt`.

    Two impossible times show that this clock and the API server's differ: a container that starts in the future, or a
    pod that its kubelet saw before it was created. The difference is then taken from the pod's two times.
    """
    made, seen = pod.metadata.creation_timestamp, pod.status.start_time
    if made is None or seen is None:
        return server_now
    stamps = [status.state.running.started_at for status in pod.status.all_containers if status.state.running]
    in_future = any(stamp > server_now + IGNORED_SKEW for stamp in stamps if stamp)
    return server_now + (seen - made) if in_future or seen + IGNORED_SKEW < made else server_now


def runs_steadily(status: ContainerStatus, pod: Pod, server_now: datetime) -> bool:
    """True if a container is not just between two crashes: once restarted, it must have run for STEADY_AFTER seconds.

    This holds also where its startup probe has passed: kubelet 1.35 may copy that from the container before it
    (kubernetes/kubernetes#141155).
    """
    if status.restart_count == 0:
        return True
    since = status.state.running.started_at if status.state.running else None
    return since is not None and (kubelet_now(pod, server_now) - since).total_seconds() >= STEADY_AFTER


def is_ready(pod: Pod, server_now: datetime) -> bool:
    """True if its Ready condition is true, and no container is just between two crashes."""
    condition = pod.condition("Ready")
    if condition is None or condition.status != "True":
        return False
    statuses = filter(None, (pod.container_status(container.name) for container in pod.spec.long_running))
    return all(runs_steadily(status, pod, server_now) for status in statuses)


def kubelet_is_silent(pod: Pod) -> bool:
    """True if the pod is not Ready although all its containers are.

    The node controller sets that where a kubelet no longer answers; the containers' last statuses stay as they were.
    """
    condition = pod.condition("Ready")
    if condition is None or condition.status == "True" or pod.spec.readiness_gates:
        return False
    statuses = [pod.container_status(container.name) for container in pod.spec.long_running]
    return bool(statuses) and all(status is not None and status.ready for status in statuses)


def completion_event(pod: Pod, ready_when: ReadyWhen, server_now: datetime) -> Event | None:
    """Give the event that the replacement is back by; None: not yet. `server_now` is the API server's own time."""
    if pod.finished or pod.disrupted or kubelet_is_silent(pod):
        return None
    if ready_when is ReadyWhen.AUTO:
        ready_when = ReadyWhen.STARTED if has_startup_probe(pod) else ReadyWhen.READY
    if ready_when is ReadyWhen.STARTED:
        return Event.POD_STARTED if is_started(pod, server_now) else None
    return Event.POD_READY if is_ready(pod, server_now) else None


def is_back(old: PinnedPod, pods: Iterable[Pod], ready_when: ReadyWhen, server_now: datetime) -> bool:
    """True if the replacement of `old` is back, and so are those of the pods beside it that have gone since."""
    pods = tuple(pods)
    back = [completion_event(pod, ready_when, server_now) is not None for pod in old.replacements(pods)]
    return back[:1] == [True] and sum(back) > old.peers_gone(pods)


def running_since(pod: Pod) -> datetime | None:
    """When the last of its long-running containers started; None unless all of them run."""
    starts = []
    for container in pod.spec.long_running:
        status = pod.container_status(container.name)
        if status is None or status.state.running is None or status.state.running.started_at is None:
            return None
        starts.append(status.state.running.started_at)
    return max(starts, default=None)


@dataclass(frozen=True)
class StartupProgress:
    """How much of its startup probe's budget a container has used.

    `left` is in seconds, at least 0; `used` is the part of the budget, from 0 to 1.
    """

    container: str
    tries: int
    allowed: int
    left: float
    used: float


def startup_progress(pod: Pod, server_now: datetime) -> StartupProgress | None:
    """Estimate the progress of the first container whose startup probe has not passed yet; None: there is none.

    The kubelet does not report single tries. They are computed from the container's start and the probe's period.
    """
    for container in pod.spec.long_running:
        probe, status = container.startup_probe, pod.container_status(container.name)
        if probe is None or status is None or status.started or status.state.running is None:
            continue
        since = status.state.running.started_at
        if since is None:
            continue
        ran, budget = max(0.0, (server_now - since).total_seconds()), probe_budget(probe)
        tries = int((ran - probe.initial_delay_seconds) / max(probe.period_seconds, probe.timeout_seconds, 1))
        return StartupProgress(
            container=container.name,
            tries=min(max(0, tries), probe.failure_threshold),
            allowed=probe.failure_threshold,
            left=max(0.0, budget - ran),
            used=min(1.0, ran / max(budget, 1.0)),
        )
    return None


def deadline_from_start(pod: Pod, *, entered_at: datetime, now: datetime, skew: timedelta) -> datetime | None:
    """Count the readiness deadline again, from the start of the containers; None unless all of them run.

    The start is a time of the cluster's clock, which is `skew` ahead of this machine's. A start before `entered_at` or
    after `now` is impossible and is corrected.
    """
    since = running_since(pod)
    if since is None:
        return None
    start = min(max(since, entered_at + skew), now + skew) - skew
    return start + timedelta(seconds=ready_deadline(None, pod.spec.long_running).seconds)
