"""Whether an attack on attributions can follow the softplus twin of a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from holdfast.models.kinks import KinkMode
from holdfast.models.state import Model, evaluating
from holdfast.models.twin import SoftplusForKinks, SoftplusTwin

MOST_IMAGES = 8
FAR, NEAR = 1e-2, 1e-3
"""Root mean square of the steps, in pixels, over which gradients and logits are compared."""
LEAST_SHARE = 0.005
MOST_SLOPE_ERROR = 0.3
LINEAR = 1e-3
"""Relative changes of the gradient below this, over a step of `FAR`, are those of a linear network."""
KINKS = {
    "relu", "relu_", "clamp", "clamp_", "clamp_min", "clamp_min_", "clamp_max", "clamp_max_", "hardtanh", "hardtanh_",
    "threshold", "leaky_relu", "leaky_relu_", "_prelu_kernel", "rrelu_with_noise", "abs", "maximum", "minimum", "fmax",
    "fmin", "hardsigmoid", "hardswish", "softshrink", "hardshrink", "max_pool2d_with_indices",
    "max_pool3d_with_indices", "amax", "amin", "sign", "round", "floor", "ceil", "trunc", "heaviside",
    "fake_quantize_per_tensor_affine_cachemask", "fake_quantize_per_channel_affine_cachemask",
}  # fmt: skip


@dataclass(frozen=True)
class SurrogateCheck:
    """What `check_surrogate` found.

    Attributes:
        smoothed: how often each operator was smoothed in one forward pass, by name.
        left: how often an operator with a kink or a step was not. Max pooling stays unless ``pooling`` is given.
        gradient_zero: share of the images at which the twin's input gradient is exactly 0.
        second_order: size of the second-order gradient that autograd sees, over that of the change of the gradient
            which it should predict; 0 on a network with unseen kinks, around 1 on a smooth one. 1 on a linear one.
        slope_error: mean difference between the directional derivatives that autograd sees and those of the twin's
            values, over their mean size; about 0, and near 1 with a straight-through estimator.
        logit_gap: root mean square of twin minus network, over the standard deviation of the network's logits.
        same_label: share of the images to which both give the same label.
        problem: None, or one line with the remedy.
    """

    smoothed: Mapping[str, int]
    left: Mapping[str, int]
    gradient_zero: float
    second_order: float
    slope_error: float
    logit_gap: float
    same_label: float

    @property
    def problem(self) -> str | None:
        unseen = f" (not smoothed: {', '.join(sorted(self.left))})" if self.left else ""
        write = "write the activations with operators of torch (F.relu, clamp, torch.where)"
        search = "attack with a search that needs no gradient"
        if self.logit_gap != self.logit_gap:
            return "the surrogate's logits or gradients are not finite; raise surrogate_beta or use None."
        if self.gradient_zero > 0.5:
            return (
                f"the surrogate's gradient is 0 on {self.gradient_zero:.0%} of the images{unseen}: a step or a "
                f"saturated output hides it; remove it or {search}."
            )
        if self.slope_error > MOST_SLOPE_ERROR:
            return (
                f"the surrogate's gradient is not the derivative of its logits (off by {self.slope_error:.0%})"
                f"{unseen}: a straight-through estimator, a quantiser, an autograd.Function of its own or a random "
                f"forward pass; {write}, or {search}."
            )
        if self.second_order < LEAST_SHARE:
            return (
                f"the surrogate has no second-order gradient (share {self.second_order:.2g}){unseen}: attacks would "
                f"not move; {write}, or {search}."
            )
        return None


def check_surrogate(model: Model, x: Tensor, y: Tensor, beta: float, pooling: float | None = None) -> SurrogateCheck:
    """Compare the twin's first and second input gradients with differences of its logits and of its gradients.

    On at most 8 images, along one random direction each (the same in every call): over a short step the logits must
    change as the gradient says; over a longer one the gradient must change where autograd sees a second derivative.

    Args:
        model: maps images to logits.
        x: images (B, C, H, W) in [0, 1].
        y: labels (B,), the logits whose gradients are taken.
        beta, pooling: those of the twin.

    Cost: 17 forward passes of at most 8 images.

    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    >>> check_surrogate(net, torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 0, 1]), beta=30.0).problem is None
    True
    """
    x, y = x[:MOST_IMAGES].detach().clone(), y[:MOST_IMAGES]
    twin = SoftplusTwin(model, beta, pooling)
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(x.shape, generator=generator).to(x)

    def value(z: Tensor) -> Tensor:
        return twin(z).gather(1, y[:, None])[:, 0]

    with evaluating(model), torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
        with torch.no_grad():
            mode = SoftplusForKinks(beta, pooling)
            with _Left(mode) as left:
                smooth = twin.run(x, mode)
            plain = model(x)
            slope = (value(x + NEAR * v) - value(x - NEAR * v)) / (2 * NEAR)
        z = x.clone().requires_grad_()
        gradient = _gradient(value, z, create_graph=True)
        along = (gradient * v).flatten(1).sum(1)
        curved = _second(along.sum(), z)
        change = (_gradient(value, x + FAR * v) - _gradient(value, x - FAR * v)) / (2 * FAR)
    gradient, along = gradient.detach(), along.detach()
    rounding = torch.finfo(x.dtype).eps * smooth.abs().amax() / NEAR
    excess = ((slope - along).abs() - rounding).clamp(min=0).sum()
    linear = float(FAR * change.norm()) <= LINEAR * float(gradient.norm())
    gap = (smooth - plain).square().mean().sqrt() / plain.std().clamp(min=1e-12)
    finite = bool(gradient.isfinite().all()) and bool(curved.isfinite().all())
    return SurrogateCheck(
        smoothed=dict(mode.found),
        left=dict(left.found),
        gradient_zero=float((gradient.flatten(1) == 0).all(1).double().mean()),
        second_order=1.0 if linear else float(curved.norm() / change.norm()),
        slope_error=float(excess / torch.maximum(along.abs(), slope.abs()).sum().clamp(min=1e-30)),
        logit_gap=float(gap) if finite else float("nan"),
        same_label=float((smooth.argmax(1) == plain.argmax(1)).double().mean()),
    )


def _gradient(value: Callable[[Tensor], Tensor], z: Tensor, create_graph: bool = False) -> Tensor:
    if not z.requires_grad:
        z = z.requires_grad_()
    output = value(z).sum()
    if not output.requires_grad:
        return torch.zeros_like(z)
    (gradient,) = torch.autograd.grad(output, z, create_graph=create_graph, allow_unused=True)
    return torch.zeros_like(z) if gradient is None else gradient


def _second(along: Tensor, z: Tensor) -> Tensor:
    """Zero where the gradient does not depend on the images, or has no derivative."""
    if not along.requires_grad:
        return torch.zeros_like(z)
    (second,) = torch.autograd.grad(along, z, allow_unused=True)
    return torch.zeros_like(z) if second is None else second


class _Left(TorchDispatchMode):
    """Counts kinks below the names: what runs while nothing is being replaced."""

    def __init__(self, mode: KinkMode) -> None:
        super().__init__()
        self.mode = mode
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._opname
        if name in KINKS and not self.mode.replacing and args[0].is_floating_point():
            self.found[name.rstrip("_")] += 1
        return func(*args, **(kwargs or {}))
