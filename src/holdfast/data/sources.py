"""Find the files of a data set without opening them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from holdfast.data.catalogue import KNOWN, KnownDataset, canonical_name
from holdfast.data.paths import search_folders
from holdfast.errors import HoldfastError, unknown_name

RAW_SPLITS: Mapping[str, str] = {
    "train": "train",
    "test": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}
"""Split names found in the wild, to the three raw splits."""

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
LAYOUTS = "parquet files (train-00000-of-00001.parquet, test-...) or image folders (train/<class>/*.png, test/...)"

_PARQUET_NAME = re.compile(rf"({'|'.join(RAW_SPLITS)})([-_.].*)?\.parquet")
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True)
class Folder:
    """A local data set: for each raw split its parquet files, or its one folder of class folders."""

    root: Path
    kind: Literal["parquet", "images"]
    splits: Mapping[str, tuple[Path, ...]]

    def fingerprint(self) -> str:
        """SHA-256 over the names, sizes and modification times of all files."""
        files = [path for paths in self.splits.values() for path in paths]
        if self.kind == "images":
            files = [path for folder in files for path in _image_files(folder)]
        facts = [
            (path.relative_to(self.root).as_posix(), (stat := path.stat()).st_size, stat.st_mtime_ns)
            for path in sorted(files)
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@dataclass(frozen=True)
class Source:
    """Where a data set will be read from: a local folder when there is one, else the Hub."""

    name: str
    key: str
    known: KnownDataset | None
    folder: Folder | None
    hub_id: str | None
    searched: tuple[str, ...] = ()


def _image_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]


def _has_class_folders(folder: Path) -> bool:
    classes = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return any(path.suffix.lower() in IMAGE_SUFFIXES for each in classes for path in each.iterdir())


def find_folder(root: Path) -> Folder | None:
    """The data set that lies in ``root`` (or ``root/data``), or None when there is none."""
    if not root.is_dir():
        return None
    for place in (root, root / "data"):
        files: dict[str, list[Path]] = {}
        for path in sorted(place.glob("*.parquet")):
            if match := _PARQUET_NAME.fullmatch(path.name):
                files.setdefault(RAW_SPLITS[match[1]], []).append(path)
        if files:
            return Folder(place, "parquet", {split: tuple(paths) for split, paths in files.items()})
    folders = {
        RAW_SPLITS[path.name]: (path,)
        for path in sorted(root.iterdir())
        if path.name in RAW_SPLITS and path.is_dir() and _has_class_folders(path)
    }
    if folders:
        return Folder(root, "images", folders)
    return Folder(root, "images", {"train": (root,)}) if _has_class_folders(root) else None


def locate(name: str, data_dir: str | os.PathLike[str] | None = None) -> Source:
    """Decide where ``name`` is to be read from; nothing is opened or downloaded.

    Raises:
        HoldfastError: an unknown name, a folder that does not exist, or one that holds no data set.
    """
    name = canonical_name(name)
    known = KNOWN.get(name)
    if known is None and (path := Path(name).expanduser()).is_dir():
        return _from_path(path)
    if known is None and _looks_like_path(name):
        raise HoldfastError(f"data set folder '{name}' does not exist; give a folder with {LAYOUTS}.")
    hub_id = known.hub_id if known else name if _HUB_ID.fullmatch(name) else None
    key = name.replace("/", "--")
    searched = search_folders(name, data_dir)
    for place in searched:
        mistaken = place.name in KNOWN and place.name != name
        if not mistaken and (folder := find_folder(place)):
            return Source(name, key if hub_id else _path_key(folder.root), known, folder, hub_id)
    if hub_id is None:
        remedy = "A Hub id 'owner/name' or the path of a folder works too."
        raise unknown_name("data set", name, KNOWN, remedy)
    return Source(name, key, known, None, hub_id, tuple(str(place) for place in searched))


def _from_path(path: Path) -> Source:
    folder = find_folder(path)
    if folder is None:
        raise HoldfastError(f"folder '{path}' holds no data set; it needs {LAYOUTS}.")
    return Source(path.resolve().name, _path_key(path), None, folder, None)


def _path_key(path: Path) -> str:
    resolved = path.resolve()
    return f"{resolved.name}-{hashlib.sha256(str(resolved).encode()).hexdigest()[:8]}"


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "~")) or Path(name).is_absolute() or "\\" in name or name.count("/") > 1
