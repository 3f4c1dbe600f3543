"""The points at which input gradients are taken, and the weighted sum of those gradients, with or without a graph.

Integrated gradients, a plain gradient, SmoothGrad and expected gradients differ in their points alone, so one engine
serves all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from holdfast.errors import HoldfastError, unknown_name
from holdfast.gradient.memory import fits
from holdfast.gradient.second_order import SecondOrder, first_order
from holdfast.models.state import Model, evaluating, hides_operators
from holdfast.models.written import as_written
from holdfast.validate import check_count

Method = Literal["riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid", "gausslegendre"]

CPU_FEATURES = 100_000
ACCELERATOR_ROWS = 1024


def block_rows(x: Tensor) -> int:
    """Points that run fastest at once: on a CPU a block whose activations stay near its caches."""
    return min(max(CPU_FEATURES // x[0].numel(), 4), 640) if x.device.type == "cpu" else ACCELERATOR_ROWS


def selected_logits(logits: Tensor, target: Tensor) -> Tensor:
    """The sum over the batch of each point's target logit."""
    return logits.gather(1, target[:, None]).sum()


def precise(dtype: torch.dtype) -> torch.dtype:
    """The type in which gradients are added up: float32 for anything shorter."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


@dataclass(frozen=True)
class Nodes:
    """``start + alpha (x - start) + noise`` for each node, the same for every image, all of equal weight."""

    alpha: Tensor
    """(n,), in [0, 1]; 1 is the image itself."""
    noise: Tensor | None = None
    """(n, ...), one displacement per node."""
    starts: Tensor | None = None
    """(n, ...), each node's own start; its gradient is then multiplied by ``x - start`` before the sum."""


