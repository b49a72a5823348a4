"""Lines of text for a terminal: wrapped, labelled, and without what a terminal would obey."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator
from datetime import timedelta

from rich.text import Text

from mecbounce.quoting import printable
from mecbounce.record import BounceRecord, PinnedPod, SeenPod

WHOLE_UID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

SHORT_UID = 8  # characters; unique enough for an eye, `-o json` and the commands have the whole

LABEL = 14  # columns of a page's labels


def incarnations(record: BounceRecord) -> Iterator[PinnedPod | SeenPod]:
    """Give the old pod and the new one, as far as they are known."""
    yield from (one for one in (record.old_pod, record.new_pod) if one is not None)


def plain(text: str) -> str:
    """Make one line of what others say, without what a terminal would obey."""
    return printable(" ".join(text.split()))


def short_uid(uid: str) -> str:
    """Give the beginning of a UID, which is enough for an eye; the commands and `-o json` have the whole."""
    return uid[:SHORT_UID] if re.fullmatch(WHOLE_UID, uid) else uid


def whole_seconds(span: timedelta) -> str:
    """Write a span in whole seconds."""
    return f"{max(0.0, span.total_seconds()):,.0f}"


def wrapped(text: str, width: int | None, first: str = "", style: str = "") -> list[Text]:
    """Wrap after `first`, which the other lines are indented by."""
    if width is None:
        return [Text(first + plain(text), style=style)]
    lines: Iterable[str] = textwrap.wrap(
        plain(text),
        max(width, len(first) + 20),
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [Text(line, style=style) for line in lines]


def labelled(label: str, text: str, width: int | None, column: int) -> list[Text]:
    """Write a text beside its label."""
    return wrapped(text, width, first=f"{label:{column}}" if width else f"{label}: ")


def pasteable(words: list[str], width: int | None) -> list[Text]:
    """Write a command that can be pasted: a line too long is broken before an option, as a shell allows."""
    quoted = [shlex.quote(printable(word)) for word in words]
    lines = [quoted[0]]
    for word, after in zip(quoted[1:], [*quoted[2:], "-"], strict=True):
        pair = f"{word} {after}" if word.startswith("-") and not after.startswith("-") else word
        if width and len(lines[-1]) + len(pair) + 5 > width and word.startswith("-"):
            lines[-1] += " \\"
            lines.append(f"  {word}")
        else:
            lines[-1] += f" {word}"
    return [Text(f"  {line}", style="bold") for line in lines]
