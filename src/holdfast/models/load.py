"""Load a network that a run left behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from holdfast.config import TrainConfig, load_config
from holdfast.data import load_dataset
from holdfast.errors import HoldfastError
from holdfast.models.resolve import build_model
from holdfast.models.weights import load_weights


def load_model(
    model_name: str,
    *,
    dataset: str,
    model_dir: str | os.PathLike[str] | None = None,
    checkpoint: Literal["last", "best"] = "last",
    data_dir: str | None = None,
) -> nn.Module:
    """A trained network in evaluation mode.

    Args:
        model_name: the folder of a finished run, inside ``model_dir``.
        dataset: the data set it must have been trained on.
        model_dir: where run folders lie; the current folder by default.
        checkpoint: the weights after the last epoch, or those best on validation.
        data_dir: where the data set lies (its shape decides the network's).

    Raises:
        HoldfastError: no such run, another data set, or weights that do not fit.
    """
    folder = Path(model_dir or ".") / model_name
    config = load_config(TrainConfig, folder / "config.json")
    if config.data.name != dataset:
        raise HoldfastError(
            f"{folder} was trained on {config.data.name}, not on {dataset}; pass dataset={config.data.name!r}."
        )
    data = load_dataset(dataset, "val", data_dir=data_dir)
    with torch.random.fork_rng(devices=[]):
        model = build_model(config.model, data.shape, data.num_classes)
    load_weights(model, folder / f"{checkpoint}.safetensors")
    return model.eval()
