"""The gradient of the IGR penalty: Holdfast beside plain double backward and forward-mode differentiation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import holdfast as hf
from bench.measure import flops
from bench.networks import batch, network
from bench.results import Row, race

CHECKED = 4
"""Images whose gradient is checked against float64."""


def path_points(x: Tensor, y: Tensor, n_steps: int) -> tuple[Tensor, Tensor]:
    """All points of the right rule, step by step, and their targets."""
    alpha = torch.arange(1, n_steps + 1, device=x.device, dtype=x.dtype) / n_steps
    return (alpha.view(-1, 1, 1, 1, 1) * x).flatten(0, 1), y.repeat(n_steps)


def one_minus_cosine(attribution: Tensor) -> Tensor:
    clean, perturbed = attribution.flatten(1).chunk(2)
    return 1 - F.cosine_similarity(perturbed, clean)


def double_backward(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, n_steps: int) -> Tensor:
    """The penalty as one writes it with ``create_graph=True`` and nothing else."""
    images = torch.cat([x, x_adv])
    z, target = path_points(images, torch.cat([y, y]), n_steps)
    z.requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):
        logits = model(z).gather(1, target[:, None])
        (g,) = torch.autograd.grad(logits.sum(), z, create_graph=True)
    return one_minus_cosine(images * g.view(n_steps, *images.shape).mean(0))


def jvp_step(model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, n_steps: int) -> None:
    """Two phases: IG without a graph, then reverse mode through ``torch.func.jvp`` along dL/dIG."""
    images = torch.cat([x, x_adv])
    z, target = path_points(images, torch.cat([y, y]), n_steps)
    z.requires_grad_()
    (g,) = torch.autograd.grad(model(z).gather(1, target[:, None]).sum(), z)
    attribution = (images * g.view(n_steps, *images.shape).mean(0)).requires_grad_()
    (v,) = torch.autograd.grad(one_minus_cosine(attribution).mean(), attribution)
    tangent = (v * images / n_steps).repeat(n_steps, 1, 1, 1)

    def selected(points: Tensor) -> Tensor:
        return model(points).gather(1, target[:, None]).sum()

    with sdpa_kernel(SDPBackend.MATH):
        torch.func.jvp(selected, (z.detach(),), (tangent,))[1].backward()


def values(name: str, size: int, n_steps: int, device: str = "cpu") -> list[Row]:
    """Integrated gradients alone: step by step, as Captum computes them, and Holdfast's."""
    from captum.attr import IntegratedGradients

    model, shape = network(name, device)
    x, _, y = batch(shape, size, device)
    captum = IntegratedGradients(model)

    def loop() -> Tensor:
        total = torch.zeros_like(x)
        for k in range(n_steps):
            z = (x * (k + 0.5) / n_steps).requires_grad_()
            total += torch.autograd.grad(model(z).gather(1, y[:, None]).sum(), z)[0]
        return x * total / n_steps

    def theirs() -> Tensor:
        return captum.attribute(x, target=y, n_steps=n_steps, method="riemann_middle")

    calls = {
        "captum": theirs,
        "a loop over steps": loop,
        "holdfast": lambda: hf.integrated_gradients(model, x, y, n_steps=n_steps),
    }
    exact = loop().double()
    errors = {name: ((call() - exact).norm() / exact.norm()).item() for name, call in calls.items()}
    forward = flops(lambda: model(x[:1])) * size * n_steps
    setting = f"{name}, B = {size}, {n_steps} steps"
    return race("IG values", setting, calls, rounds=2, forward=forward, memory=True, errors=errors)


def variants(
    model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, n_steps: int, points: Sequence[int], *, jvp: bool
) -> dict[str, Callable[[], None]]:
    """Each variant as a call that leaves the parameter gradients in ``.grad``."""

    def fresh(step: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            model.zero_grad(set_to_none=True)
            step()

        return call

    def holdfast(internal_batch_size: int | None) -> Callable[[], None]:
        return lambda: (
            hf.igr_penalty(model, x, x_adv, y, n_steps=n_steps, internal_batch_size=internal_batch_size)
            .mean()
            .backward()
        )

    steps = {
        "double backward": lambda: double_backward(model, x, x_adv, y, n_steps).mean().backward(),
        "torch.func.jvp": lambda: jvp_step(model, x, x_adv, y, n_steps),
        "holdfast": holdfast(None),
        **{f"holdfast, {rows} points at once": holdfast(rows) for rows in points},
    }
    return {name: fresh(step) for name, step in steps.items() if jvp or name != "torch.func.jvp"}


def compare(
    name: str,
    size: int,
    n_steps: int,
    *,
    points: Sequence[int] = (64,),
    rounds: int = 3,
    device: str = "cpu",
    jvp: bool = False,
) -> list[Row]:
    """All variants of one network, batch size and number of path points.

    Fewer ``points`` at once than a pair's ``2 * n_steps`` are chunks, which recompute the path.
    """
    model, shape = network(name, device)
    x, x_adv, y = batch(shape, size, device)
    calls = variants(model, x, x_adv, y, n_steps, points, jvp=jvp)
    with sdpa_kernel(SDPBackend.MATH):
        forward = flops(lambda: model(x[:1])) * 2 * size * n_steps
    rows = race(
        "IGR gradient",
        f"{name}, B = {size}, {n_steps} steps",
        calls,
        rounds=rounds,
        forward=forward,
        memory=True,
        errors=gradient_errors(model, x[:CHECKED], x_adv[:CHECKED], y[:CHECKED], n_steps, points, jvp=jvp),
    )
    return rows


def gradient_errors(
    model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, n_steps: int, points: Sequence[int], *, jvp: bool = False
) -> dict[str, float]:
    """Relative error of each variant's parameter gradient against double backward in float64."""
    model.double().zero_grad(set_to_none=True)
    double_backward(model, x.double(), x_adv.double(), y, n_steps).mean().backward()
    exact = _gradient(model)
    model.float()
    errors = {}
    for variant, call in variants(model, x, x_adv, y, n_steps, points, jvp=jvp).items():
        call()
        errors[variant] = ((_gradient(model) - exact).norm() / exact.norm()).item()
    return errors


def _gradient(model: nn.Module) -> Tensor:
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    return torch.cat([g.flatten().double() for g in grads])
