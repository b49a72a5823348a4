"""A sandbox behind a fault proxy, a bounce through both, and what must hold of every bounce."""

from __future__ import annotations

import logging
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import dropwhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from builders import NODE, request, write_kubeconfig
from fault_proxy import FaultProxy

from mecbounce import retry, steps, task
from mecbounce.kubernetes_api import client, watch
from mecbounce.kubernetes_api.client import KubernetesCluster
from mecbounce.machine import State
from mecbounce.protection import AnnotationProtection
from mecbounce.record import BounceRecord
from mecbounce.result import BounceResult
from mecbounce.sandbox import Sandbox
from mecbounce.sandbox.cluster import is_started
from mecbounce.stores import MappingStore, Store
from mecbounce.task import BounceTask

SPEED = 400  # of the sandbox
HASTE = 60  # of mecbounce: how much shorter its pauses are made
REQUESTS = 40  # the most in ten of its seconds, whatever happens: twice the most that a run has shown
PROTECTION = "example.com/protected"


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten every pause of mecbounce alike, and the time that a request is given; log nothing."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    pauses = ((steps, "LOOK_EVERY"), (retry, "FIRST_PAUSE"), (retry, "LONGEST_PAUSE"), (task, "STOP_EVERY"))
    for module, name in pauses:
        monkeypatch.setattr(module, name, getattr(module, name) / HASTE)
    fast = SimpleNamespace(monotonic=lambda: time.monotonic() * HASTE, sleep=time.sleep)
    monkeypatch.setattr(watch, "time", fast)
    monkeypatch.setattr(watch, "SILENCE", 10.0)  # by the fast clock
    monkeypatch.setattr(client, "EVENT_TIMEOUT", (1.0, 2 / HASTE))
    monkeypatch.setattr(client, "REQUEST_TIMEOUT", (1.0, 10 / HASTE))


class Bench:
    """A sandbox with a protected node mec-0, the proxy in front of it, and what came to pass in it."""

    def __init__(self, sandbox: Sandbox, proxy: FaultProxy, folder: Path) -> None:
        self.sandbox, self.proxy = sandbox, proxy
        self.kubeconfig = write_kubeconfig(folder / "kubeconfig", proxy.url)
        self.started: set[str] = set()
        self.started_at_the_end: set[str] = set()
        self.terminated: set[str] = set()
        sandbox._store.listeners.append(self._on_change)
        pod = sandbox.add_node("mec-0", annotations={PROTECTION: "on"})
        assert pod is not None
        self.uid = str(pod["metadata"]["uid"])

    def on_save(self, record: BounceRecord) -> None:
        if record.finished:
            self.started_at_the_end = set(self.started)

    def _on_change(self, change: Any) -> None:
        resource, new = change.key[0], change.new
        if resource.plural == "pods" and new is not None:
            if is_started(new):
                self.started.add(new["metadata"]["uid"])
            if "deletionTimestamp" in new["metadata"]:
                self.terminated.add(new["metadata"]["uid"])

    def task(
        self, store: Store | None = None, *, timeouts: dict[str, float] | None = None, **options: Any
    ) -> BounceTask:
        kubernetes = KubernetesCluster.from_kubeconfig(self.kubeconfig)
        asked = request(node=NODE, timeouts=timeouts or {})
        protection = AnnotationProtection(kubernetes, PROTECTION, "off")
        store = store or MappingStore({}, flush=lambda: None)
        options.setdefault("observe", self.on_save)
        return BounceTask(asked, kubernetes, store, protection=protection, **options)

    def check(self, result: BounceResult) -> None:
        """Assert what must hold of every bounce, whatever befell its requests."""
        deletes = [one for one in self.proxy.exchanges if one.verb == "delete"]
        # Held back, or unseen by a stale look after it, a DELETE may be sent again: it changes nothing.
        since = dropwhile(lambda one: one.verb != "delete", self.proxy.exchanges)
        hidden = [one for one in since if one.fault and (one.fault.stale or (one.verb == "delete" and one.fault.late))]
        assert sum(one.accepted_delete for one in deletes) <= 1 + len(hidden)
        assert {one.body["preconditions"]["uid"] for one in deletes} <= {result.old_pod and result.old_pod.uid}
        for one in deletes:
            assert "gracePeriodSeconds" not in one.body | one.query
        if result.state is State.DONE:
            assert result.new_pod is not None
            assert result.new_pod.uid in self.started_at_the_end - {result.old_pod and result.old_pod.uid}
        assert self.busiest() <= REQUESTS

    def busiest(self) -> int:
        """Count the most requests within what would be ten seconds, were mecbounce not hasty."""
        times, window = [one.at for one in self.proxy.exchanges], 10 / HASTE
        return max((bisect_right(times, at + window) - first for first, at in enumerate(times)), default=0)


class Killed(BaseException):
    """The runner is killed, before or after a save."""


@contextmanager
def benched(folder: Path) -> Iterator[Bench]:
    with Sandbox(speed=SPEED) as sandbox, FaultProxy(sandbox.url) as proxy:
        yield Bench(sandbox, proxy, folder)
