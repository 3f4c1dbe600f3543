"""A glimpse of the real thing: MNIST from disk, trained for two steps and evaluated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast import find_model, load_dataset
from holdfast.evaluate import evaluate, protocol_of
from holdfast.recipes import evaluation
from holdfast.train import read_metrics, train
from holdfast.train.config import TrainConfig


@pytest.mark.slow
def test_mnist(tmp_path: Path, tiny: Callable[..., TrainConfig], real_data: Callable[[str], Path]) -> None:
    data_dir = str(real_data("mnist"))
    config = tiny("mnist-trades-igr", optim_epochs=1)
    folder = train(config, tmp_path / "run", data_dir=data_dir)
    lines = read_metrics(folder.metrics)
    assert [line["kind"] for line in lines] == ["train", "train", "validation"]
    assert {"loss", "ce", "kl", "igr"} <= lines[0].keys()
    model = find_model(str(tmp_path / "run"), data_dir=data_dir).model
    test = load_dataset("mnist", "test", data_dir=data_dir)
    settings = evaluation("mnist")
    settings = replace(
        settings,
        n_examples=20,
        n_attribution=4,
        cw_steps=2,
        score_n_steps=4,
        random_draws=2,
        batch_size=10,
        ifia=replace(settings.ifia, steps=2, n_steps=2),
    )
    result = evaluate(model, test, protocol_of(settings), tmp_path / "eval")
    assert result is not None
    summary = result.summary
    assert (summary.k, summary.n_features, summary.chance["topk"]) == (100, 784, 100 / 784)
    assert summary.metrics["natural"].n == 20
