"""Every fault between us and the API server, one by one, on each kind of request: the bounce ends as it should."""

from __future__ import annotations

import shutil
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from builders import write_kubeconfig
from fault_bench import HASTE, Bench, benched, hasten
from fault_proxy import (
    HTML,
    NO_ROUTE,
    READ_FAULTS,
    RESET,
    SILENT,
    STALE,
    THROTTLED,
    UNAUTHORIZED,
    WATCH_FAULTS,
    WRITE_FAULTS,
    Exchange,
    Fault,
    Plan,
    always,
    once,
)

from mecbounce.errors import Unreachable
from mecbounce.kubernetes_api import watch
from mecbounce.kubernetes_api.client import KubernetesCluster
from mecbounce.machine import WAITING, Event, State
from mecbounce.sandbox import Behaviour
from mecbounce.stores import FileStore

FAULTS = {
    "get": READ_FAULTS,
    "list": (*READ_FAULTS, STALE),
    "patch": WRITE_FAULTS,
    "create": WRITE_FAULTS,
    "delete": WRITE_FAULTS,
}
AMPLE, SHORT = {"api": 20.0, "termination": 20.0, "ready": 20.0}, {"api": 0.1}  # seconds
LOST_AFTER_DELETE = (RESET, HTML, UNAUTHORIZED)

REQUESTS_TRIED = [(verb, fault) for verb, faults in FAULTS.items() for fault in faults]
BEST_EFFORT = ("patch", "create")  # the protection and the Events: nothing hangs on them


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    hasten(monkeypatch)
    with benched(tmp_path) as one:
        yield one


def lasting(verb: str, fault: Fault) -> Event:
    """Tell how a bounce ends if this befalls every request of that verb."""
    if fault.usable or (verb == "delete" and fault.acts):
        return Event.POD_STARTED
    if fault is UNAUTHORIZED:
        return Event.DELETE_REFUSED if verb == "delete" else Event.ACCESS_DENIED
    if fault is NO_ROUTE and verb == "get":
        return Event.NODE_UNSERVED
    return Event.DELETE_REFUSED if verb == "delete" else Event.CLUSTER_UNREACHABLE


@pytest.mark.sampled(20)
@pytest.mark.parametrize(("verb", "fault"), REQUESTS_TRIED, ids=str)
def test_a_fault_that_passes_costs_nothing_but_time(bench: Bench, verb: str, fault: Fault) -> None:
    bench.proxy.plan = once(verb, fault)
    if verb == "delete":  # slow enough to be seen on the way
        bench.sandbox.behave(Behaviour(stops_after=20, starts_after=20))
    result = bench.task(timeouts=AMPLE).perform()
    bench.check(result)
    # A 404 is the API server's last word on a resource, whoever gave it; nothing has been changed yet.
    assert result.event is (Event.NODE_MISSING if (verb, fault) == ("get", NO_ROUTE) else Event.POD_STARTED)
    assert any(one.fault for one in bench.proxy.exchanges)
    assert bench.terminated <= {bench.uid}


@pytest.mark.sampled(12)
@pytest.mark.parametrize(("verb", "fault"), [one for one in REQUESTS_TRIED if one[0] not in BEST_EFFORT], ids=str)
def test_a_fault_that_lasts_ends_the_bounce_before_the_deletion_or_does_not_matter(
    bench: Bench, verb: str, fault: Fault
) -> None:
    bench.proxy.plan = always(fault, verb)
    ends = lasting(verb, fault)
    lasts = ends in (Event.CLUSTER_UNREACHABLE, Event.DELETE_REFUSED) and fault is not UNAUTHORIZED
    result = bench.task(timeouts=SHORT if lasts else AMPLE).perform()
    bench.check(result)
    assert result.event is ends
    assert any(one.fault for one in bench.proxy.exchanges)
    assert bench.terminated == ({bench.uid} if result.state is State.DONE else set())


@pytest.mark.sampled(6)
@pytest.mark.parametrize("fault", WRITE_FAULTS, ids=str)
def test_no_fault_of_what_is_best_effort_matters(bench: Bench, fault: Fault) -> None:
    bench.proxy.plan = always(fault, *BEST_EFFORT)
    result = bench.task(timeouts=AMPLE).perform()
    bench.check(result)
    assert result.event is Event.POD_STARTED
    assert any(one.fault for one in bench.proxy.exchanges)


