"""Who acts, what the API server says, and how a diagnosis is read, for the tests of diagnosis and absence."""

from __future__ import annotations

import re
from typing import Any

from builders import NOW, later

from mecbounce import absence
from mecbounce.codes import DiagnosisCode
from mecbounce.errors import NotFound
from mecbounce.kubernetes_api.node import Node
from mecbounce.kubernetes_api.objects import Pod, PodEvent
from mecbounce.record import Diagnosis, PinnedPod
from mecbounce.request import NodeRef

ADMINISTRATORS = "the cluster's administrators"
OPERATOR = "the owners of the operator"
APPLICATION = "the owners of the application"


def warning(reason: str, message: str, last: float | None = -1) -> PodEvent:
    """Give a Warning Event that was seen last so many seconds after NOW; None: it has no time."""
    return PodEvent(
        type="Warning", reason=reason, message=message, last_timestamp=None if last is None else later(last)
    )


def code(found: Diagnosis) -> str:
    return found.code


def fits_its_row(found: Diagnosis) -> bool:
    """Tell whether somebody must act whom the row names, and so the documents, with a name in place of `...`."""
    assert isinstance(found.code, DiagnosisCode)
    named = [re.escape(one).replace(re.escape("..."), ".+") for one in found.code.who]
    return any(re.fullmatch(one, found.who) for one in named)


def absent(
    old: PinnedPod, pods: list[Pod], ref: NodeRef | None = None, node: Node | NotFound | None = None, **seen: Any
) -> Diagnosis:
    return absence.not_recreated(old, absence.Absence(NOW, pods=tuple(pods), ref=ref, node=node, **seen))


QUOTA = 'pods "mec-0" is forbidden: exceeded quota: team-a, requested: pods=1, used: pods=3, limited: pods=3'
SECURITY = 'pods "mec-x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false'
ACCOUNT = 'pods "mec-0" is forbidden: error looking up service account default/mec: serviceaccount "mec" not found'
CLOSING = 'pods "x" is forbidden: unable to create new content in namespace mec because it is being terminated'
ANSWERS = [
    (
        'Internal error occurred: failed calling webhook "v.k.io": Post "https://k.svc": connection refused',
        "webhook_failing",
        "the owners of webhook v.k.io",
    ),
    (
        'Internal error occurred: failed calling admission webhook "v.k.io": timeout',
        "webhook_failing",
        "the owners of webhook v.k.io",
    ),
    ('admission webhook "v.k.io" denied the request: no', "webhook_denied", "the owners of webhook v.k.io"),
    (
        'pods "p" is forbidden: admission webhook "v.k.io" denied the request without explanation',
        "webhook_denied",
        "the owners of webhook v.k.io",
    ),
    (
        'Internal error occurred: admission webhook "v.k.io" denied the request: its own backend is away',
        "webhook_denied",
        "the owners of webhook v.k.io",
    ),
    (
        "pods \"p\" is forbidden: ValidatingAdmissionPolicy 'keep' with binding 'b' denied request: frozen",
        "policy_denied",
        "the owners of ValidatingAdmissionPolicy keep",
    ),
    (
        "pods \"p\" is forbidden: ValidatingAdmissionPolicy 'keep' denied request: frozen",
        "policy_denied",
        "the owners of ValidatingAdmissionPolicy keep",
    ),
    (QUOTA, "quota_exceeded", "whoever sets ResourceQuota team-a"),
    ("failed quota: team-a: must specify limits.cpu", "quota_exceeded", "whoever sets ResourceQuota team-a"),
    (SECURITY, "policy_denied", "whoever sets the Pod Security level of the namespace"),
    (ACCOUNT, "account_missing", "whoever removed ServiceAccount mec"),
    (CLOSING, "namespace_deleting", "whoever deletes namespace mec"),
]
