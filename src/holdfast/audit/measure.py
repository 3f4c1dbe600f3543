"""What is measured on one image: attack and noise at every radius, faithfulness, and a certificate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast.attacks import AutoIFIA, RandomSigns
from holdfast.attacks.auto_found import AutoFound
from holdfast.attacks.flags import attribution_flags, flags_at_hand
from holdfast.attribution import Saliency
from holdfast.attribution.base import Attribution
from holdfast.audit.light import Explanation, LightAttack
from holdfast.audit.settings import AuditSettings, metrics_of, reference_of
from holdfast.certify import VotedMap
from holdfast.errors import HoldfastError
from holdfast.evaluate import name_of
from holdfast.evaluate.faithfulness import (
    deletion,
    infidelity,
    insertion,
    of_other_images,
    random_order,
    randomised_maps,
)
from holdfast.metrics import Spearman, TopK
from holdfast.models.outputs import OneLabel
from holdfast.models.state import Model, evaluating
from holdfast.seeding import generator_of

Row = dict[str, Any]
ATTACK, NOISE = "attack", "noise"


@dataclass(frozen=True)
class Pictured:
    """One explanation of one image before and after the strongest attack at a radius."""

    image: Tensor
    clean: Tensor
    attacked: Tensor
    after: Tensor
    topk: float


def explained(
    model: nn.Module, x: Tensor, index: int, settings: AuditSettings
) -> Iterator[tuple[nn.Module, Tensor, int]]:
    """What is explained of one image (1, C, H, W): the network, the target among its logits, and the predicted class.

    One of each for a network of exclusive classes; for a multi-label one, `OneLabel` of every label it predicts.
    """
    with evaluating(model), torch.no_grad():
        logits = model(x)
    if logits.isnan().any():
        raise HoldfastError(f"the model returns NaN for image {index}; find out where it breaks, or leave it out.")
    if not settings.multi_label:
        target = logits.argmax(1)
        yield model, target, int(target)
        return
    for label in (logits[0] > 0).nonzero()[:, 0].tolist():
        yield OneLabel(model, label), torch.ones(1, dtype=torch.int64, device=x.device), label


def measure(
    model: nn.Module, x: Tensor, index: int, settings: AuditSettings, other: Tensor | None = None
) -> Iterator[tuple[Row, Pictured | None]]:
    """The rows of one image (1, C, H, W), each with its picture where the row is that of an attack.

    ``other`` is another image, whose maps say what these have in common with those of any image.
    """
    for one, target, prediction in explained(model, x, index, settings):
        about = {"index": index, "prediction": prediction}
        for row, shown in _measured(one, x, target, index, settings, other):
            yield {**about, **row}, shown


def _measured(
    model: nn.Module, x: Tensor, target: Tensor, index: int, settings: AuditSettings, other: Tensor | None
) -> Iterator[tuple[Row, Pictured | None]]:
    for attribution in settings.attributions:
        base = {"attribution": name_of(attribution)}
        clean = attribution(model, x, target).detach()
        if not clean.isfinite().all():
            raise HoldfastError(
                f"{base['attribution']} gives NaN or infinity for image {index}; find out where the network (or the "
                "explanation) breaks (infinite logits, a square root or a logarithm at 0?), or leave the image out."
            )
        of = Explanation(model, x, target, attribution, clean)
        if _is_flat(clean):
            yield {**base, "what": "map", "blank": True}, None
            continue
        found = {**_faithful(of, settings), "another": _shared_with(of, other, settings)}
        yield {**base, "what": "map", "blank": False, **found}, None
        moves = _lightly_moved if settings.budget == "light" else _moved
        for what, eps, adv, after, extra in moves(of, index, settings):
            values = {m.key: float(m(after, clean)) for m in metrics_of(settings)}
            row = {**base, "what": what, "eps": eps, **values, **extra, **_visible(x, adv)}
            shown = Pictured(x[0], clean[0], adv[0], after[0], float(TopK(settings.k or 1)(after, clean)))
            yield row, shown if what == ATTACK else None
    if settings.certify:
        yield from ((row, None) for row in _certified(model, x, target, index, settings))


Moves = Iterator[tuple[str, float, Tensor, Tensor, Row]]
"""Kind of perturbation, radius, perturbed image, its map, and what else is recorded."""


def _moved(of: Explanation, index: int, settings: AuditSettings) -> Moves:
    for eps in settings.eps:
        for what in (ATTACK, NOISE):
            adv, extra = _perturbed(what, of, eps, index, settings)
            yield what, eps, adv, of.attribution(of.model, adv, of.target).detach(), extra


def _lightly_moved(of: Explanation, index: int, settings: AuditSettings) -> Moves:
    attack = LightAttack(settings.eps, reference_of(settings.eps), settings.k or 1)
    generator = generator_of(settings.seed, "light", index, name_of(of.attribution), device=of.x.device)
    for eps, attacked, noise in attack.run(of, generator):
        for what, moved in ((ATTACK, attacked), (NOISE, noise)):
            yield what, eps, moved.adv, moved.after, {"succeeded": bool(moved.member), "member": moved.member}


def _is_flat(maps: Tensor) -> bool:
    return bool(maps.amax() == maps.amin())


def _perturbed(what: str, of: Explanation, eps: float, index: int, settings: AuditSettings) -> tuple[Tensor, Row]:
    generator = generator_of(settings.seed, what, index, name_of(of.attribution), repr(eps), device=of.x.device)
    k = settings.k or 1
    if what == NOISE:
        noise = RandomSigns(eps, settings.draws, k, select="topk")
        found = noise.run(of.model, of.x, of.target, attribution=of.attribution, generator=generator)
        return found.adv_images, {"succeeded": bool(found.succeeded)}
    strongest = full_attack(settings, eps, of.attribution).run(of.model, of.x, of.target, generator=generator)
    assert isinstance(strongest, AutoFound)
    won = int(strongest.winner["topk"])
    return strongest.adv_images, {
        "succeeded": bool(strongest.succeeded),
        "member": strongest.members[won] if won >= 0 else "",
    }


def full_attack(settings: AuditSettings, eps: float, attribution: Attribution) -> AutoIFIA:
    """The attack of one radius; with the light budget that of the self-checks alone."""
    budget, scale = settings.budget, 1.0
    if budget == "light":
        budget, scale = "quick", 1 / 3
    return AutoIFIA(eps, settings.k or 1, budget, metrics=("topk",), scale=scale, attribution=attribution)


def _visible(x: Tensor, adv: Tensor) -> Row:
    return {"largest_change": float((adv - x).abs().max()), "ssim": float(ssim(x, adv))}


def ssim(x: Tensor, y: Tensor, window: int = 7) -> Tensor:
    """Structural similarity (B,) of images in [0, 1] with a uniform window (Wang et al., 2004); 1 for equal ones.

    >>> x = torch.rand(2, 1, 16, 16)
    >>> ssim(x, x)
    tensor([1., 1.])
    """
    side = min(window, *x.shape[2:])

    def mean(z: Tensor) -> Tensor:
        return F.avg_pool2d(z.double(), side, stride=1)

    mx, my = mean(x), mean(y)
    vx, vy, both = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    value = (2 * mx * my + c1) * (2 * both + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return value.flatten(1).mean(1).to(x.dtype)


def _faithful(of: Explanation, settings: AuditSettings) -> Row:
    model, x, target, clean = of.model, of.x, of.target, of.clean
    generator = generator_of(settings.seed, "faithfulness", name_of(of.attribution), device=x.device)
    rival = random_order(x, generator)
    steps, samples = (8, 20) if settings.budget == "light" else (20, 50)
    found = {
        "deletion": float(deletion(model, x, target, clean, steps=steps)),
        "deletion_random": float(deletion(model, x, target, rival, steps=steps)),
        "insertion": float(insertion(model, x, target, clean, steps=steps)),
        "insertion_random": float(insertion(model, x, target, rival, steps=steps)),
        "infidelity": float(infidelity(model, x, target, clean, samples=samples, generator=generator)),
    }
    if isinstance(model, nn.Module):
        try:
            other = randomised_maps(model, x, target, of.attribution, seed=settings.seed)
            found["randomised"] = math.nan if _is_flat(other) else float(Spearman()(other.detach(), clean))
        except (HoldfastError, RuntimeError):
            found["randomised"] = math.nan
    return found


def _shared_with(of: Explanation, other: Tensor | None, settings: AuditSettings) -> float:
    """The share of the top features that are also those of another image's map; NaN where there is none."""
    if other is None:
        return math.nan
    with evaluating(of.model), torch.no_grad():
        target = of.target if settings.multi_label else of.model(other).argmax(1)
    maps = of.attribution(of.model, other, target).detach()
    if not maps.isfinite().all() or _is_flat(maps):
        return math.nan
    return float(of_other_images(torch.cat([of.clean, maps]), TopK(settings.k or 1))[0])


