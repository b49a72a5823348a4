"""The one real `Cluster`: an API server, through the official client.

The client builds URLs and authenticates. Its models, its retries and its watch are not used, as each hides failures
that a bounce must see. Every request has a timeout, every answer is read as JSON, and every failure is a ClusterError.
"""

from __future__ import annotations

import os
import socket
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, unquote, urlencode

import urllib3
from kubernetes import client
from kubernetes.client import ApiException
from pydantic_core import from_json

from mecbounce.errors import (
    AccessDenied,
    ClusterError,
    ConfigError,
    Conflict,
    NotFound,
    Refused,
    Unreachable,
    did_you_mean,
)
from mecbounce.kubernetes_api import PodWatch
from mecbounce.kubernetes_api.access import Access, access_in_cluster, access_of
from mecbounce.kubernetes_api.answers import as_cluster_errors, error_of_answer, read_items, read_pod_list, readable
from mecbounce.kubernetes_api.kubeconfig import Kubeconfig
from mecbounce.kubernetes_api.objects import (
    Controller,
    DisruptionBudget,
    Host,
    LabelSelector,
    Owner,
    Pod,
    PodEvent,
    ServedType,
)
from mecbounce.kubernetes_api.pod_exec import EXEC_PROTOCOL, as_exec_errors, exit_code
from mecbounce.kubernetes_api.transport import ServerClock, Wire
from mecbounce.kubernetes_api.watch import SILENCE, WATCH_SECONDS, KubernetesPodWatch
from mecbounce.logs import EventLog
from mecbounce.request import NodeRef

log = EventLog("mecbounce.cluster")

REQUEST_TIMEOUT = (3.05, 10.0)  # seconds to connect, and between two bytes
EVENT_TIMEOUT = (1.0, 2.0)  # the same, for a request that a bounce waits for but does not need
MOST_LISTED = 500  # objects of a list from which an error takes a name
MOST_CONNECTIONS = 1000  # kept for later requests: more than are ever used at once
_MERGE_PATCH = "application/merge-patch+json"


