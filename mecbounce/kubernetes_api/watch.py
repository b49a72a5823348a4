"""A list of pods, and the watch that goes on from it. On any doubt, the pods are listed again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from pydantic_core import from_json

from mecbounce.kubernetes_api.objects import Pod
from mecbounce.logs import EventLog

log = EventLog("mecbounce.cluster")

WATCH_SECONDS = 290  # the API server ends a watch after this long; then the pods are listed again
# Seconds without an event after which the pods are listed. Even a quiet watch gets a bookmark about every minute.
SILENCE = 75.0
LASTING = 5.0  # seconds: a watch that lasted longer did not fail
LONGEST_PAUSE = 30.0  # seconds between two attempts to open a watch that keeps failing


class KubernetesPodWatch:
    """Keeps a namespace's pods current, as the protocol `PodWatch` says.

    `list_pods(name)` gives the pods (all if the name is None) and the list's resourceVersion. `open_watch(name,
    resource_version)` starts a watch and gives urllib3's response. Both raise ClusterError.
    """

    def __init__(
        self,
        list_pods: Callable[[str | None], tuple[tuple[Pod, ...], str]],
        open_watch: Callable[[str | None, str], Any],
    ) -> None:
        self._list_pods = list_pods
        self._open_watch = open_watch
        self._listed: tuple[str | None, tuple[Pod, ...], str] | None = None
        self._stream: _Stream | None = None
        self._changed = threading.Event()
        self._failures = 0
        self._not_before = 0.0

    def look(self, name: str | None) -> tuple[Pod, ...]:
        if self._listed and self._listed[0] == name and (stream := self._following()):
            return stream.pods()
        self.close()
        self._listed = None
        pods, resource_version = self._list_pods(name)
        self._listed = (name, pods, resource_version)
        return pods

    def wait(self, seconds: float) -> bool:
        self._following()
        changed = self._changed.wait(seconds)
        if changed:  # only then, or a change right after the time-out would be lost
            self._changed.clear()
        return changed

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.stop()
            self._stream = None

    def _following(self) -> _Stream | None:
        """Give the watch that goes on from the last list; open it if need be. None: the pods must be listed."""
        if self._listed is None:
            return None
        now, stream = time.monotonic(), self._stream
        if stream is None:
            if now < self._not_before:
                return None
            name, pods, resource_version = self._listed
            self._stream = _Stream(partial(self._open_watch, name, resource_version), pods, self._changed)
            self._stream.start()
            return self._stream
        if stream.ended:
            self._failures = 0 if now - stream.opened > LASTING else self._failures + 1
            self._not_before = now + (min(2.0**self._failures, LONGEST_PAUSE) if self._failures else 0.0)
        elif now - stream.last_event <= SILENCE:
            return stream
        self._listed = None
        return None


class _Stream(threading.Thread):
    """Reads one watch until it ends for any reason, and keeps the pods current."""

    def __init__(self, open_watch: Callable[[], Any], pods: Iterable[Pod], changed: threading.Event) -> None:
        super().__init__(name="mecbounce-watch", daemon=True)
        self._open_watch = open_watch
        self._pods = {pod.uid: pod for pod in pods}
        self._changed = changed
        self._response: Any = None
        self._stopped = False
        self._lock = threading.Lock()
        self.opened = self.last_event = time.monotonic()
        self.ended = False

    def pods(self) -> tuple[Pod, ...]:
        with self._lock:
            return tuple(self._pods.values())

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            response = self._response
        if response is not None:
            with suppress(OSError, ValueError, RuntimeError):  # it may end by itself at the same time
                response.shutdown()
        self.join(1.0)

    def run(self) -> None:
        try:
            response = self._open_watch()
            with self._lock:
                self._response = response
                stopped = self._stopped
            for line in () if stopped else filter(bytes.strip, response):
                if self._stopped or not self._take(from_json(line)):
                    break
            why = "closed"
        except Exception as error:  # noqa: BLE001 -- whatever ended the watch, the next look lists the pods
            why = type(error).__name__
        finally:
            self.ended = True
            if self._response is not None:
                with suppress(Exception):
                    self._response.close()
        if not self._stopped:
            log.info("cluster.watch_ended", why=why)
            self._changed.set()

    def _take(self, event: Mapping[str, Any]) -> bool:
        """Take in one event. False: the watch must end."""
        self.last_event = time.monotonic()
        kind = event["type"]
        if kind == "BOOKMARK":
            return True
        if kind not in ("ADDED", "MODIFIED", "DELETED"):
            return False
        pod = Pod.model_validate(event["object"])
        with self._lock:
            if kind == "DELETED":
                self._pods.pop(pod.uid, None)
            else:
                self._pods[pod.uid] = pod
        self._changed.set()
        return True
