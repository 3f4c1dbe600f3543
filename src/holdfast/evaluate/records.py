"""Records: one row per image and attack, in one small Parquet file per batch, whole or absent.

Rows of kind "accuracy" hold the prediction of an image under an attack on predictions ("natural": under none); rows of
kind "attribution" how alike the maps of an image are before and after an attack on an attribution; rows of kind
"control" how alike the map of an image is to that of another image. Every file has every column, so that
``pandas.read_parquet(folder)`` gives everything; what a row does not have is null.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.errors import HoldfastError
from holdfast.files import make_folder, write_atomically

KINDS = ("accuracy", "attribution", "control")
COLUMNS = {
    "kind": pa.string(),
    "index": pa.int64(),
    "label": pa.int64(),
    "attribution": pa.string(),
    "attack": pa.string(),
    "status": pa.string(),
    "prediction": pa.int64(),
    "correct": pa.bool_(),
    "succeeded": pa.bool_(),
    "best_step": pa.int64(),
    "activation": pa.float64(),
}
"""What every record has beside one column per metric. ``index``: the image in its split; ``status``: "ok", or what is
odd about the image's map; ``prediction``: -1 where the logits are not numbers; ``best_step``: 0 for none."""
OK = "ok"
CHECKSUM = b"holdfast.sha256"


def table_of(rows: dict[str, Any], metrics: Sequence[str]) -> pa.Table:
    """Columns (of which absent ones are null) as a table of every column, in the order of `COLUMNS` and ``metrics``."""
    types = {**COLUMNS, **{key: pa.float64() for key in metrics}}
    length = len(rows["index"])
    arrays = [pa.array(rows.get(name, [None] * length), type=kind, from_pandas=True) for name, kind in types.items()]
    return pa.table(arrays, names=list(types))


def packed(table: pa.Table) -> bytes:
    """A table as a Parquet file that holds the SHA-256 of its values; equal tables give equal bytes."""
    buffer = io.BytesIO()
    table = table.replace_schema_metadata({CHECKSUM: _digest(table)})
    numbers = [f.name for f in table.schema if pa.types.is_floating(f.type)]
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        use_dictionary=[name for name in table.column_names if name not in numbers],
        use_byte_stream_split=numbers,
    )
    return buffer.getvalue()


def rows_of(table: pa.Table) -> pd.DataFrame:
    """A table for pandas; absent whole numbers and truths are NA, absent other numbers NaN."""
    return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get)


def unpacked(content: bytes) -> pa.Table:
    """The table in a Parquet file.

    Raises:
        ValueError: it is damaged.
    """
    try:
        table = pq.read_table(io.BytesIO(content))
        whole = (table.schema.metadata or {}).get(CHECKSUM) == _digest(table)
    except (pa.ArrowException, KeyError, OSError, TypeError, UnicodeError):
        whole = False
    if not whole:
        raise ValueError("no table whose checksum holds")
    return table.replace_schema_metadata(None)


def _digest(table: pa.Table) -> bytes:
    columns = {f"{field.name} {field.type}": table[field.name].to_pylist() for field in table.schema}
    return hashlib.sha256(repr(columns).encode()).hexdigest().encode()


class RecordFolder:
    """Records of one kind, batch by batch; each image has ``per_image`` rows."""

    def __init__(self, path: Path, kind: str, metrics: Sequence[str], per_image: int) -> None:
        self.path = path / "records"
        self.kind, self.metrics, self.per_image = kind, metrics, per_image
        make_folder(self.path)

    def file(self, batch: int) -> Path:
        return self.path / f"{self.kind}-{batch:05d}.parquet"

    def missing(self, batches: int, rank: int, world_size: int) -> Iterator[int]:
        """The batches of this shard that are still to do."""
        return (b for b in range(rank, batches, world_size) if not self.file(b).is_file())

    def write(self, batch: int, rows: dict[str, Any]) -> None:
        table = table_of({"kind": [self.kind] * len(rows["index"]), **rows}, self.metrics)
        write_atomically(self.file(batch), packed(table))

    def read(self, batches: Sequence[list[int]]) -> pa.Table | None:
        """All records in order; None while a batch is missing (another shard has not finished).

        Args:
            batches: the indices of the images of each batch.
        """
        files = [self.file(b) for b in range(len(batches))]
        if not all(file.is_file() for file in files):
            return None
        return pa.concat_tables([self._read(file, index) for file, index in zip(files, batches, strict=True)])

    def _read(self, path: Path, index: list[int]) -> pa.Table:
        """The rows of one record file, which must be those of the images ``index``."""
        try:
            table = unpacked(path.read_bytes())
            whole = table["index"].to_pylist() == index * self.per_image and set(self.metrics) < set(table.column_names)
        except (OSError, ValueError):
            whole = False
        if not whole:
            raise HoldfastError(
                f"record file {path} is damaged; delete it and run the same command again to redo that batch."
            )
        return table


def read_records(folder: Path) -> pa.Table:
    """Everything that an evaluation wrote into ``folder``, in order."""
    files = [file for kind in KINDS for file in sorted((folder / "records").glob(f"{kind}-*.parquet"))]
    if not files:
        raise HoldfastError(f"{folder} holds no records; evaluate into it first.")
    try:
        return pa.concat_tables([unpacked(file.read_bytes()) for file in files])
    except (OSError, ValueError):
        raise HoldfastError(f"a record file in {folder / 'records'} is damaged; evaluate again into it.") from None
