"""Tiny configurations, a network that knows the digits, and a finished run to point things at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from holdfast.attacks.base import GradientAscent
from holdfast.attribution import IntegratedGradients
from holdfast.data.digits import load_digits
from holdfast.data.image_data import ImageData
from holdfast.data.loader import to_unit_interval
from holdfast.evaluate import Protocol, evaluate, protocol_of
from holdfast.evaluate.standard import EvalConfig
from holdfast.parts import changed_parts
from holdfast.recipes import evaluation, recipe
from holdfast.train import RunFolder, TrainConfig, train
from tests.runs.bad_lines import spoil

TinyTrain = Callable[..., TrainConfig]
collect_ignore = ["sweep_and_die.py"]  # run as a program, beside the scripts that it imports


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the user's data and cache."""
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with factories and files that are not what they seem."""
    monkeypatch.chdir(tmp_path)
    spoil(tmp_path)
    return tmp_path


def short(config: TrainConfig) -> TrainConfig:
    """Attacks of two steps and paths of two points."""
    config = changed_parts(config, GradientAscent, lambda attack: replace(attack, steps=2))
    return changed_parts(config, IntegratedGradients, lambda path: replace(path, n_steps=2))


@pytest.fixture(scope="session")
def tiny() -> TinyTrain:
    """A recipe cut down to seconds; keyword arguments replace whole fields, or optim_* / data_* single ones."""

    def make(name: str = "digits-trades-igr", **changed: object) -> TrainConfig:
        config = short(recipe(name))
        parts = {"data": {"train_size": 64}, "optim": {"epochs": 2, "batch_size": 32}}
        whole: dict[str, object] = {"val_size": 20}
        for key, value in changed.items():
            part, _, field = key.partition("_")
            if part in parts and field:
                parts[part][field] = value  # type: ignore[assignment]
            else:
                whole[key] = value
        return replace(
            config,
            **{part: replace(getattr(config, part), **fields) for part, fields in parts.items()},  # type: ignore[type-var]
            **whole,
        )

    return make


@pytest.fixture(scope="session")
def tiny_eval() -> EvalConfig:
    config = evaluation("digits")
    return replace(
        config,
        n_examples=40,
        n_attribution=8,
        cw_steps=5,
        score_n_steps=5,
        auto=None,
        random_draws=2,
        batch_size=5,
        ifia=replace(config.ifia, steps=3, n_steps=4),
    )


@pytest.fixture(scope="session")
def tiny_protocol(tiny_eval: EvalConfig) -> Protocol:
    return protocol_of(tiny_eval)


@pytest.fixture(scope="session")
def test_images() -> ImageData:
    return load_digits("test")


class ToyNet(nn.Sequential):
    """Some 3,000 parameters on (B, 1, 8, 8), with dropout to notice a wrong mode by."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 8, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(72, 32),
            nn.ReLU(),
            nn.Linear(32, 10),
        )


@pytest.fixture(scope="session")
def _toy_weights() -> dict[str, torch.Tensor]:
    data = load_digits("train").first(400)
    x, y = to_unit_interval(data.images), data.labels
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = ToyNet()
        optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
        for step in range(80):
            rows = torch.arange(step * 100, step * 100 + 100) % len(x)
            optimizer.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
    return net.state_dict()


@pytest.fixture
def toy(_toy_weights: dict[str, torch.Tensor]) -> nn.Module:
    """A little network that knows most of the digits; a fresh copy for each test."""
    with torch.random.fork_rng():
        net = ToyNet()
    net.load_state_dict(_toy_weights)
    return net.eval()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, tiny: TinyTrain) -> RunFolder:
    """Treat as read-only."""
    return train(tiny(optim_epochs=1), tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="session")
def finished_evaluation(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_protocol: Protocol,
    test_images: ImageData,
    _toy_weights: dict[str, torch.Tensor],
) -> Path:
    """Records and summary of the little network. Treat as read-only."""
    with torch.random.fork_rng():
        net = ToyNet()
    net.load_state_dict(_toy_weights)
    out = tmp_path_factory.mktemp("finished") / "eval"
    assert evaluate(net.eval(), test_images, tiny_protocol, out) is not None
    return out
