"""A cluster in memory whose pods live on by themselves, whose answers get lost, and which knows what happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum
from functools import partial

from builders import STARTUP_PROBE, pod
from fakes import FakeClock, FakeCluster

from mecbounce.errors import AccessDenied, Conflict, NotFound, Refused, Unreachable
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.request import NodeRef

OPERATOR = {"kind": "ExpressNode", "name": "mec-0", "uid": "owner-1", "controller": True}
REPLICA_SET = {"kind": "ReplicaSet", "name": "web", "uid": "owner-2", "controller": True}


class Fate(Enum):
    """What befalls one call."""

    FINE = "fine"
    LOST = "lost before the server acted"
    UNANSWERED = "lost after the server acted"
    THROTTLED = "429"
    DENIED = "403"
    REFUSED = "refused by a webhook"
    NO_ROUTE = "404 of something in between"
    CONFLICT = "409 without a reason"
    STALE = "a stale look"
    OVERTAKEN = "the pod is replaced right after a look, or right before a DELETE"


ERRORS: Mapping[Fate, Callable[[str], Exception]] = {
    Fate.LOST: Unreachable,
    Fate.UNANSWERED: Unreachable,
    Fate.THROTTLED: partial(Unreachable, retry_after=1),
    Fate.DENIED: AccessDenied,
    Fate.REFUSED: Refused,
    Fate.NO_ROUTE: partial(NotFound, served=False),
    Fate.CONFLICT: Conflict,
}


class TrueTime(FakeClock):
    """A clock that can be set: `now` is what it reads, `elapsed` the seconds that have truly passed."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def pass_time(self, seconds: float) -> None:
        self.elapsed += seconds
        self.now += timedelta(seconds=seconds)


class ModelCluster(FakeCluster):
    """`fates` befall the next calls, one each; a name that is `generated` is new for each pod.

    `started`: the UIDs of all pods that ever had. `misled`: how many stale looks were given, each of them as the
    pods were three changes ago, and never before `forget`. `on_call` is told of each call.
    """

    def __init__(self, clock: TrueTime, *, generated: bool, probed: bool) -> None:
        super().__init__(clock)
        self.time = clock
        self.generated, self.probed = generated, probed
        self.births: dict[str, float] = {}
        self.started: set[str] = set()
        self.fates: list[Fate] = []
        self.misled = self.befallen = 0
        self.on_call: Callable[[], object] = lambda: None
        self.past: list[tuple[Pod, ...]] = []

    # What goes on in it

    def is_made(self) -> str:
        """Make a pod, as its controller does; gives its UID."""
        uid = f"uid-{len(self.births)}"
        self.births[uid] = self.time.elapsed
        self._becomes(self._pod(uid))
        return uid

    def starts(self, uid: str) -> None:
        self.started.add(uid)
        self._becomes(self._pod(uid))

    def terminates(self, uid: str) -> None:
        metadata = self.present[uid].metadata.model_copy(update={"deletion_timestamp": self.clock.now})
        self._becomes(self.present[uid].model_copy(update={"metadata": metadata}))

    def goes(self, uid: str) -> None:
        self.gone(uid)
        self._changed()

    def goes_on(self) -> None:
        """Do what comes next by itself: a deleted pod goes, one that is there starts, a missing one is made."""
        for uid, one in self.present.items():
            if one.terminating:
                return self.goes(uid)
            if uid not in self.started:
                return self.starts(uid)
        if len(self.present) < (2 if self.generated else 1):
            self.is_made()
        return None

    def is_replaced(self) -> None:
        """Let another hand be quicker: all pods go, and another one is there and has started."""
        for uid in list(self.present):
            self.goes(uid)
        self.starts(self.is_made())

    def forget(self) -> None:
        self.past.clear()
        self._changed()

    def _becomes(self, changed: Pod) -> None:
        self.present[changed.uid] = changed
        self._changed()

    def _changed(self) -> None:
        self.past.append(tuple(self.present.values()))

    def _pod(self, uid: str) -> Pod:
        return pod(
            uid.replace("uid", "web") if self.generated else "mec-0",
            uid,
            owner=REPLICA_SET if self.generated else OPERATOR,
            created=self.births[uid],
            metadata={"generateName": "web-"} if self.generated else {},
            container={"startupProbe": STARTUP_PROBE} if self.probed else {},
            ready=uid in self.started,
        )

    # What it is asked

    def _called(self, call: str) -> None:
        super()._called(call)
        self.on_call()

    def _fate(self) -> Fate:
        fate = self.fates.pop(0) if self.fates else Fate.FINE
        self.befallen += fate is not Fate.FINE
        return fate

    def _answered(self, fate: Fate) -> None:
        if fate is Fate.OVERTAKEN:
            self.is_replaced()
        if fate in ERRORS:
            raise ERRORS[fate](fate.value)

    def node(self, namespace: str, ref: NodeRef) -> Mapping[str, object]:
        answer = super().node(namespace, ref)
        self._answered(self._fate())
        return answer

    def pods(self, namespace: str, name: str | None = None) -> tuple[Pod, ...]:
        fate, answer = self._fate(), super().pods(namespace, name)
        self._answered(fate)
        if fate is Fate.STALE:
            self.misled += 1
            answer = tuple(one for one in self.past[-3:][0] if name in {None, one.name})
        return answer

    def delete_pod(self, namespace: str, name: str, uid: str, *, dry_run: bool = False) -> None:
        fate = self._fate()
        if fate is not Fate.UNANSWERED:
            self._answered(fate)
        super().delete_pod(namespace, name, uid, dry_run=dry_run)
        self._changed()
        if fate is Fate.UNANSWERED:
            self._answered(fate)
