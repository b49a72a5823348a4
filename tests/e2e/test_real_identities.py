"""Who acts as somebody else does so in every request, or does nothing at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from mecbounce import ExecProtection, HttpProtection, KubernetesCluster, Protection, ShutdownProtection, State

from .helpers import LEAVES_AT_TERM, Command, RunnersTask
from .real import Asked, Audit, Site
from .rights import grant, revoke

pytestmark = pytest.mark.e2e

DEPUTY = {"as": "deputy", "as-groups": ["system:masters"], "as-user-extra": {"reason": ["a drill"]}}
NOBODY = {"as": "nobody"}
SERVES = "mkdir -p /tmp/www; touch /tmp/www/off; httpd -p 8080 -h /tmp/www; "
LISTENS = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}

Acting = Callable[[Mapping[str, object]], Path]


@pytest.fixture
def acting(kubeconfig: Path, tmp_path: Path) -> Acting:
    """Write a copy of the kubeconfig whose user has these fields, too."""

    def written(fields: Mapping[str, object]) -> Path:
        whole = yaml.safe_load(kubeconfig.read_text())
        for one in whole["users"]:
            one["user"] |= fields
        copy = tmp_path / "kubeconfig"
        copy.write_text(yaml.safe_dump(whole))
        return copy

    return written


def acted(requests: list[Asked]) -> set[str]:
    """Give as whom they were made; "" where nobody was impersonated."""
    return {one.acting_as.get("username", "") for one in requests}


def test_who_acts_as_nobody_deletes_nothing(site: Site, command: Command, acting: Acting) -> None:
    """As kubectl, which is refused: exit 3."""
    site.create_node()
    site.existing()
    with site.untouched():
        ran = command.run("run", *site.words(), "--kubeconfig", str(acting(NOBODY)))
    assert ran.refused("access_denied"), ran.result
    assert '"nobody"' in ran.result["message"]


def test_every_request_is_made_as_the_user_of_the_kubeconfig(
    site: Site, command: Command, acting: Acting, audit: Audit
) -> None:
    """The watch and the Events too; the groups and the extra fields with them, which give the rights here."""
    site.node()
    ran = command.run("run", *site.words(), "--kubeconfig", str(acting(DEPUTY)))
    assert (ran.status, ran.result["state"]) == (0, "DONE"), ran.result
    asked = audit.by_mecbounce(site.namespace)
    verbs = {(one.verb, one.resource) for one in asked}
    assert {("list", "pods"), ("watch", "pods"), ("delete", "pods"), ("create", "events")} <= verbs
    assert acted(asked) == {"deputy"}
    for one in asked:
        assert "system:masters" in one.acting_as["groups"]
        assert one.acting_as["extra"] == {"reason": ["a drill"]}


def test_the_options_as_kubectl_has_them_do_the_same(site: Site, command: Command, audit: Audit) -> None:
    """`--as` alone has the rights of that user, here those of docs/rights.yaml; `--as-group` adds a group's."""
    site.node()
    refused = command.run("run", *site.words(), "--as", "nobody", "--as-group", "strangers")
    assert refused.refused("access_denied"), refused.result
    grant(site)
    try:
        ran = command.run("run", *site.words(), "--as", "bouncer")
    finally:
        revoke(site)
    assert (ran.status, ran.result["state"]) == (0, "DONE"), ran.result
    assert acted(audit.by_mecbounce(site.namespace)) == {"nobody", "bouncer"}


@pytest.mark.usefixtures("exec_works")
@pytest.mark.parametrize("way", ["exec", "proxy"])
def test_a_protection_is_switched_off_as_that_user_too(
    site: Site, runners_task: RunnersTask, acting: Acting, audit: Audit, way: str
) -> None:
    site.create_node(site.spec(SERVES + LEAVES_AT_TERM, readinessProbe=LISTENS))
    site.ready()
    cluster = KubernetesCluster.from_kubeconfig(acting(DEPUTY))
    protections: dict[str, ShutdownProtection] = {
        "exec": ExecProtection(cluster, ("true",)),
        "proxy": HttpProtection(cluster, 8080, "/off", method="GET"),
    }
    result = runners_task.perform(site.request(), protection=protections[way])
    assert (result.state, result.protection) == (State.DONE, Protection.DISABLED), result
    assert acted([one for one in audit.by_anybody(site.namespace) if f"/{way}" in one.uri]) == {"deputy"}
