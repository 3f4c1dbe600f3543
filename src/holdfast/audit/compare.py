"""Two audits of the same images side by side: paired differences with their intervals, and one sentence."""

from __future__ import annotations

import io
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from holdfast.audit.command import asked_from
from holdfast.audit.result import AuditResult, as_text
from holdfast.audit.settings import SEALED, AuditSettings, bounds_of
from holdfast.audit.verdict import when_attacked
from holdfast.errors import HoldfastError
from holdfast.metrics.stats import LEAST_IMAGES, Interval, contrast
from holdfast.part_json import from_plain
from holdfast.report.words import counted, interval, listed, number
from holdfast.sealed import parsed, unsealed


@dataclass(frozen=True, eq=False)
class AuditComparison:
    """The second of two audits against the first, image by image."""

    first: AuditResult
    second: AuditResult

    @property
    def names(self) -> tuple[str, str]:
        """What the two are called: their models, or their folders where these have one name."""
        a, b = self.first, self.second
        if a.title != b.title or a.folder is None or b.folder is None:
            return a.title, b.title
        return a.folder.name, b.folder.name

    @property
    def explanations(self) -> list[str]:
        """Those that both audits hold."""
        return [e for e in self.first.explanations if e in self.second.explanations]

    @property
    def eps(self) -> list[float]:
        """Radii that both audits hold."""
        return [e for e in self.first.settings.eps if np.isclose(e, self.second.settings.eps).any()]

    @property
    def reference(self) -> float:
        """The shared radius nearest to 2/255, of which the verdict speaks."""
        return min(self.eps, key=lambda e: abs(e - 2 / 255))

    def means(self, explanation: str, what: str, metric: str, eps: float) -> tuple[Interval, Interval]:
        """The first and the second audit's mean over the images that both have, as the difference is."""
        first, second = (r.per_image(explanation, what, metric, eps).index for r in (self.first, self.second))
        shared = first.intersection(second)
        a, b = (r.mean(explanation, what, metric, eps, shared) for r in (self.first, self.second))
        return a, b

    def difference(self, explanation: str, what: str, metric: str, eps: float) -> Interval | None:
        """The second audit's mean less the first's over the images that both have; None where they share none."""
        columns = [r.per_image(explanation, what, metric, eps).to_dict() for r in (self.second, self.first)]
        bounds = bounds_of(self.first.settings, metric)
        paired = contrast([(1.0, {0: columns[0]}), (-1.0, {0: columns[1]})], bounds)
        return None if paired is None else paired.interval()

    def verdict(self) -> str:
        """One sentence in plain words with its numbers: what the intervals of the differences carry."""
        a, b = self.names
        metric, eps = self.first.topk, self.reference
        found = {e: self.difference(e, "attack", metric, eps) for e in self.explanations}
        sure = {e: d for e, d in found.items() if d is not None and d.n >= LEAST_IMAGES}
        more = [e for e, d in sure.items() if d.side > 0]
        less = [e for e, d in sure.items() if d.side < 0]
        if more and less:
            opening = f"Whether the explanations of {b} or of {a} hold better depends on the explanation"
        elif more or less:
            winner, loser = (b, a) if more else (a, b)
            some = "The explanations" if len(more or less) == len(found) else "Some of the explanations"
            opening = f"{some} of {winner} hold better than those of {loser}"
        elif not sure:
            opening = f"Fewer than {LEAST_IMAGES} images cannot tell whether {a} or {b} explains more firmly"
        else:
            opening = f"These images do not tell the explanations of {a} and of {b} apart"
        parts = [self._said(e, d) for e, d in found.items()]
        return (
            f"{opening}: {when_attacked(eps)}, of the {self.first.settings.k} most important features "
            f"{'; '.join(parts)}. {b} less {a}, paired by image, with 95 % intervals."
        )

    def _said(self, explanation: str, difference: Interval | None) -> str:
        a, b = self.names
        label = self.first.label(explanation)
        if difference is None:
            return f"{label} has no image that both audits hold"
        kept = [found.mean for found in self.means(explanation, "attack", self.first.topk, self.reference)]
        ends = ""
        if difference.low is not None and difference.high is not None:
            ends = f" {interval(difference.low, difference.high, True, 0, True)}"
        return (
            f"{label} keeps {100 * kept[1]:.0f} % under {b} and {100 * kept[0]:.0f} % under {a} "
            f"({number(difference.mean, True, 0, True)} points{ends}, {counted(difference.n, 'image')})"
        )

    def to_frame(self) -> pd.DataFrame:
        """A row per explanation, radius and kind of perturbation: both means and the paired difference."""
        rows: list[dict[str, Any]] = []
        for explanation in self.explanations:
            for eps in self.eps:
                for what in ("attack", "noise"):
                    found = self.difference(explanation, what, self.first.topk, eps)
                    first, second = (m.mean for m in self.means(explanation, what, self.first.topk, eps))
                    rows.append(
                        {"explanation": self.first.label(explanation), "eps": eps, "what": what, "first": first,
                         "second": second, "difference": found and found.mean, "low": found and found.low,
                         "high": found and found.high, "n": found.n if found else 0}
                    )  # fmt: skip
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Verdict and numbers as plain values."""
        frame = self.to_frame()
        return {
            "first": self.names[0],
            "second": self.names[1],
            "verdict": self.verdict(),
            "reference_eps": self.reference,
            "numbers": frame.astype(object).where(frame.notna(), None).to_dict("records"),
        }

    def to_html(self, path: str | Path) -> Path:
        """Write the page to ``path``."""
        from holdfast.audit.compare_page import comparison_document

        comparison_document(self).to_html(path)
        return Path(path)

    def __repr__(self) -> str:
        return f"{self.verdict()}\n{as_text(self.to_frame())}"


def compare_audits(first: str | Path | AuditResult, second: str | Path | AuditResult) -> AuditComparison:
    """Two audits of the same images side by side, the second against the first.

    Args:
        first, second: what `audit` returned, or the folders of finished audits.

    Raises:
        HoldfastError: a folder without a finished audit, other images, another number of important features, no
            explanation or no radius that both have.
    """
    a, b = (r if isinstance(r, AuditResult) else load_audit(r) for r in (first, second))
    found = AuditComparison(a, b)
    if a.environment.get("images") != b.environment.get("images"):
        raise HoldfastError(
            f"the audits are of other images ({a.data} and {b.data}, or another size); audit both on the same ones."
        )
    if a.settings.k != b.settings.k:
        raise HoldfastError(
            f"the audits count {a.settings.k} and {b.settings.k} important features; give both one --k."
        )
    if not found.explanations:
        raise HoldfastError(
            f"the audits share no explanation ({listed(a.explanations)} and {listed(b.explanations)}); audit both "
            "with the same --attribution."
        )
    if not found.eps:
        raise HoldfastError("the audits share no radius; audit both with the same --eps.")
    return found


def load_audit(folder: str | Path) -> AuditResult:
    """The finished audit that a folder holds.

    Raises:
        HoldfastError: there is none, or it is damaged.
    """
    place = Path(folder)
    try:
        numbers = unsealed((place / "audit.json").read_bytes())
        contents = {name: (place / name).read_bytes() for name in SEALED}
        found = {name: sha256(content).hexdigest() for name, content in contents.items()}
        if numbers.get("files", found) != found:
            raise ValueError("a file of another audit, or a damaged one")
        plain = parsed(contents["settings.json"])["settings"]
        settings = from_plain(AuditSettings, plain, str(place / "settings.json"))
        return _result(place, numbers, settings, pd.read_parquet(io.BytesIO(contents["records.parquet"])))
    except FileNotFoundError:
        raise HoldfastError(
            f"{place} holds no finished audit; make it with holdfast audit ... --out {place}."
        ) from None
    except HoldfastError:
        raise
    except Exception:  # whatever files of another shape lead to
        raise HoldfastError(f"the audit in {place} is damaged; make it again in another folder.") from None


def _result(place: Path, numbers: dict[str, Any], settings: AuditSettings, records: pd.DataFrame) -> AuditResult:
    return AuditResult(
        numbers["model"],
        numbers["data"],
        settings,
        records,
        numbers["features"],
        tuple(numbers["flags"]),
        tuple(numbers["notes"]),
        numbers["accuracy"],
        numbers["environment"],
        place,
        tuple(numbers["class_names"]),
        numbers.get("images_wanted", numbers["images"]),
        asked_from(numbers.get("asked", {})),
    )
