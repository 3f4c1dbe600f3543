"""The quantities that documents show: what each is called, how it is printed and read, and its values in a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.metrics.stats import Column as Values
from holdfast.metrics.stats import Ends
from holdfast.report.table import Column
from holdfast.results.result import RunResult

ACCURACY = "Accuracy"
ATTACKED = "Attribution under attack"
WORST = "Worst of all attacks"
NOISE = "Under random noise"
SHARED = "Of another image"
REMARKS = {WORST: "worst", NOISE: "noise", SHARED: "other image"}
PREDICTION = ("natural", "fgsm", "pgd20", "pgd40", "cw_inf")


@dataclass(frozen=True)
class Quantity:
    """One column of a table.

    ``heading`` may hold ``{k}``, the number of features in the top-k intersection. ``percent`` prints a share as per
    cent; what is no share lies in [-1, 1]. ``merit`` is False for what is not better when higher. ``meaning`` is one
    plain sentence for the page.
    """

    key: str
    group: str
    heading: str
    percent: bool
    meaning: str
    merit: bool = True

    @property
    def bounds(self) -> Ends:
        """The range of one value."""
        return (0.0, 1.0) if self.percent else (-1.0, 1.0)

    def title(self, k: int) -> str:
        """The heading with its attack, without its unit.

        >>> QUANTITIES["worst_topk"].title(8), QUANTITIES["kendall"].title(8)
        ('Top-8 (worst)', 'Kendall τ')
        """
        remark = f" ({REMARKS[self.group]})" if self.group in REMARKS else ""
        return self.heading.format(k=k) + remark

    def column(self, k: int, group: str = "", signed: bool = False) -> Column:
        """The column of a table, for example of one data set."""
        return Column(
            self.key, self.title(k), group, self.percent, signed, "high" if self.merit and not signed else None
        )


QUANTITIES: dict[str, Quantity] = {
    quantity.key: quantity
    for quantity in (
        Quantity("natural", ACCURACY, "Natural", True, "Images classified correctly as they are."),
        Quantity(
            "fgsm",
            ACCURACY,
            "FGSM",
            True,
            "Images still classified correctly after one gradient step of the largest allowed size.",
        ),
        Quantity(
            "pgd20",
            ACCURACY,
            "PGD-20",
            True,
            "Images still classified correctly after 20 small gradient steps that raise the loss.",
        ),
        Quantity("pgd40", ACCURACY, "PGD-40", True, "The same with 40 steps."),
        Quantity(
            "cw_inf",
            ACCURACY,
            "CW∞",
            True,
            "Images still classified correctly after steps on the Carlini–Wagner margin, of the same size.",
        ),
        Quantity(
            "topk",
            ATTACKED,
            "Top-{k}",
            True,
            "Share of the {k} most important features that are still among the {k} most important after "
            "the attribution attack.",
        ),
        Quantity(
            "kendall",
            ATTACKED,
            "Kendall τ",
            False,
            "Rank correlation of all features’ importance before and after the attribution attack: 1 is the "
            "same order, 0 no relation, −1 the reverse.",
        ),
        Quantity(
            "cosine",
            ATTACKED,
            "Cosine",
            False,
            "Cosine of the angle between the two attributions taken as vectors: 1 is the same direction.",
        ),
        Quantity(
            "failure_rate",
            ATTACKED,
            "No attack found",
            True,
            "Attacked images on which the attack found nothing that keeps the prediction; each counts as 1.0 "
            "in the other columns of this group. High means a strong defence or a weak attack, so no best "
            "value is marked.",
            merit=False,
        ),
        Quantity(
            "activation",
            ATTACKED,
            "Activation consistency",
            False,
            "Units active at both images over the geometric mean of those active at each, among all ReLU units.",
        ),
        Quantity(
            "worst_topk",
            WORST,
            "Top-{k}",
            True,
            "The top-{k} share under the strongest of all attacks for each image: the one above, one that reverses "
            "the whole ranking, random signs, and AutoIFIA, as far as each was run.",
        ),
        Quantity(
            "worst_kendall",
            WORST,
            "Kendall τ",
            False,
            "Kendall’s τ under the strongest of the same attacks for each image: the number to trust.",
        ),
        Quantity(
            "random_topk",
            NOISE,
            "Top-{k}",
            True,
            "The top-{k} share when the image moves by random signs of the same size instead of an attack.",
        ),
        Quantity(
            "random_kendall",
            NOISE,
            "Kendall τ",
            False,
            "Kendall’s τ under the same random noise: how much is lost without any adversary.",
        ),
        Quantity(
            "other_image_topk",
            SHARED,
            "Top-{k}",
            True,
            "Share of the {k} most important features that the map of another image of another class has among its "
            "own: what is left under attack says something about an image as far as it lies above this.",
            merit=False,
        ),
        Quantity(
            "other_image_kendall",
            SHARED,
            "Kendall τ",
            False,
            "Kendall’s τ between the maps of two images of different classes.",
            merit=False,
        ),
    )
}


def heading(key: str, k: int) -> str:
    """What a column is called, without its unit.

    >>> heading("worst_topk", 100), heading("kendall", 100), heading("activation", 100)
    ('Top-100 (worst)', 'Kendall τ', 'Activation consistency')
    """
    return QUANTITIES[key].title(k)


def attacks_of_all(results: Sequence[RunResult]) -> tuple[str, ...]:
    """The attacks on attributions that all results have: a worst case over these alone compares like with like."""
    found = [run.protocol.attacks for run in results]
    return tuple(name for name in (found[0] if found else ()) if all(name in attacks for attacks in found))


def values_of(run: RunResult, key: str, attacks: Sequence[str] | None = None) -> dict[int, float]:
    """A quantity of a result by the index of those images that have it.

    ``attacks`` are those that a worst case is taken over; all of the result by default.
    """
    if key in PREDICTION:
        name = "prediction" if key == "natural" else key
        return {row["index"]: float(row[name] == row["label"]) for row in run.records["accuracy"] if name in row}
    rows = run.records["attribution"]
    if key == "failure_rate":
        return {row["index"]: 1.0 - row["succeeded"] for row in rows if "succeeded" in row}
    names = [key]
    if key.startswith("worst_"):
        first = next(iter(run.protocol.attacks), "")
        chosen = run.protocol.attacks if attacks is None else attacks
        names = [("" if name == first else f"{name}_") + key.removeprefix("worst_") for name in chosen]
    return {row["index"]: min(row[n] for n in names) for row in rows if names and all(n in row for n in names)}


def column_of(results: list[RunResult], key: str, attacks: Sequence[str] | None = None) -> Values:
    """A quantity of the seeds of one method; seeds without it are left out."""
    return {run.seed: values for run in results if (values := values_of(run, key, attacks))}
