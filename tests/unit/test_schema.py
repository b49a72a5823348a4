"""Each field explains itself, to `help()` and in the JSON schemas, which fit what is really written."""

from __future__ import annotations

import pydoc
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import NOW, later, pod, request
from generate import schemas

from mecbounce import BounceRecord, BounceRequest, BounceResult, NodeRef, Timeouts, begin
from mecbounce import progress as of_progress
from mecbounce import record as of_record
from mecbounce import request as of_request
from mecbounce import result as of_result
from mecbounce.fields import Frozen
from mecbounce.machine import Event, State
from mecbounce.record import Diagnosis, Notice, PinnedPod, SeenPod, StateEntry, Trouble

ROOT = Path(__file__).parents[2]
MODULES = (of_request, of_record, of_result, of_progress)
EVERY = dict.fromkeys(one for module in MODULES for one in vars(module).values() if isinstance(one, type))
OURS = [one for one in EVERY if issubclass(one, Frozen) and one.model_fields]
TIMES = {"termination", "ready", "api", "grace_period", "durations", "timeouts"}  # the fields that hold seconds
INSTANTS = {"at", "since", "deadline", "delete_tried_at", "saved_at"}  # and those that hold a point in time
EACH = pytest.mark.parametrize("asked", OURS, ids=lambda one: one.__name__)


def explained(asked: type[Frozen]) -> dict[str, str]:
    """Give what `help()` says of each field. An empty line has two blanks at its end up to Python 3.11."""
    listed = re.split(r"\n \| *\n", pydoc.plain(pydoc.render_doc(asked)).partition("Fields:\n")[2])[0]
    whole = re.sub(r"\n \|          ", " ", listed)
    return dict(re.findall(r"^ \|      (\w+): (.+)$", whole, flags=re.MULTILINE))


@EACH
def test_help_explains_each_field(asked: type[Frozen]) -> None:
    found = explained(asked)
    assert list(asked.model_fields) == list(found)
    for text in found.values():
        assert re.fullmatch(r"[A-Z].*\. (Required\.|Default: .+\.)", text)


@EACH
def test_help_tells_the_unit_of_each_time(asked: type[Frozen]) -> None:
    for name, text in explained(asked).items():
        assert name not in TIMES or re.search("[Ss]econds", text), name
        assert name not in INSTANTS or "UTC" in text, name


def test_every_time_is_held_to_tell_its_unit() -> None:
    """Whatever holds a number or a datetime is among the times, or no time."""
    counts = {"revision", "tries", "count", "fraction", "process"}
    kinds = {
        name: str(field.annotation)
        for one in OURS
        for name, field in one.model_fields.items()
        if re.search(r"\bfloat\b|\bint\b|datetime", str(field.annotation)) and name not in counts
    }
    assert set() == set(kinds) - TIMES - INSTANTS


@pytest.mark.parametrize(
    ("asked", "field", "default"),
    [
        (BounceRequest, "namespace", "Required."),
        (BounceRequest, "cluster_type", "Default: 'k8s'."),
        (BounceRequest, "force", "Default: False."),
        (NodeRef, "down_values", "Default: ['down', 'stopped']."),
        (Timeouts, "api", "Default: 30.0."),
    ],
)
def test_help_tells_the_default(asked: type[Frozen], field: str, default: str) -> None:
    assert explained(asked)[field].endswith(f" {default}")


def test_a_signature_names_the_rule_of_a_name_and_not_its_pattern() -> None:
    shown = pydoc.plain(pydoc.render_doc(BounceRequest))
    assert re.search(r"namespace: (typing\.)?Annotated\[str, a name of lower case", shown)


def whole() -> BounceRecord:
    """Give a record that has all that one can have."""
    steps = (
        (State.DISABLE_PROTECTION, Event.CHECKS_PASSED),
        (State.DELETE_POD, Event.PROTECTION_UNUSED),
        (State.AWAIT_TERMINATION, Event.DELETE_ACCEPTED),
        (State.AWAIT_READY, Event.POD_GONE),
        (State.FAILED, Event.READY_TIMEOUT),
    )
    first = begin(request(), NOW)
    return first.changed(
        path=(*first.path, *(StateEntry(state=state, at=NOW, event=event) for state, event in steps)),
        deadline=later(1),
        old_pod=PinnedPod.of(pod(container={"startupProbe": {"periodSeconds": 1}}), []),
        new_pod=SeenPod(name="mec-0", uid="uid-2", images={"app": "app:1"}),
        trouble=Trouble(since=NOW, tries=1, what="reset"),
        notices=(Notice(code="resumed", message="Resumed.", at=NOW),),
        diagnosis=Diagnosis(code="image_pull", evidence="none", who="somebody"),
    )


DOCUMENTS = {
    "request": request().model_dump(mode="json"),
    "record": whole().model_dump(mode="json"),
    "result": BounceResult.of(whole()).model_dump(mode="json"),
}


def strangers(document: Any, schema: Any, root: Any, where: str = "") -> list[str]:
    """Tell the fields that a schema does not know, and those that it requires and that are not there."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if isinstance(document, list):
        return [one for item in document for one in strangers(item, schema.get("items", {}), root, f"{where}.0")]
    if not isinstance(document, dict):
        return []
    if "anyOf" in schema:
        schema = next(one for one in schema["anyOf"] if one.get("type") != "null")
        return strangers(document, schema, root, where)
    if "properties" not in schema:
        return []
    known = schema["properties"]
    found = [f"{where}.{name}" for name in {*document} ^ {*known} if name in document or name in schema["required"]]
    for name in {*document} & {*known}:
        found += strangers(document[name], known[name], root, f"{where}.{name}")
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_schema_knows_each_field_of_what_is_written_and_no_other(name: str) -> None:
    schema = schemas()[name]
    assert [] == strangers(DOCUMENTS[name], schema, schema)


def test_one_field_more_or_less_would_be_seen() -> None:
    """A test of the test."""
    schema, document = schemas()["record"], whole().model_dump(mode="json")
    document["old_pod"]["containers"][0]["startup_probe"]["more"] = document.pop("revision")
    assert [".revision", ".old_pod.containers.0.startup_probe.more"] == sorted(
        strangers(document, schema, schema), key=len
    )


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_schema_explains_each_field_of_ours(name: str) -> None:
    schema = schemas()[name]
    ours = {one.__name__ for one in OURS}
    objects = [schema, *(one for title, one in schema.get("$defs", {}).items() if title in ours)]
    for one in objects:
        assert "Fields:" not in one["description"]
        assert {} == {field: text for field, text in one["properties"].items() if "description" not in text}


def test_a_schema_tells_how_a_name_is_made() -> None:
    found = schemas()["request"]["properties"]["namespace"]
    assert found["maxLength"] == 63
    assert re.search(found["pattern"], "mec-0")
    assert not re.search(found["pattern"], "Mec_0")


def test_a_schema_is_the_same_in_every_process() -> None:
    """Sets have no order of their own."""
    code = "import json; from generate import schemas; print(json.dumps(schemas()))"
    told = set()
    for seed in ("1", "2", "3"):
        env = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT / "tools")}
        ran = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
        told.add(ran.stdout)
    assert len(told) == 1
