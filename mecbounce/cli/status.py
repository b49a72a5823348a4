"""`mecbounce status`: where one bounce stands, or which bounces of this cluster are recorded."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from mecbounce.cli import pages, screen
from mecbounce.cli.exits import ExitStatus, UsageProblem, exit_status, stop_signals
from mecbounce.cli.following import StoppedFollowing, follow
from mecbounce.cli.layout import plain, signs_for, span
from mecbounce.cli.options import Output, StatusOptions
from mecbounce.cli.record_files import Found, recorded
from mecbounce.cli.terminal import WIDE, BounceInTerminal, console_of, print_page
from mecbounce.errors import Refused
from mecbounce.record import BounceRecord
from mecbounce.result import BounceResult
from mecbounce.stores import FileStore

if TYPE_CHECKING:
    from mecbounce import KubernetesCluster

COLUMNS = ("POD", "NAMESPACE", "STATE", "BEGUN", "TOOK", "RUNNER")


def show(options: StatusOptions) -> int:
    """Show the bounce of POD or of --state; without either, list what is recorded."""
    of_one = options.pod is not None or options.state is not None
    if options.pod is not None and options.state is not None:
        raise UsageProblem("expected either POD or --state")
    if of_one and (options.selector or options.all_namespaces):
        raise UsageProblem("--selector and --all-namespaces list bounces: give neither POD nor --state with them")
    if not of_one and (options.watch or options.exit_status):
        raise UsageProblem("--watch and --exit-status are about one bounce: give POD or --state with them")
    return _show_one(options) if of_one else _show_all(options)


def _show_one(options: StatusOptions) -> int:
    store, given = options.store(), options.given()
    record, alive = store.look()
    if record is None:
        raise UsageProblem(f"--state: there is no record {store}")
    if watched := options.watch and alive:
        record, alive = _watched(store, record, options)
    now = datetime.now(UTC)
    if options.output is Output.JSON:
        print(json.dumps(pages.as_json(record, now, given, alive=alive), indent=2))
    else:
        console = console_of()
        width, signs = console.width if console.is_terminal else None, signs_for(console.encoding)
        if not watched:
            about = pages.dates(record, now, alive=alive)
            shown = screen.screen(record, now, width or WIDE, where=record.server, signs=signs, about=about)
            console.print(shown, soft_wrap=True)
        if width or not watched:
            console.print()
        console.print(pages.ending(record, given, width, alive=alive), soft_wrap=True)
    if not options.exit_status:
        return ExitStatus.DONE
    return exit_status(BounceResult.of(record)) if record.finished else ExitStatus.INTERRUPTED


def _watched(store: FileStore, record: BounceRecord, options: StatusOptions) -> tuple[BounceRecord, bool]:
    """Follow a bounce until it has ended, its runner has gone, or Ctrl-C. Also gives whether its runner is alive."""
    terminal = BounceInTerminal(record.request, record.server, options.given(), options.output)
    try:
        with stop_signals() as stop, terminal:
            record = follow(store, record, terminal, stop)
    except StoppedFollowing as stopped:
        terminal.say(str(stopped))
        return terminal.record or record, True
    if not record.finished:
        terminal.gone(record, then="the bounce is unfinished")
    return record, False


def _show_all(options: StatusOptions) -> int:
    cluster, meant = options.open_cluster()
    namespace = None if options.all_namespaces else meant or cluster.namespace
    found = recorded(cluster, namespace)
    if options.selector:
        found = _selected(found, cluster, namespace, options.selector)
    now, given = datetime.now(UTC), options.given()
    if options.output is Output.JSON:
        every = (
            {"file": str(one.path)}
            | (pages.as_json(one.record, now, given, alive=one.alive) if one.record else {"error": one.fault})
            for one in found
        )
        print(json.dumps([*every], indent=2))
    elif found:
        print_page(table(found, now))
        for one in found:
            if one.record is None:
                print(f"! {plain(one.fault)}")
    else:
        where = "any namespace" if namespace is None else f"namespace {namespace}"
        pods = f" of pods with the labels {options.selector}" if options.selector else ""
        print(f"No bounce{pods} is recorded for {where} of context {cluster.context}.", file=sys.stderr)
    return ExitStatus.DONE


def _selected(found: list[Found], cluster: KubernetesCluster, namespace: str | None, labels: str) -> list[Found]:
    """Choose the bounces of the pods that have these labels, and those whose replacement is one of them."""
    try:
        pods = {(pod.metadata.namespace, pod.name) for pod in cluster.selected_pods(namespace, labels)}
    except Refused as error:
        raise UsageProblem(f"--selector: {error}") from error
    return [one for one in found if one.record and not pods.isdisjoint(_pods(one.record))]


def _pods(record: BounceRecord) -> set[tuple[str, str]]:
    request, new = record.request, record.new_pod
    return {(request.namespace, request.pod), (request.namespace, new.name if new else request.pod)}


def table(found: list[Found], now: datetime) -> Table:
    """Lay out a list of bounces, a row for each."""
    made = Table(*COLUMNS, box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="bold")
    for one in found:
        if one.record is not None:
            made.add_row(*(Text(plain(cell)) for cell in _cells(one.record, now, alive=one.alive)))
    return made


def _cells(record: BounceRecord, now: datetime, *, alive: bool) -> tuple[str, ...]:
    state = f"{record.state}: {pages.codes(record)}" if record.failed_in else str(record.state)
    took, runner = span(record.took(record.entered_at)), "-"
    if not record.finished:
        took, runner = "-", f"{record.runner or '?'}{'' if alive else ' (gone)'}"
    begun = f"{span(record.took(now))} ago"
    return record.request.pod, record.request.namespace, state, begun, took, runner
