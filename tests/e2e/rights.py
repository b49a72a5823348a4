"""The rights of docs/rights.yaml, granted to the user `bouncer` in a namespace of a test's own."""

from __future__ import annotations

from pathlib import Path

import yaml
from kubernetes import client
from real_cluster import if_found, till

from .helpers import Json
from .real import Site

MANIFEST = Path(__file__).parent.parent.parent / "docs" / "rights.yaml"
NODES = ("nodes", "get")  # of the whole cluster: left out only once the other cases are over


def manifests() -> list[Json]:
    return list(yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8")))


def grant(site: Site, resource: str = "", verb: str = "") -> None:
    """Apply the manifest to the site's namespace, under its name; less that verb of that resource."""
    rbac, access = client.RbacAuthorizationV1Api(site.api), client.AuthorizationV1Api(site.api)
    manifest = {item["kind"]: item for item in manifests()}
    for item in manifest.values():
        item["metadata"]["name"] = site.namespace
        if "namespace" in item["metadata"]:
            item["metadata"]["namespace"] = site.namespace
        if "roleRef" in item:
            item["roleRef"]["name"] = site.namespace
        for rule in item.get("rules", []):
            if rule["resources"] == [resource]:
                rule["verbs"].remove(verb)
        if "rules" in item:
            item["rules"] = [rule for rule in item["rules"] if rule["verbs"]]
    rbac.create_namespaced_role(site.namespace, manifest["Role"])
    rbac.create_namespaced_role_binding(site.namespace, manifest["RoleBinding"])
    rbac.create_cluster_role(manifest["ClusterRole"])
    rbac.create_cluster_role_binding(manifest["ClusterRoleBinding"])

    def may(resource: str, verb: str) -> bool:
        asked = {"resource": resource, "verb": verb, "namespace": site.namespace}
        review = access.create_subject_access_review({"spec": {"user": "bouncer", "resourceAttributes": asked}})
        return bool(review.status.allowed)

    last = {("events", "list"), ("events", "create"), NODES} - {(resource, verb)}
    till("the rights granted", lambda: all(may(*right) for right in last))


def revoke(site: Site) -> None:
    rbac = client.RbacAuthorizationV1Api(site.api)
    if_found(lambda: rbac.delete_cluster_role_binding(site.namespace))
    if_found(lambda: rbac.delete_cluster_role(site.namespace))
