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


def short_path() -> hf.IntegratedGradients:
    """The path of the profile laptop."""
    return hf.IntegratedGradients(5, "riemann_right")


def objectives(steps: int) -> dict[str, Objective]:
    """Every objective with the same attack budget.

    10 path points in the loss (5 on an eighth of the batch), 3 in an attack on attributions.
    """
    budget = (0.1, 0.02, steps)
    pgd, tpgd = hf.PGD(*budget), hf.TPGD(*budget)
    short = hf.IntegratedGradients(3, "riemann_right")
    bases = {"AT": hf.AT(pgd), "TRADES": hf.TRADES(tpgd, 6.0), "MART": hf.MART(pgd, 5.0)}
    eighth = {f"{name}+IGR, share 1/8": hf.IGR(base, 1.0, short_path(), 1 / 8) for name, base in bases.items()}
    with_igr = {f"{name}+IGR": hf.IGR(base, lam=1.0) for name, base in bases.items()}
    rivals = {
        "IG-NORM": hf.IGNorm(IGNormAttack(*budget, n_steps=3)),
        "IG-SUM-NORM": hf.IGSumNorm(IGSumNormAttack(*budget, n_steps=3)),
        "AdvAAT": hf.AdvAAT(AdvAATAttack(*budget, attribution=short)),
        "ART": hf.ART(ARTAttack(*budget)),
        "SSR": hf.SSR(),
        "LGA": hf.LGA(eps=0.1),
        "R2ET": hf.R2ET(k=100),
    }
    return {"Standard": hf.Standard(), **bases, **with_igr, **eighth, **rivals}


def training_step(name: str, size: int, steps: int = 5, device: str = "cpu") -> list[Row]:
    """Seconds and forward passes an image of one step; ``ratio`` is against standard training."""
    return _race(f"{name}, B = {size}, PGD-{steps}, 10 path points", objectives(steps), name, size, device, rounds=1)


def share_of_batch(name: str, size: int, steps: int, device: str = "cpu") -> list[Row]:
    """Each base beside itself with IGR on an eighth of the batch; ``ratio`` is against the base."""
    setting, all_of = f"{name}, B = {size}, PGD-{steps}, 5 path points", objectives(steps)
    pairs = [{name: all_of[name] for name in (base, f"{base}+IGR, share 1/8")} for base in ("AT", "TRADES", "MART")]
    return [row for pair in pairs for row in _race(setting, pair, name, size, device, rounds=15)]


def _race(setting: str, racing: dict[str, Objective], name: str, size: int, device: str, rounds: int) -> list[Row]:
    model, shape = network(name, device)
    x, _, y = batch(shape, size, device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)

    def step(objective: Objective, model: nn.Module = model) -> None:
        optimizer.zero_grad(set_to_none=True)
        objective(model, x, y, generator=torch.Generator(device).manual_seed(0)).loss.backward()
        optimizer.step()

    calls: dict[str, Callable[[], None]] = {n: partial(step, o) for n, o in racing.items()}
    forward = flops(lambda: model(x))
    return race("training step", setting, calls, rounds=rounds, forward=forward)
