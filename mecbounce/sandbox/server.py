"""The API server's HTTP: requests in, objects, watch streams and `Status` refusals out. One thread a connection."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qs, unquote, urlsplit

from mecbounce.sandbox import errors, patches, protobuf, websocket
from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.resources import EVENTS, LEASES, PODS, Object, ResourceType, http_date
from mecbounce.sandbox.routes import ACCESS_REVIEWS, POD_SUBRESOURCES, Routes, Target
from mecbounce.sandbox.selection import Predicate, parse
from mecbounce.sandbox.store import check_types

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message

    from mecbounce.sandbox.store import Change, Key, Store, Watch

VERBS: Final = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
JSON: Final = "application/json"
MEDIA_TYPES: Final = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
OPENAPI_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
DEFAULT_USER: Final = "sandbox"
DELETE_OPTIONS: Final = ("gracePeriodSeconds", "propagationPolicy", "dryRun")
PROPAGATION: Final = ("Foreground", "Background", "Orphan")
OPTIONS: Final = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}
ACROSS_NAMESPACES: Final = ("list", "watch")
"""Verbs that a type with namespaces takes without one."""

MADE_BY_PUT: Final = (LEASES, EVENTS)
"""Types that a PUT also creates."""
POLL: Final = 0.01
"""Seconds in which a stop is noticed by the accepting thread."""

BOOKMARK_EVERY: Final = 60
"""Sandbox seconds between two bookmarks of a watch that allows them, whatever else it tells."""

EXTRA: Final = "impersonate-extra-"

JOIN: Final = 5
"""Seconds that a stop gives each connection's thread."""

Proxy = Callable[[Object, "ProxyRequest"], tuple[int, Any]]
Exec = Callable[[Object, list[str]], tuple[int, str]]


