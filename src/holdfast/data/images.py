"""Many encoded pictures as one tensor, in memory or decoded as they are needed; damaged ones are named and left out."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from holdfast.data.decode import Encoded, Form, Picture, decode, read_header, to_channels
from holdfast.errors import HoldfastError, first_line

RESIDENT_BYTES = 2 * 2**30
"""Sets that take more than this decoded are decoded batch by batch."""

DONE = {
    "turned": "turned as their EXIF orientation says",
    "transparent": "with transparency, laid on white",
    "converted": "in CMYK or another colour space, converted to RGB",
    "misnamed": "whose suffix names another format, read by content",
    "frames": "with several frames, the first one taken",
    "deep": "of more than 8 bits a value, divided by the largest value of 16 (12) bits",
    "float": "of floating-point values in [0, 1], as they are",
}
_CHUNK = 64
_PIXELS_WORTH_THREADS = 96 * 96  # below this, threads wait for each other longer than they decode
T = TypeVar("T")


@dataclass(frozen=True)
class Pictures:
    """Encoded pictures of one split and their labels, not yet decoded.

    ``cells[i]`` is picture ``i``, ``names[i]`` what people call it, ``labels`` int64
    ``(N,)`` (-1: none), ``groups[i]`` what must not be torn apart when images are held out.
    """

    cells: Sequence[Encoded]
    names: Sequence[str]
    labels: NDArray[np.int64]
    groups: Sequence[str]

    def take(self, rows: NDArray[np.int64]) -> Pictures:
        def chosen(values: Sequence[T]) -> Sequence[T]:
            return Computed(len(rows), lambda i: values[int(rows[i])])

        return Pictures(chosen(self.cells), chosen(self.names), self.labels[rows], chosen(self.groups))


class Computed(Sequence[T]):
    """A sequence whose items are fetched one by one, from a disk perhaps."""

    def __init__(self, count: int, get: Callable[[int], T]) -> None:
        self.total, self.get = count, get

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, i: Any) -> Any:
        if not 0 <= i < self.total:
            raise IndexError(i)
        return self.get(i)


@dataclass(frozen=True)
class Read:
    """Images ``(N, C, H, W)`` (a tensor, or `LazyImages`), which pictures they are, and what was done to them."""

    images: Tensor
    kept: NDArray[np.int64]
    encoding: str
    notes: tuple[str, ...]
    left_out: tuple[str, ...]


class LazyImages:
    """Images decoded when they are indexed: what a uint8 or float32 tensor ``(N, C, H, W)`` is asked for, no more."""

    def __init__(self, pictures: Pictures, form: Form, dtype: torch.dtype) -> None:
        self.pictures, self.form, self.dtype = pictures, form, dtype
        height, width = form.image_size or (0, 0)
        self.shape = torch.Size((len(pictures.cells), form.channels or 1, height, width))
        self.ndim, self.nbytes, self.device = 4, 0, torch.device("cpu")

    def __len__(self) -> int:
        return self.shape[0]

    def numel(self) -> int:
        return self.shape.numel()

    def select(self, rows: Tensor) -> LazyImages:
        return LazyImages(self.pictures.take(rows.numpy()), self.form, self.dtype)

    def read(self, rows: Tensor) -> Read:
        """Decode the images of ``rows``; damaged ones are left out and named."""
        read = read_pictures(self.pictures.take(rows.numpy()), self.form, lazy=False)
        images = read.images if read.images.dtype == self.dtype else read.images.to(self.dtype) / 255
        return replace(read, images=images)

    def __getitem__(self, index: Any) -> Tensor:
        """Raises HoldfastError, naming the file, for a picture that turns out to be damaged."""
        rows = torch.arange(len(self))[index.cpu() if isinstance(index, Tensor) else index]
        read = self.read(rows.reshape(-1))
        if read.left_out:
            raise HoldfastError(f"{read.left_out[0]} cannot be read; remove it and start again.")
        return read.images if rows.ndim else read.images[0]

    def to(self, device: torch.device | str) -> Tensor:
        return self[:].to(device)


def read_pictures(pictures: Pictures, form: Form, *, lazy: bool | None = None) -> Read:
    """Decode pictures into one tensor of one size, mode and depth.

    Args:
        lazy: decode later; by default where the images would take more than ``RESIDENT_BYTES``.

    Raises:
        HoldfastError: no picture that can be read, or several sizes and no ``form.image_size``.
    """
    if lazy is None:
        lazy = _too_large(pictures, form)
    found = _each(pictures, read_header if lazy else lambda cell: decode(cell, form))
    failed = {i: result for i, result in enumerate(found) if isinstance(result, Exception)}
    left_out = tuple(f"{pictures.names[i]} ({_reason(error)})" for i, error in failed.items())
    kept = np.array([i for i in range(len(found)) if i not in failed], np.int64)
    if len(kept) == 0:
        raise HoldfastError(f"no image can be read: {named(left_out)}; replace the files.")
    good = [found[i] for i in kept]
    sizes = Counter(one.size for one in good)
    if form.image_size is None and len(sizes) > 1:
        raise HoldfastError(
            f"the images have {len(sizes)} sizes ({_sizes(sizes)}); give --image-size (image_size=) to scale and crop "
            "them to one."
        )
    if lazy:
        colour, deep = any(one.colour for one in good), any(one.deep for one in good)
        full = replace(form, image_size=form.image_size or good[0].size, channels=form.channels or (3 if colour else 1))
        images: Any = LazyImages(pictures.take(kept), full, torch.float32 if deep else torch.uint8)
        note = f"{len(kept):,} images larger than memory: decoded as they are needed"
        return Read(images, kept, "read lazily", (note, *_scaled(sizes, full)), left_out)
    tensor, grey = _joined(good)
    counts = Counter(done for one in good for done in one.done)
    notes = [f"{counts[done]:,} of {len(good):,} images {text}" for done, text in DONE.items() if counts[done]]
    notes += _scaled(sizes, form)
    if grey:
        notes.append(
            f"{grey:,} of {len(good):,} images are grey beside colour: their value stands in all three channels"
        )
    return Read(tensor, kept, good[0].encoding, tuple(notes), left_out)


def named(items: Sequence[str], most: int = 10) -> str:
    """The first names of a list, and how many more there are."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more:,} more" if more > 0 else "")


