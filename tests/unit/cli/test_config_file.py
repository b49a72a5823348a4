"""The file in which a team sets once where its resource types hold their state."""

from __future__ import annotations

from pathlib import Path

import pytest

from mecbounce.cli.config_file import config_file, node_types
from mecbounce.cli.exits import UsageProblem
from mecbounce.request import NodeFields

TABLE = '[node."expressnodes.express.example.com"]\n'
WHERE = 'node."expressnodes.express.example.com"'


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "mecbounce").mkdir()
    return tmp_path / "mecbounce" / "config.toml"


def test_it_says_for_a_type_where_its_state_is_and_what_it_is_called(file: Path) -> None:
    file.write_text(
        f'{TABLE}desired_path = "spec.power"\nactivity_path = "status.doing"\ndown_values = ["Parked"]\n'
        'rebuilding_values = ["copying"]\ncatchup_values = []\n'
        '[node."kafkas.kafka.strimzi.io"]\n'
    )
    given = {"desired_path": "spec.power", "activity_path": "status.doing"}
    values = {"down_values": ["parked"], "rebuilding_values": ["copying"], "catchup_values": []}
    assert node_types() == {
        "expressnodes.express.example.com": NodeFields.model_validate(given | values),
        "kafkas.kafka.strimzi.io": NodeFields(),
    }


def test_what_a_type_does_not_say_keeps_its_default(file: Path) -> None:
    file.write_text(f'{TABLE}down_values = ["parked"]\n')
    assert node_types()["expressnodes.express.example.com"].desired_path == "spec.state"


@pytest.mark.parametrize("content", ["", "# nothing\n", "[node]\n", None])
def test_where_nothing_is_set_there_is_nothing(file: Path, content: str | None) -> None:
    if content is not None:
        file.write_text(content)
    assert node_types() == {}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (f"{TABLE}colour = 1\n", f"{WHERE}.colour: there is no such key"),
        ("[nodes]\n", "nodes: there is no such key"),
        (f'{TABLE}down_values = "off"\n', f'{WHERE}.down_values: expected a list of texts, such as ["down"]'),
        (f"{TABLE}down_values = [false]\n", f"{WHERE}.down_values.0: expected a text"),
        (f"{TABLE}desired_path = 7\n", f"{WHERE}.desired_path: expected a text"),
        (f'{TABLE}desired_path = "a..b"\n', f"{WHERE}.desired_path: 'a..b' is not a dotted path such as spec.state"),
        ('[node]\n"expressnodes.express.example.com" = "spec.power"\n', f"{WHERE}: expected a table"),
        ("node = 3\n", 'node: expected tables such as [node."expressnodes.express.example.com"]'),
        ("[node.expressnodes]\n", "node.expressnodes: 'expressnodes' is not a plural and its group"),
        ("[node\n", "not TOML: Expected ']' at the end of a table declaration"),
    ],
)
def test_a_fault_is_told_in_one_line_with_the_file_and_the_key(file: Path, content: str, fault: str) -> None:
    file.write_text(content)
    with pytest.raises(UsageProblem) as raised:
        node_types()
    assert str(raised.value).startswith(f"{file}: {fault}")
    assert "\n" not in str(raised.value)


def test_what_is_not_text_is_told(file: Path) -> None:
    file.write_bytes(b"\xff")
    with pytest.raises(UsageProblem, match=r"config\.toml: not TOML: 'utf-8' codec can't decode"):
        node_types()


def test_a_file_that_can_not_be_read_is_told(file: Path) -> None:
    file.mkdir()
    with pytest.raises(UsageProblem, match=r"config\.toml: Is a directory$"):
        node_types()


@pytest.mark.parametrize("given", ["", "relative/config"])
def test_without_an_absolute_folder_it_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_CONFIG_HOME", given)
    assert str(config_file()) == "/home/somebody/.config/mecbounce/config.toml"
