"""The quantities a report can show: what each is called, how it is printed and how to read it."""

from __future__ import annotations

from dataclasses import dataclass

ACCURACY = "Accuracy"
ATTACKED = "Attribution under attack"
WORST = "Worst of three attacks"
NOISE = "Under random noise"
REMARKS = {WORST: "worst", NOISE: "noise"}


@dataclass(frozen=True)
class Metric:
    """One column of the table.

    ``heading`` may hold ``{k}``, the number of features in the top-k intersection. ``percent`` prints a
    share as per cent. ``higher_is_better`` is None for a quantity that is not a merit by itself, whose best
    value is never marked. ``meaning`` is one plain-language sentence for the page.
    """

    key: str
    group: str
    heading: str
    percent: bool
    higher_is_better: bool | None
    meaning: str

    @property
    def unit(self) -> str:
        """``"%"``, or ``""`` for a bare number."""
        return "%" if self.percent else ""

    def number(self, value: float, signed: bool = False) -> str:
        """``value`` as printed, without its unit.

        >>> METRICS["natural"].number(0.97812), METRICS["kendall"].number(0.4321)
        ('97.8', '0.432')
        >>> METRICS["kendall"].number(-0.00004), METRICS["topk"].number(0.05, signed=True)
        ('0.000', '+5.0')
        """
        rounded = round(value * 100, 1) if self.percent else round(value, 3)
        text = f"{rounded + 0.0:{'+' if signed else ''}.{1 if self.percent else 3}f}"
        return text.replace("-", "−")

    def title(self, k: int) -> str:
        """The heading under its group, with ``k`` filled in.

        >>> METRICS["topk"].title(8)
        'Top-8'
        """
        return self.heading.format(k=k)

    def full_title(self, k: int) -> str:
        """The heading where no group stands above it, with its unit.

        >>> METRICS["random_topk"].full_title(8), METRICS["kendall"].full_title(8)
        ('Top-8 (noise, %)', 'Kendall τ')
        """
        remarks = [REMARKS[self.group]] if self.group in REMARKS else []
        remarks += [self.unit] if self.unit else []
        return self.title(k) + (f" ({', '.join(remarks)})" if remarks else "")


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("natural", ACCURACY, "Natural", True, True, "Images classified correctly as they are."),
        Metric(
            "fgsm",
            ACCURACY,
            "FGSM",
            True,
            True,
            "Images still classified correctly after one gradient step of the largest allowed size.",
        ),
        Metric(
            "pgd20",
            ACCURACY,
            "PGD-20",
            True,
            True,
            "Images still classified correctly after 20 small gradient steps that raise the loss.",
        ),
        Metric("pgd40", ACCURACY, "PGD-40", True, True, "The same with 40 steps."),
        Metric(
            "cw_inf",
            ACCURACY,
            "CW∞",
            True,
            True,
            "Images still classified correctly after steps on the Carlini–Wagner margin, of the same size.",
        ),
        Metric(
            "topk",
            ATTACKED,
            "Top-{k}",
            True,
            True,
            "Share of the {k} most important features that are still among the {k} most important after "
            "the attribution attack.",
        ),
        Metric(
            "kendall",
            ATTACKED,
            "Kendall τ",
            False,
            True,
            "Rank correlation of all features’ importance before and after the attribution attack: 1 is the "
            "same order, 0 no relation, −1 the reverse.",
        ),
        Metric(
            "cosine",
            ATTACKED,
            "Cosine",
            False,
            True,
            "Cosine of the angle between the two attributions taken as vectors: 1 is the same direction.",
        ),
        Metric(
            "failure_rate",
            ATTACKED,
            "No attack found",
            True,
            None,
            "Attacked images on which the attack found nothing that keeps the prediction; each counts as 1.0 "
            "in the other columns of this group. High means a strong defence or a weak attack, so no best "
            "value is marked.",
        ),
        Metric(
            "worst_topk",
            WORST,
            "Top-{k}",
            True,
            True,
            "The top-{k} share under the strongest of three attacks for each image: the one above, one that "
            "reverses the whole ranking, and random signs.",
        ),
        Metric(
            "worst_kendall",
            WORST,
            "Kendall τ",
            False,
            True,
            "Kendall’s τ under the strongest of the same three attacks for each image: the number to trust.",
        ),
        Metric(
            "random_topk",
            NOISE,
            "Top-{k}",
            True,
            True,
            "The top-{k} share when the image moves by random signs of the same size instead of an attack.",
        ),
        Metric(
            "random_kendall",
            NOISE,
            "Kendall τ",
            False,
            True,
            "Kendall’s τ under the same random noise: how much is lost without any adversary.",
        ),
    )
}
