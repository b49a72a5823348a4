"""What an answer that is no success means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes.client import ApiException

from mecbounce.kubernetes_api.answers import error_of_answer


@pytest.mark.parametrize(
    ("message", "reason", "said"),
    [
        ("pods are full", "Conflict", "pods are full"),
        (" ", "I'm a teapot", "the API server answered I'm a teapot"),
        (None, "I'm a teapot", "the API server answered I'm a teapot"),
        (" ", " ", "the API server answered an error"),
        ([], None, "the API server answered an error"),
    ],
)
def test_an_error_always_has_a_text(message: Any, reason: str | None, said: str) -> None:
    error = ApiException(status=418, reason=reason)
    error.body = json.dumps({"kind": "Status", "message": message})
    assert str(error_of_answer(error)) == said