@pytest.mark.sampled(10)
@pytest.mark.parametrize("fault", WATCH_FAULTS, ids=str)
@pytest.mark.parametrize("lasts", [False, True])
def test_no_fault_of_a_watch_matters(bench: Bench, fault: Fault, *, lasts: bool) -> None:
    bench.proxy.plan = always(fault, "watch") if lasts else once("watch", fault)
    result = bench.task(timeouts=AMPLE).perform()
    bench.check(result)
    assert result.event is Event.POD_STARTED
    assert max(result.durations.values()) < AMPLE["ready"], "only the look at the deadline found out"
    assert any(one.fault for one in bench.proxy.exchanges)


class TestASilentWatch:
    """It shows the pod as it was, while that goes on; a look of its own tells better."""

    @pytest.fixture(autouse=True)
    def is_trusted_for_long(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watch, "SILENCE", 3600.0)
        bench.proxy.plan = always(SILENT, "watch")

    def test_is_not_believed_at_a_deadline(self, bench: Bench) -> None:
        timeouts = {"api": 20.0, "termination": 0.5, "ready": 0.5}
        result = bench.task(timeouts=timeouts).perform()
        bench.check(result)
        assert result.event is Event.POD_STARTED
        for state in WAITING:
            assert result.durations[state] >= 0.5, "the watch was heard"

    def test_is_not_believed_once_a_delete_got_no_answer(self, bench: Bench) -> None:
        bench.sandbox.behave(Behaviour(stops_after=200))
        silent, unanswered = bench.proxy.plan, once("delete", RESET.after_the_act)
        bench.proxy.plan = lambda exchange: silent(exchange) or unanswered(exchange)
        result = bench.task(timeouts={"api": 20.0, "termination": 2.0, "ready": 0.5}).perform()
        bench.check(result)
        assert result.event is Event.POD_STARTED
        assert [one.verb for one in bench.proxy.exchanges].count("delete") == 1


def lost_after_the_deletion(fault: Fault) -> Plan:
    """Let a fault befall every look that comes after the DELETE."""
    deletes: list[Exchange] = []

    def plan(exchange: Exchange) -> Fault | None:
        deletes.extend([exchange] if exchange.verb == "delete" else [])
        return fault if exchange.verb == "watch" or (deletes and exchange.verb == "list") else None

    return plan


@pytest.mark.parametrize("fault", LOST_AFTER_DELETE, ids=str)
def test_an_api_server_lost_after_the_deletion_ends_in_a_time_out_that_says_so(bench: Bench, fault: Fault) -> None:
    bench.proxy.plan = lost_after_the_deletion(fault)
    result = bench.task(timeouts={"api": 0.5, "termination": 0.2}).perform()
    bench.check(result)
    assert result.event is Event.TERMINATION_TIMEOUT
    assert result.diagnosis is not None
    assert result.diagnosis.code == "cluster_unreachable"


@pytest.mark.parametrize("fault", LOST_AFTER_DELETE, ids=str)
def test_an_api_server_that_comes_back_in_time_is_forgiven(bench: Bench, fault: Fault, tmp_path: Path) -> None:
    lost = lost_after_the_deletion(fault)
    bench.proxy.plan = lambda exchange: lost(exchange) if len(bench.proxy.exchanges) < 10 else None
    result = bench.task(FileStore(tmp_path / "record"), timeouts=AMPLE).perform()
    bench.check(result)
    assert result.event is Event.POD_STARTED


class TestRate:
    """For half a minute, shortened to half a second, nothing changes and something is wrong all the time."""

    @pytest.mark.parametrize(
        ("verb", "fault"), [("list", RESET), ("list", THROTTLED), ("delete", THROTTLED), ("delete", NO_ROUTE)], ids=str
    )
    def test_pauses_grow_while_no_answer_is_usable(self, bench: Bench, verb: str, fault: Fault) -> None:
        bench.proxy.plan = always(fault, verb)
        bench.task(timeouts={"api": 30 / HASTE}).perform()
        # At 0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75 and 30 s at the earliest, with three requests each.
        assert len(bench.proxy.exchanges) <= 8 * 3 + 6

    def test_a_retry_after_is_kept(self, bench: Bench) -> None:
        """Of a second, which shortened is a minute: more than half a minute is never waited."""
        bench.proxy.plan = always(THROTTLED, "list")
        bench.task(timeouts={"api": 120 / HASTE}).perform()
        assert [one.verb for one in bench.proxy.exchanges].count("list") <= 120 / 30 + 1

    @pytest.mark.sampled(2)
    @pytest.mark.parametrize("fault", WATCH_FAULTS, ids=str)
    def test_a_watch_that_keeps_failing_is_left_alone_for_a_while(self, bench: Bench, fault: Fault) -> None:
        bench.sandbox.behave(Behaviour(recreates=False))
        bench.proxy.plan = always(fault, "watch")
        bench.task(timeouts={"api": 20, "termination": 20, "ready": 30 / HASTE}).perform()
        # A list every two seconds; a watch, twice after a 401, and one more list after 2, 4, 8 and 16 s.
        assert len(bench.proxy.exchanges) <= 15 + 5 * 3 + 8
        assert bench.busiest() <= 24


