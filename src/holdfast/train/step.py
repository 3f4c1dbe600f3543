"""One training step: the batch, its objective at the step's radius, the gradient, new weights."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.data.loader import DeviceLoader
from holdfast.errors import HoldfastError, NotFinite
from holdfast.objectives import LossOutput, Objective
from holdfast.objectives.base import check_output
from holdfast.parts import Part, changed_parts
from holdfast.seeding import seed_of
from holdfast.train.config import OptimConfig, TrainConfig
from holdfast.train.distributed import World, share_buffers, sum_gradients
from holdfast.train.precision import Precision, arithmetic, products
from holdfast.train.setup import build_optimizer


class Stepper:
    """Takes the steps of a run; each is a function of the weights, the optimiser's state, the seed and its number."""

    def __init__(self, config: TrainConfig, world: World, model: nn.Module, loader: DeviceLoader) -> None:
        self.config, self.world, self.model, self.loader = config, world, model, loader
        self.device = next(model.parameters()).device
        self.generator = torch.Generator(self.device)
        self.optimizer = build_optimizer(config.optim, model)
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.per_epoch = len(loader)
        self.total = config.optim.epochs * self.per_epoch

    def step(self, step: int) -> dict[str, float]:
        """Change the weights by global step ``step`` (from 0); returns the terms of its loss over the global batch."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config.optim, step, self.per_epoch)
        losses = self.gradient(step, self.config.precision)
        self.optimizer.step()
        return losses

    def gradient(self, step: int, precision: Precision) -> dict[str, float]:
        """Leave the gradient of a step in the parameters; returns the terms of the loss."""
        own = (self.world.rank,) if self.world.rank else ()
        self.generator.manual_seed(seed_of(self.config.seed, "attack", step, *own))
        torch.manual_seed(seed_of(self.config.seed, "dropout", step, *own))
        x, y, weight = self.own_images(*divmod(step, self.per_epoch))
        objective = at_radius(self.config.objective, radius_share(self.config.optim, step, self.total))
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        many, full = self.world.size > 1, precision == "float32"
        if many:
            share_buffers(self.model)
        with nullcontext() if full else arithmetic(precision, self.device):
            output = self.outcome(objective, x, y, step)
        losses = self.losses(output, weight, step)
        with nullcontext() if full else products(precision):
            (output.loss * weight).backward()
        if many:
            sum_gradients(self.parameters)
        return losses

    def own_images(self, epoch: int, i: int) -> tuple[Tensor, Tensor, float]:
        """Images and labels of this process, and their weight in the mean over the global batch.

        A process that a short last batch leaves without images goes through the motions on one of weight 0, because
        the others wait for it wherever they exchange something.
        """
        share = self.loader.share(i)
        if len(share) > 0:
            return *self.loader.batch(epoch, i), share.weight
        x, y = self.loader.batch(epoch, 0)
        return x[:1], y[:1], 0.0

    def outcome(self, objective: Objective, x: Tensor, y: Tensor, step: int) -> LossOutput:
        """The loss of a batch; an attack that meets NaN is told of with what a run can do about it."""
        with self.world.together() if self.world.size > 1 else nullcontext():
            try:
                output = objective(self.model, x, y, generator=self.generator)
            except NotFinite as error:
                raise HoldfastError(self.diverged(step, str(error).split(";")[0])) from None
            check_output(objective, output)
            return output

    def losses(self, output: LossOutput, weight: float, step: int) -> dict[str, float]:
        """The terms over the global batch, the same in every process."""
        names = ["loss", *output.parts]
        own = torch.stack([output.loss.detach(), *output.parts.values()]).tolist()
        values = own if self.world.size == 1 else self.world.mean(own, weight)
        losses = dict(zip(names, values, strict=True))
        if not all(math.isfinite(v) for v in values):
            terms = ", ".join(f"{name} = {value:.4g}" for name, value in losses.items())
            raise self.world.refusal(self.diverged(step, terms))
        return losses

    def diverged(self, step: int, what: str) -> str:
        """What to do about numbers that are none."""
        return (
            f"the loss is not finite at step {step + 1} of {self.total} ({what}); no weights were changed by it: lower "
            f"--optim.lr (now {self.config.optim.lr:g}) or the objective's weights, and check the images."
        )

    def agreement(self, step: int) -> float:
        """The cosine between the step's gradients in float32 and in the run's precision; nothing is changed by it."""
        before = [b.clone() for b in self.model.buffers()]
        found = []
        precisions: tuple[Precision, ...] = ("float32", self.config.precision)
        for precision in precisions:
            self.gradient(step, precision)
            found.append(torch.cat([p.grad.flatten() for p in self.parameters if p.grad is not None]))
            with torch.no_grad():
                for buffer, old in zip(self.model.buffers(), before, strict=True):
                    buffer.copy_(old)
        return torch.cosine_similarity(found[0], found[1], dim=0).item()


def learning_rate(config: OptimConfig, step: int, steps_per_epoch: int) -> float:
    """The rate of global step ``step`` (from 0).

    onecycle rises linearly to ``lr`` over the first quarter and falls to 0 along a cosine.

    >>> config = OptimConfig(lr=1.0, epochs=4, schedule="multistep", milestones=(3, 4))
    >>> [round(learning_rate(config, step, 1), 4) for step in range(4)]
    [1.0, 1.0, 0.1, 0.01]
    """
    if config.schedule == "multistep":
        epoch = step // steps_per_epoch + 1
        return config.lr * config.gamma ** sum(epoch >= m for m in config.milestones)
    if config.schedule == "onecycle":
        done = (step + 1) / (config.epochs * steps_per_epoch)
        return config.lr * (done / 0.25 if done < 0.25 else (1 + math.cos(math.pi * (done - 0.25) / 0.75)) / 2)
    return config.lr


def radius_share(config: OptimConfig, step: int, total: int) -> float:
    """The part of the full radius at global step ``step`` (from 0) of ``total``.

    >>> [radius_share(OptimConfig(eps_warmup=0.5), step, 8) for step in (0, 1, 3, 7)]
    [0.25, 0.5, 1.0, 1.0]
    """
    return min(1.0, (step + 1) / (config.eps_warmup * total)) if config.eps_warmup else 1.0


def at_radius(objective: Objective, share: float) -> Objective:
    """The objective with every ``eps`` and every regulariser's ``lam`` in it multiplied by ``share``.

    A distance of directions (1 - cos) has no scale: at the small maps of a new network its gradient is some hundred
    times that of the base, which Adam would remember for a thousand steps.

    >>> from holdfast import AT, IGR, PGD
    >>> half = at_radius(IGR(AT(PGD(eps=0.3, alpha=0.1)), lam=2.0), 0.5)
    >>> half.lam, half.base.attack.eps, half.base.attack.alpha
    (1.0, 0.15, 0.1)
    """
    if share == 1:
        return objective

    def shrunk(part: Any) -> Any:
        growing = {"eps", "lam"} if isinstance(part, Objective) else {"eps"}
        return replace(part, **{f.name: getattr(part, f.name) * share for f in fields(part) if f.name in growing})

    return changed_parts(objective, Part, shrunk)
