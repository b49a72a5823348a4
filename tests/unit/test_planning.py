"""What would a bounce do now? The plan, its page and its JSON; and that nothing is changed by asking."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from builders import NODE, NOW, OPERATOR, STARTUP_PROBE, pod, request
from fakes import FakeClock, FakeCluster
from rich.console import Console

from mecbounce.advancing import begin
from mecbounce.cli.layout import ASCII, SIGNS, Signs
from mecbounce.cli.plan_page import plan_json, plan_page
from mecbounce.cli.start import Would
from mecbounce.errors import AccessDenied, Unreachable
from mecbounce.kubernetes_api.objects import DisruptionBudget, Pod
from mecbounce.machine import Event
from mecbounce.planning import Plan, plan
from mecbounce.protection import AnnotationProtection
from mecbounce.record import PinnedPod
from mecbounce.request import BounceRequest

SLOW = {"startupProbe": {"periodSeconds": 30, "failureThreshold": 60}}
SLOW_SUM = "container app's startup probe allows 60 × 30 s + 30 s = 1,830 s"  # noqa: RUF001 -- a product
BRIEF = (
    *("custom resource exists", "it is meant to be up", "pod exists", "it has an owner that recreates it"),
    "node is not rebuilding",
)
PROTECTED = {"metadata": {"annotations": {"example.com/protected": "s3cr3t"}}}
RIGHTS = [
    "may get expressnodes of express.example.com.default/mec-0",
    "may list pods of default/mec-0",
    "may watch pods of default/mec-0",
    "may delete pods of default/mec-0",
    "may create events of default/*",
    "may list events of default/*",
    "may get nodes of /host-1",
]


def cluster(**fields: Any) -> FakeCluster:
    return FakeCluster(FakeClock(), pod(**{"container": {"startupProbe": STARTUP_PROBE}} | fields))


def protection(off: str = "no") -> AnnotationProtection:
    return AnnotationProtection(None, "example.com/protected", off)  # type: ignore[arg-type] # it is only looked at


def page(found: Plan, width: int = 80, *, verbose: bool = False, signs: Signs = SIGNS) -> str:
    console = Console(file=StringIO(), width=width, highlight=False, no_color=True)
    console.print(plan_page(found, "mec-0 in default (sandbox)", verbose=verbose, signs=signs))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def budget(name: str = "mec", allowed: int = 0, **selector: Any) -> DisruptionBudget:
    fields = {
        "metadata": {"name": name, "uid": name},
        "spec": {"selector": selector},
        "status": {"disruptionsAllowed": allowed},
    }
    return DisruptionBudget.model_validate(fields)


class TestPlan:
    def test_asks_in_this_order_and_deletes_nothing(self) -> None:
        asked = cluster()
        found = plan(request(), asked)
        assert found.goes_on
        looks = ["node", "pods default/mec-0"]
        assert asked.calls == [*looks, *RIGHTS, "delete default/mec-0 (dry run)", "disruption budgets default"]
        assert asked.deleted == []

    def test_its_json_has_these_keys(self) -> None:
        found = json.loads(plan(request(), cluster()).model_dump_json())
        assert list(found) == [
            *("goes_on", "event", "message", "advice", "node", "checks", "pod", "writes", "dry_run", "refused"),
            *("termination", "ready", "rights", "eviction", "disruption_budgets", "notices"),
        ]
        assert set(found["checks"][0]) == {"code", "statement", "holds", "ends", "notice"}
        assert set(found["writes"][0]) == {"verb", "target", "terms"}
        assert set(found["ready"]) == {"seconds", "origin", "short"}
        assert set(found["rights"][0]) == {
            *("verb", "resource", "group", "name", "otherwise", "granted", "why", "namespaced"),
        }

    def test_tells_what_the_api_server_would_refuse(self) -> None:
        asked = cluster()
        asked.faults = [None] * 9 + [AccessDenied("cannot delete pods")]
        found = plan(request(), asked)
        assert (found.goes_on, found.refused, found.dry_run) == (False, True, "refused: cannot delete pods")
        assert found.message == "Dry run of the deletion: refused: cannot delete pods."
        assert "Whoever sets the rights and admission rules" in found.advice

    def test_an_api_server_that_gives_the_dry_run_no_answer_would_not_let_it_go_on(self) -> None:
        asked = cluster()
        asked.faults = [None] * 9 + [Unreachable("failed calling webhook (500)")]
        found = plan(request(), asked)
        assert (found.goes_on, found.dry_run) == (False, "no usable answer: failed calling webhook (500)")

    def test_a_check_that_ends_it_asks_for_no_dry_run_and_tells_the_rights_all_the_same(self) -> None:
        asked = cluster()
        asked.resource = {"spec": {"state": "down"}}
        found = plan(request(), asked)
        assert (found.goes_on, found.event, found.dry_run, found.writes) == (False, Event.NODE_DOWN, "", ())
        assert len(found.rights) == len(RIGHTS)

    def test_a_deletion_that_is_joined_needs_no_right_to_delete_and_writes_but_its_end(self) -> None:
        asked = cluster(deleted=20)
        asked.denied = {"delete pods"}
        found = plan(request(), asked, protection())
        assert (found.goes_on, found.event) == (True, Event.ALREADY_TERMINATING)
        assert [(one.verb, one.target) for one in found.writes] == [("POST", "ExpressNode mec-0")]
        assert {"delete pods", "patch pods", "create events"} & {str(right) for right in found.rights} == {
            "create events"
        }

    def test_what_is_replaced_already_waits_for_the_replacement_alone(self) -> None:
        found = plan(request(pod_uid="long-gone"), cluster())
        assert (found.goes_on, found.event, found.termination) == (True, Event.ALREADY_REPLACED, None)
        assert found.ready is not None

    def test_without_a_usable_answer_it_says_that_and_not_that_it_was_refused(self) -> None:
        asked = cluster()
        asked.faults = [Unreachable("no route")]
        found = plan(request(), asked)
        assert (found.goes_on, found.event, found.message) == (False, Event.CLUSTER_UNREACHABLE, "no route.")
        assert asked.calls == ["node"]

    def test_a_resource_that_nobody_named_and_that_gets_no_usable_answer_is_left_out_as_by_the_bounce(self) -> None:
        owner = {"apiVersion": "a.example.com/v1", "kind": "ExpressNode", "name": "mec-0", "uid": "o"}
        asked = cluster(owner=owner | {"controller": True})
        asked.faults = [None, Unreachable("500")]
        found = plan(request(node="auto"), asked)
        assert found.goes_on
        assert "could not be asked: 500)" in " ".join(check.notice for check in found.checks)


class TestDeadlines:
    @pytest.mark.parametrize(
        ("given", "grace", "seconds", "origin", "short"),
        [
            (None, 30, 600, "the default; the pod's grace period is 30 s", False),
            (None, 3600, 3660, "the pod's grace period is 3,600 s, and 60 s more", False),
            (99, 30, 99, "as given; the pod's grace period is 30 s", False),
            (99, 3600, 99, "as given, and too short: the pod's grace period is 3,600 s", True),
        ],
    )
    def test_of_the_termination_tells_where_it_comes_from(
        self, given: float | None, grace: int, seconds: float, origin: str, short: bool
    ) -> None:
        asked = cluster(spec={"terminationGracePeriodSeconds": grace})
        found = plan(request(timeouts={"termination": given}), asked).termination
        assert found is not None
        assert (found.seconds, found.origin, found.short) == (seconds, origin, short)

    @pytest.mark.parametrize(
        ("given", "container", "seconds", "origin", "short"),
        [
            (None, {}, 600, "the default; no container has a startup probe", False),
            (None, {"startupProbe": STARTUP_PROBE}, 600, "the default; container app's startup probe allows 3", False),
            (None, SLOW, 2130, f"{SLOW_SUM}, and 300 s more", False),
            (600, SLOW, 600, f"as given, and too short: {SLOW_SUM}", True),
            (20, {}, 20, "as given; no container has a startup probe", False),
        ],
    )
    def test_of_the_readiness_tells_container_and_sum(
        self, given: float | None, container: dict[str, Any], seconds: float, origin: str, short: bool
    ) -> None:
        found = plan(request(timeouts={"ready": given}), cluster(container=container)).ready
        assert found is not None
        assert (found.seconds, found.short) == (seconds, short)
        assert found.origin.startswith(origin)
        assert ("counted again once its containers run" in found.origin) is (given is None)

    def test_the_slowest_probe_is_named_with_its_delay(self) -> None:
        slow = {"name": "db", "startupProbe": {"initialDelaySeconds": 1000, "timeoutSeconds": 11}}
        asked = cluster(spec={"containers": [{"name": "app", "startupProbe": STARTUP_PROBE}, slow]})
        found = plan(request(), asked).ready
        assert found is not None
        assert "container db's startup probe allows 1,000 s + 3 × 11 s + 10 s = 1,043 s, and" in found.origin  # noqa: RUF001 -- a product


class TestRights:
    @pytest.mark.parametrize(
        ("right", "who"),
        [("get expressnodes", "get expressnodes.express.example.com"), ("list pods",) * 2, ("delete pods",) * 2],
    )
    def test_a_missing_one_that_it_needs_stops_it_and_tells_who_must_grant_it(self, right: str, who: str) -> None:
        asked = cluster()
        asked.denied = {right}
        found = plan(request(), asked)
        assert (found.goes_on, found.notices) == (False, ())
        assert found.message == f"Missing in namespace default: the right to {who}."
        assert found.advice == f"Whoever sets the rights of namespace default must grant: {who}. Then plan again."

    @pytest.mark.parametrize(
        ("right", "otherwise"),
        [
            ("watch pods", "a bounce looks every 2 s instead"),
            ("patch pods", "the shutdown protection stays on, and the pod is deleted anyway"),
            ("create events", "`kubectl describe` tells nothing of the bounce"),
            ("list events", "the diagnosis of a failure says less"),
            ("get nodes", "the diagnosis of a failure says less"),
        ],
    )
    def test_a_missing_one_that_it_can_do_without_is_a_notice(self, right: str, otherwise: str) -> None:
        asked = cluster()
        asked.denied = {right}
        found = plan(request(), asked, protection())
        assert (found.goes_on, found.notices) == (True, (f"No right to {right}: {otherwise}.",))

    def test_one_that_could_not_be_asked_stops_nothing(self) -> None:
        asked = cluster()
        asked.faults = [None] * 2 + [Unreachable("overloaded (429)")] * 7
        found = plan(request(), asked)
        assert found.goes_on
        assert {(one.granted, one.why) for one in found.rights} == {(None, "overloaded (429)")}

    @pytest.mark.parametrize(("look", "right"), [(0, "get expressnodes"), (1, "list pods")])
    def test_a_look_that_is_denied_still_tells_all_rights(self, look: int, right: str) -> None:
        asked = cluster()
        asked.denied = {right}
        asked.faults = [None] * look + [AccessDenied(f"cannot {right}")]
        found = plan(request(), asked)
        assert (found.goes_on, found.event, found.message) == (False, Event.ACCESS_DENIED, f"cannot {right}.")
        assert f"must grant: {right}" in found.advice
        assert len(found.rights) == len(RIGHTS)

    def test_credentials_that_are_not_accepted_are_not_a_missing_right(self) -> None:
        asked = cluster()
        asked.faults = [AccessDenied("who are you?")] * (1 + len(RIGHTS))
        assert plan(request(), asked).advice == (
            "Whoever sets the rights of namespace default must allow it. Then plan again."
        )

    def test_waiting_on_is_planned_with_the_old_pod_of_the_last_bounce(self) -> None:
        """Its generated name has gone: without that pin the right to list all pods would not be asked for."""
        asked = FakeCluster(FakeClock())
        old = PinnedPod.of(pod(), []).model_copy(update={"generated_name": True})
        last = begin(request(node=None), NOW).model_copy(update={"old_pod": old})
        found = plan(request(node=None, pod_uid="uid-1"), asked, waits_on=last, events=False)
        assert (found.goes_on, found.event, found.writes) == (True, Event.ALREADY_REPLACED, ())
        assert "only waits for its replacement" in found.message
        assert "may list pods of default/*" in asked.calls
        assert found.ready is not None
        assert found.ready.seconds == 600
        told = plan(request(node=None, pod_uid="uid-1"), asked, waits_on=last).writes
        assert [(write.verb, write.target) for write in told] == [("POST", "ExpressNode mec-0")]

    def test_a_pod_with_a_generated_name_needs_the_right_to_list_all(self) -> None:
        asked = cluster(metadata={"generateName": "mec-"})
        plan(request(), asked)
        assert {"may list pods of default/*", "may watch pods of default/*"} <= set(asked.calls)
        assert "may delete pods of default/mec-0" in asked.calls


class TestNodeThatIsFound:
    EXPRESS_NODE = OPERATOR | {"apiVersion": "express.example.com/v1"}

    def planned(self, asked: FakeCluster) -> Plan:
        return plan(request(node="auto"), asked)

    def test_is_named_and_its_right_is_asked_for(self) -> None:
        asked = cluster(owner=self.EXPRESS_NODE)
        found = self.planned(asked)
        looks = ["pods default/mec-0", "type of express.example.com/v1/ExpressNode", "node"]
        assert asked.calls[: len(looks) + len(RIGHTS)] == [*looks, *RIGHTS]
        assert (found.goes_on, found.node) == (True, str(NODE))
        assert f"custom resource: {NODE}" in page(found)

    def test_may_be_forbidden_to_read(self) -> None:
        """A bounce goes on, so a plan does."""
        asked = cluster(owner=self.EXPRESS_NODE)
        asked.faults = [None, None, AccessDenied("no right")]
        asked.denied = {"get expressnodes"}
        found = self.planned(asked)
        assert (found.goes_on, found.node) == (True, None)
        lost = (
            "No right to get expressnodes.express.example.com: whether the node is down or rebuilding is not checked."
        )
        assert found.notices == (lost,)
        assert "custom resource:" not in page(found)

    def test_needs_the_rights_to_read_the_controllers_below_it(self) -> None:
        """Each of Kubernetes' own, and what is lost without it; without a search, a diagnosis alone says less."""
        sets = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs", "controller": True}
        deployment = sets | {"kind": "Deployment", "name": "mec", "uid": "dep"}
        asked = cluster(owner=sets)
        asked.controllers["rs"] = {**sets, "metadata": {**sets, "ownerReferences": [deployment]}}
        less = "the diagnosis of a failure says less"
        lost = f"whether the node is down or rebuilding is not checked, and {less}"
        ours = {(str(one), one.name): one.otherwise for one in self.planned(asked).rights if one.group == "apps"}
        assert ours == {
            ("get replicasets.apps", "rs"): lost,
            ("list replicasets.apps", ""): less,
            ("get deployments.apps", "mec"): lost,
        }
        rights = plan(request(node=None), asked).rights
        assert {one.otherwise for one in rights if one.group == "apps"} == {less}


