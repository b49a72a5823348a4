"""What the server, the kubelet and the controllers read from objects, or write into them, in the same way."""

from __future__ import annotations

import secrets
from typing import Final, TypeVar, cast

from mecbounce.sandbox.clock import timestamp
from mecbounce.sandbox.resources import Key, Object, ResourceType

T = TypeVar("T")

ENDED: Final = ("Succeeded", "Failed")
"""Phases of a pod whose containers have ended for good."""

SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
"""The letters of generated names, as the real server has them."""


def clone(value: T) -> T:
    """Return a deep copy of plain JSON (several times faster than ``copy.deepcopy``)."""
    if isinstance(value, dict):
        return cast("T", {key: clone(item) for key, item in value.items()})
    if isinstance(value, list):
        return cast("T", [clone(item) for item in value])
    return value


def key_of(resource: ResourceType, obj: Object) -> Key:
    metadata = obj["metadata"]
    return resource, metadata.get("namespace", "") if resource.namespaced else "", metadata["name"]


def random_suffix() -> str:
    """Return the five letters at the end of a generated name."""
    return "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))


# Owners


def owners_of(obj: Object) -> list[Object]:
    """Return the owner references of an object."""
    return obj["metadata"].get("ownerReferences") or []


def is_owned_by(obj: Object, uid: str) -> bool:
    return any(reference.get("uid") == uid for reference in owners_of(obj))


def controller_of(obj: Object) -> Object | None:
    """Return the owner reference whose ``controller`` is true, if there is one."""
    return next((reference for reference in owners_of(obj) if reference.get("controller")), None)


def is_controlled_by(obj: Object, owner: Object) -> bool:
    return bool((controller_of(obj) or {}).get("uid") == owner["metadata"]["uid"])


def owner_reference(resource: ResourceType, owner: Object) -> Object:
    """Return the reference to a controller."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


# Conditions and phases


def is_terminating(obj: Object) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def is_ended(pod: Object) -> bool:
    return pod["status"].get("phase") in ENDED


def is_active(pod: Object) -> bool:
    """Whether a controller counts a pod: it does not terminate and has not ended."""
    return not is_terminating(pod) and not is_ended(pod)


def is_ready(obj: Object) -> bool:
    """Whether the Ready condition of a pod or a Kubernetes node is true."""
    conditions = obj.get("status", {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def condition(kind: str, holds: bool, reason: str = "", message: str = "") -> Object:
    """Return a condition of a pod, with the time now."""
    made = {
        "type": kind,
        "status": "True" if holds else "False",
        "lastProbeTime": None,
        "lastTransitionTime": timestamp(),
    }
    return made | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def keep_transition_times(old: list[Object], new: list[Object]) -> list[Object]:
    """Return the new conditions; each has its old transition time if its status is the same."""
    known = {one["type"]: one for one in old}
    for one in new:
        before = known.get(one["type"])
        if before and before["status"] == one["status"]:
            one["lastTransitionTime"] = before["lastTransitionTime"]
    return new
