"""What the numbers say about the compared model against the baseline, in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from holdfast.report.metrics import METRICS
from holdfast.report.model import Comparison, Row

Kind = Literal["better", "worse", "unclear", "mixed", "none"]
Outcome = Literal["higher", "lower", "unclear"]
NOTABLE_FAILURE_RATE = 0.05


@dataclass(frozen=True)
class Difference:
    """The compared model's mean minus the baseline's; clear only where the two intervals do not overlap."""

    key: str
    before: float
    after: float
    outcome: Outcome

    @property
    def text(self) -> str:
        """The signed difference with its unit: percentage points for shares."""
        metric = METRICS[self.key]
        return metric.number(self.after - self.before, signed=True) + (" points" if metric.percent else "")


@dataclass(frozen=True)
class Verdict:
    """``kind`` follows the attribution metrics alone; caveats are whole sentences."""

    kind: Kind
    headline: str
    detail: str = ""
    caveats: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """Headline and detail as one sentence."""
        return f"{self.headline}: {self.detail}." if self.detail else f"{self.headline}."


def difference(key: str, baseline: Row, candidate: Row) -> Difference | None:
    """How the two rows differ in one metric, or None where either lacks it.

    >>> from holdfast.report.model import Estimate
    >>> a = Row("A", "a", {"kendall": Estimate(0.41, 0.38, 0.44, 200)})
    >>> b = Row("B", "b", {"kendall": Estimate(0.6, 0.58, 0.63, 200)})
    >>> difference("kendall", a, b).outcome, difference("kendall", a, b).text
    ('higher', '+0.190')
    """
    before, after = baseline.estimates.get(key), candidate.estimates.get(key)
    if before is None or after is None:
        return None
    outcome: Outcome = "unclear"
    if not before.overlaps(after):
        outcome = "higher" if after.mean > before.mean else "lower"
    return Difference(key, before.mean, after.mean, outcome)


def judge(comparison: Comparison) -> Verdict:
    """Compare the candidate with the baseline on Kendall's τ, top-k and natural accuracy.

    A model is called better or worse only where the 95 % intervals of τ or top-k do not overlap and the
    other does not point the other way.
    """
    baseline, candidate = comparison.baseline, comparison.candidate
    if candidate is None:
        return Verdict("none", f"Only {baseline.name} was evaluated; there is nothing to compare it with")
    found = [difference(key, baseline, candidate) for key in ("kendall", "topk")]
    attacked = [part for part in found if part is not None]
    natural = difference("natural", baseline, candidate)
    kind = _kind(attacked)
    details = [_describe(part, comparison.k) for part in attacked]
    text = " and ".join(details)
    if natural is not None:
        text += ("; " if text else "") + _describe(natural, comparison.k)
    caveats = tuple(_caveats(comparison, baseline, candidate, [*attacked, *([natural] if natural else [])]))
    return Verdict(kind, _headline(kind, baseline.name, candidate.name), text, caveats)


def _kind(attacked: list[Difference]) -> Kind:
    outcomes = {part.outcome for part in attacked} - {"unclear"}
    if not attacked:
        return "none"
    if not outcomes:
        return "unclear"
    if len(outcomes) == 2:
        return "mixed"
    return "better" if outcomes == {"higher"} else "worse"


def _headline(kind: Kind, baseline: str, candidate: str) -> str:
    return {
        "better": f"{candidate} holds its attributions under attack better than {baseline}",
        "worse": f"{candidate} holds its attributions under attack worse than {baseline}",
        "unclear": f"Under attack, the attributions of {candidate} and {baseline} "
        "cannot be told apart at this sample size",
        "mixed": f"Kendall’s τ and top-k disagree on whether {candidate} holds its attributions "
        f"under attack better than {baseline}",
        "none": f"The attributions of {candidate} and {baseline} were not both measured under attack",
    }[kind]


def _describe(part: Difference, k: int) -> str:
    metric = METRICS[part.key]
    unit = " %" if metric.percent else ""
    name = {"kendall": "Kendall’s τ", "topk": f"top-{k}", "natural": "natural accuracy"}[part.key]
    open_question = ", intervals overlap" if part.outcome == "unclear" else ""
    return (
        f"{name} {metric.number(part.after)}{unit} against {metric.number(part.before)}{unit} "
        f"({part.text}{open_question})"
    )


def _caveats(comparison: Comparison, baseline: Row, candidate: Row, parts: list[Difference]) -> list[str]:
    found = []
    if any(part.outcome == "unclear" for part in parts):
        found.append("Overlapping intervals leave a difference open; they do not show that there is none.")
    rates = [
        (row.name, row.estimates["failure_rate"]) for row in (candidate, baseline) if "failure_rate" in row.estimates
    ]
    if any(rate.mean >= NOTABLE_FAILURE_RATE for _, rate in rates):
        shares = " and ".join(
            f"{METRICS['failure_rate'].number(rate.mean)} % of the images of {name}" for name, rate in rates
        )
        found.append(f"The attribution attack found nothing on {shares}; these count as unchanged.")
    kendall = candidate.estimates.get("kendall")
    if kendall is not None and kendall.low <= comparison.chance.kendall:
        found.append(f"Kendall’s τ of {candidate.name} under attack is not clearly above chance.")
    return found
