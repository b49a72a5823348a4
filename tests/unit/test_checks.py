"""May the pod be bounced? The table, its order and its words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from builders import NODE, pod, request
from pydantic import ValidationError

from mecbounce.checks import CHECKS, Facts, Verdict, judge
from mecbounce.kubernetes_api.node import Node
from mecbounce.kubernetes_api.objects import Owner
from mecbounce.machine import TRANSITIONS, Event, State
from mecbounce.messages import COMMAND, TASK, Terms

UP = Node(desired="up", activity="running")
DOWN = Node(desired="down", activity="running")
REBUILDING = Node(desired="up", activity="rebuilding")
CATCHING_UP = Node(desired="up", activity="catchup")
REF = "expressnodes.express.example.com/v1 mec-0"
POD = "Pod mec-0 in namespace default"
RENAME = (
    "Name the node that the pod is made from. If that resource was recreated under its name, its operator must "
    "replace the pod."
)
WAIT_ON = "the bounce only waits for a replacement of that name."
WAIT_FOR_ITS_OWN = "the bounce only waits for its replacement."
NOT_MADE = "If the name or the namespace is wrong, correct it. If not, whatever makes the pod has not made it."
SKIP = "To bounce the pod whatever its resource says, use --no-node."
IN_FILE = '[node."expressnodes.express.example.com"] of mecbounce\'s config.toml'
SHOULD_HAVE = "should have made it: look at its log and Events. If the name or the namespace is wrong, correct it."

TO_AN_END = (
    "The pod belongs to Job backup and runs only until its work is done; going on because of force=True. Its work "
    "starts again, or counts as failed and is not done again."
)

ORDER = [
    ("node_unasked", None),
    ("node_unserved", Event.NODE_UNSERVED),
    ("node_missing", Event.NODE_MISSING),
    ("node_unreadable", Event.NODE_UNREADABLE),
    ("node_deleting", Event.NODE_DELETING),
    ("node_down", Event.NODE_DOWN),
    ("node_silent", None),
    ("already_replaced", Event.ALREADY_REPLACED),
    ("pod_missing", Event.POD_MISSING),
    ("pod_static", Event.POD_STATIC),
    ("pod_unmanaged", Event.POD_UNMANAGED),
    ("pod_owned", None),
    ("pod_foreign", Event.POD_FOREIGN),
    ("node_unverified", None),
    ("already_terminating", Event.ALREADY_TERMINATING),
    ("pod_ended", Event.POD_ENDED),
    ("pod_ended_in_place", None),
    ("pod_of_job", Event.POD_OF_JOB),
    ("node_rebuilding", Event.NODE_REBUILDING),
    ("node_catching_up", None),
]
FORCED = {"pod_unmanaged", "pod_of_job", "node_rebuilding"}

MADE_FROM = Owner(kind="ExpressNode", name="mec-0", uid="owner-1")  # as the pod of these tests is
OTHER = MADE_FROM.model_copy(update={"uid": "owner-2"})
UNCONTROLLED = {"kind": "ExpressNode", "name": "mec-0", "uid": "owner-1"}
HOST = {"apiVersion": "v1", "kind": "Node", "name": "host-1", "uid": "h-1", "controller": True}
JOB = {"apiVersion": "batch/v1", "kind": "Job", "name": "backup", "uid": "job-1", "controller": True}
REPLICA_SET = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "mec-7d9f", "uid": "rs-1", "controller": True}
DAEMON_SET = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "log", "uid": "ds-1", "controller": True}
STATEFUL_SET = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "mec", "uid": "sts-1", "controller": True}
WORKFLOW = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "w", "uid": "w-1", "controller": True}
MADE_BY = UNCONTROLLED | {"controller": True}
CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "c-1"}
MIRROR = {"annotations": {"kubernetes.io/config.mirror": "x"}}
EVICTED = {"phase": "Failed", "reason": "Evicted"}
NODES = {
    *("node_unserved", "node_missing", "node_unreadable", "node_deleting", "node_down", "node_silent"),
    *("pod_owned", "pod_foreign", "node_unverified", "node_rebuilding", "node_catching_up"),
}

# For each check, facts that make its statement untrue and every earlier one true.
UNTRUE: dict[str, dict[str, Any]] = {
    "node_unasked": {"search": True, "found": None, "unasked": "StatefulSet mec could not be read: forbidden"},
    "node_unserved": {"missing": "The API server does not serve it", "served": False},
    "node_missing": {"missing": f"{REF} not found"},
    "node_unreadable": {"unreadable": "spec.state holds a number, expected text"},
    "node_deleting": {"node": Node(desired="up", deleting=True)},
    "node_down": {"node": DOWN},
    "node_silent": {"node": Node(activity="running")},
    "already_replaced": {"pod_uid": "uid-0"},
    "pod_missing": {"pod": None},
    "pod_static": {"pod": pod(owner=HOST)},
    "pod_unmanaged": {"pod": pod(owner=None)},
    "pod_owned": {"pod": pod(owner=UNCONTROLLED), "node": Node(desired="up", reference=MADE_FROM)},
    "pod_foreign": {"node": Node(desired="up", reference=OTHER)},
    "node_unverified": {"node": Node(desired="up", reference=MADE_FROM), "pod": pod(owner=STATEFUL_SET)},
    "already_terminating": {"pod": pod(deleted=30)},
    "pod_ended": {"pod": pod(owner=REPLICA_SET, metadata={"generateName": "mec-7d9f-"}, status=EVICTED)},
    "pod_ended_in_place": {"pod": pod(status=EVICTED)},
    "pod_of_job": {"pod": pod(owner=JOB, metadata={"generateName": "backup-"}, spec={"restartPolicy": "OnFailure"})},
    "node_rebuilding": {"node": REBUILDING},
    "node_catching_up": {"node": CATCHING_UP},
}


SEEN = ("node", "missing", "served", "unreadable", "pod", "above", "unread", "pinned_uid", "terms", "found", "unasked")


def facts(**given: Any) -> Facts:
    """Give the facts of a sound bounce, but for what is given: fields of the facts, or of the request.

    `search`: the request names no node, but wants it to be found.
    """
    seen: dict[str, Any] = {"node": UP, "pod": pod()}
    seen |= {name: given.pop(name) for name in SEEN if name in given}
    if given.pop("search", False):
        seen, given = {"found": NODE} | seen, {"node": "auto"} | given
    return Facts(request(**given), **seen)


SAYING_FORCE = [
    "node_deleting",
    "node_down",
    "pod_static",
    "pod_unmanaged",
    "pod_ended",
    "pod_of_job",
    "node_rebuilding",
]


@pytest.mark.parametrize(("terms", "said"), [(TASK, "force=True"), (COMMAND, "--force")], ids=["task", "command"])
@pytest.mark.parametrize("code", SAYING_FORCE)
def test_force_is_written_as_the_reader_gives_it(code: str, terms: Terms, said: str) -> None:
    verdict = judge(facts(**UNTRUE[code], terms=terms))
    words = f"{verdict.message} {verdict.advice}"
    assert words.count(said) == words.count("force") == 1
    forced = judge(facts(**UNTRUE[code], terms=terms, force=True))
    assert all(notice.count(said) == notice.count("force") == 1 for notice in notices(forced).values())


def notices(verdict: Verdict) -> dict[str, str]:
    return {finding.code: finding.notice for finding in verdict.findings if finding.notice}


def test_the_table_is_in_the_designs_order() -> None:
    assert ORDER == [(check.code, check.event) for check in CHECKS]


def test_every_end_is_a_row_of_the_machine() -> None:
    ends = {check.event for check in CHECKS} - {None} | {Event.CHECKS_PASSED}
    broken_off = {Event.CANCELLED, Event.ACCESS_DENIED, Event.CLUSTER_UNREACHABLE}
    assert ends == {row.event for row in TRANSITIONS if row.source is State.INIT_CHECKS} - broken_off


def test_every_check_states_what_is_true_of_a_sound_bounce_in_words_of_its_own() -> None:
    statements = [check.statement for check in CHECKS]
    assert len({*statements}) == len(statements)
    assert [] == [one for one in statements if one.endswith(("?", ".")) or not one.split()[0].islower()]


def test_the_question_and_the_answer_of_0_2_0_are_to_be_had_for_one_version() -> None:
    bad = judge(facts(node=REBUILDING)).findings[-1]
    assert (bad.statement, bad.holds) == ("node is not rebuilding", False)
    with pytest.warns(DeprecationWarning, match="Finding.question goes with the next version: use statement"):
        assert bad.question == "Is this untrue: node is not rebuilding?"
    with pytest.warns(DeprecationWarning, match="Finding.answer goes with the next version: use holds"):
        assert bad.answer is True


def test_force_counts_for_these_alone() -> None:
    assert FORCED == {check.code for check in CHECKS if check.forced}


def test_a_sound_node_and_pod_pass_every_check() -> None:
    verdict = judge(facts())
    assert (Event.CHECKS_PASSED, "All checks passed.", "") == (verdict.event, verdict.message, verdict.advice)
    asked = [code for code, _ in ORDER if code not in ("node_unasked", "already_replaced")]
    assert asked == [finding.code for finding in verdict.findings]
    assert {(True, False, "")} == {(finding.holds, finding.ends, finding.notice) for finding in verdict.findings}


@pytest.mark.parametrize(("code", "event"), ORDER)
def test_a_statement_that_is_not_true_is_the_last_one_where_it_ends_the_checks(code: str, event: Event | None) -> None:
    verdict = judge(facts(**UNTRUE[code]))
    place = [finding.code for finding in verdict.findings].index(code)
    assert (event or Event.CHECKS_PASSED) is verdict.event
    assert [True] * place + [False] == [finding.holds for finding in verdict.findings][: place + 1]
    assert event is None or place + 1 == len(verdict.findings)
    assert (event is not None) is verdict.findings[place].ends


@pytest.mark.parametrize(("code", "event"), [row for row in ORDER if row[1] is not None])
def test_an_end_tells_what_happened_and_no_notice(code: str, event: Event | None) -> None:
    verdict = judge(facts(**UNTRUE[code]))
    fails = any(row.event is event and row.dest is State.FAILED for row in TRANSITIONS)
    assert fails is bool(verdict.advice)
    assert fails is verdict.message.endswith("Nothing was changed.")
    assert {} == notices(verdict)


@pytest.mark.parametrize(("code", "event"), [row for row in ORDER if row[0] not in FORCED])
def test_force_changes_nothing_else(code: str, event: Event | None) -> None:
    unforced, forced = judge(facts(**UNTRUE[code])), judge(facts(**UNTRUE[code], force=True))
    assert (event or Event.CHECKS_PASSED) is forced.event
    assert (unforced.message, unforced.advice) == (forced.message, forced.advice)


@pytest.mark.parametrize(
    ("code", "notice"),
    [
        ("pod_unmanaged", "The pod has no controller; going on because of force=True. Somebody must recreate it."),
        ("pod_of_job", TO_AN_END),
        ("node_rebuilding", "The node is rebuilding; going on because of force=True. It will begin to rebuild again."),
    ],
)
def test_force_goes_on_with_a_notice(code: str, notice: str) -> None:
    verdict = judge(facts(**UNTRUE[code], force=True))
    assert Event.CHECKS_PASSED is verdict.event
    assert {code: notice} == notices(verdict)
    assert [code] == [finding.code for finding in verdict.findings if not finding.holds and not finding.ends]


def test_a_resource_that_does_not_say_what_is_wanted_of_it_is_told_with_the_path() -> None:
    """A mistyped `desired_path` would else switch the check for down off unnoticed."""
    verdict = judge(facts(node=Node(activity="running")))
    assert Event.CHECKS_PASSED is verdict.event
    assert {"node_silent": f"{REF} has no spec.state (desired_path): treated as meant to be up."} == notices(verdict)


@pytest.mark.parametrize("activity", ["catchup", "efficient_catchup", "Catchup", "EFFICIENT_CATCHUP"])
def test_catching_up_goes_on_with_a_notice_without_force(activity: str) -> None:
    verdict = judge(facts(node=Node(desired="up", activity=activity)))
    assert Event.CHECKS_PASSED is verdict.event
    assert {"node_catching_up": "The node is catching up; it goes on catching up after the bounce."} == notices(verdict)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"missing": "gone", "unreadable": "odd", "node": DOWN}, Event.NODE_MISSING),
        ({"missing": "gone", "pod": None}, Event.NODE_MISSING),
        ({"unreadable": "odd", "pod": None}, Event.NODE_UNREADABLE),
        ({"node": Node(desired="down", activity="rebuilding")}, Event.NODE_DOWN),
        ({"node": Node(desired="down", activity="rebuilding"), "force": True}, Event.NODE_DOWN),
        ({"node": DOWN, "pod": None}, Event.NODE_DOWN),
        ({"node": DOWN, "pod": pod(owner=None), "force": True}, Event.NODE_DOWN),
        ({"node": DOWN, "pod": pod(deleted=30)}, Event.NODE_DOWN),
        ({"node": DOWN, "pod_uid": "uid-0"}, Event.NODE_DOWN),
        ({"pod": None, "pod_uid": "uid-1"}, Event.ALREADY_REPLACED),
        ({"pod": pod(uid="uid-2", owner=None), "pod_uid": "uid-1"}, Event.ALREADY_REPLACED),
        ({"pod": pod(uid="uid-2", deleted=30), "pod_uid": "uid-1"}, Event.ALREADY_REPLACED),
        ({"node": REBUILDING, "pod_uid": "uid-0"}, Event.ALREADY_REPLACED),
        ({"node": REBUILDING, "pod": None}, Event.POD_MISSING),
        ({"node": REBUILDING, "pod": None, "force": True}, Event.POD_MISSING),
        ({"pod": pod(owner=None, deleted=30)}, Event.POD_UNMANAGED),
        ({"pod": pod(owner=None, deleted=30), "force": True}, Event.ALREADY_TERMINATING),
        ({"node": REBUILDING, "pod": pod(owner=None)}, Event.POD_UNMANAGED),
        ({"node": REBUILDING, "pod": pod(deleted=30)}, Event.ALREADY_TERMINATING),
        ({"node": Node(reference=OTHER), "pod": pod(deleted=30), "force": True}, Event.POD_FOREIGN),
    ],
    ids=[
        "missing_before_all_else_of_the_node",
        "missing_before_no_pod",
        "unreadable_before_no_pod",
        "down_before_rebuilding",
        "force_never_overrides_down",
        "down_before_no_pod",
        "force_on_an_unmanaged_pod_never_overrides_down",
        "down_before_terminating",
        "down_before_replaced",
        "replaced_before_no_pod",
        "replaced_before_unmanaged",
        "replaced_before_terminating",
        "replaced_before_rebuilding",
        "no_pod_before_rebuilding",
        "force_makes_no_pod",
        "unmanaged_before_terminating",
        "forced_on_unmanaged_then_terminating",
        "unmanaged_before_rebuilding",
        "terminating_before_rebuilding",
        "foreign_before_terminating_and_not_forced",
    ],
)
def test_the_first_yes_wins(given: dict[str, Any], expected: Event) -> None:
    assert expected is judge(facts(**given)).event


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (MADE_FROM, Event.CHECKS_PASSED),
        (MADE_FROM.model_copy(update={"api_version": "v2"}), Event.CHECKS_PASSED),
        (OTHER, Event.POD_FOREIGN),
        (OTHER.model_copy(update={"kind": "StatefulSet"}), Event.CHECKS_PASSED),
        (OTHER.model_copy(update={"api_version": "apps/v1"}), Event.CHECKS_PASSED),
        (None, Event.CHECKS_PASSED),
    ],
    ids=["its_own", "its_own_of_a_later_version", "another", "of_another_kind", "of_another_group", "unknown"],
)
def test_a_pod_of_another_resource_of_the_same_type_is_not_bounced(named: Owner | None, expected: Event) -> None:
    """What something else controls, such as a StatefulSet that the operator makes, can't be told."""
    assert expected is judge(facts(node=Node(desired="up", reference=named))).event


