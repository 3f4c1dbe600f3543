"""Grad-CAM: where in the image the last convolution sees evidence for a class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import get_ident
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from holdfast.attribution.base import Attribution
from holdfast.errors import HoldfastError, unknown_name
from holdfast.gradient.points import block_rows, explained, selected_logits
from holdfast.gradient.second_order import SecondOrder
from holdfast.models.state import Model, eagerly, evaluating
from holdfast.models.twin import SoftplusTwin

CONVOLUTION = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class GradCAM(Attribution):
    r"""Gradient-weighted class activation map of Selvaraju et al., 2017 (https://arxiv.org/abs/1610.02391).

    .. math:: ReLU\Big(\sum_k A^k \, \mathrm{mean}_{ij} \frac{\partial f_y}{\partial A^k_{ij}}\Big)

    with the output A of a layer; enlarged bilinearly to the image and the same in each channel. No entry is negative.
    It can be differentiated like any other map, through the activations and through their gradients; on a softplus twin
    the ReLU of the sum is a softplus too.

    Args:
        layer: name of the layer (as in ``model.named_modules()``; without the prefix of a wrapper too). None takes the
            convolution that runs last, whose name `layer_of` gives.

    Raises:
        HoldfastError: a model that is no ``nn.Module``, one without a convolution or that goes on with attention, an
            unknown layer, or one whose output is not (B, C, H, W).

    Cost: about 2 forward passes per image; at most 4 with the gradient of a piecewise-linear network.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(),
        ...                           torch.nn.Linear(144, 2))
        >>> x = torch.rand(3, 1, 8, 8)
        >>> GradCAM()(net, x, 1).shape, GradCAM().layer_of(net, x)
        (torch.Size([3, 1, 8, 8]), '0')
    """

    layer: str | None = None

    def map(
        self, model: Model, x: Tensor, target: Tensor, *, create_graph: bool = False, weights: bool = True
    ) -> Tensor:
        name = self.layer_of(model, x)
        if create_graph:
            with torch.enable_grad():
                return _cam(model, name, x, target, weights=weights)
        blocks = zip(x.detach().split(block_rows(x)), target.split(block_rows(x)), strict=True)
        return torch.cat([_cam(model, name, images, labels, weights=False).detach() for images, labels in blocks])

    def layer_of(self, model: Model, x: Tensor) -> str:
        """The name of the layer whose output is taken for images like ``x``."""
        if not isinstance(model, nn.Module):
            raise HoldfastError(
                f"model is a {type(model).__name__}; GradCAM reads a layer's output and needs an nn.Module: wrap it, "
                "or choose IntegratedGradients."
            )
        if self.layer is not None:
            return _resolved(model, self.layer)
        if model not in _last:
            _last[model] = _last_convolution(model, x[:1].detach())
        return _last[model]


_last: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def _resolved(model: nn.Module, layer: str) -> str:
    names = [name for name, _ in model.named_modules() if name]
    fitting = [name for name in names if name == layer] or [name for name in names if name.endswith(f".{layer}")]
    if len(fitting) != 1:
        raise unknown_name(f"layer of {type(model).__name__}", layer, names, "Names are those of named_modules().")
    return fitting[0]


def _last_convolution(model: nn.Module, image: Tensor) -> str:
    """The name of the convolution that runs last, unless attention over patches follows it."""
    ran: list[tuple[str, bool]] = []

    def note(name: str, module: nn.Module, output: Any) -> None:
        if isinstance(module, CONVOLUTION):
            ran.append((name, True))
        elif "attention" in type(module).__name__.lower():
            tokens = output[0] if isinstance(output, tuple) else output
            if isinstance(tokens, Tensor) and tokens.ndim == 3:
                ran.append((name, False))

    with ExitStack() as stack, evaluating(model), torch.no_grad(), eagerly():
        for name, module in model.named_modules():
            stack.enter_context(_hooked(module, lambda m, out, name=name: note(name, m, out)))
        model(image)
    convolutions = [i for i, (_, is_convolution) in enumerate(ran) if is_convolution]
    if not convolutions:
        raise HoldfastError(
            f"{type(model).__name__} runs no convolution, of whose output GradCAM is made: name a layer of output "
            "(B, C, H, W) as layer=, or choose IntegratedGradients."
        )
    after = [name for name, is_convolution in ran[convolutions[-1] :] if not is_convolution]
    if after:
        raise HoldfastError(
            f"{type(model).__name__} goes on with attention over patches ({after[0]}) after its last convolution "
            f"({ran[convolutions[-1]][0]}), where GradCAM says nothing of its evidence: name a layer of output "
            "(B, C, H, W) as layer=, or choose IntegratedGradients."
        )
    return ran[convolutions[-1]][0]


@contextmanager
def _hooked(module: nn.Module, see: Any) -> Iterator[None]:
    """``see(module, output)`` after each forward pass of a module in this thread; what it returns is passed on."""
    mine = get_ident()

    def hook(module: nn.Module, _: Any, output: Any) -> Any:
        return see(module, output) if get_ident() == mine else None

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _rectified(evidence: Tensor, model: Model) -> Tensor:
    """The positive part; softplus's of evidence at most 1 on a softplus twin, so that a blank map has a gradient."""
    if not isinstance(model, SoftplusTwin):
        return F.relu(evidence)
    scale = evidence.detach().abs().amax((1, 2, 3), keepdim=True).clamp(min=torch.finfo(evidence.dtype).tiny)
    return scale * F.softplus(evidence / scale, model.beta)


def _cam(model: Model, name: str, x: Tensor, target: Tensor, *, weights: bool) -> Tensor:
    assert isinstance(model, nn.Module)
    seen: list[Any] = []

    def keep(_: nn.Module, output: Any) -> Any:
        seen.append(output)
        return output.clone() if isinstance(output, Tensor) else output  # the next layer may work in place

    x = x if x.requires_grad else x.detach().requires_grad_()
    with evaluating(model), torch.enable_grad(), explained():
        with SecondOrder(weights=weights) as mode, _hooked(model.get_submodule(name), keep):
            output = selected_logits(model(x), target)
        if len(seen) != 1 or not isinstance(seen[0], Tensor) or seen[0].ndim != 4:
            shape = tuple(seen[0].shape) if seen and isinstance(seen[0], Tensor) else f"{len(seen)} outputs"
            raise HoldfastError(
                f"layer {name!r} gave {shape}; GradCAM needs one output of shape (B, C, H, W): name another layer."
            )
        (activation,) = seen
        importance = mode.input_gradient(output, activation).mean((2, 3), keepdim=True)
        maps = _rectified((importance * activation).sum(1, keepdim=True), model)
        return F.interpolate(maps, x.shape[2:], mode="bilinear", align_corners=False).expand_as(x)
