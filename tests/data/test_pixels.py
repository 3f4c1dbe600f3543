"""What pixels mean: orientation, depth, mode and size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from holdfast.data import DeviceLoader, ImageData, load_dataset
from holdfast.data.decode import read_header
from holdfast.errors import HoldfastError
from tests.data.pictures import DEEP, RGB, RNG, pixels_of, png16, saved, tiff16

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
