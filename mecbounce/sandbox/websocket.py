"""The part of WebSocket (RFC 6455) that Kubernetes' exec needs: frames, and the channels in them."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox.errors import failure

if TYPE_CHECKING:
    from io import BufferedIOBase

    from mecbounce.sandbox.resources import Object

SUBPROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDOUT: Final = 1
ERROR: Final = 3

BINARY: Final = 0x2
CLOSE: Final = 0x8

_MAGIC: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


def accept_key(key: str) -> str:
    """Return the answer to the client's Sec-WebSocket-Key, which ends the handshake."""
    return base64.b64encode(hashlib.sha1((key + _MAGIC).encode(), usedforsecurity=False).digest()).decode()


def choose(offered: str) -> str | None:
    """Return the newest subprotocol that both sides know."""
    names = [name.strip() for name in offered.split(",")]
    return next((name for name in SUBPROTOCOLS if name in names), None)


def frame(opcode: int, payload: bytes) -> bytes:
    """Return one frame as a server sends it: whole and unmasked."""
    head = bytes([0x80 | opcode])
    size = len(payload)
    if size < 126:  # noqa: PLR2004  # RFC 6455, section 5.2: 126 and 127 mean that a longer length follows
        return head + bytes([size]) + payload
    if size < 1 << 16:
        return head + b"\x7e" + struct.pack(">H", size) + payload
    return head + b"\x7f" + struct.pack(">Q", size) + payload


def read_opcode(stream: BufferedIOBase) -> int:
    """Read one frame from a client and return its opcode; its content is not needed. EOF counts as a close."""
    head = stream.read(2)
    if len(head) < 2:  # noqa: PLR2004  # the two bytes that each frame begins with
        return CLOSE
    size = head[1] & 0x7F
    if size == 126:  # noqa: PLR2004  # RFC 6455, section 5.2
        (size,) = struct.unpack(">H", stream.read(2))
    elif size == 127:  # noqa: PLR2004  # RFC 6455, section 5.2
        (size,) = struct.unpack(">Q", stream.read(8))
    masked = 4 if head[1] & 0x80 else 0
    stream.read(masked + size)
    return head[0] & 0x0F


def exec_status(exit_code: int) -> Object:
    """Return the status that the error channel carries at the end of a command."""
    if exit_code == 0:
        return {"metadata": {}, "status": "Success"}
    message = f"command terminated with non-zero exit code: error executing command, exit code {exit_code}"
    details = {"causes": [{"reason": "ExitCode", "message": str(exit_code)}]}
    status = failure(0, message, reason="NonZeroExitCode", details=details)
    return {field: status[field] for field in ("metadata", "status", "message", "reason", "details")}
