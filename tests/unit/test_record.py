"""What is remembered of a bounce, and the result."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from builders import (
    NODE,
    NOW,
    OPERATOR,
    OTHER,
    REPLICA_SET,
    STARTUP_PROBE,
    STATEFUL_SET,
    faults,
    host,
    later,
    pod,
    request,
)
from pydantic import BaseModel, ValidationError

from mecbounce.codes import DiagnosisCode
from mecbounce.errors import ForeignRecord
from mecbounce.fields import first_fault
from mecbounce.kubernetes_api.node import Node
from mecbounce.kubernetes_api.objects import (
    Container,
    Owner,
    Pod,
    PodEvent,
    Probe,
)
from mecbounce.machine import Event, State
from mecbounce.record import (
    BounceRecord,
    Deletion,
    Diagnosis,
    Notice,
    PinnedPod,
    Protection,
    SeenPod,
    StateEntry,
    Trouble,
    refuse_other_bounce,
    refuse_other_pod,
)
from mecbounce.request import BounceRequest, Timeouts
from mecbounce.result import BounceResult

UNCONTROLLED = {"kind": "ExpressNode", "name": "mec-0", "uid": "owner-1"}
VM = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": "vm", "uid": "vm-1", "controller": True}
JOB = {"apiVersion": "batch/v1", "kind": "Job", "name": "index-0", "uid": "job-1", "controller": True}
DAEMON_SET = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "log", "uid": "ds-1", "controller": True}


def meant_for(*hosts: str, operator: str = "In", key: str = "metadata.name") -> dict[str, Any]:
    """Give the affinity that a DaemonSet's pod has."""
    term = {"matchFields": [{"key": key, "operator": operator, "values": [*hosts]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def daemon(uid: str, **fields: Any) -> Pod:
    return pod(f"log-{uid}", uid, owner=DAEMON_SET, **{"metadata": {"generateName": "log-"}, **fields})


def record(**fields: Any) -> BounceRecord:
    """Give a record with these fields, whether they can have happened or not."""
    path = (StateEntry(state=State.INIT_CHECKS, at=NOW),)
    return BounceRecord(bounce_id="b-1", revision=1, request=request(), path=path).model_copy(update=fields)


def passages(*steps: tuple[State, Event, float]) -> tuple[StateEntry, ...]:
    """Give a path: the first state at NOW, then (state, event, seconds after NOW)."""
    first = StateEntry(state=State.INIT_CHECKS, at=NOW)
    return (first, *(StateEntry(state=state, at=later(seconds), event=event) for state, event, seconds in steps))


BOUNCED = passages(
    (State.DISABLE_PROTECTION, Event.CHECKS_PASSED, 0.5),
    (State.DELETE_POD, Event.PROTECTION_DISABLED, 1),
    (State.AWAIT_TERMINATION, Event.DELETE_ACCEPTED, 1.25),
    (State.AWAIT_READY, Event.POD_GONE, 31),
    (State.DONE, Event.POD_STARTED, 91),
)
WHOLE = record(
    revision=9,
    request=request(
        cluster_type="k8s_gitops",
        force=True,
        pod_uid="uid-1",
        timeouts=Timeouts(termination=60, ready=90.5, api=5),
        ready_when="started",
    ),
    path=BOUNCED,
    deadline=later(691.123456),
    deadline_from_start=True,
    old_pod=PinnedPod.of(pod(container={"startupProbe": STARTUP_PROBE}), [pod(uid="uid-0", name="mec-1")]),
    new_pod=SeenPod(name="mec-0", uid="uid-2", images={"app": "app:2"}),
    protection=Protection.DISABLED,
    trouble=Trouble(since=later(5), tries=2, what="connection refused"),
    notices=(Notice(code="images_changed", message="other images", at=later(40)),),
    message="Pod mec-0 was bounced.",
    advice="Nothing to do.",
    diagnosis=Diagnosis(code="unknown", evidence="none", who="nobody"),
)
OURS = [
    NODE,
    Timeouts(),
    request(),
    Node(),
    Notice(code="a", message="b", at=NOW),
    Diagnosis(code="a", evidence="b", who="c"),
    PinnedPod(name="mec-0", uid="uid-1"),
    SeenPod(name="mec-0", uid="uid-1"),
    StateEntry(state=State.INIT_CHECKS, at=NOW),
    Trouble(since=NOW, tries=1, what="a"),
    record(),
    BounceResult.of(WHOLE),
]
THEIRS = [pod(), pod().metadata, pod().spec, pod().status, host(), PodEvent(), Probe(), Container(name="app")]


@pytest.mark.parametrize("data", [*OURS, *THEIRS], ids=lambda data: type(data).__name__)
def test_data_is_frozen(data: BaseModel) -> None:
    field = next(iter(type(data).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(data, field, getattr(data, field))


@pytest.mark.parametrize("data", OURS, ids=lambda data: type(data).__name__)
def test_an_unknown_field_in_data_of_ours_is_refused_by_name(data: BaseModel) -> None:
    assert [("typo", "Extra inputs are not permitted")] == faults(type(data), data.model_dump() | {"typo": 1})


@pytest.mark.parametrize("data", THEIRS, ids=lambda data: type(data).__name__)
def test_an_unknown_field_in_data_of_the_api_is_ignored(data: BaseModel) -> None:
    assert data == type(data).model_validate(data.model_dump() | {"futureField": {"a": 1}})


class TestPinnedPod:
    def test_pins_all_that_tells_the_incarnation_and_its_replacement(self) -> None:
        inits = [{"name": "migrate"}, {"name": "proxy", "restartPolicy": "Always"}]
        old = pod(
            container={"startupProbe": STARTUP_PROBE},
            spec={"initContainers": inits, "terminationGracePeriodSeconds": 90},
        )
        probe = Probe(period_seconds=1, failure_threshold=30)
        expected = PinnedPod(
            name="mec-0",
            uid="uid-1",
            generated_name=False,
            controller_uid="owner-1",
            controller=Owner(kind="ExpressNode", name="mec-0", uid="owner-1", controller=True),
            containers=(
                Container(name="app", image="app:1", startup_probe=probe),
                Container(name="proxy", restart_policy="Always"),
            ),
            images={"app": "app:1", "proxy": ""},
            host="host-1",
            grace_period=90,
            lookalikes=frozenset(),
        )
        assert expected == PinnedPod.of(old, [old])

    def test_its_lookalikes_are_the_other_pods_of_its_controller(self) -> None:
        generated = {"generateName": "mec-7d9f-"}
        old, twin, leaving = (
            pod(f"mec-7d9f-{uid}", uid, owner=REPLICA_SET, metadata=generated, deleted=deleted)
            for uid, deleted in (("a", None), ("b", None), ("c", 10))
        )
        pinned = PinnedPod.of(old, [old, twin, leaving, pod(owner=OTHER, uid="d"), pod(owner=None, uid="e")])
        assert (True, "rs-1", frozenset({"b", "c"})) == (
            pinned.generated_name,
            pinned.controller_uid,
            pinned.lookalikes,
        )

    @pytest.mark.parametrize(("created", "expected"), [(-3600, {"b"}), (-11, {"b"}), (-10, set()), (5, set())], ids=str)
    def test_what_was_made_since_its_deletion_is_no_lookalike_but_may_replace_it(
        self, created: float, expected: set[str]
    ) -> None:
        """A ReplicaSet makes the new pod while the old one, with 30 s of grace, still has 20 of them to go."""
        generated = {"generateName": "mec-7d9f-"}
        old = pod("mec-7d9f-a", "a", owner=REPLICA_SET, metadata=generated, deleted=20)
        other = pod("mec-7d9f-b", "b", owner=REPLICA_SET, metadata=generated, created=created)
        pinned = PinnedPod.of(old, [old, other])
        assert expected == pinned.lookalikes
        assert bool(expected) is not bool(pinned.replacements([old, other]))

    def test_its_controller_is_told_by_its_uid_whatever_else_the_reference_says(self) -> None:
        """As an operator is updated, the version that its pods name changes from one pod to the next."""
        generated, later = {"generateName": "mec-"}, REPLICA_SET | {"apiVersion": "apps/v2"}
        old, twin = pod(owner=REPLICA_SET, metadata=generated), pod("mec-1", "twin", owner=later, metadata=generated)
        assert frozenset({"twin"}) == PinnedPod.of(old, [old, twin]).lookalikes

    def test_without_a_controller_no_other_name_can_be_mistaken_for_its_replacement(self) -> None:
        old = pod(owner=None)
        pinned = PinnedPod.of(old, [old, pod("mec-1", "uid-2", owner=None), pod("mec-2", "uid-3")])
        assert (None, frozenset()) == (pinned.controller_uid, pinned.lookalikes)

    def test_finds_itself_by_uid_alone(self) -> None:
        old, namesake = pod(), pod(uid="uid-2")
        pinned = PinnedPod.of(old, [old])
        assert old == pinned.find_in([namesake, old])
        assert None is pinned.find_in([namesake])
        assert None is pinned.find_in([])

    @pytest.mark.parametrize(
        ("other", "expected"),
        [
            (pod(uid="uid-2"), True),
            (pod(uid="uid-2", status={"phase": "Failed"}), True),
            (pod(), False),
            (pod(uid="uid-2", deleted=30), False),
            (pod("mec-1", "uid-2"), False),
            (pod(uid="uid-2", owner=OTHER), True),
            (pod(uid="uid-2", owner=OTHER | {"name": "mec"}), False),
            (pod(uid="uid-2", owner=OTHER | {"kind": "StatefulSet"}), False),
            (pod(uid="uid-2", owner=OTHER | {"apiVersion": "apps/v1"}), False),
            (pod(uid="uid-2", owner=None), False),
        ],
        ids=[
            "namesake",
            "ended",
            "itself",
            "terminating",
            "other_name",
            "controller_made_anew",
            "controller_of_another_name",
            "controller_of_another_kind",
            "controller_of_another_group",
            "no_controller",
        ],
    )
    def test_a_stable_identity_is_replaced_by_a_namesake_of_the_same_controller(
        self, other: Pod, expected: bool
    ) -> None:
        old = pod()
        assert expected is bool(PinnedPod.of(old, [old]).replacements([other]))

    @pytest.mark.parametrize(
        ("uid", "owner", "expected"),
        [
            ("new", REPLICA_SET, True),
            ("twin", REPLICA_SET, False),
            ("new", REPLICA_SET | {"uid": "rs-2"}, True),
            ("new", REPLICA_SET | {"uid": "rs-2", "name": "mec-5c4b"}, False),
        ],
        ids=["new", "lookalike", "made_anew", "other_replica_set"],
    )
    def test_a_generated_name_is_replaced_by_any_name_that_is_new(
        self, uid: str, owner: dict[str, Any], expected: bool
    ) -> None:
        generated = {"generateName": "mec-7d9f-"}
        old = pod("mec-7d9f-a", "a", owner=REPLICA_SET, metadata=generated)
        twin = pod("mec-7d9f-b", "twin", owner=REPLICA_SET, metadata=generated)
        other = pod("mec-7d9f-c", uid, owner=owner, metadata=generated)
        assert expected is bool(PinnedPod.of(old, [old, twin]).replacements([other]))

    @pytest.mark.parametrize("owner", [None, OTHER])
    def test_a_pod_without_a_controller_may_be_replaced_by_any_namesake(self, owner: dict[str, Any] | None) -> None:
        old, new = pod(owner=None), pod(uid="uid-2", owner=owner)
        assert (new,) == PinnedPod.of(old, [old]).replacements([old, new])

    def test_a_pod_that_was_never_seen_is_replaced_by_its_namesake(self) -> None:
        pinned = PinnedPod(name="mec-0", uid="uid-0")
        assert (False, None, (), 30) == (
            pinned.generated_name,
            pinned.controller_uid,
            pinned.containers,
            pinned.grace_period,
        )
        assert ("uid-1",) == tuple(one.uid for one in pinned.replacements([pod(), pod("mec-1", "uid-2")]))

    @pytest.mark.parametrize(
        ("owner", "of_new", "expected"),
        [
            (VM, VM, True),
            (VM, VM | {"uid": "vm-2"}, True),
            (VM, VM | {"uid": "vm-2", "apiVersion": "kubevirt.io/v1alpha3"}, True),
            (VM, VM | {"uid": "vm-2", "apiVersion": "other.io/v1"}, False),
            (VM, VM | {"uid": "vm-2", "name": "vm2"}, False),
            (VM, VM | {"uid": "vm-2", "kind": "VirtualMachine"}, False),
            (JOB, JOB | {"uid": "job-2"}, True),
            (JOB, JOB | {"uid": "job-2", "controller": False}, False),
            (REPLICA_SET, None, False),
        ],
        ids=[
            "the_same",
            "made_anew",
            "made_anew_in_another_version",
            "of_another_group",
            "of_another_name",
            "of_another_kind",
            "a_child_job_made_anew",
            "an_owner_that_is_no_controller",
            "no_owner",
        ],
    )
    def test_a_controller_that_is_made_anew_replaces_generated_names_too(
        self, owner: dict[str, Any], of_new: dict[str, Any] | None, expected: bool
    ) -> None:
        """As KubeVirt makes a VirtualMachineInstance anew, JobSet a Job, and `helm --force` a ReplicaSet."""
        generated = {"generateName": "vm-"}
        old = pod("vm-a", "a", owner=owner, metadata=generated)
        new = pod("vm-b", "b", owner=of_new, metadata=generated, created=5)
        if of_new and not of_new.get("controller"):
            controller = {"kind": "Other", "name": "o", "uid": "o-1", "controller": True}
            new = pod("vm-b", "b", owner=None, metadata={**generated, "ownerReferences": [of_new, controller]})
        assert expected is bool(PinnedPod.of(old, [old]).replacements([new]))

    @pytest.mark.parametrize(
        ("owners", "expected"),
        [
            ([UNCONTROLLED], True),
            ([{"kind": "ConfigMap", "name": "c", "uid": "c-1"}, UNCONTROLLED | {"uid": "owner-7"}], True),
            ([OPERATOR], True),
            ([UNCONTROLLED, STATEFUL_SET], False),
            ([], False),
            ([UNCONTROLLED | {"name": "mec-1", "uid": "owner-7"}], False),
        ],
        ids=["as_before", "made_anew", "now_as_controller", "another_controls_it", "none", "another"],
    )
    def test_what_its_resource_owns_without_controlling_it_is_replaced_by_another_such_pod(
        self, owners: list[Any], expected: bool
    ) -> None:
        old = pod(owner=UNCONTROLLED)
        pinned = PinnedPod.of(old, [old], old.owner("owner-1"))
        new = pod(uid="uid-2", owner=None, metadata={"ownerReferences": owners})
        assert expected is bool(pinned.replacements([new]))

    def test_a_record_of_schema_1_knows_its_controller_by_uid_alone(self) -> None:
        old = PinnedPod.of(pod(), []).model_copy(update={"controller": None})
        assert old.replacements([pod(uid="uid-2")])
        assert not old.replacements([pod(uid="uid-2", owner=OTHER)])

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            ({"nodeName": "host-1"}, True),
            ({"nodeName": "host-2"}, False),
            ({"nodeName": "", "affinity": meant_for("host-1")}, True),
            ({"nodeName": None, "affinity": meant_for("host-2")}, False),
            ({"nodeName": "host-2", "affinity": meant_for("host-1")}, False),
            ({"nodeName": "", "affinity": meant_for("host-1", "host-2")}, False),
            ({"nodeName": "", "affinity": meant_for("host-1", operator="NotIn")}, False),
            ({"nodeName": "", "affinity": meant_for("host-1", key="metadata.uid")}, False),
            ({"nodeName": "", "affinity": {"nodeAffinity": None}}, False),
            ({"nodeName": ""}, False),
        ],
    )
    def test_a_daemon_sets_pod_is_replaced_on_its_own_kubernetes_node(
        self, where: dict[str, Any], expected: bool
    ) -> None:
        """While it is Pending its node affinity tells for which one it is."""
        old = daemon("a")
        pinned = PinnedPod.of(old, [old, daemon("b", spec={"nodeName": "host-2"})])
        assert expected is bool(pinned.replacements([daemon("c", created=5, spec=where)]))
        assert () == pinned.replacements([daemon("b", spec={"nodeName": "host-2"})])

    @pytest.mark.parametrize(
        ("other", "expected"),
        [
            ({"created": -10}, True),
            ({"created": -7200}, False),
            ({"created": -3600}, False),
            ({"created": -10, "deleted": 20}, False),
            ({"created": -10, "status": {"phase": "Failed", "reason": "Evicted"}}, False),
            ({"created": -10, "spec": {"nodeName": "host-2"}}, False),
        ],
        ids=["younger", "older", "as_old", "terminating", "evicted", "elsewhere"],
    )
    def test_while_a_daemon_set_surges_the_younger_pod_beside_it_takes_its_place_and_no_other(
        self, other: dict[str, Any], expected: bool
    ) -> None:
        old, beside = daemon("a"), daemon("b", **other)
        assert expected is bool(PinnedPod.of(old, [old, beside]).replacements([beside]))

    def test_a_daemon_sets_pod_of_unknown_kubernetes_node_is_not_replaced_by_one_that_stood_already(self) -> None:
        """As in a record that a mecbounce from before hosts were kept wrote."""
        old, beside = daemon("a", spec={"nodeName": ""}), daemon("b", created=-10, spec={"nodeName": "host-2"})
        assert () == PinnedPod.of(old, [old, beside]).replacements([beside])

    def test_what_was_evicted_or_rejected_before_its_deletion_is_no_replacement_of_it(self) -> None:
        generated = {"generateName": "mec-7d9f-"}
        old = pod("mec-7d9f-a", "a", owner=REPLICA_SET, metadata=generated)
        left = [
            pod(
                f"mec-7d9f-{uid}", uid, owner=REPLICA_SET, metadata=generated, status={"phase": "Failed", "reason": why}
            )
            for uid, why in (("b", "Evicted"), ("c", "OutOfcpu"), ("d", "UnexpectedAdmissionError"))
        ]
        pinned = PinnedPod.of(old, [old, *left])
        assert frozenset({"b", "c", "d"}) == pinned.lookalikes
        assert () == pinned.replacements(left)

    def test_pods_that_came_between_the_pinning_and_the_deletion_are_pinned_too(self) -> None:
        """An autoscaler's, while the protection took its time: they were not made because this one went."""
        generated = {"generateName": "mec-7d9f-"}
        old = pod("mec-7d9f-a", "a", owner=REPLICA_SET, metadata=generated)
        pinned = PinnedPod.of(old, [old])
        scaled = pod("mec-7d9f-b", "b", owner=REPLICA_SET, metadata=generated, created=3)
        anew = pinned.with_lookalikes_in([old, scaled])
        assert (("b",), ()) == (tuple(one.uid for one in pinned.replacements([scaled])), anew.replacements([scaled]))
        assert pinned == pinned.with_lookalikes_in([scaled])  # once it has gone, nothing can be pinned any more
        assert pinned.model_copy(update={"lookalikes": anew.lookalikes, "peers": anew.lookalikes}) == anew

    def test_of_several_the_oldest_comes_first_and_of_the_ended_the_last(self) -> None:
        generated = {"generateName": "mec-7d9f-"}

        def made(uid: str, created: float, phase: str = "Running", **metadata: Any) -> Pod:
            return pod(
                uid, uid, owner=REPLICA_SET, created=created, metadata=generated | metadata, status={"phase": phase}
            )

        old = made("old", -3600)
        new = [
            made("evicted", 1, "Failed"),
            made("rejected", 2, "Failed"),
            made("fresh", 9),
            made("twin-b", 5),
            made("twin-a", 5),
            made("undated", 7, creationTimestamp=None),
        ]
        expected = ("undated", "twin-a", "twin-b", "fresh", "rejected", "evicted")
        assert expected == tuple(one.uid for one in PinnedPod.of(old, [old]).replacements([*new, old]))


class TestRecord:
    def test_stands_where_its_path_ends(self) -> None:
        assert (State.INIT_CHECKS, NOW, False) == (record().state, record().entered_at, record().finished)
        assert (State.DONE, later(91), True) == (WHOLE.state, WHOLE.entered_at, WHOLE.finished)

    def test_begins_without_a_deadline(self) -> None:
        assert (None, False) == (record().deadline, record().deadline_from_start)

    @pytest.mark.parametrize("state", State)
    def test_is_finished_in_a_final_state(self, state: State) -> None:
        at_state = record(path=(StateEntry(state=state, at=NOW),))
        assert (state in (State.DONE, State.FAILED)) is at_state.finished

    def test_knows_when_the_checks_were_asked_last(self) -> None:
        assert NOW == WHOLE.checked_at
        again = passages(
            (State.DISABLE_PROTECTION, Event.CHECKS_PASSED, 1),
            (State.DELETE_POD, Event.PROTECTION_UNUSED, 2),
            (State.INIT_CHECKS, Event.INTENT_EXPIRED, 86400),
            (State.AWAIT_TERMINATION, Event.ALREADY_TERMINATING, 86401),
        )
        assert later(86400) == record(path=again).checked_at

    def test_a_change_is_a_copy_with_the_next_revision(self) -> None:
        before = record()
        after = before.changed(message="a", deadline=later(5))
        assert record(revision=2, message="a", deadline=later(5)) == after
        assert record() == before

    @pytest.mark.parametrize("changes", [{}, {"trouble": None}, {"trouble": None, "message": "", "notices": ()}])
    def test_changes_that_change_nothing_give_the_record_itself(self, changes: dict[str, Any]) -> None:
        before = record()
        assert before is before.changed(**changes)

    def test_one_change_among_several_counts(self) -> None:
        assert 2 == record().changed(trouble=None, message="a").revision

    @pytest.mark.parametrize("whole", [record(), WHOLE, record(request=BounceRequest(namespace="a", pod="b"))])
    def test_comes_back_from_json_as_it_was(self, whole: BounceRecord) -> None:
        assert whole == BounceRecord.model_validate_json(whole.model_dump_json())
        assert whole == BounceRecord.model_validate_json(json.dumps(whole.model_dump(mode="json")))

    def test_is_one_small_document_that_says_its_version(self) -> None:
        assert 3 == json.loads(WHOLE.model_dump_json())["schema_version"]
        assert len(WHOLE.model_dump_json()) < 4000

    def test_a_record_of_the_version_before_is_read_and_goes_on_as_one_of_this(self) -> None:
        """What 2 added: the pods' Kubernetes nodes, and what controls the old one."""
        data = WHOLE.model_dump(mode="json") | {"schema_version": 1}
        del data["old_pod"]["controller"], data["old_pod"]["host"], data["new_pod"]["host"]
        found = BounceRecord.model_validate_json(json.dumps(data))
        assert (3, WHOLE.state, "uid-1", None) == (
            found.schema_version,
            found.state,
            found.old_pod and found.old_pod.uid,
            found.old_pod and found.old_pod.controller,
        )

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("revision", 0),
            ("revision", -1),
            ("revision", 2**53),
            ("path", ()),
            ("schema_version", 0),
            ("schema_version", 4),
            ("schema_version", True),
            ("deadline", "2026-01-01T12:00:00"),
            ("deadline", "9999-12-31T23:59:59Z"),
            ("deadline", "0001-01-01T00:00:00Z"),
        ],
    )
    def test_refuses_what_cannot_be(self, field: str, value: object) -> None:
        assert [field] == [found for found, _ in faults(BounceRecord, record().model_dump() | {field: value})]

    @pytest.mark.parametrize(
        ("changes", "fault"),
        [
            ({"path": BOUNCED[1:]}, "path.0: no bounce begins in DISABLE_PROTECTION by checks_passed"),
            ({"path": (*BOUNCED[:2], *BOUNCED[3:])}, "path.2: delete_accepted does not lead from DISABLE_PROTECTION"),
            ({"path": (*BOUNCED, BOUNCED[3])}, "path.6: delete_accepted does not lead from DONE"),
            (
                {"path": (*BOUNCED[:5], StateEntry(state=State.DONE, at=NOW))},
                "path.5: None does not lead from AWAIT_READY",
            ),
            ({"old_pod": None}, "old_pod: DONE has one"),
            ({"old_pod": PinnedPod(name="mec-1", uid="uid-1")}, "old_pod: it is not the pod of the request"),
            ({"old_pod": PinnedPod(name="mec-0", uid="uid-7")}, "old_pod: it is not the pod of the request"),
            ({"path": BOUNCED[:5], "deadline": None}, "deadline: AWAIT_READY has one"),
            ({"path": BOUNCED[:3]}, "deadline: DELETE_POD has none"),
        ],
        ids=[
            "begins_in_the_middle",
            "leaves_one_out",
            "goes_on_after_the_end",
            "goes_on_by_itself",
            "no_pod",
            "pod_of_another_name",
            "pod_of_another_uid",
            "waits_for_ever",
            "waits_where_there_is_nothing_to_wait_for",
        ],
    )
    def test_refuses_what_cannot_have_happened(self, changes: dict[str, Any], fault: str) -> None:
        BounceRecord.model_validate(WHOLE.model_dump())
        with pytest.raises(ValidationError) as caught:
            BounceRecord.model_validate(WHOLE.model_copy(update=changes).model_dump())
        assert first_fault(caught.value)[1].startswith(fault)

    def test_needs_no_pod_where_it_failed_before_it_saw_one(self) -> None:
        path = passages((State.FAILED, Event.POD_MISSING, 1))
        assert None is BounceRecord.model_validate(record(path=path).model_dump()).old_pod


TO_DELETE = ((State.DISABLE_PROTECTION, Event.CHECKS_PASSED), (State.DELETE_POD, Event.PROTECTION_UNUSED))
EXPIRED = (State.INIT_CHECKS, Event.INTENT_EXPIRED)


class TestHowItEnded:
    def test_a_clock_that_went_back_gives_no_negative_duration(self) -> None:
        path = passages((State.DISABLE_PROTECTION, Event.CHECKS_PASSED, -5), (State.FAILED, Event.CANCELLED, -3))
        expected = {State.INIT_CHECKS: 0.0, State.DISABLE_PROTECTION: 2.0}
        assert expected == record(path=path).durations

    @pytest.mark.parametrize(
        ("events", "expected"),
        [
            ([(State.FAILED, Event.NODE_DOWN)], Deletion.NONE),
            ([*TO_DELETE[:1], (State.FAILED, Event.CLUSTER_UNREACHABLE)], Deletion.NONE),
            ([*TO_DELETE, (State.FAILED, Event.DELETE_REFUSED)], Deletion.NONE),
            ([*TO_DELETE, (State.FAILED, Event.CANCELLED)], Deletion.NONE),
            ([*TO_DELETE], Deletion.UNKNOWN),
            ([*TO_DELETE, (State.FAILED, Event.CLUSTER_UNREACHABLE)], Deletion.UNKNOWN),
            ([*TO_DELETE, EXPIRED, (State.FAILED, Event.NODE_DOWN)], Deletion.UNKNOWN),
            ([*TO_DELETE, EXPIRED, *TO_DELETE, (State.FAILED, Event.DELETE_REFUSED)], Deletion.NONE),
            ([*TO_DELETE, (State.AWAIT_TERMINATION, Event.DELETE_ACCEPTED)], Deletion.OURS),
            ([*TO_DELETE, (State.AWAIT_READY, Event.POD_GONE)], Deletion.OURS_OR_ANOTHERS),
            ([*TO_DELETE, EXPIRED, (State.AWAIT_READY, Event.ALREADY_REPLACED)], Deletion.OURS_OR_ANOTHERS),
            ([(State.AWAIT_TERMINATION, Event.ALREADY_TERMINATING)], Deletion.ALREADY),
            ([(State.AWAIT_READY, Event.ALREADY_REPLACED)], Deletion.ALREADY),
        ],
        ids=str,
    )
    def test_whether_it_was_deleted_is_told_as_far_as_it_is_known(
        self, events: list[tuple[State, Event]], expected: Deletion
    ) -> None:
        path = passages(*((state, event, number) for number, (state, event) in enumerate(events, 1)))
        assert expected is record(path=path).deletion

    def test_a_deletion_that_was_lost_is_called_so(self) -> None:
        lost = Diagnosis(code="deletion_lost", evidence="it stands", who="somebody")
        steps = [
            *TO_DELETE,
            (State.AWAIT_TERMINATION, Event.DELETE_ACCEPTED),
            (State.FAILED, Event.TERMINATION_TIMEOUT),
        ]
        path = passages(*((state, event, number) for number, (state, event) in enumerate(steps, 1)))
        assert record(path=path, diagnosis=lost).deletion is Deletion.LOST

    @pytest.mark.parametrize(("code", "kind"), [("image_pull", DiagnosisCode), ("of_a_later_version", str)])
    def test_a_diagnosis_keeps_its_code_as_the_text_that_it_is_in_json(self, code: str, kind: type[str]) -> None:
        found = Diagnosis.model_validate_json(json.dumps({"code": code, "evidence": "e", "who": "w"}))
        assert type(found.code) is kind
        assert found.model_dump(mode="json")["code"] == code


def test_times_keep_their_microseconds_and_zone_in_the_record() -> None:
    back = BounceRecord.model_validate_json(WHOLE.model_dump_json())
    assert back.deadline is not None
    assert (later(691.123456), timedelta(0)) == (back.deadline, back.deadline.utcoffset())


@pytest.mark.parametrize("code", DiagnosisCode)
@pytest.mark.parametrize("name", ["", "mec"])
def test_each_diagnosis_names_somebody_with_and_without_a_name_in_the_evidence(code: DiagnosisCode, name: str) -> None:
    assert Diagnosis.of(code, "seen", name).who in [who.replace("...", name or "...") for who in code.who]


@pytest.mark.parametrize(("now", "seconds"), [(-99, 0.0), (0, 0.0), (0.25, 0.25), (90, 90.0)])
def test_the_time_of_a_bounce_and_that_in_its_present_state_are_never_negative(now: float, seconds: float) -> None:
    """Our own clock may have gone back."""
    path = StateEntry(state=State.INIT_CHECKS, at=later(-60)), StateEntry(state=State.DELETE_POD, at=NOW)
    assert seconds == record(path=path).elapsed(later(now))
    assert seconds == record(path=path).took(later(now - 60))


def test_a_daemon_sets_pod_whose_kubernetes_node_is_not_known_is_replaced_on_any() -> None:
    old = daemon("a", spec={"nodeName": ""})
    assert PinnedPod.of(old, [old]).replacements([daemon("c", created=5)])


@pytest.mark.parametrize(
    ("theirs", "mine", "differ"),
    [
        ({"namespace": "b"}, {"namespace": "c"}, ("request.namespace", "b", "c")),
        ({"pod": "mec-1"}, {"pod": "mec-2"}, ("request.pod", "mec-1", "mec-2")),
        ({"node": None}, {}, ("request.node", "no node", str(NODE))),
        ({}, {"node": None}, ("request.node", str(NODE), "no node")),
        ({"node": "auto"}, {}, ("request.node", "a node to be found", str(NODE))),
        ({"node": "auto"}, {"node": None}, ("request.node", "a node to be found", "no node")),
        ({}, {"pod_uid": "2"}, ("request.pod_uid", "whichever incarnation it finds", "2")),
        ({"pod_uid": "1"}, {"pod_uid": "2"}, ("request.pod_uid", "1", "2")),
        ({"server": "https://a"}, {"server": "https://b"}, ("server", "https://a", "https://b")),
    ],
    ids=[
        "namespace",
        "pod",
        "node",
        "no_node",
        "to_be_found",
        "not_to_be_found",
        "an_incarnation",
        "another_incarnation",
        "server",
    ],
)
def test_the_record_of_another_bounce_is_refused_with_what_differs(
    theirs: dict[str, Any], mine: dict[str, Any], differ: tuple[str, str, str]
) -> None:
    """`theirs` and `mine` are fields of the request, or the server."""
    asked = [request(**{name: value for name, value in of.items() if name != "server"}) for of in (theirs, mine)]
    saved = record(server=theirs.get("server", ""), request=asked[0])
    with pytest.raises(ForeignRecord) as raised:
        refuse_other_bounce(saved, asked[1], "bounce.json", server=mine.get("server", ""))
    field, of, for_ = differ
    assert str(raised.value) == (
        f"bounce.json: field {field}: the record is of {of}, this bounce is of {for_}. Resume that bounce with its own "
        "options, or use another place for this one; the record was left as it is."
    )


@pytest.mark.parametrize("theirs", [{}, {"node": None}, {"node": "auto"}])
def test_a_request_that_leaves_its_node_to_be_found_goes_on_with_the_node_of_the_record(theirs: dict[str, Any]) -> None:
    """A record of 0.2.0 has none, where none was given."""
    refuse_other_bounce(record(request=request(**theirs)), request(node="auto"), "bounce.json")


def test_a_node_that_was_found_may_be_named_later_and_no_other() -> None:
    saved = record(request=request(node="auto"), found_node=NODE)
    refuse_other_bounce(saved, request(node=NODE), "bounce.json")
    with pytest.raises(ForeignRecord, match=f"the record is of {NODE}, this bounce is of .* mec-1"):
        refuse_other_bounce(saved, request(node=NODE.model_copy(update={"name": "mec-1"})), "bounce.json")


@pytest.mark.parametrize(
    ("asked", "found", "expected"), [(NODE, None, NODE), ("auto", NODE, NODE), ("auto", None, None), (None, None, None)]
)
def test_the_node_is_the_one_that_was_given_or_found(asked: Any, found: Any, expected: Any) -> None:
    assert expected == record(request=request(node=asked), found_node=found).node


@pytest.mark.parametrize("version", [1, 2])
def test_a_record_of_an_older_mecbounce_without_a_node_stays_without_one(version: int) -> None:
    saved = record(request=request(node=None)).model_dump(mode="json", exclude={"found_node"})
    del saved["request"]["node_types"]
    read = BounceRecord.model_validate(saved | {"schema_version": version})
    assert (read.request.node, read.node) == (None, None)


def test_one_that_has_ended_is_not_said_to_be_resumed() -> None:
    with pytest.raises(ForeignRecord) as raised:
        refuse_other_pod(record(path=BOUNCED), request(pod="mec-1"), "bounce.json")
    assert str(raised.value) == (
        "bounce.json: field request.pod: the record is of mec-0, this bounce is of mec-1. That bounce has ended: use "
        "another place for this one, or move the record away; the record was left as it is."
    )


def test_the_time_that_was_too_short_is_known_after_the_end() -> None:
    late = (*BOUNCED[:5], StateEntry(state=State.FAILED, at=later(9999), event=Event.READY_TIMEOUT))
    waiting = record(path=BOUNCED[:5], deadline=later(91))
    assert (waiting.limit, waiting.limit_passed) == (60, None)
    ended = waiting.model_copy(update={"path": late})  # it was resumed long after its deadline
    assert (ended.limit, ended.limit_passed) == (None, 60)
    assert record(path=BOUNCED).limit_passed is None


@pytest.mark.parametrize(
    ("old", "guessed"),
    [(PinnedPod(name="mec-x4k2p", uid="1"), True), (PinnedPod(name="mec-x4k2p", uid="1", images={"a": "a:1"}), False)],
)
def test_a_name_is_guessed_to_be_generated_only_of_a_pod_that_was_never_seen(old: PinnedPod, *, guessed: bool) -> None:
    path = passages((State.AWAIT_READY, Event.ALREADY_REPLACED, 1))
    asked = request(pod="mec-x4k2p", node=None)
    assert record(path=path, old_pod=old, request=asked).by_other_name is guessed


@pytest.mark.parametrize(("theirs", "mine"), [("", "https://a"), ("https://a", ""), ("https://a", "https://a")])
def test_a_server_that_is_not_known_is_not_another(theirs: str, mine: str) -> None:
    refuse_other_bounce(record(server=theirs), request(), "bounce.json", server=mine)


def test_beside_a_daemon_sets_pod_no_peer_is_waited_for() -> None:
    """Each Kubernetes node has its own."""
    old, older = daemon("a"), daemon("b", created=-9000)
    pinned = PinnedPod.of(old, [old, older])
    assert (pinned.lookalikes, pinned.peers) == (frozenset({"b"}), frozenset())
