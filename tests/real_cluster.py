"""The real cluster of $KUBECONFIG as a pytest plugin: its client, and the custom resource on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from e2e.helpers import GROUP, PLURAL, VERSION, till
from e2e.real import if_found
from kubernetes import client, config

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


@pytest.fixture(scope="session")
def real_api() -> Iterator[client.ApiClient]:
    configuration = client.Configuration()
    config.load_kube_config(client_configuration=configuration)
    with client.ApiClient(configuration) as made:
        yield made


@pytest.fixture(scope="session")
def expressnodes(real_api: client.ApiClient) -> Iterator[None]:
    """The custom resource; installed for the session where the cluster does not have it."""
    extensions, custom = client.ApiextensionsV1Api(real_api), client.CustomObjectsApi(real_api)
    name = EXPRESS_NODES["metadata"]["name"]
    ours = if_found(lambda: extensions.read_custom_resource_definition(name)) is None
    if ours:
        extensions.create_custom_resource_definition(EXPRESS_NODES)
    till("ExpressNodes served", lambda: if_found(lambda: custom.list_cluster_custom_object(GROUP, VERSION, PLURAL)))
    yield
    if ours:
        extensions.delete_custom_resource_definition(name)
