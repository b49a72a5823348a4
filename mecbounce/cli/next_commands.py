"""What to run next: a table of commands, by the event that ended a bounce and by its diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mecbounce import diagnosis
from mecbounce.machine import Event, State
from mecbounce.record import BounceRecord, Deletion
from mecbounce.request import ClusterType, ReadyWhen

DELETED = (Deletion.OURS, Deletion.ALREADY, Deletion.OURS_OR_ANOTHERS)  # and not standing, as far as is known


@dataclass(frozen=True)
class Given:
    """Options of the command that no record keeps, as they were given: the next command repeats them."""

    kubeconfig: str = ""
    context: str = ""
    as_user: str = ""
    as_groups: tuple[str, ...] = ()
    as_uid: str = ""
    protection: str = ""
    state: str = ""
    no_events: bool = False

    @property
    def cluster(self) -> list[tuple[str, str]]:
        """The options that say where and as whom, which kubectl has too."""
        groups = [("--as-group", group) for group in self.as_groups]
        named = [("--kubeconfig", self.kubeconfig), ("--context", self.context), ("--as", self.as_user)]
        return [(option, value) for option, value in (*named, *groups, ("--as-uid", self.as_uid)) if value]


def diagnosis_code(record: BounceRecord) -> str:
    """Give the code of its diagnosis; empty where it has none."""
    return record.diagnosis.code if record.diagnosis else ""


def last_event(record: BounceRecord) -> Event:
    """Give the event that ended a bounce."""
    event = record.path[-1].event
    if event is None:
        raise ValueError(f"the bounce is still in {record.state}")
    return event


@dataclass(frozen=True)
class Next:
    """What to run next: a purpose, a command with fields in braces, and who must act where no diagnosis says so."""

    purpose: str
    command: str
    who: str = ""


_DESCRIBE = Next("Look at it", "kubectl describe pod {pod} -n {namespace}")

_LOGS = Next("See what it logs", "kubectl logs {pod} -n {namespace} --all-containers --tail=50")

_LAST_LOGS = Next(
    "See what it logged before it ended",
    "kubectl logs {pod} -n {namespace} --all-containers --previous --ignore-errors --tail=50",
)

_HOST = Next("Look at its Kubernetes node", "kubectl describe node {host}")

_ALIVE = Next("See whether the API server answers", "kubectl get --raw /readyz", diagnosis.ADMINISTRATORS)

_RESOURCE = Next("See what it holds", "kubectl get {node} -n {namespace} -o yaml")

_FINALIZERS = Next("See which finalizers hold it", _RESOURCE.command)

_MAKER = Next("See why nothing makes it", "kubectl describe {node} -n {namespace}", diagnosis.OPERATOR)

_CONTROLLER = Next("Look at its controller", "kubectl describe {controller} -n {namespace}")

_WEBHOOKS = Next(
    "See which webhooks there are", "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations"
)

_EVENTS = Next("See what happened there", "kubectl get events -n {namespace} --sort-by=.lastTimestamp")

_WAIT_ON = Next("Wait on, and delete nothing", "{this_one}")

_ONCE_MORE = Next("Try once more: deletes this incarnation only", "{this_one}")

_WAIT_OR_DELETE = Next("Wait on: deletes this incarnation only, if it still stands", "{this_one}")

_RESUME = Next("Resume it", "{run}")

_THAT_ONE_OR_NONE = Next("Then bounce that incarnation, and no other", "{this_one}")

_THAT_ONE_IF_IT_STANDS = Next("Then see whether it still stands", "kubectl get pod {pod} -n {namespace}")

_NEXT: Mapping[Event, Next] = {
    Event.NODE_UNSERVED: Next(
        "See which types there are", "kubectl api-resources --api-group={group}", "whoever began this bounce"
    ),
    Event.NODE_MISSING: Next("See which there are", "kubectl get {kind} -n {namespace}", "whoever began this bounce"),
    Event.NODE_UNREADABLE: Next(_RESOURCE.purpose, _RESOURCE.command, diagnosis.OPERATOR),
    Event.NODE_DELETING: Next(_FINALIZERS.purpose, _FINALIZERS.command, "whoever deletes it"),
    Event.NODE_DOWN: Next(_RESOURCE.purpose, _RESOURCE.command, "whoever turned it down"),
    Event.NODE_REBUILDING: Next("Watch it rebuild", "kubectl get {node} -n {namespace} --watch", "nobody, for now"),
    Event.POD_MISSING: _MAKER,
    Event.POD_UNMANAGED: Next(
        "See what made it", "kubectl get pod {pod} -n {namespace} -o yaml", "whoever made the pod"
    ),
    Event.POD_FOREIGN: Next(
        "See what made it", "kubectl get pod {pod} -n {namespace} -o yaml", "whoever began this bounce"
    ),
    Event.POD_STATIC: Next("Look at it", _DESCRIBE.command, diagnosis.ADMINISTRATORS),
    Event.POD_ENDED: Next("See which pods there are", "kubectl get pods -n {namespace}", "whoever began this bounce"),
    Event.POD_OF_JOB: Next("Look at it", _DESCRIBE.command, "the owners of what it works for"),
    Event.CANCELLED: Next("Bounce it after all", "{run}", "nobody"),
    Event.ACCESS_DENIED: Next(
        "See which rights there are", "kubectl auth can-i --list -n {namespace}", diagnosis.ADMINISTRATORS
    ),
    Event.CLUSTER_UNREACHABLE: _ALIVE,
    Event.DELETE_REFUSED: Next("Once that is settled, ask again without deleting", "{plan}", diagnosis.ADMINISTRATORS),
    Event.TERMINATION_TIMEOUT: _WAIT_ON,
    Event.NOT_RECREATED: _WAIT_ON,
    Event.READY_TIMEOUT: _WAIT_ON,
}

_LOOK: Mapping[str, Next] = {  # by a diagnosis' code: where to look before waiting on
    "host_lost": _HOST,
    "grace_period_running": _LOGS,
    "grace_period_exceeded": _HOST,
    "finalizers": Next("See who set them", "kubectl get pod {pod} -n {namespace} -o yaml"),
    "not_removed": _HOST,
    "deletion_lost": _DESCRIBE,
    "terminating_again": _DESCRIBE,
    "webhook_failing": _WEBHOOKS,
    "webhook_denied": _WEBHOOKS,
    "policy_denied": Next("See which policies there are", "kubectl get validatingadmissionpolicies"),
    "namespace_deleting": Next("Look at it", "kubectl describe namespace {namespace}"),
    "account_missing": Next("See which accounts there are", "kubectl get serviceaccounts -n {namespace}"),
    "quota_exceeded": Next("See what is used up", "kubectl describe resourcequota -n {namespace}"),
    "refused": Next("See which rights there are", "kubectl auth can-i --list -n {namespace}"),
    "delete_failing": _ALIVE,
    diagnosis.UNREACHABLE: _ALIVE,
    "node_missing": Next("See which there are", "kubectl get {kind} -n {namespace}"),
    "node_deleting": _FINALIZERS,
    "node_down": _RESOURCE,
    "controller_gone": _EVENTS,
    "controller_deleting": _CONTROLLER,
    "controller_scaled_down": _CONTROLLER,
    "rolled_out": Next("See which pods there are", "kubectl get pods -n {namespace}"),
    "job_finished": _CONTROLLER,
    "job_suspended": _CONTROLLER,
    "host_gone": Next("See which Kubernetes nodes there are", "kubectl get nodes"),
    "host_not_wanted": _CONTROLLER,
    "predecessor_not_ready": Next("See which pods there are", "kubectl get pods -n {namespace}"),
    "controller_paused": _CONTROLLER,
    "creation_failed": _CONTROLLER,
    "too_few_replacements": _CONTROLLER,
    "name_generated": Next("See which pods there are", "kubectl get pods -n {namespace}"),
    "other_name": Next("See which pods there are", "kubectl get pods -n {namespace}"),
    "replacement_terminating": _DESCRIBE,
    "other_controller": _DESCRIBE,
    "not_recreated": _MAKER,
    "pod_ended": _DESCRIBE,
    "pod_disrupted": _DESCRIBE,
    "kubelet_silent": _HOST,
    "scheduling_gated": _DESCRIBE,
    "unschedulable": _DESCRIBE,
    "unscheduled": _DESCRIBE,
    "image_pull": _DESCRIBE,
    "container_config": _DESCRIBE,
    "volume": _DESCRIBE,
    "init_container": _LOGS,
    "startup_kill_loop": _LAST_LOGS,
    "crash_loop": _LAST_LOGS,
    "startup_probe": _LOGS,
    "readiness_probe": _LOGS,
    "container_waiting": _DESCRIBE,
    "readiness_gate": _DESCRIBE,
    "unknown": _DESCRIBE,
}

# A pod whose replacement gets another name can't be waited for by its own: kubectl can.
_WAIT_ON_BY_OTHER_NAME: Mapping[Event, Next] = {
    Event.TERMINATION_TIMEOUT: Next(
        _WAIT_ON.purpose, "kubectl wait --for=delete pod/{pod} -n {namespace} --timeout=600s"
    ),
    Event.NOT_RECREATED: Next(_WAIT_ON.purpose, "kubectl get pods -n {namespace} --watch"),
    Event.READY_TIMEOUT: Next(
        _WAIT_ON.purpose, "kubectl wait --for=condition=Ready pod/{pod} -n {namespace} --timeout=600s"
    ),
}


def who_must_act(event: Event) -> str:
    """Name who must act after a failure without a diagnosis."""
    return _NEXT[event].who


def next_commands(record: BounceRecord, given: Given) -> list[tuple[str, list[str]]]:
    """Give what to run next, each with its purpose: where to look first, then how to go on. None after a success."""
    if record.state is State.DONE:
        return []
    if not record.finished:
        found = [_RESUME]
    else:
        event = last_event(record)
        found = [_LOOK.get(record.diagnosis.code, _DESCRIBE)] if record.diagnosis else []
        by_other_name = record.by_other_name
        found.append(_going_on(record, event))
        if record.deletion is Deletion.UNKNOWN:
            found.append(_THAT_ONE_IF_IT_STANDS if by_other_name else _THAT_ONE_OR_NONE)
    return [(purpose, words) for one in found for purpose, words in [_filled(one, record, given)]]


def _going_on(record: BounceRecord, event: Event) -> Next:
    """Choose how to go on after a failure, named as what it does."""
    if diagnosis_code(record) == "deletion_lost":
        return _ONCE_MORE
    if record.by_other_name:
        # A pod that has ended never gets ready: what is left is to wait for another one.
        waits_for = Event.NOT_RECREATED if diagnosis_code(record) == "pod_ended" else event
        return _WAIT_ON_BY_OTHER_NAME.get(waits_for, _NEXT[event])
    if event is Event.TERMINATION_TIMEOUT and diagnosis_code(record) == diagnosis.UNREACHABLE:
        return _WAIT_OR_DELETE
    return _NEXT[event]


def _filled(what: Next, record: BounceRecord, given: Given) -> tuple[str, list[str]]:
    """Fill the fields of a command; where one isn't known, the namespace's Events have to do."""
    request, old, new = record.request, record.old_pod, record.new_pod
    node, about = request.node, old if diagnosis_code(record) in diagnosis.STANDING else new or old
    fields = {
        "namespace": request.namespace,
        "pod": about.name if about else request.pod,
        "host": about.host if about else "",
        "kind": f"{node.plural}.{node.version}.{node.group}" if node else "",
        "group": node.group if node else "",
    }
    made_by = old.controller if old else None
    kind = (
        f"{made_by.kind}.{made_by.api_version.partition('/')[2]}.{made_by.group}" if made_by and made_by.group else ""
    )
    fields["controller"] = f"{kind}/{made_by.name}".lower() if made_by and kind else ""
    fields["node"] = f"{fields['kind']}/{node.name}" if node else ""
    ours = {
        "{run}": ("run", request.pod_uid),
        "{plan}": ("plan", request.pod_uid),
        "{this_one}": ("run", old.uid if old else request.pod_uid),
    }
    if what.command in ours:
        verb, uid = ours[what.command]
        return what.purpose, _mecbounce(verb, record, given, uid)
    if any(not value and f"{{{name}}}" in what.command for name, value in fields.items()):
        what = _EVENTS
    words = [word.format(**fields) for word in what.command.split()]
    return what.purpose, words + [word for pair in given.cluster for word in pair]


def _mecbounce(verb: str, record: BounceRecord, given: Given, uid: str | None) -> list[str]:
    """Write the command with the options that it was given."""
    request, node = record.request, record.request.node
    timeouts = request.timeouts
    options = {
        "--node": f"{node.group}/{node.version}/{node.plural}/{node.name}" if node else "",
        "--gitops": request.cluster_type is ClusterType.K8S_GITOPS,
        "--force": request.force,
        "--pod-uid": uid,
        "--protection-annotation": "" if record.deletion in DELETED else given.protection,
        "--termination-timeout": f"{timeouts.termination:.10g}s" if timeouts.termination else "",
        "--ready-timeout": f"{timeouts.ready:.10g}s" if timeouts.ready else "",
        "--ready-when": "" if request.ready_when is ReadyWhen.AUTO else str(request.ready_when),
        "--no-events": given.no_events,
        "--state": given.state if verb == "run" else "",
    }
    words = [
        "mecbounce",
        verb,
        request.pod,
        "-n",
        request.namespace,
        *(word for pair in given.cluster for word in pair),
    ]
    for option, value in options.items():
        words += [option] if value is True else [option, str(value)] if value else []
    return words
