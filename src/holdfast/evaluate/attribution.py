"""Attributions under attack, image by image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from holdfast.attacks import Attack
from holdfast.attribution.base import Attribution
from holdfast.errors import HoldfastError
from holdfast.evaluate.accuracy import each_alone, predict
from holdfast.evaluate.cost import Tell, attack_cost
from holdfast.evaluate.protocol import OTHER_IMAGE, Protocol, name_of
from holdfast.evaluate.records import OK
from holdfast.metrics import Metric, activation_consistency
from holdfast.models.state import Model
from holdfast.seeding import ImageGenerator

Others = Callable[[list[int]], tuple[Tensor, Tensor]]
"""``others(index)``: for each image of a split another one and its label."""
BROKEN = "the map holds NaN"
CONSTANT = "the clean map is constant"


@dataclass(frozen=True)
class MapPairs:
    """The maps of some images beside other maps; each tensor has one entry per image. ``broken``: a map holds NaN."""

    clean_map: Tensor
    other_map: Tensor
    broken: Tensor

    def value(self, metric: Metric) -> Tensor:
        """A metric in float64: NaN where a map is broken."""
        values = torch.full((len(self.broken),), float("nan"), dtype=torch.float64, device=self.broken.device)
        sound = ~self.broken
        if bool(sound.any()):
            values[sound] = metric(self.other_map[sound], self.clean_map[sound]).double()
        return values

    def status(self) -> list[str]:
        """Of each image: "ok", or what is odd about its maps."""
        flat = self.clean_map.flatten(1)
        constant = flat.amax(1) == flat.amin(1)
        pairs = zip(self.broken.tolist(), constant.tolist(), strict=True)
        return [BROKEN if broken else CONSTANT if same else OK for broken, same in pairs]


@dataclass(frozen=True)
class AttackedMaps(MapPairs):
    """One attack on one attribution: the clean maps beside those of the adversarial images.

    Where the attack failed, the adversarial image and its map are the clean ones.
    """

    adversarial: Tensor
    succeeded: Tensor
    best_step: Tensor

    def value(self, metric: Metric) -> Tensor:
        """A metric in float64: NaN where a map is broken, what a failed attack counts as where it failed."""
        values = super().value(metric)
        if metric.if_failed is not None:
            values = values.masked_fill(~self.broken & ~self.succeeded, metric.if_failed)
        return values


@dataclass(frozen=True)
class Batch:
    """Images (B, ...) in [0, 1] with their labels, and what seeds the randomness of everything done with them."""

    images: Tensor
    labels: Tensor
    seed: int

    def generator(self, name: str) -> torch.Generator:
        """A fresh one for each name, of equal numbers for every batch."""
        return ImageGenerator.of(self.seed, name, device=self.images.device)


def score_maps(model: Model, attribution: Attribution, batch: Batch, images: Tensor | None = None) -> Tensor:
    """The maps that are scored, in float32 on the network itself: NaN where there is none.

    Every version of a batch (``images`` in place of its own) is scored with the same random numbers.
    """

    def score(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        return {"map": attribution(model, x.float(), y, generator=batch.generator("map")).detach()}

    images = batch.images if images is None else images
    sound = torch.ones(len(images), dtype=torch.bool, device=images.device)
    maps = each_alone(score, images, batch.labels, sound, {"map": float("nan")})["map"]
    return maps if maps.ndim > 1 else torch.full_like(images, float("nan"))


def attack_maps(
    model: Model, attribution: Attribution, name: str, attack: Attack, batch: Batch, clean: Tensor
) -> AttackedMaps:
    """Attack the maps ``clean`` of a batch. What an attack found counts only where it keeps the prediction.

    Args:
        name: seeds the attack.
    """

    def attacked(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        generator = batch.generator(name)
        found: Any = attack.run(model, x, y, attribution=attribution, generator=generator)  # type: ignore[call-arg]
        _check_found(found, x, attack)
        succeeded = found.succeeded & (predict(model, found.adv_images) == y)
        steps = getattr(found, "best_step", torch.zeros_like(y))
        return {
            "adversarial": _where(succeeded, found.adv_images, x),
            "succeeded": succeeded,
            "best_step": torch.where(succeeded, steps, torch.zeros_like(steps)),
            "run": torch.ones_like(succeeded),
        }

    images = batch.images
    blank = {"adversarial": 0.0, "succeeded": False, "best_step": 0, "run": False}
    found = each_alone(attacked, images, batch.labels, ~_broken(clean), blank)
    run = found["run"]
    adversarial = _where(run, found["adversarial"], images) if bool(run.any()) else images
    maps = score_maps(model, attribution, batch, adversarial)
    return AttackedMaps(clean, maps, ~run | _broken(maps), adversarial, found["succeeded"], found["best_step"])


def _check_found(found: Any, x: Tensor, attack: Attack) -> None:
    adv, succeeded = (getattr(found, name, None) for name in ("adv_images", "succeeded"))
    if not isinstance(adv, Tensor) or not isinstance(succeeded, Tensor):
        raise HoldfastError(
            f"{name_of(attack)} found {type(found).__name__}; return an object with the tensors adv_images and "
            "succeeded, such as holdfast.attacks.attribution_attack.Found."
        )
    if adv.shape != x.shape or succeeded.shape != (len(x),) or succeeded.dtype != torch.bool:
        raise HoldfastError(
            f"{name_of(attack)} found images of shape {tuple(adv.shape)} and succeeded {succeeded.dtype} "
            f"{tuple(succeeded.shape)}; give {tuple(x.shape)} and booleans ({len(x)},)."
        )
    if bool((adv < 0).any()) or bool((adv > 1).any()):
        raise HoldfastError(f"{name_of(attack)} left [0, 1]; clamp its images.")


def _where(chosen: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *[1] * (a.ndim - 1)), a, b)


def _broken(maps: Tensor) -> Tensor:
    return maps.isnan().flatten(1).any(1)


def attribution_rows(
    model: Model, images: Tensor, labels: Tensor, index: list[int], protocol: Protocol, tell: Tell
) -> dict[str, Any]:
    """Of each image: its maps before and after each attack on each attribution, compared by each metric."""
    return _joined(_attacked(model, images, labels, index, protocol, tell))


def other_image_rows(
    model: Model, images: Tensor, labels: Tensor, index: list[int], protocol: Protocol, tell: Tell, others: Others
) -> dict[str, Any]:
    """Of each image: its maps compared, by each metric, with those of another image, each for its own label."""
    return _joined(_beside_others(model, images, labels, index, protocol, tell, others))


def _joined(parts: Iterator[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"index": []}
    for part in parts:
        for name, values in part.items():
            found.setdefault(name, []).extend(values)
    return found


def _attacked(
    model: Model, images: Tensor, labels: Tensor, index: list[int], protocol: Protocol, tell: Tell
) -> Iterator[dict[str, Any]]:
    whole = Batch(images, labels, protocol.seed)
    for attribution in protocol.attributions:
        clean = score_maps(model, attribution, whole)
        tell(2.0 * attribution.points)
        for name, attack in protocol.attacks.items():
            found = attack_maps(model, attribution, name, attack, whole, clean)
            tell(attack_cost(attack, attribution))
            rows: dict[str, Any] = {
                "succeeded": found.succeeded.tolist(),
                "best_step": found.best_step.tolist(),
                "activation": [None] * len(index),
            }
            with suppress(HoldfastError):  # a network without ReLU has no activation consistency
                rows["activation"] = activation_consistency(model, images, found.adversarial).tolist()
            yield {**_compared(found, attribution, name, labels, index, protocol), **rows}


def _beside_others(
    model: Model, images: Tensor, labels: Tensor, index: list[int], protocol: Protocol, tell: Tell, others: Others
) -> Iterator[dict[str, Any]]:
    batches = [Batch(*pair, protocol.seed) for pair in ((images, labels), others(index))]
    for attribution in protocol.attributions:
        maps, other_maps = (score_maps(model, attribution, batch) for batch in batches)
        tell(4.0 * attribution.points)
        found = MapPairs(maps, other_maps, _broken(maps) | _broken(other_maps))
        yield _compared(found, attribution, OTHER_IMAGE, labels, index, protocol)


def _compared(
    found: MapPairs, attribution: Attribution, attack: str, labels: Tensor, index: list[int], protocol: Protocol
) -> dict[str, Any]:
    """What the records of every comparison of maps hold."""
    return {
        "index": index,
        "label": labels.tolist(),
        "attribution": [name_of(attribution)] * len(index),
        "attack": [attack] * len(index),
        "status": found.status(),
        **{metric.key: found.value(metric).tolist() for metric in protocol.metrics},
    }
