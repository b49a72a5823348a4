"""The documents: every block of code is run as a reader meets it, every code has its entry, every link leads somewhere.

Not run: what installs, `make` and `kubectl` lines, but for `kubectl bounce`. Their extras, targets and options are seen
to exist instead.
"""

from __future__ import annotations

import inspect
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import NODE
from generate import example
from pydantic import BaseModel
from typer.main import get_command

from mecbounce import cli, errors
from mecbounce import next_commands as following
from mecbounce.cli import pages
from mecbounce.cli.commands import app
from mecbounce.cli.config_file import node_types
from mecbounce.cli.exits import ExitStatus
from mecbounce.codes import DiagnosisCode
from mecbounce.kubernetes_api import credentials, transport
from mecbounce.machine import TRANSITIONS, Event, State
from mecbounce.record import BounceRecord
from mecbounce.request import BounceRequest, NodeFields, NodeRef, Timeouts
from mecbounce.result import BounceResult
from mecbounce.sandbox import Sandbox
from mecbounce.sandbox.fixture import marked_sandbox

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    path.name: path
    for path in (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *sorted((ROOT / "docs").glob("*.md")),
    )
}
PACKAGE = ROOT / "mecbounce"
# Diagrams: test_diagram.py; text is no code.
LANGUAGES = {"python", "console", "yaml", "json", "toml", "mermaid", "text"}
COMMAND: Any = get_command(app)
MODELS: dict[str, type[BaseModel]] = {"": BounceRequest, "node.": NodeRef, "timeouts.": Timeouts}


@dataclass(frozen=True)
class Block:
    """A fenced block, and the line on which it begins."""

    language: str
    text: str
    line: int


def read(name: str) -> str:
    return DOCUMENTS[name].read_text(encoding="utf-8")


def blocks(name: str, *languages: str) -> list[Block]:
    text = read(name)
    found = re.finditer(r"^```(.*)\n((?:.*\n)*?)^```$", text, re.MULTILINE)
    every = [Block(one[1].strip(), one[2], text[: one.start()].count("\n") + 1) for one in found]
    return [one for one in every if not languages or one.language in languages]


def prose(name: str) -> str:
    return re.sub(r"^```.*\n(?:.*\n)*?```$", "", read(name), flags=re.MULTILINE)


def table(name: str, heading: str) -> list[list[str]]:
    """Give the rows, cell by cell, that stand under a heading and those below it; each begins with some code."""
    level = heading.partition(" ")[0]
    section = f"\n{prose(name)}".partition(f"\n{heading}\n")[2]
    assert section, f"{name} has no {heading!r}"
    section = re.split(rf"^#{{1,{len(level)}}} ", section, maxsplit=1, flags=re.MULTILINE)[0]
    section = re.sub(r'<a id="[\w-]+"></a>', "", section)  # the diagrams link to these rows
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    return [re.split(r"\s*\|\s*", row.strip("| ")) for row in rows]


def keys(name: str, heading: str) -> list[str]:
    """Give the codes that have a row there, sorted and with their doubles."""
    return sorted(row[0].strip("`") for row in table(name, heading))


def console(name: str) -> list[list[str]]:
    lines = [line for block in blocks(name, "console") for line in block.text.splitlines()]
    return [shlex.split(line[2:], comments=True) for line in lines if line.startswith("$ ")]


def inline(name: str, program: str) -> list[list[str]]:
    """Give the commands that are named within a text."""
    return [one.split() for one in re.findall(rf"`({program} [^`]+)`", prose(name))]


# --- blocks ------------------------------------------------------------------------------------------------------


class Task:
    """The base class that the documents take from the reader's runner."""

    def __init__(self, step_state: dict[str, Any]) -> None:
        self.step_state = step_state
        self.again: float | None = None

    def perform(self) -> Any:
        raise NotImplementedError

    def save(self) -> None:
        json.dumps(self.step_state)

    def log(self, text: str) -> None:
        assert isinstance(text, str)

    def should_stop(self) -> bool:
        return False

    def call_again(self, seconds: float) -> None:
        self.again = seconds


