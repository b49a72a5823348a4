"""The next commands: each can be pasted, and acts on the bounce that it is about."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from builders import NODE, request
from typer.main import get_command

from mecbounce import next_commands as following
from mecbounce.cli import pages
from mecbounce.cli.commands import app
from mecbounce.codes import DiagnosisCode
from mecbounce.machine import TRANSITIONS, Event, State
from mecbounce.next_commands import Given
from mecbounce.record import BounceRecord
from mecbounce.request import BounceRequest

from .cli.bounces import DONE, GIVEN, NEW, OLD, OLD_UID, PATH, PIPED, REQUEST, failed, record


def commands(of: BounceRecord, given: Given = Given()) -> list[str]:  # noqa: B008 -- frozen
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
        assert "deletes nothing" not in page
        assert "deletes the replacement" not in page
        assert "  kubectl describe pod mec-0 -n default" in page

    def test_without_a_look_at_its_end_it_may_be_deleted_by_waiting_on_and_the_page_says_so(self) -> None:
        page = pages.ending(failed(Event.TERMINATION_TIMEOUT, "cluster_unreachable"), GIVEN, PIPED).plain
        assert "Keep waiting; deletes this incarnation only, if it still exists:\n  mecbounce run mec-0 " in page
        assert "deletes nothing" not in page

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
        assert "deletes nothing" not in page
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
        assert "Deadline: 2026-01-01 12:10:31 UTC\n" in pages.ending(waiting, Given(), PIPED).plain

    def test_a_node_is_named_where_it_was_given_and_where_no_pod_may_be_left_to_find_it_by(self) -> None:
        asked = request(node="auto")
        found = failed(Event.NOT_RECREATED, "unknown", request=asked, found_node=NODE)
        named = "--node express.example.com/v1/expressnodes/mec-0"
        assert f"mecbounce run mec-0 -n default {named} --pod-uid {OLD_UID}" in commands(found)
        assert commands(record(*PATH, request=asked, found_node=NODE)) == ["mecbounce run mec-0 -n default"]
        assert commands(record(*PATH, request=request(node=None))) == ["mecbounce run mec-0 -n default --no-node"]
        looked = commands(failed(Event.NODE_DOWN, request=asked, found_node=NODE))
        assert looked == ["kubectl get expressnodes.v1.express.example.com/mec-0 -n default -o yaml"]

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
        ours = [
            words[1:] for end in ends for _, words in following.next_commands(end, GIVEN) if words[0] == "mecbounce"
        ]
        assert {verb for verb, *_ in ours} == {"run", "plan"}
        for verb, *options in ours:
            given = get_command(app).commands[verb].make_context(verb, list(options)).params  # type: ignore[attr-defined]
            assert given["pod"] == "mec-0"
            assert given["pod_uid"] == OLD_UID or pod_uid is None
