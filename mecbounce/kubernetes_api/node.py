"""The application's node, as its custom resource describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from mecbounce.fields import Frozen
from mecbounce.kubernetes_api.objects import Owner
from mecbounce.request import NodeRef


class UnreadableField(ValueError):
    """A field of the custom resource does not hold text."""


class Node(Frozen):
    """What a custom resource says about its node."""

    desired: str | None = None
    """The state that somebody wants; None where the resource does not say."""
    activity: str | None = None
    """What the node does now; None where the resource does not say."""
    reference: Owner | None = None
    """The custom resource as the owner references of other objects name it."""
    deleting: bool = False
    """True if the custom resource has a deletionTimestamp."""
    cluster_scoped: bool = False
    """True if the custom resource belongs to no namespace."""

    @classmethod
    def read(cls, resource: Mapping[str, Any], ref: NodeRef) -> Self:
        """Read a custom resource's JSON. Raises UnreadableField where a field does not hold text."""
        api_version, kind, uid = (_text_at(resource, path) for path in ("apiVersion", "kind", "metadata.uid"))
        return cls(
            desired=_text_at(resource, ref.desired_path),
            activity=_text_at(resource, ref.activity_path),
            reference=Owner(api_version=api_version or "", kind=kind, name=ref.name, uid=uid) if kind and uid else None,
            deleting=_text_at(resource, "metadata.deletionTimestamp") is not None,
            cluster_scoped=bool(uid) and not _text_at(resource, "metadata.namespace"),
        )

    def is_down(self, ref: NodeRef) -> bool:
        """True if it is meant to be down."""
        return (self.desired or "").casefold() in ref.down_values


def _text_at(resource: Mapping[str, Any], path: str) -> str | None:
    found: Any = resource
    walked: list[str] = []
    for key in path.split("."):
        if found is None:
            return None
        if not isinstance(found, Mapping):
            raise UnreadableField(f"{'.'.join(walked)} holds {_shown(found)}, expected an object with {path!r}")
        found = found.get(key)
        walked.append(key)
    if found is not None and not isinstance(found, str):
        raise UnreadableField(f"{path} holds {_shown(found)}, expected text")
    return found


def _shown(value: Any) -> str:
    """Name a value's JSON type. The value itself may be a secret."""
    names = {bool: "a boolean", int: "a number", float: "a number", list: "a list", str: "text"}
    return names.get(type(value), "an object")
