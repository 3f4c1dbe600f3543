"""Load a split of a data set by name, from the package, a folder, a function, the Hub or the cache."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from holdfast.data.cache import read_cache, write_cache
from holdfast.data.catalogue import KNOWN, SPLITS, KnownDataset, canonical_name
from holdfast.data.decode import Form, Interpolation
from holdfast.data.digits import load_digits
from holdfast.data.folders import read_folders
from holdfast.data.image_data import ImageData
from holdfast.data.images import Computed, Pictures, joined, named, read_pictures
from holdfast.data.own import call, takes_split
from holdfast.data.sources import Source, cache_file, cache_root, locate
from holdfast.data.splits import ALL, hold_out_last, hold_out_tenth, plan_split
from holdfast.data.tables import open_hub, open_parquet, read_tables
from holdfast.errors import HoldfastError, HoldfastWarning, unknown_name

DIVIDED = "the set has no splits: "


def load_dataset(
    name: str,
    split: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    image_size: int | tuple[int, int] | None = None,
    interpolation: Interpolation = "bicubic",
    crop: float = 1.0,
    channels: int | None = None,
    strict: bool = False,
) -> ImageData:
    """Load one split of an image classification data set.

    Args:
        name: ``digits``, ``mnist``, ``fashion_mnist`` or ``cifar10``; a Hub id ``owner/name``; the path of a folder
            with parquet files in Hub layout, with one folder of images per class, below ``train/`` and ``test/`` or
            without that level, or with images alone (labels -1); or ``module:function`` or ``file.py:function``. (A
            folder in the working directory that bears a known name is written ``./mnist``.) Such a function is called
            with the split if it takes an argument, and returns an `ImageData`, ``(images, labels)`` or ``(images,
            labels, classes)``: arrays or tensors as `holdfast.data.images.array_images` takes them; integers, names or
            None.
        split: ``train``, ``val``, ``test`` or ``all``; ``holdfast.data.splits`` says which images each one holds.
        data_dir: where to look first: ``data_dir/name``, then ``data_dir`` itself. Then come
            ``$HOLDFAST_DATA/name``, and the Hub last.
        cache_dir: folder of decoded copies; default ``$HOLDFAST_CACHE``, else ``~/.cache/holdfast``.
        image_size, interpolation, crop, channels: what the images are brought to (`holdfast.data.decode.Form`).
        strict: refuse a set with anything that would be left out.

    Returns:
        The decoded split. A copy in the cache is used if its checksum is right and the source files have kept their
        names, sizes and times of change. Where no local source is found, any sound copy in the cache is used before the
        Hub is asked. Sets that take more than 2 GiB decoded are decoded batch by batch and not cached.

    Raises:
        HoldfastError: an unknown name or split, no source, a corrupt source, or images that do not fit together.

    Warns:
        HoldfastWarning: files left out, by name; a set without splits that had to be divided.

    >>> len(load_dataset("digits", "val"))
    200
    """
    if split not in (*SPLITS, ALL):
        raise unknown_name("split", split, (*SPLITS, ALL))
    form = Form.of(image_size, interpolation=interpolation, crop=crop, channels=channels)
    if canonical_name(name) == "digits":
        return _formed(load_digits(split), form)
    source = locate(name, data_dir)
    if source.function:
        return _from_function(name, split, form)
    fingerprint = source.folder.fingerprint() if source.folder else None
    place = cache_place(source, split, cache_dir, **asdict(form))
    data = read_cache(place, fingerprint)
    if data is None:
        data = _build(_open(source, cache_dir), split, form)
        if isinstance(data.images, torch.Tensor):
            write_cache(place, data, fingerprint or f"hub:{source.hub_id}")
    if data.left_out:
        files = "file" if len(data.left_out) == 1 else "files"
        text = f"{len(data.left_out):,} {files} of '{data.source}' left out: {named(data.left_out)}"
        if strict:
            raise HoldfastError(f"{text}; repair or remove them, or load without strict.")
        warnings.warn(f"{text}.", HoldfastWarning, stacklevel=2)
    _warn_of_division(data)
    return data


def default_split(name: str, data_dir: str | os.PathLike[str] | None = None) -> str:
    """The split on which a model that was not trained on the set is measured: ``test``, or ``all`` for a set without
    splits.

    >>> default_split("digits")
    'test'
    """
    if canonical_name(name) in KNOWN:
        return "test"
    source = locate(name, data_dir)
    undivided = source.folder is not None and ALL in source.folder.splits
    if source.function:
        undivided = not takes_split(name)
    return ALL if undivided else "test"


def cache_place(source: Source, split: str, cache_dir: str | os.PathLike[str] | None, **options: Any) -> Path:
    """The cache file of a split in the form that ``options`` of `load_dataset` ask for."""
    options.pop("strict", None)
    form = Form.of(**options)
    key = source.key if form == Form() else f"{source.key}-{hashlib.sha256(repr(form).encode()).hexdigest()[:8]}"
    return cache_file(key, split, cache_dir)


@dataclass(frozen=True)
class _Opened:
    source: Source
    splits: Mapping[str, Pictures]
    classes: tuple[str, ...]
    origin: str
    notes: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def _open(source: Source, cache_dir: str | os.PathLike[str] | None) -> _Opened:
    folder = source.folder
    origin = str(folder.root) if folder else f"Hugging Face Hub, {source.hub_id}"
    if folder and folder.kind == "images":
        pictures, classes, notes, left_out = read_folders(folder.root, {s: p[0] for s, p in folder.splits.items()})
        return _Opened(source, pictures, classes, origin, (*folder.notes, *notes), tuple(left_out))
    tables = open_parquet(folder, cache_root(cache_dir)) if folder else open_hub(source)
    pictures, classes, notes = read_tables(tables, source.known.classes if source.known else ())
    return _Opened(source, pictures, classes, origin, (*(folder.notes if folder else ()), *notes))


def _build(opened: _Opened, split: str, form: Form) -> ImageData:
    """Choose the pictures of a split, and decode them."""
    known = opened.source.known
    raw, parts = plan_split(opened.splits.keys(), split, known=known is not None)
    pictures = joined([opened.splits[name] for name in raw])
    notes = list(opened.notes)
    if len(parts) > 1:
        rows, told = _held_out(pictures.labels, pictures.groups, split, parts, known)
        pictures = pictures.take(rows)
        notes += told
    read = read_pictures(pictures, form)
    if known:
        _check_known(known, tuple(read.images.shape[1:]), form, len(opened.classes), opened.origin)
    return ImageData(
        name=opened.source.name,
        split=split,
        images=read.images,
        labels=torch.from_numpy(np.ascontiguousarray(pictures.labels[read.kept])),
        classes=opened.classes,
        source=f"{opened.origin} ({read.encoding})",
        notes=(*notes, *read.notes),
        left_out=opened.left_out + read.left_out,
    )


def _held_out(
    labels: NDArray[np.int64], groups: Sequence[str], split: str, parts: tuple[str, ...], known: KnownDataset | None
) -> tuple[NDArray[np.int64], list[str]]:
    """The rows of ``split`` among images that several splits share, and a note if the set was one before."""
    if known:
        return hold_out_last(len(labels), known.val)[split], []
    if (labels < 0).all():
        if split == "test":
            return np.arange(len(labels)), []
        raise HoldfastError(
            f"split {split!r}: the images have no labels; put them in one folder per class to train on them."
        )
    rows = hold_out_tenth(labels, groups, parts)[split]
    if len(rows) == 0:
        raise HoldfastError(
            f"split {split!r}: no class has enough of the {len(labels):,} images to hold some out; ask for split "
            "'all', or add images."
        )
    told = f"{DIVIDED}{split!r} is {len(rows):,} of its {len(labels):,} images, by a fixed draw; 'all' is all of them"
    return rows, [told] if len(parts) == 3 else []


def _warn_of_division(data: ImageData) -> None:
    for note in data.notes:
        if note.startswith(DIVIDED):
            warnings.warn(f"data set {data.name!r}: {note}.", HoldfastWarning, stacklevel=3)


def _check_known(known: KnownDataset, shape: tuple[int, ...], form: Form, classes: int, origin: str) -> None:
    expected = (form.channels or known.shape[0], *(form.image_size or known.shape[1:]))
    if shape != expected or classes != len(known.classes):
        raise HoldfastError(
            f"{origin} is not {known.name}: it holds {shape} images of {classes} classes, not "
            f"{expected} of {len(known.classes)}; correct --data-dir, or give the folder as the data set."
        )


def _from_function(name: str, split: str, form: Form) -> ImageData:
    data, chosen = call(name, split)
    if not chosen and split != ALL:
        rows, told = _held_out(data.labels.numpy(), Computed(len(data), str), split, ("train", "val", "test"), None)
        data = replace(data.take(rows.tolist()), split=split, notes=(*data.notes, *told))
    _warn_of_division(data)
    return _formed(data, form)


def _formed(data: ImageData, form: Form) -> ImageData:
    if form == Form():
        return data
    pixels = data.images.permute(0, 2, 3, 1).numpy()
    cells = Computed(len(data), lambda i: pixels[i].squeeze(-1) if data.shape[0] == 1 else pixels[i])
    read = read_pictures(Pictures(cells, Computed(len(data), str), data.labels.numpy(), ()), form, lazy=False)
    return replace(data, images=read.images, notes=(*data.notes, *read.notes))
