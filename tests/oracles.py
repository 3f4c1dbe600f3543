"""What tests measure with: an attack told what to return, plain integrated gradients, a counter of operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from holdfast.attacks import Attack
from holdfast.models.state import Model


@dataclass(frozen=True, eq=False)
class Fixed(Attack):
    """Returns what it is told to, and notes the images that it was called with."""

    adv: Tensor
    calls: list[Tensor] = field(default_factory=list)

    def perturb(self, model: Model, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        self.calls.append(images)
        return self.adv


def plain_ig(net: nn.Module, x: Tensor, y: Tensor, n_steps: int) -> Tensor:
    """By the right rule from black, (B, features), with nothing but torch.autograd.grad."""
    total = torch.zeros_like(x)
    for k in range(1, n_steps + 1):
        z = k / n_steps * x
        z = z if z.requires_grad else z.requires_grad_()
        (gradient,) = torch.autograd.grad(net(z).gather(1, y[:, None]).sum(), z, create_graph=True)
        total = total + gradient / n_steps
    return (x * total).flatten(1)


def plain_distance(a: Tensor, b: Tensor) -> Tensor:
    """``1 - cos`` of each row."""
    return 1 - (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


class Flops(TorchDispatchMode):
    """Floating-point operations of what runs inside."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


def flops(run: Callable[[], object]) -> int:
    """Floating-point operations of a call."""
    with Flops() as counted:
        run()
    return counted.total
