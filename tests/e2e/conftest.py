"""A real cluster, a namespace of the test's own on it, and what the tests drive it with."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import pytest
from kubernetes import client
from real_cluster import GROUP, PLURAL, VERSION, if_found, till

from .helpers import Command, RunnersTask
from .real import Audit, Component, Site


def lacking(what: str) -> NoReturn:
    """Skip a test for which this cluster lacks something; fail it where the suite is to run whole, as in .ci/run."""
    if os.environ.get("MECBOUNCE_E2E_WHOLE"):
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    return Path(os.environ["KUBECONFIG"].split(os.pathsep)[0])


@pytest.fixture(scope="session")
def image(real_api: client.ApiClient) -> str:
    """A busybox that the cluster has already, else the public one."""
    hosts = client.CoreV1Api(real_api).list_node().items
    names = (name for host in hosts for image in host.status.images or () for name in image.names or ())
    return next((name for name in names if "busybox" in name), "docker.io/library/busybox:1")


@pytest.fixture(scope="session", autouse=True)
def expressnodes(expressnodes: None) -> None:
    """The custom resource, which every test here needs."""


@pytest.fixture(scope="session")
def namespaces(real_api: client.ApiClient) -> Iterator[list[str]]:
    """The namespaces that tests made and asked to be deleted; the session ends when the last of them has gone."""
    core, asked = client.CoreV1Api(real_api), list[str]()
    yield asked
    for name in asked:
        till(f"namespace {name} gone", lambda name=name: not if_found(lambda: core.read_namespace(name)), seconds=90)  # type: ignore[misc]


@pytest.fixture(scope="session")
def new_site(
    real_api: client.ApiClient, image: str, namespaces: list[str]
) -> Callable[[], AbstractContextManager[Site]]:
    """Make a fresh namespace with the operator at work in it."""

    @contextmanager
    def made() -> Iterator[Site]:
        name = f"mecbounce-e2e-{uuid.uuid4().hex[:8]}"
        core = client.CoreV1Api(real_api)
        core.create_namespace({"metadata": {"name": name}})
        site = Site(real_api, name, image)
        site.operator.start()
        try:
            yield site
        finally:
            site.operator.stop()
            for pod in core.list_namespaced_pod(name).items:
                if pod.metadata.finalizers:
                    site.finalizers(pod.metadata.name)
            core.delete_namespace(name)  # first, so that nothing makes the pods anew
            core.delete_collection_namespaced_pod(name, grace_period_seconds=0)
            namespaces.append(name)
        assert site.operator.failure is None

    return made


@pytest.fixture
def site(new_site: Callable[[], AbstractContextManager[Site]]) -> Iterator[Site]:
    """A namespace of the test's own."""
    with new_site() as made:
        yield made


@pytest.fixture(scope="module")
def shared_site(new_site: Callable[[], AbstractContextManager[Site]]) -> Iterator[Site]:
    """A namespace of the module's own, for bounces that run side by side."""
    with new_site() as made:
        yield made


@pytest.fixture
def site_in_default(real_api: client.ApiClient, image: str) -> Iterator[Site]:
    """The namespace default, where the test makes the node mec-0."""
    made = Site(real_api, "default", image)
    made.operator.start()
    yield made
    made.custom.delete_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, "mec-0")
    till("pod mec-0 gone", lambda: made.pod() is None)
    made.operator.stop()
    assert made.operator.failure is None


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """The command; what a test that failed left running ends with it."""
    made = Command(tmp_path / "state")
    yield made
    for process in made.started:
        with process:
            process.kill()


@pytest.fixture
def runners_task(tmp_path: Path) -> RunnersTask:
    return RunnersTask(tmp_path / "step_state.json")


@pytest.fixture(scope="module")
def audit(kubeconfig: Path, real_api: client.ApiClient) -> Iterator[Audit]:
    """What mecbounce asked of the API server, from the module's first test on."""
    log = kubeconfig.parent / "log" / "audit.log"
    if not log.is_file():
        lacking("needs the API server's audit log: log/audit.log beside the kubeconfig")
    with closing(Audit(log, real_api)) as made:
        yield made


@pytest.fixture(scope="session")
def component(kubeconfig: Path) -> Callable[[str], Component]:
    """Find one of the cluster's own programs by its name, to be frozen or started anew."""

    def found(name: str) -> Component:
        one = Component(kubeconfig.parent / "pid" / name)
        if not one.pid_file.is_file() or not any(name in word for word in one.words[:1]):
            lacking(f"needs the process of the {name}: its id in pid/{name} beside the kubeconfig")
        return one

    return found


@pytest.fixture
def exec_works(real_api: client.ApiClient) -> None:
    """Commands in pods go from the API server to the kubelet, at an address that the Kubernetes node tells.

    A kubelet on loopback tells none; where the API server is on loopback too, that is the address.
    """
    core = client.CoreV1Api(real_api)
    for host in core.list_node().items:
        if host.status.addresses:
            continue
        if urlsplit(real_api.configuration.host).hostname != "127.0.0.1":
            lacking("needs exec: a Kubernetes node of this cluster tells no address of its kubelet")
        core.patch_node_status(
            host.metadata.name, {"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}}
        )


@pytest.fixture(scope="session")
def bouncer(kubeconfig: Path) -> tuple[str, str]:
    """The command's words to run as the user `bouncer`, who has no rights until some are granted."""
    path = kubeconfig.parent / "bouncer.kubeconfig"
    if not path.is_file():
        lacking("needs a user without rights: bouncer.kubeconfig beside the kubeconfig")
    return "--kubeconfig", str(path)
