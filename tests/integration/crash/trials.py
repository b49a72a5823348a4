"""One trial: a bounce that is killed or paused at a point of its code, and what became of its pod and its record."""

from __future__ import annotations

import json
import os
import queue
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGKILL
from typing import Any, Self

from sampling import dice
from victims import REQUEST, protection

from mecbounce.advancing import advance, begin
from mecbounce.kubernetes_api.client import KubernetesCluster
from mecbounce.machine import BEFORE_DELETION, Event, State
from mecbounce.record import BounceRecord
from mecbounce.sandbox import Behaviour, Sandbox
from mecbounce.stores import FileStore

IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # an fsync there costs nothing
VICTIMS = Path(__file__).with_name("victims.py")
GRACEFUL = Behaviour(stops_after=1, starts_after=1, recreates_after=0.5)
SPEED = 100
RUNS = 3  # to find the points of a bounce
LINES_OF_A_RECOVERY = 2500  # about as many run in a whole bounce; a late recovery has ended before
Point = tuple[str, str, int]


@dataclass(frozen=True)
class Trace:
    """Where a victim is hit by the signal `number` (0: by none), and counted on the way.

    At a point, when it first comes there, or at its nth line or bytecode.
    """

    number: int = SIGKILL
    point: Point | None = None
    nth: int | None = None
    bytecodes: bool = False


@dataclass(frozen=True)
class Ended:
    """How a run ended: "stopped", or an exit status, negative for a signal.

    Of one that was traced to its end: how many lines or bytecodes ran, and the number at which each point came first.
    """

    pid: int
    status: int | str
    outcome: str
    count: int
    first: tuple[tuple[Point, int], ...]

    @property
    def hit(self) -> bool:
        return self.status in ("stopped", -SIGKILL)


class Site:
    """An embedded cluster with the node mec-0, and a process that bounces it."""

    def __init__(self, folder: Path, *, in_mapping: bool = False, mutant: str | None = None) -> None:
        self._folder = folder
        folder.mkdir()
        self._how = {"in_mapping": in_mapping, "mutant": mutant}
        self._records = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            self.sandbox = stack.enter_context(Sandbox(speed=SPEED))
            self.sandbox.behave(GRACEFUL)
            self.sandbox.add_node("mec-0", annotations={"protected": "yes"})
            self._process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, VICTIMS, str(self.sandbox.kubeconfig)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == "ready\n"
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def new_record(self) -> Path:
        self._records += 1
        return self._folder / f"record-{self._records}"

    def old_record(self) -> Path:
        """Make the record of a bounce that announced its DELETE a day ago and was left there."""
        path, day_ago = self.new_record(), datetime.now(UTC) - timedelta(days=1)
        cluster = KubernetesCluster.from_kubeconfig(self.sandbox.kubeconfig)
        record = begin(REQUEST, day_ago, server=cluster.server)
        while record.state is not State.DELETE_POD:
            record = advance(record, cluster, day_ago, protection=protection(cluster)).record
        path.write_text(record.model_dump_json())
        return path

    def bounce(self, record: Path, trace: Trace | None = None) -> Ended:
        """Run one `perform()`; returns once it has ended or stopped."""
        return self._ordered({"record": str(record), "trace": vars(trace) if trace else None, **self._how})

    def go_on(self, stopped: Ended) -> Ended:
        return self._ordered({"go_on": stopped.pid})

    def _ordered(self, order: dict[str, Any]) -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        first = tuple(((state, file, line), nth) for (state, file, line), nth in answer.pop("first"))
        return Ended(**answer, first=first)

    def pod(self) -> Any:
        return self.sandbox.get("pods", "mec-0")

    def at_rest(self) -> Any:
        """Wait until the pod, or its replacement, has started."""

        def started() -> bool:
            pod = self.pod()
            statuses = pod["status"].get("containerStatuses", ()) if pod else ()
            terminating = pod is not None and "deletionTimestamp" in pod["metadata"]
            return bool(statuses) and not terminating and all(one["started"] for one in statuses)

        self.sandbox.wait_for(started)
        return self.pod()

    def meanwhile(self, what: str) -> None:
        """Let another hand do that."""
        pod = self.pod()
        if what != "nothing" and pod and "deletionTimestamp" not in pod["metadata"]:
            self.sandbox.delete("pods", "mec-0")
        if what == "replaced":
            self.at_rest()

    def faults(self, record: Path, old_uid: str, requests_before: int, *, deletes: Container[int] = (1,)) -> list[str]:
        """Tell what became of the pod and the record that must not have; empty where all is well."""
        pod = self.at_rest()
        uid, protected = pod["metadata"]["uid"], pod["metadata"]["annotations"]["protected"]
        deletions = [
            one for one in self.sandbox.requests[requests_before:] if (one.verb, one.status) == ("delete", 200)
        ]
        stored = self.stored(record)
        faults = []
        if len(deletions) not in deletes:
            faults.append(f"{len(deletions)} accepted DELETEs")
        if protected != "yes":
            faults.append("the protection of the new pod was switched off")
        if stored is None or stored.state is not State.DONE:
            faults.append(f"the record says {stored.state if stored else 'nothing'}")
        elif stored.old_pod is None or stored.old_pod.uid != old_uid:
            faults.append("the record is of another incarnation")
        elif stored.new_pod is None or stored.new_pod.uid != uid:
            faults.append("the replacement in the record is not the pod that stands there")
        return faults

    def stored(self, record: Path) -> BounceRecord | None:
        if not self._how["in_mapping"]:
            return FileStore(record).load()
        return BounceRecord.model_validate_json(json.dumps(json.loads(record.read_text())["mecbounce"]))


