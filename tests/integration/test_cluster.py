"""The adapter, against the embedded cluster: one request a call, and every failure a ClusterError."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from traceback import format_exception
from types import SimpleNamespace
from typing import Any

import pytest
from builders import NODE, kubeconfig, pod, pod_json, request, write_kubeconfig
from kubernetes import client
from kubernetes.config import ConfigException, incluster_config
from loopback import NO_PODS, ApiServer, said
from pytest_mock import MockerFixture

from mecbounce.errors import AccessDenied, ClusterError, ConfigError, Conflict, NotFound, Refused, Unreachable
from mecbounce.kubernetes_api import access
from mecbounce.kubernetes_api import client as module
from mecbounce.kubernetes_api import watch as watching
from mecbounce.kubernetes_api.client import KubernetesCluster
from mecbounce.kubernetes_api.objects import Owner, Pod
from mecbounce.machine import BEFORE_DELETION, WAITING, Event, State
from mecbounce.progress import Progress
from mecbounce.protection import AnnotationProtection, ExecProtection, HttpProtection
from mecbounce.record import BounceRecord
from mecbounce.request import BounceRequest
from mecbounce.sandbox import Behaviour, Sandbox
from mecbounce.stores import MappingStore
from mecbounce.task import BounceTask


@pytest.fixture
def kubernetes(sandbox: Sandbox) -> KubernetesCluster:
    return KubernetesCluster.from_kubeconfig(sandbox.kubeconfig)


@pytest.fixture
def uid(sandbox: Sandbox) -> str:
    pod = sandbox.add_node("mec-0")
    assert pod is not None
    return str(pod["metadata"]["uid"])


def whole_list_but(changed: dict[str, Any]) -> bytes:
    return json.dumps(json.loads(NO_PODS) | changed).encode()


class TestRequests:
    def test_each_carries_the_user_agent_and_is_one(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, uid: str
    ) -> None:
        kubernetes.node("default", NODE)
        owner = Owner(api_version="express.example.com/v1", kind="ExpressNode", name="mec-0", uid="any")
        assert kubernetes.type_of(owner) == ("expressnodes", True)
        kubernetes.pods("default", "mec-0")
        kubernetes.selected_pods("default", "app=mec")
        kubernetes.namespaces()
        kubernetes.delete_pod("default", "mec-0", uid, dry_run=True)
        kubernetes.host("node1")
        kubernetes.events("default", uid)
        kubernetes.tell("default", event_about(uid))
        assert [one.verb for one in sandbox.requests] == [
            *("get", "get", "list", "list", "list"),
            *("delete", "get", "list", "create"),
        ]
        assert {one.user_agent for one in sandbox.requests} == {f"mecbounce/{version('mecbounce')}"}

    @pytest.mark.parametrize(
        "change", [{"kind": "Lost"}, {"api_version": "express.example.com/v2"}, {"api_version": "lost.example.com/v1"}]
    )
    def test_a_type_that_is_not_served_is_none(self, kubernetes: KubernetesCluster, change: dict[str, str]) -> None:
        owner = Owner(api_version="express.example.com/v1", kind="ExpressNode", name="mec-0", uid="any")
        assert kubernetes.type_of(owner.model_copy(update=change)) is None

    def test_a_custom_resource_comes_as_json(self, kubernetes: KubernetesCluster, uid: str) -> None:
        assert kubernetes.node("default", NODE)["spec"]["state"] == "up"
        assert uid

    def test_a_list_of_one_name_holds_that_pod_alone(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, uid: str
    ) -> None:
        sandbox.add_node("mec-1")
        assert [pod.uid for pod in kubernetes.pods("default", "mec-0")] == [uid]
        assert {pod.name for pod in kubernetes.pods("default")} == {"mec-0", "mec-1"}

    def test_a_list_by_labels_holds_those_that_have_them(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, uid: str
    ) -> None:
        sandbox.add_node("mec-1", labels={"app": "mec"})
        assert [pod.name for pod in kubernetes.selected_pods("default", "app=mec")] == ["mec-1"]
        assert [pod.uid for pod in kubernetes.selected_pods("default", "app!=mec")] == [uid]
        with pytest.raises(Refused, match="unable to parse requirement"):
            kubernetes.selected_pods("default", "a b c")

    def test_namespaces_come_by_name(self, sandbox: Sandbox, kubernetes: KubernetesCluster) -> None:
        sandbox.add_node("mec-0", namespace="mec")
        assert kubernetes.namespaces() == ("default", "mec")

    def test_a_kubernetes_node_and_its_ready_condition(self, kubernetes: KubernetesCluster) -> None:
        assert kubernetes.host("node1").ready.status == "True"

    def test_a_missing_resource_names_the_fields(self, kubernetes: KubernetesCluster) -> None:
        with pytest.raises(
            NotFound, match=r"'mec-0' \(node\.name\) does not exist in namespace 'default' \(namespace\)"
        ):
            kubernetes.node("default", NODE)

    def test_a_resource_type_that_is_not_served_names_the_fields(self, kubernetes: KubernetesCluster) -> None:
        with pytest.raises(NotFound, match=r"does not serve nopes\..* \(node\.group, version, plural\)") as caught:
            kubernetes.node("default", NODE.model_copy(update={"plural": "nopes"}))
        assert not caught.value.served


class TestTell:
    def test_an_event_is_found_by_the_uid_of_what_it_is_about(self, kubernetes: KubernetesCluster, uid: str) -> None:
        kubernetes.tell("default", event_about(uid))
        found = [one for one in kubernetes.events("default", uid) if one.reason == "Bouncing"]
        assert [(one.type, one.message) for one in found] == [("Normal", "It goes.")]

    def test_is_given_less_time_than_any_other_request(
        self, kubernetes: KubernetesCluster, mocker: MockerFixture
    ) -> None:
        sent = mocker.patch.object(kubernetes._core, "create_namespaced_event")
        sent.return_value.data = b"{}"
        kubernetes.tell("default", {})
        told = sent.call_args.kwargs["_request_timeout"]
        assert all(mine < usual for mine, usual in zip(told, module.REQUEST_TIMEOUT, strict=True))


def event_about(uid: str) -> dict[str, Any]:
    about = {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "mec-0", "uid": uid}
    metadata = {"generateName": "mec-0."}
    told = {"type": "Normal", "reason": "Bouncing", "message": "It goes."}
    return {"apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": about, **told}


class TestWhatAPlanAsks:
    def test_a_right_is_reviewed_and_not_tried(self, sandbox: Sandbox, kubernetes: KubernetesCluster) -> None:
        sandbox.forbid("delete", "pods")
        assert kubernetes.may("default", "list", "pods", name="mec-0")
        assert not kubernetes.may("default", "delete", "pods", name="mec-0")
        assert {one.path for one in sandbox.requests} == {"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"}

    def test_a_right_is_asked_for_by_all_that_names_it(
        self, kubernetes: KubernetesCluster, mocker: MockerFixture
    ) -> None:
        sent = mocker.spy(client.CustomObjectsApi, "create_cluster_custom_object")
        kubernetes.may("mec", "get", "expressnodes", group="express.example.com", name="mec-0")
        assert sent.call_args.args[-1]["spec"]["resourceAttributes"] == {
            "namespace": "mec",
            "verb": "get",
            "group": "express.example.com",
            "resource": "expressnodes",
            "name": "mec-0",
        }

    @pytest.mark.parametrize(("version", "names"), [("v1", {"all", "some"}), ("v1beta1", {"some"})])
    def test_an_empty_selector_selects_all_in_v1_and_nothing_in_v1beta1(
        self, kubernetes: KubernetesCluster, mocker: MockerFixture, version: str, names: set[str]
    ) -> None:
        selectors = {"all": {}, "some": {"matchLabels": {"app": "mec"}}}
        budgets = [
            {"metadata": {"name": name, "uid": name}, "spec": {"selector": selector}}
            for name, selector in selectors.items()
        ]

        def answer(_api: object, _group: str, asked: str, *_: object, **__: object) -> object:
            if asked != version:
                raise client.ApiException(status=404, reason="Not Found")
            return SimpleNamespace(data=json.dumps({"items": budgets}))

        mocker.patch.object(client.CustomObjectsApi, "list_namespaced_custom_object", answer)
        assert {one.metadata.name for one in kubernetes.disruption_budgets("default")} == names

    def test_disruption_budgets_that_may_not_be_listed_are_an_access_denied(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster
    ) -> None:
        sandbox.forbid("list", "poddisruptionbudgets")
        with pytest.raises(AccessDenied, match="poddisruptionbudgets"):
            kubernetes.disruption_budgets("default")


class TestDelete:
    def test_gives_no_grace_and_never_forces(self, kubernetes: KubernetesCluster, mocker: MockerFixture) -> None:
        sent = mocker.patch.object(kubernetes._core, "delete_namespaced_pod")
        sent.return_value.data = b"{}"
        kubernetes.delete_pod("default", "mec-0", "uid-1")
        assert sent.call_args.args == ("mec-0", "default")
        assert sent.call_args.kwargs["body"] == {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": "uid-1"},
            "propagationPolicy": "Background",
        }
        assert "grace_period_seconds" not in sent.call_args.kwargs

    def test_another_incarnation_is_a_conflict_and_stays(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, uid: str
    ) -> None:
        with pytest.raises(Conflict, match="UID"):
            kubernetes.delete_pod("default", "mec-0", "another")
        pod = sandbox.get("pods", "mec-0", namespace="default")
        assert pod is not None
        assert (pod["metadata"]["uid"], "deletionTimestamp" in pod["metadata"]) == (uid, False)

    def test_a_pod_that_is_not_there_is_not_found(self, kubernetes: KubernetesCluster) -> None:
        with pytest.raises(NotFound):
            kubernetes.delete_pod("default", "mec-0", "uid")

    def test_a_dry_run_changes_nothing(self, sandbox: Sandbox, kubernetes: KubernetesCluster, uid: str) -> None:
        kubernetes.delete_pod("default", "mec-0", uid, dry_run=True)
        pod = sandbox.get("pods", "mec-0", namespace="default")
        assert pod is not None
        assert (pod["metadata"]["uid"], "deletionTimestamp" in pod["metadata"]) == (uid, False)

    def test_an_admission_webhooks_no_keeps_its_words(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, uid: str
    ) -> None:
        sandbox.refuse_delete = "not on a Sunday"
        with pytest.raises((AccessDenied, Refused), match="not on a Sunday"):
            kubernetes.delete_pod("default", "mec-0", uid)

    @pytest.mark.parametrize(
        ("said", "kept"),
        [
            ("authorization: Bearer c2VjcmV0LXNlY3JldA==", "authorization: Bearer ***"),
            ("authorization=Bearer%20c2VjcmV0LXNlY3JldA", "authorization=Bearer%20***"),
            ("X-Api-Key: eyJhbGciOiJSUzI1NiIs.eyJzdWIiOiJt.c2Vj-cmV0", "X-Api-Key: ***"),
        ],
    )
    def test_credentials_in_its_words_are_not_kept(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, uid: str, said: str, kept: str
    ) -> None:
        sandbox.refuse_delete = f"Basic authentication is off, got {said}"
        with pytest.raises(ClusterError, match=rf"Basic authentication is off, got {re.escape(kept)}$"):
            kubernetes.delete_pod("default", "mec-0", uid)


class TestAnnotate:
    def test_changes_that_annotation_of_that_incarnation_and_nothing_else(
        self, kubernetes: KubernetesCluster, mocker: MockerFixture
    ) -> None:
        """No finalizer, no label: a merge patch would remove what it names."""
        sent = mocker.patch.object(kubernetes._core, "patch_namespaced_pod")
        sent.return_value.data = b"{}"
        kubernetes.annotate_pod(pod(), "example.com/protected", "no")
        annotated = {"metadata": {"uid": "uid-1", "annotations": {"example.com/protected": "no"}}}
        assert sent.call_args.args == ("mec-0", "default", annotated)
        assert sent.call_args.kwargs["_content_type"] == "application/merge-patch+json"


class TestFailures:
    @pytest.mark.parametrize("status", [408, 410, 429, 500, 502, 503, 504])
    def test_a_passing_fault_is_unreachable_and_not_retried_behind_our_back(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, status: int
    ) -> None:
        sandbox.fail_next(method="GET", path_part="/pods", status=status, retry_after=7)
        with pytest.raises(Unreachable) as caught:
            kubernetes.pods("default")
        assert caught.value.retry_after == 7
        assert len(sandbox.requests) == 1

    def test_a_lost_answer_is_unreachable_and_the_delete_was_sent_once(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, uid: str
    ) -> None:
        sandbox.fail_next(method="DELETE", path_part="/pods", status=None, after=True)
        with pytest.raises(Unreachable, match="can't be reached"):
            kubernetes.delete_pod("default", "mec-0", uid)
        assert [one.verb for one in sandbox.requests] == ["delete"]

    def test_a_missing_right_is_said_in_the_api_servers_words(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster
    ) -> None:
        sandbox.forbid("list", "pods")
        with pytest.raises(AccessDenied, match='cannot list resource "pods"'):
            kubernetes.pods("default")

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b'{"items": [', "not complete JSON"),
            (b"<html>", "not complete JSON"),
            (b'{"items": ' + b"[" * 100_000, "not complete JSON"),
            (b'{"items": "\\ud800"}', "not complete JSON"),
            (b"[]", "not a JSON object"),
            (b"{}", "not a complete PodList"),
            (b'{"kind": "PodList", "apiVersion": "v1", "items": [], "metadata": {}}', "pods can't be read"),
            (b'{"kind": "PodList", "apiVersion": "v1", "items": [], "metadata": null}', "not a complete PodList"),
            (b'{"kind": "PodList", "apiVersion": "v1", "items": [], "metadata": "1"}', "not a complete PodList"),
            (whole_list_but({"items": {}}), "not a complete PodList"),
            (whole_list_but({"items": ""}), "not a complete PodList"),
            (b'{"kind": "PodList", "apiVersion": "v1", "items": [{}], "metadata": {}}', "field metadata"),
            (whole_list_but({"items": [{"metadata": {"name": 5, "uid": "u"}}]}), "field metadata.name"),
            (whole_list_but({"kind": "List"}), "not a complete PodList"),
            (whole_list_but({"kind": "NodeList"}), "not a complete PodList"),
            (whole_list_but({"metadata": {"resourceVersion": "1", "continue": "more"}}), "not a complete PodList"),
            (whole_list_but({"metadata": {"resourceVersion": "1", "remainingItemCount": 3}}), "not a complete PodList"),
            (whole_list_but({"apiVersion": "v2"}), "not a complete PodList"),
            (whole_list_but({"items": [{"kind": "Node"} | pod_json()]}), "not a complete PodList"),
        ],
    )
    def test_an_answer_that_is_no_answer_is_unreachable(
        self, kubernetes: KubernetesCluster, mocker: MockerFixture, body: bytes, said: str
    ) -> None:
        mocker.patch.object(kubernetes._core, "list_namespaced_pod").return_value.data = body
        with pytest.raises(Unreachable, match=said):
            kubernetes.pods("default")
        with pytest.raises(Unreachable, match=said):  # its first page would hide a second pod with these labels
            kubernetes.selected_pods("default", "app=mec")

    def test_nobody_listening_is_one_line(self, tmp_path: Path) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            closed = KubernetesCluster.from_kubeconfig(
                write_kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{unused.getsockname()[1]}")
            )
        with pytest.raises(
            Unreachable, match=r"the API server http://127.0.0.1:\d+ can't be reached: .*refused"
        ) as caught:
            closed.pods("default")
        assert "\n" not in str(caught.value)
        assert "object at 0x" not in str(caught.value)

    def test_a_tls_handshake_that_failed_is_no_answer_and_told_in_one_line(
        self, kubernetes: KubernetesCluster, mocker: MockerFixture
    ) -> None:
        failed = client.ApiException(status=0, reason="SSLError\n[SSL: SOME] self-signed certificate")
        mocker.patch.object(kubernetes._core, "list_namespaced_pod", side_effect=failed)
        with pytest.raises(Unreachable, match=r"can't be reached: SSLError \[SSL: SOME\] self-signed certificate$"):
            kubernetes.pods("default")

    def test_an_answer_of_several_lines_is_told_in_one(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, uid: str
    ) -> None:
        sandbox.refuse_delete = "no:\n  not on a Sunday"
        with pytest.raises(Refused, match="no: not on a Sunday"):
            kubernetes.delete_pod("default", "mec-0", uid)

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 503])
    @pytest.mark.parametrize(
        "said",
        [
            'admission webhook "w" denied the request: not on a Sunday',
            "pods \"mec-0\" is forbidden: ValidatingAdmissionPolicy 'keep' with binding 'all' denied request: no",
        ],
        ids=["webhook", "policy"],
    )
    def test_a_denial_is_final_whatever_status_it_was_given(
        self, kubernetes: KubernetesCluster, mocker: MockerFixture, status: int, said: str
    ) -> None:
        answered = client.ApiException(status=status, reason="No")
        answered.body = json.dumps({"kind": "Status", "message": said})
        send = mocker.patch.object(kubernetes._core, "delete_namespaced_pod", side_effect=answered)
        with pytest.raises(Refused) as caught:
            kubernetes.delete_pod("default", "mec-0", "uid")
        assert said == str(caught.value)
        assert send.call_count == 1

    def test_credentials_that_were_renewed_are_read_anew_once(
        self, kubernetes: KubernetesCluster, mocker: MockerFixture
    ) -> None:
        expired = mocker.patch.object(kubernetes._core, "list_namespaced_pod")
        expired.side_effect = client.ApiException(status=401)
        assert kubernetes.pods("default") == ()

    def test_a_kubeconfig_that_is_being_rewritten_as_credentials_expire_is_unreachable(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, mocker: MockerFixture
    ) -> None:
        mocker.patch.object(kubernetes._core, "list_namespaced_pod", side_effect=client.ApiException(status=401))
        sandbox.kubeconfig.write_text("{")
        with pytest.raises(Unreachable, match="it is not YAML"):
            kubernetes.pods("default")

    @pytest.mark.parametrize(
        ("said", "quoted"),
        [
            ("no: password=hunter22, ask later", "no: password=***, ask later"),
            ('got {"client_secret": "s3cr3t-value"} back', 'got {"client_secret": "***"} back'),
            ("api_key: abcdef123456", "api_key: ***"),
            ("the access-key=XYZ12345; region=a", "the access-key=***; region=a"),
            ("dial https://me:hunter22@db.example.com/x", "dial https://***@db.example.com/x"),
            ("with AKIAIOSFODNN7EXAMPLE in it", "with *** in it"),
            ("token ghp_0123456789abcdefABCDEF was used", "token *** was used"),
            ('pods "token-0" is forbidden: no', 'pods "token-0" is forbidden: no'),
            ("secret mec-tls not found", "secret mec-tls not found"),
        ],
    )
    def test_what_looks_like_a_secret_is_not_quoted(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, uid: str, said: str, quoted: str
    ) -> None:
        """A webhook's words may hold what it was configured with."""
        sandbox.refuse_delete = said
        with pytest.raises(Refused) as caught:
            kubernetes.delete_pod("default", "mec-0", uid)
        assert f'admission webhook "w" denied the request: {quoted}' == str(caught.value)

    def test_a_token_that_makes_no_header_is_not_quoted(self, sandbox: Sandbox, tmp_path: Path) -> None:
        path = write_kubeconfig(tmp_path / "kubeconfig", sandbox.url, token="s3cret\n")  # noqa: S106 -- made up
        with pytest.raises(ConfigError, match="user 'me': token holds a character that can't be sent") as caught:
            KubernetesCluster.from_kubeconfig(path)
        assert "s3cret" not in "".join(format_exception(caught.value))

    def test_the_watch_socket_is_kept_alive(self, kubernetes: KubernetesCluster) -> None:
        options = kubernetes._wire._pools.connection_pool_kw["socket_options"]
        assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in options

    def test_credentials_that_stay_refused_are_an_access_denied(
        self, kubernetes: KubernetesCluster, mocker: MockerFixture
    ) -> None:
        refused = mocker.patch.object(client.CoreV1Api, "list_namespaced_pod", side_effect=client.ApiException(401))
        with pytest.raises(AccessDenied, match="does not accept these credentials"):
            kubernetes.pods("default")
        assert refused.call_count == 2


