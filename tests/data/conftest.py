from __future__ import annotations

import os
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the user's data, cache and network."""
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)


_HOLDFAST_DATA = os.environ.get("HOLDFAST_DATA")


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """The folder above the real copy of a data set; skips when there is none."""
    default = Path(__file__).parents[2].parent / "shared" / "data"
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


@pytest.fixture(scope="session")
def written() -> SimpleNamespace:
    """The writers of ``written_sets.py``."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("written_sets.py"))))


@pytest.fixture
def parquet_set(tmp_path: Path, written: SimpleNamespace) -> Path:
    """A folder ``pets``: 20 training and 6 test images of 6x5 RGB, two classes."""
    folder = tmp_path / "pets"
    for split, count, seed in (("train", 20, 0), ("test", 6, 1)):
        images = [written.png(image) for image in written.draw_images(count, seed=seed)]
        labels = [position % 2 for position in range(count)]
        written.write_parquet(folder / f"{split}-00000-of-00001.parquet", images, labels, names=["cat", "dog"])
    return folder
