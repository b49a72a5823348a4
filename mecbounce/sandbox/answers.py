"""The answers that go back to a client."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.resources import Object, ResourceType

if TYPE_CHECKING:
    from mecbounce.sandbox.connection import Connection

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Answer:
    """One whole answer. ``body``: an object, which becomes JSON, or text, or bytes."""

    status: int
    body: Any
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else to_json(self.body)


Stream = Callable[["Connection"], None]
"""An answer that writes itself to the connection, piece by piece: a watch, or exec."""


def to_json(obj: object) -> bytes:
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def refusal(error: ApiError) -> Answer:
    return Answer(error.code, error.status())


def list_of(resource: ResourceType, items: list[Object], version: int) -> Object:
    """Return the list object of a type, such as a PodList."""
    if not resource.custom:
        # The real server leaves these out of the items of its own types.
        items = [{key: value for key, value in item.items() if key not in ("kind", "apiVersion")} for item in items]
    return {
        "kind": f"{resource.kind}List",
        "apiVersion": resource.api_version,
        "metadata": {"resourceVersion": str(version), **({"continue": ""} if resource.custom else {})},
        "items": items,
    }
