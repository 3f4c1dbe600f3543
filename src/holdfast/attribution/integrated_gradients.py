"""Integrated gradients (Sundararajan et al., 2017), differentiable to the parameters and the inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from jaxtyping import Float
from torch import Tensor

from holdfast.attribution.base import PathAttribution, Target, checked, path_attribution
from holdfast.errors import HoldfastError, unknown_name
from holdfast.gradient.points import Method, Path
from holdfast.models.state import Model, outside_inference_mode
from holdfast.validate import check_count


@dataclass(frozen=True)
class IntegratedGradients(PathAttribution):
    r"""Integrated gradients of Sundararajan et al., 2017 (https://arxiv.org/abs/1703.01365; IGR paper, Eq. 1).

    .. math:: IG(x)_i = (x_i - a_i) \sum_k w_k \,\partial_i f_y(a + \alpha_k (x - a))

    Its entries sum to ``f_y(x) - f_y(a)`` as ``n_steps`` grows. `integrated_gradients` is the same as a function, and
    takes a tensor as baseline.

    Args:
        n_steps: quadrature nodes.
        method: quadrature rule; the IGR paper's Eq. 4 is ``riemann_right``.
        baseline: the value of every feature of ``a``.
        internal_batch_size: points evaluated at once; None takes as many as run fastest.

    Cost: ``2 * n_steps`` forward passes per image; ``4 * n_steps`` with the gradient of a piecewise-linear network.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
        >>> x = torch.rand(3, 1, 2, 2)
        >>> torch.allclose(IntegratedGradients(n_steps=4)(net, x, 1).flatten(1).sum(1), net(x)[:, 1])
        True
    """

    n_steps: int = 50
    method: Method = "riemann_middle"
    baseline: float = 0.0
    internal_batch_size: int | None = None

    origins: ClassVar[Mapping[str, str]] = {"baseline": "paper"}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rule(self.method, self.n_steps)

    @property
    def points(self) -> int:
        return self.n_steps

    def path(self, model: Model, x: Tensor, target: Tensor, **options: Any) -> Path:
        return Path(model, target, self.method, self.n_steps, **options)


def check_rule(method: Method, n_steps: int) -> None:
    """Raise unless ``method`` is a quadrature rule for ``n_steps`` nodes."""
    if method not in get_args(Method):
        raise unknown_name("quadrature method", str(method), get_args(Method))
    check_count("n_steps", n_steps)
    if method == "riemann_trapezoid" and n_steps < 2:
        raise HoldfastError("riemann_trapezoid needs n_steps of at least 2; got 1.")


def integrated_gradients(
    model: Model,
    inputs: Float[Tensor, "B ..."],
    target: Target,
    *,
    baselines: Tensor | float = 0.0,
    n_steps: int = 50,
    method: Method = "riemann_middle",
    internal_batch_size: int | None = None,
    create_graph: bool = False,
) -> Float[Tensor, "B ..."]:
    r"""Attribute a class logit to the input features (IGR paper, Eq. 1; Eq. 4 is ``riemann_right``).

    .. math:: IG(x)_i = (x_i - a_i) \sum_k w_k \,\partial_i f_y(a + \alpha_k (x - a))

    The model runs in evaluation mode (frozen normalisation, no dropout) and is left as it was.

    Args:
        model: maps inputs to logits (B, classes).
        inputs: (B, ...), usually images (B, C, H, W) in [0, 1].
        target: the class of each input: int64 (B,), or one class for all.
        baselines: the path's start ``a``: a number, or a tensor that broadcasts to ``inputs``.
        n_steps: quadrature nodes; ``sum(IG)`` tends to ``f_y(x) - f_y(a)`` as it grows.
        method: quadrature rule.
        internal_batch_size: path points evaluated at once. With ``create_graph`` it bounds the memory of
            the *backward* pass too, which then recomputes the path chunk by chunk and stays exact. None holds
            the whole graph if that takes less than 40 % of the device's memory, and chooses chunks if not.
        create_graph: make the result differentiable to the parameters and to ``inputs``.

    Returns:
        Attributions with the shape of ``inputs``; half-precision gradients are added up in float32.

    Raises:
        HoldfastError: on wrong shapes, targets outside the model's classes, an unknown rule.

    Cost: ``2 * n_steps`` forward passes per image (forward and input gradient); differentiating the result
    with respect to weights adds as much again for piecewise-linear networks when the graph is kept, and
    twice that in chunks.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
        >>> x = torch.rand(3, 1, 2, 2)
        >>> ig = integrated_gradients(net, x, torch.tensor([0, 1, 1]), n_steps=4)
        >>> torch.allclose(ig.flatten(1).sum(1), net(x)[torch.arange(3), torch.tensor([0, 1, 1])])
        True
    """
    check_rule(method, n_steps)
    if internal_batch_size is not None:
        check_count("internal_batch_size", internal_batch_size)
    with outside_inference_mode():
        inputs, target = checked(model, inputs, target)
        path = Path(model, target, method, n_steps, create_graph)
        return path_attribution(path, inputs, baselines, internal_batch_size)
