"""When is a pod back, and how long may that take? Pure functions of what its spec and status say.

https://kubernetes.io/docs/concepts/workloads/pods/probes/
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mecbounce.machine import Event
from mecbounce.model import ReadyWhen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mecbounce.model import Container, Pod, Probe

DEFAULT_TIMEOUT = 600.0
GRACE_MARGIN = 60.0
BUDGET_MARGIN = 300.0


def probe_budget(probe: Probe) -> float:
    """Seconds that a startup probe allows a container before its kubelet kills it."""
    tries = probe.failure_threshold * max(probe.period_seconds, probe.timeout_seconds)
    return float(probe.initial_delay_seconds + tries + probe.period_seconds)


def startup_budget(containers: Iterable[Container]) -> float:
    """Seconds that the slowest startup probe allows; 0 where there is none."""
    return max((probe_budget(one.startup_probe) for one in containers if one.startup_probe), default=0.0)


def termination_timeout(given: float | None, grace_period: float) -> float:
    """Seconds to wait for the old pod to go."""
    return given if given is not None else max(DEFAULT_TIMEOUT, grace_period + GRACE_MARGIN)


def ready_timeout(given: float | None, containers: Iterable[Container]) -> float:
    """Seconds to wait for the replacement to be back."""
    return given if given is not None else max(DEFAULT_TIMEOUT, startup_budget(containers) + BUDGET_MARGIN)


def has_startup_probe(pod: Pod) -> bool:
    """Whether any long-running container has one."""
    return any(one.startup_probe for one in pod.spec.long_running)


def is_started(pod: Pod) -> bool:
    """Whether every startup probe has passed; without one a container counts as started once it runs."""
    probed = [one for one in pod.spec.long_running if one.startup_probe] or pod.spec.long_running
    statuses = [pod.container_status(one.name) for one in probed]
    return bool(statuses) and all(status is not None and status.started for status in statuses)


def is_ready(pod: Pod) -> bool:
    """Whether its Ready condition is true."""
    condition = pod.condition("Ready")
    return condition is not None and condition.status == "True"


def back(pod: Pod, ready_when: ReadyWhen) -> Event | None:
    """Which event tells that the replacement is back; None: not yet."""
    if pod.finished:
        return None
    if ready_when is ReadyWhen.AUTO:
        ready_when = ReadyWhen.STARTED if has_startup_probe(pod) else ReadyWhen.READY
    if ready_when is ReadyWhen.STARTED:
        return Event.POD_STARTED if is_started(pod) else None
    return Event.POD_READY if is_ready(pod) else None


def running_since(pod: Pod) -> datetime | None:
    """When the last of its long-running containers started; None while any of them does not run."""
    starts = []
    for container in pod.spec.long_running:
        status = pod.container_status(container.name)
        if status is None or status.state.running is None or status.state.running.started_at is None:
            return None
        starts.append(status.state.running.started_at)
    return max(starts, default=None)


def deadline_from_start(pod: Pod, *, entered_at: datetime, now: datetime) -> datetime | None:
    """Give the readiness deadline anew, counted from the containers' start; None while they do not all run.

    The start is the kubelet's clock: outside of what can be true here, it is not believed.
    """
    since = running_since(pod)
    if since is None:
        return None
    start = min(max(since, entered_at), now)
    return start + timedelta(seconds=ready_timeout(None, pod.spec.long_running))
