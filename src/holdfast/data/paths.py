"""Where decoded data sets are cached, and where data sets are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from holdfast.errors import HoldfastError


def cache_root(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """``cache_dir``, else ``$HOLDFAST_CACHE``, else ``~/.cache/holdfast``.

    >>> cache_root("somewhere").name
    'somewhere'
    """
    chosen = cache_dir or os.environ.get("HOLDFAST_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "holdfast"


def cache_file(key: str, split: str, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """The cache file of one split; ``key`` names the data set (``Source.key``)."""
    return cache_root(cache_dir) / f"{key}-{split}.safetensors"


def search_folders(name: str, data_dir: str | os.PathLike[str] | None = None) -> list[Path]:
    """Folders that may hold the data set ``name``, in the order they are tried.

    Raises:
        HoldfastError: ``data_dir`` is given but is not a folder.
    """
    folders: list[Path] = []
    if data_dir is not None:
        given = Path(data_dir).expanduser()
        if not given.is_dir():
            raise HoldfastError(f"data folder '{given}' does not exist; give an existing folder as --data-dir.")
        folders += [given / name, given]
    if environment := os.environ.get("HOLDFAST_DATA"):
        folders.append(Path(environment).expanduser() / name)
    return folders
