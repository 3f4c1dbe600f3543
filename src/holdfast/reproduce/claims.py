"""What the paper's section 6 says of its tables, tested on ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from holdfast.recipes import TITLES
from holdfast.reproduce.judge import Part, corrected, difference, judge, labelled, part_of, places, titles
from holdfast.reproduce.quantities import heading
from holdfast.reproduce.resample import LEVEL
from holdfast.reproduce.sections.words import dataset_title
from holdfast.reproduce.study import Study
from holdfast.sweep.plan import PAPER_DATASETS
from holdfast.theory.claim import Claim, Verdict

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


def _part(study: Study, dataset: str, weights: Mapping[str, float], key: str, name: str, alone: bool = False) -> Part:
    """A difference called by ``name``, with data set and quantity unless it stands ``alone``."""
    return part_of(study, dataset, weights, key, name if alone else labelled(study, dataset, name, key))


def igr_claims(study: Study, keys: Sequence[str], where: str = "") -> Iterator[Claim]:
    """Whether IGR raises each quantity over each base, a claim a data set and quantity."""
    for dataset in study.datasets:
        for key in keys:
            yield judge(
                f"On {dataset_title(dataset)} IGR raises {heading(key, study.k(dataset))} over {titles(BASES)}{where}",
                [_part(study, dataset, gain(base), key, TITLES[base], alone=True) for base in BASES],
            )


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
    """Each gain of IGR under the worst of three attacks."""
    return list(igr_claims(study, WORST))


def _finding_1(study: Study) -> Claim:
    return judge(
        f"(i) Models trained with IGR outperform their base in both top-k and Kendall's τ, on {places(study.datasets)}",
        [
            _part(study, dataset, gain(base), key, TITLES[base])
            for dataset in study.datasets
            for base in BASES
            for key in ROBUSTNESS
        ],
    )


def _finding_2(study: Study) -> Iterator[Claim]:
    yield judge(
        f"(ii) Adversarial training alone ({titles(BASES)}) helps the attributions compared with standard training, "
        f"on {places(study.datasets)}",
        [
            _part(study, dataset, {base: 1.0, "standard": -1.0}, key, f"{TITLES[base]} less Standard")
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
        "images of each data set resampled on their own; holds if every 95 % interval of the difference between the "
        "data sets lies above 0, does not hold if one lies below (corrected for their number); not corrected for the "
        "other claims"
    )
    evidence, lows, highs = [], [], []
    pairs = [(dataset, key) for dataset in others for key in ROBUSTNESS]
    for dataset, key in pairs:
        here, mnist = (study.contrast(name, help_of, key) for name in (dataset, "mnist"))
        if here is None or mnist is None:
            return Claim(statement, "cannot be told", "not all of these methods were run on both data sets", test)
        draws = here.draws[: len(mnist.draws)] - np.random.default_rng(2).permutation(mnist.draws)[: len(here.draws)]
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        lows.append(low)
        highs.append(np.quantile(draws, (1 + corrected(len(pairs))) / 2))
        percent = key == "topk"
        ends = f"[{difference(low, percent)}, {difference(high, percent)}]{' points' if percent else ''}"
        change = difference(here.mean - mnist.mean, percent)
        evidence.append(f"{dataset_title(dataset)} less MNIST {heading(key, study.k(dataset))} {change} {ends}")
    verdict: Verdict = "does not hold" if min(highs) < 0 else "holds" if min(lows) > 0 else "cannot be told"
    return Claim(statement, verdict, ", ".join(evidence), test)


def _finding_3(study: Study) -> Iterator[Claim]:
    rivals = mean_of(RIVALS, -1.0)
    yield judge(
        f"(iii) {titles(BASES)} are weaker in attribution robustness than the attribution protection methods, on "
        f"{places(study.datasets)}",
        [
            _part(study, dataset, {**mean_of(RIVALS), **mean_of(BASES, -1.0)}, key, "protection less adversarial")
            for dataset in study.datasets
            for key in ROBUSTNESS
        ],
        remark=f'"weaker" read of the means: {titles(RIVALS)} against {titles(BASES)}',
    )
    yield judge(
        f"(iii) With IGR they are comparable to the attribution protection methods or stronger, on "
        f"{places(study.datasets)}",
        [
            _part(study, dataset, {**mean_of(WITH_IGR), **rivals}, key, "with IGR less protection")
            for dataset in study.datasets
            for key in ROBUSTNESS
        ],
        margin=MARGIN,
        remark=f'means of {titles(WITH_IGR)} and of {titles(RIVALS)}; "comparable" read as at most {MARGIN:g} below',
    )
    yield judge(
        f"TRADES+IGR outperforms every attribution protection method (abstract), on {places(study.datasets)}",
        [
            _part(study, dataset, {"trades-igr": 1.0, rival: -1.0}, key, f"TRADES+IGR less {TITLES[rival]}")
            for dataset in study.datasets
            for rival in RIVALS
            for key in ROBUSTNESS
        ],
    )


def _finding_4(study: Study) -> Iterator[Claim]:
    yield judge(
        f"(iv) TRADES has the best attribution protection of {titles(BASES)}, on {places(study.datasets)}",
        [
            _part(study, dataset, {"trades": 1.0, other: -1.0}, key, f"TRADES less {TITLES[other]}")
            for dataset in study.datasets
            for other in ("at", "mart")
            for key in ROBUSTNESS
        ],
        remark='"among models without IGR" read as among those that IGR is added to',
    )
    yield judge(
        f"(iv) IGR adds most to TRADES, on {places(study.datasets)}",
        list(_boosts(study, ROBUSTNESS)),
    )


def _boosts(study: Study, keys: Sequence[str]) -> Iterator[Part]:
    """By how much IGR's gain over TRADES exceeds its gain over AT and over MART."""
    for dataset in study.datasets:
        for other in ("at", "mart"):
            weights = gain("trades") | {method: -weight for method, weight in gain(other).items()}
            for key in keys:
                yield _part(study, dataset, weights, key, f"gain of TRADES less gain of {TITLES[other]}")


