"""How long a request may take as a whole, and the API server's time in each answer."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders import NODE, pod_json, write_kubeconfig
from loopback import NO_PODS, PATIENCE, ApiServer, Authority, HttpProxy, TlsFront, dripping, said
from real_cluster import till
from urllib3.connection import HTTPConnection

from mecbounce.errors import AccessDenied, ClusterError, NotFound, Refused, Unreachable
from mecbounce.kubernetes_api import transport
from mecbounce.kubernetes_api.client import KubernetesCluster
from mecbounce.kubernetes_api.objects import Pod
from mecbounce.kubernetes_api.transport import ServerClock
from mecbounce.sandbox import Sandbox

POD = Pod.model_validate(pod_json())
EVENT = {"metadata": {"generateName": "mec-0."}, "involvedObject": {"kind": "Pod", "name": "mec-0"}}
ASKS: dict[str, Callable[[KubernetesCluster], object]] = {
    "list": lambda cluster: cluster.pods("default"),
    "get": lambda cluster: cluster.node("default", NODE),
    "delete": lambda cluster: cluster.delete_pod("default", "mec-0", "uid-1"),
    "patch": lambda cluster: cluster.annotate_pod(POD, "a", "b"),
    "create": lambda cluster: cluster.tell("default", EVENT),
    "review": lambda cluster: cluster.may("default", "list", "pods"),
    "proxy": lambda cluster: cluster.proxy_pod(POD, 8080, "off", "GET"),
    "exec": lambda cluster: cluster.exec_pod(POD, ("true",), "app"),
}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DRIPS = {
    "status line": dripping(b"HTTP/1.1 200 ", b"O"),
    "head": dripping(HEAD + b"X-More: ", b"a"),
    "body of a length": dripping(HEAD + b"Content-Length: 1000000\r\n\r\n", b" "),
    "body without a length": dripping(HEAD + b"Connection: close\r\n\r\n", b" "),
    "chunks": dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "one chunk": dripping(HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffff\r\n", b" "),
    "an error": dripping(b"HTTP/1.1 500 No\r\nContent-Length: 1000000\r\n\r\n", b" "),
}


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as api:
        yield api


@pytest.fixture
def cluster(api: ApiServer, tmp_path: Path) -> KubernetesCluster:
    return KubernetesCluster.from_kubeconfig(write_kubeconfig(tmp_path / "kubeconfig", api.url))


def cut_off(ask: Callable[[], object]) -> None:
    began = time.monotonic()
    with pytest.raises(Unreachable, match="no complete answer within 1 s"):
        ask()
    assert 0.9 < time.monotonic() - began < PATIENCE / 2


class TestWholeRequest:
    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transport, "WHOLE", 1.0)

    @pytest.mark.parametrize("drip", DRIPS)
    def test_an_answer_that_drips_is_cut_off_and_the_next_request_is_answered(
        self, api: ApiServer, cluster: KubernetesCluster, drip: str
    ) -> None:
        cluster.pods("default")
        whole, api.answer = api.answer, DRIPS[drip]
        cut_off(lambda: cluster.pods("default"))
        api.answer = whole
        assert cluster.pods("default") == ()
        assert len(api.seen) == 3

    @pytest.mark.parametrize("kind", ASKS)
    def test_whatever_is_asked(self, api: ApiServer, cluster: KubernetesCluster, kind: str) -> None:
        api.answer = DRIPS["head"]
        cut_off(lambda: ASKS[kind](cluster))

    def test_the_frames_of_exec(self, api: ApiServer, cluster: KubernetesCluster) -> None:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            dripping(upgraded(handler) + b"\x82\x7e\xff\xff\x01", b" ")(handler)

        api.answer = answer
        cut_off(lambda: ASKS["exec"](cluster))

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
    @pytest.mark.parametrize("drip", ["head", "body of a length"])
    def test_through_tls_and_a_proxy(self, api: ApiServer, tmp_path: Path, drip: str) -> None:
        authority = Authority(tmp_path)
        api.answer = DRIPS[drip]
        with ExitStack() as stack:
            front = stack.enter_context(TlsFront(api.port, authority.context("here")))
            proxy = stack.enter_context(HttpProxy(front.port))
            cluster = {"certificate-authority": "ca.crt", "proxy-url": f"http://127.0.0.1:{proxy.port}"}
            path = write_kubeconfig(tmp_path / "kubeconfig", front.url, **cluster)
            cut_off(lambda: KubernetesCluster.from_kubeconfig(path).pods("default"))

    def test_a_watch_may_last(self, api: ApiServer, cluster: KubernetesCluster) -> None:
        api.answer = dripping(HEAD + b"Connection: close\r\n\r\n", b"\n", pause=0.2)
        response = cluster._open_watch("default", None, "1")
        began = time.monotonic()
        for _ in response.stream(1):
            if time.monotonic() - began > 2:
                break
        else:
            pytest.fail("the watch was cut off")
        response.close()

    def test_a_connection_that_serves_the_next_request_already_is_left_alone(self) -> None:
        """Its time may be over in the moment in which its answer has come and its connection has been given back."""

        ours, theirs = socket.socketpair()
        with ours, theirs:
            connection = SimpleNamespace(sock=ours, allowance=None)
            late, next_one = transport._Allowance(60), transport._Allowance(60)
            for allowance in (late, next_one):
                connection.allowance = allowance
                allowance.take(connection)
            late._cut()
            ours.sendall(b"!")
            assert theirs.recv(1) == b"!"
            next_one._cut()
            with pytest.raises(OSError, match="pipe"):
                ours.sendall(b"!")

    def test_leaves_no_thread_behind(self, cluster: KubernetesCluster) -> None:
        before = threading.active_count()
        for _ in range(5):
            cluster.pods("default")
        till("its threads have ended", lambda: threading.active_count() <= before + 1)  # the server has one of its own


def upgraded(handler: BaseHTTPRequestHandler) -> bytes:
    """Give the head that accepts a WebSocket."""
    key = handler.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()  # noqa: S324 -- as RFC 6455 has it
    head = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    head += [f"Date: {handler.date_time_string()}", "Sec-WebSocket-Protocol: v4.channel.k8s.io"]
    return "\r\n".join([*head, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode()


def test_the_frames_of_a_command_come_in_whatever_order_and_its_status_ends_it(
    api: ApiServer, cluster: KubernetesCluster
) -> None:
    """What came in one packet with the head counts too."""
    status = json.dumps({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"message": "7"}]}})
    frames = b"\x82\x02\x01a\x89\x00\x82\x02\x02b" + b"\x82" + bytes([len(status) + 1]) + b"\x03" + status.encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(upgraded(handler) + frames)

    api.answer = answer
    with pytest.raises(Refused, match="ended with status 7"):
        cluster.exec_pod(POD, ("true", "a b&c"), "app")
    path = "/api/v1/namespaces/default/pods/mec-0/exec"
    query = "command=true&command=a+b%26c&container=app&stdout=true&stderr=true"
    assert api.seen[0].target == f"{path}?{query}"


# --- the API server's time ---------------------------------------------------------------------------------------

THEN = "Thu, 01 Jan 2026 12:00:00 GMT"
NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


class TestServerTime:
    def test_is_that_of_the_last_answer_and_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By the monotonic clock: a change of this machine's time changes nothing."""
        clock, now = ServerClock(), 1000.0
        monkeypatch.setattr(transport, "_ticks", lambda: now)
        assert clock.now() is None
        clock.update(THEN)
        assert clock.now() == NOON
        now += 90
        assert clock.now() == NOON + timedelta(seconds=90)
        clock.update("Thu, 01 Jan 2026 11:00:00 GMT")
        assert clock.now() == NOON - timedelta(hours=1)

    @pytest.mark.parametrize(
        "date",
        [
            None,
            "",
            "soon",
            "2026-01-01T13:00:00Z",
            "Thu, 99 Jan 2026 12:00:00 GMT",
            "Thu, 01 Jan 2026 12:00:00 -0000",
            "Fri, 31 Dec 9999 23:59:59 GMT",
        ],
    )
    def test_a_date_that_is_none_is_ignored(self, date: str | None) -> None:
        clock = ServerClock()
        clock.update(THEN)
        clock.update(date)
        now = clock.now()
        assert now is not None
        assert now - NOON < timedelta(minutes=1)

    @pytest.mark.parametrize("kind", ASKS)
    def test_comes_with_every_answer_a_refusal_too(self, api: ApiServer, cluster: KubernetesCluster, kind: str) -> None:
        assert cluster.server_time is None
        api.date, api.answer = THEN, said(403, '{"kind": "Status", "message": "no"}')
        with pytest.raises((AccessDenied, Refused, NotFound)):
            ASKS[kind](cluster)
        assert cluster.server_time is not None
        assert cluster.server_time - NOON < timedelta(minutes=1)

    def test_comes_with_a_watchs_head(self, api: ApiServer, cluster: KubernetesCluster) -> None:
        api.date, api.answer = THEN, said(200, "")
        cluster._open_watch("default", None, "1").close()
        assert cluster.server_time is not None
        assert cluster.server_time - NOON < timedelta(minutes=1)

    def test_outlives_new_credentials(self, api: ApiServer, cluster: KubernetesCluster) -> None:
        answers = [said(401, ""), said(200, NO_PODS)]
        api.date, api.answer = THEN, (lambda handler: answers.pop(0)(handler))  # noqa: PLW0108
        cluster.pods("default")
        api.date, api.answer = "none", said(200, NO_PODS)
        cluster.pods("default")
        assert cluster.server_time is not None
        assert cluster.server_time - NOON < timedelta(minutes=1)

    def test_is_the_sandboxs_clock(self, sandbox: Sandbox) -> None:
        """A cluster whose clock is ahead dates its objects ahead, too."""
        cluster = KubernetesCluster.from_kubeconfig(sandbox.kubeconfig)
        sandbox.clock_skew = 3600.0
        pod = sandbox.add_node("mec-0")
        assert pod is not None
        cluster.pods("default")
        ahead = datetime.now(UTC) + timedelta(hours=1)
        assert cluster.server_time is not None
        assert abs(cluster.server_time - ahead) < timedelta(seconds=PATIENCE)
        [seen] = cluster.pods("default")
        assert seen.metadata.creation_timestamp is not None
        assert abs(seen.metadata.creation_timestamp - ahead) < timedelta(seconds=PATIENCE)


