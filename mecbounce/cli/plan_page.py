"""The page of a plan: the verdict, what would happen, what is out of the ordinary; with -v all that was asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mecbounce.checks import CHECKS, asked_as_before
from mecbounce.cli.layout import SIGNS, Signs, plain
from mecbounce.cli.start import Would
from mecbounce.machine import BEFORE_DELETION, Event
from mecbounce.messages import limit_of, utc
from mecbounce.planning import Plan, Right
from mecbounce.probes import Deadline
from mecbounce.record import BounceRecord


def says_first(would: Would, last: BounceRecord | None) -> str:
    """Say what `run` does with the last bounce. Empty: it begins a new one."""
    if last is None or would is Would.BEGIN:
        return ""
    if would is Would.FOLLOW:
        who = last.runner or "another runner"
        return f"A bounce in {last.state} is driven by {who}: `mecbounce run` follows it and deletes nothing."
    if would is Would.RESUME:
        pinned = f" of incarnation {last.old_pod.uid}" if last.old_pod else ""
        then = "and deletes nothing" if goes_by_record(would, last) else "with these checks first"
        return f"An unfinished bounce{pinned} is recorded, in {last.state}: `mecbounce run` resumes it {then}."
    ended = f"The last bounce ended at {utc(last.entered_at)} by {last.ended_by}"
    if would is Would.TELL:
        return f"{ended}, and nobody was told: `mecbounce run` only tells how it ended."
    return (
        f"{ended}: `mecbounce run` keeps waiting for its replacement and deletes nothing. --again begins a new bounce."
    )


def goes_by_record(would: Would, last: BounceRecord | None) -> bool:
    """True if `run` neither makes the checks nor sends a DELETE: what a new bounce would do is beside the point."""
    resumed_after = would is Would.RESUME and last is not None and last.state not in BEFORE_DELETION
    return resumed_after or would in (Would.FOLLOW, Would.TELL)


def record_page(first: str, title: str, signs: Signs = SIGNS) -> RenderableType:
    """Show what `run` would do where the record alone says it."""
    table = _table()
    table.add_row(Text(signs.good, style="green"), Text(plain(first), style="bold green"))
    table.add_row("", Text(plain(f"{title}; nothing was changed"), style="dim"))
    return table


def plan_json(found: Plan, would: Would, first: str) -> dict[str, Any]:
    """Describe a plan for programs. Each check has the question and the answer of 0.2.0 too, for one version."""
    checks = [
        {**one.model_dump(mode="json"), "question": asked_as_before(one.statement), "answer": not one.holds}
        for one in found.checks
    ]
    resumes = first if would in (Would.RESUME, Would.FOLLOW) else ""
    return {"would": would, "resumes": resumes, **found.model_dump(mode="json"), "checks": checks}


def plan_page(
    found: Plan, title: str, first: str = "", *, verbose: bool = False, signs: Signs = SIGNS
) -> RenderableType:
    """Show a plan. `verbose`: with each check and each right, and its answer."""
    page: list[RenderableType] = [_verdict(found, title, first, signs)]
    if found.goes_on or (verbose and found.writes):
        page += ["", Text("It would", style="bold"), _would(found, verbose)]
    if verbose:
        for heading, table in (("Checks", _checks(found, signs)), ("Rights", _rights(found, signs))):
            if table.row_count:
                page += ["", Text(heading, style="bold"), table]
    asides = _table()
    for sign, style, text in _asides(found, verbose, signs):
        asides.add_row(Text(sign, style=style), Text(plain(text), style="" if sign == signs.good else style))
    if asides.row_count:
        page += ["", asides]
    return Group(*page)


def _verdict(found: Plan, title: str, first: str, signs: Signs) -> Table:
    """Say whether a bounce would proceed; if not, or if it would only wait, why; and of which pod."""
    table, good = _table(), found.goes_on
    verdict = f"A bounce would {'' if good else 'not '}proceed."
    mark, style = (signs.good, "green") if good else (signs.bad, "red")
    table.add_row(Text(mark, style=style), Text(plain(first if first and good else verdict), style=f"bold {style}"))
    if first and not good:
        _row(table, (signs.mind, "yellow"), first)
    if not good or found.event is not Event.CHECKS_PASSED:
        table.add_row("", Text(plain(f"{found.message} {found.advice}")))
    table.add_row("", Text(plain(f"{title}; nothing was changed" if good else title), style="dim"))
    if found.node:
        table.add_row("", Text(plain(f"custom resource: {found.node}"), style="dim"))
    return table


def _would(found: Plan, verbose: bool) -> Table:
    """Say what would be written, in order, and how long would be waited."""
    table = Table.grid(padding=(0, 2))
    for write in found.writes:
        if write.verb != "NONE":
            table.add_row(f"  {write.verb}", Text(plain(f"{write.target}: {write.terms}")))
    waits = [f"{limit_of(limit.seconds)} {until}" for until, limit in _limits(found)]
    if waits and not verbose:
        table.add_row("  wait", f"at most {', '.join(waits)}")
        return table
    for wait, (_, limit) in zip(waits, _limits(found), strict=True):
        table.add_row("  wait", Text(plain(f"at most {wait}: {limit.origin}")))
    return table


def _limits(found: Plan) -> list[tuple[str, Deadline]]:
    limits = (("until it has gone", found.termination), ("until its replacement is back", found.ready))
    return [(until, limit) for until, limit in limits if limit is not None]


def _asides(found: Plan, verbose: bool, signs: Signs) -> Iterator[tuple[str, str, str]]:
    """Give what is out of the ordinary, then in a line each what is in order: a sign, its style and a text."""
    for right in found.rights:
        if right.misses and str(right) not in f"{found.message} {found.advice}":
            yield signs.bad, "red", f"The right to {right} is missing."
    for text in (*(() if verbose else _unusual_answers(found)), *_to_mind(found)):
        yield signs.mind, "yellow", text
    for text in _unneeded(found, verbose):
        yield signs.aside, "dim", text
    for text in _in_order(found, verbose):
        yield signs.good, "green", text


def _unusual_answers(found: Plan) -> Iterator[str]:
    """Say which checks earn a notice, and which rights could not be asked."""
    yield from (finding.notice for finding in found.checks if finding.notice)
    unasked = [right for right in found.rights if right.granted is None]
    if unasked:
        rights = ", ".join(str(right) for right in unasked)
        yield f"Could not be asked ({unasked[0].why}): the right to {rights}."


def _to_mind(found: Plan) -> Iterator[str]:
    """Say what else to mind: deadlines that are too short, notices, a budget, a dry run that could not be asked."""
    for until, limit in _limits(found):
        if limit.short:
            yield f"At most {limit_of(limit.seconds)} {until}: {limit.origin}."
    yield from found.notices
    if found.eviction and found.disruption_budgets != {}:
        yield found.eviction
    if found.dry_run.startswith("not asked"):
        yield f"Dry run of the deletion: {found.dry_run}"


def _unneeded(found: Plan, verbose: bool) -> Iterator[str]:
    """Say what there is nothing to do about."""
    yield from (f"{write.target}: {write.terms}" for write in found.writes if write.verb == "NONE")
    if verbose and found.eviction and found.disruption_budgets == {}:
        yield found.eviction


def _in_order(found: Plan, verbose: bool) -> Iterator[str]:
    """Say what is in order; `verbose` has shown the checks and the rights already."""
    passed = {finding.code for finding in found.checks if finding.holds}
    if passed and not verbose:
        named = ", ".join(check.statement for check in CHECKS if check.brief and check.code in passed)
        yield f"{_count(len(passed), 'check')} passed{': ' if named else ''}{named}"
    granted = sum(right.granted is True for right in found.rights)
    if granted and not verbose:
        yield f"{_count(granted, 'right')} granted"
    if found.dry_run == "accepted":
        yield "dry run of the deletion accepted"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _checks(found: Plan, signs: Signs) -> Table:
    """List every check, those that were not asked too."""
    table, findings = _table(answers=True), {finding.code: finding for finding in found.checks}
    for check in CHECKS if found.checks else ():
        finding = findings.get(check.code)
        if finding is None:
            _row(table, (signs.aside, "dim"), f"{check.statement} (not asked)", "-")
            continue
        bad = (signs.bad, "red") if finding.ends and not found.goes_on else (signs.mind, "yellow")
        _row(
            table,
            (signs.good, "green") if finding.holds else bad,
            check.statement,
            "yes" if finding.holds else "no",
        )
        if finding.notice:
            table.add_row("", "", Text(plain(finding.notice), style="yellow"))
    return table


def _rights(found: Plan, signs: Signs) -> Table:
    """List every right."""
    table = _table(answers=True)

    def answer(right: Right) -> tuple[tuple[str, str], str]:
        if right.granted is None:
            return (signs.mind, "yellow"), "could not be asked"
        if right.granted:
            return (signs.good, "green"), "yes"
        return (signs.bad, "red") if right.misses else (signs.mind, "yellow"), "no"

    for right in found.rights:
        mark, said = answer(right)
        _row(table, mark, f"{right}: {right.why}" if right.why else str(right), said)
    return table


def _table(*, answers: bool = False) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column()
    if answers:
        table.add_column(justify="right")
    table.add_column()
    return table


def _row(table: Table, mark: tuple[str, str], text: str, answer: str = "") -> None:
    sign, style = mark
    answers = [Text(answer, style=style)] if answer else []
    table.add_row(Text(sign, style=style), *answers, Text(plain(text)))