@dataclass
class Tally:
    """What many trials came to."""

    hit: int = 0
    hit_again: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.hit += other.hit
        self.hit_again += other.hit_again
        self.ends += other.ends
        self.faults += other.faults


Trial = Callable[[Site, Trace, random.Random, Tally], None]


def killed(site: Site, trace: Trace, rng: random.Random, tally: Tally) -> None:
    """Kill a bounce there, kill its recovery somewhere, then let it run to its end."""
    old, before, record = site.at_rest()["metadata"]["uid"], len(site.sandbox.requests), site.new_record()
    first = site.bounce(record, trace)
    if rng.random() < 0.5:  # recovered at once, or when the cluster has gone on without it
        site.at_rest()
    second = site.bounce(record, Trace(nth=rng.randint(1, LINES_OF_A_RECOVERY)))
    if second.hit and rng.random() < 0.5:
        site.at_rest()
    last = site.bounce(record) if second.hit else second
    tally.hit += first.hit
    tally.hit_again += first.hit and second.hit
    tally.ends[last.outcome] += 1
    tally.faults += [f"{trace.point or trace.nth}: {fault}" for fault in site.faults(record, old, before)]


MEANWHILE = ("nothing", "nothing", "nothing", "deleted", "replaced")


def killed_with_an_old_intent(site: Site, trace: Trace, rng: random.Random, tally: Tally) -> None:
    """Kill a bounce there that is resumed a day late, kill its recovery somewhere, then let it run to its end.

    Before it is resumed, or after the first kill, another hand may delete the pod.
    """
    old, before, record = site.at_rest()["metadata"]["uid"], len(site.sandbox.requests), site.old_record()
    first_hand, second_hand = rng.choice(MEANWHILE), rng.choice(MEANWHILE)
    site.meanwhile(first_hand)
    first = site.bounce(record, trace)
    if first.hit:
        site.meanwhile(second_hand)
    second = site.bounce(record, Trace(nth=rng.randint(1, LINES_OF_A_RECOVERY)))
    last = site.bounce(record) if second.hit else second
    tally.hit += first.hit
    tally.hit_again += first.hit and second.hit
    tally.ends[last.outcome] += 1
    undisturbed = not first.hit or second_hand == "nothing"
    deletes = (0,) if first_hand != "nothing" else (1,) if undisturbed else (0, 1)
    found = site.faults(record, old, before, deletes=deletes)
    stored = site.stored(record)
    expiries = sum(one.event is Event.INTENT_EXPIRED for one in stored.path) if stored else 0
    if expiries > 1 or (undisturbed and expiries != (first_hand == "nothing")):
        found.append(f"the checks were asked again {expiries} times")
    tally.faults += [f"{trace.point or trace.nth}, {first_hand}, then {second_hand}: {fault}" for fault in found]


