"""Shutdown protections, against the embedded cluster."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_mock import MockerFixture
from websocket import ABNF, WebSocket, WebSocketTimeoutException

from mecbounce.errors import ClusterError, Conflict, NotFound, Refused, Unreachable
from mecbounce.kubernetes_api.client import KubernetesCluster
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.protection import AnnotationProtection, ExecProtection, HttpProtection
from mecbounce.sandbox import Sandbox

KEY = "express.example.com/shutdown-protection"

SAID = {"kind": "Status", "message": "no: password=hunter2"}


@pytest.fixture
def kubernetes(sandbox: Sandbox) -> KubernetesCluster:
    return KubernetesCluster.from_kubeconfig(sandbox.kubeconfig)


@pytest.fixture
def protected(sandbox: Sandbox) -> Pod:
    return Pod.model_validate(sandbox.add_node("mec-0", annotations={KEY: "on"}))


def annotation(sandbox: Sandbox) -> Any:
    pod = sandbox.get("pods", "mec-0", namespace="default")
    assert pod is not None
    return pod["metadata"]["annotations"].get(KEY)


def replace(sandbox: Sandbox, pod: Pod) -> None:
    """Let another incarnation stand in the pod's place."""
    sandbox.delete("pods", pod.name)

    def replaced() -> bool:
        found = sandbox.get("pods", pod.name, namespace="default")
        return found is not None and found["metadata"]["uid"] != pod.uid

    sandbox.wait_for(replaced)


class TestAnnotation:
    def test_is_switched_off_on_the_pod(self, sandbox: Sandbox, kubernetes: KubernetesCluster, protected: Pod) -> None:
        assert AnnotationProtection(kubernetes, KEY, "off").disable(protected) is True
        assert annotation(sandbox) == "off"

    @pytest.mark.parametrize("key", [KEY, "never.example.com/set"])
    def test_off_already_or_not_there_is_not_written(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, protected: Pod, key: str
    ) -> None:
        assert AnnotationProtection(kubernetes, key, "on").disable(protected) is False
        assert sandbox.requests == ()

    def test_another_incarnation_is_never_patched(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, protected: Pod
    ) -> None:
        replace(sandbox, protected)
        with pytest.raises((Conflict, Refused)):
            AnnotationProtection(kubernetes, KEY, "off").disable(protected)
        assert annotation(sandbox) == "on"


class TestHttp:
    def test_asks_the_application_through_the_pod_proxy(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, protected: Pod
    ) -> None:
        asked: list[tuple[str, str, str]] = []

        def answer(_: object, request: Any) -> tuple[int, str]:
            asked.append((request.method, request.path, request.port))
            return 200, "off"

        sandbox.on_proxy = answer
        assert HttpProtection(kubernetes, 8080, "/api/v1/protection", "PUT").disable(protected) is True
        assert asked == [("PUT", "/api/v1/protection", "8080")]

    def test_a_query_goes_along_as_one(self, sandbox: Sandbox, kubernetes: KubernetesCluster, protected: Pod) -> None:
        sandbox.on_proxy = lambda _pod, _request: (200, "off")
        HttpProtection(kubernetes, 8080, "/protection?state=off&why=a%20bounce").disable(protected)
        assert sandbox.requests[-1].path.endswith("/pods/mec-0:8080/proxy/protection")
        assert sandbox.requests[-1].query == {"state": "off", "why": "a bounce"}

    @pytest.mark.parametrize("path", ["../secrets", "/off/../../x", "%2e%2e/secrets", "off/%2E%2e"])
    def test_a_step_upwards_would_leave_the_pod(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, protected: Pod, path: str
    ) -> None:
        with pytest.raises(Refused, match=r"contains '\.\.'"):
            HttpProtection(kubernetes, 8080, path).disable(protected)
        assert [request.verb for request in sandbox.requests] == ["list"]

    @pytest.mark.parametrize(("status", "error"), [(500, Unreachable), (404, NotFound), (418, Refused)])
    def test_any_answer_but_a_2xx_is_an_error(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, protected: Pod, status: int, error: type[ClusterError]
    ) -> None:
        sandbox.on_proxy = lambda _pod, _request: (status, "no")
        with pytest.raises(error):
            HttpProtection(kubernetes, 8080, "off").disable(protected)

    @pytest.mark.parametrize(
        ("answer", "told"),
        [("password=hunter2", "the API server answered I'm a [Tt]eapot"), (SAID, r"no: password=\*\*\*")],
        ids=["of_an_application", "of_the_api_server"],
    )
    def test_an_answer_is_told_without_its_secrets(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, protected: Pod, answer: object, told: str
    ) -> None:
        """What an application answers is not told at all: it may be anything."""
        sandbox.on_proxy = lambda _pod, _request: (418, answer)
        with pytest.raises(Refused, match=rf"^{told}$"):
            HttpProtection(kubernetes, 8080, "off").disable(protected)


