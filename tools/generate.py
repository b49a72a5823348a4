"""Write all that is generated from the code: diagrams, the tables of docs/operations.md, JSON schemas.

The files are committed, and a test fails where they and the code differ.
"""

from __future__ import annotations

import ast
import inspect
import json
import shlex
from datetime import UTC, datetime
from enum import Enum
from itertools import pairwise
from pathlib import Path

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

from mecbounce import diagram
from mecbounce.advancing import begin
from mecbounce.codes import DiagnosisCode
from mecbounce.fields import FIELDS, Frozen
from mecbounce.kubernetes_api.objects import Owner
from mecbounce.machine import TRANSITIONS, WAITING, Event, State
from mecbounce.next_commands import FAILURES, WITHOUT_NODE, Given, next_commands
from mecbounce.record import BounceRecord, Diagnosis, PinnedPod, StateEntry
from mecbounce.request import BounceRequest, NodeRef
from mecbounce.result import BounceResult


class _Generator(GenerateJsonSchema):
    """As pydantic writes them, without the list of fields that is there for `help()`."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        if "description" in made:
            made["description"] = made["description"].partition(FIELDS)[0]
        return made


def schemas() -> dict[str, JsonSchemaValue]:
    """Give each by its name. A request as it may be given, a record and a result as they are written."""
    models: dict[str, tuple[type[Frozen], JsonSchemaMode]] = {
        "request": (BounceRequest, "validation"),
        "record": (BounceRecord, "serialization"),
        "result": (BounceResult, "serialization"),
    }
    return {
        name: {
            "$schema": _Generator.schema_dialect,
            **model.model_json_schema(by_alias=False, schema_generator=_Generator, mode=mode),
        }
        for name, (model, mode) in models.items()
    }


def replaced(document: str, name: str, text: str) -> str:
    """Give a document with `text` between its markers of that name."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, found, rest = document.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the markers {begin.strip()} and {end} are gone")
    return f"{before}{begin}{text}{end}{after}"


def in_readme(readme: str) -> str:
    """Give the README with its drawing of the happy path made anew."""
    return replaced(readme, "diagram", f"```mermaid\n{diagram.happy_path()}```\n")


def in_operations(operations: str) -> str:
    """Give the guide for those on call with its tables of events and diagnoses written anew."""
    for name, rows in TABLES.items():
        lines = [_event(row) if isinstance(row, Event) else _diagnosis(row) for row in rows]
        columns = (
            f"{'code' if isinstance(rows[0], DiagnosisCode) else 'event'} | what it means for the node, and what to do"
        )
        head = f"| {columns} | who must act | where to look |\n| --- | --- | --- | --- |\n"
        operations = replaced(operations, name, f"{head}{''.join(lines)}")
    leading_on = "".join(f"| {_anchored(event)} | {EVENTS[event.name]} |\n" for event in Event if event not in FAILURES)
    return replaced(operations, "other events", f"| event | what it means |\n| --- | --- |\n{leading_on}")


def example(event: Event, code: str = "") -> BounceRecord:
    """Give a bounce of the documents' node that failed so; how it came there does not matter."""
    now, node = datetime(2026, 1, 1, tzinfo=UTC), NodeRef.model_validate(NODE)
    first = begin(BounceRequest(namespace="mec", pod="mec-0", node=node), now)
    kinds = {"job": ("batch/v1", "Job", "backup"), "host": ("apps/v1", "DaemonSet", "mec")}
    api_version, kind, name = kinds.get(code.partition("_")[0], ("apps/v1", "StatefulSet", "mec"))
    controller = Owner(api_version=api_version, kind=kind, name=name, uid="UID")
    why = Diagnosis(code=code, evidence="", who="as the diagnosis says")
    return first.model_copy(
        update={
            "path": (*first.path, StateEntry(state=State.FAILED, at=now, event=event)),
            "old_pod": PinnedPod(name="mec-0", uid="UID", host="host-1", controller=controller),
            "diagnosis": why if code else None,
        }
    )


def _event(event: Event) -> str:
    who, command = FAILURES[event]
    if event in WITHOUT_NODE:
        who += f"; without a custom resource, {WITHOUT_NODE[event][0]}"
    shown = THEN.get(command) or _command(example(event))
    return f"| {_anchored(event)} | {EVENTS[event.name]} | {who or 'as the diagnosis says'} | {shown} |\n"


def _anchored(event: Event) -> str:
    """Give the name of an event, as a place that the diagrams link to."""
    return f'<a id="event-{event}"></a>`{event}`'


def _diagnosis(code: DiagnosisCode) -> str:
    who, command = " or ".join(code.who), _command(example(Event.READY_TIMEOUT, code))
    return f"| `{code}` | {CODES[code.name]} | {who} | {command} |\n"


def _command(record: BounceRecord) -> str:
    (_, words), *_ = next_commands(record, Given())
    return f"`{shlex.join(words)}`"


def _meanings(kind: type[Enum]) -> dict[str, str]:
    """Give the text below each member of an enum, by the member's name: Python itself does not keep it."""
    (definition,) = (node for node in ast.walk(ast.parse(inspect.getsource(kind))) if isinstance(node, ast.ClassDef))
    return {
        member.targets[0].id: " ".join(str(ast.literal_eval(below.value)).split())
        for member, below in pairwise(definition.body)
        if isinstance(member, ast.Assign) and isinstance(member.targets[0], ast.Name) and isinstance(below, ast.Expr)
    }


NODE = {"group": "express.example.com", "version": "v1", "plural": "expressnodes", "name": "mec-0"}
EVENTS, CODES = _meanings(Event), _meanings(DiagnosisCode)
THEN = {  # shown in place of a command of ours
    "ask_again": "as the diagnosis says; then `mecbounce plan`",
    "bounce_anyway": "`mecbounce run`",
    "wait_on": "as the diagnosis says; then [keep waiting](#keep-waiting)",
}
_FAILING_LATE = {row.event for row in TRANSITIONS if row.dest is State.FAILED and row.source in WAITING}
TABLES: dict[str, list[Event | DiagnosisCode]] = {
    "events before the deletion": [event for event in FAILURES if event not in _FAILING_LATE],
    "events after it": [event for event in FAILURES if event in _FAILING_LATE],
}
for _code in DiagnosisCode:
    TABLES.setdefault(_code.table, []).append(_code)


def files(root: Path) -> dict[Path, str]:
    """Each file under `root` that is generated, or has a generated part, and what it should hold."""
    readme, operations = root / "README.md", root / "docs" / "operations.md"
    return {
        **{root / "diagrams" / name: drawing for name, drawing in diagram.files().items()},
        readme: in_readme(readme.read_text(encoding="utf-8")),
        operations: in_operations(operations.read_text(encoding="utf-8")),
        **{
            root / "docs" / "schema" / f"{name}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
            for name, schema in schemas().items()
        },
    }


if __name__ == "__main__":
    for path, text in files(Path()).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
