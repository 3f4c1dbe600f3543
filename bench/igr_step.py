"""The gradient of the IGR penalty: Holdfast beside plain double backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import holdfast as hf
from bench.measure import flops, peak_bytes, seconds

CHECKED = 4
"""Images whose gradient is checked against float64."""


@dataclass(frozen=True)
class Row:
    """One variant of one setting; ``ratio`` is the time of plain double backward over its own."""

    network: str
    batch: int
    n_steps: int
    variant: str
    seconds: float
    ratio: float
    flops_per_point: float
    peak_mib: float
    error: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def double_backward(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, n_steps: int) -> Tensor:
    """The penalty as one writes it with ``create_graph=True`` and nothing else."""
    images, target = torch.cat([x, x_adv]), torch.cat([y, y])
    alpha = torch.arange(1, n_steps + 1, device=x.device, dtype=x.dtype) / n_steps
    z = (alpha.view(-1, 1, 1, 1, 1) * images).flatten(0, 1).requires_grad_()
    logits = model(z).gather(1, target.repeat(n_steps)[:, None])
    (g,) = torch.autograd.grad(logits.sum(), z, create_graph=True)
    attribution = images * g.view(n_steps, *images.shape).mean(0)
    clean, perturbed = attribution.flatten(1).chunk(2)
    return 1 - F.cosine_similarity(perturbed, clean)


def network(name: str, device: str) -> tuple[nn.Module, tuple[int, int, int]]:
    """A network in evaluation mode with weights and statistics that leave no gradient at zero."""
    torch.manual_seed(0)
    model: nn.Module = hf.models.SmallCNN() if name == "SmallCNN" else hf.models.ResNet18()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, module.in_features**-0.5)
    return model.eval().to(device), (1, 28, 28) if name == "SmallCNN" else (3, 32, 32)


def variants(
    model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, n_steps: int, chunk: int
) -> dict[str, Callable[[], None]]:
    """Each variant as a call that leaves the parameter gradients in ``.grad``."""

    def backward(penalty: Callable[[], Tensor]) -> Callable[[], None]:
        def call() -> None:
            model.zero_grad(set_to_none=True)
            penalty().mean().backward()

        return call

    return {
        "double backward": backward(lambda: double_backward(model, x, x_adv, y, n_steps)),
        "holdfast": backward(lambda: hf.igr_penalty(model, x, x_adv, y, n_steps=n_steps)),
        f"holdfast, chunks of {chunk}": backward(
            lambda: hf.igr_penalty(model, x, x_adv, y, n_steps=n_steps, internal_batch_size=chunk)
        ),
    }


def compare(
    name: str, batch: int, n_steps: int, *, chunk: int = 64, rounds: int = 3, device: str = "cpu"
) -> Iterator[Row]:
    """All variants of one setting."""
    model, shape = network(name, device)
    x = torch.rand(batch, *shape, device=device)
    x_adv = (x + 0.1 * torch.randn_like(x)).clamp(0, 1)
    y = torch.randint(0, 10, (batch,), device=device)
    calls = variants(model, x, x_adv, y, n_steps, chunk)
    forward = flops(lambda: model(x[:1]))
    times = seconds(calls, rounds)
    errors = _errors(model, x[:CHECKED], x_adv[:CHECKED], y[:CHECKED], n_steps, chunk)
    for variant, call in calls.items():
        per_point = flops(call) / (forward * 2 * batch * n_steps)
        yield Row(
            name,
            batch,
            n_steps,
            variant,
            times[variant],
            times["double backward"] / times[variant],
            per_point,
            peak_bytes(call) / 2**20,
            errors[variant],
        )


def _errors(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, n_steps: int, chunk: int) -> dict[str, float]:
    """Relative error of each variant's parameter gradient against double backward in float64."""
    model.double().zero_grad(set_to_none=True)
    double_backward(model, x.double(), x_adv.double(), y, n_steps).mean().backward()
    exact = _gradient(model)
    model.float()
    errors = {}
    for variant, call in variants(model, x, x_adv, y, n_steps, chunk).items():
        call()
        errors[variant] = ((_gradient(model) - exact).norm() / exact.norm()).item()
    return errors


def _gradient(model: nn.Module) -> Tensor:
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    return torch.cat([g.flatten().double() for g in grads])
