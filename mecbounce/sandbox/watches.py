"""One watch over HTTP: a chunked answer with an event a line."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from queue import Empty
from typing import TYPE_CHECKING

from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.requests import Call, flag
from mecbounce.sandbox.resources import Object
from mecbounce.sandbox.routes import Target
from mecbounce.sandbox.tables import table

if TYPE_CHECKING:
    from mecbounce.sandbox.connection import Connection
    from mecbounce.sandbox.store import Change, Store, Watch


class WatchStream:
    """The answer to a watch request. ``bookmark_every``: real seconds between two bookmarks, if they are allowed."""

    def __init__(self, store: Store, call: Call, target: Target, bookmark_every: float) -> None:
        query = call.request.query
        self._store = store
        self._target = target
        self._selects = call.selector(target.resource)
        self._since = call.since()
        self._timeout = float(query.get("timeoutSeconds") or "inf") or math.inf
        self._table = call.included if call.accepts_table else ""
        self._bookmark_every = bookmark_every if flag(query, "allowWatchBookmarks") else math.inf

    def __call__(self, connection: Connection) -> None:
        """Send events until the timeout, the end of all watches, or the end of the connection."""
        resource, namespace = self._target.resource, self._target.namespace
        try:
            watch, present = self._store.watch(resource, namespace, self._selects, self._since)
        except ApiError as expired:
            connection.send_stream([{"type": "ERROR", "object": expired.status()}])
            return
        try:
            with connection.server.watching(connection.connection):
                connection.send_stream(self._as_asked(self._events(connection, watch, present)))
        finally:
            self._store.unwatch(watch)

    def _as_asked(self, events: Iterator[Object]) -> Iterator[Object]:
        """Give each object as a table, if that was asked for; only the first one describes its columns."""
        described = False
        for event in events:
            if not self._table or event["type"] == "BOOKMARK":
                yield event
                continue
            shown = table(self._target.resource, event["object"], self._table, described=described)
            yield {**event, "object": shown}
            described = True

    def _events(self, connection: Connection, watch: Watch, present: list[Object]) -> Iterator[Object]:
        for obj in present:
            yield {"type": "ADDED", "object": obj}
        until = time.monotonic() + self._timeout
        bookmark_due = time.monotonic() + self._bookmark_every
        while True:
            remaining = min(until, bookmark_due) - time.monotonic()
            try:
                change: Change | None = watch.queue.get(timeout=min(max(remaining, 0), threading.TIMEOUT_MAX))
            except Empty:
                if time.monotonic() >= until:
                    return
                connection.wait_while_held()
                if (event := self._bookmark(watch)) is not None or watch.queue.empty():
                    bookmark_due = time.monotonic() + self._bookmark_every
            else:
                connection.wait_while_held()
                if change is None:
                    return
                event = change.event(self._selects)
            if event is not None:
                yield {"type": event[0], "object": event[1]}

    def _bookmark(self, watch: Watch) -> tuple[str, Object] | None:
        """Return the event that tells the version which the watch has reached.

        None if a change still waits to be sent, or if the watch started from a version that does not exist yet.
        """
        resource = watch.resource
        with self._store.lock:
            if not watch.queue.empty() or self._store.version < watch.since:
                return None
            metadata = {"resourceVersion": str(self._store.version)}
        return "BOOKMARK", {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
