"""Every scenario's demo prints what its transcript has, and the stills in the documents are current.

After an intended change `make screenshots` records them anew.
"""

from __future__ import annotations

import pytest
from recordings import STILLS, TRANSCRIPTS, stills, transcripts, words_of

from mecbounce.sandbox.scenarios import SCENARIOS


@pytest.fixture(scope="module")
def recorded(request: pytest.FixtureRequest) -> dict[str, str]:
    """All that are asked for, side by side: they mostly wait."""
    names = {item.name for item in request.session.items}
    asked_for = [one for one in SCENARIOS if f"test_a_demo_prints_what_its_transcript_has[{one}]" in names]
    return transcripts(asked_for)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_demo_prints_what_its_transcript_has(scenario: str, recorded: dict[str, str]) -> None:
    assert recorded[scenario] == (TRANSCRIPTS / f"{scenario}.txt").read_text(encoding="utf-8")


def test_there_is_no_transcript_of_what_is_not_there() -> None:
    assert {one.stem for one in TRANSCRIPTS.iterdir()} == set(SCENARIOS)


def test_the_stills_are_current() -> None:
    """What is drawn is what would be drawn now, but for times and UIDs."""
    assert {one.stem: words_of(one.read_text(encoding="utf-8")) for one in STILLS.iterdir()} == {
        name: words_of(image) for name, image in stills()
    }
