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
    study: Study,
    statement: str,
    differences: Sequence[Difference],
    margin: float = 0.0,
    remark: str = "",
    whose: str = FOUND,
) -> Claim:
    return judge(statement, effects_of(study, differences), margin=margin, remark=remark, whose=whose)


def titles(methods: Sequence[str]) -> str:
    """Methods as the paper writes them.

    >>> titles(("at", "trades-igr"))
    'AT and TRADES+IGR'
    """
    return listed(TITLES[method] for method in methods)


def places(datasets: Sequence[str]) -> str:
    """Data sets as the paper writes them."""
    return listed(dataset_title(name) for name in datasets)


def gains(dataset: str, key: str) -> list[Difference]:
    """What IGR adds to one quantity over each base."""
    return [Difference(dataset, gain(base), key, TITLES[base], alone=True) for base in BASES]


def igr_claims(study: Study, keys: Sequence[str], where: str = "", whose: str = FOUND) -> Iterator[Claim]:
    """Whether IGR raises each quantity over each base, a claim a data set and quantity."""
    for dataset in study.datasets:
        for key in keys:
            what = heading(key, study.k(dataset))
            statement = f"On {dataset_title(dataset)} IGR raises {what} over {titles(BASES)}{where}"
            yield _judged(study, statement, gains(dataset, key), whose=whose)


def attribution_claims(study: Study) -> list[Claim]:
    """Each gain of IGR, then findings (i) to (iv) of section 6.2 and the abstract's."""
    return [
        *igr_claims(study, ROBUSTNESS, " under IFIA (top-k)"),
        _finding_1(study),
        *_finding_2(study),
        *_finding_3(study),
        *_finding_4(study),
    ]


def worst_claims(study: Study) -> list[Claim]:
    """Each gain of IGR under the worst of all attacks."""
    return list(igr_claims(study, WORST, whose=OURS))


def _finding_1(study: Study) -> Claim:
    return _judged(
        study,
        f"(i) Models trained with IGR outperform their base in both top-k and Kendall's τ, on {places(study.datasets)}",
        [
            Difference(dataset, gain(base), key, TITLES[base])
            for dataset in study.datasets
            for base in BASES
            for key in ROBUSTNESS
        ],
    )


def _finding_2(study: Study) -> Iterator[Claim]:
    yield _judged(
        study,
        f"(ii) Adversarial training alone ({titles(BASES)}) helps the attributions compared with standard training, "
        f"on {places(study.datasets)}",
        [
            Difference(dataset, {base: 1.0, "standard": -1.0}, key, f"{TITLES[base]} less Standard")
            for dataset in study.datasets
            for base in BASES
            for key in ROBUSTNESS
        ],
    )
    others = [dataset for dataset in study.datasets if dataset in PAPER_DATASETS and dataset != "mnist"]
    if others and "mnist" in study.datasets:
        yield _especially(study, others)


def _especially(study: Study, others: Sequence[str]) -> Claim:
    """The second half of (ii), which compares gains on different images: each resampled on its own."""
    help_of = {**mean_of(BASES), "standard": -1.0}
    statement = f"(ii) It helps more on {places(others)} than on MNIST (mean of {titles(BASES)} less Standard)"
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
        f"(iii) {titles(BASES)} are weaker in attribution robustness than the attribution protection methods, on "
        f"{places(study.datasets)}",
        [
            Difference(dataset, {**mean_of(RIVALS), **mean_of(BASES, -1.0)}, key, "protection less adversarial")
            for dataset in study.datasets
            for key in ROBUSTNESS
        ],
        remark=f'"weaker" read of the means: {titles(RIVALS)} against {titles(BASES)}',
    )
    yield _judged(
        study,
        f"(iii) With IGR they are comparable to the attribution protection methods or stronger, on "
        f"{places(study.datasets)}",
        [
            Difference(dataset, {**mean_of(WITH_IGR), **rivals}, key, "with IGR less protection")
            for dataset in study.datasets
            for key in ROBUSTNESS
        ],
        margin=MARGIN,
        remark=f'means of {titles(WITH_IGR)} and of {titles(RIVALS)}; "comparable" read as at most {MARGIN:g} below',
    )
    yield _judged(
        study,
        f"TRADES+IGR outperforms every attribution protection method (abstract), on {places(study.datasets)}",
        [
            Difference(dataset, {"trades-igr": 1.0, rival: -1.0}, key, f"TRADES+IGR less {TITLES[rival]}")
            for dataset in study.datasets
            for rival in RIVALS
            for key in ROBUSTNESS
        ],
    )


