"""The one configuration file: which fields of a resource type hold the state of its nodes."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from mecbounce.cli.exits import UsageProblem
from mecbounce.cli.kube import xdg_folder
from mecbounce.fields import Frozen, TypeName
from mecbounce.request import NodeFields


class _Config(Frozen):
    """What the file may hold."""

    node: Mapping[TypeName, NodeFields] = {}
    """By plural and group."""


def config_file() -> Path:
    """Name the file."""
    return xdg_folder("XDG_CONFIG_HOME", "~/.config") / "config.toml"


def node_types() -> Mapping[str, NodeFields]:
    """Read what is set for resource types, by plural and group. Without the file there is nothing.

    Raises UsageProblem, which names the file and what is wrong in it.
    """
    path = config_file()
    try:
        text = path.read_text(encoding="utf-8")
        return _Config.model_validate(tomllib.loads(text)).node
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValidationError as error:
        raise UsageProblem(f"{path}: {_fault(error)}") from None
    except OSError as error:
        raise UsageProblem(f"{path}: {error.strerror}") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise UsageProblem(f"{path}: not TOML: {error}") from error


_EXPECTED = {
    "extra_forbidden": "there is no such key",
    "frozen_set_type": 'expected a list of texts, such as ["down"]',
    "string_type": "expected a text",
    "dict_type": 'expected tables such as [node."expressnodes.express.example.com"]',
    "model_type": "expected a table",
    "model_attributes_type": "expected a table",
}


def _fault(error: ValidationError) -> str:
    """Name the key as it is written in TOML, and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False)[0]
    keys = [f'"{part}"' if "." in str(part) else str(part) for part in first["loc"] if part != "[key]"]
    return f"{'.'.join(keys)}: {_EXPECTED.get(first['type'], first['msg'].removeprefix('Value error, '))}"