def performed(kind: type[Task], cluster: Sandbox) -> Any:
    """Run a task to its end as a runner does: called again as often as it asks, from its stored step state."""
    stored, results = "{}", []

    def ended() -> bool:
        nonlocal stored
        task = kind(json.loads(stored))
        results.append(task.perform())
        stored = json.dumps(task.step_state)
        return task.again is None

    cluster.wait_for(ended)
    return results[-1]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Sandbox]:
    """The reader's cluster, with the node that the documents speak of; an empty folder to work in."""
    with Sandbox(speed=20) as started:
        for name, namespace in (("mec-0", "default"), ("mec-0", "mec"), ("mec-1", "mec")):
            started.add_node(name, namespace=namespace)
        monkeypatch.setenv("KUBECONFIG", str(started.kubeconfig))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.chdir(tmp_path)
        yield started


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_block_is_of_a_language_that_is_looked_at(name: str) -> None:
    assert [] == [(block.line, block.language) for block in blocks(name) if block.language not in LANGUAGES]


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if blocks(name, "python")])
def test_python_blocks_run_and_their_tasks_bounce_and_their_tests_pass(name: str, cluster: Sandbox) -> None:
    """Block after block in one namespace: each task defined there is performed, each test called with its fixture.

    A test fails if, and as, the next block says.
    """
    defined: dict[str, Any] = {"Task": Task, "__name__": "document"}
    for block, after in zip_longest(every := blocks(name), every[1:]):
        if block.language != "python":
            continue
        before = dict(defined)
        exec(compile("\n" * block.line + block.text, name, "exec"), defined)  # noqa: S102 -- that is the test
        for what in [one for key, one in defined.items() if before.get(key) is not one]:
            if inspect.isclass(what) and issubclass(what, Task):
                result = performed(what, cluster)
                assert isinstance(result, BounceResult), what
                assert (result.state, result.notices) == (State.DONE, ()), what
            elif inspect.isfunction(what) and what.__name__.startswith("test_"):
                assert [*inspect.signature(what).parameters] == ["sandbox"]
                with marked_sandbox(getattr(what, "pytestmark", [])) as sandbox:  # as the fixture of that name does
                    assert failure(what, sandbox) == (shown_failure(after) if after else ""), what


def failure(test: Callable[[Sandbox], None], sandbox: Sandbox) -> str:
    """Give the message with which a test fails, with the UIDs made alike. Empty: it passes."""
    try:
        test(sandbox)
    except AssertionError as error:
        return alike(str(error))
    return ""


def shown_failure(block: Block) -> str:
    """Give the message of a failure that pytest is shown to print. Empty: the block shows none."""
    lines = [line.removeprefix("E").strip() for line in block.text.splitlines() if line.startswith("E ")]
    return alike("\n".join(lines).removeprefix("AssertionError: "))


