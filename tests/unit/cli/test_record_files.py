"""The records of the default folder: their order, and which of them are removed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import NOW, later, request

from mecbounce.cli.record_files import KEPT, MOST_KEPT, Found, default_record, newest_first, outlived, prune, recorded
from mecbounce.machine import Event
from mecbounce.record import BounceRecord
from mecbounce.stores import FileStore

from .bounces import failed, record

CLUSTER: Any = SimpleNamespace(context="prod/eu", server="https://a")
ENDED = failed(Event.NODE_DOWN)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "mecbounce"


def aged(path: Path, age: timedelta) -> Path:
    os.utime(path, times=((NOW - age).timestamp(),) * 2)
    return path


def saved(of: BounceRecord, *, age: timedelta = timedelta(), aside: bool = False) -> Path:
    """Write a record to its default place, last saved so long before NOW."""
    path = default_record(CLUSTER, of.request.namespace, of.request.pod)
    path = FileStore(path).aside.path if aside else path
    path.parent.mkdir(exist_ok=True)
    path.write_text(of.model_dump_json())
    return aged(path, age)


def begun(bounce_id: str, seconds: float, **of: str) -> BounceRecord:
    first = record(request=request(**of))
    path = (first.path[0].model_copy(update={"at": later(seconds)}),)
    return first.model_copy(update={"bounce_id": bounce_id, "path": path})


class TestRecorded:
    def test_the_newest_come_first_and_what_cannot_be_read_last(self) -> None:
        read = [Found(Path(name), begun(name, at)) for name, at in (("a", 1), ("b", 2))]
        assert [one.path.name for one in newest_first([Found(Path("x"), fault="x"), *read])] == ["b", "a", "x"]

    def test_a_bounce_that_is_seen_twice_counts_once(self) -> None:
        """It may be set aside between two looks."""
        found = [Found(Path(name), begun("b-1", 1)) for name in ("r.json", "r.json.last")]
        assert [one.path.name for one in newest_first(found)] == ["r.json"]

    def test_they_are_those_of_this_cluster_and_namespace_those_set_aside_too(self) -> None:
        saved(begun("b-1", 1))
        saved(begun("b-0", 0), aside=True)
        saved(begun("b-2", 2, namespace="default-2"))
        other: Any = SimpleNamespace(context="prod/eu", server="https://b")

        def ids(cluster: Any, namespace: str | None) -> list[str]:
            return [one.record.bounce_id for one in recorded(cluster, namespace) if one.record]

        assert ids(CLUSTER, "default") == ["b-1", "b-0"]
        assert ids(CLUSTER, None) == ["b-2", "b-1", "b-0"]
        assert ids(other, None) == []

    def test_a_damaged_one_is_told_and_hides_no_other(self) -> None:
        saved(begun("b-1", 1))
        saved(begun("b-2", 2, pod="mec-1")).write_text("{")
        read, damaged = recorded(CLUSTER, "default")
        assert (read.record is not None, damaged.record) == (True, None)
        assert "mec-1.json: not a complete record" in damaged.fault

    def test_a_runner_that_is_alive_is_told(self) -> None:
        store = FileStore(default_record(CLUSTER, "default", "mec-0"))
        with store.hold():
            store.save(record())
            assert [one.alive for one in recorded(CLUSTER, "default")] == [True]
        assert [one.alive for one in recorded(CLUSTER, "default")] == [False]


class TestPruning:
    def test_what_is_too_old_goes_and_what_is_not_stays(self) -> None:
        ages = {"young": timedelta(0), "month": KEPT, "older": KEPT + timedelta(seconds=1)}
        assert outlived({Path(name): NOW - age for name, age in ages.items()}, NOW) == [Path("older")]

    def test_beyond_two_hundred_the_oldest_go(self) -> None:
        files = {Path(str(number)): NOW - timedelta(minutes=number) for number in range(MOST_KEPT + 2)}
        assert outlived(files, NOW) == [Path("200"), Path("201")]

    def test_ended_records_of_ours_are_removed_those_set_aside_too(self, folder: Path) -> None:
        for aside in (False, True):
            saved(ENDED, age=KEPT * 2, aside=aside)
        prune(NOW)
        assert [*folder.iterdir()] == []

    @pytest.mark.parametrize(
        "made",
        [
            lambda _: saved(record(), age=KEPT * 2),
            lambda _: saved(failed(Event.NODE_DOWN, untold=True), age=KEPT * 2),
            lambda _: saved(ENDED, age=KEPT / 2),
            lambda folder: saved(ENDED, age=KEPT * 2).rename(folder / "mine.json"),
        ],
        ids=["unfinished", "untold", "young", "of_another_name"],
    )
    def test_nothing_else_is(self, folder: Path, made: Callable[[Path], Path]) -> None:
        path = made(folder)
        prune(NOW)
        assert path.exists()

    @pytest.mark.parametrize(("event", "stays"), [(Event.READY_TIMEOUT, True), (Event.NODE_DOWN, False)])
    def test_by_number_none_goes_after_which_a_replacement_may_come(self, event: Event, *, stays: bool) -> None:
        """The next run would take the late replacement for the pod to bounce."""
        oldest = saved(failed(event, request=request(namespace="late")), age=timedelta(hours=1))
        others = [saved(failed(Event.NODE_DOWN, request=request(namespace=f"n-{n}"))) for n in range(MOST_KEPT)]
        prune(NOW)
        assert (oldest.exists(), all(path.exists() for path in others)) == (stays, True)
        if stays:
            aged(oldest, KEPT * 2)
        prune(NOW)
        assert not oldest.exists()

    def test_it_does_not_wait_for_a_folder_that_another_runner_has_locked(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ended, slept = saved(ENDED, age=KEPT * 2), list[float]()
        monkeypatch.setattr("time.sleep", slept.append)
        locked = os.open(folder, os.O_RDONLY)
        fcntl.flock(locked, fcntl.LOCK_EX)
        prune(NOW)
        os.close(locked)
        assert (ended.exists(), slept) == (True, [])

    def test_a_signal_meanwhile_does_not_change_how_the_run_ended(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        saved(ENDED, age=KEPT * 2)
        monkeypatch.setattr(FileStore, "remove_told", interrupted)
        prune(NOW)

    def test_one_that_cannot_be_read_stays_and_keeps_no_other(self) -> None:
        damaged, ended = saved(record(request=request(pod="mec-1"))), saved(ENDED, age=KEPT * 3)
        damaged.write_text("{")
        aged(damaged, KEPT * 2)
        prune(NOW)
        assert (damaged.exists(), ended.exists()) == (True, False)

    def test_without_a_folder_it_does_nothing(self, folder: Path) -> None:
        prune(NOW)
        assert not folder.exists()
