"""Faults of the cluster itself while a bounce waits: an API server frozen or started anew, a Kubernetes node lost."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import urllib3
from kubernetes.client import ApiException
from real_cluster import GROUP, PLURAL, VERSION, if_found, till

from mecbounce import State

from .helpers import LONGEST_RUN, Command, state_in
from .real import Audit, Component, Site

pytestmark = [pytest.mark.e2e, pytest.mark.alone]  # it stops what the others need

FREEZE, AWAY = 30.0, 10.0  # seconds
MOST_REQUESTS = 12  # answered, of one bounce from a fault on; without one it makes four from its beginning on
MOST_SAVES = 25  # of one bounce; each try that got no answer is one, with pauses that grow to half a minute
HOLD = "example.com/hold"


class Waiting:
    """A bounce that stays in its waiting state until it is let go."""

    def __init__(self, site: Site, command: Command, folder: Path, name: str, state: State) -> None:
        self.site, self.command, self.name, self.state = site, command, name, state
        self.record = folder / name
        self.words = ("run", *site.words(name), "--state", str(self.record))
        site.create_node(site.gated(), name)

    def start(self) -> None:
        self.old = str(self.site.running(self.name).metadata.uid)
        if self.state is State.AWAIT_TERMINATION:
            self.site.finalizers(self.name, HOLD)
        self.process = self.command.start(*self.words)

    def reached(self) -> None:
        till(f"{self.name} in {self.state}", lambda: state_in(self.record) == self.state, seconds=LONGEST_RUN)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def let_go(self) -> None:
        if self.state is State.AWAIT_TERMINATION:
            assert state_in(self.record) == self.state
            self.site.finalizers(self.name)
        self.site.let_go(self.name, self.old)

    def ended_well(self) -> set[str]:
        """Assert that; give the codes of the notices."""
        ran = self.command.finish(self.process)
        assert (ran.status, ran.result["state"]) == (0, "DONE"), self.name
        assert ran.result["old_pod"]["uid"] == self.old
        assert ran.result["new_pod"]["uid"] == self.site.pod(self.name).metadata.uid != self.old
        assert self.saves <= MOST_SAVES, self.name
        return ran.notices

    @property
    def saves(self) -> int:
        return int(json.loads(self.record.read_text())["revision"])


def waiting(site: Site, command: Command, folder: Path, how: Iterable[str]) -> dict[str, Waiting]:
    """Bring bounces into each waiting state, one for each `how`."""
    made = {
        f"{state.lower().replace('_', '-')}-{one}": state
        for state in (State.AWAIT_TERMINATION, State.AWAIT_READY)
        for one in how
    }
    bounces = {name: Waiting(site, command, folder, name, state) for name, state in made.items()}
    for bounce in bounces.values():
        bounce.start()
    for bounce in bounces.values():
        bounce.reached()
    return bounces


def counted(audit: Audit, site: Site, names: Iterable[str]) -> Counter[str]:
    """Assert one accepted DELETE for each pod; give how many requests each bounce made."""
    asked = audit.by_mecbounce(site.namespace)
    assert Counter(one.name for one in asked if one.deletes) == Counter(list(names))
    return Counter({name: sum(name in one.uri for one in asked) for name in names})


def told(bounces: dict[str, Waiting], requests: Counter[str]) -> str:
    each = (f"{name} {requests[name]} ({bounce.saves} saves in all)" for name, bounce in bounces.items())
    return f"{len(bounces)} DONE; requests answered from then on: {', '.join(each)}"


def test_an_api_server_frozen_for_half_a_minute_is_waited_out(
    site: Site,
    command: Command,
    audit: Audit,
    component: Callable[[str], Component],
    tmp_path: Path,
    figure: Callable[[str], None],
) -> None:
    """In each waiting state, be the bounce under way or resumed meanwhile: no failure, no second DELETE, no storm."""
    server = component("kube-apiserver")
    bounces = waiting(site, command, tmp_path, ("under-way", "resumed"))
    resumed = [bounce for name, bounce in bounces.items() if name.endswith("resumed")]
    for bounce in resumed:
        bounce.kill()
    before = counted(audit, site, bounces)
    with server.frozen():
        for bounce in resumed:
            bounce.process = command.start(*bounce.words)
        time.sleep(FREEZE)
    for bounce in bounces.values():
        bounce.let_go()
    notices = {name: bounce.ended_well() for name, bounce in bounces.items()}
    for name, codes in notices.items():
        if name.endswith("resumed"):
            assert codes == {"resumed", "cluster_trouble"}, name
        else:
            assert codes <= {"cluster_trouble"}, name
    after = counted(audit, site, bounces)
    figure(f"an API server frozen for {FREEZE:.0f} s: {told(bounces, after - before)}")
    assert max((after - before).values()) <= MOST_REQUESTS


def test_an_api_server_started_anew_is_waited_out(
    site: Site,
    command: Command,
    audit: Audit,
    component: Callable[[str], Component],
    tmp_path: Path,
    figure: Callable[[str], None],
) -> None:
    """In each waiting state: no failure, no second DELETE, no storm."""
    server = component("kube-apiserver")
    bounces = waiting(site, command, tmp_path, ("restart",))
    before = counted(audit, site, bounces)
    site.operator.pause()  # it is no part of the test, and not made for an API server that goes away
    with server.ended():
        time.sleep(AWAY)
    till("the API server serves again", lambda: served(site), seconds=90)
    site.operator.resume()
    for bounce in bounces.values():
        bounce.let_go()
    assert all(bounce.ended_well() <= {"cluster_trouble"} for bounce in bounces.values())
    after = counted(audit, site, bounces)
    figure(f"an API server away for {AWAY:.0f} s and started anew: {told(bounces, after - before)}")
    assert max((after - before).values()) <= MOST_REQUESTS


def served(site: Site) -> bool:
    """Tell whether the API server answers, about the tests' custom resource too."""
    try:
        site.core.list_namespaced_pod(site.namespace)
        return if_found(lambda: site.custom.list_cluster_custom_object(GROUP, VERSION, PLURAL)) is not None
    except (ApiException, urllib3.exceptions.HTTPError):
        return False


