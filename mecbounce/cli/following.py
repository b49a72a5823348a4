"""Show a bounce that another process drives, as long as that process lives. Nothing is written anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mecbounce.cli.exits import StoppedImmediately
from mecbounce.cli.terminal import BounceInTerminal
from mecbounce.errors import ClusterError, Interrupted, RecordError
from mecbounce.machine import WAITING
from mecbounce.progress import LastLook, Progress
from mecbounce.record import BounceRecord
from mecbounce.stores import FileStore

if TYPE_CHECKING:
    from mecbounce.kubernetes_api import Cluster

EVERY = 0.5  # seconds between two looks at the record
PODS_EVERY = 2.0  # seconds between two looks at the pods
PODS_LATER = 30.0  # seconds until the next one if a look failed


class StoppedFollowing(Interrupted):
    """Asked to stop while another runner drives the bounce."""


def follow(
    store: FileStore,
    record: BounceRecord,
    terminal: BounceInTerminal,
    stop: Callable[[], bool],
    cluster: Cluster | None = None,
) -> BounceRecord:
    """Show the bounce of `record` until it has ended or its runner has gone. Gives its last record.

    With a `cluster`, its pods are listed to show what the bounce waits for. Raises StoppedFollowing, and RecordError if
    the record has gone or can't be read.
    """
    terminal.follow(record)
    next_look = 0.0
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
            elif cluster is not None and record.state in WAITING and time.monotonic() >= next_look:
                looked = _show_what_it_waits_for(record, cluster, terminal)
                next_look = time.monotonic() + (PODS_EVERY if looked else PODS_LATER)
            else:
                time.sleep(EVERY)
    except StoppedImmediately:
        raise StoppedImmediately(f"This run only followed: {_goes_on(record)}.") from None
    return record


def _show_what_it_waits_for(record: BounceRecord, cluster: Cluster, terminal: BounceInTerminal) -> bool:
    """List the pods and show what the bounce waits for. False: no usable answer, so only what the record tells."""
    old, look = record.old_pod, None
    try:
        pods = cluster.pods(record.request.namespace, None if old is None or old.generated_name else old.name)
        now = datetime.now(UTC)
        look = LastLook(pods, (cluster.server_time or now) - now)
    except ClusterError:
        pass  # an old look may be wrong by now
    terminal.progress(Progress.of(record, look, datetime.now(UTC)))
    return look is not None


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
