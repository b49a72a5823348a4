"""What the API server answers to a request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mecbounce.sandbox import errors, patches, pod_subresources
from mecbounce.sandbox.access import Access
from mecbounce.sandbox.answers import TEXT, Answer, Stream, list_of
from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.objects import key_of
from mecbounce.sandbox.pod_subresources import Exec, Proxy
from mecbounce.sandbox.requests import MEDIA_TYPES, Call, DeleteOptions
from mecbounce.sandbox.resources import EVENTS, LEASES, PODS, Key, Object, ResourceType
from mecbounce.sandbox.routes import ACCESS_REVIEWS, POD_SUBRESOURCES, Routes, Target
from mecbounce.sandbox.store import Store
from mecbounce.sandbox.tables import table
from mecbounce.sandbox.watches import WatchStream

OPENAPI_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
ACROSS_NAMESPACES: Final = ("list", "watch")
"""Verbs that need no namespace in the path of a namespaced type."""

CREATED_BY_PUT: Final = (LEASES, EVENTS)
BOOKMARK_EVERY: Final = 60
"""Sandbox seconds between two bookmarks of a watch that allows them."""


class Api:
    """Answers requests from a store. ``speed``: sandbox seconds in one real second.

    ``on_proxy`` and ``on_exec`` answer for the pods; they may change at any time.
    """

    def __init__(self, store: Store, resources: Iterable[ResourceType], speed: float) -> None:
        self.store = store
        self.routes = Routes(resources)
        self.access = Access()
        self.on_proxy: Proxy | None = None
        self.on_exec: Exec | None = None
        self._bookmark_every = BOOKMARK_EVERY / speed

    def answer(self, call: Call) -> Answer | Stream:
        if refused := self.access.refuse_impersonation(call):
            return refused
        target, verb = call.target, call.request.verb
        if target and target.resource.namespaced and not target.namespace and verb not in ACROSS_NAMESPACES:
            if not target.resource.custom and not target.name:
                raise errors.not_allowed()
            target = None  # no object has a path without its namespace
        if target is None:
            return self._answer_about_server(call)
        self.access.authorise(call, target)
        if target.subresource in POD_SUBRESOURCES:
            pod = self.store.get(*target.key)
            return pod_subresources.answer(call, target, pod, self.on_proxy, self.on_exec)
        if not call.accepts_json:
            raise ApiError(406, f"only the following media types are accepted: {MEDIA_TYPES}")
        if verb == "watch":
            return WatchStream(self.store, call, target, self._bookmark_every)
        answer = self._answer_about_resource(call, target)
        if verb in ("get", "list") and call.accepts_table:
            return Answer(answer.status, table(target.resource, answer.body, call.included))
        return answer

    def _answer_about_resource(self, call: Call, target: Target) -> Answer:
        resource, key = target.resource, target.key
        status = 200
        match call.request.verb:
            case "create" if resource == ACCESS_REVIEWS:
                status, obj = 201, self.access.review(call.parse_object(resource), call.request.user)
            case _ if resource == ACCESS_REVIEWS:
                raise errors.not_allowed()
            case "get":
                obj = self.store.get(*key)
            case "list":
                call.since()  # raises if it is no number; every list shows the latest version
                obj = list_of(resource, *self.store.snapshot(resource, target.namespace, call.selector(resource)))
            case "create" if not target.name:
                status, obj = 201, self._create(call, target)
            case "update" if target.name:
                status, obj = self._put(call, target)
            case "patch" if target.name:
                kind, dry_run = call.patch_type(resource), call.dry_run()
                patch = call.parse_json("a patch")
                obj = self.store.update(
                    key, lambda old: patches.apply(kind, old, patch), subresource=target.subresource, dry_run=dry_run
                )
            case "delete" if not target.subresource:
                obj = self._delete(key, call.delete_options(resource))
            case "deletecollection":
                obj = self._delete_all(call, target)
            case _:
                raise errors.not_allowed()
        return Answer(status, obj)

    def _create(self, call: Call, target: Target) -> Object:
        new = call.parse_object_for(target)
        return self.store.create(target.resource, target.namespace, new, dry_run=call.dry_run())

    def _put(self, call: Call, target: Target) -> tuple[int, Object]:
        if target.resource in CREATED_BY_PUT and self.store.find(*target.key) is None:
            return 201, self._create(call, target)
        new, dry_run = call.parse_object_for(target), call.dry_run()
        put = self.store.update(target.key, lambda _: new, subresource=target.subresource, whole=True, dry_run=dry_run)
        return 200, put

    def _delete(self, key: Key, options: DeleteOptions) -> Object:
        obj, gone = self.store.delete(
            key,
            grace=options.grace,
            uid=options.uid,
            version=options.version,
            propagation=options.propagation,
            dry_run=options.dry_run,
            ask_webhooks=True,
        )
        resource, _, name = key
        if resource == PODS or not gone:
            return obj
        details = {"name": name, "kind": resource.plural, "uid": obj["metadata"]["uid"]}
        details |= {"group": resource.group} if resource.group else {}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

    def _delete_all(self, call: Call, target: Target) -> Object:
        resource, options = target.resource, call.delete_options(target.resource)
        items, version = self.store.snapshot(resource, target.namespace, call.selector(resource))
        for item in items:
            self._delete(key_of(resource, item), options)
        return list_of(resource, items, version)

    def _answer_about_server(self, call: Call) -> Answer:
        """Answer a path that names no resource: health, discovery, or a 404."""
        path = call.request.path
        if path in ("/healthz", "/livez", "/readyz"):
            return Answer(200, "ok", "text/plain")
        if path == "/openapi/v2":
            # A specification that describes nothing: with it, kubectl skips its validation.
            if "proto-openapi" in call.headers.get("Accept", ""):
                return Answer(200, b"", OPENAPI_PROTOBUF)
            return Answer(200, {"swagger": "2.0", "info": {"title": "sandbox", "version": "v1.20.2"}, "paths": {}})
        document = self.routes.discover(path)
        if document is not None:
            return Answer(200, document)
        if self.routes.is_built_in(path):
            raise ApiError(404, "the server could not find the requested resource", details={})
        return Answer(404, "404 page not found\n", TEXT)
