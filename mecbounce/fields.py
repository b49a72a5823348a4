"""What our data is made of: frozen models, checked names, and the texts of a field for `help()` and for an error."""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.annotated_handlers import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

from mecbounce.quoting import quoted


@dataclass(frozen=True)
class _Matching:
    """A pattern whose error says in words what is expected."""

    pattern: str
    longest: int
    rule: str

    def __repr__(self) -> str:
        return self.rule  # `help()` shows it in signatures

    def _check(self, value: str) -> str:
        if len(value) > self.longest or not re.fullmatch(self.pattern, value):
            raise ValueError(f"{value[:80]!r} is not {self.rule}, at most {self.longest} characters")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^({self.pattern})$", "maxLength": self.longest}


# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LETTERS = "lower case letters, digits and '-', a letter or digit at both ends"
Label = Annotated[str, _Matching(_LABEL, 63, f"a name of {_LETTERS}")]
ObjectName = Annotated[str, _Matching(rf"{_LABEL}(\.{_LABEL})*", 253, f"a name of {_LETTERS}, in parts joined by '.'")]
TypeName = Annotated[
    str, _Matching(rf"{_LABEL}(\.{_LABEL})+", 253, "a plural and its group, such as expressnodes.express.example.com")
]
Uid = Annotated[str, _Matching(r"[A-Za-z0-9-]+", 128, "a UID of letters, digits and '-'")]
FieldPath = Annotated[str, _Matching(r"[^.\s]+(\.[^.\s]+)*", 253, "a dotted path such as spec.state")]
Words = Annotated[str, AfterValidator(quoted)]  # text that another program wrote for people
# Far enough from the limits of datetime for any deadline and any time zone.
Instant = Annotated[AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(9000, 1, 1, tzinfo=UTC))]
ONE_WEEK = 7 * 24 * 3600  # seconds: the longest time that may be given, or that a pod may ask for
Seconds = Annotated[float, Field(gt=0, le=ONE_WEEK, allow_inf_nan=False)]


class Frozen(BaseModel):
    """Data of ours: an unknown field is an error. The text below a field says what it is, and its unit."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Let `help()` list the fields."""
        fields = "\n".join(_field_help(name, field) for name, field in cls.model_fields.items())
        cls.__doc__ = f"{inspect.cleandoc(cls.__doc__ or '')}{FIELDS}{fields}"


FIELDS = "\n\nFields:\n"


def _field_help(name: str, field: FieldInfo) -> str:
    default = field.default
    shown = sorted(default) if isinstance(default, frozenset) else getattr(default, "value", default)  # of an Enum
    text = f"{name}: {field.description or ''} {'Required.' if field.is_required() else f'Default: {shown!r}.'}"
    return textwrap.fill(" ".join(text.split()), 100, initial_indent="    ", subsequent_indent="        ")


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Give the dotted name of the field, and what is wrong with it. The value is left out: it may be a secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")
