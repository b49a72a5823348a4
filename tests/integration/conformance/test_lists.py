"""What a LIST selects and how it looks."""

from __future__ import annotations

import pytest

from .things import Things, of
from .wire import Api


@of()
def test_a_list_has_a_version_and_its_kind(things: Things) -> None:
    made = things.made()
    answer = things.list()
    assert (200, f"{things.kind.kind}List", things.kind.api_version) == (
        answer.status,
        answer["kind"],
        answer["apiVersion"],
    )
    assert int(answer.metadata["resourceVersion"]) >= int(made["metadata"]["resourceVersion"])


@of("pods", "leases", "events")
def test_listed_objects_of_built_in_types_do_not_name_their_type(things: Things) -> None:
    made = things.made()
    (listed,) = things.list(fieldSelector=f"metadata.name={things.name}")["items"]
    assert {key: value for key, value in made.items() if key not in ("kind", "apiVersion")} == listed


def test_listed_custom_resources_name_their_type(nodes: Things) -> None:
    made = nodes.made()
    assert nodes.list(fieldSelector=f"metadata.name={nodes.name}")["items"] == [made]


@of()
def test_a_list_is_sorted_by_name(things: Things) -> None:
    for suffix in ("b", "a", "c"):
        things.made(suffix, labels={"of": things.name})
    names = [item["metadata"]["name"] for item in things.list(labelSelector=f"of={things.name}")["items"]]
    assert sorted(names) == names


@of("pods", "expressnodes")
@pytest.mark.parametrize("version", ["0", "now", "its own"])
def test_a_list_can_ask_for_a_minimum_version(things: Things, version: str) -> None:
    made = things.made()
    since = {"0": "0", "now": things.version(), "its own": made["metadata"]["resourceVersion"]}[version]
    answer = things.list(resourceVersion=since)
    assert answer.status == 200
    assert int(answer.metadata["resourceVersion"]) >= int(since)


@of("pods", "expressnodes")
def test_the_version_of_a_list_must_be_a_number(things: Things) -> None:
    assert things.list(resourceVersion="new").status >= 400


@of("pods", "expressnodes", "leases")
def test_all_namespaces_are_listed_at_once(api: Api, things: Things) -> None:
    made = things.made()
    path = things.collection.replace(f"/namespaces/{api.namespace}", "")
    (listed,) = api.ask("GET", path, fieldSelector=f"metadata.name={things.name}")["items"]
    assert listed["metadata"] == made["metadata"]


@of("pods", "expressnodes", "leases")
def test_a_namespace_that_does_not_exist_is_empty(api: Api, things: Things) -> None:
    answer = api.ask("GET", things.collection.replace(api.namespace, "none-such"))
    assert (200, []) == (answer.status, answer["items"])


def test_a_limit_cuts_a_list(leases: Things) -> None:
    for suffix in "abc":
        leases.made(suffix, labels={"of": leases.name})
    first = leases.list(labelSelector=f"of={leases.name}", limit=2)
    rest = leases.list(labelSelector=f"of={leases.name}", limit=2, **{"continue": first.metadata.get("continue", "")})
    assert [2, 1] == [len(part["items"]) for part in (first, rest)]


# Fields


@of()
def test_one_object_is_selected_by_its_name(things: Things) -> None:
    for suffix in ("", "a"):
        things.made(suffix)
    assert things.listed(fieldSelector=f"metadata.name={things.name}") == {""}
    assert things.listed(fieldSelector=f"metadata.name=={things.name}") == {""}
    assert things.listed(fieldSelector=f"metadata.name!={things.name}") == {"a"}
    assert things.listed(fieldSelector="metadata.name=none") == set()


@of("pods", "expressnodes")
def test_several_fields_must_all_match(api: Api, things: Things) -> None:
    things.made()
    both = f"metadata.name={things.name},metadata.namespace="
    assert things.listed(fieldSelector=both + api.namespace) == {""}
    assert things.listed(fieldSelector=both + "other") == set()


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("spec.nodeName=", {"free"}),
        ("spec.nodeName!=", {"bound"}),
        ("status.phase=Pending", {"free", "bound"}),
        ("status.phase!=Pending", set()),
        ("spec.restartPolicy=Always", {"free", "bound"}),
        ("spec.schedulerName=nobody", {"free"}),
    ],
)
def test_pods_are_selected_by_further_fields(pods: Things, bound: Things, selector: str, selected: set[str]) -> None:
    pods.made("free")
    bound.made("bound")
    assert pods.listed(fieldSelector=selector) == selected


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("involvedObject.uid=1-2-3", True),
        ("involvedObject.uid=other", False),
        ("involvedObject.kind=Pod", True),
        ("involvedObject.kind=Node", False),
        ("involvedObject.name=some", True),
        ("involvedObject.name=some,involvedObject.uid=1-2-3,involvedObject.kind=Pod", True),
        ("involvedObject.name=some,involvedObject.uid=other", False),
        ("involvedObject.apiVersion=v1", True),
        ("reason=Tested", True),
        ("reason!=Tested", False),
        ("type=Normal", True),
        ("type=Warning", False),
        ("source=", True),
    ],
)
def test_events_are_selected_by_their_fields(events: Things, selector: str, selected: bool) -> None:
    events.made()
    assert bool(events.listed(fieldSelector=selector)) is selected


@of()
@pytest.mark.parametrize("field", ["metadata.uid", "spec.unheard", "name"])
def test_any_other_field_is_refused(things: Things, field: str) -> None:
    answer = things.list(fieldSelector=f"{field}=a")
    assert answer.refusal == (400, "BadRequest")
    assert field in answer["message"]


@of("pods", "expressnodes")
@pytest.mark.parametrize("selector", ["metadata.name", "metadata.name>a"])
def test_a_malformed_field_selector_is_refused(things: Things, selector: str) -> None:
    assert things.list(fieldSelector=selector).refusal == (400, "BadRequest")


# Labels


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("color=red", {"red"}),
        ("color==red", {"red"}),
        ("color!=red", {"blue", "none"}),
        ("color in (red,blue)", {"red", "blue"}),
        ("color in ( red )", {"red"}),
        ("color notin (red)", {"blue", "none"}),
        ("color", {"red", "blue"}),
        ("!color", {"none"}),
        ("color,example.com/size", {"red"}),
        ("color=red,example.com/size=1", {"red"}),
        ("color in (red,blue),example.com/size!=1", {"blue"}),
        ("color=", set()),
        ("color=green", set()),
    ],
)
@of("pods", "expressnodes")
def test_objects_are_selected_by_their_labels(things: Things, selector: str, selected: set[str]) -> None:
    mine = {"of": things.name}
    things.made("red", labels={**mine, "color": "red", "example.com/size": "1"})
    things.made("blue", labels={**mine, "color": "blue"})
    things.made("none", labels=mine)
    assert things.listed(labelSelector=f"of={things.name},{selector}") == selected


@of("pods", "expressnodes")
@pytest.mark.parametrize("selector", ["==", "a=b=c", "a in", "a in b", "a=bad value", "bad key=a", "!a=b"])
def test_a_malformed_label_selector_is_refused(things: Things, selector: str) -> None:
    assert things.list(labelSelector=selector).refusal == (400, "BadRequest")


@of("pods", "expressnodes")
def test_labels_and_fields_must_both_match(things: Things) -> None:
    for suffix in ("a", "b"):
        things.made(suffix, labels={"of": things.name})
    selectors = {"labelSelector": f"of={things.name}", "fieldSelector": f"metadata.name={things.name}a"}
    assert things.listed(**selectors) == {"a"}
