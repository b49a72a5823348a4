"""The real cluster as a test sees it: a namespace of its own, an operator at work in it, a watch, the audit log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import urllib3
from kubernetes import client
from real_cluster import GROUP, PLURAL, VERSION, if_found, till

from mecbounce import BounceRequest, NodeRef

from .helpers import LEAVES_AT_TERM, LONGEST_RUN, Json

OPERATOR_EVERY = 0.2  # seconds between two looks of the operator
LOOK_EVERY = 0.2  # seconds between two looks of a test at a pod: many tests in one are no load on the API server
GATE = "example.com/gate"  # a readiness gate: a pod that has it is ready once a test says so


class ExpressOperator(threading.Thread):
    """A small operator: an ExpressNode that is up has a pod of its own name, made of spec.template, and else none."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        super().__init__(name=f"operator of {namespace}")
        self._core, self._custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
        self._namespace = namespace
        self._ended = threading.Event()
        self._round = threading.Lock()
        self._paused = False
        self.sweeps = False
        """Whether it removes pods that have ended: a kubelet may leave them for a minute."""
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            while not self._ended.wait(OPERATOR_EVERY):
                with self._round:
                    if not self._paused:
                        self._reconcile()
        except Exception as error:  # noqa: BLE001 -- an operator outlives every error and tries again
            self.failure = error

    def pause(self) -> None:
        """Make no pod and remove none from now on."""
        with self._round:
            self._paused = True

    def resume(self) -> None:
        self._paused = False

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def _reconcile(self) -> None:
        nodes = self._custom.list_namespaced_custom_object(GROUP, VERSION, self._namespace, PLURAL)["items"]
        listed = self._core.list_namespaced_pod(self._namespace, _preload_content=False)  # models of 30 pods take 40 ms
        pods = {pod["metadata"]["name"]: pod for pod in json.loads(listed.data)["items"]}
        for pod in filter(has_ended, pods.values() if self.sweeps else ()):
            self._remove(pod)
        for node in nodes:
            name, wanted = node["metadata"]["name"], node["spec"].get("state") != "down"
            pod = pods.get(name)
            if wanted and pod is None:
                metadata = {
                    "name": name,
                    "annotations": node["spec"].get("annotations", {}),
                    "ownerReferences": [controller(node) | {"controller": node["spec"].get("controls", True)}],
                }
                self._core.create_namespaced_pod(
                    self._namespace, {"metadata": metadata, "spec": node["spec"]["template"]}
                )
            elif not wanted and pod is not None and "deletionTimestamp" not in pod["metadata"]:
                self._core.delete_namespaced_pod(name, self._namespace)

    def _remove(self, pod: Json) -> None:
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        if_found(lambda: self._core.delete_namespaced_pod(pod["metadata"]["name"], self._namespace, body=body))


def has_ended(pod: Json) -> bool:
    """Tell whether a pod is being deleted and none of its containers runs any more."""
    states = [one["state"] for one in pod["status"].get("containerStatuses", ())]
    return "deletionTimestamp" in pod["metadata"] and bool(states) and not any("running" in one for one in states)


