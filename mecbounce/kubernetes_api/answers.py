"""How answers are read, and what failed requests mean: every exception of the client becomes a ClusterError."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import urllib3
from kubernetes import config
from kubernetes.client import ApiException
from pydantic import ValidationError
from pydantic_core import from_json

from mecbounce.errors import AccessDenied, ClusterError, Conflict, NotFound, Refused, Unreachable
from mecbounce.fields import first_fault
from mecbounce.kubernetes_api.objects import FromApi, Pod
from mecbounce.quoting import quoted

Item = TypeVar("Item", bound=FromApi)


def read_pod_list(listed: Mapping[str, Any]) -> tuple[tuple[Pod, ...], str]:
    """Give the pods of a list and its resourceVersion.

    Anything else than a whole list is Unreachable, such as a proxy's own answer: missing pods would count as gone.
    """
    metadata, items = listed.get("metadata"), listed.get("items")
    whole = (
        (listed.get("apiVersion"), listed.get("kind")) == ("v1", "PodList")
        and isinstance(metadata, dict)
        and not (metadata.get("continue") or metadata.get("remainingItemCount"))
        and isinstance(items, list)
        # The API server names the kind in the list, not in its items.
        and all(not isinstance(item, dict) or item.get("kind") in (None, "Pod") for item in items)
    )
    if not whole:
        raise Unreachable("the API server's answer is not a complete PodList")
    pods = read_items(Pod, listed, "pods")
    with readable("pods"):
        return pods, str(listed["metadata"]["resourceVersion"])


def read_items(kind: type[Item], listed: Mapping[str, Any], what: str) -> tuple[Item, ...]:
    """Give the items of a list. `what` names them in the Unreachable that this raises if they can't be read."""
    with readable(what):
        return tuple(kind.model_validate(item) for item in listed["items"])


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Raise Unreachable where an answer lacks something. `what` names the answer."""
    try:
        yield
    except ValidationError as error:
        field, fault = first_fault(error)
        raise Unreachable(f"the API server's {what} can't be read: field {field}: {fault}") from None
    except (KeyError, TypeError) as error:
        raise Unreachable(f"the API server's {what} can't be read: {type(error).__name__}: {error}") from error


@contextmanager
def as_cluster_errors(way: str) -> Iterator[None]:
    """Turn every exception of the client into a ClusterError. `way` says which server can't be reached, and how."""
    try:
        yield
    except ClusterError:
        raise
    except ApiException as error:
        if not error.status:  # no answer: the client reports a failed TLS handshake like this
            raise Unreachable(f"{way}: {quoted(error.reason)}") from error
        raise error_of_answer(error) from None  # its own text has all headers and the whole body
    except config.ConfigException:  # from reading a token again: the text may quote it
        raise Unreachable("the credentials could not be read again") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unreachable(f"{way}: {_short(error)}") from error
    except ValueError:
        # Without its text and its cause: they quote a credential that can't be sent as a header.
        raise Unreachable("the request could not be made; are the credentials complete?") from None


def error_of_answer(error: ApiException) -> ClusterError:  # noqa: PLR0911 -- one answer a status
    """Explain an answer that is not a 2xx."""
    status = read_status(error.body)
    said = quoted(status.get("message") or "") or f"the API server answered {quoted(error.reason or '') or 'an error'}"
    if _DENIAL.search(said):  # a final decision, whatever status the webhook or policy gave it
        return Refused(said)
    match error.status:
        case 401:
            return AccessDenied("the API server does not accept these credentials (401 Unauthorized)")
        case 403:
            return AccessDenied(said)
        case 404:
            return NotFound(said, served=bool(status))
        case 407:
            return AccessDenied("the proxy does not accept its credentials (407 Proxy Authentication Required)")
        case 409:
            return Conflict(said)
        case 408 | 410 | 429:
            return Unreachable(f"{said} ({error.status})", retry_after=_retry_after(error))
        case code if code >= 500:  # noqa: PLR2004 -- HTTP
            return Unreachable(f"{said} ({code})", retry_after=_retry_after(error))
    return Refused(said)


_DENIAL = re.compile(r"denied (the )?request")  # how the API server quotes admission webhooks and policies


def read_status(body: Any) -> Mapping[str, Any]:
    """Read a Kubernetes Status object. Empty if the body is something else, such as an application's answer."""
    try:
        status = from_json(body or "")
    except ValueError:
        return {}
    return status if isinstance(status, dict) and status.get("kind") == "Status" else {}


def _retry_after(error: ApiException) -> float:
    value = (error.headers or {}).get("Retry-After", "")
    return float(value) if re.fullmatch(r"\d+", value) else 0.0


def _short(error: Exception) -> str:
    cause = next((one for one in error.args if isinstance(one, BaseException)), error)
    text = quoted(cause)
    return re.sub(r"^.*?(object at 0x[0-9a-f]+>|\(host=[^)]*\)): ", "", text) or type(error).__name__
