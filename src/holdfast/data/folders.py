"""Class folders: the first level below a split is the class, and all splits share one numbering."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from holdfast.data.images import Pictures, named
from holdfast.errors import HoldfastError

READ = re.compile(
    r"\.(a?png|jpe?g?|jpe|jfif|mpo|bmp|dib|gif|tiff?|webp|p[pgbnf]m|jp[2cfx]|j2[kc]|avifs?)", re.IGNORECASE
)
UNREAD = re.compile(r"\.(hei[cf]|dcm|dng|nef|cr2|psd|tga|svg|nii|np[yz]|exr|hdr|ico|icns)", re.IGNORECASE)
"""Suffixes of pictures: of formats that are read, and of formats that are not."""

Classes = dict[str | None, list[tuple[Path, Path]]]
"""The pictures of each class (None: no class), each with the file or folder that is never divided between splits."""
JUNK = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"})


def visible(folder: Path) -> list[Path]:
    """What lies in a folder, in order of name; hidden names and the leftovers of systems are not there."""
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.name not in JUNK)


def walk(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """All visible files below ``folder``, in order, through symbolic links but never in a circle."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for path in visible(folder):
        if path.is_dir():
            yield from walk(path, (*above, real))
        else:
            yield path


def has_pictures(folder: Path) -> bool:
    return any(READ.fullmatch(path.suffix) for path in walk(folder)) or any(map(_is_picture, walk(folder)))


def plain(path: Path | str) -> str:
    """A name as printable text, the same on every system."""
    text = unicodedata.normalize("NFC", os.fsencode(path).decode("utf-8", "replace"))
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def read_folders(
    root: Path, splits: Mapping[str, Path]
) -> tuple[dict[str, Pictures], tuple[str, ...], list[str], list[str]]:
    """The pictures of each split folder.

    A split without class folders gives pictures without labels (-1). A class folder without a picture keeps its number.
    Pictures beside class folders and in hidden folders are left out and named.

    Returns:
        pictures by split, class names in label order (sorted as text), notes, what was left out.

    Raises:
        HoldfastError: no picture at all.
    """
    notes: list[str] = []
    left_out: list[str] = []
    inside: dict[str, Classes] = {}
    others: Counter[str] = Counter()
    for split, folder in splits.items():
        classes: Classes = {}
        for place in visible(folder):
            if place.is_dir():
                paths = _pictures(walk(place), others)
                groups = [place / path.relative_to(place).parts[0] for path in paths]
                classes.setdefault(plain(place.name), []).extend(zip(paths, groups, strict=True))
        loose = _pictures((path for path in visible(folder) if not path.is_dir()), others)
        if not any(classes.values()) and loose:
            classes = {None: [(path, path) for path in loose]}
        else:
            left_out += [
                f"{plain(path.relative_to(root))} (beside the class folders, so without a class)" for path in loose
            ]
        hidden = [p for p in folder.iterdir() if p.name.startswith(".") and p.is_dir() and has_pictures(p)]
        left_out += [f"{plain(path.relative_to(root))} (hidden folder; rename it if it is a class)" for path in hidden]
        inside[split] = classes
    names = sorted({name for classes in inside.values() for name in classes if name is not None})
    notes += _about_classes(names, inside)
    if others:
        notes.append("ignored, not pictures: " + ", ".join(f"{n:,} {kind}" for kind, n in others.most_common(5)))
    found = {split: _split(root, classes, names) for split, classes in inside.items()}
    if not any(len(pictures.cells) for pictures in found.values()):
        beside = f"; {named(notes)}" if notes else ""
        raise HoldfastError(
            f"'{plain(root)}' holds no images{beside}; give a folder with one folder of images per class."
        )
    return {split: pictures for split, pictures in found.items() if len(pictures.cells)}, tuple(names), notes, left_out


def _pictures(paths: Iterator[Path], others: Counter[str]) -> list[Path]:
    """The files that are pictures by suffix, or else by content; the others are counted by suffix."""
    chosen = []
    for path in paths:
        if READ.fullmatch(path.suffix) or UNREAD.fullmatch(path.suffix) or _is_picture(path):
            chosen.append(path)
        else:
            others[plain(path.suffix.lower()) or "without suffix"] += 1
    return chosen


def _is_picture(path: Path) -> bool:
    from holdfast.data.decode import read_header

    try:
        read_header(str(path))
    except Exception:
        return False
    return True


def _split(root: Path, classes: Classes, names: list[str]) -> Pictures:
    numbers: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    rows = sorted((numbers.get(name, -1), *pair) for name, pairs in classes.items() for pair in pairs)
    return Pictures(
        [str(path) for _, path, _ in rows],
        [plain(path.relative_to(root)) for _, path, _ in rows],
        np.array([label for label, _, _ in rows], np.int64),
        [plain(group.relative_to(root)) for _, _, group in rows],
    )


def _about_classes(names: list[str], inside: Mapping[str, Classes]) -> list[str]:
    notes = []
    for split, classes in inside.items():
        missing = [repr(name) for name in names if not classes.get(name)]
        if None not in classes and missing:
            notes.append(f"{split}: no image of class {named(missing)}; the others keep their numbers")
        elif None in classes and names:
            notes.append(f"{split}: no class folders, so images without labels")
    if all(name.isascii() and name.isdigit() for name in names) and names != sorted(names, key=int):
        notes.append("classes are numbered in the order of their names as text: '10' comes before '2'")
    return notes
