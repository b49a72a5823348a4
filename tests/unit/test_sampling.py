"""The samples of `make test`: the seed alone decides, so each can be tried again."""

from __future__ import annotations

import pytest
import sampling


def test_one_seed_chooses_the_same_and_another_seed_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(seed: int, what: str = "lines") -> list[int]:
        monkeypatch.setattr(sampling, "SEED", seed)
        return sampling.sampled(range(1000), 10, what)

    assert chosen(1) == chosen(1) == sorted({*chosen(1)})
    assert len(chosen(1)) == 10
    assert chosen(1) != chosen(2)
    assert chosen(1) != chosen(1, "pauses")


@pytest.mark.parametrize("most", [None, 3, 4])
def test_all_are_tried_where_there_are_no_more(most: int | None) -> None:
    assert sampling.sampled("abc", most, "letters") == ["a", "b", "c"]