def _finding_4(study: Study) -> Iterator[Claim]:
    yield _judged(
        study,
        f"(iv) TRADES has the best attribution protection of {titles(BASES)}, on {places(study.datasets)}",
        [
            Difference(dataset, {"trades": 1.0, other: -1.0}, key, f"TRADES less {TITLES[other]}")
            for dataset in study.datasets
            for other in ("at", "mart")
            for key in ROBUSTNESS
        ],
        remark='"among models without IGR" read as among those that IGR is added to',
    )
    yield _judged(
        study,
        f"(iv) IGR adds most to TRADES, on {places(study.datasets)}",
        list(_boosts(study, ROBUSTNESS)),
    )


def _boosts(study: Study, keys: Sequence[str]) -> Iterator[Difference]:
    """By how much IGR's gain over TRADES exceeds its gain over AT and over MART."""
    for dataset in study.datasets:
        for other in ("at", "mart"):
            weights = gain("trades") | {method: -weight for method, weight in gain(other).items()}
            for key in keys:
                yield Difference(dataset, weights, key, f"gain of TRADES less gain of {TITLES[other]}")


def accuracy_claims(study: Study) -> list[Claim]:
    """Section 6.3: IGR raises, or at least keeps, the accuracies under attack, and keeps the natural one."""
    cells = [(dataset, base, key) for dataset in study.datasets for base in BASES for key in ATTACKED]
    parts = {(d, b, k): Difference(d, gain(b), k, TITLES[b]) for d, b, k in cells}
    excepted = ("cifar10", "trades", "pgd20")
    exception = ", except TRADES under PGD-20 on CIFAR-10" if excepted in parts else ""
    natural = [Difference(d, gain(b), "natural", TITLES[b]) for d in study.datasets for b in BASES]
    attacks = "FGSM, PGD-20 and CW∞"
    return [
        _judged(
            study,
            f"IGR raises accuracy under {attacks} over {titles(BASES)}{exception}, on {places(study.datasets)}",
            [part for cell, part in parts.items() if cell != excepted],
        ),
        _judged(
            study,
            f"IGR keeps accuracy under {attacks}: it loses at most {100 * MARGIN:g} points against {titles(BASES)}, on "
            f"{places(study.datasets)}",
            list(parts.values()),
            margin=MARGIN,
        ),
        _judged(
            study,
            f"IGR keeps natural accuracy: it loses at most {100 * MARGIN:g} points against {titles(BASES)}, on "
            f"{places(study.datasets)}",
            natural,
            margin=MARGIN,
        ),
    ]


def activation_claims(study: Study) -> list[Claim]:
    """Section 6.4 and Figure 4: activation consistency under IFIA, with IGR against without."""
    every = [Difference(d, gain(b), "activation", TITLES[b]) for d in study.datasets for b in BASES]
    return [
        _judged(
            study,
            f"Activation consistency is greater with IGR than without, for {titles(BASES)} on {places(study.datasets)} "
            "(Figure 4)",
            every,
            remark="each image against its own image under IFIA, all ReLU units of the network",
        ),
        _judged(
            study,
            f"IGR adds most activation consistency to TRADES (section 6.4), on {places(study.datasets)}",
            list(_boosts(study, ("activation",))),
        ),
    ]
