"""Whatever the API server answers: a step or a ClusterError, never a traceback, never a DELETE that is not due."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from builders import NOW, STARTUP_PROBE, later, pod, pod_json, request, stamp
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kubernetes.client import ApiException
from mutations import ANY_JSON, EXAMPLES, TEXT, TIMES, almost, as_bytes, mixed, outcome, spoilt
from urllib3 import HTTPResponse

from mecbounce.advancing import advance, begin
from mecbounce.errors import ClusterError, Unreachable
from mecbounce.kubernetes_api.access import Access, Target
from mecbounce.kubernetes_api.client import KubernetesCluster
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.kubernetes_api.watch import _Stream
from mecbounce.machine import Event, State
from mecbounce.planning import plan
from mecbounce.protection import AnnotationProtection
from mecbounce.record import BounceRecord, PinnedPod, StateEntry
from mecbounce.request import BounceRequest


def listed(*pods: Any) -> dict[str, Any]:
    return {"kind": "PodList", "apiVersion": "v1", "items": [*pods], "metadata": {"resourceVersion": "7"}}


def made(**fields: Any) -> dict[str, Any]:
    owner = {"apiVersion": "express.example.com/v1", "kind": "ExpressNode", "name": "mec-0", "uid": "owner-1"}
    return pod_json(owner=owner | {"controller": True}, **fields)


REQUEST = request()
STATUSES = st.sampled_from([0, 100, 302, 400, 403, 404, 405, 408, 409, 410, 422, 429, 500, 503, 504, 599, 10**6, None])
LOOPING = {
    "name": "app",
    "restartCount": 4,
    "lastState": {"terminated": {"exitCode": 137, "reason": "Error", "finishedAt": stamp(-5)}},
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
}
PODS = [
    made(container={"startupProbe": STARTUP_PROBE}),
    made(deleted=20, metadata={"finalizers": ["example.com/held"], "annotations": {"protect": "on"}}),
    made(uid="uid-2", created=5, container={"startupProbe": STARTUP_PROBE}),
    made(uid="uid-2", created=5, ready=False, spec={"readinessGates": [{"conditionType": "example.com/gate"}]}),
    made(uid="uid-2", status={"phase": "Pending", "containerStatuses": [LOOPING]}, ready=False),
    made(uid="uid-2", spec={"initContainers": [{"name": "sidecar", "restartPolicy": "Always"}]}, ready=False),
    made(uid="uid-2", status={"phase": "Failed", "reason": "Evicted", "containerStatuses": []}),
    made(name="mec-7d9f-x", uid="uid-3", metadata={"generateName": "mec-7d9f-"}),
    pod_json(owner=None),
    made(
        spec={"terminationGracePeriodSeconds": 2**63 - 1},
        container={"startupProbe": {"periodSeconds": 2**31 - 1, "failureThreshold": 2**31 - 1}},
    ),
]
NO_LISTS: list[Any] = [
    {"kind": "PodList", "apiVersion": "v1", "items": None, "metadata": {"resourceVersion": "7"}},
    {"kind": "PodList", "apiVersion": "v1", "items": [], "metadata": None},
]
BEYOND_JSON = [b"[" * 100_000, b'{"spec": {"state": "\\ud800"}}', b'{"message": "\\udfff"}', b"9" * 5000, b"\xff", b""]
RESOURCES: list[Any] = [
    {"spec": {"state": state, "size": 3}, "status": {"state": activity, "since": stamp(0)}}
    for state, activity in (("up", "running"), ("down", "stopped"), ("up", "rebuilding"), ("", "efficient_catchup"))
]
CONDITION = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "silent"}
HOSTS: list[Any] = [{"metadata": {"name": "host-1", "uid": "h"}, "status": {"conditions": [CONDITION]}}]
TYPES: list[Any] = [
    {"resources": [{"name": "expressnodes", "kind": "ExpressNode", "namespaced": namespaced}]}
    for namespaced in (True, False)
]
REVIEWS: list[Any] = [{"status": {"allowed": allowed, "reason": "by rule"}} for allowed in (True, False)]
SELECTOR = {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]}
BUDGETS: list[Any] = [
    listed({"metadata": {"name": "b", "uid": "b"}, "spec": {"selector": SELECTOR}, "status": {"disruptionsAllowed": 0}})
]
EVENTS: list[Any] = [{"items": [{"reason": "FailedMount", "message": "no such volume", "type": "Warning"}]}]
REFUSAL: dict[str, Any] = {"kind": "Status", "code": 403, "message": "no", "details": {"causes": [{"message": "no"}]}}


def fuzzed(documents: list[Any]) -> st.SearchStrategy[bytes]:
    """Give one of them as it is, almost so, with another's values, of spoilt bytes, or something else altogether."""
    return st.one_of(
        as_bytes(st.sampled_from(documents)),
        as_bytes(st.sampled_from(documents).flatmap(lambda one: almost(one, ANY_JSON | TIMES))),
        as_bytes(st.sampled_from(documents).flatmap(lambda one: mixed(one, documents))),
        st.sampled_from(documents).flatmap(lambda one: spoilt(json.dumps(one).encode())),
        as_bytes(ANY_JSON),
        st.sampled_from(BEYOND_JSON),
    )