def controller(resource: Json) -> Json:
    """Give the ownerReference that makes `resource` the controller of a pod."""
    return {
        "apiVersion": resource["apiVersion"],
        "kind": resource["kind"],
        "name": resource["metadata"]["name"],
        "uid": resource["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }


class Site:
    """A namespace and the operator at work in it."""

    def __init__(self, api: client.ApiClient, namespace: str, image: str) -> None:
        self.api, self.namespace, self.image = api, namespace, image
        self.core, self.custom, self.apps = client.CoreV1Api(api), client.CustomObjectsApi(api), client.AppsV1Api(api)
        self.operator = ExpressOperator(api, namespace)

    def spec(self, script: str = LEAVES_AT_TERM, *, grace: int = 2, **container: Any) -> Json:
        """Give the spec of a pod of one container that runs `script`; `container` adds to that container."""
        app = {"name": "app", "image": self.image, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script]}
        return {"terminationGracePeriodSeconds": grace, "containers": [app | container]}

    def gated(self, script: str = LEAVES_AT_TERM) -> Json:
        """Give the spec of a pod whose bounces do not end before `let_go` says that it is ready."""
        return self.spec(script, grace=10) | {"readinessGates": [{"conditionType": GATE}]}

    def let_go(self, name: str, old: str) -> None:
        """Wait until a gated pod has been replaced, and let its replacement be ready."""

        def replaced() -> bool:
            pod = self.pod(name)
            return pod is not None and pod.metadata.uid != old

        till(f"another pod {name}", replaced, seconds=LONGEST_RUN, every=LOOK_EVERY)
        body = {"status": {"conditions": [{"type": GATE, "status": "True"}]}}
        self.core.patch_namespaced_pod_status(name, self.namespace, body)

    def create_node(
        self, template: Json | None = None, name: str = "mec-0", annotations: Json | None = None, **spec: Any
    ) -> None:
        """Make an ExpressNode that is up; its operator gives the pod these annotations. `spec` adds to its own."""
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "ExpressNode",
            "metadata": {"name": name},
            "spec": {"state": "up", "template": template or self.spec(), "annotations": annotations or {}} | spec,
        }
        self.custom.create_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, body)

    def node(self, template: Json | None = None, name: str = "mec-0", annotations: Json | None = None) -> Any:
        """Make an ExpressNode that is up, and give the pod that its operator made, once that runs."""
        self.create_node(template, name, annotations)
        return self.running(name)

    def existing(self, name: str = "mec-0") -> Any:
        """Wait until there is such a pod, running or not."""
        return till(f"pod {name}", lambda: self.pod(name))

    def change(self, name: str = "mec-0", **spec: Any) -> None:
        self.custom.patch_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURAL, name, {"spec": spec}, _content_type="application/merge-patch+json"
        )

    def hold(self, name: str, *finalizers: str) -> None:
        """Set the finalizers of an ExpressNode."""
        body = {"metadata": {"finalizers": list(finalizers)}}
        self.custom.patch_namespaced_custom_object(
            GROUP, VERSION, self.namespace, PLURAL, name, body, _content_type="application/merge-patch+json"
        )

    def report(self, activity: str, name: str = "mec-0") -> None:
        """Write what the node does into its status, as its operator would."""
        self.custom.patch_namespaced_custom_object_status(
            GROUP,
            VERSION,
            self.namespace,
            PLURAL,
            name,
            {"status": {"state": activity}},
            _content_type="application/merge-patch+json",
        )

    def pod(self, name: str = "mec-0") -> Any:
        """Give the pod as the API server has it; None: there is none."""
        return if_found(lambda: self.core.read_namespaced_pod(name, self.namespace))

    def running(self, name: str = "mec-0") -> Any:
        """Wait until the pod's containers all run."""

        def found() -> Any:
            pod = self.pod(name)
            statuses = (pod.status.container_statuses or []) if pod else []
            return pod if statuses and all(one.state.running for one in statuses) else None

        return till(f"pod {name} running", found, every=LOOK_EVERY)

    def ready(self, name: str = "mec-0") -> Any:
        """Wait until the pod is ready, which without any change is the last that its status tells."""

        def found() -> Any:
            pod = self.pod(name)
            conditions = (pod.status.conditions or []) if pod else []
            return pod if any((one.type, one.status) == ("Ready", "True") for one in conditions) else None

        return till(f"pod {name} ready", found, every=LOOK_EVERY)

    def terminating(self, name: str = "mec-0") -> Any:
        """Wait until the pod is being deleted."""

        def found() -> Any:
            pod = self.pod(name)
            return pod if pod and pod.metadata.deletion_timestamp else None

        return till(f"pod {name} terminating", found, seconds=LONGEST_RUN, every=LOOK_EVERY)

    def pods(self, app: str) -> list[Any]:
        """Give the pods of a workload that are not being deleted."""
        listed = self.core.list_namespaced_pod(self.namespace, label_selector=f"app={app}").items
        return [pod for pod in listed if not pod.metadata.deletion_timestamp]

    def pod_of(self, app: str) -> Any:
        """Give a workload's pod, whatever its name, once it runs."""
        made = till(f"a pod of {app}", lambda: self.pods(app), every=LOOK_EVERY)
        return self.running(made[0].metadata.name)

    def workload(self, name: str = "app", *, replicas: int = 1, template: Json | None = None, **spec: Any) -> Json:
        """Give a Deployment's body, or another workload's with what its `spec` adds."""
        labels = {"app": name}
        made = {"metadata": {"labels": labels}, "spec": template or self.spec()}
        return {
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": made, **spec},
        }

    def deployment(self, name: str, template: Json | None = None, **spec: Any) -> Any:
        """Make a Deployment of one pod, and give that once it runs."""
        body = self.workload(name, template=template, **spec)
        self.apps.create_namespaced_deployment(self.namespace, body)
        return self.pod_of(name)

    def stateful_set(self, name: str, template: Json | None = None, **spec: Any) -> Any:
        """Make a StatefulSet of one pod, and give that once it runs."""
        body = self.workload(name, template=template, serviceName="none", **spec)
        self.apps.create_namespaced_stateful_set(self.namespace, body)
        return self.running(f"{name}-0")

    @contextmanager
    def untouched(self, name: str = "mec-0") -> Iterator[None]:
        """Assert that the same incarnation stands there afterwards, not terminating, its metadata unchanged."""
        before = self.pod(name)
        yield
        after = self.pod(name)
        assert (after.metadata.uid, after.metadata.deletion_timestamp) == (before.metadata.uid, None)
        assert after.metadata.annotations == before.metadata.annotations

    def request(self, name: str = "mec-0", **options: Any) -> BounceRequest:
        ref = NodeRef(group=GROUP, version=VERSION, plural=PLURAL, name=name)
        return BounceRequest(namespace=self.namespace, pod=name, node=ref, **options)

    def words(self, name: str = "mec-0") -> tuple[str, ...]:
        """Give the command's words that name the pod and its node."""
        return (*self.bare_words(name), "--node", f"{GROUP}/{VERSION}/{PLURAL}/{name}")

    def bare_words(self, name: str) -> tuple[str, ...]:
        """Give those of a pod that is made from no custom resource."""
        return (name, "-n", self.namespace, "-o", "json")

    def finalizers(self, name: str, *finalizers: str) -> None:
        body = {"metadata": {"finalizers": list(finalizers)}}
        self.core.patch_namespaced_pod(name, self.namespace, body, _content_type="application/merge-patch+json")


