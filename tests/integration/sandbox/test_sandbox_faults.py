"""The failures that a test can cause, and what it can read about the requests."""

from __future__ import annotations

import base64
import http.client
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from sandbox_api import MERGE, PODS, ask, bound, connect

from mecbounce.sandbox import Behaviour, Sandbox

pytest_plugins = ("mecbounce.sandbox.fixture",)


def test_requests_lists_http_requests_in_order_and_no_method_calls(sandbox: Sandbox) -> None:
    sandbox.create(bound())
    ask(sandbox, "GET", f"{PODS}?fieldSelector=metadata.name%3Dheld")
    ask(sandbox, "GET", f"{PODS}?watch=1&timeoutSeconds=0.01")
    ask(sandbox, "PATCH", f"{PODS}/held", {"metadata": {}}, MERGE)
    ask(sandbox, "DELETE", f"{PODS}/none")
    seen = [(request.verb, request.status) for request in sandbox.requests]
    assert seen == [("list", 200), ("watch", 200), ("patch", 200), ("delete", 404)]
    first = sandbox.requests[0]
    assert (first.method, first.path, first.user) == ("GET", PODS, "sandbox")
    assert first.query == {"fieldSelector": "metadata.name=held"}
    assert abs(first.at - time.time()) < 5


def test_a_forbidden_request_is_refused_until_it_is_allowed(sandbox: Sandbox) -> None:
    sandbox.forbid("patch", "pods")
    sandbox.forbid("*", "pods/proxy")
    status, refusal = ask(sandbox, "PATCH", f"{PODS}/x", {}, MERGE)
    assert (status, refusal["reason"]) == (403, "Forbidden")
    assert refusal["message"] == (
        'pods "x" is forbidden: User "sandbox" cannot patch resource "pods" in API group "" in the namespace "default"'
    )
    assert 'resource "pods/proxy"' in ask(sandbox, "GET", f"{PODS}/x/proxy/")[1]["message"]
    sandbox.forbid("list", "nodes")
    assert ask(sandbox, "GET", "/api/v1/nodes")[1]["message"].endswith("at the cluster scope")
    sandbox.allow("patch", "pods")
    assert ask(sandbox, "PATCH", f"{PODS}/x", {}, MERGE)[0] == 404


def test_a_token_is_a_users_name_and_a_right_can_be_taken_from_one_user_only(sandbox: Sandbox) -> None:
    sandbox.forbid("list", "pods", user="nobody")
    basic = f"Basic {base64.b64encode(b'nobody:secret').decode()}"
    answers = [ask(sandbox, "GET", PODS, headers={"Authorization": one})[0] for one in ("Bearer nobody", basic)]
    assert (answers, ask(sandbox, "GET", PODS)[0]) == ([403, 403], 200)
    assert [one.user for one in sandbox.requests] == ["nobody", "nobody", "sandbox"]
    sandbox.allow("list", "pods", user="nobody")
    assert ask(sandbox, "GET", PODS, headers={"Authorization": "Bearer nobody"})[0] == 200


def test_requests_lists_the_impersonated_user_with_groups_uid_and_extra(sandbox: Sandbox) -> None:
    acting = {"Impersonate-User": "bob", "Impersonate-Uid": "u-1", "Impersonate-Group": "ops"}
    ask(sandbox, "GET", PODS, headers=acting | {"Impersonate-Extra-example.com%2Freason": "on call"})
    [seen] = sandbox.requests
    assert (seen.user, seen.uid, seen.groups) == ("bob", "u-1", ("ops",))
    assert seen.extra == {"example.com/reason": ("on call",)}


@pytest.mark.parametrize(
    ("headers", "plural", "qualified", "group"),
    [
        ({}, "users", 'users "bob"', ""),
        ({"Impersonate-Group": "ops"}, "groups", 'groups "ops"', ""),
        ({"Impersonate-Uid": "u-1"}, "uids", 'uids.authentication.k8s.io "u-1"', "authentication.k8s.io"),
        (
            {"Impersonate-Extra-reason": "x"},
            "userextras/reason",
            'userextras.authentication.k8s.io "x"',
            "authentication.k8s.io",
        ),
    ],
)
def test_impersonation_needs_a_right_for_each_of_its_parts(
    sandbox: Sandbox, headers: dict[str, str], plural: str, qualified: str, group: str
) -> None:
    signed_in = {"Authorization": "Bearer me", "Impersonate-User": "bob"}
    assert ask(sandbox, "GET", PODS, headers=signed_in | headers)[0] == 200
    sandbox.forbid("impersonate", plural, user="me")
    status, refusal = ask(sandbox, "GET", PODS, headers=signed_in | headers)
    cannot = f'User "me" cannot impersonate resource "{plural}" in API group "{group}" at the cluster scope'
    assert (status, refusal["message"]) == (403, f"{qualified} is forbidden: {cannot}")


