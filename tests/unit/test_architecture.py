"""The arrows between the modules, and what importing the package costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import mecbounce

PACKAGE = Path(mecbounce.__file__).parent
PARTS = {"kubernetes_api", "cli", "sandbox"}  # packages within it


def _name(path: Path) -> str:
    """Name a module as an import does, without `mecbounce.`; a package's own file by the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _parsed(*patterns: str) -> dict[str, ast.Module]:
    paths = sorted(path for pattern in patterns for path in PACKAGE.glob(pattern))
    return {_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


MODULES = _parsed("*.py", "kubernetes_api/*.py", "cli/*.py")
SANDBOX = _parsed("sandbox/*.py")
DEMO = "sandbox.demo"

BOTTOM = {"quoting", "errors", "machine", "fields", "request", "kubernetes_api.objects", "kubernetes_api.node"}
BOTTOM |= {"codes", "record", "result", "progress"}
PURE = {"again", "checks", "probes", "diagnosis", "absence", "events", "retry", "messages", "next_commands"}
# What a pure function may need of the standard library: types and arithmetic on times that it is given.
HARMLESS = {"__future__", "collections.abc", "dataclasses", "datetime", "enum", "math", "re", "shlex", "typing"}
HARMLESS |= {"random", "warnings"}  # seeded; of a name that goes with the next version
PUBLIC = {"BounceRequest", "BounceTask", "KubernetesCluster", "MappingStore", "FileStore", "NodeRef", "Timeouts"}
PUBLIC |= {"State", "Event", "ClusterType", "BounceResult"}


def _imported(node: ast.AST) -> list[str]:
    """Give the full names of the modules that one import statement brings in."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert node.level == 0, f"line {node.lineno}: a relative import"
    module = node.module or ""
    if module == "mecbounce" or module.removeprefix("mecbounce.") in PARTS:
        within = module.removeprefix("mecbounce").removeprefix(".")
        named = [f"{within}.{alias.name}".lstrip(".") for alias in node.names]
        return [f"mecbounce.{name if name in MODULES else within or '__init__'}" for name in named]
    return [module]


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _on_import(node: ast.AST) -> Iterator[str]:
    """Give what is imported as the module is: not for types alone, and not within functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and _is_type_checking(child):
            for other in child.orelse:
                yield from _imported(other)
            continue
        yield from _imported(child)
        yield from _on_import(child)


def _ever(tree: ast.AST) -> Iterator[str]:
    """Give what is imported anywhere, for types and within functions too."""
    for node in ast.walk(tree):
        yield from _imported(node)


def _of_ours(names: Iterator[str]) -> set[str]:
    return {name.partition(".")[2] or "__init__" for name in names if name.split(".")[0] == "mecbounce"}


IMPORTS = {module: _of_ours(_on_import(tree)) for module, tree in MODULES.items()}


def test_no_module_imports_itself_by_a_detour() -> None:
    TopologicalSorter(IMPORTS).prepare()  # raises CycleError


def test_the_picture_in_the_design_has_every_module_and_its_imports_go_down() -> None:
    design = (PACKAGE.parent / "docs" / "design.md").read_text(encoding="utf-8")
    picture = design.partition("```text\n")[2].partition("```")[0]
    rows = [re.split(" {3,}", line)[0].split() for line in picture.splitlines()]
    lines = {name: number for number, names in enumerate(rows) for name in names}
    place = {module: lines[module if module in lines else module.partition(".")[0]] for module in MODULES}
    found = [(module, imported) for module, names in IMPORTS.items() for imported in names]
    assert [] == [(module, imported) for module, imported in found if place[imported] < place[module]]


@pytest.mark.parametrize("module", ["facts", "steps", "advancing", "task"])
@pytest.mark.parametrize("handed_in", ["kubernetes_api", "stores"])
def test_cluster_and_stores_are_handed_in(module: str, handed_in: str) -> None:
    """Their protocols serve for types alone; of the adapter, only the views of Kubernetes' objects are imported."""
    assert handed_in not in IMPORTS[module]


ADAPTER = {
    "kubernetes": {"access", "answers", "client"},
    "urllib3": {"answers", "client", "kubeconfig", "proxies", "transport"},
    "websocket": {"pod_exec", "transport"},
}


@pytest.mark.parametrize("library", ADAPTER)
def test_only_the_adapter_knows_the_kubernetes_client_and_what_it_brings(library: str) -> None:
    knows = {name for name, tree in MODULES.items() if library in {one.split(".")[0] for one in _ever(tree)}}
    assert {f"kubernetes_api.{name}" for name in ADAPTER[library]} == knows


@pytest.mark.parametrize("module", [module for module in SANDBOX if module != DEMO])
def test_the_sandbox_knows_nothing_of_what_it_is_to_test(module: str) -> None:
    names = list(_ever(SANDBOX[module]))
    assert [] == [name for name in names if name.split(".")[0] == "mecbounce" and name.split(".")[1:2] != ["sandbox"]]
    assert [] == [name for name in names if name.split(".")[0] == "kubernetes"]


@pytest.mark.parametrize("module", sorted(PURE))
def test_a_pure_module_imports_no_clock_no_log_and_no_io(module: str) -> None:
    outside = {name for name in _ever(MODULES[module]) if name.split(".")[0] != "mecbounce"}
    assert set() == outside - HARMLESS
    assert "logs" not in IMPORTS[module]


@pytest.mark.parametrize("module", sorted(PURE | BOTTOM))
def test_a_pure_module_asks_no_clock_and_does_no_io(module: str) -> None:
    calls = [node.func for node in ast.walk(MODULES[module]) if isinstance(node, ast.Call)]
    names = {func.id for func in calls if isinstance(func, ast.Name)}
    methods = {func.attr for func in calls if isinstance(func, ast.Attribute)}
    assert set() == names & {"open", "print", "input", "exec", "eval", "__import__"}
    assert set() == methods & {"now", "utcnow", "today", "time", "monotonic", "read_text", "write_text", "open"}


def _loaded_by_importing(module: str, *asked: str) -> list[str]:
    """Import `module` in a fresh interpreter: which of the modules asked for came with it?"""
    code = f"import sys, {module}; print(*(name for name in sys.argv[1:] if name in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code, *asked], check=True, capture_output=True, text=True)
    return ran.stdout.split()


def test_importing_the_package_leaves_the_kubernetes_client_and_the_command_out() -> None:
    left_out = (
        "kubernetes",
        "urllib3",
        "websocket",
        "yaml",
        "structlog",
        "typer",
        "rich",
        "mecbounce.kubernetes_api.client",
        "mecbounce.cli",
        "mecbounce.sandbox",
    )
    assert [] == _loaded_by_importing("mecbounce", *left_out)


def test_importing_the_package_does_import_what_it_needs() -> None:
    """The question above can be answered with yes."""
    assert ["mecbounce.machine", "pydantic"] == _loaded_by_importing("mecbounce", "mecbounce.machine", "pydantic")


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_the_command_says_how_to_install_it(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import mecbounce.__main__"
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        "mecbounce: the command needs the extra [cli]: pip install 'mecbounce[cli]'. "
        "If pipx has installed mecbounce: pipx inject mecbounce typer rich\n"
    )


@pytest.mark.parametrize("name", mecbounce.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(mecbounce, name) is not None


def test_public_names_are_sorted_and_hold_those_that_are_fixed() -> None:
    assert sorted(set(mecbounce.__all__)) == mecbounce.__all__
    assert set() == PUBLIC - {*mecbounce.__all__}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'LeaseStore'"):
        _ = mecbounce.LeaseStore
