"""From an encoded picture to an array of a stated size, mode and depth. Importing this module does not import Pillow.

EXIF orientation is applied; transparency is laid on white; palette, CMYK and other colour becomes RGB; more than 8 bits
become float32 in [0, 1] (divided by the largest value of their depth) and are never cut to 8. What a file is is read
from its content. Of several frames the first is taken.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import HoldfastError, unknown_name

if TYPE_CHECKING:
    from PIL.Image import Image

Interpolation = Literal["bicubic", "bilinear"]
Encoded = bytes | str | NDArray[Any]
"""The content of a file, its path, or pixels ``(H, W)`` or ``(H, W, 3)``, uint8 or float32 in [0, 1]."""
ORIENTATION = 0x0112
TURNS = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
TOO_DEEP = "its colours have more than 8 bits in a form that Pillow cuts to 8; convert it to 16-bit PNG"


@dataclass(frozen=True)
class Form:
    """What images are brought to; each part left None is taken from the images, which must then agree in size.

    Args:
        image_size: ``(H, W)``: scaled until it covers ``image_size / crop``, then cropped around the centre.
        interpolation: of the scaling, with antialiasing.
        crop: the share of the scaled image that the crop keeps (timm's ``crop_pct``).
        channels: 1 (grey, luma of ITU-R 601) or 3; grey in three channels is the same value three times.

    >>> Form.of(224).image_size
    (224, 224)
    """

    image_size: tuple[int, int] | None = None
    interpolation: Interpolation = "bicubic"
    crop: float = 1.0
    channels: int | None = None

    def __post_init__(self) -> None:
        if self.interpolation not in get_args(Interpolation):
            raise unknown_name("interpolation", self.interpolation, get_args(Interpolation))
        if self.image_size is not None and min(self.image_size) < 1:
            raise HoldfastError(f"image_size {self.image_size} must be positive: pixels, such as 224 or (224, 160).")
        if not 0 < self.crop <= 1:
            raise HoldfastError(f"crop {self.crop} must lie in (0, 1]: the share of the scaled image that is kept.")
        if self.channels not in (None, 1, 3):
            raise HoldfastError(f"channels {self.channels} must be 1 (grey) or 3 (RGB).")

    @classmethod
    def of(cls, image_size: int | tuple[int, int] | None = None, **others: Any) -> Form:
        return cls((image_size, image_size) if isinstance(image_size, int) else image_size, **others)


@dataclass(frozen=True)
class Picture:
    """One picture: its size ``(H, W)`` as displayed, before any scaling, and from `decode` alone its pixels ``(H, W)``
    or ``(H, W, 3)``, uint8 or float32 in [0, 1], with what was done to them.
    """

    size: tuple[int, int]
    colour: bool
    deep: bool
    pixels: NDArray[Any] | None = None
    encoding: str = ""
    done: frozenset[str] = frozenset()


@cache
def _formats() -> tuple[str, ...]:
    """The formats that are read: pixels, without scripts or programs of other makers behind them."""
    from PIL import Image

    Image.init()
    wanted = ("PNG", "JPEG", "MPO", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
    return tuple(name for name in wanted if name in Image.OPEN)


def open_image(item: bytes | str) -> Image:
    """A picture by its content (bytes) or path, its header read."""
    from PIL import Image

    if not (item if isinstance(item, bytes) else os.path.getsize(item)):
        raise HoldfastError("empty")
    return Image.open(io.BytesIO(item) if isinstance(item, bytes) else item, formats=_formats())


def read_header(item: Encoded) -> Picture:
    """What a picture will be, without decoding it. Raises whatever Pillow raises for a file that is no picture."""
    if isinstance(item, np.ndarray):
        return Picture(item.shape[:2], item.ndim == 3, item.dtype == np.float32, item)
    with open_image(item) as image:
        size = image.height, image.width
        deep = _depth(image, item) > 8
        turned = _orientation(image, decoded=False) >= 5 and image.format != "TIFF"  # Pillow turns TIFF by itself
        return Picture(size[::-1] if turned else size, _colour(image), deep)


def decode(item: Encoded, form: Form) -> Picture:
    """Decode one picture and bring it to ``form``.

    Raises:
        HoldfastError: pixels whose meaning is unknown or would be cut.
        Exception: whatever Pillow raises for a damaged file.
    """
    planes, encoding, done = _planes(item) if isinstance(item, np.ndarray) else _decoded(item)
    size = planes[0].height, planes[0].width
    if form.image_size not in (None, size) or form.crop < 1:
        planes = [_fit(plane, form) for plane in planes]
    arrays = [np.asarray(plane) for plane in planes]
    pixels = arrays[0] if len(arrays) == 1 else np.stack(arrays, axis=-1)
    if pixels.dtype == np.float32:
        pixels = pixels.clip(0, 1)  # bicubic scaling overshoots
    pixels = to_channels(pixels, form.channels)
    return Picture(size, pixels.ndim == 3, pixels.dtype == np.float32, pixels, encoding, frozenset(done))


def _decoded(item: bytes | str) -> tuple[list[Image], str, set[str]]:
    """One 8-bit picture or one of floats for each channel, upright; the format; what was done."""
    done = set()
    with open_image(item) as image:
        encoding = image.format or "unknown"
        if isinstance(item, str) and _misnamed(item, encoding):
            done.add("misnamed")
        if getattr(image, "n_frames", 1) > 1 and encoding != "MPO":
            done.add("frames")
        if image.mode.startswith(("I", "F")):
            planes, changes = _deep_grey(image)
        elif _depth(image, item) > 8:
            planes, changes = _deep_colour(image, item)
        else:
            planes, changes = _eight_bit(image)
        turn = _orientation(image)
    if 2 <= turn <= 8:
        done.add("turned")
        planes = [_turned(plane, turn) for plane in planes]
    return planes, encoding, done | changes


def _planes(pixels: NDArray[Any]) -> tuple[list[Image], str, set[str]]:
    from PIL import Image

    channels = [pixels] if pixels.ndim == 2 or pixels.dtype == np.uint8 else [pixels[..., c] for c in range(3)]
    return [Image.fromarray(np.ascontiguousarray(channel)) for channel in channels], "", set()


def to_channels(pixels: NDArray[Any], channels: int | None) -> NDArray[Any]:
    """``(H, W)`` or ``(H, W, 3)`` as ``(H, W)`` for one channel, ``(H, W, 3)`` for three, itself for None."""
    if channels == 3 and pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=-1)
    if channels == 1 and pixels.ndim == 3:
        grey = pixels.astype(np.float32) @ LUMA
        return grey if pixels.dtype == np.float32 else np.rint(grey).astype(np.uint8)
    return pixels


def _orientation(image: Image, decoded: bool = True) -> int:
    from PIL.Image import Image as Pillow

    try:  # for PNG, getexif decodes the whole file
        return int((image.getexif() if decoded else Pillow.getexif(image)).get(ORIENTATION, 1))
    except Exception:  # damaged EXIF beside sound pixels
        return 1


def _turned(plane: Image, turn: int) -> Image:
    from PIL.Image import Transpose

    return plane.transpose(Transpose[TURNS[turn - 2]])


def _fit(plane: Image, form: Form) -> Image:
    """Scale until the picture covers ``image_size / crop``, crop the centre."""
    from PIL.Image import Resampling

    height, width = form.image_size or (plane.height, plane.width)
    scale = max(height / plane.height, width / plane.width) / form.crop
    high, wide = max(height, round(plane.height * scale)), max(width, round(plane.width * scale))
    scaled = plane.resize((wide, high), Resampling[form.interpolation.upper()])
    top, left = (high - height) // 2, (wide - width) // 2
    return scaled.crop((left, top, left + width, top + height))


def _misnamed(path: str, encoding: str) -> bool:
    from PIL import Image

    named = Image.registered_extensions().get(Path(path).suffix.lower())
    return named != encoding and {named, encoding} not in ({"JPEG", "MPO"}, {"BMP", "DIB"})


def _colour(image: Image) -> bool:
    return image.mode not in ("1", "L", "LA", "La") and not image.mode.startswith(("I", "F"))


def _rawmode(image: Any) -> str:
    args = image.tile[0][3] if getattr(image, "tile", None) else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _depth(image: Any, item: bytes | str) -> int:
    """Bits of a value in the file, where they may be more than 8."""
    if image.mode.startswith(("I", "F")) or ";16" in _rawmode(image):
        return 16
    if image.format == "TIFF":
        return int(max(image.tag_v2.get(258, (8,))))
    if image.format == "PPM":
        args = image.tile[0][3]
        return 16 if isinstance(args, tuple) and args[-1] > 255 and _rawmode(image) == "RGB" else 8
    if image.format in ("JPEG2000", "AVIF"):
        content = item if isinstance(item, bytes) else Path(item).read_bytes()
        if image.format == "AVIF":
            return 10 if content[content.find(b"av1C") + 6] & 0x40 else 8
        return (content[content.find(b"\xff\x4f\xff\x51") + 42] & 0x7F) + 1
    return 8


def _eight_bit(image: Image) -> tuple[list[Image], set[str]]:
    """The picture in mode L or RGB."""
    from PIL import Image as Pillow

    image.load()
    mode = "RGB" if _colour(image) else "L"
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        clear = image.convert("RGBA")
        if clear.getchannel("A").getextrema()[0] == 255:
            return [clear.convert(mode)], set()
        white = Pillow.new("RGBA", image.size, "white")
        white.alpha_composite(clear)
        return [white.convert("RGB").convert(mode)], {"transparent"}
    changed = {"converted"} if mode == "RGB" and image.mode not in ("RGB", "P") else set()
    return [image if image.mode == mode else image.convert(mode)], changed


def _deep_grey(image: Image) -> tuple[list[Image], set[str]]:
    rawmode = _rawmode(image)
    image.load()
    values = np.asarray(image)
    if image.mode == "F":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise HoldfastError("its floating-point values are not in [0, 1]; convert it to 16-bit grey")
        return _planes(values)[0], {"float"}
    largest = 4095 if rawmode == "I;12" else 65535
    if values.min() < 0 or values.max() > largest:
        raise HoldfastError(f"its 32-bit values exceed 0..{largest}; convert it to 16-bit grey")
    grey = values.astype(np.float32) / largest
    inverted = getattr(image, "tag_v2", {}).get(262) == 0  # TIFF: white is zero
    return _planes(1 - grey if inverted else grey)[0], {"deep"}


def _deep_colour(image: Image, item: bytes | str) -> tuple[list[Image], set[str]]:
    """16-bit RGB, RGBA and grey with alpha. Pillow keeps one byte of two: the high ones are read first, then the low
    ones, in a second pass that takes the file for one of the other byte order.
    """
    rawmode = _rawmode(image)
    if rawmode == "LA;16B":
        image._mode = "RGBA"  # four bytes a pixel: grey high and low, alpha high and low
        _retile(image, lambda _: "RGBA")
        image.load()
        values = np.asarray(image).astype(np.float32) @ np.array([[256, 0], [1, 0], [0, 256], [0, 1]], np.float32)
    else:
        if ";16" not in rawmode or image.mode not in ("RGB", "RGBA", "RGBX"):
            raise HoldfastError(TOO_DEEP)
        image.load()
        with open_image(item) as other:
            _retile(other, lambda raw: raw[:-1] + ("L" if raw.endswith("B") else "B"))
            other.load()
            values = np.asarray(image).astype(np.float32) * 256 + np.asarray(other)
    values /= 65535
    transparent = image.mode == "RGBA" and values[..., -1].min() < 1
    if image.mode in ("RGBA", "RGBX"):
        alpha = values[..., -1:] if image.mode == "RGBA" else np.ones_like(values[..., -1:])
        values = values[..., :-1] * alpha + (1 - alpha)
    pixels = values[..., 0] if values.shape[-1] == 1 else values
    return _planes(pixels)[0], {"deep", "transparent"} if transparent else {"deep"}


def _retile(image: Any, change: Callable[[str], str]) -> None:
    def changed(args: Any) -> Any:
        return (change(args[0]), *args[1:]) if isinstance(args, tuple) else change(args)

    image.tile = [
        type(t)(*t[:3], changed(t[3])) if hasattr(t, "_fields") else (*t[:3], changed(t[3])) for t in image.tile
    ]
