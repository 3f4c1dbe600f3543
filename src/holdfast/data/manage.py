"""Prepare, describe and list data sets: plain functions behind ``holdfast data``.

Importing this module, and ``available``, do not import torch.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from holdfast.data.catalogue import KNOWN, SPLITS, canonical_name
from holdfast.data.sources import cache_file, locate
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.data.image_data import ImageData

Directory = str | os.PathLike[str] | None


def prepare(name: str, data_dir: Directory = None, cache_dir: Directory = None) -> list[dict[str, Any]]:
    """Decode and cache every split of a data set; later loads read the cache.

    Returns:
        One row per split that exists: ``name, split, images`` (count), ``shape`` (C, H, W), ``classes``
        (count), ``source, cache`` (path of the cache file; None when nothing was cached), ``seconds``.
        Splits that come from the same files are decoded together, so the first row carries their time.

    Raises:
        HoldfastError: as ``load_dataset``.

    >>> [(row["split"], row["images"], row["cache"]) for row in prepare("digits")]
    [('train', 1197, None), ('val', 200, None), ('test', 400, None)]
    """
    return [_row(data, cache, seconds) for data, cache, seconds in _load_all(name, data_dir, cache_dir)]


def describe(name: str, data_dir: Directory = None, cache_dir: Directory = None) -> list[dict[str, Any]]:
    """The rows of ``prepare`` with, for each split, what is in the images.

    Returns:
        Rows with these as well: ``counts`` (class name to number of images), ``mean`` and ``std`` (one per
        channel, over all pixels of the split in [0, 1], population form), ``sha256`` (images and labels).

    Raises:
        HoldfastError: as ``load_dataset``.

    >>> describe("digits")[1]["mean"]
    [0.30...]
    """
    return [
        {**_row(data, cache, seconds), **_contents(data)}
        for data, cache, seconds in _load_all(name, data_dir, cache_dir)
    ]


def available(data_dir: Directory = None, cache_dir: Directory = None) -> list[dict[str, Any]]:
    """The known data sets and where each would come from; no file is opened.

    Returns:
        One row per set: ``name, title, hub_id, shape, classes`` (count), ``images`` (split to published
        count), ``shipped`` (inside the package), ``found`` (local folder, or None), ``cached`` (the splits
        with a cache file).

    Raises:
        HoldfastError: ``data_dir`` is given but is not a folder.

    >>> available()[0]["name"], available()[0]["shipped"]
    ('digits', True)
    """
    rows = []
    for known in KNOWN.values():
        folder = None if known.shipped else locate(known.name, data_dir).folder
        rows.append(
            {
                "name": known.name,
                "title": known.title,
                "hub_id": known.hub_id,
                "shape": known.shape,
                "classes": len(known.classes),
                "images": {split: getattr(known, split) for split in SPLITS},
                "shipped": known.shipped,
                "found": str(folder.root) if folder else None,
                "cached": [s for s in SPLITS if cache_file(known.name, s, cache_dir).is_file()],
            }
        )
    return rows


def _load_all(name: str, data_dir: Directory, cache_dir: Directory) -> list[tuple[ImageData, str | None, float]]:
    from holdfast.data.load import load_dataset
    from holdfast.data.splits import MissingSplitError

    shipped = canonical_name(name) == "digits"
    loaded: list[tuple[ImageData, str | None, float]] = []
    missing: list[MissingSplitError] = []
    for split in SPLITS:
        started = time.perf_counter()
        try:
            data = load_dataset(name, split, data_dir=data_dir, cache_dir=cache_dir)
        except MissingSplitError as error:
            missing.append(error)
            continue
        seconds = time.perf_counter() - started
        cache = None if shipped else cache_file(locate(name, data_dir).key, split, cache_dir)
        loaded.append((data, str(cache) if cache and cache.is_file() else None, seconds))
    if not loaded:
        raise HoldfastError(str(missing[0]))
    return loaded


def _row(data: ImageData, cache: str | None, seconds: float) -> dict[str, Any]:
    return {
        "name": data.name,
        "split": data.split,
        "images": len(data),
        "shape": data.shape,
        "classes": data.num_classes,
        "source": data.source,
        "cache": cache,
        "seconds": seconds,
    }


def _contents(data: ImageData) -> dict[str, Any]:
    import torch

    values = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in data.images.unbind(1):
        weights = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        centre = weights @ values
        mean.append(centre.item())
        std.append((weights @ (values - centre).square()).sqrt().item())
    counts = torch.bincount(data.labels, minlength=data.num_classes).tolist()
    return {
        "counts": dict(zip(data.classes, counts, strict=True)),
        "mean": mean,
        "std": std,
        "sha256": data.checksum(),
    }