@dataclass(frozen=True)
class Request:
    """One request as it came. ``at`` in seconds since the epoch; ``status`` None: not answered, or not yet.

    ``user`` and what follows are whom it acted as: the token's own user, or the one that it impersonated.
    """

    at: float
    verb: str
    method: str
    path: str
    query: dict[str, str]
    user_agent: str
    status: int | None
    user: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class ProxyRequest:
    """A request to a pod through the API server's proxy; ``port`` is empty where the path named none."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    port: str


@dataclass
class Fault:
    """What is to fail, how often, and how (see `Sandbox.fail_next`)."""

    method: str | None
    path_part: str
    status: int | None
    retry_after: int | None
    count: int
    after: bool


@dataclass(frozen=True)
class Answer:
    """What goes back: an object, or text, or bytes."""

    status: int
    body: Any
    content_type: str = JSON
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else to_json(self.body)


def to_json(obj: object) -> bytes:
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


class Server:
    """Serves a store on a free port of 127.0.0.1. Its public attributes may change at any time.

    ``speed``: sandbox seconds that pass in one real second.
    """

    def __init__(self, store: Store, resources: Iterable[ResourceType], speed: float) -> None:
        self.store = store
        self.bookmark_every = BOOKMARK_EVERY / speed
        self.routes = Routes(resources)
        self.forbidden: set[tuple[str | None, str, str]] = set()
        self.on_proxy: Proxy | None = None
        self.on_exec: Exec | None = None
        self.released = threading.Event()
        self.released.set()
        self.stopping = False
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._faults: list[Fault] = []
        self._streams: set[socket.socket] = set()
        self._http = _HttpServer(self)
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=[POLL], name="sandbox-server", daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def requests(self) -> tuple[Request, ...]:
        with self._lock:
            return tuple(self._requests)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.stopping = True
        self._http.shutdown()
        self._thread.join()
        self.released.set()
        self._http.close_connections()
        self.store.end_watches()
        self._http.join_connections()
        self._http.server_close()

    def hold(self) -> None:
        self.released.clear()

    def release(self) -> None:
        self.released.set()

    def drop_watches(self, *, abruptly: bool) -> None:
        with self._lock:
            streams = list(self._streams) if abruptly else []
        for connection in streams:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.store.end_watches()

    def fail_next(
        self,
        method: str | None,
        path_part: str,
        status: int | None,
        retry_after: int | None,
        count: int,
        *,
        after: bool,
    ) -> None:
        with self._lock:
            self._faults.append(Fault(method, path_part, status, retry_after, count, after))

    def is_forbidden(self, user: str, verb: str, resource: str) -> bool:
        asked = ((u, v, r) for u in (user, None) for v in (verb, "*") for r in (resource, "*"))
        return not self.forbidden.isdisjoint(asked)

    def arrived(self, request: Request) -> int:
        """Note a request and return its number."""
        with self._lock:
            self._requests.append(request)
            return len(self._requests) - 1

    def answered(self, number: int, status: int) -> None:
        with self._lock:
            self._requests[number] = dataclasses.replace(self._requests[number], status=status)

    def take_fault(self, method: str, target: str) -> Fault | None:
        """Return the fault that befalls a request, if any; it is used up by one."""
        with self._lock:
            for fault in self._faults:
                if fault.method in (None, method) and fault.path_part in target:
                    fault.count -= 1
                    if fault.count <= 0:
                        self._faults.remove(fault)
                    return fault
        return None

    @contextlib.contextmanager
    def stream(self, connection: socket.socket) -> Any:
        """Know a connection as an open watch for as long as it is one."""
        with self._lock:
            self._streams.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._streams.discard(connection)


class _HttpServer(ThreadingHTTPServer):
    """Knows its connections, so that a stop ends them all."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, api: Server) -> None:
        self.api = api
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own looks its host name up, which can take seconds without a network.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), name="sandbox-connection", daemon=True
        )
        with self._lock:
            self._connections[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._lock:
            self._connections.pop(request, None)

    def close_connections(self) -> None:
        with self._lock:
            self._leaving = list(self._connections.values())
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def join_connections(self) -> None:
        for thread in self._leaving:
            thread.join(JOIN)


class _Dropped(Exception):
    """No error: how a connection is left without an answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _HttpServer

    def handle(self) -> None:
        with contextlib.suppress(_Dropped, ConnectionError, TimeoutError, ValueError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Say nothing: `Sandbox.requests` tells all."""

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815  # the base class looks for these

    @property
    def api(self) -> Server:
        return self.server.api

    # One request

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        target = self.api.routes.find(parts.path)
        verb = _verb(self.command, target, query)
        signed_in, agent = _user(self.headers.get("Authorization", "")), self.headers.get("User-Agent", "")
        acting = _acting_as(self.headers)
        identity: Object = {"user": signed_in} | acting
        request = Request(time.time(), verb, self.command, parts.path, query, agent, None, **identity)
        self._number = self.api.arrived(request)
        self._wait_while_held()
        fault = self.api.take_fault(self.command, self.path)
        if fault and not fault.after:
            self._fail(fault)
            return
        try:
            answer = self._admit_impersonation(signed_in, acting) or self._answer(request, target, body)
        except ApiError as error:
            answer = _refusal(error)
        except (AttributeError, KeyError, TypeError) as error:
            # What came is JSON and no Kubernetes object: the real server says 500 or 400, and lives on.
            answer = _refusal(ApiError(500, f"the sandbox cannot make sense of this request: {error!r}"))
        if fault:
            self._fail(fault)
        elif answer is not None:
            self._send(answer)

    def _answer(self, request: Request, target: Target | None, body: bytes) -> Answer | None:
        """Return the answer; None where it has been streamed already."""
        if target is None:
            return self._answer_about_itself(request.path)
        if target.resource.namespaced and not target.namespace and request.verb not in ACROSS_NAMESPACES:
            if target.resource.custom or target.name:
                return self._answer_about_itself(request.path)
            raise _not_allowed()
        self._authorise(request, target)
        if target.subresource in POD_SUBRESOURCES:
            return self._pod_answer(request, target, body)
        if not _admits_json(self.headers.get("Accept", "")):
            raise ApiError(406, f"only the following media types are accepted: {MEDIA_TYPES}")
        if request.verb == "watch":
            self._watch(target, request.query)
            return None
        return self._resource_answer(request, target, body)

    def _admit_impersonation(self, signed_in: str, acting: Object) -> Answer | None:
        """Refuse to act as somebody without the right to; each thing that is claimed needs one."""
        claimed: list[tuple[str, str, str]] = []
        if "user" in acting:
            match acting["user"].split(":"):
                case ["system", "serviceaccount", namespace, name]:
                    claimed.append(("serviceaccounts", namespace, name))
                case _:
                    claimed.append(("users", "", acting["user"]))
        claimed += [("groups", "", group) for group in acting.get("groups", ())]
        claimed += [("uids", "", acting["uid"])] if acting.get("uid") else []
        claimed += [(f"userextras/{key}", "", one) for key, values in acting.get("extra", {}).items() for one in values]
        if claimed and "user" not in acting:
            listed = " ".join(f"{resource}:{name}" for resource, _, name in claimed)
            said = f'Internal Server Error: "{self.path}": requested [{listed}] without impersonating a user\n'
            return Answer(500, said, "text/plain; charset=utf-8")
        for plural, namespace, name in claimed:
            if self.api.is_forbidden(signed_in, "impersonate", plural):
                raise errors.may_not_impersonate(plural, name, namespace=namespace, user=signed_in)
        return None

    def _authorise(self, request: Request, target: Target) -> None:
        plural = f"{target.resource.plural}/{target.subresource}" if target.subresource else target.resource.plural
        if target.resource != ACCESS_REVIEWS and self.api.is_forbidden(request.user, request.verb, plural):
            raise errors.forbidden(
                target.resource,
                request.verb,
                name=target.name,
                namespace=target.namespace,
                user=request.user,
                subresource=target.subresource,
            )

    def _resource_answer(self, request: Request, target: Target, body: bytes) -> Answer:
        store, key = self.api.store, _key(target)
        resource, subresource = target.resource, target.subresource
        status = 200
        match request.verb:
            case "create" if resource == ACCESS_REVIEWS:
                status, obj = 201, self._review(self._read(resource, body), request.user)
            case _ if resource == ACCESS_REVIEWS:
                raise _not_allowed()
            case "get":
                obj = store.get(*key)
            case "list":
                _version(request.query.get("resourceVersion", ""))
                items, version = store.selected(resource, target.namespace, _selector(resource, request.query))
                obj = _list(resource, items, version)
            case "create" if not target.name:
                new, status = _check_body(target, self._read(resource, body)), 201
                obj = store.create(resource, target.namespace, new, dry_run=_dry_run(request))
            case "update" if target.name:
                status, obj = self._put(request, target, _check_body(target, self._read(resource, body)))
            case "patch" if target.name:
                kind, dry_run = self._patch_type(resource), _dry_run(request)
                patch = _parse_json(body, "a patch")
                obj = store.update(
                    key, lambda old: patches.apply(kind, old, patch), subresource=subresource, dry_run=dry_run
                )
            case "delete" if not subresource:
                obj = self._delete(key, self._delete_options(resource, request.query, body))
            case "deletecollection":
                obj = self._delete_all(request, target, self._delete_options(resource, request.query, body))
            case _:
                raise _not_allowed()
        return Answer(status, obj)

    def _put(self, request: Request, target: Target, new: Object) -> tuple[int, Object]:
        store, key, dry_run = self.api.store, _key(target), _dry_run(request)
        if target.resource in MADE_BY_PUT and store.find(*key) is None:
            return 201, store.create(target.resource, target.namespace, new, dry_run=dry_run)
        return 200, store.update(key, lambda _: new, subresource=target.subresource, whole=True, dry_run=dry_run)

    def _delete_all(self, request: Request, target: Target, options: Object) -> Object:
        resource = target.resource
        selects = _selector(resource, request.query)
        items, version = self.api.store.selected(resource, target.namespace, selects)
        for item in items:
            self._delete((resource, item["metadata"].get("namespace", ""), item["metadata"]["name"]), options)
        return _list(resource, items, version)

    def _answer_about_itself(self, path: str) -> Answer:
        if path in ("/healthz", "/livez", "/readyz"):
            return Answer(200, "ok", "text/plain")
        if path == "/openapi/v2":
            # Enough to make kubectl skip its validation: a specification that describes nothing.
            if "proto-openapi" in self.headers.get("Accept", ""):
                return Answer(200, b"", OPENAPI_PROTOBUF)
            return Answer(200, {"swagger": "2.0", "info": {"title": "sandbox", "version": "v1.20.2"}, "paths": {}})
        document = self.api.routes.discover(path)
        if document is not None:
            return Answer(200, document)
        if self.api.routes.is_built_in(path):
            raise ApiError(404, "the server could not find the requested resource", details={})
        return Answer(404, "404 page not found\n", "text/plain; charset=utf-8")

    def _read(self, resource: ResourceType, body: bytes) -> Object:
        kind = self.headers.get("Content-Type", JSON).partition(";")[0].strip()
        if kind == protobuf.MEDIA_TYPE and resource == ACCESS_REVIEWS:
            return protobuf.access_review(body)
        if kind not in (JSON, ""):
            raise _unknown_format(MEDIA_TYPES)
        obj = _parse_json(body, resource.kind)
        if not isinstance(obj, dict):
            raise _unrecognized(resource.kind, "not an object")
        return obj

    def _delete_options(self, resource: ResourceType, query: dict[str, str], body: bytes) -> Object:
        """Return the DeleteOptions: the body's, which leave the query no say, or the query's."""
        if body:
            options = self._read(resource, body)
        else:
            options = {field: query[field] for field in DELETE_OPTIONS if query.get(field)}
            options["dryRun"] = [query["dryRun"]] if query.get("dryRun") else []
        if options.get("kind", "DeleteOptions") != "DeleteOptions":
            raise ApiError(500, f'no kind "{options["kind"]}" is registered', reason="")
        grace = options.get("gracePeriodSeconds")
        try:
            options["gracePeriodSeconds"] = None if grace is None else int(grace)
        except ValueError as error:
            raise ApiError(500, "v1.DeleteOptions.GracePeriodSeconds: unexpected character", reason="") from error
        _check_options("DeleteOptions", options.get("dryRun") or [], options.get("propagationPolicy"))
        return options

    def _patch_type(self, resource: ResourceType) -> str:
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip()
        known = [patches.JSON_PATCH, patches.MERGE, *([] if resource.custom else [patches.STRATEGIC])]
        if kind in known:
            return kind
        if resource.custom:
            raise _unknown_format(", ".join([*known, "application/apply-patch+yaml"]))
        raise ApiError(415, "415: Unsupported Media Type", details={})

    def _delete(self, key: Key, options: Object) -> Object:
        preconditions = options.get("preconditions") or {}
        obj, gone = self.api.store.delete(
            key,
            grace=options.get("gracePeriodSeconds"),
            uid=preconditions.get("uid"),
            version=preconditions.get("resourceVersion"),
            propagation=_propagation(options),
            dry_run=options.get("dryRun") == ["All"],
            admit=lambda: self.api.store.admission.delete(key[0]),
        )
        if key[0] == PODS or not gone:
            return obj
        details = {"name": key[2], "kind": key[0].plural, "uid": obj["metadata"]["uid"]}
        details |= {"group": key[0].group} if key[0].group else {}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

    def _review(self, review: Object, user: str) -> Object:
        spec = review.get("spec", {})
        if not {"resourceAttributes", "nonResourceAttributes"} & spec.keys():
            why = "Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified"
            raise errors.invalid(ACCESS_REVIEWS, "", "spec.resourceAttributes", why)
        asked = spec.get("resourceAttributes") or {}
        plural = "/".join(filter(None, (asked.get("resource", "*"), asked.get("subresource", ""))))
        allowed = not self.api.is_forbidden(user, asked.get("verb", "*"), plural)
        status = {"allowed": allowed, **({"reason": "the sandbox allows it"} if allowed else {})}
        reviewed = {"kind": ACCESS_REVIEWS.kind, "apiVersion": ACCESS_REVIEWS.api_version}
        metadata = {"creationTimestamp": None}
        return {**reviewed, "metadata": metadata, "spec": spec, "status": status}

    # Into the pods

    def _pod_answer(self, request: Request, target: Target, body: bytes) -> Answer | None:
        pod = self.api.store.get(*_key(target))
        unbound = not pod["spec"].get("nodeName")
        if unbound and target.subresource != "log":
            raise ApiError(400, f"pod {target.name} does not have a host assigned")
        if target.subresource == "proxy":
            return self._proxy(pod, request, target, body)
        if target.subresource == "exec":
            self._exec(pod)
            return None
        return Answer(204, "", "text/plain") if unbound else Answer(200, f"{target.name} is running\n", "text/plain")

    def _proxy(self, pod: Object, request: Request, target: Target, body: bytes) -> Answer:
        if self.api.on_proxy is None:
            address = f"{pod['status'].get('podIP', '')}:{target.port or '80'}"
            raise ApiError(503, f"error trying to reach service: dial tcp {address}: connect: connection refused")
        headers = dict(self.headers.items())
        asked = ProxyRequest(self.command, "/" + target.rest, request.query, headers, body, target.port)
        status, answer = self.api.on_proxy(pod, asked)
        return Answer(status, answer, "text/plain" if isinstance(answer, str) else JSON)

    def _exec(self, pod: Object) -> None:
        protocol = websocket.choose(self.headers.get("Sec-WebSocket-Protocol", ""))
        key = self.headers.get("Sec-WebSocket-Key")
        if protocol is None or key is None:
            raise ApiError(400, "unable to upgrade: the sandbox speaks WebSocket with v4.channel.k8s.io alone")
        command = parse_qs(urlsplit(self.path).query).get("command", [])
        code, stdout = self.api.on_exec(pod, command) if self.api.on_exec else (0, "")
        self.api.answered(self._number, 101)
        head = {
            "Date": http_date(),
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": websocket.accept_key(key),
            "Sec-WebSocket-Protocol": protocol,
        }
        lines = ["HTTP/1.1 101 Switching Protocols", *(f"{field}: {value}" for field, value in head.items()), "", ""]
        frames = [bytes([websocket.STDOUT]) + stdout.encode()] if stdout else []
        frames.append(bytes([websocket.ERROR]) + json.dumps(websocket.exec_status(code)).encode())
        sent = b"".join(websocket.frame(websocket.BINARY, payload) for payload in frames)
        self.wfile.write("\r\n".join(lines).encode() + sent + websocket.frame(websocket.CLOSE, b"\x03\xe8"))
        while websocket.read_opcode(cast("Any", self.rfile)) != websocket.CLOSE:
            pass
        self.close_connection = True

    # Watches

    def _watch(self, target: Target, query: dict[str, str]) -> None:
        selects = _selector(target.resource, query)
        since = _version(query.get("resourceVersion", ""))
        timeout = float(query.get("timeoutSeconds") or "inf") or float("inf")
        try:
            watch, present = self.api.store.watch(target.resource, target.namespace, selects, since)
        except ApiError as expired:
            self._begin_stream()
            self._chunk({"type": "ERROR", "object": expired.status()})
            self._end_stream()
            return
        try:
            with self.api.stream(self.connection):
                self._begin_stream()
                for obj in present:
                    self._chunk({"type": "ADDED", "object": obj})
                bookmark_every = self.api.bookmark_every if _flag(query, "allowWatchBookmarks") else float("inf")
                self._follow(watch, selects, time.monotonic() + timeout, bookmark_every)
                self._end_stream()
        finally:
            self.api.store.unwatch(watch)

    def _follow(self, watch: Watch, selects: Predicate, until: float, bookmark_every: float) -> None:
        bookmark_due = time.monotonic() + bookmark_every
        while True:
            remaining = min(until, bookmark_due) - time.monotonic()
            try:
                change: Change | None = watch.queue.get(timeout=min(max(remaining, 0), threading.TIMEOUT_MAX))
            except Empty:
                if time.monotonic() >= until:
                    return
                self._wait_while_held()
                if (event := self._bookmark(watch)) is not None or watch.queue.empty():
                    bookmark_due = time.monotonic() + bookmark_every
            else:
                self._wait_while_held()
                if change is None:
                    return
                event = change.event(selects)
            if event is not None:
                self._chunk({"type": event[0], "object": event[1]})

    def _bookmark(self, watch: Watch) -> tuple[str, Object] | None:
        """Return the event that tells how far a watch has come.

        None where a change waits that it has not told, or where it began from a version that is yet to come.
        """
        store, resource = self.api.store, watch.resource
        with store.lock:
            if not watch.queue.empty() or store.changes < watch.since:
                return None
            metadata = {"resourceVersion": str(store.changes)}
        return "BOOKMARK", {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}

    def _begin_stream(self) -> None:
        self.api.answered(self._number, 200)
        self.wfile.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-cache, private\r\n"
            b"Date: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % http_date().encode()
        )

    def _chunk(self, event: Object) -> None:
        data = to_json(event)
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _end_stream(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    # Answers

    def _wait_while_held(self) -> None:
        self.api.released.wait()
        if self.api.stopping:
            raise _Dropped

    def _fail(self, fault: Fault) -> None:
        if fault.status is None:
            raise _Dropped
        answer = _refusal(errors.of_status(fault.status, retry_after=fault.retry_after))
        if fault.retry_after is not None:
            answer.headers["Retry-After"] = str(fault.retry_after)
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        content = answer.content()
        phrase = self.responses.get(cast("Any", answer.status), ("",))[0]
        headers = {"Date": http_date(), "Content-Type": answer.content_type, "Content-Length": str(len(content))}
        headers |= answer.headers
        lines = [
            f"HTTP/1.1 {answer.status} {phrase}",
            *(f"{field}: {value}" for field, value in headers.items()),
            "",
            "",
        ]
        self.api.answered(self._number, answer.status)
        # One write: head and body in one packet.
        self.wfile.write("\r\n".join(lines).encode() + (b"" if self.command == "HEAD" else content))


def _user(authorization: str) -> str:
    """Return whose token it is: its own name; or who signs in with a password."""
    kind, _, credential = authorization.partition(" ")
    if kind == "Basic":
        return base64.b64decode(credential).decode().partition(":")[0]
    return credential or DEFAULT_USER


def _acting_as(headers: Message) -> Object:
    """Return whom a request wants to act as: ``user``, ``groups``, ``uid``, ``extra``, of each what it says."""
    said: Object = {}
    if user := headers.get("Impersonate-User"):
        said["user"] = _utf8(user)
    if groups := headers.get_all("Impersonate-Group"):
        said["groups"] = tuple(map(_utf8, groups))
    if uid := headers.get("Impersonate-Uid"):
        said["uid"] = _utf8(uid)
    extra: dict[str, tuple[str, ...]] = {}
    for name, value in headers.items():
        if name.lower().startswith(EXTRA):
            key = unquote(name[len(EXTRA) :].lower())
            extra[key] = (*extra.get(key, ()), _utf8(value))
    return said | ({"extra": extra} if extra else {})


def _utf8(value: str) -> str:
    return value.encode("latin-1").decode()


def _refusal(error: ApiError) -> Answer:
    return Answer(error.code, error.status())


def _not_allowed() -> ApiError:
    return ApiError(405, "the server does not allow this method on the requested resource", details={})


def _verb(method: str, target: Target | None, query: dict[str, str]) -> str:
    verb = VERBS.get(method, method.lower())
    if target is None or target.subresource:
        return verb
    if verb == "get" and not target.name:
        return "watch" if _flag(query, "watch") else "list"
    return "deletecollection" if verb == "delete" and not target.name else verb


def _flag(query: dict[str, str], name: str) -> bool:
    return query.get(name) in ("1", "true", "True")


def _key(target: Target) -> Key:
    return target.resource, target.namespace, target.name


def _selector(resource: ResourceType, query: dict[str, str]) -> Predicate:
    return parse(resource, query.get("fieldSelector", ""), query.get("labelSelector", ""))


def _version(text: str) -> int:
    if not text:
        return 0
    if not text.isdecimal():
        message = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise ApiError(500, message, reason="")
    return int(text)


def _list(resource: ResourceType, items: list[Object], version: int) -> Object:
    if not resource.custom:
        # The real server leaves these out of the items of its own types.
        items = [{key: value for key, value in item.items() if key not in ("kind", "apiVersion")} for item in items]
    return {
        "kind": f"{resource.kind}List",
        "apiVersion": resource.api_version,
        "metadata": {"resourceVersion": str(version), **({"continue": ""} if resource.custom else {})},
        "items": items,
    }


def _parse_json(body: bytes, kind: str) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise _unrecognized(kind, str(error)) from error


def _unrecognized(kind: str, why: str) -> ApiError:
    message = f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind"
    return ApiError(400, f"{message}; json parse error: {why}")


def _unknown_format(accepted: str) -> ApiError:
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return ApiError(415, message)


def _check_body(target: Target, obj: Object) -> Object:
    """Refuse what is another kind of thing, or belongs elsewhere, than the path says."""
    resource, metadata = target.resource, obj.get("metadata") or {}
    version, kind = obj.get("apiVersion"), obj.get("kind")
    if resource.custom and not kind:
        raise ApiError(400, f"{resource.kind} cannot be handled as a {resource.kind}: Object 'Kind' is missing")
    if field := check_types(obj):
        raise ApiError(400, f'{kind} in version "{version}" cannot be handled as a {resource.kind}: {field}')
    if resource.custom and version != resource.api_version:
        expected = f"does not match the expected API version ({resource.api_version})"
        raise ApiError(400, f"the API version in the data ({version}) {expected}")
    if resource.custom and kind != resource.kind:
        raise errors.invalid(resource, metadata.get("name", ""), "kind", f"Invalid value: must be {resource.kind}")
    if (version or resource.api_version, kind or resource.kind) != (resource.api_version, resource.kind):
        message = f'{kind} in version "{version}" cannot be handled as a {resource.kind}: unknown conversion'
        raise ApiError(400, message)
    if resource.namespaced and metadata.get("namespace", target.namespace) != target.namespace:
        raise ApiError(400, "the namespace of the provided object does not match the namespace sent on the request")
    name = metadata.get("name")
    if target.name and name and name != target.name:
        raise ApiError(400, f"the name of the object ({name}) does not match the name on the URL ({target.name})")
    return obj


def _dry_run(request: Request) -> bool:
    asked = [request.query["dryRun"]] if request.query.get("dryRun") else []
    _check_options(OPTIONS[request.verb], asked, None)
    return bool(asked)


def _check_options(kind: str, dry_run: list[str], propagation: str | None) -> None:
    options = ResourceType("meta.k8s.io", "v1", "", kind, namespaced=False)
    if dry_run not in ([], ["All"]):
        listed = ", ".join(f'"{item}"' for item in dry_run)
        why = f'Unsupported value: []string{{{listed}}}: supported values: "All"'
        raise errors.invalid(options, "", "dryRun", why, cause="FieldValueNotSupported")
    if propagation not in (None, "", *PROPAGATION):
        known = ", ".join(f'"{item}"' for item in (*PROPAGATION, "nil"))
        why = f'Unsupported value: "{propagation}": supported values: {known}'
        raise errors.invalid(options, "", "propagationPolicy", why, cause="FieldValueNotSupported")


def _propagation(options: Object) -> str | None:
    """Return the policy that DeleteOptions ask for, if they do; an old field says it too."""
    if options.get("orphanDependents") is not None:
        return "Orphan" if options["orphanDependents"] else "Background"
    return options.get("propagationPolicy") or None


def _admits_json(accept: str) -> bool:
    return not accept or any(kind in accept for kind in (JSON, "application/*", "*/*"))
