"""Decode encoded images into one uint8 array."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from PIL.Image import Image

_CONVERT = {"1": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGBA": "RGB", "RGBX": "RGB", "CMYK": "RGB"}
_CHUNK = 256
_PIXELS_WORTH_THREADS = 96 * 96  # below this, threads wait for each other longer than they decode


def decode_images(encoded: Sequence[bytes | str], origin: str) -> tuple[NDArray[np.uint8], str]:
    """Decode images (file contents, or paths), large ones in threads.

    Grey stays one channel; palette, alpha and CMYK images become RGB (grey with alpha: grey).

    Returns:
        uint8 ``(N, C, H, W)``, and the encoding of the first image (``PNG``, ``JPEG``, ...).

    Raises:
        HoldfastError: an image that cannot be decoded, has more than 8 bits per channel, or differs in size
            or mode from the first; the message names ``origin`` and the image's position.
    """
    from PIL import Image

    def decode(position: int) -> tuple[Image.Image, str]:
        item = encoded[position]
        try:
            with Image.open(io.BytesIO(item) if isinstance(item, bytes) else item) as image:
                return _eight_bit(image), image.format or "unknown"
        except HoldfastError as error:
            raise HoldfastError(f"{_place(item, position, origin)}: {error}") from None
        except Exception as error:
            raise HoldfastError(
                f"{_place(item, position, origin)} cannot be decoded ({error}); replace the file."
            ) from error

    first, encoding = decode(0)
    sample = np.asarray(first)
    out = np.empty((len(encoded), *sample.shape), np.uint8)

    def fill(start: int) -> None:
        for position in range(start, min(start + _CHUNK, len(encoded))):
            image, _ = decode(position)
            if image.mode != first.mode or image.size != first.size:
                raise HoldfastError(
                    f"{_place(encoded[position], position, origin)} is {_form(image)}, but the first image "
                    f"is {_form(first)}; all must share size and mode: resize or convert them."
                )
            out[position] = np.asarray(image)

    threads = os.cpu_count() if first.width * first.height >= _PIXELS_WORTH_THREADS else 1
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill, range(0, len(encoded), _CHUNK)):
            pass
    channels_first = out[:, None] if out.ndim == 3 else out.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(channels_first), encoding


def _eight_bit(image: Image) -> Image:
    image.load()
    mode = _CONVERT.get(image.mode, image.mode)
    if mode not in ("L", "RGB"):
        raise HoldfastError(f"mode {image.mode!r} is not supported; convert to 8-bit grey or RGB.")
    return image if mode == image.mode else image.convert(mode)


def _place(item: bytes | str, position: int, origin: str) -> str:
    return f"image {position} of {origin}" if isinstance(item, bytes) else f"image '{item}'"


def _form(image: Image) -> str:
    return f"{image.width}x{image.height} {image.mode}"
