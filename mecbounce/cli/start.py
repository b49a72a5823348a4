"""What `run` does first: by the record of the last bounce, by what was typed, and by a look at a late replacement."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum

from mecbounce.again import left_waiting, waits_on
from mecbounce.cli.exits import UsageProblem
from mecbounce.cli.kube import server_now
from mecbounce.cli.options import Asked
from mecbounce.cli.typed import contradictions, is_other_node, with_typed
from mecbounce.errors import ClusterError
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.next_commands import next_commands
from mecbounce.record import BounceRecord, PinnedPod, refuse_other_bounce, refuse_other_pod
from mecbounce.request import BounceRequest


class Would(StrEnum):
    """What a run would do."""

    RESUME = "resume"
    """Resume an unfinished bounce."""
    FOLLOW = "follow"
    """Follow an unfinished bounce whose runner is alive."""
    TELL = "tell"
    """Only tell how the last bounce ended: its run was stopped before it could."""
    WAIT_ON = "wait_on"
    """Keep waiting for the replacement of the last bounce. Nothing is deleted."""
    BEGIN = "begin"
    """Begin a new bounce."""


@dataclass(frozen=True)
class Start:
    """What `run` does first, with which request; `last`: the record of the last bounce, if there is one."""

    would: Would
    request: BounceRequest
    last: BounceRecord | None = None


def start_of(asked: Asked) -> Start:
    """Say what `run` does first. Raises what `run` would raise of the record of the last bounce."""
    last, alive = _loaded(asked)
    if last is None:
        return Start(Would.BEGIN, asked.request)
    if not last.finished:
        return _of_unfinished(asked, last, alive=alive)
    if asked.again or _is_another(last, asked):
        return Start(Would.BEGIN, asked.request, last)
    if last.untold:
        return Start(Would.TELL, asked.request, last)
    if last.old_pod is None or not left_waiting(last):
        return Start(Would.BEGIN, asked.request, last)
    return _after_failure(asked, last, last.old_pod)


def after_another(asked: Asked) -> Start | None:
    """Say what `run` does where another run was faster: whatever that one has ended is shown, and nothing begins.

    None: its record has gone.
    """
    last, alive = _loaded(asked)
    if last is None:
        return None
    return Start(Would.FOLLOW, asked.request, last) if last.finished else _of_unfinished(asked, last, alive=alive)


def _of_unfinished(asked: Asked, last: BounceRecord, *, alive: bool) -> Start:
    return Start(Would.FOLLOW if alive and not asked.take_over else Would.RESUME, asked.request, last)


def _loaded(asked: Asked) -> tuple[BounceRecord | None, bool]:
    """Load the record of the last bounce, and say whether it has a runner that is alive.

    Raises ForeignRecord or UsageProblem if `run` can't go on from it.
    """
    (last, alive), where = asked.store.look(), str(asked.store)
    if last is None:
        return None, False
    refuse_other_pod(last, asked.request, where)
    if not last.finished:  # an ended bounce with a mistyped --node must not stand in the way of the corrected one
        if faults := [*contradictions(asked.typed, last)]:
            [(_, resume)] = next_commands(last, asked.given)
            raise UsageProblem(f"{'; '.join(faults)}. To resume it as it began: {shlex.join(resume)}")
        refuse_other_bounce(last, last.request, where, server=asked.cluster.server)
    return last, alive


def _after_failure(asked: Asked, last: BounceRecord, old: PinnedPod) -> Start:
    """Keep waiting with the options of the last bounce and those that were typed, or begin a new bounce."""
    pods = _look(asked, old)
    request = with_typed(last.request, {**asked.typed, "pod_uid": old.uid})
    last = last.model_copy(update={"request": request})
    gone = pods is not None and old.find_in(pods) is None
    # Where no look can be had, to keep waiting is safe; `--pod-uid` of the old pod asks for it.
    if pods is None or waits_on(last, pods, server_now(asked.cluster)) or (gone and asked.request.pod_uid):
        return Start(Would.WAIT_ON, request, last)
    if gone:
        return Start(Would.BEGIN, asked.request, last)
    # It was not deleted after all. Pinned, so that nothing else is deleted if that happens at this moment.
    return Start(Would.BEGIN, asked.request.model_copy(update={"pod_uid": old.uid}), last)


def _look(asked: Asked, old: PinnedPod) -> tuple[Pod, ...] | None:
    """Look at the pods that may be the old one or its replacement. None: no usable answer."""
    try:
        return asked.cluster.pods(asked.request.namespace, None if old.generated_name else old.name)
    except ClusterError:
        return None


def _is_another(last: BounceRecord, asked: Asked) -> bool:
    """True if a bounce that has ended is not the one that is asked for: of another node, incarnation or API server."""
    mine, server = asked.request, asked.cluster.server
    other_node = bool(mine.given_node and last.node) and is_other_node(mine.node, last.node)
    other_pod = mine.pod_uid not in (None, last.pinned_uid)
    return other_node or other_pod or (last.server or server) != server
