"""The part of Protocol Buffers that ``kubectl auth can-i`` needs; newer versions send nothing else.

The field numbers are those of Kubernetes' generated.proto files, which never change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mecbounce.sandbox.errors import ApiError

if TYPE_CHECKING:
    from mecbounce.sandbox.resources import Object

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"

_MAGIC: Final = b"k8s\x00"
_LENGTH_DELIMITED: Final = 2  # wire type: text, bytes or a message
_RAW: Final = 2  # runtime.Unknown.raw
_SPEC: Final = 2  # SelfSubjectAccessReview.spec
_RESOURCE_ATTRIBUTES: Final = 1  # SelfSubjectAccessReviewSpec.resourceAttributes
_ATTRIBUTES: Final = {1: "namespace", 2: "verb", 3: "group", 4: "version", 5: "resource", 6: "subresource", 7: "name"}


def access_review(body: bytes) -> Object:
    """Read a SelfSubjectAccessReview."""
    if not body.startswith(_MAGIC):
        raise ApiError(400, "the object provided is unrecognized: it lacks the protobuf envelope")
    try:
        spec = _fields(_fields(_fields(body[len(_MAGIC) :])[_RAW])[_SPEC])
        asked = _fields(spec.get(_RESOURCE_ATTRIBUTES, b""))
    except (IndexError, KeyError) as error:
        raise ApiError(400, "the object provided is unrecognized: it ends too early") from error
    attributes = {_ATTRIBUTES[number]: text.decode() for number, text in asked.items() if number in _ATTRIBUTES}
    return {"spec": {"resourceAttributes": attributes}}


def _fields(message: bytes) -> dict[int, bytes]:
    """Return a message's length-delimited fields by number; of a repeated field, the last."""
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        value, at = _varint(message, at)
        if key & 7 == _LENGTH_DELIMITED:
            fields[key >> 3] = message[at : at + value]
            at += value
    return fields


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return a number of variable length, and the position after it."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004  # the highest bit means that another byte follows
            return value, at
