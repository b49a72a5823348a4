"""What the checks are given: the custom resource and the controllers, as far as they can be read."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar, NoReturn

import pytest
from builders import NODE, NOW, later, pod, request
from fakes import FakeClock, FakeCluster

from mecbounce import steps
from mecbounce.advancing import advance, begin
from mecbounce.errors import AccessDenied, NotFound, Refused, Unreachable
from mecbounce.kubernetes_api.objects import ServedType
from mecbounce.machine import Event, State
from mecbounce.record import BounceRecord, PinnedPod, StateEntry
from mecbounce.steps import Context, Outcome

REPLICA_SET = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs-1", "controller": True}
STATEFUL_SET = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "mec", "uid": "sts-1", "controller": True}
JOB = {"apiVersion": "batch/v1", "kind": "Job", "name": "backup", "uid": "job-1", "controller": True}


def run(record: BounceRecord, cluster: FakeCluster) -> Outcome:
    return steps.init_checks(Context(record, NOW, cluster, lambda name: cluster.pods("default", name)))


def broken(*_: object) -> NoReturn:
    raise Unreachable("500: conversion webhook for express.example.com/v1 failed")


class TestControllersAbove:
    """Where something stands between the pod and the named resource, it is followed, with a request each."""

    STATEFUL_SET: ClassVar = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "mec", "uid": "sts-1"}

    def cluster(self, owner_uid: str | None) -> FakeCluster:
        cluster = FakeCluster(FakeClock(), pod(owner=self.STATEFUL_SET | {"controller": True}))
        metadata: dict[str, Any] = {"name": "mec-0", "uid": "owner-1", "namespace": "default"}
        cluster.resource = {"apiVersion": "express.example.com/v1", "kind": "ExpressNode", "metadata": metadata}
        cluster.resource |= {"spec": {"state": "up"}}
        above = {"apiVersion": "express.example.com/v1", "kind": "ExpressNode", "name": "mec-0", "controller": True}
        owners = {"ownerReferences": [above | {"uid": owner_uid}]} if owner_uid else {}
        cluster.controllers["mec"] = {**self.STATEFUL_SET, "metadata": {"name": "mec", "uid": "sts-1", **owners}}
        return cluster

    @pytest.mark.parametrize(
        ("owner_uid", "event", "codes"),
        [
            ("owner-1", Event.CHECKS_PASSED, set()),
            ("owner-2", Event.POD_FOREIGN, set()),
            (None, Event.CHECKS_PASSED, {"node_unverified"}),
        ],
    )
    def test_its_resource_is_compared_with_the_named_one(
        self, owner_uid: str | None, event: Event, codes: set[str]
    ) -> None:
        cluster = self.cluster(owner_uid)
        outcome = run(begin(request(), NOW), cluster)
        assert outcome.event is event
        assert {code for code, _ in outcome.notices} == codes
        assert cluster.calls == ["node", "pods default/mec-0", "controller default/StatefulSet/mec"]

    def test_a_deployment_above_a_replica_set_is_followed_too(self) -> None:
        cluster = self.cluster("owner-2")
        sets = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "mec-5d", "uid": "rs-1"}
        cluster.present = {"uid-1": pod(owner=sets | {"controller": True})}
        cluster.controllers["mec"] = {**(cluster.controllers["mec"] or {}), "kind": "Deployment"}
        owner = self.STATEFUL_SET | {"kind": "Deployment", "controller": True}
        cluster.controllers["mec-5d"] = {**sets, "metadata": {**sets, "ownerReferences": [owner]}}
        assert run(begin(request(), NOW), cluster).event is Event.POD_FOREIGN

    def test_where_it_may_not_be_read_a_notice_says_so(self) -> None:
        cluster = self.cluster("owner-1")
        cluster.faults = [None, None, AccessDenied("statefulsets are forbidden")]
        outcome = run(begin(request(), NOW), cluster)
        assert outcome.event is Event.CHECKS_PASSED
        ((code, text),) = outcome.notices
        assert code == "node_unverified"
        assert "StatefulSet mec could not be read: statefulsets are forbidden" in text

    def test_a_passing_fault_is_tried_again_and_earns_no_notice(self) -> None:
        cluster = self.cluster("owner-2")
        cluster.faults = [None, None, Unreachable("503")]
        tried = advance(begin(request(), NOW), cluster, NOW).record
        assert (tried.state, tried.trouble is not None) == (State.INIT_CHECKS, True)
        assert advance(tried, cluster, later(1)).record.path[-1].event is Event.POD_FOREIGN

    def test_one_of_another_uid_is_not_the_pods(self) -> None:
        cluster = self.cluster("owner-1")
        metadata = {**(cluster.controllers["mec"] or {})["metadata"], "uid": "sts-2"}
        cluster.controllers["mec"] = {**self.STATEFUL_SET, "metadata": metadata}
        ((code, text),) = run(begin(request(), NOW), cluster).notices
        assert code == "node_unverified"
        assert "StatefulSet mec was recreated: its UID is sts-2, the pod names sts-1" in text

    def test_of_a_controller_that_names_no_owner_that_it_says_nothing(self) -> None:
        cluster = self.cluster(None)
        ((_, text),) = run(begin(request(), NOW), cluster).notices
        assert "(StatefulSet mec, which controls it, says nothing of that resource)" in text

    def test_of_three_controllers_between_each_is_followed_and_of_four_that_they_are_too_many(self) -> None:
        assert run(begin(request(), NOW), a_chain(3)).event is Event.POD_FOREIGN
        outcome = run(begin(request(), NOW), a_chain(4))
        text = (
            "Not verified: whether Pod mec-0 in namespace default is made from expressnodes.express.example.com/v1 "
            "mec-0 (more than 3 controllers are above the pod). Its state is checked anyway."
        )
        assert (outcome.event, outcome.notices) == (Event.CHECKS_PASSED, (("node_unverified", text),))


def a_chain(between: int) -> FakeCluster:
    """Give a cluster where so many StatefulSets stand between the pod and another resource than the named one."""
    names = [f"s{number}" for number in range(between)]
    sets = [STATEFUL_SET | {"name": name, "uid": name} for name in names]
    other = {"apiVersion": "express.example.com/v1", "kind": "ExpressNode", "name": "x", "uid": "x", "controller": True}
    cluster = FakeCluster(FakeClock(), pod(owner=sets[0]))
    for name, one, owner in zip(names, sets, [*sets[1:], other], strict=True):
        cluster.controllers[name] = {**one, "metadata": {**one, "ownerReferences": [owner]}}
    reference = {"name": "mec-0", "uid": "owner-1"}
    cluster.resource = {"apiVersion": "express.example.com/v1", "kind": "ExpressNode", "metadata": reference}
    cluster.resource |= {"spec": {"state": "up"}}
    return cluster


EXPRESS_NODE = {
    "apiVersion": "express.example.com/v1",
    "kind": "ExpressNode",
    "name": "mec-0",
    "uid": "owner-1",
    "controller": True,
}
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mec", "uid": "dep-1", "controller": True}
NODE_POD = "pods default/mec-0"
GET_STS, GET_RS = "controller default/StatefulSet/mec", "controller default/ReplicaSet/rs"
TYPE_OF = "type of express.example.com/v1/ExpressNode"


def made_by(*owners: dict[str, Any]) -> FakeCluster:
    """Give a cluster of one pod, with these controllers above it, lowest first."""
    cluster = FakeCluster(FakeClock(), pod(owner=owners[0] if owners else None))
    for one, above in pairwise(owners):
        cluster.controllers[one["name"]] = {**one, "metadata": {**one, "ownerReferences": [above]}}
    reference = {"name": "mec-0", "uid": "owner-1", "namespace": "default"}
    cluster.resource = {"apiVersion": "express.example.com/v1", "kind": "ExpressNode", "metadata": reference}
    cluster.resource |= {"spec": {"state": "up"}}
    return cluster


class TestFindingTheNode:
    """A request that does not name its custom resource has it found, above the pod."""

    ASKED = request(node="auto")

    def found(self, cluster: FakeCluster, **fields: Any) -> Outcome:
        return run(begin(request(node="auto", **fields), NOW), cluster)

    @pytest.mark.parametrize(
        ("owners", "calls"),
        [
            ([EXPRESS_NODE], [NODE_POD, TYPE_OF, "node"]),
            ([STATEFUL_SET, EXPRESS_NODE], [NODE_POD, GET_STS, TYPE_OF, "node"]),
            (
                [REPLICA_SET, DEPLOYMENT, EXPRESS_NODE],
                [NODE_POD, GET_RS, "controller default/Deployment/mec", TYPE_OF, "node"],
            ),
            ([JOB, EXPRESS_NODE], [NODE_POD, "controller default/Job/backup", TYPE_OF, "node"]),
        ],
        ids=["its_controller", "above_a_stateful_set", "above_a_deployment", "above_a_job"],
    )
    def test_the_first_controller_that_is_not_kubernetes_own_is_judged(
        self, owners: list[dict[str, Any]], calls: list[str]
    ) -> None:
        cluster = made_by(*owners)
        outcome = self.found(cluster, force=True)
        assert (outcome.event, outcome.record_changes["found_node"]) == (Event.CHECKS_PASSED, NODE)
        assert (cluster.calls, cluster.asked_in) == (calls, ["default"])
        assert outcome.record_changes["resource"].uid == "owner-1"
        assert {code for code, _ in outcome.notices} <= {"pod_of_job"}

    def test_what_is_above_that_one_is_not_asked(self) -> None:
        """A StrimziPodSet makes Kafka's pods, and a Kafka makes that: the one that makes the pod is judged."""
        pod_set = EXPRESS_NODE | {"apiVersion": "core.strimzi.io/v1beta2", "kind": "StrimziPodSet", "name": "broker"}
        cluster = made_by(pod_set, EXPRESS_NODE | {"kind": "Kafka"})
        ref = self.found(cluster).record_changes["found_node"]
        assert str(ref) == "strimzipodsets.core.strimzi.io/v1beta2 broker"
        assert cluster.calls == [NODE_POD, "type of core.strimzi.io/v1beta2/StrimziPodSet", "node"]

    @pytest.mark.parametrize(
        ("resource", "event"),
        [
            ({"spec": {"state": "down"}}, Event.NODE_DOWN),
            ({"spec": {"state": "up"}, "status": {"state": "rebuilding"}}, Event.NODE_REBUILDING),
            ({"spec": {"state": "up"}, "status": {"state": {"phase": "Running"}}}, Event.NODE_UNREADABLE),
            ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, Event.NODE_DELETING),
            (None, Event.NODE_MISSING),
            ({"status": {"phase": "Ready"}}, Event.CHECKS_PASSED),
        ],
        ids=["down", "rebuilding", "unreadable", "deleting", "missing", "says_nothing"],
    )
    def test_it_is_judged_as_if_it_had_been_named(self, resource: dict[str, Any] | None, event: Event) -> None:
        cluster = made_by(EXPRESS_NODE)
        cluster.resource = resource
        outcome = self.found(cluster)
        assert (outcome.event, outcome.notices) == (event, ())
        assert outcome.record_changes["found_node"] == NODE
        record = advance(begin(self.ASKED, NOW), cluster, NOW).record
        assert record == BounceRecord.model_validate_json(record.model_dump_json())

    @pytest.mark.parametrize("force", [True, False])
    def test_an_owner_that_does_not_control_is_judged_and_not_trusted_to_recreate_the_pod(self, force: bool) -> None:
        """An operator may have left `controller: true` out: a node that is meant to be down stays so, forced or not."""
        cluster = made_by({key: value for key, value in EXPRESS_NODE.items() if key != "controller"})
        outcome = self.found(cluster, force=force)
        assert outcome.record_changes["found_node"] == NODE
        assert outcome.event is (Event.CHECKS_PASSED if force else Event.POD_UNMANAGED)
        cluster.resource = {**(cluster.resource or {}), "spec": {"state": "down"}}
        assert self.found(cluster, force=force).event is Event.NODE_DOWN

    @pytest.mark.parametrize(
        ("owners", "calls"),
        [
            ([], [NODE_POD]),
            ([STATEFUL_SET], [NODE_POD, GET_STS]),
            ([REPLICA_SET, DEPLOYMENT], [NODE_POD, GET_RS, "controller default/Deployment/mec"]),
            ([{**JOB, "kind": "CronJob"}], [NODE_POD]),
            ([{"apiVersion": "v1", "kind": "Node", "name": "host-1", "uid": "h", "controller": True}], [NODE_POD]),
        ],
        ids=["bare_pod", "stateful_set", "deployment", "cron_job", "static_pod"],
    )
    def test_a_chain_that_ends_in_kubernetes_own_has_no_resource_to_ask(
        self, owners: list[dict[str, Any]], calls: list[str]
    ) -> None:
        cluster = made_by(*owners)
        outcome = self.found(cluster, force=True)
        assert outcome.record_changes["found_node"] is None
        assert "node_unasked" not in {code for code, _ in outcome.notices}
        assert cluster.calls == calls

    @pytest.mark.parametrize(
        ("fault", "why"),
        [
            ([AccessDenied("no right")], "StatefulSet mec could not be read: no right"),
            ([NotFound("it no longer exists")], "StatefulSet mec could not be read: it no longer exists"),
            ([None, AccessDenied("no right")], "the type of ExpressNode mec-0 could not be asked: no right"),
            ([None, None, AccessDenied("no right")], f"{NODE} could not be read: no right"),
            ([None, None, Refused("not acceptable")], f"{NODE} could not be read: not acceptable"),
        ],
        ids=["controller_denied", "controller_gone", "type_denied", "resource_denied", "resource_refused"],
    )
    def test_what_can_not_be_read_is_told_and_the_bounce_goes_on(self, fault: list[Any], why: str) -> None:
        cluster = made_by(STATEFUL_SET, EXPRESS_NODE)
        cluster.faults = [None, *fault]
        outcome = self.found(cluster)
        ((code, told),) = outcome.notices
        assert (outcome.event, code, f"rebuilding ({why})." in told) == (Event.CHECKS_PASSED, "node_unasked", True)
        assert outcome.record_changes["found_node"] is None

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (
                {"kind": "Lost"},
                "(it is made from Lost mec-0, and the API server does not serve Lost in express.example.com/v1).",
            ),
            ({"name": "../../x"}, "(the type of ExpressNode ../../x could not be asked: "),
        ],
        ids=["not_served", "no_name"],
    )
    def test_a_resource_that_can_not_be_asked_for_is_told(self, change: dict[str, str], why: str) -> None:
        cluster = made_by(EXPRESS_NODE | change)
        cluster.types["Lost"] = None
        ((code, told),) = self.found(cluster).notices
        assert (code, why in told) == ("node_unasked", True)
        assert "node" not in cluster.calls

    def test_a_controller_that_was_recreated_is_told(self) -> None:
        cluster = made_by(STATEFUL_SET, EXPRESS_NODE)
        cluster.controllers["mec"] = {**STATEFUL_SET, "metadata": {"name": "mec", "uid": "sts-2"}}
        ((_, told),) = self.found(cluster).notices
        assert "(StatefulSet mec was recreated: its UID is sts-2, the pod names sts-1)." in told

    def test_at_most_two_controllers_are_read_to_find_it(self) -> None:
        sets = [STATEFUL_SET | {"name": f"s{number}", "uid": f"s{number}"} for number in range(3)]
        cluster = made_by(*sets, EXPRESS_NODE)
        ((_, told),) = self.found(cluster).notices
        assert "(more than 2 controllers are above the pod)." in told
        assert len(cluster.calls) == 3

    @pytest.mark.parametrize("failing", [1, 2, 3])
    def test_where_the_api_server_gives_no_answer_the_checks_are_made_again(self, failing: int) -> None:
        cluster = made_by(STATEFUL_SET, EXPRESS_NODE)
        cluster.faults = [None] * failing + [Unreachable("503")]
        first = advance(begin(self.ASKED, NOW), cluster, NOW)
        assert (first.record.state, first.record.node) == (State.INIT_CHECKS, None)
        again = advance(first.record, cluster, later(1))
        assert (again.record.state, again.record.node) == (State.DISABLE_PROTECTION, NODE)

    @pytest.mark.parametrize("failing", ["controller", "type_of", "node"])
    def test_where_it_gives_no_answer_for_the_api_timeout_the_bounce_goes_on_without_it(
        self, failing: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So seen: the webhook that converts a CRD answered 500, and no pod behind that CRD could be bounced."""
        cluster = made_by(STATEFUL_SET, EXPRESS_NODE)
        monkeypatch.setattr(cluster, failing, broken)
        record = begin(self.ASKED, NOW)
        for seconds in (0, 29.9):
            record = advance(record, cluster, later(seconds)).record
            assert (record.state, record.trouble is None) == (State.INIT_CHECKS, False)
        record = advance(record, cluster, later(30)).record
        assert (record.state, record.trouble, record.node) == (State.DISABLE_PROTECTION, None, None)
        (told,) = (notice.message for notice in record.notices if notice.code == "node_unasked")
        assert "500: conversion webhook" in told
        assert "or use node=None if none is to be checked" in told

    def test_a_resource_that_the_request_names_is_not_done_without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cluster = made_by(STATEFUL_SET, EXPRESS_NODE)
        monkeypatch.setattr(cluster, "node", broken)
        first = advance(begin(request(), NOW), cluster, NOW).record
        last = advance(first, cluster, later(30)).record
        assert last.path[-1].event is Event.CLUSTER_UNREACHABLE
        assert f"If only {NODE} can't be read, node=None leaves it out." in last.advice

    def test_without_it_only_pods_of_a_new_request_are_good_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A watch may still show pods while the API server answers nothing."""
        cluster = made_by(STATEFUL_SET, EXPRESS_NODE)
        remembered = tuple(cluster.present.values())
        monkeypatch.setattr(cluster, "controller", broken)
        first = advance(begin(self.ASKED, NOW), cluster, NOW).record
        monkeypatch.setattr(cluster, "pods", broken)
        last = advance(first, cluster, later(30), look=lambda _: remembered).record
        assert last.path[-1].event is Event.CLUSTER_UNREACHABLE

    def test_a_cluster_scoped_resource_is_asked_for_at_once(self) -> None:
        cluster = made_by(EXPRESS_NODE)
        cluster.types["ExpressNode"] = ServedType("expressnodes", namespaced=False)
        assert self.found(cluster).record_changes["found_node"] == NODE
        assert cluster.asked_in == [""]

    def test_its_type_has_the_fields_that_the_request_gives(self) -> None:
        cluster = made_by(EXPRESS_NODE)
        cluster.resource = {"spec": {"power": "Off"}}
        fields = {"desired_path": "spec.power", "down_values": ["off"]}
        outcome = self.found(cluster, node_types={"expressnodes.express.example.com": fields})
        assert outcome.event is Event.NODE_DOWN
        assert outcome.record_changes["found_node"].desired_path == "spec.power"
        assert self.found(cluster, node_types={"kafkas.kafka.strimzi.io": fields}).event is Event.CHECKS_PASSED

    def test_checks_that_are_made_again_keep_it_even_where_the_pod_has_gone(self) -> None:
        first = begin(self.ASKED, NOW)
        again = StateEntry(state=State.INIT_CHECKS, at=NOW, event=Event.INTENT_EXPIRED)
        pinned = PinnedPod.of(pod(), [])
        record = first.model_copy(update={"found_node": NODE, "old_pod": pinned, "path": (*first.path, again)})
        cluster = FakeCluster(FakeClock())
        assert run(record, cluster).record_changes["found_node"] == NODE
        assert cluster.calls[:2] == ["node", NODE_POD]


def test_of_two_custom_owners_that_do_not_control_the_first_is_judged() -> None:
    first = {key: value for key, value in EXPRESS_NODE.items() if key != "controller"}
    owners = [first, first | {"kind": "Backup", "name": "b", "uid": "owner-2"}]
    cluster = FakeCluster(FakeClock(), pod(metadata={"ownerReferences": owners}))
    cluster.resource = made_by().resource
    assert run(begin(request(node="auto"), NOW), cluster).record_changes["found_node"] == NODE
