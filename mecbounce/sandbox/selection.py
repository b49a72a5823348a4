"""Field and label selectors, as predicates. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.resources import EVENTS, HOSTS, NAMESPACES, PODS, Object

if TYPE_CHECKING:
    from mecbounce.sandbox.resources import ResourceType

Predicate = Callable[[Object], bool]

FIELDS: Final = {
    PODS: (
        *("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName"),
        *("status.phase", "status.podIP", "status.nominatedNodeName"),
    ),
    EVENTS: (
        *("involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid"),
        *("involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath"),
        *("reason", "reportingComponent", "source", "type"),
    ),
    HOSTS: ("spec.unschedulable",),
    NAMESPACES: ("status.phase",),
}
"""Fields that a selector may use, beside metadata.name and metadata.namespace; others are refused with 400."""

_KEY = r"[A-Za-z0-9]([A-Za-z0-9./_-]*[A-Za-z0-9])?"
_SET: Final = re.compile(rf"^\s*(?P<key>{_KEY})\s+(?P<how>in|notin)\s*\((?P<values>[^()]*)\)\s*$")
_EQUAL: Final = re.compile(rf"^\s*(?P<key>{_KEY})\s*(?P<how>==|=|!=)\s*(?P<value>[A-Za-z0-9._-]*)\s*$")
_EXISTS: Final = re.compile(rf"^\s*(?P<no>!?)\s*(?P<key>{_KEY})\s*$")


def field(obj: Object, path: str) -> str:
    """Return the text at a path such as ``spec.nodeName``; empty if there is none."""
    value: object = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if path == "source" and isinstance(value, dict):
        value = value.get("component")
    return "" if value is None else str(value)


def parse(resource: ResourceType, fields: str = "", labels: str = "") -> Predicate:
    """Return the predicate of a request's ``fieldSelector`` and ``labelSelector``."""
    tests = [*_field_tests(resource, fields), *_label_tests(labels)]
    return lambda obj: all(test(obj) for test in tests)


def of_labels(selector: Object) -> Predicate:
    """Return the predicate of a controller's ``spec.selector``; an empty one selects nothing."""
    wanted, rules = selector.get("matchLabels") or {}, selector.get("matchExpressions") or []
    return lambda obj: (
        bool(wanted or rules)
        and wanted.items() <= _labels(obj).items()
        and all(meets(_labels(obj), rule) for rule in rules)
    )


def meets(labels: dict[str, str], rule: Object) -> bool:
    """Whether labels meet one of ``matchExpressions``."""
    value, values = labels.get(rule["key"]), rule.get("values") or []
    match rule["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:  # DoesNotExist
            return value is None


def _field_tests(resource: ResourceType, text: str) -> list[Predicate]:
    known = ("metadata.name", "metadata.namespace", *FIELDS.get(resource, ()))
    tests: list[Predicate] = []
    for term in filter(None, text.split(",")):
        path, operator, wanted = re.match(r"([^=!]*)(!=|==|=|)(.*)", term, re.DOTALL).groups()  # type: ignore[union-attr]  # matches anything
        if not operator:
            raise ApiError(400, f"invalid selector: '{text}'; can't understand '{term}'")
        if path not in known:
            raise ApiError(400, f"field label not supported: {path}")
        tests.append(_field_test(path, wanted, equal=operator != "!="))
    return tests


def _field_test(path: str, wanted: str, *, equal: bool) -> Predicate:
    return lambda obj: (field(obj, path) == wanted) is equal


def _label_tests(text: str) -> list[Predicate]:
    # A comma in parentheses separates the values of a set.
    return [_label_test(term) for term in re.split(r",(?![^()]*\))", text) if text]


def _label_test(term: str) -> Predicate:
    if match := _SET.match(term):
        key, values = match["key"], {value.strip() for value in match["values"].split(",")}
        if match["how"] == "in":
            return lambda obj: _labels(obj).get(key) in values
        return lambda obj: _labels(obj).get(key) not in values
    if match := _EQUAL.match(term):
        key, value = match["key"], match["value"]
        if match["how"] == "!=":
            return lambda obj: _labels(obj).get(key) != value
        return lambda obj: _labels(obj).get(key) == value
    if match := _EXISTS.match(term):
        key, there = match["key"], not match["no"]
        return lambda obj: (key in _labels(obj)) is there
    raise ApiError(400, f"unable to parse requirement: found '{term.strip()}'")


def _labels(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}
