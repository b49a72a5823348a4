"""How the command ends: its exit statuses, the signals that end it, and standard output that nobody reads."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import IO

from mecbounce.errors import (
    ClusterError,
    ImpossibleEvent,
    Interrupted,
    MecBounceError,
    RecordNotSaved,
    Superseded,
)
from mecbounce.machine import Event, State
from mecbounce.record import BounceResult, Deletion


class ExitStatus(IntEnum):
    """What the command tells its caller: `mecbounce.cli` explains each."""

    DONE = 0
    OTHER = 1
    USAGE = 2
    REFUSED = 3
    NOT_TERMINATED = 4
    NOT_BACK = 5
    SUPERSEDED = 6
    INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: try again


_OF_EVENT = {
    Event.TERMINATION_TIMEOUT: ExitStatus.NOT_TERMINATED,
    Event.NOT_RECREATED: ExitStatus.NOT_BACK,
    Event.READY_TIMEOUT: ExitStatus.NOT_BACK,
}

_OF_ERROR = (  # the first that fits
    (Interrupted, ExitStatus.INTERRUPTED),
    (Superseded, ExitStatus.SUPERSEDED),
    (RecordNotSaved, ExitStatus.OTHER),
    (ImpossibleEvent, ExitStatus.OTHER),
    (ClusterError, ExitStatus.REFUSED),
    (MecBounceError, ExitStatus.USAGE),
)


def exit_status(result: BounceResult) -> ExitStatus:
    """Give the command's exit status for a finished bounce."""
    if result.state is State.DONE:
        return ExitStatus.DONE
    if result.event in _OF_EVENT:
        return _OF_EVENT[result.event]
    return ExitStatus.REFUSED if result.deletion is Deletion.NONE else ExitStatus.OTHER


def exit_status_of_error(error: MecBounceError) -> ExitStatus:
    """Give the command's exit status for an error that ended it."""
    return next(status for kind, status in _OF_ERROR if isinstance(error, kind))


class UsageProblem(MecBounceError):
    """An option can't be used: the message names it."""


class LeftAtOnce(BaseException):
    """A second signal came. Its text says what is recorded. A BaseException, so that no handler of errors takes it."""


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn a first SIGINT, SIGTERM or SIGHUP into stop(); a second one raises LeftAtOnce."""
    asked: list[int] = []

    def ask(number: int, _frame: object) -> None:
        if asked:
            raise LeftAtOnce
        asked.append(number)

    heeded = [one for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) != signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in heeded}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def discard(file: IO[str]) -> None:
    """Write nothing more to a file: Python would complain of a broken pipe as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


@contextlib.contextmanager
def unless_unwritable() -> Iterator[None]:
    """Print, unless nobody reads any more or the disk is full: the exit status still tells how a bounce ended."""
    try:
        yield
    except OSError:
        discard(sys.stdout)
