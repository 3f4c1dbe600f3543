"""Which images make up train, val, test and all.

- ``test`` is the published test split; without one it is the published validation split.
- ``val`` is held out of training. For MNIST, Fashion-MNIST and CIFAR-10 it is the last 5,000 training images. For other
  sets it is the published validation split if there is also a test split, else a tenth of each class of the training
  images.
- A set with neither test nor validation split (a plain class folder) is one set: ``all``. Who trains on it gets a tenth
  of each class as ``test``, another as ``val`` and the rest as ``train``, and is told so.
- ``train`` is what remains; ``all`` is every image of every split.

A tenth is drawn by a hash of each file's name (or row number), so that it is the same on every machine. Files in one
folder below their class (``class/patient/1.png``) stay together.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import HoldfastError

ALL = "all"


class MissingSplitError(HoldfastError):
    """The data set has no images for this split."""


def plan_split(available: Collection[str], split: str, *, known: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The raw splits to read for ``split``, and all splits that are carved from them.

    Args:
        available: raw splits that exist, of ``train``, ``validation``, ``test``; ``all`` alone for an undivided set.
        split: ``train``, ``val``, ``test`` or ``all``.
        known: a data set with a fixed rule (last images of train held out, published test).

    Raises:
        MissingSplitError: nothing to carve ``split`` from.

    >>> plan_split({"train", "test"}, "val", known=False)
    (('train',), ('train', 'val'))
    >>> plan_split({"all"}, "test", known=False)
    (('all',), ('train', 'val', 'test'))
    """
    if split == ALL:
        return tuple(name for name in ("train", "validation", "test", ALL) if name in available), (ALL,)
    if ALL in available:
        return (ALL,), ("train", "val", "test")
    has_test = "test" in available
    has_validation = "validation" in available and not known
    carved = ["train"]
    if not (has_test and has_validation):
        carved.append("val")
    if not (has_test or has_validation or known):
        carved.append("test")
    if split in carved:
        raw, parts = "train", tuple(carved)
    else:
        raw, parts = ("test" if split == "test" and (has_test or known) else "validation"), (split,)
    if raw not in available:
        raise MissingSplitError(
            f"no images for split {split!r}: it comes from the {raw!r} files, and only "
            f"{', '.join(sorted(available))} exist; add them or choose another split."
        )
    return (raw,), parts


def hold_out_last(total: int, count: int) -> dict[str, NDArray[np.int64]]:
    """Indices of train and val when the last ``count`` of ``total`` images are held out.

    Raises:
        HoldfastError: ``count`` leaves nothing to train on.
    """
    if count >= total:
        raise HoldfastError(
            f"the last {count:,} training images are held out for val, but there are only {total:,}; "
            "use the complete data set, or give the folder as a path to hold out 10 %."
        )
    indices = np.arange(total)
    return {"train": indices[:-count], "val": indices[-count:]}


def hold_out_tenth(
    labels: NDArray[np.int64], groups: Sequence[str], parts: tuple[str, ...]
) -> dict[str, NDArray[np.int64]]:
    """Indices of each part when every part but the first takes a tenth of each class, in whole groups.

    At least one group of a class goes to each part, unless the class has too few for that: then all stay in the first.

    >>> import numpy as np
    >>> chosen = hold_out_tenth(np.array([0] * 10 + [1] * 3), [str(i) for i in range(13)], ("train", "val"))
    >>> len(chosen["train"]), len(chosen["val"])
    (11, 2)
    """
    chosen: dict[str, list[int]] = {part: [] for part in parts}
    for label in np.unique(labels):
        members: dict[str, list[int]] = defaultdict(list)
        for i in np.flatnonzero(labels == label):
            members[groups[int(i)]].append(int(i))
        order = sorted(members, key=lambda group: hashlib.sha256(group.encode()).digest())
        count = max(1, sum(map(len, members.values())) // 10)
        for served, part in enumerate(parts[1:] if len(order) >= len(parts) else (), start=1):
            taken = 0
            while taken < count and len(order) > len(parts) - served:
                group = order.pop()
                taken += len(members[group])
                chosen[part] += members[group]
        for group in order:
            chosen[parts[0]] += members[group]
    return {part: np.array(sorted(rows), np.int64) for part, rows in chosen.items()}
