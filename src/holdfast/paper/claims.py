"""What the paper's section 6 says of its tables, tested on ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from holdfast.metrics.stats import apart
from holdfast.paper.published import published_difference
from holdfast.paper.study import Study
from holdfast.recipes import TITLES
from holdfast.report.claim import Claim, Effect, corrected, effect_of, judge
from holdfast.report.quantities import QUANTITIES, heading
from holdfast.report.words import dataset_title, listed
from holdfast.sweep.plan import PAPER_DATASETS

FOUND = "What the paper finds in its experiments"
PROVED = "What the paper proves and draws"
OURS = "What we ask besides: the worst of all attacks"
BASES = ("at", "trades", "mart")
"""What the paper adds IGR to."""
WITH_IGR = tuple(f"{base}-igr" for base in BASES)
RIVALS = ("ig-norm", "ig-sum-norm", "advaat", "art", "ssr")
ROBUSTNESS = ("topk", "kendall")
WORST = ("worst_topk", "worst_kendall")
ATTACKED = ("fgsm", "pgd20", "cw_inf")
MARGIN = 0.02
"""What "comparable" and "keeps" allow to be lost: 2 points of a share, 0.02 of Kendall's tau."""


def gain(base: str) -> dict[str, float]:
    """What IGR adds to a base.

    >>> gain("at")
    {'at-igr': 1.0, 'at': -1.0}
    """
    return {f"{base}-igr": 1.0, base: -1.0}


def mean_of(methods: Sequence[str], sign: float = 1.0) -> dict[str, float]:
    """The mean of several methods as weights."""
    return dict.fromkeys(methods, sign / len(methods))


class Difference(NamedTuple):
    """A weighted sum of methods on one data set, called by ``name``; ``alone`` leaves data set and quantity out."""

    dataset: str
    weights: Mapping[str, float]
    key: str
    name: str
    alone: bool = False


def effects_of(study: Study, differences: Sequence[Difference]) -> list[Effect]:
    """Their effects, with what the paper's tables give for each."""
    samples = [study.contrast(d.dataset, d.weights, d.key) for d in differences]
    measured = sum(sample is not None for sample in samples)
    return [
        effect_of(
            d.name if d.alone else _labelled(study, d),
            sample,
            QUANTITIES[d.key].percent,
            of=max(measured, 1),
            paper=published_difference(d.key, dict(d.weights), d.dataset),
            missing=tuple(f"{t} on {dataset_title(d.dataset)}" for t in study.missing(d.dataset, tuple(d.weights))),
        )
        for d, sample in zip(differences, samples, strict=True)
    ]


def _labelled(study: Study, d: Difference) -> str:
    where = f"{dataset_title(d.dataset)} " if len(study.datasets) > 1 else ""
    return f"{where}{d.name} {heading(d.key, study.k(d.dataset))}"


def _judged(
    study: Study, statement: str, differences: Sequence[Difference], margin: float = 0.0, remark: str = ""
) -> Claim:
    """A claim of the paper about all data sets of the study, which the statement's ``{}`` or its end names."""
    where = listed(map(dataset_title, study.datasets))
    named = statement.format(where) if "{}" in statement else f"{statement}, on {where}"
    return judge(named, effects_of(study, differences), margin=margin, remark=remark, whose=FOUND)


def everywhere(study: Study, rows: Mapping[str, Mapping[str, float]], keys: Sequence[str]) -> list[Difference]:
    """Weighted sums of methods, by name, on every data set in every quantity."""
    return [
        Difference(dataset, weights, key, name)
        for dataset in study.datasets
        for name, weights in rows.items()
        for key in keys
    ]


def titles(methods: Sequence[str]) -> str:
    """Methods as the paper writes them.

    >>> titles(("at", "trades-igr"))
    'AT and TRADES+IGR'
    """
    return listed(TITLES[method] for method in methods)


GAINS = {TITLES[base]: gain(base) for base in BASES}
"""What IGR adds to each base, by the base's title."""
BOOSTS = {
    f"gain of TRADES less gain of {TITLES[other]}": {**gain("trades"), **{m: -w for m, w in gain(other).items()}}
    for other in ("at", "mart")
}
"""By how much IGR's gain over TRADES exceeds its gain over AT and over MART."""


def gains(dataset: str, key: str) -> list[Difference]:
    """What IGR adds to one quantity over each base."""
    return [Difference(dataset, gain(base), key, TITLES[base], alone=True) for base in BASES]


def igr_claims(study: Study, keys: Sequence[str], where: str = "", whose: str = FOUND) -> Iterator[Claim]:
    """Whether IGR raises each quantity over each base, a claim a data set and quantity."""
    for dataset in study.datasets:
        for key in keys:
            what = heading(key, study.k(dataset))
            statement = f"On {dataset_title(dataset)} IGR raises {what} over {titles(BASES)}{where}"
            yield judge(statement, effects_of(study, gains(dataset, key)), whose=whose)


def attribution_claims(study: Study) -> list[Claim]:
    """Each gain of IGR, then findings (i) to (iv) of section 6.2 and the abstract's."""
    return [
        *igr_claims(study, ROBUSTNESS, " under IFIA (top-k)"),
        _judged(
            study,
            "(i) Models trained with IGR outperform their base in both top-k and Kendall's τ",
            everywhere(study, GAINS, ROBUSTNESS),
        ),
        *_finding_2(study),
        *_finding_3(study),
        *_finding_4(study),
    ]


