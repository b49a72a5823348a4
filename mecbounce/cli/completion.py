"""What the shell offers at the tab key: contexts, namespaces and pods, as the options typed so far say.

If anything fails, or takes longer than COMPLETION_SECONDS, nothing is offered.
"""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import typer

import mecbounce
from mecbounce.cli.kube import cluster_of
from mecbounce.cli.naming import POD_KIND
from mecbounce.cli.record_files import recorded

if TYPE_CHECKING:
    from mecbounce import KubernetesCluster

COMPLETION_SECONDS = 2.0  # a person has pressed the tab key and waits

Typed = dict[str, Any]  # the options typed so far, by the names of their parameters


def completion(ask: Callable[[Typed, str], Iterable[str]]) -> Callable[[typer.Context, str], list[str]]:
    """Offer what `ask` finds with the options typed so far and the word that is being typed."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        found: list[str] = []

        def look() -> None:
            with contextlib.suppress(Exception):
                found.extend(ask(ctx.params, incomplete))

        looking = threading.Thread(target=look, daemon=True)
        with contextlib.redirect_stderr(io.StringIO()):  # a warning would land in the line that is being typed
            from mecbounce.kubernetes_api import client  # noqa: F401, PLC0415 -- slow: before the time limit begins

            looking.start()
            looking.join(COMPLETION_SECONDS)
        return found

    return complete


def contexts(typed: Typed, _incomplete: str) -> Iterable[str]:
    """Name the kubeconfig's contexts."""
    return mecbounce.KubernetesCluster.contexts(typed["kubeconfig"])


def namespaces(typed: Typed, _incomplete: str) -> Iterable[str]:
    """Name the cluster's namespaces."""
    return _cluster(typed).namespaces()


def pods(typed: Typed, incomplete: str) -> Iterable[str]:
    """Name the namespace's pods, each after `pod/` where that was typed."""
    cluster = _cluster(typed)
    kind = POD_KIND.match(incomplete)
    found = cluster.pods(typed["namespace"] or cluster.namespace)
    return [f"{kind[0] if kind else ''}{pod.name}" for pod in found]


def bounced_pods(typed: Typed, _incomplete: str) -> Iterable[str]:
    """Name the pods of which a bounce is recorded."""
    cluster = _cluster(typed)
    return {one.record.request.pod for one in recorded(cluster, typed["namespace"] or cluster.namespace) if one.record}


def _cluster(typed: Typed) -> KubernetesCluster:
    return cluster_of(*(typed[name] for name in ("kubeconfig", "context", "as_user", "as_groups", "as_uid")))
