"""Attacks: PGD beside torchattacks, IFIA beside a straightforward batched port of the published procedure."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from scipy.stats import kendalltau
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import holdfast as hf
from bench.networks import batch, network
from bench.results import Row, race
from holdfast.models.state import Model
from holdfast.models.twin import SoftplusTwin

EPS, ALPHA, N_STEPS, BETA = 0.1, 0.02, 10, 30.0


def pgd(size: int = 64, steps: int = 10, device: str = "cpu") -> list[Row]:
    """The same attack from the same start in both libraries, on SmallCNN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torchattacks

    model, shape = network("SmallCNN", device)
    x, _, y = batch(shape, size, device)
    theirs = torchattacks.PGD(model, eps=EPS, alpha=ALPHA, steps=steps, random_start=False)
    ours = hf.PGD(EPS, ALPHA, steps, random_start=False).on(model)
    difference = (theirs(x, y) - ours(x, y)).abs().max().item()
    calls: dict[str, Callable[[], Tensor]] = {"torchattacks": lambda: theirs(x, y), "holdfast": lambda: ours(x, y)}
    return race("PGD", f"SmallCNN, B = {size}, {steps} steps", calls, errors={"holdfast": difference})


class _Softplus(TorchFunctionMode):
    """What editing a network's source from ``F.relu(x)`` to ``F.softplus(x, beta)`` does."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        return F.softplus(args[0], beta=BETA) if func is F.relu else func(*args, **(kwargs or {}))


def straightforward_ifia(model: nn.Module, x: Tensor, y: Tensor, steps: int, k: int) -> Tensor:
    """Top-k IFIA as one ports it: IG with ``create_graph`` on a softplus copy, every iterate scored."""

    def softplus(images: Tensor) -> Tensor:
        with _Softplus():
            return model(images)

    alphas = (torch.arange(N_STEPS, device=x.device) + 0.5) / N_STEPS

    def attribution(net: Model, images: Tensor, create_graph: bool) -> Tensor:
        z = (alphas.view(-1, 1, 1, 1, 1) * images).flatten(0, 1)
        if not z.requires_grad:
            z.requires_grad_()
        logits = net(z).gather(1, y.repeat(N_STEPS)[:, None])
        (g,) = torch.autograd.grad(logits.sum(), z, create_graph=create_graph)
        return (images * g.view(N_STEPS, *images.shape).mean(0)).abs().flatten(1)

    clean = attribution(model, x, create_graph=False)
    top = clean.sort(dim=1, descending=True, stable=True).indices[:, :k]
    adv, best, best_score = x, x.clone(), torch.ones(len(x))
    for _ in range(steps):
        adv = adv.detach().requires_grad_()
        current = attribution(softplus, adv, create_graph=True)
        loss = -(current / current.sum(1, keepdim=True)).gather(1, top).sum()
        (gradient,) = torch.autograd.grad(loss, adv)
        adv = (adv.detach() + ALPHA * gradient.sign() - x).clamp(-EPS, EPS)
        adv = (x + adv).clamp(0, 1)
        measured = attribution(model, adv, create_graph=False)
        kept = model(adv).argmax(1) == y
        for i in range(len(x)):
            tau = kendalltau(measured[i].cpu(), clean[i].cpu()).statistic if kept[i] else 1.0
            if tau < best_score[i]:
                best_score[i], best[i] = tau, adv[i].detach()
    return best


def ifia(name: str, size: int, steps: int = 2, k: int = 100, rounds: int = 3, device: str = "cpu") -> list[Row]:
    """The same objective, steps and scoring; the note is the mean Kendall that each attack leaves."""
    model, shape = network(name, device)
    x, _, _ = batch(shape, size, device)
    y = model(x).argmax(1)
    path = hf.IntegratedGradients(N_STEPS)
    attack = hf.IFIA(EPS, ALPHA, steps, k, attribution=path, surrogate_beta=BETA).on(model)

    def reduced(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16):
            return attack(x, y)

    calls: dict[str, Callable[[], Tensor]] = {
        "straightforward port": lambda: straightforward_ifia(model, x, y, steps, k),
        "holdfast": lambda: attack(x, y),
        "holdfast, bfloat16 gradient": lambda: reduced(x, y),
    }
    clean = hf.integrated_gradients(model, x, y).abs()
    notes = {
        variant: f"τ {hf.kendall_tau(hf.integrated_gradients(model, call(), y).abs(), clean).mean().item():.4f}"
        for variant, call in calls.items()
    }
    setting = f"{name}, B = {size}, {steps} steps, {N_STEPS} path points"
    return race("IFIA", setting, calls, rounds=rounds, memory=True, notes=notes)


def softplus_cost(device: str = "cpu") -> list[Row]:
    """FLOPs of the attack's gradient alone, in forward passes a path point, by gate."""
    from bench.measure import flops
    from holdfast.attribution.base import path_attribution
    from holdfast.gradient.points import Path

    rows = []
    for name, size in (("SmallCNN", 16), ("ResNet18", 4)):
        model, shape = network(name, device)
        x, _, y = batch(shape, size, device)
        forward = flops(partial(model, x)) * N_STEPS
        calls: dict[str, Callable[[], Any]] = {}
        for gate, net in (("softplus", SoftplusTwin(model, BETA)), ("ReLU", model)):
            path = Path(net, y, "riemann_middle", N_STEPS, create_graph=True, weights=False)

            def call(path: Path = path, x: Tensor = x) -> Tensor:
                leaf = x.clone().requires_grad_()
                return torch.autograd.grad(F.relu(path_attribution(path, leaf)).sum(), leaf)[0]

            calls[gate] = call
        rows += race("attack gradient", f"{name}, B = {size}", calls, forward=forward)
    return rows
