"""A record that was damaged in any way is refused and left as it is, or it is one that can be gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import STARTUP_PROBE, later, pod, request
from fakes import FakeClock, FakeCluster
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mutations import ANY_JSON, EXAMPLES, TIMES, almost, as_bytes, mixed, outcome, spoilt

from mecbounce.advancing import advance, begin, cancel
from mecbounce.errors import DamagedRecord, Superseded, UnknownSchema, Unreachable
from mecbounce.machine import BEFORE_DELETION, Event, State
from mecbounce.record import BounceRecord
from mecbounce.result import BounceResult
from mecbounce.stores import FileStore, MappingStore
from mecbounce.task import BounceTask

OLD = pod(container={"startupProbe": STARTUP_PROBE})
NEW = pod(uid="uid-2", created=5, container={"startupProbe": STARTUP_PROBE})
WORLDS: dict[str, tuple[Any, ...]] = {
    "runs": (OLD,),
    "terminating": (pod(deleted=20),),
    "gone": (),
    "replaced": (NEW,),
    "late": (pod(uid="uid-2", created=5, ready=False),),
}
UNREACHABLE: tuple[Any, ...] = (OLD, OLD)  # told from the others by being this very tuple
LATER = st.sampled_from([*WORLDS.values(), UNREACHABLE])


def records() -> dict[str, BounceRecord]:
    """Take bounces step by step; gives each record that came about."""
    found: dict[str, BounceRecord] = {}
    for world, pods in WORLDS.items():
        for fault in (None, Unreachable("connection lost")):
            cluster = FakeCluster(FakeClock(), OLD)
            record = begin(request(), cluster.clock.now)
            while not record.finished:
                found[f"{world} {record.state} {bool(record.trouble)}"] = record
                if record.state is State.AWAIT_TERMINATION:
                    cluster.present = {one.uid: one for one in pods}
                if fault and not record.trouble:
                    cluster.faults = [fault]
                step = advance(record, cluster, cluster.clock.now)
                record = step.record
                cluster.clock.now += timedelta(seconds=60 if step.wait else 0)
            found[f"{world} {record.state} {record.path[-1].event}"] = record
    cluster = FakeCluster(FakeClock())
    record = advance(begin(request(pod_uid="uid-0"), later(0)), cluster, later(0)).record
    return found | {"nothing deleted": record}


def as_json(record: BounceRecord) -> Any:
    """Give a record's JSON, the same in each run."""
    document = json.loads(record.model_copy(update={"bounce_id": "b-1"}).model_dump_json())
    for values in ("down_values", "rebuilding_values", "catchup_values"):
        document["request"]["node"][values].sort()
    return document


RECORDS = [as_json(record) for record in records().values()]
DELETING, WAITING = (
    next(one for one in RECORDS if one["path"][-1]["state"] == state) for state in ("DELETE_POD", "AWAIT_READY")
)
STATES = st.sampled_from([*State, *Event, None])
DOCUMENTS = st.sampled_from(RECORDS).flatmap(
    lambda one: almost(one, ANY_JSON | STATES | TIMES) | mixed(one, RECORDS, STATES | TIMES)
)
FILES = st.one_of(
    as_bytes(DOCUMENTS),
    st.sampled_from(RECORDS).flatmap(lambda one: spoilt(json.dumps(one).encode())),
    as_bytes(ANY_JSON),
    st.binary(),
)


def test_the_examples_grow_from_records_of_every_state() -> None:
    assert {*State} == {document["path"][-1]["state"] for document in RECORDS}


def goes_on(record: BounceRecord, pods: tuple[Any, ...]) -> None:
    """Take a stored record onwards, as time passes: no exception, and no DELETE that it does not announce."""
    cluster = FakeCluster(FakeClock(), *pods)
    if pods is UNREACHABLE:
        cluster.faults = [Unreachable("connection lost")] * 100
    before = record
    cancel(record, cluster, cluster.clock.now)
    for seconds in (0.0, 0.0, 0.0, 0.0, 2.0, 700.0, 700.0, 3e6, 3e6):
        cluster.clock.now = max(cluster.clock.now, later(seconds))
        record = advance(record, cluster, cluster.clock.now).record
        assert record == BounceRecord.model_validate_json(record.model_dump_json())
    assert record.finished or (record.deadline and record.deadline > cluster.clock.now)  # or it would wait for ever
    if record.finished:
        BounceResult.of(record)
    if cluster.deleted:
        assert before.state in BEFORE_DELETION
        assert record.old_pod is not None
        states = [passage.state for passage in record.path]
        assert states[:3] == [*BEFORE_DELETION]
        pinned = before.old_pod or record.old_pod
        assert cluster.deleted == [pinned.uid]
        assert before.request.pod_uid in (None, pinned.uid)
        sent = [call for call in cluster.calls if call.startswith("delete")]
        assert sent == [f"delete {before.request.namespace}/{before.request.pod}"]


@EXAMPLES
def test_a_record_file_is_whole_and_goes_on_or_is_refused_and_stays(
    examples: int, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    path = tmp_path / "mec-0.json"
    tried = {"whole": 0, "damaged": 0, "of another version": 0}

    @example(json.dumps(DELETING | {"path": [*DELETING["path"], DELETING["path"][-1]]}).encode(), (OLD,))
    @example(json.dumps(DELETING | {"request": DELETING["request"] | {"pod_uid": "uid-0"}}).encode(), (OLD,))
    @example(json.dumps(WAITING | {"deadline": "9999-12-31T23:59:59Z"}).encode(), UNREACHABLE)
    @settings(max_examples=250 * examples)
    @given(raw=FILES, world=LATER)
    def holds(raw: bytes, world: tuple[Any, ...]) -> None:
        path.write_bytes(raw)
        store = FileStore(path)
        found = outcome(store.load, DamagedRecord, UnknownSchema)
        with pytest.raises((DamagedRecord, UnknownSchema, Superseded)):
            store.save(begin(request(), later(0)))
        if isinstance(found, BounceRecord):
            tried["whole"] += 1
            goes_on(found, world)
        else:
            tried["damaged" if isinstance(found, DamagedRecord) else "of another version"] += 1
            assert str(found).startswith(f"{path}: ")
            with pytest.raises(type(found)):
                store.set_aside()
        assert (raw, [path]) == (path.read_bytes(), [*tmp_path.iterdir()])

    holds()
    assert tried["whole"]
    assert tried["damaged"]
    figure(f"fuzz, record files: {tried}")


@EXAMPLES
def test_a_step_state_is_whole_and_goes_on_or_is_refused_and_stays(
    examples: int, figure: Callable[[str], None]
) -> None:
    tried = {"whole": 0, "refused": 0}

    @settings(max_examples=120 * examples)
    @given(data=DOCUMENTS | ANY_JSON, world=LATER)
    def holds(data: Any, world: tuple[Any, ...]) -> None:
        state = {"mecbounce": data, "another task's": [1]}
        before, flushed = repr(state), list[int]()
        store = MappingStore(state, flush=lambda: flushed.append(1))
        try:
            record = store.load()
        except (DamagedRecord, UnknownSchema):
            tried["refused"] += 1
            with pytest.raises((DamagedRecord, UnknownSchema)):
                BounceTask(request(), FakeCluster(FakeClock(), OLD), store).advance()
        else:
            tried["whole"] += 1
            if record is not None:
                goes_on(record, world)
        assert (before, []) == (repr(state), flushed)

    holds()
    assert all(tried.values())
    figure(f"fuzz, step states: {tried}")
