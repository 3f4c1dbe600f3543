"""Load a network that a run left behind, or one that comes with the package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from holdfast.data import load_dataset
from holdfast.errors import HoldfastError
from holdfast.models.pretrained import load_pretrained, pretrained_names
from holdfast.models.resolve import build_model
from holdfast.models.weights import load_weights
from holdfast.sealed import unsealed


def load_model(
    model_name: str,
    *,
    dataset: str,
    model_dir: str | os.PathLike[str] | None = None,
    checkpoint: Literal["last", "best"] = "last",
    data_dir: str | None = None,
) -> nn.Module:
    """A trained network in evaluation mode.

    Without ``model_dir`` the name of a network that comes with the package will do
    (`holdfast.models.pretrained.pretrained_names` lists them), unless a folder of that name is there.

    Args:
        model_name: the folder of a finished run, inside ``model_dir``; or a pretrained network.
        dataset: the data set it must have been trained on.
        model_dir: where run folders lie; the current folder by default.
        checkpoint: the weights after the last epoch, or those best on validation.
        data_dir: where the data set lies (its shape decides the network's).

    Raises:
        HoldfastError: no such run, another data set, or weights that do not fit.

    Example:
        >>> load_model("trades-igr", dataset="mnist")(torch.zeros(1, 1, 28, 28)).shape
        torch.Size([1, 10])
    """
    folder = Path(model_dir or ".") / model_name
    if model_dir is None and not folder.is_dir() and model_name in pretrained_names(dataset):
        return load_pretrained(model_name, dataset=dataset)
    if model_dir is None and not folder.is_dir():
        names = ", ".join(pretrained_names(dataset)) or "none"
        raise HoldfastError(
            f"{model_name!r} is neither a folder here nor a network for {dataset} that comes with the package "
            f"({names}); give the folder of a finished run, or model_dir."
        )
    spec, trained_on = of_run(folder / "config.json")
    if trained_on != dataset:
        raise HoldfastError(f"{folder} was trained on {trained_on}, not on {dataset}; pass dataset={trained_on!r}.")
    data = load_dataset(dataset, "val", data_dir=data_dir)
    with torch.random.fork_rng(devices=[]):
        model = build_model(spec, data.shape, data.num_classes)
    load_weights(model, folder / f"{checkpoint}.safetensors")
    return model.eval()


def of_run(config: Path) -> tuple[str, str]:
    """The network and the data set of a training run."""
    try:
        plain = unsealed(config.read_bytes())
        model, data = plain["model"], plain["data"]["name"]
        if not isinstance(model, str) or not isinstance(data, str):
            raise TypeError
        return model, data
    except OSError:
        raise HoldfastError(f"{config} does not exist; give a folder that holdfast train wrote.") from None
    except (KeyError, TypeError, ValueError):
        raise HoldfastError(f"{config} is damaged; restore it, or train again.") from None
