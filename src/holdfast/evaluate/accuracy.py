"""Predictions under attack, image by image; an image that breaks is found, reported and left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from holdfast.errors import NotFinite
from holdfast.evaluate.cost import Tell
from holdfast.evaluate.protocol import NATURAL, Protocol
from holdfast.evaluate.records import OK
from holdfast.models.state import Model, evaluating
from holdfast.seeding import ImageGenerator

NO_NUMBERS = "the network returns NaN"


def predict(model: Model, images: Tensor) -> Tensor:
    """Class indices (B,); -1 where the logits are not numbers."""
    with evaluating(model), torch.no_grad():
        logits = model(images)
    return logits.argmax(1).masked_fill(logits.isnan().any(1), -1)


def accuracy_rows(
    model: Model, images: Tensor, labels: Tensor, index: list[int], protocol: Protocol, tell: Tell
) -> dict[str, Any]:
    """The prediction of each image, as it is and under each attack. A prediction that is no number counts as wrong."""
    predictions = {NATURAL: predict(model, images)}
    tell(1.0)
    for name, attack in protocol.predictions.items():

        def attacked(x: Tensor, y: Tensor, name: str = name, attack: Any = attack) -> dict[str, Tensor]:
            generator = ImageGenerator.of(protocol.seed, name, device=x.device)
            return {"prediction": predict(model, attack(model, x, y, generator=generator))}

        sound = predictions[NATURAL] >= 0
        found = each_alone(attacked, images, labels, sound, {"prediction": -1})
        predictions[name] = found["prediction"]
        tell(attack.cost + 1)
    joined = torch.cat([*predictions.values()])
    return {
        "index": index * len(predictions),
        "label": labels.tolist() * len(predictions),
        "attack": [name for name in predictions for _ in index],
        "status": [OK if p >= 0 else NO_NUMBERS for p in joined.tolist()],
        "prediction": joined.tolist(),
        "correct": (joined == labels.repeat(len(predictions))).tolist(),
    }


Work = Callable[[Tensor, Tensor], dict[str, Tensor]]


def each_alone(
    work: Work, images: Tensor, labels: Tensor, sound: Tensor, otherwise: Mapping[str, float]
) -> dict[str, Tensor]:
    """What ``work(images, labels)`` gives, one entry per image, with ``otherwise`` where it cannot.

    Images that are not ``sound`` are left out. Where the rest raises `NotFinite`, each image is tried alone, and left
    out where that raises it too; any other error of ``work`` goes through.
    """
    rows = sound.nonzero()[:, 0]
    if len(rows) == 0:
        return _spread([], images, otherwise)
    try:
        return _spread([(rows, work(images[rows], labels[rows]))], images, otherwise)
    except NotFinite:
        pass
    done = []
    for row in rows.split(1):
        with suppress(NotFinite):
            done.append((row, work(images[row], labels[row])))
    return _spread(done, images, otherwise)


def _spread(
    done: list[tuple[Tensor, dict[str, Tensor]]], images: Tensor, otherwise: Mapping[str, float]
) -> dict[str, Tensor]:
    """Values of some rows in their places."""
    found: dict[str, Tensor] = {}
    for name, value in otherwise.items():
        kind = done[0][1][name] if done else torch.tensor(value, device=images.device)
        whole = torch.full((len(images), *kind.shape[1:]), value, dtype=kind.dtype, device=images.device)
        for rows, values in done:
            whole[rows] = values[name]
        found[name] = whole
    return found