@pytest.mark.parametrize(
    ("owner", "spec", "node", "expected"),
    [
        (JOB, {"restartPolicy": "Never"}, None, Event.POD_OF_JOB),
        (JOB, {"restartPolicy": "OnFailure"}, None, Event.POD_OF_JOB),
        (JOB, {}, None, Event.POD_OF_JOB),
        (JOB | {"apiVersion": "batch/v1beta1"}, {}, None, Event.POD_OF_JOB),
        (JOB | {"apiVersion": "batch.volcano.sh/v1"}, {"restartPolicy": "OnFailure"}, None, Event.POD_OF_JOB),
        (JOB | {"apiVersion": "batch.volcano.sh/v1"}, {"restartPolicy": "Always"}, None, Event.CHECKS_PASSED),
        (WORKFLOW, {"restartPolicy": "Never"}, None, Event.POD_OF_JOB),
        (WORKFLOW | {"kind": "TaskRun"}, {"restartPolicy": "OnFailure"}, None, Event.POD_OF_JOB),
        (WORKFLOW | {"apiVersion": "v1", "kind": "Pod"}, {"restartPolicy": "Never"}, None, Event.POD_OF_JOB),
        (WORKFLOW, {"restartPolicy": "Never"}, Node(desired="up", reference=MADE_FROM), Event.POD_OF_JOB),
        (MADE_BY, {"restartPolicy": "Never"}, None, Event.POD_OF_JOB),
        (MADE_BY, {"restartPolicy": "Never"}, Node(desired="up", reference=MADE_FROM), Event.CHECKS_PASSED),
        (UNCONTROLLED, {"restartPolicy": "Never"}, Node(desired="up", reference=MADE_FROM), Event.CHECKS_PASSED),
        (REPLICA_SET, {"restartPolicy": "Always"}, None, Event.CHECKS_PASSED),
        (REPLICA_SET, {"restartPolicy": None}, None, Event.CHECKS_PASSED),
        (None, {"restartPolicy": "Never"}, None, Event.POD_UNMANAGED),
    ],
    ids=[
        "job",
        "job_on_failure",
        "job_that_says_nothing",
        "job_of_an_old_version",
        "job_of_another_group_to_an_end",
        "job_of_another_group_that_is_kept",
        "step_of_a_workflow",
        "task_run",
        "works_for_another_pod",
        "works_for_another_than_the_named_node",
        "made_by_an_operator_that_was_not_named",
        "made_by_the_named_node",
        "owned_by_the_named_node",
        "replica_set",
        "null_is_always",
        "of_nobody",
    ],
)
def test_what_works_to_an_end_is_not_bounced_unless_its_node_was_named(
    owner: dict[str, Any] | None, spec: dict[str, Any], node: Node | None, expected: Event
) -> None:
    """Kubernetes' own controllers keep none but pods with restartPolicy Always; others may not make one anew."""
    verdict = judge(Facts(request(node=NODE if node else None), node=node, pod=pod(owner=owner, spec=spec)))
    assert expected is verdict.event
    if expected is Event.POD_OF_JOB:
        assert owner is not None
        assert f"belongs to {owner['kind']} {owner['name']} and runs only until its work is done" in verdict.message


