"""How the command ends: exit statuses, signals, and a standard output that can't be written."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from enum import IntEnum
from types import FrameType
from typing import IO

from mecbounce.errors import ClusterError, ImpossibleEvent, Interrupted, MecBounceError, RecordNotSaved, Superseded
from mecbounce.machine import Event, State
from mecbounce.record import Deletion
from mecbounce.result import BounceResult


class ExitStatus(IntEnum):
    """What the command tells its caller. `mecbounce.cli` explains each."""

    DONE = 0
    OTHER = 1
    USAGE = 2
    REFUSED = 3
    NOT_TERMINATED = 4
    NOT_BACK = 5
    SUPERSEDED = 6
    INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: try again


def exit_status(result: BounceResult) -> ExitStatus:
    """Give the command's exit status for a finished bounce."""
    if result.state is State.DONE:
        return ExitStatus.DONE
    match result.event:
        case Event.TERMINATION_TIMEOUT:
            return ExitStatus.NOT_TERMINATED
        case Event.NOT_RECREATED | Event.READY_TIMEOUT:
            return ExitStatus.NOT_BACK
    return ExitStatus.REFUSED if result.deletion is Deletion.NONE else ExitStatus.OTHER


def exit_status_of_error(error: MecBounceError) -> ExitStatus:
    """Give the command's exit status for an error that ended it."""
    match error:
        case Interrupted():
            return ExitStatus.INTERRUPTED
        case Superseded():
            return ExitStatus.SUPERSEDED
        case RecordNotSaved() | ImpossibleEvent():
            return ExitStatus.OTHER
        case ClusterError() | NotThere():
            return ExitStatus.REFUSED
    return ExitStatus.USAGE


class UsageProblem(MecBounceError):
    """An option can't be used: the message names it."""


class NotThere(MecBounceError):
    """What was named does not exist, so nothing was begun: a typing error. The message names what is near."""


class StoppedImmediately(BaseException):
    """A second signal came. Its text says what is recorded. No handler of Exceptions may catch it."""


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Let stop() be true after a first SIGINT, SIGTERM or SIGHUP; a second one raises StoppedImmediately."""
    asked: list[int] = []

    def ask(number: int, _frame: object) -> None:
        if asked:
            raise StoppedImmediately
        asked.append(number)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # One that was ignored stays ignored, as nohup wants it.
    before = {number: signal.signal(number, ask) for number in signals if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def job_control(terminal: IO[str], leave: Callable[[], object], come_back: Callable[[], object]) -> Iterator[None]:
    """Call `leave` before Ctrl-Z stops this process, and `come_back` when it is in the foreground again.

    Each may be called twice in a row, and must do nothing the second time.
    """

    def stop(number: int, _frame: object) -> None:
        leave()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)  # stops here, until SIGCONT
        signal.signal(number, stop)
        go_on()

    def go_on(*_: object) -> None:
        if in_foreground(terminal):
            come_back()

    wanted: dict[signal.Signals, Callable[[int, FrameType | None], object]]
    wanted = {signal.SIGTSTP: stop, signal.SIGCONT: go_on}
    # A shell without job control ignores SIGTSTP: that stays so.
    before = {number: signal.signal(number, wanted[number]) for number in wanted if _is_handled(number)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_handled(number: signal.Signals) -> bool:
    return signal.getsignal(number) != signal.SIG_IGN


def in_foreground(terminal: IO[str]) -> bool:
    """Tell whether this process may draw on its terminal: not while a shell runs it in the background."""
    try:
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:  # it is no terminal, or none of this session
        return True


def discard(file: IO[str]) -> None:
    """Write nothing more to a file: at its end Python would complain about a broken pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())


@contextlib.contextmanager
def unless_unwritable() -> Iterator[None]:
    """Print, unless the reader has gone or the disk is full: the exit status still tells how the bounce ended."""
    try:
        yield
    except OSError:
        discard(sys.stdout)