@dataclass
class Answers:
    """Stands for the client's two APIs: answers bytes, and keeps what was sent to be changed."""

    resource: bytes
    pods: bytes
    host: bytes
    events: bytes
    written: bytes
    review: bytes
    budgets: bytes
    types: bytes
    refused: Exception | None = None
    deletes: list[tuple[str, str, Any]] = field(default_factory=list)
    patches: list[Any] = field(default_factory=list)

    def get_namespaced_custom_object(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(data=self.resource)

    get_cluster_custom_object = read_namespaced_replication_controller = get_namespaced_custom_object

    def get_api_resources(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(data=self.types)

    def create_cluster_custom_object(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(data=self.review)

    def list_namespaced_custom_object(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(data=self.budgets)

    list_cluster_custom_object = list_namespaced_custom_object

    def list_namespaced_pod(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(data=self.pods)

    def read_node(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(data=self.host)

    def list_namespaced_event(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(data=self.events)

    def delete_namespaced_pod(self, name: str, namespace: str, *, body: Any, **_: Any) -> Any:
        if "dryRun" not in body:
            self.deletes.append((namespace, name, body))
        return self._written()

    def patch_namespaced_pod(self, _name: str, _namespace: str, body: Any, **_: Any) -> Any:
        self.patches.append(body)
        return self._written()

    def _written(self) -> Any:
        if self.refused:
            raise self.refused
        return SimpleNamespace(data=self.written)


class CannedCluster(KubernetesCluster):
    """The adapter, with canned answers for a server."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers
        access = Access(Target("http://127.0.0.1:1", ""))  # never connects
        super().__init__(access, lambda: access)

    def _connect_pool(self) -> None:
        self._core = self._custom = self._answers


def refusal(status: int | None, reason: str | None, body: bytes | str | None, retry_after: str | None) -> ApiException:
    error = ApiException(status=status, reason=reason)
    error.body, error.headers = body, None if retry_after is None else {"Retry-After": retry_after}
    return error


REFUSALS = st.builds(
    refusal,
    STATUSES,
    st.none() | TEXT,
    st.none() | fuzzed([REFUSAL]) | fuzzed([REFUSAL]).map(lambda body: body.decode(errors="replace")),
    st.none() | st.sampled_from(["7", "-1", "9" * 400, "٣", "1e3", "Thu, 01 Jan 2026 12:00:00 GMT"]),
)
PARTS = {
    "resource": fuzzed(RESOURCES),
    "pods": fuzzed([listed(one) for one in PODS] + [listed(), listed(PODS[0], PODS[7]), *NO_LISTS]),
    "host": fuzzed(HOSTS),
    "events": fuzzed(EVENTS),
    "written": st.sampled_from([b"", b"null"]),
    "review": fuzzed(REVIEWS),
    "budgets": fuzzed(BUDGETS),
    "types": fuzzed(TYPES),
    "refused": REFUSALS,
}
USUAL: dict[str, st.SearchStrategy[Any]] = {
    "resource": as_bytes(st.sampled_from(RESOURCES)),
    "pods": as_bytes(st.sampled_from([listed(), *(listed(one) for one in PODS)])),
    "host": as_bytes(st.sampled_from(HOSTS)),
    "events": as_bytes(st.sampled_from(EVENTS)),
    "written": st.just(b"{}"),
    "review": as_bytes(st.sampled_from(REVIEWS)),
    "budgets": as_bytes(st.sampled_from(BUDGETS)),
    "types": as_bytes(st.sampled_from(TYPES)),
    "refused": st.none(),
}


def answers(*parts: str) -> st.SearchStrategy[Answers]:
    """Give answers as they usually are, but for one of `parts`."""
    return st.sampled_from(parts).flatmap(lambda part: st.builds(Answers, **USUAL | {part: PARTS[part]}))


def may_be_deleted(answers: Answers, uid: str, *, with_node: bool) -> bool:
    """Read off the raw answers, without the models, whether the bounce's terms allow to delete that incarnation.

    `with_node`: a custom resource was named, or found.
    """
    resource: Any = json.loads(answers.resource) if with_node else {}
    desired, activity = ((resource.get(part) or {}).get("state") or "" for part in ("spec", "status"))
    if not isinstance(desired, str) or not isinstance(activity, str):
        return False
    found = [one for one in json.loads(answers.pods)["items"] if one["metadata"]["uid"] == uid]
    owned = any(owner.get("controller") for one in found for owner in one["metadata"].get("ownerReferences") or ())
    runs = [one for one in found if one["metadata"].get("deletionTimestamp") is None]
    return bool(runs) and owned and desired.lower() not in ("down", "stopped") and activity.lower() != "rebuilding"


def whole(record: BounceRecord) -> BounceRecord:
    """Take it through a store's eyes."""
    assert record == BounceRecord.model_validate_json(record.model_dump_json())
    return record


@EXAMPLES
def test_a_bounce_takes_any_answer_and_deletes_only_what_its_terms_allow_and_a_plan_nothing(
    examples: int, figure: Callable[[str], None]
) -> None:
    tried = {"steps": 0, "deletions": 0, "checks that ended it": 0, "trouble": 0, "found": 0}

    @settings(max_examples=100 * examples)
    @given(
        answers=answers("resource", "pods", "pods", "written", "refused", "review", "budgets", "types"),
        asked=st.sampled_from([REQUEST, request(node="auto")]),
    )
    def holds(answers: Answers, asked: BounceRequest) -> None:
        cluster = CannedCluster(answers)
        with suppress(ClusterError):
            plan(asked, cluster, AnnotationProtection(cluster, "protect", "off"))
        assert answers.deletes == answers.patches == []
        record = begin(asked, NOW)
        protection = AnnotationProtection(cluster, "protect", "off")
        for now in (0, 1, 2, 3, 40, 5000, 10_000):
            step = advance(whole(record), cluster, later(now), protection=protection)
            record = step.record
            tried["steps"] += 1
            tried["trouble"] += record.trouble is not None
        tried["deletions"] += bool(answers.deletes)
        tried["checks that ended it"] += len(record.path) == 2 and record.finished
        assert all(namespace == "default" and name == "mec-0" for namespace, name, _ in answers.deletes)
        uids = {body["preconditions"]["uid"] for _, _, body in answers.deletes}
        assert len(uids) <= 1
        assert all(may_be_deleted(answers, uid, with_node=record.node is not None) for uid in uids)
        tried["found"] += record.found_node is not None
        # A DELETE that was refused, or answered with no JSON object, is sent again.
        assert len(answers.deletes) <= 1 or isinstance(answers.refused, ApiException) or answers.written != b"{}"
        assert not answers.patches or record.path[1].state is State.DISABLE_PROTECTION

    holds()
    assert all(tried.values())
    figure(f"fuzz, whole bounces of fuzzed answers: {tried}")


@EXAMPLES
def test_waiting_takes_any_answer_and_never_deletes(examples: int, figure: Callable[[str], None]) -> None:
    pinned = PinnedPod.of(Pod.model_validate(PODS[0]), ())
    first = begin(REQUEST, NOW)
    way = [*first.path, StateEntry(state=State.AWAIT_TERMINATION, at=NOW, event=Event.ALREADY_TERMINATING)]
    waiting = {
        State.AWAIT_TERMINATION: way,
        State.AWAIT_READY: [*way, StateEntry(state=State.AWAIT_READY, at=NOW, event=Event.POD_GONE)],
    }
    ended: dict[str, int] = {}

    @settings(max_examples=100 * examples)
    @given(
        answers=answers("pods", "pods", "host", "events", "resource", "types"),
        state=st.sampled_from([*waiting]),
        gitops=st.booleans(),
    )
    def holds(answers: Answers, state: State, gitops: bool) -> None:
        asked = request(cluster_type="k8s_gitops" if gitops else "k8s")
        fields = {"path": tuple(waiting[state]), "old_pod": pinned, "deadline": later(600), "request": asked}
        record = first.model_copy(update=fields)
        for now in (0, 599, 601, 5000, 5031):
            record = advance(whole(record), CannedCluster(answers), later(now)).record
        why = record.diagnosis.code if record.diagnosis else str(record.path[-1].event)
        ended[why] = ended.get(why, 0) + 1
        assert answers.deletes == answers.patches == []

    holds()
    figure(f"fuzz, waits of fuzzed answers: {100 * examples} tried, ended in {len(ended)} ways")
    assert {"not_recreated", "pod_started"} <= {*ended}


@EXAMPLES
def test_a_list_is_pods_or_names_the_field_that_cannot_be_read(examples: int, figure: Callable[[str], None]) -> None:
    tried = {"read": 0, "unreadable": 0}

    @settings(max_examples=100 * examples)
    @given(data=fuzzed(PODS))
    def holds(data: bytes) -> None:
        raw = b'{"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": [%s]}' % data
        cluster = CannedCluster(SimpleNamespace(list_namespaced_pod=lambda *_, **__: SimpleNamespace(data=raw)))
        told = outcome(lambda: cluster.pods("default"), Unreachable)
        tried["unreadable" if isinstance(told, Unreachable) else "read"] += 1
        assert isinstance(told, tuple) or "can't be read: field " in str(told) or "was not complete" in str(told)

    holds()
    assert all(tried.values())
    figure(f"fuzz, pods: {tried}")


@EXAMPLES
def test_any_refusal_is_a_cluster_error_of_one_kind(examples: int, figure: Callable[[str], None]) -> None:
    kinds: dict[str, int] = {}

    @settings(max_examples=100 * examples)
    @given(error=REFUSALS)
    @example(error=refusal(400, None, b'{"kind": "Status", "message": " "}', None))
    def holds(error: ApiException) -> None:
        def refused(*_: Any, **__: Any) -> Any:
            raise error

        cluster = CannedCluster(SimpleNamespace(list_namespaced_pod=refused))
        told = outcome(lambda: cluster.pods("default"), ClusterError)
        kinds[type(told).__name__] = kinds.get(type(told).__name__, 0) + 1
        assert str(told).encode()
        assert not isinstance(told, Unreachable) or told.retry_after >= 0

    holds()
    assert {"Refused", "Unreachable"} <= {*kinds} <= {one.__name__ for one in ClusterError.__subclasses__()}
    figure(f"fuzz, refusals: {kinds}")


@EXAMPLES
def test_a_watch_of_any_lines_ends_quietly_and_shows_only_pods_that_it_read(
    examples: int, figure: Callable[[str], None]
) -> None:
    events: list[Any] = [{"type": kind, "object": one} for kind in ("ADDED", "MODIFIED", "DELETED") for one in PODS[:3]]
    events += [{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "8"}}}, {"type": "ERROR", "object": {}}]
    tried = {"empty afterwards": 0, "with pods afterwards": 0}

    @settings(max_examples=50 * examples)
    @given(lines=st.lists(fuzzed(events), max_size=3), cut=st.integers(1, 300))
    def holds(lines: list[bytes], cut: int) -> None:
        raw = b"\n".join(lines) + b"\n"
        chunks = [raw[at : at + cut] for at in range(0, len(raw), cut)]
        response = HTTPResponse(preload_content=False)
        response.stream = lambda **_: iter(chunks)  # type: ignore[method-assign,assignment]
        cluster = CannedCluster(SimpleNamespace(list_namespaced_pod=lambda *_, **__: response))
        watch = _Stream(
            lambda: cluster.open_watch("default", None, "7"), (pod(),), threading.Event()
        )  # needs no thread
        watch.run()
        assert watch.ended
        tried["with pods afterwards" if watch.pods() else "empty afterwards"] += 1
        assert all(type(one) is Pod for one in watch.pods())

    holds()
    assert tried["with pods afterwards"]
    figure(f"fuzz, watches: {tried}")
