"""Which pod is meant: what was typed as POD, and what is near where nothing of that name is there."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING

from mecbounce.cli.exits import NotThere, UsageProblem
from mecbounce.errors import AccessDenied, ClusterError, did_you_mean
from mecbounce.kubernetes_api.objects import Owner

if TYPE_CHECKING:
    from mecbounce import KubernetesCluster
    from mecbounce.cli.options import Asked
    from mecbounce.request import BounceRequest

POD_KIND = re.compile(r"^(po|pods?)/", re.IGNORECASE)  # as kubectl names it
_SHORT = {
    "deploy": ("apps/v1", "Deployment"),
    "sts": ("apps/v1", "StatefulSet"),
    "rs": ("apps/v1", "ReplicaSet"),
    "ds": ("apps/v1", "DaemonSet"),
    "rc": ("v1", "ReplicationController"),
    "job": ("batch/v1", "Job"),
    "cj": ("batch/v1", "CronJob"),
}


def pod_named(
    typed: str, namespace: str, cluster: KubernetesCluster | None = None, kubectl: tuple[str, ...] = ()
) -> str:
    """Give the name in NAME or pod/NAME. Raises UsageProblem for what names no pod, and says what to do instead.

    `cluster` is asked for the labels of a controller's pods; None: nothing is asked. `kubectl`: the words with
    which kubectl asks the same cluster.
    """
    name = POD_KIND.sub("", typed)
    kind, slash, rest = name.partition("/")
    if not name:
        raise UsageProblem("POD: it is empty; expected NAME or pod/NAME")
    if not slash:
        return name
    owner = _controller(kind, rest)
    if owner is None:
        raise UsageProblem(
            f"POD: {typed!r} is not NAME or pod/NAME; a namespace is given by -n, a custom resource by --node"
        )
    labels = _labels(owner, cluster, namespace) if cluster else ""
    pods = shlex.join(["kubectl", "get", "pods", "-n", namespace, *(["-l", labels] if labels else []), *kubectl])
    alone = f", or use -l {labels} if it has but one" if labels else ""
    raise UsageProblem(
        f"POD: {typed} is a {owner.kind}, and mecbounce bounces one pod: name one of its pods ({pods}){alone}"
    )


def _controller(kind: str, name: str) -> Owner | None:
    """Give the controller that is meant, if the word is a kind of controller as kubectl takes it."""
    word = kind.lower().partition(".")[0]
    for short, (api_version, known) in _SHORT.items():
        if word in (short, known.lower(), f"{known.lower()}s"):
            return Owner(api_version=api_version, kind=known, name=name, uid="")
    return None


def _labels(owner: Owner, cluster: KubernetesCluster, namespace: str) -> str:
    """Give the labels by which a controller selects its pods, as -l takes them. Empty: they can't be read."""
    with suppress(ClusterError, AttributeError, KeyError, TypeError):
        selector = cluster.controller(namespace, owner)["spec"]["selector"]
        return ",".join(f"{key}={value}" for key, value in selector.get("matchLabels", {}).items())
    return ""


def near_pods(typed: str, cluster: KubernetesCluster, namespace: str) -> str:
    """Name the pods that may be meant, as the end of an error. Empty: none is near, or they can't be listed."""
    with suppress(ClusterError):
        return did_you_mean(typed, (pod.name for pod in cluster.pods(namespace)))
    return ""


def refuse_mistyped(asked: Asked) -> None:
    """Raise NotThere where the pod does not exist, and nothing says that it should.

    A named resource, a pinned incarnation and the record of a pod that was seen say that it should: then a bounce
    tells what is wrong.
    """
    request, record = asked.request, asked.store.load()
    known = record is not None and (not record.finished or record.old_pod is not None)
    if known or request.given_node is not None or request.pod_uid is not None:
        return
    with suppress(ClusterError):  # a bounce tells it, and tries again
        try:
            if asked.cluster.pods(request.namespace, request.pod):
                return
        except AccessDenied:
            _refuse_namespace(asked.cluster, request)
            return
        near = near_pods(request.pod, asked.cluster, request.namespace)
        listed = shlex.join(["kubectl", "get", "pods", "-n", request.namespace, *asked.given.cluster])
        if not near:
            _refuse_namespace(asked.cluster, request)
        raise NotThere(
            f"pod {request.pod} not found in namespace {request.namespace}"
            + (near or f"; {listed} lists those that are there")
        )


def _refuse_namespace(cluster: KubernetesCluster, request: BounceRequest) -> None:
    """Raise NotThere if the namespace does not exist, as far as these credentials may know."""
    with suppress(AccessDenied):
        if not cluster.has_namespace(request.namespace):
            near = ""
            with suppress(ClusterError):
                near = did_you_mean(request.namespace, cluster.namespaces())
            raise NotThere(f"namespace {request.namespace} not found{near}")
