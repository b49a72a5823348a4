"""Bounces that are refused before the deletion: the pod runs on as it was, and one line says why."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from builders import write_kubeconfig
from kubernetes import client
from real_cluster import GROUP, PLURAL, VERSION

from .helpers import Command, Finished
from .real import Audit, Site, controller

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "force"])
def test_a_node_that_is_down_is_not_bounced(site: Site, command: Command, force: tuple[str, ...]) -> None:
    """Not with --force either; even while its pod still stands."""
    site.create_node()
    site.existing()
    site.operator.pause()
    site.change(state="down")
    with site.untouched():
        ran = command.run("run", *site.words(), "--gitops", *force)
    assert ran.refused("node_down")
    assert "Git" in ran.result["advice"]


def test_a_node_that_is_down_and_has_no_pod_is_down_and_not_missing(site: Site, command: Command) -> None:
    site.operator.pause()
    site.create_node()
    site.change(state="down")
    ran = command.run("run", *site.words())
    assert ran.refused("node_down")


def test_a_pod_that_the_operator_did_not_make_is_missing(site: Site, command: Command) -> None:
    """The resource says up: the message names who should have made the pod."""
    site.operator.pause()
    site.create_node()
    ran = command.run("run", *site.words())
    assert ran.refused("pod_missing")
    assert "operator of expressnodes.express.example.com" in ran.result["advice"]


def test_a_pod_without_its_custom_resource_is_not_bounced(site: Site, command: Command) -> None:
    site.create_node()
    site.existing()
    with site.untouched():
        ran = command.run("run", "mec-0", "-n", site.namespace, "-o", "json", *node("mec-1"))
    assert ran.refused("node_missing")
    assert "'mec-1'" in ran.result["message"]


def test_a_node_that_rebuilds_is_not_bounced_unless_forced(site: Site, command: Command) -> None:
    site.create_node()
    site.existing()
    site.report("rebuilding")
    with site.untouched():
        ran = command.run("run", *site.words())
    assert ran.refused("node_rebuilding")
    assert "use --force" in ran.result["advice"]


def test_a_pod_that_nothing_would_recreate_is_not_bounced_unless_forced(site: Site, command: Command) -> None:
    site.core.create_namespaced_pod(site.namespace, {"metadata": {"name": "bare"}, "spec": site.spec()})
    with site.untouched("bare"):
        ran = command.run("run", "bare", "-n", site.namespace, "-o", "json")
    assert ran.refused("pod_unmanaged")


def test_a_node_that_is_being_deleted_is_not_bounced(site: Site, command: Command) -> None:
    """Its finalizer keeps it, and it still says up. Not with --force either: nothing would make the pod again."""
    site.create_node()
    site.existing()
    site.hold("mec-0", "example.com/hold")
    try:
        site.custom.delete_namespaced_custom_object(GROUP, VERSION, site.namespace, PLURAL, "mec-0")
        with site.untouched():
            runs = [command.run("run", *site.words(), *force) for force in ((), ("--force",))]
    finally:
        site.hold("mec-0")
    assert [ran.refused("node_deleting") for ran in runs] == [True, True], runs


@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "force"])
def test_a_static_pod_is_not_bounced(site: Site, command: Command, force: tuple[str, ...]) -> None:
    """What the API server has of it is a mirror, which a Kubernetes node owns: deleting that restarts nothing."""
    host = site.core.list_node().items[0]
    owner = controller({"apiVersion": "v1", "kind": "Node", "metadata": host.metadata.to_dict()})
    metadata = {"name": "static", "annotations": {"kubernetes.io/config.mirror": "abc"}, "ownerReferences": [owner]}
    elsewhere = site.spec() | {"nodeName": "no-such-host"}  # a kubelet removes a mirror of nothing at once
    site.core.create_namespaced_pod(site.namespace, {"metadata": metadata, "spec": elsewhere})
    with site.untouched("static"):
        ran = command.run("run", *site.bare_words("static"), "--termination-timeout", "1s", *force)
    assert ran.refused("pod_static"), ran.result


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_where_the_resource_is_of_no_type_that_is_served_no_command_is_suggested_that_fails(
    site: Site, command: Command, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    ran = command.run("run", "mec-0", "-n", site.namespace, "--state", str(record), *node(kind="example.com/v1/trains"))
    assert ran.status == 3
    status = command.run("status", "--state", str(record), "-o", "json")
    suggested = [words for line in status.result["next_commands"] if (words := shlex.split(line))[0] == "kubectl"]
    assert [words for words in suggested if subprocess.run(words, check=False, capture_output=True).returncode] == []


def test_a_plan_changes_nothing(site: Site, command: Command, audit: Audit) -> None:
    """Its DELETE is a dry run: the pod's resourceVersion stays as it is."""
    site.create_node()
    before = site.ready().metadata.resource_version
    ran = command.run("plan", *site.words())
    assert ran.status == 0
    assert site.pod().metadata.resource_version == before
    assert site.pod().metadata.deletion_timestamp is None
    assert [one.verb for one in audit.by_mecbounce(site.namespace)][:3] == ["get", "list", "delete"]
    assert {one.verb for one in audit.by_mecbounce(site.namespace)[3:]} == {"list"}


