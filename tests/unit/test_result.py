"""How a bounce ended, as its runner gets it."""

from __future__ import annotations

import json
import pickle

import pytest
from builders import NODE, NOW

from mecbounce.machine import Event, State
from mecbounce.record import Deletion, Protection, SeenPod, StateEntry
from mecbounce.result import BounceResult

from .test_record import BOUNCED, WHOLE, passages, record


def test_sums_a_finished_record_up() -> None:
    expected = BounceResult(
        state=State.DONE,
        event=Event.POD_STARTED,
        failed_in=None,
        message="Pod mec-0 was bounced.",
        advice="Nothing to do.",
        diagnosis=WHOLE.diagnosis,
        old_pod=SeenPod(name="mec-0", uid="uid-1", images={"app": "app:1"}, host="host-1"),
        new_pod=SeenPod(name="mec-0", uid="uid-2", images={"app": "app:2"}),
        deletion=Deletion.OURS,
        protection=Protection.DISABLED,
        durations={
            State.INIT_CHECKS: 0.5,
            State.DISABLE_PROTECTION: 0.5,
            State.DELETE_POD: 0.25,
            State.AWAIT_TERMINATION: 29.75,
            State.AWAIT_READY: 60.0,
        },
        notices=WHOLE.notices,
        node=str(NODE),
    )
    assert expected == BounceResult.of(WHOLE)
    assert [*expected.durations] == [*BounceResult.of(WHOLE).durations]


def test_of_a_bounce_that_never_saw_a_pod_has_none() -> None:
    result = BounceResult.of(record(path=passages((State.FAILED, Event.POD_MISSING, 1))))
    assert (State.FAILED, Event.POD_MISSING, None, None) == (
        result.state,
        result.event,
        result.old_pod,
        result.new_pod,
    )


@pytest.mark.parametrize("path", [BOUNCED[:1], BOUNCED[:4], (StateEntry(state=State.DONE, at=NOW),)])
def test_there_is_none_before_the_end(path: tuple[StateEntry, ...]) -> None:
    with pytest.raises(ValueError, match=f"the bounce is still in {path[-1].state}"):
        BounceResult.of(record(path=path))


def test_the_name_that_0_2_0_had_for_it_still_works() -> None:
    with pytest.warns(DeprecationWarning, match="use deletion"):
        assert BounceResult.of(WHOLE).deletion_was_possible


def test_reads_as_json() -> None:
    result = BounceResult.of(WHOLE)
    fields = ["state", "event", "failed_in", "message", "advice", "diagnosis", "old_pod", "new_pod", "deletion"]
    fields += ["protection", "durations", "notices", "node", "next_commands", "reported_again"]
    assert fields == [*json.loads(result.model_dump_json())]
    assert result == BounceResult.model_validate_json(result.model_dump_json())


def test_a_result_that_an_older_version_wrote_is_read() -> None:
    """A runner keeps results."""
    result = BounceResult.of(WHOLE)
    written = result.model_dump(mode="json", exclude={"node", "next_commands", "reported_again"})
    read = BounceResult.model_validate_json(json.dumps(written))
    assert read == result.model_copy(update={"node": None})


def test_a_result_goes_from_one_process_to_another() -> None:
    result = BounceResult.of(WHOLE)
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301 -- our own


def test_has_the_commands_of_the_failure_page_as_lines_for_a_shell() -> None:
    ended = record(path=passages((State.FAILED, Event.NODE_DOWN, 1)))
    node = "expressnodes.v1.express.example.com/mec-0"
    assert BounceResult.of(ended).next_commands == (f"kubectl get {node} -n default -o yaml",)
    assert BounceResult.of(WHOLE).next_commands == ()
