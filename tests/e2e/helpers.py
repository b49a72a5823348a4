"""What the tests stand on: containers that start and stop quickly, the command, a runner's task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mecbounce import BounceRequest, BounceResult, BounceTask, KubernetesCluster, MappingStore

Json = dict[str, Any]

COMMAND = Path(sys.executable).with_name("mecbounce")
LONGEST_RUN = 300.0  # seconds

IDLE = "while :; do sleep 1 & wait $!; done"
LEAVES_AT_TERM = f"trap 'exit 0' TERM; {IDLE}"
LEAVES_LATE = f"trap 'sleep 2; exit 0' TERM; {IDLE}"
LEAVES_SLOWLY = f"trap 'sleep 6; exit 0' TERM; {IDLE}"  # time enough to change what would replace it
IGNORES_TERM = f"trap '' TERM; {IDLE}"
PROTECTED = f"trap 'test -f /tmp/unprotected && exit 0' TERM; {IDLE}"  # ends at TERM only once its protection is off


def starting(seconds: int, script: str = LEAVES_AT_TERM) -> str:
    """Give a script that has started, as STARTUP_PROBE sees it, after so many seconds."""
    return f"sleep {seconds} & wait $!; touch /tmp/started; {script}"


def probe(*command: str, failures: int = 60) -> Json:
    return {"exec": {"command": list(command)}, "periodSeconds": 1, "failureThreshold": failures}


STARTUP_PROBE = probe("test", "-f", "/tmp/started")
NEVER = probe("false")


@dataclass(frozen=True)
class Finished:
    """How a run of the command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def result(self) -> Json:
        """The BounceResult of `-o json`: stdout must be that one JSON object and nothing else."""
        found = json.loads(self.stdout)
        assert isinstance(found, dict)
        return found

    @property
    def notices(self) -> set[str]:
        return {notice["code"] for notice in self.result["notices"]}

    @property
    def outcome(self) -> tuple[int, str, str | None]:
        """The exit status, the event and the diagnosis's code, if there is one."""
        return self.status, self.result["event"], (self.result["diagnosis"] or {}).get("code")

    @property
    def evidence(self) -> str:
        return str(self.result["diagnosis"]["evidence"])

    @property
    def who(self) -> str:
        """Who must act, as the diagnosis names them."""
        return str(self.result["diagnosis"]["who"])

    def refused(self, event: str) -> bool:
        """Whether the bounce ended through `event` before its deletion."""
        return (self.status, self.result["state"], self.result["event"]) == (3, "FAILED", event)


@dataclass(frozen=True)
class Command:
    """The command `mecbounce`, with state folders of the test's own."""

    state_home: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *words: str) -> subprocess.Popen[str]:
        environment = os.environ | {"XDG_STATE_HOME": str(self.state_home), "NO_COLOR": "1"}
        process = subprocess.Popen(
            [COMMAND, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.started.append(process)
        return process

    def finish(self, process: subprocess.Popen[str]) -> Finished:
        try:
            stdout, stderr = process.communicate(timeout=LONGEST_RUN)
        finally:
            process.kill()
        assert "Traceback" not in stdout + stderr, stderr
        return Finished(process.returncode, stdout, stderr)

    def run(self, *words: str) -> Finished:
        return self.finish(self.start(*words))

    def run_side_by_side(self, runs: dict[str, tuple[str, ...]]) -> dict[str, Finished]:
        started = {name: self.start(*words) for name, words in runs.items()}
        return {name: self.finish(process) for name, process in started.items()}


@dataclass
class RunnersTask:
    """A task of the in-house runner, in small: its step state is a dict that the runner keeps in a file."""

    file: Path
    should_stop: Callable[[], bool] = lambda: False
    log: list[str] = field(default_factory=list)
    step_state: Json = field(init=False)

    def __post_init__(self) -> None:
        self.step_state = json.loads(self.file.read_text()) if self.file.exists() else {}

    def save(self) -> None:
        aside = self.file.with_suffix(".new")
        aside.write_text(json.dumps(self.step_state))
        aside.replace(self.file)

    def perform(self, request: BounceRequest, **options: Any) -> BounceResult:
        task = BounceTask(
            request,
            KubernetesCluster.from_kubeconfig(),
            MappingStore(lambda: self.step_state, flush=self.save),
            notify=lambda notice: self.log.append(notice.message),
            stop=self.should_stop,
            **options,
        )
        return task.perform()


def state_in(file: Path) -> str | None:
    """Tell the state of the record that the command keeps in `file`."""
    return str(json.loads(file.read_text())["path"][-1]["state"]) if file.exists() else None
