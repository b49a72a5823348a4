"""What was typed, beside what an unfinished bounce began with."""

from __future__ import annotations

from typing import Any

import pytest
from builders import NODE, request

from mecbounce.cli.typed import Typed, contradictions, with_typed
from mecbounce.request import ClusterType, NodeRef, ReadyWhen, Timeouts

from .bounces import OLD_UID, PATH, REQUEST, record

NODES = "express.example.com/v1/expressnodes"
OTHER = NODE.model_copy(update={"name": "mec-9"})
OTHER_FIELDS = NODE.model_copy(update={"desired_path": "spec.wanted"})


def named(value: object) -> str:
    """Name a parameter without the fields of its node: those are sets, whose order differs from run to run."""
    if isinstance(value, dict):
        return ", ".join(f"{key}={one}" for key, one in value.items()) or "nothing"
    return str(value)


@pytest.mark.parametrize(
    "typed",
    [
        {},
        {"node": NODE},
        {"node": OTHER_FIELDS},  # from the file of the resource types
        {"force": True, "cluster_type": ClusterType.K8S_GITOPS, "ready_when": ReadyWhen.STARTED},
        {"pod_uid": OLD_UID, "termination": 90.5, "ready": 700.0},
    ],
    ids=named,
)
def test_what_was_not_typed_or_is_the_same_contradicts_nothing(typed: Typed) -> None:
    assert [*contradictions(typed, record(*PATH, request=REQUEST))] == []


@pytest.mark.parametrize(
    ("typed", "theirs", "said"),
    [
        ({"ready": 300.0}, {"timeouts": {"ready": 600}}, "--ready-timeout 5m: ... began with 10m"),
        ({"termination": 0.5}, {}, "--termination-timeout 0.5s: ... began without it"),
        ({"force": True}, {}, "--force: ... began without it"),
        ({"cluster_type": ClusterType.K8S_GITOPS}, {}, "--gitops: ... began without it"),
        ({"ready_when": ReadyWhen.AUTO}, {"ready_when": "started"}, "--ready-when auto: ... began with started"),
        ({"pod_uid": "u-2"}, {}, f"--pod-uid u-2: ... began with {OLD_UID}"),
        ({"node": OTHER}, {}, f"--node {NODES}/mec-9: ... began with --node {NODES}/mec-0"),
        ({"node": OTHER}, {"node": None}, f"--node {NODES}/mec-9: ... began with --no-node"),
        ({"node": None}, {}, f"--no-node: ... began with --node {NODES}/mec-0"),
    ],
    ids=named,
)
def test_one_that_contradicts_is_named_with_both_values(typed: Typed, theirs: dict[str, Any], said: str) -> None:
    found = [*contradictions(typed, record(*PATH, request=request(**theirs)))]
    assert found == [said.replace("...", "the unfinished bounce of mec-0")]


@pytest.mark.parametrize(("found", "fits"), [(None, True), (NODE, False), (OTHER, True)], ids=["unknown", "no", "yes"])
def test_a_node_that_mecbounce_found_itself_may_be_named_later(found: NodeRef | None, *, fits: bool) -> None:
    of = record(*PATH, request=request(node="auto"), found_node=found)
    assert ([*contradictions({"node": OTHER}, of)] == []) is fits


@pytest.mark.parametrize(
    ("typed", "found", "said"),
    [
        (None, NODE, f"--no-node: ... began by finding its custom resource ({NODES}/mec-0)"),
        (None, None, "--no-node: ... began by finding its custom resource"),
        (OTHER, NODE, f"--node {NODES}/mec-9: ... began by finding its custom resource ({NODES}/mec-0)"),
    ],
    ids=["none", "none, before it is found", "another"],
)
def test_a_node_that_mecbounce_found_itself_is_not_said_to_be_typed(
    typed: NodeRef | None, found: NodeRef | None, said: str
) -> None:
    of = record(*PATH, request=request(node="auto"), found_node=found)
    assert [*contradictions({"node": typed}, of)] == [said.replace("...", "the unfinished bounce of mec-0")]


def test_all_that_contradict_are_named() -> None:
    assert len([*contradictions({"force": True, "ready": 1.0}, record(*PATH))]) == 2


def test_an_incarnation_that_is_not_pinned_yet_is_any() -> None:
    (said,) = contradictions({"pod_uid": "u-2"}, record())
    assert said.endswith("began with whichever incarnation it finds")


def test_what_was_typed_takes_the_place_of_what_the_last_bounce_had_and_nothing_else() -> None:
    found = with_typed(REQUEST, {"ready": 1200.0, "pod_uid": OLD_UID, "node": None})
    expected = {"timeouts": Timeouts(termination=90.5, ready=1200), "pod_uid": OLD_UID, "node": None}
    assert found == REQUEST.model_copy(update=expected)
