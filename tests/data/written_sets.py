"""Small data sets written to disk for the tests."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def draw_images(count: int, shape: tuple[int, ...] = (6, 5, 3), seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(256, size=(count, *shape), dtype=np.uint8)


def png(image: NDArray[np.uint8], mode: str | None = None) -> bytes:
    from PIL import Image

    picture = Image.fromarray(image)
    buffer = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(
    path: Path,
    encoded: list[bytes],
    labels: list[object],
    *,
    names: list[str] | None = None,
    columns: tuple[str, str] = ("image", "label"),
) -> None:
    """A file as the Hub lays it out; ``names`` adds the ``ClassLabel`` feature."""
    import datasets
    import pyarrow as pa
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": content, "path": None} for content in encoded]
    image_type = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table({columns[0]: pa.array(cells, image_type), columns[1]: labels})
    if names:
        features = datasets.Features({columns[0]: datasets.Image(), columns[1]: datasets.ClassLabel(names=names)})
        table = table.cast(features.arrow_schema)
    pyarrow.parquet.write_table(table, path)


def write_image_folder(root: Path, images: NDArray[np.uint8], labels: list[str]) -> None:
    for position, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = root / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{position:03}.png").write_bytes(png(image))
