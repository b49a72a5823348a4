"""How a bounce ended, for whoever asked for it: frozen data. Durations are in seconds."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Self

from mecbounce.fields import Frozen
from mecbounce.machine import Event, State
from mecbounce.next_commands import Given, shell_lines
from mecbounce.record import BounceRecord, Deletion, Diagnosis, Notice, Protection, SeenPod


class BounceResult(Frozen):
    """How a bounce ended."""

    state: State
    """DONE or FAILED."""
    event: Event
    """What ended it."""
    failed_in: State | None
    """The state in which it failed. None: it is DONE."""
    message: str
    """What happened."""
    advice: str
    """What to do next. Empty if nothing is to be done."""
    diagnosis: Diagnosis | None
    """Why it failed at the DELETE or at a deadline. None: it did not."""
    old_pod: SeenPod | None
    """The pod that was to be bounced. None: it was never seen."""
    new_pod: SeenPod | None
    """Its replacement. None: none was seen."""
    deletion: Deletion
    """What is known of the pod's deletion."""
    protection: Protection | None
    """What happened to the pod's shutdown protection. None: it was not tried."""
    durations: Mapping[State, float]
    """How long each state took, in seconds, in order."""
    notices: tuple[Notice, ...]
    """What is worth knowing but did not stop it, in order."""
    node: str | None = None
    """The custom resource that was checked: its type, version and name. None: none was."""
    next_commands: tuple[str, ...] = ()
    """What to run next, as lines for a shell: where to look, then how to go on. Empty if it is DONE. The value of
    `--protection-annotation`, which may be a secret, is left out: put it in the place of `...`."""
    reported_again: bool = False
    """True if the bounce had ended in an earlier run: this one did nothing but report that."""

    @classmethod
    def of(cls, record: BounceRecord, *, reported_again: bool = False) -> Self:
        """Summarise a finished record. Raises ValueError while it is unfinished."""
        old = record.old_pod
        return cls(
            state=record.state,
            event=record.ended_by,
            failed_in=record.failed_in,
            message=record.message,
            advice=record.advice,
            diagnosis=record.diagnosis,
            old_pod=SeenPod(name=old.name, uid=old.uid, images=old.images, host=old.host) if old else None,
            new_pod=record.new_pod,
            deletion=record.deletion,
            protection=record.protection,
            durations=record.durations,
            notices=record.notices,
            node=str(record.node) if record.node else None,
            next_commands=shell_lines(record, Given()),
            reported_again=reported_again,
        )

    @property
    def deletion_was_possible(self) -> bool:
        """Deprecated: `deletion` tells more."""
        text = "BounceResult.deletion_was_possible goes with the next version: use deletion"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return State.DELETE_POD in self.durations
