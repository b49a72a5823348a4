"""Why has nothing recreated the pod? What the resource, the controller and its Events tell."""

from __future__ import annotations

from typing import Any

import pytest
from builders import NODE, later, pod, stamp

from mecbounce import absence
from mecbounce.errors import NotFound
from mecbounce.kubernetes_api.node import Node
from mecbounce.kubernetes_api.objects import Controller, Host, Owner, Pod, PodEvent
from mecbounce.record import Diagnosis, PinnedPod

from .diagnoses import (
    ADMINISTRATORS,
    ANSWERS,
    APPLICATION,
    OPERATOR,
    QUOTA,
    absent,
    code,
    fits_its_row,
    warning,
)

REF = "expressnodes.express.example.com/v1 mec-0"
SPARE: dict[str, Any] = {"kind": "ExpressNode", "name": "mec-0", "uid": "owner-2", "controller": True}


class TestNotRecreated:
    OLD = PinnedPod.of(pod(), [])
    UP = Node(desired="up")

    @pytest.mark.parametrize(
        ("pods", "node", "expected"),
        [
            (
                [],
                NotFound(f"{REF} not found in default", near="; did you mean mec-1?"),
                Diagnosis(
                    code="node_missing",
                    evidence=f"{REF} not found in default",
                    who="whoever removed the custom resource",
                ),
            ),
            (
                [],
                Node(desired="Stopped"),
                Diagnosis(
                    code="node_down",
                    evidence=f"{REF} has been turned down meanwhile (spec.state: Stopped)",
                    who="whoever turned it down",
                ),
            ),
            (
                [pod(uid="uid-2", deleted=20)],
                UP,
                Diagnosis(
                    code="replacement_terminating",
                    evidence="pod mec-0 (uid-2) exists in its place and is itself terminating",
                    who=OPERATOR,
                ),
            ),
            (
                [pod(uid="uid-2", owner=SPARE)],
                UP,
                Diagnosis(
                    code="other_controller",
                    evidence="pod mec-0 (uid-2) exists in its place, but another controller owns it: "
                    "ExpressNode mec-0 (owner-2)",
                    who=OPERATOR,
                ),
            ),
            (
                [pod(uid="uid-2", owner=None)],
                UP,
                Diagnosis(
                    code="other_controller",
                    evidence="pod mec-0 (uid-2) exists in its place, but nothing controls it",
                    who=OPERATOR,
                ),
            ),
            ([], UP, Diagnosis(code="not_recreated", evidence="nothing has recreated the pod", who=OPERATOR)),
        ],
        ids=["node_missing", "node_down", "terminating", "other_controller", "unowned", "not_recreated"],
    )
    def test_says_why_there_is_no_replacement(
        self, pods: list[Pod], node: Node | NotFound, expected: Diagnosis
    ) -> None:
        assert expected == absent(self.OLD, pods, NODE, node)

    @pytest.mark.parametrize("node", [Node(), Node(desired="up", activity="down"), None])
    def test_a_node_that_does_not_say_down_is_no_explanation(self, node: Node | None) -> None:
        assert "not_recreated" == code(absent(self.OLD, [], NODE, node))

    def test_without_a_ref_the_node_says_nothing(self) -> None:
        assert "not_recreated" == code(absent(self.OLD, [], None, Node(desired="down")))
        assert "not_recreated" == code(absent(self.OLD, [], None, NotFound("not found")))
        assert "not_recreated" == code(absent(self.OLD, [], None, None))

    DAEMON: dict[str, Any] = {"kind": "DaemonSet", "name": "ds", "uid": "ds-1", "controller": True}  # noqa: RUF012 -- a table

    def daemon(self, name: str, on: str, **fields: Any) -> Pod:
        return pod(name, name, owner=self.DAEMON, metadata={"generateName": "ds-"}, spec={"nodeName": on}, **fields)

    @pytest.mark.parametrize(
        ("wanted", "standing", "expected"),
        [(1, ["host-2"], "host_not_wanted"), (2, ["host-2"], "not_recreated"), (None, ["host-2"], "not_recreated")],
        ids=["one_on_each", "one_is_due", "not_told"],
    )
    def test_a_daemon_sets_own_pods_tell_whether_it_wants_one_here(
        self, wanted: int | None, standing: list[str], expected: str
    ) -> None:
        """Its status alone may be of a time before the deletion. A new pod elsewhere is none of another name."""
        old = PinnedPod.of(self.daemon("ds-a", "host-1"), [])
        elsewhere = [self.daemon(f"ds-{on}", on, created=10) for on in standing]
        reference = Owner(kind="DaemonSet", name="ds", uid="ds-1")
        found = absent(old, elsewhere, controller=Controller(reference=reference, hosts_wanted=wanted))
        assert code(found) == expected

    @pytest.mark.parametrize("pods", [[pod()], [pod("mec-1", "uid-3")]], ids=["itself", "another_name"])
    def test_neither_itself_nor_another_name_stands_in_its_place(self, pods: list[Pod]) -> None:
        assert "not_recreated" == code(absent(self.OLD, pods, NODE, self.UP))

    @pytest.mark.parametrize(
        ("node", "expected"),
        [
            (NotFound("not found"), "node_missing"),
            (NotFound("not served", served=False), "node_unserved"),
            (Node(desired="down"), "node_down"),
        ],
    )
    def test_the_resource_explains_more_than_what_stands_in_its_place(
        self, node: Node | NotFound, expected: str
    ) -> None:
        pods = [pod(uid="uid-2", deleted=20)]
        assert expected == code(absent(self.OLD, pods, NODE, node))


