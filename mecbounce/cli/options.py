"""The options, each declared once, and what they ask for."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import structlog
import typer
from pydantic import ValidationError

from mecbounce.cli.completion import bounced_pods, completion, contexts, namespaces, pods
from mecbounce.cli.config_file import node_types
from mecbounce.cli.exits import UsageProblem
from mecbounce.cli.kube import cluster_of
from mecbounce.cli.naming import bounced_before, near_pods, pod_named, selected_pod
from mecbounce.cli.record_files import default_record, default_records
from mecbounce.cli.typed import Typed, with_typed
from mecbounce.cli.values import annotation, duration, label_selector, node_ref, whole_uid
from mecbounce.errors import RecordNotSaved
from mecbounce.fields import first_fault
from mecbounce.next_commands import Given
from mecbounce.protection import AnnotationProtection
from mecbounce.request import BounceRequest, ClusterType, NodeFields, NodeRef, ReadyWhen
from mecbounce.stores import FileStore

if TYPE_CHECKING:
    from mecbounce import KubernetesCluster

Options = TypeVar("Options")


class Output(StrEnum):
    """How to print the result."""

    TEXT = "text"
    JSON = "json"


def with_options(options: Callable[..., Options]) -> Callable[[Callable[[Options], int]], Callable[..., int]]:
    """Let a command take its options as one dataclass: typer reads them from the signature."""

    def decorate(command: Callable[[Options], int]) -> Callable[..., int]:
        @wraps(command)
        def call(**given: object) -> int:
            return command(options(**given))

        call.__signature__ = inspect.signature(options, eval_str=True)  # type: ignore[attr-defined]
        return call

    return decorate


def log_to_stderr(verbose: bool) -> bool:
    """Log errors to standard error; `verbose`: everything from level info on."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO if verbose else logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return verbose


@dataclass(frozen=True)
class Asked:
    """What the options ask for: which bounce, of which cluster, and where its record is kept."""

    request: BounceRequest
    cluster: KubernetesCluster
    store: FileStore
    protection: AnnotationProtection | None
    events: bool
    typed: Typed
    """What the request has because it was typed."""
    given: Given
    again: bool = False
    take_over: bool = False

    def try_place(self) -> None:
        """Try whether a record can be kept in its place. Raises UsageProblem."""
        try:
            self.store.try_place()
        except RecordNotSaved as error:
            raise UsageProblem(f"--state: {error}") from error


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """Which pod of which cluster, as which user to ask, and where the record is."""

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
        list[str] | None,
        typer.Option("--as-group", metavar="GROUP", help="act as a member of this group; may be repeated"),
    ] = None
    as_uid: Annotated[str | None, typer.Option(metavar="UID", help="act as the user with this UID")] = None
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="the record's file; default: one for each pod in $XDG_STATE_HOME/mecbounce"),
    ] = None
    output: Annotated[Output, typer.Option("--output", "-o", help="how to print the result")] = Output.TEXT

    def given(self) -> Given:
        """Give what the next command repeats."""
        groups = [("--as-group", group) for group in self.as_groups or ()]
        options = [("--kubeconfig", self.kubeconfig), ("--context", self.context), ("--as", self.as_user), *groups]
        words = [str(word) for pair in (*options, ("--as-uid", self.as_uid)) if pair[1] for word in pair]
        return Given(cluster=tuple(words), state=str(self.state or ""), recorded=True)

    def open_cluster(self) -> tuple[KubernetesCluster, str]:
        """Open the cluster, and name the namespace that is meant there. Asks the API server nothing."""
        cluster = cluster_of(self.kubeconfig, self.context, self.as_user, self.as_groups, self.as_uid)
        return cluster, cluster.namespace if self.namespace is None else self.namespace

    def misnamed(self, error: ValidationError, cluster: KubernetesCluster) -> UsageProblem:
        """Say that POD or the namespace can't be a name, and where it comes from."""
        field, fault = first_fault(error)
        if field == "pod":
            return UsageProblem(f"POD: {fault}")
        origin = ""
        if field == "namespace":
            origin = f"context {cluster.context}: " if self.namespace is None else "--"
        return UsageProblem(f"{origin}{field}: {fault}")


