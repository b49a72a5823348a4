"""Where the command keeps its records: one file for each context, API server, namespace and pod."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mecbounce.cli.kube import home

if TYPE_CHECKING:
    from mecbounce import KubernetesCluster

LONGEST_NAME = 200  # characters, without a suffix: a file system allows 255 bytes


def default_record(cluster: KubernetesCluster, namespace: str, pod: str) -> Path:
    """Name the file for one pod's record."""
    name = f"{_prefix(cluster, namespace)}{pod}"
    if len(name) > LONGEST_NAME:
        name = f"{name[:LONGEST_NAME]}-{_hashed(name)}"
    return _folder() / f"{name}.json"


def default_records(cluster: KubernetesCluster, namespace: str) -> list[Path]:
    """List the records of a namespace's pods."""
    return sorted(_folder().glob(f"{_prefix(cluster, namespace)}*.json"))


def _folder() -> Path:
    given = os.environ.get("XDG_STATE_HOME", "")
    # A relative path is to be ignored: https://specifications.freedesktop.org/basedir-spec/latest/
    return home(given if given.startswith("/") else "~/.local/state") / "mecbounce"


def _prefix(cluster: KubernetesCluster, namespace: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9.-]", "-", cluster.context)[:60]
    return f"{readable}-{_hashed(f'{cluster.context} {cluster.server}')}_{namespace}_"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
