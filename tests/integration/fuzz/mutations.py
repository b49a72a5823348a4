"""Any JSON, and documents that are almost right: what a fuzz test is fed with."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hypothesis import strategies as st
from sampling import forms

EXAMPLES = forms("examples", short=1, long=20)  # so many times what a test gives for `make test`

TIMES = st.sampled_from(
    [
        "2026-01-01T12:00:00Z",
        "2030-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        "0001-01-01T00:00:00Z",
        "8999-12-31T23:59:59Z",
        "2026-01-01T12:00:00",
        "2026-02-30T12:00:00Z",
        "yesterday",
    ]
)
NUMBERS = st.sampled_from([0, -1, 1, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**400, 1e308, 1e-308, -0.0])
UNTOLD = st.sampled_from([float("nan"), float("inf"), float("-inf")])  # Python's JSON alone knows them
TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", " ", "up", "DOWN", "Rebuilding", "mec-0", "uid-1", "uid-2", "\0", "\u202e", "a\nb", "İ", "💥" * 500]
    ),
    TIMES,
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), NUMBERS, UNTOLD, st.floats(), TEXT)
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)


def places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give each place in a document, the document itself first."""
    yield place
    for key, inner in _children(document):
        yield from places(inner, (*place, key))


def _children(document: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(document, dict):
        return document.items()
    return enumerate(document) if isinstance(document, list) else ()


def _a_place(document: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    """Choose the depth first: most places are far down, and most that matters is not."""
    found = [place for place in places(document) if place]
    return st.sampled_from([1, 1, 2, 3, 99]).flatmap(
        lambda depth: st.sampled_from([place for place in found if len(place) <= depth])
    )


def outcome(call: Callable[[], Any], *errors: type[Exception]) -> Any:
    """Give what a call returns, or which of these errors it raises; any other comes through."""
    try:
        return call()
    except errors as error:
        return error


@st.composite
def almost(draw: st.DrawFn, document: Any, values: st.SearchStrategy[Any] = ANY_JSON) -> Any:
    """Give `document` with one to three places replaced, removed, doubled or added to."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(_a_place(changed))
        parent: Any = changed
        for key in way:
            parent = parent[key]
        match draw(st.sampled_from(["replace", "replace", "remove", "double", "add"])):
            case "remove":
                del parent[last]
            case "double" if isinstance(parent, list):
                parent.append(copy.deepcopy(parent[last]))
            case "add" if isinstance(parent, dict):
                parent[draw(TEXT)] = draw(values)
            case _:
                parent[last] = draw(values)
        if not changed:
            break
    return changed


@st.composite
def mixed(draw: st.DrawFn, document: Any, others: list[Any], texts: st.SearchStrategy[Any] = TEXT) -> Any:
    """Give `document` with values of the right types: one to three places as in another document, or made up."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(_a_place(changed))
        parent, other = changed, draw(st.sampled_from(others))
        for key in way:
            parent = parent[key]
            other = next((one for at, one in _children(other) if at == key), None)
        alike = [one for at, one in _children(other) if at == last]
        if isinstance(parent[last], bool):
            alike.append(draw(st.booleans()))
        elif isinstance(parent[last], str):
            alike.append(draw(texts))
        elif isinstance(parent[last], int | float):
            alike.append(draw(NUMBERS))
        parent[last] = copy.deepcopy(draw(st.sampled_from(alike or [None])))
    return changed


@st.composite
def spoilt(draw: st.DrawFn, raw: bytes) -> bytes:
    """Give `raw` cut off, with bytes flipped, doubled or put in."""
    at = draw(st.integers(0, len(raw)))
    to = draw(st.integers(at, min(len(raw), at + 200)))
    put_in = st.binary(max_size=8) | st.sampled_from(
        [b"\\ud800", b"\xff", b"\0", b"NaN", b'{"a":[' * 10_000, b"9" * 5000]
    )
    middle, rest = {
        "cut": (b"", b""),
        "flip": (bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in raw[at : at + 1]), raw[at + 1 :]),
        "double": (raw[at:to], raw[at:]),
        "leave out": (b"", raw[to:]),
        "put in": (draw(put_in), raw[at:]),
    }[draw(st.sampled_from(["cut", "flip", "double", "leave out", "put in"]))]
    return raw[:at] + middle + rest


def as_bytes(document: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Write documents as JSON; those of NaN and its like as Python does."""
    return document.map(lambda one: json.dumps(one).encode())
