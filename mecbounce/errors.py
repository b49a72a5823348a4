"""What mecbounce raises, as a tree.

    MecBounceError
    ├── ConfigError
    ├── RecordError
    │   ├── DamagedRecord
    │   ├── UnknownSchema
    │   ├── ForeignRecord
    │   └── RecordNotSaved
    ├── Superseded
    ├── Interrupted
    ├── ImpossibleEvent
    └── ClusterError
        ├── Unreachable
        │   └── DeleteUnanswered
        ├── AccessDenied
        ├── NotFound
        ├── Conflict
        └── Refused

A bounce that fails raises nothing: its `BounceResult` has the state FAILED.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

from mecbounce.quoting import quoted

MOST_NEAR = 3  # names that an error offers
ALIKE = 0.6  # of 1, by SequenceMatcher: the limit of difflib's get_close_matches


class MecBounceError(Exception):
    """Anything that mecbounce raises on purpose."""


class ConfigError(MecBounceError):
    """The kubeconfig, or its context, can't be used."""


class RecordError(MecBounceError):
    """The saved record can't be used or saved. What is stored stays untouched."""


class DamagedRecord(RecordError):
    """What is stored is not a complete record."""


class UnknownSchema(RecordError):
    """The record has a `schema_version` that this version does not read."""


class ForeignRecord(RecordError):
    """The record belongs to another bounce: of another pod, node, incarnation or API server."""


class RecordNotSaved(RecordError):
    """The record could not be saved, so the next step was not taken."""


class Superseded(MecBounceError):
    """Another runner has saved a newer revision of this bounce, and goes on with it."""


class Interrupted(MecBounceError):
    """Asked to stop once the DELETE may have been sent. The record was saved: run again to resume."""


class ImpossibleEvent(MecBounceError):
    """A handler named an event that its state does not have: a bug in mecbounce."""


class ClusterError(MecBounceError):
    """The API server answered with an error, or not at all. `str(error)` is one line for people."""


class Unreachable(ClusterError):
    """No usable answer: connection lost, 429, 5xx, or not JSON. `retry_after`: the seconds that the server asks for."""

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeleteUnanswered(Unreachable):
    """The DELETE got no usable answer: it may have been carried out, or may still be."""


class AccessDenied(ClusterError):
    """401 (who are you?) or 403 (you may not)."""


class NotFound(ClusterError):
    """404. `served` is False where the API server does not know the resource type at all.

    `near`: which names may have been meant, as the end of a sentence; empty if none is known.
    """

    def __init__(self, message: str, *, served: bool = True, near: str = "") -> None:
        super().__init__(message)
        self.served = served
        self.near = near


class Conflict(ClusterError):
    """409: a precondition (the UID) did not hold."""


class Refused(ClusterError):
    """Any other answer that will not change: an admission webhook denies, the request is invalid."""


def one_line(error: BaseException) -> str:
    """Give an error's text, made safe by `quoted`; the name of its type where it has no text or `__str__` fails."""
    try:
        text = quoted(error)
    except (Exception, SystemExit, KeyboardInterrupt):  # noqa: BLE001 -- the class may be a user's: its `__str__` must not end the bounce
        text = ""
    return text.rstrip(".") or type(error).__name__


def did_you_mean(typed: str, known: Iterable[str]) -> str:
    """Name those of the known names that may be meant, as the end of an error. Empty: none is near.

    Near is what looks alike, and what begins with what was typed, as the pods of a Deployment do. If a name looks the
    same, it alone is meant.
    """
    alike = {name: SequenceMatcher(None, _as_seen(typed), _as_seen(name)).ratio() for name in known}
    begun = {name for name in alike if typed and name.startswith(typed.casefold())}
    near = sorted(begun | {name for name in alike if alike[name] >= ALIKE}, key=lambda name: (-alike[name], name))
    if not near:
        return ""
    *others, last = [name for name in near if alike[name] == 1] or near[:MOST_NEAR]
    return f"; did you mean {', '.join(others)}{' or ' if others else ''}{last}?"


def _as_seen(name: str) -> str:
    """Make the same of signs that are easily taken for one another."""
    return name.casefold().translate(str.maketrans("ol_", "01-"))