def test_impersonation_of_a_service_account_needs_a_right_of_its_own(sandbox: Sandbox) -> None:
    sandbox.forbid("impersonate", "serviceaccounts")
    status, refusal = ask(sandbox, "GET", PODS, headers={"Impersonate-User": "system:serviceaccount:mec:bot"})
    cannot = 'User "sandbox" cannot impersonate resource "serviceaccounts" in API group "" in the namespace "mec"'
    assert (status, refusal["message"]) == (403, f'serviceaccounts "bot" is forbidden: {cannot}')


def test_the_clock_can_be_ahead_until_the_sandbox_stops() -> None:
    with Sandbox() as sandbox:
        sandbox.clock_skew = -3600.0
        stamp = sandbox.create(bound())["metadata"]["creationTimestamp"]
        behind = datetime.now(UTC) - timedelta(hours=1)
        assert abs(datetime.fromisoformat(stamp) - behind) < timedelta(seconds=10)
    with Sandbox() as another:
        assert another.clock_skew == 0


def test_an_access_review_says_what_is_forbidden(sandbox: Sandbox) -> None:
    sandbox.forbid("delete", "pods")

    def allowed(verb: str) -> bool:
        review = {"spec": {"resourceAttributes": {"verb": verb, "resource": "pods", "namespace": "default"}}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        status, answer = ask(sandbox, "POST", path, review)
        assert status == 201
        return bool(answer["status"]["allowed"])

    assert (allowed("delete"), allowed("patch")) == (False, True)


def test_a_webhook_refuses_the_deletion_of_an_object_that_exists(sandbox: Sandbox) -> None:
    sandbox.create(bound())
    sandbox.refuse_delete = "not today"
    for query in ("", "?dryRun=All"):
        status, refusal = ask(sandbox, "DELETE", f"{PODS}/held{query}")
        assert (status, refusal["reason"]) == (403, "Forbidden")
        assert refusal["message"] == 'admission webhook "w" denied the request: not today'
    assert ask(sandbox, "DELETE", f"{PODS}/none")[0] == 404
    sandbox.refuse_delete = None
    assert ask(sandbox, "DELETE", f"{PODS}/held")[0] == 200


def test_fail_next_fails_the_next_requests_that_match(sandbox: Sandbox) -> None:
    sandbox.fail_next(method="GET", path_part="/pods", status=429, retry_after=7, count=2)
    assert ask(sandbox, "GET", "/api/v1/nodes")[0] == 200
    connection = connect(sandbox)
    connection.request("GET", PODS)
    response = connection.getresponse()
    assert (response.status, response.getheader("Retry-After")) == (429, "7")
    connection.close()
    assert ask(sandbox, "GET", PODS)[1]["reason"] == "TooManyRequests"
    assert ask(sandbox, "GET", PODS)[0] == 200


@pytest.mark.parametrize("after", [False, True])
def test_an_answer_can_be_lost_after_the_deletion_was_carried_out(sandbox: Sandbox, *, after: bool) -> None:
    sandbox.create(bound())
    sandbox.fail_next(method="DELETE", status=None, after=after)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        ask(sandbox, "DELETE", f"{PODS}/held")
    assert ("deletionTimestamp" in (sandbox.get("pods", "held") or {})["metadata"]) is after
    assert sandbox.requests[-1].status is None


def test_a_frozen_server_answers_when_it_is_released(sandbox: Sandbox) -> None:
    answers: list[int] = []
    with sandbox.held():
        asking = threading.Thread(target=lambda: answers.append(ask(sandbox, "GET", PODS)[0]))
        asking.start()
        sandbox.wait_for(lambda: sandbox.requests)
        assert answers == []
    asking.join()
    assert answers == [200]


def test_a_frozen_server_can_be_stopped() -> None:
    with Sandbox() as own:
        own.hold()
        connection = connect(own)
        connection.request("GET", PODS)
        own.wait_for(lambda: own.requests)
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        connection.getresponse()
    connection.close()


def test_a_malformed_request_is_refused_and_the_connection_stays_open(sandbox: Sandbox) -> None:
    connection = connect(sandbox)
    for _ in range(2):
        connection.request("POST", PODS, b'{"metadata": {"name": 5}}', {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 500
        response.read()
    connection.close()


def test_a_behaviour_is_set_for_one_pod_or_for_all(sandbox: Sandbox) -> None:
    sandbox.behave(Behaviour(unschedulable=True))
    sandbox.behave(Behaviour(), pod="mec-0")
    assert sandbox.add_node("mec-0") is not None
    with pytest.raises(TimeoutError):
        sandbox.add_node("mec-1", timeout=0.1)