class TestExec:
    def test_runs_the_command_in_the_first_container(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, protected: Pod
    ) -> None:
        commands: list[list[str]] = []

        def run(_: object, command: list[str]) -> tuple[int, str]:
            commands.append(command)
            return 0, "done"

        sandbox.on_exec = run
        assert ExecProtection(kubernetes, ("protect", "--off")).disable(protected) is True
        assert commands == [["protect", "--off"]]

    def test_another_status_than_0_is_an_error(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, protected: Pod
    ) -> None:
        sandbox.on_exec = lambda _pod, _command: (3, "")
        with pytest.raises(Refused, match=r"protect in container .* ended with status 3"):
            ExecProtection(kubernetes, ("protect",)).disable(protected)

    @pytest.mark.parametrize(
        "frame",
        [(ABNF.OPCODE_CLOSE, b""), (ABNF.OPCODE_BINARY, b"\x03{"), (ABNF.OPCODE_BINARY, b'\x03{"status": "Failure"}')],
        ids=["closed", "not_json", "no_status"],
    )
    def test_a_status_that_is_not_told_is_no_answer(
        self,
        sandbox: Sandbox,
        kubernetes: KubernetesCluster,
        protected: Pod,
        mocker: MockerFixture,
        frame: tuple[int, bytes],
    ) -> None:
        sandbox.on_exec = lambda _pod, _command: (0, "")
        mocker.patch.object(WebSocket, "recv_data", return_value=frame)
        with pytest.raises(Unreachable, match=r"^it is not known how protect in container .* ended$"):
            ExecProtection(kubernetes, ("protect",)).disable(protected)

    def test_a_command_that_can_not_be_run_is_said_in_the_api_servers_words(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, protected: Pod, mocker: MockerFixture
    ) -> None:
        sandbox.on_exec = lambda _pod, _command: (0, "")
        status = b'\x03{"status": "Failure", "reason": "InternalError", "message": "no such file: --token=hunter2"}'
        mocker.patch.object(WebSocket, "recv_data", return_value=(ABNF.OPCODE_BINARY, status))
        with pytest.raises(Refused, match=r"protect in container .* could not be run: no such file: --token=\*\*\*$"):
            ExecProtection(kubernetes, ("protect",)).disable(protected)

    def test_a_command_that_has_not_ended_in_time_is_no_answer(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, protected: Pod, mocker: MockerFixture
    ) -> None:
        sandbox.on_exec = lambda _pod, _command: (0, "")
        mocker.patch.object(WebSocket, "recv_data", side_effect=WebSocketTimeoutException())
        with pytest.raises(Unreachable, match=r"^protect in container .* has not ended after 10 s$"):
            ExecProtection(kubernetes, ("protect",)).disable(protected)

    def test_a_refused_handshake_is_said_in_the_api_servers_words(
        self, sandbox: Sandbox, kubernetes: KubernetesCluster, protected: Pod, mocker: MockerFixture
    ) -> None:
        sandbox.forbid("get", "pods/exec")
        with pytest.raises(Refused, match=r'^exec was refused: pods "mec-0" is forbidden') as caught:
            ExecProtection(kubernetes, ("protect",)).disable(protected)
        assert "audit-id" not in str(caught.value).lower()
        mocker.patch("mecbounce.kubernetes_api.pod_exec.read_status", return_value=SAID)
        with pytest.raises(Refused, match=r"^exec was refused: no: password=\*\*\*$"):
            ExecProtection(kubernetes, ("protect",)).disable(protected)


@pytest.mark.parametrize("kind", ["http", "exec"])
def test_what_goes_by_name_looks_for_the_incarnation_first(
    sandbox: Sandbox, kubernetes: KubernetesCluster, protected: Pod, kind: str
) -> None:
    replace(sandbox, protected)
    protection = HttpProtection(kubernetes, 8080, "off") if kind == "http" else ExecProtection(kubernetes, ("protect",))
    with pytest.raises(Conflict, match="has gone"):
        protection.disable(protected)
    assert [one.verb for one in sandbox.requests] == ["list"]