def _certified(model: Model, x: Tensor, target: Tensor, index: int, settings: AuditSettings) -> Iterator[Row]:
    """The guaranteed share of the voted map's top k in the L2 ball that holds each radius's Linf ball, and within."""
    features = x[0].numel()
    balls = [eps * math.sqrt(features) for eps in settings.eps]
    radii = sorted({*balls, *(0.05 * step for step in range(1, 11))})
    generator = generator_of(settings.seed, "certificate", index, device=x.device)
    votes = VotedMap(n_samples=settings.samples)
    found = votes(model, x, target, k=settings.k or 1, radii=radii, generator=generator)
    for column, radius in enumerate(radii):
        eps = next((e for e, ball in zip(settings.eps, balls, strict=True) if ball == radius), None)
        yield {
            "attribution": "VotedMap", "what": "certificate", "radius": radius, "eps": eps,
            "topk": float(found.topk[0, column]), "cosine": float(found.cosine[0, column]),
        }  # fmt: skip


def flags_of(model: nn.Module, x: Tensor, settings: AuditSettings) -> list[str]:
    """Signs that the attack was too weak, or that the network is odd, from an attack at the largest eps.

    Of a multi-label network the likeliest label of the first image is looked at, present or absent.
    """
    if settings.multi_label:
        with evaluating(model), torch.no_grad():
            model = OneLabel(model, int(model(x[:1]).argmax()))
    with evaluating(model), torch.no_grad():
        target = model(x).argmax(1)
    attribution: Attribution = Saliency() if settings.budget == "light" else settings.attributions[0]
    attack = full_attack(settings, settings.eps[-1], attribution)
    generator = generator_of(settings.seed, "flags", device=x.device)
    found = attack.run(model, x, target, generator=generator)
    assert isinstance(found, AutoFound)
    if settings.budget not in ("light", "quick"):
        return attribution_flags(attack, model, x, target, found, attribution=attribution, seed=settings.seed)
    return flags_at_hand(model, x, target, found)
