"""Unfinished files that a kill left behind go when their target is next written, and no other file does."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from holdfast.files import LEFT_BEHIND_SECONDS, write_atomically


@pytest.mark.parametrize("name", ["summary.json", "a[1].json", "*.json", ".hidden"])
def test_old_ones_of_this_target_alone(name: str, tmp_path: Path) -> None:
    old = time.time() - LEFT_BEHIND_SECONDS - 60
    target = tmp_path / name
    stale, young = (tmp_path / f".{name}.{token}.part" for token in ("0123abcd", "4567abcd"))
    others = [tmp_path / ".other.json.0123abcd.part", tmp_path / f".{name}.part", tmp_path / f"{name}.0123abcd.part"]
    for path in (stale, young, *others):
        path.write_text("half")
        if path != young:
            os.utime(path, (old, old))
    write_atomically(target, "whole")
    assert target.read_text() == "whole"
    assert not stale.exists()
    assert all(path.exists() for path in (young, *others))
