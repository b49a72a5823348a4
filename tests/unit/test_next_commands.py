"""The next commands: each can be pasted, and acts on the bounce that it is about."""

from __future__ import annotations

import json
import shlex
from datetime import timedelta
from typing import Any

import pytest
from builders import NODE, NOW, later, request
from typer.main import get_command

from mecbounce import next_commands as following
from mecbounce.cli import pages
from mecbounce.cli.commands import app
from mecbounce.cli.options import Output
from mecbounce.cli.terminal import BounceInTerminal
from mecbounce.codes import DiagnosisCode
from mecbounce.machine import TRANSITIONS, Event, State
from mecbounce.next_commands import Given
from mecbounce.record import BounceRecord, GivenProtection, StateEntry
from mecbounce.request import BounceRequest, Timeouts
from mecbounce.result import BounceResult

from .cli.bounces import DONE, GIVEN, NEW, OLD, OLD_UID, PATH, PIPED, REQUEST, failed, record

RECORDED = Given(recorded=True)  # by the command; a runner keeps its records elsewhere
LOOK_ONLY = ("rolled_out", "name_generated")  # a replacement that no bounce can find
CANCELLED_AT_ONCE = (
    StateEntry(state=State.INIT_CHECKS, at=NOW),
    StateEntry(state=State.FAILED, at=later(1), event=Event.CANCELLED),
)


