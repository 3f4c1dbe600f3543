"""A part of one's own that returns something else than its kind is named at once, with what to return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.attacks import AttributionAttack
from holdfast.attribution.base import Attribution
from holdfast.train import train
from holdfast.train.config import TrainConfig

X = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
NET = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 2)).eval()


@dataclass(frozen=True)
class Odd(hf.Metric):
    gives: str = "mean"

    def __call__(self, maps: Tensor, reference: Tensor) -> Any:
        apart = maps - reference
        return {"mean": apart.mean(), "float": float(apart.mean()), "map": apart, "none": None}[self.gives]


@dataclass(frozen=True)
class OddMap(Attribution):
    gives: str = "none"

    def map(self, model: Any, x: Tensor, target: Tensor, *, create_graph: bool = False, weights: bool = True) -> Any:
        return {"none": None, "one": x.mean((1, 2, 3)), "fewer": x[:1], "labels": target[:, None]}[self.gives]


@dataclass(frozen=True)
class OddFound(AttributionAttack):
    attribution: Attribution = hf.Saliency()

    def search(self, *_: Any) -> Any:
        return X[:1]


@dataclass(frozen=True)
class OddLoss(hf.Objective):
    gives: str = "tensor"

    def __call__(self, model: Any, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> Any:
        each = nn.functional.cross_entropy(model(x), y, reduction="none")
        return {
            "tensor": each.mean(),
            "none": None,
            "float": hf.LossOutput(each.mean().item()),  # type: ignore[arg-type]
            "each": hf.LossOutput(each),
            "part": hf.LossOutput(each.mean(), {"term": each}),
            "cut": hf.LossOutput(each.mean().detach()),
        }[self.gives]


def evaluated(**parts: Any) -> None:
    usual = {"attributions": [hf.Saliency()], "attacks": [hf.RandomSigns(0.1, 2, 4)], "metrics": [hf.Cosine()]}
    hf.evaluate(NET, (X, NET(X).argmax(1)), **{**usual, "predictions": [], **parts})


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        ("mean", r"torch\.float32 of shape \(\)"),
        ("map", r".*shape \(3, 1, 4, 4\)"),
        ("float", "float for"),
        ("none", "NoneType"),
    ],
)
def test_a_metric_gives_one_number_an_image(gives: str, said: str) -> None:
    with pytest.raises(hf.HoldfastError, match=rf"Odd.* returned {said}.*one number an image, of shape \(3,\)"):
        evaluated(metrics=[Odd(gives)])


@pytest.mark.parametrize(
    ("gives", "said"),
    [("none", "NoneType"), ("one", r".*\(3,\)"), ("fewer", r".*\(1, 1, 4, 4\)"), ("labels", ".*int64")],
)
def test_an_attribution_gives_a_map_an_image(gives: str, said: str) -> None:
    with pytest.raises(hf.HoldfastError, match=rf"OddMap.* returned {said}.* for images of shape \(3, 1, 4, 4\)"):
        evaluated(attributions=[OddMap(gives)])


def test_an_attack_on_attributions_gives_what_it_found() -> None:
    with pytest.raises(hf.HoldfastError, match="OddFound found Tensor; return an object with the tensors adv_images"):
        evaluated(attacks=[OddFound()])


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        ("tensor", r"returned Tensor; return holdfast\.LossOutput\(loss\)"),
        ("none", "returned NoneType"),
        ("float", "returned float"),
        ("each", r"a loss of shape \(32,\)"),
        ("part", "parts that are no scalar tensors"),
        ("cut", "has no gradient to the weights"),
    ],
)
def test_an_objective_gives_a_scalar_loss_with_a_gradient(
    gives: str, said: str, tmp_path: Path, tiny: Callable[..., TrainConfig]
) -> None:
    with pytest.raises(hf.HoldfastError, match=said):
        train(replace(tiny("digits-at"), objective=OddLoss(gives)), tmp_path / "run")
