"""The figures that rest on trained networks: 2b and 5, 4, and 3, 6 and 7."""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.figure import Figure

from holdfast.errors import HoldfastError
from holdfast.recipes import TITLES
from holdfast.report import attribution_figure
from holdfast.reproduce.concordance import SUBSTITUTES, concordance, concordance_claims
from holdfast.reproduce.figures import BASE_COLOURS, activation_figure, concordance_figure
from holdfast.reproduce.model import PaperTable
from holdfast.reproduce.notes import encodings
from holdfast.reproduce.paper import published_gamma
from holdfast.reproduce.pictures import PICTURED_IMAGES, pictured_examples
from holdfast.reproduce.sections.words import dataset_title, listed
from holdfast.reproduce.study import Study
from holdfast.reproduce.targets import PICTURED, SCATTERED, shown
from holdfast.theory.claim import Claim

TITLES_OF = {
    "figure2b": "Figure 2b: Kendall's τ against its substitutes on real images",
    "figure3": "Figure 3: attributions before and after the attack",
    "figure4": "Figure 4: activation consistency",
    "figure5": "Figure 5: Kendall's τ against its substitutes on other data sets",
    "figure6": "Figure 6: more attributions before and after the attack",
    "figure7": "Figure 7: more attributions before and after the attack, another data set",
}


class Drawn(NamedTuple):
    """A figure that is not written yet."""

    figure: Figure
    caption: str
    claims: tuple[Claim, ...] = ()


def draw(study: Study, key: str, activation: PaperTable | None = None) -> Drawn:
    """The figure ``key`` of `TITLES_OF`; Figure 4 is made of the numbers in ``activation``.

    Raises:
        HoldfastError: results or weights that it needs are missing; the message says which.
    """
    if activation and key == "figure4":
        return _activation(activation)
    return _scattered(study, key) if key in SCATTERED else _pictured(study, key)


def _activation(table: PaperTable) -> Drawn:
    if not any(cell.ours is not None for row in table.rows for cell in row.cells):
        raise HoldfastError("no run of its rows has results.")
    caption = (
        "Units active at both images, over the geometric mean of those active at each, among all ReLU units: for each "
        "test image and its own image under IFIA; means with 95 % intervals. The paper prints no numbers with its "
        "bars; section 6.4 quotes two pairs of them."
    )
    return Drawn(activation_figure(table), caption, table.claims)


def _scattered(study: Study, key: str) -> Drawn:
    datasets = shown(SCATTERED[key], study.datasets)
    rows = [[found for kind in SUBSTITUTES if (found := concordance(study, d, kind))] for d in datasets]
    rows = [row for row in rows if row]
    if not rows:
        raise HoldfastError(f"no run on {listed(map(dataset_title, datasets))} has attacked attributions to compare.")
    drawn = [row[0].dataset for row in rows]
    printed = [
        f"{dataset_title(name)} γ_cos {paper[0]}, γ_r {paper[1]}" for name in drawn if (paper := published_gamma(name))
    ]
    beside = f" The paper prints {listed(printed)}; for which network, and of signed maps or not, it does not say."
    caption = (
        "Each point is a test image under IFIA: Kendall's τ of the magnitudes of its attributions before and after the "
        "attack, against the cosine and Pearson's correlation of the signed maps and of their magnitudes. γ, Goodman "
        "and Kruskal's, is taken among the images of one run and averaged over runs; images on which the attack found "
        f"nothing are left out.{beside if printed else ''}{_stand_in(SCATTERED[key], drawn)}"
    )
    caption = " ".join([caption, *encodings(study, drawn)])
    return Drawn(
        concordance_figure(rows), caption, tuple(c for row in rows for found in row for c in concordance_claims(found))
    )


def _pictured(study: Study, key: str) -> Drawn:
    base, wanted = PICTURED[key]
    (dataset,) = shown((wanted,), study.datasets)
    examples = pictured_examples(study, base, dataset)
    names = (TITLES[base], TITLES[f"{base}-igr"])
    colours = {names[0]: BASE_COLOURS[base], names[1]: BASE_COLOURS[base]}
    unsaid = " The paper says neither on which data set nor over which base its figure is." if key == "figure3" else ""
    caption = (
        f"The first {PICTURED_IMAGES} test images of {dataset_title(dataset)} that {names[0]} and {names[1]} (seed "
        f"{study.seeds[0]}, profile {study.profile}) both classify correctly, each attacked by IFIA (top-k) on either "
        f"network; none was chosen by hand.{unsaid}{_stand_in((wanted,), [dataset])}"
    )
    caption = " ".join([caption, *encodings(study, [dataset])])
    return Drawn(attribution_figure(examples, names, study.k(dataset), colours), caption)


def _stand_in(wanted: tuple[str, ...], drawn: list[str]) -> str:
    """What the paper shows and this figure does not."""
    lacking = [dataset_title(name) for name in wanted if name not in drawn]
    return f" The paper shows {listed(map(dataset_title, wanted))}; not run here: {listed(lacking)}." if lacking else ""
