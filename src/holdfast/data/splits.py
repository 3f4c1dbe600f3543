"""Which images make up train, val and test.

- ``test`` is the published test split; without one it is the published validation split.
- ``val`` is held out of training. For MNIST, Fashion-MNIST and CIFAR-10 it is the last 5,000 training
  images. For other sets it is the published validation split if there is also a test split, else the last
  10 % of each class of the training images (of each class, because image folders are sorted by class).
- A set with neither test nor validation split gives the last 10 % of each class to ``test`` and the 10 %
  before it to ``val``.
- ``train`` is what remains.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import HoldfastError


class MissingSplitError(HoldfastError):
    """The data set has no images for this split."""


def plan_split(available: Collection[str], split: str, *, known: bool) -> tuple[str, tuple[str, ...]]:
    """The raw split to read for ``split``, and all splits that are carved from it.

    Args:
        available: raw splits that exist, of ``train``, ``validation``, ``test``.
        split: ``train``, ``val`` or ``test``.
        known: a data set with a fixed rule (last images of train held out, published test).

    Raises:
        MissingSplitError: nothing to carve ``split`` from.

    >>> plan_split({"train", "test"}, "val", known=False)
    ('train', ('train', 'val'))
    >>> plan_split({"train", "validation"}, "test", known=False)
    ('validation', ('test',))
    """
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
    return raw, parts


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


def hold_out_tenth(labels: NDArray[np.int64], parts: tuple[str, ...]) -> dict[str, NDArray[np.int64]]:
    """Indices of each part when every part but the first takes the last 10 % of each class.

    At least one image of a class goes to each part, unless the class has too few for that: then all stay
    in the first part.

    >>> import numpy as np
    >>> hold_out_tenth(np.array([0] * 10 + [1] * 3), ("train", "val"))["val"].tolist()
    [9, 12]
    """
    chosen: dict[str, list[NDArray[np.int64]]] = {part: [] for part in parts}
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = max(1, len(members) // 10) if len(members) >= len(parts) else 0
        for part in reversed(parts[1:]):
            chosen[part].append(members[len(members) - count :])
            members = members[: len(members) - count]
        chosen[parts[0]].append(members)
    return {part: np.sort(np.concatenate(indices)) for part, indices in chosen.items()}
