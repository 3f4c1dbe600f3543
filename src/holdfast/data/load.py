"""Load a split of a data set by name, from the package, a folder, the Hub or the cache."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from holdfast.data.cache import read_cache, write_cache
from holdfast.data.catalogue import SPLITS, KnownDataset, canonical_name
from holdfast.data.digits import load_digits
from holdfast.data.image_data import ImageData
from holdfast.data.paths import cache_file
from holdfast.data.read import class_names, open_tables, read_split
from holdfast.data.sources import Source, locate
from holdfast.data.splits import hold_out_last, hold_out_tenth, plan_split
from holdfast.errors import HoldfastError, unknown_name


def load_dataset(
    name: str,
    split: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> ImageData:
    """Load one split of an image classification data set.

    Args:
        name: ``digits``, ``mnist``, ``fashion_mnist`` or ``cifar10``; a Hub id ``owner/name``; or the path
            of a folder with parquet files in Hub layout or with one folder of images per class, below
            ``train/`` and ``test/`` or without that level. (A folder in the working directory that bears a
            known name is written ``./mnist``.)
        split: ``train``, ``val`` or ``test``; ``holdfast.data.splits`` says which images each one holds.
        data_dir: where to look first: ``data_dir/name``, then ``data_dir`` itself. Then come
            ``$HOLDFAST_DATA/name``, and the Hub last.
        cache_dir: folder of decoded copies; default ``$HOLDFAST_CACHE``, else ``~/.cache/holdfast``.

    Returns:
        The decoded split. A copy in the cache is used if its checksum is right and the source files have
        kept their names, sizes and modification times. Where no local source is found, any sound copy in
        the cache is used before the Hub is asked.

    Raises:
        HoldfastError: an unknown name or split, no source, a corrupt source, or images that do not fit
            together.

    >>> len(load_dataset("digits", "val"))
    200
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    if canonical_name(name) == "digits":
        return load_digits(split)
    source = locate(name, data_dir)
    fingerprint = source.folder.fingerprint() if source.folder else None
    cached = read_cache(cache_file(source.key, split, cache_dir), fingerprint)
    if cached is not None:
        return cached
    built = _build(source, split)
    for data in built.values():
        write_cache(cache_file(source.key, data.split, cache_dir), data, fingerprint or f"hub:{source.hub_id}")
    return built[split]


def _build(source: Source, split: str) -> dict[str, ImageData]:
    """Decode the raw split that holds ``split``, and carve every split out of it."""
    tables = open_tables(source)
    raw_name, parts = plan_split(tables.keys(), split, known=source.known is not None)
    raw = read_split(tables[raw_name])
    classes = class_names(tables, source.known.classes if source.known else ())
    origin = str(source.folder.root) if source.folder else f"Hugging Face Hub, {source.hub_id}"
    if source.known:
        _check_known(source.known, raw.images.shape[1:], len(classes), origin)
    indices: Mapping[str, NDArray[np.int64] | slice]
    if parts == ("train", "val") and source.known:
        indices = hold_out_last(len(raw.labels), source.known.val)
    elif len(parts) > 1:
        indices = hold_out_tenth(raw.labels, parts)
    else:
        indices = {parts[0]: slice(None)}
    return {
        part: ImageData(
            name=source.name,
            split=part,
            images=torch.from_numpy(raw.images[chosen]),
            labels=torch.from_numpy(raw.labels[chosen]),
            classes=classes,
            source=f"{origin} ({raw.encoding})",
        )
        for part, chosen in indices.items()
    }


def _check_known(known: KnownDataset, shape: tuple[int, ...], classes: int, origin: str) -> None:
    if shape != known.shape or classes != len(known.classes):
        raise HoldfastError(
            f"{origin} is not {known.name}: it holds {shape} images of {classes} classes, not "
            f"{known.shape} of {len(known.classes)}; correct --data-dir, or give the folder as the data set."
        )
