"""What can refuse a creation or a deletion: admission webhooks and quotas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mecbounce.sandbox import errors
from mecbounce.sandbox.errors import ApiError
from mecbounce.sandbox.objects import is_ended
from mecbounce.sandbox.resources import PODS, Object, ResourceType


@dataclass
class Admission:
    """The webhooks. A field may change at any time; None means that there is no such webhook.

    ``refuse_create``, ``refuse_delete``: the message of the webhook ``w`` to the creation of a pod, and to each DELETE
    over HTTP. ``down_at_create``, ``down_at_delete``: the name of a webhook for pods that does not answer.
    """

    refuse_create: str | None = None
    refuse_delete: str | None = None
    down_at_create: str | None = None
    down_at_delete: str | None = None

    def create(self, resource: ResourceType) -> None:
        """Raise the refusal of a creation, if there is one."""
        if resource == PODS:
            _ask(self.refuse_create, self.down_at_create)

    def delete(self, resource: ResourceType) -> None:
        """Raise the refusal of a DELETE, if there is one."""
        _ask(self.refuse_delete, self.down_at_delete if resource == PODS else None)


def _ask(refusal: str | None, down: str | None) -> None:
    if refusal is not None:
        raise ApiError(403, f'admission webhook "w" denied the request: {refusal}')
    if down is not None:
        raise errors.webhook_failed(down)


def check_quotas(quotas: Iterable[Object], pods: Iterable[Object], name: str) -> None:
    """Refuse a pod if a quota of its namespace is used up; pods that have ended do not count."""
    used = sum(not is_ended(pod) for pod in pods)
    for quota in quotas:
        hard = (quota.get("spec") or {}).get("hard") or {}
        for what in ("pods", "count/pods"):
            if what in hard and used >= int(hard[what]):
                raise errors.exceeded_quota(quota["metadata"]["name"], name, what, used, hard[what])
