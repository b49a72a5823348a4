"""An old intent: a bounce that was left in DELETE_POD hours ago asks its checks again before it deletes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from real_cluster import till

from mecbounce import FileStore, KubernetesCluster, State, Timeouts, advance, begin

from .helpers import Command, Finished
from .real import LOOK_EVERY, Audit, Site
from .stories import Bench, Story, Told, played

pytestmark = pytest.mark.e2e


def left_in_delete_pod(site: Site, name: str, file: Path, *, hours: int = 3) -> None:
    """Take a bounce to DELETE_POD and leave it there; its record's times are so many hours old."""
    cluster, store = KubernetesCluster.from_kubeconfig(), FileStore(file)
    then = datetime.now(UTC) - timedelta(hours=hours)
    record = begin(site.request(name, timeouts=Timeouts(ready=60)), then, server=cluster.server)
    store.save(record)
    while record.state is not State.DELETE_POD:
        assert not record.finished, record.message
        record = advance(record, cluster, then).record
        store.save(record)


@dataclass(frozen=True)
class Resumed:
    """The pod before its bounce was left, how the same bounce ended, and the events that led it from state to state."""

    old: Any
    ran: Finished
    path: list[str]


def resumed(name: str, file: Path, meanwhile: Callable[[Site], object]) -> Story:
    """Leave a bounce, do something in the meantime, and run it again."""

    def play(bench: Bench) -> Resumed:
        old = bench.site.node(name=name)
        left_in_delete_pod(bench.site, name, file)
        meanwhile(bench.site)
        ran = bench.command.run("run", *bench.site.words(name), "--state", str(file))
        path = json.loads(file.read_text())["path"]
        return Resumed(old, ran, [passage["event"] for passage in path[1:]])

    return play


def turned_down(site: Site) -> None:
    """To a value that this suite's operator does not act upon: the pod stands."""
    site.change("down", state="stopped")


def replaced(site: Site) -> None:
    old = site.pod("replaced").metadata.uid
    site.core.delete_namespaced_pod("replaced", site.namespace)
    till("its replacement", lambda: (pod := site.pod("replaced")) and pod.metadata.uid != old, every=LOOK_EVERY)


@pytest.fixture(scope="module")
def told(shared_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """How a story ended; the first to ask waits for it."""
    folder = tmp_path_factory.mktemp("state")
    meanwhile: dict[str, Callable[[Site], object]] = {
        "down": turned_down,
        "replaced": replaced,
        "unchanged": lambda _: None,
    }
    stories = {name: resumed(name, folder / name, happens) for name, happens in meanwhile.items()}
    with played(stories, Bench(shared_site, Command(folder))) as made:
        yield made


def test_a_node_that_is_turned_down_meanwhile_is_left_alone(shared_site: Site, audit: Audit, told: Told) -> None:
    """Not exit 3: the run that announced the DELETE may be paused right before it."""
    one = told("down")
    assert one.ran.outcome == (1, "node_down", None), one.ran.result
    assert one.ran.result["deletion"] == "unknown"
    assert one.path == ["checks_passed", "protection_unused", "intent_expired", "node_down"]
    assert shared_site.pod("down").metadata.uid == one.old.metadata.uid
    assert audit.deletions(shared_site.namespace, "down") == []


def test_a_pod_that_was_replaced_meanwhile_is_not_deleted(shared_site: Site, audit: Audit, told: Told) -> None:
    """The pin stays: what is left is to wait for the replacement, which stands there already."""
    one = told("replaced")
    assert one.ran.outcome == (0, "pod_ready", None), one.ran.result
    assert one.ran.result["new_pod"]["uid"] == shared_site.pod("replaced").metadata.uid
    assert audit.deletions(shared_site.namespace, "replaced") == []
    assert one.path[2:] == ["pod_gone", "pod_ready"]


def test_what_still_holds_is_carried_out(shared_site: Site, audit: Audit, told: Told) -> None:
    """The checks pass again, and the same incarnation is deleted, once."""
    one = told("unchanged")
    assert one.ran.outcome == (0, "pod_ready", None), one.ran.result
    assert one.ran.result["old_pod"]["uid"] == one.old.metadata.uid
    assert len(audit.deletions(shared_site.namespace, "unchanged")) == 1
    assert one.path[2:4] == ["intent_expired", "checks_passed"]
