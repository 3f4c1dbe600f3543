"""The numbers of an audit, from its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from holdfast.audit.command import Asked
from holdfast.audit.settings import AuditSettings, bounds_of, reference_of
from holdfast.audit.verdict import steps_after, verdict_on
from holdfast.evaluate import name_of
from holdfast.evaluate.faithfulness import alike
from holdfast.metrics.stats import Interval, mean_interval
from holdfast.report.words import in_levels

HALF = 0.5
PRINTED: Mapping[str, Any] = {
    "index": False,
    "formatters": {"eps": in_levels},
    "float_format": "{:.3f}".format,
    "na_rep": "–",
}
"""How pandas prints the numbers of an audit."""


@dataclass(frozen=True, eq=False)
class AuditResult:
    """What an audit found. ``records`` has a row per image, explanation, radius and kind of perturbation."""

    model: str
    """As it was asked for, or its name."""
    data: str
    settings: AuditSettings
    records: pd.DataFrame = field(repr=False)
    features: int = 0
    """Of one image."""
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    accuracy: float | None = None
    """Share of the images that are classified correctly; None without labels."""
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    classes: tuple[str, ...] = ()
    """Names of the model's classes, where they are known."""
    wanted: int = 0
    """Images that were asked for: more than `images` while the audit is at work, or after its time limit."""
    asked: Asked = field(default_factory=Asked, repr=False)
    """What it was asked of, beside its settings."""

    @property
    def images(self) -> int:
        """Images that were audited."""
        return int(self.records["index"].nunique())

    @property
    def explanations(self) -> list[str]:
        return [name_of(a) for a in self.settings.attributions]

    @property
    def title(self) -> str:
        """The model as people read it: a file without its folders."""
        file, colon, factory = self.model.partition(".py:")
        return f"{Path(file).name}{colon}{factory}" if colon or Path(self.model).is_absolute() else self.model

    def label(self, explanation: str) -> str:
        """An explanation as people read it: its title, with its settings where two have one title."""
        titles = {name_of(a): a.title for a in self.settings.attributions}
        title = titles.get(explanation, explanation)
        return title if list(titles.values()).count(title) == 1 else explanation

    def mean(
        self, explanation: str, what: str, metric: str, eps: float, among: pd.Index[int] | None = None
    ) -> Interval:
        """The mean over images (all, or those ``among`` some) of a metric under "attack" or "noise" at a radius."""
        found = self.per_image(explanation, what, metric, eps)
        values = (found if among is None else found[among]).tolist()
        if not values:
            return Interval(float("nan"), None, None, 0)
        return mean_interval(values, bounds_of(self.settings, metric))

    def per_image(self, explanation: str, what: str, metric: str, eps: float) -> pd.Series:
        """A metric by index of the images that have one, averaged over the labels explained where they are several."""
        rows = self.rows(explanation, what, eps)
        return rows[metric].astype(float).groupby(rows["index"]).mean().dropna()

    @property
    def topk(self) -> str:
        """The column of the top-k share."""
        return f"top_{self.settings.k}"

    def rows(self, explanation: str, what: str, eps: float | None = None) -> pd.DataFrame:
        """The records of an explanation under "attack", "noise" or as a "map", at one radius or at all."""
        r = self.records
        found = r[(r["attribution"] == explanation) & (r["what"] == what)]
        return found if eps is None else found[np.isclose(found["eps"].astype(float), eps)]

    def blank(self, explanation: str) -> float:
        """Share of the maps that are the same everywhere."""
        maps = self.rows(explanation, "map")
        return float(maps["blank"].astype(bool).mean()) if len(maps) else float("nan")

    def mostly_blank(self, explanation: str) -> bool:
        """Whether half of the maps or more are blank, so that the explanation does not count."""
        return self.blank(explanation) >= HALF

    def another(self, explanation: str) -> Interval:
        """The share of a map's top features that are those of another image's map too; NaN where that is unknown."""
        maps = self.rows(explanation, "map")
        values = maps["another"].astype(float).dropna().tolist() if "another" in maps else []
        return mean_interval(values, (0.0, 1.0)) if values else Interval(float("nan"), None, None, 0)

    def alike(self, explanation: str) -> bool:
        """Whether maps of different images surely have so much in common that holding under attack says little."""
        return alike(self.another(explanation), self.chance)

    @property
    def chance(self) -> float:
        """The share of the top features that two unrelated maps have in common."""
        return (self.settings.k or 1) / self.features

    def half_gone(self, explanation: str) -> float | None:
        """The median over images of the smallest radius at which half of the top features are gone; None beyond all."""
        rows = self.rows(explanation, "attack")
        found = [_crossing(group["eps"], group[self.topk]) for _, group in rows.groupby(["index", "prediction"])]
        middle = float(np.median(found)) if found else float("inf")
        return middle if np.isfinite(middle) else None

    def class_name(self, prediction: int) -> str:
        """A class as people read it: its first name, or its number."""
        return self.classes[prediction].split(",")[0] if prediction < len(self.classes) else f"class {prediction}"

    def by_class(self, explanation: str) -> dict[int, Interval]:
        """The share of top features left under attack at the reference radius by predicted class, the worst first."""
        rows = self.rows(explanation, "attack", self.reference)
        found = {
            int(prediction): mean_interval(group[self.topk].astype(float).tolist(), (0.0, 1.0))
            for prediction, group in rows.groupby("prediction")
        }
        return dict(sorted(found.items(), key=lambda pair: pair[1].mean))

    @property
    def reference(self) -> float:
        """The radius that the verdict speaks of: the one nearest to 2/255."""
        return reference_of(self.settings.eps)

    @property
    def best(self) -> str:
        """The explanation that keeps most of its top features at the reference radius, blank ones aside."""
        usable = [e for e in self.measured if not self.mostly_blank(e)] or self.measured or self.explanations
        return max(usable, key=self._left)

    @property
    def worst(self) -> str:
        """The explanation that keeps least of its top features at the reference radius."""
        return min(self.measured or self.explanations, key=self._left)

    def _left(self, explanation: str) -> float:
        """The mean share of top features left under attack at the reference radius; below all others where unknown."""
        share = self.mean(explanation, "attack", self.topk, self.reference).mean
        return -1.0 if np.isnan(share) else share

    @property
    def measured(self) -> list[str]:
        """The explanations with at least one map that is not blank, which alone can be attacked."""
        return [e for e in self.explanations if self.mean(e, "attack", self.topk, self.reference).n]

    @property
    def score(self) -> float:
        """The least share of top features left under attack at the reference radius, over the explanations; NaN where
        every map is blank."""
        return self.mean(self.worst, "attack", self.topk, self.reference).mean if self.measured else float("nan")

    def verdict(self) -> str:
        """One sentence in plain words with its numbers."""
        return verdict_on(self)

    def next_steps(self) -> list[str]:
        """What an engineer can do."""
        return steps_after(self)

    def to_frame(self) -> pd.DataFrame:
        """One row per explanation, radius and kind of perturbation: means with their intervals."""
        rows = []
        for explanation in self.explanations:
            for eps in self.settings.eps:
                for what in ("attack", "noise"):
                    found = self.mean(explanation, what, self.topk, eps)
                    rows.append(
                        {"explanation": self.label(explanation), "eps": eps, "what": what, "topk": found.mean,
                         "low": found.low, "high": found.high, "n": found.n,
                         **{m: self.mean(explanation, what, m, eps).mean for m in self._others()}}
                    )  # fmt: skip
        return pd.DataFrame(rows)

    def _others(self) -> Sequence[str]:
        known = ("kendall", "cosine")
        return [c for c in self.records.columns if c in known or c.startswith("lens")]

    def to_dict(self) -> dict[str, Any]:
        """Verdict, numbers with intervals, and flags, as plain values."""
        frame = self.to_frame()
        return {
            "model": self.model,
            "data": self.data,
            "verdict": self.verdict(),
            "score": self.score if self.measured else None,
            "reference_eps": self.reference,
            "k": self.settings.k,
            "images": self.images,
            "images_wanted": self.wanted,
            "features": self.features,
            "class_names": list(self.classes),
            "accuracy": self.accuracy,
            "numbers": frame.astype(object).where(frame.notna(), None).to_dict("records"),
            "classes": {self.class_name(c): found.mean for c, found in self.by_class(self.best).items()},
            "blank": {self.label(e): self.blank(e) for e in self.explanations},
            "another_image": {self.label(e): _number(self.another(e).mean) for e in self.explanations},
            "half_gone_eps": {self.label(e): self.half_gone(e) for e in self.explanations},
            "flags": list(self.flags),
            "notes": list(self.notes),
            "environment": dict(self.environment),
            "asked": asdict(self.asked),
        }

    def to_html(self, path: str | Path) -> Path:
        """Write the page to ``path``."""
        from holdfast.audit.page import document_of

        document_of(self).to_html(path)
        return Path(path)

    def __repr__(self) -> str:
        return f"{self.verdict()}\n{as_text(self.to_frame())}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self.verdict())}</p>{self.to_frame().to_html(**PRINTED)}"


def _crossing(eps: pd.Series, share: pd.Series) -> float:
    """The radius at which a share falls to half, linear between those measured; infinite where it does not."""
    points = sorted(zip(eps.astype(float), share.astype(float), strict=True))
    before = (0.0, 1.0)
    for point in points:
        if point[1] <= HALF:
            part = (before[1] - HALF) / max(before[1] - point[1], 1e-12)
            return before[0] + part * (point[0] - before[0])
        before = point
    return float("inf")


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


def as_text(frame: pd.DataFrame) -> str:
    """The numbers of an audit, or of two, for a terminal; radii in levels of 255."""
    return frame.fillna(float("nan")).to_string(**PRINTED)
