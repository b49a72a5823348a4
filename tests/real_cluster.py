"""The real cluster of $KUBECONFIG as a pytest plugin: its client, the custom resource on it, a bounded wait."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from kubernetes import client, config
from kubernetes.client import ApiException

Answer = TypeVar("Answer")

GROUP, VERSION, PLURAL = "express.example.com", "v1", "expressnodes"
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
EXPRESS_NODES: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{PLURAL}.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": PLURAL, "singular": "expressnode", "kind": "ExpressNode"},
        "versions": [
            {
                "name": VERSION,
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": ANYTHING, "status": ANYTHING}}},
            }
        ],
    },
}


def till(what: str, found: Callable[[], Answer | None], *, seconds: float = 90.0, every: float = 0.05) -> Answer:
    """Wait until `found`, asked every so many seconds, gives something true, and return that; fail in the end."""
    end = time.monotonic() + seconds
    while True:
        answer = found()
        if answer:
            return answer
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(every)


def if_found(read: Callable[[], Any]) -> Any:
    """Give what `read` gives; None where the API server says 404."""
    try:
        return read()
    except ApiException as error:
        if error.status != 404:
            raise
        return None


@pytest.fixture(scope="session")
def real_api() -> Iterator[client.ApiClient]:
    configuration = client.Configuration()
    config.load_kube_config(client_configuration=configuration)
    with client.ApiClient(configuration) as made:
        yield made


@contextmanager
def installed(api: client.ApiClient, definition: dict[str, Any]) -> Iterator[None]:
    """Have a custom resource on the cluster for a while.

    One that was there before stays. So does one that a worker of pytest-xdist has installed: the others use it too.
    """
    extensions, custom = client.ApiextensionsV1Api(api), client.CustomObjectsApi(api)
    name, spec = definition["metadata"]["name"], definition["spec"]
    place = (spec["group"], spec["versions"][0]["name"], spec["names"]["plural"])
    ours = "PYTEST_XDIST_WORKER" not in os.environ
    try:
        extensions.create_custom_resource_definition(definition)
    except ApiException as error:
        if error.status != 409:
            raise
        ours = False
    try:
        till(f"{name} served", lambda: if_found(lambda: custom.list_cluster_custom_object(*place)))
        yield
    finally:
        if ours:
            extensions.delete_custom_resource_definition(name)


@pytest.fixture(scope="session")
def expressnodes(real_api: client.ApiClient) -> Iterator[None]:
    """The custom resource that the tests' nodes are."""
    with installed(real_api, EXPRESS_NODES):
        yield
