"""What `run` prints: to a terminal, to a log, or to a program."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mecbounce.cli import screen
from mecbounce.cli.exits import discard, unless_unwritable
from mecbounce.cli.layout import plain
from mecbounce.cli.options import Output
from mecbounce.cli.pages import codes, ending
from mecbounce.machine import State
from mecbounce.next_commands import Given, shell_lines
from mecbounce.progress import LastLook, Progress
from mecbounce.record import BounceRecord, Notice
from mecbounce.request import BounceRequest
from mecbounce.result import BounceResult


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
        self._console = _ConsoleWithoutReader(highlight=False, stderr=output is Output.JSON)
        self._console.soft_wrap = not self._console.is_terminal  # a log line is one line
        self.record: BounceRecord | None = None
        """The last record that was saved, as far as is known."""
        self._look: LastLook | None = None
        live = live and self._console.is_terminal and not self._console.is_dumb_terminal
        self._live = Live(self, console=self._console, refresh_per_second=4) if live else None
        self._progress = screen.ProgressLines()

    def __rich__(self) -> Text:
        if self.record is None:
            return Text()
        now = datetime.now(UTC)
        return screen.screen(self.record, now, self._console.width, where=self._context, look=self._look)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        else:  # if this can't be printed, the bounce does not begin
            self._line(screen.heading(self._request, self._context))
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def observe(self, record: BounceRecord) -> None:
        """Show a saved record; the live screen does at its next refresh."""
        before, self.record = self.record, record
        if self._live is not None:
            return
        if before is None or record.state is not before.state:
            limit = f", at most {record.limit:.0f} s" if record.limit is not None else ""
            self._line(f"{record.state}: {codes(record)}" if record.state is State.FAILED else f"{record.state}{limit}")

    def progress(self, found: Progress) -> None:
        """Show what the bounce waits for; the live screen does at its next refresh."""
        self._look = found.look
        if self._live is None and (line := self._progress.line(found, datetime.now(UTC))):
            self._line(line)

    def notify(self, notice: Notice) -> None:
        """Print a notice, unless the live screen shows it."""
        if self._live is None:
            self._line(f"notice: {plain(notice.message)}")

    def say(self, text: str) -> None:
        """Print a line that belongs to no record."""
        if self._live is not None:
            self._console.print()
        self._line(text)

    def end(self, result: BounceResult) -> None:
        """Print how it ended."""
        if self._output is Output.TEXT:
            self.sum_up()
            return
        with unless_unwritable():
            if self.record is not None:  # with the options that were given, which the result does not know
                result = result.model_copy(update={"next_commands": shell_lines(self.record, self._given)})
            print(result.model_dump_json(indent=2), flush=True)

    def sum_up(self) -> None:
        """Print how it ended, or how to go on."""
        if self.record is None:
            return
        width = self._console.width if self._console.is_terminal else None
        with unless_unwritable():
            if self._live is not None:
                self._console.print()
            self._console.print(ending(self.record, self._given, width), soft_wrap=True)

    def _line(self, text: str) -> None:
        self._console.print(f"{datetime.now(UTC):%H:%M:%SZ} {text}", markup=False)
