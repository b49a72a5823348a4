"""A pod of several containers is back when all of them are: a mesh's proxy does not speak for the application."""

from __future__ import annotations

from typing import Any

import pytest

from .helpers import LEAVES_AT_TERM, NEVER, Command, Finished, Json, probe, starting
from .real import Site

pytestmark = pytest.mark.e2e

PROXY_TAKES = 4  # seconds: an application that crashes at once has crashed by then
CRASHES = "sleep 2; exit 3"  # it runs for a moment after each restart
READY_LATER = f"(sleep 14; touch /tmp/ready) & {LEAVES_AT_TERM}"
READY_PROBE = probe("test", "-f", "/tmp/ready")
IN_TIME = probe("test", "-f", "/tmp/started", failures=20)  # its budget is shorter than the deadline


def beside(site: Site, application: Json, **proxy: Any) -> Json:
    """Give the spec of a pod with a second container, as a mesh injects it, whose probe passes after a while."""
    second = site.spec(starting(PROXY_TAKES), **proxy)["containers"][0] | {"name": "proxy"}
    return application | {"containers": [*application["containers"], second]}


def replacements(site: Site) -> dict[str, Json]:
    """What each node's pod is replaced by."""
    probed = {"startupProbe": IN_TIME}
    return {
        "image-pull": beside(site, site.spec(image="127.0.0.1:1/absent:1"), **probed),
        "crash-loop": beside(site, site.spec(CRASHES), **probed),
        "readiness-probe": beside(site, site.spec(readinessProbe=NEVER), **probed),
        "crash-loop-unprobed": beside(site, site.spec(CRASHES), readinessProbe=IN_TIME),
        "ready-later": beside(site, site.spec(READY_LATER, readinessProbe=READY_PROBE), **probed),
        "works": beside(site, site.spec(), **probed),
    }


@pytest.fixture(scope="module")
def bounced(shared_site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    """Their bounces, side by side."""
    site, templates = shared_site, replacements(shared_site)
    site.operator.sweeps = True
    for name in templates:
        site.create_node(templates["works"], name)
    for name, template in templates.items():
        site.running(name)
        site.change(name, template=template)
    timeouts = dict.fromkeys(templates, "28s") | {"ready-later": "60s"}
    runs = {name: ("run", *site.words(name), "--ready-timeout", timeout) for name, timeout in timeouts.items()}
    return Command(tmp_path_factory.mktemp("state")).run_side_by_side(runs)


@pytest.mark.parametrize("name", ["image-pull", "crash-loop", "readiness-probe"])
def test_an_application_that_is_not_up_is_not_back_though_its_proxy_has_started(
    bounced: dict[str, Finished], name: str
) -> None:
    """Only the proxy has a startup probe; an application that crashes runs for two seconds after each restart."""
    ran = bounced[name]
    assert ran.outcome == (5, "ready_timeout", name.replace("-", "_")), ran.result
    assert "container app" in ran.evidence


def test_without_any_startup_probe_the_moment_after_a_restart_does_not_count_either(
    bounced: dict[str, Finished],
) -> None:
    """The pod's Ready condition is true in that moment."""
    ran = bounced["crash-loop-unprobed"]
    assert ran.outcome == (5, "ready_timeout", "crash_loop"), ran.result


def test_an_application_with_a_readiness_probe_of_its_own_is_waited_for(
    shared_site: Site, bounced: dict[str, Finished]
) -> None:
    """It has no startup probe, so nothing else tells that it has started."""
    ran = bounced["ready-later"]
    assert ran.outcome == (0, "pod_started", None)
    assert ran.result["durations"]["AWAIT_READY"] > 14
    assert all(one.ready for one in shared_site.pod("ready-later").status.container_statuses if one.name == "app")


def test_an_application_without_any_probe_is_back_once_it_runs_and_its_proxy_has_started(
    bounced: dict[str, Finished],
) -> None:
    ran = bounced["works"]
    assert (ran.outcome, ran.notices) == ((0, "pod_started", None), set())
