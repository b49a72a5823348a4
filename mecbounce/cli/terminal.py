"""What `run` prints: to a terminal, to a log, or to a program."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime
from shutil import get_terminal_size
from typing import Self

from rich.console import Console, ConsoleDimensions, RenderableType
from rich.live import Live
from rich.text import Text

from mecbounce.cli import screen
from mecbounce.cli.exits import discard, in_foreground, job_control, unless_unwritable
from mecbounce.cli.layout import plain, signs_for, span
from mecbounce.cli.options import Output
from mecbounce.cli.pages import codes, ending, last_saved
from mecbounce.machine import State
from mecbounce.messages import limit_of
from mecbounce.next_commands import Given, shell_lines
from mecbounce.progress import LastLook, Progress
from mecbounce.record import BounceRecord, Notice
from mecbounce.request import BounceRequest
from mecbounce.result import BounceResult

REFRESHES = 4  # a second, of the live screen
WIDE = 2000  # columns: wider than any line


def console_of(*, stderr: bool = False) -> Console:
    """Open standard output, or standard error: a terminal or not."""
    console = _ConsoleWithoutReader(highlight=False, stderr=stderr)
    if console.is_dumb_terminal:  # rich takes each for 80 columns wide, and a narrow one would break within words
        console.size = ConsoleDimensions(*get_terminal_size())
    return console


def print_page(page: RenderableType) -> None:
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


class _ConsoleWithoutReader(Console):
    """A console that lets a bounce go on when the reader has gone (`mecbounce run ... | head`)."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        discard(self.file)


class BounceInTerminal:
    """What `run` prints of one bounce: a live screen in a terminal, lines elsewhere, one JSON document for programs."""

    def __init__(
        self, request: BounceRequest, context: str, given: Given, output: Output, *, live: bool = True
    ) -> None:
        self._request = request
        self._context = context
        self._given = given
        self._output = output
        self._console = console_of(stderr=output is Output.JSON)
        self._console.soft_wrap = not self._console.is_terminal  # a log line is one line
        self._signs = signs_for(self._console.encoding)
        self.record: BounceRecord | None = None
        """The last record that was saved, as far as is known."""
        self._look: LastLook | None = None
        self._follows = ""  # the runner that drives it, if this run does not
        self._is_live = live and self._console.is_terminal and not self._console.is_dumb_terminal
        self._live: Live | None = None  # while the live screen is drawn
        self._ending = ExitStack()
        self._progress = screen.ProgressLines()

    def __rich__(self) -> Text:
        if self.record is None:
            return Text()
        now, about = datetime.now(UTC), {}
        if self._follows:
            about = {"runner": f"{last_saved(self.record, now)}; this run follows"}
        width = self._console.width - len("^C")  # which a terminal echoes: at its edge, that begins another line
        return screen.screen(
            self.record, now, width, where=self._context, look=self._look, signs=self._signs, about=about
        )

    def __enter__(self) -> Self:
        if self._is_live:
            self._ending.enter_context(job_control(self._console.file, self._leave, self._draw))
            if in_foreground(self._console.file):
                self._draw()
        else:  # if this can't be printed, the bounce does not begin
            self._line(screen.heading(self._request, self._context))
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()
        self._leave()

    def _draw(self) -> None:
        """Draw the live screen below what the terminal shows, and keep it current."""
        if self._live is None:
            self._live = Live(self, console=self._console, refresh_per_second=REFRESHES)
            self._live.start()

    def _leave(self) -> None:
        """Leave the terminal as a shell wants it: the screen as it is now, and the cursor below it."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def observe(self, record: BounceRecord) -> None:
        """Show a saved record; the live screen does at its next refresh."""
        before, self.record = self.record, record
        if self._is_live:
            return
        if record.node is not None and (before is None or before.node is None):
            self._line(f"node {record.node}")
        if before is None or record.state is not before.state:
            limit = f", at most {limit_of(record.limit)}" if record.limit is not None else ""
            self._line(f"{record.state}: {codes(record)}" if record.state is State.FAILED else f"{record.state}{limit}")

    def progress(self, found: Progress) -> None:
        """Show what the bounce waits for; the live screen does at its next refresh."""
        self._look = found.look
        if not self._is_live and (line := self._progress.line(found, datetime.now(UTC))):
            self._line(line)

    def notify(self, notice: Notice) -> None:
        """Print a notice, unless the live screen shows it."""
        if not self._is_live:
            self._line(f"notice: {plain(notice.message)}")

    def say(self, text: str) -> None:
        """Print a line that belongs to no record."""
        if self._is_live:
            self._console.print()
        self._line(text)

    def follow(self, record: BounceRecord) -> None:
        """Show a bounce that another runner drives."""
        if not self._is_live and str(record.runner) != self._follows and not record.finished:
            self._line(f"Following: {plain(_drives(record, datetime.now(UTC)))}")
        self._follows = str(record.runner)
        if self.record is not None and record.state is not self.record.state:
            self._look = None  # else the old pod, seen in the last state, looks as if it existed again
        told = self.record.notices if self.record is not None else ()
        for notice in record.notices:
            if notice not in told:
                self.notify(notice)
        self.observe(record)

    def gone(self, record: BounceRecord, then: str) -> None:
        """Say that the runner that was followed has gone, and what that means."""
        self._follows = ""
        self.say(f"Its runner ({plain(str(record.runner or 'without a name'))}) has gone: {then}.")

    def end(self, result: BounceResult) -> None:
        """Print how it ended."""
        if self._output is Output.TEXT:
            self.sum_up()
            return
        with unless_unwritable():
            if self.record is not None:  # with the options that were given
                lines = shell_lines(self.record, self._given.without_value)
                result = result.model_copy(update={"next_commands": lines})
            print(json.dumps(result.model_dump(mode="json"), indent=2), flush=True)

    def interrupted(self) -> None:
        """Print that a signal interrupted it, and how to go on."""
        if self.record is not None:
            with unless_unwritable():
                self.say(f"Interrupted in {self.record.state}.")
        self.sum_up()

    def sum_up(self) -> None:
        """Print how it ended, or how to go on."""
        if self.record is None:
            return
        width = self._console.width if self._console.is_terminal else None
        with unless_unwritable():
            if self._is_live:
                self._console.print()
            self._console.print(ending(self.record, self._given, width), soft_wrap=True)

    def _line(self, text: str) -> None:
        self._console.print(f"{datetime.now(UTC):%H:%M:%SZ} {text}", markup=False)


def _drives(record: BounceRecord, now: datetime) -> str:
    """Say who drives a bounce, and how long ago that runner saved the record."""
    if record.runner is None:
        return "a runner without a name drives this bounce"
    ago = span((now - record.runner.saved_at).total_seconds())
    return f"{record.runner}, drives this bounce (last save {ago} ago)"
