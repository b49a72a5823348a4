"""The diagrams say what the machine and the checks say, and the committed ones are these."""

from __future__ import annotations

import inspect
import re
import runpy
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import generate
import pytest
from builders import NOW, later, request

from mecbounce import diagram, probes
from mecbounce.advancing import begin
from mecbounce.checks import CHECKS
from mecbounce.machine import TRANSITIONS, Event, State
from mecbounce.record import BounceRecord, Diagnosis, StateEntry
from mecbounce.steps import HANDLERS

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- diagram: begin -->", "<!-- diagram: end -->"
OPERATIONS = "\n".join(
    f"<!-- {name}: begin -->\nstale\n<!-- {name}: end -->" for name in (*generate.TABLES, "other events")
)
README = f"before\n{BEGIN}\nstale\n{END}\nafter\n"


def record(*steps: tuple[State, Event]) -> BounceRecord:
    path = [StateEntry(state=state, at=later(number), event=event) for number, (state, event) in enumerate(steps)]
    first = begin(request(), NOW).model_copy(update={"bounce_id": "b-1"})
    return first.changed(path=(*first.path, *path))


PASSED = (State.DISABLE_PROTECTION, Event.CHECKS_PASSED)
UNUSED = (State.DELETE_POD, Event.PROTECTION_UNUSED)
ACCEPTED = (State.AWAIT_TERMINATION, Event.DELETE_ACCEPTED)
GONE = (State.AWAIT_READY, Event.POD_GONE)
EXPIRED = (State.INIT_CHECKS, Event.INTENT_EXPIRED)
WHOLE = [PASSED, UNUSED, ACCEPTED, GONE]


def bare(drawing: str) -> str:
    """Give a drawing without its HTML, but for line breaks."""
    return re.sub(r"<(?!br/)[^>]*>", "", drawing)


def arrows(drawing: str) -> list[tuple[str, str, str]]:
    """Give each (from, label, to) of a drawing of the machine."""
    return re.findall(r'^    (\w+) -->\|"(.*)"\| (\w+)$', bare(drawing), flags=re.MULTILINE)


def boxes(drawing: str) -> dict[str, list[str]]:
    """Give the lines of each state's box."""
    found = re.findall(r'^ +([A-Z_]+)\(?\["(.*)"\]\)?$', bare(drawing), flags=re.MULTILINE)
    return {state: text.split("<br/>") for state, text in found}


def marks(drawing: str) -> dict[str, str]:
    return dict(re.findall(r"^    class (\w+) (\w+)$", drawing, flags=re.MULTILINE))


def coloured(drawing: str) -> dict[tuple[str, str], str]:
    """Give the colour of each arrow that is not pale, by its ends."""
    ends = [("begin", "INIT_CHECKS"), *((source, dest) for source, _, dest in arrows(drawing))]
    styles = re.findall(r"^    linkStyle (\d+) stroke:(#\w+),color:(#\w+)", drawing, flags=re.MULTILINE)
    assert [number for number, *_ in styles] == [str(number) for number in range(len(ends))]
    return {ends[int(number)]: colour for number, colour, _ in styles if colour != PALE}


GREEN, RED, PALE = "#2e9e4f", "#d1453b", "#999999"


@pytest.mark.parametrize("path", generate.files(ROOT), ids=lambda path: path.name)
def test_what_is_committed_is_what_the_code_draws(path: Path) -> None:
    expected = generate.files(ROOT)[path]
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    assert expected == found, (
        f"{path.relative_to(ROOT)} and the code differ: run `make diagram` and commit what it wrote"
    )


def test_the_readme_shows_the_happy_path_once() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (1, 1, 1) == (readme.count(BEGIN), readme.count(END), readme.count(diagram.happy_path()))


