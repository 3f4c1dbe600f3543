"""The integrated gradients regulariser, the paper's contribution."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from holdfast.attribution.integrated_gradients import integrated_gradients
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
    The gradient is exact at every ``internal_batch_size``; with one set, peak memory does not grow with
    ``n_steps``. Attributions are signed, flattened over all features, and taken with frozen normalisation
    and no dropout. Where an attribution is zero everywhere (a zero-initialised last layer) the cosine is
    taken as 0 and its gradient is finite.

    Args:
        model: maps images to logits.
        x, x_adv: clean and perturbed images of one shape.
        target: the class whose logit is attributed, int64 (B,); the same for both.
        n_steps, method, baselines, internal_batch_size: as in `integrated_gradients`.

    Returns:
        (B,), each in [0, 2].

    Cost for a piecewise-linear network, gradient included: ``2 * 4 * n_steps`` forward passes an image
    with the whole graph in memory, ``2 * 6 * n_steps`` in chunks (plain double backward: ``2 * 6``).

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
    if isinstance(baselines, Tensor) and baselines.ndim == x.ndim and len(baselines) == len(x):
        baselines = torch.cat([baselines, baselines])
    attributions = integrated_gradients(
        model,
        torch.cat([x, x_adv]),
        torch.cat([target, target]),
        baselines=baselines,
        n_steps=n_steps,
        method=method,
        internal_batch_size=internal_batch_size,
        create_graph=True,
    )
    clean, perturbed = attributions.chunk(2)
    return 1 - cosine_similarity(perturbed, clean)