def test_a_kubernetes_node_lost_while_a_pod_terminates_is_named(
    site: Site, command: Command, audit: Audit, component: Callable[[str], Component]
) -> None:
    """Exit 4, a diagnosis that names it, and nothing forced; once it is back, a run with the old UID keeps waiting."""
    kubelet = component("kubelet")
    old = site.node()
    words = ("run", *site.words())
    with kubelet.frozen():
        process = command.start(*words, "--termination-timeout", "55s")
        till("the Kubernetes node NotReady", lambda: not host_ready(site, old.spec.node_name), seconds=60)
        assert site.pod().metadata.deletion_timestamp
        ran = command.finish(process)
        assert (ran.status, ran.result["event"]) == (4, "termination_timeout")
        assert ran.result["diagnosis"]["code"] == "host_lost"
        assert f"Kubernetes node {old.spec.node_name} is not ready" in ran.result["message"]
        assert site.pod().metadata.uid == old.metadata.uid
    till("the Kubernetes node Ready again", lambda: host_ready(site, old.spec.node_name), seconds=60)
    ran = command.run(*words, "--pod-uid", old.metadata.uid)
    assert (ran.status, ran.result["state"]) == (0, "DONE")
    assert ran.result["new_pod"]["uid"] == site.pod().metadata.uid != old.metadata.uid
    assert len(audit.deletions(site.namespace)) == 1


def host_ready(site: Site, name: str) -> bool:
    conditions = site.core.read_node(name).status.conditions
    return any((one.type, one.status) == ("Ready", "True") for one in conditions)
