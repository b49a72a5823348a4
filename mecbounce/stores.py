"""Where a bounce's record is kept between two steps. Saving compares and swaps on the record's revision.

A store never repairs or removes a record that it can't read: it says what is wrong and leaves it as it is.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from mecbounce.errors import DamagedRecord, RecordError, RecordNotSaved, Superseded, UnknownSchema, one_line
from mecbounce.fields import first_fault
from mecbounce.record import READABLE, BounceRecord

LOCK_WAIT = 10.0  # seconds; another runner may hang in the middle of a save
_LOCK_AGAIN = 0.02  # seconds
_FULL = (errno.ENOSPC, errno.EDQUOT)
_ROOM = 64 * 1024  # bytes; more than any record needs
_shown: set[int] = set()  # this process's locks that show its runners alive


class Store(Protocol):
    """Where one record is kept. `str(store)` names the place for people."""

    def load(self) -> BounceRecord | None:
        """Give the stored record; None if there is none. Raises RecordError if it can't be read; it stays as it is."""
        ...

    def save(self, record: BounceRecord) -> None:
        """Make `record` durable, in place of its previous revision.

        A first revision needs an empty place, or that of the finished record that it `waits_on`. Raises Superseded if
        something other than the previous revision is stored, RecordNotSaved if it can't be saved.
        """
        ...

    def clear(self) -> None:
        """Remove the record of a bounce that has ended, durably. Raises RecordError if it has not ended; it stays."""
        ...


class MappingStore:
    """The record as plain JSON data under one key of a mapping, such as a task's step state.

    `mapping` is that mapping, or better a callable that returns it: a runner may replace its mapping when it saves.
    `flush` must make the mapping durable before it returns; if it raises, the mapping gets its old content back. After
    the first flush the store checks that the mapping holds what was saved.
    """

    def __init__(
        self,
        mapping: MutableMapping[str, Any] | Callable[[], MutableMapping[str, Any]],
        flush: Callable[[], object],
        *,
        key: str = "mecbounce",
    ) -> None:
        self._present = mapping if callable(mapping) else lambda: mapping
        self._flush = flush
        self._key = key
        self._holds_what_was_saved = False

    def __str__(self) -> str:
        return f"step state {self._key!r}"

    def load(self) -> BounceRecord | None:
        try:
            data = self._present().get(self._key)
            return None if data is None else _record(data, str(self))
        except RecordError:
            raise
        except Exception as error:  # a runner's mapping may be anything, such as a database
            raise RecordError(
                f"{self}: the step state can't be read: {one_line(error)}. It was left as it is: run again once it can."
            ) from error

    def save(self, record: BounceRecord) -> None:
        _refuse_stale(self.load(), record)
        self._put(record)

    def clear(self) -> None:
        """Remove the key and flush. Raises RecordError if the bounce has not ended; its record stays."""
        record = self.load()
        if record is not None:
            _refuse_unfinished(record, str(self))
            self._put(None)

    def _put(self, record: BounceRecord | None) -> None:
        """Store a record, or none, and flush. If that fails, the mapping gets its old content back."""
        before: dict[str, Any] | None = None
        try:
            mapping = self._present()
            before = {key: value for key, value in mapping.items() if key == self._key}
            if record is None:
                del mapping[self._key]
            else:
                mapping[self._key] = record.model_dump(mode="json")
            self._flush()
        except BaseException as error:
            if before is not None:
                with suppress(Exception):  # a mapping that can't be written can't be restored either
                    self._present().pop(self._key, None)
                    self._present().update(before)
            if isinstance(error, Exception):
                raise RecordNotSaved(f"{self}: the step state could not be saved: {one_line(error)}") from error
            raise
        if not self._holds_what_was_saved and self.load() != record:
            fault = "does not hold what was saved, so the next step was not taken" if record else "still has the record"
            raise RecordNotSaved(
                f"{self}: after flush() the step state {fault}. "
                "If flush() puts another mapping in its place, give MappingStore a callable that returns the present "
                "one, such as `lambda: self.step_state`."
            )
        self._holds_what_was_saved = True


