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
from holdfast.errors import HoldfastError, unknown_name

RAW_SPLITS: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
}
"""Split names found in the wild, to the three raw splits."""

LAYOUTS = (
    "parquet files (train-00000-of-00001.parquet, test-...), image folders (train/<class>/*.png, test/..., or "
    "<class>/*.png), or images without labels"
)
_PARQUET_NAME = re.compile(rf"({'|'.join(RAW_SPLITS)})([-_.].*)?\.parquet", re.IGNORECASE)
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True)
class Folder:
    """A local data set: for each raw split (``all``: undivided) its parquet files, or its one folder."""

    root: Path
    kind: Literal["parquet", "images"]
    splits: Mapping[str, tuple[Path, ...]]
    notes: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """SHA-256 over the names, sizes and times of change of all that may be read."""
        from holdfast.data.folders import walk

        files = [path for paths in self.splits.values() for path in paths]
        if self.kind == "images":
            files = [path for folder in files for path in (*folder.iterdir(), *walk(folder))]
        facts = []
        for path in sorted(files):
            try:
                stat = path.stat()
                facts.append(
                    (os.fsencode(path.relative_to(self.root)).hex(), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
                )
            except OSError:  # a dangling link
                facts.append((os.fsencode(path.relative_to(self.root)).hex(), -1, 0, 0))
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@dataclass(frozen=True)
class Source:
    """Where a data set will be read from: a local folder when there is one, a function, else the Hub."""

    name: str
    key: str
    known: KnownDataset | None
    folder: Folder | None
    hub_id: str | None
    searched: tuple[str, ...] = ()
    function: bool = False


def find_folder(root: Path, *, divided: bool = False) -> Folder | None:
    """The data set that lies in ``root`` (or parquet files in ``root/data``), or None when there is none.

    Args:
        divided: only one with splits counts.

    Raises:
        HoldfastError: two folders for one split, or names of splits beside classes.
    """
    from holdfast.data.folders import has_pictures, visible

    if not root.is_dir():
        return None
    for place in (root, root / "data"):
        found = sorted(path for path in place.glob("*.parquet") if not path.name.startswith("."))
        files: dict[str, list[Path]] = {}
        for path in found:
            if match := _PARQUET_NAME.fullmatch(path.name):
                files.setdefault(RAW_SPLITS[match[1].lower()], []).append(path)
        if files or (found and not divided):
            others = [path.name for path in found if not _PARQUET_NAME.fullmatch(path.name)]
            notes = (f"not read, of no split: {', '.join(others)}",) if files and others else ()
            splits = {split: tuple(paths) for split, paths in files.items()} or {"all": tuple(found)}
            return Folder(place, "parquet", splits, notes)
    folders = [path for path in visible(root) if path.is_dir()]
    named = [path for path in folders if path.name.lower() in RAW_SPLITS and has_pictures(path)]
    if not named:
        return Folder(root, "images", {"all": (root,)}) if not divided and _holds_files(root) else None
    beside = [path.name for path in folders if path not in named and has_pictures(path)]
    flat = [path.name for path in named if not any(p.is_dir() and has_pictures(p) for p in visible(path))]
    if beside and flat:
        raise HoldfastError(
            f"folder '{root}' holds {flat[0]!r}, the name of a split, beside {beside[0]!r}: split or class? Rename the "
            "class, or move the splits to a folder of their own."
        )
    splits = {RAW_SPLITS[path.name.lower()]: (path,) for path in named}
    if len(splits) < len(named):
        raise HoldfastError(
            f"folder '{root}' holds {', '.join(path.name for path in named)}, of which two are the same split; rename "
            "one of them."
        )
    return Folder(root, "images", splits, (f"not read, beside the splits: {', '.join(beside)}",) if beside else ())


def _holds_files(root: Path) -> bool:
    from holdfast.data.folders import walk

    return next(walk(root), None) is not None


def locate(name: str, data_dir: str | os.PathLike[str] | None = None) -> Source:
    """Decide where ``name`` is to be read from; nothing is opened or downloaded.

    Raises:
        HoldfastError: an unknown name, a folder that does not exist, or one that holds no data set.
    """
    name = canonical_name(name)
    known = KNOWN.get(name)
    if known is None and (path := Path(name).expanduser()).is_dir():
        return _from_path(path)
    if known is None and re.fullmatch(r".{2,}:[^\W\d]\w*", name):
        return Source(name, _path_key(Path(name)), None, None, None, function=True)
    if known is None and _looks_like_path(name):
        raise HoldfastError(f"data set folder '{name}' does not exist; give a folder with {LAYOUTS}.")
    hub_id = known.hub_id if known else name if _HUB_ID.fullmatch(name) else None
    searched = _search_folders(name, data_dir)
    for place in searched:
        mistaken = place.name in KNOWN and place.name != name
        if not mistaken and (folder := find_folder(place, divided=place.name != Path(name).name)):
            key = name.replace("/", "--") if hub_id else _path_key(folder.root)
            return Source(name, key, known, folder, hub_id)
    if hub_id is None:
        remedy = "A Hub id 'owner/name', the path of a folder or file.py:function works too."
        raise unknown_name("data set", name, KNOWN, remedy)
    return Source(name, name.replace("/", "--"), known, None, hub_id, tuple(str(place) for place in searched))


def _search_folders(name: str, data_dir: str | os.PathLike[str] | None = None) -> list[Path]:
    """Folders that may hold the data set ``name``, in the order they are tried."""
    folders: list[Path] = []
    if data_dir is not None:
        given = Path(data_dir).expanduser()
        if not given.is_dir():
            raise HoldfastError(f"data folder '{given}' does not exist; give an existing folder as --data-dir.")
        folders += [given / name, given]
    if environment := os.environ.get("HOLDFAST_DATA"):
        folders.append(Path(environment).expanduser() / name)
    return folders


def _from_path(path: Path) -> Source:
    folder = find_folder(path)
    if folder is None:
        raise HoldfastError(f"folder '{path}' holds no data set; it needs {LAYOUTS}.")
    return Source(path.resolve().name, _path_key(path), None, folder, None)


def _path_key(path: Path) -> str:
    resolved = path.resolve()
    return f"{resolved.name}-{hashlib.sha256(str(resolved).encode('utf-8', 'replace')).hexdigest()[:8]}"


def cache_root(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """``cache_dir``, else ``$HOLDFAST_CACHE``, else ``~/.cache/holdfast``.

    >>> cache_root("somewhere").name
    'somewhere'
    """
    chosen = cache_dir or os.environ.get("HOLDFAST_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "holdfast"


def cache_file(key: str, split: str, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """The cache file of one split; ``key`` names the data set (``Source.key``) and the form of its images."""
    return cache_root(cache_dir) / f"{key}-{split}.safetensors"


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "~")) or Path(name).is_absolute() or "\\" in name or name.count("/") > 1