@dataclass(frozen=True)
class Sighting:
    """An event of a watch, and when its bytes had arrived (time.monotonic)."""

    at: float
    kind: str
    pod: Json

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    @property
    def terminating(self) -> bool:
        return "deletionTimestamp" in self.pod["metadata"]

    @property
    def started(self) -> bool:
        return any(one.get("started") for one in self.pod["status"].get("containerStatuses", ()))


class Watcher(threading.Thread):
    """A bare watch of a namespace's pods, for comparison: no client models, no logic."""

    def __init__(self, site: Site) -> None:
        super().__init__(name=f"watch of {site.namespace}")
        listed = site.core.list_namespaced_pod(site.namespace)
        self._response = site.core.list_namespaced_pod(
            site.namespace,
            watch=True,
            resource_version=listed.metadata.resource_version,
            _preload_content=False,
            _request_timeout=(3, 120),
        )
        self.seen: list[Sighting] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._response.shutdown()
        self.join()
        self._response.close()

    def started(self, uid: str) -> Sighting | None:
        """Give the first event that shows that incarnation started."""
        return next((one for one in self.seen if one.uid == uid and one.started), None)

    def run(self) -> None:
        rest = b""
        try:
            for chunk in self._response.stream(amt=None, decode_content=False):
                at = time.monotonic()
                *lines, rest = (rest + chunk).split(b"\n")
                for event in map(json.loads, filter(None, lines)):
                    self.seen.append(Sighting(at, event["type"], event["object"]))
        except (urllib3.exceptions.HTTPError, OSError):
            return  # shut down