@pytest.mark.parametrize(
    ("owner", "generated", "status", "deleted", "expected"),
    [
        (REPLICA_SET, True, {"phase": "Failed", "reason": "Evicted"}, None, Event.POD_ENDED),
        (REPLICA_SET, True, {"phase": "Succeeded"}, None, Event.POD_ENDED),
        (REPLICA_SET, True, {"phase": "Failed", "reason": "OutOfcpu"}, None, Event.POD_ENDED),
        (REPLICA_SET, True, {"phase": "Succeeded"}, 20, Event.ALREADY_TERMINATING),
        (DAEMON_SET, True, {"phase": "Failed"}, None, Event.POD_ENDED),
        (JOB, True, {"phase": "Succeeded"}, None, Event.POD_ENDED),
        (JOB, False, {"phase": "Succeeded"}, None, Event.POD_OF_JOB),
        (STATEFUL_SET, True, {"phase": "Succeeded"}, None, Event.CHECKS_PASSED),
        (STATEFUL_SET, True, {"phase": "Failed", "reason": "Evicted"}, None, Event.CHECKS_PASSED),
        (MADE_BY, False, {"phase": "Failed"}, None, Event.CHECKS_PASSED),
        (MADE_BY, False, {"phase": "Failed"}, 20, Event.ALREADY_TERMINATING),
        (REPLICA_SET, True, {"phase": "Unknown"}, None, Event.CHECKS_PASSED),
        (REPLICA_SET, True, {"phase": "Running", "reason": "Terminated"}, None, Event.CHECKS_PASSED),
    ],
    ids=[
        "evicted",
        "succeeded",
        "rejected",
        "succeeded_as_it_is_deleted",
        "daemon",
        "of_a_job_and_generated",
        "of_a_job_with_a_fixed_name",
        "succeeded_under_a_stateful_set",
        "evicted_under_a_stateful_set",
        "under_an_operator",
        "under_an_operator_and_deleted",
        "lost",
        "shut_down_but_running",
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_pod_that_has_ended_is_bounced_only_where_its_name_is_to_be_made_anew(
    owner: dict[str, Any], generated: bool, status: dict[str, str], deleted: float | None, expected: Event, force: bool
) -> None:
    """Since Kubernetes 1.27 each pod ends before it is gone: one that is being deleted is still joined."""
    metadata = {"generateName": "mec-"} if generated else {}
    seen = pod(owner=owner, metadata=metadata, status=status, deleted=deleted)
    verdict = judge(Facts(request(node=None, force=force), pod=seen))
    assert verdict.event is (Event.CHECKS_PASSED if force and expected is Event.POD_OF_JOB else expected)
    if verdict.event is Event.CHECKS_PASSED:
        assert seen.finished is ("pod_ended_in_place" in notices(verdict))


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"owner": HOST}, Event.POD_STATIC),
        ({"owner": None, "metadata": MIRROR}, Event.POD_STATIC),
        ({"owner": HOST, "metadata": MIRROR, "deleted": 20}, Event.POD_STATIC),
        ({"owner": HOST, "metadata": MIRROR, "status": {"phase": "Failed"}}, Event.POD_STATIC),
        ({"owner": HOST, "uid": "uid-2"}, Event.ALREADY_REPLACED),
        ({"owner": HOST | {"apiVersion": "express.example.com/v1"}}, Event.CHECKS_PASSED),
    ],
    ids=["owned_by_its_host", "by_annotation", "being_deleted", "ended", "another_incarnation", "a_custom_node"],
)
def test_a_mirror_pod_is_never_bounced(given: dict[str, Any], expected: Event, force: bool) -> None:
    seen = pod(**given)
    asked = request(node=None, force=force, pod_uid="uid-1")
    assert expected is judge(Facts(asked, pod=seen)).event


