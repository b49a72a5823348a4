"""Which pod is meant: what was typed as POD, and what is near where nothing of that name is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mecbounce.again import is_late, left_waiting
from mecbounce.cli.exits import NotThere, UsageProblem
from mecbounce.cli.kube import server_now
from mecbounce.errors import AccessDenied, ClusterError, RecordError, Refused, did_you_mean
from mecbounce.kubernetes_api.objects import Owner
from mecbounce.record import BounceRecord, Deletion, PinnedPod
from mecbounce.stores import FileStore

if TYPE_CHECKING:
    from mecbounce import KubernetesCluster
    from mecbounce.cli.options import Asked
    from mecbounce.kubernetes_api import Cluster
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


def selected_pod(
    selector: str, cluster: KubernetesCluster, namespace: str, records: Iterable[Path], *, again: bool
) -> str:
    """Name the one pod with these labels. A terminating one counts too: it may be the one that is meant.

    If a bounce of a pod of the same controller is unfinished, or its end was not told, or its replacement is not
    back, that pod is meant. `again`: only if it is unfinished.
    """
    try:
        found = cluster.selected_pods(namespace, selector)
    except Refused as error:
        raise UsageProblem(f"--selector: {error}") from error
    controllers = {pod.controller_uid for pod in found} - {None}
    for record, old in _of_generated_names(records):
        if old.controller_uid in controllers and (
            not record.finished or (not again and (record.untold or is_late(record, found, server_now(cluster))))
        ):
            return record.request.pod
    if len(found) == 1:
        return found[0].name
    if not found:
        fault = f"{selector!r} matches no pod in namespace {namespace}"
        raise UsageProblem(f"--selector: {fault}; to resume a bounce, name its pod")
    names = ", ".join(sorted(f"{pod.name} (terminating)" if pod.terminating else pod.name for pod in found))
    raise UsageProblem(f"--selector: {selector!r} matches {len(found)} pods, name one: {names}")


def bounced_before(pod: str, cluster: Cluster, namespace: str, records: Iterable[Path], *, again: bool) -> str:
    """Name the pod whose bounce waits for `pod`, or has waited for it in vain; else `pod`. `again`: only if it waits.

    A replacement with a generated name has a name of its own: by that name, it would be deleted and start again.
    """
    waiting = [
        (record, old)
        for record, old in _of_generated_names(records)
        if (not record.finished and record.deletion is not Deletion.NONE) or (not again and left_waiting(record))
    ]
    if not waiting or any(record.request.pod == pod for record, _ in waiting):
        return pod
    with suppress(ClusterError):  # a bounce tells it, and tries again
        found = cluster.pods(namespace)
        for record, old in waiting:
            still_there = old.find_in(found)
            deleted = still_there is None or still_there.terminating
            replaced = deleted and any(new.name == pod for new in old.replacements(found))
            if replaced and (not record.finished or is_late(record, found, server_now(cluster))):
                return record.request.pod
    return pod


def _of_generated_names(records: Iterable[Path]) -> Iterator[tuple[BounceRecord, PinnedPod]]:
    """Read the records of pods with generated names, each with its old pod. What can't be read is left out."""
    for path in records:
        with suppress(RecordError):
            record = FileStore(path).load()
            if record is not None and record.old_pod is not None and record.old_pod.generated_name:
                yield record, record.old_pod


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