def test_files_are_these() -> None:
    expected = {ROOT / "diagrams" / "bounce.mmd", ROOT / "diagrams" / "init_checks.mmd", ROOT / "README.md"}
    expected.add(ROOT / "docs" / "operations.md")
    expected |= {ROOT / "docs" / "schema" / f"{name}.json" for name in ("request", "record", "result")}
    assert expected == set(generate.files(ROOT))


def test_the_readme_keeps_all_but_its_copy() -> None:
    expected = f"before\n{BEGIN}\n```mermaid\n{diagram.happy_path()}```\n{END}\nafter\n"
    assert expected == generate.in_readme(README)
    assert expected == generate.in_readme(expected)


def test_running_the_module_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "operations.md").write_text(OPERATIONS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(generate.__file__, run_name="__main__")
    written = {path: path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()}
    assert generate.files(tmp_path) == written


class TestBounce:
    DRAWING = diagram.bounce()

    def test_begins_with_its_title(self) -> None:
        assert ["---", "title: One bounce"] == self.DRAWING.splitlines()[:2]
        assert "flowchart TD" in self.DRAWING.splitlines()

    def test_shows_every_row_of_the_table_and_no_other(self) -> None:
        """An arrow shows its rows. One of a group shows what each of its states ends with, and with ✘ what only one."""
        found = set()
        groups = {name: states for name, (_, states) in diagram.GROUPS.items()}
        for source, label, dest in arrows(self.DRAWING):
            for state in groups.get(source, (source,)):
                own = boxes(self.DRAWING)[state][-4:] if label.startswith("✘") else []
                fails = ", ".join(own).partition("✘ ")[2].split(", ") if own else []
                events = [*label.replace("✘", "").split("<br/>"), *fails]
                found |= {(str(state), event, dest) for event in events if event}
        assert {(row.source.value, row.event.value, row.dest.value) for row in TRANSITIONS} == found

    def test_draws_one_arrow_from_a_state_to_another(self) -> None:
        pairs = [(source, dest) for source, _, dest in arrows(self.DRAWING)]
        assert len(set(pairs)) == len(pairs)

    def test_what_each_state_of_a_group_can_end_with_is_one_arrow_of_the_group(self) -> None:
        failures = [(source, label) for source, label, dest in arrows(self.DRAWING) if dest == "FAILED"]
        assert [("before", "✘<br/>cancelled<br/>access_denied<br/>cluster_unreachable"), ("after", "✘")] == failures

    def test_two_groups_show_the_point_of_no_return(self) -> None:
        groups = re.findall(
            r'^    subgraph \w+ \["(.*)"\]\n((?:        .*\n)+)    end$', self.DRAWING, flags=re.MULTILINE
        )
        members = {
            title.replace("&nbsp;", ""): re.findall(r"^ +([A-Z_]+)", body, flags=re.MULTILINE) for title, body in groups
        }
        assert members == {
            "Nothing is deleted yet": ["INIT_CHECKS", "DISABLE_PROTECTION", "DELETE_POD"],
            "Deleted: resume only": ["AWAIT_TERMINATION", "AWAIT_READY"],
        }

    @pytest.mark.parametrize("state", HANDLERS)
    def test_says_of_each_state_what_its_handler_does_and_writes(self, state: State) -> None:
        name, promise, writes, *_ = boxes(self.DRAWING)[state]
        said, _, more = (inspect.getdoc(HANDLERS[state]) or "").partition("\n\n")
        assert (state, said.rstrip(".").replace(";", ",")) == (name, promise)
        assert writes.startswith("Writes ")
        assert more.startswith(writes)

    @pytest.mark.parametrize(
        ("state", "margin", "of"),
        [
            (State.AWAIT_TERMINATION, probes.GRACE_MARGIN, "grace period"),
            (State.AWAIT_READY, probes.BUDGET_MARGIN, "startup budget"),
        ],
    )
    def test_the_deadline_in_a_box_is_the_default(self, state: State, margin: float, of: str) -> None:
        said = f"Deadline: {probes.DEFAULT_TIMEOUT / 60:.0f} min, or its {of} + {margin / 60:.0f} min"
        assert said in boxes(self.DRAWING)[state]

    def test_each_event_links_to_its_row_in_the_documents(self) -> None:
        linked = re.findall(
            r"<a href='\.\./(docs/operations\.md)#([\w-]+)' style='color:inherit'>(\w+)</a>", self.DRAWING
        )
        document = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
        assert {event.value for event in Event} == {event for _, _, event in linked}
        for _, place, event in linked:
            assert f'| <a id="{place}"></a>`{event}` |' in document

    def test_each_state_links_to_its_handler(self) -> None:
        links: dict[str, str] = dict(
            re.findall(r'^    click (\w+) href "\.\./(.*?)" "its handler"$', self.DRAWING, flags=re.MULTILINE)
        )
        assert {*HANDLERS} == {*links}
        for state, link in links.items():
            file, _, text = link.partition("#:~:text=")
            assert f"\n{unquote(text)}(context" in (ROOT / file).read_text(encoding="utf-8"), state

    def test_marks_the_good_end_and_the_bad_one(self) -> None:
        assert {"DONE": "good", "FAILED": "bad"} == marks(self.DRAWING)

    def test_colours_no_arrow(self) -> None:
        assert "linkStyle" not in self.DRAWING

    def test_defines_every_style_that_it_uses(self) -> None:
        for drawing in (self.DRAWING, diagram.bounce(record(*WHOLE))):
            assert set() == set(marks(drawing).values()) - set(re.findall(r"classDef (\w+) ", drawing))

    def test_no_quotation_mark_ends_a_text_early(self) -> None:
        for text in re.findall(r'"(.*)"', self.DRAWING.partition("    click")[0]):
            assert '"' not in text


class TestBounceOfARecord:
    FAILED = record(*WHOLE, (State.FAILED, Event.READY_TIMEOUT))

    @pytest.mark.parametrize(
        ("steps", "expected"),
        [
            ([], {"INIT_CHECKS": "present"}),
            (
                WHOLE[:3],
                {
                    "INIT_CHECKS": "good",
                    "DISABLE_PROTECTION": "good",
                    "DELETE_POD": "good",
                    "AWAIT_TERMINATION": "present",
                },
            ),
            (
                [(State.AWAIT_READY, Event.ALREADY_REPLACED), (State.DONE, Event.POD_READY)],
                {"INIT_CHECKS": "good", "AWAIT_READY": "good", "DONE": "good"},
            ),
            ([(State.FAILED, Event.NODE_DOWN)], {"INIT_CHECKS": "bad", "FAILED": "bad"}),
            ([PASSED, UNUSED, EXPIRED], {"INIT_CHECKS": "present", "DISABLE_PROTECTION": "good", "DELETE_POD": "good"}),
        ],
        ids=["begun", "waiting", "done", "failed", "came back"],
    )
    def test_marks_the_states_that_it_passed_and_the_present_one_and_makes_the_others_pale(
        self, steps: list[tuple[State, Event]], expected: dict[str, str]
    ) -> None:
        pale: dict[str, str] = {state.value: "pale" for state in State}
        assert pale | expected == marks(diagram.bounce(record(*steps)))
        assert expected == marks(diagram.bounce(record(*steps), taken=True))

    def test_colours_the_arrows_that_were_taken_and_makes_the_others_pale(self) -> None:
        way = [("begin", "INIT_CHECKS"), *pairwise(state.value for state in HANDLERS)]
        assert {**dict.fromkeys(way, GREEN), ("after", "FAILED"): RED} == coloured(diagram.bounce(self.FAILED))

    @pytest.mark.parametrize("event", [Event.CANCELLED, Event.NODE_DOWN])
    def test_a_failure_before_the_deletion_takes_the_arrow_of_that_group(self, event: Event) -> None:
        drawing = diagram.bounce(record((State.FAILED, event)))
        assert {("begin", "INIT_CHECKS"): GREEN, ("before", "FAILED"): RED} == coloured(drawing)
        assert [event.value] == re.findall(r"<b><a [^>]*>(\w+)</a></b>", drawing)

    def test_a_way_back_is_one_of_its_arrows(self) -> None:
        assert coloured(diagram.bounce(record(PASSED, UNUSED, EXPIRED)))["DELETE_POD", "INIT_CHECKS"] == GREEN

    def test_a_state_that_was_passed_twice_has_the_time_of_both(self) -> None:
        drawing = diagram.bounce(record(PASSED, UNUSED, EXPIRED, *WHOLE))
        assert ["1.0", "2.0", "2.0", "1.0"] == re.findall(r"<b>passed in ([\d.]+) s</b>", drawing)

    def test_names_the_bounce_and_its_pod(self) -> None:
        assert "title: Bounce b-1 of mec-0" == diagram.bounce(record()).splitlines()[1]

    def test_draws_the_same_machine(self) -> None:
        assert arrows(diagram.bounce()) == arrows(diagram.bounce(record(*WHOLE)))

    def test_tells_how_long_each_state_took_and_since_when_the_present_one_lasts(self) -> None:
        drawing = diagram.bounce(record(*WHOLE[:3]).changed(deadline=later(602)))
        assert ["0.0", "1.0", "1.0"] == re.findall(r"<b>passed in ([\d.]+) s</b>", drawing)
        assert "here since 2026-01-01 12:00:02 UTC, at most 600 s" in boxes(drawing)["AWAIT_TERMINATION"]

    def test_a_failure_is_told_where_it_happened_and_what_it_was(self) -> None:
        why = Diagnosis(code="image_pull", evidence="not found", who="somebody")
        drawing = diagram.bounce(self.FAILED.changed(diagnosis=why))
        assert "failed after 1.0 s" in boxes(drawing)["AWAIT_READY"]
        assert ["FAILED", "image_pull, after 4.0 s"] == boxes(drawing)["FAILED"]

    def test_marks_the_events_that_were_taken_and_no_other(self) -> None:
        expected = {"checks_passed", "protection_unused", "delete_accepted", "pod_gone", "ready_timeout"}
        assert expected == {*re.findall(r"<b><a [^>]*>(\w+)</a></b>", diagram.bounce(self.FAILED))}


class TestTheTakenPathAlone:
    def test_has_its_states_and_events_and_no_other(self) -> None:
        drawing = diagram.bounce(record(PASSED, (State.FAILED, Event.CANCELLED)), taken=True)
        assert ["INIT_CHECKS", "DISABLE_PROTECTION", "FAILED"] == [*boxes(drawing)]
        expected = [("INIT_CHECKS", "checks_passed", "DISABLE_PROTECTION"), ("before", "✘<br/>cancelled", "FAILED")]
        assert expected == arrows(drawing)
        assert "subgraph after" not in drawing

    def test_of_the_events_of_an_arrow_and_of_a_box_only_those_are_left(self) -> None:
        drawing = diagram.bounce(record(*WHOLE, (State.FAILED, Event.READY_TIMEOUT)), taken=True)
        assert ("DISABLE_PROTECTION", "protection_unused", "DELETE_POD") in arrows(drawing)
        assert "✘ ready_timeout" == boxes(drawing)["AWAIT_READY"][-1]
        assert "node_down" not in drawing


class TestTheHappyPath:
    DRAWING = diagram.happy_path()

    def test_has_the_states_in_order_with_one_arrow_each(self) -> None:
        order = [state.value for state in State if state is not State.FAILED]
        assert [*pairwise(order)] == [(source, dest) for source, _, dest in arrows(self.DRAWING)]

    def test_has_the_rows_of_the_table_for_these(self) -> None:
        for source, label, dest in arrows(self.DRAWING):
            events = [row.event for row in TRANSITIONS if (row.source, row.dest) == (source, dest)]
            assert " or<br/>".join(events) == label


class TestChanges:
    """What `mecbounce diagram --check` tells."""

    DRAWING = diagram.bounce()

    def test_none(self) -> None:
        for drawing in diagram.files().values():
            assert [] == diagram.changes(drawing, drawing)

    def test_of_a_drawing_that_only_looks_different(self) -> None:
        assert [] == diagram.changes(self.DRAWING.replace("Writes nothing", "reads only"), self.DRAWING)

    def test_a_row_that_is_new(self) -> None:
        without = re.sub(r"^    DELETE_POD -->.*\| INIT_CHECKS\n", "", self.DRAWING, flags=re.MULTILINE)
        assert without != self.DRAWING
        assert ["+ DELETE_POD --intent_expired--> INIT_CHECKS"] == diagram.changes(without, self.DRAWING)

    def test_a_row_that_is_gone(self) -> None:
        more = self.DRAWING.replace("delete_refused</a>", "delete_refused</a>, <a>delete_doubted</a>")
        assert ["- DELETE_POD --delete_doubted--> FAILED"] == diagram.changes(more, self.DRAWING)

    def test_an_event_of_a_whole_group_is_a_row_for_each_of_its_states(self) -> None:
        before = re.sub(r"<br/><a [^>]*>cancelled</a>", "", self.DRAWING)
        states = ("INIT_CHECKS", "DISABLE_PROTECTION", "DELETE_POD")
        assert [f"+ {state} --cancelled--> FAILED" for state in states] == diagram.changes(before, self.DRAWING)

    def test_of_the_checks_each_line(self) -> None:
        checks = diagram.init_checks()
        before = checks.replace("custom resource exists", "custom resource is there")
        new, gone = diagram.changes(before, checks)
        assert new.startswith('+ node_missing["<b>custom resource exists</b><br/>if not: ')
        assert gone.startswith('- node_missing["<b>custom resource is there</b><br/>if not: ')


class TestInitChecks:
    DRAWING = re.sub(r"</?a[^>]*>", "", diagram.init_checks())
    BOXES = re.findall(r'^    (\w+)\["<b>(.*)</b><br/>if not: (.*)"\]$', DRAWING, flags=re.MULTILINE)

    def test_states_each_check(self) -> None:
        assert [(check.code, check.statement) for check in CHECKS] == [box[:2] for box in self.BOXES]

    def test_leads_straight_from_the_first_check_to_the_last_and_onwards(self) -> None:
        arrows = re.findall(r"^    (\S+) --> (\w+)$", self.DRAWING, flags=re.MULTILINE)
        way = ["start([INIT_CHECKS])", *(check.code for check in CHECKS), "checks_passed"]
        assert [*pairwise(way)] == arrows
        assert '    checks_passed(["checks_passed<br/>DISABLE_PROTECTION"])\n' in self.DRAWING
        assert {"checks_passed": "good"} == marks(self.DRAWING)

    def test_tells_where_a_statement_that_is_not_true_leads(self) -> None:
        leads = {row.event: row.dest for row in TRANSITIONS if row.source is State.INIT_CHECKS}
        told = {code: if_not for code, _, if_not in self.BOXES}
        for check in CHECKS:
            if check.event is None:
                expected = "a notice"
            elif leads[check.event] is not State.FAILED:
                expected = f"{check.event}, go to {leads[check.event]}"
            else:
                expected = f"✘ {check.event}{', with force a notice' if check.forced else ''}"
            assert expected == told[check.code]

    def test_links_each_event_to_its_row_in_the_documents(self) -> None:
        links = re.findall(r"operations.md#event-(\w+)'", diagram.init_checks())
        assert [*(check.event for check in CHECKS if check.event), "checks_passed"] == links
