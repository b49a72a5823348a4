"""`mecbounce demo`: bounce the node of one scenario. The only file here that imports the command."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mecbounce.advancing import begin
from mecbounce.cli.bouncing import bounce
from mecbounce.cli.exits import ExitStatus, UsageProblem
from mecbounce.cli.options import BounceOptions, Output
from mecbounce.cli.terminal import BounceInTerminal
from mecbounce.machine import WAITING
from mecbounce.next_commands import next_commands
from mecbounce.request import NodeRef
from mecbounce.sandbox import Sandbox
from mecbounce.sandbox.scenarios import SCENARIOS
from mecbounce.stores import FileStore


def show(scenario: str, output: Output) -> int:
    """Bounce the scenario's node and return the exit status of `run`; ``list`` prints the scenarios."""
    if scenario == "list":
        for one in SCENARIOS.values():
            print(f"{one.name:18} {one.summary}")
        return ExitStatus.DONE
    if scenario not in SCENARIOS:
        raise UsageProblem(f"--scenario: there is no scenario {scenario!r}; choose one of {', '.join(SCENARIOS)}")
    shown = SCENARIOS[scenario]
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as folder:
        shown.set_up(sandbox)
        options = BounceOptions(
            pod="mec-0",
            kubeconfig=sandbox.kubeconfig,
            node=NodeRef(group="express.example.com", version="v1", plural="expressnodes", name="mec-0"),
            protection_annotation="express.example.com/shutdown-protection=disabled",
            termination_timeout=shown.timeout,
            ready_timeout=shown.timeout,
            state=Path(folder) / "mec-0.json",
            output=output,
        )
        asked, given = options.asked(), options.given()
        terminal = BounceInTerminal(asked.request, asked.cluster.context, replace(given, state=""), output)
        if shown.killed:
            [(_, words)] = next_commands(begin(asked.request, datetime.now(UTC)), replace(given, recorded=False))
            _kill_while_waiting([*words[1:], "-o", output.value], asked.store)
            terminal.say("Killed by SIGKILL. The same command again:")
        status = bounce(terminal, asked)
    if status and output is Output.TEXT:
        again = f"python -m mecbounce.sandbox --scenario {scenario}"
        print("The embedded cluster has stopped, and its records are gone. To try these")
        print("commands, start it again and use the kubeconfig that it prints:")
        print(f"  {again}")
    return status


def _kill_while_waiting(words: list[str], store: FileStore) -> None:
    """Run the command in a process of its own, and kill it one second after it began to wait.

    By then it has printed its state, and not yet what it waits for.
    """
    with subprocess.Popen([sys.executable, "-m", "mecbounce", *words]) as process:  # noqa: S603 -- ourselves
        while process.poll() is None:
            time.sleep(0.1)
            record, a_second_ago = store.load(), datetime.now(UTC) - timedelta(seconds=1)
            if record is not None and record.state in WAITING and record.entered_at <= a_second_ago:
                process.kill()
