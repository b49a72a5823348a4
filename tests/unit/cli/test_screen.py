"""What a person sees: whom it is about, what is waited for, what changed, and what to run next."""

from __future__ import annotations

import io
import json
import re
import shlex
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from builders import NODE, NOW, STARTUP_PROBE, later, pod, request, stamp
from rich.console import Console
from rich.text import Text
from typer.main import get_command

from mecbounce.cli import next_commands as following
from mecbounce.cli import pages, screen
from mecbounce.cli.commands import app
from mecbounce.cli.next_commands import Given
from mecbounce.codes import DiagnosisCode
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.machine import TRANSITIONS, Event, State
from mecbounce.record import BounceRecord, Diagnosis, Notice, PinnedPod, Protection, SeenPod, StateEntry, Trouble
from mecbounce.request import BounceRequest
from mecbounce.task import begin

OLD_UID, NEW_UID = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
OLD = PinnedPod.of(pod(uid=OLD_UID, container={"startupProbe": STARTUP_PROBE}), [])
NEW = SeenPod(name="mec-0", uid=NEW_UID, images={"app": "app:2"}, host="host-2")
PATH = (
    (State.DISABLE_PROTECTION, Event.CHECKS_PASSED, 0.02),
    (State.DELETE_POD, Event.PROTECTION_DISABLED, 0.2),
    (State.AWAIT_TERMINATION, Event.DELETE_ACCEPTED, 0.25),
    (State.AWAIT_READY, Event.POD_GONE, 31.75),
)
EXPIRED = (State.INIT_CHECKS, Event.INTENT_EXPIRED, 40.0)
DONE = (State.DONE, Event.POD_STARTED, 91.75)
REQUEST = request(
    cluster_type="k8s_gitops", force=True, ready_when="started", timeouts={"termination": 90.5, "ready": 700}
)
GIVEN = Given(kubeconfig="/etc/my kube", context="prod", protection="example.com/p=off", state="r.json", no_events=True)
PIPED = None


def record(*steps: tuple[State, Event, float], **fields: Any) -> BounceRecord:
    first = begin(fields.pop("request", request()), NOW).model_copy(update={"bounce_id": "b-1"})
    path = (*first.path, *(StateEntry(state=state, at=later(at), event=event) for state, event, at in steps))
    known = {"old_pod": OLD} if len(path) > 1 else {}
    waits = path[-1].state in (State.AWAIT_TERMINATION, State.AWAIT_READY)
    deadline = {"deadline": later(steps[-1][2] + 600)} if waits else {}
    return BounceRecord.model_validate(
        first.model_copy(update={"path": path, **known, **deadline, **fields}).model_dump()
    )


def failed(event: Event, code: str = "", **fields: Any) -> BounceRecord:
    """Give a bounce that ended with `event`, in the last of its states that allows it."""
    states = [State.INIT_CHECKS, *(step[0] for step in PATH)]
    allowed = [number for number, state in enumerate(states) if (state, event, State.FAILED) in TRANSITIONS]
    why = Diagnosis(code=code, evidence="what was seen", who="somebody", standing=()) if code else None
    steps = PATH[: allowed[-1]]
    return record(*steps, (State.FAILED, event, 99), **{"diagnosis": why, "old_pod": OLD} | fields)


def replacement(**fields: Any) -> Pod:
    return pod(uid=NEW_UID, ready=False, container={"startupProbe": STARTUP_PROBE}, **fields)


def shown(text: Text) -> list[str]:
    return [line.rstrip() for line in text.plain.splitlines()]


def commands(of: BounceRecord, given: Given = Given()) -> list[str]:  # noqa: B008 -- frozen
    return [shlex.join(words) for _, words in following.next_commands(of, given)]