@dataclass(frozen=True, kw_only=True)
class BounceOptions(CommonOptions):
    """How to bounce it, too: the options of `run` and `plan`."""

    selector: Annotated[
        str | None,
        typer.Option("--selector", "-l", metavar="LABELS", parser=label_selector, help="choose the pod by its labels"),
    ] = None
    node: Annotated[
        NodeRef | None,
        typer.Option(
            metavar="GROUP/VERSION/PLURAL/NAME", parser=node_ref, help="its custom resource; default: it is found"
        ),
    ] = None
    no_node: Annotated[bool, typer.Option("--no-node", help="check no custom resource")] = False
    gitops: Annotated[bool, typer.Option("--gitops", help="this cluster is managed from Git")] = False
    force: Annotated[
        bool, typer.Option("--force", help="bounce a node that rebuilds, a pod that no controller owns, or a Job's")
    ] = False
    pod_uid: Annotated[
        str | None,
        typer.Option(metavar="UID", parser=whole_uid, help="bounce this incarnation only; if it has gone, just wait"),
    ] = None
    protection_annotation: Annotated[
        str | None,
        typer.Option(metavar="KEY=VALUE", parser=annotation, help="before deleting, set KEY=VALUE if the pod has KEY"),
    ] = None
    termination_timeout: Annotated[
        float | None,
        typer.Option(metavar="DURATION", parser=duration, help="default: 10m, or the grace period + 1m if longer"),
    ] = None
    ready_timeout: Annotated[
        float | None,
        typer.Option(metavar="DURATION", parser=duration, help="default: 10m, or the startup budget + 5m if longer"),
    ] = None
    ready_when: Annotated[
        ReadyWhen | None, typer.Option(help="what counts as back: started, ready or auto; default: auto")
    ] = None
    again: Annotated[
        bool, typer.Option("--again", help="begin a new bounce, even if the replacement of the last one is not back")
    ] = False
    no_events: Annotated[bool, typer.Option("--no-events", help="write no Kubernetes Events about the bounce")] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", callback=log_to_stderr, help="log to stderr")] = False

    def given(self) -> Given:
        """Give what the next command repeats."""
        return replace(super().given(), protection=self.protection_annotation or "", no_events=self.no_events)

    def asked(self) -> Asked:
        """Open the cluster and build the request.

        Asks the API server only for the pods of --selector, or where a bounce of a generated name is recorded. Raises
        UsageProblem and ConfigError.
        """
        if (self.pod is None) is (self.selector is None):
            raise UsageProblem("expected either POD or --selector")
        if self.node is not None and self.no_node:
            raise UsageProblem("--no-node: --node is given too")
        types = {} if self.no_node else node_types()  # a fault in that file is told first
        typed = self._typed(types)
        cluster, namespace = self.open_cluster()
        records = [self.state] if self.state else default_records(cluster, namespace)
        if self.selector:
            pod = selected_pod(self.selector, cluster, namespace, records, again=self.again)
        else:
            pod = pod_named(self.pod or "", namespace, cluster, self.given().cluster)
            if self.pod_uid is None:
                pod = bounced_before(pod, cluster, namespace, records, again=self.again)
        try:
            found_types = {} if self.node else types
            request = with_typed(BounceRequest(namespace=namespace, pod=pod, node_types=found_types), typed)
        except ValidationError as error:
            if first_fault(error)[0] == "pod" and (near := near_pods(pod, cluster, namespace)):
                raise UsageProblem(f"POD: {pod!r} is not a pod's name{near}") from None
            raise self.misnamed(error, cluster) from None
        store = FileStore(self.state or default_record(cluster, namespace, pod))
        return Asked(
            request=request,
            cluster=cluster,
            store=store,
            protection=self._protection(cluster),
            events=not self.no_events,
            typed=typed,
            given=self.given(),
            again=self.again,
        )

    def _typed(self, types: Mapping[str, NodeFields]) -> Typed:
        """Give what was typed. A resource has the fields that are set for its type; --no-node is None."""
        node = self.node
        if node is not None and (fields := types.get(node.type_name)):
            node = node.model_copy(update=dict(fields))
        options = {
            "node": node,
            "cluster_type": ClusterType.K8S_GITOPS if self.gitops else None,
            "force": self.force or None,
            "pod_uid": self.pod_uid,
            "termination": self.termination_timeout,
            "ready": self.ready_timeout,
            "ready_when": self.ready_when,
        }
        typed: dict[str, object] = {name: value for name, value in options.items() if value is not None}
        return {**typed, "node": None} if self.no_node else typed

    def _protection(self, cluster: KubernetesCluster) -> AnnotationProtection | None:
        if self.protection_annotation is None:
            return None
        key, _, value = self.protection_annotation.partition("=")
        return AnnotationProtection(cluster, key, value)


@dataclass(frozen=True, kw_only=True)
class RunOptions(BounceOptions):
    """What is done about another runner, too: the options of `run`."""

    take_over: Annotated[
        bool, typer.Option("--take-over", help="take the bounce over, even if its runner is alive; default: follow it")
    ] = False

    def asked(self) -> Asked:
        return replace(super().asked(), take_over=self.take_over)


@dataclass(frozen=True, kw_only=True)
class StatusOptions(CommonOptions):
    """Which bounces to show, and for how long: the options of `status`."""

    pod: Annotated[
        str | None,
        typer.Argument(metavar="POD", help="its pod; default: list all", autocompletion=completion(bounced_pods)),
    ] = None
    all_namespaces: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="list the bounces of all namespaces")
    ] = False
    selector: Annotated[
        str | None,
        typer.Option(
            "--selector", "-l", metavar="LABELS", parser=label_selector, help="list the bounces of pods with labels"
        ),
    ] = None
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="follow the bounce until it has ended or its runner has gone")
    ] = False
    exit_status: Annotated[
        bool, typer.Option("--exit-status", help="exit as `run` of that bounce does; 75: it is unfinished")
    ] = False

    def store(self) -> FileStore:
        """Find the record of POD, or that of --state. Asks the API server nothing. Raises UsageProblem."""
        if self.state is not None:
            return FileStore(self.state)
        cluster, namespace = self.open_cluster()
        pod = pod_named(self.pod or "", namespace, kubectl=self.given().cluster)
        try:
            BounceRequest(namespace=namespace, pod=pod)
        except ValidationError as error:
            raise self.misnamed(error, cluster) from None
        store = FileStore(default_record(cluster, namespace, pod))
        if not store.path.exists():
            raise UsageProblem(f"no bounce of {pod} is recorded in {store}; if it ran with --state, give that file")
        return store
