"""What a metric of two maps is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from holdfast.parts import Part


@dataclass(frozen=True)
class Metric(Part, ABC):
    """``metric(maps, reference)`` -> one number per image; both are signed maps (B, ...) of one shape."""

    kind: ClassVar[str] = "metric"
    package: ClassVar[str | tuple[str, ...]] = "holdfast.metrics"
    unit: ClassVar[str] = ""
    """"%" for shares in [0, 1] that tables show in percent, else empty."""
    higher_is_better: ClassVar[bool | None] = True
    """None for a quantity that is no merit by itself."""
    meaning: ClassVar[str] = ""
    """One line on what it says."""
    if_failed: ClassVar[float | None] = 1.0
    """What an image counts as on which an attack found nothing; None: as measured."""

    @abstractmethod
    def __call__(self, maps: Float[Tensor, "B ..."], reference: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
        """The value of each pair."""

    @property
    def key(self) -> str:
        """Its column in records; two metrics of one evaluation need two keys."""
        return type(self).__name__.lower()

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The range of one value, for its intervals; None where it has none."""
        return (0.0, 1.0) if self.unit == "%" else None

    def chance(self, n_features: int) -> float | None:
        """Its mean over unrelated maps of ``n_features``; None where that depends on more."""
        return None

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise HoldfastError where maps of ``shape`` (without the batch) cannot be compared."""
