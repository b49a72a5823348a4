"""Who sends a request, whom it impersonates, and the server's time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from .things import Things
from .wire import NOBODY, Api, Json

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
AS_NOBODY = {"Impersonate-User": NOBODY}


def test_a_request_acts_as_the_user_whom_it_impersonates(api: Api, pods: Things) -> None:
    cannot = f'User "{NOBODY}" cannot {{}} resource "pods" in API group "" in the namespace "{api.namespace}"'
    listed = api.ask("GET", pods.collection, headers=AS_NOBODY)
    assert listed.refusal == (403, "Forbidden")
    assert listed["message"] == f"pods is forbidden: {cannot.format('list')}"
    pods.made()
    deleted = api.ask("DELETE", pods.path(), headers=AS_NOBODY)
    assert deleted.refusal == (403, "Forbidden")
    assert deleted["message"] == f'pods "{pods.name}" is forbidden: {cannot.format("delete")}'
    assert "deletionTimestamp" not in pods.get().metadata


def test_a_watch_acts_as_the_impersonated_user_too(api: Api, pods: Things) -> None:
    answer = api.ask("GET", pods.collection, headers=AS_NOBODY, watch="true")
    assert answer.refusal == (403, "Forbidden")
    assert "cannot watch" in answer["message"]


@pytest.mark.parametrize(("headers", "allowed"), [({}, True), (AS_NOBODY, False)], ids=["itself", "nobody"])
def test_a_review_is_about_the_impersonated_user(api: Api, headers: Json, allowed: bool) -> None:
    asked = {"verb": "delete", "resource": "pods", "namespace": api.namespace}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    answer = api.ask("POST", REVIEWS, review | {"spec": {"resourceAttributes": asked}}, headers=headers)
    assert (answer.status, answer["status"]["allowed"]) == (201, allowed)


@pytest.mark.parametrize("headers", [{"Impersonate-Group": "ops"}, {"Impersonate-Extra-Reason": "x"}])
def test_impersonation_without_a_user_is_refused_in_plain_text(api: Api, pods: Things, headers: Json) -> None:
    answer = api.ask("GET", pods.collection, headers=headers)
    assert answer.status == 500
    assert answer.body.startswith("Internal Server Error: ")
    assert answer.body.endswith("without impersonating a user\n")


@pytest.mark.parametrize("kind", ["list", "missing", "forbidden", "refused", "watch"])
def test_each_answer_has_the_time(api: Api, pods: Things, kind: str) -> None:
    answer = {
        "list": lambda: api.ask("GET", pods.collection),
        "missing": lambda: api.ask("GET", pods.path()),
        "forbidden": lambda: api.ask("GET", pods.path(), headers=AS_NOBODY),
        "refused": lambda: api.ask("POST", pods.collection, b"{"),
        "watch": lambda: api.ask("GET", pods.collection, watch="true", resourceVersion="1"),
    }[kind]()
    told = parsedate_to_datetime(answer.headers["Date"])
    assert abs(datetime.now(UTC) - told) < timedelta(minutes=10), "or the two clocks differ by more than that"
