"""The page of a plan."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mecbounce.again import Would
from mecbounce.checks import CHECKS
from mecbounce.cli.layout import plain
from mecbounce.messages import utc
from mecbounce.planning import Plan, Right
from mecbounce.record import BounceRecord


def says_first(would: Would, last: BounceRecord | None) -> str:
    """Say what `run` does with the last bounce. Empty: it begins a new one."""
    if last is None or would is Would.BEGIN:
        return ""
    new = "What follows is what a new one would do."
    if would is Would.RESUME:
        pinned = f" of incarnation {last.old_pod.uid}" if last.old_pod else ""
        return f"An unfinished bounce{pinned} is recorded, in {last.state}: `mecbounce run` resumes it. {new}"
    ended = f"The last bounce ended at {utc(last.entered_at)} by {last.ended_by}"
    if would is Would.TELL:
        return f"{ended}, and was not told: `mecbounce run` only tells how it ended. {new}"
    return f"{ended}: `mecbounce run` waits on for its replacement. --again begins a new bounce."


GOOD, MIND, BAD, ASIDE = ("✔", "green"), ("!", "yellow"), ("✘", "red"), ("·", "dim")


def plan_page(found: Plan, title: str, first: str = "") -> RenderableType:
    """Show a plan: its checks, what a bounce would write and how long it may take, its rights, and the verdict."""
    verdict = "A bounce would proceed." if found.goes_on else "A bounce would not proceed."
    page: list[RenderableType] = [Text(plain(f"Plan for {title}; nothing was changed"), style="bold")]
    if first:
        page.append(Text(f"{MIND[0]} {plain(first)}", style=MIND[1]))
    sections = {
        "Checks": _checks(found),
        "What it would write": _writes(found),
        "How long it would wait": _deadlines(found),
        "Rights": _rights(found),
    }
    for heading, table in sections.items():
        if table.row_count:
            page += ["", Text(heading, style="bold"), table]
    if found.notices:
        page += ["", Text("Notices", style="bold")]
        page += [Text(f"{MIND[0]} {plain(notice)}", style=MIND[1]) for notice in found.notices]
    if found.eviction:
        page += ["", Text("Disruption budget", style="bold"), Text(plain(found.eviction))]
    page += ["", Text(verdict, style="bold green" if found.goes_on else "bold red")]
    page.append(Text(plain(f"{found.message} {found.advice}")))
    return Group(*page)


def _checks(found: Plan) -> Table:
    table = Table.grid(padding=(0, 2))
    answers = {answer.code: answer for answer in found.checks}
    for check in CHECKS if found.checks else ():
        answer = answers.get(check.code)
        if answer is None:
            _row(table, ASIDE, "-", f"{check.question} (not asked)")
            continue
        mark = BAD if answer.ends and not found.goes_on else MIND if answer.answer else GOOD
        _row(table, mark, "yes" if answer.answer else "no", check.question)
        if answer.notice:
            table.add_row("", "", Text(plain(answer.notice), style=MIND[1]))
    return table


def _writes(found: Plan) -> Table:
    table = Table.grid(padding=(0, 2))
    for write in found.writes:
        table.add_row(write.verb, Text(plain(f"{write.target}: {write.terms}")))
        if write.verb == "DELETE":
            table.add_row("", Text(plain(f"dry run {found.dry_run}"), style=(BAD if found.refused else GOOD)[1]))
    return table


def _deadlines(found: Plan) -> Table:
    table = Table.grid(padding=(0, 2))
    for what, deadline in (("gone", found.termination), ("ready", found.ready)):
        if deadline is not None:
            mark = MIND if deadline.short else GOOD
            _row(table, mark, f"{what} within {deadline.seconds:,.0f} s", deadline.origin)
    return table


def _rights(found: Plan) -> Table:
    table = Table.grid(padding=(0, 2))

    def mark(right: Right) -> tuple[tuple[str, str], str]:
        if right.granted is None:
            return MIND, "could not be asked"
        return (GOOD, "yes") if right.granted else (BAD if right.misses else MIND, "no")

    for right in found.rights:
        _row(table, *mark(right), f"{right}: {right.why}" if right.why else str(right))
    return table


def _row(table: Table, mark: tuple[str, str], answer: str, text: str) -> None:
    sign, style = mark
    table.add_row(Text(sign, style=style), Text(answer, style=style, justify="right"), Text(plain(text)))
