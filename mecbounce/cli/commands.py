"""The commands: run (which is also `kubectl bounce`), plan, status, diagram and demo."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from mecbounce import diagram as drawing
from mecbounce.cli import screen, status
from mecbounce.cli.bouncing import bounce
from mecbounce.cli.exits import ExitStatus, UsageProblem
from mecbounce.cli.layout import signs_for
from mecbounce.cli.naming import refuse_mistyped
from mecbounce.cli.options import BounceOptions, Output, RunOptions, StatusOptions, with_options
from mecbounce.cli.plan_page import goes_by_record, plan_json, plan_page, record_page, says_first
from mecbounce.cli.record_files import prune
from mecbounce.cli.start import Would, start_of
from mecbounce.cli.terminal import BounceInTerminal, print_page
from mecbounce.machine import Event
from mecbounce.messages import COMMAND
from mecbounce.planning import plan
from mecbounce.record import BounceRecord
from mecbounce.stores import FileStore

HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(name="mecbounce", rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=HELP)
plugin = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"mecbounce {version('mecbounce')}")
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="show the version")
    ] = False,
) -> None:
    """Bounce one application node on Kubernetes: delete its pod and wait until its replacement has started."""


@plugin.command(context_settings=HELP)
@app.command()
@with_options(RunOptions)
def run(options: RunOptions) -> int:
    """Bounce a pod, go on with the last bounce of it, or follow the one that another run drives."""
    asked = options.asked()
    if options.output is Output.TEXT:
        refuse_mistyped(asked)
    context, live = asked.cluster.context, not options.verbose
    terminal = BounceInTerminal(asked.request, context, asked.given, options.output, live=live)
    ended = bounce(terminal, asked)
    if options.state is None:
        prune(datetime.now(UTC))
    return ended


@app.command("plan")
@with_options(BounceOptions)
def show_plan(options: BounceOptions) -> int:
    """Show what a bounce would do now, and run the deletion dry; -v: every check and right. Changes nothing."""
    asked = options.asked()
    start = start_of(asked)
    asked.try_place()
    first = says_first(start.would, start.last)
    title, signs = screen.heading(asked.request, asked.cluster.context), signs_for(sys.stdout.encoding)
    if options.output is Output.TEXT and goes_by_record(start.would, start.last):
        print_page(record_page(first, title, signs))
        return ExitStatus.DONE
    last = start.last if start.would is Would.WAIT_ON else None
    found = plan(start.request, asked.cluster, asked.protection, events=asked.events, terms=COMMAND, waits_on=last)
    if options.output is Output.JSON:
        print(json.dumps(plan_json(found, start.would, first), indent=2))
    else:
        if found.event in (Event.POD_MISSING, Event.ACCESS_DENIED):
            refuse_mistyped(asked)
        print_page(plan_page(found, title, first, verbose=options.verbose, signs=signs))
    return ExitStatus.DONE if found.goes_on else ExitStatus.REFUSED


@app.command("status")
@with_options(StatusOptions)
def show_status(options: StatusOptions) -> int:
    """Show where the bounce of POD, or of --state, stands; without either, list this cluster's recorded bounces.

    Reads records; sends the API server nothing, but for -l.
    """
    return status.show(options)


@app.command()
def diagram(
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="the diagrams to --check; default: diagrams")
    ] = None,
    state: Annotated[Path | None, typer.Option(metavar="FILE", help="colour the path that this bounce took")] = None,
    taken: Annotated[bool, typer.Option("--taken", help="draw the path of --state alone")] = False,
    check: Annotated[bool, typer.Option("--check", help="tell what has changed since FOLDER's were drawn")] = False,
) -> int:
    """Print the machine as a Mermaid diagram, or compare committed diagrams with it."""
    if check:
        return _check_diagrams(folder or Path("diagrams"))
    if folder is not None:
        raise UsageProblem("FOLDER: it needs --check")
    if taken and state is None:
        raise UsageProblem("--taken: it needs --state, which names the bounce")
    print(drawing.bounce(_stored(state) if state else None, taken=taken), end="")
    return ExitStatus.DONE


def _check_diagrams(folder: Path) -> int:
    """Compare the diagrams of a folder with those that would be drawn now: 1 if one differs."""
    found = [(path, drawn) for name, drawn in drawing.files().items() if (path := folder / name).exists()]
    if not found:
        raise UsageProblem(f"FOLDER: {folder} has none of {', '.join(drawing.files())}")
    status = ExitStatus.DONE
    for path, drawn in found:
        committed = path.read_text(encoding="utf-8")
        if committed == drawn:
            continue
        status = ExitStatus.OTHER
        changes = drawing.changes(committed, drawn)
        print(
            f"{path}: {'out of date' if changes else 'the same rows, in other words or another layout: draw it anew'}"
        )
        print("".join(f"{line}\n" for line in changes), end="")
    return status


@app.command()
def demo(
    scenario: Annotated[str, typer.Option(help="which one; 'list' shows them")] = "happy",
    output: Annotated[Output, typer.Option("--output", "-o", help="how to print the result")] = Output.TEXT,
) -> int:
    """Bounce a node of an embedded cluster. Touches nothing else."""
    from mecbounce.sandbox.demo import show  # noqa: PLC0415 -- only a demo needs the embedded cluster

    return show(scenario, output)


def _stored(path: Path) -> BounceRecord:
    record = FileStore(path).load()
    if record is None:
        raise UsageProblem(f"--state: there is no record {path}")
    return record
