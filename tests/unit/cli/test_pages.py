"""What a person is told at the end: what happened, what changed, who must act."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import pytest
from builders import NODE, later
from typer.main import get_command

from mecbounce import next_commands as following
from mecbounce.cli import pages
from mecbounce.cli.commands import app
from mecbounce.cli.options import CommonOptions
from mecbounce.machine import Event, State
from mecbounce.next_commands import Given
from mecbounce.record import BounceRecord, Diagnosis, Notice, Protection

from .bounces import (
    DONE,
    EXPIRED,
    GIVEN,
    NEW,
    NEW_UID,
    OLD,
    OLD_UID,
    OPTIONS,
    PATH,
    PIPED,
    REQUEST,
    RUNNER,
    failed,
    record,
    shown,
)


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
            "Record         ended: the next run keeps waiting while the replacement is not",
            "               back; --again begins a new bounce",
            "Describe the pod:",
            "  kubectl describe pod mec-0 -n default --kubeconfig '/etc/my kube' \\",
            "    --context prod",
            "Keep waiting; deletes nothing:",
            "  mecbounce run mec-0 -n default --kubeconfig '/etc/my kube' --context prod \\",
            f"    --pod-uid {OLD_UID} --no-events --state r.json",
        ]

    @pytest.mark.parametrize("width", [40, 80, 120, PIPED])
    def test_its_commands_can_be_pasted_whatever_the_width(self, width: int | None) -> None:
        pasted = pages.ending(self.TIMEOUT, GIVEN, width).plain.partition("Keep waiting; deletes nothing:\n")[2]
        assert shlex.split(pasted.replace("\\\n", "")) == following.next_commands(self.TIMEOUT, GIVEN)[-1][1]

    def test_its_commands_are_ones_that_the_command_takes(self) -> None:
        acting = replace(OPTIONS, as_user="bob", as_groups=["mec", "on call"], as_uid="u-1").given()
        lost = failed(Event.TERMINATION_TIMEOUT, "deletion_lost", request=REQUEST)
        words = following.next_commands(lost, acting)[-1][1]
        context = get_command(app).commands["run"].make_context("run", words[2:])  # type: ignore[attr-defined]
        given = {name: value for name, value in context.params.items() if name not in ("kubeconfig", "state")}
        assert {"output", "verbose"} <= given.keys()
        assert {name: value for name, value in given.items() if name not in ("output", "verbose")} == {
            "take_over": False,
            "pod": "mec-0",
            "selector": None,
            "namespace": "default",
            "context": "prod",
            "as_user": "bob",
            "as_groups": ["mec", "on call"],
            "as_uid": "u-1",
            "node": NODE,
            "no_node": False,
            "gitops": True,
            "force": True,
            "pod_uid": OLD_UID,
            "protection_annotation": "example.com/p=off",
            "termination_timeout": 90.5,
            "ready_timeout": 700,
            "ready_when": "started",
            "no_events": True,
            "again": False,
        }

    def test_kubectls_commands_act_as_the_same_user(self) -> None:
        acting = CommonOptions(as_user="bob", as_groups=["mec", "on call"]).given()
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
            "Record: ended: the next run begins a new bounce",
            "Show the custom resource:",
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
            (
                record((State.FAILED, Event.CANCELLED, 1), waits_on="b-0", old_pod=OLD),
                "nothing: this run only kept waiting for the replacement",
            ),
        ],
    )
    def test_claims_no_more_than_the_record_knows(self, of: BounceRecord, said: str) -> None:
        assert f"Changed: {said}\n" in pages.ending(of, Given(), PIPED).plain


def test_as_json_it_is_where_the_bounce_stands() -> None:
    notice = Notice(code="x", message="y", at=later(1))
    found = pages.as_json(
        record(*PATH, notices=(notice,), protection=Protection.OFF, runner=RUNNER),
        later(41.75),
        Given(recorded=True),
        alive=True,
    )
    assert json.loads(json.dumps(found)) == {
        "state": "AWAIT_READY",
        "finished": False,
        "namespace": "default",
        "pod": "mec-0",
        "node": "expressnodes.express.example.com/v1 mec-0",
        "started_at": "2026-01-01T12:00:00Z",
        "entered_at": "2026-01-01T12:00:31.750000Z",
        "ended_at": None,
        "runner": {"who": "ci@build-7", "process": 4711, "saved_at": "2026-01-01T12:00:31.750000Z", "alive": True},
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
        "next_commands": ["mecbounce run mec-0 -n default"],
    }


BEGUN = {"begun": "2026-01-01 12:00:00 UTC, 13 min ago"}


@pytest.mark.parametrize(
    ("of", "alive", "said"),
    [
        (record(*PATH, runner=RUNNER), True, {"runner": "ci@build-7, process 4711, last saved 12 min ago"}),
        (
            record(*PATH, runner=RUNNER),
            False,
            {"runner": "ci@build-7, process 4711, last saved 12 min ago; it has gone"},
        ),
        (
            record(*PATH, DONE, runner=RUNNER),
            False,
            {"ended": "2026-01-01 12:01:31 UTC, 11 min ago", "runner": "ci@build-7, process 4711"},
        ),
        (record(*PATH), False, {}),
    ],
    ids=["alive", "gone", "ended", "older"],
)
def test_when_it_was_and_who_drives_it(of: BounceRecord, alive: bool, said: dict[str, str]) -> None:
    assert pages.dates(of, later(780), alive=alive) == BEGUN | said


def test_a_driven_bounce_is_to_be_followed_and_not_resumed() -> None:
    of = record(*PATH, runner=RUNNER)
    driven, left = (pages.ending(of, Given(), PIPED, alive=alive).plain for alive in (True, False))
    assert "Record: unfinished, saved once: its runner is alive\nFollow it:\n  mecbounce run mec-0" in driven
    assert "Record: unfinished, saved once: it can be resumed\nResume it:\n  mecbounce run mec-0" in left