def worst_claims(study: Study) -> list[Claim]:
    """Each gain of IGR under the worst of all attacks."""
    return list(igr_claims(study, WORST, whose=OURS))


def _finding_2(study: Study) -> Iterator[Claim]:
    helps = {f"{TITLES[base]} less Standard": {base: 1.0, "standard": -1.0} for base in BASES}
    yield _judged(
        study,
        f"(ii) Adversarial training alone ({titles(BASES)}) helps the attributions compared with standard training",
        everywhere(study, helps, ROBUSTNESS),
    )
    others = [dataset for dataset in study.datasets if dataset in PAPER_DATASETS and dataset != "mnist"]
    if others and "mnist" in study.datasets:
        yield _especially(study, others)


def _especially(study: Study, others: Sequence[str]) -> Claim:
    """The second half of (ii), which compares gains on different images: each resampled on its own."""
    help_of = {**mean_of(BASES), "standard": -1.0}
    places = listed(map(dataset_title, others))
    statement = f"(ii) It helps more on {places} than on MNIST (mean of {titles(BASES)} less Standard)"
    test = (
        "images of each data set on their own; holds if every 95 % interval of the difference between the data sets "
        "lies above 0, does not hold if one lies below (corrected for their number, not for the other claims); no "
        "verdict from one seed"
    )
    effects = []
    pairs = [(dataset, key) for dataset in others for key in ROBUSTNESS]
    for dataset, key in pairs:
        label, percent = (
            f"{dataset_title(dataset)} less MNIST {heading(key, study.k(dataset))}",
            QUANTITIES[key].percent,
        )
        here, mnist = (study.contrast(name, help_of, key) for name in (dataset, "mnist"))
        if here is None or mnist is None:
            effects.append(Effect(label, None, percent, missing=("all of these methods on both data sets",)))
            continue
        wide = apart(*(sample.interval(corrected(len(pairs))) for sample in (here, mnist)))
        decisive = here.decisive and mnist.decisive
        found = apart(here.interval(), mnist.interval())
        effects.append(Effect(label, found, percent, wide.high if wide else None, decisive))
    return judge(statement, effects, test=test, whose=FOUND)


def _finding_3(study: Study) -> Iterator[Claim]:
    rivals = mean_of(RIVALS, -1.0)
    yield _judged(
        study,
        f"(iii) {titles(BASES)} are weaker in attribution robustness than the attribution protection methods",
        everywhere(study, {"protection less adversarial": {**mean_of(RIVALS), **mean_of(BASES, -1.0)}}, ROBUSTNESS),
        remark=f'"weaker" read of the means: {titles(RIVALS)} against {titles(BASES)}',
    )
    yield _judged(
        study,
        "(iii) With IGR they are comparable to the attribution protection methods or stronger",
        everywhere(study, {"with IGR less protection": {**mean_of(WITH_IGR), **rivals}}, ROBUSTNESS),
        margin=MARGIN,
        remark=f'means of {titles(WITH_IGR)} and of {titles(RIVALS)}; "comparable" read as at most {MARGIN:g} below',
    )
    ahead = {f"TRADES+IGR less {TITLES[rival]}": {"trades-igr": 1.0, rival: -1.0} for rival in RIVALS}
    yield _judged(
        study,
        "TRADES+IGR outperforms every attribution protection method (abstract)",
        everywhere(study, ahead, ROBUSTNESS),
    )


def _finding_4(study: Study) -> Iterator[Claim]:
    ahead = {f"TRADES less {TITLES[other]}": {"trades": 1.0, other: -1.0} for other in ("at", "mart")}
    yield _judged(
        study,
        f"(iv) TRADES has the best attribution protection of {titles(BASES)}",
        everywhere(study, ahead, ROBUSTNESS),
        remark='"among models without IGR" read as among those that IGR is added to',
    )
    yield _judged(study, "(iv) IGR adds most to TRADES", everywhere(study, BOOSTS, ROBUSTNESS))


def accuracy_claims(study: Study) -> list[Claim]:
    """Section 6.3: IGR raises, or at least keeps, the accuracies under attack, and keeps the natural one."""
    every = everywhere(study, GAINS, ATTACKED)
    excepted = Difference("cifar10", gain("trades"), "pgd20", TITLES["trades"])
    exception = ", except TRADES under PGD-20 on CIFAR-10" if excepted in every else ""
    attacks, lost = "FGSM, PGD-20 and CW∞", f"it loses at most {100 * MARGIN:g} points against {titles(BASES)}"
    return [
        _judged(
            study,
            f"IGR raises accuracy under {attacks} over {titles(BASES)}{exception}",
            [difference for difference in every if difference != excepted],
        ),
        _judged(study, f"IGR keeps accuracy under {attacks}: {lost}", every, margin=MARGIN),
        _judged(study, f"IGR keeps natural accuracy: {lost}", everywhere(study, GAINS, ("natural",)), margin=MARGIN),
    ]


def activation_claims(study: Study) -> list[Claim]:
    """Section 6.4 and Figure 4: activation consistency under IFIA, with IGR against without."""
    return [
        _judged(
            study,
            f"Activation consistency is greater with IGR than without, for {titles(BASES)} on {{}} (Figure 4)",
            everywhere(study, GAINS, ("activation",)),
            remark="each image against its own image under IFIA, all ReLU units of the network",
        ),
        _judged(
            study,
            "IGR adds most activation consistency to TRADES (section 6.4)",
            everywhere(study, BOOSTS, ("activation",)),
        ),
    ]
