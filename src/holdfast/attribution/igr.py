"""The integrated gradients regulariser, the paper's contribution."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from holdfast.attribution.by_images import penalty
from holdfast.attribution.integrated_gradients import checked_path, expanded_baseline, path_attribution
from holdfast.attribution.path import Path
from holdfast.config import Method
from holdfast.errors import HoldfastError
from holdfast.metrics.linear import cosine_similarity
from holdfast.models.state import Model


def igr_penalty(
    model: Model,
    x: Float[Tensor, "B ..."],
    x_adv: Float[Tensor, "B ..."],
    target: Int64[Tensor, " B"],
    *,
    n_steps: int = 10,
    method: Method = "riemann_right",
    baselines: Tensor | float = 0.0,
    internal_batch_size: int | None = None,
) -> Float[Tensor, " B"]:
    r"""``1 - cos(IG(x), IG(x_adv))`` of each pair, the regulariser of the paper's Eq. 3.

    Any scalar made of the result can be ``.backward()``-ed, to the parameters and to ``x`` and ``x_adv``.
    The gradient is exact at every ``internal_batch_size``, and peak memory does not grow with the batch: pairs
    are taken a few at a time, and the sum of their gradients is made in the forward pass, while their graphs are
    there. Attributions are signed, flattened over all features, and taken with frozen normalisation
    and no dropout. Where an attribution is zero everywhere (a zero-initialised last layer) the cosine is
    taken as 0 and its gradient is finite.

    Args:
        model: maps images to logits.
        x, x_adv: clean and perturbed images of one shape.
        target: the class whose logit is attributed, int64 (B,); the same for both.
        n_steps, method, baselines: as in `integrated_gradients`.
        internal_batch_size: path points evaluated at once; peak memory grows with nothing else. Less than
            ``2 * n_steps`` of them cannot hold a pair's graph, which is then recomputed in chunks. None takes as
            many as run fastest, or one pair's ``2 * n_steps`` if its graph fits the device's memory.

    Returns:
        (B,), each in [0, 2].

    Cost for a piecewise-linear network, gradient included: ``2 * 4 * n_steps`` forward passes an image (plain
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
    if x.shape != x_adv.shape:
        raise HoldfastError(f"x has shape {tuple(x.shape)} and x_adv {tuple(x_adv.shape)}; they must be the same.")
    return pair_penalty(
        _cosine_distance,
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
    target: Tensor,
    *,
    n_steps: int,
    method: Method,
    baselines: Tensor | float = 0.0,
    internal_batch_size: int | None,
) -> Tensor:
    """``compare(IG(x), IG(x_adv))`` (B,), differentiated as `igr_penalty` says, which is one of these."""
    path = checked_path(model, x, target, method, n_steps, internal_batch_size, create_graph=torch.is_grad_enabled())
    pairs = partial(_pairs, compare, model, method, n_steps)
    return penalty(pairs, path, 2, internal_batch_size, x, x_adv, expanded_baseline(baselines, x), path.target)


def _cosine_distance(clean: Tensor, perturbed: Tensor) -> Tensor:
    return 1 - cosine_similarity(perturbed, clean)


def _pairs(
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
