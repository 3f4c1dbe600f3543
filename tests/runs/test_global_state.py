"""Training, evaluating and loading leave the global random state, and a given model, as they were."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from holdfast import HoldfastError, find_model
from holdfast.data.image_data import ImageData
from holdfast.evaluate import Protocol, evaluate
from holdfast.train import RunFolder, train
from holdfast.train.config import TrainConfig


@contextmanager
def untouched() -> Iterator[None]:
    states = torch.get_rng_state(), np.random.get_state()[1].tobytes(), random.getstate()  # type: ignore[index]
    yield
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tobytes() == states[1]  # type: ignore[index]
    assert random.getstate() == states[2]


@pytest.mark.parametrize("name", ["digits-trades-igr", "digits-mart"])
def test_train(name: str, tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    with untouched():
        train(tiny(name, optim_epochs=1), tmp_path)


def test_train_that_fails(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    with untouched(), pytest.raises(HoldfastError):
        train(tiny(optim_lr=1e30, optim_batch_size=8), tmp_path)


def test_the_global_state_decides_nothing(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    config = tiny("digits-trades", optim_epochs=1)
    runs = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            runs.append(train(config, tmp_path / str(seed)))
    assert runs[0].metrics.read_bytes() == runs[1].metrics.read_bytes()


def test_the_seed_decides(tmp_path: Path, tiny: Callable[..., TrainConfig]) -> None:
    runs = [train(tiny("digits-trades", optim_epochs=1, seed=seed), tmp_path / str(seed)) for seed in (1, 2)]
    assert runs[0].metrics.read_bytes() != runs[1].metrics.read_bytes()


def test_evaluate(
    tmp_path: Path, toy: nn.Module, tiny_protocol: Protocol, test_images: ImageData, finished_evaluation: Path
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(99)
        state = torch.get_rng_state()
        evaluate(toy, test_images, tiny_protocol, tmp_path)
        assert torch.equal(torch.get_rng_state(), state)
    assert (tmp_path / "summary.json").read_bytes() == (finished_evaluation / "summary.json").read_bytes()


@pytest.mark.parametrize("training", [True, False])
def test_evaluate_returns_the_model_as_it_was(
    training: bool,
    tmp_path: Path,
    toy: nn.Module,
    tiny_protocol: Protocol,
    test_images: ImageData,
    finished_evaluation: Path,
) -> None:
    """A model in training mode, dropout and all, is measured in evaluation mode and comes back in training mode."""
    toy.train(training)
    toy[0].train(not training)  # type: ignore[index]
    first = next(toy.parameters())
    first.grad = torch.ones_like(first)
    toy[5].bias.requires_grad_(False)  # type: ignore[index]
    flags = [(module.training, len(module._forward_hooks)) for module in toy.modules()]
    needs = [parameter.requires_grad for parameter in toy.parameters()]
    weights = {name: value.clone() for name, value in toy.state_dict().items()}
    evaluate(toy, test_images, tiny_protocol, tmp_path)
    assert [(module.training, len(module._forward_hooks)) for module in toy.modules()] == flags
    assert [parameter.requires_grad for parameter in toy.parameters()] == needs
    assert torch.equal(first.grad, torch.ones_like(first))
    assert [p for p in toy.parameters() if p.grad is not None] == [first]
    assert all(torch.equal(value, weights[name]) for name, value in toy.state_dict().items())
    assert (tmp_path / "summary.json").read_bytes() == (finished_evaluation / "summary.json").read_bytes()


def test_loading(finished_run: RunFolder, test_images: ImageData) -> None:
    with untouched():
        find_model(str(finished_run.path))
        find_model("small_cnn", shape=test_images.shape, num_classes=10)


def test_a_model_without_weights_is_the_same_every_time(test_images: ImageData) -> None:
    """So that a stopped evaluation of one goes on with the network it began with."""
    nets = [find_model("small_cnn", shape=test_images.shape, num_classes=10).model.state_dict() for _ in range(2)]
    assert all(torch.equal(nets[0][name], nets[1][name]) for name in nets[0])
