"""Read the raw splits of a data set through Hugging Face ``datasets``."""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.data.decode import decode_images
from holdfast.data.sources import RAW_SPLITS, Folder, Source
from holdfast.errors import HoldfastError

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")


@dataclass(frozen=True)
class Table:
    """One opened table; ``rows`` is a ``datasets`` data set and ``origin`` names its file."""

    origin: str
    rows: Any


@dataclass(frozen=True)
class RawSplit:
    """A decoded raw split: images uint8 ``(N, C, H, W)``, labels int64 ``(N,)``."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    encoding: str


def open_tables(source: Source) -> Mapping[str, list[Table]]:
    """The tables of each raw split, opened but not read.

    Raises:
        HoldfastError: a file that cannot be opened, or a Hub that cannot be reached.
    """
    if source.folder is None:
        return _open_hub(source)
    if source.folder.kind == "parquet":
        return {split: [_open_parquet(path) for path in paths] for split, paths in source.folder.splits.items()}
    return _open_images(source.folder)


def _open_parquet(path: Path) -> Table:
    import datasets
    import pyarrow.parquet

    try:
        count = pyarrow.parquet.read_metadata(path).num_rows
        with tempfile.TemporaryDirectory() as scratch:
            files = {"train": glob.escape(str(path))}
            rows = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True, cache_dir=scratch)
    except (OSError, ValueError) as error:
        raise _unreadable(f"'{path}'", error) from error
    if count == 0:
        raise _no_images(f"'{path}'")
    return Table(f"'{path}'", rows)


def _open_images(folder: Folder) -> Mapping[str, list[Table]]:
    import datasets

    patterns = {split: f"{glob.escape(str(paths[0]))}/**" for split, paths in folder.splits.items()}
    try:
        with tempfile.TemporaryDirectory() as scratch:
            opened = datasets.load_dataset(
                "imagefolder", data_files=patterns, drop_labels=False, streaming=True, cache_dir=scratch
            )
    except (OSError, ValueError) as error:
        raise _unreadable(f"image folder '{folder.root}'", error) from error
    return {split: [Table(f"'{folder.splits[split][0]}'", rows)] for split, rows in opened.items()}


def _open_hub(source: Source) -> Mapping[str, list[Table]]:
    import datasets

    try:
        opened = datasets.load_dataset(source.hub_id)
    except Exception as error:
        searched = f"not in {', '.join(source.searched)}" if source.searched else "no local folder was given"
        raise HoldfastError(
            f"data set {source.name!r} was not found: {searched}, and the Hub gave no {source.hub_id!r} "
            f"({_first_line(error)}); name the folder that holds it by --data-dir or HOLDFAST_DATA."
        ) from error
    return {
        RAW_SPLITS[split]: [Table(f"{source.hub_id} ({split})", rows)]
        for split, rows in opened.items()
        if split in RAW_SPLITS
    }


def class_names(tables: Mapping[str, list[Table]], usual: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names from the ``ClassLabel`` feature; without one ``usual``, if that names every label of every split,
    else ``"0"`` up to the largest label.

    Raises:
        HoldfastError: no label column, or an unreadable one.
    """
    import datasets

    every = [table for split in tables.values() for table in split]
    feature = every[0].rows.features[_column(every[0], LABEL_COLUMNS)]
    if isinstance(feature, datasets.ClassLabel):
        return tuple(feature.names)
    largest = max(int(_labels(table).max(initial=0)) for table in every)
    return usual if largest < len(usual) else tuple(str(label) for label in range(largest + 1))


def read_split(tables: list[Table]) -> RawSplit:
    """Read and decode all images of a raw split.

    Raises:
        HoldfastError: a corrupt file, missing columns, or images that differ in size or mode.
    """
    decoded = [(*_decode(table), _labels(table)) for table in tables]
    shapes = {images.shape[1:] for images, _, _ in decoded}
    if len(shapes) > 1:
        raise HoldfastError(
            f"{tables[0].origin} and its sister files hold images of shapes {sorted(shapes)}; "
            "all images of a set must share size and mode: resize or convert them."
        )
    images = np.concatenate([images for images, _, _ in decoded]) if len(decoded) > 1 else decoded[0][0]
    return RawSplit(images, np.concatenate([labels for _, _, labels in decoded]), decoded[0][1])


def _decode(table: Table) -> tuple[NDArray[np.uint8], str]:
    import datasets

    name = _column(table, IMAGE_COLUMNS)
    rows = table.rows.select_columns([name]).cast_column(name, datasets.Image(decode=False))
    cells = _read(table, rows, name)
    if not cells:
        raise _no_images(table.origin)
    if any(cell is None for cell in cells):
        raise HoldfastError(f"{table.origin} has rows without an image; remove them.")
    return decode_images([cell["bytes"] or cell["path"] for cell in cells], table.origin)


def _labels(table: Table) -> NDArray[np.int64]:
    name = _column(table, LABEL_COLUMNS)
    labels = np.asarray(_read(table, table.rows.select_columns([name]), name))
    if not np.issubdtype(labels.dtype, np.integer):
        raise HoldfastError(f"{table.origin}: column {name!r} must hold one integer per image; encode it.")
    return labels.astype(np.int64)


def _read(table: Table, rows: Any, column: str) -> list[Any]:
    cells: list[Any] = []
    try:
        for batch in rows.iter(batch_size=1000):
            cells += batch[column]
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(table.origin, error) from error
    return cells


def _column(table: Table, names: tuple[str, ...]) -> str:
    found = list(table.rows.features)
    for name in names:
        if name in found:
            return name
    raise HoldfastError(f"{table.origin} has columns {', '.join(found)}; rename one of them to {' or '.join(names)}.")


def _unreadable(origin: str, error: Exception) -> HoldfastError:
    return HoldfastError(f"{origin} cannot be read, it may be corrupt ({_first_line(error)}); fetch it again.")


def _no_images(origin: str) -> HoldfastError:
    return HoldfastError(f"{origin} holds no images; remove it, or give a file with at least one row.")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
