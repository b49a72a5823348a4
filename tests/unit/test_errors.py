"""The tree of errors, as it is drawn and as it is."""

from __future__ import annotations

import pickle
import re

import pytest
from builders import Mute

from mecbounce import errors
from mecbounce.errors import MecBounceError, NotFound, Unreachable, did_you_mean, one_line

CLASSES = [one for one in vars(errors).values() if isinstance(one, type) and one.__module__ == errors.__name__]


def _drawn() -> list[tuple[str, str]]:
    """Give each class of the drawing with its parent."""
    found: list[tuple[str, str]] = []
    above: list[str] = ["Exception"]
    for line in (errors.__doc__ or "").splitlines():
        if drawn := re.fullmatch(r" {4}((?:[│ ] {3})*(?:[├└]── )?)([A-Z]\w+)", line):
            branch, name = drawn.groups()
            del above[len(branch) // 4 + 1 :]
            found.append((name, above[-1]))
            above.append(name)
    return found


def test_tree_is_drawn_as_it_is() -> None:
    real = [(one.__name__, one.__bases__[0].__name__) for one in CLASSES]
    assert real == _drawn()


def test_every_error_says_what_it_is_for() -> None:
    assert [] == [one.__name__ for one in CLASSES if not one.__doc__]


def test_every_error_has_one_parent_and_one_root() -> None:
    assert [] == [one for one in CLASSES if len(one.__bases__) != 1 or not issubclass(one, MecBounceError)]


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_reads_as_its_message_and_keeps_it_between_processes(kind: type[MecBounceError]) -> None:
    error = pickle.loads(pickle.dumps(kind("pod mec-0 stands")))  # noqa: S301 -- our own bytes
    assert (kind, "pod mec-0 stands") == (type(error), str(error))


def test_unreachable_asks_for_no_pause_unless_the_server_did() -> None:
    assert (0.0, 7.5) == (Unreachable("").retry_after, Unreachable("", retry_after=7.5).retry_after)


def test_not_found_is_of_a_served_type_unless_said() -> None:
    assert (True, False) == (NotFound("").served, NotFound("", served=False).served)


class Odd(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307


class Exits(Exception):
    def __str__(self) -> str:
        raise SystemExit("secret")


class Interrupts(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt("secret")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError("broken\n  pipe."), "broken pipe"),
        (OSError("no file a\udce4"), "no file a�"),
        (ValueError(), "ValueError"),
        (ValueError(" .\n"), "ValueError"),
        (NotFound(""), "NotFound"),
        (Mute("secret"), "Mute"),
        (Odd("secret"), "Odd"),
        (Exits(), "Exits"),
        (Interrupts(), "Interrupts"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
    ids=["lines", "half_a_character", "no_words", "blank", "ours", "raises", "no_text", "exits", "interrupts", "base"],
)
def test_any_error_can_be_told_in_one_line(error: BaseException, told: str) -> None:
    assert told == one_line(error)


class TestDidYouMean:
    @pytest.mark.parametrize(
        ("typed", "known", "said"),
        [
            ("mec-3", ["mec-1", "mec-2"], "mec-1 or mec-2"),
            ("mec-3", ["mec-4", "mec-2", "mec-1", "web"], "mec-1, mec-2 or mec-4"),
            ("mec", ["mec-7d9f-x2k8q", "mec-7d9f-abcde", "db"], "mec-7d9f-abcde or mec-7d9f-x2k8q"),
            ("expressnode", ["expressnodes", "leases"], "expressnodes"),
            ("Prod", ["prod", "test"], "prod"),
        ],
    )
    def test_names_at_most_three_the_nearest_first(self, typed: str, known: list[str], said: str) -> None:
        assert did_you_mean(typed, known) == f"; did you mean {said}?"

    @pytest.mark.parametrize("typed", ["mec-o", "mec-O", "mec_0", "MEC-0"])
    def test_what_looks_the_same_is_meant_alone(self, typed: str) -> None:
        assert did_you_mean(typed, ["mec-0", "mec-1", "mec-2"]) == "; did you mean mec-0?"

    @pytest.mark.parametrize(("typed", "known"), [("zebra", ["mec-0"]), ("mec-0", []), ("", ["mec-0"])])
    def test_says_nothing_where_nothing_is_near(self, typed: str, known: list[str]) -> None:
        assert did_you_mean(typed, known) == ""
