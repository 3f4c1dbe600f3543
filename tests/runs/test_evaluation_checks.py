"""Each self-check speaks when its sign is there, with the number, and keeps quiet otherwise."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

import holdfast as hf
from holdfast.evaluate import protocol_of
from holdfast.evaluate.checks import check_records
from holdfast.evaluate.standard import EvalConfig, IFIAConfig

PROTOCOL = protocol_of(EvalConfig(auto=None, n_attribution=100, ifia=IFIAConfig(steps=100, k=8)))


def accuracy(n: int = 100, **wrong: int) -> pd.DataFrame:
    """``n`` images; the first so many are misclassified under each attack."""
    attacks = {"natural": 5, "fgsm": 40, "pgd20": 50, "pgd40": 55, "cw_inf": 55} | wrong
    rows = [(name, i, i >= first) for name, first in attacks.items() for i in range(n)]
    frame = pd.DataFrame(rows, columns=["attack", "index", "correct"]).astype({"correct": "boolean"})
    return frame.assign(kind="accuracy", status="ok")


def attribution(n: int = 100, where: slice = slice(0), **changed: Any) -> pd.DataFrame:
    """``n`` healthy images; ``changed`` replaces values in those of ``where``, by attack or else of "ifia"."""
    healthy: dict[str, dict[str, Any]] = {
        "ifia": {"kendall": 0.4, "top_8": 0.3, "succeeded": True, "best_step": 60},
        "rank": {"kendall": 0.2, "top_8": 0.4, "succeeded": True, "best_step": 60},
        "random": {"kendall": 0.7, "top_8": 0.8, "succeeded": True, "best_step": 1},
    }
    rows = []
    for attack, values in healthy.items():
        own = [{"attack": attack, "index": i, "status": "ok", **values} for i in range(n)]
        for row in own[where]:
            row |= {k.removeprefix(f"{attack}__"): v for k, v in changed.items() if k.startswith(f"{attack}__")}
            row |= {k: v for k, v in changed.items() if "__" not in k and attack == "ifia"}
        rows += own
    frame = pd.DataFrame(rows, columns=["attack", "index", "status", *healthy["ifia"]])
    return frame.assign(kind="attribution", attribution="IntegratedGradients")


def warnings(accuracies: pd.DataFrame, attributions: pd.DataFrame) -> list[str]:
    return check_records(pd.concat([accuracies, attributions], ignore_index=True), PROTOCOL, 64)


ALL = slice(None)


def test_silent_on_healthy_records() -> None:
    assert warnings(accuracy(), attribution()) == []


@pytest.mark.parametrize(
    ("accuracies", "attributions", "words"),
    [
        (accuracy(fgsm=60), attribution(), "one FGSM step (40.0% left) beats 40 PGD steps (45.0% left)"),
        (
            accuracy(cw_inf=61),
            attribution(),
            "cw_inf, an attack on the margin, (39.0% left) beats 40 PGD steps (45.0% left): the cross-entropy",
        ),
        (accuracy(pgd20=5), attribution(), "PGD changed no prediction at all"),
        (accuracy(), attribution(0), "no image was classified correctly"),
        (accuracy(), attribution(60), "only 60 correctly classified images were there to attack, 100 were asked for"),
        (
            accuracy(),
            attribution(where=ALL, random__kendall=0.1),
            "random noise (Kendall τ 0.100) is a stronger attack than ifia and rank (0.200)",
        ),
        (
            accuracy(),
            attribution(where=ALL, random__top_8=0.25),
            "random noise (Top-8 0.250) is a stronger attack than ifia and rank (0.300)",
        ),
        (accuracy(), attribution(where=slice(6), succeeded=False), "ifia found nothing on 6.0% of the images"),
        (accuracy(), attribution(where=slice(7), kendall=0.995), "7.0% of the attributions hardly moved"),
        (
            accuracy(),
            attribution(where=slice(51), best_step=91),
            "on 51% of the images ifia was still improving in its last tenth: raise its steps (now 100)",
        ),
        (
            accuracy(),
            attribution(where=slice(1), ifia__status="the clean map is constant"),
            "the clean map is constant on 1 of 100 images (its order says nothing; is the model untrained?): 0.",
        ),
        (
            accuracy(),
            attribution(where=slice(3, 10), ifia__status="the map holds NaN", rank__status="the map holds NaN"),
            "the map holds NaN on 7 of 100 images (left out of the means): 3, 4, 5, 6, 7, ...",
        ),
    ],
)
def test_each_sign(accuracies: pd.DataFrame, attributions: pd.DataFrame, words: str) -> None:
    (warning,) = warnings(accuracies, attributions)
    assert warning.startswith(words)
    assert warning.endswith(".")


@pytest.mark.parametrize(
    ("accuracies", "attributions"),
    [
        (accuracy(fgsm=56), attribution()),
        (accuracy(cw_inf=60), attribution()),
        (accuracy(20, natural=1, fgsm=8, pgd20=1, pgd40=9, cw_inf=9), attribution()),
        (accuracy(natural=90, fgsm=92, pgd20=90, pgd40=93), attribution()),
        (accuracy(), attribution(where=slice(5), succeeded=False)),
        (accuracy(), attribution(where=slice(5), kendall=0.995)),
        (accuracy(), attribution(where=slice(50), kendall=0.95)),
        (accuracy(), attribution(where=slice(50), best_step=91)),
        (accuracy(), attribution(where=ALL, best_step=90)),
    ],
)
def test_silent_up_to_the_threshold(accuracies: pd.DataFrame, attributions: pd.DataFrame) -> None:
    assert warnings(accuracies, attributions) == []


class Stepped(nn.Module):
    """The image in 4 grey levels by rounding: piecewise constant, so that no gradient reaches it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net((x * 3).round() / 3)


def test_a_masked_gradient_is_seen_by_the_search() -> None:
    model, images = Stepped(), torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    attacks = {"pgd": hf.PGD(0.2, 0.05, 5, random_start=False), "square": hf.Square(0.2, 100)}
    result = hf.evaluate(model, (images, model(images).argmax(1)), hf.Protocol(predictions=attacks))
    assert result is not None
    (warning,) = result.warnings
    assert warning.startswith("square, a search without gradients, (")
    assert "(100.0% left): the gradient is masked" in warning
