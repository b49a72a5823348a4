"""The one real `Cluster`: an API server, through the official client.

The client builds URLs, authenticates and pools connections; its models, its retries and its watch are left aside (each
hides a failure that a bounce must see). Every request has a timeout, every answer is read as JSON, and every failure
comes out as a ClusterError.
"""

from __future__ import annotations

import copy
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, unquote, urlencode, urlsplit

import structlog
import urllib3
from kubernetes import client, config
from kubernetes.client import ApiException
from pydantic_core import from_json

from mecbounce.errors import AccessDenied, ConfigError, Conflict, NotFound, Refused, Unreachable
from mecbounce.kubernetes_api import PodWatch
from mecbounce.kubernetes_api.answers import as_cluster_errors, error_of_answer, read_items, read_pod_list, readable
from mecbounce.kubernetes_api.kubeconfig import Access, ActAs, Kubeconfig, access_of
from mecbounce.kubernetes_api.objects import Controller, DisruptionBudget, Host, Owner, Pod, PodEvent
from mecbounce.kubernetes_api.pod_exec import EXEC_PROTOCOL, as_exec_errors, exit_code
from mecbounce.kubernetes_api.transport import ServerClock, Wire
from mecbounce.kubernetes_api.watch import SILENCE, WATCH_SECONDS, KubernetesPodWatch
from mecbounce.quoting import quoted
from mecbounce.request import NodeRef

log = structlog.get_logger("mecbounce.cluster")

REQUEST_TIMEOUT = (3.05, 10.0)  # seconds to connect, and between two bytes
EVENT_TIMEOUT = (1.0, 2.0)  # the same, of a request that holds a bounce up and that nothing hangs on
MOST_CONNECTIONS = 1000  # that are kept for the next request: as many as ever were used at once
_MERGE_PATCH = "application/merge-patch+json"


