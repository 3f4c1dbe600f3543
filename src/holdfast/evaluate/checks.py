"""Is this evaluation itself to be trusted? Signs that an attack was too weak to say anything."""

from __future__ import annotations

from statistics import fmean

from holdfast.config import EvalConfig
from holdfast.evaluate.records import Record

NOTABLE_FAILURES = 0.05
STILL_IMPROVING = 0.9
UNMOVED = 0.99


def check_records(accuracy: list[Record], attribution: list[Record], config: EvalConfig) -> list[str]:
    """Warnings, each with its number and what to do; empty when nothing looks wrong."""
    return [*_prediction_checks(accuracy), *_attribution_checks(attribution, config)]


def _prediction_checks(rows: list[Record]) -> list[str]:
    def accuracy(name: str) -> float:
        return fmean(row[name] == row["label"] for row in rows)

    warnings = []
    if accuracy("fgsm") + 0.01 < accuracy("pgd40"):
        warnings.append(
            f"one FGSM step ({accuracy('fgsm'):.1%} left) beats 40 PGD steps ({accuracy('pgd40'):.1%} left): "
            "the gradient is masked or --pgd-alpha is too small to reach the boundary."
        )
    if accuracy("prediction") > 0.2 and accuracy("pgd20") > accuracy("prediction") - 1e-9 and len(rows) >= 100:
        warnings.append("PGD changed no prediction at all: check --eps, and that the model returns logits.")
    return warnings


def _attribution_checks(rows: list[Record], config: EvalConfig) -> list[str]:
    if not rows:
        return ["no image was classified correctly, so no attribution could be attacked."]
    warnings = []
    if len(rows) < config.n_attribution:
        warnings.append(
            f"only {len(rows)} correctly classified images were there to attack, "
            f"{config.n_attribution} were asked for: intervals are wider."
        )
    for metric, title in (("kendall", "Kendall"), ("topk", "top-k")):
        attacked = fmean(min(r[metric], r[f"rank_{metric}"]) for r in rows)
        control = fmean(r[f"random_{metric}"] for r in rows)
        if attacked > control:
            warnings.append(
                f"random noise ({title} {control:.3f}) is a stronger attack than IFIA ({attacked:.3f}): the numbers "
                "say nothing about worst cases; change --ifia.surrogate-beta or raise --ifia.steps."
            )
    failures = fmean(1.0 - r["succeeded"] for r in rows)
    if failures > NOTABLE_FAILURES:
        warnings.append(
            f"IFIA found nothing on {failures:.1%} of the images (each counts as 1.0): the means look more robust "
            "than the attacked images are."
        )
    unmoved = fmean(r["succeeded"] and r["kendall"] > UNMOVED for r in rows)
    if unmoved > NOTABLE_FAILURES:
        warnings.append(f"{unmoved:.1%} of the attributions hardly moved (Kendall above {UNMOVED}).")
    late = fmean(r["best_step"] > STILL_IMPROVING * config.ifia.steps * config.ifia.restarts for r in rows)
    if late > 0.5:
        warnings.append(
            f"on {late:.0%} of the images IFIA was still improving in its last tenth: raise --ifia.steps "
            f"(now {config.ifia.steps}) for a stronger attack."
        )
    constant = fmean(r["zero_share"] == 1.0 for r in rows)
    if constant > 0:
        warnings.append(f"{constant:.1%} of the clean attributions are zero everywhere: the model may be untrained.")
    return warnings