class TestScreen:
    NOTICED = (
        Notice(code="node_catching_up", message="The node is catching up.", at=later(0.02)),
        Notice(code="images_changed", message="The replacement runs other images.", at=later(40)),
    )

    def test_is_this_at_80_columns(self) -> None:
        waiting = record(*PATH, new_pod=NEW, notices=self.NOTICED)
        started = {"state": {"running": {"startedAt": stamp(40)}}}
        pods = (replacement(container_status=started),)
        assert shown(screen.screen(waiting, later(52.5), 80, where="prod", look=screen.LastLook(pods))) == [
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

    @pytest.mark.parametrize(("width", "bar"), [(40, 0), (80, 30), (120, 40), (300, 40)])
    def test_the_bar_takes_the_room_that_there_is(self, width: int, bar: int) -> None:
        row = shown(screen.screen(record(*PATH), later(331.75), width))[-1]
        assert (row.count("━"), row.count("─")) == (bar // 2, bar - bar // 2)
        assert "300 s" in row

    @pytest.mark.parametrize("width", [60, 80, 120])
    def test_no_line_is_wider_than_the_terminal(self, width: int) -> None:
        long = Notice(code="x", message="word " * 60, at=later(50))
        pods = (
            replacement(container_status={"state": {"waiting": {"reason": "ImagePullBackOff", "message": "w " * 99}}}),
        )
        waiting = record(*PATH, new_pod=NEW, notices=(long,))
        assert (
            max(line.cell_len for line in screen.screen(waiting, later(60), width, look=screen.LastLook(pods)).split())
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


class TestWaitingFor:
    STARTED = {"state": {"running": {"startedAt": stamp(40)}}}  # noqa: RUF012 -- a table

    @pytest.mark.parametrize(
        ("pods", "said"),
        [
            (None, None),
            ((), "nothing has recreated the pod yet"),
            (
                (pod(uid=OLD_UID, deleted=30),),
                "the old pod had gone, and the API server shows it again, being deleted",
            ),
            ((replacement(spec={"nodeName": ""}),), "no scheduler has looked at it"),
            (
                (replacement(container_status=STARTED),),
                "startup probe of app: 20 of at most 30 tries used up, 10 s left of its budget",
            ),
            ((pod(uid=NEW_UID, container={"startupProbe": STARTUP_PROBE}),), None),
        ],
        ids=["no look yet", "none", "the old one", "unscheduled", "probed", "back"],
    )
    def test_in_await_ready(self, pods: tuple[Pod, ...] | None, said: str | None) -> None:
        found = screen.waiting_for(record(*PATH), None if pods is None else screen.LastLook(pods), later(60.9))
        assert (found and found[1]) == said

    @pytest.mark.parametrize(
        ("pods", "said"),
        [
            ((pod(uid=OLD_UID),), None),
            ((), None),
            ((pod(uid=OLD_UID, deleted=30),), "container app still running, 20 s left of the grace period"),
            (
                (pod(uid=OLD_UID, deleted=30, container_status={"state": {}}, metadata={"finalizers": ["x.io/y"]}),),
                "no container runs any more; finalizers left: x.io/y",
            ),
        ],
        ids=["not deleted yet", "gone", "in its grace period", "finalizers"],
    )
    def test_in_await_termination(self, pods: tuple[Pod, ...], said: str | None) -> None:
        found = screen.waiting_for(record(*PATH[:3]), screen.LastLook(pods), later(10))
        assert (found and found[1]) == said

    NOT_REMOVED = "no container runs any more and no finalizer is left; its kubelet has not removed it"

    @pytest.mark.parametrize("skew", [-3600, 0, 3600])
    @pytest.mark.parametrize(
        ("ended", "deleted", "now", "told"),
        [
            ([10], 30, 39.9, False),
            ([10], 30, 40, True),
            ([10, 25], 30, 54.9, False),
            ([10, 25], 30, 55, True),
            ([None], 30, 29.9, False),
            ([None], 30, 30, True),
            ([], 30, 29.9, False),
            ([], 30, 30, True),
            ([-900], 30, 29.9, False),
            ([-900], 30, 30, True),
        ],
        ids=[
            "just_ended",
            "ended_30_s_ago",
            "the_last_just_ended",
            "the_last_30_s_ago",
            "nobody_knows_when_but_just_deleted",
            "nobody_knows_when_and_deleted_30_s_ago",
            "never_ran_and_just_deleted",
            "never_ran_and_deleted_30_s_ago",
            "ended_long_before_it_was_deleted",
            "ended_long_before_it_was_deleted_30_s_ago",
        ],
    )
    def test_that_a_kubelet_takes_its_time_to_remove_an_ended_pod_is_told_after_30_s(
        self, ended: list[float | None], deleted: float, now: float, told: bool, skew: float
    ) -> None:
        """Its grace period of 30 s ends at `deleted`. Whatever the kind of container, and by the cluster's clock."""
        statuses = [
            {"name": f"c{n}", "state": {"terminated": {"exitCode": 0, "finishedAt": at and stamp(skew + at)}}}
            for n, at in enumerate(ended)
        ]
        kinds = {"containerStatuses": statuses[:1], "ephemeralContainerStatuses": statuses[1:]}
        left = pod(uid=OLD_UID, deleted=skew + deleted, status=kinds)
        sight = screen.LastLook((left,), timedelta(seconds=skew))
        found = screen.waiting_for(record(*PATH[:3]), sight, later(now))
        assert (found and found[1]) == (self.NOT_REMOVED if told else None)

    @pytest.mark.parametrize("skew", [-3600, 0, 3600])
    def test_what_the_cluster_times_is_told_by_its_clock(self, skew: float) -> None:
        """How much of a grace period is left, and of a startup probe's budget."""
        ahead = timedelta(seconds=skew)
        going = screen.LastLook((pod(uid=OLD_UID, deleted=skew + 30),), ahead)
        found = screen.waiting_for(record(*PATH[:3]), going, later(10))
        assert found == ("grace_period_running", "container app still running, 20 s left of the grace period")
        runs = {"state": {"running": {"startedAt": stamp(skew + 40)}}}
        starting = screen.LastLook((replacement(container_status=runs),), ahead)
        found = screen.waiting_for(record(*PATH), starting, later(60.9))
        assert found is not None
        assert found[1] == "startup probe of app: 20 of at most 30 tries used up, 10 s left of its budget"

    def test_a_container_between_two_crashes_is_waited_for(self) -> None:
        runs = {"restartCount": 2, "ready": True, "started": True, "state": {"running": {"startedAt": stamp(50)}}}
        last = {"lastState": {"terminated": {"exitCode": 1}}}
        seen = screen.LastLook((pod(uid=NEW_UID, container_status=runs | last),))
        found = screen.waiting_for(record(*PATH), seen, later(59))
        assert found is not None
        assert found[1] == "container app, restart count 2, last exit code 1"
        assert screen.waiting_for(record(*PATH), seen, later(60)) is None

    def test_an_api_server_that_gives_no_answer_is_what_is_waited_for(self) -> None:
        troubled = record(*PATH, trouble=Trouble(since=later(40), tries=3, what="connection refused"))
        found = screen.waiting_for(troubled, screen.LastLook(()), later(52))
        assert found == ("trouble", "no usable answer from the API server for 12 s, 3 tries: connection refused")

    def test_before_the_deletion_and_after_the_end_there_is_nothing_to_wait_for(self) -> None:
        assert screen.waiting_for(record(*PATH[:1]), screen.LastLook(()), later(1)) is None
        assert screen.waiting_for(record(*PATH, DONE), screen.LastLook(()), later(100)) is None


class TestProgressLines:
    def test_are_told_of_what_lasts_and_again_after_half_a_minute(self) -> None:
        lines, waiting = screen.ProgressLines(), record(*PATH)
        seen = replacement(container_status={"state": {"running": {"startedAt": stamp(40)}}})
        told = [
            (at, line)
            for at in range(32, 122)
            if (line := lines.line(waiting, screen.LastLook((seen,) if at >= 40 else ()), later(at)))
        ]
        assert [at for at, _ in told] == [33, 41, 71, 101]
        assert told[0][1] == "waiting, 1 s of at most 600 s: nothing has recreated the pod yet"

    def test_leave_out_what_passes_at_once(self) -> None:
        lines, waiting, seen = screen.ProgressLines(), record(*PATH), replacement(status={"phase": "Pending"})
        looks = [(32.0, ()), (32.5, (seen,)), (33.2, ()), (33.9, (seen,)), (35.0, (seen,))]
        assert [at for at, pods in looks if lines.line(waiting, screen.LastLook(pods), later(at))] == [35.0]

    def test_trouble_that_a_notice_has_told_waits_its_half_minute(self) -> None:
        lines = screen.ProgressLines()
        troubled = record(trouble=Trouble(since=NOW, tries=1, what="connection refused"))
        assert [at for at in range(90) if lines.line(troubled, None, later(at))] == [30, 60]


class TestSummary:
    DONE = record(*PATH, DONE, new_pod=NEW, message=f"Pod mec-0 was bounced: mec-0 ({NEW_UID}) is back after 92 s.")

    def test_is_three_lines_that_a_log_has_whole(self) -> None:
        took = ("DISABLE_PROTECTION 0.2 s", "DELETE_POD 0.1 s", "AWAIT_TERMINATION 31.5 s", "AWAIT_READY 60.0 s")
        assert shown(pages.ending(self.DONE, GIVEN, PIPED)) == [
            f"Pod mec-0 was bounced: mec-0 ({NEW_UID}) is back after 92 s.",
            f"Took: 91.8 s: {', '.join(took)}, the rest 0.0 s",
            f"Changed: UID {OLD_UID} → {NEW_UID}, image of app app:1 → app:2, Kubernetes node host-1 → host-2",
        ]

    def test_is_short_in_a_terminal(self) -> None:
        assert shown(pages.ending(self.DONE, GIVEN, 80)) == [
            "Pod mec-0 was bounced: mec-0 (bbbbbbbb) is back after 92 s.",
            "Took     91.8 s: DISABLE_PROTECTION 0.2 s, DELETE_POD 0.1 s, AWAIT_TERMINATION",
            "         31.5 s, AWAIT_READY 60.0 s, the rest 0.0 s",
            "Changed  UID aaaaaaaa → bbbbbbbb, image of app app:1 → app:2, Kubernetes node",
            "         host-1 → host-2",
        ]

    def test_says_what_stayed_the_same(self) -> None:
        alike = NEW.model_copy(update={"images": OLD.images, "host": OLD.host})
        assert (
            "same image, same Kubernetes node host-1"
            in pages.ending(record(*PATH, DONE, new_pod=alike), GIVEN, 80).plain
        )

    def test_a_record_from_before_hosts_were_kept_claims_nothing_about_them(self) -> None:
        unknown = record(*PATH, DONE, new_pod=NEW.model_copy(update={"host": ""}))
        assert "Kubernetes node" not in pages.ending(unknown, GIVEN, 80).plain

    def test_says_that_the_name_changed_and_that_a_protection_was_switched_off(self) -> None:
        other = NEW.model_copy(update={"name": "mec-0-x"})
        changed = record(*PATH, DONE, new_pod=other, protection=Protection.DISABLED)
        said = pages.ending(changed, GIVEN, PIPED).plain.splitlines()[-1]
        assert said.startswith(f"Changed: name mec-0 → mec-0-x, UID {OLD_UID} → ")
        assert said.endswith(", the old pod's shutdown protection switched off")


class TestPage:
    TIMEOUT = failed(
        Event.READY_TIMEOUT,
        "image_pull",
        request=REQUEST,
        new_pod=NEW,
        protection=Protection.DISABLED,
        message=f"Pod mec-0 has gone and its replacement mec-0 ({NEW_UID}) is not back after 67 s: what was seen. "
        "The node is not in service.",
    )

    def test_tells_all_that_somebody_on_call_needs(self) -> None:
        assert shown(pages.ending(self.TIMEOUT, GIVEN, 80)) == [
            "What happened  Pod mec-0 has gone and its replacement mec-0 (bbbbbbbb) is not",
            "               back after 67 s. The node is not in service.",
            "Evidence       what was seen",
            "Who must act   somebody",
            "Changed        the pod was deleted; its shutdown protection was switched off",
            "Record         ended: it can't be resumed, the next run begins a new bounce,",
            "               which deletes the replacement unless --pod-uid is given",
            "Look at it:",
            "  kubectl describe pod mec-0 -n default --kubeconfig '/etc/my kube' \\",
            "    --context prod",
            "Wait on, and delete nothing:",
            "  mecbounce run mec-0 -n default --kubeconfig '/etc/my kube' --context prod \\",
            "    --node express.example.com/v1/expressnodes/mec-0 --gitops --force \\",
            f"    --pod-uid {OLD_UID} --termination-timeout 90.5s \\",
            "    --ready-timeout 700s --ready-when started --no-events --state r.json",
        ]

    @pytest.mark.parametrize("width", [40, 80, 120, PIPED])
    def test_its_commands_can_be_pasted_whatever_the_width(self, width: int | None) -> None:
        pasted = pages.ending(self.TIMEOUT, GIVEN, width).plain.partition("delete nothing:\n")[2]
        assert shlex.split(pasted.replace("\\\n", "")) == following.next_commands(self.TIMEOUT, GIVEN)[-1][1]

    def test_its_commands_are_ones_that_the_command_takes(self) -> None:
        acting = replace(GIVEN, as_user="bob", as_groups=("mec", "on call"), as_uid="u-1")
        words = following.next_commands(self.TIMEOUT, acting)[-1][1]
        context = get_command(app).commands["run"].make_context("run", words[2:])  # type: ignore[attr-defined]
        given = {name: value for name, value in context.params.items() if name not in ("kubeconfig", "state")}
        assert {"output", "verbose"} <= given.keys()
        assert {name: value for name, value in given.items() if name not in ("output", "verbose")} == {
            "pod": "mec-0",
            "selector": None,
            "namespace": "default",
            "context": "prod",
            "as_user": "bob",
            "as_groups": ["mec", "on call"],
            "as_uid": "u-1",
            "node": NODE,
            "gitops": True,
            "force": True,
            "pod_uid": OLD_UID,
            "protection_annotation": None,  # nothing is left to protect
            "termination_timeout": 90.5,
            "ready_timeout": 700,
            "ready_when": "started",
            "no_events": True,
        }

    def test_kubectls_commands_act_as_the_same_user(self) -> None:
        acting = Given(as_user="bob", as_groups=("mec", "on call"))
        assert following.next_commands(self.TIMEOUT, acting)[0][1][-6:] == [
            *("--as", "bob"),
            *("--as-group", "mec", "--as-group", "on call"),
        ]

    def test_without_a_diagnosis_it_says_what_to_do(self) -> None:
        refused = failed(Event.NODE_DOWN, message="It is meant to be down.", advice="Change spec.state.")
        assert shown(pages.ending(refused, Given(), PIPED)) == [
            "What happened: It is meant to be down.",
            "Who must act: whoever turned it down",
            "What to do: Change spec.state.",
            "Changed: nothing was deleted",
            "Record: ended: it can't be resumed, the next run begins a new bounce",
            "See what it holds:",
            "  kubectl get expressnodes.v1.express.example.com/mec-0 -n default -o yaml",
        ]

    def test_what_holds_a_resource_that_is_being_deleted_is_to_be_seen(self) -> None:
        deleting = failed(Event.NODE_DELETING)
        assert "See which finalizers hold it:" in shown(pages.ending(deleting, Given(), PIPED))

    @pytest.mark.parametrize("code", ["webhook_failing", "webhook_denied"])
    def test_a_webhook_may_be_of_either_kind(self, code: str) -> None:
        words = following.next_commands(failed(Event.DELETE_REFUSED, code), Given())[0][1]
        assert words[:3] == ["kubectl", "get", "validatingwebhookconfigurations,mutatingwebhookconfigurations"]

    def test_a_command_holds_nothing_that_a_terminal_would_obey(self) -> None:
        evil = OLD.model_copy(update={"host": "host\x1b[2J"})
        lost = failed(Event.TERMINATION_TIMEOUT, "host_lost", old_pod=evil)
        assert "kubectl describe node 'host�[2J'" in pages.ending(lost, Given(), 80).plain


class TestChanged:
    @pytest.mark.parametrize(
        ("of", "said"),
        [
            (failed(Event.CANCELLED), "nothing was deleted"),
            (record(*PATH[:1], protection=Protection.UNUSED), "nothing was deleted"),
            (record(*PATH[:1]), "nothing was deleted; its shutdown protection may have been switched off"),
            (record((State.FAILED, Event.CLUSTER_UNREACHABLE, 1)), "nothing was deleted"),
            (
                failed(Event.DELETE_REFUSED, protection=Protection.DISABLED),
                "nothing was deleted; its shutdown protection was switched off",
            ),
            (failed(Event.CLUSTER_UNREACHABLE), "not known: the DELETE may or may not have been carried out"),
            (record(*PATH[:2]), "not known: the DELETE may or may not have been carried out"),
            (record(*PATH[:2], EXPIRED), "not known: the DELETE may or may not have been carried out"),
            (
                record(*PATH[:2], EXPIRED, (State.FAILED, Event.CLUSTER_UNREACHABLE, 80)),
                "not known: the DELETE may or may not have been carried out",
            ),
            (
                record(*PATH[:2], EXPIRED, (State.FAILED, Event.NODE_DOWN, 80)),
                "not known: the DELETE may or may not have been carried out",
            ),
            (record(*PATH[:2], EXPIRED, (State.FAILED, Event.CANCELLED, 80)), "nothing was deleted"),
            (
                failed(Event.TERMINATION_TIMEOUT, "deletion_lost"),
                "nothing: its deletion was lost, and the pod exists",
            ),
            (record(*PATH[:3]), "the deletion was accepted; whether the pod has gone is not known"),
            (
                failed(Event.TERMINATION_TIMEOUT, "cluster_unreachable"),
                "the deletion was accepted; whether the pod has gone is not known",
            ),
            (failed(Event.TERMINATION_TIMEOUT, "finalizers"), "the pod was deleted"),
            (
                failed(Event.TERMINATION_TIMEOUT, "deletion_lost", protection=Protection.DISABLED),
                "nothing: its deletion was lost, and the pod exists; its shutdown protection was switched off",
            ),
            (
                failed(Event.NOT_RECREATED, "deletion_lost"),
                "nothing: its deletion was lost, and the pod exists",
            ),
            (
                record(
                    (State.AWAIT_READY, Event.ALREADY_REPLACED, 1),
                    (State.FAILED, Event.NOT_RECREATED, 600),
                    diagnosis=Diagnosis(code="deletion_lost", evidence="e", who="w"),
                ),
                "nothing: its deletion was lost, and the pod exists",
            ),
            (
                failed(Event.READY_TIMEOUT, "terminating_again"),
                "the pod is being deleted: it had gone, and exists again",
            ),
            (record(*PATH), "the pod was deleted"),
            (
                record((State.AWAIT_TERMINATION, Event.ALREADY_TERMINATING, 1)),
                "nothing by this bounce: the pod was being deleted already",
            ),
            (
                record((State.AWAIT_READY, Event.ALREADY_REPLACED, 1)),
                "nothing by this bounce: the pod had gone already",
            ),
            (
                record(*PATH[:2], (State.AWAIT_READY, Event.POD_GONE, 1)),
                "the pod has gone, by this bounce's DELETE or somebody else's",
            ),
        ],
    )
    def test_claims_no_more_than_the_record_knows(self, of: BounceRecord, said: str) -> None:
        assert f"Changed: {said}\n" in pages.ending(of, Given(), PIPED).plain


class TestNextCommand:
    CODES = sorted(DiagnosisCode)
    FAILURES = sorted({row.event for row in TRANSITIONS if row.dest is State.FAILED})

    @pytest.mark.parametrize("code", CODES)
    def test_each_diagnosis_has_one(self, code: DiagnosisCode) -> None:
        assert code.look in following.COMMANDS

    def test_each_failure_has_one_and_no_other(self) -> None:
        assert sorted(following.FAILURES) == self.FAILURES

    @pytest.mark.parametrize("event", FAILURES)
    @pytest.mark.parametrize("node", [NODE, None], ids=["node", "no node"])
    def test_of_each_failure_is_whole(self, event: Event, node: Any) -> None:
        for code in (
            self.CODES if event in (Event.TERMINATION_TIMEOUT, Event.READY_TIMEOUT, Event.NOT_RECREATED) else [""]
        ):
            of = failed(event, code, request=request(node=node))
            found = following.next_commands(of, GIVEN)
            assert len(found) == (2 if code or event in (Event.ACCESS_DENIED, Event.CLUSTER_UNREACHABLE) else 1)
            for purpose, words in found:
                assert purpose
                assert words[0] in ("kubectl", "mecbounce")
                assert ["--context", "prod"] == words[words.index("--context") :][:2]
                assert not {"{", "}"} & set(" ".join(words))

    @pytest.mark.parametrize(
        "event", [row.event for row in TRANSITIONS if row.dest is State.FAILED and row.source is State.INIT_CHECKS]
    )
    def test_who_must_act_is_told_without_a_diagnosis_too(self, event: Event) -> None:
        assert following.who_must_act(event)

    def test_after_a_timeout_nothing_is_deleted_again(self) -> None:
        for event in (Event.TERMINATION_TIMEOUT, Event.READY_TIMEOUT, Event.NOT_RECREATED):
            assert f"--pod-uid {OLD_UID}" in commands(failed(event, "unknown"))[-1]

    @pytest.mark.parametrize("event", [Event.TERMINATION_TIMEOUT, Event.NOT_RECREATED, Event.READY_TIMEOUT])
    @pytest.mark.parametrize("generated", [True, False])
    def test_a_pod_that_stands_is_not_waited_for_but_deleted_and_the_page_says_so(
        self, event: Event, generated: bool
    ) -> None:
        old = OLD.model_copy(update={"generated_name": generated})
        lost = failed(event, "deletion_lost", old_pod=old, new_pod=NEW.model_copy(update={"name": "mec-0-x"}))
        page = pages.ending(lost, GIVEN, PIPED).plain
        assert "Try once more: deletes this incarnation only:\n  mecbounce run mec-0 " in page
        assert f"--pod-uid {OLD_UID} --protection-annotation example.com/p=off" in page
        assert "delete nothing" not in page
        assert "deletes the replacement" not in page
        assert "  kubectl describe pod mec-0 -n default" in page

    def test_without_a_look_at_its_end_it_may_be_deleted_by_waiting_on_and_the_page_says_so(self) -> None:
        page = pages.ending(failed(Event.TERMINATION_TIMEOUT, "cluster_unreachable"), GIVEN, PIPED).plain
        assert "Wait on: deletes this incarnation only, if it still exists:\n  mecbounce run mec-0 " in page
        assert "delete nothing" not in page

    @pytest.mark.parametrize(
        ("event", "expected"),
        [
            (Event.TERMINATION_TIMEOUT, "kubectl wait --for=delete pod/mec-0 -n default --timeout=600s"),
            (Event.NOT_RECREATED, "kubectl get pods -n default --watch"),
            (Event.READY_TIMEOUT, "kubectl wait --for=condition=Ready pod/mec-0 -n default --timeout=600s"),
        ],
    )
    def test_a_replacement_of_another_name_is_waited_for_by_kubectl(self, event: Event, expected: str) -> None:
        generated = OLD.model_copy(update={"generated_name": True})
        assert commands(failed(event, "unknown", old_pod=generated))[-1] == expected

    def test_a_deletion_that_was_lost_is_not_waited_for_and_the_pod_is_no_replacement(self) -> None:
        lost = failed(Event.TERMINATION_TIMEOUT, "deletion_lost")
        page = pages.ending(lost, GIVEN, PIPED).plain
        assert "Try once more: deletes this incarnation only:" in page
        assert "delete nothing" not in page
        assert "deletes the replacement" not in page

    def test_one_that_has_ended_is_not_waited_for(self) -> None:
        """It never gets ready: `kubectl wait` would only fail."""
        generated = OLD.model_copy(update={"generated_name": True})
        ended = failed(Event.READY_TIMEOUT, "pod_ended", old_pod=generated)
        assert commands(ended)[-1] == "kubectl get pods -n default --watch"
        assert f"--pod-uid {OLD_UID}" in commands(failed(Event.READY_TIMEOUT, "pod_ended"))[-1]

    def test_a_delete_without_an_answer_is_followed_by_that_incarnation_or_none(self) -> None:
        found = commands(failed(Event.CLUSTER_UNREACHABLE), GIVEN)
        assert found[0].startswith("kubectl get --raw /readyz")
        assert f"--pod-uid {OLD_UID} --protection-annotation example.com/p=off" in found[1]

    def test_where_the_replacement_has_another_name_only_if_it_still_stands(self) -> None:
        generated = OLD.model_copy(update={"generated_name": True})
        found = commands(failed(Event.CLUSTER_UNREACHABLE, old_pod=generated))
        assert found[1] == "kubectl get pod mec-0 -n default"

    def test_an_unfinished_bounce_is_resumed(self) -> None:
        waiting = record(*PATH)
        assert commands(waiting, Given(state="r.json")) == [
            "mecbounce run mec-0 -n default --node express.example.com/v1/expressnodes/mec-0 --state r.json"
        ]
        assert "Deadline: 2026-01-01 12:10:31Z\n" in pages.ending(waiting, Given(), PIPED).plain

    def test_a_success_has_none(self) -> None:
        assert commands(record(*PATH, DONE)) == []

    def test_what_is_not_known_is_not_asked_for(self) -> None:
        old = OLD.model_copy(update={"host": ""})
        assert commands(failed(Event.TERMINATION_TIMEOUT, "host_lost", old_pod=old))[0].startswith("kubectl get events")

    @pytest.mark.parametrize("pod_uid", [None, OLD_UID])
    @pytest.mark.parametrize("asked", [request(node=None), REQUEST], ids=["least", "most"])
    def test_of_ours_each_is_one_that_the_command_takes_and_keeps_the_incarnation_that_was_asked_for(
        self, asked: BounceRequest, pod_uid: str | None
    ) -> None:
        fields: dict[str, Any] = {"request": asked.model_copy(update={"pod_uid": pod_uid}), "new_pod": NEW}
        ends = [record(*PATH, **fields), *(failed(event, **fields) for event in self.FAILURES)]
        ours = [
            words[1:] for end in ends for _, words in following.next_commands(end, GIVEN) if words[0] == "mecbounce"
        ]
        assert {verb for verb, *_ in ours} == {"run", "plan"}
        for verb, *options in ours:
            given = get_command(app).commands[verb].make_context(verb, list(options)).params  # type: ignore[attr-defined]
            assert given["pod"] == "mec-0"
            assert given["pod_uid"] == OLD_UID or pod_uid is None


def test_as_json_it_is_where_the_bounce_stands() -> None:
    notice = Notice(code="x", message="y", at=later(1))
    found = pages.as_json(record(*PATH, notices=(notice,), protection=Protection.OFF), later(41.75), Given())
    assert json.loads(json.dumps(found)) == {
        "state": "AWAIT_READY",
        "finished": False,
        "namespace": "default",
        "pod": "mec-0",
        "node": "expressnodes.express.example.com/v1 mec-0",
        "entered_at": "2026-01-01T12:00:31.750000Z",
        "elapsed": 10.0,
        "durations": {"INIT_CHECKS": 0.02, "DISABLE_PROTECTION": 0.18, "DELETE_POD": 0.05, "AWAIT_TERMINATION": 31.5},
        "old_pod": {"name": "mec-0", "uid": OLD_UID, "images": {"app": "app:1"}, "host": "host-1"},
        "new_pod": None,
        "bounce_id": "b-1",
        "revision": 1,
        "deadline": "2026-01-01T12:10:31.750000Z",
        "protection": "off",
        "trouble": None,
        "notices": [{"code": "x", "message": "y", "at": "2026-01-01T12:00:01Z", "count": 1}],
        "message": "",
        "advice": "",
        "diagnosis": None,
        "next_commands": ["mecbounce run mec-0 -n default --node express.example.com/v1/expressnodes/mec-0"],
    }
