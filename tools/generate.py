"""Write all that is generated from the code: diagrams, the README's copy, JSON schemas of what others read and write.

The files are committed, and a test fails where they and the code differ.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

from mecbounce import diagram
from mecbounce.fields import FIELDS, Frozen
from mecbounce.record import BounceRecord, BounceResult
from mecbounce.request import BounceRequest

BEGIN, END = "<!-- diagram: begin -->", "<!-- diagram: end -->"


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


def in_readme(readme: str) -> str:
    """Give the README with its copy of the diagram, between the markers, drawn anew."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md: the markers {BEGIN} and {END} are gone")
    return f"{before}{BEGIN}\n```mermaid\n{diagram.bounce()}```\n{END}{after}"


def files(root: Path) -> dict[Path, str]:
    """Each file under `root` that shows a diagram or is a JSON schema, and what it should hold."""
    readme = root / "README.md"
    return {
        root / "diagrams" / "bounce.mmd": diagram.bounce(),
        root / "diagrams" / "init_checks.mmd": diagram.init_checks(),
        readme: in_readme(readme.read_text(encoding="utf-8")),
        **{
            root / "docs" / "schema" / f"{name}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
            for name, schema in schemas().items()
        },
    }


if __name__ == "__main__":
    for path, text in files(Path()).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