@dataclass(frozen=True)
class Asked:
    """One request in the audit log."""

    verb: str
    uri: str
    resource: str
    name: str
    user: str
    agent: str
    status: int
    acting_as: Json = field(default_factory=dict)  # whom `user` impersonated, with groups and extra fields

    def __str__(self) -> str:
        return f"{self.verb} {self.uri} -> {self.status}"

    @property
    def deletes(self) -> bool:
        """Whether it is a DELETE of a pod that was accepted."""
        return (self.verb, self.resource, self.status) == ("delete", "pods", 200)

    @property
    def tells(self) -> bool:
        """Whether it writes an Event: of these a bounce has a budget of their own."""
        return (self.verb, self.resource) == ("create", "events")


class Audit:
    """The API server's audit log, from the moment on that this is made."""

    def __init__(self, path: Path, api: client.ApiClient) -> None:
        self._path, self._api = path, api
        self._begun = path.open("rb")
        self._begin = self._begun.seek(0, os.SEEK_END)

    def close(self) -> None:
        self._begun.close()

    def by_mecbounce(self, namespace: str) -> list[Asked]:
        """Give mecbounce's requests about a namespace, but for those of exec, which bear no User-Agent."""
        return [one for one in self.by_anybody(namespace) if one.agent.startswith("mecbounce/")]

    def by_anybody(self, namespace: str) -> list[Asked]:
        """Give all requests about a namespace, once all that were answered by now have been written."""
        marker = uuid.uuid4().hex
        version = client.VersionApi(client.ApiClient(self._api.configuration))
        version.api_client.user_agent = marker
        with version.api_client:
            version.get_code()
        lines = till("the audit log", lambda: found if marker in (found := self._written()) else None)
        requests: dict[str, Asked] = {}
        for entry in map(json.loads, lines.splitlines()):
            target = entry.get("objectRef", {})
            if target.get("namespace") == namespace:
                requests[entry["auditID"]] = Asked(
                    entry["verb"],
                    entry["requestURI"],
                    target.get("resource", ""),
                    target.get("name", ""),
                    entry["user"]["username"],
                    entry.get("userAgent", ""),
                    entry["responseStatus"]["code"],
                    entry.get("impersonatedUser", {}),
                )
        return list(requests.values())

    def deletions(self, namespace: str, name: str = "mec-0") -> list[Asked]:
        """Give the accepted DELETEs of a pod."""
        return [one for one in self.by_mecbounce(namespace) if one.deletes and one.name == name]

    def _written(self) -> str:
        self._begun.seek(self._begin)
        written = self._begun.read()
        if not os.path.samestat(os.fstat(self._begun.fileno()), self._path.stat()):  # it was rotated meanwhile
            written += self._path.read_bytes()
        return written.rpartition(b"\n")[0].decode()


@dataclass(frozen=True)
class Component:
    """One of the cluster's own programs, by the file that holds its process id."""

    pid_file: Path

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    @property
    def words(self) -> list[str]:
        """Give its command line; empty once it has ended."""
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_text().split("\0")[:-1]
        except (FileNotFoundError, ProcessLookupError):
            return []

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it do nothing at all; its sockets stay open, and nobody answers."""
        pid = self.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextmanager
    def ended(self) -> Iterator[None]:
        """End it, and start it anew afterwards as it was: words, folder, environment, log."""
        process = Path(f"/proc/{self.pid}")
        words, folder, log = self.words, (process / "cwd").readlink(), (process / "fd" / "1").readlink()
        pairs = (pair.partition("=") for pair in (process / "environ").read_text().split("\0") if pair)
        environment = {name: value for name, _, value in pairs}
        os.kill(self.pid, signal.SIGTERM)
        try:
            till(f"{self.pid_file.name} ended", lambda: not self.words, seconds=5)
        except AssertionError:  # a watch that it serves may keep it for a minute
            os.kill(self.pid, signal.SIGKILL)
            till(f"{self.pid_file.name} killed", lambda: not self.words)
        try:
            yield
        finally:
            # In the background of a shell that ends: it must outlive the tests, and be no child of theirs.
            script = 'log=$0 pid=$1; shift; setsid "$@" >>"$log" 2>&1 & echo $! >"$pid"'
            command = ["/bin/sh", "-c", script, str(log), str(self.pid_file), *words]
            subprocess.run(command, cwd=folder, env=environment, check=True)
