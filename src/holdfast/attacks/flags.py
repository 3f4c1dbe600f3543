"""Signs that an attack was too weak to say anything, each as one line with its number and a remedy."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from holdfast.attacks.annealed import POOLING, AnnealedIFIA
from holdfast.attacks.auto import RANDOM, SEARCH, TRANSFER, AutoIFIA
from holdfast.attacks.auto_found import AutoFound
from holdfast.attacks.worst import Worst
from holdfast.attribution.base import Attribution
from holdfast.models import check_surrogate
from holdfast.models.state import Model, evaluating, naming_misfits

FEW = 10
"""Images on which an attack is run again."""
NOTABLE = 0.02
"""A difference of mean similarities that is worth a line."""
LOST = 0.5
SATURATED = 0.1
SAME = 1e-4
"""Relative difference of logits that rounding explains."""
UNMOVED = 1 - 1e-6
"""Similarity from which on a map is where it was."""


def coupling_flags(model: Model, x: Tensor) -> list[str]:
    """Whether a model is random, or an image's logits depend on those beside it. Cost: 3 forward passes.

    >>> coupling_flags(lambda x: x.flatten(1) - x.flatten(1).mean(0), torch.rand(3, 1, 2, 2))[0].split(" (")[0]
    "an image's logits depend on the images beside it"
    """
    return _coupled(*_passes(model, x))


def _passes(model: Model, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The logits twice, and those of the first `FEW` images each by itself."""
    with naming_misfits(model, x), evaluating(model), torch.no_grad():
        return model(x), model(x), torch.cat([model(image[None]) for image in x[:FEW]])


def _coupled(logits: Tensor, again: Tensor, alone: Tensor) -> list[str]:
    flags = []
    scale = logits.std().clamp(min=torch.finfo(logits.dtype).tiny)
    noise = float((logits - again).abs().max() / scale)
    if noise > SAME:
        flags.append(
            f"the model is random: two passes over the same images differ by {noise:.2g} standard deviations of the "
            "logits; switch dropout and noise off, or attack the mean over many passes."
        )
    beside = float((logits[: len(alone)] - alone).abs().max() / scale)
    if beside > max(SAME, 3 * noise):
        flags.append(
            f"an image's logits depend on the images beside it (by {beside:.2g} standard deviations): batch statistics "
            "are in use; freeze them, or attack one image at a time."
        )
    return flags


def model_flags(model: Model, x: Tensor) -> list[str]:
    """What is odd about a model's outputs before any attack. Cost: 4 forward passes, and one image by itself.

    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1))
    >>> model_flags(net, torch.rand(5, 1, 2, 2))[0].split(":")[0]
    'the outputs are probabilities, not logits (each row sums to 1, all of 5)'
    """
    logits, again, alone = _passes(model, x)
    flags = _coupled(logits, again, alone)
    sums = logits.sum(1)
    if bool((logits >= 0).all()) and float((sums - 1).abs().max()) < 1e-3:
        flags.append(
            f"the outputs are probabilities, not logits (each row sums to 1, all of {len(x)}): gradients of a "
            "saturated softmax vanish and maps of probabilities are not those of logits; pass the logits."
        )
    else:
        certain = float((logits.double().softmax(1).amax(1) > 1 - 1e-7).float().mean())
        if certain > SATURATED:
            top = logits.topk(2, dim=1).values
            flags.append(
                f"the logits are saturated: on {certain:.0%} of the images the softmax is 1 up to rounding (median "
                f"margin {float((top[:, 0] - top[:, 1]).median()):.3g}), where the cross-entropy has no gradient; "
                "divide the logits by a constant, or attack their margin (CWInf, APGD with the targeted loss, Square)."
            )
    return flags


def gradient_flags(found: AutoFound) -> list[str]:
    """Whether the members of the ensemble that follow a gradient had one."""
    ran = found.lost.isfinite()
    if not bool(ran.any()):
        return []
    blind = float((~found.moved[ran]).float().mean())
    if blind > 0 and all(bool((one.score > UNMOVED).all()) for one in found.by_metric.values()):
        return [
            f"the gradient is exactly 0 in {blind:.0%} of the runs and random search moved no map either: the maps do "
            "not depend on the image (as the saliency of a linear network), or all of them are masked; read no "
            "robustness from it."
        ]
    if blind > 0:
        return [
            f"the gradient is exactly 0 in {blind:.0%} of the runs: it is masked (a step, a saturated output, a "
            "quantiser), and only random search moved those maps; remove the mask, or read the score as an upper bound."
        ]
    return []


def label_flags(found: AutoFound) -> list[str]:
    """Whether most iterates counted for nothing."""
    lost = float(found.lost.nanmean())
    if lost > LOST:
        return [
            f"{lost:.0%} of the iterates lost the label and count for nothing: the prediction is more fragile than the "
            "map; attack with a smaller eps, or read robustness to label changes first."
        ]
    return []


