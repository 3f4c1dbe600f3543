"""What pixels mean: orientation, depth, mode, size, and files that are damaged."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import holdfast.data.images
from holdfast.data import DeviceLoader, ImageData, load_dataset
from holdfast.data.decode import Form, decode, read_header
from holdfast.data.images import LazyImages, array_images
from holdfast.errors import HoldfastError, HoldfastWarning

RNG = np.random.default_rng(0)
RGB = RNG.integers(256, size=(6, 8, 3), dtype=np.uint8)
DEEP = RNG.integers(65536, size=(6, 8, 4), dtype=np.uint16)


def png16(pixels: NDArray[np.uint16], interlaced: bool = False) -> bytes:
    """A 16-bit PNG ``(H, W, C)`` by hand: every row with another filter."""
    height, width, channels = pixels.shape
    step = 2 * channels

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    def rows(part: NDArray[np.uint16]) -> bytes:
        out, above = b"", np.zeros(part.shape[1] * step, np.int64)
        for y, row in enumerate(part):
            now = np.frombuffer(row.astype(">u2").tobytes(), np.uint8).astype(np.int64)
            left = np.concatenate([np.zeros(step, np.int64), now[:-step]])
            out += (
                bytes([y % 4]) + ((now - (0, left, above, (left + above) // 2)[y % 4]) % 256).astype(np.uint8).tobytes()
            )
            above = now
        return out

    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [pixels[y::dy, x::dx] for y, x, dy, dx in passes] if interlaced else [pixels]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, int(interlaced))
    content = zlib.compress(b"".join(rows(part) for part in parts if part.size))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def tiff16(pixels: NDArray[np.uint16], order: str, deflate: bool, white_is_zero: bool = False) -> bytes:
    """A 16-bit TIFF by hand, ``order`` ``<`` or ``>``."""
    height, width, channels = pixels.shape
    content = pixels.astype(order + "u2").tobytes()
    content = zlib.compress(content) if deflate else content
    bits = 8 + len(content)
    photometric = 2 if channels == 3 else int(not white_is_zero)
    tags = [(256, width), (257, height), (258, 16), (259, 8 if deflate else 1), (262, photometric), (273, 8)]
    tags += [(277, channels), (278, height), (279, len(content))]
    out = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, bits + 2 * channels + bits % 2)
    out += content + struct.pack(order + f"{channels}H", *[16] * channels) + b"\0" * (bits % 2)
    out += struct.pack(order + "H", len(tags))
    for tag, value in tags:
        if tag == 258 and channels > 1:
            out += struct.pack(order + "HHII", tag, 3, channels, bits)
        else:
            out += struct.pack(order + "HHII", tag, 4, 1, value)
    return out + struct.pack(order + "I", 0)


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def pixels_of(content: bytes, **form: object) -> NDArray[np.generic]:
    return decode(content, Form.of(**form)).pixels


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., ImageData]:
    """Loads files given by name and content as the only class of a test split."""

    def load(files: dict[str, bytes], **options: object) -> ImageData:
        (tmp_path / "set/test/a").mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (tmp_path / "set/test/a" / name).write_bytes(content)
        return load_dataset(str(tmp_path / "set"), "test", **options)

    return load


# orientation

SHOWN = {1: RGB, 2: RGB[:, ::-1], 3: RGB[::-1, ::-1], 4: RGB[::-1], 5: RGB.swapaxes(0, 1)}
SHOWN |= {6: np.rot90(RGB, -1), 7: np.rot90(RGB, 2).swapaxes(0, 1), 8: np.rot90(RGB)}


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_exif_orientation_is_applied(turn: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    smooth = kind == "JPEG"
    stored = np.repeat(np.repeat(RGB, 8, 0), 8, 1) if smooth else RGB
    shown = np.repeat(np.repeat(SHOWN[turn], 8, 0), 8, 1) if smooth else SHOWN[turn]
    content = saved(Image.fromarray(stored), kind, exif=exif, **options)
    assert np.abs(pixels_of(content).astype(int) - shown).max() <= (4 if smooth else 0)
    assert read_header(content).size == shown.shape[:2]


def test_deep_pictures_are_turned_too(loaded: Callable[..., ImageData]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(Image.fromarray(DEEP[..., 0]), "PNG", exif=exif)
    data = loaded({"0.png": content})
    assert np.array_equal(data.images[0, 0], (np.rot90(DEEP[..., 0], -1) / np.float32(65535)))
    assert any("turned as their EXIF" in note for note in data.notes)


# depth

WHITE = 1 - DEEP[..., 3:] / 65535
EXPECTED = {
    1: DEEP[..., 0] / 65535,
    2: DEEP[..., 0] / 65535 * (DEEP[..., 3] / 65535) + WHITE[..., 0],
    3: DEEP[..., :3] / 65535,
    4: DEEP[..., :3] / 65535 * (DEEP[..., 3:] / 65535) + WHITE,
}


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_stay_sixteen_bits_in_png(channels: int, interlaced: bool) -> None:
    columns = {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]
    content = png16(DEEP[..., columns], interlaced)
    found = pixels_of(content)
    found = found if channels != 2 or found.ndim == 2 else found[..., 0]
    assert found.dtype == np.float32
    assert np.abs(found - EXPECTED[channels]).max() < 1e-6
    assert read_header(content).deep


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_stay_sixteen_bits_in_tiff(order: str, deflate: bool, channels: int) -> None:
    found = pixels_of(tiff16(DEEP[..., :channels], order, deflate))
    assert np.abs(found - EXPECTED[channels]).max() < 1e-6


def test_a_negative_is_turned_into_a_positive() -> None:
    found = pixels_of(tiff16(DEEP[..., :1], "<", False, white_is_zero=True))
    assert np.abs(found - (1 - EXPECTED[1])).max() < 1e-6


def test_a_set_with_one_deep_picture_is_float(loaded: Callable[..., ImageData]) -> None:
    data = loaded({"0.png": saved(Image.fromarray(RGB[..., 0]), "PNG"), "1.png": png16(DEEP[..., :1])})
    assert data.images.dtype == torch.float32
    assert np.array_equal(data.images[0, 0], RGB[..., 0] / np.float32(255))
    assert loaded({}).fingerprint == data.fingerprint
    batch, _ = DeviceLoader(data, batch_size=2, shuffle=False).batch(0, 0)
    assert torch.equal(batch, data.images)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"P6 2 1 65535\n" + bytes(12), "more than 8 bits"),
        (saved(Image.fromarray(np.full((4, 4), 70000, np.int32)), "TIFF"), "exceed 0..65535"),
        (saved(Image.fromarray(np.full((4, 4), -1.0, np.float32)), "TIFF"), r"not in \[0, 1\]"),
        (saved(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"), r"not in \[0, 1\]"),
    ],
)
def test_values_without_a_known_meaning_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(HoldfastError, match=reason):
        pixels_of(content)


# mode


def test_transparency_is_laid_on_white(loaded: Callable[..., ImageData]) -> None:
    clear = np.dstack([RGB, np.full(RGB.shape[:2], 51, np.uint8)])
    data = loaded({"0.png": saved(Image.fromarray(clear), "PNG")})
    assert np.abs(data.images[0].numpy().transpose(1, 2, 0) - (RGB * 0.2 + 255 * 0.8)).max() <= 1
    assert "1 of 1 images with transparency, laid on white" in data.notes
    assert (pixels_of(saved(Image.new("LA", (3, 2), (0, 0)), "PNG")) == np.full((2, 3), 255)).all()
    palette = Image.new("P", (3, 2), 1)
    palette.putpalette([9, 9, 9, 200, 100, 0])
    assert (pixels_of(saved(palette, "PNG", transparency=1)) == 255).all()
    assert (pixels_of(saved(palette, "PNG")) == (200, 100, 0)).all()
    assert (pixels_of(saved(Image.new("RGB", (3, 2), (7, 8, 9)), "PNG", transparency=(7, 8, 9))) == 255).all()


def test_opaque_alpha_changes_nothing(loaded: Callable[..., ImageData]) -> None:
    opaque = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    data = loaded({"0.png": saved(Image.fromarray(opaque), "PNG")})
    assert np.array_equal(data.images[0].numpy().transpose(1, 2, 0), RGB)
    assert data.notes == ()


def test_cmyk_becomes_rgb(loaded: Callable[..., ImageData]) -> None:
    data = loaded({"0.tif": saved(Image.new("CMYK", (3, 2), (255, 0, 0, 0)), "TIFF")})
    assert data.images[0, :, 0, 0].tolist() == [0, 255, 255]
    assert any("CMYK" in note for note in data.notes)


@pytest.mark.parametrize("first", ["a", "z"])
def test_grey_beside_colour_is_grey_in_three_channels(loaded: Callable[..., ImageData], first: str) -> None:
    grey = saved(Image.fromarray(RGB[..., 0]), "PNG")
    data = loaded({f"{first}.png": grey, "m.png": saved(Image.fromarray(RGB), "PNG")})
    one = data.images[0 if first == "a" else 1]
    assert all(np.array_equal(channel, RGB[..., 0]) for channel in one)
    assert any("1 of 2 images are grey beside colour" in note for note in data.notes)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_may_be_asked_for(channels: int) -> None:
    for content in (
        saved(Image.fromarray(RGB), "PNG"),
        saved(Image.fromarray(RGB[..., 0]), "PNG"),
        png16(DEEP[..., :3]),
    ):
        assert pixels_of(content, channels=channels).shape == ((6, 8) if channels == 1 else (6, 8, 3))
    luma = RGB @ np.array([0.299, 0.587, 0.114])
    assert np.abs(pixels_of(saved(Image.fromarray(RGB), "PNG"), channels=1) - luma).max() <= 0.5


def test_content_decides_over_suffix(loaded: Callable[..., ImageData]) -> None:
    png = saved(Image.fromarray(RGB), "PNG")
    data = loaded({"0.jpg": png, "1.txt": png, "2": png, "3.png": png, "4.PNG": png})
    assert len(data) == 5
    assert "3 of 5 images whose suffix names another format, read by content" in data.notes


def test_the_first_frame_is_taken(loaded: Callable[..., ImageData]) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (10, 20, 30)]
    data = loaded({"0.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:])})
    assert (data.images == 10).all()
    assert any("several frames" in note for note in data.notes)


# size


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("crop", [1.0, 0.8])
def test_scaling_covers_and_crops_the_centre(loaded: Callable[..., ImageData], interpolation: str, crop: float) -> None:
    wide, high = RNG.integers(256, size=(40, 90, 3), dtype=np.uint8), RNG.integers(256, size=(70, 33), dtype=np.uint8)
    files = {"0.png": saved(Image.fromarray(wide), "PNG"), "1.png": saved(Image.fromarray(high), "PNG")}
    with pytest.raises(HoldfastError, match=r"2 sizes \(90x40: 1, 33x70: 1\); give --image-size"):
        loaded(files)
    data = loaded({}, image_size=20, interpolation=interpolation, crop=crop)
    assert data.shape == (3, 20, 20)
    assert any(
        "cropped around the centre" in note and "to 20x20 from 90x40: 1, 33x70: 1" in note for note in data.notes
    )
    short = round(20 / crop)
    scaled = Image.fromarray(wide).resize((round(90 * short / 40), short), Image.Resampling[interpolation.upper()])
    left, top = (scaled.width - 20) // 2, (scaled.height - 20) // 2
    expected = np.asarray(scaled)[top : top + 20, left : left + 20]
    assert np.array_equal(data.images[0].numpy().transpose(1, 2, 0), expected)
    assert loaded({}, image_size=(10, 16)).shape == (3, 10, 16)
    assert loaded({}, image_size=20, interpolation=interpolation, crop=crop).fingerprint == data.fingerprint


@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    wanted=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    crop=st.floats(0.3, 1.0),
    deep=st.booleans(),
)
def test_any_size_comes_out_as_asked(size: tuple[int, int], wanted: tuple[int, int], crop: float, deep: bool) -> None:
    flat = Image.fromarray(np.full(size, 40000, np.uint16)) if deep else Image.new("L", size[::-1], 200)
    found = pixels_of(saved(flat, "PNG"), image_size=wanted, crop=crop)
    assert found.shape == wanted
    assert np.abs(found - (40000 / 65535 if deep else 200)).max() < 1e-5


def test_deep_pictures_are_scaled_without_overshoot() -> None:
    edge = np.zeros((16, 16), np.uint16)
    edge[:, 8:] = 65535
    found = pixels_of(saved(Image.fromarray(edge), "PNG"), image_size=40)
    assert (found.min(), found.max()) == (0, 1)
    assert len(np.unique(found)) > 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "must be positive"),
        ({"crop": 0.0}, "must lie in"),
        ({"channels": 2}, "must be 1"),
        ({"interpolation": "bicubik"}, "did you mean bicubic"),
    ],
)
def test_forms_that_do_not_exist_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(HoldfastError, match=message):
        load_dataset("digits", "test", **options)


def test_shipped_digits_may_be_scaled_too() -> None:
    assert load_dataset("digits", "test", image_size=16, channels=3).shape == (3, 16, 16)


# damage


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


# larger than memory


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


# arrays of one's own


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
