"""Pods and requests to test with, as short as a test's point allows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from mecbounce.kubernetes_api.objects import Controller, Host, Pod
from mecbounce.request import BounceRequest, NodeRef

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
NODE = NodeRef(group="express.example.com", version="v1", plural="expressnodes", name="mec-0")
REPLICA_SET = {"kind": "ReplicaSet", "name": "mec-7d9f", "uid": "rs-1", "controller": True}
STATEFUL_SET = {"kind": "StatefulSet", "name": "mec", "uid": "sts-1", "controller": True}
OPERATOR = {"kind": "ExpressNode", "name": "mec-0", "uid": "owner-1", "controller": True}
OTHER = {"kind": "ExpressNode", "name": "mec-0", "uid": "owner-2", "controller": True}
STARTUP_PROBE = {"periodSeconds": 1, "failureThreshold": 30}


class Mute(Exception):
    """An error of somebody's own making that can't be asked for its text."""

    def __str__(self) -> str:
        raise RuntimeError("nothing to be had")


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def stamp(seconds: float) -> str:
    """Give a time, in seconds after NOW, as Kubernetes writes it."""
    return later(seconds).isoformat().replace("+00:00", "Z")


def kubeconfig(server: str, user: dict[str, Any], **cluster: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": server} | cluster}],
        "users": [{"name": "me", "user": user}],
        "contexts": [{"name": "it", "context": {"cluster": "here", "user": "me"}}],
        "current-context": "it",
    }


def write_kubeconfig(path: Path, server: str, token: str = "valid", **cluster: Any) -> Path:  # noqa: S107 -- no password
    path.write_text(json.dumps(kubeconfig(server, {"token": token}, **cluster)))
    return path


def request(**fields: Any) -> BounceRequest:
    return BounceRequest(**{"namespace": "default", "pod": "mec-0", "node": NODE} | fields)


def pod_json(
    name: str = "mec-0",
    uid: str = "uid-1",
    *,
    owner: dict[str, Any] | None = {"kind": "ExpressNode", "name": "mec-0", "uid": "owner-1", "controller": True},  # noqa: B006
    created: float = -3600,
    deleted: float | None = None,
    metadata: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
    container: dict[str, Any] | None = None,
    container_status: dict[str, Any] | None = None,
    ready: bool = True,
) -> dict[str, Any]:
    """Give a running pod of one container `app`; `deleted`: when its grace period ends, in seconds after NOW."""
    started = {"name": "app", "ready": ready, "started": ready, "state": {"running": {"startedAt": stamp(created)}}}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": uid,
            "creationTimestamp": stamp(created),
            **({"ownerReferences": [owner]} if owner else {}),
            **({"deletionTimestamp": stamp(deleted), "deletionGracePeriodSeconds": 30} if deleted is not None else {}),
            **(metadata or {}),
        },
        "spec": {
            "nodeName": "host-1",
            "terminationGracePeriodSeconds": 30,
            "containers": [{"name": "app", "image": "app:1", **(container or {})}],
            **(spec or {}),
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [started | (container_status or {})],
            **(status or {}),
        },
    }


def pod(*args: Any, **fields: Any) -> Pod:
    return Pod.model_validate(pod_json(*args, **fields))


def host(ready: str = "True", reason: str = "KubeletReady", message: str = "") -> Host:
    conditions = [{"type": "Ready", "status": ready, "reason": reason, "message": message}]
    return Host.model_validate({"metadata": {"name": "host-1", "uid": "h"}, "status": {"conditions": conditions}})


def controller(spec: Any = None, status: Any = None, *, kind: str = "StatefulSet", **metadata: Any) -> Controller:
    named = {"name": "mec", "uid": "sts-1", **metadata}
    return Controller.read({"apiVersion": "apps/v1", "kind": kind, "metadata": named, "spec": spec, "status": status})


def faults(kind: type[BaseModel], data: Any) -> list[tuple[str, str]]:
    """Give the field and the message of each fault of `data`."""
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(data)
    return [(".".join(str(part) for part in one["loc"]), one["msg"]) for one in caught.value.errors()]
