"""A list of pods, and the watch that goes on from it: one source of full looks. On any doubt, list again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

import structlog
from pydantic_core import from_json

from mecbounce.kubernetes_api.objects import Pod

log = structlog.get_logger("mecbounce.cluster")

WATCH_SECONDS = 290  # the API server ends a watch after this long; a list follows
# Seconds without a word from a watch before one plain look: a quiet one gets a bookmark a minute, up to a second late.
SILENCE = 75.0
LASTING = 5.0  # seconds: a watch that lived longer did not fail
LONGEST_PAUSE = 30.0  # seconds between two tries to open a watch that keeps failing


class PodSource(Protocol):
    """What a watch asks of the API server. Both raise ClusterError."""

    def list_pods(self, namespace: str, name: str | None) -> tuple[tuple[Pod, ...], str]:
        """List the pods; gives them and the list's resourceVersion."""
        ...

    def open_watch(self, namespace: str, name: str | None, resource_version: str) -> Any:
        """Begin to watch from a resourceVersion; gives urllib3's response."""
        ...


class KubernetesPodWatch:
    """A list, and the watch from its resourceVersion on. On any doubt, list again."""

    def __init__(self, source: PodSource, namespace: str) -> None:
        self._source = source
        self._namespace = namespace
        self._listed: tuple[str | None, tuple[Pod, ...], str] | None = None
        self._stream: _Stream | None = None
        self._changed = threading.Event()
        self._failures = 0
        self._not_before = 0.0

    def look(self, name: str | None) -> tuple[Pod, ...]:
        if self._listed and self._listed[0] == name:
            stream = self._following()
            if stream is not None:
                return stream.pods()
        self.close()
        self._listed = None
        pods, resource_version = self._source.list_pods(self._namespace, name)
        self._listed = (name, pods, resource_version)
        return pods

    def wait(self, seconds: float) -> bool:
        self._following()
        changed = self._changed.wait(seconds)
        if changed:  # or a change right after the time-out would be lost
            self._changed.clear()
        return changed

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.stop()
            self._stream = None

    def _following(self) -> _Stream | None:
        """Give the watch that goes on from the last list, opened if need be; None: there is none to be trusted."""
        if self._listed is None:
            return None
        now = time.monotonic()
        if self._stream is None:
            if now < self._not_before:
                return None
            self._stream = _Stream(self._source, self._namespace, self._listed, self._changed)
            self._stream.start()
            return self._stream
        if self._stream.ended:
            lived = now - self._stream.opened
            self._failures = 0 if lived > LASTING else self._failures + 1
            pause = min(2.0**self._failures, LONGEST_PAUSE) if self._failures else 0.0
            self._not_before = now + pause
            self._listed = None
            return None
        if now - self._stream.heard > SILENCE:
            self._listed = None
            return None
        return self._stream


class _Stream(threading.Thread):
    """Reads one watch until it ends, for whatever reason, and keeps the pods as it tells."""

    def __init__(
        self,
        source: PodSource,
        namespace: str,
        listed: tuple[str | None, tuple[Pod, ...], str],
        changed: threading.Event,
    ) -> None:
        super().__init__(name="mecbounce-watch", daemon=True)
        self._source = source
        self._namespace = namespace
        self._pod_name, pods, self._resource_version = listed
        self._pods = {pod.uid: pod for pod in pods}
        self._changed = changed
        self._response: Any = None
        self._stopped = False
        self._lock = threading.Lock()
        self.opened = self.heard = time.monotonic()
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
            response = self._source.open_watch(self._namespace, self._pod_name, self._resource_version)
            with self._lock:
                self._response = response
                stopped = self._stopped
            for line in () if stopped else _lines(response):
                if self._stopped or not self._take(from_json(line)):
                    break
            why = "closed"
        except Exception as error:  # noqa: BLE001 -- whatever ends a watch, the next look is a list
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
        """Take one event in; False ends the watch."""
        self.heard = time.monotonic()
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


def _lines(response: Any) -> Iterator[bytes]:
    rest = b""
    for chunk in response.stream(amt=None, decode_content=False):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)
