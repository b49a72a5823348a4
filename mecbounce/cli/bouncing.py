"""Carry one bounce out for the command."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from mecbounce.again import left_waiting
from mecbounce.cli.exits import ExitStatus, StoppedImmediately, UsageProblem, exit_status, stop_signals
from mecbounce.cli.following import StoppedFollowing, follow
from mecbounce.cli.options import Asked
from mecbounce.cli.start import Start, Would, after_another, start_of
from mecbounce.cli.terminal import BounceInTerminal
from mecbounce.errors import Interrupted, RecordError, RecordNotSaved, Superseded
from mecbounce.messages import COMMAND, utc
from mecbounce.record import BounceRecord
from mecbounce.result import BounceResult
from mecbounce.stores import FileStore
from mecbounce.task import BounceTask


def bounce(terminal: BounceInTerminal, asked: Asked) -> ExitStatus:
    """Bounce, go on from what an earlier run left, or follow the run that drives it, and tell how it ended."""
    with stop_signals() as stop:
        run = _Run(terminal, asked, stop)
        try:
            with terminal:
                result = run.result()
        except StoppedFollowing as stopped:
            terminal.say(str(stopped))
            return ExitStatus.INTERRUPTED
        except Interrupted:
            terminal.interrupted()
            return ExitStatus.INTERRUPTED
        except StoppedImmediately as stopped:
            raise StoppedImmediately(str(stopped) or _what_is_recorded(terminal.record or run.goes_on)) from stopped
        except RecordNotSaved as error:
            if terminal.record is None and run.goes_on is None:
                raise UsageProblem(f"--state: {error}") from error
            raise
    terminal.end(result)
    if not run.followed and terminal.record is not None:  # else its own run tells whoever began it, or the next one
        _mark_told(asked.store, terminal.record.bounce_id)
    return exit_status(result)


class _Run:
    """From what is recorded to the end of one bounce."""

    def __init__(self, terminal: BounceInTerminal, asked: Asked, stop: Callable[[], bool]) -> None:
        self._terminal, self._asked, self._stop = terminal, asked, stop
        self.goes_on: BounceRecord | None = None
        """The record of the bounce that it goes on with, or tells the end of. None: it begins one."""
        self.followed = False
        """Whether another run has ended the bounce."""

    def result(self) -> BounceResult:
        """Tell, follow, resume or begin. Raises Superseded if another run takes a bounce that this one has driven."""
        start = start_of(self._asked)
        if start.last is not None and start.would is Would.TELL:
            self.goes_on = start.last
            return _told_late(self._terminal, start.last)
        if start.last is not None and not start.last.finished and self._asked.again:
            self._terminal.say("--again: the last bounce has not ended, so it goes on.")
        while True:
            self.goes_on = start.last if start.would in (Would.FOLLOW, Would.RESUME) else None
            if self.goes_on is not None and start.would is Would.FOLLOW:
                self.goes_on = follow(self._asked.store, self.goes_on, self._terminal, self._stop, self._asked.cluster)
                if self.goes_on.finished:
                    self.followed = True
                    return BounceResult.of(self.goes_on)
                self._terminal.gone(self.goes_on, then="this run takes the bounce over")
            shown = self._terminal.record
            try:
                return self._drive(start)
            except Superseded:
                if self._terminal.record is not shown:  # this run has driven it
                    raise
                faster = after_another(self._asked)
                if faster is None:
                    raise
                self._terminal.say("Another run was faster: this one goes by what that one has saved.")
                start = faster

    def _drive(self, start: Start) -> BounceResult:
        """Drive a bounce to its end. Raises Superseded too if the record is not the one that was decided on."""
        waits_on = start.last if start.would is Would.WAIT_ON else None
        if self.goes_on is None and start.last is not None:
            self._asked.store.set_aside(start.last.bounce_id, copy=waits_on is not None)
        task = BounceTask(
            start.request,
            self._asked.cluster,
            self._asked.store,
            protection=self._asked.protection,
            notify=self._terminal.notify,
            observe=self._terminal.observe,
            progress=self._terminal.progress,
            stop=self._stop,
            events=self._asked.events,
            terms=COMMAND,
        )
        return task.go_on(self.goes_on, waits_on=waits_on)


def _told_late(terminal: BounceInTerminal, ended: BounceRecord) -> BounceResult:
    """Tell the end of a bounce whose run was killed before it could do so."""
    at = utc(ended.entered_at)
    terminal.observe(ended)
    then = "keeps waiting if the replacement is not back" if left_waiting(ended) else "begins a new bounce"
    terminal.say(
        f"This bounce ended at {at}; its run was stopped before it could say so. Run the same command again: it {then}."
    )
    return BounceResult.of(ended, reported_again=True)


def _mark_told(store: FileStore, bounce_id: str) -> None:
    """Save that the end was told: the next run then starts a new bounce. If this fails, the next run tells it again."""
    with contextlib.suppress(RecordError, Superseded):
        record = store.load()
        if record is not None and record.bounce_id == bounce_id and record.finished:
            store.save(record.changed(untold=False))


def _what_is_recorded(saved: BounceRecord | None) -> str:
    """Say what the next run will find. `saved`: the last record that is known to be saved.

    The file is not read: a disk that does not answer may be why a second signal was sent.
    """
    if saved is None:  # the first save may be under way
        return "This run deleted nothing. Run again to begin the bounce, or to resume it if a record was saved."
    if saved.finished:
        return "The bounce has ended, and its record was saved: run again to be told how."
    return "The record was saved: run again to resume."
