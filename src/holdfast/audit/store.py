"""What is kept of an audit: the rows and pictures of every image, each file whole or absent."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from holdfast.audit.measure import Pictured
from holdfast.audit.result import AuditResult
from holdfast.audit.settings import SEALED, AuditSettings, metrics_of
from holdfast.errors import HoldfastError
from holdfast.files import locked, make_folder, refuse_to_replace, write_atomically
from holdfast.part_json import refuse_nameless, to_plain
from holdfast.sealed import sealed, unsealed

SETTINGS = SEALED[0]
WRITTEN = ("images", "records.parquet", "flags.json", "audit.json", "report.html")
PAGE_EVERY = 60.0
"""Seconds between two pages of an audit at work."""


class Store:
    """What is kept of an audit: a file of rows and one of pictures per image, whole or absent."""

    def __init__(self, folder: Path | None, settings: AuditSettings, subject: Mapping[str, str]) -> None:
        self.folder = folder
        self.rows: dict[int, list[dict[str, Any]]] = {}
        self.settings = settings
        self.identity = b"" if folder is None else _identity(settings, subject)
        self.shown: float | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """The folder for this process alone, after checking whose it is."""
        if self.folder is None:
            yield
            return
        refuse_to_replace(self.folder, SETTINGS, WRITTEN)
        with locked(self.folder):
            stored = _stored(self.folder)
            if stored is not None:
                refuse_nameless(self.settings, str(self.folder))
            if stored not in (None, self.identity):
                raise HoldfastError(
                    f"{self.folder} holds the audit of another model, other images or other settings; "
                    "choose another --out."
                )
            yield

    def begin(self) -> None:
        """Write whose audit the folder holds."""
        if self.folder is not None:
            write_atomically(self.folder / SETTINGS, self.identity)
            make_folder(self.folder / "images")

    def has(self, index: int) -> bool:
        return self.folder is not None and self._file(index, "json").is_file()

    def keep(self, index: int, rows: list[dict[str, Any]], pictures: dict[str, Pictured]) -> None:
        self.rows[index] = rows
        if self.folder is None:
            return
        buffer = io.BytesIO()
        arrays = {
            f"{place}|{name}": getattr(picture, name).cpu().half().numpy()
            for place, picture in pictures.items()
            for name in ("image", "clean", "attacked", "after")
        }
        np.savez_compressed(buffer, **arrays)
        write_atomically(self._file(index, "npz"), buffer.getvalue())
        write_atomically(self._file(index, "json"), sealed({"rows": rows}))

    def _file(self, index: int, kind: str) -> Path:
        assert self.folder is not None
        return self.folder / "images" / f"{index:05d}.{kind}"

    def records(self) -> pd.DataFrame:
        rows: list[dict[str, Any]] = []
        if self.folder is None:
            rows = [row for index in sorted(self.rows) for row in self.rows[index]]
        else:
            for file in sorted((self.folder / "images").glob("*.json")):
                rows += _kept(file)["rows"]
        found = pd.DataFrame(rows)
        always = ["eps", *(metric.key for metric in metrics_of(self.settings))]
        return found.reindex(columns=[*found.columns, *(c for c in always if c not in found.columns)])

    def flags(self, make: Callable[[], list[str]]) -> list[str]:
        """The self-checks, made once."""
        file = None if self.folder is None else self.folder / "flags.json"
        if file is not None and file.is_file():
            return list(_kept(file)["flags"])
        found = make()
        if file is not None:
            write_atomically(file, sealed({"flags": found}))
        return found

    def show(self, make: Callable[[], AuditResult]) -> None:
        """Write the page of the images that are done, after the first one and then once in `PAGE_EVERY` seconds."""
        now = time.monotonic()
        if self.folder is None or (self.shown is not None and now - self.shown < PAGE_EVERY):
            return
        make().to_html(self.folder / "report.html")
        self.shown = time.monotonic()

    def finish(self, result: AuditResult) -> None:
        if self.folder is None:
            return
        buffer = io.BytesIO()
        result.records.to_parquet(buffer, index=False)
        write_atomically(self.folder / "records.parquet", buffer.getvalue())
        files = {name: sha256((self.folder / name).read_bytes()).hexdigest() for name in SEALED}
        write_atomically(self.folder / "audit.json", sealed({**result.to_dict(), "files": files}, indent=1))
        result.to_html(self.folder / "report.html")


def is_audit_of(folder: Path | None, settings: AuditSettings, subject: Mapping[str, str]) -> bool:
    """Whether ``folder`` holds an audit, finished or not, of these settings, model and images."""
    return folder is not None and _stored(folder) == _identity(settings, subject)


def _stored(folder: Path) -> bytes | None:
    """What says whose audit a folder holds; None where it holds none."""
    file = folder / SETTINGS
    return file.read_bytes() if file.is_file() else None


def _identity(settings: AuditSettings, subject: Mapping[str, str]) -> bytes:
    return (json.dumps({"settings": to_plain(settings), **subject}, indent=1) + "\n").encode()


def _kept(file: Path) -> dict[str, Any]:
    try:
        return unsealed(file.read_bytes())
    except (OSError, ValueError):
        raise _broken(file) from None


def _broken(file: Path) -> HoldfastError:
    return HoldfastError(f"{file} is damaged; delete it and run the same command again to redo it.")


def pictures_of(folder: Path, index: int, explanation: str, prediction: int) -> dict[str, np.ndarray] | None:
    """The stored arrays of one image and predicted class: image, clean map, attacked image, map after."""
    file = folder / "images" / f"{index:05d}.npz"
    if not file.is_file():
        return None
    try:
        with np.load(io.BytesIO(file.read_bytes())) as stored:
            names, place = ("image", "clean", "attacked", "after"), f"{explanation}|{prediction}"
            if f"{place}|image" not in stored:
                return None
            return {name: stored[f"{place}|{name}"].astype(np.float32) for name in names}
    except Exception:  # of zipfile, zlib or NumPy, by what is broken
        raise _broken(file) from None
