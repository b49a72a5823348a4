"""What a person sees while a bounce runs: whom it is about, and what is waited for."""

from __future__ import annotations

import codecs
import io
import re
from typing import Any

import pytest
from builders import NODE, NOW, STARTUP_PROBE, later, pod, request, stamp
from rich.console import Console

from mecbounce.cli import pages, screen
from mecbounce.cli.layout import ASCII, SIGNS, Signs, nearest_in_ascii, signs_for
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.machine import Event, State
from mecbounce.progress import LastLook, Progress
from mecbounce.record import Notice, Protection, Trouble

from .bounces import EXPIRED, GIVEN, NEW, NEW_UID, OLD, PATH, PIPED, failed, record, shown


def replacement(**fields: Any) -> Pod:
    return pod(uid=NEW_UID, ready=False, container={"startupProbe": STARTUP_PROBE}, **fields)


class TestScreen:
    NOTICED = (
        Notice(code="node_catching_up", message="The node is catching up.", at=later(0.02)),
        Notice(code="images_changed", message="The replacement runs other images.", at=later(40)),
    )

    def test_is_this_at_80_columns(self) -> None:
        waiting = record(*PATH, new_pod=NEW, notices=self.NOTICED)
        started = {"state": {"running": {"startedAt": stamp(40)}}}
        pods = (replacement(container_status=started),)
        assert shown(screen.screen(waiting, later(52.5), 80, where="prod", look=LastLook(pods))) == [
            "mec-0 in default (prod)",
            "node   expressnodes.express.example.com/v1 mec-0",
            "pod    mec-0 aaaaaaaa on host-1 → mec-0 bbbbbbbb on host-2",
            "",
            "✔  INIT_CHECKS           0.0 s",
            "   ! The node is catching up.",
            "✔  DISABLE_PROTECTION    0.2 s",
            "✔  DELETE_POD            0.1 s",
            "✔  AWAIT_TERMINATION    31.5 s",
            "●  AWAIT_READY            21 s  ━─────────────────────────────  of at most 600 s",
            "   ! The replacement runs other images.",
            "   startup probe of app: 12 of at most 30 tries used up, 18 s left of its budget",
        ]

    @pytest.mark.parametrize(("asked", "named"), [(NODE, True), ("auto", True), (None, False)])
    def test_the_custom_resource_is_named_whether_it_was_given_or_found(self, asked: Any, named: bool) -> None:
        known = record(*PATH, request=request(node=asked), found_node=NODE if asked == "auto" else None)
        assert named is (f"node   {NODE}" in shown(screen.screen(known, NOW, 80)))
        assert pages.as_json(known, NOW, GIVEN, alive=False)["node"] == (str(NODE) if named else None)

    @pytest.mark.parametrize(("width", "bar"), [(40, 0), (80, 30), (120, 40), (300, 40)])
    def test_the_bar_takes_the_room_that_there_is(self, width: int, bar: int) -> None:
        row = shown(screen.screen(record(*PATH), later(331.75), width))[-1]
        assert (row.count("━"), row.count("─")) == (bar // 2, bar - bar // 2)
        assert "300 s" in row

    def test_in_ascii_it_is_this(self) -> None:
        failing = failed(Event.READY_TIMEOUT, "image_pull", new_pod=NEW)
        text = screen.screen(failing, later(99), 80, signs=ASCII)
        assert text.plain.isascii()
        lines = shown(text)
        assert "pod    mec-0 aaaaaaaa on host-1 -> mec-0 bbbbbbbb on host-2" in lines
        assert lines[-2].startswith("FAIL AWAIT_READY ")
        assert lines[-3].startswith("ok   AWAIT_TERMINATION ")
        assert lines[-1] == "FAIL FAILED: ready_timeout, image_pull"
        present = shown(screen.screen(record(*PATH), later(331.75), 80, signs=ASCII))[-1]
        assert present.startswith("*    AWAIT_READY ")
        assert present.count("=") == present.count("-")

    def test_at_40_columns_the_limit_stays_on_its_line(self) -> None:
        assert shown(screen.screen(record(*PATH), later(52.75), 40))[-1] == "●  AWAIT_READY            21 s / 600 s"

    @pytest.mark.parametrize("width", [60, 80, 120])
    def test_no_line_is_wider_than_the_terminal(self, width: int) -> None:
        long = Notice(code="x", message="word " * 60, at=later(50))
        pods = (
            replacement(container_status={"state": {"waiting": {"reason": "ImagePullBackOff", "message": "w " * 99}}}),
        )
        waiting = record(*PATH, new_pod=NEW, notices=(long,))
        assert (
            max(line.cell_len for line in screen.screen(waiting, later(60), width, look=LastLook(pods)).split())
            <= width
        )

    def test_a_time_that_is_up_fills_the_bar_and_is_said(self) -> None:
        lines = shown(screen.screen(record(*PATH), later(700), 80))
        assert "━" * 30 in lines[-2]
        assert lines[-1] == "   deadline passed 68 s ago; checking once more"

    def test_states_to_come_are_told_until_the_end(self) -> None:
        assert shown(screen.screen(record(), NOW, 80))[-4:] == [
            f"·  {state}" for state in ("DISABLE_PROTECTION", "DELETE_POD", "AWAIT_TERMINATION", "AWAIT_READY")
        ]
        ended = failed(Event.NODE_DOWN)
        assert shown(screen.screen(ended, later(100), 80))[-2:] == [
            "✘  INIT_CHECKS          99.0 s",
            "✘  FAILED: node_down",
        ]

    def test_a_state_that_led_back_to_the_checks_is_not_marked_as_done(self) -> None:
        ended = record(*PATH[:2], EXPIRED, (State.FAILED, Event.NODE_DOWN, 41))
        assert shown(screen.screen(ended, later(100), 80))[-4:] == [
            "✘  INIT_CHECKS           1.0 s",
            "·  DISABLE_PROTECTION    0.2 s",
            "·  DELETE_POD           39.8 s",
            "✘  FAILED: node_down",
        ]

    def test_what_a_terminal_would_obey_is_taken_out(self) -> None:
        evil = Notice(code="x", message="a \x1b[2J\x07b\nc \u202ed", at=later(50))
        text = screen.screen(record(*PATH, notices=(evil,)), later(60), 80).plain
        assert "a �[2J�b c �d" in text

    @pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
    def test_no_color_is_honoured_and_the_bar_can_still_be_read(
        self, monkeypatch: pytest.MonkeyPatch, no_color: str, coloured: bool
    ) -> None:
        monkeypatch.setenv("NO_COLOR", no_color)
        monkeypatch.setenv("TERM", "xterm-256color")
        console = Console(file=io.StringIO(), force_terminal=True, width=80)
        with console.capture() as printed:
            console.print(screen.screen(record(*PATH), later(331.75), 80))
        assert bool(re.search(r"\x1b\[3[0-9]m", printed.get())) is coloured
        assert "━" * 15 in printed.get()

    def test_what_a_kubeconfig_calls_its_cluster_is_made_plain(self) -> None:
        assert screen.heading(request(), "a\x1b[2J\nb") == "mec-0 in default (a�[2J b)"


class TestTheWayRound:
    """A bounce that was resumed a day late has gone back from DELETE_POD to the checks."""

    ROUND = (*PATH[:2], (State.INIT_CHECKS, Event.INTENT_EXPIRED, 86400.2))
    TOLD = (Notice(code="intent_expired", message="Announced long ago.", at=later(86400.2)),)

    def test_what_is_to_come_once_more_is_not_shown_as_passed(self) -> None:
        lines = shown(screen.screen(record(*self.ROUND, notices=self.TOLD), later(86401.2), 80))
        assert lines[4:] == [
            "●  INIT_CHECKS             1 s",
            "·  DISABLE_PROTECTION",
            "·  DELETE_POD",
            "·  AWAIT_TERMINATION",
            "·  AWAIT_READY",
        ]

    def test_passed_twice_a_state_has_the_time_of_both(self) -> None:
        again = ((state, event, at + 86401) for state, event, at in PATH[:3])
        lines = shown(screen.screen(record(*self.ROUND, *again, notices=self.TOLD), later(86411.25), 80))
        assert lines[4:8] == [
            "✔  INIT_CHECKS           0.8 s",
            "✔  DISABLE_PROTECTION    0.4 s",
            "✔  DELETE_POD        86,400.1 s",
            "   ! Announced long ago.",
        ]

    @pytest.mark.parametrize(
        ("steps", "said"),
        [
            (ROUND, "not known: the DELETE may or may not have been carried out"),
            (
                (*ROUND, (State.DISABLE_PROTECTION, Event.CHECKS_PASSED, 86401)),
                "not known: the DELETE may or may not have been carried out",
            ),
            ((*ROUND, *PATH[:2]), "not known: the DELETE may or may not have been carried out"),
            (
                (*ROUND, (State.FAILED, Event.CLUSTER_UNREACHABLE, 86431)),
                "not known: the DELETE may or may not have been carried out",
            ),
            ((*ROUND, (State.FAILED, Event.CANCELLED, 86401)), "nothing was deleted"),
            (
                (*ROUND, (State.FAILED, Event.NODE_DOWN, 86401)),
                "not known: the DELETE may or may not have been carried out",
            ),
            (
                (*ROUND, *PATH[:2], (State.FAILED, Event.CLUSTER_UNREACHABLE, 86431)),
                "not known: the DELETE may or may not have been carried out",
            ),
            ((*ROUND, *PATH[:3]), "the deletion was accepted; whether the pod has gone is not known"),
            ((*ROUND, *PATH), "the pod was deleted"),
            (
                (*ROUND, (State.AWAIT_READY, Event.ALREADY_REPLACED, 86401)),
                "the pod has gone, by this bounce's DELETE or somebody else's",
            ),
            (
                (*ROUND, (State.AWAIT_TERMINATION, Event.ALREADY_TERMINATING, 86401)),
                "the pod is being deleted, by this bounce's DELETE or somebody else's",
            ),
        ],
    )
    def test_what_was_changed_is_known_of_the_second_time(self, steps: tuple[Any, ...], said: str) -> None:
        went = record(*steps, protection=Protection.DISABLED, old_pod=OLD)
        lines = pages.ending(went, GIVEN, PIPED).plain.splitlines()
        assert f"Changed: {said}; its shutdown protection was switched off" in lines

    def test_a_failure_names_the_state_in_which_it_failed_the_second_time(self) -> None:
        went = record(*self.ROUND, (State.FAILED, Event.NODE_DOWN, 86401), old_pod=OLD)
        lines = shown(screen.screen(went, later(86402), 80))
        assert lines[4] == "✘  INIT_CHECKS           0.8 s"
        assert lines[-2:] == ["·  DELETE_POD        86,400.0 s", "✘  FAILED: node_down"]


class TestProgressLines:
    def test_are_told_of_what_lasts_and_again_after_half_a_minute(self) -> None:
        lines, waiting = screen.ProgressLines(), record(*PATH)
        seen = replacement(container_status={"state": {"running": {"startedAt": stamp(40)}}})
        told = [
            (at, line)
            for at in range(32, 122)
            if (line := lines.line(Progress.of(waiting, LastLook((seen,) if at >= 40 else ()), later(at)), later(at)))
        ]
        assert [at for at, _ in told] == [33, 41, 71, 101]
        assert told[0][1] == "waiting, 1 s of at most 600 s: nothing has recreated the pod yet"

    def test_leave_out_what_passes_at_once(self) -> None:
        lines, waiting, seen = screen.ProgressLines(), record(*PATH), replacement(status={"phase": "Pending"})
        looks = [(32.0, ()), (32.5, (seen,)), (33.2, ()), (33.9, (seen,)), (35.0, (seen,))]
        assert [at for at, pods in looks if lines.line(Progress.of(waiting, LastLook(pods), later(at)), later(at))] == [
            35.0
        ]

    def test_trouble_that_a_notice_has_told_waits_its_half_minute(self) -> None:
        lines = screen.ProgressLines()
        troubled = record(trouble=Trouble(since=NOW, tries=1, what="connection refused"))
        assert [at for at in range(90) if lines.line(Progress.of(troubled, None, later(at)), later(at))] == [30, 60]


@pytest.mark.parametrize(
    ("encoding", "signs"), [("utf-8", SIGNS), ("ascii", ASCII), ("latin-1", ASCII), ("unheard-of", ASCII)]
)
def test_signs_are_those_that_the_terminal_can_show(encoding: str, signs: Signs) -> None:
    assert signs_for(encoding) is signs


def test_what_ascii_lacks_is_written_with_its_signs() -> None:
    codecs.register_error("test-nearest", nearest_in_ascii)
    assert "✔ a → b… 3 × é".encode("ascii", "test-nearest") == b"ok a -> b... 3 x ?"  # noqa: RUF001 -- a product