class KubernetesCluster:
    """A real API server, through the official client.

    Make one with `from_kubeconfig`, `in_cluster` or `from_api_client`; it may be shared between threads.
    """

    def __init__(self, connect: Callable[[], Access]) -> None:
        self._connect = connect
        self._clock = ServerClock()
        self._access = connect()
        self.server = _public(self._access.target.server)
        self._open()

    def _open(self) -> None:
        """Make connections of this process' own: two processes on one would mix their answers up."""
        self._signing = threading.Lock()
        self._connect_pool()
        self._process = os.getpid()  # last: until then another thread makes its own rather than use the parent's

    def _connect_pool(self) -> None:
        api = self._api_client()
        self._core, self._custom = client.CoreV1Api(api), client.CustomObjectsApi(api)

    def _sign_in_anew(self, used: Access) -> None:
        """Look at the credentials anew, unless another thread has done so meanwhile. The target stays what it was."""
        with self._signing:
            if self._access is not used:
                return
            log.info("cluster.credentials_reloaded")
            try:
                found = self._connect()
            except ConfigError as unusable:  # such as a kubeconfig that is being rewritten this moment
                raise Unreachable(str(unusable)) from unusable
            if change := used.target.change(found.target):
                raise Unreachable(change)
            self._access = found
            self._connect_pool()

    def _stay_signed_in(self) -> None:
        if self._process != os.getpid():
            self._open()
        if self._access.expired:
            self._sign_in_anew(self._access)

    def _api_client(self) -> client.ApiClient:
        return _api_client(self._access, self._clock)

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
        """Use a kubeconfig: `path`, else $KUBECONFIG, else ~/.kube/config; `context`, else its current one.

        `as_user`, `as_groups` and `as_uid` say whom to impersonate, each in place of what the kubeconfig says.
        Raises ConfigError where it can't be used.
        """
        act_as = ActAs(as_user or "", tuple(as_groups), as_uid or "")
        kubeconfig = Kubeconfig(path)
        name, _ = kubeconfig.context(context)  # whichever is current later
        return cls(lambda: kubeconfig.reread().access(name, act_as))

    @staticmethod
    def describe_kubeconfig(path: str | Path | None = None, context: str | None = None) -> tuple[str, str]:
        """Tell the context that `from_kubeconfig` would use and its namespace. Raises ConfigError."""
        name, found = Kubeconfig(path).context(context)
        return name, found.namespace or "default"

    @staticmethod
    def contexts(path: str | Path | None = None) -> tuple[str, ...]:
        """Tell the contexts of the kubeconfig that `from_kubeconfig` would use. Raises ConfigError."""
        return Kubeconfig(path).contexts

    @classmethod
    def in_cluster(
        cls, *, as_user: str | None = None, as_groups: Sequence[str] = (), as_uid: str | None = None
    ) -> Self:
        """Use the service account of the pod that this runs in. Raises ConfigError outside of one."""
        act_as = ActAs(as_user or "", tuple(as_groups), as_uid or "")

        def connect() -> Access:
            configuration = client.Configuration()
            try:
                config.load_incluster_config(client_configuration=configuration)
            except config.ConfigException as error:
                raise ConfigError(f"in-cluster credentials can't be used: {quoted(error)}") from error
            return access_of(configuration, act_as.headers("in-cluster credentials"))

        return cls(connect)

    @classmethod
    def from_api_client(cls, api_client: client.ApiClient) -> Self:
        """Use another client's configuration and the headers that it sends, as they are now; it is left as it is."""
        headers = [(name, value) for name, value in api_client.default_headers.items() if name != "User-Agent"]
        headers += [("Cookie", api_client.cookie)] if api_client.cookie else []
        access = access_of(_copied(api_client.configuration), headers)
        return cls(lambda: access)

    @property
    def _way(self) -> str:
        proxy = self._access.proxy
        through = f" through the proxy {proxy.url}" if proxy else ""
        return f"the API server {self.server} can't be reached{through}"

    @property
    def server_time(self) -> datetime | None:
        """The time at the API server, by the `Date` header of its last answer; None before the first."""
        return self._clock.now()

    def node(self, namespace: str, ref: NodeRef) -> Mapping[str, Any]:
        kind = f"{ref.plural}.{ref.group}"
        try:
            return self._object(ref.group, ref.version, namespace, ref.plural, ref.name)
        except NotFound as error:  # in that namespace: a cluster-scoped resource lies in none
            namespaced = self._is_namespaced(ref, error)
        if namespaced is None:
            text = f"The API server does not serve {kind}/{ref.version} (node.group, version, plural)"
            raise NotFound(text, served=False)
        where = f"in namespace {namespace!r} (namespace)"
        if not namespaced:
            where = "in this cluster (it is of no namespace)"
            with suppress(NotFound):
                return self._object(ref.group, ref.version, "", ref.plural, ref.name)
        raise NotFound(f"{kind} {ref.name!r} (node.name) does not exist {where}")

    def _is_namespaced(self, ref: NodeRef, missing: NotFound) -> bool | None:
        """Tell whether resources of a type lie in namespaces; None: there is no such type."""
        try:
            types = self._types(ref.group, ref.version)
        except AccessDenied:  # the 404 tells at least whether its path is served
            return True if missing.served else None
        return next((one["namespaced"] for one in types if one["name"] == ref.plural), None)

    def controller(self, namespace: str, owner: Owner) -> Mapping[str, Any]:
        group, _, version = owner.api_version.rpartition("/")
        plural, namespaced = owner.built_in_plural, True
        if not group and not plural:
            raise Refused(f"{owner.called} is no controller of pods")
        if not plural:  # none of Kubernetes' own: ask how its type is called
            found = next((one for one in self._types(group, version) if one["kind"] == owner.kind), None)
            if found is None:
                raise Refused(f"the API server tells no resource type of {owner.kind} in {owner.api_version}")
            plural, namespaced = found["name"], found["namespaced"]
        try:
            return self._object(group, version, namespace if namespaced else "", plural, owner.name)
        except NotFound as error:
            raise NotFound("it no longer exists") from error

    def _object(self, group: str, version: str, namespace: str, plural: str, name: str) -> Mapping[str, Any]:
        """Read any object; an empty namespace: it is cluster-scoped."""
        found: Mapping[str, Any]
        if not group:
            found = self._json(lambda: self._core.read_namespaced_replication_controller, name, namespace)
        elif namespace:
            found = self._json(
                lambda: self._custom.get_namespaced_custom_object, group, version, namespace, plural, name
            )
        else:
            found = self._json(lambda: self._custom.get_cluster_custom_object, group, version, plural, name)
        return found

    def _types(self, group: str, version: str) -> list[Mapping[str, Any]]:
        """Ask which resource types a group's version has: `name` (plural), `kind`, `namespaced`. None: empty."""
        try:
            found = self._json(lambda: self._custom.get_api_resources, group, version)
        except NotFound:
            return []
        with readable("resource types"):
            types = [{key: one[key] for key in ("name", "kind", "namespaced")} for one in found["resources"]]
            return [one for one in types if "/" not in one["name"]]  # a subresource has its resource's kind

    def replica_sets(self, namespace: str) -> tuple[Controller, ...]:
        path = "apps", "v1", namespace, "replicasets"
        listed = self._json(lambda: self._custom.list_namespaced_custom_object, *path)
        with readable("ReplicaSets"):  # the items of a list lack their own kind
            return tuple(
                Controller.read({"apiVersion": "apps/v1", "kind": "ReplicaSet"} | item) for item in listed["items"]
            )

    def pods(self, namespace: str, name: str | None = None) -> tuple[Pod, ...]:
        return self.list_pods(namespace, name)[0]

    def selected_pods(self, namespace: str, labels: str) -> tuple[Pod, ...]:
        """List the pods that a label selector selects, such as `app=mec`. Raises Refused where it is none."""
        return read_pod_list(self._json(lambda: self._core.list_namespaced_pod, namespace, label_selector=labels))[0]

    def namespaces(self) -> tuple[str, ...]:
        """List the names of all namespaces."""
        listed = self._json(lambda: self._core.list_namespace)
        with readable("namespaces"):
            return tuple(str(item["metadata"]["name"]) for item in listed["items"])

    def list_pods(self, namespace: str, name: str | None) -> tuple[tuple[Pod, ...], str]:
        """List the pods; gives them and the list's resourceVersion, from which a watch goes on."""
        return read_pod_list(self._json(lambda: self._core.list_namespaced_pod, namespace, **_named(name)))

    @contextmanager
    def watch(self, namespace: str) -> Iterator[PodWatch]:
        watch = KubernetesPodWatch(self, namespace)
        try:
            yield watch
        finally:
            watch.close()

    def open_watch(self, namespace: str, name: str | None, resource_version: str) -> Any:
        """Begin to watch pods from a list's resourceVersion; gives urllib3's response, to be read and closed."""
        return self._send(
            lambda: self._core.list_namespaced_pod,
            namespace,
            watch=True,
            resource_version=resource_version,
            timeout_seconds=WATCH_SECONDS,
            allow_watch_bookmarks=True,
            timeout=(REQUEST_TIMEOUT[0], WATCH_SECONDS + SILENCE),
            **_named(name),
        )

    def delete_pod(self, namespace: str, name: str, uid: str, *, dry_run: bool = False) -> None:
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        if dry_run:  # in the body: where there is one, the API server does not read the query's dryRun
            body["dryRun"] = ["All"]
        # A lost or broken answer is not trusted: the next look tells whether it was carried out.
        self._json(lambda: self._core.delete_namespaced_pod, name, namespace, body=body)

    def host(self, name: str) -> Host:
        found = self._json(lambda: self._core.read_node, name)
        with readable("node"):
            return Host.model_validate(found)

    def events(self, namespace: str, uid: str) -> tuple[PodEvent, ...]:
        selector = f"involvedObject.uid={uid}"
        listed = self._json(lambda: self._core.list_namespaced_event, namespace, field_selector=selector)
        return read_items(PodEvent, listed, "events")

    def tell(self, namespace: str, event: Mapping[str, Any]) -> None:
        self._json(lambda: self._core.create_namespaced_event, namespace, dict(event), timeout=EVENT_TIMEOUT)

    def may(self, namespace: str, verb: str, resource: str, *, group: str = "", name: str = "") -> bool:
        asked = {"namespace": namespace, "verb": verb, "group": group, "resource": resource, "name": name}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        create = "authorization.k8s.io", "v1", "selfsubjectaccessreviews", review
        answer = self._json(lambda: self._custom.create_cluster_custom_object, *create)
        with readable("access review"):
            return answer["status"]["allowed"] is True

    def disruption_budgets(self, namespace: str) -> tuple[DisruptionBudget, ...]:
        # As custom objects: the client no longer has the version that a server before 1.21 serves.
        def listed(version: str) -> tuple[DisruptionBudget, ...]:
            path = "policy", version, namespace, "poddisruptionbudgets"
            answer = self._json(lambda: self._custom.list_namespaced_custom_object, *path)
            return read_items(DisruptionBudget, answer, "PodDisruptionBudgets")

        try:
            return listed("v1")
        except NotFound:  # in v1beta1 an empty selector selects nothing, in v1 all
            return tuple(one for one in listed("v1beta1") if one.spec.selector and not one.spec.selector.empty)

    def expect_incarnation(self, pod: Pod) -> None:
        """Look whether `pod` is still the one of its name. Raises Conflict where it is not."""
        if all(found.uid != pod.uid for found in self.pods(pod.metadata.namespace, pod.name)):
            raise Conflict(f"pod {pod.name} ({pod.uid}) has gone")

    def annotate_pod(self, pod: Pod, key: str, value: str) -> None:
        """Set an annotation of that incarnation. Raises Conflict or Refused where another one stands there."""
        body = {"metadata": {"uid": pod.uid, "annotations": {key: value}}}
        self._json(
            lambda: self._core.patch_namespaced_pod,
            pod.name,
            pod.metadata.namespace,
            body,
            _content_type=_MERGE_PATCH,
        )

    def proxy_pod(self, pod: Pod, port: int, path: str, method: str) -> bytes:
        """Send a request to a port of the pod, through the API server; gives the body of the answer.

        `path` may have a query. Raises Refused where it has a step upwards, which would leave the pod.
        """
        self._stay_signed_in()
        place, mark, query = path.partition("?")
        if ".." in unquote(place).split("/"):
            raise Refused(f"the protection's path {place!r} has a step upwards (..), which would leave the pod")
        own = self._api_client()
        wire: Wire = own.rest_client.pool_manager
        to = f"/api/v1/namespaces/{quote(pod.metadata.namespace)}/pods/{quote(pod.name)}:{port}/proxy"
        url = f"{own.configuration.host}{to}/{quote(place.lstrip('/'), safe='/:')}{mark}{query}"
        try:
            with as_cluster_errors(self._way):
                timeout = urllib3.Timeout(connect=REQUEST_TIMEOUT[0], read=REQUEST_TIMEOUT[1])
                answer = wire.request(method, url, headers=dict(_own_headers(own)), timeout=timeout)
                if not 200 <= answer.status < 300:  # noqa: PLR2004 -- HTTP
                    error = ApiException(status=answer.status, reason=answer.reason)
                    error.body, error.headers = answer.data, answer.headers
                    raise error
                return bytes(answer.data)
        finally:
            own.close()

    def exec_pod(self, pod: Pod, command: tuple[str, ...], container: str) -> None:
        """Run a command in a container. Raises Refused where it ends with another status than 0."""
        self._stay_signed_in()
        own = self._api_client()
        asked = [("container", container), ("stdout", "true"), ("stderr", "true")]
        query = urlencode([*(("command", word) for word in command), *asked])
        path = f"/api/v1/namespaces/{quote(pod.metadata.namespace)}/pods/{quote(pod.name)}/exec?{query}"
        headers = _own_headers(own)
        wire: Wire = own.rest_client.pool_manager
        try:
            with (
                as_cluster_errors(self._way),
                as_exec_errors(),
                wire.websocket(f"{own.configuration.host}{path}", headers, EXEC_PROTOCOL, REQUEST_TIMEOUT[1]) as opened,
            ):
                code = exit_code(opened, f"{command[0]} in container {container}", REQUEST_TIMEOUT[1])
        finally:
            own.close()
        if code != 0:
            raise Refused(f"{command[0]} in container {container} ended with status {code}")

    def _json(self, endpoint: Callable[[], Callable[..., Any]], *args: Any, **options: Any) -> Any:
        with as_cluster_errors(self._way):
            raw = self._send(endpoint, *args, **options).data
        try:
            answer = from_json(raw)  # unlike json, it refuses half a character and minds how deep it goes
        except ValueError as error:
            raise Unreachable("the API server's answer was not whole JSON") from error
        if not isinstance(answer, dict):
            raise Unreachable("the API server's answer was not a JSON object")
        return answer

    def _send(
        self,
        endpoint: Callable[[], Callable[..., Any]],
        *args: Any,
        timeout: tuple[float, float] = REQUEST_TIMEOUT,
        **options: Any,
    ) -> Any:
        """Send one request; after a 401 once more, with credentials read anew."""
        raw = {"_preload_content": False, "_request_timeout": timeout}
        with as_cluster_errors(self._way):
            self._stay_signed_in()
            used = self._access
            try:
                return endpoint()(*args, **options, **raw)
            except ApiException as error:
                if error.status != 401 or not isinstance(error_of_answer(error), AccessDenied):  # noqa: PLR2004 -- HTTP
                    raise
                self._sign_in_anew(used)
                return endpoint()(*args, **options, **raw)


