"""An old intent: a bounce that was left in DELETE_POD hours ago asks its checks again before it deletes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from real_cluster import till

from mecbounce import FileStore, KubernetesCluster, State, advance, begin

from .helpers import Command
from .real import Audit, Site

pytestmark = pytest.mark.e2e


def left_in_delete_pod(site: Site, file: Path, *, hours: int = 3) -> None:
    """Take a bounce to DELETE_POD and leave it there; its record's times are so many hours old."""
    cluster, store = KubernetesCluster.from_kubeconfig(), FileStore(file)
    then = datetime.now(UTC) - timedelta(hours=hours)
    record = begin(site.request(), then, server=cluster.server)
    store.save(record)
    while record.state is not State.DELETE_POD:
        assert not record.finished, record.message
        record = advance(record, cluster, then).record
        store.save(record)


def events(file: Path) -> list[Any]:
    """Give the events that led the record from state to state."""
    return [passage["event"] for passage in json.loads(file.read_text())["path"]][1:]


def test_a_node_that_is_turned_down_meanwhile_is_left_alone(site: Site, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "record"
    site.create_node()
    site.existing()
    left_in_delete_pod(site, file)
    site.operator.pause()
    site.change(state="down")
    with site.untouched():
        ran = command.run("run", *site.words(), "--state", str(file))
    assert ran.refused("node_down"), ran.result
    assert events(file) == ["checks_passed", "protection_unused", "intent_expired", "node_down"]


def test_a_pod_that_was_replaced_meanwhile_is_not_deleted(
    site: Site, command: Command, audit: Audit, tmp_path: Path
) -> None:
    """The pin stays: what is left is to wait for the replacement, which stands there already."""
    file, old = tmp_path / "record", site.node()
    left_in_delete_pod(site, file)
    site.core.delete_namespaced_pod("mec-0", site.namespace)
    till("its replacement", lambda: (pod := site.pod()) and pod.metadata.uid != old.metadata.uid)
    ran = command.run("run", *site.words(), "--state", str(file))
    assert (ran.status, ran.result["state"]) == (0, "DONE"), ran.result
    assert ran.result["new_pod"]["uid"] == site.pod().metadata.uid
    assert audit.deletions(site.namespace) == []
    assert events(file)[2:4] == ["intent_expired", "already_replaced"]


def test_what_still_holds_is_carried_out(site: Site, command: Command, audit: Audit, tmp_path: Path) -> None:
    """The checks pass again, and the same incarnation is deleted, once."""
    file, old = tmp_path / "record", site.node()
    left_in_delete_pod(site, file)
    ran = command.run("run", *site.words(), "--state", str(file))
    assert (ran.status, ran.result["state"]) == (0, "DONE"), ran.result
    assert ran.result["old_pod"]["uid"] == old.metadata.uid
    assert len(audit.deletions(site.namespace)) == 1
    assert "intent_expired" in events(file)
