"""What to run next, by the event that ended a bounce and by its diagnosis."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mecbounce.again import still_waits_on
from mecbounce.codes import ADMINISTRATORS, OLD_POD_EXISTS, OPERATOR, DiagnosisCode
from mecbounce.kubernetes_api.objects import Owner
from mecbounce.machine import Event, State
from mecbounce.messages import duration, longer_timeout
from mecbounce.record import BounceRecord, Deletion
from mecbounce.request import ClusterType, ReadyWhen

VALUE_LEFT_OUT = "..."  # the command refuses it as a value: whoever pastes the line must put in the real one
DELETED = (Deletion.OURS, Deletion.ALREADY, Deletion.OURS_OR_ANOTHERS)  # as far as is known


@dataclass(frozen=True)
class Given:
    """What the record does not keep: the next command repeats it as it was given."""

    cluster: tuple[str, ...] = ()
    """The words for the cluster and the user, such as `--context prod`. kubectl takes the same."""
    protection: str = ""
    state: str = ""
    no_events: bool = False
    recorded: bool = False
    """True if our command finds this bounce's record: then the pod's name is enough to resume or to keep waiting."""

    @property
    def without_value(self) -> Given:
        """The same for a program, which keeps what it reads: the protection's value may be a secret."""
        key, is_given, _ = self.protection.partition("=")
        return replace(self, protection=f"{key}={VALUE_LEFT_OUT}" if is_given else "")


def diagnosis_code(record: BounceRecord) -> str:
    """Give the code of its diagnosis. Empty: it has none."""
    return record.diagnosis.code if record.diagnosis else ""


# Each command: its purpose, and its words with fields in braces. Our own are {run}, {plan}, {this_one} and {same}: run,
# without the options that the record has.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "accounts": ("See which accounts there are", "kubectl get serviceaccounts -n {namespace}"),
    "api_server": ("See whether the API server answers", "kubectl get --raw /readyz"),
    "controller": ("Look at its controller", "kubectl describe {controller} -n {namespace}"),
    "events": ("See what happened there", "kubectl get events -n {namespace} --sort-by=.lastTimestamp"),
    "host": ("Look at its Kubernetes node", "kubectl describe node {host}"),
    "hosts": ("See which Kubernetes nodes there are", "kubectl get nodes"),
    "last_logs": (
        "See what it logged before it ended",
        "kubectl logs {pod} -n {namespace} --all-containers --previous --ignore-errors --tail=50",
    ),
    "logs": ("See what it logs", "kubectl logs {pod} -n {namespace} --all-containers --tail=50"),
    "maker": ("See why nothing makes it", "kubectl describe {node} -n {namespace}"),
    "namespace": ("Describe the namespace", "kubectl describe namespace {namespace}"),
    "node": ("Show the custom resource", "kubectl get {node} -n {namespace} -o yaml"),
    "node_finalizers": ("See which finalizers hold it", "kubectl get {node} -n {namespace} -o yaml"),
    "node_types": ("See which types there are", "kubectl api-resources --api-group={group}"),
    "nodes": ("List the custom resources", "kubectl get {kind} -n {namespace}"),
    "pod": ("Describe the pod", "kubectl describe pod {pod} -n {namespace}"),
    "pod_yaml": ("See its owners and finalizers", "kubectl get pod {pod} -n {namespace} -o yaml"),
    "pods": ("See which pods there are", "kubectl get pods -n {namespace}"),
    "policies": ("See which policies there are", "kubectl get validatingadmissionpolicies"),
    "quota": ("See what is used up", "kubectl describe resourcequota -n {namespace}"),
    "rights": ("See which rights there are", "kubectl auth can-i --list -n {namespace}"),
    "watch_node": ("Watch it rebuild", "kubectl get {node} -n {namespace} --watch"),
    "webhooks": (
        "See which webhooks there are",
        "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
    ),
    # How to go on.
    "ask_again": ("Once the cause is fixed, ask again without deleting", "{plan}"),
    "bounce_anyway": ("Bounce it anyway", "{run}"),
    "once_more": ("Try once more: deletes this incarnation only", "{this_one}"),
    "if_it_exists": ("Then see whether it still exists", "kubectl get pod {pod} -n {namespace}"),
    "resume": ("Resume it", "{same}"),
    "that_one": ("Then bounce that incarnation, and no other", "{this_one}"),
    "wait_on": ("Keep waiting; deletes nothing", "{same}"),
    "wait_or_delete": ("Keep waiting; deletes this incarnation only, if it still exists", "{this_one}"),
    # The same where our command does not find the record.
    "wait_by_uid": ("Keep waiting; deletes nothing", "{this_one}"),
    "wait_gone": (
        "Keep waiting; deletes nothing",
        "kubectl wait --for=delete pod/{pod} -n {namespace} --timeout={timeout}",
    ),
    "wait_pods": ("Keep waiting; deletes nothing", "kubectl get pods -n {namespace} --watch"),
    "wait_ready": (
        "Keep waiting; deletes nothing",
        "kubectl wait --for=condition=Ready pod/{pod} -n {namespace} --timeout={timeout}",
    ),
}

