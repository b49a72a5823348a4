"""Where the record lives: compared and swapped, durable, and never repaired on a guess."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import signal
import stat
import subprocess
import sys
import threading
from collections import UserDict
from collections.abc import Callable, Iterator
from datetime import timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import NOW, Mute, later, pod, request
from pytest_mock import MockerFixture

from mecbounce.errors import DamagedRecord, RecordError, RecordNotSaved, Superseded, UnknownSchema
from mecbounce.machine import Event, State
from mecbounce.record import BounceRecord, PinnedPod, Runner, StateEntry
from mecbounce.stores import FileStore, MappingStore, Store

FIRST = BounceRecord(
    bounce_id="b-1", revision=1, request=request(), path=(StateEntry(state=State.INIT_CHECKS, at=NOW),)
)
SECOND = FIRST.changed(old_pod=PinnedPod.of(pod(), [pod()]))
THIRD = SECOND.changed(message="third")
FINISHED = FIRST.changed(path=(*FIRST.path, StateEntry(state=State.FAILED, at=later(1), event=Event.NODE_DOWN)))
NEW = FIRST.model_copy(update={"bounce_id": "b-2"})
JSON = FIRST.model_dump(mode="json")

OTHER_VERSIONS = {"higher": 4, "much_higher": 2**40, "lower": 0}
NO_VERSIONS: dict[str, object] = {
    "text": "2",
    "text_of_ours": "1",
    "null": None,
    "true": True,
    "false": False,
    "list": [1],
}
NO_VERSIONS |= {"fraction": 1.5}


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in JSON.items() if name != field}


DAMAGED: list[tuple[str, object, str]] = [
    ("a_list", [1], "it is not a JSON object"),
    ("text", "record", "it is not a JSON object"),
    ("a_number", 1, "it is not a JSON object"),
    ("false", False, "it is not a JSON object"),
    ("empty", {"schema_version": 1}, "field bounce_id: Field required"),
    ("missing_field", without("request"), "field request: Field required"),
    ("unknown_field", JSON | {"typo": 1}, "field typo: Extra inputs are not permitted"),
    ("revision_of_text", JSON | {"revision": "first"}, "field revision: Input should be a valid integer"),
    ("revision_0", JSON | {"revision": 0}, "field revision: Input should be greater than or equal to 1"),
    ("no_path", JSON | {"path": []}, "field path: Tuple should have at least 1 item"),
    ("unknown_state", JSON | {"path": [{"state": "NAPPING", "at": "2026-01-01T12:00:00Z"}]}, "field path.0.state: "),
    ("bad_name", JSON | {"request": JSON["request"] | {"pod": "Mec-0"}}, "field request.pod: "),
    ("no_version", without("schema_version"), "field schema_version is not a whole number"),
    *(
        (f"version_{how}", JSON | {"schema_version": it}, "field schema_version is not a whole number")
        for how, it in NO_VERSIONS.items()
    ),
]

ACTS: dict[str, Callable[[FileStore], object]] = {
    "load": FileStore.load,
    "save": lambda store: store.save(FIRST),
    "set_aside": FileStore.set_aside,
    "clear": FileStore.clear,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the record's place, in a folder that there is."""
    return tmp_path / "mec-0.json"


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Let the process make files that everybody may write, unless it says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


def kept(store: str, path: Path) -> Store:
    """Give a store of that kind that keeps what it is given."""
    return FileStore(path) if store == "file" else MappingStore({}, flush=lambda: None)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def steps(mocker: MockerFixture) -> list[str]:
    """Note each flush and each rename."""
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def fsynced(descriptor: int) -> None:
        status = os.fstat(descriptor)
        done.append("fsync folder" if stat.S_ISDIR(status.st_mode) else f"fsync file of {status.st_size} bytes")
        fsync(descriptor)

    def renamed(source: Path, target: Path) -> Path:
        done.append(f"rename to {target.name}")
        return replace(source, target)

    mocker.patch("os.fsync", side_effect=fsynced)
    mocker.patch.object(Path, "replace", autospec=True, side_effect=renamed)
    return done


@pytest.mark.parametrize("kind", ["file", "mapping"])
class TestEveryStore:
    def test_holds_nothing_at_first(self, kind: str, path: Path) -> None:
        assert None is kept(kind, path).load()

    @pytest.mark.parametrize("record", [FIRST, NEW])
    def test_gives_back_what_it_was_given(self, kind: str, path: Path, record: BounceRecord) -> None:
        store = kept(kind, path)
        store.save(record)
        assert record == store.load()

    def test_takes_one_revision_after_the_other(self, kind: str, path: Path) -> None:
        store = kept(kind, path)
        for record in (FIRST, SECOND, THIRD):
            store.save(record)
        assert THIRD == store.load()

    @pytest.mark.parametrize(
        ("stored", "late"),
        [
            ((FIRST,), FIRST),
            ((FIRST,), NEW),
            ((FIRST, SECOND), SECOND.changed(message="another runner's third").model_copy(update={"revision": 2})),
            ((FIRST, SECOND), FIRST),
            ((FIRST, SECOND, THIRD), SECOND),
            ((FIRST,), THIRD),
            ((FIRST, FINISHED), NEW),
            ((NEW,), SECOND),
        ],
        ids=[
            "the_same_beginning",
            "a_new_bounce_over_a_stored_one",
            "the_same_revision",
            "the_beginning_over_a_later_one",
            "an_older_revision",
            "a_revision_left_out",
            "a_new_bounce_over_a_finished_one",
            "the_next_revision_of_another_bounce",
        ],
    )
    def test_refuses_all_but_the_next_revision_and_keeps_what_it_has(
        self, kind: str, path: Path, stored: tuple[BounceRecord, ...], late: BounceRecord
    ) -> None:
        store = kept(kind, path)
        for record in stored:
            store.save(record)
        with pytest.raises(Superseded) as caught:
            store.save(late)
        expected = "Another runner has taken over the bounce of mec-0; it goes on there, this one stops."
        assert expected == str(caught.value)
        assert stored[-1] == store.load()

    def test_lets_a_bounce_that_waits_on_take_the_place_of_the_ended_one_and_of_no_other(
        self, kind: str, path: Path
    ) -> None:
        """In one save: a run that is killed in between finds either of them, and never nothing."""
        store, waiting = kept(kind, path), NEW.model_copy(update={"waits_on": "b-1"})
        store.save(FIRST)
        with pytest.raises(Superseded):
            store.save(waiting)  # it has not ended
        store.save(FINISHED)
        with pytest.raises(Superseded):
            store.save(waiting.model_copy(update={"waits_on": "b-0"}))
        store.save(waiting)
        assert waiting == store.load()
        with pytest.raises(Superseded):
            store.save(waiting.model_copy(update={"bounce_id": "b-3"}))

    def test_a_record_that_has_vanished_is_not_written_anew_and_not_taken_for_another_runners(
        self, kind: str, path: Path
    ) -> None:
        store = kept(kind, path)
        with pytest.raises(RecordNotSaved, match=r"^The record of the bounce of mec-0 is no longer there: .* uid-1\)"):
            store.save(SECOND)
        assert None is store.load()

    def test_forgets_a_bounce_that_has_ended(self, kind: str, path: Path) -> None:
        store = kept(kind, path)
        for one in (FIRST, FINISHED):
            store.save(one)
        store.clear()
        assert store.load() is None
        store.clear()  # there is nothing to forget
        store.save(NEW)
        assert store.load() == NEW

    def test_does_not_forget_a_bounce_that_has_not_ended(self, kind: str, path: Path) -> None:
        store = kept(kind, path)
        store.save(FIRST)
        with pytest.raises(RecordError, match=r": the bounce of mec-0 has not ended, it is in INIT_CHECKS: .*resume"):
            store.clear()
        assert store.load() == FIRST

    def test_a_runner_that_goes_on_with_a_forgotten_bounce_saves_nothing(self, kind: str, path: Path) -> None:
        store = kept(kind, path)
        for one in (FIRST, FINISHED):
            store.save(one)
        store.clear()
        with pytest.raises(RecordNotSaved, match="no longer there"):
            store.save(FINISHED.changed(untold=True))
        assert store.load() is None