def owner(kind: str, name: str, uid: str, group: str = "apps/v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": group, "kind": kind, "name": name, "uid": uid, "controller": True, **fields}


def read(of: dict[str, Any], spec: Any = None, status: Any = None, **metadata: Any) -> Controller:
    named = {"name": of["name"], "uid": of["uid"], **metadata}
    return Controller.read({**of, "metadata": named, "spec": spec or {}, "status": status or {}})


DEPLOYMENT = owner("Deployment", "mec", "d-1")
REPLICA_SET = owner("ReplicaSet", "mec-7d9f", "rs-1")
NEXT_SET = owner("ReplicaSet", "mec-5c4b", "rs-2")
STATEFUL_SET = owner("StatefulSet", "mec", "sts-1")
DAEMON_SET = owner("DaemonSet", "log", "ds-1")
JOB = owner("Job", "backup", "job-1", "batch/v1")
CUSTOM = owner("ExpressNode", "mec-0", "owner-1", "express.example.com/v1")
EXECUTOR = owner("Pod", "app-driver", "pod-1", "v1")


def sibling(uid: str, of: dict[str, Any] = REPLICA_SET, name: str = "", **fields: Any) -> Pod:
    """Give a running pod of a controller."""
    return pod(name or f"{of['name']}-{uid}", uid, owner=of, metadata={"generateName": f"{of['name']}-"}, **fields)


def pinned(of: dict[str, Any], name: str = "") -> PinnedPod:
    old = sibling("old", of, name)
    return PinnedPod.of(old, [old])


def ordinal(number: int, **fields: Any) -> Pod:
    return sibling(f"uid-{number}", STATEFUL_SET, f"mec-{number}", **fields)


NOTHING = "nothing has recreated the pod"
GONE = "it no longer exists"
OVER = {
    "type": "Failed",
    "status": "True",
    "reason": "BackoffLimitExceeded",
    "message": "Job has reached the specified backoff limit",
}
SCALED = read(REPLICA_SET, {"replicas": 0}, ownerReferences=[DEPLOYMENT])
WANTED = read(REPLICA_SET, {"replicas": 1}, ownerReferences=[DEPLOYMENT])
TOOK_OVER = read(NEXT_SET, {"replicas": 1}, ownerReferences=[DEPLOYMENT])
EMPTY = read(NEXT_SET, {"replicas": 0}, ownerReferences=[DEPLOYMENT])
OF_ANOTHER = read(NEXT_SET, {"replicas": 1}, ownerReferences=[DEPLOYMENT | {"name": "other", "uid": "d-2"}])
OF_NOBODY = read(NEXT_SET, {"replicas": 1})


