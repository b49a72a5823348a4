"""The API server's socket: it accepts connections, lists the requests, and lets some fail if a test wants that."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mecbounce.sandbox.connection import Connection

if TYPE_CHECKING:
    from mecbounce.sandbox.api import Api
    from mecbounce.sandbox.requests import Request

BACKLOG: Final = 128
JOIN: Final = 5
"""Seconds that a stop waits for the thread of each connection."""


@dataclass
class Fault:
    """Which requests fail, how many, and how (see `Sandbox.fail_next`)."""

    method: str | None
    path_part: str
    status: int | None
    retry_after: int | None
    count: int
    after: bool


class Server:
    """Serves an API on a free port of 127.0.0.1, with one thread a connection."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.released = threading.Event()
        self.released.set()
        self.stopping = False
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._faults: list[Fault] = []
        self._watching: set[socket.socket] = set()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self._address = self._socket.getsockname()
        self._thread = threading.Thread(target=self._accept, name="sandbox-server", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._address[1]}"

    @property
    def requests(self) -> tuple[Request, ...]:
        with self._lock:
            return tuple(self._requests)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End every connection and its thread."""
        if self.stopping:
            return
        self.stopping = True
        with socket.create_connection(self._address):  # wakes the accepting thread
            self._thread.join()
        self._socket.close()
        self.released.set()
        with self._lock:
            threads = list(self._connections.values())
            _shut_down(self._connections)
        self.api.store.end_watches()
        for thread in threads:
            thread.join(JOIN)

    def hold(self) -> None:
        self.released.clear()

    def release(self) -> None:
        self.released.set()

    def drop_watches(self, *, abruptly: bool) -> None:
        if abruptly:
            with self._lock:
                _shut_down(self._watching)
        self.api.store.end_watches()

    def fail_next(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    # For its connections

    def add_request(self, request: Request) -> int:
        """Keep a request, and return its number."""
        with self._lock:
            self._requests.append(request)
            return len(self._requests) - 1

    def set_status(self, number: int, status: int) -> None:
        with self._lock:
            self._requests[number] = dataclasses.replace(self._requests[number], status=status)

    def take_fault(self, method: str, uri: str) -> Fault | None:
        """Return the fault that a request meets, if any, and count it."""
        with self._lock:
            for fault in self._faults:
                if fault.method in (None, method) and fault.path_part in uri:
                    fault.count -= 1
                    if fault.count <= 0:
                        self._faults.remove(fault)
                    return fault
        return None

    @contextlib.contextmanager
    def watching(self, connection: socket.socket) -> Iterator[None]:
        """List a connection as an open watch for the length of a ``with``."""
        with self._lock:
            self._watching.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._watching.discard(connection)

    # Threads

    def _accept(self) -> None:
        while True:
            try:
                connection, address = self._socket.accept()
            except OSError:  # the client has closed it already
                continue
            if self.stopping:
                connection.close()
                return
            thread = threading.Thread(
                target=self._serve, args=(connection, address), name="sandbox-connection", daemon=True
            )
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket, address: Any) -> None:
        try:
            Connection(connection, address, self)
        finally:
            with self._lock:
                del self._connections[connection]
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            connection.close()


def _shut_down(connections: Iterable[socket.socket]) -> None:
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
