"""What docs/rights.yaml grants is enough for everything, and all of it is necessary: what each lack leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes import client
from real_cluster import PLURAL, till

from .helpers import STARTUP_PROBE, Command, Finished, Json, starting
from .real import Asked, Audit, Site
from .rights import NODES, grant, manifests, revoke

pytestmark = [pytest.mark.e2e, pytest.mark.alone]  # it needs the kubelet's Events in time

KEY = "example.com/protected"
WITHOUT = {
    "everything granted": (),
    "a diagnosis": (),
    "without patch": ("pods", "patch"),
    "without delete": ("pods", "delete"),
    "without list": ("pods", "list"),
    "without get": ("expressnodes", "get"),
    "without watch": ("pods", "watch"),
    "without create": ("events", "create"),
    "a diagnosis without list": ("events", "list"),
}


@dataclass(frozen=True)
class Outcome:
    """The pod's metadata before and after a run of the command by the user `bouncer`, and that run."""

    site: Site
    before: Any
    ran: Finished
    after: Any

    def asked(self, audit: Audit) -> list[Asked]:
        return audit.by_mecbounce(self.site.namespace)

    @property
    def runs_on(self) -> bool:
        return (self.after.uid, self.after.deletion_timestamp) == (self.before.uid, None)


@pytest.fixture(scope="module")
def outcomes(
    new_site: Callable[[], AbstractContextManager[Site]],
    bouncer: tuple[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Outcome]]:
    """A bounce each, side by side, of a node whose pod is protected by an annotation, in a namespace of its own."""
    command = Command(tmp_path_factory.mktemp("state"))

    def outcome(case: str, site: Site) -> Outcome:
        before = site.node(site.spec(starting(0), startupProbe=STARTUP_PROBE), annotations={KEY: "yes"}).metadata
        grant(site, *WITHOUT[case])
        options = ["--protection-annotation", f"{KEY}=no"]
        if case.startswith("a diagnosis"):
            site.change(template=unmountable(site))
            options += ["--ready-timeout", "20s"]
        ran = command.run("run", *site.words(), *bouncer, *options)
        return Outcome(site, before, ran, site.pod().metadata)

    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        sites = [stack.enter_context(new_site()) for _ in WITHOUT]
        try:
            found = dict(zip(WITHOUT, pool.map(outcome, WITHOUT, sites), strict=True))
        finally:
            for site in sites:
                revoke(site)
        yield found


def unmountable(site: Site) -> Json:
    """Give the spec of a pod that waits for a volume, which its Events alone tell."""
    volume = {"name": "absent", "secret": {"secretName": "absent"}}
    return site.spec(volumeMounts=[{"name": "absent", "mountPath": "/absent"}]) | {"volumes": [volume]}