def test_a_plan_tells_that_a_bounce_would_be_refused(site: Site, command: Command) -> None:
    site.create_node()
    site.existing()
    site.report("rebuilding")
    ran = command.run("plan", *site.words())
    assert ran.status == 3
    assert "rebuilding" in ran.stdout


def node(name: str = "mec-0", kind: str = "express.example.com/v1/expressnodes") -> tuple[str, str]:
    return "--node", f"{kind}/{name}"


BAD: dict[str, tuple[tuple[str, ...], int, str]] = {
    "namespace of a node": (("-n", "no-such-namespace", *node()), 3, "namespace 'no-such-namespace'"),
    "namespace": (
        ("-n", "no-other-namespace"),
        3,
        "namespace no-other-namespace not found",
    ),  # its own, so that each has its own record
    "plural": (node(kind="express.example.com/v1/trains"), 3, "trains"),
    "version": (("-n", "kube-system", *node(kind="express.example.com/v9/expressnodes")), 3, "v9"),
    "kubeconfig": (("--kubeconfig", "no-such-file"), 2, "no-such-file"),
    "context": (("--context", "no-such-context"), 2, "no-such-context"),
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    runs = {name: ("run", "no-such-pod", *words) for name, (words, _, _) in BAD.items()}
    return Command(tmp_path_factory.mktemp("state")).run_side_by_side(runs)


@pytest.mark.parametrize("what", BAD)
def test_what_does_not_exist_is_said_in_one_line(complaints: dict[str, Finished], what: str) -> None:
    ran, (_, status, said) = complaints[what], BAD[what]
    assert ran.status == status
    lines = (ran.stdout + ran.stderr).splitlines()
    told = [line for line in lines if line.startswith(("What happened: ", "mecbounce: "))]
    assert [said in line for line in told] == [True], ran


def test_a_kubeconfig_that_is_none_is_said_in_one_line(command: Command, tmp_path: Path) -> None:
    broken = tmp_path / "kubeconfig"
    broken.write_text("clusters: [")
    ran = command.run("run", "mec-0", "--kubeconfig", str(broken))
    assert ran.status == 2
    assert ran.stderr.count("\n") == 1
    assert str(broken) in ran.stderr


def test_credentials_that_are_not_accepted_are_access_denied(
    command: Command, real_api: client.ApiClient, tmp_path: Path
) -> None:
    server, authority = real_api.configuration.host, real_api.configuration.ssl_ca_cert
    stranger = write_kubeconfig(tmp_path / "kubeconfig", server, "unknown", **{"certificate-authority": authority})
    ran = command.run("run", "mec-0", "-n", "default", "--kubeconfig", str(stranger), "-o", "json")
    assert ran.refused("access_denied")
    assert "401" in ran.result["message"]
