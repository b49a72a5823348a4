"""The fixture `sandbox`, as its marker asks for it. That the marker is known is up to the plugin: pytest is strict."""

from __future__ import annotations

import pytest

from mecbounce.sandbox import ResourceType, Sandbox
from mecbounce.sandbox.fixture import marked_sandbox

CACHES = ResourceType("example.com", "v1", "caches", "Cache")


def test_without_a_marker_it_is_twenty_times_as_fast_and_has_express_nodes(sandbox: Sandbox) -> None:
    assert sandbox.speed == 20
    assert sandbox.objects("expressnodes") == []


@pytest.mark.sandbox(speed=200)
class TestMarked:
    @pytest.mark.sandbox(types=[CACHES])
    def test_a_test_adds_to_the_marker_of_its_class(self, sandbox: Sandbox) -> None:
        assert sandbox.speed == 200
        sandbox.add_node("mec-0")
        assert [one["kind"] for one in sandbox.objects("caches")] == ["Cache"]

    @pytest.mark.sandbox(speed=40)
    def test_the_nearest_marker_counts(self, sandbox: Sandbox) -> None:
        assert sandbox.speed == 40


@pytest.mark.parametrize(
    ("mark", "wrong"), [(pytest.mark.sandbox(sped=2), "sped"), (pytest.mark.sandbox(50), "50")], ids=["name", "value"]
)
def test_what_a_marker_does_not_take_is_named(mark: pytest.MarkDecorator, wrong: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=rf"takes speed=\.\.\. and types=\[\.\.\.\], not {wrong}$"):
        marked_sandbox([mark.mark])


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_speed_must_be_above_0(speed: float) -> None:
    with pytest.raises(ValueError, match=r"^speed: .* is not above 0$"):
        marked_sandbox([pytest.mark.sandbox(speed=speed).mark])