class TestWrites:
    def test_are_the_delete_alone_without_a_protection_and_events(self) -> None:
        found = plan(request(), cluster(), events=False)
        (delete,) = found.writes
        assert "create events" not in {str(right) for right in found.rights}
        assert (delete.verb, delete.target) == ("DELETE", "pod mec-0")
        assert delete.terms == ("UID uid-1 as precondition, its own grace period of 30 s, propagation Background")

    @pytest.mark.parametrize(
        ("annotations", "verb", "said"),
        [
            ({"example.com/protected": "s3cr3t"}, "PATCH", "switches its annotation example.com/protected off"),
            ({"example.com/protected": "no"}, "NONE", "its annotation example.com/protected is off already"),
            ({}, "NONE", "it has no annotation example.com/protected: unprotected"),
        ],
    )
    def test_the_protection_comes_first_and_its_value_is_not_told(
        self, annotations: dict[str, str], verb: str, said: str
    ) -> None:
        found = plan(request(), cluster(metadata={"annotations": annotations}), protection())
        assert [one.verb for one in found.writes] == [verb, "POST", "DELETE", "POST"]
        assert found.writes[0].terms.startswith(said)
        assert "s3cr3t" not in found.model_dump_json() + repr(found) + page(found)

    def test_events_are_about_the_pod_and_then_about_its_controller(self) -> None:
        found = [one for one in plan(request(), cluster()).writes if one.verb == "POST"]
        assert [one.target for one in found] == ["pod mec-0", "ExpressNode mec-0"]
        assert ["Bouncing" in found[0].terms, "Bounced or BounceFailed" in found[1].terms] == [True, True]
        unowned = plan(request(force=True), cluster(owner=None)).writes[-1]
        assert unowned.target == "pod mec-0"

    def test_a_protection_of_the_callers_own_is_named_and_not_called(self) -> None:
        class Switch:
            def disable(self, pod: Pod) -> bool:
                raise AssertionError(pod)

        found = plan(request(), cluster(), Switch())
        assert (found.writes[0].verb, found.writes[0].target) == ("CALL", "Switch")


