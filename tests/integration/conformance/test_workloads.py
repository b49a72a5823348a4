"""The controllers of pods: the defaults of their objects, the pods that they own, and what happens to these.

The pods find no Kubernetes node, so nothing runs in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from real_cluster import till

from .things import Kind, Things
from .wire import Api, Json

POD: Json = {
    "terminationGracePeriodSeconds": 1,
    "nodeSelector": {"example.com/none": "such"},
    "containers": [{"name": "app", "image": "app:1"}],
}
TEMPLATE: Json = {"metadata": {"labels": {"app": "web"}}, "spec": POD}


def _owner(kind: str, **spec: Any) -> Kind:
    whole = {"selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE, **spec}
    return Kind("apps/v1", kind, f"{kind.lower()}s", lambda _: {"spec": dict(whole)})


SETS = {
    "ReplicaSet": _owner("ReplicaSet"),
    "StatefulSet": _owner("StatefulSet", serviceName="web"),
    "Deployment": _owner("Deployment"),
    "DaemonSet": _owner("DaemonSet"),
}
JOB = Kind("batch/v1", "Job", "jobs", lambda _: {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}})
New = Callable[[Kind], Things]


class Owner(Things):
    """A controller and its pods. Each test has its own label, so that no controller adopts another test's pods."""

    def new(self, suffix: str = "", /, *, spec: Json | None = None, **metadata: Any) -> Json:
        fresh = super().new(suffix, spec=spec, **metadata)
        if self.kind.kind != "Job":
            labels = {"app": self.name}
            fresh["spec"] |= {
                "selector": {"matchLabels": labels},
                "template": {**TEMPLATE, "metadata": {"labels": labels}},
            }
        return fresh

    def pods(self) -> list[Json]:
        path = f"/api/v1/namespaces/{self.api.namespace}/pods"
        selector = f"job-name={self.name}" if self.kind.kind == "Job" else f"app={self.name}"
        return list(self.api.ask("GET", path, labelSelector=selector)["items"])

    def pod_names(self) -> list[str]:
        return sorted(pod["metadata"]["name"].removeprefix(self.name) for pod in self.pods())

    def events(self) -> list[Json]:
        path = f"/api/v1/namespaces/{self.api.namespace}/events"
        selector = f"involvedObject.kind={self.kind.kind},involvedObject.name={self.name}"
        return list(self.api.ask("GET", path, fieldSelector=selector)["items"])


@pytest.fixture
def owner(new: New) -> Iterator[Callable[[Kind], Owner]]:
    """Controllers for this test. They are deleted at its end, as a namespace full of them is deleted slowly."""
    made: list[Owner] = []

    def make(kind: Kind) -> Owner:
        things = new(kind)
        made.append(Owner(things.api, kind, things.name))
        return made[-1]

    yield make
    for each in made:
        pods = each.pods()
        each.delete({"propagationPolicy": "Background"})
        till("the owner gone", lambda each=each: each.gone)  # type: ignore[misc]  # a default, not an argument
        for pod in pods:
            place = f"/api/v1/namespaces/{each.api.namespace}/pods/{pod['metadata']['name']}"
            each.api.ask("DELETE", place, {"gracePeriodSeconds": 0})


def pod_that_is_known(things: Owner) -> Json:
    """Wait for a pod that the scheduler has judged: by then the garbage collector knows it too.

    A pod that the collector does not know when its owner goes is not made an orphan: it is deleted later.
    """
    (pod,) = till("a pod with a condition", lambda: [pod for pod in things.pods() if pod["status"].get("conditions")])
    return pod


def controller(obj: Json) -> Json | None:
    """The only owner of an object."""
    (only,) = obj["metadata"].get("ownerReferences") or [None]
    return dict(only) if only else None


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("ReplicaSet", {"replicas": 1}),
        ("StatefulSet", {"replicas": 1, "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10}),
        ("Deployment", {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}),
        ("DaemonSet", {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}}),
    ],
)
def test_a_workload_gets_its_defaults(owner: Callable[[Kind], Owner], kind: str, given: Json) -> None:
    made = owner(SETS[kind]).made()
    assert given.items() <= made["spec"].items()
    assert made["metadata"]["generation"] == 1