@pytest.mark.parametrize("kind", ASKS)
def test_each_request_acts_as_the_user_whom_the_kubeconfig_impersonates(
    sandbox: Sandbox, tmp_path: Path, kind: str
) -> None:
    pod = Pod.model_validate(sandbox.add_node("mec-0"))
    content = json.loads(sandbox.kubeconfig.read_text())
    extra = {"example.com/reason": ["on call", "night"]}
    acting = {"as": "bob", "as-uid": "u-1", "as-groups": ["mec", "ops"], "as-user-extra": extra}
    content["users"][0]["user"] |= acting
    (tmp_path / "kubeconfig").write_text(json.dumps(content))
    cluster = KubernetesCluster.from_kubeconfig(tmp_path / "kubeconfig")
    sandbox.on_proxy, sandbox.on_exec = lambda *_: (200, "off"), lambda *_: (0, "")
    try:
        ASKS[kind](cluster)
    except ClusterError as error:  # such as the pod's UID, which is another
        assert kind in ("delete", "create", "patch"), error  # noqa: PT017
    assert pod.name
    [seen] = sandbox.requests
    assert (seen.user, seen.uid, seen.groups) == ("bob", "u-1", ("mec", "ops"))
    assert seen.extra == {"example.com/reason": ("on call", "night")}


