"""What ``holdfast evaluate`` is pointed at: a finished run, a network of the zoo, or any model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from holdfast.data.image_data import ImageData
from holdfast.errors import HoldfastError, unknown_name
from holdfast.models.pretrained import FOLDER as ZOO
from holdfast.models.pretrained import model_card, pretrained_names
from holdfast.models.resolve import BUILT_IN, build_model
from holdfast.models.weights import load_weights
from holdfast.seeding import seed_of
from holdfast.train.folder import RunFolder, load_config

Checkpoint = Literal["last", "best"]


@dataclass(frozen=True)
class Target:
    """Where the weights come from and which architecture they fit."""

    name: str
    model: str
    dataset: str | None
    weights: Path | None
    folder: Path
    profile: str = "paper"
    recipe: str | None = None

    def load(self, data: ImageData, device: str) -> nn.Module:
        """The network, in evaluation mode on ``device``; checked against the images' shape and classes."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(0, "weights"))  # without weights: the same network every time
            network = build_model(self.model, data.shape, data.num_classes)
        if self.weights is not None:
            load_weights(network, self.weights)
        return network.to(device).eval()


def resolve_target(spec: str, *, checkpoint: Checkpoint = "last", weights: str | None = None) -> Target:
    """Tell a run folder from a network of the zoo and from any other model.

    Raises:
        HoldfastError: none of these, an unfinished run, weights given twice.
    """
    path = Path(spec)
    if path.is_dir():
        if weights is not None:
            raise HoldfastError(f"{spec} is a run and brings its own weights; drop --weights, or give a model instead.")
        run = RunFolder(path)
        config = load_config(run.config)
        file = run.last if checkpoint == "last" else run.best
        if not run.finished:
            remedy = f"finish it with holdfast train {config.recipe} --out {path} --resume"
            raise HoldfastError(f"{path} has no {run.result.name} yet: the run is not finished; {remedy}.")
        return Target(path.name, config.model, config.data.name, file, path, config.profile, config.recipe)
    name = spec.replace("/", "_").replace(":", "-").replace(".py", "")
    if spec in pretrained_names():
        if weights is not None:
            raise HoldfastError(f"{spec} comes with its own weights; drop --weights, or give a model instead.")
        dataset, _, method = spec.partition("/")
        model, profile = (model_card(method, dataset=dataset)[key] for key in ("model", "profile"))
        return Target(name, model, dataset, ZOO / f"{spec}.safetensors", Path("runs") / name, profile)
    if spec not in BUILT_IN and ":" not in spec:
        others = "Or give a folder that holdfast train wrote, module:factory or file.py:factory."
        raise unknown_name("run or model", spec, (*BUILT_IN, *pretrained_names()), others)
    return Target(name, spec, None, None if weights is None else Path(weights), Path("runs") / name)
