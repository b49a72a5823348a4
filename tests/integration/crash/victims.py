"""Bounces in forks of this process, each traced and killed or stopped where its order says.

`python victims.py KUBECONFIG` prints "ready", then reads one order a line and answers each with one line, both JSON.
An order holds the arguments of `bounce` and, under "trace", those of `Tracer`; or it is {"go_on": PID}, for a victim
that was stopped. The answer comes when the victim has ended or stopped: {"pid", "status",
"outcome", "count", "first"}.
Everything is imported once, before the forks.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import structlog
from kubernetes import client

import mecbounce
from mecbounce import (
    AnnotationProtection,
    BounceRequest,
    BounceTask,
    FileStore,
    KubernetesCluster,
    MappingStore,
    NodeRef,
    State,
    Timeouts,
    stores,
)
from mecbounce.errors import MecBounceError
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.record import BounceRecord, PinnedPod

PACKAGE = str(Path(mecbounce.__file__).parent)
PATIENCE, PATIENCE_WITH_A_MUTANT = 60.0, 1.0  # seconds, for each wait
LOCK_WAIT = 0.05  # seconds; a victim may be stopped with the lock in its hands
REQUEST = BounceRequest(
    namespace="default",
    pod="mec-0",
    node=NodeRef(group="express.example.com", version="v1", plural="expressnodes", name="mec-0"),
    timeouts=Timeouts(termination=PATIENCE, ready=PATIENCE),
)
Point = tuple[str, str, int]  # the state that was saved last, the file, the line
TraceFunction = Callable[[FrameType, str, Any], Any]


@cache
def _is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(PACKAGE) or (code.co_name, code.co_filename) == ("flush", __file__)


@cache
def _name(file: str) -> str:
    return Path(file).name


class Tracer:
    """Counts the lines (or bytecodes) of mecbounce's own that run, and sends itself the signal `number` at one."""

    def __init__(self, number: int, *, point: Point | None, nth: int | None, bytecodes: bool) -> None:
        self._number = number
        self._point = tuple(point) if point else None
        self._nth = nth
        self._bytecodes = bytecodes
        self.count = 0
        self.state = "nothing saved"
        self.first: dict[Point, int] = {}

    def __call__(self, frame: FrameType, event: str, arg: Any) -> TraceFunction | None:  # noqa: ARG002 -- sys.settrace
        code = frame.f_code
        if not _is_ours(code):
            return None
        frame.f_trace_opcodes = self._bytecodes
        frame.f_trace_lines = not self._bytecodes
        return self._within

    def _within(self, frame: FrameType, event: str, arg: Any) -> TraceFunction:  # noqa: ARG002 -- sys.settrace
        if event in ("line", "opcode"):
            self.count += 1
            point = (self.state, _name(frame.f_code.co_filename), frame.f_lineno)
            new = point not in self.first
            if new:
                self.first[point] = self.count
            if self.count == self._nth or (new and point == self._point):
                os.kill(os.getpid(), self._number)
        return self._within

    def follow(self, record: BounceRecord) -> None:
        self.state = record.state.value


def bounce(
    request: BounceRequest,
    cluster: KubernetesCluster,
    record: str,
    *,
    in_mapping: bool = False,
    mutant: str | None = None,
    tracer: Tracer | None = None,
) -> str:
    """Run one `perform()` and tell how it ended."""
    stores.LOCK_WAIT = LOCK_WAIT
    store: Any = step_state(Path(record)) if in_mapping else FileStore(record)
    if mutant:
        short = Timeouts(termination=PATIENCE_WITH_A_MUTANT, ready=PATIENCE_WITH_A_MUTANT)
        request = request.model_copy(update={"timeouts": short})
        store = MUTANTS[mutant](store, cluster, request)
    observe = tracer.follow if tracer else None
    task = BounceTask(request, cluster, store, protection=protection(cluster), observe=observe)
    if tracer:
        threading.settrace(tracer)
        sys.settrace(tracer)
    try:
        return task.perform().state.value
    except MecBounceError as error:
        return type(error).__name__
    finally:
        sys.settrace(None)


def protection(cluster: KubernetesCluster) -> AnnotationProtection:
    return AnnotationProtection(cluster, "protected", "no")


def step_state(file: Path) -> MappingStore:
    """Keep a step state as a runner would: a dict, written whole to its file by each flush."""
    state = json.loads(file.read_text()) if file.exists() else {}

    def flush() -> None:
        aside = file.with_suffix(".new")
        text = json.dumps(state)
        half = len(text) // 2
        with aside.open("w") as written:
            written.write(text[:half])
            written.flush()
            written.write(text[half:])
        aside.replace(file)

    return MappingStore(state, flush)


