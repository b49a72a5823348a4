"""What a type checker sees of the public names. Checked by `make lint`, never run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, assert_type

from mecbounce import (
    AnnotationProtection,
    BounceRecord,
    BounceRequest,
    BounceResult,
    BounceTask,
    Cluster,
    ClusterType,
    Diagnosis,
    Event,
    ExecProtection,
    FileStore,
    HttpProtection,
    Interrupted,
    KubernetesCluster,
    MappingStore,
    NodeRef,
    Notice,
    Plan,
    PlanCluster,
    Progress,
    Protection,
    ReadyWhen,
    ShutdownProtection,
    State,
    Step,
    Store,
    Superseded,
    Timeouts,
    Wait,
    advance,
    begin,
    cancel,
    plan,
)
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.record import PinnedPod, SeenPod
from mecbounce.record import Runner as NamedRunner


def asks() -> BounceRequest:
    node = NodeRef(group="express.example.com", version="v1", plural="expressnodes", name="mec-0")
    request = BounceRequest(
        namespace="mec",
        pod="mec-0",
        node=node,
        cluster_type=ClusterType.K8S_GITOPS,
        force=False,
        pod_uid=None,
        timeouts=Timeouts(termination=300, ready=900.5, api=30),
        ready_when=ReadyWhen.STARTED,
    )
    assert_type(request.namespace, str)
    assert_type(request.node, NodeRef | Literal["auto"] | None)
    assert_type(request.given_node, NodeRef | None)
    assert_type(request.timeouts.ready, float | None)
    assert_type(request.timeouts.api, float)
    assert_type(request.is_k8s_gitops(), bool)
    assert_type(node.down_values, frozenset[str])
    request.force = True  # type: ignore[misc]  # a request is frozen
    BounceRequest(pod="mec-0")  # type: ignore[call-arg]  # it must say which namespace
    BounceRequest(namespace="mec", pod="mec-0", retries=3)  # type: ignore[call-arg]  # there is no such field
    return request


class Runner:
    """A task of an in-house runner."""

    def __init__(self) -> None:
        self.step_state: dict[str, Any] = {}

    def save(self) -> None: ...

    def should_stop(self) -> bool:
        return False

    def show(self, progress: Progress) -> None:
        assert_type(progress.state, State)
        assert_type(progress.since, datetime)
        assert_type(progress.deadline, datetime | None)
        assert_type(progress.code, str)
        assert_type(progress.fraction, float | None)

    async def perform_in_a_thread(self, task: BounceTask) -> None:
        assert_type(await asyncio.to_thread(task.perform), BounceResult)

    def perform(self, request: BounceRequest) -> str:
        cluster = KubernetesCluster.from_kubeconfig()
        assert_type(cluster, KubernetesCluster)
        task = BounceTask(
            request,
            cluster,
            MappingStore(lambda: self.step_state, flush=self.save),
            protection=AnnotationProtection(cluster, "example.com/protected", "no"),
            notify=lambda notice: assert_type(notice, Notice),
            observe=lambda record: assert_type(record, BounceRecord),
            progress=self.show,
            stop=self.should_stop,
            events=False,
        )
        try:
            result = task.perform()
        except (Interrupted, Superseded) as left:
            return str(left)
        assert_type(result, BounceResult)
        assert_type(result.state, State)
        assert_type(result.event, Event)
        assert_type(result.diagnosis, Diagnosis | None)
        assert_type(result.new_pod, SeenPod | None)
        assert_type(result.protection, Protection | None)
        assert_type(result.durations, Mapping[State, float])
        assert_type(result.notices, tuple[Notice, ...])
        assert_type(result.next_commands, tuple[str, ...])
        if result.reported_again:
            assert_type(task.forget(), None)
        return result.message

    def perform_in_steps(self, task: BounceTask) -> None:
        step = task.advance()
        assert_type(step, Step)
        assert_type(step.wait, Wait | None)
        assert_type(step.result, BounceResult | None)
        if step.wait is not None:
            assert_type(step.wait.seconds, float)


def takes_steps(request: BounceRequest, cluster: Cluster, protection: ShutdownProtection) -> None:
    now = datetime.now(UTC)
    record = begin(request, now)
    assert_type(record, BounceRecord)
    assert_type(record.old_pod, PinnedPod | None)
    assert_type(record.deadline, datetime | None)
    assert_type(advance(record, cluster, now, protection=protection), Step)
    assert_type(cancel(record, cluster, now), Step | None)


def plans(request: BounceRequest, cluster: PlanCluster, protection: ShutdownProtection) -> None:
    found = plan(request, cluster, protection, events=False)
    assert_type(found, Plan)
    assert_type(found.goes_on, bool)


class Switch:
    """A protection of one's own is whatever has this method."""

    def disable(self, pod: Pod) -> bool | None:
        return assert_type(pod.name, str) == "mec-0"


class InMemory:
    """A store of one's own is whatever has these three."""

    def load(self) -> BounceRecord | None:
        return None

    def save(self, record: BounceRecord) -> None: ...

    def clear(self) -> None: ...


def fits(cluster: KubernetesCluster) -> None:
    stores: tuple[Store, ...] = (FileStore("mec-0.json"), InMemory())
    protections: tuple[ShutdownProtection, ...] = (
        Switch(),
        HttpProtection(cluster, 8080, "/off"),
        ExecProtection(cluster, ("switch", "off")),
    )
    any_cluster: Cluster = cluster
    plans(asks(), cluster, protections[0])
    BounceTask(asks(), any_cluster, stores[0], protection=protections[0], runner="ci-job-4711")
    assert_type(FileStore("mec-0.json").held(), bool)
    assert_type(begin(asks(), datetime.now(UTC)).runner, NamedRunner | None)
    BounceTask(asks(), any_cluster, {})  # type: ignore[arg-type]  # a step state is not yet a store
