"""What the API server passes on to a pod: log, proxy and exec."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from mecbounce.sandbox import websocket
from mecbounce.sandbox.answers import JSON, Answer, Stream
from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.requests import Call, ProxyRequest
from mecbounce.sandbox.resources import Object
from mecbounce.sandbox.routes import Target

if TYPE_CHECKING:
    from mecbounce.sandbox.connection import Connection

Proxy = Callable[[Object, ProxyRequest], tuple[int, Any]]
"""``(pod, request) -> (status, body)``; the body is text, bytes or JSON."""

Exec = Callable[[Object, list[str]], tuple[int, str]]
"""``(pod, command) -> (exit code, stdout)``."""


def answer(call: Call, target: Target, pod: Object, on_proxy: Proxy | None, on_exec: Exec | None) -> Answer | Stream:
    bound = bool(pod["spec"].get("nodeName"))
    if target.subresource == "log":
        text = f"{target.name} is running\n"
        return Answer(200, text, "text/plain") if bound else Answer(204, "", "text/plain")
    if not bound:
        raise ApiError(400, f"pod {target.name} does not have a host assigned")
    return _proxy(call, target, pod, on_proxy) if target.subresource == "proxy" else _exec(call, pod, on_exec)


def _proxy(call: Call, target: Target, pod: Object, on_proxy: Proxy | None) -> Answer:
    if on_proxy is None:
        address = f"{pod['status'].get('podIP', '')}:{target.port or '80'}"
        raise ApiError(503, f"error trying to reach service: dial tcp {address}: connect: connection refused")
    headers = dict(call.headers.items())
    request = ProxyRequest(call.request.method, "/" + target.rest, call.request.query, headers, call.body, target.port)
    status, body = on_proxy(pod, request)
    return Answer(status, body, "text/plain" if isinstance(body, str) else JSON)


def _exec(call: Call, pod: Object, on_exec: Exec | None) -> Stream:
    protocol = websocket.choose(call.headers.get("Sec-WebSocket-Protocol", ""))
    key = call.headers.get("Sec-WebSocket-Key")
    if protocol is None or key is None:
        raise ApiError(400, "unable to upgrade: the sandbox speaks WebSocket with v4.channel.k8s.io alone")
    command = parse_qs(urlsplit(call.uri).query).get("command", [])
    code, stdout = on_exec(pod, command) if on_exec else (0, "")
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": websocket.accept_key(key),
        "Sec-WebSocket-Protocol": protocol,
    }
    payloads = [bytes([websocket.STDOUT]) + stdout.encode()] if stdout else []
    payloads.append(bytes([websocket.ERROR]) + json.dumps(websocket.exec_status(code)).encode())
    frames = b"".join(websocket.frame(websocket.BINARY, payload) for payload in payloads)
    return partial(_send_frames, headers=headers, frames=frames + websocket.frame(websocket.CLOSE, b"\x03\xe8"))


def _send_frames(connection: Connection, headers: dict[str, str], frames: bytes) -> None:
    connection.send(101, headers, frames)
    while websocket.read_opcode(connection.rfile) != websocket.CLOSE:
        pass
    connection.close_connection = True