def test_who_took_a_bounce_over_is_named(path: Path) -> None:
    FileStore(path).save(FIRST)
    runner = Runner(who="ci@build-7", process=4711, saved_at=NOW)
    FileStore(path).save(SECOND.model_copy(update={"runner": runner}))
    with pytest.raises(Superseded) as caught:
        FileStore(path).save(SECOND)
    expected = "Another runner (ci@build-7, process 4711) has taken over the bounce of mec-0; it goes on there, this"
    assert f"{expected} one stops." == str(caught.value)


class TestMappingStore:
    @staticmethod
    def fail() -> None:
        raise OSError("postgres://me:hunter2@db is away")

    def test_flushes_what_it_has_put_in_as_plain_data_under_one_key(self) -> None:
        mapping: dict[str, Any] = {"theirs": 1}
        flushed: list[str] = []
        MappingStore(mapping, lambda: flushed.append(json.dumps(mapping))).save(FIRST)
        assert [{"theirs": 1, "mecbounce": JSON}] == [json.loads(one) for one in flushed]

    def test_keeps_two_bounces_under_two_keys(self) -> None:
        mapping: dict[str, Any] = {}
        one, two = (MappingStore(mapping, lambda: None, key=key) for key in ("one", "two"))
        one.save(FIRST)
        two.save(NEW)
        assert (FIRST, NEW) == (one.load(), two.load())
        assert ["one", "two"] == [*mapping]

    def test_another_store_on_the_same_mapping_goes_on(self) -> None:
        mapping: dict[str, Any] = {}
        MappingStore(mapping, lambda: None).save(FIRST)
        MappingStore(mapping, lambda: None).save(SECOND)
        assert SECOND == MappingStore(json.loads(json.dumps(mapping)), lambda: None).load()

    def test_any_mapping_will_do(self) -> None:
        mapping: UserDict[str, Any] = UserDict()
        MappingStore(mapping, lambda: None).save(FIRST)
        assert FIRST == MappingStore(mapping, lambda: None).load()

    @pytest.mark.parametrize("method", ["__getitem__", "__setitem__"])
    def test_a_mapping_that_raises_is_a_fault_of_the_record(self, method: str, mocker: MockerFixture) -> None:
        class Backed(UserDict[str, Any]):
            """A mapping that is kept elsewhere."""

        mapping = Backed({"mecbounce": JSON})
        mocker.patch.object(Backed, method, side_effect=OSError("postgres://me:hunter2@db is away"))
        with pytest.raises(RecordError, match=r"^step state 'mecbounce': .*postgres://\*\*\*@db is away"):
            MappingStore(mapping, lambda: None).save(SECOND)

    def test_refuses_what_is_nested_too_deep(self) -> None:
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        with pytest.raises(DamagedRecord, match="it is not JSON data"):
            MappingStore({"mecbounce": JSON | {"message": deep}}, lambda: None).load()
        while deep:  # or taking it apart, too, goes that deep
            deep = deep.pop()

    def test_is_named_by_its_key(self) -> None:
        assert "step state 'mecbounce'" == str(MappingStore({}, lambda: None))

    def test_does_not_flush_what_it_refuses(self) -> None:
        flushed: list[None] = []
        mapping: dict[str, Any] = {"mecbounce": JSON}
        with pytest.raises(Superseded):
            MappingStore(mapping, lambda: flushed.append(None)).save(NEW)
        assert [] == flushed

    @pytest.mark.parametrize(
        ("before", "record"),
        [({"theirs": 1}, FIRST), ({"theirs": 1, "mecbounce": JSON}, SECOND)],
        ids=["first", "next"],
    )
    def test_a_flush_that_raises_puts_the_mapping_back_and_says_so(
        self, before: dict[str, Any], record: BounceRecord
    ) -> None:
        mapping = json.loads(json.dumps(before))
        with pytest.raises(RecordNotSaved) as caught:
            MappingStore(mapping, self.fail).save(record)
        assert "step state 'mecbounce': the step state could not be saved: postgres://***@db is away" == str(
            caught.value
        )
        assert isinstance(caught.value.__cause__, OSError)
        assert before == mapping

    def test_to_forget_is_flushed_and_leaves_what_is_not_ours(self) -> None:
        mapping: dict[str, Any] = {"theirs": 1, "mecbounce": FINISHED.model_dump(mode="json")}
        flushed: list[str] = []
        MappingStore(mapping, lambda: flushed.append(json.dumps(mapping))).clear()
        assert flushed == ['{"theirs": 1}']

    def test_if_its_flush_raises_nothing_is_forgotten(self) -> None:
        mapping: dict[str, Any] = {"mecbounce": FINISHED.model_dump(mode="json")}
        with pytest.raises(RecordNotSaved, match="is away"):
            MappingStore(mapping, self.fail).clear()
        assert MappingStore(mapping, lambda: None).load() == FINISHED

    def test_a_flush_after_which_the_record_is_still_there_has_forgotten_nothing(self) -> None:
        kept = FINISHED.model_dump(mode="json")
        mapping: dict[str, Any] = {"mecbounce": kept}
        with pytest.raises(RecordNotSaved, match=r"after flush\(\) the step state still has the record\. If flush"):
            MappingStore(mapping, lambda: mapping.update(mecbounce=kept)).clear()

    def test_a_damaged_record_is_not_forgotten(self) -> None:
        mapping: dict[str, Any] = {"mecbounce": {"schema_version": 1}}
        with pytest.raises(DamagedRecord):
            MappingStore(mapping, lambda: None).clear()
        assert mapping == {"mecbounce": {"schema_version": 1}}

    def test_a_step_state_that_fails_without_a_word_is_told_by_the_errors_type(self) -> None:
        def mute() -> None:
            raise Mute("s3cret")

        with pytest.raises(RecordNotSaved, match=r"^step state 'mecbounce': the step state could not be saved: Mute$"):
            MappingStore({}, mute).save(FIRST)
        with pytest.raises(RecordError, match=r"^step state 'mecbounce': the step state can't be read: Mute\. It was"):
            MappingStore(mute, lambda: None).load()  # type: ignore[arg-type]

    def test_a_record_that_fails_as_it_is_read_is_a_fault_of_the_record(self) -> None:
        class Backed(UserDict[str, Any]):
            """A record whose fields are fetched as they are asked for."""

            def __getitem__(self, _: str) -> Any:
                raise OSError("the database is away")

        with pytest.raises(RecordError, match=r"the step state can't be read: the database is away\. It was left"):
            MappingStore({"mecbounce": Backed(JSON)}, lambda: None).load()

    def test_a_record_that_could_not_be_read_to_be_put_back_is_left_alone(self) -> None:
        """A database was away for a moment: without its record the bounce would begin anew, and delete twice."""

        class Backed(UserDict[str, Any]):
            def items(self) -> Any:
                raise OSError("the database is away")

        mapping = Backed({"mecbounce": JSON})
        with pytest.raises(RecordNotSaved, match="the database is away"):
            MappingStore(mapping, lambda: None).save(SECOND)
        assert JSON == mapping.get("mecbounce")

    def test_after_a_flush_that_raised_the_same_save_may_succeed(self) -> None:
        mapping: dict[str, Any] = {}
        with pytest.raises(RecordNotSaved):
            MappingStore(mapping, self.fail).save(FIRST)
        MappingStore(mapping, lambda: None).save(FIRST)
        assert JSON == mapping["mecbounce"]

    def test_a_flush_that_raises_puts_back_none_too(self) -> None:
        mapping: dict[str, Any] = {"mecbounce": None}
        with pytest.raises(RecordNotSaved):
            MappingStore(mapping, self.fail).save(FIRST)
        assert {"mecbounce": None} == mapping

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_a_flush_that_is_interrupted_puts_the_mapping_back_and_lets_it_through(
        self, kind: type[BaseException]
    ) -> None:
        mapping: dict[str, Any] = {}

        def interrupted() -> None:
            raise kind

        with pytest.raises(kind):
            MappingStore(mapping, interrupted).save(FIRST)
        assert {} == mapping

    @pytest.mark.parametrize(("data", "what"), [row[1:] for row in DAMAGED], ids=[row[0] for row in DAMAGED])
    def test_refuses_a_damaged_record_says_what_is_wrong_and_leaves_it(self, data: object, what: str) -> None:
        mapping = {"mecbounce": data}
        with pytest.raises(DamagedRecord) as caught:
            MappingStore(mapping, lambda: None).load()
        assert str(caught.value).startswith("step state 'mecbounce': not a complete record: ")
        assert what in str(caught.value)
        assert {"mecbounce": data} == mapping

    @pytest.mark.parametrize(
        ("field", "value", "expected"),
        [
            ("revision", Decimal(1), 1),
            ("revision", 1.0, 1),
            ("schema_version", Decimal("3.0"), 3),
            ("schema_version", 3.0, 3),
            ("message", "told", "told"),
        ],
        ids=str,
    )
    def test_reads_what_a_database_makes_of_numbers(self, field: str, value: object, expected: object) -> None:
        found = MappingStore({"mecbounce": JSON | {field: value}}, lambda: None).load()
        assert found is not None
        assert expected == getattr(found, field)

    def test_reads_what_a_database_makes_of_instants(self) -> None:
        path = [JSON["path"][0] | {"at": NOW.astimezone(timezone(timedelta(hours=2)))}]
        found = MappingStore({"mecbounce": JSON | {"path": path}}, lambda: None).load()
        assert found == FIRST

    @pytest.mark.parametrize(
        ("data", "field"),
        [
            (JSON | {"deadline": NOW.replace(tzinfo=None)}, "deadline is not a point in time"),
            (JSON | {"deadline": NOW.date()}, "deadline is not a point in time"),
            (JSON | {"path": [JSON["path"][0] | {"at": NOW.date()}]}, r"path\.0\.at is not a point in time"),
            (JSON | {"revision": Decimal("1.5")}, "revision: "),
            (JSON | {"revision": math.nan}, "revision is not a finite number"),
            (JSON | {"revision": Decimal("Infinity")}, "revision is not a finite number"),
            (JSON | {"revision": Decimal("sNaN")}, "revision is not a finite number"),
            (JSON | {"deadline": NOW.time()}, "deadline is of type time, which JSON does not have"),
            (JSON | {"message": b"told"}, "message is of type bytes"),
            (JSON | {"path": [JSON["path"][0] | {"at": {1}}]}, r"path\.0\.at is of type set"),
        ],
        ids=["naive", "date", "nested", "fraction", "nan", "infinite", "signaling", "time", "bytes", "set"],
    )
    def test_refuses_by_its_name_what_is_no_whole_number_no_instant_and_no_json_data(
        self, data: object, field: str
    ) -> None:
        with pytest.raises(DamagedRecord, match=f"not a complete record: field {field}"):
            MappingStore({"mecbounce": data}, lambda: None).load()

    def test_writes_into_the_mapping_that_is_there_now(self) -> None:
        """An object-relational mapper puts a new dict in place of the old one as it saves."""
        task = SimpleNamespace(step_state={"theirs": 1})
        durable: list[str] = []

        def save() -> None:
            durable.append(json.dumps(task.step_state))
            task.step_state = json.loads(durable[-1])

        store = MappingStore(lambda: task.step_state, flush=save)
        for record in (FIRST, SECOND, THIRD):
            store.save(record)
        assert THIRD == MappingStore(json.loads(durable[-1]), lambda: None).load()

    @pytest.mark.parametrize("keeps", [{}, {"mecbounce": JSON}], ids=["nothing", "an_older_revision"])
    def test_a_flush_after_which_something_else_is_stored_is_no_save(self, keeps: dict[str, Any]) -> None:
        present: dict[str, Any] = {}

        def lose() -> None:
            present.clear()
            present.update(keeps)

        record = SECOND if keeps else FIRST
        present.update(keeps)
        with pytest.raises(RecordNotSaved, match="does not hold what was saved"):
            MappingStore(present, flush=lose).save(record)

    @pytest.mark.parametrize("version", OTHER_VERSIONS.values(), ids=OTHER_VERSIONS)
    def test_refuses_the_record_of_another_version_and_leaves_it(self, version: int) -> None:
        mapping: dict[str, Any] = {"mecbounce": JSON | {"schema_version": version, "of_later": []}}
        with pytest.raises(UnknownSchema, match=rf"^step state 'mecbounce': field schema_version is {version}, "):
            MappingStore(mapping, lambda: None).save(FIRST)
        assert JSON | {"schema_version": version, "of_later": []} == mapping["mecbounce"]


