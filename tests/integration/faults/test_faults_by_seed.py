"""Bounces through the real adapter, with faults, changes of the cluster, kills and clock steps chosen by a seed."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fault_bench import Bench, Killed, benched, hasten
from fault_proxy import READ_FAULTS, STALE, WATCH_FAULTS, WRITE_FAULTS, Exchange, Fault
from sampling import dice, forms

from mecbounce.machine import Event
from mecbounce.record import BounceRecord
from mecbounce.result import BounceResult
from mecbounce.sandbox import Sandbox
from mecbounce.sandbox.errors import ApiError
from mecbounce.stores import MappingStore

TIMEOUTS = {"api": 0.3, "termination": 1.0, "ready": 1.0}  # seconds
FAULTS = {
    "get": READ_FAULTS,
    "list": (*READ_FAULTS, STALE, STALE),
    "patch": WRITE_FAULTS,
    "create": WRITE_FAULTS,
    "delete": WRITE_FAULTS,
    "watch": WATCH_FAULTS,
}
REPLACED_WITHIN = 2  # seconds


def replaced(sandbox: Sandbox) -> None:
    """Another hand replaces the pod, and waits until the next one is there."""
    before = sandbox.delete("pods", "mec-0", grace=0)["metadata"]["uid"]

    def is_there() -> bool:
        pod = sandbox.get("pods", "mec-0")
        return pod is not None and pod["metadata"]["uid"] != before

    sandbox.wait_for(is_there, REPLACED_WITHIN)


CHANGES: tuple[Callable[[Sandbox], object], ...] = (
    replaced,
    replaced,
    lambda sandbox: sandbox.delete("pods", "mec-0"),
    lambda sandbox: sandbox.patch("expressnodes", "mec-0", {"spec": {"state": "down"}}),
    lambda sandbox: sandbox.patch("expressnodes", "mec-0", {"spec": {"state": "up"}}),
    lambda sandbox: sandbox.compact(),
    lambda sandbox: sandbox.drop_watches(abruptly=True),
)


class Play:
    """One bounce, to its end, under what its seed holds ready."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench = bench
        self.dice = {verb: random.Random(f"{seed} {verb}") for verb in ("", *FAULTS)}  # noqa: S311 -- no secret
        dice = self.dice[""]
        self.share = dice.choice([0.1, 0.3, 0.6])
        self.changes = {dice.randrange(1, 12): dice.choice(CHANGES) for _ in range(2)}
        self.kills = set(dice.sample(range(12), dice.randrange(4)))
        self.steps_of_clock = {dice.randrange(1, 20): dice.choice([-1, 1]) for _ in range(2)}
        self.saves = self.readings = self.asked = self.kills_done = 0
        self.state: dict[str, Any] = {}
        bench.proxy.plan = self.plan

    def plan(self, exchange: Exchange) -> Fault | None:
        with self.bench.proxy.lock:
            self.asked += exchange.verb != "watch"  # which comes when it likes
            change = self.changes.pop(self.asked, None)
            dice = self.dice[exchange.verb]
            fault = dice.choice(FAULTS[exchange.verb]) if dice.random() < self.share else None
        if change is not None:
            with contextlib.suppress(ApiError, TimeoutError):  # there may be no pod to be changed
                change(self.bench.sandbox)
        return fault

    def observe(self, record: BounceRecord) -> None:
        self.bench.on_save(record)
        self.may_be_killed()

    def may_be_killed(self) -> None:
        self.saves += 1
        if self.saves in self.kills:
            self.kills_done += 1
            raise Killed

    def clock(self) -> datetime:
        """Read a clock that is an hour wrong for ten readings, and in the end takes every wait for over."""
        self.readings += 1
        wrong = sum(hours for at, hours in self.steps_of_clock.items() if at <= self.readings < at + 10)
        wrong += 2 if self.readings > 60 else 0
        return datetime.now(UTC) + timedelta(hours=wrong)

    def perform(self) -> BounceResult:
        while True:
            store = MappingStore(self.state, flush=self.may_be_killed)
            task = self.bench.task(store, timeouts=TIMEOUTS, clock=self.clock, observe=self.observe)
            with contextlib.suppress(Killed):
                return task.perform()


def play(seeds: Iterable[int], folder: Path) -> str:
    """Play them all; tells what was met."""
    ends: Counter[Event] = Counter()
    met: Counter[str] = Counter()
    busiest = 0
    for seed in seeds:
        with benched(folder) as bench:
            one = Play(bench, seed)
            result = one.perform()
            try:
                bench.check(result)
            except AssertionError as error:
                asked = [(each.verb, f"{each.fault}", each.statuses) for each in bench.proxy.exchanges]
                raise AssertionError(f"seed {seed}: {error}: {result} after {asked}") from error
            ends[result.event] += 1
            met["faults"] += sum(1 for each in bench.proxy.exchanges if each.fault)
            met["requests"] += len(bench.proxy.exchanges)
            met["kills"] += one.kills_done
            busiest = max(busiest, bench.busiest())
    return (
        f"{ends.total()} bounces, {met['requests']} requests, {met['faults']} faults, {met['kills']} kills; "
        f"at most {busiest} requests in 10 s; ends: {', '.join(f'{count} {end}' for end, count in ends.most_common())}"
    )


@forms("bounces", short=12, long=400)
def test_any_seed(bounces: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, figure: Callable[[str], None]) -> None:
    hasten(monkeypatch)
    figure(f"faults by seed: {play(dice('faults by seed').sample(range(1_000_000), bounces), tmp_path)}")
