"""What more than one folder of tests needs: the real data sets, and a world without the Hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

_HOLDFAST_DATA = os.environ.get("HOLDFAST_DATA")


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """The folder above the real copy of a data set; skips when there is none."""
    default = Path(__file__).parents[1].parent / "shared" / "data"
    root = Path(_HOLDFAST_DATA) if _HOLDFAST_DATA else default

    def find(name: str) -> Path:
        if not (root / name).is_dir():
            pytest.skip(f"no real {name}: set HOLDFAST_DATA to a folder with {name}/*.parquet")
        return root

    return find


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the Hub unreachable at once, and leave local reading as it is."""
    import datasets

    real = datasets.load_dataset

    def load(path: str, *args: object, **options: object) -> object:
        if path in ("parquet", "imagefolder"):
            return real(path, *args, **options)
        raise ConnectionError(f"Couldn't reach {path!r} on the Hub (offline)")

    monkeypatch.setattr(datasets, "load_dataset", load)
