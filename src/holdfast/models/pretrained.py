"""Networks that come with the package: float16 weights, and a card that says what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from holdfast.data.catalogue import KNOWN
from holdfast.errors import unknown_name
from holdfast.models.resolve import build_model
from holdfast.models.weights import load_weights

FOLDER = Path(__file__).parent / "zoo"


def pretrained_names(dataset: str | None = None) -> list[str]:
    """``dataset/name`` of every network that comes with the package, or the names for one data set."""
    names = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.glob("*/*.json"))
    return names if dataset is None else [n.partition("/")[2] for n in names if n.partition("/")[0] == dataset]


def model_card(model_name: str, *, dataset: str) -> dict[str, Any]:
    """What a pretrained network is: recipe, profile, settings, how it was trained, and what it scored.

    Raises:
        HoldfastError: for an unknown name, with the nearest ones.
    """
    names = pretrained_names(dataset)
    if model_name not in names:
        others = ", ".join(pretrained_names()) or "none"
        raise unknown_name("pretrained model", model_name, names, f"With the package come: {others}.")
    return json.loads((FOLDER / dataset / f"{model_name}.json").read_text())


def load_pretrained(model_name: str, *, dataset: str) -> nn.Module:
    """A network that comes with the package, in float32 and evaluation mode."""
    card = model_card(model_name, dataset=dataset)
    known = KNOWN[dataset]
    with torch.random.fork_rng(devices=[]):
        model = build_model(card["model"], known.shape, len(known.classes))
    load_weights(model, FOLDER / dataset / f"{model_name}.safetensors")
    return model.eval()
