"""What a report is made from: finished numbers and arrays, checked when they are put together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import HoldfastError, unknown_name
from holdfast.report.metrics import METRICS


@dataclass(frozen=True)
class Estimate:
    """A mean over ``n`` images with its 95 % bootstrap interval, in the metric's own unit (shares in [0, 1]).

    Raises HoldfastError for a value that is not finite, an interval upside down or ``n`` below 1.

    >>> Estimate(0.98, 0.96, 0.99, 200).overlaps(Estimate(0.95, 0.93, 0.97, 200))
    True
    """

    mean: float
    low: float
    high: float
    n: int

    def __post_init__(self) -> None:
        if not all(math.isfinite(x) for x in (self.mean, self.low, self.high)):
            raise HoldfastError(
                f"estimate {self.mean} [{self.low}, {self.high}] is not finite; leave it out of its row"
            )
        if self.low > self.high:
            raise HoldfastError(f"interval [{self.low}, {self.high}] is upside down; give low <= high")
        if self.n < 1:
            raise HoldfastError(f"estimate over n={self.n} images; n must be at least 1")

    def overlaps(self, other: Estimate) -> bool:
        """Whether the two intervals share a point."""
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True)
class Row:
    """One evaluated model. ``run`` names it in curves; ``highlight`` marks the one the report is about.

    ``estimates`` maps keys of ``METRICS`` to estimates; leave out what was not measured. Raises
    HoldfastError for an unknown key.
    """

    name: str
    run: str
    estimates: Mapping[str, Estimate]
    highlight: bool = False

    def __post_init__(self) -> None:
        for key in self.estimates:
            if key not in METRICS:
                raise unknown_name("metric", key, METRICS)


@dataclass(frozen=True)
class Chance:
    """What two unrelated attributions score on average: ``topk`` in [0, 1], ``kendall`` in [-1, 1]."""

    topk: float
    kendall: float

    def values(self) -> dict[str, float]:
        """The chance level of each metric that has one.

        >>> Chance(topk=0.125, kendall=0.0).values()["random_topk"]
        0.125
        """
        return {
            "topk": self.topk,
            "kendall": self.kendall,
            "worst_topk": self.topk,
            "worst_kendall": self.kendall,
            "random_topk": self.topk,
            "random_kendall": self.kendall,
        }


@dataclass(frozen=True)
class Setting:
    """One choice behind the numbers. ``origin`` says whose it is: "paper", "cited code" or "ours"."""

    group: str
    name: str
    value: str
    origin: str


@dataclass(frozen=True)
class Curve:
    """A quantity over the course of a training run. Raises HoldfastError unless both are equally long."""

    run: str
    steps: Sequence[float]
    values: Sequence[float]

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.values) or len(self.steps) == 0:
            raise HoldfastError(
                f"curve of {self.run!r} has {len(self.steps)} steps and {len(self.values)} values; "
                "give equally many, at least one"
            )


@dataclass(frozen=True, eq=False)
class AttackedView:
    """What an attack did to one image of one model; arrays are (C, H, W), attributions signed.

    ``kendall`` and ``topk`` compare the two attributions. ``succeeded`` is False where the attack found
    nothing that keeps the prediction.
    """

    attribution_clean: NDArray[np.floating]
    adversarial: NDArray[np.floating]
    attribution_adversarial: NDArray[np.floating]
    kendall: float
    topk: float
    succeeded: bool


@dataclass(frozen=True, eq=False)
class ExampleView:
    """One image (C, H, W) in [0, 1], 1 or 3 channels, and what became of it under each model.

    Raises HoldfastError where a shape differs from the image's or a value is not finite.
    """

    index: int
    label: str
    image: NDArray[np.floating]
    views: Mapping[str, AttackedView]

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[0] not in (1, 3):
            raise HoldfastError(
                f"example {self.index} has shape {self.image.shape}; give (C, H, W) with 1 or 3 channels"
            )
        arrays = {"image": self.image}
        for model, view in self.views.items():
            arrays[f"attribution_clean of {model!r}"] = view.attribution_clean
            arrays[f"adversarial of {model!r}"] = view.adversarial
            arrays[f"attribution_adversarial of {model!r}"] = view.attribution_adversarial
        for what, array in arrays.items():
            if array.shape != self.image.shape:
                raise HoldfastError(
                    f"example {self.index}: {what} has shape {array.shape}, the image {self.image.shape}"
                )
            if not np.isfinite(array).all():
                raise HoldfastError(f"example {self.index}: {what} holds values that are not finite")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything one report shows.

    ``rows[0]`` is the baseline; the last highlighted row, or else the last row, is compared with it. ``k`` of
    ``n_features`` features enter the top-k intersection. ``curves`` maps a title to the runs' curves.
    ``commands`` reproduce the numbers. Raises HoldfastError for no rows, two rows of one name, ``k``
    outside 1..n_features, or a pictured model that has no row.
    """

    title: str
    dataset: str
    rows: Sequence[Row]
    chance: Chance
    k: int
    n_features: int
    examples: Sequence[ExampleView] = ()
    curves: Mapping[str, Sequence[Curve]] = field(default_factory=dict)
    settings: Sequence[Setting] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    commands: Sequence[str] = ()
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.rows:
            raise HoldfastError("a comparison needs at least one row; evaluate a model first")
        names = [row.name for row in self.rows]
        for name in names:
            if names.count(name) > 1:
                raise HoldfastError(f"two rows are called {name!r}; give each model its own name")
        if not 1 <= self.k <= self.n_features:
            raise HoldfastError(f"k={self.k} of {self.n_features} features; k must lie in 1..{self.n_features}")
        for example in self.examples:
            for model in example.views:
                if model not in names:
                    raise unknown_name("model in an example", model, names)

    @property
    def baseline(self) -> Row:
        """The row the others are measured against: the first."""
        return self.rows[0]

    @property
    def candidate(self) -> Row | None:
        """The last highlighted row, or else the last one; None where that is the baseline itself."""
        chosen = next((row for row in reversed(self.rows) if row.highlight), self.rows[-1])
        return None if chosen is self.rows[0] else chosen
