"""The options, each declared once, and what they ask for: a request, a cluster, a protection, a record's place."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from mecbounce.cli.completion import POD_KIND, completion, contexts, namespaces, pods
from mecbounce.cli.exits import UsageProblem
from mecbounce.cli.kube import Kube, home
from mecbounce.cli.layout import WHOLE_UID
from mecbounce.cli.next_commands import Given
from mecbounce.errors import RecordError, Refused
from mecbounce.fields import LONGEST, first_fault
from mecbounce.protection import AnnotationProtection
from mecbounce.record import BounceRecord
from mecbounce.request import BounceRequest, ClusterType, NodeRef, ReadyWhen, Timeouts
from mecbounce.stores import FileStore

if TYPE_CHECKING:
    from mecbounce.kubernetes_api.client import KubernetesCluster

LONGEST_NAME = 200  # characters of a record's file, without what is added to it
Options = TypeVar("Options")


class Output(StrEnum):
    """How to print the result."""

    TEXT = "text"
    JSON = "json"


def taking(options: Callable[..., Options]) -> Callable[[Callable[[Options], int]], Callable[..., int]]:
    """Let a command take its options as one dataclass: typer reads them off the signature that this gives it."""

    def decorate(command: Callable[[Options], int]) -> Callable[..., int]:
        @wraps(command)
        def call(**given: Any) -> int:
            return command(options(**given))

        call.__signature__ = inspect.signature(options, eval_str=True)  # type: ignore[attr-defined]
        return call

    return decorate


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """Which pod, of which cluster, as whom to ask it, and where the record lies: the options of `status`."""

    pod: Annotated[
        str | None,
        typer.Argument(metavar="POD", help="the pod to bounce: NAME or pod/NAME", autocompletion=completion(pods)),
    ] = None
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace", "-n", help="its namespace; default: the context's", autocompletion=completion(namespaces)
        ),
    ] = None
    kubeconfig: Annotated[Path | None, typer.Option(help="default: $KUBECONFIG, then ~/.kube/config")] = None
    context: Annotated[
        str | None,
        typer.Option(help="default: the kubeconfig's current context", autocompletion=completion(contexts)),
    ] = None
    as_user: Annotated[
        str | None, typer.Option("--as", metavar="USER", help="act as this user; default: the kubeconfig's")
    ] = None
    as_groups: Annotated[
        list[str] | None, typer.Option("--as-group", metavar="GROUP", help="act as of this group; may be repeated")
    ] = None
    as_uid: Annotated[str | None, typer.Option(metavar="UID", help="act as the user with this UID")] = None
    state: Annotated[Path | None, typer.Option(metavar="FILE", help="where the record lies")] = None
    output: Annotated[Output, typer.Option("--output", "-o", help="how to print the result")] = Output.TEXT

    def kube(self) -> Kube:
        """Open the cluster. Raises ConfigError."""
        return Kube.of(self.kubeconfig, self.context, self.as_user, self.as_groups, self.as_uid)

    def given(self) -> Given:
        """Give what the next command repeats."""
        return Given(
            kubeconfig=str(self.kubeconfig or ""),
            context=self.context or "",
            as_user=self.as_user or "",
            as_groups=tuple(self.as_groups or ()),
            as_uid=self.as_uid or "",
            state=str(self.state or ""),
        )


@dataclass(frozen=True, kw_only=True)
class BounceOptions(CommonOptions):
    """And how to bounce it: the options of `run` and `plan`."""

    selector: Annotated[
        str | None,
        typer.Option("--selector", "-l", metavar="LABELS", help="instead of POD: the one pod with these labels"),
    ] = None
    node: Annotated[
        str | None,
        typer.Option(metavar="GROUP/VERSION/PLURAL/NAME", help="the custom resource that the pod is made from"),
    ] = None
    gitops: Annotated[bool, typer.Option("--gitops", help="the cluster's resources are changed in Git")] = False
    force: Annotated[
        bool, typer.Option("--force", help="bounce a node that rebuilds, a pod that no controller owns, or a Job's")
    ] = False
    pod_uid: Annotated[str | None, typer.Option(help="bounce this incarnation only; if it has gone, just wait")] = None
    protection_annotation: Annotated[
        str | None,
        typer.Option(metavar="KEY=VALUE", help="where the pod has this annotation, set it to VALUE before deleting"),
    ] = None
    termination_timeout: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="such as 90s or 10m; default: 10m, or the grace period and 1m if that is longer"
        ),
    ] = None
    ready_timeout: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="such as 90s or 10m; default: 10m, or the startup probe's budget and 5m if that is longer",
        ),
    ] = None
    ready_when: Annotated[ReadyWhen, typer.Option(help="what counts as back")] = ReadyWhen.AUTO
    no_events: Annotated[bool, typer.Option("--no-events", help="write no Kubernetes Events about the bounce")] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="log to standard error")] = False

    def given(self) -> Given:
        """Give what the next command repeats."""
        return replace(super().given(), protection=self.protection_annotation or "", no_events=self.no_events)

    def asked(self) -> tuple[BounceRequest, Kube]:
        """Make a request of the options.

        An option without its proper form is told before a kubeconfig is opened; a name that is none, before the API
        server is asked for anything but the pods of --selector.
        """
        if (self.pod is None) is (self.selector is None):
            raise UsageProblem("expected either POD or --selector")
        if self.pod_uid is not None and not re.fullmatch(WHOLE_UID, self.pod_uid):
            # A pod with a part of its UID would never be found: it would be taken for gone.
            example = "6d0c8f5e-3f0a-4a53-9d0b-2f8f1d7c5a10"
            raise UsageProblem(f"--pod-uid: {self.pod_uid!r} is no whole UID, such as {example}")
        if self.selector is not None and not self.selector.strip():
            raise UsageProblem("--selector: '' would select every pod")
        if self.selector is not None and not self.selector.isprintable():  # half a character can't even be sent
            raise UsageProblem(f"--selector: {self.selector!r} is no label selector")
        node = _node_ref(self.node)
        termination = read_duration("--termination-timeout", self.termination_timeout)
        ready = read_duration("--ready-timeout", self.ready_timeout)
        kube = self.kube()
        namespace, where = (
            (kube.namespace, f"context {kube.name}: ") if self.namespace is None else (self.namespace, "")
        )
        if self.selector is None:
            pod = POD_KIND.sub("", self.pod or "")
        else:
            pod = self._selected(kube, namespace, self.selector)
        with naming_fields(namespace=where):
            request = BounceRequest(
                namespace=namespace,
                pod=pod,
                node=node,
                cluster_type=ClusterType.K8S_GITOPS if self.gitops else ClusterType.K8S,
                force=self.force,
                pod_uid=self.pod_uid,
                timeouts=Timeouts(termination=termination, ready=ready),
                ready_when=self.ready_when,
            )
        return request, kube

    def store(self, kube: Kube, request: BounceRequest) -> FileStore:
        """Give the record's place: as asked, else one for each context, API server, namespace and pod."""
        return FileStore(self.state or default_record(kube, request.namespace, request.pod))

    def _selected(self, kube: Kube, namespace: str, selector: str) -> str:
        """Name the one pod with these labels. One that is terminating counts too: it may be the one meant.

        Where a bounce of a pod of the same controller is to be resumed, or its end to be told, that pod is meant.
        """
        try:
            pods = kube.cluster.selected_pods(namespace, selector)
        except Refused as error:
            raise UsageProblem(f"--selector: {error}") from error
        places = [self.state] if self.state else default_records(kube, namespace)
        controllers = {pod.controller_uid for pod in pods} - {None}
        for record in filter(None, map(_to_go_on_with, places)):
            old = record.old_pod
            if old is not None and old.generated_name and old.controller_uid in controllers:
                return record.request.pod
        names = [f"{pod.name} (terminating)" if pod.terminating else pod.name for pod in pods]
        match names:
            case [_]:
                return pods[0].name
            case []:
                fault = f"{selector!r} matches no pod in namespace {namespace}"
                raise UsageProblem(f"--selector: {fault}; to resume a bounce, name its pod")
        raise UsageProblem(f"--selector: {selector!r} matches {len(names)} pods, name one: {', '.join(sorted(names))}")

    def protection(self, cluster: KubernetesCluster) -> AnnotationProtection | None:
        """Make the protection that is asked for."""
        if self.protection_annotation is None:
            return None
        key, equals, value = self.protection_annotation.partition("=")
        if not re.fullmatch(r"([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", key) or not equals:
            raise UsageProblem("--protection-annotation: expected KEY=VALUE, KEY being an annotation's name")
        return AnnotationProtection(cluster, key, value)


