"""Files that are damaged, sets that do not fit into memory, and arrays as images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import holdfast.data.images
from holdfast.data import DeviceLoader, ImageData, load_dataset
from holdfast.data.images import LazyImages, array_images
from holdfast.errors import HoldfastError, HoldfastWarning
from tests.data.pictures import DEEP, RGB, RNG, pixels_of, png16, saved, tiff16


def broken() -> dict[str, bytes]:
    png, jpeg = saved(Image.fromarray(RGB), "PNG"), saved(Image.fromarray(np.tile(RGB, (9, 9, 1))), "JPEG")
    return {
        "empty.png": b"",
        "text.png": b"no picture",
        "html.jpg": b"<!DOCTYPE html><html></html>",
        "header.png": png[:20],
        "cut.png": png[: len(png) // 2],
        "cut.jpg": jpeg[: len(jpeg) // 3],
        "flipped.png": png[:60] + bytes(b ^ 255 for b in png[60:90]) + png[90:],
        "zeros.jpg": bytes(500),
        "deep.ppm": b"P6 2 1 65535\n" + bytes(12),
        "scan.dcm": bytes(128) + b"DICM",
        "cut.tif": tiff16(DEEP[..., :3], "<", False)[:100],
        "cut.webp": saved(Image.fromarray(RGB), "WEBP")[:40],
    }


@pytest.mark.parametrize("cached", [False, True])
def test_broken_files_of_many_kinds_are_named_and_left_out(
    loaded: Callable[..., ImageData], tmp_path: Path, cached: bool
) -> None:
    files = {f"{i}.png": saved(Image.fromarray(RGB), "PNG") for i in range(3)} | broken()
    (tmp_path / "set/test/a").mkdir(parents=True)
    (tmp_path / "set/test/a/gone.png").symlink_to(tmp_path / "nowhere")
    if cached:
        with pytest.warns(HoldfastWarning):
            loaded(files)
    with pytest.warns(HoldfastWarning, match=f"{len(broken()) + 1} files of .* left out") as caught:
        data = loaded({} if cached else files)
    assert "\n" not in str(caught[0].message)
    assert len(data) == 3
    for name in (*broken(), "gone.png"):
        assert sum(f"test/a/{name} (" in left for left in data.left_out) == 1
    with pytest.raises(HoldfastError, match="repair or remove them"):
        loaded({}, strict=True)


def test_nothing_that_can_be_read_is_an_error(loaded: Callable[..., ImageData]) -> None:
    with pytest.raises(HoldfastError, match=r"no image can be read: test/a/cut\.png \("):
        loaded({"cut.png": broken()["cut.png"]})


def test_damaged_exif_beside_sound_pixels(loaded: Callable[..., ImageData]) -> None:
    content = saved(Image.fromarray(RGB), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(pixels_of(content), RGB)


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdfast.data.images, "RESIDENT_BYTES", 500)


@pytest.mark.usefixtures("small_memory")
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_large_sets_are_decoded_as_they_are_needed(
    tmp_path: Path, written: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, kind: str, deep: bool
) -> None:
    pictures = RNG.integers(256, size=(12, 6, 8, 3), dtype=np.uint8)
    contents = [saved(Image.fromarray(picture), "PNG") for picture in pictures]
    if deep:
        contents[3] = png16(DEEP[..., :3])
    if kind == "parquet":
        monkeypatch.setattr(holdfast.data.tables, "IN_MEMORY_BYTES", 100)
        written.write_parquet(tmp_path / "set/test.parquet", contents, [0, 1] * 6)
    else:
        for i, content in enumerate(contents):
            path = tmp_path / f"set/test/{'ab'[i // 6]}/{i:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def load() -> ImageData:
        return load_dataset(str(tmp_path / "set"), "test", cache_dir=tmp_path / "cache")

    lazy = load()
    assert isinstance(lazy.images, LazyImages)
    assert not list(tmp_path.glob("cache/*.safetensors"))
    monkeypatch.setattr(holdfast.data.images, "RESIDENT_BYTES", 2**30)
    held = load()
    assert isinstance(held.images, torch.Tensor)
    assert (lazy.images.dtype, lazy.shape, len(lazy.images)) == (held.images.dtype, held.shape, 12)
    for index in (torch.tensor([5, 0, 5]), slice(2, 9, 3), [1, 2], 4, -1):
        assert torch.equal(lazy.images[index], held.images[index])
    assert lazy.fingerprint == held.fingerprint
    assert torch.equal(lazy.take([7, 2]).images.to("cpu"), held.images[[7, 2]])
    assert torch.equal(lazy.first(5).images, held.first(5).images)
    assert isinstance(lazy.first(5).images, torch.Tensor)
    for left, right in zip(*(DeviceLoader(d, batch_size=5, seed=3).batches(1) for d in (lazy, held)), strict=True):
        assert torch.equal(left[0], right[0])
        assert torch.equal(left[1], right[1])


@pytest.mark.usefixtures("small_memory")
def test_damage_met_late_is_named(loaded: Callable[..., ImageData]) -> None:
    files = {f"{i}.png": saved(Image.fromarray(RGB), "PNG") for i in range(9)}
    files["1.png"] = files["1.png"][:-40]
    data = loaded(files)
    assert len(data) == 9
    with pytest.raises(HoldfastError, match=r"test/a/1\.png .* remove it"):
        data.images[0:3]
    first = data.first(4)
    assert len(first) == 4
    assert [name.split(" ")[0] for name in first.left_out] == ["test/a/1.png"]
    assert first.labels.tolist() == [0] * 4


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (RGB[None], RGB.transpose(2, 0, 1)[None]),
        (RGB[None].transpose(0, 3, 1, 2), RGB.transpose(2, 0, 1)[None]),
        (RGB[None, ..., 0], RGB[None, None, ..., 0]),
        (RGB[None].astype(np.int64), RGB.transpose(2, 0, 1)[None]),
        (DEEP[None, None, ..., 0], (DEEP[None, None, ..., 0] / 65535).astype(np.float32)),
        (RGB[None] / 255, (RGB.transpose(2, 0, 1)[None] / 255).astype(np.float32)),
        (torch.from_numpy(RGB[None] / 255).half(), (RGB.transpose(2, 0, 1)[None] / 255).astype(np.float16)),
        (RGB[None, ..., 0] > 99, (RGB[None, None, ..., 0] > 99) * np.uint8(255)),
    ],
)
def test_arrays_become_images(values: object, expected: NDArray[np.generic]) -> None:
    images, _ = array_images(values, "mine")
    assert np.array_equal(images.numpy(), expected)
    assert images.dtype in (torch.uint8, torch.float32)


@pytest.mark.parametrize(
    "values",
    [
        RGB[0],
        RGB[None, None],
        RGB[None] * 1.0,
        RGB[None] / -255,
        np.full((1, 1, 2, 2), np.nan),
        np.full((1, 1, 2, 2), 300),
    ],
)
def test_arrays_without_a_known_meaning_are_refused(values: NDArray[np.generic]) -> None:
    with pytest.raises(HoldfastError, match=r"^mine: .*give"):
        array_images(values, "mine")
