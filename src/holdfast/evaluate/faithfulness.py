"""Is a map true to its network, and to its image? Deletion, insertion, infidelity, other weights, other images."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from holdfast.attribution.base import Attribution
from holdfast.errors import HoldfastError
from holdfast.metrics import Metric
from holdfast.metrics.stats import Interval
from holdfast.models.state import Model, evaluating
from holdfast.seeding import fresh_generator
from holdfast.validate import check_count, check_positive

ALIKE = 0.3
"""Part of the way from chance to all from which maps of different images are called alike; a convention."""


def deletion(
    model: Model, x: Tensor, y: Tensor, maps: Tensor, *, baseline: float = 0.0, steps: int = 20
) -> Float[Tensor, " B"]:
    """Area under the label's probability as features go to ``baseline``, the largest ``|map|`` first.

    Petsiuk et al., 2018 (https://arxiv.org/abs/1806.07421). Lower is more faithful; compare with `random_order`.

    Args:
        model: maps images to logits.
        x, y: images (B, ...) in [0, 1] and their labels.
        maps: attributions of the shape of ``x``; equal values go in the order of the features.
        baseline: what a deleted feature becomes.
        steps: parts in which the features are deleted; the area is taken by the trapezoid rule.

    Cost: ``steps + 1`` forward passes per image.

    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2, bias=False))
    >>> _ = net[1].weight.data.copy_(torch.tensor([[4.0, 0.0], [0.0, 0.0]]))
    >>> x, y = torch.ones(1, 1, 1, 2), torch.tensor([0])
    >>> [round(deletion(net, x, y, torch.tensor([[[m]]]), steps=2).item(), 3) for m in ([1.0, 0.0], [0.0, 1.0])]
    [0.621, 0.862]
    """
    return _area(model, x, y, maps, x, torch.full_like(x, baseline), steps)


def insertion(
    model: Model, x: Tensor, y: Tensor, maps: Tensor, *, baseline: float = 0.0, steps: int = 20
) -> Float[Tensor, " B"]:
    """Area under the label's probability as features are restored, the largest ``|map|`` first. Higher is better.

    Arguments, source and cost: as `deletion`.
    """
    return _area(model, x, y, maps, torch.full_like(x, baseline), x, steps)


def random_order(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Maps without any knowledge of the network, to compare `deletion` and `insertion` with."""
    return torch.rand(x.shape, generator=generator or fresh_generator(x.device), device=x.device)


def another_image(classes: Int64[Tensor, " B"]) -> Int64[Tensor, " B"]:
    """Of each image the next one of another class, in a circle; the next one where all are of one class.

    >>> another_image(torch.tensor([0, 0, 1, 0])).tolist(), another_image(torch.tensor([5, 5])).tolist()
    ([2, 2, 3, 2], [1, 0])
    """
    own, count = classes.tolist(), len(classes)
    found = [(i + 1) % count for i in range(count)]
    if len(set(own)) > 1:
        for i in 2 * [*reversed(range(count))]:
            after = (i + 1) % count
            if own[after] == own[i]:
                found[i] = found[after]
    return torch.tensor(found, dtype=torch.int64)


def of_other_images(maps: Float[Tensor, "B ..."], metric: Metric) -> Float[Tensor, " B"]:
    """How alike each map is to that of the next image (the last one's next is the first).

    What maps of different images share says nothing about either. Similarity under attack below this is none; an
    explanation whose maps are all alike is as steady as it is useless.

    Args:
        maps: attributions of different images, two or more.
        metric: any of `holdfast.metrics`.

    >>> from holdfast import TopK
    >>> of_other_images(torch.tensor([[3.0, 2.0, 0.0, 1.0], [0.0, 2.0, 1.0, 3.0]]), TopK(k=2))
    tensor([0.5000, 0.5000])
    """
    if len(maps) < 2:
        raise HoldfastError(f"there is {len(maps)} map; give those of two different images at least.")
    return metric(maps.roll(-1, 0), maps)