def ensemble_flags(found: AutoFound) -> list[str]:
    """Whether members without a gradient did better than those with one, in the mean of each metric."""
    flags = []
    followed = found.lost.isfinite().any(1)
    for metric, reached in found.reached.items():
        there = reached.isfinite().any(0)
        if not bool(followed.any()) or not bool(there.any()):
            continue
        white = _mean(reached[followed].amin(0), there)
        for name, what in ((RANDOM, "random signs"), (SEARCH, "the search without gradients")):
            own = [i for i, member in enumerate(found.members) if member.startswith(name)]
            if not own:
                continue
            other = _mean(reached[own].amin(0), there)
            if other < white - (NOTABLE if name == SEARCH else 0):
                flags.append(
                    f"{what} ({metric} {other:.3f}) beat the gradient ({metric} {white:.3f}): the gradient is masked "
                    "or the surrogate misleads; use the thorough budget, and check the network's activations."
                )
    return flags


def _mean(scores: Tensor, there: Tensor) -> float:
    return float(scores[there].clamp(max=1).mean())


def effort_flags(
    attack: AutoIFIA,
    model: Model,
    x: Tensor,
    y: Tensor,
    found: AutoFound,
    *,
    attribution: Attribution | None = None,
    seed: int = 0,
) -> list[str]:
    """Run about ten images again with twice and with a quarter of the steps, and say by how much the score moves.

    Cost: 2.25 times that of the attack on `FEW` images.
    """
    rows = _few(found)
    if not len(rows):
        return []
    flags = []
    for scale in (2.0, 0.25):
        generator = torch.Generator(x.device).manual_seed(seed)
        again = replace(attack, scale=attack.scale * scale).run(
            model, x[rows], y[rows], attribution=attribution, generator=generator
        )
        for metric, one in again.by_metric.items():
            before, after = float(found.by_metric[metric].score[rows].mean()), float(one.score.mean())
            if scale > 1 and before - after > NOTABLE:
                flags.append(
                    f"still improving: twice the steps lower {metric} from {before:.3f} to {after:.3f} on {len(rows)} "
                    "images; use a larger budget."
                )
            if scale < 1 and before - after > NOTABLE / 2:
                flags.append(
                    f"stronger with fewer steps: a quarter of them lowers {metric} from {before:.3f} to {after:.3f} on "
                    f"{len(rows)} images: the gradient leads astray; use the thorough budget, which starts elsewhere."
                )
    return flags


def _few(found: AutoFound) -> Tensor:
    """The first `FEW` images that were attacked."""
    attacked = found.reached[next(iter(found.reached))].isfinite().any(0)
    return attacked.nonzero()[:FEW, 0]


def transfer_flags(
    attack: AutoIFIA,
    model: Model,
    x: Tensor,
    y: Tensor,
    found: AutoFound,
    *,
    attribution: Attribution | None = None,
    seed: int = 0,
) -> list[str]:
    """Whether an attack on another explanation moves this one further than the attack on itself, on about ten images.

    Cost: that of the attack on integrated gradients and on saliency with 5 points and 1, on `FEW` images.
    """
    scored = attack.attacked(attribution)
    rows = _few(found)
    if not scored.differentiable or not len(rows):
        return []
    flags, everyone = [], torch.arange(len(rows), device=x.device)
    with evaluating(model):
        worst = Worst(model, x[rows], y[rows], scored, attack.metrics, attack.k)
    for source in TRANSFER:
        if type(source) is type(scored):
            continue
        generator = torch.Generator(x.device).manual_seed(seed)
        away = attack.run(model, x[rows], y[rows], attribution=source, generator=generator)
        for metric, one in away.by_metric.items():
            with evaluating(model):
                moved = float(worst.values(one.adv_images, everyone)[metric].clamp(max=1).mean())
            own = float(found.by_metric[metric].score[rows].mean())
            if moved < own - NOTABLE:
                flags.append(
                    f"transfer is stronger than the white box: an attack on {source.title} leaves {metric} {moved:.3f} "
                    f"of {scored.title}, the attack on itself {own:.3f} ({len(rows)} images): its own gradient is "
                    "masked; wrap it in External, which is attacked by transfer and by search."
                )
    return flags


def flags_at_hand(model: Model, x: Tensor, y: Tensor, found: AutoFound) -> list[str]:
    """Those of an attack on attributions that need no further attack."""
    problem = check_surrogate(model, x, y, AnnealedIFIA.surrogate_beta[1], POOLING).problem
    return [
        *model_flags(model, x),
        *([problem] if problem else []),
        *gradient_flags(found),
        *label_flags(found),
        *ensemble_flags(found),
    ]


def attribution_flags(
    attack: AutoIFIA,
    model: Model,
    x: Tensor,
    y: Tensor,
    found: AutoFound,
    *,
    attribution: Attribution | None = None,
    seed: int = 0,
) -> list[str]:
    """All flags of an attack on attributions; arguments as `effort_flags`."""
    return [
        *flags_at_hand(model, x, y, found),
        *effort_flags(attack, model, x, y, found, attribution=attribution, seed=seed),
        *transfer_flags(attack, model, x, y, found, attribution=attribution, seed=seed),
    ]
