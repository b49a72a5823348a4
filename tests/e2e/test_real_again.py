"""A bounce that failed, and the same line typed again: it keeps waiting, and its pod gets one DELETE in all."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_cluster import till

from mecbounce import State

from .helpers import Command, state_in
from .real import LOOK_EVERY, Audit, Site

pytestmark = [pytest.mark.e2e, pytest.mark.once]


@pytest.mark.parametrize("generated", [False, True], ids=["fixed-name", "generated-name"])
def test_after_exit_5_the_same_line_waits_on_until_the_replacement_is_back(
    site: Site, command: Command, audit: Audit, tmp_path: Path, *, generated: bool
) -> None:
    gated, record = site.gated(), tmp_path / "r.json"
    old = site.deployment("app", gated) if generated else site.node(gated)
    name, uid = old.metadata.name, old.metadata.uid
    words = site.bare_words(name) if generated else site.words(name)
    words = ("run", *words, "--ready-timeout", "12s", "--state", str(record))
    assert command.run(*words).outcome[:2] == (5, "ready_timeout")
    late = (site.pod_of("app") if generated else site.running(name)).metadata

    again = command.start(*words)
    till(State.AWAIT_READY, lambda: state_in(record) == State.AWAIT_READY, every=LOOK_EVERY)
    site.let_go(late.name, uid)
    ended = command.finish(again)
    assert (ended.status, ended.result["state"], "waits_on" in ended.notices) == (0, "DONE", True), ended.result
    assert (ended.result["old_pod"]["uid"], ended.result["new_pod"]["uid"]) == (uid, late.uid)
    assert [one.name for one in audit.by_mecbounce(site.namespace) if one.deletes] == [name]
