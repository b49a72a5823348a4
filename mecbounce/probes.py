"""When is a pod back, and how long may that take? Pure functions of what its spec and status say.

https://kubernetes.io/docs/concepts/workloads/pods/probes/
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeGuard

from mecbounce.fields import LONGEST
from mecbounce.machine import Event
from mecbounce.request import ReadyWhen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mecbounce.kubernetes_api.objects import Container, ContainerStatus, Pod, Probe

DEFAULT_TIMEOUT = 600.0
GRACE_MARGIN = 60.0
BUDGET_MARGIN = 300.0
CLOCKS_AGREE = timedelta(seconds=5)  # a smaller difference of two clocks tells nothing
STEADY_AFTER = 10.0  # seconds that a restarted container must have run to count: as long as a kubelet's first back-off


def probe_budget(probe: Probe) -> float:
    """Seconds that a startup probe allows a container before its kubelet kills it."""
    tries = probe.failure_threshold * max(probe.period_seconds, probe.timeout_seconds)
    return float(min(probe.initial_delay_seconds + tries + probe.period_seconds, LONGEST))


def startup_budget(containers: Iterable[Container]) -> float:
    """Seconds that the slowest startup probe allows; 0 where there is none."""
    return max((probe_budget(one.startup_probe) for one in containers if one.startup_probe), default=0.0)


def startup_budget_origin(containers: Iterable[Container]) -> str:
    """Say which container's startup probe that is, and how the sum is made; empty where there is none."""
    probed = [(one.name, one.startup_probe) for one in containers if one.startup_probe]
    if not probed:
        return ""
    name, probe = max(probed, key=lambda one: probe_budget(one[1]))
    delay = f"{probe.initial_delay_seconds:,} s + " if probe.initial_delay_seconds else ""
    tries = f"{probe.failure_threshold:,} × {max(probe.period_seconds, probe.timeout_seconds):,} s"  # noqa: RUF001 -- a product
    total = f"{delay}{tries} + {probe.period_seconds:,} s = {probe_budget(probe):,.0f} s"
    return f"container {name}'s startup probe allows {total}"


def termination_timeout(given: float | None, grace_period: float) -> float:
    """Seconds to wait for the old pod to go."""
    return given if given is not None else max(DEFAULT_TIMEOUT, min(grace_period, LONGEST) + GRACE_MARGIN)


def ready_timeout(given: float | None, containers: Iterable[Container]) -> float:
    """Seconds to wait for the replacement to be back."""
    return given if given is not None else max(DEFAULT_TIMEOUT, startup_budget(containers) + BUDGET_MARGIN)


def too_short(given: float | None, own: float) -> TypeGuard[float]:
    """Whether a deadline was given that is shorter than what the pod itself asks for, in seconds."""
    return given is not None and given < own


def termination_origin(given: float | None, grace_period: float) -> str:
    """Say where `termination_timeout` comes from."""
    own = f"the pod's grace period is {grace_period:,.0f} s"
    if given is not None:
        return f"as given, and too short: {own}" if too_short(given, grace_period) else f"as given; {own}"
    if termination_timeout(None, grace_period) > DEFAULT_TIMEOUT:
        return f"{own}, and {GRACE_MARGIN:.0f} s more"
    return f"the default; {own}"


def ready_origin(given: float | None, containers: Iterable[Container]) -> str:
    """Say where `ready_timeout` comes from."""
    containers = tuple(containers)
    own = startup_budget_origin(containers) or "no container has a startup probe"
    if given is not None:
        return f"as given, and too short: {own}" if too_short(given, startup_budget(containers)) else f"as given; {own}"
    if ready_timeout(None, containers) > DEFAULT_TIMEOUT:
        return f"{own}, and {BUDGET_MARGIN:.0f} s more; counted anew once its containers run"
    return f"the default; {own}; counted anew once its containers run"


def has_startup_probe(pod: Pod) -> bool:
    """Whether any long-running container has one."""
    return any(one.startup_probe for one in pod.spec.long_running)


def is_started(pod: Pod, server_now: datetime) -> bool:
    """Whether every long-running container has started, and is ready where only a readiness probe speaks for it."""
    containers = pod.spec.long_running
    return bool(containers) and all(_has_started(one, pod, server_now) for one in containers)


def _has_started(container: Container, pod: Pod, server_now: datetime) -> bool:
    status = pod.container_status(container.name)
    if status is None or status.state.running is None or not runs_steadily(status, pod, server_now):
        return False
    if container.startup_probe:
        return status.started is True
    return status.started is not False and (status.ready or container.readiness_probe is None)