class TestFileStore:
    @pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser gives files away")
    @pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
    def test_refuses_the_file_of_another_user_and_leaves_it(
        self, act: Callable[[FileStore], object], path: Path, mocker: MockerFixture
    ) -> None:
        """Whoever may write into the folder could have it carried out without its checks."""
        FileStore(path).save(FIRST)
        os.chown(path, 4711, -1)
        with pytest.raises(DamagedRecord, match=r"it belongs to another user \(uid 4711\), so its .* can't be trusted"):
            act(FileStore(path))
        mocker.patch("os.geteuid", return_value=4711)
        assert FIRST == FileStore(path).load()

    def test_what_is_forgotten_is_set_aside(self, path: Path) -> None:
        store = FileStore(path)
        for one in (FIRST, FINISHED):
            store.save(one)
        store.clear()
        assert FileStore(path.with_name("mec-0.json.last")).load() == FINISHED

    def test_is_named_by_its_whole_path(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(path.parent)
        assert str(path) == str(FileStore("mec-0.json"))

    def test_stays_where_it_was_made_when_the_process_goes_elsewhere(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(path.parent)
        store = FileStore("mec-0.json")
        monkeypatch.chdir("/")
        store.save(FIRST)
        assert path.exists()

    @pytest.mark.usefixtures("open_umask")
    def test_file_is_its_users_alone_and_so_is_a_folder_that_it_makes(self, tmp_path: Path) -> None:
        path = tmp_path / "made" / "mec-0.json"
        FileStore(path).save(FIRST)
        FileStore(path).save(SECOND)
        assert (0o700, 0o600) == (mode(path.parent), mode(path))

    @pytest.mark.usefixtures("open_umask")
    def test_the_folders_above_that_it_makes_are_its_users_alone_too(self, tmp_path: Path) -> None:
        """Or somebody else could put a folder of theirs in its folder's place."""
        FileStore(tmp_path / "a" / "b" / "mec-0.json").save(FIRST)
        assert 0o700 == mode(tmp_path / "a")

    @pytest.mark.usefixtures("open_umask")
    @pytest.mark.parametrize(
        "left",
        [
            lambda aside: aside.write_bytes(b""),
            lambda aside: aside.symlink_to("elsewhere"),
            lambda aside: aside.hardlink_to(aside.with_name("elsewhere")),
            os.mkfifo,
        ],
        ids=["file_of_all", "link", "hard_link", "pipe"],
    )
    def test_what_is_left_where_a_save_is_written_aside_is_replaced_and_not_written_to(
        self, left: Callable[[Path], object], path: Path
    ) -> None:
        elsewhere = path.with_name("elsewhere")
        elsewhere.write_bytes(b"another's")
        left(path.with_name(".mec-0.json.new"))
        FileStore(path).save(FIRST)
        assert (FIRST, 0o600, b"another's") == (FileStore(path).load(), mode(path), elsewhere.read_bytes())
        assert {path, elsewhere} == {*path.parent.iterdir()}

    @pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
    def test_a_linked_folder_leads_to_no_file_that_is_no_record(
        self, act: Callable[[FileStore], object], tmp_path: Path
    ) -> None:
        """A folder may be a link, to another disk say; what is no record is nowhere written to."""
        anothers = tmp_path / "anothers" / "mec-0.json"
        anothers.parent.mkdir()
        anothers.write_bytes(b"another's")
        anothers.chmod(0o604)
        (tmp_path / "state").symlink_to("anothers")
        with pytest.raises(DamagedRecord):
            act(FileStore(tmp_path / "state" / "mec-0.json"))
        assert (b"another's", 0o604, [anothers]) == (
            anothers.read_bytes(),
            mode(anothers),
            [*anothers.parent.iterdir()],
        )

    def test_leaves_the_mode_of_a_folder_that_there_was(self, tmp_path: Path) -> None:
        folder = tmp_path / "shared"
        folder.mkdir()
        folder.chmod(0o755)
        FileStore(folder / "mec-0.json").save(FIRST)
        assert 0o755 == mode(folder)

    def test_makes_the_folders_above_too(self, tmp_path: Path) -> None:
        store = FileStore(tmp_path / "a" / "b" / "mec-0.json")
        store.save(FIRST)
        assert FIRST == store.load()

    def test_looking_makes_nothing(self, tmp_path: Path) -> None:
        assert None is FileStore(tmp_path / "a" / "mec-0.json").load()
        assert [] == [*tmp_path.iterdir()]

    def test_leaves_one_file_of_readable_json_that_ends_a_line(self, path: Path) -> None:
        for record in (FIRST, SECOND):
            FileStore(path).save(record)
        assert [path] == [*path.parent.iterdir()]
        assert SECOND.model_dump(mode="json") == json.loads(path.read_text(encoding="utf-8"))
        assert path.read_bytes().endswith(b"}\n")

    def test_a_save_flushes_the_file_renames_it_and_flushes_the_folder(self, path: Path, mocker: MockerFixture) -> None:
        """In any other order a power cut could leave an empty record, or the one before."""
        done = steps(mocker)
        FileStore(path).save(FIRST)
        assert [f"fsync file of {path.stat().st_size} bytes", "rename to mec-0.json", "fsync folder"] == done

    @pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
    def test_a_save_that_fails_before_the_rename_says_so_and_leaves_what_was(
        self, step: str, path: Path, mocker: MockerFixture
    ) -> None:
        FileStore(path).save(FIRST)
        before = path.read_bytes()
        mocker.patch(step, side_effect=OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(RecordNotSaved) as caught:
            FileStore(path).save(SECOND)
        assert str(caught.value) == (
            f"{path}: the record can't be written: No space left on device. The step after it was not taken. "
            "Make room, then run again: it resumes."
        )
        assert before == path.read_bytes()

    def test_a_first_save_on_a_full_disk_promises_nothing_to_resume(self, path: Path, mocker: MockerFixture) -> None:
        mocker.patch("os.fsync", side_effect=OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(RecordNotSaved, match=r"No space left on device$"):
            FileStore(path).save(FIRST)

    def test_what_is_in_the_way_beside_it_is_named(self, path: Path) -> None:
        aside = path.with_name(f".{path.name}.new")
        aside.mkdir(parents=True)
        with pytest.raises(RecordNotSaved, match=rf"the file beside it, {aside}, can't be removed: Is a directory\. "):
            FileStore(path).save(FIRST)

    def test_an_error_without_a_number_is_shown_as_it_is(self, path: Path, mocker: MockerFixture) -> None:
        mocker.patch("os.fsync", side_effect=OSError("out of luck"))
        with pytest.raises(RecordNotSaved, match="the record can't be written: out of luck"):
            FileStore(path).save(FIRST)

    @pytest.mark.parametrize("data", [b"", b"half a rec", b"{}"])
    def test_a_leftover_of_a_save_that_was_cut_off_does_no_harm(self, data: bytes, path: Path) -> None:
        store = FileStore(path)
        store.save(FIRST)
        leftover = path.with_name(".mec-0.json.new")
        leftover.write_bytes(data * 1000)
        assert FIRST == store.load()
        store.save(SECOND)
        assert SECOND == store.load()
        assert [path] == [*path.parent.iterdir()]

    @pytest.mark.parametrize(
        "prepare",
        [
            lambda path: path.parent.rmdir() or path.parent.write_bytes(b""),
            lambda path: path.with_name(".mec-0.json.new").mkdir(),
        ],
        ids=["a_file_in_the_folders_place", "a_folder_in_the_way"],
    )
    def test_a_place_that_cannot_be_written_is_told(self, prepare: Callable[[Path], object], tmp_path: Path) -> None:
        path = tmp_path / "folder" / "mec-0.json"
        path.parent.mkdir()
        prepare(path)
        with pytest.raises(RecordNotSaved, match=rf"^{path}: the record can't be written: [A-Za-z]+ "):
            FileStore(path).save(FIRST)
        assert None is FileStore(path).load()

    @pytest.mark.parametrize("name", ["mec-0.json", "new/folders/mec-0.json"], ids=["folder", "folders_to_make"])
    def test_a_place_can_be_tried_and_nothing_is_left_there(self, name: str, tmp_path: Path) -> None:
        FileStore(tmp_path / name).try_place()
        assert [] == [*tmp_path.iterdir()]

    @pytest.mark.parametrize("place", ["file/mec-0.json", "file/a/b/mec-0.json", "nowhere/mec-0.json"])
    def test_a_place_that_no_record_could_be_written_to_is_told_beforehand(self, place: str, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        (tmp_path / "nowhere").symlink_to(tmp_path / "not there")
        path = tmp_path / place
        with pytest.raises(RecordNotSaved, match=rf"^{path}: the record can't be written: [A-Za-z]+ "):
            FileStore(path).try_place()

    @pytest.mark.parametrize("step", ["os.fsync", "tempfile.TemporaryFile"])
    def test_trying_a_place_finds_a_full_disk(self, step: str, path: Path, mocker: MockerFixture) -> None:
        mocker.patch(step, side_effect=OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(RecordNotSaved) as caught:
            FileStore(path).try_place()
        assert f"{path}: the record can't be written: No space left on device" == str(caught.value)
        assert [] == [*path.parent.iterdir()]

    def test_trying_a_place_writes_and_flushes_more_than_a_record(self, path: Path, mocker: MockerFixture) -> None:
        """A full disk still has room for an empty file; some tell of it only when the file is flushed."""
        sizes: list[int] = []
        mocker.patch("os.fsync", side_effect=lambda file: sizes.append(os.fstat(file).st_size))
        FileStore(path).try_place()
        assert sizes[0] > 10 * len(FIRST.model_dump_json())

    def test_trying_a_place_leaves_the_record_that_is_there_as_it_is(self, path: Path) -> None:
        FileStore(path).save(FIRST)
        before = path.read_bytes(), path.stat().st_mtime_ns
        FileStore(path).try_place()
        assert before == (path.read_bytes(), path.stat().st_mtime_ns)

    @pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
    def test_a_folder_without_the_right_to_write_is_told(self, path: Path) -> None:
        path.parent.chmod(0o500)
        with pytest.raises(RecordNotSaved, match="Permission denied"):
            FileStore(path).save(FIRST)
        path.parent.chmod(0o700)

    @pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
    @pytest.mark.parametrize("target", ["elsewhere.json", "nowhere.json"], ids=["link", "dangling_link"])
    def test_a_link_in_the_files_place_is_refused_and_not_followed(
        self, act: Callable[[FileStore], object], target: str, path: Path
    ) -> None:
        elsewhere = path.with_name("elsewhere.json")
        elsewhere.write_text(FIRST.model_dump_json())
        before = elsewhere.read_bytes()
        path.symlink_to(target)
        with pytest.raises(DamagedRecord, match=rf"^{path}: the record can't be read: .*It was left as it is\.$"):
            act(FileStore(path))
        assert (True, before) == (path.is_symlink(), elsewhere.read_bytes())
        assert {path, elsewhere} == {*path.parent.iterdir()}

    @pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
    def test_a_folder_in_the_files_place_is_refused(self, act: Callable[[FileStore], object], path: Path) -> None:
        path.mkdir()
        with pytest.raises(DamagedRecord, match=rf"^{path}: the record can't be read: it is not a plain file\."):
            act(FileStore(path))
        assert [path] == [*path.parent.iterdir()]

    def test_a_folder_in_the_files_place_costs_no_descriptor(self, path: Path, mocker: MockerFixture) -> None:
        path.mkdir()
        opened: list[int] = []
        os_open = os.open

        def opening(*args: Any) -> int:
            opened.append(os_open(*args))
            return opened[-1]

        mocker.patch("os.open", side_effect=opening)
        with pytest.raises(DamagedRecord):
            FileStore(path).load()
        try:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(opened[0])
        except BaseException:
            os.close(opened[0])
            raise

    @pytest.mark.parametrize("written", [False, True], ids=["unused", "with_a_writer"])
    def test_a_pipe_in_the_files_place_is_refused_and_not_waited_for(self, written: bool, path: Path) -> None:
        os.mkfifo(path)
        writer = os.open(path, os.O_RDWR) if written else os.open(os.devnull, os.O_RDONLY)
        with pytest.raises(DamagedRecord, match="it is not a plain file"):
            FileStore(path).load()
        os.close(writer)

    @pytest.mark.parametrize("device", ["/dev/null", "/dev/zero", "/dev/tty"])
    def test_a_device_is_refused_and_not_read_to_an_end_that_it_has_not(self, device: str) -> None:
        with pytest.raises(DamagedRecord, match=rf"^{device}: the record can't be read: "):
            FileStore(device).load()

    @pytest.mark.parametrize(
        ("raw", "what"),
        [
            (b"", "it is not complete JSON: Expecting value: line 1 column 1 (char 0)"),
            (FIRST.model_dump_json().encode()[:-40], "it is not complete JSON: "),
            (b"bounce: b-1\n", "it is not complete JSON: "),
            (b"\xff\xfe\xfd", "it is not complete JSON: "),
            (FIRST.model_dump_json().encode().replace(b"b-1", b"b-\xe9"), "it is not complete JSON: "),
            (b"null", "it is not a JSON object"),
            (json.dumps(JSON | {"\ud800": 1}).encode(), "field record: Invalid JSON: "),
            *((json.dumps(data).encode(), what) for _, data, what in DAMAGED),
        ],
        ids=[
            "empty",
            "truncated",
            "yaml",
            "bytes",
            "latin_1",
            "null",
            "half_a_character",
            *(row[0] for row in DAMAGED),
        ],
    )
    @pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
    def test_refuses_a_damaged_file_says_what_is_wrong_and_leaves_it(
        self, act: Callable[[FileStore], object], raw: bytes, what: str, path: Path
    ) -> None:
        path.write_bytes(raw)
        with pytest.raises(DamagedRecord) as caught:
            act(FileStore(path))
        assert str(caught.value).startswith(f"{path}: not a complete record: {what}")
        assert str(caught.value).endswith(". It was left as it is: look at the pod, then move the record away.")
        assert (raw, [path]) == (path.read_bytes(), [*path.parent.iterdir()])

    @pytest.mark.parametrize("version", OTHER_VERSIONS.values(), ids=OTHER_VERSIONS)
    @pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
    def test_refuses_the_file_of_another_version_and_leaves_it(
        self, act: Callable[[FileStore], object], version: int, path: Path
    ) -> None:
        raw = json.dumps({"schema_version": version, "of_later": []}).encode()
        path.write_bytes(raw)
        with pytest.raises(UnknownSchema) as caught:
            act(FileStore(path))
        expected = f"{path}: field schema_version is {version}, this mecbounce reads 1 to 3. "
        expected += "Go on with the version that wrote it; the record was left as it is."
        assert expected == str(caught.value)
        assert (raw, [path]) == (path.read_bytes(), [*path.parent.iterdir()])


@pytest.mark.parametrize(
    ("raw", "what"),
    [(b"[" * 100_000, "maximum recursion depth"), (b'{"revision": ' + b"1" * 5000 + b"}", "Exceeds the limit")],
    ids=["far_too_deep", "number_far_too_long"],
)
def test_a_file_that_json_itself_cannot_take_is_damaged_too(raw: bytes, what: str, path: Path) -> None:
    path.write_bytes(raw)
    with pytest.raises(DamagedRecord, match=rf"^{path}: not a complete record: it is not complete JSON: {what}"):
        FileStore(path).load()


class TestSetAside:
    def test_moves_a_finished_record_out_of_the_way(self, path: Path) -> None:
        store = FileStore(path)
        for record in (FIRST, FINISHED):
            store.save(record)
        aside = path.with_name("mec-0.json.last")
        assert aside == store.set_aside()
        assert (None, FINISHED) == (store.load(), FileStore(aside).load())

    def test_as_a_copy_it_stays_in_its_place_too(self, path: Path) -> None:
        for record in (FIRST, FINISHED):
            FileStore(path).save(record)
        last = FileStore(path).set_aside(copy=True)
        assert path.with_name("mec-0.json.last") == last
        assert (FINISHED, FINISHED) == (FileStore(path).load(), FileStore(last).load())
        assert {path, last} == {*path.parent.iterdir()}

    @pytest.mark.parametrize("copy", [False, True])
    def test_the_record_of_another_bounce_than_was_decided_on_stays(self, path: Path, *, copy: bool) -> None:
        store = FileStore(path)
        for record in (FIRST, FINISHED):
            store.save(record)
        with pytest.raises(Superseded, match=r"^Another runner has taken over the bounce of mec-0;"):
            store.set_aside("b-0", copy=copy)
        assert [path] == [*path.parent.iterdir()]
        assert store.aside.path == store.set_aside(FINISHED.bounce_id, copy=copy)

    def test_makes_room_for_a_new_bounce(self, path: Path) -> None:
        store = FileStore(path)
        for record in (FIRST, FINISHED):
            store.save(record)
        store.set_aside()
        store.save(NEW)
        assert NEW == store.load()

    def test_keeps_the_last_one_only(self, path: Path) -> None:
        store = FileStore(path)
        for bounce_id in ("b-1", "b-2"):
            for record in (FIRST, FINISHED):
                store.save(record.model_copy(update={"bounce_id": bounce_id}))
            store.set_aside()
        last = FileStore(path.with_name("mec-0.json.last")).load()
        assert last is not None
        assert "b-2" == last.bounce_id

    @pytest.mark.parametrize("records", [(), (FIRST,), (FIRST, SECOND)], ids=["none", "begun", "under_way"])
    def test_leaves_all_others_where_they_are(self, path: Path, records: tuple[BounceRecord, ...]) -> None:
        store = FileStore(path)
        for record in records:
            store.save(record)
        assert None is store.set_aside()
        assert (records[-1] if records else None) == store.load()

    def test_a_link_where_the_last_one_goes_is_replaced_and_not_followed(self, path: Path) -> None:
        elsewhere = path.with_name("elsewhere")
        elsewhere.write_bytes(b"another's")
        path.with_name("mec-0.json.last").symlink_to(elsewhere)
        for record in (FIRST, FINISHED):
            FileStore(path).save(record)
        last = FileStore(path).set_aside()
        assert last is not None
        assert (b"another's", False, 0o600) == (elsewhere.read_bytes(), last.is_symlink(), mode(last))

    def test_does_not_mind_that_another_runner_was_faster(self, path: Path, mocker: MockerFixture) -> None:
        """Whatever it saw before it has the lock, it judges what it finds then."""
        mocker.patch("os.path.lexists", return_value=True)
        assert None is FileStore(path).set_aside()
        FileStore(path).save(FIRST)
        assert None is FileStore(path).set_aside()
        assert FIRST == FileStore(path).load()

    @pytest.mark.parametrize("copy", [False, True])
    def test_the_folder_is_flushed_last(self, path: Path, mocker: MockerFixture, *, copy: bool) -> None:
        """Else a power cut after `clear` could bring the record back."""
        for record in (FIRST, FINISHED):
            FileStore(path).save(record)
        done = steps(mocker)
        FileStore(path).set_aside(copy=copy)
        assert done[-2:] == ["rename to mec-0.json.last", "fsync folder"]

    def test_makes_no_folder_where_there_is_nothing(self, tmp_path: Path) -> None:
        assert None is FileStore(tmp_path / "a" / "mec-0.json").set_aside()
        assert [] == [*tmp_path.iterdir()]

    def test_looks_and_renames_under_the_lock(self, path: Path, mocker: MockerFixture) -> None:
        """Without it, a new bounce that another runner has begun in between would be moved away."""
        for record in (FIRST, FINISHED):
            FileStore(path).save(record)
        locked: list[bool] = []
        replace = Path.replace

        def renamed(source: Path, target: Path) -> Path:
            locked.append(is_locked(path.parent))
            return replace(source, target)

        mocker.patch.object(Path, "replace", autospec=True, side_effect=renamed)
        FileStore(path).set_aside()
        assert [True] == locked

    def test_says_so_where_it_cannot(self, path: Path) -> None:
        for record in (FIRST, FINISHED):
            FileStore(path).save(record)
        path.with_name("mec-0.json.last").mkdir()
        with pytest.raises(RecordNotSaved, match=rf"^{path}: the record can't be written: Is a directory$"):
            FileStore(path).set_aside()
        assert FINISHED == FileStore(path).load()


def is_locked(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class TestTwoRunners:
    def test_compare_and_swap_are_under_one_lock(self, path: Path) -> None:
        locked: list[tuple[str, bool]] = []

        class Spy(FileStore):
            def load(self) -> BounceRecord | None:
                locked.append(("compare", is_locked(path.parent)))
                return super().load()

            def _replace(self, data: bytes) -> None:
                super()._replace(data)
                locked.append(("swap", is_locked(path.parent)))

        Spy(path).save(FIRST)
        assert [("compare", True), ("swap", True)] == locked
        assert not is_locked(path.parent)

    def test_the_lock_is_given_back_by_a_save_that_is_refused(self, path: Path) -> None:
        FileStore(path).save(FIRST)
        with pytest.raises(Superseded):
            FileStore(path).save(FIRST)
        assert not is_locked(path.parent)

    def test_a_save_gives_up_on_a_lock_that_is_never_given_back(self, path: Path, mocker: MockerFixture) -> None:
        """As where the other runner is frozen in the middle of its save."""
        FileStore(path).save(FIRST)
        mocker.patch("mecbounce.stores.LOCK_WAIT", 0.05)
        frozen = os.open(path.parent, os.O_RDONLY)
        fcntl.flock(frozen, fcntl.LOCK_EX)
        with pytest.raises(RecordNotSaved, match=r"held its folder's lock .* Nothing was written: run again"):
            FileStore(path).save(SECOND)
        os.close(frozen)
        assert FIRST == FileStore(path).load()
        FileStore(path).save(SECOND)

    @pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF])
    @pytest.mark.parametrize("act", [*(ACTS[one] for one in ("save", "set_aside")), FileStore.try_place])
    def test_a_file_system_without_locks_is_refused(
        self, number: int, act: Callable[[FileStore], object], path: Path, mocker: MockerFixture
    ) -> None:
        """As some network file systems are: there, two runners could both go on."""
        path.write_text(FIRST.model_dump_json())
        before = path.read_bytes()
        flock = mocker.patch("fcntl.flock", side_effect=OSError(number, os.strerror(number)))
        with pytest.raises(RecordNotSaved) as caught:
            act(FileStore(path))
        assert f"{path}: its folder can't be locked (flock: {os.strerror(number)}), and" in str(caught.value)
        assert "keep it on a local disk" in str(caught.value)
        assert flock.call_count == 1
        assert ([path], before) == ([*path.parent.iterdir()], path.read_bytes())

    def test_a_place_is_tried_under_the_lock_that_a_save_takes(self, path: Path, mocker: MockerFixture) -> None:
        mocker.patch("mecbounce.stores.LOCK_WAIT", 0.05)
        frozen = os.open(path.parent, os.O_RDONLY)
        fcntl.flock(frozen, fcntl.LOCK_EX)
        with pytest.raises(RecordNotSaved, match=r"another runner has held its folder's lock"):
            FileStore(path).try_place()
        os.close(frozen)
        FileStore(path).try_place()
        assert not is_locked(path.parent)

    def test_a_save_waits_for_a_lock_that_is_given_back(self, path: Path) -> None:
        FileStore(path).save(FIRST)
        saving = os.open(path.parent, os.O_RDONLY)
        fcntl.flock(saving, fcntl.LOCK_EX)
        seen: list[BounceRecord | None] = []

        def give_back() -> None:
            seen.append(FileStore(path).load())
            os.close(saving)

        threading.Timer(0.1, give_back).start()
        FileStore(path).save(SECOND)
        assert [FIRST] == seen
        assert SECOND == FileStore(path).load()

    @pytest.mark.parametrize("round_", range(10))
    def test_of_many_threads_that_save_the_same_revision_exactly_one_wins(self, round_: int, path: Path) -> None:
        FileStore(path).save(FIRST)
        records = [SECOND.model_copy(update={"message": f"round {round_}, runner {number}"}) for number in range(8)]
        start = threading.Barrier(len(records))
        won: list[BounceRecord] = []
        lost: list[BounceRecord] = []

        def run(record: BounceRecord) -> None:
            start.wait()
            try:
                FileStore(path).save(record)
            except Superseded:
                lost.append(record)
            else:
                won.append(record)

        threads = [threading.Thread(target=run, args=(record,)) for record in records]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (1, 7) == (len(won), len(lost))
        assert won == [FileStore(path).load()]

    def test_of_two_processes_that_save_the_same_revision_exactly_one_wins(self, path: Path) -> None:
        FileStore(path).save(FIRST)
        code = """if True:
            import sys
            from mecbounce.errors import Superseded
            from mecbounce.record import BounceRecord
            from mecbounce.stores import FileStore
            record = BounceRecord.model_validate_json(sys.argv[2])
            print("up", flush=True)
            sys.stdin.readline()
            try:
                FileStore(sys.argv[1]).save(record)
            except Superseded:
                print("lost")
            else:
                print("won")
        """
        records = [SECOND.model_copy(update={"message": f"runner {number}"}) for number in range(2)]
        runners = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(path), record.model_dump_json()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for record in records
        ]
        for runner in runners:
            assert runner.stdout is not None
            assert "up\n" == runner.stdout.readline()
        for runner in runners:
            assert runner.stdin is not None
            runner.stdin.write("go\n")
            runner.stdin.flush()
        ends = [runner.communicate(timeout=60)[0].strip() for runner in runners]
        assert ["lost", "won"] == sorted(ends)
        assert records[ends.index("won")] == FileStore(path).load()


class TestHold:
    """Whether a runner is alive: told by a lock that the kernel frees, never by the id of a process."""

    def test_is_shown_from_the_first_save_on_until_it_ends(self, path: Path) -> None:
        ours, theirs, sign = FileStore(path), FileStore(path), path.with_name(".mec-0.json.runner")
        with ours.hold():
            assert not theirs.held()
            ours.save(FIRST)
            assert theirs.held()
            first = sign.stat()
            ours.save(SECOND)
            assert theirs.held()
        assert not theirs.held()
        assert (mode(sign), sign.stat().st_ino) == (0o600, first.st_ino)  # one file, and so one descriptor

    def test_a_save_without_it_shows_no_runner(self, path: Path) -> None:
        FileStore(path).save(FIRST)
        assert not FileStore(path).held()
        assert [path] == [*path.parent.iterdir()]

    def test_a_refused_save_does_not_take_it(self, path: Path) -> None:
        FileStore(path).save(FIRST)
        late = FileStore(path)
        with late.hold(), pytest.raises(Superseded):
            late.save(FIRST)
        assert [path] == [*path.parent.iterdir()]

    def test_whoever_takes_the_bounce_over_takes_it_too(self, path: Path) -> None:
        """The first runner may wait for long before it finds out."""
        first, second = FileStore(path), FileStore(path)
        with first.hold():
            first.save(FIRST)
            with second.hold():
                second.save(SECOND)
                assert FileStore(path).held()
            assert not FileStore(path).held()

    def test_the_end_of_the_one_that_was_taken_over_changes_nothing(self, path: Path) -> None:
        first, second = FileStore(path), FileStore(path)
        with second.hold():
            with first.hold():
                first.save(FIRST)
                second.save(SECOND)
            assert FileStore(path).held()

    def test_of_two_threads_with_one_store_the_first_to_leave_does_not_end_it(self, path: Path) -> None:
        store = FileStore(path)
        with store.hold():
            with store.hold():
                store.save(FIRST)
            assert FileStore(path).held()
        assert not FileStore(path).held()

    def test_an_ended_bounce_has_no_runner_and_leaves_no_file(self, path: Path) -> None:
        store = FileStore(path)
        with store.hold():
            store.save(FIRST)
            store.save(FINISHED)
            assert not FileStore(path).held()
        assert [path] == [*path.parent.iterdir()]

    def test_what_stands_in_its_place_is_neither_followed_nor_kept(self, path: Path, tmp_path: Path) -> None:
        elsewhere, sign = tmp_path / "elsewhere", path.with_name(".mec-0.json.runner")
        for link in (sign, sign.with_name(f"{sign.name}.new")):
            link.symlink_to(elsewhere)
        assert not FileStore(path).held()
        store = FileStore(path)
        with store.hold():
            store.save(FIRST)
            assert FileStore(path).held()
        assert not elsewhere.exists()

    @pytest.mark.parametrize("then", [SECOND, FINISHED], ids=["taken_over", "ended"])
    def test_one_that_changes_hands_during_a_look_is_looked_at_again(
        self, path: Path, mocker: MockerFixture, then: BounceRecord
    ) -> None:
        """Else the old record would be shown with the new runner, or the new record with the old one."""
        FileStore(path).save(FIRST)
        other, held, looks = FileStore(path), FileStore.held, list[bool]()

        def then_saved(store: FileStore) -> bool:
            looks.append(held(store))
            if len(looks) == 1:
                other.save(then)
            return looks[-1]

        mocker.patch.object(FileStore, "held", autospec=True, side_effect=then_saved)
        with other.hold():
            assert (then, then is SECOND) == FileStore(path).look()

    def test_a_file_system_that_forgets_its_locks_shows_nobody(self, path: Path, mocker: MockerFixture) -> None:
        store = FileStore(path)
        with store.hold():
            store.save(FIRST)
            mocker.patch("fcntl.flock", side_effect=OSError(errno.ENOLCK, "No locks available"))
            assert not FileStore(path).held()

    def test_a_stopped_runner_is_alive_and_a_killed_one_is_not_whatever_it_leaves_running(self, path: Path) -> None:
        """Its children, such as a credential plugin, may outlive it."""
        code = """if True:
            import os, subprocess, sys
            from mecbounce.record import BounceRecord
            from mecbounce.stores import FileStore
            store = FileStore(sys.argv[1])
            with store.hold():
                store.save(BounceRecord.model_validate_json(sys.argv[2]))
                forked = os.fork()
                if forked == 0:
                    sys.stdin.read()
                    os._exit(0)
                subprocess.Popen(["cat"], close_fds=False)
                print("up", flush=True)
                sys.stdin.read()
        """
        words = [sys.executable, "-c", code, str(path), FIRST.model_dump_json()]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as runner:
            assert runner.stdout is not None
            assert b"up\n" == runner.stdout.readline()
            assert FileStore(path).held()
            runner.send_signal(signal.SIGSTOP)
            assert FileStore(path).held()
            runner.kill()
            runner.wait(60)
            assert not FileStore(path).held()


def test_a_path_without_a_name_is_refused_as_no_record() -> None:
    with pytest.raises(DamagedRecord, match="it is not a plain file"):
        FileStore("/").load()
