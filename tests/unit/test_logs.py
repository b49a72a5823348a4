"""Where log events go, by what the importing program has configured."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import capture_logs

from mecbounce.logs import EventLog

LOG = EventLog("mecbounce.bounce").bind(pod="mec-0")


@pytest.fixture
def text() -> Iterator[io.StringIO]:
    """Give the standard logger a handler of the program's own, at level info."""
    logger, stream = logging.getLogger("mecbounce"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def test_it_is_silent_in_a_program_that_configures_nothing_and_does_not_load_structlog() -> None:
    code = (
        "import sys; from mecbounce.task import log; log.info('bounce.saved'); log.error('bounce.callback_failed'); "
        "sys.exit('structlog' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("", "", 0)


def test_that_a_program_uses_structlog_without_configuring_it_sends_nothing_to_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert not structlog.is_configured()
    LOG.error("bounce.callback_failed")
    assert capsys.readouterr() == ("", "")


def test_the_standard_logger_gets_keys_and_values_as_text(text: io.StringIO) -> None:
    LOG.info("bounce.notice", message="50% of\nit", uid=None)
    LOG.warning("bounce.event_not_written")
    assert text.getvalue().splitlines() == [
        r"INFO mecbounce.bounce bounce.notice pod='mec-0' message='50% of\nit' uid=None",
        "WARNING mecbounce.bounce bounce.event_not_written pod='mec-0'",
    ]


def test_the_standard_logger_s_record_has_the_fields_for_a_formatter_of_json(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "mecbounce")
    LOG.info("bounce.notice", code="resumed", message="Resumed.", name="taken")
    (one,) = (vars(record) for record in caplog.records)
    assert json.loads(json.dumps([one[key] for key in ("event", "pod", "code", "message_", "name_")])) == [
        "bounce.notice",
        "mec-0",
        "resumed",
        "Resumed.",
        "taken",
    ]
    assert one["filename"] == "test_logs.py"


def test_structlog_gets_them_once_it_is_configured_even_later_than_the_logger(text: io.StringIO) -> None:
    with capture_logs() as logs:  # configures it
        LOG.error("bounce.callback_failed", error="KeyError")
    assert logs == [
        {"event": "bounce.callback_failed", "log_level": "error", "pod": "mec-0", "error": "KeyError"},
    ]
    assert text.getvalue() == ""


def test_a_log_that_fails_ends_nothing() -> None:
    def fail(*_: object) -> str:
        raise OSError("no space left")

    structlog.configure(processors=[fail])
    LOG.error("bounce.callback_failed")


def test_a_level_that_is_off_is_not_even_written_out() -> None:
    written = []

    class Field:
        def __repr__(self) -> str:
            written.append(self)
            return "field"

    LOG.info("bounce.saved", revision=Field())
    assert written == []
    LOG.warning("bounce.saved", revision=Field())  # the root logger's own level
    assert len(written) == 1
