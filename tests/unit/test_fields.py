"""Names: which are valid, and what is said of the others."""

from __future__ import annotations

import pytest
from builders import (
    NODE,
    faults,
    request,
)

from mecbounce.request import BounceRequest, NodeRef


class TestNames:
    LABELS = ("a", "0", "mec", "mec-0", "0-mec", "a--b", "a" * 63)
    BAD = {  # noqa: RUF012 -- a table
        "empty": "",
        "upper_case": "Mec-0",
        "unicode_digit": "mec-٣",
        "superscript": "mec-²",
        "umlaut": "mäc",
        "trailing_newline": "mec-0\n",
        "leading_newline": "\nmec-0",
        "space": "mec 0",
        "dash_first": "-mec",
        "dash_last": "mec-",
        "underscore": "mec_0",
        "slash": "mec/0",
        "dot_first": ".mec",
        "dot_last": "mec.",
        "dot_twice": "mec..0",
        "far_too_long": "a" * 254,
    }

    @pytest.mark.parametrize("name", LABELS)
    def test_a_label_is_valid_everywhere(self, name: str) -> None:
        asked = request(namespace=name, pod=name, node=NodeRef(group=name, version=name, plural=name, name=name))
        assert (name, name) == (asked.namespace, asked.pod)

    @pytest.mark.parametrize("name", ["mec.0", "express.example.com", ".".join(["a" * 63] * 3), "a" * 253])
    def test_a_pod_may_have_a_name_in_parts(self, name: str) -> None:
        assert name == request(pod=name).pod

    @pytest.mark.parametrize("name", ["mec.0", "a" * 64])
    def test_a_namespace_may_have_neither_parts_nor_more_than_63_characters(self, name: str) -> None:
        assert ["namespace"] == [field for field, _ in faults(BounceRequest, {"namespace": name, "pod": "mec-0"})]

    @pytest.mark.parametrize("name", BAD.values(), ids=BAD)
    @pytest.mark.parametrize("field", ["namespace", "pod"])
    def test_a_request_refuses_a_bad_name_and_says_which(self, field: str, name: str) -> None:
        [(found, message)] = faults(BounceRequest, {"namespace": "mec", "pod": "mec-0"} | {field: name})
        assert field == found
        assert "is not a name of lower case letters, digits and '-', a letter or digit at both ends" in message

    @pytest.mark.parametrize("name", BAD.values(), ids=BAD)
    @pytest.mark.parametrize("field", ["group", "version", "plural", "name"])
    def test_a_node_ref_refuses_a_bad_name_and_says_which(self, field: str, name: str) -> None:
        data = {"group": "express.example.com", "version": "v1", "plural": "expressnodes", "name": "mec-0"}
        assert [field] == [found for found, _ in faults(NodeRef, data | {field: name})]

    def test_a_message_about_a_bad_name_stays_short(self) -> None:
        [(_, message)] = faults(BounceRequest, {"namespace": "mec", "pod": "A" * 100_000})
        assert len(message) < 300

    @pytest.mark.parametrize("uid", ["u", "uid-1", "7C9E6679-7425-40de-944b-e07fc1f90ae7", "a" * 128])
    def test_a_uid_is_letters_digits_and_dashes(self, uid: str) -> None:
        assert uid == request(pod_uid=uid).pod_uid

    @pytest.mark.parametrize("uid", ["", "a b", "uid-1\n", "uid-٣", "ü", "a/b", "a_b", "a.b", "a" * 129])
    def test_anything_else_is_no_uid(self, uid: str) -> None:
        [(field, message)] = faults(BounceRequest, {"namespace": "mec", "pod": "mec-0", "pod_uid": uid})
        assert "pod_uid" == field
        assert "is not a UID of letters, digits and '-', at most 128 characters" in message

    @pytest.mark.parametrize("path", ["state", "spec.state", "status.express.node-state", "spec.ZustandÄ", "a" * 253])
    def test_a_path_is_parts_joined_by_dots(self, path: str) -> None:
        assert path == NODE.model_validate(NODE.model_dump() | {"desired_path": path}).desired_path

    @pytest.mark.parametrize(
        "path", ["", ".", ".spec", "spec.", "spec..state", "spec. state", "spec.state\n", "a" * 254]
    )
    @pytest.mark.parametrize("field", ["desired_path", "activity_path"])
    def test_anything_else_is_no_path(self, field: str, path: str) -> None:
        [(found, message)] = faults(NodeRef, NODE.model_dump() | {field: path})
        assert field == found
        assert "is not a dotted path such as spec.state" in message
