"""A whole training step of every objective: attack, loss, backward, optimiser."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

import holdfast as hf
from bench.measure import flops
from bench.networks import batch, network
from bench.results import Row, race
from holdfast.objectives import AdvAATAttack, ARTAttack, IGNormAttack, IGSumNormAttack, Objective


def objectives(steps: int, device: str) -> dict[str, Objective]:
    """Every objective with the same attack budget; 10 path points in the loss, 3 in an attack on attributions."""
    budget = {"eps": 0.1, "alpha": 0.02, "steps": steps, "generator": torch.Generator(device).manual_seed(0)}
    pgd, tpgd = partial(hf.PGD, **budget), partial(hf.TPGD, **budget)
    bases = {"AT": hf.AT(pgd), "TRADES": hf.TRADES(tpgd, 6.0), "MART": hf.MART(pgd, 5.0)}
    with_igr = {f"{name}+IGR": hf.IGR(base, lam=1.0, n_steps=10) for name, base in bases.items()}
    rivals = {
        "IG-NORM": hf.IGNorm(partial(IGNormAttack, n_steps=3, **budget)),
        "IG-SUM-NORM": hf.IGSumNorm(partial(IGSumNormAttack, n_steps=3, **budget)),
        "AdvAAT": hf.AdvAAT(partial(AdvAATAttack, n_steps=3, **budget)),
        "ART": hf.ART(partial(ARTAttack, **budget)),
        "SSR": hf.SSR(),
        "LGA": hf.LGA(eps=0.1),
        "R2ET": hf.R2ET(k=100),
    }
    return {"Standard": hf.Standard(), **bases, **with_igr, **rivals}


def training_step(name: str, size: int, steps: int = 5, device: str = "cpu") -> list[Row]:
    """Seconds and forward passes an image of one step; ``ratio`` is against standard training."""
    model, shape = network(name, device)
    x, _, y = batch(shape, size, device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)

    def step(objective: Objective, model: nn.Module = model) -> None:
        optimizer.zero_grad(set_to_none=True)
        objective(model, x, y).loss.backward()
        optimizer.step()

    calls: dict[str, Callable[[], None]] = {n: partial(step, o) for n, o in objectives(steps, device).items()}
    forward = flops(lambda: model(x))
    setting = f"{name}, B = {size}, PGD-{steps}, 10 path points"
    return race("training step", setting, calls, rounds=1, forward=forward)