class TestDisruptionBudgets:
    @pytest.mark.parametrize(
        ("allowed", "said"),
        [
            (0, "PodDisruptionBudget mec allows 0 more disruptions now: an eviction would be refused"),
            (1, "PodDisruptionBudget mec allows 1 more disruption now: an eviction would be accepted"),
        ],
    )
    def test_tell_an_eviction_and_never_stop_a_bounce(self, allowed: int, said: str) -> None:
        asked = cluster(metadata={"labels": {"app": "mec"}})
        asked.budgets = (budget(allowed=allowed, matchLabels={"app": "mec"}), budget("x", matchLabels={"app": "x"}))
        found = plan(request(), asked)
        assert (found.goes_on, found.disruption_budgets) == (True, {"mec": allowed})
        assert found.eviction == f"{said}; a bounce uses DELETE, which a budget does not stop."

    @pytest.mark.parametrize("faults", [[Unreachable("")], [None] * 9 + [Unreachable("")]], ids=["checks", "dry_run"])
    def test_an_error_without_words_is_told_by_its_type(self, faults: list[Exception | None]) -> None:
        asked = cluster()
        asked.faults = [*faults]
        found = plan(request(), asked)
        assert "Unreachable" in found.message + found.dry_run

    def test_of_two_an_eviction_is_refused_whatever_they_allow(self) -> None:
        asked = cluster()
        asked.budgets = (budget("a", 1), budget("b", 1))
        said = "2 PodDisruptionBudgets cover the pod (a, b): an eviction would be refused"
        assert plan(request(), asked).eviction.startswith(said)

    def test_none_is_said(self) -> None:
        found = plan(request(), cluster())
        assert (found.eviction, found.disruption_budgets) == ("No PodDisruptionBudget covers the pod.", {})

    def test_that_may_not_be_read_fail_nothing(self) -> None:
        asked = cluster()
        asked.faults = [None] * 10 + [AccessDenied("cannot list poddisruptionbudgets")]
        found = plan(request(), asked)
        assert (found.goes_on, found.disruption_budgets) == (True, None)
        assert found.eviction.endswith("could not be asked: cannot list poddisruptionbudgets.")

    @pytest.mark.parametrize(
        ("operator", "values", "covers"),
        [
            ("In", ["mec", "x"], True),
            ("In", ["x"], False),
            ("NotIn", ["x"], True),
            ("NotIn", ["mec"], False),
            ("Exists", [], True),
            ("DoesNotExist", [], False),
            ("Unheard", [], False),
        ],
    )
    def test_select_by_expressions(self, operator: str, values: list[str], covers: bool) -> None:
        one = budget(matchExpressions=[{"key": "app", "operator": operator, "values": values}])
        assert one.covers(pod(metadata={"labels": {"app": "mec"}})) is covers

    def test_without_a_selector_cover_nothing(self) -> None:
        assert not DisruptionBudget.model_validate({"metadata": {"name": "b", "uid": "b"}}).covers(pod())


