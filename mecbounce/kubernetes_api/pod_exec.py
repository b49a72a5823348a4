"""A command in a container: how it ended, as its WebSocket tells."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic_core import from_json
from websocket import (
    ABNF,
    WebSocket,
    WebSocketBadStatusException,
    WebSocketConnectionClosedException,
    WebSocketException,
    WebSocketTimeoutException,
)

from mecbounce.errors import Refused, Unreachable
from mecbounce.kubernetes_api.answers import read_status
from mecbounce.quoting import quoted

EXEC_PROTOCOL, _ERROR_CHANNEL = "v4.channel.k8s.io", b"\x03"


@contextmanager
def as_exec_errors() -> Iterator[None]:
    """Turn errors of a WebSocket that could not be opened, or broke, into a ClusterError."""
    try:
        yield
    except WebSocketBadStatusException as error:
        said = read_status(error.resp_body).get("message") or f"the API server answered {error.status_message}"
        raise Refused(f"exec was refused: {quoted(said)}") from None
    except WebSocketException as error:
        raise Unreachable(f"exec was cut off: {quoted(error)}") from None


def exit_code(opened: WebSocket, what: str, seconds: float) -> int:
    """Wait until a command has ended, and give its exit status. It comes last, on a channel of its own.

    `what` names the command in the ClusterError that this raises if there is no status within the seconds.
    """
    until = time.monotonic() + seconds
    try:
        while (left := until - time.monotonic()) > 0:
            opened.settimeout(left)
            opcode, data = opened.recv_data()
            if opcode == ABNF.OPCODE_CLOSE:
                break
            if data[:1] == _ERROR_CHANNEL:
                status = from_json(data[1:])
                if status["status"] == "Success":
                    return 0
                if status.get("reason", "NonZeroExitCode") != "NonZeroExitCode":
                    raise Refused(f"{what} could not be run: {quoted(status['message'])}")
                return int(status["details"]["causes"][0]["message"])
    except WebSocketTimeoutException:
        left = 0.0
    except (WebSocketConnectionClosedException, ValueError, TypeError, LookupError) as error:
        raise Unreachable(f"it is not known how {what} ended") from error
    if left > 0:
        raise Unreachable(f"it is not known how {what} ended")
    raise Unreachable(f"{what} has not ended after {seconds:.0f} s")
