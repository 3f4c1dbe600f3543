from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from holdfast.data import ImageData, load_dataset


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the user's data, cache and network."""
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)


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


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., ImageData]:
    """Loads files given by name and content as the only class of a test split."""

    def load(files: dict[str, bytes], **options: object) -> ImageData:
        (tmp_path / "set/test/a").mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (tmp_path / "set/test/a" / name).write_bytes(content)
        return load_dataset(str(tmp_path / "set"), "test", **options)

    return load
