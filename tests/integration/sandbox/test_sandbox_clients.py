"""The official client, its watch and its exec work with the sandbox; so does kubectl, if it is installed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
from kubernetes.stream import stream
from sandbox_api import PODS, ask, bound

from mecbounce.sandbox import Behaviour, ProxyRequest, Sandbox
from mecbounce.sandbox.scenarios import SCENARIOS

pytest_plugins = ("mecbounce.sandbox.fixture",)


@pytest.fixture
def core(sandbox: Sandbox) -> Iterator[Any]:
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(str(sandbox.kubeconfig), client_configuration=configuration)
    configuration.proxy, configuration.no_proxy = None, "*"
    with kubernetes.client.ApiClient(configuration) as client:
        yield kubernetes.client.CoreV1Api(client)
        client.rest_client.pool_manager.clear()


def test_the_typed_client_reads_every_object(sandbox: Sandbox, core: Any) -> None:
    sandbox.add_node("mec-0")
    assert core.read_namespaced_pod("mec-0", "default").status.container_statuses[0].started is True
    assert core.list_node().items[0].metadata.name == "node1"
    assert core.list_namespaced_event("default").items
    events = kubernetes.watch.Watch().stream(core.list_pod_for_all_namespaces, timeout_seconds=1)
    assert [event["type"] for event in events] == ["ADDED"]
    going = core.delete_namespaced_pod("mec-0", "default", grace_period_seconds=5)
    assert going.metadata.deletion_grace_period_seconds == 5


def run(core: Any, *command: str) -> tuple[int, str]:
    options = {"stdout": True, "stderr": True, "stdin": False, "tty": False, "_preload_content": False}
    channel = stream(core.connect_get_namespaced_pod_exec, "held", "default", command=list(command), **options)
    channel.run_forever(timeout=5)
    result = channel.returncode, channel.read_stdout()
    channel.sock.shutdown()  # close() would leave the socket open: the server has closed the WebSocket already
    return result


def test_exec_gives_output_and_exit_code(sandbox: Sandbox, core: Any) -> None:
    sandbox.create(bound())
    assert run(core, "true") == (0, "")
    sandbox.on_exec = lambda pod, command: (3, f"{pod['metadata']['name']}: {' '.join(command)}" * 20)
    assert run(core, "echo", "a") == (3, "held: echo a" * 20)
    assert ask(sandbox, "GET", f"{PODS}/held/exec?command=a")[0] == 400


def test_proxied_requests_reach_the_callable(sandbox: Sandbox) -> None:
    sandbox.create(bound())
    status, refusal = ask(sandbox, "GET", f"{PODS}/held:8080/proxy/x")
    assert (status, refusal["reason"]) == (503, "ServiceUnavailable")
    seen: list[ProxyRequest] = []

    def answer(_: dict[str, Any], request: ProxyRequest) -> tuple[int, dict[str, bool]]:
        seen.append(request)
        return 201, {"done": True}

    sandbox.on_proxy = answer
    for place in ("held", "held:8080", "http:held:8080"):
        assert ask(sandbox, "POST", f"{PODS}/{place}/proxy/a/b?c=d", {"e": 1}) == (201, {"done": True})
    assert [(one.method, one.path, one.query, json.loads(one.body), one.port) for one in seen] == [
        ("POST", "/a/b", {"c": "d"}, {"e": 1}, port) for port in ("", "8080", "8080")
    ]
    assert ask(sandbox, "GET", f"{PODS}/none/proxy/x")[0] == 404
    assert ask(sandbox, "GET", f"{PODS}/held/log")[0] == 200


@pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl here")
def test_kubectl_works_with_it(sandbox: Sandbox, tmp_path: Path) -> None:
    def kubectl(*words: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(sandbox.kubeconfig)}
        command = [str(shutil.which("kubectl")), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=20)
        return done.stdout

    sandbox.add_node("mec-0")
    # kubectl 1.32 waits for ever if the replacement comes within 100 ms.
    sandbox.behave(Behaviour(recreates=False))
    assert "mec-0" in kubectl("get", "expressnodes,pods")
    assert "Started container main" in kubectl("describe", "pod", "mec-0")
    assert kubectl("auth", "can-i", "delete", "pods") == "yes\n"
    kubectl("annotate", "pod", "mec-0", "a=b")
    kubectl("delete", "pod", "mec-0", "--wait")
    manifest = tmp_path / "pod.json"
    manifest.write_text(json.dumps(bound("applied")), encoding="utf-8")
    assert "created" in kubectl("apply", "-f", str(manifest))
    sandbox.behave(Behaviour())
    sandbox.wait_for(lambda: sandbox.get("pods", "mec-0"))
    assert "condition met" in kubectl("wait", "pod/mec-0", "--for=condition=Ready", "--timeout=10s")


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_is_set_up_quickly(sandbox: Sandbox, name: str) -> None:
    SCENARIOS[name].set_up(sandbox)
    assert sandbox.get("expressnodes", "mec-0") is not None
    pod = sandbox.get("pods", "mec-0")
    assert (pod is None) is (name == "down")


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_the_module_serves_until_it_is_told_to_stop(sign: signal.Signals) -> None:
    options = ["--scenario", "protected", "--speed", "20", "--resource", "other.example.com/v1/things/Thing"]
    command = [sys.executable, "-W", "error", "-m", "mecbounce.sandbox", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stdout
        assert serving.stderr
        config = Path(serving.stdout.readline().strip())
        assert json.loads(config.read_text(encoding="utf-8"))["current-context"] == "sandbox"
        serving.send_signal(sign)
        assert (serving.wait(timeout=10), serving.stderr.read()) == (0, "")
    assert not config.parent.exists()
