"""Whatever controls a pod: is its replacement known, and where none comes, is it said why?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client
from real_cluster import if_found, till

from .helpers import IDLE, Command, Finished, Json
from .real import GATE, LOOK_EVERY, Site
from .stories import Bench, Story, Told, played

pytestmark = pytest.mark.e2e

HOLD = "example.com/hold"
MERGE = "application/merge-patch+json"
FAILS_AT_TERM = f"trap 'sleep 6; exit 1' TERM; {IDLE}"
FILLS_ITS_DISK = f"dd if=/dev/zero of=/tmp/big bs=1M count=8; {IDLE}"

STORIES: dict[str, Story] = {}


def story(play: Story) -> Story:
    STORIES[play.__name__] = play
    return play


@pytest.fixture(scope="module")
def told(shared_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """How a story ended; the first to ask waits for all of them."""
    with played(STORIES, Bench(shared_site, Command(tmp_path_factory.mktemp("state")))) as made:
        yield made


# --- a StatefulSet -----------------------------------------------------------------------------------------------


@story
def remade(bench: Bench) -> Finished:
    site = bench.site
    site.stateful_set("remade", bench.slow())

    def change() -> None:
        delete_orphaning(site, "remade")
        body = site.workload("remade", template=bench.slow(), serviceName="none")
        site.apps.create_namespaced_stateful_set(site.namespace, body)

    return bench.run_while_it_stops("remade-0", change, "--ready-timeout", "30s")


def delete_orphaning(site: Site, name: str) -> None:
    """Delete a StatefulSet as `kubectl delete --cascade=orphan` does, and wait until it has gone."""
    site.apps.delete_namespaced_stateful_set(name, site.namespace, propagation_policy="Orphan")
    till(f"{name} gone", lambda: not if_found(lambda: site.apps.read_namespaced_stateful_set(name, site.namespace)))


def test_a_statefulset_that_is_made_anew_while_its_pod_stops_replaces_it(shared_site: Site, told: Told) -> None:
    """Its UID is another one, its kind and name are the same: done, with a notice."""
    ran = told("remade")
    assert (ran.outcome, ran.notices) == ((0, "pod_ready", None), {"controller_remade"}), ran.result
    assert ran.result["new_pod"]["uid"] == shared_site.pod("remade-0").metadata.uid != ran.result["old_pod"]["uid"]


@story
def gone(bench: Bench) -> Finished:
    bench.site.stateful_set("gone", bench.slow())
    return bench.run_while_it_stops("gone-0", lambda: delete_orphaning(bench.site, "gone"), "--ready-timeout", "2s")


def test_a_statefulset_that_has_gone_is_told(told: Told) -> None:
    ran = told("gone")
    assert ran.outcome == (5, "not_recreated", "controller_gone"), ran.result
    assert "StatefulSet gone" in ran.evidence


@story
def deleting(bench: Bench) -> Finished:
    site = bench.site
    site.stateful_set("deleting", bench.slow())

    def hold(*finalizers: str) -> None:
        body = {"metadata": {"finalizers": list(finalizers)}}
        site.apps.patch_namespaced_stateful_set("deleting", site.namespace, body, _content_type=MERGE)

    def change() -> None:
        hold(HOLD)
        site.apps.delete_namespaced_stateful_set("deleting", site.namespace)

    try:
        return bench.run_while_it_stops("deleting-0", change, "--ready-timeout", "2s")
    finally:
        hold()


def test_a_statefulset_that_is_being_deleted_is_told(told: Told) -> None:
    """A finalizer keeps it: it stands, and makes no pod."""
    ran = told("deleting")
    assert ran.outcome == (5, "not_recreated", "controller_deleting"), ran.result
    assert "StatefulSet deleting" in ran.evidence


@story
def shrunk(bench: Bench) -> Finished:
    site, none = bench.site, {"spec": {"replicas": 0}}
    site.stateful_set("shrunk", bench.slow())

    def change() -> None:
        site.apps.patch_namespaced_stateful_set_scale("shrunk", site.namespace, none)

    return bench.run_while_it_stops("shrunk-0", change, "--ready-timeout", "2s")


def test_a_statefulset_that_is_scaled_down_is_told(told: Told) -> None:
    ran = told("shrunk")
    assert ran.outcome == (5, "not_recreated", "controller_scaled_down"), ran.result
    assert "StatefulSet shrunk" in ran.evidence


@story
def row(bench: Bench) -> tuple[Json, Finished]:
    """Bounce the second pod while the first is not ready; give the plan of that, too."""
    site = bench.site
    site.stateful_set("row", site.spec() | {"readinessGates": [{"conditionType": GATE}]}, replicas=2)
    make_ready(site, "row-0", "True")
    site.running("row-1")
    make_ready(site, "row-0", "False")
    plan = bench.command.run("plan", *site.bare_words("row-1"))
    return plan.result, bench.run("row-1", "--ready-timeout", "3s")


def make_ready(site: Site, name: str, status: str) -> None:
    """Let a pod that has the readiness gate be ready, or not, and wait until its kubelet has said so."""
    body = {"status": {"conditions": [{"type": GATE, "status": status}]}}
    site.core.patch_namespaced_pod_status(name, site.namespace, body)

    def said() -> bool:
        return ("Ready", status) in {(one.type, one.status) for one in site.pod(name).status.conditions}

    till(f"pod {name}: Ready is {status}", said, every=LOOK_EVERY)


def test_a_predecessor_that_is_not_ready_is_named(told: Told) -> None:
    """A StatefulSet makes its pods in order, each once those before it are ready. The plan says it beforehand."""
    plan, ran = told("row")
    assert ran.outcome == (5, "not_recreated", "predecessor_not_ready"), ran.result
    assert "row-0" in ran.evidence
    assert "row-0" in json.dumps(plan)


# --- a ReplicaSet ------------------------------------------------------------------------------------------------


@story
def rolled(bench: Bench) -> tuple[Finished, str]:
    """Roll a Deployment out while its pod stops; give the ReplicaSet that took over, too."""
    site = bench.site
    old = site.deployment("rolled", bench.slow(), strategy={"rollingUpdate": {"maxUnavailable": 1}})
    release = {"spec": {"template": {"metadata": {"annotations": {"example.com/release": "2"}}}}}

    def change() -> None:
        site.apps.patch_namespaced_deployment("rolled", site.namespace, release)

    ran = bench.run_while_it_stops(old.metadata.name, change, "--ready-timeout", "3s")
    (new,) = site.pods("rolled")
    return ran, new.metadata.owner_references[0].name


def test_a_rollout_that_takes_the_pods_place_is_named(told: Told) -> None:
    """The Deployment, and the ReplicaSet that took over. That nothing came, or nothing serves, would be untrue."""
    ran, successor = told("rolled")
    assert (ran.status, ran.result["diagnosis"]["code"]) == (5, "rolled_out"), ran.result
    assert "Deployment rolled" in ran.evidence
    assert successor in ran.evidence
    assert "nothing has recreated" not in ran.result["message"]
    assert "not in service" not in ran.result["message"]


@story
def scaled(bench: Bench) -> Finished:
    site, none = bench.site, {"spec": {"replicas": 0}}
    old = site.deployment("scaled", bench.slow())

    def change() -> None:
        site.apps.patch_namespaced_deployment_scale("scaled", site.namespace, none)

    return bench.run_while_it_stops(old.metadata.name, change, "--ready-timeout", "2s")


def test_a_deployment_that_is_scaled_down_is_told(told: Told) -> None:
    ran = told("scaled")
    assert ran.outcome == (5, "not_recreated", "controller_scaled_down"), ran.result


@story
def evicted(bench: Bench) -> Finished:
    """The kubelet evicts a pod that fills its disk; the ReplicaSet, which has adopted it, makes a modest one."""
    site, limits = bench.site, {"limits": {"ephemeral-storage": "1Mi"}}
    body = {
        "metadata": {"generateName": "evicted-", "labels": {"app": "evicted"}},
        "spec": site.spec(FILLS_ITS_DISK, resources=limits),
    }
    fat = site.core.create_namespaced_pod(site.namespace, body).metadata.name
    site.apps.create_namespaced_replica_set(site.namespace, site.workload("evicted"))
    till("the eviction", lambda: site.pod(fat).status.reason == "Evicted", seconds=120, every=1)
    till("its replacement", lambda: len(site.pods("evicted")) == 2, every=LOOK_EVERY)
    with site.untouched(fat):
        return bench.run(fat, "--ready-timeout", "3s")


def test_an_evicted_pod_of_a_generated_name_is_not_bounced(told: Told) -> None:
    """It has been replaced already: its ReplicaSet has what it wants."""
    ran = told("evicted")
    assert ran.refused("pod_ended"), ran.result
    assert "Evicted" in ran.result["message"]


# --- a Job -------------------------------------------------------------------------------------------------------


@story
def job(bench: Bench) -> tuple[Finished, Finished]:
    """Bounce the pod of a Job that makes it again, first without force and then with it."""
    name = job_pod(bench, "job")
    with bench.site.untouched(name):
        refused = bench.run(name)
    return refused, bench.run(name, "--force")


def job_pod(bench: Bench, name: str) -> str:
    """Make a Job whose container never ends, and fails when it is asked to: 0 would complete the Job."""
    site = bench.site
    spec = site.spec(FAILS_AT_TERM, grace=10) | {"restartPolicy": "Never"}
    body = {"metadata": {"name": name}, "spec": {"template": {"metadata": {"labels": {"app": name}}, "spec": spec}}}
    client.BatchV1Api(site.api).create_namespaced_job(site.namespace, body)
    return str(site.pod_of(name).metadata.name)


def test_the_pod_of_a_job_is_not_bounced_unless_forced(told: Told) -> None:
    refused, forced = told("job")
    assert refused.refused("pod_of_job"), refused.result
    assert "Job job" in refused.result["message"]
    assert (forced.outcome, forced.notices) == ((0, "pod_ready", None), {"pod_of_job"}), forced.result


@story
def overdue(bench: Bench) -> Finished:
    """Let a Job's own deadline pass while its pod stops."""
    site, name = bench.site, job_pod(bench, "overdue")

    def change() -> None:
        body = {"spec": {"activeDeadlineSeconds": 1}}
        client.BatchV1Api(site.api).patch_namespaced_job("overdue", site.namespace, body)

    return bench.run_while_it_stops(name, change, "--force", "--ready-timeout", "3s")


