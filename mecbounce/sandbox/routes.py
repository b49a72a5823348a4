"""The paths of the API, and its discovery documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from mecbounce.sandbox.resources import BUILT_IN, HAS_STATUS, PODS, Key, Object, ResourceType

VERSION: Final = {
    "major": "1",
    "minor": "20",
    "gitVersion": "v1.20.2",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
ACCESS_REVIEWS: Final = ResourceType(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False
)
OBJECT_VERBS: Final = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
POD_SUBRESOURCES: Final = ("log", "proxy", "exec")
SHORT_NAMES: Final = {
    "pods": ["po"],
    "nodes": ["no"],
    "namespaces": ["ns"],
    "events": ["ev"],
    "replicasets": ["rs"],
    "statefulsets": ["sts"],
    "daemonsets": ["ds"],
    "deployments": ["deploy"],
    "resourcequotas": ["quota"],
    "poddisruptionbudgets": ["pdb"],
}


@dataclass(frozen=True)
class Target:
    """What a path names. ``name`` is empty for a whole list; ``port`` and ``rest`` belong to a proxied request."""

    resource: ResourceType
    namespace: str
    name: str
    subresource: str
    port: str = ""
    rest: str = ""

    @property
    def key(self) -> Key:
        return self.resource, self.namespace, self.name


class Routes:
    """Finds the resource type that a path belongs to."""

    def __init__(self, resources: Iterable[ResourceType]) -> None:
        self._served = (*resources, ACCESS_REVIEWS)

    def find(self, path: str) -> Target | None:
        """Return what a path names; None if it names no resource."""
        match path.removeprefix("/").split("/"):
            case ["api", version, *rest]:
                return self._resolve("", version, [unquote(part) for part in rest])
            case ["apis", group, version, *rest]:
                return self._resolve(group, version, [unquote(part) for part in rest])
        return None

    def is_built_in(self, path: str) -> bool:
        """Whether a path is in an API group of Kubernetes itself; such a path has another 404."""
        root, *parts = path.strip("/").split("/")
        return root == "api" or parts[:1] in ([resource.group] for resource in (*BUILT_IN, ACCESS_REVIEWS))

    def _resolve(self, group: str, version: str, parts: Sequence[str]) -> Target | None:
        types = {kind.plural: kind for kind in self._served if (kind.group, kind.version) == (group, version)}
        namespace = ""
        if len(parts) >= 3 and parts[0] == "namespaces" and parts[2] in types:  # noqa: PLR2004  # namespaces/NAME/PLURAL
            _, namespace, *parts = parts
        if not parts or parts[0] not in types:
            return None
        resource = types[parts[0]]
        if namespace and not resource.namespaced:
            return None
        name, subresource, *rest = [*parts[1:], "", ""][: max(len(parts) - 1, 2)]
        known = {"", *(("status",) if resource.custom or resource in HAS_STATUS else ())}
        known |= set(POD_SUBRESOURCES) if resource == PODS else set()
        if subresource not in known or (rest and subresource != "proxy"):
            return None
        # A proxied pod is named POD, POD:PORT or SCHEME:POD:PORT.
        scheme_or_pod, *more = name.split(":") if subresource == "proxy" else [name]
        pod, port = more if len(more) > 1 else (scheme_or_pod, *more, "")[:2]
        return Target(resource, namespace, pod, subresource, port, "/".join(rest))

    def discover(self, path: str) -> Object | None:
        """Return the discovery document at a path; None if there is none."""
        match path.strip("/").split("/"):
            case ["version"]:
                found: Object | None = dict(VERSION)
            case ["api"]:
                found = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
            case ["apis"]:
                groups = dict.fromkeys(kind.group for kind in self._served if kind.group)
                found = {"kind": "APIGroupList", "apiVersion": "v1", "groups": [self._group(group) for group in groups]}
            case ["apis", group] if any(kind.group == group for kind in self._served):
                found = {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)}
            case ["api", version]:
                found = self._resources("", version)
            case ["apis", group, version]:
                found = self._resources(group, version)
            case _:
                found = None
        return found

    def _group(self, group: str) -> Object:
        versions = dict.fromkeys(kind.version for kind in self._served if kind.group == group)
        listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
        return {"name": group, "versions": listed, "preferredVersion": listed[0]}

    def _resources(self, group: str, version: str) -> Object | None:
        served = [kind for kind in self._served if (kind.group, kind.version) == (group, version)]
        if not served:
            return None
        resources: list[Object] = []
        for kind in served:
            singular = kind.kind.lower() if kind.custom else ""
            bare: Object = {"namespaced": kind.namespaced, "kind": kind.kind, "singularName": ""}
            verbs = ["create"] if kind == ACCESS_REVIEWS else OBJECT_VERBS
            entry = {**bare, "name": kind.plural, "singularName": singular, "verbs": verbs}
            if kind.plural in SHORT_NAMES and not kind.custom:
                entry["shortNames"] = SHORT_NAMES[kind.plural]
            resources.append(entry)
            if kind != ACCESS_REVIEWS and (kind.custom or kind in HAS_STATUS):
                resources.append({**bare, "name": f"{kind.plural}/status", "verbs": ["get", "patch", "update"]})
            if kind == PODS:
                resources += [{**bare, "name": f"pods/{name}", "verbs": ["create", "get"]} for name in POD_SUBRESOURCES]
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": resources,
        }