def _public(address: str) -> str:
    """Give a URL without what may be a secret in it: user and password, query."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _api_client(access: Access, clock: ServerClock) -> client.ApiClient:
    configuration = _copied(access.configuration)
    configuration.retries = False  # a hidden retry of a DELETE would show a 404 of its own making
    configuration.socket_options = _SOCKET_OPTIONS
    configuration.connection_pool_maxsize = MOST_CONNECTIONS
    configuration.proxy = None  # the wire knows it
    if (renew := configuration.refresh_api_key_hook) is not None:
        configuration.refresh_api_key_hook = lambda own: _renewed(renew, own)
    api = client.ApiClient(configuration)
    api.user_agent = f"mecbounce/{version('mecbounce')}"
    options = api.rest_client.pool_manager.connection_pool_kw | access.options
    api.rest_client.pool_manager = Wire(options, access.proxy, access.headers, clock)
    return api


def _copied(configuration: client.Configuration) -> client.Configuration:
    """Copy it, but for the hook that renews its token: that may be bound to an object which can't be copied."""
    hook = configuration.refresh_api_key_hook
    return copy.deepcopy(configuration, {id(hook): hook})


def _own_headers(api: client.ApiClient) -> list[tuple[str, str]]:
    """Give the headers that the client would send by itself."""
    signed_in = [(each["key"], each["value"]) for each in api.configuration.auth_settings().values()]
    return [*signed_in, *api.default_headers.items()]


