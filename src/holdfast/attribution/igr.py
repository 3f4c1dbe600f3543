"""The integrated gradients regulariser, the paper's contribution."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from holdfast.attribution.by_images import by_images
from holdfast.attribution.integrated_gradients import checked_path, expanded_baseline, path_attribution
from holdfast.attribution.path import Path, block_rows, holds_graph
from holdfast.config import Method
from holdfast.errors import HoldfastError
from holdfast.models.state import Model
from holdfast.similarity.linear import cosine_similarity


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
    path = checked_path(model, x, target, method, n_steps, internal_batch_size, create_graph=torch.is_grad_enabled())
    baseline = expanded_baseline(baselines, x)

    def penalty(x: Tensor, x_adv: Tensor, baseline: Tensor, target: Tensor, rows: int | None) -> Tensor:
        pair = replace(path, target=torch.cat([target, target]))
        attributions = path_attribution(pair, torch.cat([x, x_adv]), torch.cat([baseline, baseline]), rows)
        clean, perturbed = attributions.chunk(2)
        return 1 - cosine_similarity(perturbed, clean)

    size = _pairs_at_once(path, x, baseline, internal_batch_size)
    if 0 < size < len(x):
        some = partial(penalty, rows=2 * size * n_steps)
        found = by_images(some, model, size, x, x_adv, baseline, path.target)
        if found is not None:
            return found
    return penalty(x, x_adv, baseline, path.target, internal_batch_size)


def _pairs_at_once(path: Path, x: Tensor, baseline: Tensor, rows: int | None) -> int:
    """Pairs whose whole paths fill a block; 0 where not even one pair's graph may be held."""
    size = (rows or block_rows(x)) // (2 * path.n_steps)
    if size == 0 and rows is None and path.create_graph:
        return int(holds_graph(path, x[:1].expand(2, *x.shape[1:]), baseline[:1]))
    return size
