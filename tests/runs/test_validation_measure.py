"""What is measured after every epoch, against the same done by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from holdfast import PGD, cosine_similarity, find_model, integrated_gradients, load_dataset
from holdfast.data.loader import DeviceLoader, to_unit_interval
from holdfast.seeding import generator_of
from holdfast.train import read_metrics, train
from holdfast.train.config import TrainConfig
from holdfast.train.validation import validate

VAL = load_dataset("digits", "val").first(50)


def loader(batch_size: int) -> DeviceLoader:
    return DeviceLoader(VAL, batch_size=batch_size, shuffle=False)


def test_by_hand(toy: nn.Module, tiny: Callable[..., TrainConfig]) -> None:
    config = tiny(seed=4)
    x, y = to_unit_interval(VAL.images), VAL.labels
    generator = generator_of(4, "validation", 0)
    x_adv = config.validation(toy, x, y, generator=generator)
    maps = [integrated_gradients(toy, images, y, n_steps=5) for images in (x, x_adv)]
    found = validate(toy, loader(50), config)
    with torch.no_grad():
        assert found["natural"] == pytest.approx((toy(x).argmax(1) == y).float().mean().item())
        assert found["adversarial"] == pytest.approx((toy(x_adv).argmax(1) == y).float().mean().item())
    assert found["cosine"] == pytest.approx(cosine_similarity(*maps).mean().item(), abs=1e-6)
    assert found["adversarial"] < found["natural"]


def test_without_a_budget_nothing_moves(toy: nn.Module, tiny: Callable[..., TrainConfig]) -> None:
    found = validate(toy.train(), loader(20), tiny(validation=PGD(0.0, 0.1, 2)))
    assert found["adversarial"] == found["natural"] > 0.7
    assert found["cosine"] == pytest.approx(1, abs=1e-6)
    assert toy.training


def test_the_last_line_is_about_the_last_weights(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    config = tiny("digits-standard", optim_epochs=6, optim_lr=0.01, val_size=50)
    lines = read_metrics(train(config, tmp_path / "run").metrics)
    model = find_model(str(tmp_path / "run")).model
    with torch.no_grad():
        natural = (model(to_unit_interval(VAL.images)).argmax(1) == VAL.labels).float().mean().item()
    assert lines[-1]["natural"] == pytest.approx(natural)
    assert 0 < natural < 1