@contextlib.contextmanager
def naming_fields(where: str = "", **origins: str) -> Iterator[None]:
    """Turn pydantic's error into one line that names the field, after `where` or the field's own origin."""
    try:
        yield
    except ValidationError as error:
        field, fault = first_fault(error)
        raise UsageProblem(f"{origins.get(field, where)}{field}: {fault}") from None


def _node_ref(text: str | None) -> NodeRef | None:
    if text is None:
        return None
    parts = text.split("/")
    if len(parts) != 4:  # noqa: PLR2004 -- the four that the message names
        raise UsageProblem(f"--node: {text!r} is not of the form GROUP/VERSION/PLURAL/NAME")
    group, version, plural, name = parts
    with naming_fields("--node: "):
        return NodeRef(group=group, version=version, plural=plural, name=name)


def read_duration(option: str, text: str | None) -> float | None:
    """Read 90s, 10m, 1h30m, or a bare number of seconds."""
    if text is None:
        return None
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text, re.ASCII)
    if not text or match is None:
        raise UsageProblem(f"{option}: {text!r} is not a duration such as 90s, 10m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if not 0 < total <= LONGEST:
        raise UsageProblem(f"{option}: {text!r} is not more than 0 and at most a week")
    return total


def default_record(kube: Kube, namespace: str, pod: str) -> Path:
    """Give the record's place: one for each context, API server, namespace and pod."""
    name = f"{_beginning(kube, namespace)}{pod}"
    if len(name) > LONGEST_NAME:  # a pod's name may be as long as a file's, and the record's has more in it
        name = f"{name[:LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return _folder() / f"{name}.json"


def default_records(kube: Kube, namespace: str) -> list[Path]:
    """List the records of a namespace's pods that there are."""
    return sorted(_folder().glob(f"{_beginning(kube, namespace)}*.json"))


def _folder() -> Path:
    given = os.environ.get("XDG_STATE_HOME", "")
    # A relative path is to be ignored: https://specifications.freedesktop.org/basedir-spec/latest/
    return home(given if given.startswith("/") else "~/.local/state") / "mecbounce"


def _beginning(kube: Kube, namespace: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9.-]", "-", kube.name)[:60]
    server = hashlib.sha256(f"{kube.name} {kube.cluster.server}".encode()).hexdigest()[:8]
    return f"{readable}-{server}_{namespace}_"


def _to_go_on_with(path: Path) -> BounceRecord | None:
    """Read a record that is to be resumed, or whose end is to be told; None where it is neither, or can't be read."""
    try:
        record = FileStore(path).load()
    except RecordError:
        return None
    return record if record is not None and (not record.finished or record.untold) else None
