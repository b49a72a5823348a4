"""The command killed at random moments, and started twice at once: each pod is bounced once and no bounce is lost."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from real_cluster import till

from mecbounce import State

from .helpers import LONGEST_RUN, Command, Finished, state_in
from .real import Audit, Site, Watcher

pytestmark = [pytest.mark.e2e, pytest.mark.once]

SEED, KILLS, AT_A_TIME = 30, 30, 10
BEFORE_THE_RECORD = "before the record"
PROTECTION = "example.com/protected"

# The stretches of a bounce's life, by how they begin, and a kill's longest delay in them (seconds). Uniformly over the
# whole life nearly all kills would hit Python as it starts or one of the two waits: the rest takes a tenth of a second.
STRETCHES = {
    BEFORE_THE_RECORD: 1.5,
    State.INIT_CHECKS: 0.2,
    State.DISABLE_PROTECTION: 0.05,
    State.DELETE_POD: 0.05,
    State.AWAIT_TERMINATION: 1.5,
    State.AWAIT_READY: 1.5,
}


@dataclass(frozen=True)
class Killed:
    """A bounce that was killed and run again: where the kill hit it, its pod's UIDs, how the second run ended."""

    at: str
    old: str
    new: str
    again: Finished


def test_a_bounce_killed_at_thirty_random_moments_is_ended_by_the_same_command(
    site: Site, command: Command, audit: Audit, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """30 DONE, 30 DELETEs accepted, 30 new UIDs. Seeded; a bounce can't end before its kill."""
    chance = random.Random(SEED)  # noqa: S311 -- the same moments in each run, no secret
    begins = chance.choices(list(STRETCHES), k=KILLS)
    moments = {f"mec-{number}": (begin, chance.uniform(0, STRETCHES[begin])) for number, begin in enumerate(begins)}

    def killed(name: str) -> Killed:
        begin, delay = moments[name]
        old = str(site.node(site.gated(), name, annotations={PROTECTION: "on"}).metadata.uid)
        record = tmp_path / name
        words = ("run", *site.words(name), "--state", str(record), "--protection-annotation", f"{PROTECTION}=off")
        process = command.start(*words)
        if begin != BEFORE_THE_RECORD:
            order = list(State)
            till(
                f"{name} in {begin}",
                lambda: (state := state_in(record)) and order.index(State(state)) >= order.index(State(begin)),
                seconds=LONGEST_RUN,
                every=0.02,
            )
        time.sleep(delay)
        assert process.poll() is None, f"{name} ended before its kill"
        process.kill()
        process.communicate()
        at = state_in(record) or BEFORE_THE_RECORD

        process = command.start(*words)
        site.let_go(name, old)
        return Killed(at, old, str(site.pod(name).metadata.uid), command.finish(process))

    begun = time.monotonic()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        all_killed = dict(zip(moments, pool.map(killed, moments), strict=True))
    took = time.monotonic() - begun
    done = [name for name, one in all_killed.items() if (one.again.status, one.again.result["state"]) == (0, "DONE")]
    deletions = Counter(one.name for one in audit.by_mecbounce(site.namespace) if one.deletes)
    new = {one.again.result["new_pod"]["uid"] for one in all_killed.values() if one.again.result["new_pod"]}
    hit = Counter(one.at for one in all_killed.values())
    where = ", ".join(f"{hit[at]} {at}" for at in (BEFORE_THE_RECORD, *State) if hit[at])
    figure(
        f"{KILLS} kills of a run (seed {SEED}, {took:.0f} s): {len(done)} DONE, {deletions.total()} DELETEs accepted, "
        f"{len(new)} new UIDs; killed: {where}"
    )
    assert done == list(moments)
    assert deletions == Counter(list(moments))
    assert [one.again.result["new_pod"]["uid"] for one in all_killed.values()] == [
        one.new for one in all_killed.values()
    ]
    assert len(new) == KILLS
    assert new.isdisjoint(one.old for one in all_killed.values())
    pods = site.core.list_namespaced_pod(site.namespace).items
    assert {pod.metadata.annotations[PROTECTION] for pod in pods} == {"on"}, "a replacement was unprotected"
    for one in all_killed.values():
        assert one.again.result["old_pod"]["uid"] == one.old
        told = one.again.notices
        if one.at == State.DELETE_POD:  # a busy machine may take longer to begin again than an intent lasts
            told = told - {"intent_expired"}
        assert told == (set() if one.at == BEFORE_THE_RECORD else {"resumed"})


def test_two_runs_started_together_make_one_bounce(
    site: Site, command: Command, audit: Audit, figure: Callable[[str], None]
) -> None:
    """One drives it, the other follows: both end with 0. Both keep the record in its default place."""
    names = ("mec-0", "mec-1", "mec-2")
    for name in names:
        site.create_node(site.gated(), name)
    old = {name: str(site.running(name).metadata.uid) for name in names}

    def together(name: str) -> list[Finished]:
        runs = [command.start("run", *site.words(name)) for _ in range(2)]
        site.let_go(name, old[name])
        return [command.finish(run) for run in runs]

    with Watcher(site) as watcher, ThreadPoolExecutor() as pool:
        finished = dict(zip(names, pool.map(together, names), strict=True))
        for name in names:
            site.ready(name)
        seen = {name: {one.uid for one in watcher.seen if one.pod["metadata"]["name"] == name} for name in names}
    for name, runs in finished.items():
        assert [run.status for run in runs] == [0, 0]
        assert runs[0].result == runs[1].result
        assert [("Following: " in run.stderr) for run in runs] in ([True, False], [False, True])
        assert seen[name] == {old[name], runs[0].result["new_pod"]["uid"]}
    accepted = {name: len(audit.deletions(site.namespace, name)) for name in names}
    figure(
        f"{len(names)} times two runs started together: one bounce each, which the slower run followed; DELETEs "
        f"accepted: {', '.join(map(str, accepted.values()))}"
    )
    assert accepted == dict.fromkeys(names, 1)
