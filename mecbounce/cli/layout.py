"""Lines of text: wrapped, labelled, and without control characters."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from rich.text import Text

from mecbounce.quoting import printable

WHOLE_UID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
LABEL = 14  # columns of a page's labels


@dataclass(frozen=True)
class Signs:
    """The signs that stand before a line, and those of a bar: in Unicode, or in ASCII (`ASCII`)."""

    good: str = "✔"
    bad: str = "✘"
    mind: str = "!"
    here: str = "●"
    aside: str = "·"
    done: str = "━"
    left: str = "─"
    then: str = "→"
    columns: int = 3

    def before(self, sign: str) -> str:
        """Give a sign with the blanks that follow it."""
        return f"{sign:{self.columns}}"


SIGNS = Signs()
ASCII = Signs(good="ok", bad="FAIL", here="*", aside=".", done="=", left="-", then="->", columns=5)
_IN_ASCII = {"→": "->", "…": "...", "×": "x", "✔": "ok", "✘": "FAIL", "·": ".", "●": "*", "━": "=", "─": "-"}  # noqa: RUF001 -- a product


def signs_for(encoding: str) -> Signs:
    """Choose the signs that a stream with this encoding can show."""
    try:
        SIGNS.good.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return ASCII
    return SIGNS


def nearest_in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Write what a stream can't show in ASCII: an error handler for `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_IN_ASCII.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


def plain(text: str) -> str:
    """Make one line of a text, without control characters."""
    return printable(" ".join(text.split()))


def span(seconds: float) -> str:
    """Write a length of time for people: 3 s, 12 min, 5 h, 3 days."""
    for most, unit, name in ((120, 1, "s"), (120 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < most:
            return f"{max(0, int(seconds / unit))} {name}"
    return f"{int(seconds / 86400)} days"


def short_uid(uid: str) -> str:
    """Give the beginning of a UID, for people. The commands and `-o json` have it whole."""
    return uid[:8] if re.fullmatch(WHOLE_UID, uid) else uid


def wrapped(text: str, width: int | None, first: str = "", style: str = "") -> list[Text]:
    """Wrap a text. `first` begins it and indents the lines that follow. `width` None: one line."""
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
    """Write a command that can be pasted: a long line is broken before an option, with a backslash."""
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
