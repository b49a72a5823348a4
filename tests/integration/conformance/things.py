"""The objects that the checks create. No controller on a real cluster touches them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from .wire import MERGE, Answer, Api, Json

FINALIZER = "example.com/keep"


@dataclass(frozen=True)
class Kind:
    """One type of object, and how to create one that no controller touches."""

    api_version: str
    kind: str
    plural: str
    new: Callable[[str], Json]

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def details(self) -> Json:
        """The ``details`` of an error about it."""
        return {"kind": self.plural, **({"group": self.group} if self.group else {})}


def _pod(_: str) -> Json:
    # A scheduler that does not exist leaves it unbound, and does not write into its status.
    return {"spec": {"schedulerName": "nobody", "containers": [{"name": "app", "image": "app:1"}]}}


def _bound_pod(_: str) -> Json:
    # On a Kubernetes node that does not exist there is no kubelet: a termination ends only by force. A node of its
    # own each, as the pod garbage collector takes the pods of a node that has been missing for 40 s.
    return {"spec": {"nodeName": f"none-{uuid.uuid4().hex[:8]}", "containers": [{"name": "app", "image": "app:1"}]}}


def _express_node(_: str) -> Json:
    return {"spec": {"state": "down", "size": 1}}


def _lease(_: str) -> Json:
    return {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}}


def _event(namespace: str) -> Json:
    involved = {"apiVersion": "v1", "kind": "Pod", "name": "some", "uid": "1-2-3", "namespace": namespace}
    return {"involvedObject": involved, "reason": "Tested", "message": "It was.", "type": "Normal"}


KINDS = {
    "pods": Kind("v1", "Pod", "pods", _pod),
    "bound pods": Kind("v1", "Pod", "pods", _bound_pod),
    "expressnodes": Kind("express.example.com/v1", "ExpressNode", "expressnodes", _express_node),
    "leases": Kind("coordination.k8s.io/v1", "Lease", "leases", _lease),
    "events": Kind("v1", "Event", "events", _event),
}


def of(*kinds: str) -> pytest.MarkDecorator:
    """Run a test with `things` of each of these kinds; without names, of all kinds."""
    return pytest.mark.parametrize("things", kinds or KINDS, indirect=True)


class Things:
    """The objects of one kind that a test creates; their names begin with the test's own."""

    def __init__(self, api: Api, kind: Kind, name: str) -> None:
        self.api, self.kind, self.name = api, kind, name

    def new(self, suffix: str = "", /, *, spec: Json | None = None, **metadata: Any) -> Json:
        """Return an object to be created; `spec` and `metadata` add fields to it."""
        fresh = self.kind.new(self.api.namespace)
        if spec:
            fresh["spec"] |= spec
        name = {"name": self.name + suffix}
        return {"apiVersion": self.kind.api_version, "kind": self.kind.kind, "metadata": name | metadata, **fresh}

    def made(self, suffix: str = "", /, **more: Any) -> Json:
        """Create an object and return it as it was stored."""
        answer = self.post(self.new(suffix, **more))
        assert answer.status == 201, answer
        return dict(answer.body)

    def path(self, suffix: str = "", subresource: str = "") -> str:
        return "/".join(filter(None, (self.collection, self.name + suffix, subresource)))

    @property
    def collection(self) -> str:
        root = "/apis" if self.kind.group else "/api"
        return f"{root}/{self.kind.api_version}/namespaces/{self.api.namespace}/{self.kind.plural}"

    def post(self, obj: object, **query: Any) -> Answer:
        return self.api.ask("POST", self.collection, obj, **query)

    def get(self, suffix: str = "", **query: Any) -> Answer:
        return self.api.ask("GET", self.path(suffix), **query)

    def put(self, obj: Json, subresource: str = "", **query: Any) -> Answer:
        path = "/".join(filter(None, (self.collection, obj["metadata"]["name"], subresource)))
        return self.api.ask("PUT", path, obj, **query)

    def patch(
        self, patch: object, content_type: str = MERGE, *, suffix: str = "", subresource: str = "", **query: Any
    ) -> Answer:
        path = self.path(suffix, subresource)
        return self.api.ask("PATCH", path, patch, content_type=content_type, **query)

    def delete(self, options: Json | None = None, *, suffix: str = "", **query: Any) -> Answer:
        return self.api.ask("DELETE", self.path(suffix), options, **query)

    def list(self, **query: Any) -> Answer:
        return self.api.ask("GET", self.collection, **query)

    def listed(self, **query: Any) -> set[str]:
        """Return the suffixes of the test's own objects in a list."""
        names = [item["metadata"]["name"] for item in self.list(**query)["items"]]
        return {name.removeprefix(self.name) for name in names if name.startswith(self.name)}

    def version(self) -> str:
        """Return the version for a watch that starts now."""
        return str(self.list(fieldSelector=f"metadata.name={self.name}").metadata["resourceVersion"])

    @property
    def gone(self) -> bool:
        return self.get().status == 404