@pytest.mark.parametrize(
    ("owners", "expected", "said"),
    [
        ([UNCONTROLLED], Event.CHECKS_PASSED, f"{REF} owns the pod without `controller: true`"),
        ([{"kind": "ConfigMap", "name": "c", "uid": "c-1"}, UNCONTROLLED], Event.CHECKS_PASSED, "is trusted"),
        ([UNCONTROLLED | {"uid": "owner-2"}], Event.POD_UNMANAGED, "(ExpressNode mec-0)"),
        ([UNCONTROLLED | {"name": "mec-1", "uid": "owner-2"}, CONFIG], Event.POD_UNMANAGED, "(ExpressNode mec-1, "),
        ([], Event.POD_UNMANAGED, f"{POD} has no controller, so nothing"),
    ],
    ids=["owned", "owned_among_others", "by_one_that_was_made_anew", "by_others", "by_nothing"],
)
def test_an_owner_that_does_not_control_it_is_trusted_where_it_was_named_and_else_told(
    owners: list[Any], expected: Event, said: str
) -> None:
    seen = pod(owner=None, metadata={"ownerReferences": owners})
    verdict = judge(facts(node=Node(desired="up", reference=MADE_FROM), pod=seen))
    assert expected is verdict.event
    assert said in verdict.message + "".join(notices(verdict).values())


