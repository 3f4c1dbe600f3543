"""Prepare, describe and list data sets: plain functions behind ``holdfast data``.

Importing this module, and ``available``, do not import torch.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from holdfast.data.catalogue import KNOWN, SPLITS, canonical_name
from holdfast.data.sources import cache_file, locate

if TYPE_CHECKING:
    from holdfast.data.image_data import ImageData

Directory = str | os.PathLike[str] | None


def prepare(name: str, data_dir: Directory = None, cache_dir: Directory = None, **options: Any) -> list[dict[str, Any]]:
    """Decode and cache every split of a data set (``all`` for one without splits); later loads read the cache.

    Args:
        options: of ``load_dataset``: ``image_size``, ``strict``, ...

    Returns:
        One row per split that exists: ``name, split, images`` (count), ``shape`` (C, H, W), ``classes`` (count),
        ``source, notes, left_out, cache`` (path of the cache file; None when nothing was cached), ``seconds``.

    Raises:
        HoldfastError: as ``load_dataset``.

    >>> [(row["split"], row["images"], row["cache"]) for row in prepare("digits")]
    [('train', 1197, None), ('val', 200, None), ('test', 400, None)]
    """
    return [row for _, row in _load_all(name, data_dir, cache_dir, options)]


def describe(
    name: str, data_dir: Directory = None, cache_dir: Directory = None, **options: Any
) -> list[dict[str, Any]]:
    """The rows of ``prepare`` with, for each split, what is in the images: ``counts`` (class name to number of images),
    ``mean`` and ``std`` (one per channel, over all pixels of the split in [0, 1], population form), ``sha256`` (images
    and labels).

    >>> describe("digits")[1]["mean"]
    [0.30...]
    """
    return [{**row, **_contents(data)} for data, row in _load_all(name, data_dir, cache_dir, options)]


def available(data_dir: Directory = None, cache_dir: Directory = None) -> list[dict[str, Any]]:
    """The known data sets and where each would come from; no file is opened.

    Returns:
        One row per set: ``name, title, hub_id, shape, classes`` (count), ``images`` (split to published count),
        ``shipped`` (inside the package), ``found`` (local folder, or None), ``cached`` (the splits with a cache file).

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
                **{key: getattr(known, key) for key in ("name", "title", "hub_id", "shape", "shipped")},
                "classes": len(known.classes),
                "images": {split: getattr(known, split) for split in SPLITS},
                "found": str(folder.root) if folder else None,
                "cached": [s for s in SPLITS if cache_file(known.name, s, cache_dir).is_file()],
            }
        )
    return rows


def _load_all(
    name: str, data_dir: Directory, cache_dir: Directory, options: dict[str, Any]
) -> list[tuple[ImageData, dict[str, Any]]]:
    from holdfast.data.load import cache_place, default_split, load_dataset
    from holdfast.data.splits import MissingSplitError

    shipped = canonical_name(name) == "digits"
    splits = SPLITS if default_split(name, data_dir) == "test" else ("all",)
    loaded: list[tuple[ImageData, dict[str, Any]]] = []
    missing: list[MissingSplitError] = []
    for split in splits:
        started = time.perf_counter()
        try:
            data = load_dataset(name, split, data_dir=data_dir, cache_dir=cache_dir, **options)
        except MissingSplitError as error:
            missing.append(error)
            continue
        seconds = time.perf_counter() - started
        cache = None if shipped else cache_place(locate(name, data_dir), split, cache_dir, **options)
        row = {key: getattr(data, key) for key in ("name", "split", "shape", "source", "notes", "left_out")}
        row |= {"images": len(data), "classes": data.num_classes, "seconds": seconds}
        loaded.append((data, row | {"cache": str(cache) if cache and cache.is_file() else None}))
    if not loaded:
        raise missing[0]
    return loaded


def _contents(data: ImageData) -> dict[str, Any]:
    import torch

    from holdfast.data.loader import to_unit_interval

    sums = torch.zeros(2, data.shape[0], dtype=torch.float64)
    for start in range(0, len(data), 256):
        pixels = to_unit_interval(data.images[start : start + 256], torch.float64)
        sums += torch.stack([pixels.sum((0, 2, 3)), pixels.square().sum((0, 2, 3))])
    mean, square = sums / (len(data) * data.shape[1] * data.shape[2])
    counts = (
        torch.bincount(data.labels, minlength=data.num_classes).tolist() if data.labelled else [0] * data.num_classes
    )
    return {
        "counts": dict(zip(data.classes, counts, strict=True)),
        "mean": mean.tolist(),
        "std": (square - mean.square()).clamp(min=0).sqrt().tolist(),
        "sha256": data.checksum(),
    }
