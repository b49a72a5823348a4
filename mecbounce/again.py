"""Whether the next run keeps waiting for a late replacement: pure functions of the last record and of one look.

A bounce that ended before its replacement was back has deleted its pod. A new one would delete the late replacement,
which would have to start again. So the next run keeps waiting for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from mecbounce import probes
from mecbounce.codes import DiagnosisCode
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.machine import State
from mecbounce.record import BounceRecord, Deletion, PinnedPod


def left_waiting(record: BounceRecord) -> bool:
    """True if a bounce failed after its pod was deleted, or may have been: a replacement may come late."""
    if record.state is not State.FAILED or record.old_pod is None:
        return False
    if record.diagnosis is not None and record.diagnosis.code == DiagnosisCode.ROLLED_OUT:
        return False  # its place is taken: nothing comes late
    return record.deletion is not Deletion.NONE or still_waits_on(record)


def still_waits_on(record: BounceRecord) -> bool:
    """True if a bounce keeps waiting for what another one deleted, and has not announced a DELETE of its own."""
    return bool(record.waits_on) and not record.deletion_was_possible


def waits_on(record: BounceRecord, pods: Iterable[Pod], server_now: datetime) -> bool:
    """True if the next run keeps waiting for the replacement of a bounce that has ended. `pods`: what stands there now.

    False if that replacement is back, if somebody else's pod has its name, or if the old pod still runs.
    """
    old, pods = _left_behind(record), tuple(pods)
    if old is None:
        return False
    if still_there := old.find_in(pods):
        return still_there.terminating
    if old.generated_name:
        return True  # no other pod ever gets that name: there is none to bounce anew
    return not _is_taken(old, pods) and is_late(record, pods, server_now)


def is_late(record: BounceRecord, pods: Iterable[Pod], server_now: datetime) -> bool:
    """True if a bounce has ended, and the replacement that it waited for is not back yet."""
    old = _left_behind(record)
    return old is not None and not probes.is_back(old, pods, record.request.ready_when, server_now)


def _left_behind(record: BounceRecord) -> PinnedPod | None:
    """Give the old pod of a bounce that failed while a replacement may come late. None: none may."""
    return record.old_pod if left_waiting(record) else None


def _is_taken(old: PinnedPod, pods: Iterable[Pod]) -> bool:
    """True if a pod of its name is not its replacement, but somebody else's."""
    return any(pod.name == old.name and not old.is_replaced_by(pod) for pod in pods)
