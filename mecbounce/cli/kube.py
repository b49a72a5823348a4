"""The cluster that the options name and the user to ask it as, and the folders of this machine's user."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import mecbounce

if TYPE_CHECKING:
    from mecbounce import KubernetesCluster
    from mecbounce.kubernetes_api import Cluster


def cluster_of(
    kubeconfig: Path | None,
    context: str | None,
    as_user: str | None = None,
    as_groups: Sequence[str] | None = None,
    as_uid: str | None = None,
) -> KubernetesCluster:
    """Use a kubeconfig; in a pod without one, the pod's own service account. Raises ConfigError."""
    found, groups = mecbounce.KubernetesCluster, tuple(as_groups or ())  # imported here: that takes a while
    no_kubeconfig = kubeconfig is None and context is None and not os.environ.get("KUBECONFIG")
    if no_kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ and not home("~/.kube/config").exists():
        return found.in_cluster(as_user=as_user, as_groups=groups, as_uid=as_uid)
    return found.from_kubeconfig(kubeconfig, context, as_user=as_user, as_groups=groups, as_uid=as_uid)


def server_now(cluster: Cluster) -> datetime:
    """Give the API server's time; before its first answer, this machine's."""
    return cluster.server_time or datetime.now(UTC)


def home(path: str) -> Path:
    """Put the home folder in place of `~`. Without a home folder the path stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 -- Path raises where there is no home


def xdg_folder(variable: str, default: str) -> Path:
    """Name our folder below an XDG base directory.

    A relative path is to be ignored: https://specifications.freedesktop.org/basedir-spec/latest/
    """
    given = os.environ.get(variable, "")
    return home(given if given.startswith("/") else default) / "mecbounce"