def test_a_job_gets_a_selector_of_its_own_pods(owner: Callable[[Kind], Owner]) -> None:
    job = owner(JOB)
    made = job.made()
    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"] == {"matchLabels": {"controller-uid": uid}}
    assert {"parallelism": 1, "completions": 1, "backoffLimit": 6}.items() <= made["spec"].items()
    assert made["spec"]["template"]["metadata"]["labels"] == {"controller-uid": uid, "job-name": job.name}


@pytest.mark.parametrize("kind", [*SETS, "Job"])
def test_an_unknown_name_is_not_found_with_its_group(owner: Callable[[Kind], Owner], kind: str) -> None:
    things = owner(JOB if kind == "Job" else SETS[kind])
    answer = things.get()
    assert answer.refusal == (404, "NotFound")
    assert answer["details"] == {"name": things.name, **things.kind.details}


@pytest.mark.parametrize("kind", ["ReplicaSet", "StatefulSet", "Job"])
def test_a_workload_owns_its_pods_and_writes_an_event_about_each(owner: Callable[[Kind], Owner], kind: str) -> None:
    things = owner(JOB if kind == "Job" else SETS[kind])
    made = things.made()
    (pod,) = till("a pod", things.pods)
    assert controller(pod) == {
        "apiVersion": things.kind.api_version,
        "kind": kind,
        "name": things.name,
        "uid": made["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    assert pod["metadata"]["generateName"] == f"{things.name}-"
    (event,) = till("an Event", things.events)
    name = pod["metadata"]["name"]
    text = f"create Pod {name} in StatefulSet {things.name} successful" if kind == "StatefulSet" else None
    assert (event["type"], event["reason"], event["message"]) == (
        "Normal",
        "SuccessfulCreate",
        text or f"Created pod: {name}",
    )
    assert (event["source"], event["count"]) == ({"component": f"{kind.lower()}-controller"}, 1)


def test_the_schedulers_events_use_the_newer_api(owner: Callable[[Kind], Owner]) -> None:
    things = owner(SETS["ReplicaSet"])
    things.made()
    (pod,) = till("a pod", things.pods)
    path, name = f"/api/v1/namespaces/{things.api.namespace}/events", pod["metadata"]["name"]
    found = till("an Event", lambda: things.api.ask("GET", path, fieldSelector=f"involvedObject.name={name}")["items"])
    event = found[0]
    assert (event["type"], event["reason"]) == ("Warning", "FailedScheduling")
    assert event["message"] == "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity."
    assert (event["source"], event["lastTimestamp"], "count" in event) == ({}, None, False)
    assert (event["reportingComponent"], bool(event["eventTime"])) == ("default-scheduler", True)
    conditions = things.api.ask("GET", f"/api/v1/namespaces/{things.api.namespace}/pods/{name}")["status"]["conditions"]
    assert [(one["type"], one["status"], one["reason"]) for one in conditions] == [
        ("PodScheduled", "False", "Unschedulable")
    ]


@pytest.mark.parametrize(("policy", "names"), [("OrderedReady", ["-0"]), ("Parallel", ["-0", "-1"])])
def test_a_stateful_sets_second_pod_waits_for_the_first_unless_it_is_parallel(
    owner: Callable[[Kind], Owner], policy: str, names: list[str]
) -> None:
    things = owner(SETS["StatefulSet"])
    things.made(spec={"replicas": 2, "podManagementPolicy": policy})
    till("its pods", lambda: things.pod_names() == names)
    till("the status", lambda: things.get()["status"].get("replicas") == len(names))
    assert things.pod_names() == names


def test_a_deployment_has_a_replica_set_for_its_template(api: Api, owner: Callable[[Kind], Owner]) -> None:
    things = owner(SETS["Deployment"])
    made = things.made()
    path = f"/apis/apps/v1/namespaces/{api.namespace}/replicasets"
    (first,) = till("a ReplicaSet", lambda: api.ask("GET", path, labelSelector=f"app={things.name}")["items"])
    assert (controller(first) or {})["uid"] == made["metadata"]["uid"]
    marked = first["metadata"]["labels"]["pod-template-hash"]
    assert first["metadata"]["name"] == f"{things.name}-{marked}"
    assert first["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    (pod,) = till("a pod", things.pods)
    assert pod["metadata"]["labels"]["pod-template-hash"] == marked
    till("the revision", lambda: "annotations" in things.get().metadata)
    assert things.get().metadata["annotations"]["deployment.kubernetes.io/revision"] == "1"
    event = till("an Event", things.events)[0]
    assert (event["reason"], event["message"]) == (
        "ScalingReplicaSet",
        f"Scaled up replica set {first['metadata']['name']} to 1",
    )


def test_a_daemons_pod_is_bound_to_one_kubernetes_node_by_affinity(api: Api, owner: Callable[[Kind], Owner]) -> None:
    (node,) = api.ask("GET", "/api/v1/nodes")["items"]
    things = owner(SETS["DaemonSet"])
    pod_spec = {**POD, "nodeSelector": {}, "containers": [{"name": "app", "image": "docker.io/local/none:1"}]}
    fresh = things.new()
    fresh["spec"]["template"] = {**fresh["spec"]["template"], "spec": pod_spec}
    assert things.post(fresh).status == 201
    (pod,) = till("a pod", things.pods)
    field = {"key": "metadata.name", "operator": "In", "values": [node["metadata"]["name"]]}
    required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required == {"nodeSelectorTerms": [{"matchFields": [field]}]}
    assert pod["metadata"]["generateName"] == f"{things.name}-"
    till("the status", lambda: things.get()["status"].get("desiredNumberScheduled") == 1)


@pytest.mark.parametrize(("policy", "finalizer"), [("Orphan", "orphan"), ("Foreground", "foregroundDeletion")])
def test_an_owner_stays_until_the_garbage_collector_has_done_its_work(
    owner: Callable[[Kind], Owner], policy: str, finalizer: str
) -> None:
    things = owner(SETS["StatefulSet"])
    things.made()
    pod = pod_that_is_known(things)
    answer = things.delete({"propagationPolicy": policy})
    assert (200, "StatefulSet", [finalizer]) == (answer.status, answer["kind"], answer.metadata["finalizers"])
    till("the owner gone", lambda: things.gone)
    if policy == "Orphan":
        (left,) = things.pods()
        assert (left["metadata"]["uid"], controller(left)) == (pod["metadata"]["uid"], None)
    else:
        assert things.pods() == []


def test_an_orphan_is_adopted_by_the_next_owner_of_its_name(owner: Callable[[Kind], Owner]) -> None:
    things = owner(SETS["StatefulSet"])
    things.made()
    pod = pod_that_is_known(things)
    things.delete({"propagationPolicy": "Orphan"})
    till("the owner gone", lambda: things.gone)
    second = things.made()
    till("adopted", lambda: (controller(things.pods()[0]) or {}).get("uid") == second["metadata"]["uid"])
    assert [one["metadata"]["uid"] for one in things.pods()] == [pod["metadata"]["uid"]]


def test_a_job_orphans_its_pods_if_no_policy_is_given(owner: Callable[[Kind], Owner]) -> None:
    things = owner(JOB)
    things.made()
    pod_that_is_known(things)
    assert things.delete().metadata["finalizers"] == ["orphan"]
    till("the owner gone", lambda: things.gone)
    (left,) = things.pods()
    assert controller(left) is None


def test_a_deleted_pod_of_a_job_is_replaced(api: Api, owner: Callable[[Kind], Owner]) -> None:
    things = owner(JOB)
    things.made()
    (pod,) = till("a pod", things.pods)
    api.ask("DELETE", f"/api/v1/namespaces/{api.namespace}/pods/{pod['metadata']['name']}")
    till("another", lambda: [one for one in things.pods() if one["metadata"]["uid"] != pod["metadata"]["uid"]])


def test_a_stateful_set_writes_an_event_if_a_quota_refuses_its_pod(api: Api, owner: Callable[[Kind], Owner]) -> None:
    place = f"{api.namespace}-quota"
    assert api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": place}}).status == 201
    try:
        quota = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}}
        assert api.ask("POST", f"/api/v1/namespaces/{place}/resourcequotas", quota).status == 201
        fresh = owner(SETS["StatefulSet"]).new()
        name = fresh["metadata"]["name"]
        assert api.ask("POST", f"/apis/apps/v1/namespaces/{place}/statefulsets", fresh).status == 201
        text = (
            f'create Pod {name}-0 in StatefulSet {name} failed error: pods "{name}-0" is forbidden: '
            "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"
        )

        def told() -> list[Json]:
            events = api.ask("GET", f"/api/v1/namespaces/{place}/events")["items"]
            return [event for event in events if event["message"] == text]

        event = till("told", told)[0]
        assert (event["type"], event["reason"], event["involvedObject"]["kind"]) == (
            "Warning",
            "FailedCreate",
            "StatefulSet",
        )
    finally:
        api.ask("DELETE", f"/api/v1/namespaces/{place}")


# What has no namespace

SITES = "/apis/express.example.com/v1/expresssites"


def test_a_cluster_scoped_resource_is_not_found_in_a_namespace(api: Api, new: New) -> None:
    name = new(JOB).name
    site = {"apiVersion": "express.example.com/v1", "kind": "ExpressSite", "metadata": {"name": name}}
    made = api.ask("POST", SITES, {**site, "spec": {"state": "down"}})
    assert (201, "namespace" in made.metadata) == (made.status, False)
    inside = f"/apis/express.example.com/v1/namespaces/{api.namespace}/expresssites"
    for path in (inside, f"{inside}/{name}"):
        assert (404, "404 page not found\n") == ((answer := api.ask("GET", path)).status, answer.body)
    assert api.ask("GET", f"{SITES}/{name}").body == made.body
    assert api.ask("GET", f"{SITES}/none").refusal == (404, "NotFound")
    assert api.ask("DELETE", f"{SITES}/{name}").status == 200


def test_discovery_says_that_it_is_cluster_scoped(api: Api) -> None:
    resources = api.ask("GET", "/apis/express.example.com/v1")["resources"]
    scopes = {each["name"]: (each["kind"], each["namespaced"]) for each in resources}
    assert scopes["expressnodes"] == ("ExpressNode", True)
    assert scopes["expresssites"] == ("ExpressSite", False)
    verbs = next(each["verbs"] for each in resources if each["name"] == "expresssites")
    assert {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"} == set(verbs)


@pytest.mark.parametrize(
    "path", ["/apis/none.example.com", "/apis/none.example.com/v1", "/apis/express.example.com/v9"]
)
def test_a_group_that_is_not_served_is_not_found_in_plain_text(api: Api, path: str) -> None:
    assert (404, "404 page not found\n") == ((answer := api.ask("GET", path)).status, answer.body)


@pytest.mark.parametrize("path", ["/apis/apps/v9", "/api/v9"])
def test_a_version_of_a_built_in_group_that_is_not_served(api: Api, path: str) -> None:
    assert api.ask("GET", path).refusal == (404, "NotFound")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_namespaced_object_is_not_found_without_its_namespace(api: Api, method: str) -> None:
    answer = api.ask(method, "/apis/express.example.com/v1/expressnodes/a")
    assert (404, "404 page not found\n") == (answer.status, answer.body)
    answer = api.ask(method, "/apis/apps/v1/statefulsets/a")
    assert answer.refusal == (404, "NotFound")
    assert answer["message"] == "the server could not find the requested resource"


def test_a_namespaced_object_is_not_created_without_its_namespace(api: Api) -> None:
    node = {"apiVersion": "express.example.com/v1", "kind": "ExpressNode", "metadata": {"name": "a"}}
    answer = api.ask("POST", "/apis/express.example.com/v1/expressnodes", node)
    assert (404, "404 page not found\n") == (answer.status, answer.body)
    assert api.ask("POST", "/api/v1/pods", {}).refusal == (405, "MethodNotAllowed")


def test_a_cluster_scoped_owner_owns_objects_in_every_namespace(api: Api, pods: Things) -> None:
    site = {"apiVersion": "express.example.com/v1", "kind": "ExpressSite", "metadata": {"name": pods.name}}
    made = api.ask("POST", SITES, {**site, "spec": {"state": "down"}})
    reference = {key: made[key] for key in ("apiVersion", "kind")} | {
        key: made.metadata[key] for key in ("name", "uid")
    }
    pods.made(ownerReferences=[reference])
    api.ask("DELETE", f"{SITES}/{pods.name}")
    till("the owned one gone", lambda: pods.gone)
