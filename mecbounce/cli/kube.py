"""The cluster that the options name."""

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
        """Use a kubeconfig; in a pod without one, the pod's own service account. Raises ConfigError."""
        from mecbounce.kubernetes_api.client import KubernetesCluster as Found  # noqa: PLC0415 -- a slow import

        groups = tuple(as_groups or ())
        no_kubeconfig = kubeconfig is None and context is None and not os.environ.get("KUBECONFIG")
        if no_kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ and not home("~/.kube/config").exists():
            found = Found.in_cluster(as_user=as_user, as_groups=groups, as_uid=as_uid)
        else:
            found = Found.from_kubeconfig(kubeconfig, context, as_user=as_user, as_groups=groups, as_uid=as_uid)
        return cls(found, found.context, found.namespace)

    @staticmethod
    def contexts(kubeconfig: Path | None) -> tuple[str, ...]:
        """Name a kubeconfig's contexts. Raises ConfigError."""
        from mecbounce.kubernetes_api.client import KubernetesCluster as Found  # noqa: PLC0415 -- a slow import

        return Found.contexts(kubeconfig)


def home(path: str) -> Path:
    """Put the home folder in place of `~`. Without a home folder the path stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 -- Path raises where there is no home