def test_where_no_node_was_named_the_owners_are_told_and_what_to_do_about_it() -> None:
    verdict = judge(Facts(request(node=None), pod=pod(owner=UNCONTROLLED)))
    assert f"{POD} has no controller, only owners that do not control it (ExpressNode mec-0), so" in verdict.message
    assert verdict.advice.endswith("If one of its owners recreates it, name that owner as the node.")
    forced = judge(Facts(request(node=None, force=True), pod=pod(owner=UNCONTROLLED)))
    assert Event.CHECKS_PASSED is forced.event


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"node": Node(desired="down", deleting=True)}, Event.NODE_DELETING),
        ({"node": Node(desired="up", deleting=True), "force": True}, Event.NODE_DELETING),
        ({"node": Node(desired="up", deleting=True), "pod": None}, Event.NODE_DELETING),
        ({"node": Node(desired="up", deleting=True), "pod": pod(deleted=20)}, Event.NODE_DELETING),
        ({"node": Node(desired="up", deleting=True), "pod_uid": "uid-0"}, Event.NODE_DELETING),
        ({"node": Node(desired="up", deleting=True), "unreadable": "odd"}, Event.NODE_UNREADABLE),
        ({"pod": pod(uid="uid-2"), "pinned_uid": "uid-1"}, Event.ALREADY_REPLACED),
        ({"pod": pod(uid="uid-2"), "pinned_uid": "uid-1", "pod_uid": "uid-2"}, Event.ALREADY_REPLACED),
        ({"pod": pod(), "pinned_uid": "uid-1"}, Event.CHECKS_PASSED),
        ({"pod": None, "pinned_uid": "uid-1"}, Event.ALREADY_REPLACED),
        ({"node": REBUILDING, "pod": pod(owner=JOB)}, Event.POD_OF_JOB),
    ],
)
def test_a_resource_that_goes_and_a_pin_come_before_the_pod(given: dict[str, Any], expected: Event) -> None:
    assert expected is judge(facts(**given)).event


@pytest.mark.parametrize(
    ("name", "seen", "warned"),
    [
        ("mec-7d9f5-x2b4k", None, True),
        ("log-x2b4k", None, True),
        ("mec-0", None, False),
        ("mec-7d9f5-x2b4a", None, False),
        ("mec-7d9f5-x2b4k", pod("mec-7d9f5-x2b4k", "uid-2"), False),
    ],
    ids=["generated", "generated_by_a_daemon_set", "fixed", "no_letter_of_those", "its_name_is_there_again"],
)
def test_of_a_generated_name_that_has_gone_it_says_what_waiting_can_not_find(
    name: str, seen: Any, warned: bool
) -> None:
    verdict = judge(Facts(request(node=None, pod=name, pod_uid="uid-1"), pod=seen))
    assert Event.ALREADY_REPLACED is verdict.event
    assert warned is ("its replacement has another one and is not found" in verdict.message)


@pytest.mark.parametrize(
    ("unasked", "given"),
    [
        ({"already_replaced", "node_unasked"}, {"pod_uid": None}),
        (NODES | {"node_unasked"}, {"node": None}),
        (NODES, {"node": "auto"}),
    ],
    ids=["no_uid", "no_node", "none_found"],
)
def test_what_the_request_gives_no_hold_for_is_not_asked(unasked: set[str], given: dict[str, Any]) -> None:
    verdict = judge(Facts(request(**{"pod_uid": "uid-1"} | given), pod=pod()))
    assert unasked == {check.code for check in CHECKS} - {finding.code for finding in verdict.findings}


def test_without_a_resource_it_does_not_say_that_all_passed() -> None:
    verdict = judge(Facts(request(node=None), pod=pod()))
    assert "All checks passed that can be asked without a custom resource (node)." == verdict.message