def test_a_watch_acts_as_that_user_too(sandbox: Sandbox) -> None:
    cluster = KubernetesCluster.from_kubeconfig(sandbox.kubeconfig, as_user="bob", as_groups=("mec", "ops"))
    with cluster.watch("default") as watch:
        watch.look(None)
        watch.wait(0)
        sandbox.wait_for(lambda: len(sandbox.requests) == 2)
    assert [(one.verb, one.user, one.groups) for one in sandbox.requests] == [
        ("list", "bob", ("mec", "ops")),
        ("watch", "bob", ("mec", "ops")),
    ]


class TestConnecting:
    @pytest.mark.parametrize("kind", ["list", "exec"])
    def test_a_name_server_that_does_not_answer_is_not_waited_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        answers = threading.Event()

        def resolve(*_: object, **__: object) -> None:
            answers.wait(PATIENCE)
            raise socket.gaierror(socket.EAI_AGAIN, "later")

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        monkeypatch.setattr(transport, "CONNECTED", 0.3)
        cluster = KubernetesCluster.from_kubeconfig(write_kubeconfig(tmp_path / "kubeconfig", "http://api.example.com"))
        began = time.monotonic()
        try:
            with pytest.raises(Unreachable, match="name resolution included"):
                ASKS[kind](cluster)
            assert time.monotonic() - began < PATIENCE / 2
        finally:
            answers.set()

    def test_a_connection_that_comes_too_late_is_closed(
        self, api: ApiServer, cluster: KubernetesCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go_on, closed = threading.Event(), threading.Event()
        connect, close = HTTPConnection.connect, HTTPConnection.close

        def late(self: HTTPConnection) -> None:
            go_on.wait(PATIENCE)
            connect(self)

        def told(self: HTTPConnection) -> None:
            close(self)
            if go_on.is_set():
                closed.set()

        monkeypatch.setattr(HTTPConnection, "connect", late)
        monkeypatch.setattr(HTTPConnection, "close", told)
        monkeypatch.setattr(transport, "CONNECTED", 0.2)
        with pytest.raises(Unreachable, match="no connection within 0 s"):
            cluster.pods("default")
        go_on.set()
        assert closed.wait(PATIENCE)
        assert api.seen == []
