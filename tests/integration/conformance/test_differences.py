"""The list of differences names only checks that exist."""

from __future__ import annotations

import re
from pathlib import Path

from .conftest import DIFFERENCES


def test_each_listed_difference_is_a_check_of_that_name() -> None:
    modules = Path(__file__).parent.glob("test_*.py")
    checks = {name for module in modules for name in re.findall(r"^def (test_\w+)", module.read_text(), re.MULTILINE)}
    assert DIFFERENCES.keys() <= checks
