"""Carry one bounce out for the command."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from mecbounce.again import Would, left_waiting
from mecbounce.cli.exits import ExitStatus, StoppedImmediately, UsageProblem, exit_status, stop_signals
from mecbounce.cli.following import StoppedFollowing, follow
from mecbounce.cli.options import Asked
from mecbounce.cli.start import Start, loaded, start_of
from mecbounce.cli.terminal import BounceInTerminal
from mecbounce.errors import Interrupted, RecordError, RecordNotSaved, Superseded
from mecbounce.messages import COMMAND, utc
from mecbounce.record import BounceRecord
from mecbounce.result import BounceResult
from mecbounce.stores import FileStore
from mecbounce.task import BounceTask


def bounce(terminal: BounceInTerminal, asked: Asked) -> ExitStatus:
    """Bounce, go on from what an earlier run left, or follow the run that drives it, and tell how it ended."""
    earlier: BounceRecord | None = None
    followed = False
    with stop_signals() as stop:
        try:
            with terminal:
                start = start_of(asked)
                earlier = _taken_up(asked, start, terminal)
                waits_on = start.last if start.would is Would.WAIT_ON else None
                drive = partial(_task(asked, start, terminal, stop).go_on, waits_on=waits_on)
                if earlier is not None and earlier.finished:
                    result = drive(earlier)
                    _tell_late(terminal, earlier)
                else:
                    result, followed = _driven_or_followed(asked, earlier, drive, terminal, stop)
        except StoppedFollowing as stopped:
            terminal.say(str(stopped))
            return ExitStatus.INTERRUPTED
        except Interrupted:
            terminal.interrupted()
            return ExitStatus.INTERRUPTED
        except StoppedImmediately as stopped:
            raise StoppedImmediately(str(stopped) or _what_is_recorded(terminal.record or earlier)) from stopped
        except RecordNotSaved as error:
            if terminal.record is None and earlier is None:
                raise UsageProblem(f"--state: {error}") from error
            raise
    terminal.end(result)
    if not followed:  # whoever began it is told by its own run, or by the next one
        _mark_told(asked.store)
    return exit_status(result)


def _taken_up(asked: Asked, start: Start, terminal: BounceInTerminal) -> BounceRecord | None:
    """Give the record to go on with, or to tell the end of; set one aside that a new bounce takes the place of."""
    if start.last is None or start.would is Would.WAIT_ON:
        asked.store.set_aside(copy=start.would is Would.WAIT_ON)
        return None
    if asked.again:
        terminal.say("--again: the last bounce has not ended, so it goes on.")
    return start.last


def _task(asked: Asked, start: Start, terminal: BounceInTerminal, stop: Callable[[], bool]) -> BounceTask:
    return BounceTask(
        start.request,
        asked.cluster,
        asked.store,
        protection=asked.protection,
        notify=terminal.notify,
        observe=terminal.observe,
        progress=terminal.progress,
        stop=stop,
        events=asked.events,
        terms=COMMAND,
    )


def _driven_or_followed(
    asked: Asked,
    earlier: BounceRecord | None,
    drive: Callable[[BounceRecord | None], BounceResult],
    terminal: BounceInTerminal,
    stop: Callable[[], bool],
) -> tuple[BounceResult, bool]:
    """Drive a bounce to its end, or follow the runner that does. Gives the result, and whether it was followed."""
    while True:
        if earlier is not None and (earlier.finished or (asked.store.held() and not asked.take_over)):
            earlier = follow(asked.store, earlier, terminal, stop)
            if earlier.finished:
                return BounceResult.of(earlier), True
            terminal.gone(earlier, then="this run takes the bounce over")
        before = terminal.record
        try:
            return drive(earlier), False
        except Superseded:
            if terminal.record is not before:  # this run has driven it
                raise
            earlier = loaded(asked)  # another run was faster
            if earlier is None:
                raise


def _tell_late(terminal: BounceInTerminal, ended: BounceRecord) -> None:
    """Tell the end of a bounce whose run was killed before it could do so."""
    at = utc(ended.entered_at)
    terminal.observe(ended)
    then = "keeps waiting if the replacement is not back" if left_waiting(ended) else "begins a new bounce"
    terminal.say(
        f"This bounce ended at {at}; its run was stopped before it could say so. Run the same command again: it {then}."
    )


def _mark_told(store: FileStore) -> None:
    """Save that the end was told: the next run then starts a new bounce. If this fails, the next run tells it again."""
    with contextlib.suppress(RecordError, Superseded):
        record = store.load()
        if record is not None and record.finished:
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
