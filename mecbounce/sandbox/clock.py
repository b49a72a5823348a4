"""The cluster's clock, and how Kubernetes and HTTP write times."""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime
from typing import Final

FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
"""How Kubernetes writes a time: in UTC, in whole seconds."""


class Clock:
    """The machine's clock plus ``skew`` seconds. All sandboxes of a process share one."""

    skew = 0.0

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.skew)


CLOCK: Final = Clock()


def timestamp(seconds_ahead: float = 0) -> str:
    """Return the cluster's time now, or some seconds ahead, as Kubernetes writes it."""
    return (CLOCK.now() + dt.timedelta(seconds=seconds_ahead)).strftime(FORMAT)


def http_date() -> str:
    """Return the cluster's time now as HTTP's ``Date`` header has it."""
    return format_datetime(CLOCK.now(), usegmt=True)
