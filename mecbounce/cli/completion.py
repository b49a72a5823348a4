"""What the shell offers while a command is typed: contexts, namespaces and pods, as the options so far say.

Whatever stands in the way, and whatever takes longer than COMPLETION_SECONDS, nothing is offered.
"""

from __future__ import annotations

import contextlib
import io
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

import typer

from mecbounce.cli.kube import Kube

COMPLETION_SECONDS = 2.0  # whoever has pressed the tab key waits for it
POD_KIND = re.compile(r"^(po|pods?)/")  # as kubectl names it

Completion = Callable[[typer.Context, str], list[str]]


def completion(ask: Callable[[dict[str, Any], str], Iterable[str]]) -> Completion:
    """Offer what `ask` finds with the options so far."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        found: list[str] = []

        def look() -> None:
            with contextlib.suppress(Exception):
                found.extend(ask(ctx.params, incomplete))

        looking = threading.Thread(target=look, daemon=True)
        with contextlib.redirect_stderr(io.StringIO()):  # a warning would land in the line that is being typed
            from mecbounce.kubernetes_api import client  # noqa: F401, PLC0415 -- a slow import: not on the clock

            looking.start()
            looking.join(COMPLETION_SECONDS)
        return found

    return complete


def contexts(options: dict[str, Any], _incomplete: str) -> Iterable[str]:
    """Name the kubeconfig's contexts."""
    return Kube.contexts(options["kubeconfig"])


def namespaces(options: dict[str, Any], _incomplete: str) -> Iterable[str]:
    """Name the cluster's namespaces."""
    return _kube(options).cluster.namespaces()


def pods(options: dict[str, Any], incomplete: str) -> Iterable[str]:
    """Name the namespace's pods, each after `pod/` where that was typed."""
    kube = _kube(options)
    kind = POD_KIND.match(incomplete)
    found = kube.cluster.pods(options["namespace"] or kube.namespace)
    return [f"{kind[0] if kind else ''}{pod.name}" for pod in found]


def _kube(options: dict[str, Any]) -> Kube:
    names = ("kubeconfig", "context", "as_user", "as_groups", "as_uid")
    return Kube.of(*(options[name] for name in names))
