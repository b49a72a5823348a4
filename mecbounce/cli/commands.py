"""The commands: run (which is also `kubectl bounce`), plan, status, diagram and demo."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.console import Console, RenderableType

from mecbounce import diagram as drawing
from mecbounce.cli import pages, screen
from mecbounce.cli.bouncing import bounce
from mecbounce.cli.exits import ExitStatus, UsageProblem
from mecbounce.cli.kube import Kube
from mecbounce.cli.options import BounceOptions, CommonOptions, Output, taking
from mecbounce.cli.plan_page import plan_page, would_resume
from mecbounce.cli.terminal import BounceInTerminal
from mecbounce.errors import RecordNotSaved
from mecbounce.planning import plan
from mecbounce.protection import AnnotationProtection
from mecbounce.record import BounceRecord
from mecbounce.request import BounceRequest
from mecbounce.stores import FileStore
from mecbounce.task import refuse_other_bounce

WIDE = 2000  # columns: no line of ours is so long
HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(name="mecbounce", rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=HELP)
plugin = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"mecbounce {version('mecbounce')}")
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="tell the version and leave")
    ] = False,
) -> None:
    """Bounce one application node on Kubernetes: delete its pod and wait until its replacement has started."""


@plugin.command(context_settings=HELP)
@app.command()
@taking(BounceOptions)
def run(options: BounceOptions) -> int:
    """Bounce a pod, or resume a bounce that was interrupted."""
    request, kube, protection, store = _prepared(options)
    terminal = BounceInTerminal(request, kube.name, options.given(), options.output, plain=options.verbose)
    return bounce(terminal, request, kube.cluster, store, protection, events=not options.no_events)


@app.command("plan")
@taking(BounceOptions)
def show_plan(options: BounceOptions) -> int:
    """Tell what a bounce would do now: checks, deadlines, rights, a dry run of the deletion. Changes nothing."""
    request, kube, protection, store = _prepared(options)
    left = store.load()
    try:
        store.try_place()
    except RecordNotSaved as error:
        raise UsageProblem(f"--state: {error}") from error
    resumes = ""
    if left is not None and not left.finished:
        refuse_other_bounce(left, request, store, server=kube.cluster.server)
        resumes = would_resume(left)
    found = plan(request, kube.cluster, protection, events=not options.no_events)
    if options.output is Output.JSON:
        print(json.dumps({"resumes": resumes, **found.model_dump(mode="json")}, indent=2))
    else:
        _print_page(plan_page(found, screen.heading(request, kube.name), resumes))
    return ExitStatus.DONE if found.goes_on else ExitStatus.REFUSED


@app.command()
@taking(CommonOptions)
def status(options: CommonOptions) -> int:
    """Tell where the bounce of POD, or that of --state, stands: from its record alone."""
    if (options.pod is None) is (options.state is None):
        raise UsageProblem("expected either POD or --state")
    state = options.state
    if state is None:
        bouncing = BounceOptions(**asdict(options))
        request, kube = bouncing.asked()
        state = bouncing.store(kube, request).path
        if not state.exists():
            raise UsageProblem(f"no bounce of {options.pod} is recorded in {state}; if it ran with --state, give that")
    record, now, given = _stored(state), datetime.now(UTC), options.given()
    if options.output is Output.JSON:
        print(json.dumps(pages.as_json(record, now, given), indent=2))
        return ExitStatus.DONE
    console = Console(highlight=False)
    width = console.width if console.is_terminal else None
    console.print(screen.screen(record, now, width or WIDE, where=record.server), soft_wrap=True)
    console.print()
    console.print(pages.ending(record, given, width), soft_wrap=True)
    return ExitStatus.DONE


@app.command()
def diagram(
    state: Annotated[Path | None, typer.Option("--state", metavar="FILE", help="mark the path of this record")] = None,
) -> int:
    """Print the machine as a Mermaid diagram."""
    print(drawing.bounce(_stored(state) if state else None), end="")
    return ExitStatus.DONE


@app.command()
def demo(
    scenario: Annotated[str, typer.Option(help="which one; 'list' tells them")] = "happy",
    output: Annotated[Output, typer.Option("--output", "-o", help="how to print the result")] = Output.TEXT,
) -> int:
    """Bounce a node of an embedded cluster; nothing outside of this process is touched."""
    from mecbounce.sandbox.demo import show  # noqa: PLC0415 -- only a demo needs the embedded cluster

    return show(scenario, output)


def _prepared(options: BounceOptions) -> tuple[BounceRequest, Kube, AnnotationProtection | None, FileStore]:
    """Make of the options what `run` and `plan` are about, and log where that is asked for."""
    request, kube = options.asked()
    protection = options.protection(kube.cluster)
    store = options.store(kube, request)
    if options.verbose:
        log_to_stderr(logging.INFO)
    return request, kube, protection, store


def log_to_stderr(level: int) -> None:
    """Log to standard error from this level on."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _stored(path: Path) -> BounceRecord:
    record = FileStore(path).load()
    if record is None:
        raise UsageProblem(f"--state: there is no record {path}")
    return record


def _print_page(page: RenderableType) -> None:
    """Print what is laid out in columns: in a terminal for its width, elsewhere each row as one line."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(page)
        return
    wide = Console(highlight=False, width=WIDE)
    with wide.capture() as laid_out:
        wide.print(page)
    for line in laid_out.get().splitlines():
        print(line.rstrip())
