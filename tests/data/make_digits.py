"""Make src/holdfast/data/assets/digits.safetensors from the copy in scikit-learn.

Run as ``python tests/data/make_digits.py src/holdfast/data/assets/digits.safetensors``.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

SEED = 0
SIZES = {"val": 200, "test": 400}


def quotas(counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """``size`` places shared out in proportion to ``counts``, by largest remainder."""
    exact = counts * size / counts.sum()
    shares = np.floor(exact).astype(np.int64)
    fullest = np.argsort(shares - exact, kind="stable")
    shares[fullest[: size - shares.sum()]] += 1
    return shares


def stratified(labels: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    rng = np.random.default_rng(SEED)
    counts = np.bincount(labels)
    val, test = (quotas(counts, SIZES[split]) for split in ("val", "test"))
    parts: dict[str, list[NDArray[np.int64]]] = {"train": [], "val": [], "test": []}
    for label in range(len(counts)):
        members = rng.permutation(np.flatnonzero(labels == label))
        cuts = np.cumsum([val[label], test[label]])
        for split, chosen in zip(("val", "test", "train"), np.split(members, cuts), strict=True):
            parts[split].append(chosen)
    return {split: np.sort(np.concatenate(chosen)) for split, chosen in parts.items()}


def digits_tensors() -> dict[str, NDArray[np.generic]]:
    from sklearn.datasets import load_digits

    raw = load_digits()
    labels = raw.target.astype(np.int64)
    images = np.rint(raw.images * 255 / 16).astype(np.uint8)[:, None]
    return {"images": images, "labels": labels, **stratified(labels)}


if __name__ == "__main__":
    from safetensors.numpy import save_file

    save_file(digits_tensors(), sys.argv[1])
