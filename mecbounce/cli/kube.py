"""The cluster that the options name, and as whom to ask it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from mecbounce.kubernetes_api.client import KubernetesCluster


class Kube:
    """A cluster, its context's name, and the namespace to use where none is given."""

    def __init__(self, cluster: KubernetesCluster, name: str, namespace: str) -> None:
        self.cluster = cluster
        self.name = name
        self.namespace = namespace

    @classmethod
    def of(
        cls,
        kubeconfig: Path | None,
        context: str | None,
        as_user: str | None = None,
        as_groups: Sequence[str] | None = None,
        as_uid: str | None = None,
    ) -> Self:
        """Open a kubeconfig, or the pod's own service account where there is none. Raises ConfigError."""
        from mecbounce.kubernetes_api.client import KubernetesCluster as Found  # noqa: PLC0415 -- a slow import

        groups = tuple(as_groups or ())
        no_kubeconfig = kubeconfig is None and context is None and not os.environ.get("KUBECONFIG")
        if no_kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ and not home("~/.kube/config").exists():
            inside = Found.in_cluster(as_user=as_user, as_groups=groups, as_uid=as_uid)
            return cls(inside, "in-cluster", own_namespace())
        name, namespace = Found.describe_kubeconfig(kubeconfig, context)
        # By its name: another shell may make another context the current one between these two reads.
        found = Found.from_kubeconfig(kubeconfig, name, as_user=as_user, as_groups=groups, as_uid=as_uid)
        return cls(found, name, namespace)

    @staticmethod
    def contexts(kubeconfig: Path | None) -> tuple[str, ...]:
        """Name a kubeconfig's contexts. Raises ConfigError."""
        from mecbounce.kubernetes_api.client import KubernetesCluster as Found  # noqa: PLC0415 -- a slow import

        return Found.contexts(kubeconfig)


def home(path: str) -> Path:
    """Put the home folder in place of `~`; without a home folder the path stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 -- Path raises where there is no home


def own_namespace() -> str:
    """Give the namespace of the pod that this runs in."""
    found = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    return found.read_text(encoding="utf-8").strip() if found.exists() else "default"
