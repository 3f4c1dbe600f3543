"""A network that is smooth where the given one has kinks, for attacks that need second derivatives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from holdfast.models.kinks import KinkMode
from holdfast.models.masks import RULES
from holdfast.models.state import Model, eagerly, math_attention, without_checkpoints
from holdfast.models.written import as_written
from holdfast.validate import check_positive


class SoftplusForKinks(KinkMode):
    def __init__(self, beta: float, pooling: float | None = None) -> None:
        super().__init__(RULES)
        self.beta = beta
        self.pooling = pooling

    def ramp(self, x: Tensor) -> Tensor:
        return _Softplus.apply(x, self.beta)[0]

    def largest(self, x: Tensor, dims: tuple[int, ...]) -> Tensor | None:
        if self.pooling is None:
            return None
        self.found[self.operator] += 1
        windows = x.movedim(dims, tuple(range(len(dims)))).flatten(0, len(dims) - 1)
        return _SmoothLargest.apply(windows, self.pooling)[0]


class _Softplus(Function):
    """Softplus and its slope, from which all further derivatives follow: the input is not kept.

    The value is ``max(x, 0) - log(max(s, 1 - s)) / beta`` with ``s = sigmoid(beta x)``: unlike ``exp(beta x)``
    nothing in it becomes subnormal, which costs a CPU more than everything else in the layer.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        slope = torch.mul(x, beta).sigmoid_()
        ctx.save_for_backward(slope)
        ctx.beta = beta
        value = 1 - slope
        return torch.maximum(value, slope, out=value).log_().div_(-beta).add_(x.clamp_min(0)), slope

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_slope: Tensor | None) -> tuple[Tensor | None, None]:
        return _from_slopes(ctx, grad, grad_slope, torch.ops.aten.sigmoid_backward)


class _SmoothLargest(Function):
    """``log(sum(exp(beta x))) / beta`` over the first dimension and its slopes, from which further derivatives follow.

    A window lies along the first dimension, so that each operator here runs over whole images: on a CPU three times as
    fast as ``logsumexp`` over windows in place. Exponents stop at -80, short of numbers that are subnormal.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        top = x.amax(0)
        slopes = (x - top).mul_(beta).clamp_(min=-80).exp_()
        total = slopes.sum(0)
        slopes.div_(total)
        ctx.save_for_backward(slopes)
        ctx.beta = beta
        return total.log_().div_(beta).add_(top), slopes

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, grad_slopes: Tensor | None) -> tuple[Tensor | None, None]:
        def curved(grad: Tensor, slopes: Tensor) -> Tensor:
            return torch.ops.aten._softmax_backward_data(grad, slopes, 0, slopes.dtype)

        return _from_slopes(ctx, grad, grad_slopes, curved)


def _from_slopes(
    ctx: Any, grad: Tensor | None, grad_slopes: Tensor | None, curved: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor | None, None]:
    """The gradient to the input of a function that gives its value and its saved slopes, which ``curved`` derives."""
    (slopes,) = ctx.saved_tensors
    total = None if grad is None else grad * slopes
    if grad_slopes is not None:
        more = curved(grad_slopes * ctx.beta, slopes)
        total = more if total is None else total + more
    return total, None


class SoftplusTwin(nn.Module):
    """The same network with softplus for every kink of a piecewise-linear operator, sharing (not copying) all weights.

    ``softplus(x) = log(1 + exp(beta x)) / beta`` tends to ``max(x, 0)`` as ``beta`` grows and has the second
    derivatives that this lacks, which an attack on attributions needs (Ghorbani et al., 2019; Dombrowski et al., 2019).

    However a network writes them, these are smoothed: ReLU, clamps, maximum and minimum of two tensors, thresholds,
    leaky, parametric and (in evaluation) randomised ReLU, ReLU6, Hardtanh, Hardsigmoid, Hardswish, softshrink, ``abs``,
    and masks from comparisons and signs (``h * (h > 0)``, ``torch.where(h > 0, h, 0)``, ``h[h < 0] = 0``); in Python,
    TorchScript, ``torch.export`` and ``torch.fx`` graphs. Max pooling (1-d and 2-d) is smoothed where ``pooling`` says
    so. Steps stay, which no softplus tends to: a jump keeps its derivative of zero.
    Bounds that guard a division (clamp(min=1e-8)) or against overflow (1000 and beyond) stay too.

    Compiled networks run as they were written, ``torch.utils.checkpoint`` keeps activations instead of recomputing
    them, ``DataParallel`` runs on one device, and attention runs on the kernel that has second derivatives.

    Args:
        model: any module; its code and its parameters are left alone.
        beta: sharpness, more than 0.
        pooling: sharpness of max pooling, ``log(sum(exp(pooling x))) / pooling`` over a window; None leaves it as it
            is. On a small network trained on the digits, 60 steps of IFIA end at a top-8 share of 0.62 with 30 and of
            0.69 with None (Kendall's tau 0.46 and 0.49).

    Attributes:
        smoothed: how often each operator was smoothed in the last forward pass, by name. What was missed shows in
            `holdfast.models.check_surrogate`.

    Shape: as the model's. Cost: 1 forward pass.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> x = torch.rand(3, 1, 2, 2)
        >>> twin = SoftplusTwin(net, beta=1e4)
        >>> torch.allclose(twin(x), net(x), atol=1e-3), dict(twin.smoothed)
        (True, {'relu': 1})
    """

    def __init__(self, model: Model, beta: float, pooling: float | None = None) -> None:
        super().__init__()
        check_positive("beta", beta)
        if pooling is not None:
            check_positive("pooling", pooling)
        self.pooling = pooling
        self.model = model
        self.beta = beta
        self.smoothed: Counter[str] = Counter()

    def forward(self, images: Tensor) -> Tensor:
        return self.run(images, SoftplusForKinks(self.beta, self.pooling))

    def run(self, images: Tensor, mode: KinkMode) -> Tensor:
        """The forward pass with a mode of the caller's, which can then be asked what it replaced."""
        with eagerly(), without_checkpoints(), math_attention(), mode:
            logits = as_written(self.model)(images)
        self.smoothed = mode.found
        return logits