class TestPage:
    @pytest.mark.parametrize("asked", [request(), request(node=None)], ids=["node", "no node"])
    def test_of_a_healthy_node_fits_a_screen_of_80_by_24(self, asked: BounceRequest) -> None:
        metadata = PROTECTED["metadata"] | {"uid": "6d0c8f5e-3f0a-4a53-9d0b-2f8f1d7c5a10"}
        found = plan(asked, cluster(metadata=metadata), protection())
        lines = page(found).splitlines()
        assert len(lines) <= 22
        assert max(map(len, lines)) <= 80

    def test_begins_with_the_verdict_and_names_what_passed_in_one_line(self) -> None:
        found = plan(request(), cluster())
        lines = [line.rstrip() for line in page(found, 200).splitlines()]
        assert lines == [
            "✔ A bounce would proceed.",
            "  mec-0 in default (sandbox); nothing was changed",
            f"  custom resource: {NODE}",
            "",
            "It would",
            "  POST    pod mec-0: Kubernetes Event Bouncing",
            "  DELETE  pod mec-0: UID uid-1 as precondition, its own grace period of 30 s, propagation Background",
            "  POST    ExpressNode mec-0: Kubernetes Event Bounced or BounceFailed",
            "  wait    at most 600 s until it has gone, 600 s until its replacement is back",
            "",
            f"✔ {len(found.checks)} checks passed: {', '.join(BRIEF)}",
            "✔ 7 rights granted",
            "✔ dry run of the deletion accepted",
        ]

    @pytest.mark.parametrize("width", [40, 80, 120])
    def test_tells_what_is_out_of_the_ordinary_and_keeps_its_width(self, width: int) -> None:
        asked = cluster(container=SLOW, **PROTECTED)
        asked.denied = {"watch pods"}
        asked.budgets = (budget(),)
        text = page(plan(request(timeouts={"ready": 600}), asked, protection("s3cr3t")), width)
        assert max(len(line) for line in text.splitlines()) <= width
        flowed = " ".join(text.split())
        for told in (
            "A bounce would proceed.",
            f"! At most 600 s until its replacement is back: as given, and too short: {SLOW_SUM}.",
            "! No right to watch pods: a bounce looks every 2 s instead.",
            "! PodDisruptionBudget mec allows 0 more disruptions now",
            "· pod mec-0: its annotation example.com/protected is off already",
            "✔ 7 rights granted",
        ):
            assert told in flowed

    def test_says_why_a_bounce_would_not_proceed_and_not_what_it_would_do(self) -> None:
        asked = cluster()
        asked.resource = {"spec": {"state": "up"}, "status": {"state": "rebuilding"}}
        text = " ".join(page(plan(request(), asked)).split())
        assert text.startswith(
            "✘ A bounce would not proceed. expressnodes.express.example.com/v1 mec-0 is rebuilding; a bounce now "
        )
        assert "It would" not in text
        assert "✔ 16 checks passed: custom resource exists, " in text

    def test_v_shows_each_check_each_right_and_where_each_deadline_comes_from(self) -> None:
        asked = cluster()
        asked.resource = {"spec": {"state": "up"}, "status": {"state": "rebuilding"}}
        asked.denied = {"delete pods"}
        text = " ".join(page(plan(request(), asked), verbose=True).split())
        assert "✘ no node is not rebuilding" in text
        assert "✔ yes custom resource exists" in text
        assert "· - node is not catching up (not asked)" in text
        assert "✘ no delete pods" in text
        assert "No PodDisruptionBudget covers the pod." in text
        assert "passed" not in text
        waits = " ".join(page(plan(request(), cluster()), verbose=True).split())
        assert "wait at most 600 s until it has gone: the default; the pod's grace period is 30 s" in waits

    def test_a_right_that_is_missing_is_told_once(self) -> None:
        asked = cluster()
        asked.denied = {"delete pods"}
        assert page(plan(request(), asked), 200).count("the right to delete pods") == 1
        asked.resource = {"spec": {"state": "down"}}
        assert "✘ The right to delete pods is missing." in page(plan(request(), asked))

    def test_a_right_that_could_not_be_asked_is_told(self) -> None:
        asked = cluster()
        asked.faults = [None] * 7 + [Unreachable("overloaded")]
        assert "! Could not be asked (overloaded): the right to list events." in page(plan(request(), asked))

    def test_lets_no_control_characters_through_that_others_wrote(self) -> None:
        asked = cluster()
        asked.faults = [None] * 9 + [AccessDenied("red \x1b[31m\a")]
        assert not {"\x1b", "\a"} & {*page(plan(request(), asked))}

    def test_shows_what_the_checks_want_noticed(self) -> None:
        asked = cluster()
        asked.resource = {"status": {"state": "catchup"}}
        text = " ".join(page(plan(request(), asked)).split())
        assert "! expressnodes.express.example.com/v1 mec-0 has no spec.state (desired_path)" in text
        assert "! The node is catching up" in text
        assert "it is meant to be up" not in text

    def test_has_ascii_signs_where_the_terminal_has_no_others(self) -> None:
        text = page(plan(request(), cluster()), signs=ASCII)
        assert text.isascii()
        assert text.startswith("ok A bounce would proceed.")


def test_for_programs_each_check_has_its_question_and_answer_of_0_2_0_too() -> None:
    found = plan_json(plan(request(), cluster()), Would.RESUME, "resumes this")
    assert (found["would"], found["resumes"]) == ("resume", "resumes this")
    assert json.loads(json.dumps(found)) == found
    assert plan_json(plan(request(), cluster()), Would.WAIT_ON, "keeps waiting")["resumes"] == ""
    assert found["checks"][1] == {
        "code": "node_missing",
        "statement": "custom resource exists",
        "holds": True,
        "ends": False,
        "notice": "",
        "question": "Is this untrue: custom resource exists?",
        "answer": False,
    }
