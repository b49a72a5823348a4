"""Bounces that end well: whatever makes the pods, and however they tell that they have started."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from kubernetes import client
from real_cluster import EXPRESS_NODES, GROUP, VERSION, if_found, till

from mecbounce import BounceRecord, State

from .helpers import NEVER, STARTUP_PROBE, Command, Finished, Json, RunnersTask, probe, starting, state_in
from .real import Audit, Site, Watcher, controller

pytestmark = pytest.mark.e2e

READY_LATER = f"(sleep 3; touch /tmp/ready) & {starting(0)}"
READY_PROBE = probe("test", "-f", "/tmp/ready")


@dataclass(frozen=True)
class Bounced:
    """A pod before its bounce, how the command ended, and the pod at that moment."""

    before: Any
    ran: Finished
    after: Any


@pytest.fixture(scope="module")
def bounced(shared_site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bounced]:
    """Bounces that have nothing to do with one another, run side by side."""
    site = shared_site
    nodes: dict[str, tuple[Json, tuple[str, ...]]] = {
        "started": (site.spec(starting(3), startupProbe=STARTUP_PROBE, readinessProbe=NEVER), ()),
        "ready-when-ready": (
            site.spec(READY_LATER, startupProbe=STARTUP_PROBE, readinessProbe=READY_PROBE),
            ("--ready-when", "ready"),
        ),
        "ready": (site.spec(READY_LATER, readinessProbe=READY_PROBE), ("--gitops",)),
        "catching-up": (site.spec(), ()),
        "catching-up-efficiently": (site.spec(), ()),
    }
    for name, (template, _) in nodes.items():
        site.create_node(template, name)
    client.AppsV1Api(site.api).create_namespaced_stateful_set(site.namespace, site.workload(serviceName="none"))
    before = {name: site.running(name) for name in (*nodes, "app-0")}
    site.report("catchup", "catching-up")
    site.report("Efficient_Catchup", "catching-up-efficiently")
    runs = {name: ("run", *site.words(name), *options) for name, (_, options) in nodes.items()}
    runs["app-0"] = ("run", "app-0", "-n", site.namespace, "-o", "json")
    command = Command(tmp_path_factory.mktemp("state"))
    with ThreadPoolExecutor() as pool:
        ended = pool.map(lambda name: Bounced(before[name], command.run(*runs[name]), site.pod(name)), runs)
    return dict(zip(runs, ended, strict=True))


@pytest.mark.parametrize(
    "name", ["started", "ready-when-ready", "ready", "catching-up", "catching-up-efficiently", "app-0"]
)
def test_a_bounce_ends_with_a_new_incarnation_of_the_same_name(bounced: dict[str, Bounced], name: str) -> None:
    """Be its pod an operator's or a StatefulSet's (app-0)."""
    one = bounced[name]
    assert (one.ran.status, one.ran.result["state"]) == (0, "DONE")
    assert one.ran.result["old_pod"]["uid"] == one.before.metadata.uid
    assert one.ran.result["new_pod"]["uid"] == one.after.metadata.uid != one.before.metadata.uid
    assert one.ran.result["new_pod"]["name"] == name


def test_a_pod_with_a_startup_probe_is_back_once_that_has_passed(bounced: dict[str, Bounced]) -> None:
    """Its readiness is nothing to wait for: here it never comes."""
    one = bounced["started"]
    status = one.after.status.container_statuses[0]
    assert (one.ran.result["event"], status.started, status.ready) == ("pod_started", True, False)


def test_ready_when_ready_waits_beyond_the_startup_probe(bounced: dict[str, Bounced]) -> None:
    one = bounced["ready-when-ready"]
    assert (one.ran.result["event"], one.after.status.container_statuses[0].ready) == ("pod_ready", True)


def test_a_pod_without_a_startup_probe_is_back_once_it_is_ready(bounced: dict[str, Bounced]) -> None:
    """On a GitOps cluster a startup probe is expected, so its absence is said."""
    one = bounced["ready"]
    assert (one.ran.result["event"], one.after.status.container_statuses[0].ready) == ("pod_ready", True)
    assert one.ran.notices == {"no_startup_probe"}


@pytest.mark.parametrize("name", ["catching-up", "catching-up-efficiently"])
def test_a_node_that_catches_up_is_bounced_with_a_notice(bounced: dict[str, Bounced], name: str) -> None:
    assert bounced[name].ran.notices == {"node_catching_up"}


def test_a_replicasets_pod_is_replaced_under_another_name(site: Site, command: Command) -> None:
    """The other replica, which has run all along, is not taken for the replacement."""
    client.AppsV1Api(site.api).create_namespaced_deployment(site.namespace, site.workload(replicas=2))
    before = till("two pods running", lambda: two_running(site))
    ran = command.run("run", before[0].metadata.name, "-n", site.namespace, "-o", "json")
    assert ran.status == 0
    after = till("two pods running again", lambda: two_running(site))
    came = {pod.metadata.uid: pod.metadata.name for pod in after if pod.metadata.uid not in uids(before)}
    assert came == {ran.result["new_pod"]["uid"]: ran.result["new_pod"]["name"]}
    assert before[1].metadata.uid in uids(after)


def two_running(site: Site) -> Any:
    pods = [pod for pod in site.core.list_namespaced_pod(site.namespace).items if not pod.metadata.deletion_timestamp]
    return pods if len(pods) == 2 and all(pod.status.phase == "Running" for pod in pods) else None


def uids(pods: Any) -> set[str]:
    return {pod.metadata.uid for pod in pods}


@pytest.fixture
def stations(real_api: client.ApiClient) -> Iterator[str]:
    """A type of custom resources that lie in no namespace."""
    extensions, custom = client.ApiextensionsV1Api(real_api), client.CustomObjectsApi(real_api)
    body = json.loads(json.dumps(EXPRESS_NODES))
    body["metadata"]["name"] = f"stations.{GROUP}"
    body["spec"] |= {"scope": "Cluster", "names": {"plural": "stations", "singular": "station", "kind": "Station"}}
    if_found(lambda: extensions.delete_custom_resource_definition(body["metadata"]["name"]))
    extensions.create_custom_resource_definition(body)
    till("stations served", lambda: if_found(lambda: custom.list_cluster_custom_object(GROUP, VERSION, "stations")))
    yield "stations"
    extensions.delete_custom_resource_definition(body["metadata"]["name"])


def test_a_pod_of_a_custom_resource_that_lies_in_no_namespace_is_bounced(
    site: Site, command: Command, stations: str
) -> None:
    body = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Station",
        "metadata": {"name": f"of-{site.namespace}"},
        "spec": {"state": "up"},
    }
    station = site.custom.create_cluster_custom_object(GROUP, VERSION, stations, body)
    pod = {"metadata": {"name": "central", "ownerReferences": [controller(station)]}, "spec": site.spec()}
    site.core.create_namespaced_pod(site.namespace, pod)
    old = site.running("central")
    where = f"{GROUP}/{VERSION}/{stations}/{station['metadata']['name']}"
    process = command.start("run", *site.bare_words("central"), "--node", where)
    till("the deletion", lambda: process.poll() is not None or site.pod("central") is None)
    if process.poll() is None:
        site.core.create_namespaced_pod(site.namespace, pod)  # as its operator would
    ran = command.finish(process)
    assert (ran.status, ran.result["state"]) == (0, "DONE"), ran.result
    assert ran.result["new_pod"]["uid"] == site.pod("central").metadata.uid != old.metadata.uid


def test_force_bounces_a_node_that_rebuilds_with_a_notice(site: Site, runners_task: RunnersTask) -> None:
    """Through the runner's task: it blocks to the end, logs the notice, and its step state holds the whole bounce."""
    site.node()
    site.report("rebuilding")
    result = runners_task.perform(site.request(force=True))
    assert (result.state, [notice.code for notice in result.notices]) == (State.DONE, ["node_rebuilding"])
    assert runners_task.log == [notice.message for notice in result.notices]
    again = RunnersTask(runners_task.file).perform(site.request(force=True))
    assert again == result.model_copy(update={"reported_again": True})


