"""Predictions under attack, image by image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from holdfast.evaluate.alone import each_alone
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
