"""Shutdown protection, switched off before the DELETE in each of the ways that come with mecbounce.

The pods of the last two ignore TERM while they are protected and have a long grace period: a bounce that left the
protection on could not end in time.
"""

from __future__ import annotations

import pytest
from real_cluster import till

from mecbounce import (
    AnnotationProtection,
    ExecProtection,
    HttpProtection,
    KubernetesCluster,
    Protection,
    State,
    Timeouts,
)

from .helpers import PROTECTED, RunnersTask
from .real import Site, Watcher

pytestmark = pytest.mark.e2e

KEY = "example.com/protected"
IN_TIME = Timeouts(termination=45)
LISTENS = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
HTTPD = (
    "mkdir -p /tmp/www/cgi-bin; "
    "printf '#!/bin/sh\\ntouch /tmp/unprotected\\necho; echo off\\n' > /tmp/www/cgi-bin/off; "
    "busybox chmod +x /tmp/www/cgi-bin/off; httpd -p 8080 -h /tmp/www; "
)


def test_the_annotation_is_off_before_the_pod_is_deleted(site: Site, runners_task: RunnersTask) -> None:
    old = site.node(annotations={KEY: "yes"})
    protection = AnnotationProtection(KubernetesCluster.from_kubeconfig(), KEY, "no")
    with Watcher(site) as watcher:
        result = runners_task.perform(site.request(), protection=protection)
        till("the old pod's end", lambda: any(one.kind == "DELETED" for one in watcher.seen))
    assert (result.state, result.protection) == (State.DONE, Protection.DISABLED)
    story = [
        (one.pod["metadata"]["annotations"][KEY], one.terminating)
        for one in watcher.seen
        if one.uid == old.metadata.uid
    ]
    assert list(dict.fromkeys(story)) == [("no", False), ("no", True)]


def test_http_through_the_pod_proxy_switches_the_protection_off(site: Site, runners_task: RunnersTask) -> None:
    site.create_node(site.spec(HTTPD + PROTECTED, grace=90, readinessProbe=LISTENS))
    site.ready()
    protection = HttpProtection(KubernetesCluster.from_kubeconfig(), 8080, "/cgi-bin/off")
    result = runners_task.perform(site.request(timeouts=IN_TIME), protection=protection)
    assert (result.state, result.protection) == (State.DONE, Protection.DISABLED), result


def test_an_http_answer_that_is_an_error_leaves_it_on(site: Site, runners_task: RunnersTask) -> None:
    """The bounce goes on with a notice, and the pod's grace period is all that ends it."""
    site.create_node(site.spec(HTTPD + PROTECTED, grace=1, readinessProbe=LISTENS))
    site.ready()
    protection = HttpProtection(KubernetesCluster.from_kubeconfig(), 8080, "/cgi-bin/no-such", method="GET")
    result = runners_task.perform(site.request(), protection=protection)
    assert (result.state, result.protection) == (State.DONE, Protection.KEPT)
    assert [notice.code for notice in result.notices] == ["protection_kept"]


@pytest.mark.usefixtures("exec_works")
def test_a_command_in_the_pod_switches_the_protection_off(site: Site, runners_task: RunnersTask) -> None:
    site.node(site.spec(PROTECTED, grace=90))
    protection = ExecProtection(KubernetesCluster.from_kubeconfig(), ("touch", "/tmp/unprotected"))
    result = runners_task.perform(site.request(timeouts=IN_TIME), protection=protection)
    assert (result.state, result.protection) == (State.DONE, Protection.DISABLED), result


@pytest.mark.usefixtures("exec_works")
def test_a_command_that_fails_leaves_it_on(site: Site, runners_task: RunnersTask) -> None:
    site.node(site.spec(PROTECTED, grace=1))
    protection = ExecProtection(KubernetesCluster.from_kubeconfig(), ("false",))
    result = runners_task.perform(site.request(), protection=protection)
    assert (result.state, result.protection) == (State.DONE, Protection.KEPT)
    assert "ended with status 1" in result.notices[0].message
