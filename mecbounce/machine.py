"""The machine: the states of a bounce, the events that can happen, and where each event leads.

One bounce, from beginning to end:

1. INIT_CHECKS reads the custom resource and the pod, and decides whether the pod may be bounced. If so, it pins the
   pod: its identity is saved, above all its UID. All later states are about that one incarnation.
2. DISABLE_PROTECTION tries to switch the pod's shutdown protection off. If that fails, the bounce goes on.
3. DELETE_POD deletes the pinned incarnation. The DELETE has the UID as its precondition, and the pod keeps its own
   grace period. A bounce that is resumed here too late goes back to INIT_CHECKS first; the pinned UID stays.
4. AWAIT_TERMINATION waits until that incarnation has gone. It never force-deletes.
5. AWAIT_READY waits until a replacement has started. No event leads from here back to DELETE_POD.
6. DONE or FAILED: the bounce has ended. A failure says what happened, what it means for the node and what to do next.

Each state has one handler (`steps.py`). It looks at the cluster, decides, does at most one write, and names the event
that happened. Only the table below says which state follows. No event: the bounce waits in its state. A handler runs
*before* its event is applied, so a write that fails leaves the bounce where it was.

Two rules are not in the table. The next handler runs only after the record with the new state has been saved
(`task.py`): the saved state announces what will be done next. And a runner may be killed in any state, or stop once the
DELETE may have been sent: that is no event, and the next run resumes in the same state. A stop before that is the event
`cancelled`.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from types import SimpleNamespace
from typing import NamedTuple

from transitions import Machine, MachineError

from mecbounce.errors import ImpossibleEvent


class State(StrEnum):
    """Where a bounce is. The saved state announces what will be done next."""

    INIT_CHECKS = "INIT_CHECKS"
    DISABLE_PROTECTION = "DISABLE_PROTECTION"
    DELETE_POD = "DELETE_POD"
    AWAIT_TERMINATION = "AWAIT_TERMINATION"
    AWAIT_READY = "AWAIT_READY"
    DONE = "DONE"
    FAILED = "FAILED"


class Event(StrEnum):
    """What a handler found or did, each with its text for docs/operations.md."""

    CHECKS_PASSED = "checks_passed"
    """The pod may be bounced, and its identity is pinned."""
    ALREADY_TERMINATING = "already_terminating"
    """Somebody else is deleting the pod: the bounce sends no DELETE and waits with them."""
    ALREADY_REPLACED = "already_replaced"
    """The pinned incarnation has gone already: the bounce deletes nothing and waits for the replacement."""
    NODE_UNSERVED = "node_unserved"
    """The node was not checked: the API server does not know the resource type. Correct the node, or have that type
    installed."""
    NODE_MISSING = "node_missing"
    """It was not found under that name. Correct the namespace or the node. If it was found above its pod, it has been
    removed, and nothing would recreate the pod."""
    NODE_UNREADABLE = "node_unreadable"
    """Not known whether it may be bounced: a field of its state holds something other than text. Correct `desired_path`
    or `activity_path` of its type, or the resource."""
    NODE_DELETING = "node_deleting"
    """It runs on, and its custom resource is being deleted: nothing would recreate its pod. `force` does not change
    that. The finalizers tell what the deletion waits for. If the node is still wanted, create its resource again once
    it has gone."""
    NODE_DOWN = "node_down"
    """It is meant to be down. `force` does not change that. If it should be up, have its desired state changed: in Git,
    on a GitOps cluster."""
    NODE_REBUILDING = "node_rebuilding"
    """It rebuilds, and a bounce would make it begin again. Wait. Use `force` only where that is worse than to begin
    again."""
    POD_MISSING = "pod_missing"
    """It is meant to be up and has no pod: a bounce can't help. Find out why nothing makes it; see the operator's log.
    Without a custom resource the name or the namespace may be wrong."""
    POD_STATIC = "pod_static"
    """It runs on: its pod only mirrors a static pod of a kubelet, and deleting that restarts nothing. `force` does not
    change that. Restart it on its Kubernetes node: take its manifest out of the kubelet's folder of static pods, and
    put it back."""
    POD_UNMANAGED = "pod_unmanaged"
    """Nothing would recreate its pod. Use `force` only if you recreate it yourself."""
    POD_FOREIGN = "pod_foreign"
    """Its pod is made from another custom resource of the same type: bounce that one. If the resource was deleted and
    made again under its name, wait until its operator has replaced the pod."""
    POD_ENDED = "pod_ended"
    """This pod has ended: its controller has made another, or wants none. Bounce one that runs. The ended
    one can be deleted at any time."""
    POD_OF_JOB = "pod_of_job"
    """It runs until its work is done, as a Job's pod does. Once deleted, its work starts again, or counts as failed.
    Let it end. Use `force` if its work may start again."""
    PROTECTION_DISABLED = "protection_disabled"
    """The shutdown protection is switched off now."""
    PROTECTION_UNUSED = "protection_unused"
    """There was nothing to switch off: no protection is configured, the pod has none, or it is off already."""
    PROTECTION_KEPT = "protection_kept"
    """The shutdown protection could not be switched off. A notice says why; the bounce goes on."""
    DELETE_ACCEPTED = "delete_accepted"
    """The API server has accepted the DELETE: the pod is shutting down."""
    DELETE_REFUSED = "delete_refused"
    """It runs on, perhaps with its shutdown protection off (the message says so): the API server refused the DELETE, or
    answered it with errors for the API timeout, and a last look showed the pod. Fix the cause first."""
    INTENT_EXPIRED = "intent_expired"
    """The DELETE was announced too long ago and not sent: the checks are made again first. The UID stays pinned."""
    POD_GONE = "pod_gone"
    """The pinned incarnation no longer exists."""
    TERMINATION_TIMEOUT = "termination_timeout"
    """Its pod was deleted and has not gone: it is out of service, or soon will be. It was not forced. Fix the cause,
    then keep waiting. `deletion_lost`: the pod runs on. `cluster_unreachable`: not known. A forced deletion is your
    decision: on a lost Kubernetes node two of it may then run."""
    POD_STARTED = "pod_started"
    """All long-running containers of the replacement have started."""
    POD_READY = "pod_ready"
    """The Ready condition of the replacement is true."""
    NOT_RECREATED = "not_recreated"
    """It is out of service, and has no new pod; its old one may exist again. Fix the cause, then keep waiting."""
    READY_TIMEOUT = "ready_timeout"
    """It is out of service: its new pod exists and has not started in time. Fix the cause, then keep waiting."""
    CANCELLED = "cancelled"
    """It runs on, perhaps with its shutdown protection off: a signal or the runner's `stop()` asked for it."""
    ACCESS_DENIED = "access_denied"
    """It runs on, unless the message says that the DELETE may have been carried out. Have the missing right granted, or
    the credentials renewed."""
    CLUSTER_UNREACHABLE = "cluster_unreachable"
    """It runs on, unless the message says that the DELETE may have been carried out: then keep waiting with the UID,
    which can delete no other incarnation."""