class TestNodeThatWasFound:
    """Its resource is judged as if it had been given, but for what only a person can mean."""

    @pytest.mark.parametrize(
        "code", [code for code, event in ORDER if code in NODES and event not in (None, Event.NODE_UNSERVED)]
    )
    def test_it_is_judged_as_if_it_had_been_given(self, code: str) -> None:
        given, found = judge(facts(**UNTRUE[code])), judge(facts(**UNTRUE[code], search=True))
        assert (given.event, given.findings[-1].code) == (found.event, found.findings[-1].code) == (code, code)
        assert REF in found.message

    def test_a_yes_to_a_check_that_was_not_made_is_told_with_what_to_do(self) -> None:
        verdict = judge(facts(**UNTRUE["node_unasked"], terms=COMMAND))
        told = (
            "Not checked: whether the node is down, is being deleted or is rebuilding (StatefulSet mec could not be "
            "read: forbidden). Name its custom resource with --node GROUP/VERSION/PLURAL/NAME, or use --no-node if "
            "none is to be checked."
        )
        passed = "All checks passed that can be asked without a custom resource (node)."
        assert (verdict.event, verdict.message) == (Event.CHECKS_PASSED, passed)
        assert {"node_unasked": told} == notices(verdict)
        task = notices(judge(facts(**UNTRUE["node_unasked"])))["node_unasked"]
        assert "with node=NodeRef(...), or use node=None if" in task

    def test_what_could_not_be_read_is_not_judged(self) -> None:
        verdict = judge(facts(search=True, unasked="it is forbidden", node=None))
        assert "(it is forbidden). See that it can be read, or use node=None if" in notices(verdict)["node_unasked"]
        assert NODES == {check.code for check in CHECKS} - {one.code for one in verdict.findings} - {"already_replaced"}

    def test_where_only_kubernetes_own_controllers_are_above_nothing_is_missed(self) -> None:
        verdict = judge(facts(search=True, found=None, node=None))
        told = "All checks passed; no custom resource controls the pod."
        assert (told, {}) == (verdict.message, notices(verdict))

    @pytest.mark.parametrize(("desired", "asked"), [("up", True), (None, False)])
    def test_that_it_does_not_say_what_is_wanted_of_it_is_nothing_to_tell(
        self, desired: str | None, asked: bool
    ) -> None:
        """Nor is it said that it is meant to be up."""
        verdict = judge(facts(search=True, node=Node(desired=desired, activity="running")))
        assert {} == notices(verdict)
        assert asked is ("node_silent" in {finding.code for finding in verdict.findings})

    @pytest.mark.parametrize(("search", "expected"), [(True, Event.POD_OF_JOB), (False, Event.CHECKS_PASSED)])
    def test_only_a_person_can_say_that_its_operator_recreates_what_runs_until_it_is_done(
        self, search: bool, expected: Event
    ) -> None:
        """A step of a workflow is controlled by a custom resource too, and is not made again."""
        step = pod(owner=WORKFLOW, spec={"restartPolicy": "Never"})
        node = Node(desired="up", reference=Owner.model_validate(WORKFLOW))
        assert expected is judge(facts(search=search, node=node, pod=step)).event

    @pytest.mark.parametrize(
        ("code", "message", "advice"),
        [
            (
                "node_missing",
                f"The pod is made from {REF}, which does not exist. Nothing was changed.",
                f"Its pod would not be recreated. If the node is still wanted, create that resource again. {SKIP}",
            ),
            (
                "node_unreadable",
                f"{REF}: spec.state holds a number, expected text. Nothing was changed.",
                f"Say in {IN_FILE} which fields hold its state. {SKIP}",
            ),
            (
                "pod_foreign",
                f"{POD} is made from ExpressNode mec-0 (owner-1), not from {REF}. Nothing was changed.",
                "That resource was recreated under its name: its operator must replace the pod.",
            ),
        ],
    )
    def test_the_advice_is_for_somebody_who_has_not_named_it(self, code: str, message: str, advice: str) -> None:
        verdict = judge(facts(**UNTRUE[code], search=True, terms=COMMAND))
        assert (message, advice) == (verdict.message, verdict.advice)

    def test_for_a_task_the_advice_names_fields_of_its_request(self) -> None:
        advice = judge(facts(**UNTRUE["node_unreadable"], search=True)).advice
        assert 'Say in node_types["expressnodes.express.example.com"] which' in advice
        assert advice.endswith("use node=None.")

    def test_without_a_pod_its_resource_is_asked_for(self) -> None:
        verdict = judge(facts(search=True, found=None, node=None, pod=None, terms=COMMAND))
        asked = (
            " To see whether it is meant to be down, name its custom resource with --node GROUP/VERSION/PLURAL/NAME."
        )
        assert (Event.POD_MISSING, f"{NOT_MADE}{asked}") == (verdict.event, verdict.advice)


def test_force_may_go_past_two_checks_with_a_notice_each() -> None:
    verdict = judge(facts(node=REBUILDING, pod=pod(owner=None), force=True))
    assert Event.CHECKS_PASSED is verdict.event
    assert ["pod_unmanaged", "node_rebuilding"] == [*notices(verdict)]


@pytest.mark.parametrize("desired", ["down", "DOWN", "Stopped"])
def test_down_is_read_without_case(desired: str) -> None:
    assert Event.NODE_DOWN is judge(facts(node=Node(desired=desired))).event


@pytest.mark.parametrize("activity", ["rebuilding", "Rebuilding", "REBUILDING"])
def test_rebuilding_is_read_without_case(activity: str) -> None:
    assert Event.NODE_REBUILDING is judge(facts(node=Node(desired="up", activity=activity))).event


@pytest.mark.parametrize(
    "node",
    [
        Node(),
        Node(desired="", activity=""),
        Node(desired="up", activity="down"),
        Node(desired="rebuilding", activity="stopped"),
        Node(desired="downwards", activity="not rebuilding"),
    ],
    ids=["says_nothing", "says_empty", "activity_down", "desired_rebuilding", "says_more"],
)
def test_down_is_what_is_wanted_and_rebuilding_what_is_done(node: Node) -> None:
    assert Event.CHECKS_PASSED is judge(facts(node=node)).event


def test_the_refs_own_values_count() -> None:
    ref = NODE.model_validate(NODE.model_dump() | {"down_values": ["Off"], "rebuilding_values": ["Copying"]})
    assert Event.NODE_DOWN is judge(Facts(request(node=ref), Node(desired="OFF"), pod=pod())).event
    assert Event.NODE_REBUILDING is judge(Facts(request(node=ref), Node(activity="copying"), pod=pod())).event
    assert Event.CHECKS_PASSED is judge(Facts(request(node=ref), Node(desired="down"), pod=pod())).event


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (pod(), Event.CHECKS_PASSED),
        (None, Event.POD_MISSING),
        (pod(owner=None), Event.POD_UNMANAGED),
        (pod(deleted=30), Event.ALREADY_TERMINATING),
    ],
    ids=["sound", "missing", "unmanaged", "terminating"],
)
def test_without_a_node_the_pod_alone_is_judged(seen: Any, expected: Event) -> None:
    verdict = judge(Facts(request(node=None), pod=seen))
    assert expected is verdict.event
    assert "None" not in verdict.message + verdict.advice


