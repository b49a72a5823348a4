"""The errors of the API server, with the texts of the real one."""

from __future__ import annotations

from http.client import responses
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mecbounce.sandbox.resources import Object, ResourceType

REASONS: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class ApiError(Exception):
    """An error that the client gets as a ``Status`` object."""

    def __init__(self, code: int, message: str, *, reason: str | None = None, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = REASONS.get(code, "") if reason is None else reason
        self.details = details

    def status(self) -> Object:
        return failure(self.code, str(self), reason=self.reason, details=self.details)


def failure(code: int, message: str, *, reason: str, details: Object | None = None) -> Object:
    """Return the ``Status`` object of an error."""
    status: Object = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": details,
        "code": code,
    }
    if details is None:
        del status["details"]
    if not reason:
        del status["reason"]
    return status


def of_status(code: int, *, retry_after: int | None = None) -> ApiError:
    """Return the error for `Sandbox.fail_next`."""
    details = None if retry_after is None else {"retryAfterSeconds": retry_after}
    return ApiError(code, f"the sandbox was told to answer {code} {responses.get(code, '')}", details=details)


def _details(resource: ResourceType, name: str, **more: Any) -> Object:
    return {"name": name, **({"group": resource.group} if resource.group else {}), "kind": resource.plural, **more}


def not_allowed() -> ApiError:
    return ApiError(405, "the server does not allow this method on the requested resource", details={})


def unrecognized(kind: str, why: str) -> ApiError:
    message = f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind"
    return ApiError(400, f"{message}; json parse error: {why}")


def unknown_format(accepted: str) -> ApiError:
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return ApiError(415, message)


def not_found(resource: ResourceType, name: str) -> ApiError:
    return ApiError(404, f'{resource.qualified} "{name}" not found', details=_details(resource, name))


def already_exists(resource: ResourceType, name: str) -> ApiError:
    message = f'{resource.qualified} "{name}" already exists'
    return ApiError(409, message, reason="AlreadyExists", details=_details(resource, name))


def being_deleted(resource: ResourceType, name: str) -> ApiError:
    message = f'object is being deleted: {resource.qualified} "{name}" already exists'
    return ApiError(409, message, reason="AlreadyExists", details=_details(resource, name))


def conflict(resource: ResourceType, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, message, details=_details(resource, name))


def modified(resource: ResourceType, name: str) -> ApiError:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def precondition_failed(
    resource: ResourceType, name: str, what: str, *, wanted: str, found: str, then: str
) -> ApiError:
    """Return the error of a DELETE that was meant for another incarnation or version. It names the kind."""
    message = (
        f'Operation cannot be fulfilled on {resource.qualified_kind} "{name}": the {what} in the precondition '
        f"({wanted}) does not match the {what} in record ({found}). The object might have been {then}"
    )
    return ApiError(409, message, details={**_details(resource, name), "kind": resource.kind})


def no_version(resource: ResourceType, name: str) -> ApiError:
    """Return the error of a PUT without the resourceVersion that its type needs. It names the plural."""
    why = "Invalid value: 0x0: must be specified for an update"
    causes = [{"reason": "FieldValueInvalid", "message": why, "field": "metadata.resourceVersion"}]
    message = f'{resource.qualified} "{name}" is invalid: metadata.resourceVersion: {why}'
    return ApiError(422, message, details=_details(resource, name, causes=causes))


def invalid(resource: ResourceType, name: str, field: str, why: str, *, cause: str = "FieldValueInvalid") -> ApiError:
    details = {**_details(resource, name), "kind": resource.kind}
    if not name:
        del details["name"]
    details["causes"] = [{"reason": cause, "message": why, "field": field}]
    return ApiError(422, f'{resource.qualified_kind} "{name}" is invalid: {field}: {why}', details=details)


def forbidden(resource: ResourceType, verb: str, *, name: str, namespace: str, user: str, subresource: str) -> ApiError:
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    plural = f"{resource.plural}/{subresource}" if subresource else resource.plural
    subject = f'{resource.qualified} "{name}"' if name else resource.qualified
    message = (
        f'{subject} is forbidden: User "{user}" cannot {verb} resource "{plural}" '
        f'in API group "{resource.group}" {where}'
    )
    details = _details(resource, name)
    if not name:
        del details["name"]
    return ApiError(403, message, details=details)


def webhook_failed(name: str) -> ApiError:
    """Return the error of an admission webhook that does not answer, if its failurePolicy is Fail."""
    called = f'failed calling webhook "{name}": Post "https://{name}.default.svc:443/?timeout=10s"'
    why = f"{called}: dial tcp 10.96.0.9:443: connect: connection refused"
    return ApiError(500, f"Internal error occurred: {why}", details={"causes": [{"message": why}]})


def exceeded_quota(quota: str, pod: str, what: str, used: int, hard: str) -> ApiError:
    room = f"requested: {what}=1, used: {what}={used}, limited: {what}={hard}"
    message = f'pods "{pod}" is forbidden: exceeded quota: {quota}, {room}'
    return ApiError(403, message, details={"name": pod, "kind": "pods"})


def may_not_impersonate(plural: str, name: str, *, namespace: str, user: str) -> ApiError:
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    group = "authentication.k8s.io" if plural == "uids" or plural.startswith("userextras/") else ""
    kind = f"{plural.partition('/')[0]}.{group}" if group else plural
    message = f'{kind} "{name}" is forbidden: User "{user}" cannot impersonate resource "{plural}"'
    details = {"name": name, **({"group": group} if group else {}), "kind": plural.partition("/")[0]}
    return ApiError(403, f'{message} in API group "{group}" {where}', details=details)