def _renewed(renew: Callable[[client.Configuration], None], configuration: client.Configuration) -> None:
    """Let the client read its token anew, and nothing else: the API server stays the one that was checked.

    Raises Unreachable where a credential plugin fails then.
    """
    host = configuration.host
    with _unquoted_plugin() as failures:
        renew(configuration)
    configuration.host = host
    if failures:
        raise Unreachable("the kubeconfig's credential plugin failed; run it to see why")


_SOCKET_OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), seconds)
        for name, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]


def _named(name: str | None) -> dict[str, str]:
    return {"field_selector": f"metadata.name={name}"} if name is not None else {}


@contextmanager
def _unquoted_plugin() -> Iterator[list[logging.LogRecord]]:
    """Keep what a failed credential plugin printed out of the root logger, where the client puts it; gives that."""
    failures: list[logging.LogRecord] = []
    mine = threading.get_ident()  # a filter runs in the thread that logs

    def passes(record: logging.LogRecord) -> bool:
        if record.funcName != "_load_from_exec_plugin" or record.thread != mine:
            return True
        failures.append(record)
        return False

    root, handler = logging.getLogger(), logging.NullHandler()  # without a handler `logging` would set one up
    root.addFilter(passes)
    root.addHandler(handler)
    try:
        yield failures
    finally:
        root.removeHandler(handler)
        root.removeFilter(passes)