# --- what mecbounce must not do: each must be seen by the tests ---------------------------------------------------


def without_precondition(store: Any, cluster: KubernetesCluster, request: BounceRequest) -> Any:  # noqa: ARG001
    """The DELETE goes by name alone."""
    delete = client.CoreV1Api.delete_namespaced_pod

    def by_name(self: Any, name: str, namespace: str, *, body: dict[str, Any], **options: Any) -> Any:
        return delete(self, name, namespace, body={**body, "preconditions": {}}, **options)

    client.CoreV1Api.delete_namespaced_pod = by_name
    return store


def unpinned_protection(store: Any, cluster: KubernetesCluster, request: BounceRequest) -> Any:  # noqa: ARG001
    """The annotation is patched by name alone."""
    annotate = cluster.annotate_pod

    def by_name(pod: Pod, key: str, value: str) -> None:
        present = next((one for one in cluster.pods("default", pod.name) if not one.terminating), pod)
        annotate(present, key, value)

    cluster.annotate_pod = by_name  # type: ignore[method-assign]
    return store


class ActsBeforeItSaves:
    """Nothing is announced: up to the deletion, a record is saved only after it."""

    def __init__(self, store: Any, cluster: KubernetesCluster, request: BounceRequest) -> None:  # noqa: ARG002
        self._store = store
        self._held_back: list[BounceRecord] = []

    def load(self) -> BounceRecord | None:
        found: BounceRecord | None = self._store.load()
        return found

    def save(self, record: BounceRecord) -> None:
        self._held_back.append(record)
        if record.state not in (State.INIT_CHECKS, State.DISABLE_PROTECTION, State.DELETE_POD):
            for one in self._held_back:
                self._store.save(one)
            self._held_back.clear()


class AdoptsTheNewPod:
    """A resumed bounce takes whatever pod has the name now for the one to bounce."""

    def __init__(self, store: Any, cluster: KubernetesCluster, request: BounceRequest) -> None:
        self._store, self._cluster, self._request = store, cluster, request

    def load(self) -> BounceRecord | None:
        found: BounceRecord | None = self._store.load()
        pods = self._cluster.pods(self._request.namespace, self._request.pod)
        if found is None or found.finished or not pods:
            return found
        return found.model_copy(update={"old_pod": PinnedPod.of(pods[0], pods)})

    def save(self, record: BounceRecord) -> None:
        self._store.save(record)


MUTANTS: dict[str, Callable[[Any, KubernetesCluster, BounceRequest], Any]] = {
    "without_precondition": without_precondition,
    "unpinned_protection": unpinned_protection,
    "acts_before_it_saves": ActsBeforeItSaves,
    "adopts_the_new_pod": AdoptsTheNewPod,
}


# --- the process -----------------------------------------------------------------------------------------------------


class Victim:
    """A fork that runs one bounce, and what it tells of it at its end."""

    def __init__(self, request: BounceRequest, cluster: KubernetesCluster, order: dict[str, Any]) -> None:
        self._told = tempfile.TemporaryFile()  # noqa: SIM115 -- open as long as the victim lives
        self.pid = os.fork()
        if self.pid == 0:
            trace = order.pop("trace")
            tracer = Tracer(**trace) if trace else None
            outcome = bounce(request, cluster, tracer=tracer, **order)
            traced = {"count": tracer.count, "first": [*tracer.first.items()]} if tracer else {}
            self._told.write(json.dumps({"outcome": outcome, **traced}).encode())
            self._told.flush()
            os._exit(0)

    def wait(self) -> dict[str, Any]:
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        answer: dict[str, Any] = {"pid": self.pid, "status": "stopped", "outcome": "", "count": 0, "first": []}
        if os.WIFSTOPPED(status):
            return answer
        with self._told:
            self._told.seek(0)
            answer |= {"status": os.waitstatus_to_exitcode(status), **json.loads(self._told.read() or "{}")}
        return answer


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory() as folder:  # what is imported late is imported now
        bounce(REQUEST, KubernetesCluster.from_kubeconfig(sys.argv[1]), f"{folder}/record")
    cluster = KubernetesCluster.from_kubeconfig(sys.argv[1])  # without a connection that forks would share
    gc.freeze()
    print("ready", flush=True)  # noqa: T201 -- the first line
    victims: dict[int, Victim] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if "go_on" in order:
            victim = victims.pop(order["go_on"])
            os.kill(victim.pid, signal.SIGCONT)
        else:
            victim = Victim(REQUEST, cluster, order)
        answer = victim.wait()
        if answer["status"] == "stopped":
            victims[victim.pid] = victim
        print(json.dumps(answer), flush=True)  # noqa: T201 -- the answer


if __name__ == "__main__":
    main()
