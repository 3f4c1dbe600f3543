"""Parquet files and the Hugging Face Hub, through ``datasets``: tables with a column of images and one of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.data.images import Computed, Pictures
from holdfast.data.sources import RAW_SPLITS, Folder, Source
from holdfast.errors import HoldfastError, first_line

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")
IN_MEMORY_BYTES = 2**30
"""Parquet files of more than this are read through a memory-mapped copy in the cache."""


def open_parquet(folder: Folder, scratch: Path) -> dict[str, list[tuple[str, Any]]]:
    """For each split, its files: name and ``datasets.Dataset``.

    Raises:
        HoldfastError: a file that cannot be opened or has no rows.
    """
    opened: dict[str, list[tuple[str, Any]]] = {}
    for split, paths in folder.splits.items():
        for path in paths:
            try:
                opened.setdefault(split, []).append((f"'{path}'", _open(path, scratch)))
            except (OSError, ValueError) as error:
                raise HoldfastError(
                    f"'{path}' cannot be read, it may be corrupt ({first_line(error)}); fetch it again."
                ) from error
    return opened


def _open(path: Path, scratch: Path) -> Any:
    import datasets
    import pyarrow.parquet

    if path.stat().st_size > IN_MEMORY_BYTES:
        return datasets.Dataset.from_parquet(str(path), cache_dir=str(scratch / "tables"))
    table = pyarrow.parquet.read_table(path, page_checksum_verification=True)
    return datasets.Dataset(table, fingerprint=path.name)


def open_hub(source: Source) -> dict[str, list[tuple[str, Any]]]:
    """For each split of a Hub data set, its name and ``datasets.Dataset``.

    Raises:
        HoldfastError: the Hub cannot be reached, or has no such data set.
    """
    import datasets

    try:
        opened = datasets.load_dataset(source.hub_id)
    except Exception as error:
        searched = f"not in {', '.join(source.searched)}" if source.searched else "no local folder was given"
        raise HoldfastError(
            f"data set {source.name!r} was not found: {searched}, and the Hub gave no {source.hub_id!r} "
            f"({first_line(error)}); name the folder that holds it by --data-dir or HOLDFAST_DATA."
        ) from error
    named = {
        RAW_SPLITS[split]: [(f"{source.hub_id} ({split})", rows)]
        for split, rows in opened.items()
        if split in RAW_SPLITS
    }
    return named or {"all": [(f"{source.hub_id} ({split})", rows) for split, rows in opened.items()]}


def read_tables(
    opened: Mapping[str, list[tuple[str, Any]]], usual: tuple[str, ...] = ()
) -> tuple[dict[str, Pictures], tuple[str, ...], list[str]]:
    """The pictures of each split, the classes (one numbering for all), and notes.

    Class names come from the ``ClassLabel`` feature, or are the labels themselves where those are text. Files whose
    features name other classes, or the same in another order, are mapped by name. Integers are numbers of ``usual``, if
    that names every label, else the classes are ``"0"`` up to the largest label. A table without a column of labels
    gives images without labels (-1).

    Raises:
        HoldfastError: missing columns, labels that are no labels, some files with names and others with bare numbers.
    """
    order = [split for split in ("train", "validation", "test", "all") if split in opened]
    tables = [(split, origin, rows) for split in order for origin, rows in opened[split]]
    for _, origin, rows in tables:
        if len(rows) == 0:
            raise HoldfastError(f"{origin} holds no images; remove it, or give a file with at least one row.")
    labels = [_labels(origin, rows) for _, origin, rows in tables]
    kinds = {kind for kind, _, _ in labels if kind != "none"}
    if len(kinds) > 1:
        raise HoldfastError(
            f"{tables[0][1]} and its sister files do not label alike ({' and '.join(sorted(kinds))}); give all of them "
            "the same class names."
        )
    notes = []
    if kinds == {"class names"}:
        classes = tuple(dict.fromkeys(name for kind, names, _ in labels if kind == "class names" for name in names))
        orders = {names for kind, names, _ in labels if kind == "class names"}
        if len(orders) > 1:
            notes.append("files number the classes differently: mapped by name")
    elif kinds == {"text labels"}:
        classes = tuple(sorted({name for _, names, _ in labels for name in names}))
    else:
        largest = max(int(values.max(initial=-1)) for _, _, values in labels)
        classes = usual if largest < len(usual) else tuple(str(label) for label in range(largest + 1))
    number = {name: i for i, name in enumerate(classes)}
    found: dict[str, list[tuple[str, Any, Any]]] = {}
    for (split, origin, rows), (_, names, values) in zip(tables, labels, strict=True):
        if names:
            values = np.array([*(number[name] for name in names), -1])[values]  # -1, no label, stays -1
        found.setdefault(split, []).append((origin, _images(origin, rows), values))
    return {split: _pictures(parts) for split, parts in found.items()}, classes, notes


def _pictures(parts: Sequence[tuple[str, Any, Any]]) -> Pictures:
    places = np.array([(p, i) for p, (_, cells, _) in enumerate(parts) for i in range(len(cells))], np.int64)

    def cell(i: int) -> bytes | str:
        part, row = places[i]
        found = parts[part][1][int(row)].as_py() or {}
        return found.get("bytes") or found.get("path") or b""

    def name(i: int) -> str:
        part, row = places[i]
        return f"image {row} of {parts[part][0]}"

    labels = np.concatenate([values for _, _, values in parts])
    return Pictures(Computed(len(places), cell), Computed(len(places), name), labels, Computed(len(places), str))


def _images(origin: str, rows: Any) -> Any:
    import datasets

    pictures = [name for name, feature in rows.features.items() if isinstance(feature, datasets.Image)]
    name = pictures[0] if len(pictures) == 1 else _column(origin, rows, IMAGE_COLUMNS)
    try:
        return rows.cast_column(name, datasets.Image(decode=False)).data.column(name)
    except (OSError, ValueError, TypeError) as error:
        raise HoldfastError(f"{origin}: column {name!r} holds no images ({first_line(error)}); encode them.") from error


def _labels(origin: str, rows: Any) -> tuple[str, tuple[str, ...], Any]:
    """Kind of the labels, their names, and the labels themselves (-1: none), int64 ``(N,)``."""
    import datasets

    scalars = [name for name, f in rows.features.items() if isinstance(f, datasets.ClassLabel | datasets.Value)]
    images = [name for name, f in rows.features.items() if isinstance(f, datasets.Image)] or IMAGE_COLUMNS
    if set(rows.features) <= set(images):
        return "none", (), np.full(len(rows), -1, np.int64)
    labelled = [name for name in scalars if isinstance(rows.features[name], datasets.ClassLabel)]
    name = labelled[0] if len(labelled) == 1 else _column(origin, rows, LABEL_COLUMNS)
    column = rows.data.column(name)
    feature = rows.features[name]
    if name not in scalars:
        raise HoldfastError(f"{origin}: column {name!r} must hold one label per image, not a list of them; choose one.")
    if column.null_count == len(column):
        return "none", (), np.full(len(rows), -1, np.int64)
    if column.null_count:
        raise HoldfastError(
            f"{origin}: {column.null_count:,} rows of column {name!r} have no label; give one integer per image."
        )
    values = np.asarray(column.to_pylist())
    if values.dtype.kind == "U":
        names, numbers = np.unique(values, return_inverse=True)
        return "text labels", tuple(str(n) for n in names), numbers.astype(np.int64)
    if values.dtype.kind not in "iub":
        raise HoldfastError(f"{origin}: column {name!r} must hold one integer per image, or one name; encode it.")
    values = values.astype(np.int64)
    if isinstance(feature, datasets.ClassLabel):
        if values.min() < -1 or values.max() >= len(feature.names):
            wrong = values.min() if values.min() < -1 else values.max()
            raise HoldfastError(f"{origin}: label {wrong} is none of its {len(feature.names)} class names; correct it.")
        return "class names", tuple(feature.names), values
    return ("none" if values.max() < 0 else "bare numbers"), (), values


def _column(origin: str, rows: Any, names: tuple[str, ...]) -> str:
    found = list(rows.features)
    for name in names:
        if name in found:
            return name
    raise HoldfastError(f"{origin} has columns {', '.join(found)}; rename one of them to {' or '.join(names)}.")
