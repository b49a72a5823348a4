"""Where the command keeps its records: one file for each context, API server, namespace and pod.

The bounce before the last one of a pod stands beside it, set aside by `run`: FILE.last.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mecbounce.again import left_waiting
from mecbounce.cli.kube import xdg_folder
from mecbounce.errors import DamagedRecord, RecordError, UnknownSchema
from mecbounce.record import BounceRecord
from mecbounce.stores import FileStore

if TYPE_CHECKING:
    from mecbounce import KubernetesCluster

LONGEST_NAME = 200  # characters, without a suffix: a file system allows 255 bytes
KEPT, MOST_KEPT = timedelta(days=30), 200  # how long, and how many records
_OURS = re.compile(r"[A-Za-z0-9.-]{0,60}-[0-9a-f]{8}_[a-z0-9-]{1,63}_[a-z0-9.-]+\.json(\.last)?")


@dataclass(frozen=True)
class Found:
    """A record's file, and what was found in it."""

    path: Path
    record: BounceRecord | None = None
    """None: it can't be read."""
    fault: str = ""
    """Why it can't be read."""
    alive: bool = False
    """Whether the bounce has a runner now."""


def default_record(cluster: KubernetesCluster, namespace: str, pod: str) -> Path:
    """Name the file for one pod's record."""
    name = f"{_prefix(cluster, namespace)}{pod}"
    if len(name) > LONGEST_NAME:
        name = f"{name[:LONGEST_NAME]}-{_hashed(name)}"
    return _folder() / f"{name}.json"


def default_records(cluster: KubernetesCluster, namespace: str) -> list[Path]:
    """List the records of a namespace's pods."""
    return sorted(_folder().glob(f"{_prefix(cluster, namespace)}*.json"))


def recorded(cluster: KubernetesCluster, namespace: str | None) -> list[Found]:
    """Read the records of a namespace's pods (None: of all namespaces) on this cluster, the newest first."""
    prefix = _prefix(cluster, namespace) if namespace is not None else _prefix(cluster, "").removesuffix("_")
    ours = [path for path in _folder().glob(f"{prefix}*") if _OURS.fullmatch(path.name)]
    return newest_first(found for path in ours if (found := _read(path)) is not None)


def _read(path: Path) -> Found | None:
    store = FileStore(path)
    try:
        record, alive = store.look()
    except RecordError as error:
        return Found(path, fault=str(error))
    return None if record is None else Found(path, record, alive=alive)


def newest_first(found: Iterable[Found]) -> list[Found]:
    """Order records by when their bounces began, each bounce once; at the end those that can't be read."""
    read, unread = dict[str, Found](), list[Found]()
    for one in sorted(found, key=lambda one: one.path):
        if one.record is None:
            unread.append(one)
        else:  # it may be set aside too, as FILE.last: that comes after FILE
            read.setdefault(one.record.bounce_id, one)
    return [*sorted(read.values(), key=lambda one: _begun(one.record), reverse=True), *unread]


def _begun(record: BounceRecord | None) -> datetime:
    return record.path[0].at if record else datetime.min.replace(tzinfo=UTC)


def prune(now: datetime) -> None:
    """Remove the records of ended bounces that are too old or too many. Best effort: it must not change how a run ends.

    Only files of the default folder that have a name of ours. An end that nobody was told stays; so does, while it is
    not too old, one after which a replacement may still come. A folder that another runner has locked is left alone.
    """
    with contextlib.suppress(OSError, RecordError, KeyboardInterrupt):
        ours = [path for path in _folder().iterdir() if _OURS.fullmatch(path.name)]
        saved = {path: datetime.fromtimestamp(path.lstat().st_mtime, UTC) for path in ours}
        for path in outlived(saved, now):
            with contextlib.suppress(DamagedRecord, UnknownSchema):
                FileStore(path).remove_told(_any if now - saved[path] > KEPT else _nothing_comes)


def _any(_: BounceRecord) -> bool:
    return True


def _nothing_comes(record: BounceRecord) -> bool:
    return not left_waiting(record)


def outlived(saved: Mapping[Path, datetime], now: datetime) -> list[Path]:
    """Choose the files that were last saved more than KEPT ago, and all but the MOST_KEPT newest."""
    newest = sorted(saved, key=lambda path: saved[path], reverse=True)
    return [path for number, path in enumerate(newest) if number >= MOST_KEPT or now - saved[path] > KEPT]


def _folder() -> Path:
    return xdg_folder("XDG_STATE_HOME", "~/.local/state")


def _prefix(cluster: KubernetesCluster, namespace: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9.-]", "-", cluster.context)[:60]
    return f"{readable}-{_hashed(f'{cluster.context} {cluster.server}')}_{namespace}_"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