class Transition(NamedTuple):
    """One row of the table."""

    source: State
    event: Event
    dest: State


BEFORE_DELETION = (State.INIT_CHECKS, State.DISABLE_PROTECTION, State.DELETE_POD)
WAITING = (State.AWAIT_TERMINATION, State.AWAIT_READY)
FINAL = (State.DONE, State.FAILED)
JOINING = (Event.ALREADY_TERMINATING, Event.ALREADY_REPLACED)  # somebody else deleted the pod; this bounce only waits
# The only events after which a bounce that had entered DELETE_POD knows that nothing was deleted: the process that
# announced the DELETE cancelled it, or its DELETE failed and a look then showed the pod. After any other event a
# process that announced a DELETE may still send it.
KNOWN_NOT_DELETED = (Event.CANCELLED, Event.DELETE_REFUSED)

TRANSITIONS: tuple[Transition, ...] = (
    Transition(State.INIT_CHECKS, Event.CHECKS_PASSED, State.DISABLE_PROTECTION),
    Transition(State.INIT_CHECKS, Event.ALREADY_TERMINATING, State.AWAIT_TERMINATION),
    Transition(State.INIT_CHECKS, Event.ALREADY_REPLACED, State.AWAIT_READY),
    Transition(State.INIT_CHECKS, Event.NODE_UNSERVED, State.FAILED),
    Transition(State.INIT_CHECKS, Event.NODE_MISSING, State.FAILED),
    Transition(State.INIT_CHECKS, Event.NODE_UNREADABLE, State.FAILED),
    Transition(State.INIT_CHECKS, Event.NODE_DELETING, State.FAILED),
    Transition(State.INIT_CHECKS, Event.NODE_DOWN, State.FAILED),
    Transition(State.INIT_CHECKS, Event.NODE_REBUILDING, State.FAILED),
    Transition(State.INIT_CHECKS, Event.POD_MISSING, State.FAILED),
    Transition(State.INIT_CHECKS, Event.POD_STATIC, State.FAILED),
    Transition(State.INIT_CHECKS, Event.POD_UNMANAGED, State.FAILED),
    Transition(State.INIT_CHECKS, Event.POD_FOREIGN, State.FAILED),
    Transition(State.INIT_CHECKS, Event.POD_ENDED, State.FAILED),
    Transition(State.INIT_CHECKS, Event.POD_OF_JOB, State.FAILED),
    Transition(State.DISABLE_PROTECTION, Event.PROTECTION_DISABLED, State.DELETE_POD),
    Transition(State.DISABLE_PROTECTION, Event.PROTECTION_UNUSED, State.DELETE_POD),
    Transition(State.DISABLE_PROTECTION, Event.PROTECTION_KEPT, State.DELETE_POD),
    Transition(State.DELETE_POD, Event.DELETE_ACCEPTED, State.AWAIT_TERMINATION),
    Transition(State.DELETE_POD, Event.POD_GONE, State.AWAIT_READY),
    Transition(State.DELETE_POD, Event.DELETE_REFUSED, State.FAILED),
    Transition(State.DELETE_POD, Event.INTENT_EXPIRED, State.INIT_CHECKS),
    Transition(State.AWAIT_TERMINATION, Event.POD_GONE, State.AWAIT_READY),
    Transition(State.AWAIT_TERMINATION, Event.TERMINATION_TIMEOUT, State.FAILED),
    Transition(State.AWAIT_READY, Event.POD_STARTED, State.DONE),
    Transition(State.AWAIT_READY, Event.POD_READY, State.DONE),
    Transition(State.AWAIT_READY, Event.NOT_RECREATED, State.FAILED),
    Transition(State.AWAIT_READY, Event.READY_TIMEOUT, State.FAILED),
    *(
        Transition(state, event, State.FAILED)
        for state in BEFORE_DELETION
        for event in (Event.CANCELLED, Event.ACCESS_DENIED, Event.CLUSTER_UNREACHABLE)
    ),
)

MACHINE = Machine(
    model=None,
    states=State,
    initial=State.INIT_CHECKS,
    transitions=[{"trigger": row.event.value, "source": row.source, "dest": row.dest} for row in TRANSITIONS],
    auto_transitions=False,
)


@cache  # the table never changes
def follow(state: State, event: Event) -> State:
    """Give the state that `event` leads to from `state`. Raises ImpossibleEvent if the table has no such row."""
    cursor = SimpleNamespace(state=state)  # the model that `transitions` wants, for this one event
    try:
        MACHINE.events[event.value].trigger(cursor)
    except MachineError as error:
        raise ImpossibleEvent(f"{event} can't happen in {state}: please report this as a bug in mecbounce") from error
    return State(cursor.state)
