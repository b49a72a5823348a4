"""A no is a no: whoever keeps the pod from being deleted, or its replacement from being made, is quoted and named."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from kubernetes import client
from kubernetes.client import ApiException
from real_cluster import till

from .conftest import lacking
from .helpers import Command, Finished
from .real import Site
from .stories import Bench, Story, Told, played

pytestmark = pytest.mark.e2e

WEBHOOK = "pods.example.com"
DENIAL = "not on a Friday"
NOBODY_LISTENS = "https://127.0.0.1:1/"


class Denies(BaseHTTPRequestHandler):
    """A webhook that allows nothing."""

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response = {"uid": review["request"]["uid"], "allowed": False, "status": {"message": DENIAL}}
        body = json.dumps({key: review[key] for key in ("apiVersion", "kind")} | {"response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for loopback, and its key, in one file."""
    file = tmp_path_factory.mktemp("webhook") / "both.pem"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=webhook -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*words.split(), "-keyout", file, "-out", file], check=True, capture_output=True)
    return file


@pytest.fixture(scope="module")
def denying(authority: Path, real_api: client.ApiClient) -> Iterator[str]:
    """Where a webhook that denies everything listens."""
    if urlsplit(real_api.configuration.host).hostname != "127.0.0.1":
        lacking("needs an API server on loopback, which alone reaches a webhook of the test's own")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority)
    with ThreadingHTTPServer(("127.0.0.1", 0), Denies) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        yield f"https://127.0.0.1:{server.server_port}/"
        server.shutdown()
        serving.join()


@contextmanager
def webhook(site: Site, app: str, operation: str, url: str, authority: Path) -> Iterator[None]:
    """Have that asked before each such operation on the pods of `app`, and wait until the API server does so."""
    registration = client.AdmissionregistrationV1Api(site.api)
    name = f"{site.namespace}-{app}"
    site.core.patch_namespace(site.namespace, {"metadata": {"labels": {"example.com/e2e": site.namespace}}})
    body = {
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": WEBHOOK,
                "rules": [{"operations": [operation], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
                "namespaceSelector": {"matchLabels": {"example.com/e2e": site.namespace}},
                "objectSelector": {"matchLabels": {"app": app}},
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 5,
                "clientConfig": {"url": url, "caBundle": b64encode(authority.read_bytes()).decode()},
            }
        ],
    }
    registration.create_validating_webhook_configuration(body)

    def in_the_way() -> bool:
        pod = {"metadata": {"generateName": "dry-", "labels": {"app": app}}, "spec": site.spec()}
        try:
            if operation == "CREATE":
                site.core.create_namespaced_pod(site.namespace, pod, dry_run="All")
            else:
                site.core.delete_namespaced_pod(f"{app}-0", site.namespace, body={"dryRun": ["All"]})
        except ApiException as error:
            return WEBHOOK in str(error.body)
        return False

    try:
        till("the webhook", in_the_way)
        yield
    finally:
        registration.delete_validating_webhook_configuration(name)


def hooked(app: str, operation: str, url: str, authority: Path) -> Story:
    """Bounce a StatefulSet's pod while a webhook is in the way of such operations."""

    def play(bench: Bench) -> tuple[Any, Finished]:
        old = bench.site.stateful_set(app)
        with webhook(bench.site, app, operation, url, authority):
            return old, bench.run(f"{app}-0", "--ready-timeout", "3s")

    return play


def over_quota(bench: Bench) -> tuple[Finished, Finished]:
    """Bounce a StatefulSet's pod and a Deployment's, where a quota has no place for another such pod."""
    site, template = bench.site, bench.site.spec(resources={"requests": {"cpu": "1m"}})
    names = site.stateful_set("quota", template).metadata.name, site.deployment("quota-of", template).metadata.name
    body = {"metadata": {"name": "none-left"}, "spec": {"hard": {"pods": "0"}, "scopes": ["NotBestEffort"]}}
    site.core.create_namespaced_resource_quota(site.namespace, body)
    till("the quota", lambda: site.core.read_namespaced_resource_quota("none-left", site.namespace).status.used)
    runs = {name: ("run", *site.bare_words(name), "--ready-timeout", "3s") for name in names}
    first, second = bench.command.run_side_by_side(runs).values()
    return first, second


def invalid(bench: Bench) -> Finished:
    """Bounce a pod whose new template no API server admits."""
    site = bench.site
    site.stateful_set("invalid", updateStrategy={"type": "OnDelete"})
    template = {"spec": {"template": {"spec": {"priorityClassName": "absent"}}}}
    site.apps.patch_namespaced_stateful_set("invalid", site.namespace, template)
    return bench.run("invalid-0", "--ready-timeout", "3s")


@pytest.fixture(scope="module")
def told(shared_site: Site, authority: Path, denying: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """How a story ended; the first to ask waits for all of them."""
    stories = {
        "delete-down": hooked("delete-down", "DELETE", NOBODY_LISTENS, authority),
        "delete-denied": hooked("delete-denied", "DELETE", denying, authority),
        "create-down": hooked("create-down", "CREATE", NOBODY_LISTENS, authority),
        "create-denied": hooked("create-denied", "CREATE", denying, authority),
        "quota": over_quota,
        "invalid": invalid,
    }
    with played(stories, Bench(shared_site, Command(tmp_path_factory.mktemp("state")))) as made:
        yield made


SAYS = {"down": ("webhook_failing", "failed calling webhook"), "denied": ("webhook_denied", DENIAL)}


@pytest.mark.parametrize("how", SAYS)
def test_a_webhook_that_refuses_the_deletion_leaves_the_pod_as_it_was(shared_site: Site, told: Told, how: str) -> None:
    """Be it down or denying: exit 3, its answer is quoted, and its owners must act."""
    old, ran = told(f"delete-{how}")
    code, said = SAYS[how]
    assert ran.outcome == (3, "delete_refused", code), ran.result
    assert said in ran.evidence
    assert WEBHOOK in ran.who
    assert "may or may not" not in ran.result["message"]
    pod = shared_site.pod(f"delete-{how}-0")
    assert (pod.metadata.uid, pod.metadata.deletion_timestamp) == (old.metadata.uid, None)


@pytest.mark.parametrize("how", SAYS)
def test_a_webhook_that_refuses_the_replacement_is_told(told: Told, how: str) -> None:
    """Its answer stands in the last Event of the StatefulSet."""
    _, ran = told(f"create-{how}")
    code, said = SAYS[how]
    assert ran.outcome == (5, "not_recreated", code), ran.result
    assert said in ran.evidence
    assert WEBHOOK in ran.who


@pytest.mark.parametrize("kind", ["StatefulSet", "ReplicaSet"])
def test_a_quota_that_is_used_up_is_told(told: Told, kind: str) -> None:
    """By what the controller's Event says of it."""
    ran = told("quota")[kind == "ReplicaSet"]
    assert ran.outcome == (5, "not_recreated", "quota_exceeded"), ran.result
    assert "exceeded quota: none-left" in ran.evidence


def test_whatever_else_keeps_the_controller_from_making_a_pod_is_quoted(told: Told) -> None:
    ran = told("invalid")
    assert ran.outcome == (5, "not_recreated", "creation_failed"), ran.result
    assert "no PriorityClass with name absent was found" in ran.evidence
