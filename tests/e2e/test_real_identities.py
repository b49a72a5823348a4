"""A kubeconfig is obeyed whole: who acts as somebody else does so in every request, or does nothing at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.e2e

DEPUTY = {"as": "deputy", "as-groups": ["system:masters", "deputies"], "as-user-extra": {"reason": ["a drill"]}}


def acting(kubeconfig: Path, folder: Path, **user: object) -> Path:
    """Give a copy of the kubeconfig whose users have these fields, too."""
    whole = yaml.safe_load(kubeconfig.read_text())
    for one in whole["users"]:
        one["user"] |= user
    copy = folder / "kubeconfig"
    copy.write_text(yaml.safe_dump(whole))
    return copy