def test_each_right_of_the_manifest_is_left_out_once() -> None:
    granted = {
        (resource, verb)
        for item in manifests()
        for rule in item.get("rules", [])
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {*filter(None, WITHOUT.values()), NODES}


@pytest.mark.parametrize("case", [case for case, missing in WITHOUT.items() if missing])
def test_each_right_is_necessary(audit: Audit, outcomes: dict[str, Outcome], case: str) -> None:
    """Without it that one is asked for, and refused, and nothing else is."""
    refused = {(one.resource, one.verb) for one in outcomes[case].asked(audit) if one.status == 403}
    assert refused == {WITHOUT[case]}


def test_the_manifests_rights_do_for_a_whole_bounce(audit: Audit, outcomes: dict[str, Outcome]) -> None:
    """No request is refused, and protection and all they are at most six, and two for the Events."""
    one = outcomes["everything granted"]
    assert (one.ran.status, one.ran.result["protection"], one.ran.notices) == (0, "disabled", set())
    asked = one.asked(audit)
    assert {(request.user, request.status) for request in asked} == {("bouncer", 200), ("bouncer", 201)}
    assert len(asked) <= 6 + 2


def test_the_manifests_rights_do_for_a_diagnosis(audit: Audit, outcomes: dict[str, Outcome]) -> None:
    """It reads the pod's Events and its Kubernetes node."""
    one = outcomes["a diagnosis"]
    assert (one.ran.status, one.ran.result["diagnosis"]["code"]) == (5, "volume")
    asked = one.asked(audit)
    assert {request.status for request in asked} == {200, 201}
    assert "events" in {request.resource for request in asked}


def test_without_events_the_diagnosis_says_less(outcomes: dict[str, Outcome]) -> None:
    one = outcomes["a diagnosis without list"]
    assert (one.ran.status, one.ran.result["diagnosis"]["code"]) == (5, "container_waiting")


def test_without_nodes_the_diagnosis_is_made_all_the_same(
    site: Site, command: Command, bouncer: tuple[str, str]
) -> None:
    site.node()
    grant(site, *NODES)
    site.change(template=unmountable(site))
    ran = command.run("run", *site.words(), *bouncer, "--ready-timeout", "20s")
    assert (ran.status, ran.result["diagnosis"]["code"]) == (5, "volume")
    granted = {
        (one["resource"], one["verb"]): one["granted"]
        for one in command.run("plan", *site.words(), *bouncer).result["rights"]
    }
    revoke(site)
    assert [right for right, there in granted.items() if not there] == [NODES]


def test_without_patch_the_protection_stays_on_and_the_bounce_goes_on(outcomes: dict[str, Outcome]) -> None:
    one = outcomes["without patch"]
    assert (one.ran.status, one.ran.result["protection"], one.ran.notices) == (0, "kept", {"protection_kept"})


def test_without_delete_the_pod_runs_on_and_its_protection_is_told(outcomes: dict[str, Outcome]) -> None:
    one = outcomes["without delete"]
    assert (one.ran.status, one.ran.result["event"], one.runs_on) == (3, "delete_refused", True)
    assert "runs on, with its shutdown protection switched off" in one.ran.result["message"]
    assert one.after.annotations[KEY] == "no"


@pytest.mark.parametrize("case", ["without list", "without get"])
def test_without_the_right_to_look_nothing_is_done(outcomes: dict[str, Outcome], case: str) -> None:
    one = outcomes[case]
    assert (one.ran.status, one.ran.result["event"], one.runs_on) == (3, "access_denied", True)
    assert "Nothing was deleted" in one.ran.result["message"]
    assert one.after.annotations[KEY] == "yes"


def test_without_watch_it_polls(audit: Audit, outcomes: dict[str, Outcome]) -> None:
    one = outcomes["without watch"]
    assert (one.ran.status, one.ran.result["state"]) == (0, "DONE")
    asked = one.asked(audit)
    looks = [request for request in asked if request.verb == "list"]
    watches = [request for request in asked if request.verb == "watch"]
    assert {request.status for request in watches} == {403}
    assert len(looks) > len(watches)


def test_without_create_the_bounce_is_the_same(audit: Audit, outcomes: dict[str, Outcome]) -> None:
    """Its Events are refused, once each, and that is all."""
    one = outcomes["without create"]
    assert (one.ran.status, one.ran.result["protection"], one.ran.notices) == (0, "disabled", set())
    refused = [request for request in one.asked(audit) if request.status == 403]
    assert (len(refused), all(request.tells for request in refused)) == (2, True)


@pytest.mark.parametrize("missing", [(), ("pods", "delete"), ("expressnodes", "get")], ids="-".join)
def test_a_plan_tells_the_rights_that_there_are_and_changes_nothing(
    site: Site, command: Command, bouncer: tuple[str, str], audit: Audit, missing: tuple[str, ...]
) -> None:
    site.node(annotations={KEY: "yes"})
    before = site.ready().metadata.resource_version
    grant(site, *missing)
    try:
        ran = command.run("plan", *site.words(), *bouncer, "--protection-annotation", f"{KEY}=no")
    finally:
        revoke(site)
    rights = {(one["resource"], one["verb"]): one["granted"] for one in ran.result["rights"]}
    assert len(rights) == 8
    assert {right for right, granted in rights.items() if not granted} == ({missing} if missing else set())
    assert (ran.status, ran.result["goes_on"]) == ((3, False) if missing else (0, True))
    assert site.pod().metadata.resource_version == before
    asked = [(one.verb, one.resource) for one in audit.by_mecbounce(site.namespace)]
    assert asked
    assert set(asked) <= {("get", PLURAL), ("list", "pods"), ("delete", "pods"), ("list", "poddisruptionbudgets")}
    if ran.result["pod"]:
        assert ran.result["disruption_budgets"] is None
        assert "could not be asked" in ran.result["eviction"]


def test_a_plan_tells_what_the_pods_disruption_budget_allows(site: Site, command: Command) -> None:
    """By the version of the API that the server has: v1beta1 before 1.21."""
    site.node()
    site.ready()
    body = {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "mec"},
        "spec": {"minAvailable": 1, "selector": {"matchExpressions": [{"key": "other", "operator": "DoesNotExist"}]}},
    }
    place = (site.namespace, "poddisruptionbudgets")
    discovered = client.ApisApi(site.api).get_api_versions().groups
    versions = [one.version for group in discovered if group.name == "policy" for one in group.versions]
    version = "v1" if "v1" in versions else "v1beta1"
    body["apiVersion"] = f"policy/{version}"
    site.custom.create_namespaced_custom_object("policy", version, *place, body)

    def observed() -> bool:
        found = site.custom.get_namespaced_custom_object("policy", version, *place, "mec")
        return bool(found.get("status", {}).get("currentHealthy") == 1)

    till("the budget's status", observed)
    ran = command.run("plan", *site.words())
    assert (ran.status, ran.result["disruption_budgets"]) == (0, {"mec": 0})
    assert "an eviction would be refused; a bounce uses DELETE" in ran.result["eviction"]