class TestCredentials:
    """The proxy takes one token, as an API server does after a rotation."""

    @staticmethod
    def wants(token: str) -> Plan:
        return lambda exchange: None if exchange.token == token else UNAUTHORIZED

    @pytest.mark.parametrize("verb", ["get", "list", "patch", "delete", "watch"])
    def test_that_expire_are_mended_by_a_reload(self, bench: Bench, verb: str) -> None:
        renewed = self.wants("renewed")

        def plan(exchange: Exchange) -> Fault | None:
            if exchange.verb != verb:
                return None
            write_kubeconfig(bench.kubeconfig, bench.proxy.url, "renewed")
            return renewed(exchange)

        bench.proxy.plan = plan
        result = bench.task(timeouts=AMPLE).perform()
        bench.check(result)
        assert result.event is Event.POD_STARTED
        assert [one.token for one in bench.proxy.exchanges if one.verb == verb][:2] == ["valid", "renewed"]

    def test_that_are_renewed_late_are_waited_for_once_the_pod_is_deleted(self, bench: Bench) -> None:
        refused, renewed = lost_after_the_deletion(UNAUTHORIZED), "renewed"

        def plan(exchange: Exchange) -> Fault | None:
            if len(bench.proxy.exchanges) == 10:
                write_kubeconfig(bench.kubeconfig, bench.proxy.url, renewed)
            return refused(exchange) if exchange.token != renewed else None

        bench.proxy.plan = plan
        result = bench.task(timeouts=AMPLE).perform()
        bench.check(result)
        assert result.event is Event.POD_STARTED


class Garbage(socketserver.BaseRequestHandler):
    """Is no TLS server."""

    def handle(self) -> None:
        self.request.recv(1)
        self.request.sendall(b"\x00nonsense\r\n" * 3)


@contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    """Serve on a free port of 127.0.0.1."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


class TestBeforeHttp:
    """Nothing is sent, so nothing is changed: unreachable, said in one line."""

    def bounce(self, bench: Bench, said: str) -> None:
        result = bench.task(timeouts=SHORT).perform()
        assert result.event is Event.CLUSTER_UNREACHABLE
        assert said in result.message
        assert "\n" not in result.message
        assert bench.proxy.exchanges == []

    def test_a_name_that_does_not_resolve(self, bench: Bench) -> None:
        write_kubeconfig(bench.kubeconfig, "http://api.invalid:6443")
        self.bounce(bench, "Failed to resolve 'api.invalid'")

    def test_a_port_where_nobody_listens(self, bench: Bench) -> None:
        with serving(Garbage) as port:
            pass
        write_kubeconfig(bench.kubeconfig, f"http://127.0.0.1:{port}")
        self.bounce(bench, "Connection refused")

    def test_what_does_not_speak_tls(self, bench: Bench) -> None:
        with serving(Garbage) as port:
            write_kubeconfig(bench.kubeconfig, f"https://127.0.0.1:{port}")
            self.bounce(bench, "SSL")

    @pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
    def test_a_certificate_that_nobody_vouches_for(self, bench: Bench, tmp_path: Path) -> None:
        key, certificate = tmp_path / "key", tmp_path / "certificate"
        subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
        made = ["openssl", "req", "-x509", *kind, *subject, "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(made, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

        class Stranger(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with pytest.raises(OSError, match=r"(?i)alert|eof|reset"):
                    context.wrap_socket(self.request, server_side=True)

        with serving(Stranger) as port:
            write_kubeconfig(bench.kubeconfig, f"https://127.0.0.1:{port}")
            self.bounce(bench, "certificate verify failed")


def test_an_unusable_answer_is_told_apart_from_none(bench: Bench) -> None:
    bench.proxy.plan = always(HTML, "list")
    with pytest.raises(Unreachable, match="not complete JSON"):
        KubernetesCluster.from_kubeconfig(bench.kubeconfig).pods("default")
