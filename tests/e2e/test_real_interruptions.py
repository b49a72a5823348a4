"""A bounce that is stopped, killed or run twice at once: it ends well, and its pod gets one DELETE."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from real_cluster import till

from mecbounce import State
from mecbounce.errors import Interrupted

from .helpers import LEAVES_LATE, STARTUP_PROBE, Command, RunnersTask, starting, state_in
from .real import Audit, Site

pytestmark = [pytest.mark.e2e, pytest.mark.once]

SLOW = starting(2, LEAVES_LATE)


def slow_node(site: Site, name: str = "mec-0") -> str:
    """Make a node that takes two seconds to stop and two to start; gives its pod's UID."""
    return str(site.node(site.spec(SLOW, grace=10, startupProbe=STARTUP_PROBE), name).metadata.uid)


INTERRUPTIONS = {
    "term-awaiting-termination": (State.AWAIT_TERMINATION, signal.SIGTERM, 75),
    "term-awaiting-ready": (State.AWAIT_READY, signal.SIGTERM, 75),
    "kill-awaiting-termination": (State.AWAIT_TERMINATION, signal.SIGKILL, -signal.SIGKILL),
}


def test_the_same_command_again_ends_what_a_signal_interrupted(
    site: Site, command: Command, audit: Audit, tmp_path: Path
) -> None:
    """In each waiting state, asked to stop or killed: nothing is lost, and each pod got one DELETE."""

    def interrupted(name: str) -> None:
        state, number, status = INTERRUPTIONS[name]
        old = slow_node(site, name)
        record = tmp_path / name
        words = ("run", *site.words(name), "--state", str(record))
        process = command.start(*words)
        till(state, lambda: state_in(record) == state)
        process.send_signal(number)
        assert command.finish(process).status == status, name

        ran = command.run(*words)
        assert (ran.status, ran.result["state"], ran.notices) == (0, "DONE", {"resumed"}), name
        assert ran.result["old_pod"]["uid"] == old
        assert ran.result["new_pod"]["uid"] == site.pod(name).metadata.uid != old

    with ThreadPoolExecutor() as pool:
        list(pool.map(interrupted, INTERRUPTIONS))
    assert [len(audit.deletions(site.namespace, name)) for name in INTERRUPTIONS] == [1, 1, 1]


def test_a_second_run_that_is_told_to_takes_the_bounce_over_and_the_first_stops(
    site: Site, command: Command, audit: Audit
) -> None:
    """Exit 6 for the first; both keep the record where the command keeps it by default."""
    old = str(site.node(site.gated()).metadata.uid)  # no bounce ends before the first has stopped
    first = command.start("run", *site.words())
    till("the deletion", lambda: audit.deletions(site.namespace))
    second = command.start("run", *site.words(), "--take-over")
    assert command.finish(first).status == 6
    site.let_go("mec-0", old)
    ended = command.finish(second)
    assert (ended.status, ended.notices) == (0, {"resumed"})
    assert len(audit.deletions(site.namespace)) == 1


def test_a_runners_task_that_is_stopped_goes_on_from_its_step_state(
    site: Site, runners_task: RunnersTask, audit: Audit
) -> None:
    old = slow_node(site)

    def in_await_ready() -> bool:
        path = runners_task.step_state["mecbounce"]["path"]
        return bool(path[-1]["state"] == State.AWAIT_READY)

    runners_task.should_stop = in_await_ready
    with pytest.raises(Interrupted):
        runners_task.perform(site.request())

    result = RunnersTask(runners_task.file).perform(site.request())
    assert result.state is State.DONE
    assert result.new_pod is not None
    assert result.new_pod.uid == site.pod().metadata.uid != old
    assert len(audit.deletions(site.namespace)) == 1


def test_a_stop_before_the_deletion_cancels_the_bounce(site: Site, runners_task: RunnersTask) -> None:
    site.create_node()
    old = site.existing()
    runners_task.should_stop = lambda: True
    result = runners_task.perform(site.request())
    assert (result.state, result.event) == (State.FAILED, "cancelled")
    pod = site.pod()
    assert (pod.metadata.uid, pod.metadata.deletion_timestamp) == (old.metadata.uid, None)
