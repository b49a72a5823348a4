"""The one thread of the sandbox's kubelet and controllers: each looks at an object when it changed, or when due."""

from __future__ import annotations

import heapq
import math
import threading
import time
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mecbounce.sandbox.store import Change, Key, Store


class Controller(Protocol):
    """What makes the world as its objects say."""

    def concerns(self, change: Change) -> Iterable[Key]:
        """Return the objects to look at after a change."""

    def everything(self) -> Iterable[Key]:
        """Return every object it cares for: to look at after the scenario changed."""

    def reconcile(self, key: Key, now: float) -> float:
        """Take one step for an object; return when to look again, in `Loop.now` seconds (infinity: on a change)."""


class Loop:
    """Runs controllers until stopped. ``speed``: sandbox seconds that pass in one real second."""

    def __init__(self, store: Store, speed: float) -> None:
        self.controllers: list[Controller] = []
        self._store = store
        self._speed = speed
        self._changes: SimpleQueue[Change | None] = SimpleQueue()
        self._stopped = threading.Event()
        self._everything = threading.Event()
        self._due: dict[tuple[Controller, Key], float] = {}
        self._heap: list[tuple[float, int, Controller, Key]] = []
        self._entries = 0
        self._thread = threading.Thread(target=self._run, name="sandbox-controllers", daemon=True)
        store.listeners.append(self._changes.put)

    def now(self) -> float:
        """Return the sandbox's own time, in its seconds."""
        return time.monotonic() * self._speed

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._changes.put(None)
        self._thread.join()

    def look_at_everything(self) -> None:
        """The scenario changed: what was decided may be wrong now."""
        self._everything.set()
        self._changes.put(None)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._take_changes()
            if self._everything.is_set():
                self._everything.clear()
                for controller in self.controllers:
                    self._schedule(controller, controller.everything(), 0)
            while not self._stopped.is_set() and self._heap and self._heap[0][0] <= self.now():
                at, _, controller, key = heapq.heappop(self._heap)
                if self._due.get((controller, key)) == at:
                    del self._due[controller, key]
                    self._schedule(controller, [key], controller.reconcile(key, self.now()))

    def _take_changes(self) -> None:
        """Wait for a change until something is due, then take all that have come."""
        timeout: float | None = None
        if self._heap:
            timeout = max(0.0, (self._heap[0][0] - self.now()) / self._speed)
        try:
            change = self._changes.get(timeout=timeout) if timeout != 0 else self._changes.get_nowait()
            while True:
                if change is not None:
                    for controller in self.controllers:
                        self._schedule(controller, controller.concerns(change), 0)
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