@dataclass(frozen=True)
class Path:
    """What is summed: the gradient of ``value(logits, target)`` of a model at ``n_steps`` points per image.

    ``value`` is summed over the batch, each point's share a function of its own logits alone. Points lie on the
    straight way from a baseline to the image, by the quadrature rule ``method``, unless ``own`` says where.
    """

    model: Model
    target: Tensor
    method: Method
    n_steps: int
    create_graph: bool = False
    weights: bool = True
    """Whether the sum will be differentiated to the weights too."""
    value: Callable[[Tensor, Tensor], Tensor] = selected_logits
    multiply: bool = True
    """Whether the sum is multiplied by the way from the baseline to the image."""
    own: Nodes | None = None

    def rule(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """``alpha`` and weight of each node."""
        if self.own is None:
            return _rule_on(self.method, self.n_steps, like.device, precise(like.dtype))
        return self.own.alpha, torch.full_like(self.own.alpha, 1 / self.n_steps)

    def blocks(self, batch: int, rows: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Blocks of at most ``rows`` points as (index of the node, index of the image)."""
        flat = torch.arange(self.n_steps * batch, device=device)
        for block in flat.split(rows):
            yield block // batch, block % batch

    def points(self, x: Tensor, start: Tensor, alpha: Tensor, node: Tensor) -> Tensor:
        """The points of the images ``x``, one row each."""
        if self.own is not None and self.own.starts is not None:
            start = self.own.starts[node]
        start, end = start.to(precise(x.dtype)), x.to(precise(x.dtype))
        z = torch.lerp(start, end, _column(alpha[node], end).expand_as(end))
        if self.own is not None and self.own.noise is not None:
            z = z + self.own.noise[node]
        return z.to(x.dtype)

    def term(self, gradient: Tensor, x: Tensor, weight: Tensor, node: Tensor) -> Tensor:
        """What each point adds to the sum."""
        term = gradient * _column(weight[node], gradient)
        if self.own is None or self.own.starts is None:
            return term
        return term * (x - self.own.starts[node])

    def gradient(self, z: Tensor, target: Tensor) -> Tensor:
        """``d value / dz`` at the points ``z``."""
        with torch.enable_grad(), explained(), first_order(z.device):
            z = z.detach().requires_grad_()
            return torch.autograd.grad(self.value(self.model(z), target), z)[0]

    def gradient_with_graph(self, z: Tensor, target: Tensor) -> Tensor:
        """The same, differentiable."""
        with explained():
            model = as_written(self.model) if hides_operators(self.model) else self.model
            with SecondOrder(weights=self.weights) as mode:
                output = self.value(model(z), target)
            return mode.input_gradient(output, z)


def path_rule(method: Method, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes ``alpha`` and weights ``w`` with ``sum(w) = 1``, both float64 of shape (n_steps,).

    The paper's Eq. 4 is ``riemann_right``. The trapezoid weights sum to one; Captum's (up to 0.9) sum to
    ``1 - 1 / n_steps`` and so miss completeness by that share.

    >>> path_rule("riemann_right", 4)[0].tolist()
    [0.25, 0.5, 0.75, 1.0]
    >>> path_rule("riemann_trapezoid", 3)[1].tolist()
    [0.25, 0.5, 0.25]
    """
    if method not in get_args(Method):
        raise unknown_name("quadrature method", str(method), get_args(Method))
    check_count("n_steps", n_steps)
    even = np.full(n_steps, 1 / n_steps)
    k = np.arange(n_steps)
    match method:
        case "riemann_left":
            return k / n_steps, even
        case "riemann_right":
            return (k + 1) / n_steps, even
        case "riemann_middle":
            return (k + 0.5) / n_steps, even
        case "riemann_trapezoid":
            if n_steps < 2:
                raise HoldfastError("riemann_trapezoid needs n_steps of at least 2; got 1.")
            weights = np.full(n_steps, 1 / (n_steps - 1))
            weights[[0, -1]] /= 2
            return k / (n_steps - 1), weights
        case "gausslegendre":
            nodes, weights = np.polynomial.legendre.leggauss(n_steps)
            return (nodes + 1) / 2, weights / 2


@lru_cache(maxsize=64, typed=True)
def _rule_on(method: Method, n_steps: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Nodes and weights where they are used, copied there once: a copy makes a GPU wait."""
    with torch.inference_mode(False):
        nodes, weights = (torch.from_numpy(values).to(device, dtype) for values in path_rule(method, n_steps))
    return nodes, weights


def _column(weight: Tensor, like: Tensor) -> Tensor:
    return weight.view(-1, *[1] * (like.ndim - 1))


def sum_without_graph(path: Path, x: Tensor, baseline: Tensor, rows: int) -> Tensor:
    """``sum_k w_k grad f(z_k)``, ``rows`` points at a time. Cost: 2 forward passes per point."""
    alpha, weight = path.rule(x)
    total = torch.zeros_like(x, dtype=precise(x.dtype))
    with evaluating(path.model), torch.no_grad():
        for node, image in path.blocks(len(x), rows, x.device):
            z = path.points(x[image], baseline[image], alpha, node)
            gradient = path.gradient(z, path.target[image])
            total.index_add_(0, image, path.term(gradient, x[image], weight, node))
    return total


def sum_with_graph(path: Path, x: Tensor, baseline: Tensor, rows: int) -> Tensor:
    """The same sum with its graph held in memory, which grows with ``n_steps``; built ``rows`` at a time."""
    alpha, weight = path.rule(x)
    total = torch.zeros_like(x, dtype=precise(x.dtype))
    with evaluating(path.model), torch.enable_grad():
        for node, image in path.blocks(len(x), rows, x.device):
            z = path.points(x[image], baseline[image], alpha, node)
            if not z.requires_grad:
                z.requires_grad_()
            gradient = path.gradient_with_graph(z, path.target[image])
            total = total.index_add(0, image, path.term(gradient, x[image], weight, node))
    return total


def holds_graph(path: Path, x: Tensor) -> bool:
    """Whether the graph of all points fits the memory; for a plain function nobody can tell."""
    model, points = path.model, path.n_steps * len(x)
    if not isinstance(model, nn.Module) or points <= block_rows(x):
        return True

    def some_points(rows: int) -> Tensor:
        z = x[:1].detach().expand(rows, *x.shape[1:]).contiguous().requires_grad_()
        return path.gradient_with_graph(z, path.target[:1].expand(rows))

    with evaluating(model), torch.enable_grad():
        return fits(model, some_points, points, x)


REMEDIES = {
    "is not implemented": (
        "the network has an operation that PyTorch cannot differentiate twice: write it in operations that can "
        "be (attention: F.scaled_dot_product_attention), or choose an attribution that needs no second derivative."
    ),
    "must override the setup_context": (
        "the network has an autograd.Function that torch.func cannot transform: give it a setup_context, or call "
        "the network without vmap."
    ),
    "Inference tensors cannot be saved": (
        "the network's weights were made in torch.inference_mode, where nothing can be differentiated: build or "
        "load it outside."
    ),
    "not have been used in the graph": (
        "the logits do not depend on the images by anything that can be differentiated (detach, NumPy or no_grad "
        "inside the network?)."
    ),
    "does not require grad and does not have a grad_fn": (
        "the logits do not depend on the images by anything that can be differentiated (detach, NumPy or no_grad "
        "inside the network?)."
    ),
}


@contextmanager
def explained() -> Iterator[None]:
    """Raise PyTorch's errors of this kind as one line that says what to do.

    >>> import torch
    >>> with explained():
    ...     torch.ones(1).sum().backward()
    Traceback (most recent call last):
        ...
    holdfast.errors.HoldfastError: the logits do not depend on the images by anything that can be differentiated \
(detach, NumPy or no_grad inside the network?). PyTorch: element 0 of tensors does not require grad and does not have \
a grad_fn
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        for sign, remedy in REMEDIES.items():
            if sign in text:
                raise HoldfastError(f"{remedy} PyTorch: {text.splitlines()[0]}") from error
        raise
