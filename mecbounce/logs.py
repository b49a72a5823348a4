"""Where log events go: to structlog if this program has configured it, else to the standard logger `mecbounce`.

That logger is silent until the program gives it, or the root logger, a handler. Nothing is written to standard output.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

logging.getLogger("mecbounce").addHandler(logging.NullHandler())  # else Python prints warnings to standard error

# A LogRecord has these names itself and refuses them as a field.
_TAKEN = {*vars(logging.makeLogRecord({})), "message", "asctime"}


@dataclass(frozen=True)
class EventLog:
    """A logger of events with fields. Where they go is decided for each: a program may configure its logging late."""

    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def bind(self, **fields: Any) -> EventLog:
        """Give one whose events have these fields too."""
        return replace(self, fields={**self.fields, **fields})

    def info(self, event: str, **fields: Any) -> None:
        self._log("info", event, {**self.fields, **fields})

    def warning(self, event: str, **fields: Any) -> None:
        self._log("warning", event, {**self.fields, **fields})

    def error(self, event: str, **fields: Any) -> None:
        self._log("error", event, {**self.fields, **fields})

    def _log(self, level: str, event: str, fields: dict[str, Any]) -> None:
        with suppress(Exception):  # a log that can't be written must not end a bounce
            structlog: Any = sys.modules.get("structlog")  # who has configured it has imported it; we need not
            if structlog is not None and structlog.is_configured():
                getattr(structlog.get_logger(self.name), level)(event, **fields)
                return
            logger, number = logging.getLogger(self.name), getattr(logging, level.upper())
            if logger.isEnabledFor(number):
                text = " ".join([event, *(f"{key}={value!r}" for key, value in fields.items())])
                extra = {f"{key}_" if key in _TAKEN else key: value for key, value in fields.items()}
                logger.log(number, text, extra={"event": event, **extra}, stacklevel=3)
