"""What a training objective is: a callable on (model, x, y) that returns a loss, its parts and its x_adv."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor

from holdfast.attacks.base import Attack
from holdfast.config import Method
from holdfast.models.state import Model
from holdfast.validate import check_count, check_positive

AttackFactory = Callable[[Model], Attack]


@dataclass(frozen=True)
class LossOutput:
    """A scalar ``loss`` to call ``backward()`` on, its detached ``parts`` by name, and the images attacked."""

    loss: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    x_adv: Tensor | None = None


@runtime_checkable
class Objective(Protocol):
    """``objective(model, x, y)``: the model is used in the mode it is in; attacks run in evaluation mode."""

    def __call__(self, model: Model, x: Tensor, y: Tensor) -> LossOutput: ...


class AttributionObjective:
    """The settings that objectives over a path integral share; a subclass says what is minimised.

    Raises:
        HoldfastError: on a negative weight or a count below 1.
    """

    def __init__(
        self,
        attack: Attack | AttackFactory,
        lam: float = 1.0,
        n_steps: int = 10,
        method: Method = "riemann_right",
        internal_batch_size: int | None = None,
    ) -> None:
        check_positive("lam", lam, zero=True)
        check_count("n_steps", n_steps)
        if internal_batch_size is not None:
            check_count("internal_batch_size", internal_batch_size)
        self.attack = attack
        self.lam = lam
        self.n_steps = n_steps
        self.method: Method = method
        self.internal_batch_size = internal_batch_size


def adversarial_images(attack: Attack | AttackFactory, model: Model, x: Tensor, y: Tensor) -> Tensor:
    """Run an attack object, or build one for ``model`` from a factory such as ``partial(PGD, eps=...)``."""
    bound = attack if isinstance(attack, Attack) else attack(model)
    return bound(x, y)


def combine(x_adv: Tensor | None, **parts: tuple[float, Tensor]) -> LossOutput:
    """``sum(weight * term)`` with each unweighted term kept by name.

    >>> import torch
    >>> combine(None, ce=(1.0, torch.tensor(2.0)), kl=(6.0, torch.tensor(0.5))).loss
    tensor(5.)
    """
    loss = sum(weight * term for weight, term in parts.values())
    assert isinstance(loss, Tensor)
    return LossOutput(loss, {name: term.detach() for name, (_, term) in parts.items()}, x_adv)
