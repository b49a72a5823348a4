"""Plain HTTP for the tests: what goes over the wire, without a client that means well."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from mecbounce.sandbox import Sandbox

PODS = "/api/v1/namespaces/default/pods"
NODES = "/apis/express.example.com/v1/namespaces/default/expressnodes"
MERGE = "application/merge-patch+json"


def connect(sandbox: Sandbox) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=5)


def ask(
    sandbox: Sandbox,
    method: str,
    path: str,
    body: object = None,
    kind: str = "application/json",
    *,
    accept: str = "",
    headers: dict[str, str] | None = None,
) -> tuple[int, Any]:
    """Return the status and the JSON (or else the bytes) of one answer."""
    headers = {"Content-Type": kind, **(headers or {})} if body is not None else {**(headers or {})}
    headers |= {"Accept": accept} if accept else {}
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    with contextlib.closing(connect(sandbox)) as connection:
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        content = response.read()
        is_json = response.getheader("Content-Type") == "application/json"
        return response.status, json.loads(content) if is_json else content


@contextlib.contextmanager
def watching(sandbox: Sandbox, path: str) -> Iterator[Iterator[tuple[str, Any]]]:
    """Open a watch; iterating yields (type, object) until the stream ends."""
    with contextlib.closing(connect(sandbox)) as connection:
        connection.request("GET", path)
        with connection.getresponse() as response:
            assert response.status == 200
            yield ((event["type"], event["object"]) for event in map(json.loads, response))


def bound(name: str = "held") -> dict[str, Any]:
    """Return a pod on a Kubernetes node that has no kubelet: its deletion never ends by itself."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"nodeName": "elsewhere", "containers": [{"name": "main", "image": "image:1"}]},
    }


def express_node(name: str, state: str = "down") -> dict[str, Any]:
    return {
        "apiVersion": "express.example.com/v1",
        "kind": "ExpressNode",
        "metadata": {"name": name},
        "spec": {"state": state},
    }
