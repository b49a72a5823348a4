"""How the values of options are read. One that can't be used is a BadParameter: typer adds the name of its option."""

from __future__ import annotations

import re

import typer
from pydantic import ValidationError

from mecbounce.cli.layout import WHOLE_UID
from mecbounce.fields import ONE_WEEK, first_fault
from mecbounce.next_commands import VALUE_LEFT_OUT
from mecbounce.request import NodeRef


def duration(text: str) -> float:
    """Read 90s, 10m, 1h30m, or a bare number of seconds. Gives seconds."""
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text, re.ASCII)
    if not text or match is None:
        raise typer.BadParameter(f"{text!r} is not a duration such as 90s, 10m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if not 0 < total <= ONE_WEEK:
        raise typer.BadParameter(f"{text!r} is not between 0 and a week")
    return total


def node_ref(text: str) -> NodeRef:
    """Read GROUP/VERSION/PLURAL/NAME."""
    match text.split("/"):
        case [group, version, plural, name]:
            try:
                return NodeRef(group=group, version=version, plural=plural, name=name)
            except ValidationError as error:
                field, fault = first_fault(error)
                raise typer.BadParameter(f"{field}: {fault}") from None
    raise typer.BadParameter(f"{text!r} is not of the form GROUP/VERSION/PLURAL/NAME")


def whole_uid(text: str) -> str:
    """Check a pod's UID. A part of one would match no pod, and the pod would be taken for gone."""
    if not re.fullmatch(WHOLE_UID, text):
        raise typer.BadParameter(
            f"{text!r} is not a whole UID; kubectl get pod POD -o jsonpath={{.metadata.uid}} prints it"
        )
    return text


def label_selector(text: str) -> str:
    """Check that a label selector can be sent; whether it is one, the API server tells."""
    if not text.strip():
        raise typer.BadParameter("'' would select every pod")
    if not text.isprintable():  # half a character can't even be sent
        raise typer.BadParameter(f"{text!r} is not a label selector")
    return text


def annotation(text: str) -> str:
    """Check KEY=VALUE. The value may be a secret: no message quotes it."""
    if not re.match(r"([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?=", text):
        raise typer.BadParameter("expected KEY=VALUE, KEY being an annotation's name")
    if text.partition("=")[2] == VALUE_LEFT_OUT:  # a pasted line
        raise typer.BadParameter(f"put the annotation's value in the place of {VALUE_LEFT_OUT}")
    return text