def paused(site: Site, trace: Trace, rng: random.Random, tally: Tally) -> None:  # noqa: ARG001 -- a Trial
    """Stop a bounce there, let a second runner finish it, then let the first go on."""
    old, before, record = site.at_rest()["metadata"]["uid"], len(site.sandbox.requests), site.new_record()
    first = site.bounce(record, trace)
    second = site.bounce(record)
    if first.hit:
        site.at_rest()
        tally.hit += 1
        first = site.go_on(first)
    tally.ends[first.outcome] += 1
    if second.outcome == "RecordNotSaved":  # the first was stopped with the lock in its hands
        site.bounce(record)
    elif second.outcome != "DONE":
        tally.faults.append(f"{trace.point}: the second runner ended {second.outcome}")
    if first.outcome not in ("DONE", "Superseded"):
        tally.faults.append(f"{trace.point}: the first runner ended {first.outcome or first.status}")
    tally.faults += [f"{trace.point}: {fault}" for fault in site.faults(record, old, before)]


def undisturbed(site: Site, *, bytecodes: bool = False) -> Ended:
    """Run one bounce that is only traced."""
    site.at_rest()
    return site.bounce(site.new_record(), Trace(number=0, bytecodes=bytecodes))


def points_of_an_old_intent(site: Site) -> list[Point]:
    """Give the points of a bounce that is resumed a day late, up to its DELETE."""
    site.at_rest()
    found = site.bounce(site.old_record(), Trace(number=0)).first
    return [point for point, _ in found if point[0] in ("nothing saved", *BEFORE_DELETION)]


def points(site: Site) -> list[Point]:
    """Run some bounces, of which none waits quite like the other; gives all their points, each a line in a state."""
    return [*dict.fromkeys(point for _ in range(RUNS) for point, _ in undisturbed(site).first)]


def one_of_each_line(found: list[Point]) -> list[Point]:
    """Choose for each line one of the states in which it runs."""
    by_line: dict[tuple[str, int], list[Point]] = {}
    for point in found:
        by_line.setdefault(point[1:], []).append(point)
    chooses = dice("states")
    return [chooses.choice(states) for states in by_line.values()]


def shuffled(found: list[Point], states: Container[str], number: int = SIGKILL) -> list[Trace]:
    """Give the points in these states in an order of the seed's."""
    traces = [Trace(number, point) for point in found if point[0] in states]
    dice("shuffled").shuffle(traces)
    return traces


@contextmanager
def sites(count: int = os.cpu_count() or 1, **how: Any) -> Iterator[list[Site]]:
    """Make sites to work at side by side."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=IN_MEMORY)))
        yield [stack.enter_context(Site(folder / str(number), **how)) for number in range(count)]


def try_all(trial: Trial, traces: Iterable[Trace], at: list[Site], *, until: str | None = None) -> Tally:
    """Run a trial for each trace, each site one after the other, the sites side by side; `until` a fault says that."""
    left = queue.SimpleQueue[Trace]()
    for one in traces:
        left.put(one)
    whole = Tally()

    def work(site: Site) -> Tally:
        tally = Tally()
        while until is None or not any(until in fault for fault in tally.faults):
            try:
                trace = left.get_nowait()
            except queue.Empty:
                break
            trial(site, trace, dice(trace), tally)
        return tally

    with ThreadPoolExecutor(len(at)) as pool:
        for tally in pool.map(work, at):
            whole.add(tally)
    return whole
