"""The three kinds of patch: JSON merge (RFC 7386), strategic merge, and JSON patch (RFC 6902). Pure functions."""

from __future__ import annotations

from typing import Any, Final

from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.objects import clone

MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"

MERGE_KEYS: Final = {
    "addresses": "type",
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "podIPs": "ip",
    "ports": "containerPort",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Lists that a strategic patch merges item by item, and the field that identifies an item. It replaces other lists."""

MERGED_SETS: Final = frozenset({"finalizers"})
"""Lists of plain values that a strategic patch adds to."""


def apply(kind: str, target: Any, patch: Any) -> Any:
    """Return the patched object; ``target`` is not changed."""
    if kind == JSON_PATCH:
        return json_patch(target, patch)
    if not isinstance(patch, dict):
        raise ApiError(400, "the patch is not a JSON object")
    return strategic(target, patch) if kind == STRATEGIC else merge(target, patch)


def merge(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch: null removes, objects merge, anything else replaces."""
    if not isinstance(patch, dict):
        return clone(patch)
    merged = clone(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def strategic(target: Any, patch: Any) -> Any:
    """Apply a strategic merge patch, with its directives ``$patch``, ``$retainKeys`` and ``$deleteFromPrimitiveList``.

    ``$setElementOrder`` is accepted and ignored: the order of items has no effect in this sandbox.
    """
    if not isinstance(patch, dict):
        return clone(patch)
    if patch.get("$patch") == "replace":
        return {key: clone(value) for key, value in patch.items() if key != "$patch"}
    merged = clone(target) if isinstance(target, dict) else {}
    if "$retainKeys" in patch:
        merged = {key: value for key, value in merged.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            merged[field] = [item for item in merged.get(field) or [] if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None or (isinstance(value, dict) and value.get("$patch") == "delete"):
            merged.pop(key, None)
        elif isinstance(value, list):
            merged[key] = _strategic_list(key, merged.get(key) or [], value)
        else:
            merged[key] = strategic(merged.get(key), value)
    return merged


def _strategic_list(field: str, old: list[Any], patch: list[Any]) -> list[Any]:
    if field in MERGED_SETS:
        return [*old, *(item for item in patch if item not in old)]
    key = MERGE_KEYS.get(field)
    if key is None or {"$patch": "replace"} in patch:
        return [clone(item) for item in patch if item != {"$patch": "replace"}]
    merged = {item.get(key): item for item in old}
    for item in patch:
        if key not in item:
            raise ApiError(500, f"map: {item} does not contain declared merge key: {key}", reason="")
        if item.get("$patch") == "delete":
            merged.pop(item[key], None)
        else:
            merged[item[key]] = strategic(merged.get(item[key]), item)
    return list(merged.values())


def json_patch(target: Any, operations: Any) -> Any:
    """Apply the operations of a JSON patch in order; all or none."""
    if not isinstance(operations, list):
        raise ApiError(400, "json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    document = clone(target)
    try:
        for operation in operations:
            document = _apply_operation(document, operation)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        message = "the server rejected our request due to an error in our request"
        raise ApiError(422, message, details={}) from error
    return document


def _apply_operation(document: Any, operation: dict[str, Any]) -> Any:
    name, path = operation["op"], _pointer(operation["path"])
    match name:
        case "add":
            return _set_at(document, path, clone(operation["value"]), insert=True)
        case "remove":
            return _remove_at(document, path)
        case "replace":
            _value_at(document, path)
            return _set_at(document, path, clone(operation["value"]))
        case "test" if _value_at(document, path) == operation["value"]:
            return document
        case "move":
            source = _pointer(operation["from"])
            value = _value_at(document, source)
            return _set_at(_remove_at(document, source), path, value, insert=True)
        case "copy":
            return _set_at(document, path, clone(_value_at(document, _pointer(operation["from"]))), insert=True)
        case _:
            raise ValueError(operation)


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise ValueError(text)
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _step(value: Any, part: str) -> Any:
    return value[int(part)] if isinstance(value, list) else value[part]


def _value_at(document: Any, path: list[str]) -> Any:
    for part in path:
        document = _step(document, part)
    return document


def _set_at(document: Any, path: list[str], value: Any, *, insert: bool = False) -> Any:
    if not path:
        return value
    parent, last = _value_at(document, path[:-1]), path[-1]
    if isinstance(parent, list) and insert:
        parent.insert(len(parent) if last == "-" else int(last), value)
    elif isinstance(parent, list):
        parent[int(last)] = value
    else:
        parent[last] = value
    return document


def _remove_at(document: Any, path: list[str]) -> Any:
    parent, last = _value_at(document, path[:-1]), path[-1]
    del parent[int(last) if isinstance(parent, list) else last]
    return document
