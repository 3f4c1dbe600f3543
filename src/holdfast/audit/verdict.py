"""What an audit says in plain words: its verdict, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from holdfast.metrics.stats import Interval
from holdfast.report.words import counted, in_levels

if TYPE_CHECKING:
    from holdfast.audit.result import AuditResult

HOLDS, FRAGILE = 0.8, 0.5
"""Shares of the important features left under attack from which maps hold, and below which they are fragile."""


def verdict_on(result: AuditResult) -> str:
    """One sentence in plain words with its numbers."""
    eps = result.reference
    found = {e: result.mean(e, "attack", result.topk, eps) for e in result.measured}
    if not found:
        return f"Nothing can be said: every map ({counted(result.images, 'image')}) is blank, the same everywhere."
    best, worst = result.best, result.worst
    noise = result.mean(worst, "noise", result.topk, eps)
    if found[worst].mean >= HOLDS:
        opening = "The explanations of this model hold"
    elif found[best].mean < FRAGILE:
        opening = "Do not trust the explanations of this model"
    elif len(found) > 1 and found[best].mean >= HOLDS:
        opening = f"Of the explanations of this model only some hold ({result.label(best)} does)"
    else:
        opening = "The explanations of this model hold only in part"
    what = f"{result.label(worst)} keeps {_percent(found[worst])} of its {result.settings.k} most important features"
    others = f"; {result.label(best)}, which holds best, keeps {_percent(found[best])}" if best != worst else ""
    blank = ", ".join(result.label(e) for e in result.explanations if e not in found)
    others += f"; every map of {blank} is blank" if blank else ""
    for rare in (e for e in found if result.mostly_blank(e) and e not in (best, worst)):
        others += (
            f"; {result.label(rare)} is blank on {100 * result.blank(rare):.0f} % of the images and does not count"
        )
    others += "".join(
        f"; maps of {result.label(e)} for different images share {_percent(result.another(e))} of these anyway"
        for e in dict.fromkeys((worst, best))
        if result.alike(e)
    )
    return (
        f"{opening}: {when_attacked(eps)}, {what} "
        f"(under noise of that size {_percent(noise)}){others}. Mean over {counted(result.images, 'image')}."
    )


def steps_after(result: AuditResult) -> list[str]:
    """What an engineer can do."""
    eps, best = result.reference, result.best
    steps = []
    if not result.measured:
        steps.append("Explain by another method, such as integrated gradients: a blank map says nothing.")
    if result.score < HOLDS:
        steps.append(
            f"Train with the attribution regulariser at this radius, starting from your own factory: holdfast "
            f"train DATASET-trades-igr --model file.py:factory --objective.base.attack.eps {eps:.4g}; then audit "
            "again."
        )
    if len(result.measured) > 1:
        steps.append(f"Show {result.label(best)}: of the explanations audited it keeps most under attack.")
    for explanation in filter(result.alike, result.measured):
        steps.append(
            f"Do not take steadiness of {result.label(explanation)} for insight: much of its map is the same for "
            "every image, whatever is on it. Compare maps of several images, or explain by another method."
        )
    half = result.half_gone(best)
    if half is not None:
        steps.append(
            f"Say beside each map that a change of {in_levels(half)} of its range per pixel can replace half of its "
            "important features; where inputs come from others, do not let people act on the map alone."
        )
    for explanation in result.explanations:
        if result.blank(explanation) > 0:
            steps.append(
                f"{result.label(explanation)} is blank on {100 * result.blank(explanation):.0f} % of the images."
            )
    if result.settings.budget in ("light", "quick"):
        steps.append("For a number to quote, run again with --budget standard and at least 50 images.")
    return steps


def when_attacked(eps: float) -> str:
    """What every verdict says its numbers of."""
    return f"when an attacker may change every pixel by {in_levels(eps)} of its range without changing the prediction"


def _percent(found: Interval) -> str:
    if np.isnan(found.mean):
        return "an unknown share"
    ends = "" if found.low is None or found.high is None else f" [{100 * found.low:.0f}, {100 * found.high:.0f}]"
    return f"{100 * found.mean:.0f} %{ends}"
