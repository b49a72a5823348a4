"""After a failed request: how long to wait before the next, and when to give up. Pure."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mecbounce.errors import ClusterError, DeleteUnanswered, Unreachable, one_line
from mecbounce.record import Trouble

if TYPE_CHECKING:
    from mecbounce.record import BounceRecord

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds


def add_failure(record: BounceRecord, error: ClusterError, now: datetime) -> Trouble:
    """Count one more request without a usable answer."""
    before = record.trouble or Trouble(since=now, tries=0, what="")
    tried: dict[str, Any] = {"delete_tried_at": now} if isinstance(error, DeleteUnanswered) else {}
    return before.model_copy(update={"tries": before.tries + 1, "what": one_line(error), **tried})


def give_up_at(record: BounceRecord, trouble: Trouble) -> datetime:
    """Give the end of the API timeout. It runs from the first failure or the state's deadline, whichever is later."""
    return max(trouble.since, record.deadline or trouble.since) + timedelta(seconds=record.request.timeouts.api)


def pause(record: BounceRecord, trouble: Trouble, error: ClusterError, now: datetime) -> float:
    """Give the seconds until the next request. They grow with each failure, and never reach past a deadline."""
    asked = error.retry_after if isinstance(error, Unreachable) else 0.0
    wanted = max(_backoff(record.bounce_id, trouble.tries), min(asked, LONGEST_PAUSE))
    deadline = record.deadline if record.deadline is not None and now < record.deadline else give_up_at(record, trouble)
    return min(wanted, (deadline - now).total_seconds())


def _backoff(seed: str, tries: int) -> float:
    """Double with each try. Jitter: many bounces must not ask at the same moment."""
    longest = min(FIRST_PAUSE * 2.0 ** min(tries - 1, 10), LONGEST_PAUSE)
    return longest * float(random.Random(f"{seed}/{tries}").uniform(0.5, 1.0))  # noqa: S311 -- jitter, not a secret
