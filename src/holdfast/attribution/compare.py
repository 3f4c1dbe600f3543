"""Penalties of what an attack does to an attribution, the IGR paper's regulariser among them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from holdfast.attribution.base import Attribution, Target, checked, expanded_baseline, path_attribution
from holdfast.attribution.integrated_gradients import IntegratedGradients, check_rule
from holdfast.errors import HoldfastError, HoldfastWarning
from holdfast.gradient.grouped import Values, in_groups
from holdfast.gradient.points import Method, Path, block_rows, holds_graph, precise
from holdfast.metrics.pairs import cosine_similarity
from holdfast.models.state import Model, outside_inference_mode, usable
from holdfast.validate import check_count, check_maps

Distance = Callable[[Tensor, Tensor], Tensor]
"""``distance(maps, reference)`` (B,), of the perturbed images' maps to the clean ones'."""


def cosine_distance(maps: Float[Tensor, "B ..."], reference: Float[Tensor, "B ..."]) -> Float[Tensor, " B"]:
    """``1 - cos`` of each pair of maps, features flattened; in float32 at least. A zero map counts as orthogonal.

    >>> cosine_distance(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    tensor([2., 1.])
    """
    return 1 - cosine_similarity(*(m.to(precise(m.dtype)) for m in (maps, reference)))


def attribution_penalty(
    model: Model,
    x: Float[Tensor, "B ..."],
    x_adv: Float[Tensor, "B ..."],
    target: Target,
    *,
    attribution: Attribution | None = None,
    distance: Distance | None = None,
    internal_batch_size: int | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, " B"]:
    r"""The distance of the maps of each pair of images: ``distance(A(x_adv), A(x))``.

    Any scalar made of the result can be ``.backward()``-ed, to the parameters and to ``x`` and ``x_adv``. The gradient
    is exact at every ``internal_batch_size``, and peak memory does not grow with the batch: pairs are taken a few at a
    time, and the sum of their gradients is made in the forward pass, while their graphs are there.

    Args:
        model: maps images to logits.
        x, x_adv: clean and perturbed images of one shape.
        target: the class whose logit is attributed, int64 (B,) or one for all; the same for both.
        attribution: a differentiable one; None is ``IntegratedGradients(n_steps=10, method="riemann_right")``.
        distance: ``distance(maps, reference)`` -> (B,), each image's from its own maps alone, differentiable; None is
            ``1 - cos``.
        internal_batch_size: points evaluated at once, a pair having ``2 * attribution.points``. None takes as many
            as run fastest.
        generator: draws the seed of a random attribution anew, the same for ``x`` and ``x_adv``.

    Returns:
        (B,).

    Raises:
        HoldfastError: shapes that differ, or an attribution that cannot be differentiated where gradients are asked.

    Cost for a piecewise-linear network, gradient included: ``2 * 4 * attribution.points`` forward passes per image;
    twice that for a loss that weighs the images of a batch unequally, unless the batch fits at once.

    Example:
        >>> from holdfast.attribution import SmoothGrad
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 8), torch.nn.ReLU(),
        ...                           torch.nn.Linear(8, 2))
        >>> x = torch.rand(3, 1, 2, 2)
        >>> found = attribution_penalty(net, x, x.flip(0), 1, attribution=SmoothGrad(n_samples=4))
        >>> found.mean().backward()
        >>> found.shape, net[1].weight.grad is not None
        (torch.Size([3]), True)
    """
    attribution = attribution or IntegratedGradients(n_steps=10, method="riemann_right")
    if torch.is_grad_enabled() and not attribution.differentiable:
        raise HoldfastError(
            f"{attribution.title} cannot be differentiated, so that its penalty has no gradient: call under "
            "torch.no_grad() for the values alone, or choose another attribution."
        )
    with outside_inference_mode():
        x, x_adv, target = _checked_pair(model, x, x_adv, target, internal_batch_size)
        own = attribution.drawn(generator)
        path = Path(model, target, "riemann_right", own.points, torch.is_grad_enabled())
        pairs = partial(_pairs, distance or cosine_distance, own, model)
        found = in_constant_memory(pairs, path, 2, internal_batch_size, x, x_adv, target)
    trained = isinstance(model, nn.Module) and any(p.requires_grad for p in model.parameters())
    if torch.is_grad_enabled() and trained and not found.requires_grad:
        warnings.warn(
            f"the penalty of {attribution.title} has no gradient to the weights, so that training ignores it: make its "
            "map with create_graph=True where that is asked for, or say differentiable = False.",
            HoldfastWarning,
            stacklevel=2,
        )
    return found


def _pairs(
    distance: Distance,
    attribution: Attribution,
    model: Model,
    rows: int | None,
    x: Tensor,
    x_adv: Tensor,
    target: Tensor,
) -> Tensor:
    attribution = attribution.in_blocks(rows) if rows is not None else attribution
    images, targets = torch.cat([x, x_adv]), torch.cat([target, target])
    maps = check_maps(
        attribution, attribution.map(model, images, targets, create_graph=torch.is_grad_enabled()), images
    )
    clean, perturbed = maps.chunk(2)
    return distance(perturbed, clean)


def igr_penalty(
    model: Model,
    x: Float[Tensor, "B ..."],
    x_adv: Float[Tensor, "B ..."],
    target: Int64[Tensor, " B"] | int,
    *,
    n_steps: int = 10,
    method: Method = "riemann_right",
    baselines: Tensor | float = 0.0,
    internal_batch_size: int | None = None,
) -> Float[Tensor, " B"]:
    r"""``1 - cos(IG(x), IG(x_adv))`` of each pair, the regulariser of the paper's Eq. 3.

    As `attribution_penalty` of integrated gradients, but that ``baselines`` may be a tensor, which is differentiated
    too. Attributions are signed, flattened over all features, and taken with frozen normalisation and no dropout.
    Where an attribution is zero everywhere (a zero-initialised last layer) the cosine is taken as 0 and its gradient
    is finite.

    Args:
        model: maps images to logits.
        x, x_adv: clean and perturbed images of one shape.
        target: the class whose logit is attributed, int64 (B,) or one for all; the same for both.
        n_steps, method, baselines: as in `integrated_gradients`.
        internal_batch_size: path points evaluated at once; peak memory grows with nothing else. Less than
            ``2 * n_steps`` of them cannot hold a pair's graph, which is then recomputed in chunks. None takes as
            many as run fastest, or one pair's ``2 * n_steps`` if its graph fits the device's memory.

    Returns:
        (B,), each in [0, 2].

    Cost for a piecewise-linear network, gradient included: ``2 * 4 * n_steps`` forward passes per image (plain
    double backward: ``2 * 6``), ``2 * 6 * n_steps`` in chunks. A loss that weighs the images of a batch
    unequally pays ``2 * 8 * n_steps`` unless the batch fits at once. Call it under ``no_grad`` for the values
    alone (``2 * 2 * n_steps``).

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 8), torch.nn.ReLU(),
        ...                           torch.nn.Linear(8, 2))
        >>> x = torch.rand(3, 1, 2, 2)
        >>> penalty = igr_penalty(net, x, (x + 0.1).clamp(0, 1), torch.tensor([0, 1, 1]))
        >>> penalty.mean().backward()
        >>> penalty.shape, net[1].weight.grad is not None
        (torch.Size([3]), True)
    """
    return pair_penalty(
        lambda clean, perturbed: cosine_distance(perturbed, clean),
        model,
        x,
        x_adv,
        target,
        n_steps=n_steps,
        method=method,
        baselines=baselines,
        internal_batch_size=internal_batch_size,
    )


def pair_penalty(
    compare: Callable[[Tensor, Tensor], Tensor],
    model: Model,
    x: Tensor,
    x_adv: Tensor,
    target: Target,
    *,
    n_steps: int,
    method: Method,
    baselines: Tensor | float = 0.0,
    internal_batch_size: int | None,
) -> Tensor:
    """``compare(IG(x), IG(x_adv))`` (B,), differentiated as `igr_penalty` says, which is one of these."""
    check_rule(method, n_steps)
    with outside_inference_mode():
        x, x_adv, target = _checked_pair(model, x, x_adv, target, internal_batch_size)
        path = Path(model, target, method, n_steps, create_graph=torch.is_grad_enabled())
        pairs = partial(_path_pairs, compare, model, method, n_steps)
        return in_constant_memory(
            pairs, path, 2, internal_batch_size, x, x_adv, expanded_baseline(baselines, x), target
        )


def _path_pairs(
    compare: Callable[[Tensor, Tensor], Tensor],
    model: Model,
    method: Method,
    n_steps: int,
    rows: int | None,
    x: Tensor,
    x_adv: Tensor,
    baseline: Tensor,
    target: Tensor,
) -> Tensor:
    path = Path(model, torch.cat([target, target]), method, n_steps, create_graph=torch.is_grad_enabled())
    return compare(*path_attribution(path, torch.cat([x, x_adv]), torch.cat([baseline, baseline]), rows).chunk(2))


def _checked_pair(
    model: Model, x: Tensor, x_adv: Tensor, target: Target, internal_batch_size: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    for name, images in (("x", x), ("x_adv", x_adv)):
        if not isinstance(images, Tensor):
            raise HoldfastError(f"{name} is {type(images).__name__}; pass a float tensor (B, ...).")
    if x.shape != x_adv.shape:
        raise HoldfastError(f"x has shape {tuple(x.shape)} and x_adv {tuple(x_adv.shape)}; they must be the same.")
    if internal_batch_size is not None:
        check_count("internal_batch_size", internal_batch_size)
    x, target = checked(model, x, target)
    return x, usable(x_adv)[0].to(x.dtype), target


def in_constant_memory(values: Values, path: Path, maps: int, rows: int | None, x: Tensor, *others: Tensor) -> Tensor:
    """``values(rows, x, *others)`` (B,), which takes ``maps`` maps of the kind of ``path`` per image.

    Where it can be, it is done a few images at a time in such a way that its gradient costs 4 forward passes per point
    of a piecewise-linear network and memory that does not grow with the batch.
    """
    size = _images_at_once(path, maps, x, rows)
    if 0 < size < len(x):
        found = in_groups(values, path.model, size, maps * path.n_steps, (x, *others))
        if found is not None:
            return found
    return values(rows, x, *others)


def _images_at_once(path: Path, maps: int, x: Tensor, rows: int | None) -> int:
    """Images all of whose points fill a block; 0 where not even one image's graph may be held."""
    size = (rows or block_rows(x)) // (maps * path.n_steps)
    if size == 0 and rows is None and path.create_graph:
        return int(holds_graph(path, x[:1].expand(maps, *x.shape[1:])))
    return size