def alike(text: str) -> str:
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID", text)


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if blocks(name, "console")])
def test_console_commands_do_what_they_are_shown_for(
    name: str, cluster: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, in one folder."""
    assert cluster.kubeconfig.exists()
    for words in console(name):
        if words[1:2] == ["install"] or words[:3] == ["uv", "tool", "install"]:
            assert_installable(words[-1])
        elif words[0] in ("git", "python3", "pip") or words[:2] == ["mecbounce", "demo"]:
            continue  # demos: test_recordings.py
        elif words[0] == "make":
            assert set(words[1:]) <= targets(), words
        elif words[:3] == ["python", "-m", "mecbounce.sandbox"]:
            assert_serves(words[1:])
        elif words[0] != "kubectl" or words[1] == "bounce":  # the others: below
            program, *arguments = ["kubectl-bounce", *words[2:]] if words[0] == "kubectl" else words
            assert program in project()["scripts"], words
            monkeypatch.setattr(sys, "argv", [program, *arguments])
            with pytest.raises(SystemExit) as ended:
                getattr(cli, project()["scripts"][program].partition(":")[2])()
            assert ended.value.code == 0, words


@cache
def project() -> Any:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def assert_installable(wanted: str) -> None:
    what, _, extras = wanted.rstrip("]").partition("[")
    wheel = f"dist/{project()['name']}-{project()['version']}-py3-none-any.whl"
    assert what in (".", project()["name"], wheel)
    assert set(filter(None, extras.split(","))) <= set(project()["optional-dependencies"])


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def assert_serves(words: list[str]) -> None:
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        kubeconfig = server.stdout.readline().strip()
        try:
            assert Path(kubeconfig).is_file(), words
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(120) == 0


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_named_in_a_text_have_those_options_and_targets(name: str) -> None:
    bounces = [["kubectl-bounce", "run", *words[2:]] for words in inline(name, "kubectl") if words[1] == "bounce"]
    for words in (*inline(name, "mecbounce"), *bounces):
        subcommand = COMMAND if words[1].startswith("-") else COMMAND.commands.get(words[1])
        assert subcommand is not None, words
        assert {word for word in words if word.startswith("-")} <= options(subcommand), words
    for words in inline(name, "make"):
        assert words[1] in targets(), words


def options(subcommand: Any) -> set[str]:
    return {option for parameter in subcommand.params for option in parameter.opts if option.startswith("-")}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_has_the_subcommands_and_options_that_are_shown() -> None:
    commands = [words for name in DOCUMENTS for words in (*console(name), *inline(name, "kubectl"))]
    for words in commands:
        if words[0] == "kubectl" and "bounce" not in words[1:4]:
            known = kubectl(*words[1 : 3 if words[1] == "auth" else 2], "--help") + kubectl("options")
            for option in (word.partition("=")[0] for word in words if word.startswith("-")):
                assert re.search(rf"(^|[\s]){option}[=,:]", known), words


@cache
def kubectl(*words: str) -> str:
    return subprocess.run(["kubectl", *words], check=True, capture_output=True, text=True).stdout  # noqa: S607 -- the reader's own


def test_the_configuration_file_that_is_shown_says_the_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (block,) = blocks("configuration.md", "toml")
    (tmp_path / "mecbounce").mkdir()
    (tmp_path / "mecbounce" / "config.toml").write_text(block.text)
    assert node_types() == {NODE.type_name: NodeFields()}
    assert all(f"\n{name} = " in block.text for name in NodeFields.model_fields)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_yaml_and_json_blocks_parse(name: str) -> None:
    for block in blocks(name, "yaml", "json"):
        found = list(yaml.safe_load_all(block.text)) if block.language == "yaml" else [json.loads(block.text)]
        assert all(isinstance(one, dict) for one in found), block.line


# --- links -------------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """Give a text's anchors as GitHub makes them of its headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", [*DOCUMENTS, "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    source = DOCUMENTS.get(name, ROOT / name)
    text = re.sub(r"^```.*\n(?:.*\n)*?```$", "", source.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for link in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if not link.startswith("https://"):
            target = source.parent / path if path else source
            assert target.exists(), link
            assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_named_in_a_text_exist(name: str) -> None:
    named = re.findall(r"`((?:mecbounce|tests|tools|docs|diagrams)/[\w./-]+)`", prose(name))
    assert [] == [path for path in named if not (ROOT / path).exists()]


def test_the_readme_leads_to_every_document() -> None:
    assert [] == [
        name
        for name in DOCUMENTS
        if f"({DOCUMENTS[name].relative_to(ROOT)})" not in read("README.md") and name != "README.md"
    ]


# --- entries -----------------------------------------------------------------------------------------------------


def test_every_failure_event_has_its_entry() -> None:
    failures = {row.event.value for row in TRANSITIONS if row.dest is State.FAILED}
    assert sorted(failures) == keys("operations.md", "## Failure events")


def test_every_diagnosis_has_its_entry_and_names_who_must_act() -> None:
    rows = table("operations.md", "## Diagnoses")
    assert [(code.value, " or ".join(code.who)) for code in DiagnosisCode] == [
        (row[0].strip("`"), row[2]) for row in rows
    ]


@pytest.mark.parametrize(
    ("name", "heading"), [("README.md", "## In a terminal"), ("operations.md", "## Exit statuses")]
)
def test_every_exit_status_has_its_entry(name: str, heading: str) -> None:
    assert sorted(str(status.value) for status in ExitStatus) == keys(name, heading)


def test_exit_status_3_speaks_of_its_own_run_alone() -> None:
    """A DELETE that a killed run has sent may still be carried out."""
    for name, heading in [("README.md", "## In a terminal"), ("operations.md", "## Exit statuses")]:
        (row,) = (" ".join(row) for row in table(name, heading) if row[0] == "`3`")
        assert "this run deleted nothing" in row
        assert "nothing was deleted" not in row


def test_every_exception_has_its_entry() -> None:
    kinds = [name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)]
    assert sorted(kinds) == keys("operations.md", "## Exceptions")


def test_every_log_line_has_its_entry() -> None:
    sources = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    logged = {(name, level) for level, name in re.findall(r'\.(\w+)\("((?:bounce|cluster)\.\w+)"', "".join(sources))}
    assert sorted(logged) == sorted((row[0].strip("`"), row[1]) for row in table("runners.md", "## Logging"))


def assert_as_printed(row: list[str], record: BounceRecord) -> None:
    for _, words in following.next_commands(record, following.Given()):
        if words[0] == "kubectl":
            assert f"`{shlex.join(words)}`" in row[3], row[0]


@pytest.mark.parametrize("row", table("operations.md", "## Failure events"), ids=lambda row: row[0].strip("`"))
def test_an_event_sends_to_whom_the_failure_page_sends_and_shows_its_command(row: list[str]) -> None:
    event = Event(row[0].strip("`"))
    waiting = event in (Event.TERMINATION_TIMEOUT, Event.NOT_RECREATED, Event.READY_TIMEOUT)
    record = example(event, "unknown" if waiting or event is Event.DELETE_REFUSED else "")
    who, _, without = row[2].partition("; without a custom resource, ")
    assert f"\nWho must act: {who}\n" in pages.ending(record, following.Given(), None).plain
    if without:
        alone = record.model_copy(update={"request": record.request.model_copy(update={"node": None})})
        assert f"\nWho must act: {without}\n" in pages.ending(alone, following.Given(), None).plain
    if waiting:
        assert "(#keep-waiting)" in row[3]
    elif event is not Event.DELETE_REFUSED:
        assert_as_printed(row, record)


@pytest.mark.parametrize("row", table("operations.md", "## Diagnoses"), ids=lambda row: row[0].strip("`"))
def test_a_diagnosis_shows_the_command_of_the_failure_page(row: list[str]) -> None:
    assert_as_printed(row, example(Event.READY_TIMEOUT, row[0].strip("`")))


# --- the configuration table -------------------------------------------------------------------------------------


def test_every_field_stands_in_the_configuration_with_its_default() -> None:
    rows = {row[0].strip("`"): row[2] for row in table("configuration.md", "# Configuration")}
    fields = {
        f"{prefix}{name}": field for prefix, model in MODELS.items() for name, field in model.model_fields.items()
    }
    del fields["timeouts"]  # its own have their rows
    assert sorted(fields) == sorted(name for name in rows if not name.startswith("-"))
    for name, field in fields.items():
        default = "required" if field.is_required() else shown(field.default)
        assert rows[name].split(":")[0] == default, name


def shown(default: Any) -> str:
    if default is None:
        return "none"
    if isinstance(default, frozenset):
        return ", ".join(f"`{one}`" for one in sorted(default))
    text = (
        default.value if isinstance(default, Enum) else f"{default:g}" if isinstance(default, float) else str(default)
    )
    return f"`{text.lower() if isinstance(default, bool) else text}`"


def test_every_option_of_run_stands_in_the_configuration() -> None:
    cells = [cell for row in table("configuration.md", "# Configuration") for cell in row[:2]]
    named = {option for cell in cells for option in re.findall(r"`(--?[\w-]+)", cell)}
    assert options(COMMAND.commands["run"]) == named


def test_the_node_of_the_examples_is_the_documents_own() -> None:
    """What the tests here build and what the documents write is one and the same node."""
    written = f"{NODE.group}/{NODE.version}/{NODE.plural}/{NODE.name}"
    assert all(written in " ".join(words) for words in console("operations.md") if "--node" in words)


def test_the_limits_of_a_request_and_of_a_plugin_are_the_ones_that_are_written() -> None:
    reliability, configuration = (" ".join(read(name).split()) for name in ("reliability.md", "configuration.md"))
    whole, connected = transport.WHOLE, transport.CONNECTED
    assert f"waited for: {whole:.0f} s at most, of which {connected:.0f} s for name, connection and TLS" in reliability
    assert f"`stop()` may be heard {whole:.0f} s late" in reliability
    assert f"an API timeout of 5 s may end a bounce after {2 * whole:.0f} s" in reliability
    assert f"a credential plugin has {credentials.LIMIT:.0f} s" in reliability
    assert f"credential plugin has {credentials.LIMIT:.0f} s ({credentials.INTERACTIVE_LIMIT:.0f} s" in configuration
    assert f"may print {credentials.MOST_PRINTED >> 20} MiB" in configuration
    assert f"Each request has {whole:.0f} s" in configuration
