"""What Kubernetes itself tells of a bounce, as `kubectl describe` shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from real_cluster import PLURAL, till

from .helpers import NEVER, Command
from .real import Site

pytestmark = pytest.mark.e2e

HELD = "example.com/held"


def told(site: Site, uid: str) -> list[Any]:
    """Give mecbounce's Events about that object."""
    listed = site.core.list_namespaced_event(site.namespace, field_selector=f"involvedObject.uid={uid}")
    return [event for event in listed.items if event.source.component == "mecbounce"]


def described(site: Site, kind: str) -> str:
    """Give what `kubectl describe` shows of the Events of mec-0."""
    words = ["kubectl", "-n", site.namespace, "describe", kind, "mec-0"]
    shown = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return shown.partition("\nEvents:")[2]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_kubectl_describe_tells_of_a_bounce(site: Site, command: Command, figure: Callable[[str], None]) -> None:
    """`Bouncing` on the pod while it goes, `Bounced` on the custom resource, each with its age and from whom."""
    old = site.node()
    resource = old.metadata.owner_references[0].uid
    site.finalizers("mec-0", HELD)  # so that the pod can be described while it goes
    process = command.start("run", *site.words())
    till("the deletion", lambda: site.pod().metadata.deletion_timestamp)
    assert re.search(r"Normal +Bouncing +\d+s +mecbounce +Deleting this pod \(", described(site, "pod"))
    site.finalizers("mec-0")
    ran = command.finish(process)
    assert (ran.status, ran.notices) == (0, set())
    (end,) = told(site, resource)
    assert (end.reason, end.message) == ("Bounced", ran.result["message"])
    assert end.related.uid == ran.result["new_pod"]["uid"]
    shown = described(site, PLURAL)
    assert re.search(r"Normal +Bounced +\d+s +mecbounce +Pod mec-0 was bounced: ", shown)
    figure(f"kubectl describe {PLURAL}: {shown.strip().splitlines()[-1].strip()}")


def test_a_bounce_that_fails_is_a_warning_with_its_diagnosis(site: Site, command: Command) -> None:
    old = site.node(site.spec(startupProbe=NEVER))
    ran = command.run("run", *site.words(), "--ready-timeout", "3s")
    assert ran.status == 5
    (begin,), (end,) = told(site, old.metadata.uid), told(site, old.metadata.owner_references[0].uid)
    assert (begin.reason, end.reason, end.type) == ("Bouncing", "BounceFailed", "Warning")
    assert end.message == f"{ran.result['diagnosis']['code']}: {ran.result['message']}"
    assert ran.result["diagnosis"]["evidence"] in end.message


def test_switched_off_nothing_is_told(site: Site, command: Command) -> None:
    old = site.node()
    assert command.run("run", *site.words(), "--no-events").status == 0
    assert told(site, old.metadata.uid) == told(site, old.metadata.owner_references[0].uid) == []
