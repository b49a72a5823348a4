"""Plain HTTP and objects for the tests of the sandbox, without a client that adds or hides something."""

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
    """Return a pod on a Kubernetes node without a kubelet, so that its deletion never ends by itself."""
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


PROBE = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1, "failureThreshold": 3}


def container(name: str = "main", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "image:1", **more}


def a_pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Return a pod without an owner."""
    whole = {"containers": [*containers] or [container()], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "web"}}, "spec": whole}


def status(sandbox: Sandbox, name: str = "mec-0") -> dict[str, Any]:
    pod = sandbox.get("pods", name) or {"status": {}}
    statuses: dict[str, Any] = pod["status"]
    return statuses


def statuses(sandbox: Sandbox, name: str = "mec-0", which: str = "containerStatuses") -> dict[str, Any]:
    """Return the statuses of a pod's containers by their names."""
    return {one["name"]: one for one in status(sandbox, name).get(which) or []}


def state(one: dict[str, Any]) -> tuple[str, str]:
    """Return a container's state and its reason."""
    ((kind, what),) = one["state"].items()
    return kind, what.get("reason", "")


def said(sandbox: Sandbox, kind: str, name: str) -> list[tuple[str, str, str]]:
    """Return type, reason and message of the Events about an object."""
    return [
        (event["type"], event["reason"], event["message"])
        for event in sandbox.objects("events")
        if (event["involvedObject"]["kind"], event["involvedObject"]["name"]) == (kind, name)
    ]


def condition(obj: dict[str, Any] | None, kind: str) -> tuple[str, str] | None:
    """Return the status and the reason of an object's condition."""
    conditions = (obj or {"status": {}})["status"].get("conditions") or []
    return next(((one["status"], one.get("reason", "")) for one in conditions if one["type"] == kind), None)


def workload(kind: str, name: str = "web", template: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a controller of pods with the label app=NAME."""
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container()], **(template or {})}}
    whole = {"selector": {"matchLabels": labels}, "template": pod, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": whole}


def job(name: str = "work", policy: str = "Never", **spec: Any) -> dict[str, Any]:
    whole = {"template": {"spec": {"restartPolicy": policy, "containers": [container()]}}, **spec}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": whole}


def names(sandbox: Sandbox) -> list[str]:
    """Return the names of the pods that do not terminate."""
    return [pod["metadata"]["name"] for pod in sandbox.objects("pods") if "deletionTimestamp" not in pod["metadata"]]


def uids(sandbox: Sandbox) -> set[str]:
    return {pod["metadata"]["uid"] for pod in sandbox.objects("pods")}


def ready(sandbox: Sandbox, name: str) -> bool:
    return condition(sandbox.get("pods", name), "Ready") == ("True", "")
