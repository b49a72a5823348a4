"""Gather what the checks judge: the pod, the custom resource that it is made from, and the controllers between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import ValidationError

from mecbounce import checks, messages
from mecbounce.errors import ClusterError, NotFound, Unreachable, one_line
from mecbounce.kubernetes_api.node import Node, UnreadableField
from mecbounce.kubernetes_api.objects import Controller, Owner, Pod
from mecbounce.record import BounceRecord
from mecbounce.request import BounceRequest, NodeFields, NodeRef

if TYPE_CHECKING:
    from mecbounce.kubernetes_api import Cluster

Look = Callable[[str | None], tuple[Pod, ...]]  # gives the pods of that name, or all of the namespace
Passing = tuple[type[ClusterError], ...]  # errors that may pass: they are raised, and the checks are made again
MOST_CONTROLLERS = 3  # between a pod and its custom resource, such as a ReplicaSet and a Deployment
MOST_TO_FIND_NODE = 2  # the same, if the resource is to be found: each one is a request


def gather(
    request: BounceRequest,
    cluster: Cluster,
    look: Look,
    record: BounceRecord | None = None,
    terms: messages.Terms = messages.TASK,
    *,
    insist: bool,
) -> tuple[checks.Facts, tuple[Pod, ...]]:
    """Look at the custom resource and the pod: give what the checks judge, and the pods beside it.

    `record`: the bounce, which may have pinned the pod and found the resource earlier. None: only a plan is made.
    `insist`: raise Unreachable if a resource that the request does not name gets no usable answer. False: do without.
    """
    passing = (Unreachable,) if insist or request.given_node else ()
    pinned, found = (record.old_pod, record.found_node) if record else (None, None)
    facts = checks.Facts(request, pinned_uid=pinned.uid if pinned else None, terms=terms, found=found)
    facts = _with_node(facts, cluster, request.namespace, passing)
    if facts.missing or facts.unreadable:
        return facts, ()
    pods: tuple[Pod, ...] = ()
    for name in (request.pod, None):
        pods = look(name)
        facts = replace(facts, pod=next((pod for pod in pods if pod.name == request.pod), None))
        if not facts.has_generated_name:  # else its replacement gets another name: look at all pods
            break
    return _with_controllers(facts, cluster, passing), pods


def _with_node(facts: checks.Facts, cluster: Cluster, namespace: str, passing: Passing) -> checks.Facts:
    """Read the custom resource, if there is one. One that was found is not needed: it may be forbidden to read it."""
    ref = facts.ref
    if ref is None:
        return facts
    try:
        return replace(facts, node=Node.read(cluster.node(namespace, ref), ref))
    except NotFound as error:
        return replace(facts, missing=f"{one_line(error)}{error.near}", served=error.served)
    except UnreadableField as error:
        return replace(facts, unreadable=str(error))
    except passing:
        raise
    except ClusterError as error:
        if facts.request.given_node:
            raise
        return replace(facts, unasked=f"{ref} could not be read: {one_line(error)}")


def _with_controllers(facts: checks.Facts, cluster: Cluster, passing: Passing) -> checks.Facts:
    """Find the custom resource above the pod; or, if it is known, see whether the pod is made from it."""
    if facts.pod is None:
        return facts
    if facts.request.node == "auto" and facts.found is None:
        return _with_node_found(facts, facts.pod, cluster, passing)
    if facts.named is None:
        return facts
    above, unread = _controllers_above(facts.pod, facts.request.namespace, cluster, passing, facts.named)
    return replace(facts, above=above, unread=unread)


def _with_node_found(facts: checks.Facts, pod: Pod, cluster: Cluster, passing: Passing) -> checks.Facts:
    """Find and read the custom resource that the pod is made from: its first controller that is not Kubernetes' own."""
    request = facts.request
    above, unread = _controllers_above(pod, request.namespace, cluster, passing)
    facts = replace(facts, above=above, unasked=unread)
    if unread or not above or not above[-1].custom:
        return facts
    top = above[-1]
    group, _, version = top.api_version.rpartition("/")
    try:
        served = cluster.type_of(top)
        if served is None:
            unasked = f"it is made from {top.called}, and the API server does not serve {top.kind} in {top.api_version}"
            return replace(facts, unasked=unasked)
        fields = request.node_types.get(f"{served.plural}.{group}", NodeFields())
        ref = NodeRef(group=group, version=version, plural=served.plural, name=top.name, **dict(fields))
    except passing:
        raise
    except (ClusterError, ValidationError) as error:
        return replace(facts, unasked=f"the type of {top.called} could not be asked: {one_line(error)}")
    return _with_node(replace(facts, found=ref), cluster, request.namespace if served.namespaced else "", passing)


def _controllers_above(
    pod: Pod, namespace: str, cluster: Cluster, passing: Passing, named: Owner | None = None
) -> tuple[tuple[Owner, ...], str]:
    """Follow the controllers above the pod, up to one of the named object's type, or else to a custom resource.

    Gives them, and why they could not be followed to the end; empty if they could.
    """
    above = [pod.controller] if pod.controller else []
    if named is None and not above:  # an operator may have left `controller: true` out
        above = [owner for owner in pod.metadata.owner_references if owner.custom][:1]
    most = MOST_CONTROLLERS if named else MOST_TO_FIND_NODE
    while above and above[-1].built_in_plural and not (named and above[-1].same_type(named)):
        if len(above) > most:
            return tuple(above), f"more than {most} controllers are above the pod"
        try:
            found = Controller.read(cluster.controller(namespace, above[-1]))
        except passing:
            raise
        except (ClusterError, ValueError, KeyError) as error:
            return tuple(above), f"{above[-1].called} could not be read: {one_line(error)}"
        uid, named_uid = found.reference.uid, above[-1].uid
        if uid != named_uid:
            return tuple(above), f"{above[-1].called} was recreated: its UID is {uid}, the pod names {named_uid}"
        if found.owner is None:
            break
        above.append(found.owner)
    return tuple(above), ""
