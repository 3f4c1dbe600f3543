"""The pairs of networks of the zoo, a base and the same with IGR, and what their records say image by image."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from holdfast.metrics.stats import Ends, Sample, contrast

BASES = {
    "mnist": ("at", "trades"),
    "fashion_mnist_01": ("trades", "mart"),
    "cifar10": ("at",),
}
"""Bases of the zoo that have a network with IGR, by setup."""


def methods_of(setup: str) -> list[str]:
    """The networks of a setup, each base beside the same with IGR."""
    return [f"{base}{igr}" for base in BASES[setup] for igr in ("", "-igr")]


def images_on(setup: str, images: int) -> int:
    """How many images of a setup are taken: half as many of CIFAR-10, where an image costs most."""
    return images // (2 if setup == "cifar10" else 1)


def over_images(
    records: pd.DataFrame, parts: Sequence[tuple[float, str]], value: str, bounds: Ends | None = None
) -> Sample:
    """A weighted sum over networks of the column ``value``, image by image."""
    columns = []
    for weight, network in parts:
        own = records[records["network"] == network]
        columns.append((weight, {0: dict(zip(own["image"], own[value].astype(float), strict=True))}))
    found = contrast(columns, bounds)
    assert found is not None
    return found
