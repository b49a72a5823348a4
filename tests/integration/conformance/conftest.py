"""The same checks against the embedded cluster and the real one, and where the two differ."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Any

import pytest
import real_cluster
from kubernetes import client, config
from real_cluster import installed, till

from mecbounce.sandbox import ResourceType, Sandbox
from mecbounce.sandbox.resources import EXPRESS_NODES

from .things import KINDS, Kind, Things
from .wire import NOBODY, Api

EXPRESS_SITES = ResourceType("express.example.com", "v1", "expresssites", "ExpressSite", namespaced=False)

DIFFERENCES: Mapping[str, str] = {
    "test_there_is_protobuf_of_pods": "it answers only in JSON, which every client accepts too",
    "test_an_unknown_token_is_refused": "it accepts every client on loopback; a token is only a user name",
    "test_a_pod_can_be_evicted": "it has no disruption controller, so it serves no evictions",
    "test_an_unknown_field_of_a_pod_is_dropped": "it has no schemas of the built-in types",
    "test_a_field_of_another_type_is_refused": "it has no schemas of the built-in types",
    "test_a_negative_grace_period_is_force_too": "it makes one second of it, as later API servers do",
    "test_a_limit_cuts_a_list": "it always returns the whole list, as a server may",
}
"""Checks at which the embedded cluster differs from a real one, and why."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect each check in the list to fail. One that passes is an error until it is taken off the list."""
    for item in items:
        reason = DIFFERENCES.get(item.originalname) if isinstance(item, pytest.Function) else None
        if reason and item.get_closest_marker("conformance"):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


@pytest.fixture(
    scope="session",
    params=[pytest.param("sandbox", marks=pytest.mark.conformance), pytest.param("real", marks=pytest.mark.e2e)],
)
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """A cluster with a namespace for this suite."""
    with ExitStack() as stack:
        kubeconfig = None
        if request.param == "sandbox":
            sandbox = stack.enter_context(Sandbox((EXPRESS_NODES, EXPRESS_SITES)))
            sandbox.compact()  # as on a cluster with a past, version 1 has expired
            sandbox.forbid("*", "*", user=NOBODY)  # on the real one, nobody has given them a right
            kubeconfig = str(sandbox.kubeconfig)
        else:
            request.getfixturevalue("expressnodes")
            stack.enter_context(installed(request.getfixturevalue("real_api"), cluster_scoped()))
        configuration = client.Configuration()
        config.load_kube_config(kubeconfig, client_configuration=configuration)
        made = stack.enter_context(closing(Api(configuration, f"mecbounce-conformance-{uuid.uuid4().hex[:8]}")))
        assert made.ask("POST", "/api/v1/namespaces", {"metadata": {"name": made.namespace}}).status == 201
        if kubeconfig is None:
            stack.callback(remove_all, made)
        yield made


@pytest.fixture(autouse=True)
def counted(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Tell the summary which cluster was asked."""
    if "api" in request.fixturenames:
        record_property("conformance", request.node.callspec.params["api"])


def cluster_scoped() -> dict[str, Any]:
    """Define the custom resource that has no namespace."""
    definition = copy.deepcopy(real_cluster.EXPRESS_NODES)
    definition["metadata"]["name"] = EXPRESS_SITES.qualified
    names = {"plural": EXPRESS_SITES.plural, "singular": "expresssite", "kind": EXPRESS_SITES.kind}
    definition["spec"] |= {"scope": "Cluster", "names": names}
    return definition


def remove_all(api: Api) -> None:
    """Remove the namespace. First remove by force what the tests left in it, or the namespace would stay."""
    for kind in KINDS.values():
        things = Things(api, kind, "")
        for item in things.list()["items"]:
            name = item["metadata"]["name"]
            if item["metadata"].get("finalizers"):
                things.patch({"metadata": {"finalizers": None}}, suffix=name)
            things.delete(suffix=name, gracePeriodSeconds=0)
    namespace = f"/api/v1/namespaces/{api.namespace}"
    api.ask("DELETE", namespace)
    till(f"namespace {api.namespace} gone", lambda: api.ask("GET", namespace).status == 404, seconds=90)


@pytest.fixture
def new(api: Api) -> Callable[[Kind], Things]:
    """Makes the test's own objects of a kind."""
    name = f"it-{uuid.uuid4().hex[:8]}"
    return lambda kind: Things(api, kind, name)


@pytest.fixture
def things(new: Callable[[Kind], Things], request: pytest.FixtureRequest) -> Things:
    """Objects of the kind that is the test's parameter, a name in KINDS."""
    return new(KINDS[request.param])


@pytest.fixture
def pods(new: Callable[[Kind], Things]) -> Things:
    """Pods that no scheduler binds."""
    return new(KINDS["pods"])


@pytest.fixture
def bound(new: Callable[[Kind], Things]) -> Things:
    """Pods bound to a Kubernetes node without a kubelet."""
    return new(KINDS["bound pods"])


@pytest.fixture
def nodes(new: Callable[[Kind], Things]) -> Things:
    """Custom resources."""
    return new(KINDS["expressnodes"])


@pytest.fixture
def leases(new: Callable[[Kind], Things]) -> Things:
    return new(KINDS["leases"])


@pytest.fixture
def events(new: Callable[[Kind], Things]) -> Things:
    return new(KINDS["events"])
