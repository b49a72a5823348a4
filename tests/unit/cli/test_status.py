"""The list of the recorded bounces."""

from __future__ import annotations

import io
from pathlib import Path

from builders import later, request
from rich.console import Console

from mecbounce.cli.record_files import Found
from mecbounce.cli.status import table
from mecbounce.machine import Event

from .bounces import DONE, NEW, PATH, RUNNER, failed, record


def test_each_bounce_has_a_row_with_its_state_its_times_and_its_runner() -> None:
    found = [
        Found(Path("a"), record(*PATH, runner=RUNNER), alive=True),
        Found(Path("b"), record(*PATH, runner=RUNNER, request=request(namespace="mec")), alive=False),
        Found(Path("c"), failed(Event.READY_TIMEOUT, "crash_loop", runner=RUNNER)),
        Found(Path("d"), record(*PATH, DONE, new_pod=NEW, runner=RUNNER)),
        Found(Path("e"), record(*PATH)),
        Found(Path("f"), fault="f: not a complete record"),
    ]
    console = Console(width=120, file=io.StringIO())
    with console.capture() as printed:
        console.print(table(found, later(7300)))
    assert [line.rstrip() for line in printed.get().splitlines()] == [
        "POD     NAMESPACE   STATE                               BEGUN     TOOK   RUNNER",
        "mec-0   default     AWAIT_READY                         2 h ago   -      ci@build-7, process 4711",
        "mec-0   mec         AWAIT_READY                         2 h ago   -      ci@build-7, process 4711 (gone)",
        "mec-0   default     FAILED: ready_timeout, crash_loop   2 h ago   99 s   -",
        "mec-0   default     DONE                                2 h ago   91 s   -",
        "mec-0   default     AWAIT_READY                         2 h ago   -      ? (gone)",
    ]