def commands(of: BounceRecord, given: Given = RECORDED) -> list[str]:
    return [shlex.join(words) for _, words in following.next_commands(of, given)]


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
            two = event in (Event.ACCESS_DENIED, Event.CLUSTER_UNREACHABLE) or code not in ("", *LOOK_ONLY)
            assert len(found) == (2 if two else 1)
            for purpose, words in found:
                assert purpose
                assert words[0] in ("kubectl", "mecbounce")
                assert ["--context", "prod"] == words[words.index("--context") :][:2]
                assert not {"{", "}"} & set(" ".join(words))

    @pytest.mark.parametrize(
        "event", [row.event for row in TRANSITIONS if row.dest is State.FAILED and row.source is State.INIT_CHECKS]
    )
    def test_who_must_act_is_told_without_a_diagnosis_too(self, event: Event) -> None:
        assert following.who_must_act(failed(event))

    def test_without_a_custom_resource_a_missing_pod_names_no_operator(self) -> None:
        missing = failed(Event.POD_MISSING, request=request(node=None))
        assert following.who_must_act(missing) == "whoever began this bounce"
        assert commands(missing) == ["kubectl get pods -n default"]
        assert following.who_must_act(failed(Event.POD_MISSING)) == "the owners of the operator"

    def test_a_type_that_is_no_longer_served_is_not_listed(self) -> None:
        """`kubectl get` of it would fail."""
        gone = failed(Event.NOT_RECREATED, "node_unserved")
        assert commands(gone)[0] == "kubectl api-resources --api-group=express.example.com"

    @pytest.mark.parametrize("generated", [True, False])
    @pytest.mark.parametrize("event", [Event.TERMINATION_TIMEOUT, Event.NOT_RECREATED, Event.READY_TIMEOUT])
    def test_after_a_timeout_a_short_line_waits_on_whatever_the_replacements_name(
        self, event: Event, generated: bool
    ) -> None:
        """The record has the options that it began with. By the UID it deletes nothing once the replacement is back."""
        ended = failed(event, "unknown", old_pod=OLD.model_copy(update={"generated_name": generated}), request=REQUEST)
        assert commands(ended)[-1] == f"mecbounce run mec-0 -n default --pod-uid {OLD_UID}"
        words = f"--kubeconfig '/etc/my kube' --context prod --pod-uid {OLD_UID} --no-events --state r.json"
        assert commands(ended, GIVEN)[-1] == f"mecbounce run mec-0 -n default {words}"

    @pytest.mark.parametrize(
        ("event", "waited", "option"),
        [
            (Event.TERMINATION_TIMEOUT, 600, "--termination-timeout 20m"),
            (Event.READY_TIMEOUT, 600, "--ready-timeout 20m"),
            (Event.NOT_RECREATED, 61, "--ready-timeout 3m"),
            (Event.READY_TIMEOUT, 0.2, "--ready-timeout 0.4s"),
            (Event.READY_TIMEOUT, 604800, "--ready-timeout 10080m"),  # a week is the longest
        ],
    )
    def test_the_time_that_was_too_short_is_never_printed_again(self, event: Event, waited: float, option: str) -> None:
        ended = failed(event, "unknown", request=REQUEST)
        ended = ended.model_copy(update={"deadline": ended.path[-2].at + timedelta(seconds=waited)})
        assert commands(ended)[-1] == f"mecbounce run mec-0 -n default --pod-uid {OLD_UID} {option}"

    @pytest.mark.parametrize(
        ("event", "code", "generated", "expected"),
        [
            (Event.TERMINATION_TIMEOUT, "unknown", False, f"mecbounce run mec-0 -n default --pod-uid {OLD_UID}"),
            (Event.NOT_RECREATED, "unknown", False, f"mecbounce run mec-0 -n default --pod-uid {OLD_UID}"),
            (
                Event.TERMINATION_TIMEOUT,
                "unknown",
                True,
                "kubectl wait --for=delete pod/mec-0 -n default --timeout=20m",
            ),
            (Event.NOT_RECREATED, "unknown", True, "kubectl get pods -n default --watch"),
            (
                Event.READY_TIMEOUT,
                "unknown",
                True,
                "kubectl wait --for=condition=Ready pod/mec-0 -n default --timeout=20m",
            ),
            (Event.READY_TIMEOUT, "pod_ended", True, "kubectl get pods -n default --watch"),  # it never gets ready
        ],
    )
    def test_of_a_runners_record_the_command_knows_nothing_so_the_incarnation_is_named(
        self, event: Event, code: str, generated: bool, expected: str
    ) -> None:
        """A bare `mecbounce run` would find no record there, and delete the late replacement."""
        old = OLD.model_copy(update={"generated_name": generated})
        ended = failed(event, code, old_pod=old, request=request(node="auto"))
        ended = ended.model_copy(update={"deadline": ended.path[-2].at + timedelta(seconds=600)})
        assert commands(ended, Given())[-1].startswith(expected)
        assert "0m" in commands(ended, Given())[-1] or "--watch" in expected

    def test_of_a_runners_record_whose_delete_had_no_answer_too(self) -> None:
        generated = OLD.model_copy(update={"generated_name": True})
        unknown = failed(Event.CLUSTER_UNREACHABLE, old_pod=generated)
        assert commands(unknown, Given())[1] == "kubectl get pod mec-0 -n default"
        assert f"--pod-uid {OLD_UID}" in commands(unknown)[1]

    def test_nor_by_a_command_that_may_delete(self) -> None:
        asked = REQUEST.model_copy(update={"timeouts": Timeouts(termination=90, ready=700)})
        lost = failed(Event.TERMINATION_TIMEOUT, "deletion_lost", request=asked)
        lost = lost.model_copy(update={"deadline": lost.path[-2].at + timedelta(seconds=90)})
        assert "--termination-timeout 3m --ready-timeout 700s" in commands(lost)[-1]

    def test_one_that_was_stopped_while_it_waited_on_waits_on_again(self) -> None:
        stopped = failed(Event.CANCELLED, waits_on="b-0").model_copy(update={"path": CANCELLED_AT_ONCE})
        assert following.next_commands(stopped, RECORDED)[-1][0].startswith("Keep waiting; deletes nothing")

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
        assert "deletes nothing" not in page
        assert "deletes the replacement" not in page
        assert "  kubectl describe pod mec-0 -n default" in page

    def test_without_a_look_at_its_end_it_may_be_deleted_by_waiting_on_and_the_page_says_so(self) -> None:
        page = pages.ending(failed(Event.TERMINATION_TIMEOUT, "cluster_unreachable"), GIVEN, PIPED).plain
        assert "Keep waiting; deletes this incarnation only, if it still exists:\n  mecbounce run mec-0 " in page
        assert "deletes nothing" not in page

    @pytest.mark.parametrize("code", LOOK_ONLY)
    def test_a_replacement_that_no_bounce_can_find_is_looked_for_by_kubectl(self, code: str) -> None:
        assert commands(failed(Event.NOT_RECREATED, code)) == ["kubectl get pods -n default"]

    def test_a_deletion_that_was_lost_is_not_waited_for_and_the_pod_is_no_replacement(self) -> None:
        lost = failed(Event.TERMINATION_TIMEOUT, "deletion_lost")
        page = pages.ending(lost, GIVEN, PIPED).plain
        assert "Try once more: deletes this incarnation only:" in page
        assert "deletes nothing" not in page
        assert "deletes the replacement" not in page

    def test_a_delete_without_an_answer_is_followed_by_that_incarnation_or_none(self) -> None:
        found = commands(failed(Event.CLUSTER_UNREACHABLE), GIVEN)
        assert found[0].startswith("kubectl get --raw /readyz")
        assert f"--pod-uid {OLD_UID} --protection-annotation example.com/p=off" in found[1]

    def test_an_unfinished_bounce_is_resumed_by_its_name_and_what_its_record_does_not_have(self) -> None:
        waiting = record(*PATH, request=REQUEST)
        assert commands(waiting, Given(state="r.json", recorded=True)) == [
            "mecbounce run mec-0 -n default --state r.json"
        ]
        before = record(*PATH[:1], request=REQUEST)
        assert commands(before, Given(protection="p=off", recorded=True)) == [
            "mecbounce run mec-0 -n default --protection-annotation p=off"
        ]
        assert "Deadline: 2026-01-01 12:10:31 UTC\n" in pages.ending(waiting, Given(), PIPED).plain

    def test_a_node_is_named_where_it_was_given_and_where_no_pod_may_be_left_to_find_it_by(self) -> None:
        asked = request(node="auto")
        found = failed(Event.NOT_RECREATED, "unknown", request=asked, found_node=NODE)
        named = "--node express.example.com/v1/expressnodes/mec-0"
        assert f"mecbounce run mec-0 -n default {named} --pod-uid {OLD_UID}" in commands(found, Given())
        assert commands(record(*PATH, request=asked, found_node=NODE), Given()) == ["mecbounce run mec-0 -n default"]
        none = commands(record(*PATH, request=request(node=None)), Given())
        assert none == ["mecbounce run mec-0 -n default --no-node"]
        looked = commands(failed(Event.NODE_DOWN, request=asked, found_node=NODE))
        assert looked == ["kubectl get expressnodes.v1.express.example.com/mec-0 -n default -o yaml"]

    @pytest.mark.parametrize("given", [GIVEN.without_value, Given()], ids=["typed", "of_the_record"])
    @pytest.mark.parametrize(
        "ended",
        [
            (Event.TERMINATION_TIMEOUT, "deletion_lost"),
            (Event.CANCELLED, ""),
            (Event.CLUSTER_UNREACHABLE, ""),
        ],
        ids=["once_more", "bounce_anyway", "that_one"],
    )
    def test_where_no_value_may_be_shown_a_line_that_deletes_still_has_the_protection(
        self, ended: tuple[Event, str], given: Given
    ) -> None:
        """Without it, whoever pastes the line has the pod deleted with its protection on."""
        known = GivenProtection(kind="AnnotationProtection", annotation="example.com/p")
        line = commands(failed(*ended, given_protection=known), given)[-1]
        assert line.startswith("mecbounce run mec-0 ")
        assert " --protection-annotation example.com/p=..." in line

    def test_so_it_is_in_json_which_shows_no_value(self, capsys: pytest.CaptureFixture[str]) -> None:
        terminal = BounceInTerminal(REQUEST, "prod", GIVEN, Output.JSON)
        terminal.record = failed(Event.TERMINATION_TIMEOUT, "deletion_lost")
        terminal.end(BounceResult.of(terminal.record))
        out, _ = capsys.readouterr()
        assert " --protection-annotation example.com/p=... --no-events" in json.loads(out)["next_commands"][-1]
        assert "p=off" not in out

    def test_a_protection_of_another_kind_is_no_option_of_the_command(self) -> None:
        lost = failed(Event.CANCELLED, given_protection=GivenProtection(kind="DrainFirst"))
        assert "protection" not in commands(lost, Given())[-1]
        assert Given().without_value == Given()

    def test_a_success_has_none(self) -> None:
        assert commands(record(*PATH, DONE)) == []

    def test_what_is_not_known_is_not_asked_for(self) -> None:
        old = OLD.model_copy(update={"host": ""})
        assert commands(failed(Event.TERMINATION_TIMEOUT, "host_lost", old_pod=old))[0].startswith("kubectl get events")

    @pytest.mark.parametrize("pod_uid", [None, OLD_UID])
    @pytest.mark.parametrize(
        "asked", [request(node="auto"), request(node=None), REQUEST], ids=["least", "none", "most"]
    )
    def test_of_ours_each_is_one_that_the_command_takes_and_keeps_the_incarnation_that_was_asked_for(
        self, asked: BounceRequest, pod_uid: str | None
    ) -> None:
        fields: dict[str, Any] = {"request": asked.model_copy(update={"pod_uid": pod_uid}), "new_pod": NEW}
        ends = [record(*PATH, **fields), *(failed(event, **fields) for event in self.FAILURES)]
        ours = [(purpose, words[1:]) for end in ends for purpose, words in following.next_commands(end, GIVEN)]
        ours = [(purpose, words) for purpose, words in ours if words[0] in ("run", "plan")]
        assert {verb for _, (verb, *_) in ours} == {"run", "plan"}
        by_record = [following.COMMANDS[key][0] for key in ("resume", "wait_on")]
        for purpose, (verb, *options) in ours:
            given = get_command(app).commands[verb].make_context(verb, list(options)).params  # type: ignore[attr-defined]
            assert given["pod"] == "mec-0"
            assert given["pod_uid"] == OLD_UID or pod_uid is None or purpose in by_record