class TestWhatTheControllerTells:
    """Nothing came: what made the pod is looked at itself, and its last Warning Event quoted."""

    @pytest.mark.parametrize(
        ("old", "now", "pods", "expected", "evidence", "who"),
        [
            pytest.param(
                pinned(STATEFUL_SET, "mec-0"),
                "it no longer exists",
                [],
                "controller_gone",
                "StatefulSet mec: it no longer exists",
                "whoever removed StatefulSet mec",
                id="gone",
            ),
            pytest.param(
                pinned(STATEFUL_SET, "mec-0"),
                read(STATEFUL_SET, {"replicas": 0}, deletionTimestamp=stamp(-5)),
                [],
                "controller_deleting",
                "StatefulSet mec is being deleted",
                "whoever deletes StatefulSet mec",
                id="being_deleted",
            ),
            pytest.param(
                pinned(STATEFUL_SET, "mec-2"),
                read(STATEFUL_SET, {"replicas": 2}),
                [ordinal(0), ordinal(1)],
                "controller_scaled_down",
                "StatefulSet mec was scaled down, from at least 3 to 2",
                "whoever scaled StatefulSet mec",
                id="scaled_down",
            ),
            pytest.param(
                pinned(STATEFUL_SET, "mec-2"),
                read(STATEFUL_SET, {"replicas": 3}),
                [ordinal(0), ordinal(1)],
                "not_recreated",
                "nothing has recreated the pod",
                ADMINISTRATORS,
                id="not_scaled_down",
            ),
            pytest.param(
                pinned(STATEFUL_SET, "mec-6"),
                read(STATEFUL_SET, {"replicas": 1, "ordinals": {"start": 5}}),
                [ordinal(5)],
                "controller_scaled_down",
                "StatefulSet mec was scaled down, from at least 2 to 1",
                "whoever scaled StatefulSet mec",
                id="scaled_down_with_a_first_ordinal",
            ),
            pytest.param(
                pinned(STATEFUL_SET, "mec-5"),
                read(STATEFUL_SET, {"replicas": 1, "ordinals": {"start": 5}}),
                [],
                "not_recreated",
                "nothing has recreated the pod",
                ADMINISTRATORS,
                id="its_first_ordinal",
            ),
            pytest.param(
                pinned(STATEFUL_SET, "mec-2"),
                read(STATEFUL_SET, {"replicas": 3, "ordinals": {"start": 5}}),
                [],
                "controller_scaled_down",
                "StatefulSet mec wants no pod mec-2: its ordinals begin with 5",
                "whoever scaled StatefulSet mec",
                id="before_its_first_ordinal",
            ),
            pytest.param(
                pinned(REPLICA_SET),
                read(REPLICA_SET, {"replicas": 2}),
                [sibling("a"), sibling("b")],
                "controller_scaled_down",
                "ReplicaSet mec-7d9f was scaled down, from at least 3 to 2",
                "whoever scaled ReplicaSet mec-7d9f",
                id="replica_set_scaled_down",
            ),
            pytest.param(
                pinned(REPLICA_SET),
                SCALED,
                [],
                "controller_scaled_down",
                "ReplicaSet mec-7d9f was scaled down, from at least 1 to 0",
                "whoever scaled Deployment mec",
                id="deployment_scaled_to_nothing",
            ),
            pytest.param(
                pinned(REPLICA_SET),
                read(REPLICA_SET, {"replicas": 0}),
                [],
                "controller_scaled_down",
                "ReplicaSet mec-7d9f was scaled down, from at least 1 to 0",
                "whoever scaled ReplicaSet mec-7d9f",
                id="replica_set_scaled_to_nothing",
            ),
            pytest.param(
                pinned(REPLICA_SET),
                read(REPLICA_SET, {"replicas": 3}),
                [sibling("a"), sibling("b"), sibling("c", status={"phase": "Failed"}), sibling("d", deleted=5)],
                "not_recreated",
                "nothing has recreated the pod",
                ADMINISTRATORS,
                id="leftovers_are_no_pods",
            ),
            pytest.param(
                pinned(REPLICA_SET),
                read(REPLICA_SET, {"replicas": "many"}),
                [],
                "not_recreated",
                "nothing has recreated the pod",
                ADMINISTRATORS,
                id="an_odd_field",
            ),
            pytest.param(
                PinnedPod.of(pod(owner=CUSTOM), []),
                read(CUSTOM, {"replicas": 0}),
                [],
                "controller_scaled_down",
                "ExpressNode mec-0 was scaled down to 0",
                "whoever scaled ExpressNode mec-0",
                id="operator_scaled_down",
            ),
            pytest.param(
                PinnedPod.of(pod(owner=CUSTOM), []),
                read(CUSTOM, {"replicas": 1}),
                [],
                "not_recreated",
                "nothing has recreated the pod",
                OPERATOR,
                id="operator",
            ),
            pytest.param(
                PinnedPod.of(pod(owner=CUSTOM), []),
                read(CUSTOM, {}, {"conditions": [{"type": "Ready", "status": "False", "reason": "DiskFull"}]}),
                [],
                "not_recreated",
                "nothing has recreated the pod; ExpressNode mec-0 reports that it is not ready: DiskFull",
                OPERATOR,
                id="operator_says_why",
            ),
            pytest.param(
                PinnedPod.of(pod(owner=CUSTOM), []),
                read(CUSTOM, {}, annotations={"example.com/pause-reconciliation": "true"}),
                [],
                "controller_paused",
                "ExpressNode mec-0 is paused, by spec.paused or an annotation: its operator leaves it alone",
                "whoever paused ExpressNode mec-0",
                id="operator_paused",
            ),
            pytest.param(
                pinned(JOB),
                read(JOB, {}, {"conditions": [{"type": "Complete", "status": "True"}]}),
                [],
                "job_finished",
                "Job backup is over: Complete",
                "the owners of Job backup",
                id="job_complete",
            ),
            pytest.param(
                pinned(JOB),
                read(JOB, {}, {"conditions": [OVER, {"type": "FailureTarget", "status": "True"}]}),
                [],
                "job_finished",
                "Job backup is over: Failed (BackoffLimitExceeded: Job has reached the specified backoff limit)",
                "the owners of Job backup",
                id="job_failed",
            ),
            pytest.param(
                pinned(JOB),
                read(JOB, {"suspend": True}, {"conditions": [{"type": "Suspended", "status": "True"}]}),
                [],
                "job_suspended",
                "Job backup is suspended (spec.suspend)",
                "whoever suspended Job backup",
                id="job_suspended",
            ),
            pytest.param(
                pinned(JOB),
                read(JOB, {"suspend": False}, {"conditions": [{"type": "Complete", "status": "False"}]}),
                [],
                "not_recreated",
                "nothing has recreated the pod",
                ADMINISTRATORS,
                id="job_at_work",
            ),
            pytest.param(
                pinned(STATEFUL_SET, "mec-2"),
                read(STATEFUL_SET, {"replicas": 3}),
                [ordinal(0), ordinal(1, ready=False)],
                "predecessor_not_ready",
                "StatefulSet mec makes its pods in order (OrderedReady), and pod mec-1 is not ready",
                APPLICATION,
                id="predecessor_not_ready",
            ),
            pytest.param(
                pinned(STATEFUL_SET, "mec-2"),
                read(STATEFUL_SET, {"replicas": 3, "podManagementPolicy": "OrderedReady"}),
                [ordinal(0, deleted=5), ordinal(1, ready=False)],
                "predecessor_not_ready",
                "StatefulSet mec makes its pods in order (OrderedReady), and pod mec-0 is terminating",
                APPLICATION,
                id="predecessor_terminating",
            ),
            pytest.param(
                pinned(STATEFUL_SET, "mec-7"),
                read(STATEFUL_SET, {"replicas": 3, "ordinals": {"start": 5}}),
                [ordinal(5)],
                "predecessor_not_ready",
                "StatefulSet mec makes its pods in order (OrderedReady), and pod mec-6 does not exist",
                APPLICATION,
                id="predecessor_missing",
            ),
            pytest.param(
                pinned(STATEFUL_SET, "mec-2"),
                read(STATEFUL_SET, {"replicas": 3, "podManagementPolicy": "Parallel"}),
                [ordinal(1, ready=False)],
                "not_recreated",
                "nothing has recreated the pod",
                ADMINISTRATORS,
                id="parallel",
            ),
            pytest.param(
                pinned(STATEFUL_SET, "mec-0"),
                read(STATEFUL_SET, {"replicas": 3}),
                [ordinal(1, ready=False), ordinal(2, ready=False)],
                "not_recreated",
                "nothing has recreated the pod",
                ADMINISTRATORS,
                id="successors_do_not_count",
            ),
            pytest.param(
                pinned(DAEMON_SET),
                read(DAEMON_SET, {}, {"desiredNumberScheduled": 1}),
                [sibling("b", DAEMON_SET, spec={"nodeName": "host-2"})],
                "host_not_wanted",
                "DaemonSet log has a pod on every Kubernetes node where it wants one (1), but not on host-1",
                "whoever changed DaemonSet log or host-1",
                id="host_not_wanted",
            ),
            pytest.param(
                pinned(DAEMON_SET),
                read(DAEMON_SET, {}, {"desiredNumberScheduled": 3, "currentNumberScheduled": 2}),
                [],
                "not_recreated",
                "nothing has recreated the pod",
                ADMINISTRATORS,
                id="daemon_wanted",
            ),
            pytest.param(
                PinnedPod.of(pod("app-exec-1", "old", owner=EXECUTOR), []),
                read(EXECUTOR),
                [sibling("new", EXECUTOR, "app-exec-3", created=5), sibling("older", EXECUTOR, "app-exec-2")],
                "other_name",
                "Pod app-driver has made pod app-exec-3 meanwhile, and none of the name app-exec-1",
                "the owners of the operator",
                id="another_name",
            ),
            pytest.param(
                PinnedPod.of(pod(owner=None), []),
                None,
                [],
                "not_recreated",
                "nothing has recreated the pod",
                "whoever made the pod",
                id="a_bare_pod",
            ),
            pytest.param(
                pinned(STATEFUL_SET, "mec-0"), None, [], "not_recreated", NOTHING, ADMINISTRATORS, id="not_known"
            ),
        ],
    )
    def test_is_why_nothing_came_and_who_must_act(
        self, old: PinnedPod, now: Controller | str | None, pods: list[Pod], expected: str, evidence: str, who: str
    ) -> None:
        found = absent(old, pods, controller=now)
        assert Diagnosis(code=expected, evidence=evidence, who=who) == found
        assert fits_its_row(found)

    @pytest.mark.parametrize(
        ("now", "sets", "expected", "evidence"),
        [
            (SCALED, [SCALED, TOOK_OVER], "rolled_out", "ReplicaSet mec-7d9f is scaled down to 0, "),
            (GONE, [TOOK_OVER], "rolled_out", "ReplicaSet mec-7d9f no longer exists, "),
            (None, [SCALED, TOOK_OVER], "rolled_out", "ReplicaSet mec-7d9f is scaled down to 0, "),
            (None, [WANTED, TOOK_OVER], "not_recreated", NOTHING),
            (WANTED, [WANTED, TOOK_OVER], "not_recreated", NOTHING),
            (SCALED, [SCALED], "controller_scaled_down", "ReplicaSet mec-7d9f was scaled down, from at least 1 to 0"),
            (SCALED, [SCALED, OF_ANOTHER], "controller_scaled_down", "ReplicaSet mec-7d9f was scaled down, from"),
            (SCALED, [SCALED, EMPTY], "controller_scaled_down", "ReplicaSet mec-7d9f was scaled down, from"),
            (SCALED, [SCALED, OF_NOBODY], "controller_scaled_down", "ReplicaSet mec-7d9f was scaled down, from"),
            (GONE, [OF_ANOTHER], "controller_gone", "ReplicaSet mec-7d9f: it no longer exists"),
            (GONE, [], "controller_gone", "ReplicaSet mec-7d9f: it no longer exists"),
        ],
        ids=[
            "scaled_down",
            "removed",
            "not_read_but_listed",
            "not_read_and_still_wanted",
            "still_wanted",
            "no_other",
            "of_another_deployment",
            "other_wants_none",
            "other_of_nobody",
            "removed_and_of_another_deployment",
            "removed_and_no_other",
        ],
    )
    def test_a_rollout_is_told_by_the_replica_set_that_took_over(
        self, now: Controller | str | None, sets: list[Controller], expected: str, evidence: str
    ) -> None:
        found = absent(pinned(REPLICA_SET), [], controller=now, replica_sets=tuple(sets))
        if expected == "rolled_out":
            evidence = f"Deployment mec was rolled out: {evidence}ReplicaSet mec-5c4b took over"
            assert "nobody: look at the pods of ReplicaSet mec-5c4b" == found.who
        if expected == "controller_scaled_down":
            assert found.who == "whoever scaled Deployment mec"
        assert expected == found.code
        assert found.evidence.startswith(evidence)

    @pytest.mark.parametrize(("answer", "expected", "who"), ANSWERS, ids=lambda one: one[:40])
    def test_a_creation_that_was_refused_is_quoted_and_whoever_refused_it_must_act(
        self, answer: str, expected: str, who: str
    ) -> None:
        told = [
            warning("FailedCreate", f"create Pod mec-0 in StatefulSet mec failed error: {answer}", last=5),
            warning("FailedCreate", "something else, before the bounce began", last=-5),
        ]
        stands = read(STATEFUL_SET, {"replicas": 3})
        found = absent(pinned(STATEFUL_SET, "mec-0"), [], controller=stands, events=tuple(told))
        assert (expected, who) == (found.code, found.who)
        assert found.evidence.startswith("the last Warning Event of StatefulSet mec: FailedCreate: create Pod mec-0")

    @pytest.mark.parametrize(
        ("of", "event", "expected", "who"),
        [
            (STATEFUL_SET, warning("FailedCreate", "maximum memory usage", last=5), "creation_failed", ADMINISTRATORS),
            (CUSTOM, warning("CreateFailed", "no licence", last=5), "creation_failed", OPERATOR),
            (STATEFUL_SET, warning("FailedCreate", QUOTA, last=-1), "not_recreated", ADMINISTRATORS),
            (STATEFUL_SET, warning("FailedCreate", QUOTA, last=None), "not_recreated", ADMINISTRATORS),
            (
                STATEFUL_SET,
                warning("FailedCreate", 'object is being deleted: pods "mec-0" already exists', last=5),
                "not_recreated",
                ADMINISTRATORS,
            ),
            (STATEFUL_SET, warning("RecreatingFailedPod", "mec-0", last=5), "not_recreated", ADMINISTRATORS),
            (STATEFUL_SET, PodEvent(reason="Created", message="x", last_timestamp=later(5)), "not_recreated", None),
        ],
        ids=["limit_range", "custom", "before_the_bounce", "undated", "old_pod_still_there", "recreating", "normal"],
    )
    def test_another_event_of_the_controller_is_quoted_or_tells_nothing(
        self, of: dict[str, Any], event: PodEvent, expected: str, who: str | None
    ) -> None:
        found = absent(pinned(of, "mec-0"), [], controller=read(of, {"replicas": 3}), events=(event,))
        assert expected == found.code
        assert who in (None, found.who)
        assert (event.message in found.evidence) is (expected == "creation_failed")

    def test_a_stateful_set_of_another_group_may_leave_ordinals_out(self) -> None:
        """OpenKruise's does so by reserveOrdinals. Then a high ordinal tells nothing of how many pods there are."""
        of = STATEFUL_SET | {"apiVersion": "apps.kruise.io/v1beta1"}
        kruise = read(of, {"replicas": 1, "reserveOrdinals": [0]})
        found = absent(pinned(of, "mec-1"), [], controller=kruise)
        assert ("not_recreated", OPERATOR) == (found.code, found.who)
        assert "" == absence.unready_predecessor(kruise, "mec-1", [])
        none = read(of, {"replicas": 0})
        assert "controller_scaled_down" == code(absent(pinned(of, "mec-1"), [], controller=none))

    def test_what_the_controller_says_of_itself_comes_before_its_events(self) -> None:
        told = (warning("FailedCreate", QUOTA, last=5),)
        scaled = read(STATEFUL_SET, {"replicas": 0})
        assert "controller_scaled_down" == code(
            absent(pinned(STATEFUL_SET, "mec-0"), [], controller=scaled, events=told)
        )
        paused = read(CUSTOM, {"paused": True})
        assert "quota_exceeded" == code(absent(PinnedPod.of(pod(owner=CUSTOM), []), [], controller=paused, events=told))

    def test_a_daemon_sets_pod_has_none_where_its_kubernetes_node_has_gone(self) -> None:
        found = absent(pinned(DAEMON_SET), [], controller=read(DAEMON_SET), host=Host.removed("host-1"))
        expected = Diagnosis(code="host_gone", evidence="Kubernetes node host-1 no longer exists", who=ADMINISTRATORS)
        assert expected == found

    def test_a_resource_that_is_being_deleted_explains_it(self) -> None:
        found = absent(PinnedPod.of(pod(), []), [], NODE, Node(desired="up", deleting=True))
        expected = ("node_deleting", f"{REF} is being deleted", "whoever deletes the custom resource")
        assert expected == (found.code, found.evidence, found.who)

    def test_of_many_new_pods_the_names_are_told(self) -> None:
        made = [sibling(f"n{number}", EXECUTOR, f"app-exec-{number}", created=5) for number in (3, 4)]
        found = absent(PinnedPod.of(pod("app-exec-1", "old", owner=EXECUTOR), []), made, controller=read(EXECUTOR))
        assert "has made pods app-exec-3, app-exec-4 meanwhile" in found.evidence

    def test_the_others_that_stand_are_those_of_its_controller_alone(self) -> None:
        old = pinned(REPLICA_SET)
        pods = [
            sibling("old"),
            sibling("a"),
            sibling("b", deleted=5),
            sibling("c", status={"phase": "Failed"}),
            sibling("d", NEXT_SET),
        ]
        assert ["a"] == [one.uid for one in absence.others(old, pods)]
        assert () == absence.others(PinnedPod.of(pod(owner=None), []), pods)


