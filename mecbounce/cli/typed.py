"""The options that were typed. What was not typed contradicts nothing: a recorded bounce goes on as it began."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mecbounce.messages import duration
from mecbounce.record import ANY_INCARNATION, BounceRecord
from mecbounce.request import BounceRequest, NodeRef

Typed = Mapping[str, Any]
"""What was typed, by the name of its field in OPTIONS. A flag is True, it can't be typed False."""

OPTIONS = {
    "node": "--node",
    "cluster_type": "--gitops",
    "force": "--force",
    "pod_uid": "--pod-uid",
    "termination": "--termination-timeout",
    "ready": "--ready-timeout",
    "ready_when": "--ready-when",
}
_FLAGS = ("cluster_type", "force")


def with_typed(request: BounceRequest, typed: Typed) -> BounceRequest:
    """Put what was typed in the place of what `request` has."""
    times = {name: typed[name] for name in ("termination", "ready") if name in typed}
    rest = {name: value for name, value in typed.items() if name not in times}
    return request.model_copy(update={**rest, "timeouts": request.timeouts.model_copy(update=times)})


def contradictions(typed: Typed, record: BounceRecord) -> Iterator[str]:
    """Say which typed options an unfinished bounce did not begin with: each with both values."""
    request = record.request
    known = {**dict(request), **dict(request.timeouts), "pod_uid": record.pinned_uid}
    known["node"] = record.node or request.node
    for name, mine in typed.items():
        theirs = known[name]
        if is_other_node(mine, theirs) if name == "node" else mine != theirs:
            yield f"{_words(name, mine)}: the unfinished bounce of {request.pod} began {_began(name, theirs, request)}"


def _words(name: str, mine: object) -> str:
    if name == "node" and mine is None:
        return "--no-node"
    return OPTIONS[name] if name in _FLAGS else f"{OPTIONS[name]} {written(mine)}"


def _began(name: str, theirs: object, request: BounceRequest) -> str:
    if name == "node" and request.node == "auto":  # nobody typed --node
        found = f" ({written(theirs)})" if isinstance(theirs, NodeRef) else ""
        return f"by finding its custom resource{found}"
    if name == "node":
        return "with --no-node" if theirs is None else f"with --node {written(theirs)}"
    if name == "pod_uid":
        return f"with {theirs or ANY_INCARNATION}"
    return "without it" if name in _FLAGS or theirs is None else f"with {written(theirs)}"


def is_other_node(mine: object, theirs: object) -> bool:
    """True if two nodes differ, None being none. Any NodeRef may be the one that "auto" finds."""
    if mine is None or theirs is None:
        return mine is not theirs
    return "auto" not in (mine, theirs) and str(mine) != str(theirs)  # without their paths and values


def written(value: object) -> str:
    """Write a value as its option takes it."""
    if isinstance(value, NodeRef):
        return value.as_option
    return duration(value) if isinstance(value, float) else str(value)