class FileStore:
    """The record as a JSON file (0600). Missing folders are made (0700).

    A save writes a second file, flushes it to disk, renames it to the first and flushes the folder. A symbolic link is
    not followed: only a plain file is read, and only one of this user or root. Runners on one machine compare and swap
    under a lock of the folder; a save waits for it at most LOCK_WAIT seconds.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._runner_file = self.path.parent / f".{self.path.name}.runner"  # a path such as / has no name
        self._runners = 0  # in this process
        self._sign: int | None = None  # the lock that shows it

    def __str__(self) -> str:
        return str(self.path)

    def load(self) -> BounceRecord | None:
        try:
            with open(self.path, "rb", opener=_plain_file) as file:
                raw = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise DamagedRecord(
                f"{self}: the record can't be read: {_os_reason(error)}. It was left as it is."
            ) from error
        try:
            return _record(json.loads(raw), str(self))
        except (ValueError, RecursionError) as error:
            raise _damaged(str(self), f"it is not complete JSON: {error}") from error

    def save(self, record: BounceRecord) -> None:
        data = _as_json(record)
        resumes = ". The step after it was not taken. Make room, then run again: it resumes."
        with self._locked(self.path.parent, where_full=resumes if record.revision > 1 else "") as folder:
            _refuse_stale(self.load(), record)
            if self._runners and self._sign is None:
                self._sign = self._show_runner()
            self._replace(data)
            if record.finished:  # nobody drives it any more
                with suppress(OSError):
                    self._runner_file.unlink()
            os.fsync(folder)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """From the next save on, show others that this bounce has a runner: `held`.

        It is a lock, which the kernel frees when this process ends, killed or not. The next runner's save takes it
        away, as it takes the bounce.
        """
        self._runners += 1
        try:
            yield
        finally:
            self._runners -= 1
            if not self._runners and self._sign is not None:
                _let_go(self._sign)
                self._sign = None

    def held(self) -> bool:
        """True if the process that last saved within `hold` still does so. One that is stopped does."""
        try:
            descriptor = _plain_file(str(self._runner_file), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # no locks here: nothing can be saved here either
            return False
        finally:
            os.close(descriptor)
        return False

    @property
    def aside(self) -> FileStore:
        """Where `set_aside` puts a finished record: FILE.last."""
        return FileStore(f"{self.path}.last")

    def set_aside(self, bounce_id: str = "", *, copy: bool = False) -> Path | None:
        """Rename a finished record to FILE.last; give its new path. None: there is no finished record.

        `bounce_id`: the bounce that was decided on. Raises Superseded if the record is of another one: another run was
        faster. `copy`: it stays in its place too, until the bounce that keeps waiting for its replacement is saved.
        """
        if not os.path.lexists(self.path):
            return None
        with self._locked(self.path.parent) as folder:
            record = self.load()
            if record is not None and bounce_id not in ("", record.bounce_id):
                raise _superseded(record, record)
            if record is None or not record.finished:
                return None
            if copy:
                self.aside._replace(_as_json(record))
            else:
                self.path.replace(self.aside.path)
            os.fsync(folder)
            return self.aside.path

    def remove_told(self, needless: Callable[[BounceRecord], bool] = lambda _: True) -> None:
        """Remove the record of a bounce that has ended, whose end was told and that is `needless`; leave any other.

        Raises RecordNotSaved at once if another runner holds the folder's lock.
        """
        with self._locked(self.path.parent, wait=0):
            record = self.load()
            if record is not None and record.finished and not record.untold and needless(record):
                self.path.unlink()

    def clear(self) -> None:
        """Set a finished record aside. Raises RecordError if the bounce has not ended; its record stays."""
        if self.set_aside() is None and (record := self.load()) is not None:
            _refuse_unfinished(record, str(self))

    def try_place(self) -> None:
        """Lock and write like a save, but in a temporary file. Raises RecordNotSaved."""
        folder = self.path.parent
        while not os.path.lexists(folder):  # a save would make it in the folder above
            folder = folder.parent
        with self._locked(folder) as descriptor, tempfile.TemporaryFile(dir=folder) as file:
            file.write(b" " * _ROOM)
            file.flush()
            os.fsync(file.fileno())
            os.fsync(descriptor)

    def refuse_taken_over(self, record: BounceRecord) -> None:
        """Raise Superseded if another runner has saved since `record` was. What can't be read, the next save tells."""
        with suppress(RecordError):
            if (stored := self.load()) is not None and stored != record:
                _refuse_stale(stored, record.model_copy(update={"revision": record.revision + 1}))

    def look(self) -> tuple[BounceRecord | None, bool]:
        """Load the record, and say whether its bounce has a runner that is alive: both of one moment."""
        record = self.load()
        while record is not None and not record.finished:
            alive, before = self.held(), record
            record = self.load()
            if alive or record == before:
                return record, alive
        return record, False

    def _replace(self, data: bytes) -> None:
        aside = self.path.parent / f".{self.path.name}.new"
        with os.fdopen(self._new_file(aside), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self.path)

    def _show_runner(self) -> int:
        """Put a locked file in the place of the last runner's, whose lock thereby shows nothing any more."""
        aside = self._runner_file.with_name(f"{self._runner_file.name}.new")
        descriptor = self._new_file(aside)
        _shown.add(descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody else knows this file
            aside.replace(self._runner_file)
        except BaseException:
            _let_go(descriptor)
            raise
        return descriptor

    def _new_file(self, aside: Path) -> int:
        if os.path.lexists(aside):  # left by a killed save, or somebody else's file or link
            try:
                aside.unlink(missing_ok=True)
            except OSError as error:
                raise RecordNotSaved(
                    f"{self}: the record can't be written: the file beside it, {aside}, can't be removed: "
                    f"{_os_reason(error)}. Remove it, then run again."
                ) from error
        return os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    @contextmanager
    def _locked(self, folder: Path, *, where_full: str = "", wait: float | None = None) -> Iterator[int]:
        """Hold the folder's lock; give its descriptor. Turns an OSError of the body into RecordNotSaved."""
        try:
            _make_folder(folder)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._lock(descriptor, LOCK_WAIT if wait is None else wait)
                yield descriptor
            finally:
                os.close(descriptor)
        except OSError as error:
            then = where_full if error.errno in _FULL else ""
            raise RecordNotSaved(f"{self}: the record can't be written: {_os_reason(error)}{then}") from error

    def _lock(self, folder: int, wait: float) -> None:
        until = time.monotonic() + wait
        while True:
            try:
                return fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    raise RecordNotSaved(
                        f"{self}: another runner has held its folder's lock for {wait:.0f} s: that runner, "
                        "or the disk, hangs. Nothing was written: run again once that is over."
                    ) from error
            except OSError as error:  # some file systems have no locks, above all those on a network
                raise RecordNotSaved(
                    f"{self}: its folder can't be locked (flock: {_os_reason(error)}), and without a lock two runners "
                    "could bounce the pod at once. The record was not written: keep it on a local disk."
                ) from error
            time.sleep(_LOCK_AGAIN)


def _as_json(record: BounceRecord) -> bytes:
    return record.model_dump_json(indent=1).encode() + b"\n"


def _let_go(lock: int) -> None:
    if lock in _shown:  # not so in a child that was forked
        _shown.remove(lock)
        os.close(lock)


def _forget_locks() -> None:
    """Close a forked child's copies of its parent's locks: it drives no bounce, and may outlive its parent."""
    for lock in [*_shown]:
        _let_go(lock)


os.register_at_fork(after_in_child=_forget_locks)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably, all with mode 0700: `parents=True` would use the umask."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    above = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(above)
    finally:
        os.close(above)


def _plain_file(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_uid in (os.geteuid(), 0):
        return descriptor
    os.close(descriptor)
    if stat.S_ISREG(found.st_mode):
        raise OSError(
            f"it belongs to another user (uid {found.st_uid}), so its content can't be trusted: look at the pod; then "
            "use another place for the record, or remove the file"
        )
    raise OSError("it is not a plain file")


def _refuse_stale(stored: BounceRecord | None, record: BounceRecord) -> None:
    if stored is None and record.revision > 1:
        uid = f" (UID {record.old_pod.uid})" if record.old_pod else ""
        raise RecordNotSaved(
            f"The record of the bounce of {record.request.pod} is no longer there: it was removed, or set aside as "
            f"another runner had ended it. This one stopped in {record.state}: look at the pod{uid}, it may have been "
            "deleted."
        )
    found = (stored.bounce_id, stored.revision) if stored else None
    expected = (record.bounce_id, record.revision - 1) if record.revision > 1 else None
    if stored is not None and stored.finished and record.revision == 1 and record.waits_on == stored.bounce_id:
        return
    if found != expected:
        raise _superseded(stored, record)


def _superseded(stored: BounceRecord | None, record: BounceRecord) -> Superseded:
    who = f" ({stored.runner})" if stored and stored.runner else ""
    return Superseded(
        f"Another runner{who} has taken over the bounce of {record.request.pod}; it goes on there, this one stops."
    )


def _refuse_unfinished(record: BounceRecord, where: str) -> None:
    if not record.finished:
        raise RecordError(
            f"{where}: the bounce of {record.request.pod} has not ended, it is in {record.state}: its record is needed "
            "to resume it and was left as it is. Perform the bounce to its end first."
        )


def _plain_json(value: Any, where: str) -> Any:
    """Undo what a database may do to JSON data: whole numbers become Decimals or floats, instants become datetimes.

    Raises ValueError, which names the field.
    """
    if isinstance(value, Mapping):
        return {str(key): _plain_json(inner, f"{where}.{key}".lstrip(".")) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_json(inner, f"{where}.{number}".lstrip(".")) for number, inner in enumerate(value)]
    if isinstance(value, Decimal | float):
        if not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):  # math raises on sNaN
            raise ValueError(f"field {where} is not a finite number")
        return int(value) if value == int(value) else float(value)
    if isinstance(value, date):
        if not isinstance(value, datetime) or value.tzinfo is None:
            raise ValueError(f"field {where} is not a point in time: it needs a time of day and a time zone")
        return value.isoformat()
    if value is not None and not isinstance(value, str | int):
        raise ValueError(f"field {where} is of type {type(value).__name__}, which JSON does not have")
    return value


def _record(data: Any, where: str) -> BounceRecord:
    if not isinstance(data, Mapping):
        raise _damaged(where, "it is not a JSON object")
    try:
        data = _plain_json(data, "")
        text = json.dumps(data)
    except RecursionError as error:
        raise _damaged(where, f"it is not JSON data: {error}") from error
    except ValueError as error:
        raise _damaged(where, one_line(error)) from error
    version = data.get("schema_version")
    if type(version) is not int:  # a bool is an int, and equal to one
        raise _damaged(where, "field schema_version is not a whole number")
    if version not in READABLE:
        raise UnknownSchema(
            f"{where}: field schema_version is {version}, this mecbounce reads {READABLE[0]} to {READABLE[-1]}. "
            "Go on with the version that wrote it; the record was left as it is."
        )
    try:
        return BounceRecord.model_validate_json(text)
    except ValidationError as error:
        field, fault = first_fault(error)
        raise _damaged(where, f"field {field or 'record'}: {fault}") from None


def _damaged(where: str, what: str) -> DamagedRecord:
    return DamagedRecord(
        f"{where}: not a complete record: {what}. It was left as it is: look at the pod, then move the record away."
    )


def _os_reason(error: OSError) -> str:
    reasons = {errno.ELOOP: "it is a symbolic link", errno.EEXIST: "its folder is not a folder"}
    return reasons.get(error.errno or 0, error.strerror or one_line(error))