class KubernetesCluster:
    """A real API server, through the official client.

    Make one with `from_kubeconfig`, `in_cluster` or `from_api_client`; threads may share it. `server` is the address of
    the API server, without credentials. `context` is the kubeconfig's context, "in-cluster" or empty, and `namespace`
    the namespace to use where none is given.
    """

    def __init__(self, access: Access, renew: Callable[[], Access]) -> None:
        self._access = access
        self._renew = renew
        self._clock = ServerClock()
        self.server = access.target.server
        self.context = access.context
        self.namespace = access.namespace
        self._open()

    def _open(self) -> None:
        """Open connections of this process' own: on shared ones, two processes would mix up their answers."""
        self._signing = threading.Lock()
        self._connect_pool()
        self._process = os.getpid()  # set last: until then other threads open their own, not the parent's

    def _connect_pool(self) -> None:
        access = self._access
        options = {**access.options, "socket_options": _SOCKET_OPTIONS, "maxsize": MOST_CONNECTIONS}
        agent = "User-Agent", f"mecbounce/{version('mecbounce')}"
        self._wire = Wire(options, access.proxy, lambda: [agent, *access.headers()], self._clock)
        configuration = client.Configuration()
        configuration.host = self.server
        configuration.proxy = None  # the wire uses it
        api = client.ApiClient(configuration)
        api.rest_client.pool_manager = self._wire
        self._core, self._custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
        self._groups = client.ApisApi(api)

    def _sign_in_again(self, used: Access) -> None:
        """Read the credentials again, unless another thread has done so meanwhile. The target must stay the same."""
        with self._signing:
            if self._access is not used:
                return
            log.info("cluster.credentials_reloaded")
            try:
                found = self._renew()
            except ConfigError as unusable:  # for example, a kubeconfig that is just being rewritten
                raise Unreachable(str(unusable)) from unusable
            if change := used.target.change(found.target):
                raise Unreachable(change)
            self._access = found
            self._connect_pool()

    def _stay_signed_in(self) -> None:
        if self._process != os.getpid():
            self._open()
        if self._access.expired:
            self._sign_in_again(self._access)

    @classmethod
    def from_kubeconfig(
        cls,
        path: str | Path | None = None,
        context: str | None = None,
        *,
        as_user: str | None = None,
        as_groups: Sequence[str] = (),
        as_uid: str | None = None,
    ) -> Self:
        """Use a kubeconfig: `path`, else $KUBECONFIG, else ~/.kube/config; `context`, else its current context.

        `as_user`, `as_groups` and `as_uid` say whom to impersonate. Each takes the place of what the kubeconfig says.
        Raises ConfigError where the kubeconfig can't be used.
        """
        act_as = _given(user=as_user, groups=as_groups, uid=as_uid)
        kubeconfig = Kubeconfig(path)
        access = kubeconfig.access(context, act_as)
        # The name of its context counts later, whichever is current then.
        return cls(access, lambda: kubeconfig.reread().access(access.context, act_as))

    @staticmethod
    def describe_kubeconfig(path: str | Path | None = None, context: str | None = None) -> tuple[str, str]:
        """Deprecated: a cluster's own `context` and `namespace` tell the same. Raises ConfigError."""
        text = "KubernetesCluster.describe_kubeconfig goes with the next version: use .context and .namespace"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        name, found = Kubeconfig(path).context(context)
        return name, found.namespace or "default"

    @staticmethod
    def contexts(path: str | Path | None = None) -> tuple[str, ...]:
        """Name the contexts of the kubeconfig that `from_kubeconfig` would use. Raises ConfigError."""
        return Kubeconfig(path).contexts

    @classmethod
    def in_cluster(
        cls, *, as_user: str | None = None, as_groups: Sequence[str] = (), as_uid: str | None = None
    ) -> Self:
        """Use the service account of the pod that this runs in. Raises ConfigError outside of one."""
        act_as = _given(user=as_user, groups=as_groups, uid=as_uid)
        return cls(access_in_cluster(act_as), lambda: access_in_cluster(act_as))

    @classmethod
    def from_api_client(cls, api_client: client.ApiClient) -> Self:
        """Use another client's configuration and headers as they are now. That client is not changed."""
        headers = [(name, value) for name, value in api_client.default_headers.items() if name != "User-Agent"]
        headers += [("Cookie", api_client.cookie)] if api_client.cookie else []
        access = access_of(api_client.configuration, headers)
        return cls(access, lambda: access)

    @property
    def _way(self) -> str:
        proxy = self._access.proxy
        through = f" through the proxy {proxy.url}" if proxy else ""
        return f"the API server {self.server} can't be reached{through}"

    @property
    def server_time(self) -> datetime | None:
        """The time at the API server, by the `Date` header of its last answer; None before the first answer."""
        return self._clock.now()

    def node(self, namespace: str, ref: NodeRef) -> Mapping[str, Any]:
        kind = f"{ref.plural}.{ref.group}"
        try:
            return self._object(ref.group, ref.version, namespace, ref.plural, ref.name)
        except NotFound as error:  # the resource may be cluster-scoped
            namespaced = self._is_namespaced(ref, error)
        if namespaced is None:
            text = f"The API server does not serve {kind}/{ref.version} (node.group, version, plural)"
            raise NotFound(text, served=False, near=self._near_type(ref))
        where = f"in namespace {namespace!r} (namespace)"
        if not namespaced:
            where = "in this cluster (it is cluster-scoped)"
            with suppress(NotFound):
                return self._object(ref.group, ref.version, "", ref.plural, ref.name)
        near = self._near_name(ref, namespace if namespaced else "")
        raise NotFound(f"{kind} {ref.name!r} (node.name) does not exist {where}", near=near)

    def _is_namespaced(self, ref: NodeRef, missing: NotFound) -> bool | None:
        """Tell whether a resource type has namespaces; None if there is no such type."""
        try:
            types = self._types(ref.group, ref.version)
        except AccessDenied:  # the 404 at least tells whether the API server serves the path
            return True if missing.served else None
        return next((served["namespaced"] for served in types if served["name"] == ref.plural), None)

    def type_of(self, owner: Owner) -> ServedType | None:
        group, _, version = owner.api_version.rpartition("/")
        found = (served for served in self._types(group, version) if served["kind"] == owner.kind)
        return next((ServedType(served["name"], served["namespaced"]) for served in found), None)

    def _near_type(self, ref: NodeRef) -> str:
        """Name the resource types that may be meant, as the end of an error: of this group and version, or others."""
        with suppress(ClusterError):
            if types := self._types(ref.group, ref.version):
                return did_you_mean(ref.plural, (served["name"] for served in types))
            found = self._json(self._groups.get_api_versions)
            with readable("API groups"):
                served = [version["groupVersion"] for group in found["groups"] for version in group["versions"]]
            return did_you_mean(f"{ref.group}/{ref.version}", served)
        return ""

    def _near_name(self, ref: NodeRef, namespace: str) -> str:
        """Name the custom resources that may be meant, as the end of an error. An empty namespace: cluster-scoped."""
        where = (ref.group, ref.version, *([namespace] if namespace else []), ref.plural)
        ask = self._custom.list_namespaced_custom_object if namespace else self._custom.list_cluster_custom_object
        with suppress(ClusterError):
            found = self._json(lambda **raw: ask(*where, limit=MOST_LISTED, **raw))
            with readable(ref.plural):
                return did_you_mean(ref.name, (item["metadata"]["name"] for item in found["items"]))
        return ""

    def controller(self, namespace: str, owner: Owner) -> Mapping[str, Any]:
        group, _, version = owner.api_version.rpartition("/")
        plural, namespaced = owner.built_in_plural, True
        if not group and not plural:
            raise Refused(f"{owner.called} is no controller of pods")
        if not plural:  # not one of Kubernetes' own: ask for the plural
            found = self.type_of(owner)
            if found is None:
                raise Refused(f"the API server has no resource type {owner.kind} in {owner.api_version}")
            plural, namespaced = found
        try:
            return self._object(group, version, namespace if namespaced else "", plural, owner.name)
        except NotFound as error:
            raise NotFound("it no longer exists") from error

    def _object(self, group: str, version: str, namespace: str, plural: str, name: str) -> Mapping[str, Any]:
        """Read any object. A cluster-scoped one has an empty namespace."""
        if not group:
            return self._json(lambda **raw: self._core.read_namespaced_replication_controller(name, namespace, **raw))
        if namespace:
            path = group, version, namespace, plural, name
            return self._json(lambda **raw: self._custom.get_namespaced_custom_object(*path, **raw))
        return self._json(lambda **raw: self._custom.get_cluster_custom_object(group, version, plural, name, **raw))

    def _types(self, group: str, version: str) -> list[Mapping[str, Any]]:
        """List the resource types of a group's version, each with `name` (plural), `kind` and `namespaced`."""
        try:
            found = self._json(lambda **raw: self._custom.get_api_resources(group, version, **raw))
        except NotFound:
            return []
        with readable("resource types"):
            types = [{key: served[key] for key in ("name", "kind", "namespaced")} for served in found["resources"]]
            return [served for served in types if "/" not in served["name"]]  # subresources have the same kind

    def replica_sets(self, namespace: str) -> tuple[Controller, ...]:
        path = "apps", "v1", namespace, "replicasets"
        listed = self._json(lambda **raw: self._custom.list_namespaced_custom_object(*path, **raw))
        with readable("ReplicaSets"):  # the items of a list lack their own kind
            return tuple(
                Controller.read({"apiVersion": "apps/v1", "kind": "ReplicaSet"} | item) for item in listed["items"]
            )

    def pods(self, namespace: str, name: str | None = None) -> tuple[Pod, ...]:
        return self.list_pods(namespace, name)[0]

    def selected_pods(self, namespace: str | None, labels: str) -> tuple[Pod, ...]:
        """List the pods that a label selector selects, such as `app=mec`; namespace None: those of all namespaces.

        Raises Refused if the selector is malformed.
        """
        if namespace is None:
            listed = self._json(lambda **raw: self._core.list_pod_for_all_namespaces(label_selector=labels, **raw))
        else:
            listed = self._json(lambda **raw: self._core.list_namespaced_pod(namespace, label_selector=labels, **raw))
        return read_pod_list(listed)[0]

    def namespaces(self) -> tuple[str, ...]:
        """List the names of all namespaces."""
        listed = self._json(lambda **raw: self._core.list_namespace(**raw))  # noqa: PLW0108 -- _core may be replaced
        with readable("namespaces"):
            return tuple(str(item["metadata"]["name"]) for item in listed["items"])

    def has_namespace(self, name: str) -> bool:
        """Tell whether there is a namespace of that name."""
        try:
            self._json(lambda **raw: self._core.read_namespace(name, **raw))
        except NotFound:
            return False
        return True

    def list_pods(self, namespace: str, name: str | None) -> tuple[tuple[Pod, ...], str]:
        """List the pods. Gives them and the list's resourceVersion, from which a watch can start."""
        return read_pod_list(self._json(lambda **raw: self._core.list_namespaced_pod(namespace, **_named(name), **raw)))

    @contextmanager
    def watch(self, namespace: str) -> Iterator[PodWatch]:
        watch = KubernetesPodWatch(partial(self.list_pods, namespace), partial(self.open_watch, namespace))
        try:
            yield watch
        finally:
            watch.close()

    def open_watch(self, namespace: str, name: str | None, resource_version: str) -> Any:
        """Start a watch from a list's resourceVersion. Gives urllib3's response, to be read and closed."""
        asked = _named(name) | {
            "watch": True,
            "resource_version": resource_version,
            "timeout_seconds": WATCH_SECONDS,
            "allow_watch_bookmarks": True,
        }
        timeout = REQUEST_TIMEOUT[0], WATCH_SECONDS + SILENCE
        return self._send(lambda **raw: self._core.list_namespaced_pod(namespace, **asked, **raw), timeout)

    def delete_pod(self, namespace: str, name: str, uid: str, *, dry_run: bool = False) -> None:
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        if dry_run:  # in the body, as the API server ignores the query's dryRun if there is a body
            body["dryRun"] = ["All"]
        # After a lost or broken answer, the next look tells whether the pod was deleted.
        self._json(lambda **raw: self._core.delete_namespaced_pod(name, namespace, body=body, **raw))

    def host(self, name: str) -> Host:
        found = self._json(lambda **raw: self._core.read_node(name, **raw))
        with readable("node"):
            return Host.model_validate(found)

    def events(self, namespace: str, uid: str) -> tuple[PodEvent, ...]:
        selector = f"involvedObject.uid={uid}"
        listed = self._json(lambda **raw: self._core.list_namespaced_event(namespace, field_selector=selector, **raw))
        return read_items(PodEvent, listed, "events")

    def tell(self, namespace: str, event: Mapping[str, Any]) -> None:
        self._json(lambda **raw: self._core.create_namespaced_event(namespace, dict(event), **raw), EVENT_TIMEOUT)

    def may(self, namespace: str, verb: str, resource: str, *, group: str = "", name: str = "") -> bool:
        asked = {"namespace": namespace, "verb": verb, "group": group, "resource": resource, "name": name}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        create = "authorization.k8s.io", "v1", "selfsubjectaccessreviews", review
        answer = self._json(lambda **raw: self._custom.create_cluster_custom_object(*create, **raw))
        with readable("access review"):
            return answer["status"]["allowed"] is True

    def disruption_budgets(self, namespace: str) -> tuple[DisruptionBudget, ...]:
        # As custom objects: the client no longer knows v1beta1, which API servers before 1.21 serve.
        def listed(version: str) -> tuple[DisruptionBudget, ...]:
            path = "policy", version, namespace, "poddisruptionbudgets"
            answer = self._json(lambda **raw: self._custom.list_namespaced_custom_object(*path, **raw))
            return read_items(DisruptionBudget, answer, "PodDisruptionBudgets")

        try:
            return listed("v1")
        except NotFound:  # in v1beta1 an empty selector selects nothing, in v1 all
            return tuple(budget for budget in listed("v1beta1") if budget.selector not in (None, LabelSelector()))

    def expect_incarnation(self, pod: Pod) -> None:
        """Look whether that incarnation of the pod still exists. Raises Conflict if it does not."""
        if all(found.uid != pod.uid for found in self.pods(pod.metadata.namespace, pod.name)):
            raise Conflict(f"pod {pod.name} ({pod.uid}) has gone")

    def annotate_pod(self, pod: Pod, key: str, value: str) -> None:
        """Set an annotation of that incarnation. Raises Conflict or Refused if there is another incarnation."""
        body = {"metadata": {"uid": pod.uid, "annotations": {key: value}}}
        asked = pod.name, pod.metadata.namespace, body
        self._json(lambda **raw: self._core.patch_namespaced_pod(*asked, _content_type=_MERGE_PATCH, **raw))

    def proxy_pod(self, pod: Pod, port: int, path: str, method: str) -> bytes:
        """Send a request to a port of the pod, through the API server. Gives the body of the answer.

        `path` may have a query. Raises Refused if it contains a step `..`: the request would not reach the pod.
        """
        place, mark, query = path.partition("?")
        if ".." in unquote(place).split("/"):
            raise Refused(f"the protection's path {place!r} contains '..', so the request would not reach the pod")
        target = f"{self._url(pod)}:{port}/proxy/{quote(place.lstrip('/'), safe='/:')}{mark}{query}"
        timeout = urllib3.Timeout(connect=REQUEST_TIMEOUT[0], read=REQUEST_TIMEOUT[1])
        self._stay_signed_in()
        with as_cluster_errors(self._way):
            answer = self._wire.request(method, target, timeout=timeout)
            if not 200 <= answer.status < 300:  # noqa: PLR2004 -- HTTP
                error = ApiException(status=answer.status, reason=answer.reason)
                error.body, error.headers = answer.data, answer.headers
                raise error
            return bytes(answer.data)

    def exec_pod(self, pod: Pod, command: tuple[str, ...], container: str) -> None:
        """Run a command in a container. Raises Refused if it ends with a status other than 0."""
        asked = [("container", container), ("stdout", "true"), ("stderr", "true")]
        query = urlencode([*(("command", word) for word in command), *asked])
        what, seconds = f"{command[0]} in container {container}", REQUEST_TIMEOUT[1]
        self._stay_signed_in()
        with (
            as_cluster_errors(self._way),
            as_exec_errors(),
            self._wire.websocket(f"{self._url(pod)}/exec?{query}", EXEC_PROTOCOL, seconds) as opened,
        ):
            code = exit_code(opened, what, seconds)
        if code != 0:
            raise Refused(f"{what} ended with status {code}")

    def _url(self, pod: Pod) -> str:
        return f"{self.server}/api/v1/namespaces/{quote(pod.metadata.namespace)}/pods/{quote(pod.name)}"

    def _json(self, send: Callable[..., Any], timeout: tuple[float, float] | None = None) -> dict[str, Any]:
        try:
            answer = from_json(self._send(send, timeout).data)  # unlike json, limits how deep JSON nests
        except ValueError as error:
            raise Unreachable("the API server's answer was not complete JSON") from error
        if not isinstance(answer, dict):
            raise Unreachable("the API server's answer was not a JSON object")
        return answer

    def _send(self, send: Callable[..., Any], timeout: tuple[float, float] | None = None) -> Any:
        """Send one request. After a 401, send it once more with credentials that were read again.

        `send` calls a method of the client, with the arguments that it gets from here.
        """
        raw = {"_preload_content": False, "_request_timeout": timeout or REQUEST_TIMEOUT}
        with as_cluster_errors(self._way):
            self._stay_signed_in()
            used = self._access
            try:
                return send(**raw)
            except ApiException as error:
                if error.status != 401 or not isinstance(error_of_answer(error), AccessDenied):  # noqa: PLR2004 -- HTTP
                    raise
                self._sign_in_again(used)
                return send(**raw)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value}


_SOCKET_OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), seconds)
        for name, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]


def _named(name: str | None) -> dict[str, Any]:
    return {"field_selector": f"metadata.name={name}"} if name is not None else {}