CALLER = "whoever began this bounce"
# After each failure: who must act (empty: its diagnosis says so) and what to run. `Event` says what each means.
FAILURES: Mapping[Event, tuple[str, str]] = {
    Event.NODE_UNSERVED: (CALLER, "node_types"),
    Event.NODE_MISSING: (CALLER, "nodes"),
    Event.NODE_UNREADABLE: (OPERATOR, "node"),
    Event.NODE_DELETING: ("whoever deletes it", "node_finalizers"),
    Event.NODE_DOWN: ("whoever turned it down", "node"),
    Event.NODE_REBUILDING: ("nobody, for now", "watch_node"),
    Event.POD_MISSING: (OPERATOR, "maker"),
    Event.POD_STATIC: (ADMINISTRATORS, "pod"),
    Event.POD_UNMANAGED: ("whoever made the pod", "pod_yaml"),
    Event.POD_FOREIGN: (CALLER, "pod_yaml"),
    Event.POD_ENDED: (CALLER, "pods"),
    Event.POD_OF_JOB: ("the owners of that Job or workflow", "pod"),
    Event.DELETE_REFUSED: ("", "ask_again"),
    Event.TERMINATION_TIMEOUT: ("", "wait_on"),
    Event.NOT_RECREATED: ("", "wait_on"),
    Event.READY_TIMEOUT: ("", "wait_on"),
    Event.CANCELLED: ("nobody", "bounce_anyway"),
    Event.ACCESS_DENIED: (ADMINISTRATORS, "rights"),
    Event.CLUSTER_UNREACHABLE: (ADMINISTRATORS, "api_server"),
}
# The same where no custom resource is known: then nobody can say that an operator makes the pod.
WITHOUT_NODE: Mapping[Event, tuple[str, str]] = {Event.POD_MISSING: (CALLER, "pods")}
# The replacement has a name that this bounce can't know: there is nothing to wait for.
_UNKNOWN_NAME = (DiagnosisCode.NAME_GENERATED, DiagnosisCode.ROLLED_OUT)
# It has another name, and the record is not where our command looks for it: only kubectl can wait for that.
_BY_OTHER_NAME = {
    Event.TERMINATION_TIMEOUT: "wait_gone",
    Event.NOT_RECREATED: "wait_pods",
    Event.READY_TIMEOUT: "wait_ready",
}


def who_must_act(record: BounceRecord) -> str:
    """Name who must act after a failure without a diagnosis."""
    return _failure(record, record.ended_by)[0]


def _failure(record: BounceRecord, event: Event) -> tuple[str, str]:
    known = FAILURES if record.node else {**FAILURES, **WITHOUT_NODE}
    return known[event]


def next_commands(record: BounceRecord, given: Given) -> list[tuple[str, list[str]]]:
    """Give what to run next, each command with its purpose: first where to look, then how to go on. DONE: none."""
    if record.state is State.DONE:
        return []
    if not record.finished:
        return [_filled("resume", record, given)]
    found = [] if diagnosis_code(record) in _UNKNOWN_NAME else [_going_on(record, record.ended_by, given)]
    if record.diagnosis is not None:
        code = record.diagnosis.code
        found.insert(0, code.look if isinstance(code, DiagnosisCode) else "pod")
    if record.deletion is Deletion.UNKNOWN:
        found.append("that_one" if given.recorded or not record.by_other_name else "if_it_exists")
    return [_filled(key, record, given) for key in found]


def shell_lines(record: BounceRecord, given: Given) -> tuple[str, ...]:
    """Give what to run next as lines for a shell."""
    return tuple(shlex.join(words) for _, words in next_commands(record, given))