def kubelet_now(pod: Pod, server_now: datetime) -> datetime:
    """The time by the clock of the pod's kubelet, which stamps the starts of its containers.

    Stamps that can't be true show that it is not the API server's time: a container that starts in the future, or a pod
    that was seen before it was made. Then the clocks differ by about what lies between the two stamps of the pod.
    """
    made, seen = pod.metadata.creation_timestamp, pod.status.start_time
    if made is None or seen is None:
        return server_now
    stamps = [one.state.running.started_at for one in pod.status.all_containers if one.state.running]
    in_future = any(stamp > server_now + CLOCKS_AGREE for stamp in stamps if stamp)
    return server_now + (seen - made) if in_future or seen + CLOCKS_AGREE < made else server_now


def runs_steadily(status: ContainerStatus, pod: Pod, server_now: datetime) -> bool:
    """Whether a container is not just between two crashes: once restarted, it must have run for STEADY_AFTER seconds.

    So must one whose startup probe has passed: kubelet 1.35 may hand on what the container before it has earned
    (kubernetes/kubernetes#141155).
    """
    if status.restart_count == 0:
        return True
    since = status.state.running.started_at if status.state.running else None
    return since is not None and (kubelet_now(pod, server_now) - since).total_seconds() >= STEADY_AFTER


def is_ready(pod: Pod, server_now: datetime) -> bool:
    """Whether its Ready condition is true, and no container is just between two crashes."""
    condition = pod.condition("Ready")
    if condition is None or condition.status != "True":
        return False
    statuses = filter(None, (pod.container_status(one.name) for one in pod.spec.long_running))
    return all(runs_steadily(one, pod, server_now) for one in statuses)


def kubelet_is_silent(pod: Pod) -> bool:
    """Whether the pod's Ready condition was taken from it although all its containers were ready.

    So the node controller does where a kubelet no longer answers: what that said last of the containers stays.
    """
    condition = pod.condition("Ready")
    if condition is None or condition.status == "True" or pod.spec.readiness_gates:
        return False
    statuses = [pod.container_status(one.name) for one in pod.spec.long_running]
    return bool(statuses) and all(status is not None and status.ready for status in statuses)


def completion_event(pod: Pod, ready_when: ReadyWhen, server_now: datetime) -> Event | None:
    """Which event tells that the replacement is back; None: not yet. `server_now` is the API server's own time."""
    if pod.finished or pod.disrupted or kubelet_is_silent(pod):
        return None
    if ready_when is ReadyWhen.AUTO:
        ready_when = ReadyWhen.STARTED if has_startup_probe(pod) else ReadyWhen.READY
    if ready_when is ReadyWhen.STARTED:
        return Event.POD_STARTED if is_started(pod, server_now) else None
    return Event.POD_READY if is_ready(pod, server_now) else None


def running_since(pod: Pod) -> datetime | None:
    """When the last of its long-running containers started; None while any of them does not run."""
    starts = []
    for container in pod.spec.long_running:
        status = pod.container_status(container.name)
        if status is None or status.state.running is None or status.state.running.started_at is None:
            return None
        starts.append(status.state.running.started_at)
    return max(starts, default=None)


@dataclass(frozen=True)
class StartupProgress:
    """How much of its startup probe's budget a container has used up; `left` is in seconds, at least 0."""

    container: str
    tries: int
    allowed: int
    left: float


def startup_progress(pod: Pod, server_now: datetime) -> StartupProgress | None:
    """Estimate how far the first container is whose startup probe has not passed yet; None: there is none.

    The kubelet tells of no single try: they are counted from the container's start, as if each had been made in time.
    """
    for container in pod.spec.long_running:
        probe, status = container.startup_probe, pod.container_status(container.name)
        if probe is None or status is None or status.started or status.state.running is None:
            continue
        since = status.state.running.started_at
        if since is None:
            continue
        ran = max(0.0, (server_now - since).total_seconds())
        tries = int((ran - probe.initial_delay_seconds) // max(probe.period_seconds, probe.timeout_seconds, 1))
        return StartupProgress(
            container=container.name,
            tries=min(max(0, tries), probe.failure_threshold),
            allowed=probe.failure_threshold,
            left=max(0.0, probe_budget(probe) - ran),
        )
    return None


def deadline_from_start(pod: Pod, *, entered_at: datetime, now: datetime, skew: timedelta) -> datetime | None:
    """Give the readiness deadline anew, counted from the containers' start; None while they do not all run.

    The start is told by the cluster's clock, which is ahead of this machine's by `skew`. Outside of what can be true
    here, it is not believed.
    """
    since = running_since(pod)
    if since is None:
        return None
    start = min(max(since, entered_at + skew), now + skew) - skew
    return start + timedelta(seconds=ready_timeout(None, pod.spec.long_running))
