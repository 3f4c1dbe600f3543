"""The metrics that evaluations record, one part each: what it is called, how to read it, what chance gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from holdfast.errors import HoldfastError, unknown_name
from holdfast.metrics.base import Metric
from holdfast.metrics.lens import check_window, lens_topk
from holdfast.metrics.pairs import cosine_similarity, flat_pair, pearson_correlation
from holdfast.metrics.rank import Variant, check_k, check_ranked, kendall_tau, spearman_correlation, topk_intersection
from holdfast.validate import check_count

Side = Literal["precision", "recall"]


@dataclass(frozen=True)
class _OfMaps(Metric):
    """A similarity of signed maps, or of their magnitudes."""

    magnitude: bool = field(default=True, kw_only=True)

    @property
    def bounds(self) -> tuple[float, float]:
        return (0.0, 1.0) if self.unit == "%" else (-1.0, 1.0)

    def _pair(self, maps: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        return (maps.abs(), reference.abs()) if self.magnitude else (maps, reference)

    def _keyed(self, key: str) -> str:
        return key if self.magnitude == type(self).magnitude else ("magnitude_" if self.magnitude else "signed_") + key

    def _titled(self, title: str) -> str:
        return title if self.magnitude == type(self).magnitude else f"{title} ({_SIGN[self.magnitude]})"


_SIGN = {True: "magnitudes", False: "signed"}


@dataclass(frozen=True)
class KendallTau(_OfMaps):
    """Kendall's rank correlation of all features, or with ``nonzero`` of those that are not 0 in the clean map.

    On images with a black background most features of a clean map are exactly 0, and few of an attacked one: over
    all features τ-b then measures the share of zeros as much as the order.

    >>> metric = KendallTau(nonzero=True)
    >>> metric.key, metric(torch.tensor([[0.5, 1.0, 2.0]]), torch.tensor([[0.0, 1.0, 2.0]]))
    ('kendall_nonzero', tensor([1.]))
    """

    variant: Variant = "b"
    nonzero: bool = False
    meaning: ClassVar[str] = (
        "Rank correlation of the features' importance before and after: 1 is the same order, 0 no relation, "
        "-1 the reverse."
    )

    def __post_init__(self) -> None:
        if self.variant not in get_args(Variant):
            raise unknown_name("variant", str(self.variant), get_args(Variant))

    @property
    def title(self) -> str:
        variant = "" if self.variant == "b" else f"-{self.variant}"
        return self._titled(f"Kendall τ{variant}{' where not 0' if self.nonzero else ''}")

    @property
    def key(self) -> str:
        return self._keyed(
            "kendall" + ("" if self.variant == "b" else f"_{self.variant}") + ("_nonzero" if self.nonzero else "")
        )

    def chance(self, n_features: int) -> float:
        return 0.0

    def __call__(self, maps: Float[Tensor, "B ..."], reference: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
        a, b = flat_pair(*self._pair(maps, reference))
        if not self.nonzero:
            return kendall_tau(a, b, variant=self.variant)
        check_ranked(a, b)  # NaN where the clean map is 0 too
        chosen = ((x[y != 0][None], y[y != 0][None]) for x, y in zip(a, b, strict=True))
        return torch.cat([kendall_tau(x, y, variant=self.variant) if x.numel() else x.new_zeros(1) for x, y in chosen])


@dataclass(frozen=True)
class TopK(_OfMaps):
    """Share of the ``k`` most important features that stay among them.

    >>> TopK(k=100).key, TopK(k=100).title, TopK(k=8).chance(64)
    ('top_100', 'Top-100', 0.125)
    """

    k: int = 100
    unit: ClassVar[str] = "%"
    meaning: ClassVar[str] = "Share of the k most important features that are still among the k most important after."

    def __post_init__(self) -> None:
        check_count("k", self.k)

    @property
    def title(self) -> str:
        return self._titled(f"Top-{self.k}")

    @property
    def key(self) -> str:
        return self._keyed(f"top_{self.k}")

    def chance(self, n_features: int) -> float:
        return self.k / n_features

    def check(self, shape: tuple[int, ...]) -> None:
        check_k(self.k, prod(shape))

    def __call__(self, maps: Float[Tensor, "B ..."], reference: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
        return topk_intersection(*self._pair(maps, reference), self.k)


@dataclass(frozen=True)
class LensTopK(_OfMaps):
    """Top-k of pixels that forgives a shift within a window (LENS, see `holdfast.metrics.lens_topk`).

    >>> LensTopK(k=8).key
    'lens_recall_8'
    """

    k: int = 100
    window: int = 3
    side: Side = "recall"
    unit: ClassVar[str] = "%"
    meaning: ClassVar[str] = "Share of the k most important pixels that still have one of the k within a small window."

    def __post_init__(self) -> None:
        check_count("k", self.k)
        check_window(self.window)
        if self.side not in get_args(Side):
            raise unknown_name("side", str(self.side), get_args(Side))

    @property
    def title(self) -> str:
        window = "" if self.window == type(self).window else f" {self.window}×{self.window}"
        return self._titled(f"LENS {self.side} top-{self.k}{window}")

    @property
    def key(self) -> str:
        window = "" if self.window == type(self).window else f"_w{self.window}"
        return self._keyed(f"lens_{self.side}_{self.k}{window}")

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) not in (2, 3):
            raise HoldfastError(f"LENS needs pixels, and an input has shape {shape}; leave {type(self).__name__} out.")
        check_k(self.k, shape[-2] * shape[-1])

    def __call__(self, maps: Float[Tensor, "B ..."], reference: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
        found = lens_topk(*self._pair(maps, reference), self.k, window=self.window)
        return found.recall if self.side == "recall" else found.precision


@dataclass(frozen=True)
class Spearman(_OfMaps):
    """Spearman's rank correlation of all features."""

    meaning: ClassVar[str] = "Correlation of the features' ranks before and after."

    @property
    def title(self) -> str:
        return self._titled("Spearman ρ")

    @property
    def key(self) -> str:
        return self._keyed("spearman")

    def chance(self, n_features: int) -> float:
        return 0.0

    def __call__(self, maps: Float[Tensor, "B ..."], reference: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
        return spearman_correlation(*self._pair(maps, reference))


@dataclass(frozen=True)
class Cosine(_OfMaps):
    """Cosine of the angle between the maps, signed as in the paper's Eq. 3."""

    magnitude: bool = field(default=False, kw_only=True)
    meaning: ClassVar[str] = "Cosine of the angle between the two maps taken as vectors: 1 is the same direction."

    @property
    def title(self) -> str:
        return self._titled("Cosine")

    @property
    def key(self) -> str:
        return self._keyed("cosine")

    def chance(self, n_features: int) -> float | None:
        return None if self.magnitude else 0.0

    def __call__(self, maps: Float[Tensor, "B ..."], reference: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
        return cosine_similarity(*self._pair(maps, reference))


@dataclass(frozen=True)
class Pearson(_OfMaps):
    """Pearson's correlation of the features' values, signed."""

    magnitude: bool = field(default=False, kw_only=True)
    meaning: ClassVar[str] = "Linear correlation of the features' values before and after."

    @property
    def title(self) -> str:
        return self._titled("Pearson r")

    @property
    def key(self) -> str:
        return self._keyed("pearson")

    def chance(self, n_features: int) -> float:
        return 0.0

    def __call__(self, maps: Float[Tensor, "B ..."], reference: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
        return pearson_correlation(*self._pair(maps, reference))


@dataclass(frozen=True)
class ZeroShare(Metric):
    """Share of the clean map's features that are exactly 0.

    >>> ZeroShare()(torch.ones(1, 4), torch.tensor([[0.0, 0.0, 0.0, 2.0]]))
    tensor([0.7500])
    """

    unit: ClassVar[str] = "%"
    higher_is_better: ClassVar[bool | None] = None
    meaning: ClassVar[str] = "Share of the clean map's features that are exactly 0, as black pixels' are."
    if_failed: ClassVar[float | None] = None

    @property
    def title(self) -> str:
        return "Zeros"

    @property
    def key(self) -> str:
        return "zero_share"

    def __call__(self, maps: Float[Tensor, "B ..."], reference: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
        return (flat_pair(maps, reference)[1] == 0).float().mean(1)