def test_a_job_that_has_finished_is_told(told: Told) -> None:
    ran = told("overdue")
    assert ran.outcome == (5, "not_recreated", "job_finished"), ran.result
    assert "Job overdue" in ran.evidence
    assert "DeadlineExceeded" in ran.evidence


# --- a DaemonSet -------------------------------------------------------------------------------------------------


@story
def daemon(bench: Bench) -> tuple[Any, Finished]:
    """While its pod stops another Kubernetes node joins, and gets a pod of its own first. Give the old pod, too."""
    site, other = bench.site, f"host-of-{bench.site.namespace}"
    body = site.workload("daemon", template=bench.slow(tolerations=[{"operator": "Exists"}]))
    del body["spec"]["replicas"]
    site.apps.create_namespaced_daemon_set(site.namespace, body)
    old = site.pod_of("daemon")
    taint = {"key": "example.com/only", "value": site.namespace, "effect": "NoSchedule"}

    def change() -> None:
        site.core.create_node({"metadata": {"name": other}, "spec": {"taints": [taint]}})
        till("a pod for that one", lambda: site.pods("daemon"), every=LOOK_EVERY)

    try:
        return old, bench.run_while_it_stops(old.metadata.name, change, "--ready-timeout", "30s")
    finally:
        if_found(lambda: site.core.delete_node(other))


