"""The Kubernetes API over plain HTTP, without a client that adds or hides something."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes import client

Json = dict[str, Any]
Events = Iterator[tuple[str, Json]]

JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
NOBODY = "it-nobody"  # a user without any right
LONGEST_ANSWER = 15.0  # seconds, also between two events of a watch


@dataclass(frozen=True)
class Answer:
    """One answer; its body is text if it is not JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __getitem__(self, key: str) -> Any:
        return self.body[key]

    @property
    def metadata(self) -> Json:
        found: Json = self.body["metadata"]
        return found

    @property
    def refusal(self) -> tuple[int, str]:
        """The code and the reason of an error; its body must be a complete Status object."""
        assert isinstance(self.body, dict), self
        assert {"kind": "Status", "apiVersion": "v1", "status": "Failure"}.items() <= self.body.items(), self
        assert (self.status, {}) == (self["code"], self["metadata"])
        assert self["message"]
        return self.status, self["reason"]

    @property
    def causes(self) -> list[tuple[str, str]]:
        """The fields that an error names, and the reason for each."""
        return [(cause["field"], cause["reason"]) for cause in self["details"]["causes"]]


class Api:
    """An API server, with a namespace for this suite."""

    def __init__(self, configuration: client.Configuration, namespace: str) -> None:
        self.namespace = namespace
        self._url = configuration.host
        self._headers = {
            each["key"]: each["value"] for each in configuration.auth_settings().values() if each["in"] == "header"
        }
        self._pool = urllib3.PoolManager(
            timeout=LONGEST_ANSWER,
            retries=False,
            ca_certs=configuration.ssl_ca_cert,
            cert_file=configuration.cert_file,
            key_file=configuration.key_file,
        )

    def close(self) -> None:
        self._pool.clear()

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = JSON,
        headers: Json | None = None,
        **query: object,
    ) -> Answer:
        """Send one request; a `body` that is not bytes is sent as JSON."""
        response = self._request(method, path, body, content_type, headers or {}, query)
        content, is_json = response.data, response.headers.get("Content-Type", "").startswith(JSON)
        body = json.loads(content) if is_json else content.decode(errors="replace")
        return Answer(response.status, body, response.headers)

    @contextlib.contextmanager
    def watch(self, path: str, **query: object) -> Iterator[Events]:
        """Open a watch; its events are (type, object) until the stream ends."""
        response = self._request("GET", path, None, "", {}, {"watch": "true", **query}, preload_content=False)
        try:
            assert (200, JSON) == (response.status, response.headers["Content-Type"])
            yield _events(response)
        finally:
            response.close()

    def _request(
        self, method: str, path: str, body: object, content_type: str, headers: Json, query: Json, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = {"Content-Type": content_type} if body is not None and content_type else {}
        url = f"{self._url}{path}" + (f"?{urlencode(query)}" if query else "")
        return self._pool.request(method, url, body=content, headers=self._headers | kind | headers, **options)


def _events(response: urllib3.BaseHTTPResponse) -> Events:
    rest = b""
    for chunk in response.stream(amt=None):
        *lines, rest = (rest + chunk).split(b"\n")
        for event in map(json.loads, filter(None, lines)):
            yield event["type"], event["object"]
    assert not rest, "the stream ended within an event"