def _too_large(pictures: Pictures, form: Form) -> bool:
    for i in range(len(pictures.cells)):
        try:
            header = read_header(pictures.cells[i])
        except Exception:
            continue
        height, width = form.image_size or header.size
        channels = form.channels or (3 if header.colour else 1)
        return len(pictures.cells) * height * width * channels * (4 if header.deep else 1) > RESIDENT_BYTES
    return False


def _each(pictures: Pictures, work: Callable[[Encoded], Any]) -> list[Any]:
    """``work`` of every picture in order, or the exception that it ended in."""

    def one(i: int) -> Any:
        try:
            return work(pictures.cells[i])
        except Exception as error:
            return error

    def chunk(start: int) -> list[Any]:
        return [one(i) for i in range(start, min(start + _CHUNK, len(pictures.cells)))]

    first = one(0)
    small = isinstance(first, Picture) and first.size[0] * first.size[1] < _PIXELS_WORTH_THREADS
    with warnings.catch_warnings(), ThreadPoolExecutor(1 if small else os.cpu_count()) as pool:
        warnings.filterwarnings("ignore", module="PIL")  # what is damaged is named, once
        chunks = pool.map(chunk, range(0, len(pictures.cells), _CHUNK))
        return [result for results in chunks for result in results]


def _joined(good: list[Picture]) -> tuple[Tensor, int]:
    """All images in the widest mode and depth among them; how many grey ones became colour."""
    arrays = [one.pixels for one in good if one.pixels is not None]
    channels = 3 if any(one.colour for one in good) else 1
    deep = any(one.deep for one in good)
    out = np.empty((len(good), channels, *arrays[0].shape[:2]), np.float32 if deep else np.uint8)
    for i, pixels in enumerate(arrays):
        wide = to_channels(pixels, channels).reshape(*pixels.shape[:2], channels).transpose(2, 0, 1)
        out[i] = wide / np.float32(255) if deep and pixels.dtype == np.uint8 else wide
    return torch.from_numpy(out), sum(not one.colour for one in good) if channels == 3 else 0


def _scaled(sizes: Counter[tuple[int, int]], form: Form) -> list[str]:
    if form.image_size is None or (set(sizes) == {form.image_size} and form.crop == 1):
        return []
    height, width = form.image_size
    share = "" if form.crop == 1 else f", the centre {form.crop:g} of each side"
    return [
        f"scaled ({form.interpolation}) and cropped around the centre{share} to {width}x{height} from {_sizes(sizes)}"
    ]


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    common = [f"{w}x{h}: {count:,}" for (h, w), count in sizes.most_common(3)]
    return ", ".join(common) + (f" and {len(sizes) - 3} more sizes" if len(sizes) > 3 else "")


def _reason(error: Exception) -> str:
    if isinstance(error, HoldfastError):
        return str(error)
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "no picture of a format that is read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error)


def array_images(values: Any, what: str) -> tuple[Tensor, tuple[str, ...]]:
    """Arrays or tensors of images as ``(N, C, H, W)``, uint8 or float32 in [0, 1], and what was done to them.

    ``(N, H, W)`` is grey; ``(N, H, W, C)`` is taken for what it is when C, and not the second dimension, is 1 or 3.
    uint16 is divided by 65535, other integers must lie in 0..255 and floating-point values in [0, 1].

    Raises:
        HoldfastError: another form, or values outside.
    """
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    notes: list[str] = []
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.size == 0:
        raise HoldfastError(f"{what}: images have shape {array.shape}; give (N, C, H, W), (N, H, W, C) or (N, H, W).")
    if array.shape[1] not in (1, 3) and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
        notes.append("channels last: moved to (N, C, H, W)")
    low, high = array.min(), array.max()
    if array.dtype == np.uint16:
        array = array.astype(np.float32) / 65535
        notes.append("16-bit values divided by 65535")
    elif array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif np.issubdtype(array.dtype, np.integer):
        if low < 0 or high > 255:
            raise HoldfastError(f"{what}: integer images span {low}..{high}; give 0..255, uint16, or floats in [0, 1].")
        array = array.astype(np.uint8)
    else:
        if not (low >= 0 and high <= 1):
            raise HoldfastError(
                f"{what}: images span {low:g}..{high:g}; give values in [0, 1] and normalise inside the model."
            )
        array = array.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(array)), tuple(notes)


def joined(parts: Sequence[Pictures]) -> Pictures:
    """Several splits one after the other."""
    places = [(part, i) for part in parts for i in range(len(part.cells))]
    return Pictures(
        Computed(len(places), lambda i: places[i][0].cells[places[i][1]]),
        [name for part in parts for name in part.names],
        np.concatenate([part.labels for part in parts]),
        [f"{number}/{group}" for number, part in enumerate(parts) for group in part.groups],
    )
