"""Each self-check speaks when its sign is there, with the number, and keeps quiet otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.config import EvalConfig, IFIAConfig
from holdfast.evaluate.checks import check_records

CONFIG = EvalConfig(n_attribution=100, ifia=IFIAConfig(steps=100, k=8))


def accuracy(n: int = 100, **wrong: int) -> list[dict[str, Any]]:
    """``n`` images of label 1; the first so many of each column are misclassified."""
    columns = {"prediction": 5, "fgsm": 40, "pgd20": 50, "pgd40": 55, "cw_inf": 55} | wrong
    return [{"label": 1, **{name: int(i >= first) for name, first in columns.items()}} for i in range(n)]


def attribution(n: int = 100, where: slice = slice(0), **changed: Any) -> list[dict[str, Any]]:
    """``n`` healthy images; ``changed`` replaces values in those of ``where``."""
    healthy = {
        "kendall": 0.4,
        "topk": 0.3,
        "rank_kendall": 0.2,
        "rank_topk": 0.4,
        "random_kendall": 0.7,
        "random_topk": 0.8,
        "succeeded": True,
        "best_step": 60,
        "zero_share": 0.1,
    }
    rows = [dict(healthy) for _ in range(n)]
    for row in rows[where]:
        row |= changed
    return rows


ALL = slice(None)


def test_silent_on_healthy_records() -> None:
    assert check_records(accuracy(), attribution(), CONFIG) == []


@pytest.mark.parametrize(
    ("accuracies", "attributions", "words"),
    [
        (accuracy(fgsm=60), attribution(), "one FGSM step (40.0% left) beats 40 PGD steps (45.0% left)"),
        (accuracy(pgd20=5), attribution(), "PGD changed no prediction at all"),
        (accuracy(), [], "no image was classified correctly"),
        (accuracy(), attribution(60), "only 60 correctly classified images were there to attack, 100 were asked for"),
        (
            accuracy(),
            attribution(where=ALL, random_kendall=0.1),
            "random noise (Kendall 0.100) is a stronger attack than IFIA (0.200)",
        ),
        (
            accuracy(),
            attribution(where=ALL, random_topk=0.25),
            "random noise (top-k 0.250) is a stronger attack than IFIA (0.300)",
        ),
        (accuracy(), attribution(where=slice(6), succeeded=False), "IFIA found nothing on 6.0% of the images"),
        (accuracy(), attribution(where=slice(7), kendall=0.995), "7.0% of the attributions hardly moved"),
        (
            accuracy(),
            attribution(where=slice(51), best_step=91),
            "on 51% of the images IFIA was still improving in its last tenth: raise --ifia.steps (now 100)",
        ),
        (accuracy(), attribution(where=slice(1), zero_share=1.0), "1.0% of the clean attributions are zero everywhere"),
    ],
)
def test_each_sign(accuracies: list[dict[str, Any]], attributions: list[dict[str, Any]], words: str) -> None:
    (warning,) = check_records(accuracies, attributions, CONFIG)
    assert warning.startswith(words)
    assert warning.endswith(".")


@pytest.mark.parametrize(
    ("accuracies", "attributions"),
    [
        (accuracy(fgsm=56), attribution()),
        (accuracy(20, prediction=1, fgsm=8, pgd20=1, pgd40=9), attribution()),
        (accuracy(prediction=90, fgsm=92, pgd20=90, pgd40=93), attribution()),
        (accuracy(), attribution(where=slice(5), succeeded=False)),
        (accuracy(), attribution(where=slice(5), kendall=0.995)),
        (accuracy(), attribution(where=slice(50), succeeded=True, kendall=0.95)),
        (accuracy(), attribution(where=slice(50), best_step=91)),
        (accuracy(), attribution(where=ALL, best_step=90)),
        (accuracy(), attribution(where=ALL, zero_share=0.99)),
    ],
)
def test_silent_up_to_the_threshold(accuracies: list[dict[str, Any]], attributions: list[dict[str, Any]]) -> None:
    assert check_records(accuracies, attributions, CONFIG) == []
