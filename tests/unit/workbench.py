"""A cluster, a clock and a step state around one task, for the tests of single steps and of the task."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from builders import STARTUP_PROBE, pod, request
from fakes import FakeClock, FakeCluster

from mecbounce.advancing import advance, begin
from mecbounce.errors import Unreachable
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.machine import State
from mecbounce.record import BounceRecord, Notice
from mecbounce.stores import MappingStore
from mecbounce.task import BounceTask

OLD = pod(container={"startupProbe": STARTUP_PROBE})
NEW = pod(uid="uid-2", created=5, container={"startupProbe": STARTUP_PROBE})
LOST = Unreachable("connection lost")
CATCHING_UP = {"spec": {"state": "up"}, "status": {"state": "Catchup"}}


class Workbench:
    """A cluster, a clock and a step state around one task."""

    def __init__(self, *pods: Pod) -> None:
        self.clock = FakeClock()
        self.cluster = FakeCluster(self.clock, *(pods or (OLD,)))
        self.state: dict[str, Any] = {}
        self.saved: list[str] = []
        self.notices: list[Notice] = []

    def flush(self) -> None:
        record = self.state.get("mecbounce")  # none: it was forgotten
        self.saved.append(record["path"][-1]["state"] if record else "")

    def task(self, **options: Any) -> BounceTask:
        asked = options.pop("request", request())
        store = MappingStore(self.state, flush=self.flush)
        options = {"notify": self.notices.append} | options
        return BounceTask(asked, self.cluster, store, clock=self.clock, **options)

    def replaced(self, gone_at: float = 3, back_at: float = 5) -> Workbench:
        """Let the old pod go and its replacement come, started, at these seconds."""
        self.cluster.script = [
            (gone_at, lambda: self.cluster.gone("uid-1")),
            (back_at, lambda: self.cluster.add(NEW)),
        ]
        return self

    def codes(self) -> list[str]:
        return [notice.code for notice in self.notices]

    @property
    def record(self) -> BounceRecord:
        record = MappingStore(self.state, flush=lambda: None).load()
        assert record is not None
        return record


def to_state(bench: Workbench, state: State, **options: Any) -> BounceRecord:
    """Take steps, without a watch, until the record stands in `state`."""
    record = begin(options.pop("request", request()), bench.clock.now)
    while record.state is not state:
        record = advance(record, bench.cluster, bench.clock.now, **options).record
    return record


class SlowSwitch:
    """A protection that takes its time, or that is switched off at once."""

    def __init__(self, clock: FakeClock, seconds: float = 0, comes_of_it: Any = True) -> None:
        self.clock, self.seconds, self.comes_of_it = clock, seconds, comes_of_it
        self.asked: list[str] = []

    def disable(self, pod: Pod) -> bool:
        self.asked.append(pod.uid)
        self.clock.now += timedelta(seconds=self.seconds)
        if isinstance(self.comes_of_it, Exception):
            raise self.comes_of_it
        return bool(self.comes_of_it)


class NeverAsked:
    def disable(self, pod: Pod) -> bool:
        raise AssertionError(f"asked about {pod.uid}")


def left_in_delete_pod(bench: Workbench, **options: Any) -> BounceRecord:
    """Leave a bounce right before its DELETE, with the pod's protection switched off."""
    record = to_state(bench, State.DELETE_POD, protection=SlowSwitch(bench.clock), **options)
    bench.state["mecbounce"] = record.model_dump(mode="json")
    return record
