"""Show a bounce that another process drives, as long as that process lives. Only the record's file is read."""

from __future__ import annotations

import time
from collections.abc import Callable

from mecbounce.cli.exits import StoppedImmediately
from mecbounce.cli.terminal import BounceInTerminal
from mecbounce.errors import Interrupted, RecordError
from mecbounce.record import BounceRecord
from mecbounce.stores import FileStore

EVERY = 0.5  # seconds between two looks


class StoppedFollowing(Interrupted):
    """Asked to stop while another runner drives the bounce."""


def follow(
    store: FileStore, record: BounceRecord, terminal: BounceInTerminal, stop: Callable[[], bool]
) -> BounceRecord:
    """Show the bounce of `record` until it has ended or its runner has gone. Gives its last record.

    Raises StoppedFollowing, and RecordError if the record has gone or can't be read.
    """
    terminal.follow(record)
    try:
        while not record.finished:
            if stop():
                raise StoppedFollowing(f"Stopped following: {_goes_on(record)}. Run again to follow it.")
            gone, before = not store.held(), record
            record = _present(store, before)
            if record != before:
                terminal.follow(record)
            elif gone:  # only now: another runner may have saved before the lock was looked at
                return record
            else:
                time.sleep(EVERY)
    except StoppedImmediately:
        raise StoppedImmediately(f"This run only followed: {_goes_on(record)}.") from None
    return record


def _goes_on(record: BounceRecord) -> str:
    return f"the bounce of {record.request.pod} goes on, driven by {record.runner or 'another runner'}"


def _present(store: FileStore, followed: BounceRecord) -> BounceRecord:
    """Load the record of the bounce that is followed. A new bounce may just have set it aside."""
    for place in (store, store.aside):
        record = place.load()
        if record is not None and record.bounce_id == followed.bounce_id:
            return record
    raise RecordError(
        f"{store}: the record of the bounce of {followed.request.pod} has been removed while this run followed it in "
        f"{followed.state}: look at the pod."
    )
