"""Who may refuse what the API server was asked for: admission webhooks and quotas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mecbounce.sandbox import errors
from mecbounce.sandbox.containers import ENDED
from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.resources import PODS, Object, ResourceType


@dataclass
class Admission:
    """The webhooks; each field may change at any time, and None is: there is no such webhook.

    ``refuse_create``, ``refuse_delete``: what the webhook ``w`` says to a pod's creation, to each DELETE over HTTP.
    ``down_at_create``, ``down_at_delete``: the name of a webhook that is asked about pods and does not answer.
    """

    refuse_create: str | None = None
    refuse_delete: str | None = None
    down_at_create: str | None = None
    down_at_delete: str | None = None

    def create(self, resource: ResourceType) -> None:
        if resource == PODS:
            _ask(self.refuse_create, self.down_at_create)

    def delete(self, resource: ResourceType) -> None:
        _ask(self.refuse_delete, self.down_at_delete if resource == PODS else None)


def _ask(refusal: str | None, down: str | None) -> None:
    if refusal is not None:
        raise ApiError(403, f'admission webhook "w" denied the request: {refusal}')
    if down is not None:
        raise errors.webhook_failed(down)


def check_quotas(quotas: Iterable[Object], pods: Iterable[Object], name: str) -> None:
    """Refuse a pod that a namespace's quotas leave no room for; those that have ended count no more."""
    used = sum(pod["status"].get("phase") not in ENDED for pod in pods)
    for quota in quotas:
        hard = (quota.get("spec") or {}).get("hard") or {}
        for what in ("pods", "count/pods"):
            if what in hard and used >= int(hard[what]):
                raise errors.exceeded_quota(quota["metadata"]["name"], name, what, used, hard[what])
