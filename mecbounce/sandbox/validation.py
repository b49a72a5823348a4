"""Which writes the API server accepts, and which fields of an object a write may change. Pure functions."""

from __future__ import annotations

import re
from typing import Final

from mecbounce.sandbox import errors
from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.objects import clone, is_terminating
from mecbounce.sandbox.resources import EVENTS, HAS_STATUS, LEASES, PODS, Key, Object, ResourceType

_DNS_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_WORD: Final = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
DNS_NAME: Final = re.compile(rf"(?=.{{1,253}}$){_DNS_LABEL}(\.{_DNS_LABEL})*")
LABEL_VALUE: Final = re.compile(rf"({_WORD})?")
QUALIFIED_NAME: Final = re.compile(rf"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?{_WORD}")
"""Keys of labels and annotations, and finalizers."""

SERVER_OWNED: Final = (
    *("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "generateName"),
)
"""Fields of metadata that no client can change."""


def check_types(obj: Object) -> str:
    """Return the first common field of an object that has the wrong JSON type; empty if none has."""
    parts = {field: obj.get(field) or {} for field in ("metadata", "spec", "status")}
    for field, part in parts.items():
        if not isinstance(part, dict):
            return field
    for field in ("labels", "annotations"):
        texts = parts["metadata"].get(field) or {}
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            return f"metadata.{field}"
    listed = parts["metadata"].get("finalizers") or []
    return "" if isinstance(listed, list) and all(isinstance(text, str) for text in listed) else "metadata.finalizers"


def drop_empty(metadata: Object) -> Object:
    """Return metadata without its empty lists and maps, which the real server leaves out."""
    return {field: value for field, value in metadata.items() if value not in ([], {})}


def check_new(resource: ResourceType, namespace: str, name: str, obj: Object) -> None:
    """Refuse an object that cannot be created as it is."""
    if not name:
        why = "Required value: name or generateName is required"
        raise errors.invalid(resource, "", "metadata.name", why, cause="FieldValueRequired")
    if not DNS_NAME.fullmatch(name):
        why = (
            f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric '
            "characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
            "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        )
        raise errors.invalid(resource, name, "metadata.name", why)
    _check_metadata(resource, name, obj["metadata"])
    if obj["metadata"].get("resourceVersion"):
        raise ApiError(500, "resourceVersion should not be set on objects to be created", reason="")
    involved = obj.get("involvedObject", {}).get("namespace", "")
    if resource == EVENTS and (involved or "default") != namespace:
        why = f'Invalid value: "{involved}": does not match event.namespace'
        raise errors.invalid(resource, name, "involvedObject.namespace", why)
    if resource == PODS and not (obj.get("spec") or {}).get("containers"):
        raise errors.invalid(resource, name, "spec.containers", "Required value", cause="FieldValueRequired")


def check_preconditions(key: Key, old: Object, uid: str | None, version: str | None) -> None:
    """Refuse a DELETE that was meant for another incarnation, or for another version."""
    resource, _, name = key
    found = old["metadata"]
    if uid is not None and uid != found["uid"]:
        then = "deleted and then recreated"
        raise errors.precondition_failed(resource, name, "UID", wanted=uid, found=found["uid"], then=then)
    if version is not None and version != found["resourceVersion"]:
        now = found["resourceVersion"]
        raise errors.precondition_failed(resource, name, "ResourceVersion", wanted=version, found=now, then="modified")


def updated(key: Key, old: Object, new: Object, *, subresource: str, whole: bool) -> Object:
    """Return the object after an update: ``new`` as far as it may change ``old``. Refuse what is not allowed.

    ``whole``: the update is a PUT, which needs more fields than a patch.
    """
    resource, _, name = key
    if field := check_types(new):
        raise errors.invalid(resource, name, field, "Invalid value: it is of another type")
    held, metadata = old["metadata"], new.get("metadata") or {}
    _check_identity(key, held, metadata, whole=whole)
    if subresource == "status" and resource.custom:
        return {**old, "metadata": dict(held), "status": clone(new.get("status") or {})}
    _check_finalizers(resource, name, old, metadata)
    _check_metadata(resource, name, metadata)
    given = {field: value for field, value in metadata.items() if field not in SERVER_OWNED}
    kept = (*SERVER_OWNED, "name", "namespace", "resourceVersion")
    metadata = drop_empty(given | {field: held[field] for field in kept if field in held})
    if subresource == "status":  # of a built-in type: it takes metadata too
        return {**old, "metadata": metadata, "status": clone(new.get("status") or {})}
    new = {**new, "apiVersion": old["apiVersion"], "kind": old["kind"], "metadata": metadata}
    if resource.custom or resource in HAS_STATUS:
        new.pop("status", None)
        new |= {"status": old["status"]} if "status" in old else {}
    if resource == PODS:
        _check_pod_spec(name, old, new)
    if "generation" in held and _without_status(new) != _without_status(old):
        metadata["generation"] += 1
    return new


def _check_identity(key: Key, held: Object, metadata: Object, *, whole: bool) -> None:
    """Refuse a write that was meant for another object, or for another version of this one."""
    resource, namespace, name = key
    given = metadata.get("name", name)
    if given != name:
        raise ApiError(400, f"the name of the object ({given}) does not match the name on the URL ({name})")
    given = metadata.get("namespace") or namespace
    if given != namespace:
        message = f"the namespace of the object ({given}) does not match the namespace on the request ({namespace})"
        raise ApiError(400, message)
    if whole and (resource.custom or resource == LEASES) and not metadata.get("resourceVersion"):
        raise errors.no_version(resource, name)
    if (metadata.get("resourceVersion") or held["resourceVersion"]) != held["resourceVersion"]:
        raise errors.modified(resource, name)
    uid = metadata.get("uid", held["uid"])
    if uid != held["uid"]:
        if whole:
            path = "/".join(filter(None, ("/registry", resource.group, resource.plural, namespace, name)))
            raise errors.conflict(
                resource,
                name,
                f"StorageError: invalid object, Code: 4, Key: {path}, ResourceVersion: 0, AdditionalErrorMsg: "
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {held['uid']}",
            )
        raise errors.invalid(resource, name, "metadata.uid", f'Invalid value: "{uid}": field is immutable')


def _check_metadata(resource: ResourceType, name: str, metadata: Object) -> None:
    """Refuse a label, an annotation's key or a finalizer that is badly written."""
    labels = metadata.get("labels") or {}
    for field, pattern, texts in (
        ("labels", QUALIFIED_NAME, labels),
        ("labels", LABEL_VALUE, labels.values()),
        ("annotations", QUALIFIED_NAME, metadata.get("annotations") or {}),
        ("finalizers", QUALIFIED_NAME, metadata.get("finalizers") or []),
    ):
        for text in texts:
            if not pattern.fullmatch(text):
                why = f'Invalid value: "{text}": a valid one is matched by {pattern.pattern}'
                raise errors.invalid(resource, name, f"metadata.{field}", why)


def _check_finalizers(resource: ResourceType, name: str, old: Object, metadata: Object) -> None:
    added = set(metadata.get("finalizers") or []) - set(old["metadata"].get("finalizers") or [])
    if added and is_terminating(old):
        listed = ", ".join(f'"{finalizer}"' for finalizer in sorted(added))
        why = (
            "Forbidden: no new finalizers can be added if the object is being deleted, "
            f"found new finalizers []string{{{listed}}}"
        )
        raise errors.invalid(resource, name, "metadata.finalizers", why, cause="FieldValueForbidden")


def _check_pod_spec(name: str, old: Object, new: Object) -> None:
    """Refuse a change of a pod's spec, but for its images, its deadline, its tolerations and gates that go."""

    def gates(pod: Object) -> set[str]:
        return {gate["name"] for gate in pod.get("spec", {}).get("schedulingGates") or []}

    def fixed(pod: Object) -> Object:
        spec: Object = {**pod.get("spec", {})}
        for field in ("activeDeadlineSeconds", "tolerations"):
            spec.pop(field, None)
        if not (gates(new) - gates(old)):
            spec.pop("schedulingGates", None)
        for field in ("containers", "initContainers"):
            spec[field] = [{**container, "image": ""} for container in spec.get(field) or []]
        return spec

    if fixed(old) != fixed(new):
        why = (
            "Forbidden: pod updates may not change fields other than `spec.containers[*].image`, "
            "`spec.initContainers[*].image`, `spec.activeDeadlineSeconds` or `spec.tolerations` "
            "(only additions to existing tolerations)"
        )
        raise errors.invalid(PODS, name, "spec", why, cause="FieldValueForbidden")


def _without_status(obj: Object) -> Object:
    return {field: value for field, value in obj.items() if field not in ("metadata", "status")}