def test_a_node_of_which_nothing_is_known_is_neither_down_nor_rebuilding() -> None:
    assert Event.CHECKS_PASSED is judge(facts(node=None)).event


@pytest.mark.parametrize("seen", [pod(), pod(deleted=30)])
def test_a_pinned_incarnation_that_stands_is_judged_like_any_other(seen: Any) -> None:
    assert judge(facts(pod=seen)).event is judge(facts(pod=seen, pod_uid="uid-1")).event


@pytest.mark.parametrize(
    ("given", "message", "advice"),
    [
        (
            {"missing": f"{REF} not found in default"},
            f"{REF} not found in default. Nothing was changed.",
            "Check the namespace and the node's group, version, plural and name.",
        ),
        (
            {"unreadable": "spec.state holds a number, expected text"},
            f"{REF}: spec.state holds a number, expected text. Nothing was changed.",
            "Check desired_path and activity_path of the NodeRef, or correct the resource.",
        ),
        (
            {"node": DOWN},
            f"{REF} is meant to be down, so it is not bounced (force=True does not change that). Nothing was changed.",
            f"To start it, change spec.state of {REF}.",
        ),
        (
            {"node": DOWN, "cluster_type": "k8s_gitops"},
            f"{REF} is meant to be down, so it is not bounced (force=True does not change that). Nothing was changed.",
            "To start it, change spec.state in Git, where this cluster's resources come from, and let it be applied.",
        ),
        (
            {"pod_uid": "uid-0"},
            f"{POD}: incarnation uid-0 has gone already; nothing is deleted, {WAIT_ON}",
            "",
        ),
        (
            {"pinned_uid": "uid-0", "pod": None},
            f"{POD}: incarnation uid-0 has gone already; nothing is deleted, {WAIT_FOR_ITS_OWN}",
            "",
        ),
        (
            {"pod": None},
            f"{POD} does not exist, although {REF} is not meant to be down. Nothing was changed.",
            f"The operator of expressnodes.express.example.com {SHOULD_HAVE}",
        ),
        (
            {"missing": "The API server does not serve it", "served": False},
            "The API server does not serve it. Nothing was changed.",
            "Correct the node's group, version and plural, or have that resource type installed.",
        ),
        (
            UNTRUE["node_deleting"],
            (
                f"{REF} is being deleted, so its operator would not recreate the pod. It is not bounced "
                "(force=True does not change that). Nothing was changed."
            ),
            "If the node is still wanted, create its resource again once it has gone.",
        ),
        (
            UNTRUE["pod_static"],
            (
                f"{POD} only mirrors a static pod of the kubelet on host-1: deleting it restarts nothing "
                "(force=True does not change that). Nothing was changed."
            ),
            "Restart it on host-1: take its manifest out of the kubelet's folder of static pods, and put it back.",
        ),
        (
            UNTRUE["pod_ended"],
            (
                f"{POD} has ended (Failed: Evicted), and ReplicaSet mec-7d9f already has another pod, "
                "or wants no pod. Deleting this one restarts nothing (force=True does not change that). Nothing was "
                "changed."
            ),
            "Bounce a pod of ReplicaSet mec-7d9f that runs; this one can be deleted at any time.",
        ),
        (
            UNTRUE["pod_of_job"],
            (
                f"{POD} belongs to Job backup and runs only until its work is done (restartPolicy OnFailure). Once "
                "deleted, its work starts again in another pod, or counts as failed and is not done again. Nothing was "
                "changed."
            ),
            "Let it end by itself. To delete it anyway, use force=True.",
        ),
        (
            {"pod": pod(owner=WORKFLOW, spec={"restartPolicy": "Never"}, status={"phase": "Succeeded"})},
            (
                f"{POD} belongs to Workflow w and runs only until its work is done (restartPolicy Never). Once "
                "deleted, its work starts again in another pod, or counts as failed and is not done again. Nothing was "
                "changed."
            ),
            "It has ended: leave it. To delete it anyway, use force=True.",
        ),
        (
            {"pod": pod(owner=None)},
            f"{POD} has no controller, so nothing would recreate it. Nothing was changed.",
            "Bounce it with force=True only if you will recreate it yourself.",
        ),
        (
            {"node": Node(desired="up", reference=OTHER)},
            f"{POD} is made from ExpressNode mec-0 (owner-1), not from {REF}. Nothing was changed.",
            RENAME,
        ),
        ({"pod": pod(deleted=9)}, f"{POD} is being deleted already: this bounce sends no DELETE and only waits.", ""),
        (
            {"node": REBUILDING},
            f"{REF} is rebuilding; a bounce now would make it begin again. Nothing was changed.",
            "Wait until it has rebuilt. To bounce it anyway, use force=True.",
        ),
    ],
    ids=[
        "node_missing",
        "node_unreadable",
        "node_down",
        "node_down_in_git",
        "already_replaced",
        "already_replaced_since_it_was_pinned",
        "pod_missing",
        "node_unserved",
        "node_deleting",
        "pod_static",
        "pod_ended",
        "pod_of_job",
        "pod_of_workflow_that_ended",
        "pod_unmanaged",
        "pod_foreign",
        "already_terminating",
        "node_rebuilding",
    ],
)
def test_the_words_name_what_it_is_and_what_to_do(given: dict[str, Any], message: str, advice: str) -> None:
    verdict = judge(facts(**given))
    assert (message, advice) == (verdict.message, verdict.advice)


def test_a_missing_pod_of_a_generated_name_is_nobodys_fault() -> None:
    verdict = judge(Facts(request(node=None, pod="web-5b7d9f-x2k8q")))
    assert "should have made it" not in verdict.advice
    assert "has made another pod or wants none. If the name or" in verdict.advice