def accuracy_claims(study: Study) -> list[Claim]:
    """Section 6.3: IGR raises, or at least keeps, the accuracies under attack, and keeps the natural one."""
    cells = [(dataset, base, key) for dataset in study.datasets for base in BASES for key in ATTACKED]
    parts = {(d, b, k): _part(study, d, gain(b), k, TITLES[b]) for d, b, k in cells}
    excepted = ("cifar10", "trades", "pgd20")
    exception = ", except TRADES under PGD-20 on CIFAR-10" if excepted in parts else ""
    natural = [_part(study, d, gain(b), "natural", TITLES[b]) for d in study.datasets for b in BASES]
    attacks = "FGSM, PGD-20 and CW∞"
    return [
        judge(
            f"IGR raises accuracy under {attacks} over {titles(BASES)}{exception}, on {places(study.datasets)}",
            [part for cell, part in parts.items() if cell != excepted],
        ),
        judge(
            f"IGR keeps accuracy under {attacks}: it loses at most {100 * MARGIN:g} points against {titles(BASES)}, on "
            f"{places(study.datasets)}",
            list(parts.values()),
            margin=MARGIN,
        ),
        judge(
            f"IGR keeps natural accuracy: it loses at most {100 * MARGIN:g} points against {titles(BASES)}, on "
            f"{places(study.datasets)}",
            natural,
            margin=MARGIN,
        ),
    ]


def activation_claims(study: Study) -> list[Claim]:
    """Section 6.4 and Figure 4: activation consistency under IFIA, with IGR against without."""
    every = [_part(study, d, gain(b), "activation", TITLES[b]) for d in study.datasets for b in BASES]
    return [
        judge(
            f"Activation consistency is greater with IGR than without, for {titles(BASES)} on {places(study.datasets)} "
            "(Figure 4)",
            every,
            remark="each image against its own image under IFIA, all ReLU units of the network",
        ),
        judge(
            f"IGR adds most activation consistency to TRADES (section 6.4), on {places(study.datasets)}",
            list(_boosts(study, ("activation",))),
        ),
    ]
