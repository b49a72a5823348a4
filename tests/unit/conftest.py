"""A unit test talks to nobody: one that needs a server belongs to tests/integration."""

from __future__ import annotations

import socket
from typing import NoReturn

import pytest


@pytest.fixture(autouse=True)
def no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that connects or listens."""

    def refuse(*_: object) -> NoReturn:
        pytest.fail("a unit test uses a socket: move it to tests/integration")

    for use in ("bind", "connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, use, refuse)
