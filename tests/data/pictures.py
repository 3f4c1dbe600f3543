"""Pictures written by hand, and what is read from them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from holdfast.data.decode import Form, decode

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
