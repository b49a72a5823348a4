"""The commands: run (which is also `kubectl bounce`), plan, status, diagram and demo."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, RenderableType

from mecbounce import diagram as drawing
from mecbounce.again import Would
from mecbounce.cli import pages, screen
from mecbounce.cli.bouncing import bounce, start_of
from mecbounce.cli.exits import ExitStatus, UsageProblem
from mecbounce.cli.layout import signs_for
from mecbounce.cli.naming import refuse_mistyped
from mecbounce.cli.options import BounceOptions, CommonOptions, Output, with_options
from mecbounce.cli.plan_page import plan_json, plan_page, says_first
from mecbounce.cli.terminal import BounceInTerminal, console_of
from mecbounce.machine import Event
from mecbounce.messages import COMMAND
from mecbounce.planning import plan
from mecbounce.record import BounceRecord
from mecbounce.stores import FileStore

WIDE = 2000  # columns: wider than any line
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
@with_options(BounceOptions)
def run(options: BounceOptions) -> int:
    """Bounce a pod, or resume a bounce that was interrupted."""
    asked = options.asked()
    if options.output is Output.TEXT:
        refuse_mistyped(asked)
    context, live = asked.cluster.context, not options.verbose
    terminal = BounceInTerminal(asked.request, context, asked.given, options.output, live=live)
    return bounce(terminal, asked)


@app.command("plan")
@with_options(BounceOptions)
def show_plan(options: BounceOptions) -> int:
    """Show what a bounce would do now, and run the deletion dry; -v: every check and right. Changes nothing."""
    asked = options.asked()
    start = start_of(asked)
    asked.try_place()
    pinned = start.last.old_pod if start.last and start.would is Would.WAIT_ON else None
    found = plan(start.request, asked.cluster, asked.protection, events=asked.events, terms=COMMAND, pinned=pinned)
    first = says_first(start.would, start.last)
    if options.output is Output.JSON:
        print(json.dumps(plan_json(found, start.would, first), indent=2))
    else:
        if found.event in (Event.POD_MISSING, Event.ACCESS_DENIED):
            refuse_mistyped(asked)
        title = screen.heading(asked.request, asked.cluster.context)
        signs = signs_for(sys.stdout.encoding)
        _print_page(plan_page(found, title, first, verbose=options.verbose, signs=signs))
    return ExitStatus.DONE if found.goes_on else ExitStatus.REFUSED


@app.command()
@with_options(CommonOptions)
def status(options: CommonOptions) -> int:
    """Show where the bounce of POD, or that of --state, stands. Reads its record; sends the API server nothing."""
    if (options.pod is None) is (options.state is None):
        raise UsageProblem("expected either POD or --state")
    state = options.state
    if state is None:
        state = BounceOptions(**asdict(options)).asked().store.path
        if not state.exists():
            raise UsageProblem(
                f"no bounce of {options.pod} is recorded in {state}; if it ran with --state, give the same file"
            )
    record, now, given = _stored(state), datetime.now(UTC), options.given()
    if options.output is Output.JSON:
        print(json.dumps(pages.as_json(record, now, given), indent=2))
        return ExitStatus.DONE
    console = console_of()
    width, signs = console.width if console.is_terminal else None, signs_for(console.encoding)
    console.print(screen.screen(record, now, width or WIDE, where=record.server, signs=signs), soft_wrap=True)
    console.print()
    console.print(pages.ending(record, given, width), soft_wrap=True)
    return ExitStatus.DONE


@app.command()
def diagram(
    state: Annotated[Path | None, typer.Option(metavar="FILE", help="mark the path that this bounce took")] = None,
) -> int:
    """Print the machine as a Mermaid diagram."""
    print(drawing.bounce(_stored(state) if state else None), end="")
    return ExitStatus.DONE


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


def _print_page(page: RenderableType) -> None:
    """Print a page: in a terminal fitted to its width, elsewhere each row as one line."""
    console = console_of()
    if console.is_terminal:
        console.print(page)
        return
    wide = Console(highlight=False, width=WIDE)
    with wide.capture() as laid_out:
        wide.print(page)
    for line in laid_out.get().splitlines():
        print(line.rstrip())
