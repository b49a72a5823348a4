"""Carry one bounce out for the command."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime

from mecbounce.again import Would, left_waiting, waits_on
from mecbounce.cli.exits import ExitStatus, StoppedImmediately, UsageProblem, exit_status, stop_signals
from mecbounce.cli.options import Asked
from mecbounce.cli.terminal import BounceInTerminal
from mecbounce.cli.typed import contradictions, is_other_node, with_typed
from mecbounce.errors import ClusterError, Interrupted, RecordError, RecordNotSaved, Superseded
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.messages import COMMAND, utc
from mecbounce.next_commands import next_commands
from mecbounce.record import BounceRecord, PinnedPod, refuse_other_bounce, refuse_other_pod
from mecbounce.request import BounceRequest
from mecbounce.stores import FileStore
from mecbounce.task import BounceTask


@dataclass(frozen=True)
class Start:
    """What `run` does first, with which request; `last`: the record of the last bounce, if it goes on from that."""

    would: Would
    request: BounceRequest
    last: BounceRecord | None = None


def bounce(terminal: BounceInTerminal, asked: Asked) -> ExitStatus:
    """Bounce, go on from what an earlier run left, and tell how it ended."""
    begun: BounceRecord | None = None
    with stop_signals() as stop:
        try:
            with terminal:
                start = start_of(asked)
                begun = start.last if start.would in (Would.RESUME, Would.TELL) else None
                if begun is None:
                    asked.store.set_aside(copy=start.would is Would.WAIT_ON)
                elif asked.again:
                    terminal.say("--again: the last bounce has not ended, so it is resumed.")
                task = BounceTask(
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
                result = task.go_on(begun, waits_on=start.last if start.would is Would.WAIT_ON else None)
                if begun is not None and begun.finished:
                    _tell_late(terminal, begun)
        except Interrupted:
            terminal.interrupted()
            return ExitStatus.INTERRUPTED
        except StoppedImmediately as stopped:
            raise StoppedImmediately(_what_is_recorded(terminal.record or begun)) from stopped
        except RecordNotSaved as error:
            if terminal.record is None and begun is None:
                raise UsageProblem(f"--state: {error}") from error
            raise
    terminal.end(result)
    _mark_told(asked.store)
    return exit_status(result)


def start_of(asked: Asked) -> Start:
    """Say how `run` starts: by the record of the last bounce and, if its replacement was late, by one look at the pods.

    Raises what `run` would raise of that record.
    """
    last = _loaded(asked)
    if last is None or (last.finished and (asked.again or _is_another(last, asked))):
        return Start(Would.BEGIN, asked.request)
    if not last.finished:
        return Start(Would.RESUME, asked.request, last)
    if last.untold:
        return Start(Would.TELL, asked.request, last)
    if last.old_pod is None or not left_waiting(last):
        return Start(Would.BEGIN, asked.request)
    return _after_failure(asked, last, last.old_pod)


def _after_failure(asked: Asked, last: BounceRecord, old: PinnedPod) -> Start:
    """Wait on with the options of the last bounce and those that were typed, or begin a new bounce."""
    pods = _look(asked, old)
    request = with_typed(last.request, {**asked.typed, "pod_uid": old.uid})
    last = last.model_copy(update={"request": request})
    now = asked.cluster.server_time or datetime.now(UTC)
    gone = pods is not None and old.find_in(pods) is None
    # Where no look can be had, waiting on is safe; `--pod-uid` of the old pod asks for it.
    if pods is None or waits_on(last, pods, now) or (gone and asked.request.pod_uid):
        return Start(Would.WAIT_ON, request, last)
    if gone:
        return Start(Would.BEGIN, asked.request)
    # It was not deleted after all. Pinned, so that nothing else is deleted if that happens at this moment.
    return Start(Would.BEGIN, asked.request.model_copy(update={"pod_uid": old.uid}))


def _look(asked: Asked, old: PinnedPod) -> tuple[Pod, ...] | None:
    """Look at the pods that may be the old one or its replacement. None: no usable answer."""
    try:
        return asked.cluster.pods(asked.request.namespace, None if old.generated_name else old.name)
    except ClusterError:
        return None


def _loaded(asked: Asked) -> BounceRecord | None:
    """Load the record of the last bounce. Raises ForeignRecord or UsageProblem if `run` can't go on from it."""
    last, where = asked.store.load(), str(asked.store)
    if last is None:
        return None
    refuse_other_pod(last, asked.request, where)
    if not last.finished:
        if faults := [*contradictions(asked.typed, last)]:
            [(_, resume)] = next_commands(last, asked.given)
            raise UsageProblem(f"{'; '.join(faults)}. To resume it as it began: {shlex.join(resume)}")
        refuse_other_bounce(last, last.request, where, server=asked.cluster.server)
    return last


def _is_another(last: BounceRecord, asked: Asked) -> bool:
    """True if a bounce that has ended is not the one that is asked for: of another node, incarnation or API server."""
    mine, theirs, server = asked.request, last.request, asked.cluster.server
    other_node = bool(mine.node and theirs.node) and is_other_node(mine.node, theirs.node)
    other_pod = mine.pod_uid not in (None, last.pinned_uid)
    return other_node or other_pod or (last.server or server) != server


def _tell_late(terminal: BounceInTerminal, ended: BounceRecord) -> None:
    """Tell the end of a bounce whose run was killed before it could do so."""
    at = utc(ended.entered_at)
    terminal.observe(ended)
    then = "waits on, if its replacement is not back" if left_waiting(ended) else "begins a new one"
    terminal.say(
        f"This bounce ended at {at}; its run was stopped before it could say so. The same command again {then}."
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