def test_without_a_node_nobody_is_said_to_make_a_missing_pod() -> None:
    verdict = judge(Facts(request(node=None)))
    assert f"{POD} does not exist. Nothing was changed." == verdict.message
    assert verdict.advice == (
        "If the name or the namespace is wrong, correct it. If not, whatever makes the pod has not made it."
    )


@pytest.mark.parametrize("code", [code for code, _ in ORDER if code != "node_down"])
def test_git_is_spoken_of_only_where_it_must_be_changed(code: str) -> None:
    by_hand, from_git = judge(facts(**UNTRUE[code])), judge(facts(**UNTRUE[code], cluster_type="k8s_gitops"))
    assert (by_hand.message, by_hand.advice) == (from_git.message, from_git.advice)


def test_the_words_follow_the_refs_own_path() -> None:
    ref = NODE.model_validate(NODE.model_dump() | {"desired_path": "spec.power"})
    verdict = judge(Facts(request(node=ref, cluster_type="k8s_gitops"), Node(desired="down"), pod=pod()))
    assert "change spec.power in Git" in verdict.advice


@pytest.mark.parametrize(
    ("data", "field"),
    [(facts(), "request"), (CHECKS[0], "code"), (judge(facts()), "event"), (judge(facts()).findings[0], "code")],
)
def test_what_was_judged_stays_as_it_was(data: Any, field: str) -> None:
    with pytest.raises((dataclasses.FrozenInstanceError, ValidationError)):
        setattr(data, field, None)


@pytest.mark.parametrize(
    ("above", "unread", "expected"),
    [
        ((STATEFUL_SET, MADE_BY), "", None),
        ((REPLICA_SET, STATEFUL_SET, MADE_BY), "", None),
        ((STATEFUL_SET, MADE_BY | {"uid": "owner-2"}), "", Event.POD_FOREIGN),
        ((STATEFUL_SET,), "", "StatefulSet mec, which controls it, says nothing of that resource"),
        ((STATEFUL_SET, WORKFLOW), "", "Workflow w, which controls it, says nothing of that resource"),
        ((STATEFUL_SET,), "StatefulSet mec could not be read: 403", "StatefulSet mec could not be read: 403"),
    ],
    ids=["through", "through_two", "another", "ends", "of_another_type", "unread"],
)
def test_the_resource_is_known_through_the_controllers_between(
    above: tuple[dict[str, Any], ...], unread: str, expected: Event | str | None
) -> None:
    owners = tuple(Owner.model_validate(one) for one in above)
    node = Node(desired="up", reference=MADE_FROM)
    verdict = judge(facts(node=node, pod=pod(owner=STATEFUL_SET), above=owners, unread=unread))
    told = notices(verdict).get("node_unverified", "")
    if isinstance(expected, Event):
        assert (expected, "") == (verdict.event, told)
    else:
        assert (Event.CHECKS_PASSED, bool(expected)) == (verdict.event, bool(told))
        assert (expected or "") in told


GENERATED = "mec-7d9f8b6c5-x2x4z"
ANOTHER_NAME = (
    f" If {GENERATED} was a generated name, its replacement has another one and is not found: look at the newest pods "
    "of its controller instead."
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"pod": None, "pod_uid": "uid-0"}, f"{WAIT_ON}{ANOTHER_NAME}"),
        ({"pod": pod(GENERATED), "pod_uid": "uid-0"}, WAIT_ON),
        ({"pod": None, "pinned_uid": "uid-0"}, WAIT_FOR_ITS_OWN),
    ],
    ids=["gone", "another_of_that_name", "pinned_before"],
)
def test_a_replacement_of_a_generated_name_is_said_to_have_another(given: dict[str, Any], expected: str) -> None:
    seen = {name: value for name, value in given.items() if name in SEEN}
    asked = {name: value for name, value in given.items() if name not in SEEN}
    verdict = judge(Facts(request(node=None, pod=GENERATED, **asked), **seen))
    said = f"Pod {GENERATED} in namespace default: incarnation uid-0 has gone already; nothing is deleted, {expected}"
    assert (Event.ALREADY_REPLACED, said) == (verdict.event, verdict.message)


def test_a_mirror_whose_kubernetes_node_is_not_told_is_restarted_on_its_kubernetes_node() -> None:
    verdict = judge(facts(pod=pod(owner=HOST, spec={"nodeName": ""})))
    assert verdict.message.startswith(f"{POD} only mirrors a static pod of the kubelet on its Kubernetes node:")
    assert verdict.advice.startswith("Restart it on its Kubernetes node: ")


@pytest.mark.parametrize(
    ("terms", "none", "fields"),
    [
        (TASK, "node=None", 'node_types["expressnodes.express.example.com"]'),
        (COMMAND, "--no-node", '[node."expressnodes.express.example.com"] of mecbounce\'s config.toml'),
    ],
    ids=["task", "command"],
)
def test_of_a_resource_that_was_found_it_is_said_how_to_do_without_it(terms: Terms, none: str, fields: str) -> None:
    verdict = judge(facts(search=True, missing="it is not there", node=None, terms=terms))
    assert verdict.event is Event.NODE_MISSING
    assert verdict.message == f"The pod is made from {NODE}, which does not exist. Nothing was changed."
    assert verdict.advice == (
        "Its pod would not be recreated. If the node is still wanted, create that resource again. To bounce the pod "
        f"whatever its resource says, use {none}."
    )
    verdict = judge(facts(search=True, unreadable="spec.state holds a number", node=None, terms=terms))
    assert verdict.advice == (
        f"Say in {fields} which fields hold its state. To bounce the pod whatever its resource says, use {none}."
    )


def test_of_a_resource_that_was_named_it_is_said_to_correct_the_name() -> None:
    verdict = judge(facts(missing="ExpressNode mec-0 is not there", node=None))
    assert verdict.message == "ExpressNode mec-0 is not there. Nothing was changed."
    assert verdict.advice == "Check the namespace and the node's group, version, plural and name."
