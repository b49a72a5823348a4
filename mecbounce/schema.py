"""JSON schemas of what others write, keep and read: the request, the record and the result."""

from __future__ import annotations

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

from mecbounce.fields import FIELDS, Frozen
from mecbounce.record import BounceRecord, BounceResult
from mecbounce.request import BounceRequest


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
