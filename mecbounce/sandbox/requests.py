"""What a client asks: how an HTTP request is read and checked."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from mecbounce.sandbox import errors, patches, protobuf
from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.resources import Object, ResourceType
from mecbounce.sandbox.routes import ACCESS_REVIEWS, Routes, Target
from mecbounce.sandbox.selection import Predicate, parse
from mecbounce.sandbox.validation import check_types

if TYPE_CHECKING:
    from email.message import Message

JSON: Final = "application/json"
MEDIA_TYPES: Final = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
DEFAULT_USER: Final = "sandbox"
VERBS: Final = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
OPTIONS: Final = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}
PROPAGATION: Final = ("Foreground", "Background", "Orphan")
EXTRA_HEADER: Final = "impersonate-extra-"


@dataclass(frozen=True)
class Request:
    """One request, as `Sandbox.requests` keeps it.

    ``at``: seconds since the epoch. ``status``: None while it has no answer. ``user``, ``groups``, ``uid`` and
    ``extra``: the user of the token, or the user that the request impersonated.
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
    extra: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ProxyRequest:
    """A request to a pod through the API server's proxy. ``port`` is empty if the path names none."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    port: str


@dataclass(frozen=True)
class DeleteOptions:
    """How to delete. ``grace`` in seconds; ``uid`` and ``version`` are preconditions; None: not given."""

    grace: int | None = None
    uid: str | None = None
    version: str | None = None
    propagation: str | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class Call:
    """One request with its headers and its body.

    ``uri``: path and query as they came. ``token_user``: the user of the token. ``impersonated``: the fields of
    `Request` that the request's Impersonate headers set. ``target``: None if the path names no resource.
    """

    request: Request
    uri: str
    token_user: str
    impersonated: Object
    target: Target | None
    headers: Message
    body: bytes

    @property
    def accepts_json(self) -> bool:
        accept = self.headers.get("Accept", "")
        return not accept or any(kind in accept for kind in (JSON, "application/*", "*/*"))

    @property
    def accepts_table(self) -> bool:
        """Whether the client prefers a table, as `kubectl get` does."""
        return "as=Table" in self.headers.get("Accept", "").partition(",")[0]

    @property
    def included(self) -> str:
        """What each row of a table has of its object: Object, Metadata or None."""
        return self.request.query.get("includeObject") or "Metadata"

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip()

    def since(self) -> int:
        """Return the resourceVersion to start from; 0 if none is given."""
        text = self.request.query.get("resourceVersion", "")
        if text and not text.isdecimal():
            message = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
            raise ApiError(500, message, reason="")
        return int(text or 0)

    def dry_run(self) -> bool:
        asked = list(filter(None, [self.request.query.get("dryRun")]))
        _check_options(OPTIONS[self.request.verb], asked, None)
        return bool(asked)

    def selector(self, resource: ResourceType) -> Predicate:
        query = self.request.query
        return parse(resource, query.get("fieldSelector", ""), query.get("labelSelector", ""))

    def parse_json(self, kind: str) -> Any:
        """Parse the body; ``kind`` is what it should be, for the error."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise errors.unrecognized(kind, str(error)) from error

    def parse_object(self, resource: ResourceType) -> Object:
        """Parse the body as an object; its fields are not checked."""
        if self.content_type == protobuf.MEDIA_TYPE and resource == ACCESS_REVIEWS:
            return protobuf.access_review(self.body)
        if self.content_type not in (JSON, ""):
            raise errors.unknown_format(MEDIA_TYPES)
        obj = self.parse_json(resource.kind)
        if not isinstance(obj, dict):
            raise errors.unrecognized(resource.kind, "not an object")
        return obj

    def parse_object_for(self, target: Target) -> Object:
        """Parse the body as an object; refuse another type, namespace or name than the path says."""
        resource = target.resource
        obj = self.parse_object(resource)
        version, kind, metadata = obj.get("apiVersion"), obj.get("kind"), obj.get("metadata") or {}
        if resource.custom and not kind:
            raise ApiError(400, f"{resource.kind} cannot be handled as a {resource.kind}: Object 'Kind' is missing")
        if wrong := check_types(obj):
            raise ApiError(400, f'{kind} in version "{version}" cannot be handled as a {resource.kind}: {wrong}')
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

    def patch_type(self, resource: ResourceType) -> str:
        known = [patches.JSON_PATCH, patches.MERGE, *([] if resource.custom else [patches.STRATEGIC])]
        if self.content_type in known:
            return self.content_type
        if resource.custom:
            raise errors.unknown_format(", ".join([*known, "application/apply-patch+yaml"]))
        raise ApiError(415, "415: Unsupported Media Type", details={})

    def delete_options(self, resource: ResourceType) -> DeleteOptions:
        """Return the options in the body; only without a body, those in the query."""
        query = self.request.query
        if self.body:
            options = self.parse_object(resource)
        else:
            options = {key: query[key] for key in ("gracePeriodSeconds", "propagationPolicy") if query.get(key)}
            options["dryRun"] = list(filter(None, [query.get("dryRun")]))
        if options.get("kind", "DeleteOptions") != "DeleteOptions":
            raise ApiError(500, f'no kind "{options["kind"]}" is registered', reason="")
        grace, dry_run = options.get("gracePeriodSeconds"), options.get("dryRun") or []
        try:
            seconds = None if grace is None else int(grace)
        except ValueError as error:
            raise ApiError(500, "v1.DeleteOptions.GracePeriodSeconds: unexpected character", reason="") from error
        propagation = options.get("propagationPolicy")
        _check_options("DeleteOptions", dry_run, propagation)
        if (orphan := options.get("orphanDependents")) is not None:  # the old field for the same thing
            propagation = "Orphan" if orphan else "Background"
        wanted = options.get("preconditions") or {}
        return DeleteOptions(
            seconds, wanted.get("uid"), wanted.get("resourceVersion"), propagation or None, dry_run == ["All"]
        )