def _going_on(record: BounceRecord, event: Event, given: Given) -> str:
    """Choose how to go on after a failure."""
    code = diagnosis_code(record)
    if code == DiagnosisCode.DELETION_LOST:
        return "once_more"
    renamed = record.by_other_name and not given.recorded
    if (event, code) == (Event.TERMINATION_TIMEOUT, DiagnosisCode.CLUSTER_UNREACHABLE) and not renamed:
        return "wait_or_delete"
    key = "wait_on" if event is Event.CANCELLED and still_waits_on(record) else _failure(record, event)[1]
    if key != "wait_on" or given.recorded:
        return key
    if not renamed:
        return "wait_by_uid"
    # A pod that has ended never gets ready: wait for another one.
    return "wait_pods" if code == DiagnosisCode.POD_ENDED else _BY_OTHER_NAME.get(event, "wait_pods")


def _filled(key: str, record: BounceRecord, given: Given) -> tuple[str, list[str]]:
    """Fill the fields of a command. Where one is not known, look at the namespace's Events."""
    request, old, new = record.request, record.old_pod, record.new_pod
    node, about = record.node, old if diagnosis_code(record) in OLD_POD_EXISTS else new or old
    purpose, command = COMMANDS[key]
    ours = {
        "{run}": ("run", request.pod_uid),
        "{plan}": ("plan", request.pod_uid),
        "{this_one}": ("run", old.uid if old else request.pod_uid),
    }
    longer = longer_timeout(record.failed_in, record.limit_passed)
    if command == "{same}":
        return purpose, _same(record, given)
    if command in ours:
        verb, uid = ours[command]
        return purpose, _mecbounce(verb, record, given, uid)
    kind = f"{node.plural}.{node.version}.{node.group}" if node else ""
    fields = {
        "namespace": request.namespace,
        "pod": about.name if about else request.pod,
        "host": about.host if about else "",
        "kind": kind,
        "group": node.group if node else "",
        "node": f"{kind}/{node.name}" if node else "",
        "controller": _named(old.controller) if old and old.controller else "",
        "timeout": duration(longer[1] if longer else 600),
    }
    if any(not value and f"{{{name}}}" in command for name, value in fields.items()):
        purpose, command = COMMANDS["events"]
    words = [word.format(**fields) for word in command.split()]
    return purpose, [*words, *given.cluster]


def _named(owner: Owner) -> str:
    """Name an object of a group as kubectl takes it, with its version; empty for one of Kubernetes' own core."""
    version = owner.api_version.partition("/")[2]
    return f"{owner.kind}.{version}.{owner.group}/{owner.name}".lower() if owner.group else ""


def _mecbounce(verb: str, record: BounceRecord, given: Given, uid: str | None) -> list[str]:
    """Write our command with all options that it was given."""
    request, timeouts = record.request, record.request.timeouts
    node = record.node if uid else request.given_node  # without a pod above which to find it, it must be named
    options: dict[str, str | bool | None] = {
        "--node": node.as_option if node else "",
        "--no-node": request.node is None,
        "--gitops": request.cluster_type is ClusterType.K8S_GITOPS,
        "--force": request.force,
        "--pod-uid": uid,
        "--termination-timeout": duration(timeouts.termination) if timeouts.termination else "",
        "--ready-timeout": duration(timeouts.ready) if timeouts.ready else "",
        "--ready-when": "" if request.ready_when is ReadyWhen.AUTO else str(request.ready_when),
    }
    return _written(verb, record, given, options | _longer(record))


def _same(record: BounceRecord, given: Given) -> list[str]:
    """Write `run` with what the record does not know, and with a longer time where one has proved too short."""
    if not given.recorded:
        return _mecbounce("run", record, given, record.request.pod_uid)
    # Once the replacement is back, only the UID keeps this command from bouncing it.
    uid = record.old_pod.uid if record.finished and record.old_pod else None
    return _written("run", record, given, {"--pod-uid": uid, **_longer(record)})


def _longer(record: BounceRecord) -> dict[str, str | bool | None]:
    longer = longer_timeout(record.failed_in, record.limit_passed)
    return {f"--{longer[0]}-timeout": duration(longer[1])} if longer else {}


def _written(verb: str, record: BounceRecord, given: Given, options: Mapping[str, str | bool | None]) -> list[str]:
    unrecorded = {
        "--protection-annotation": "" if record.deletion in DELETED else _protection(record, given),
        "--no-events": given.no_events,
        "--state": given.state if verb == "run" else "",
    }
    words = ["mecbounce", verb, record.request.pod, "-n", record.request.namespace, *given.cluster]
    for option, value in {**options, **unrecorded}.items():
        words += [option] if value is True else [option, str(value)] if value else []
    return words


def _protection(record: BounceRecord, given: Given) -> str:
    """Write the protection's annotation as it was given; else its key, which the record has. Empty: there is none."""
    known = record.given_protection
    return given.protection or (f"{known.annotation}={VALUE_LEFT_OUT}" if known and known.annotation else "")
