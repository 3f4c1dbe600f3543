"""Per-image records: one small file a batch, complete or absent, so that any shard can stop and go on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from holdfast.errors import HoldfastError
from holdfast.files import make_folder, write_atomically

Record = dict[str, Any]


def to_records(columns: dict[str, Tensor], index: list[int]) -> list[Record]:
    """One row an image of ``index`` from columns of one entry an image."""
    values = {name: column.tolist() for name, column in columns.items()}
    return [{"index": i, **{name: column[row] for name, column in values.items()}} for row, i in enumerate(index)]


class RecordFolder:
    """Records of one kind ("accuracy", "attribution"), batch by batch."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path / "records"
        self.kind = kind
        make_folder(self.path)

    def file(self, batch: int) -> Path:
        return self.path / f"{self.kind}-{batch:05d}.jsonl"

    def missing(self, batches: int, rank: int, world_size: int) -> Iterator[int]:
        """The batches of this shard that are still to do."""
        return (b for b in range(rank, batches, world_size) if not self.file(b).is_file())

    def write(self, batch: int, rows: list[Record]) -> None:
        write_atomically(self.file(batch), "".join(json.dumps(row) + "\n" for row in rows))

    def read(self, batches: Sequence[list[int]]) -> list[Record] | None:
        """All records in order; None while a batch is missing (another shard has not finished).

        Args:
            batches: the indices of the images of each batch.
        """
        files = [self.file(b) for b in range(len(batches))]
        if not all(file.is_file() for file in files):
            return None
        return [row for file, index in zip(files, batches, strict=True) for row in read_records(file, index)]


def read_records(path: Path, index: list[int]) -> list[Record]:
    """The rows of one record file, which must be those of the images ``index``."""
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        whole = [row["index"] for row in rows] == index
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise HoldfastError(
            f"record file {path} is damaged; delete it and run the same command again to redo that batch."
        )
    return rows