def read_call(method: str, uri: str, headers: Message, body: bytes, routes: Routes) -> Call:
    """Return the call of an HTTP request that has just come."""
    parts = urlsplit(uri)
    query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
    target = routes.find(parts.path)
    token_user = _user(headers.get("Authorization", ""))
    impersonated = _impersonated(headers)
    identity: Object = {"user": token_user, **impersonated}
    verb, agent = _verb(method, target, query), headers.get("User-Agent", "")
    request = Request(time.time(), verb, method, parts.path, query, agent, status=None, **identity)
    return Call(request, uri, token_user, impersonated, target, headers, body)


def flag(query: dict[str, str], name: str) -> bool:
    return query.get(name) in ("1", "true", "True")


def _verb(method: str, target: Target | None, query: dict[str, str]) -> str:
    verb = VERBS.get(method, method.lower())
    if target is None or target.subresource:
        return verb
    if verb == "get" and not target.name:
        return "watch" if flag(query, "watch") else "list"
    return "deletecollection" if verb == "delete" and not target.name else verb


def _user(authorization: str) -> str:
    """Return the user: the token itself is the name; with a password, the name that is given with it."""
    kind, _, credential = authorization.partition(" ")
    if kind == "Basic":
        return base64.b64decode(credential).decode().partition(":")[0]
    return credential or DEFAULT_USER


def _impersonated(headers: Message) -> Object:
    """Return ``user``, ``groups``, ``uid`` and ``extra``, as far as Impersonate headers give them."""
    given: Object = {}
    if user := headers.get("Impersonate-User"):
        given["user"] = _utf8(user)
    if groups := headers.get_all("Impersonate-Group"):
        given["groups"] = tuple(map(_utf8, groups))
    if uid := headers.get("Impersonate-Uid"):
        given["uid"] = _utf8(uid)
    extra: dict[str, tuple[str, ...]] = {}
    for name, value in headers.items():
        if name.lower().startswith(EXTRA_HEADER):
            key = unquote(name[len(EXTRA_HEADER) :].lower())
            extra[key] = (*extra.get(key, ()), _utf8(value))
    return given | ({"extra": extra} if extra else {})


def _utf8(value: str) -> str:
    return value.encode("latin-1").decode()


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