def test_a_deletion_under_way_is_joined_and_not_repeated(
    site: Site, command: Command, audit: Audit, tmp_path: Path
) -> None:
    old = site.node(site.spec(grace=10))
    site.finalizers("mec-0", "example.com/hold")  # so that it is still there when the command begins
    site.core.delete_namespaced_pod("mec-0", site.namespace)
    process = command.start("run", *site.words(), "--state", str(tmp_path / "record"))
    till("the deletion joined", lambda: state_in(tmp_path / "record") == State.AWAIT_TERMINATION)
    site.finalizers("mec-0")
    ran = command.finish(process)
    assert (ran.status, ran.notices) == (0, {"already_terminating"})
    assert ran.result["old_pod"]["uid"] == old.metadata.uid
    assert audit.deletions(site.namespace) == []


def test_the_bounce_of_the_issue(
    site_in_default: Site, command: Command, audit: Audit, figure: Callable[[str], None]
) -> None:
    """One JSON object with state DONE and a new UID; one DELETE; at most six requests, and two for its Events."""
    old = site_in_default.node()
    node = "express.example.com/v1/expressnodes/mec-0"
    ran = command.run("run", "mec-0", "-n", "default", "--node", node, "-o", "json")
    asked = audit.by_mecbounce("default")
    figure(f"a bounce made {len(asked)} requests: " + ", ".join(f"{one.verb} {one.resource}" for one in asked))
    assert (ran.status, ran.result["state"]) == (0, "DONE")
    assert ran.result["new_pod"]["uid"] == site_in_default.pod().metadata.uid != old.metadata.uid
    assert len(audit.deletions("default")) == 1
    assert len([one for one in asked if one.tells]) == 2
    assert len(asked) <= 6 + 2, "\n".join(map(str, asked))


def test_how_soon_a_started_replacement_is_seen(site: Site, tmp_path: Path, figure: Callable[[str], None]) -> None:
    """A figure: how long after a bare watch in the same process has the event, the bounce has saved that it is done."""
    names = ["mec-0", "mec-1", "mec-2"]
    for name in names:
        site.create_node(site.spec(starting(0), startupProbe=STARTUP_PROBE), name)
    for name in names:
        site.running(name)

    def delay(name: str) -> float:
        saved: dict[State, float] = {}

        def observe(record: BounceRecord) -> None:
            saved[record.state] = time.monotonic()

        result = RunnersTask(tmp_path / name).perform(site.request(name), observe=observe)
        new = result.new_pod
        assert result.state is State.DONE
        assert new is not None
        started = till("the bare watch", lambda: watcher.started(new.uid))
        return float(1000 * (saved[State.DONE] - started.at))

    with Watcher(site) as watcher, ThreadPoolExecutor() as pool:
        delays = list(pool.map(delay, names))
    each = ", ".join(f"{one:.1f}" for one in delays)
    figure(f"a started replacement was seen {median(delays):.1f} ms after a bare watch had the event (each: {each})")