class TestTheLastDetail:
    """What decides in the one case on either side of a limit, or between two alike."""

    @pytest.mark.parametrize(
        ("conditions", "told"),
        [
            ([{"type": "Ready", "status": "False", "reason": "DiskFull"}], "; ExpressNode mec-0 reports"),
            ([{"type": "Ready", "status": "Unknown", "message": "no agent"}], "; ExpressNode mec-0 reports"),
            ([{"type": "Ready", "status": "True", "reason": "AllGood"}], ""),
            ([{"type": "Synced", "status": "False", "reason": "Behind"}], ""),
        ],
        ids=["not_ready", "not_known", "ready", "another_condition"],
    )
    def test_of_a_controllers_conditions_only_a_ready_that_is_not_true_is_quoted(
        self, conditions: list[dict[str, Any]], told: str
    ) -> None:
        now = read(CUSTOM, {}, {"conditions": conditions})
        found = absent(PinnedPod.of(pod(owner=CUSTOM), []), [], controller=now)
        assert ("not_recreated", bool(told)) == (found.code, found.evidence != NOTHING)
        assert found.evidence.startswith(f"{NOTHING}{told}")

    @pytest.mark.parametrize(
        ("of", "expected", "who"),
        [
            (EXECUTOR, "other_name", OPERATOR),
            (JOB, "other_name", ADMINISTRATORS),
            (STATEFUL_SET, "not_recreated", ADMINISTRATORS),
        ],
        ids=["operator", "built_in", "stateful_set"],
    )
    def test_a_stateful_set_makes_pods_of_fixed_names_so_that_its_others_explain_nothing(
        self, of: dict[str, Any], expected: str, who: str
    ) -> None:
        old = PinnedPod.of(pod("app-0", "old", owner=of), [])
        found = absent(old, [sibling("new", of, "app-2", created=5)], controller=read(of))
        assert (expected, who) == (found.code, found.who)

    @pytest.mark.parametrize(
        ("created", "expected"), [(-0.001, "not_recreated"), (0, "not_recreated"), (1, "other_name")]
    )
    def test_another_pod_counts_as_made_meanwhile_only_from_then_on(self, created: float, expected: str) -> None:
        old = PinnedPod.of(pod("app-exec-1", "old", owner=EXECUTOR), [])
        made = sibling("new", EXECUTOR, "app-exec-3", created=created)
        assert expected == code(absent(old, [made], controller=read(EXECUTOR)))

    def test_the_ordinal_is_what_stands_behind_the_last_hyphen(self) -> None:
        named = owner("StatefulSet", "my-mec", "sts-1")
        found = absent(pinned(named, "my-mec-2"), [], controller=read(named, {"replicas": 2}))
        assert "StatefulSet my-mec was scaled down, from at least 3 to 2" == found.evidence

    @pytest.mark.parametrize(("of", "who"), [(REPLICA_SET, ADMINISTRATORS), (CUSTOM, OPERATOR)])
    def test_too_few_replacements_are_counted_with_the_old_pod(self, of: dict[str, Any], who: str) -> None:
        evidence = "3 pods of its controller have gone, and fewer replacements are back"
        expected = Diagnosis(code="too_few_replacements", evidence=evidence, who=who)
        assert expected == absence.too_few(PinnedPod.of(pod(owner=of), []), 2)

    def test_a_generated_name_is_told_with_what_follows_from_it(self) -> None:
        evidence = "its name looks generated: then its replacement has another name, and this bounce can't find it"
        assert ("name_generated", evidence) == (absence.name_generated().code, absence.name_generated().evidence)

    @pytest.mark.parametrize(("of", "who"), [(REPLICA_SET, ADMINISTRATORS), (CUSTOM, OPERATOR)])
    @pytest.mark.parametrize(("deleted", "expected"), [(20, "replacement_terminating"), (None, "other_controller")])
    def test_for_a_pod_in_its_place_whoever_makes_the_old_one_must_act(
        self, of: dict[str, Any], who: str, deleted: float | None, expected: str
    ) -> None:
        namesake = pod(uid="uid-2", owner=None, deleted=deleted)
        found = absent(PinnedPod.of(pod(owner=of), []), [namesake])
        assert (expected, who) == (found.code, found.who)

    def test_of_two_replica_sets_that_took_over_the_larger_is_told(self) -> None:
        names = [("mec-a", 1), ("mec-b", 3), ("mec-c", 2)]
        sets = [
            read(owner("ReplicaSet", name, name), {"replicas": replicas}, ownerReferences=[DEPLOYMENT])
            for name, replicas in names
        ]
        found = absent(pinned(REPLICA_SET), [], controller=SCALED, replica_sets=(SCALED, *sets))
        assert "Deployment mec was rolled out: ReplicaSet mec-7d9f is scaled down to 0, ReplicaSet mec-b took over" == (
            found.evidence
        )

    def test_a_removed_replica_set_is_of_the_deployment_of_its_name_without_the_last_part(self) -> None:
        named = DEPLOYMENT | {"name": "my-mec"}
        next_set = read(owner("ReplicaSet", "my-mec-5c4b", "rs-2"), {"replicas": 1}, ownerReferences=[named])
        old = pinned(owner("ReplicaSet", "my-mec-7d9f", "rs-1"))
        assert "rolled_out" == code(absent(old, [], controller=GONE, replica_sets=(next_set,)))