class Seconds:
    """A monotonic clock that stands until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class TestWatch:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Seconds:
        clock = Seconds()
        monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=clock, sleep=time.sleep))
        return clock

    @pytest.fixture
    def watch(self, kubernetes: KubernetesCluster) -> Iterator[Any]:
        with kubernetes.watch("default") as watch:
            yield watch

    def test_asks_nothing_before_its_first_look(self, sandbox: Sandbox, watch: Any) -> None:
        assert watch
        assert sandbox.requests == ()

    def test_a_list_and_one_watch_serve_every_look(self, sandbox: Sandbox, watch: Any, uid: str) -> None:
        assert [pod.uid for pod in watch.look("mec-0")] == [uid]
        sandbox.delete("pods", "mec-0")
        sandbox.wait_for(lambda: watch.wait(1) and all(pod.uid != uid for pod in watch.look("mec-0")))
        sandbox.wait_for(lambda: watch.look("mec-0") or not watch.wait(1))
        assert [one.verb for one in sandbox.requests] == ["list", "watch"]

    def test_asks_the_api_server_to_end_it_in_time_and_to_send_bookmarks(self, sandbox: Sandbox, watch: Any) -> None:
        watch.look("mec-0")
        watch.wait(0)
        sandbox.wait_for(lambda: len(sandbox.requests) == 2)
        asked = sandbox.requests[1].query
        assert (asked["timeoutSeconds"], asked["allowWatchBookmarks"].lower()) == (str(watching.WATCH_SECONDS), "true")

    @pytest.mark.parametrize("kind", ["ERROR", "SOMETHING NEW"])
    def test_what_is_no_change_of_a_pod_ends_the_watch(self, kind: str) -> None:
        """An expired version comes as an ERROR with status 200: what the watch has is no longer all there is."""
        stream = watching._Stream(lambda: None, (pod(),), threading.Event())
        assert not stream._take({"type": kind, "object": {"kind": "Status", "code": 410}})

    def test_a_blank_line_does_not_end_the_watch(self) -> None:
        line = json.dumps({"type": "ADDED", "object": pod_json(uid="uid-2")}).encode()
        stream = watching._Stream(lambda: iter([b"\n", line + b"\n"]), (), threading.Event())
        stream.run()
        assert [one.uid for one in stream.pods()] == ["uid-2"]

    def test_a_deletion_takes_away_that_incarnation_and_no_other(self) -> None:
        stream = watching._Stream(lambda: None, (pod(uid="uid-2"),), threading.Event())
        for uid, left in (("uid-1", ["uid-2"]), ("uid-2", [])):
            assert stream._take({"type": "DELETED", "object": pod_json(uid=uid)})
            assert [one.uid for one in stream.pods()] == left

    def test_an_expired_version_is_listed_again(self, sandbox: Sandbox, watch: Any, uid: str) -> None:
        watch.look("mec-0")
        sandbox.patch("pods", "mec-0", {"metadata": {"labels": {"a": "b"}}})
        sandbox.compact()
        assert watch.wait(5)
        assert [pod.uid for pod in watch.look("mec-0")] == [uid]
        assert [one.verb for one in sandbox.requests] == ["list", "watch", "list"]

    def test_a_watch_that_closes_wakes_the_waiter_and_is_opened_again_after_a_pause(
        self, sandbox: Sandbox, watch: Any, uid: str, clock: Seconds
    ) -> None:
        watch.look("mec-0")
        watch.wait(0)
        sandbox.wait_for(lambda: [one.status for one in sandbox.requests] == [200, 200])
        sandbox.drop_watches()
        assert watch.wait(5)
        for _ in range(50):
            assert [pod.uid for pod in watch.look("mec-0")] == [uid]
            watch.wait(0)
        assert [one.verb for one in sandbox.requests] == ["list", "watch", *["list"] * 50]
        clock.now += 2
        watch.look("mec-0")
        sandbox.wait_for(lambda: [one.verb for one in sandbox.requests].count("watch") == 2)

    def test_without_the_right_to_watch_each_look_lists(self, sandbox: Sandbox, watch: Any, uid: str) -> None:
        sandbox.forbid("watch", "pods")
        watch.look("mec-0")
        watch.wait(5)
        for _ in range(3):
            assert [pod.uid for pod in watch.look("mec-0")] == [uid]
            watch.wait(0)
        assert [one.verb for one in sandbox.requests] == ["list", "watch", "list", "list", "list"]

    def test_a_silent_watch_gets_one_plain_look(self, sandbox: Sandbox, watch: Any, uid: str, clock: Seconds) -> None:
        for seconds, lists in ((0, 1), (watching.SILENCE, 1), (watching.SILENCE + 1, 2)):
            clock.now += seconds
            assert [pod.uid for pod in watch.look("mec-0")] == [uid]
            watch.wait(0)
            assert [one.verb for one in sandbox.requests].count("list") == lists

    def test_a_watch_that_gets_bookmarks_alone_is_not_silent(self, clock: Seconds) -> None:
        """A real API server (1.20) sends one after 60.1 to 60.8 s."""
        with Sandbox(speed=6000) as sandbox:
            watch: Any
            with KubernetesCluster.from_kubeconfig(sandbox.kubeconfig).watch("default") as watch:
                watch.look("mec-0")
                watch.wait(0)
                for _ in range(3):
                    with sandbox.held():
                        clock.now += 60.8
                        watch.look("mec-0")
                    sandbox.wait_for(lambda: watch._stream.last_event == clock.now)
            assert [one.verb for one in sandbox.requests] == ["list", "watch"]

    def test_a_watch_that_tells_of_something_is_not_silent(
        self, sandbox: Sandbox, watch: Any, uid: str, clock: Seconds
    ) -> None:
        watch.look("mec-0")
        watch.wait(0)
        for label in "ab":
            clock.now += watching.SILENCE - 1
            sandbox.patch("pods", "mec-0", {"metadata": {"labels": {"told": label}}})
            assert watch.wait(5)
            assert [one.uid for one in watch.look("mec-0")] == [uid]
        assert [one.verb for one in sandbox.requests] == ["list", "watch"]

    def test_one_that_lived_for_a_while_makes_up_for_those_that_failed(
        self, sandbox: Sandbox, watch: Any, uid: str, clock: Seconds
    ) -> None:
        for pause, lives in ((0, 0), (2, watching.LASTING + 1), (0, 0)):
            assert [one.uid for one in watch.look("mec-0")] == [uid]
            clock.now += pause
            watch.wait(0)
            sandbox.wait_for(lambda: (sandbox.requests[-1].verb, sandbox.requests[-1].status) == ("watch", 200))
            clock.now += lives
            sandbox.drop_watches()
            watch._stream.join(5)

    def test_an_api_server_whose_versions_went_back_is_listed_again(
        self, sandbox: Sandbox, watch: Any, uid: str
    ) -> None:
        restore = sandbox.back_up()
        sandbox.patch("pods", "mec-0", {"metadata": {"labels": {"a": "b"}}})
        watch.look("mec-0")
        watch.wait(0)
        sandbox.wait_for(lambda: [one.status for one in sandbox.requests] == [200, 200])
        restore()
        assert watch.wait(5)
        (seen,) = watch.look("mec-0")
        assert (seen.uid, "a" in seen.metadata.labels) == (uid, False)

    def test_a_watch_from_a_version_that_is_yet_to_come_again_is_silent_and_is_listed_anew(
        self, sandbox: Sandbox, watch: Any, uid: str, clock: Seconds
    ) -> None:
        """The data went back between the list and the watch: no event is told until that version is reached anew."""
        restore = sandbox.back_up()
        for label in "abc":
            sandbox.patch("pods", "mec-0", {"metadata": {"labels": {"told": label}}})
        watch.look("mec-0")
        restore()
        watch.wait(0)
        sandbox.wait_for(lambda: [one.status for one in sandbox.requests] == [200, 200])
        sandbox.patch("pods", "mec-0", {"metadata": {"labels": {"told": "d"}}})
        assert not watch.wait(0.1)
        clock.now += watching.SILENCE + 1
        (seen,) = watch.look("mec-0")
        assert (seen.uid, seen.metadata.labels["told"]) == (uid, "d")
        watch.wait(0)
        sandbox.wait_for(lambda: [one.verb for one in sandbox.requests] == ["list", "watch", "list", "watch"])
        sandbox.patch("pods", "mec-0", {"metadata": {"labels": {"told": "e"}}})
        assert watch.wait(5)

    def test_another_name_is_listed_anew(self, sandbox: Sandbox, watch: Any, uid: str) -> None:
        watch.look("mec-0")
        assert [pod.uid for pod in watch.look(None)] == [uid]
        assert [one.verb for one in sandbox.requests].count("list") == 2

    def test_leaves_no_thread_behind(self, kubernetes: KubernetesCluster, uid: str) -> None:
        with kubernetes.watch("default") as watch:
            watch.look("mec-0")
            watch.wait(0)
            assert uid
        assert "mecbounce-watch" not in {thread.name for thread in threading.enumerate()}

    def test_closed_while_it_opens_leaves_no_thread_behind_either(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, uid: str
    ) -> None:
        with kubernetes.watch("default") as watch:
            watch.look("mec-0")
            with sandbox.held():
                watch.wait(0)
                assert "mecbounce-watch" in {thread.name for thread in threading.enumerate()}
                watch.close()  # type: ignore[attr-defined]
        assert uid
        sandbox.wait_for(lambda: "mecbounce-watch" not in {thread.name for thread in threading.enumerate()})

    def test_a_watch_that_keeps_failing_is_opened_again_after_growing_pauses(
        self, sandbox: Sandbox, watch: Any, uid: str, clock: Seconds
    ) -> None:
        sandbox.forbid("watch", "pods")
        opened = []
        for _ in range(200):
            before = len([one for one in sandbox.requests if one.verb == "watch"])
            watch.look("mec-0")
            watch.wait(0)
            if watch._stream is not None:
                watch._stream.join(5)
            if len([one for one in sandbox.requests if one.verb == "watch"]) > before:
                opened.append(clock.now)
            clock.now += 1
        gaps = [after - before for before, after in pairwise(opened)]  # an end is noticed at the next look
        assert all(pause <= gap <= pause + 1 for pause, gap in zip([2, 4, 8, 16, 30, 30], gaps, strict=False))
        assert len(gaps) >= 6
        assert uid

    def test_a_pause_is_not_cut_short_by_changes(self, sandbox: Sandbox, watch: Any, uid: str) -> None:
        watch.look("mec-0")
        watch.wait(0)
        sandbox.patch("pods", "mec-0", {"metadata": {"labels": {"a": "b"}}})
        began = time.monotonic()
        watch.pause(0.05)
        assert time.monotonic() - began >= 0.05
        assert uid


class TestWholeBounce:
    def bounce(self, sandbox: Sandbox, request: BounceRequest, **options: Any) -> Any:
        kubernetes = KubernetesCluster.from_kubeconfig(sandbox.kubeconfig)
        return BounceTask(request, kubernetes, MappingStore({}, flush=lambda: None), **options).perform()

    def test_takes_four_requests_and_one_delete(self, sandbox: Sandbox, uid: str) -> None:
        result = self.bounce(sandbox, request(), events=False)
        assert result.state is State.DONE
        assert result.new_pod.uid != uid
        assert sorted(one.verb for one in sandbox.requests) == ["delete", "get", "list", "watch"]

    def test_a_protection_takes_one_more_and_one_that_goes_by_name_two(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, uid: str
    ) -> None:
        """The pod is looked at right before; the annotation's patch has its UID as precondition instead."""
        sandbox.patch("pods", "mec-0", {"metadata": {"annotations": {"example.com/protected": "on"}}})
        asked = []
        for protection in (
            AnnotationProtection(kubernetes, "example.com/protected", "off"),
            HttpProtection(kubernetes, 8080, "/protection"),
        ):
            before = len(sandbox.requests)
            assert self.bounce(sandbox, request(), protection=protection, events=False).state is State.DONE
            asked.append(len(sandbox.requests) - before)
        assert asked == [5, 6]
        assert uid

    def test_its_two_events_take_two_of_their_own(self, sandbox: Sandbox, uid: str) -> None:
        """Seen from Kubernetes: `Bouncing` on the old pod, `Bounced` on the custom resource."""
        result = self.bounce(sandbox, request())
        verbs = [one.verb for one in sandbox.requests]
        assert sorted(verbs) == ["create", "create", "delete", "get", "list", "watch"]
        assert verbs.index("create") < verbs.index("delete")
        node = sandbox.get("expressnodes", "mec-0", namespace="default")
        assert node is not None
        told = [one for one in sandbox.objects("events") if one["source"].get("component") == "mecbounce"]
        about = {one["reason"]: (one["involvedObject"]["uid"], one["related"]["uid"]) for one in told}
        assert about == {
            "Bouncing": (uid, node["metadata"]["uid"]),
            "Bounced": (node["metadata"]["uid"], result.new_pod.uid),
        }

    def two_of_a_kind(self, sandbox: Sandbox, *owners: dict[str, Any]) -> list[str]:
        """Let a ReplicaSet make two pods, and give their names."""
        labels = {"app": "web"}
        marked = {"labels": labels, "annotations": {"example.com/protected": "on"}}
        template = {"metadata": marked, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
        spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
        metadata = {"name": "web", "namespace": "default", "ownerReferences": [*owners]}
        sandbox.create({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec})
        return self.ready(sandbox, 2)

    def ready(self, sandbox: Sandbox, number: int) -> list[str]:
        """Wait until so many pods are ready, and give their names."""
        kubernetes = KubernetesCluster.from_kubeconfig(sandbox.kubeconfig)
        found: list[Pod] = []

        def are_ready() -> bool:
            found[:] = kubernetes.selected_pods("default", "app=web")
            return [_is_ready(pod) for pod in found] == [True] * number

        sandbox.wait_for(are_ready)
        return sorted(pod.name for pod in found)

    def test_a_node_that_is_found_takes_one_more(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, uid: str
    ) -> None:
        """Six, with the protection's: its type is asked for. One that is to be asked for nothing is not read."""
        sandbox.patch("pods", "mec-0", {"metadata": {"annotations": {"example.com/protected": "on"}}})
        protection = AnnotationProtection(kubernetes, "example.com/protected", "off")
        result = self.bounce(sandbox, request(node="auto"), protection=protection, events=False)
        assert (result.state, result.node) == (State.DONE, str(NODE))
        assert [(one.verb, one.path.rpartition("/")[2]) for one in sandbox.requests if one.verb == "get"] == [
            ("get", "v1"),
            ("get", "mec-0"),
        ]
        assert len(sandbox.requests) == 6
        assert uid

    def test_a_generated_name_takes_two_more(self, sandbox: Sandbox) -> None:
        """A list of all pods beside that of its name, and one right before the DELETE."""
        names = self.two_of_a_kind(sandbox)
        before = len(sandbox.requests)
        result = self.bounce(sandbox, request(pod=names[0], node=None), events=False)
        assert result.state is State.DONE
        assert result.new_pod.name not in names
        assert sorted(one.verb for one in sandbox.requests[before:]) == ["delete", "list", "list", "list", "watch"]

    def test_the_most_that_it_takes_without_trouble(self, sandbox: Sandbox, kubernetes: KubernetesCluster) -> None:
        """Eight for a generated name with a resource to be found and an annotation; one for the controller between."""
        sandbox.add_node("mec-0")
        node = sandbox.get("expressnodes", "mec-0")
        assert node is not None
        owner = {"name": "mec-0", "uid": node["metadata"]["uid"], "controller": True}
        names = self.two_of_a_kind(sandbox, {"apiVersion": node["apiVersion"], "kind": node["kind"], **owner})
        before = len(sandbox.requests)
        protection = AnnotationProtection(kubernetes, "example.com/protected", "off")
        result = self.bounce(sandbox, request(pod=names[-1], node="auto"), protection=protection, events=False)
        assert (result.state, result.notices) == (State.DONE, ())
        asked = [(one.verb, one.path.partition("/default/")[2].partition("/")[0]) for one in sandbox.requests[before:]]
        assert sorted(map(" ".join, asked)) == [
            *("delete pods", "get ", "get expressnodes", "get replicasets"),  # the one without a namespace: its type
            *("list pods", "list pods", "list pods", "patch pods", "watch pods"),
        ]

    def test_a_pod_that_a_scale_up_made_right_before_the_delete_is_not_the_replacement(self, sandbox: Sandbox) -> None:
        """The watch has not told of it yet: it shows the list that it began with."""
        names = self.two_of_a_kind(sandbox)
        scaled: list[str] = []

        def scale_up(record: Any) -> None:
            if record.state is State.DELETE_POD:
                sandbox.patch("replicasets", "web", {"spec": {"replicas": 3}})
                scaled.extend({*self.ready(sandbox, 3)} - {*names})

        result = self.bounce(sandbox, request(pod=names[0], node=None), events=False, observe=scale_up)
        assert result.state is State.DONE
        assert result.new_pod.name not in {*names, *scaled}

    def test_survives_a_watch_that_is_dropped_and_an_answer_that_is_lost(self, sandbox: Sandbox, uid: str) -> None:
        sandbox.behave(Behaviour(stops_after=2))
        sandbox.fail_next(method="DELETE", path_part="/pods", status=None, after=True)

        def drop(record: Any) -> None:
            if record.state is State.AWAIT_TERMINATION:
                sandbox.drop_watches()

        result = self.bounce(sandbox, request(), observe=drop)
        assert result.state is State.DONE
        assert [one.verb for one in sandbox.requests].count("delete") == 1
        assert result.old_pod.uid == uid


class TestAnApiServerRestoredFromABackup:
    """There is one DELETE at most, and the end says what a look has shown."""

    def bounced(
        self,
        sandbox: Sandbox,
        when: Callable[[BounceRecord], bool],
        restore: Callable[[], None],
        *,
        late: bool = False,
        progress: Callable[[Progress], object] | None = None,
    ) -> Any:
        """Bounce the pod and restore the backup once, at `when`. `late`: from then on each deadline passes at once."""
        restored: list[BounceRecord] = []
        ahead = timedelta()

        def observe(record: BounceRecord) -> None:
            nonlocal ahead
            if not restored and when(record):
                restored.append(record)
                restore()
            if restored and late and record.state in WAITING:
                ahead += timedelta(hours=1)

        result = BounceTask(
            request(),
            KubernetesCluster.from_kubeconfig(sandbox.kubeconfig),
            MappingStore({}, flush=lambda: None),
            observe=observe,
            progress=progress,
            clock=lambda: datetime.now(UTC) + ahead,
        ).perform()
        assert restored
        assert [one.verb for one in sandbox.requests].count("delete") <= 1
        return result

    def backup_at(self, sandbox: Sandbox, when: Callable[[dict[str, Any] | None], bool]) -> Callable[[], None]:
        """Make a backup right after the first change of a pod that fits, and give what restores it."""
        made: list[Callable[[], None]] = []

        def look(change: Any) -> None:
            if not made and change.key[0].plural == "pods" and when(change.new):
                made.append(sandbox.back_up())

        sandbox._store.listeners.append(look)

        def restore() -> None:
            made[0]()

        return restore

    @pytest.mark.parametrize("state", BEFORE_DELETION)
    def test_before_the_deletion_it_changes_nothing(self, sandbox: Sandbox, uid: str, state: State) -> None:
        restore = sandbox.back_up()
        sandbox.patch("pods", "mec-0", {"metadata": {"labels": {"a": "b"}}})
        result = self.bounced(sandbox, lambda record: record.state is state, restore)
        assert (result.state, result.old_pod.uid) == (State.DONE, uid)
        assert result.new_pod.uid != uid

    @pytest.mark.parametrize(
        ("state", "event"),
        [(State.AWAIT_TERMINATION, Event.TERMINATION_TIMEOUT), (State.AWAIT_READY, Event.NOT_RECREATED)],
    )
    def test_after_it_the_old_pod_is_said_to_stand_and_is_not_deleted_again(
        self, sandbox: Sandbox, uid: str, state: State, event: Event
    ) -> None:
        result = self.bounced(sandbox, lambda record: record.state is state, sandbox.back_up(), late=True)
        assert (result.event, result.diagnosis.code) == (event, "deletion_lost")
        assert f"pod_uid={uid}, " in result.advice
        stands = sandbox.get("pods", "mec-0")
        assert stands is not None
        assert (stands["metadata"]["uid"], "deletionTimestamp" in stands["metadata"]) == (uid, False)

    def test_a_deletion_that_had_begun_in_it_is_waited_for(self, sandbox: Sandbox, uid: str) -> None:
        """A finalizer keeps the old pod until a look has shown it: at first, and again once it is back."""
        sandbox.patch("pods", "mec-0", {"metadata": {"finalizers": ["example.com/keep"]}})
        restore = self.backup_at(sandbox, lambda pod: pod is not None and "deletionTimestamp" in pod["metadata"])

        def progress(found: Progress) -> None:
            for one in found.look.pods if found.look else ():
                if one.uid == uid and one.terminating:
                    sandbox.patch("pods", "mec-0", {"metadata": {"finalizers": None}})

        result = self.bounced(sandbox, lambda record: record.state is State.AWAIT_READY, restore, progress=progress)
        assert (result.state, result.old_pod.uid) == (State.DONE, uid)
        assert result.new_pod.uid != uid

    def test_a_replacement_that_is_not_in_it_is_no_longer_waited_for(self, sandbox: Sandbox, uid: str) -> None:
        restored = self.backup_at(sandbox, lambda pod: pod is None)
        sandbox.behave(Behaviour(starts_after=60))
        lost: list[str] = []

        def came(record: BounceRecord) -> bool:
            return record.state is State.AWAIT_READY and record.new_pod is not None

        def restore() -> None:
            lost.extend(one["metadata"]["uid"] for one in sandbox.objects("pods"))
            sandbox.behave(Behaviour())
            restored()

        result = self.bounced(sandbox, came, restore)
        stands = sandbox.get("pods", "mec-0")
        assert stands is not None
        assert (result.state, result.new_pod.uid) == (State.DONE, stands["metadata"]["uid"])
        assert result.new_pod.uid not in {uid, *lost}
        assert "replaced_again" in [notice.code for notice in result.notices]

    @pytest.mark.parametrize("state", [State.INIT_CHECKS, State.DELETE_POD, *WAITING])
    def test_from_before_its_resource_was_made_that_is_missing(self, sandbox: Sandbox, state: State) -> None:
        restore = sandbox.back_up()
        sandbox.add_node("mec-0")
        result = self.bounced(sandbox, lambda record: record.state is state, restore, late=True)
        assert result.state is State.FAILED
        if state is State.INIT_CHECKS:
            assert result.event is Event.NODE_MISSING
        else:
            assert result.diagnosis.code == "node_missing"


class TestConfiguration:
    def test_a_kubeconfig_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="nowhere: there is no such file"):
            KubernetesCluster.from_kubeconfig(tmp_path / "nowhere")

    @pytest.mark.parametrize(
        "text",
        [
            *("{", "[]", "5", "", "clusters: 5", "token: [secret\n b", "contexts: [{name: null, is: secret}]"),
            *("token: *secret", "token: !secret 5", "token: !!python/object:secret {}", "a: 1\n\tsecret: 2"),
        ],
    )
    def test_a_kubeconfig_that_is_none_is_named_and_not_quoted(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "config"
        path.write_text(text)
        with pytest.raises(ConfigError, match=f"kubeconfig {path}") as caught:
            KubernetesCluster.from_kubeconfig(path)
        assert "secret" not in "".join(format_exception(caught.value)).replace(text, "")
        assert "\n" not in str(caught.value)

    def test_a_context_that_is_not_there_is_named(self, sandbox: Sandbox) -> None:
        with pytest.raises(ConfigError, match=r"context 'nope': .* no such context"):
            KubernetesCluster.from_kubeconfig(sandbox.kubeconfig, "nope")

    def test_a_cluster_that_is_not_there_is_not_taken_for_the_context(self, tmp_path: Path) -> None:
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(kubeconfig("http://127.0.0.1:1", {}) | {"clusters": []}))
        with pytest.raises(
            ConfigError, match=r"^kubeconfig .*: context 'it' names a cluster that is not among its clusters"
        ):
            KubernetesCluster.from_kubeconfig(path, "it")

    @pytest.mark.parametrize("command", ["/nowhere/plugin", "false"])
    def test_a_credential_plugin_that_fails_is_named_and_logs_nothing(
        self, tmp_path: Path, command: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "kubeconfig"
        plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": command, "interactiveMode": "Never"}
        path.write_text(json.dumps(kubeconfig("http://127.0.0.1:1", {"exec": plugin})))
        with pytest.raises(ConfigError, match=f"^kubeconfig {path}: user 'me': its credential plugin failed"):
            KubernetesCluster.from_kubeconfig(path)
        assert caplog.records == []

    def test_a_credential_plugin_that_fails_later_is_waited_for_and_logs_nothing(
        self, sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Its token has expired, or the API server takes it no more: it is asked again."""
        path, once = tmp_path / "kubeconfig", tmp_path / "once"
        credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
        credential["status"] = {"token": "t", "expirationTimestamp": "2020-01-01T00:00:00Z"}  # type: ignore[assignment]
        script = f"test -e {once} && exit 1; touch {once}; echo '{json.dumps(credential)}'"
        plugin = {"apiVersion": credential["apiVersion"], "command": "sh", "args": ["-c", script]}
        path.write_text(json.dumps(kubeconfig(sandbox.url, {"exec": plugin | {"interactiveMode": "Never"}})))
        cluster = KubernetesCluster.from_kubeconfig(path)
        with pytest.raises(Unreachable, match="credential plugin failed; run it to see why"):
            cluster.pods("default")
        assert caplog.records == []
        assert sandbox.requests == ()

    def test_while_a_credential_plugin_runs_the_log_of_others_is_left_alone(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Another thread's plugin too: it has a request of its own that must not go on without credentials."""

        def _load_from_exec_plugin() -> None:  # as the client's own that logs it
            logging.getLogger().error("a plugin's")

        with access._unquoted_plugin() as failures:
            logging.getLogger().error("somebody's own")
            another = threading.Thread(target=_load_from_exec_plugin)
            another.start()
            another.join()
            assert failures == []
            _load_from_exec_plugin()
        assert [one.getMessage() for one in caplog.records] == ["somebody's own", "a plugin's"]
        assert len(failures) == 1

    def test_a_token_that_cannot_be_read_anew_is_unreachable(self, sandbox: Sandbox) -> None:
        """In a pod the client reads its service account's token again and again; a file may be empty for a moment."""

        def refresh(_: client.Configuration) -> None:
            raise ConfigException("Token file exists but empty.")

        configuration = client.Configuration()
        configuration.host, configuration.api_key = sandbox.url, {"BearerToken": "Bearer valid"}
        configuration.refresh_api_key_hook = refresh
        cluster = KubernetesCluster.from_api_client(client.ApiClient(configuration))
        with pytest.raises(Unreachable, match="credentials could not be read again"):
            cluster.pods("default")

    def test_a_cluster_tells_its_context_and_namespace(self, sandbox: Sandbox) -> None:
        cluster = KubernetesCluster.from_kubeconfig(sandbox.kubeconfig)
        assert (cluster.context, cluster.namespace) == ("sandbox", "default")
        assert KubernetesCluster.contexts(sandbox.kubeconfig) == ("sandbox",)

    def test_describe_kubeconfig_still_works_and_is_deprecated(self, sandbox: Sandbox) -> None:
        with pytest.warns(DeprecationWarning, match=r"use \.context and \.namespace"):
            assert KubernetesCluster.describe_kubeconfig(sandbox.kubeconfig) == ("sandbox", "default")

    def test_the_namespace_is_its_contexts_own(self, tmp_path: Path) -> None:
        path, content = tmp_path / "kubeconfig", kubeconfig("http://127.0.0.1:1", {})
        content["contexts"][0]["context"]["namespace"] = "mec"
        path.write_text(json.dumps(content))
        cluster = KubernetesCluster.from_kubeconfig(path)
        assert (cluster.context, cluster.namespace) == ("it", "mec")

    @pytest.mark.parametrize("server", ["ftp://127.0.0.1:1", "127.0.0.1:1", "https://", "https:///api"])
    def test_a_server_that_is_no_http_or_https_address_is_refused(self, tmp_path: Path, server: str) -> None:
        path = write_kubeconfig(tmp_path / "kubeconfig", server)
        with pytest.raises(
            ConfigError, match=rf"^kubeconfig {path}: cluster '\w+': server is not an http or https address$"
        ):
            KubernetesCluster.from_kubeconfig(path)

    def test_a_secret_in_the_servers_address_is_not_named(self, tmp_path: Path) -> None:
        path = write_kubeconfig(tmp_path / "kubeconfig", "http://me:secret@127.0.0.1:1/api?token=secret")
        assert KubernetesCluster.from_kubeconfig(path).server == "http://127.0.0.1:1/api"

    def test_outside_of_a_cluster_in_cluster_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        with pytest.raises(ConfigError, match="in-cluster credentials"):
            KubernetesCluster.in_cluster()

    def test_another_client_is_used_and_left_as_it_is(self, sandbox: Sandbox) -> None:
        configuration = client.Configuration()
        configuration.host = sandbox.url
        own = client.ApiClient(configuration)
        agent = own.user_agent
        assert KubernetesCluster.from_api_client(own).host("node1").name == "node1"
        assert (own.user_agent, configuration.retries) == (agent, None)

    def test_a_proxy_of_the_environment_does_not_capture_loopback(
        self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        assert KubernetesCluster.from_kubeconfig(sandbox.kubeconfig).host("node1").name == "node1"


THROUGH_PROXY = {"proxy-url": "http://me:old@127.0.0.1:1", "certificate-authority-data": "eA=="}
IMPERSONATING = {"as": "bob", "as-groups": ["g"], "as-user-extra": {"scope": ["a"]}}
UNDO = "This bounce stays with the old one: restore its entry, or stop and start again"
BOB = "User 'bob', Group 'g'"


class TestTarget:
    """Which API server it is, is decided as the cluster is made."""

    @staticmethod
    def two(tmp_path: Path, here: str, there: str, current: str, **cluster: Any) -> Path:
        path = tmp_path / "kubeconfig"
        content = {
            "clusters": [
                {"name": "here", "cluster": {"server": here} | cluster},
                {"name": "there", "cluster": {"server": there}},
            ],
            "users": [{"name": "me", "user": {"token": "valid"}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in ("here", "there")],
            "current-context": current,
        }
        path.write_text(json.dumps(content))
        return path

    def test_another_current_context_is_not_followed(self, sandbox: Sandbox, tmp_path: Path) -> None:
        """As `kubectl config use-context` in another shell leaves it, when credentials are read anew."""
        with ApiServer() as elsewhere:
            cluster = KubernetesCluster.from_kubeconfig(self.two(tmp_path, sandbox.url, elsewhere.url, "here"))
            self.two(tmp_path, sandbox.url, elsewhere.url, "there")
            sandbox.fail_next(status=401)
            assert cluster.host("node1").name == "node1"
            assert elsewhere.seen == []

    def test_another_kubeconfig_is_not_followed(
        self, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with ApiServer() as elsewhere:
            monkeypatch.setenv("KUBECONFIG", str(self.two(tmp_path, sandbox.url, elsewhere.url, "here")))
            cluster = KubernetesCluster.from_kubeconfig()
            (tmp_path / "other").mkdir()
            monkeypatch.setenv("KUBECONFIG", str(self.two(tmp_path / "other", sandbox.url, elsewhere.url, "there")))
            sandbox.fail_next(status=401)
            assert cluster.host("node1").name == "node1"
            assert elsewhere.seen == []

    @pytest.mark.parametrize("changed", ["server", "authority", "verification", "proxy"])
    def test_a_context_that_has_become_another_api_servers_is_refused_and_both_are_named(
        self, sandbox: Sandbox, tmp_path: Path, changed: str
    ) -> None:
        with ApiServer() as elsewhere:
            cluster = KubernetesCluster.from_kubeconfig(self.two(tmp_path, sandbox.url, elsewhere.url, "here"))
            now, goes = sandbox.url, dict[str, Any]()
            told = "certificate authority or server name"
            if changed == "server":
                now, told = elsewhere.url, f"API server: {elsewhere.url} instead of {sandbox.url}"
            elif changed == "proxy":
                goes, told = {"proxy-url": elsewhere.url}, f"proxy: {elsewhere.url} instead of none"
            else:
                goes = {"tls-server-name": "x.com"} if changed == "authority" else {"insecure-skip-tls-verify": True}
            self.two(tmp_path, now, elsewhere.url, "here", **goes)
            sandbox.fail_next(status=401)
            with pytest.raises(Unreachable) as caught:
                cluster.host("node1")
            assert f"the kubeconfig now names another {told}. {UNDO}" == str(caught.value)
            assert elsewhere.seen == []

    @pytest.mark.parametrize(
        ("cluster", "user", "told"),
        [
            (
                {"proxy-url": "http://me:s3cr3t@127.0.0.1:2"},
                {},
                "proxy: http://127.0.0.1:2 instead of http://127.0.0.1:1",
            ),
            ({"proxy-url": None}, {}, "proxy: none instead of http://127.0.0.1:1"),
            (
                {"certificate-authority-data": None},
                {},
                "certificate authority or server name",
            ),
            (
                {},
                {"as": "root"},
                f"user to impersonate: User 'root', Group 'g' instead of {BOB}",
            ),
            (
                {},
                {"as": None, "as-groups": None, "as-user-extra": None},
                f"user to impersonate: none instead of {BOB}",
            ),
            (
                {},
                {"as-groups": ["g", "admins"]},
                f"user to impersonate: User 'bob', Group 'g', Group 'admins' instead of {BOB}",
            ),
            (
                {},
                {"as-uid": "7"},
                f"user to impersonate: User 'bob', Uid '7', Group 'g' instead of {BOB}",
            ),
            (
                {},
                {"as-user-extra": {"scope": ["s3cr3t"]}},
                "as-user-extra",
            ),
            ({}, {"name": "admin"}, "user: 'admin' instead of 'me'"),
        ],
    )
    def test_another_proxy_and_another_user_are_refused_and_both_are_named(
        self, tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], told: str
    ) -> None:
        """Renewed credentials must not lead through another proxy, nor act as somebody else."""
        path = tmp_path / "kubeconfig"

        def write(cluster: dict[str, Any], user: dict[str, Any]) -> None:
            content = kubeconfig("http://127.0.0.1:9", IMPERSONATING | user, **(THROUGH_PROXY | cluster))
            name = content["users"][0]["user"].pop("name", "me")
            content["users"][0]["name"] = content["contexts"][0]["context"]["user"] = name
            path.write_text(json.dumps(content))

        write({}, {})
        made = KubernetesCluster.from_kubeconfig(path)
        write(cluster, user | {"token": "renewed"})
        with pytest.raises(Unreachable) as caught:
            made._sign_in_again(made._access)
        assert f"the kubeconfig now names another {told}. {UNDO}" == str(caught.value)
        assert "s3cr3t" not in str(caught.value)

        write({}, {"token": "renewed"})
        made._sign_in_again(made._access)
        assert ("Authorization", "Bearer renewed") in made._access.headers()

    def test_a_renewed_token_and_a_renewed_password_of_the_proxy_are_used(self, tmp_path: Path) -> None:
        path = write_kubeconfig(
            tmp_path / "kubeconfig", "http://127.0.0.1:9", **{"proxy-url": "http://me:old@127.0.0.1:1"}
        )
        made = KubernetesCluster.from_kubeconfig(path)
        write_kubeconfig(path, "http://127.0.0.1:9", "renewed", **{"proxy-url": "http://me:new@127.0.0.1:1"})
        made._sign_in_again(made._access)
        assert made._access.proxy is not None
        assert "new" == made._access.proxy.password
        assert [("Authorization", "Bearer renewed")] == made._access.headers()

    @pytest.mark.parametrize("protect", [HttpProtection, ExecProtection], ids=["http", "exec"])
    def test_protections_go_where_the_bounce_goes(self, sandbox: Sandbox, tmp_path: Path, protect: Any) -> None:
        with ApiServer() as elsewhere:
            cluster = KubernetesCluster.from_kubeconfig(self.two(tmp_path, sandbox.url, elsewhere.url, "here"))
            made = sandbox.add_node("mec-0")
            self.two(tmp_path, sandbox.url, elsewhere.url, "there")
            sandbox.on_proxy, sandbox.on_exec = (lambda *_: (200, "")), (lambda *_: (0, ""))
            given = (8080, "/off") if protect is HttpProtection else (("true",),)
            sandbox.fail_next(status=401)
            assert protect(cluster, *given).disable(Pod.model_validate(made)) is True
            assert elsewhere.seen == []

    def test_what_its_caller_makes_of_another_client_later_changes_nothing(self, sandbox: Sandbox) -> None:
        configuration = client.Configuration()
        configuration.host = sandbox.url
        configuration.api_key = {"authorization": "Bearer sandbox"}
        own = client.ApiClient(configuration, cookie="session=1")
        own.set_default_header("Impersonate-User", "nobody")
        cluster = KubernetesCluster.from_api_client(own)
        with ApiServer() as elsewhere:
            own.configuration.host = elsewhere.url
            own.default_headers.clear()
            sandbox.fail_next(status=401)
            cluster.host("node1")
            assert elsewhere.seen == []
        assert {request.user for request in sandbox.requests[-1:]} == {"nobody"}

    def test_in_a_pod_a_replaced_certificate_authority_is_refused_and_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Protections, which connect anew, do not trust it either."""
        token, authority = tmp_path / "token", tmp_path / "ca.crt"
        token.write_text("valid")
        authority.write_text("first")
        monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
        monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "9")
        (tmp_path / "namespace").write_text("mec\n")
        made = KubernetesCluster.in_cluster()
        assert (made.context, made.namespace) == ("in-cluster", "mec")
        token.write_text("renewed")
        made._sign_in_again(made._access)
        authority.write_text("second")
        told = f"the service account now names another certificate authority or server name. {UNDO}"
        with pytest.raises(Unreachable, match=told):
            made._sign_in_again(made._access)
        trusted = made._wire._pools.connection_pool_kw
        assert (trusted["ca_certs"], trusted["ca_cert_data"]) == (None, "first")

    def test_another_clients_hook_renews_its_token_and_leads_nowhere_else(self, sandbox: Sandbox) -> None:
        """A hook may be bound to an object that can't be copied, as one with a lock."""
        made = sandbox.add_node("mec-0")
        sandbox.on_proxy, sandbox.on_exec = (lambda *_: (200, "")), (lambda *_: (0, ""))
        with ApiServer() as elsewhere:

            class Tokens:
                def __init__(self) -> None:
                    self.lock = threading.Lock()
                    self.renewed = 0

                def renew(self, configuration: client.Configuration) -> None:
                    with self.lock:
                        self.renewed += 1
                    configuration.host = configuration.proxy = elsewhere.url
                    configuration.api_key = {"authorization": "Bearer renewed"}

            tokens, configuration = Tokens(), client.Configuration()
            configuration.host = sandbox.url
            configuration.api_key = {"authorization": "Bearer old"}
            configuration.refresh_api_key_hook = tokens.renew
            cluster = KubernetesCluster.from_api_client(client.ApiClient(configuration))
            for _ in range(2):
                cluster.host("node1")
            HttpProtection(cluster, 8080, "/off").disable(Pod.model_validate(made))
            ExecProtection(cluster, ("true",)).disable(Pod.model_validate(made))
            assert elsewhere.seen == []
        assert cluster.server == sandbox.url
        assert tokens.renewed >= 4

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_cluster_used_before_a_fork_has_connections_of_its_own_in_the_child(self, tmp_path: Path) -> None:
        """Two processes on one connection would read each other's answers."""
        addresses: list[Any] = []

        def answer(handler: Any) -> None:
            addresses.append(handler.client_address)
            said(200, NO_PODS)(handler)

        with ApiServer(answer) as server:
            cluster = KubernetesCluster.from_kubeconfig(write_kubeconfig(tmp_path / "kubeconfig", server.url))
            cluster.pods("default")
            child = os.fork()
            if child == 0:
                try:
                    cluster.pods("default")
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            cluster.pods("default")
        before, of_child, after = addresses
        assert before == after != of_child

    def test_a_thread_of_the_child_does_not_use_the_parents_connections_while_another_makes_new_ones(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cluster = KubernetesCluster.from_kubeconfig(write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1"))
        inherited, makes, used = cluster._core, cluster._connect_pool, list[Any]()
        monkeypatch.setattr(cluster, "_process", -1)  # as a child finds it

        def another() -> None:
            cluster._stay_signed_in()
            used.append(cluster._core)

        def while_another_asks() -> None:
            monkeypatch.setattr(cluster, "_connect_pool", makes)
            thread = threading.Thread(target=another)
            thread.start()
            thread.join()
            makes()

        monkeypatch.setattr(cluster, "_connect_pool", while_another_asks)
        cluster._stay_signed_in()
        assert used != [inherited]

    def test_a_subresource_is_not_taken_for_the_type_of_its_kind(self, tmp_path: Path) -> None:
        types = [{"name": name, "kind": "Site", "namespaced": True} for name in ("sites/status", "sites")]
        with ApiServer(said(200, json.dumps({"resources": types}))) as server:
            cluster = KubernetesCluster.from_kubeconfig(write_kubeconfig(tmp_path / "kubeconfig", server.url))
            cluster.controller("default", Owner(api_version="x.io/v1", kind="Site", name="here", uid="any"))
        assert server.seen[-1].target == "/apis/x.io/v1/namespaces/default/sites/here"

    def test_a_hundred_threads_throw_no_connection_away(
        self, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        cluster = KubernetesCluster.from_kubeconfig(sandbox.kubeconfig)
        begin = threading.Barrier(100)

        def look(_: int) -> int:
            begin.wait()
            return len(cluster.pods("default"))

        with ThreadPoolExecutor(100) as pool:
            assert [*pool.map(look, range(100))] == [0] * 100
        assert [record.getMessage() for record in caplog.records if "pool" in record.getMessage()] == []


def _is_ready(pod: Any) -> bool:
    condition = pod.condition("Ready")
    return condition is not None and condition.status == "True"
