"""The cluster that the options name, and the user to ask it as."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import mecbounce


@dataclass(frozen=True)
class Kube:
    """A cluster, its context's name, and the namespace to use where none is given."""

    cluster: mecbounce.KubernetesCluster
    name: str
    namespace: str

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
        found, groups = mecbounce.KubernetesCluster, tuple(as_groups or ())  # imported here: that takes a while
        no_kubeconfig = kubeconfig is None and context is None and not os.environ.get("KUBECONFIG")
        if no_kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ and not home("~/.kube/config").exists():
            cluster = found.in_cluster(as_user=as_user, as_groups=groups, as_uid=as_uid)
            return cls(cluster, "in-cluster", own_namespace())
        name, namespace = found.describe_kubeconfig(kubeconfig, context)
        # By its name: another shell may make another context the current one between these two reads.
        cluster = found.from_kubeconfig(kubeconfig, name, as_user=as_user, as_groups=groups, as_uid=as_uid)
        return cls(cluster, name, namespace)


def home(path: str) -> Path:
    """Put the home folder in place of `~`; without a home folder the path stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 -- Path raises where there is no home


def own_namespace() -> str:
    """Give the namespace of the pod that this program runs in."""
    found = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    return found.read_text(encoding="utf-8").strip() if found.exists() else "default"