def alike(shared: Interval, chance: float) -> bool:
    """Whether maps of different images surely share so much that what an attack leaves of one says little.

    >>> alike(Interval(0.6, 0.55, 0.65, 100), 0.3), alike(Interval(0.6, 0.35, 0.85, 4), 0.3)
    (True, False)
    """
    return shared.low is not None and shared.low > chance + ALIKE * (1 - chance)


def _area(model: Model, x: Tensor, y: Tensor, maps: Tensor, before: Tensor, after: Tensor, steps: int) -> Tensor:
    check_count("steps", steps)
    if maps.shape != x.shape:
        raise HoldfastError(f"maps have shape {tuple(maps.shape)} and images {tuple(x.shape)}; they must be the same.")
    features = x[0].numel()
    place = maps.flatten(1).abs().argsort(dim=1, descending=True, stable=True).argsort(dim=1).view_as(x)
    with evaluating(model), torch.no_grad():
        curve = [
            model(torch.where(place < round(features * done / steps), after, before)).softmax(1).gather(1, y[:, None])
            for done in range(steps + 1)
        ]
    return torch.trapezoid(torch.cat(curve, dim=1), dx=1 / steps, dim=1)


def infidelity(
    model: Model,
    x: Tensor,
    y: Tensor,
    maps: Tensor,
    *,
    sigma: float = 0.1,
    samples: int = 50,
    generator: torch.Generator | None = None,
) -> Float[Tensor, " B"]:
    r"""Share of the change of the label's logit under Gaussian noise that the map does not explain.

    .. math:: \min_\beta E_I (\beta I^T A(x) - (f_y(x) - f_y(x - I)))^2 / E (f_y(x) - f_y(x - I))^2

    Yeh et al., 2019 (https://arxiv.org/abs/1901.09392), with the optimal scaling taken out and divided by what a map
    of zeros scores: 0 is a map that explains every change, 1 one that explains none.

    Args:
        model, x, y, maps: as in `deletion`.
        sigma: standard deviation of the noise I, pixels in [0, 1].
        samples: draws of the noise per image.

    Cost: ``samples + 1`` forward passes per image.

    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    >>> x, y = torch.rand(3, 1, 2, 2), torch.tensor([0, 1, 1])
    >>> maps = net[1].weight.detach()[y].view_as(x)  # the gradient of a linear network explains it wholly
    >>> bool((infidelity(net, x, y, maps) < 1e-5).all())
    True
    """
    check_positive("sigma", sigma)
    check_count("samples", samples)
    generator = generator or fresh_generator(x.device)
    explained, changes = [], []
    with evaluating(model), torch.no_grad():
        own = model(x).gather(1, y[:, None])[:, 0]
        for _ in range(samples):
            noise = torch.empty_like(x).normal_(0, sigma, generator=generator)
            explained.append((noise * maps).flatten(1).sum(1))
            changes.append(own - model(x - noise).gather(1, y[:, None])[:, 0])
    a, b = torch.stack(explained, 1).double(), torch.stack(changes, 1).double()
    tiny = torch.finfo(a.dtype).tiny
    scale = (a * b).sum(1) / a.square().sum(1).clamp(min=tiny)
    left = (scale[:, None] * a - b).square().sum(1)
    return (left / b.square().sum(1).clamp(min=tiny)).to(x.dtype)


def randomised_maps(model: nn.Module, x: Tensor, y: Tensor, attribution: Attribution, *, seed: int = 0) -> Tensor:
    """The maps of a copy of the network whose last layer with weights is drawn anew.

    The sanity check of Adebayo et al., 2018 (https://arxiv.org/abs/1810.03292): a map that stays what it was explains
    the image, not the network.

    Raises:
        HoldfastError: the network has no layer that can be drawn anew.
    """
    kinds = nn.Linear | nn.modules.conv._ConvNd
    layers = [name for name, m in model.named_modules() if isinstance(m, kinds)]
    if not layers:
        raise HoldfastError(
            f"{type(model).__name__} has no layer with a reset_parameters() of its own; the randomisation check needs "
            "one, such as nn.Linear."
        )
    copy = deepcopy(model)
    layer: Any = copy.get_submodule(layers[-1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer.reset_parameters()
    return attribution(copy, x, y)
