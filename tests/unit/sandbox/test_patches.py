"""The three kinds of patch."""

from __future__ import annotations

from typing import Any

import pytest

from mecbounce.sandbox import patches
from mecbounce.sandbox.errors import ApiError


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"a": None}, {"l": [1]}),
        ({"a": {"b": None, "c": {"d": None, "e": 1}}}, {"a": {"c": {"e": 1}}, "l": [1]}),
        ({"l": [2]}, {"a": {"b": 1}, "l": [2]}),
        ({"a": 1}, {"a": 1, "l": [1]}),
    ],
)
def test_a_merge_patch_removes_with_null_and_replaces_lists(patch: Any, expected: Any) -> None:
    target = {"a": {"b": 1}, "l": [1]}
    assert expected == patches.apply(patches.MERGE, target, patch)
    assert target == {"a": {"b": 1}, "l": [1]}


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"env": [{"name": "b", "value": 3}]}, [{"name": "a", "value": 1}, {"name": "b", "value": 3}]),
        ({"env": [{"name": "a", "$patch": "delete"}]}, [{"name": "b", "value": 2}]),
        ({"env": [{"name": "c"}, {"$patch": "replace"}]}, [{"name": "c"}]),
        ({"env": None}, None),
    ],
)
def test_a_strategic_patch_merges_items_by_their_keys(patch: Any, expected: Any) -> None:
    target = {"env": [{"name": "a", "value": 1}, {"name": "b", "value": 2}]}
    assert patches.apply(patches.STRATEGIC, target, patch).get("env") == expected


def test_a_strategic_patch_follows_its_directives() -> None:
    target = {"finalizers": ["a", "b"], "strategy": {"type": "A", "a": 1}, "gone": {"x": 1}, "all": {"x": 1}}
    patch = {
        "finalizers": ["c"],
        "$deleteFromPrimitiveList/finalizers": ["a"],
        "$setElementOrder/finalizers": ["b", "c"],
        "strategy": {"$retainKeys": ["type"], "type": "B"},
        "gone": {"$patch": "delete"},
        "all": {"$patch": "replace", "y": 2},
        "tolerations": [{"key": "k"}],
    }
    assert patches.apply(patches.STRATEGIC, target, patch) == {
        "finalizers": ["b", "c"],
        "strategy": {"type": "B"},
        "all": {"y": 2},
        "tolerations": [{"key": "k"}],
    }


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/l/1", "value": 9}, {"a": {"b/c": 1}, "l": [1, 9, 2]}),
        ({"op": "add", "path": "/l/-", "value": 9}, {"a": {"b/c": 1}, "l": [1, 2, 9]}),
        ({"op": "replace", "path": "/l/0", "value": 9}, {"a": {"b/c": 1}, "l": [9, 2]}),
        ({"op": "replace", "path": "/a/b~1c", "value": 9}, {"a": {"b/c": 9}, "l": [1, 2]}),
        ({"op": "remove", "path": "/a"}, {"l": [1, 2]}),
        ({"op": "remove", "path": "/l/0"}, {"a": {"b/c": 1}, "l": [2]}),
        ({"op": "move", "from": "/l", "path": "/m"}, {"a": {"b/c": 1}, "m": [1, 2]}),
        ({"op": "copy", "from": "/l/0", "path": "/x"}, {"a": {"b/c": 1}, "l": [1, 2], "x": 1}),
        ({"op": "test", "path": "/l/0", "value": 1}, {"a": {"b/c": 1}, "l": [1, 2]}),
        ({"op": "replace", "path": "", "value": 5}, 5),
    ],
)
def test_each_operation_of_a_json_patch(operation: Any, expected: Any) -> None:
    assert expected == patches.apply(patches.JSON_PATCH, {"a": {"b/c": 1}, "l": [1, 2]}, [operation])


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "sing", "path": "/a"},
        {"op": "add", "path": "a", "value": 1},
    ],
)
def test_one_operation_that_fails_refuses_the_whole_patch(operation: Any) -> None:
    with pytest.raises(ApiError) as refusal:
        patches.apply(patches.JSON_PATCH, {"a": 1}, [operation])
    assert refusal.value.code == 422


@pytest.mark.parametrize(
    ("kind", "patch"),
    [(patches.MERGE, [1]), (patches.JSON_PATCH, {}), (patches.STRATEGIC, {"env": [{"value": 1}]})],
)
def test_a_body_that_is_no_patch_is_refused(kind: str, patch: Any) -> None:
    with pytest.raises(ApiError):
        patches.apply(kind, {}, patch)
