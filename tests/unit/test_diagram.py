"""The diagrams say what the machine and the checks say, and the committed ones are these."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import generate
import pytest
from builders import NOW, later, request

from mecbounce import diagram
from mecbounce.checks import CHECKS
from mecbounce.machine import FINAL, TRANSITIONS, Event, State
from mecbounce.record import BounceRecord, Diagnosis, StateEntry
from mecbounce.steps import HANDLERS
from mecbounce.task import begin

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- diagram: begin -->", "<!-- diagram: end -->"
OPERATIONS = "\n".join(f"<!-- {name}: begin -->\nstale\n<!-- {name}: end -->" for name in generate.TABLES)
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


def arrows(drawing: str) -> list[tuple[str, str, str]]:
    """Give each (from, to, label) of a state diagram."""
    return re.findall(r"^    (\S+) --> (\S+)(?: : (.*))?$", drawing, flags=re.MULTILINE)


def marks(drawing: str) -> dict[str, str]:
    return dict(re.findall(r"^    class (\w+) (\w+)$", drawing, flags=re.MULTILINE))


@pytest.mark.parametrize("path", generate.files(ROOT), ids=lambda path: path.name)
def test_what_is_committed_is_what_the_code_draws(path: Path) -> None:
    expected = generate.files(ROOT)[path]
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    assert expected == found, (
        f"{path.relative_to(ROOT)} and the code differ: run `make diagram` and commit what it wrote"
    )


def test_the_readme_shows_one_copy() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (1, 1, 1) == (readme.count(BEGIN), readme.count(END), readme.count(diagram.bounce()))


def test_files_are_these() -> None:
    expected = {ROOT / "diagrams" / "bounce.mmd", ROOT / "diagrams" / "init_checks.mmd", ROOT / "README.md"}
    expected.add(ROOT / "docs" / "operations.md")
    expected |= {ROOT / "docs" / "schema" / f"{name}.json" for name in ("request", "record", "result")}
    assert expected == set(generate.files(ROOT))


def test_the_readme_keeps_all_but_its_copy() -> None:
    expected = f"before\n{BEGIN}\n```mermaid\n{diagram.bounce()}```\n{END}\nafter\n"
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
        assert ["---", "title: One bounce", "---", "stateDiagram-v2"] == self.DRAWING.splitlines()[:4]

    def test_draws_every_row_of_the_table_and_no_other(self) -> None:
        drawn = [
            (source, event, dest)
            for source, dest, label in arrows(self.DRAWING)
            if "[*]" not in (source, dest)
            for event in label.split("<br/>")
        ]
        assert sorted((row.source.value, row.event.value, row.dest.value) for row in TRANSITIONS) == sorted(drawn)

    def test_draws_one_arrow_from_a_state_to_another(self) -> None:
        pairs = [(source, dest) for source, dest, _ in arrows(self.DRAWING)]
        assert len(set(pairs)) == len(pairs)

    def test_has_a_beginning_and_an_end_for_every_final_state(self) -> None:
        outside = [(source, dest) for source, dest, _ in arrows(self.DRAWING) if "[*]" in (source, dest)]
        assert [("[*]", "INIT_CHECKS"), *((state.value, "[*]") for state in FINAL)] == outside

    @pytest.mark.parametrize("state", HANDLERS)
    def test_says_under_each_state_what_its_handler_does(self, state: State) -> None:
        lines = re.findall(rf"^    {state} : (.*)$", self.DRAWING, flags=re.MULTILINE)
        promise = (HANDLERS[state].__doc__ or "").splitlines()[0]
        assert [state.value, promise.rstrip(".").replace(";", ",")] == lines
        assert re.search(r"\w", lines[1])

    def test_says_nothing_that_mermaid_would_take_for_its_own(self) -> None:
        described = re.findall(r"^    \w+ : (.*)$", self.DRAWING, flags=re.MULTILINE)
        assert [] == [text for text in described if set(text) & set(";:#{}")]

    def test_marks_the_good_end_and_the_bad_one(self) -> None:
        assert {"DONE": "good", "FAILED": "bad"} == marks(self.DRAWING)

    def test_defines_every_style_that_it_uses(self) -> None:
        for drawing in (self.DRAWING, diagram.bounce(record(*WHOLE))):
            assert set() == set(marks(drawing).values()) - set(re.findall(r"classDef (\w+) ", drawing))


class TestBounceOfARecord:
    @pytest.mark.parametrize(
        ("steps", "expected"),
        [
            ([], {"INIT_CHECKS": "present"}),
            (
                WHOLE[:3],
                {
                    "INIT_CHECKS": "passed",
                    "DISABLE_PROTECTION": "passed",
                    "DELETE_POD": "passed",
                    "AWAIT_TERMINATION": "present",
                },
            ),
            (
                [(State.AWAIT_READY, Event.ALREADY_REPLACED), (State.DONE, Event.POD_READY)],
                {"INIT_CHECKS": "passed", "AWAIT_READY": "passed", "DONE": "good"},
            ),
            ([(State.FAILED, Event.NODE_DOWN)], {"INIT_CHECKS": "bad", "FAILED": "bad"}),
        ],
        ids=["begun", "waiting", "done", "failed"],
    )
    def test_marks_the_states_that_it_passed_and_the_present_one(
        self, steps: list[tuple[State, Event]], expected: dict[str, str]
    ) -> None:
        assert expected == marks(diagram.bounce(record(*steps)))

    def test_a_state_that_it_came_back_to_is_the_present_one_and_no_more_a_passed_one(self) -> None:
        drawing = diagram.bounce(record(PASSED, UNUSED, EXPIRED))
        assert {"INIT_CHECKS": "present", "DISABLE_PROTECTION": "passed", "DELETE_POD": "passed"} == marks(drawing)
        assert 3 == len(re.findall(r"^    class ", drawing, flags=re.MULTILINE))
        assert "    DELETE_POD --> INIT_CHECKS : <b>✔ intent_expired</b>\n" in drawing
        assert "Pin its identity<br/><b>here since 2026-01-01 12#58;00#58;02 UTC</b>\n" in drawing

    def test_a_state_that_was_passed_twice_has_the_time_of_both(self) -> None:
        drawing = diagram.bounce(record(PASSED, UNUSED, EXPIRED, *WHOLE))
        assert ["1.0", "2.0", "2.0", "1.0"] == re.findall(r"<b>passed in ([\d.]+) s</b>", drawing)

    def test_names_the_bounce_and_its_pod(self) -> None:
        assert "title: Bounce b-1 of mec-0" == diagram.bounce(record()).splitlines()[1]

    def test_draws_the_same_machine(self) -> None:
        drawn = re.sub(r"<b>[✔✘] (\w+)</b>", r"\1", diagram.bounce(record(*WHOLE)))
        assert arrows(diagram.bounce()) == arrows(drawn)

    def test_tells_how_long_each_state_took_and_since_when_the_present_one_lasts(self) -> None:
        waiting = record(*WHOLE[:3]).changed(deadline=later(602))
        drawing = diagram.bounce(waiting)
        assert ["0.0", "1.0", "1.0"] == re.findall(r"<b>passed in ([\d.]+) s</b>", drawing)
        assert "never force<br/><b>here since 2026-01-01 12#58;00#58;02 UTC, at most 600 s</b>\n" in drawing

    def test_a_failure_is_told_where_it_happened_and_what_it_was(self) -> None:
        why = Diagnosis(code="image_pull", evidence="not found", who="somebody")
        drawing = diagram.bounce(record(*WHOLE, (State.FAILED, Event.READY_TIMEOUT)).changed(diagnosis=why))
        assert "has started<br/><b>failed after 1.0 s</b>\n" in drawing
        assert "    FAILED : <b>image_pull, after 4.0 s</b>\n" in drawing

    def test_marks_the_events_that_were_taken_and_no_other(self) -> None:
        drawing = diagram.bounce(record(*WHOLE, (State.FAILED, Event.READY_TIMEOUT)))
        expected = ["checks_passed", "protection_unused", "delete_accepted", "pod_gone"]
        assert expected == re.findall(r"<b>✔ (\w+)</b>", drawing)
        assert ["ready_timeout"] == re.findall(r"<b>✘ (\w+)</b>", drawing)

    def test_says_nothing_of_its_own_that_mermaid_would_take_for_its_own(self) -> None:
        drawing = diagram.bounce(record(*WHOLE[:3]).changed(deadline=later(602))).replace("#58;", "")
        described = re.findall(r"^    \w+ : (.*)$", drawing, flags=re.MULTILINE)
        assert [] == [text for text in described if set(text) & set(";:#{}")]


class TestInitChecks:
    DRAWING = diagram.init_checks()
    ARROWS = re.findall(r'^    (\S+) -- "([^"]*)" --> (\w+)', DRAWING, flags=re.MULTILINE)
    CODES = tuple(check.code for check in CHECKS)

    def test_begins_with_its_title(self) -> None:
        assert ["---", "title: INIT_CHECKS, in order", "---", "flowchart TD"] == self.DRAWING.splitlines()[:4]

    def test_begins_with_the_first_check_and_states_each_in_order(self) -> None:
        assert f"    start([INIT_CHECKS]) --> {self.CODES[0]}\n" in self.DRAWING
        stated = re.findall(r'^    (\w+)\{\{"(.*)"\}\}$', self.DRAWING, flags=re.MULTILINE)
        assert [(check.code, check.statement) for check in CHECKS] == stated

    def test_a_yes_leads_to_the_next_check_and_the_last_one_onwards(self) -> None:
        onwards = [(source, dest) for source, label, dest in self.ARROWS if label.startswith("yes")]
        assert [*zip(self.CODES, (*self.CODES[1:], "checks_passed"), strict=True)] == onwards

    def test_a_no_ends_where_the_machine_leads(self) -> None:
        drawn = re.findall(r'-- "no" --> (\w+)_end\(\["(\w+)<br/>(\w+)"\]\):::(\w+)$', self.DRAWING, flags=re.MULTILINE)
        leads = {row.event: row.dest for row in TRANSITIONS if row.source is State.INIT_CHECKS}
        expected = [
            (check.code, check.event.value, dest.value, "bad" if dest is State.FAILED else "good")
            for check in CHECKS
            if check.event is not None and (dest := leads[check.event])
        ]
        assert expected == drawn

    def test_tells_what_force_goes_past_and_what_only_earns_a_notice(self) -> None:
        forced = [source for source, label, _ in self.ARROWS if label == "yes, or no with force: a notice"]
        assert [check.code for check in CHECKS if check.forced] == forced
        noticed = [source for source, label, _ in self.ARROWS if label == "yes, or no: a notice"]
        assert [check.code for check in CHECKS if check.event is None] == noticed

    def test_every_answer_of_a_check_has_its_words(self) -> None:
        plain = [check for check in CHECKS if check.event is not None and not check.forced]
        for check in plain:
            labels = [label for source, label, _ in self.ARROWS if source == check.code]
            assert ["yes", "no"] == labels

    def test_ends_well_with_all_of_them_passed(self) -> None:
        assert '--> checks_passed(["checks_passed<br/>DISABLE_PROTECTION"])\n' in self.DRAWING
        assert {"checks_passed": "good"} == marks(self.DRAWING)
