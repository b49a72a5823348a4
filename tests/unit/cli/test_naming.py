"""Which pod is meant by a name that is new with each incarnation."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import pod, request
from fakes import FakeClock, FakeCluster

from mecbounce.cli.naming import bounced_before
from mecbounce.errors import Unreachable
from mecbounce.machine import Event
from mecbounce.record import BounceRecord, PinnedPod
from mecbounce.stores import FileStore

from .bounces import PATH, failed, record

GENERATED = {"metadata": {"generateName": "mec-7d9f-"}}
OLD, PEER = (pod(f"mec-7d9f-{name}", f"uid-{name}", **GENERATED) for name in "ab")
LATE = pod("mec-7d9f-c", "uid-c", created=40, ready=False, **GENERATED)
PINNED = PinnedPod.of(OLD, [PEER])
FIELDS = {"request": request(pod=OLD.name), "old_pod": PINNED}
GAVE_UP = failed(Event.READY_TIMEOUT, "startup_probe").model_copy(update=FIELDS)
WAITS = record(*PATH).model_copy(update=FIELDS)
CHECKS = record(*PATH[:1]).model_copy(update=FIELDS)
DELETES = record(*PATH[:2]).model_copy(update=FIELDS)


class Recorded:
    """A cluster, and one bounce on record."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "r.json"
        self.cluster = FakeCluster(FakeClock(), PEER, LATE)

    def meant(self, found: BounceRecord, name: str = LATE.name, *, again: bool = False) -> str:
        FileStore(self.path).path.unlink(missing_ok=True)
        FileStore(self.path).save(found.model_copy(update={"revision": 1}))
        return bounced_before(name, self.cluster, "default", [self.path], again=again)


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    return Recorded(tmp_path)


@pytest.mark.parametrize("waits", [DELETES, WAITS, GAVE_UP], ids=["killed_at_its_delete", "goes_on", "ended"])
def test_a_replacement_that_a_bounce_waits_for_is_not_bounced_itself(recorded: Recorded, waits: BounceRecord) -> None:
    assert recorded.meant(waits) == OLD.name
    assert recorded.cluster.calls == ["pods default/*"]


def test_again_begins_a_new_bounce_only_once_the_other_has_ended(recorded: Recorded) -> None:
    assert recorded.meant(GAVE_UP, again=True) == LATE.name
    assert recorded.meant(WAITS, again=True) == OLD.name


@pytest.mark.parametrize("name", [PEER.name, "mec-7d9f-z"])
def test_another_pod_of_its_controller_is_bounced_itself(recorded: Recorded, name: str) -> None:
    assert recorded.meant(GAVE_UP, name) == name


def test_a_replacement_that_is_back_is_bounced_anew(recorded: Recorded) -> None:
    recorded.cluster.add(pod(LATE.name, LATE.uid, created=40, **GENERATED))
    assert recorded.meant(GAVE_UP) == LATE.name


def test_while_the_old_pod_runs_a_new_one_replaces_nothing(recorded: Recorded) -> None:
    """Else a run would delete the old pod, which nobody named."""
    recorded.cluster.add(OLD)
    assert recorded.meant(WAITS) == LATE.name


def test_nothing_is_asked_where_no_bounce_waits(recorded: Recorded) -> None:
    assert recorded.meant(CHECKS) == LATE.name
    assert recorded.meant(GAVE_UP, OLD.name) == OLD.name
    recorded.path.write_text("{")
    assert bounced_before(LATE.name, recorded.cluster, "default", [recorded.path], again=False) == LATE.name
    assert recorded.cluster.calls == []


def test_without_an_answer_the_bounce_itself_tells(recorded: Recorded) -> None:
    recorded.cluster.faults = [Unreachable("no route")]
    assert recorded.meant(GAVE_UP) == LATE.name
