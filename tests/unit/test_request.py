"""What may be asked."""

from __future__ import annotations

import pytest
from builders import (
    NODE,
    faults,
    request,
)

from mecbounce.request import BounceRequest, ClusterType, NodeFields, NodeRef, ReadyWhen, Timeouts

WEEK = 7 * 24 * 3600.0


class TestRequest:
    def test_asks_for_little_unless_told(self) -> None:
        asked = BounceRequest(namespace="mec", pod="mec-0")
        assert ("auto", ClusterType.K8S, False, None, ReadyWhen.AUTO) == (
            asked.node,
            asked.cluster_type,
            asked.force,
            asked.pod_uid,
            asked.ready_when,
        )
        assert Timeouts(termination=None, ready=None, api=30.0) == asked.timeouts
        assert ({}, None) == (asked.node_types, asked.given_node)

    @pytest.mark.parametrize(
        ("value", "field", "fault"),
        [
            ({"group": "example.com", "version": "v1", "plural": "Nodes", "name": "a"}, "node.plural", "is not a name"),
            ({"group": "example.com"}, "node.version", "Field required"),
            ("mec-0", "node", "expected a NodeRef, 'auto' or None"),
            (7, "node", "expected a NodeRef, 'auto' or None"),
        ],
    )
    def test_a_node_that_can_not_be_used_is_named_by_its_field(self, value: object, field: str, fault: str) -> None:
        (found, message), *_ = faults(BounceRequest, request().model_dump() | {"node": value})
        assert (field, True) == (found, fault in message)

    @pytest.mark.parametrize("node", [NODE, "auto", None])
    def test_its_node_is_kept_in_json(self, node: object) -> None:
        asked = request(node=node)
        assert asked == BounceRequest.model_validate_json(asked.model_dump_json())
        assert asked.given_node == (node if node is NODE else None)

    def test_the_fields_of_a_type_are_kept_by_its_plural_and_group(self) -> None:
        asked = request(node="auto", node_types={"kafkas.kafka.strimzi.io": {"down_values": ["Paused"]}})
        assert NodeFields(down_values=frozenset({"paused"})) == asked.node_types["kafkas.kafka.strimzi.io"]
        assert asked == BounceRequest.model_validate_json(asked.model_dump_json())

    @pytest.mark.parametrize("name", ["expressnodes", "Kafkas.strimzi.io", "", "kafkas."])
    def test_a_type_without_a_group_is_refused(self, name: str) -> None:
        ((_, message),) = faults(BounceRequest, request().model_dump() | {"node_types": {name: {}}})
        assert "is not a plural and its group" in message

    @pytest.mark.parametrize(("kind", "expected"), [("k8s", False), ("k8s_gitops", True)])
    def test_answers_whether_the_cluster_is_run_from_git(self, kind: str, expected: bool) -> None:
        assert expected is request(cluster_type=kind).is_k8s_gitops()

    @pytest.mark.parametrize(
        ("field", "value"), [("cluster_type", "gitops"), ("ready_when", "soon"), ("force", None), ("timeouts", 600)]
    )
    def test_refuses_what_it_does_not_know_and_names_the_field(self, field: str, value: object) -> None:
        assert [field] == [found for found, _ in faults(BounceRequest, request().model_dump() | {field: value})]

    @pytest.mark.parametrize("value", [0.001, 1, 600, WEEK])
    @pytest.mark.parametrize("field", ["termination", "ready", "api"])
    def test_a_timeout_is_any_time_up_to_a_week(self, field: str, value: float) -> None:
        assert value == getattr(Timeouts.model_validate({field: value}), field)

    @pytest.mark.parametrize("value", [0, -1, -0.001, WEEK + 1, float("nan"), float("inf"), float("-inf"), "soon"])
    @pytest.mark.parametrize("field", ["termination", "ready", "api"])
    def test_a_timeout_out_of_bounds_is_refused_by_name(self, field: str, value: object) -> None:
        assert [field] == [found for found, _ in faults(Timeouts, {field: value})]

    def test_a_timeout_in_a_request_is_named_by_its_path(self) -> None:
        data = {"namespace": "mec", "pod": "mec-0", "timeouts": {"ready": -1}}
        assert ["timeouts.ready"] == [field for field, _ in faults(BounceRequest, data)]

    def test_an_api_timeout_cannot_be_left_out(self) -> None:
        assert ["api"] == [field for field, _ in faults(Timeouts, {"api": None})]


class TestNodeRef:
    def test_defaults_say_where_the_resource_keeps_things(self) -> None:
        assert ("spec.state", "status.state") == (NODE.desired_path, NODE.activity_path)
        assert {"down", "stopped"} == NODE.down_values
        assert {"rebuilding"} == NODE.rebuilding_values
        assert {"catchup", "efficient_catchup"} == NODE.catchup_values

    @pytest.mark.parametrize("field", ["down_values", "rebuilding_values", "catchup_values"])
    def test_values_are_kept_without_case(self, field: str) -> None:
        ref = NodeRef.model_validate(NODE.model_dump() | {field: ["Off", "OFF", "GROSS", "Groß"]})
        assert {"off", "gross"} == getattr(ref, field)

    def test_reads_as_a_person_would_name_it(self) -> None:
        assert "expressnodes.express.example.com/v1 mec-0" == str(NODE)
