"""Test images with their attributions before and after the attack, for the pictures of a report."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from holdfast.data.image_data import ImageData
from holdfast.data.loader import to_unit_interval
from holdfast.evaluate.accuracy import predict
from holdfast.evaluate.attribution import AttackedMaps, Batch, attack_maps, score_maps
from holdfast.evaluate.protocol import Protocol, usual_settings
from holdfast.metrics import KendallTau, TopK
from holdfast.report.pictures import AttackedView, ExampleView

POOL = 200


def attacked_examples(
    models: Mapping[str, nn.Module],
    data: ImageData,
    protocol: Protocol,
    device: str,
    *,
    most: int,
    attack: str | None = None,
) -> list[ExampleView]:
    """The first ``most`` images that every model classifies correctly, attacked on each as in its evaluation.

    Args:
        models: networks on ``device`` by title.
        attack: the name of one of the protocol; its first by default.

    Returns:
        At most those among the first 200 images; an empty list where the models share no correct one.
    """
    pool = data.first(min(len(data), POOL))
    images, labels = to_unit_interval(pool.images.to(device)), pool.labels.to(device)
    right = torch.stack([predict(model, images) == labels for model in models.values()]).all(0)
    index = right.nonzero()[:most, 0]
    if len(index) == 0:
        return []
    images, labels = images[index], labels[index]
    attacked = {}
    attribution, name = protocol.attributions[0], attack or next(iter(protocol.attacks))
    for title, model in models.items():
        whole = Batch(images, labels, protocol.seed)
        clean = score_maps(model, attribution, whole)
        attacked[title] = attack_maps(model, attribution, name, protocol.attacks[name], whole, clean)
    return [
        ExampleView(
            index=int(i),
            label=data.classes[int(labels[row])],
            image=images[row].cpu().numpy(),
            views={title: _view(found, row, usual_settings(protocol)["k"]) for title, found in attacked.items()},
        )
        for row, i in enumerate(index)
    ]


def _view(found: AttackedMaps, row: int, k: int) -> AttackedView:
    return AttackedView(
        attribution_clean=found.clean_map[row].cpu().numpy(),
        adversarial=found.adversarial[row].cpu().numpy(),
        attribution_adversarial=found.other_map[row].cpu().numpy(),
        kendall=found.value(KendallTau())[row].item(),
        topk=found.value(TopK(k))[row].item(),
        succeeded=bool(found.succeeded[row]),
    )