def test_a_daemonsets_pod_is_replaced_on_its_own_kubernetes_node(told: Told) -> None:
    """The pod of another Kubernetes node is another one, even if it is the older."""
    old, ran = told("daemon")
    assert (ran.outcome, ran.notices) == ((0, "pod_ready", None), set()), ran.result
    assert ran.result["new_pod"]["host"] == old.spec.node_name


# --- an operator -------------------------------------------------------------------------------------------------


@story
def ended(bench: Bench) -> Finished:
    """Bounce a pod whose containers have ended for good; the operator leaves it alone as long as it stands."""
    site = bench.site
    site.create_node(site.spec("exit 1") | {"restartPolicy": "Never"}, "ended")
    site.existing("ended")
    till("its end", lambda: site.pod("ended").status.phase == "Failed", every=LOOK_EVERY)
    site.change("ended", template=site.spec())
    return bench.command.run("run", *site.words("ended"))


def test_a_pod_of_a_fixed_name_that_has_ended_is_bounced_with_a_notice(told: Told) -> None:
    ran = told("ended")
    assert (ran.outcome, ran.notices) == ((0, "pod_ready", None), {"pod_ended_in_place"}), ran.result


@story
def owned(bench: Bench) -> Finished:
    """Bounce a pod whose operator sets an owner reference that does not say `controller: true`."""
    bench.site.create_node(name="owned", controls=False)
    bench.site.running("owned")
    return bench.command.run("run", *bench.site.words("owned"))


def test_a_pod_that_its_custom_resource_owns_without_controlling_it_is_bounced_with_a_notice(told: Told) -> None:
    ran = told("owned")
    assert (ran.outcome, ran.notices) == ((0, "pod_ready", None), {"pod_owned"}), ran.result
