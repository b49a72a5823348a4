"""The one thread of the kubelet and of all controllers: each looks at an object when it changed, or when it is due."""

from __future__ import annotations

import heapq
import math
import threading
import time
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mecbounce.sandbox.resources import Key
    from mecbounce.sandbox.store import Change, Store


class Controller(Protocol):
    """Brings the cluster nearer to what its objects ask for, one object at a time."""

    def keys_of(self, change: Change) -> Iterable[Key]:
        """Return the objects to look at after a change."""

    def all_keys(self) -> Iterable[Key]:
        """Return every object that it works on: a change of the scenario may concern each."""

    def reconcile(self, key: Key, now: float) -> float:
        """Take one step for an object. Return when to look again, in sandbox seconds; infinity: after a change."""


class Loop:
    """Runs controllers until it is stopped. ``speed``: sandbox seconds in one real second."""

    def __init__(self, store: Store, speed: float) -> None:
        self.controllers: list[Controller] = []
        self._speed = speed
        self._changes: SimpleQueue[Change | None] = SimpleQueue()
        self._stopped = threading.Event()
        self._check_all = threading.Event()
        self._due: dict[tuple[Controller, Key], float] = {}
        self._heap: list[tuple[float, int, Controller, Key]] = []
        self._entries = 0
        self._thread = threading.Thread(target=self._run, name="sandbox-controllers", daemon=True)
        store.listeners.append(self._changes.put)

    def now(self) -> float:
        """Return the time in sandbox seconds; only differences have a meaning."""
        return time.monotonic() * self._speed

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._changes.put(None)
        self._thread.join()

    def check_all(self) -> None:
        """Look at every object: the scenario has changed."""
        self._check_all.set()
        self._changes.put(None)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._take_changes()
            if self._check_all.is_set():
                self._check_all.clear()
                for controller in self.controllers:
                    self._schedule(controller, controller.all_keys(), 0)
            while not self._stopped.is_set() and self._heap and self._heap[0][0] <= self.now():
                at, _, controller, key = heapq.heappop(self._heap)
                if self._due.get((controller, key)) == at:
                    del self._due[controller, key]
                    self._schedule(controller, [key], controller.reconcile(key, self.now()))

    def _take_changes(self) -> None:
        """Wait until there is a change or something is due; then take all changes that there are."""
        timeout: float | None = None
        if self._heap:
            timeout = max(0.0, (self._heap[0][0] - self.now()) / self._speed)
        try:
            change = self._changes.get(timeout=timeout) if timeout != 0 else self._changes.get_nowait()
            while True:
                if change is not None:
                    for controller in self.controllers:
                        self._schedule(controller, controller.keys_of(change), 0)
                change = self._changes.get_nowait()
        except Empty:
            return

    def _schedule(self, controller: Controller, keys: Iterable[Key], at: float) -> None:
        if math.isinf(at):
            return
        for key in keys:
            if at < self._due.get((controller, key), math.inf):
                self._due[controller, key] = at
                self._entries += 1
                heapq.heappush(self._heap, (at, self._entries, controller, key))
