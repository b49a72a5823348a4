"""The custom resource of a node: what it says of desired state and activity."""

from __future__ import annotations

from typing import Any

import pytest
from builders import (
    NODE,
)

from mecbounce.kubernetes_api.node import Node, UnreadableField


class TestNode:
    @pytest.mark.parametrize(
        ("resource", "expected"),
        [
            ({"spec": {"state": "up"}, "status": {"state": "running"}}, Node(desired="up", activity="running")),
            ({"spec": {"state": ""}, "status": {"state": "Down"}}, Node(desired="", activity="Down")),
            ({}, Node()),
            ({"spec": {}, "status": {}}, Node()),
            ({"spec": None, "status": None}, Node()),
            ({"spec": {"state": None}, "status": {"state": None}}, Node()),
            ({"spec": {"state": "up"}}, Node(desired="up")),
        ],
        ids=["both", "as_written", "nothing", "empty", "null_parts", "null_fields", "no_status_yet"],
    )
    def test_is_read_as_its_resource_tells(self, resource: dict[str, Any], expected: Node) -> None:
        assert expected == Node.read(resource, NODE)

    def test_names_its_resource_as_a_pod_made_from_it_does(self) -> None:
        resource = {"apiVersion": "express.example.com/v1", "kind": "ExpressNode", "metadata": {"uid": "owner-1"}}
        named = Node.read(resource, NODE).reference
        assert named is not None
        assert ("ExpressNode mec-0 (owner-1)", "express.example.com") == (str(named), named.group)

    def test_is_read_from_where_the_ref_says(self) -> None:
        paths = {"desired_path": "wanted", "activity_path": "status.express.node.doing"}
        ref = NODE.model_validate(NODE.model_dump() | paths)
        resource = {"wanted": "up", "spec": {"state": 5}, "status": {"express": {"node": {"doing": "catchup"}}}}
        assert Node(desired="up", activity="catchup") == Node.read(resource, ref)

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (True, "a boolean"),
            (4711, "a number"),
            (47.11, "a number"),
            (["4711"], "a list"),
            ({"4711": 1}, "an object"),
        ],
    )
    @pytest.mark.parametrize(("part", "field"), [("spec", "spec.state"), ("status", "status.state")])
    def test_something_other_than_text_is_named_but_not_shown(
        self, part: str, field: str, value: object, shown: str
    ) -> None:
        with pytest.raises(UnreadableField) as caught:
            Node.read({part: {"state": value}}, NODE)
        assert f"{field} holds {shown}, expected text" == str(caught.value)

    @pytest.mark.parametrize(
        ("spec", "shown"), [("4711", "text"), (True, "a boolean"), (0, "a number"), (0.5, "a number"), ([], "a list")]
    )
    def test_something_other_than_an_object_on_the_way_is_named_but_not_shown(self, spec: object, shown: str) -> None:
        with pytest.raises(UnreadableField) as caught:
            Node.read({"spec": spec}, NODE)
        assert f"spec holds {shown}, expected an object with 'spec.state'" == str(caught.value)
